//! How messages and lists look to a person. Owns layout; never asks or prints anything.
//!
//! Everything that somebody else wrote goes through [`super::text`] first.

use super::output::{Style, table};
use super::text::{absolute, count, lines, one_line, relative};
use postroad_protocol::TimeMs;
use postroad_protocol::event::Priority;
use postroad_protocol::query::{FoundMessage, Message, MessageStatus, Receipt, TaskCounts};

/// A message as a block: who, to whom, when; the text behind a margin; the ids to go on with.
///
/// The margin keeps a text from passing for something that this program says.
pub(crate) fn message(style: Style, message: &Message, now: TimeMs) -> String {
    let mut channel = one_line(&message.channel);
    if let Some(instance) = &message.instance_id {
        channel.push_str(&format!("/{instance}"));
    }
    let mut from = format!("{}/{}", message.from, message.from_instance_id);
    if let Some(tenant) = &message.tenant_id {
        from.insert_str(0, &format!("{tenant}: "));
    }
    let sent = relative(message.sent_at, now);
    let mut head = format!(
        "{} → {channel}  {}",
        style.strong(&from),
        style.faint(&sent)
    );
    match message.priority {
        Priority::Urgent => head.push_str(&format!("  {}", style.alarm("urgent"))),
        Priority::High => head.push_str(&format!("  {}", style.strong("high"))),
        Priority::Normal => {}
        Priority::Low => head.push_str(&format!("  {}", style.faint("low"))),
    }
    if message.read_at.is_some() {
        head.push_str(&format!("  {}", style.faint("read")));
    }
    let mut block = head;
    for line in lines(&message.content) {
        block.push_str("\n  │ ");
        block.push_str(&line);
    }
    for detail in details(message) {
        block.push_str(&format!("\n  {}", style.faint(&detail)));
    }
    block
}

/// How many messages are unread; and their highest priority, where it is above normal.
pub(crate) fn unread(total: u64, highest: Option<Priority>) -> String {
    let unread = count(total, "unread message");
    match highest {
        Some(Priority::Urgent) => format!("{unread}, the highest priority is urgent"),
        Some(Priority::High) => format!("{unread}, the highest priority is high"),
        Some(Priority::Normal | Priority::Low) | None => unread,
    }
}

/// Work that waits, in one line; nothing where there is none.
pub(crate) fn tasks(counts: &TaskCounts) -> Option<String> {
    let parts = [
        (counts.ready, "ready"),
        (counts.waiting, "waiting"),
        (counts.claimed, "claimed"),
        (counts.due, "due"),
    ];
    let mut told = String::new();
    for (number, what) in parts.into_iter().filter(|(number, _)| *number > 0) {
        if told.is_empty() {
            told = format!("{} {what}", count(number, "task"));
        } else {
            told.push_str(&format!(", {number} {what}"));
        }
    }
    (!told.is_empty()).then_some(told)
}

fn details(message: &Message) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(receipt) = &message.receipt_id {
        details.push(format!("receipt {}", one_line(receipt)));
    }
    details.push(format!("message {}", message.message_id));
    if let Some(answered) = message.reply_to {
        details.push(format!("answers {answered}"));
    }
    if !message.metadata.is_empty() {
        let label =
            |(key, value): (&String, &String)| format!("{}={}", one_line(key), one_line(value));
        let labels: Vec<String> = message.metadata.iter().map(label).collect();
        details.push(labels.join("  "));
    }
    details
}

/// Blocks with a blank line between them.
pub(crate) fn messages(style: Style, messages: &[Message], now: TimeMs) -> String {
    let blocks: Vec<String> = messages
        .iter()
        .map(|one| message(style, one, now))
        .collect();
    blocks.join("\n\n")
}

/// Messages that were found, each with its score.
pub(crate) fn found(style: Style, found: &[FoundMessage], now: TimeMs) -> String {
    let block = |one: &FoundMessage| {
        let score = style.faint(&format!("score {:.3}", one.score));
        format!("{}\n  {score}", message(style, &one.message, now))
    };
    let blocks: Vec<String> = found.iter().map(block).collect();
    blocks.join("\n\n")
}

/// Who has got and read a message.
pub(crate) fn status(style: Style, status: &MessageStatus, now: TimeMs) -> String {
    let when = |time: Option<TimeMs>| time.map_or("–".to_owned(), |time| relative(time, now));
    let row = |receipt: &Receipt| {
        let instance = receipt.recipient_instance_id.as_ref();
        [
            receipt.recipient.to_string(),
            instance.map_or("–".to_owned(), ToString::to_string),
            when(receipt.delivered_at),
            when(receipt.read_at),
        ]
    };
    let summary = format!(
        "message {}\nfor {}: delivered to {}, read by {}",
        status.message_id,
        count(status.recipient_count, "reader"),
        status.delivered_count,
        status.read_count
    );
    let header = ["ROLE", "INSTANCE", "DELIVERED", "READ"];
    let receipts = table(style, header, status.receipts.iter().map(row));
    format!("{summary}\n\n{receipts}")
}

