//! The client's end of its connection: is it up, is the credential accepted, whose reply is this?
//!
//! Owns the connection's state and the table of questions that wait for an answer. Never publishes.

use async_nats::{ClientError, ConnectErrorKind, Event, Message, ServerError, StatusCode};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// How long a credential is refused before whoever asks is told so.
const REFUSED_PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause between two attempts to restore a connection.
const RESTORE_PAUSE_MAX: Duration = Duration::from_secs(4);
/// Replies that one question keeps. It needs one; a few more arrive when it was asked repeatedly.
const REPLIES_KEPT: usize = 8;

/// What came back for a question.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A service's answer.
    Answer(Message),
    /// Nobody serves the subject now.
    NobodyThere,
    /// The nats-server does not let this credential ask it.
    Denied,
}

/// Shared by the connection's event callback, the reader of replies and everyone who asks.
#[derive(Debug)]
pub(crate) struct Link {
    /// How often the connection has come up. What was asked before the last time may be lost.
    connects: watch::Sender<u64>,
    /// Since when the credential is refused, if it is.
    refused: watch::Sender<Option<Instant>>,
    closed: AtomicBool,
    given_up: AtomicBool,
    next_token: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    subject: Box<str>,
    replies: VecDeque<Heard>,
    rung: Arc<Notify>,
}

