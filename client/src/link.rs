//! The client's end of its connection: is it up, is the credential accepted, whose reply is this?
//!
//! Owns the connection's state and the table of questions that wait for an answer. Never publishes.

use async_nats::{ClientError, ConnectErrorKind, Event, Message, ServerError, StatusCode};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// How long a credential is refused before whoever asks is told so.
const REFUSED_PATIENCE: Duration = Duration::from_secs(2);
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
    /// How far it is known that the credential has ended.
    ended: AtomicU8,
    /// Whether nobody uses the connection any more.
    left: watch::Sender<bool>,
    closed: AtomicBool,
    next_token: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

/// The server has said that the credential has ended.
const TOLD: u8 = 1;
/// And refused a connection since: there was no other credential by then.
const CONFIRMED: u8 = 2;

/// Held by whoever uses the connection; it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Link>);

impl Hold {
    pub(crate) fn of(link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(link)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leave();
    }
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
            ended: AtomicU8::new(0),
            left: watch::Sender::new(false),
            closed: AtomicBool::new(false),
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

    /// Whether the server has said that the credential has ended, and has not taken another one since.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) == CONFIRMED
    }

    /// Nobody uses the connection any more.
    pub(crate) fn leave(&self) {
        self.left.send_replace(true);
    }

    /// Whether nobody does.
    pub(crate) fn is_left(&self) -> bool {
        *self.left.borrow()
    }

    /// Waits until nobody does.
    pub(crate) async fn left(&self) {
        // The sender lives as long as this.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
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

    /// Whether the connection was closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Takes what the connection reports about itself.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.refused.send_replace(None);
                self.ended.store(0, Ordering::Relaxed);
                self.connects.send_modify(|count| *count += 1);
            }
            Event::Closed => self.end(),
            Event::ServerError(ServerError::AuthorizationViolation) => self.note_refused(),
            Event::ServerError(ServerError::Other(text)) => self.note_server_error(text),
            // A failed reconnect is reported by the text of its kind, which has no other form.
            Event::ClientError(ClientError::Other(text))
                if *text == ConnectErrorKind::AuthorizationViolation.to_string() =>
            {
                // Only the callback of events changes this.
                if self.ended.load(Ordering::Relaxed) == TOLD {
                    self.ended.store(CONFIRMED, Ordering::Relaxed);
                }
                self.note_refused();
            }
            _ => {}
        }
    }

    /// The connection is over: nobody's question is answered any more.
    pub(crate) fn end(&self) {
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
            self.ended.store(TOLD, Ordering::Relaxed);
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
        link.note(&violation());
        assert!(link.is_refused());
    }

    fn violation() -> Event {
        let text = ConnectErrorKind::AuthorizationViolation.to_string();
        Event::ClientError(ClientError::Other(text))
    }

    #[test]
    fn a_credential_has_ended_when_the_server_said_so_and_takes_no_other() {
        let link = Link::new();
        let told = ServerError::Other("User Authentication Revoked".to_owned());
        // Between two credentials, or after a server came back without its accounts.
        for events in [&[Event::ServerError(told.clone())][..], &[violation()]] {
            for event in events {
                link.note(event);
            }
            assert!(!link.is_ended());
            link.note(&Event::Connected);
        }
        link.note(&violation());
        link.note(&Event::ServerError(told));
        assert!(!link.is_ended());
        link.note(&violation());
        assert!(link.is_ended());
        link.note(&Event::Connected);
        assert!(!link.is_ended());
    }
}