/// One message with its times to the millisecond.
pub(crate) fn full_message(style: Style, one: &Message, now: TimeMs) -> String {
    let mut text = message(style, one, now);
    let times = [
        ("sent", Some(one.sent_at)),
        ("delivered", one.delivered_at),
        ("read", one.read_at),
    ];
    for (what, time) in times {
        if let Some(time) = time {
            let line = format!("{what} {}", absolute(time));
            text.push_str(&format!("\n  {}", style.faint(&line)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: TimeMs = TimeMs(1_711_670_520_000);

    fn sample() -> Message {
        Message {
            tenant_id: None,
            message_id: "01890000-0000-7000-8000-000000000001".parse_id(),
            receipt_id: Some("rcpt-xyz".to_owned()),
            from: "bob".parse().unwrap(),
            from_instance_id: "pi".parse().unwrap(),
            channel: "tau,phi".to_owned(),
            instance_id: None,
            content: "First line\nerror: \u{1b}[31mnot ours\n".to_owned(),
            sent_at: TimeMs(1_711_670_400_000),
            delivered_at: Some(TimeMs(1_711_670_401_000)),
            read_at: None,
            reply_to: Some("01890000-0000-7000-8000-000000000002".parse_id()),
            priority: Priority::Urgent,
            metadata: BTreeMap::from([("task".to_owned(), "a\nb".to_owned())]),
        }
    }

    trait ParseId {
        fn parse_id(&self) -> postroad_protocol::MessageId;
    }

    impl ParseId for str {
        fn parse_id(&self) -> postroad_protocol::MessageId {
            postroad_protocol::MessageId::parse(self).unwrap()
        }
    }

    #[test]
    fn a_message_is_a_block_that_its_text_cannot_leave() {
        insta::assert_snapshot!(message(Style::PLAIN, &sample(), NOW), @r"
        bob/pi → tau,phi  2m ago  urgent
          │ First line
          │ error: \x1b[31mnot ours
          receipt rcpt-xyz
          message 01890000-0000-7000-8000-000000000001
          answers 01890000-0000-7000-8000-000000000002
          task=a\nb
        ");
    }

    #[test]
    fn a_count_of_unread_mail_names_its_highest_priority_above_normal() {
        for (highest, told) in [
            (None, "2 unread messages"),
            (Some(Priority::Low), "2 unread messages"),
            (Some(Priority::Normal), "2 unread messages"),
            (
                Some(Priority::High),
                "2 unread messages, the highest priority is high",
            ),
            (
                Some(Priority::Urgent),
                "2 unread messages, the highest priority is urgent",
            ),
        ] {
            assert_eq!(unread(2, highest), told);
        }
    }

    #[test]
    fn work_that_waits_is_counted_in_one_line() {
        let counts = |ready, waiting, claimed, due| TaskCounts {
            ready,
            waiting,
            claimed,
            due,
        };
        for (counts, told) in [
            (
                counts(3, 1, 2, 1),
                Some("3 tasks ready, 1 waiting, 2 claimed, 1 due"),
            ),
            (counts(0, 1, 0, 0), Some("1 task waiting")),
            (counts(0, 0, 2, 2), Some("2 tasks claimed, 2 due")),
            (counts(0, 0, 0, 0), None),
        ] {
            assert_eq!(tasks(&counts).as_deref(), told);
        }
    }

    #[test]
    fn a_message_that_the_operator_sees_says_whose_it_is() {
        let mut sample = sample();
        sample.tenant_id = Some("acme".parse().unwrap());
        let shown = message(Style::PLAIN, &sample, NOW);
        assert!(
            shown.starts_with("acme: bob/pi → tau,phi  2m ago"),
            "{shown}"
        );
    }

    #[test]
    fn one_message_shows_its_times() {
        insta::assert_snapshot!(full_message(Style::PLAIN, &sample(), NOW), @r"
        bob/pi → tau,phi  2m ago  urgent
          │ First line
          │ error: \x1b[31mnot ours
          receipt rcpt-xyz
          message 01890000-0000-7000-8000-000000000001
          answers 01890000-0000-7000-8000-000000000002
          task=a\nb
          sent 2024-03-29T00:00:00.000Z
          delivered 2024-03-29T00:00:01.000Z
        ");
    }

    #[test]
    fn a_status_counts_first_and_then_names() {
        let receipt = |instance: Option<&str>, read: Option<u64>| Receipt {
            recipient: "tau".parse().unwrap(),
            recipient_instance_id: instance.map(|name| name.parse().unwrap()),
            created_at: TimeMs(1_711_670_400_000),
            delivered_at: read.map(TimeMs),
            read_at: read.map(TimeMs),
        };
        let sample = MessageStatus {
            message_id: sample().message_id,
            recipient_count: 2,
            delivered_count: 1,
            read_count: 1,
            receipts: vec![
                receipt(Some("pi"), Some(1_711_670_460_000)),
                receipt(None, None),
            ],
            next_cursor: None,
            position: postroad_protocol::Position {
                shard: 0,
                epoch: 1,
                sequence: 9,
            },
            stale: false,
        };
        insta::assert_snapshot!(status(Style::PLAIN, &sample, NOW), @r"
        message 01890000-0000-7000-8000-000000000001
        for 2 readers: delivered to 1, read by 1

        ROLE  INSTANCE  DELIVERED  READ
        tau   pi        1m ago     1m ago
        tau   –         –          –
        ");
    }
}
