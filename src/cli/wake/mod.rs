//! `watch --exec`: starts a command when mail waits, for an agent that is not running.
//!
//! Owns when the command is started and when not yet. Never polls: what waits is told by a subscription.
//! Never reads a message to the command, marks one, or runs two commands at once.

mod backoff;
mod child;

use self::backoff::Backoff;
use self::child::Child;
use super::failure::Failure;
use super::session::Session;
use super::text::{count, typed};
use crate::stop::StopSignal;
use postroad_client::{Advice, Check, Client, Presence, Subscription};
use postroad_protocol::TimeMs;
use postroad_protocol::event::Priority;
use postroad_protocol::query::Messages;
use std::collections::HashSet;
use std::ffi::OsString;
use std::time::Duration;

/// Variable of the command that tells it, and what it starts of Postroad, that it was woken: when, in
/// milliseconds since 1970.
pub(crate) const WAKE: &str = "POSTROAD_WAKE";
/// Unread messages that are looked at: the oldest. The command is told their ids.
const LOOKED_AT: u32 = 100;

/// Starts `command` whenever mail waits, until `stop` is asked for.
pub(crate) async fn watch(
    session: &Session,
    client: &Client,
    command: &[OsString],
    pause: Duration,
    stop: &mut StopSignal,
) -> Result<(), Failure> {
    let mut watcher = Watcher {
        session,
        client,
        command,
        presence: client.keep_watch()?,
        mail: client.subscribe().await?,
        backoff: Backoff::new(pause),
        known: Vec::new(),
        child: None,
    };
    session.out.note("watching; ctrl-c ends it");
    let ended = tokio::select! {
        ended = watcher.rounds() => ended,
        () = stop.asked() => Ok(()),
    };
    if let Some(child) = watcher.child.take() {
        child.stop().await;
    }
    watcher.presence.leave().await;
    ended
}

struct Watcher<'a> {
    session: &'a Session,
    client: &'a Client,
    command: &'a [OsString],
    presence: Presence,
    mail: Subscription,
    backoff: Backoff,
    /// What was unread at the last look. The oldest unread messages: one of them that is no longer among the
    /// oldest has been read.
    known: Vec<String>,
    /// The command, while it runs. Here and not in the round, which is dropped when the watch ends.
    child: Option<Child>,
}

impl Watcher<'_> {
    /// One command after the other, for as long as there is mail to come.
    async fn rounds(&mut self) -> Result<(), Failure> {
        loop {
            // Whoever read it, and be it while the command did not run.
            let (waiting, was_read) = self.look().await?;
            if was_read {
                self.backoff.reset();
            }
            if waiting.ids.is_empty() {
                match self.mail.next().await {
                    Some(message) => message?,
                    None => return Ok(()),
                };
                continue;
            }
            self.run(&waiting).await?;
            let (_, was_read) = self.look().await?;
            if was_read {
                self.presence.wake_confirmed();
                self.backoff.reset();
                continue;
            }
            let pause = self.backoff.pause();
            let command = typed(self.command.iter().map(OsString::as_os_str));
            self.session.out.note(&format!(
                "{command} has read nothing; not started again for {pause:?}"
            ));
            tokio::time::sleep(pause).await;
        }
    }

    /// Starts the command and waits for its end.
    async fn run(&mut self, waiting: &Waiting) -> Result<(), Failure> {
        let unread = count(waiting.unread, "unread message");
        let variables = waiting.variables(TimeMs::now());
        self.presence.wake_asked();
        let child = Child::start(self.command, &variables)?;
        self.session
            .out
            .note(&format!("{unread}: started process {}", child.pid()));
        let ended = self.child.insert(child).ended().await;
        self.child = None;
        self.session.out.note(&format!("it ended: {}", ended?));
        Ok(())
    }

    /// What is unread now, and whether something was read since the last look.
    async fn look(&mut self) -> Result<(Waiting, bool), Failure> {
        let now = self.waiting().await?;
        let before = std::mem::replace(&mut self.known, now.ids.clone());
        let was_read = before.iter().any(|id| !now.ids.contains(id));
        Ok((now, was_read))
    }

    /// What is unread now, for as long as asking takes: the watch outlives an outage.
    async fn waiting(&self) -> Result<Waiting, Failure> {
        let check = Check::default().limit(LOOKED_AT);
        loop {
            let error = match self.client.check(&check).await {
                Ok(answer) => return Ok(Waiting::of(&answer)),
                Err(error) => error,
            };
            let Advice::Retry { after } = error.advice() else {
                return Err(error.into());
            };
            tokio::time::sleep(after).await;
        }
    }
}

/// Mail that waits.
#[derive(Debug, Default, PartialEq, Eq)]
struct Waiting {
    /// How many are unread in all.
    unread: u64,
    /// The oldest, oldest first.
    ids: Vec<String>,
    /// The highest priority among all of those that are unread.
    priority: Priority,
}

impl Waiting {
    fn of(answer: &Messages) -> Self {
        let mut seen = HashSet::new();
        let ids = answer
            .messages
            .iter()
            .map(|message| message.message_id.to_string());
        Self {
            unread: answer.unread_total,
            ids: ids.filter(|id| seen.insert(id.clone())).collect(),
            priority: answer.highest_priority.unwrap_or_default(),
        }
    }

    /// What the command is told: numbers, a priority and ids, and nothing that a sender wrote.
    fn variables(&self, now: TimeMs) -> [(&'static str, String); 4] {
        [
            ("POSTROAD_UNREAD", self.unread.to_string()),
            ("POSTROAD_HIGHEST_PRIORITY", self.priority.word().to_owned()),
            ("POSTROAD_MESSAGE_IDS", self.ids.join(",")),
            (WAKE, now.0.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_numbers_and_ids_and_nothing_that_a_sender_wrote() {
        let waiting = Waiting {
            unread: 7,
            ids: vec!["a".to_owned(), "b".to_owned()],
            priority: Priority::High,
        };
        let variables = waiting.variables(TimeMs(1_711_670_400_000));
        let told = variables.map(|(name, value)| format!("{name}={value}"));
        let expected = [
            "POSTROAD_UNREAD=7",
            "POSTROAD_HIGHEST_PRIORITY=high",
            "POSTROAD_MESSAGE_IDS=a,b",
            "POSTROAD_WAKE=1711670400000",
        ];
        assert_eq!(told, expected);
    }
}
