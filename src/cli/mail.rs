//! `check`, `read`, `watch`: what is unread, and saying that it was dealt with.

use super::failure::Failure;
use super::output::print;
use super::session::Session;
use super::shown;
use super::text::one_line;
use super::time;
use super::wake;
use crate::stop::StopSignal;
use clap::Args;
use futures_util::StreamExt as _;
use postroad_client::{Advice, Check, Client, Subscription};
use postroad_protocol::command::Marked;
use postroad_protocol::query::Message;
use postroad_protocol::{ErrorCode, TimeMs};
use serde::Serialize;
use std::ffi::OsString;
use std::time::Duration;

/// Show what is unread, oldest first.
///
/// Checking changes nothing for you: a message stays unread until `read` marks it. Its sender can see
/// that it was delivered. With --wait the command ends as soon as there is something to show. Where tasks
/// wait for you they are counted below; `task list --mine` shows them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad check
  postroad check --wait 1m
  postroad check --json | jq -r '.messages[].receiptId'")]
pub(crate) struct CheckArgs {
    /// Messages to show at most, 1 to 200
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Only what comes after the `nextCursor` of an earlier check
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    cursor: Option<String>,
    /// Wait so long for a message where there is none
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    wait: Option<Duration>,
}

/// Mark messages as read, so that `check` no longer shows them.
///
/// Takes the receipts that `check` shows, or with --message the ids of messages. Marking twice is
/// harmless: the first time stands. What is not yours, or not there, is named as not found, and the
/// command then ends with exit code 3.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad read RECEIPT
  postroad check --json | jq -r '.messages[].receiptId' | xargs postroad read")]
pub(crate) struct ReadArgs {
    /// Receipts to mark
    #[arg(value_name = "RECEIPT")]
    receipts: Vec<String>,
    /// A message to mark; may be given several times
    #[arg(long = "message", value_name = "MESSAGE")]
    messages: Vec<String>,
}

/// Show every unread message once, and then each new one as it comes, until ctrl-c.
///
/// Messages come in order, each once, over crashes and reconnects. What is not marked as read comes
/// again to the next watch. While it runs, `peers` shows this agent as online.
///
/// With --exec nothing is shown: a command is started when mail waits, one at a time, for an agent that is
/// not running. It finds POSTROAD_UNREAD, POSTROAD_HIGHEST_PRIORITY and POSTROAD_MESSAGE_IDS (the oldest hundred,
/// separated by commas) in its environment, and reads the messages itself. When it ends and has read something
/// it is started again for what is left; when it has read nothing, after a pause that doubles up to ten
/// minutes. Where the watch is ended, so is the command with all that it started.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad watch
  postroad watch --ack --json | while read -r message; do …; done
  postroad --creds bob.creds watch --exec claude -p 'You have mail: use check_messages.'
  postroad --creds bob.creds watch --exec sh -c 'echo \"$POSTROAD_UNREAD unread\" | wall'")]
#[expect(
    clippy::doc_markdown,
    reason = "these sentences are what --help prints"
)]
pub(crate) struct WatchArgs {
    /// Mark each message as read after it was printed
    #[arg(long)]
    ack: bool,
    /// Start this command when mail waits; the last option, since all that follows is the command's. No
    /// shell reads it
    #[arg(
        long,
        value_name = "CMD",
        num_args = 1..,
        allow_hyphen_values = true,
        conflicts_with = "ack"
    )]
    exec: Vec<OsString>,
    /// How long a command that read nothing is not started again, at first
    #[arg(long, value_name = "DURATION", default_value = "5s", requires = "exec", value_parser = time::timeout)]
    pause: Duration,
}

/// Messages that are marked together where many are there at once.
const MARKED_TOGETHER: usize = 100;

pub(crate) async fn check(session: &Session, args: CheckArgs) -> Result<(), Failure> {
    let mut check = Check::default()
        .limit(args.limit)
        .wait(args.wait.unwrap_or_default());
    if let Some(cursor) = &args.cursor {
        check = check.after(cursor.clone());
    }
    let answer = session.agent().await?.check(&check).await?;
    session.out.show(&answer, |style| {
        shown::messages(style, &answer.messages, TimeMs::now())
    })?;
    let unread = shown::unread(answer.unread_total, answer.highest_priority);
    if answer.messages.is_empty() {
        session.out.note(&match answer.unread_total {
            0 => "no unread messages".to_owned(),
            _ => format!("nothing more behind this cursor; {unread} in all"),
        });
    } else {
        session.out.note(&format!(
            "\n{unread}; `postroad read RECEIPT…` marks them as read"
        ));
    }
    if let (true, Some(cursor)) = (answer.truncated, &answer.next_cursor) {
        let cursor = one_line(cursor);
        session
            .out
            .note(&format!("more: postroad check --cursor {cursor}"));
    }
    if let Some(tasks) = answer.tasks.as_ref().and_then(shown::tasks) {
        session
            .out
            .note(&format!("{tasks}: postroad task list --mine"));
    }
    if answer.stale {
        session.out.note(STALE);
    }
    Ok(())
}

