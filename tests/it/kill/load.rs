//! The steady load, and the books that are kept of it.

use crate::harness::{DEADLINE, log};
use postroad_client::{Advice, Check, Client, ClientError, Draft, History};
use postroad_protocol::MessageId;
use postroad_protocol::query::{MessageStatus, Receipt};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub(super) const SENDERS: usize = 3;
pub(super) const READERS: usize = 2;

/// What was acknowledged and what was seen.
#[derive(Default)]
struct Ledger {
    /// By sender: contents in the order in which they were acknowledged, with their ids.
    acknowledged: Mutex<BTreeMap<usize, Vec<(String, MessageId)>>>,
    /// By reader: contents in the order in which they were first seen.
    seen: Mutex<BTreeMap<usize, Vec<String>>>,
    stop: AtomicBool,
    /// Whether nothing more will be acknowledged.
    sent: AtomicBool,
}

impl Ledger {
    fn total(&self) -> usize {
        self.acknowledged
            .lock()
            .unwrap()
            .values()
            .map(Vec::len)
            .sum()
    }

    fn seen_by(&self, reader: usize) -> usize {
        self.seen.lock().unwrap().get(&reader).map_or(0, Vec::len)
    }
}

fn assert_may_be_retried(error: &ClientError, what: &str) {
    let retry = matches!(error.advice(), Advice::Retry { .. });
    assert!(retry, "{what} was refused for good: {error:?}");
}

/// Sends numbered messages one after the other; each is sent until it is acknowledged.
async fn keep_sending(sender: usize, client: Client, ledger: Arc<Ledger>) {
    for number in 0_u64.. {
        if ledger.stop.load(Ordering::Relaxed) {
            return;
        }
        let channel = if number % 4 == 0 {
            "broadcast"
        } else {
            "reader"
        };
        let content = format!("{sender}:{number}");
        let draft = Draft::new(channel, &content);
        let sent = loop {
            match client.send(&draft).await {
                Ok(sent) => break sent,
                Err(error) => assert_may_be_retried(&error, "a send"),
            }
        };
        let mut acknowledged = ledger.acknowledged.lock().unwrap();
        let own = acknowledged.entry(sender).or_default();
        own.push((content, sent.message_id));
    }
}

/// What one reader knows of what it was shown.
#[derive(Default)]
struct Shown {
    marked: HashSet<MessageId>,
    contents: HashMap<String, MessageId>,
}

/// Checks and marks until nothing is left, and panics when anything comes back that was marked, or
/// comes twice.
async fn keep_reading(reader: usize, client: Client, ledger: Arc<Ledger>) {
    let mut shown = Shown::default();
    while !ledger.sent.load(Ordering::Relaxed) {
        read_once(reader, &client, &ledger, &mut shown).await;
    }
    let start = Instant::now();
    loop {
        let unread = read_once(reader, &client, &ledger, &mut shown).await;
        let (seen, total) = (ledger.seen_by(reader), ledger.total());
        if seen >= total && unread == Some(0) {
            return;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "reader {reader} has seen {seen} of {total} acknowledged; unread: {unread:?}"
        );
    }
}

/// One page, marked as read; what was unread when it was answered, the page itself included.
async fn read_once(
    reader: usize,
    client: &Client,
    ledger: &Ledger,
    shown: &mut Shown,
) -> Option<u64> {
    let check = Check::default().limit(50).wait(Duration::from_millis(100));
    let page = match client.check(&check).await {
        Ok(page) => page,
        Err(error) => {
            assert_may_be_retried(&error, "a check");
            return None;
        }
    };
    assert!(!page.stale, "the shard must not count as damaged");
    let ids: HashSet<MessageId> = page.messages.iter().map(|one| one.message_id).collect();
    assert_eq!(
        ids.len(),
        page.messages.len(),
        "a page shows one message twice"
    );
    for message in &page.messages {
        assert!(
            !shown.marked.contains(&message.message_id),
            "{} came back after it was marked",
            message.content
        );
        let contents = &mut shown.contents;
        let first = contents
            .entry(message.content.clone())
            .or_insert(message.message_id);
        assert_eq!(
            *first, message.message_id,
            "{} is visible twice",
            message.content
        );
        let mut seen = ledger.seen.lock().unwrap();
        let seen = seen.entry(reader).or_default();
        if !seen.contains(&message.content) {
            seen.push(message.content.clone());
        }
    }
    let receipts = page.messages.iter();
    let receipts: Vec<String> = receipts.filter_map(|one| one.receipt_id.clone()).collect();
    if !receipts.is_empty() {
        match client.mark_as_read(receipts).await {
            Ok(_) => shown.marked.extend(ids),
            Err(error) => assert_may_be_retried(&error, "a mark"),
        }
    }
    Some(page.unread_total)
}