impl Waiting {
    fn hear(&mut self, heard: Heard) {
        // A full queue already holds an answer.
        if self.replies.len() < REPLIES_KEPT {
            self.replies.push_back(heard);
            self.rung.notify_one();
        }
    }
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            connects: watch::Sender::new(0),
            refused: watch::Sender::new(None),
            closed: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            next_token: AtomicU64::new(1),
            waiting: Mutex::default(),
        }
    }

    /// Watches how often the connection has come up.
    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// Whether the last attempt to connect was refused for the credential's sake.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.borrow().is_some()
    }

    /// Waits until the credential is refused, for whatever time.
    pub(crate) async fn refused(&self) {
        let mut refused = self.refused.subscribe();
        // The sender lives as long as this.
        let _ = refused.wait_for(Option::is_some).await;
    }

    /// Waits until the credential has been refused for so long that this is no restart of a server, nor
    /// a moment between two credentials: only another one will help.
    pub(crate) async fn stays_refused(&self) {
        let mut refused = self.refused.subscribe();
        loop {
            let since = *refused.borrow_and_update();
            let lasting = async {
                match since {
                    Some(since) => sleep_until(since + REFUSED_PATIENCE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = lasting => return,
                // The sender lives as long as this.
                _ = refused.changed() => {}
            }
        }
    }

    /// Has the connection not be restored any more: nobody is left who would use it.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// How long to wait before the next attempt to restore the connection: at once, then a few milliseconds,
    /// four seconds at most.
    ///
    /// Where it was given up this ends the task that restores it, by unwinding it without a word: the library
    /// (async-nats 0.51) tries for ever and looks at nothing else meanwhile, so a client whose credential was
    /// revoked could not be closed at all.
    pub(crate) fn restore_pause(&self, attempts: usize) -> Duration {
        if self.given_up.load(Ordering::Relaxed) {
            self.note_closed();
            std::panic::resume_unwind(Box::new("this connection was given up"));
        }
        match attempts {
            0 | 1 => Duration::ZERO,
            more => RESTORE_PAUSE_MAX.min(Duration::from_millis(1 << more.min(12))),
        }
    }

    /// Whether the connection was closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Takes what the connection reports about itself.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.refused.send_replace(None);
                self.connects.send_modify(|count| *count += 1);
            }
            Event::Closed => self.note_closed(),
            Event::ServerError(ServerError::AuthorizationViolation) => self.note_refused(),
            Event::ServerError(ServerError::Other(text)) => self.note_server_error(text),
            // A failed reconnect is reported by the text of its kind, which has no other form.
            Event::ClientError(ClientError::Other(text))
                if *text == ConnectErrorKind::AuthorizationViolation.to_string() =>
            {
                self.note_refused();
            }
            _ => {}
        }
    }

    fn note_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for question in self.waiting().values() {
            question.rung.notify_one();
        }
    }

    fn note_refused(&self) {
        self.refused.send_if_modified(|since| {
            let is_first = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_first
        });
    }

    fn note_server_error(&self, text: &str) {
        if let Some(subject) = denied_publish(text) {
            let mut waiting = self.waiting();
            let asked = waiting.values_mut();
            for question in asked.filter(|asked| *asked.subject == *subject) {
                question.hear(Heard::Denied);
            }
            return;
        }
        let text = text.to_ascii_lowercase();
        if text.contains("authentication revoked") || text.contains("authentication expired") {
            self.note_refused();
        }
    }

    /// Begins to wait for replies to a question about to be asked at `subject`.
    pub(crate) fn open(self: &Arc<Self>, subject: &str) -> Question {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let rung = Arc::new(Notify::new());
        let waiting = Waiting {
            subject: subject.into(),
            replies: VecDeque::new(),
            rung: rung.clone(),
        };
        self.waiting().insert(token, waiting);
        Question {
            link: self.clone(),
            token,
            rung,
        }
    }

    /// Hands a message that reached the client's inbox to the question with this token. A reply to
    /// a question that nobody asks any more is dropped.
    pub(crate) fn deliver(&self, token: &str, message: Message) {
        let Ok(token) = token.parse() else { return };
        let heard = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Heard::NobodyThere,
            _ => Heard::Answer(message),
        };
        if let Some(question) = self.waiting().get_mut(&token) {
            question.hear(heard);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        // Each change to the table is one insertion or removal, so a panic leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that waits for its answer; it waits no longer than it lives.
#[derive(Debug)]
pub(crate) struct Question {
    link: Arc<Link>,
    token: u64,
    rung: Arc<Notify>,
}

impl Question {
    /// The last token of the subject to be answered at.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// The next reply; none when there is none left and the connection is closed.
    pub(crate) async fn heard(&mut self) -> Option<Heard> {
        loop {
            let closed = self.link.is_closed();
            let next = self
                .link
                .waiting()
                .get_mut(&self.token)
                .and_then(|asked| asked.replies.pop_front());
            if next.is_some() || closed {
                return next;
            }
            // A ring that came in between is kept.
            self.rung.notified().await;
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.link.waiting().remove(&self.token);
    }
}

/// The subject in `Permissions Violation for Publish to "…"`.
fn denied_publish(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Permissions Violation for Publish to \"")?;
    rest.split_once('"').map(|(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: Option<StatusCode>) -> Message {
        Message {
            subject: "x".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: None,
            status,
            description: None,
            length: 0,
        }
    }

    #[tokio::test]
    async fn a_reply_reaches_its_question_and_no_other() {
        let link = Arc::new(Link::new());
        let (mut first, mut second) = (link.open("a"), link.open("b"));
        link.deliver(&first.token().to_string(), message(None));
        link.deliver(
            &second.token().to_string(),
            message(Some(StatusCode::NO_RESPONDERS)),
        );
        link.deliver("nonsense", message(None));
        assert!(matches!(first.heard().await, Some(Heard::Answer(_))));
        assert!(matches!(second.heard().await, Some(Heard::NobodyThere)));
    }

    #[tokio::test]
    async fn a_denied_subject_ends_its_questions_at_once() {
        let link = Arc::new(Link::new());
        let (mut denied, mut other) = (link.open("road.acme.cmd.x"), link.open("road.acme.qry.x"));
        let text = "Permissions Violation for Publish to \"road.acme.cmd.x\"".to_owned();
        link.note(&Event::ServerError(ServerError::Other(text)));
        assert!(matches!(denied.heard().await, Some(Heard::Denied)));
        link.deliver(&other.token().to_string(), message(None));
        assert!(matches!(other.heard().await, Some(Heard::Answer(_))));
    }

    #[tokio::test]
    async fn every_reply_is_kept_up_to_a_bound_and_closing_ends_the_wait() {
        let link = Arc::new(Link::new());
        let mut question = link.open("a");
        for _ in 0..REPLIES_KEPT + 5 {
            link.deliver(&question.token().to_string(), message(None));
        }
        for _ in 1..REPLIES_KEPT {
            assert!(matches!(question.heard().await, Some(Heard::Answer(_))));
        }
        let mut other = link.open("b");
        let waits = tokio::spawn(async move { other.heard().await.is_none() });
        tokio::task::yield_now().await;
        link.note(&Event::Closed);
        assert!(waits.await.unwrap(), "it is closed");
        assert!(matches!(question.heard().await, Some(Heard::Answer(_))));
        assert!(question.heard().await.is_none(), "no reply is left");
    }

    #[tokio::test]
    async fn a_connection_that_was_given_up_is_restored_no_more() {
        let link = Arc::new(Link::new());
        let pauses = [0, 1, 2, 3, 12, 13, 1_000].map(|attempts| link.restore_pause(attempts));
        assert_eq!(
            pauses.map(|pause| pause.as_millis()),
            [0, 0, 4, 8, 4_000, 4_000, 4_000]
        );
        link.give_up();
        let restoring = tokio::spawn(async move { link.restore_pause(1) });
        assert!(restoring.await.unwrap_err().is_panic());
    }

    #[test]
    fn questions_are_forgotten_when_nobody_waits() {
        let link = Arc::new(Link::new());
        drop((0..100).map(|_| link.open("a")).collect::<Vec<_>>());
        assert!(link.waiting().is_empty());
    }

    #[test]
    fn a_revoked_credential_is_noticed_and_a_new_connection_clears_it() {
        let link = Link::new();
        for text in ["User Authentication Revoked", "User Authentication Expired"] {
            link.note(&Event::ServerError(ServerError::Other(text.to_owned())));
            assert!(link.is_refused(), "{text}");
            link.note(&Event::Connected);
            assert!(!link.is_refused());
        }
        link.note(&Event::ClientError(ClientError::Other(
            ConnectErrorKind::AuthorizationViolation.to_string(),
        )));
        assert!(link.is_refused());
    }
}