/// What is said where a shard is damaged.
pub(crate) const STALE: &str = "\
note: the log is damaged; what is shown is right, but may not be all. `postroad status` tells more.";

/// Answer of `read`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadDocument<'a> {
    marked: &'a [String],
    already_read: &'a [String],
    not_found: &'a [String],
}

pub(crate) async fn read(session: &Session, args: ReadArgs) -> Result<(), Failure> {
    if args.receipts.is_empty() && args.messages.is_empty() {
        return Err(Failure::usage(
            "receipt",
            "nothing is named to mark as read",
            "`postroad check` shows your unread messages and their receipts; \
             then `postroad read RECEIPT…` marks them",
        ));
    }
    let client = session.agent().await?;
    let mut marked = client.mark_as_read(args.receipts).await?;
    let by_message = client.mark_messages_as_read(args.messages).await?;
    marked.marked.extend(by_message.marked);
    marked.already_read.extend(by_message.already_read);
    marked.not_found.extend(by_message.not_found);
    let document = ReadDocument {
        marked: &marked.marked,
        already_read: &marked.already_read,
        not_found: &marked.not_found,
    };
    session.out.show(&document, |_| told(&marked))?;
    if marked.not_found.is_empty() {
        return Ok(());
    }
    for id in &marked.not_found {
        session.out.note(&format!("not found: {}", one_line(id)));
    }
    Err(Failure::Shown(ErrorCode::NotFound))
}

fn told(marked: &Marked) -> String {
    let counts = [
        (marked.marked.len(), "marked as read"),
        (marked.already_read.len(), "already read"),
        (marked.not_found.len(), "not found"),
    ];
    let told = counts.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    told.join(", ")
}

pub(crate) async fn watch(session: &Session, args: WatchArgs) -> Result<(), Failure> {
    // Installed first: a signal while connecting must end the command as well.
    let mut stop = StopSignal::listen()?;
    let client = session.agent().await?;
    if !args.exec.is_empty() {
        return wake::watch(session, &client, &args.exec, args.pause, &mut stop).await;
    }
    let presence = client.keep_present()?;
    let mail = client.subscribe().await?;
    session.out.note("watching; ctrl-c ends it");
    let ended = tokio::select! {
        ended = follow(session, &client, mail, args.ack) => ended,
        () = stop.asked() => Ok(()),
    };
    presence.leave().await;
    ended
}

async fn follow(
    session: &Session,
    client: &Client,
    mail: Subscription,
    ack: bool,
) -> Result<(), Failure> {
    let mut mail = mail.ready_chunks(MARKED_TOGETHER);
    while let Some(chunk) = mail.next().await {
        let mut printed = Vec::new();
        let mut ended: Result<(), Failure> = Ok(());
        for message in chunk {
            match message {
                Ok(message) => {
                    show_one(session, &message)?;
                    printed.extend(message.receipt_id);
                }
                Err(error) => ended = Err(error.into()),
            }
        }
        if ack {
            mark(client, &printed).await?;
        }
        ended?;
    }
    Ok(())
}

/// Marks for as long as that takes, since the stream of mail outlives an outage, too; marking again is
/// harmless.
async fn mark(client: &Client, receipts: &[String]) -> Result<(), Failure> {
    loop {
        let Err(error) = client.mark_as_read(receipts.iter().cloned()).await else {
            return Ok(());
        };
        let Advice::Retry { after } = error.advice() else {
            return Err(error.into());
        };
        tokio::time::sleep(after).await;
    }
}

fn show_one(session: &Session, message: &Message) -> Result<(), Failure> {
    session.out.show(message, |style| {
        shown::message(style, message, TimeMs::now())
    })?;
    if session.out.is_json() {
        return Ok(());
    }
    print("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_only_what_there_is() {
        let mut marked = Marked {
            marked: vec!["a".to_owned(), "b".to_owned()],
            ..Marked::default()
        };
        assert_eq!(told(&marked), "2 marked as read");
        marked.not_found.push("c".to_owned());
        assert_eq!(told(&marked), "2 marked as read, 1 not found");
    }
}