/// Watches receipts of a sender's acknowledged messages: what was set stays as it was set, what was there
/// stays there, and no count shrinks.
async fn watch_receipts(sender: usize, client: Client, ledger: Arc<Ledger>) -> usize {
    let mut known: HashMap<MessageId, MessageStatus> = HashMap::new();
    while !ledger.stop.load(Ordering::Relaxed) {
        let mut sample: Vec<MessageId> = {
            let acknowledged = ledger.acknowledged.lock().unwrap();
            let own = acknowledged.get(&sender).into_iter().flatten();
            own.rev().step_by(3).take(5).map(|(_, id)| *id).collect()
        };
        sample.extend(known.keys().take(3));
        for message in sample {
            let asked = client.message_status(message, &Default::default()).await;
            match asked {
                Ok(now) => {
                    if let Some(before) = known.insert(message, now.clone()) {
                        compare(&before, &now);
                    }
                }
                Err(error) => assert_may_be_retried(&error, "a status"),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    known.len()
}

fn compare(before: &MessageStatus, now: &MessageStatus) {
    let counts = |status: &MessageStatus| {
        [
            status.recipient_count,
            status.delivered_count,
            status.read_count,
        ]
    };
    let mut pairs = counts(before).into_iter().zip(counts(now));
    assert!(
        pairs.all(|(before, now)| before <= now),
        "{before:?} {now:?}"
    );
    let of = |status: &MessageStatus, whose: &Receipt| {
        let mut all = status.receipts.iter();
        let same = |one: &&Receipt| {
            (&one.recipient, &one.recipient_instance_id)
                == (&whose.recipient, &whose.recipient_instance_id)
        };
        all.find(same).cloned()
    };
    for old in &before.receipts {
        let new = of(now, old).unwrap_or_else(|| panic!("{old:?} is gone: {now:?}"));
        assert_eq!(old.created_at, new.created_at, "{before:?} {now:?}");
        assert!(
            old.delivered_at.is_none() || old.delivered_at == new.delivered_at,
            "{old:?} {new:?}"
        );
        assert!(
            old.read_at.is_none() || old.read_at == new.read_at,
            "{old:?} {new:?}"
        );
    }
}

/// Runs the load while `disturb` kills, then compares what readers saw with what senders were told.
pub(super) async fn under_load<F: Future<Output = ()>>(
    senders: Vec<Client>,
    readers: Vec<Client>,
    disturb: F,
) -> Books {
    let ledger = Arc::new(Ledger::default());
    let (mut sending, mut reading) = (JoinSet::new(), JoinSet::new());
    let mut watching = JoinSet::new();
    for (number, client) in senders.into_iter().enumerate() {
        watching.spawn(watch_receipts(number, client.clone(), Arc::clone(&ledger)));
        sending.spawn(keep_sending(number, client, Arc::clone(&ledger)));
    }
    for (number, client) in readers.iter().enumerate() {
        reading.spawn(keep_reading(number, client.clone(), Arc::clone(&ledger)));
    }
    disturb.await;
    ledger.stop.store(true, Ordering::Relaxed);
    // Readers may end only when the last send has been acknowledged.
    while let Some(ended) = sending.join_next().await {
        ended.expect("a promise was broken");
    }
    ledger.sent.store(true, Ordering::Relaxed);
    while let Some(ended) = reading.join_next().await {
        ended.expect("a promise was broken");
    }
    while let Some(ended) = watching.join_next().await {
        assert!(
            ended.expect("a promise was broken") > 0,
            "receipts of every sender were watched"
        );
    }
    let acknowledged = ledger.acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), SENDERS, "every sender got through");
    for (reader, seen) in ledger.seen.lock().unwrap().iter() {
        for (sender, sent) in &acknowledged {
            let own = format!("{sender}:");
            let seen: Vec<&String> = seen
                .iter()
                .filter(|content| content.starts_with(&own))
                .collect();
            let sent: Vec<&String> = sent.iter().map(|(content, _)| content).collect();
            assert_eq!(
                seen, sent,
                "reader {reader} saw other than what sender {sender} was told is stored"
            );
        }
    }
    Books {
        ids: acknowledged.values().flatten().map(|(_, id)| *id).collect(),
        readers,
    }
}

/// What a run came to.
pub(super) struct Books {
    ids: HashSet<MessageId>,
    readers: Vec<Client>,
}

impl Books {
    /// Compares what was acknowledged with what the log holds and what readers can list.
    pub(super) async fn balance(self, operator: &Client, tenant: &str) {
        let stored = log::stored(operator, tenant).await;
        let twice: Vec<_> = stored.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "stored more than once: {twice:?}");
        let acknowledged: HashSet<String> = self.ids.iter().map(ToString::to_string).collect();
        let in_log: HashSet<String> = stored.into_keys().collect();
        assert_eq!(in_log, acknowledged, "the log holds what was acknowledged");
        for reader in &self.readers {
            let unread = reader.check(&Check::default()).await.unwrap();
            assert_eq!(unread.unread_total, 0, "{unread:?}");
            let mut listed: Vec<MessageId> = Vec::new();
            let mut history = History::default().limit(200);
            loop {
                let page = reader.list_messages(&history).await.unwrap();
                listed.extend(page.messages.iter().map(|one| one.message_id));
                let Some(cursor) = page.next_cursor else {
                    break;
                };
                history = history.after(cursor);
            }
            let different: HashSet<MessageId> = listed.iter().copied().collect();
            assert_eq!(
                different.len(),
                listed.len(),
                "a list shows a message twice"
            );
            assert_eq!(different, self.ids, "the list shows what was acknowledged");
        }
        println!(
            "{} messages acknowledged, each stored once and seen once, in order, by {READERS} readers",
            self.ids.len()
        );
    }
}
