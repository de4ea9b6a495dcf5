//! One question, one answer: asks again under the same id until it is answered or time is up.
//!
//! Owns publishing questions, the inbox that answers come to, and what may be concluded when none
//! comes. Never looks into a question.

use crate::error::ClientError;
use crate::link::{Heard, Hold, Link, Question};
use crate::retry::Backoff;
use crate::trace;
use crate::wallet::Wallet;
use async_nats::connection::State;
use async_nats::{Message, PublishErrorKind, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use postroad_protocol::body::{self, Encoding};
use postroad_protocol::limits::MAX_PAYLOAD_BYTES;
use postroad_protocol::{CommandId, ErrorCode, Refusal};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Silence after which a question is asked again; doubles each time. The first answer counts,
/// whichever of the askings it belongs to, so asking twice is never wrong, only wasteful.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a connection that is down is looked at.
const DOWN_EVERY: Duration = Duration::from_millis(20);

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Where.
    pub(crate) subject: String,
    /// With which body.
    pub(crate) body: Bytes,
    /// What kind of question it is.
    pub(crate) kind: Asking,
    /// How long to go on, besides what the question itself waits for.
    pub(crate) timeout: Duration,
}

/// What an unanswered question means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asking {
    /// Something may have been stored under this id.
    Command(CommandId),
    /// Nothing has changed. The service itself may wait so long before it answers.
    Query {
        /// How long.
        waits: Duration,
    },
}

/// The connection, and how to ask over it.
#[derive(Debug)]
pub(crate) struct Exchange {
    nats: async_nats::Client,
    link: Arc<Link>,
    inbox: String,
    wallet: Arc<Wallet>,
    servers: String,
    reader: tokio::task::JoinHandle<()>,
    hold: Arc<Hold>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Exchange {
    /// Subscribes to this client's own inbox.
    pub(crate) async fn open(
        nats: async_nats::Client,
        link: Arc<Link>,
        wallet: Arc<Wallet>,
        servers: String,
    ) -> Result<Self, ClientError> {
        let hold = Hold::of(&link);
        // The last token but one is random, so nobody else can guess where answers go.
        let inbox = nats.new_inbox();
        let replies = nats
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|_| ClientError::Closed)?;
        let reader = tokio::spawn(route(replies, link.clone(), inbox.len() + 1));
        Ok(Self {
            nats,
            link,
            inbox,
            wallet,
            servers,
            reader,
            hold,
        })
    }

    /// The connection.
    pub(crate) fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// Keeps the connection for somebody besides the client.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    /// Gives the connection up, also where it is down just now.
    pub(crate) fn leave(&self) {
        self.link.leave();
    }

    /// How the connection is doing.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Asks until there is an answer that settles it.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, ClientError> {
        let started = Instant::now();
        let waits = match ask.kind {
            Asking::Command(_) => Duration::ZERO,
            Asking::Query { waits } => waits,
        };
        let deadline = started + ask.timeout + waits;
        let mut patience = PATIENCE + waits;
        let mut question = self.link.open(&ask.subject);
        let mut connects = self.link.connects();
        let mut trail = Trail::default();
        let mut backoff = Backoff::new();
        let mut next = started + DOWN_EVERY;
        // At once, and not through a timer: the shortest one takes a millisecond or two.
        if self.publish(ask, &question, deadline).await? {
            trail.asked += 1;
            next = Instant::now() + patience;
            patience *= 2;
        }
        loop {
            tokio::select! {
                biased;
                heard = question.heard() => {
                    let taken = match heard {
                        Some(heard) => trail.take(heard, ask),
                        None => Err(self.over()),
                    };
                    let pause_ms = match taken.map_err(|error| trail.blamed(error, ask))? {
                        Settled::Answer(message) => return decode(&message),
                        Settled::Later(pause_ms) => pause_ms,
                    };
                    next = Instant::now() + backoff.pause(pause_ms);
                }
                () = sleep_until(deadline) => {
                    return Err(self.verdict(&trail, ask, started.elapsed()));
                }
                () = self.link.stays_refused() => {
                    return Err(self.verdict(&trail, ask, started.elapsed()));
                }
                // What was asked over the former connection, or its answer, may be lost.
                Ok(()) = connects.changed() => next = Instant::now(),
                () = sleep_until(next) => {
                    let published = self.publish(ask, &question, deadline).await;
                    if published.map_err(|error| trail.blamed(error, ask))? {
                        trail.asked += 1;
                        next = Instant::now() + patience;
                        patience *= 2;
                    } else {
                        next = Instant::now() + DOWN_EVERY;
                    }
                }
            }
        }
    }

    /// Publishes the question; false while the connection is down, so that nothing is left in a
    /// buffer that would still be sent after the caller was told that it was not.
    async fn publish(
        &self,
        ask: &Ask,
        question: &Question,
        deadline: Instant,
    ) -> Result<bool, ClientError> {
        if self.link.is_closed() {
            return Err(self.over());
        }
        if self.nats.connection_state() != State::Connected {
            self.wallet.current().check_alive()?;
            return Ok(false);
        }
        let reply = format!("{}.{}", self.inbox, question.token());
        let (subject, body) = (ask.subject.clone(), ask.body.clone());
        let published = async {
            match trace::headers() {
                None => self.nats.publish_with_reply(subject, reply, body).await,
                Some(headers) => {
                    let traced = self
                        .nats
                        .publish_with_reply_and_headers(subject, reply, headers, body);
                    traced.await
                }
            }
        };
        match timeout_at(deadline, published).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => ClientError::Refused(too_large(&ask.body)),
                PublishErrorKind::Send => ClientError::Closed,
                PublishErrorKind::InvalidSubject => ClientError::BadAnswer {
                    reason: format!("{} cannot be published to", ask.subject),
                },
            }),
            // The queue to the server stayed full until the deadline: nothing was sent.
            Err(_) => Ok(false),
        }
    }

    /// Why the connection is over.
    fn over(&self) -> ClientError {
        if self.link.is_refused() {
            let (servers, source) = (self.servers.clone(), None);
            return ClientError::Unauthorized { servers, source };
        }
        ClientError::Closed
    }

    fn verdict(&self, trail: &Trail, ask: &Ask, waited: Duration) -> ClientError {
        if let Some(unknown) = trail.unknown(ask) {
            return unknown;
        }
        if self.link.is_refused() {
            let (servers, source) = (self.servers.clone(), None);
            return ClientError::Unauthorized { servers, source };
        }
        if self.nats.connection_state() != State::Connected {
            let (servers, source) = (self.servers.clone(), None);
            return ClientError::Unreachable { servers, source };
        }
        match &trail.refusal {
            Some(refusal) => ClientError::Refused(refusal.clone()),
            None => ClientError::NoAnswer { waited },
        }
    }
}

/// Hands every reply to its question, for as long as the connection lives.
async fn route(mut replies: Subscriber, link: Arc<Link>, prefix: usize) {
    while let Some(message) = replies.next().await {
        let subject = message.subject.clone();
        if let Some(token) = subject.as_str().get(prefix..) {
            link.deliver(token, message);
        }
    }
}

/// What has happened to a question so far.
#[derive(Debug, Default)]
struct Trail {
    /// How often it was asked.
    asked: u32,
    /// How many askings are known to have changed nothing.
    without_effect: u32,
    /// The last refusal that a later asking may not meet.
    refusal: Option<Refusal>,
}

enum Settled {
    /// A service has spoken.
    Answer(Message),
    /// Ask again, not before so many milliseconds.
    Later(Option<u64>),
}

impl Trail {
    /// Whether every asking is known to have changed nothing.
    fn nothing_changed(&self) -> bool {
        self.without_effect >= self.asked
    }

    /// That something may have been stored, where it may.
    fn unknown(&self, ask: &Ask) -> Option<ClientError> {
        match ask.kind {
            Asking::Command(id) if !self.nothing_changed() => {
                Some(ClientError::OutcomeUnknown { id })
            }
            _ => None,
        }
    }

    /// What to tell of `error`, which ends the asking. A service's own word settles a question; that
    /// the connection or the credential has ended since does not say what became of it.
    fn blamed(&self, error: ClientError, ask: &Ask) -> ClientError {
        match error {
            ClientError::Closed | ClientError::Unauthorized { .. } | ClientError::Credential(_) => {
                self.unknown(ask).unwrap_or(error)
            }
            error => error,
        }
    }

    fn take(&mut self, heard: Heard, ask: &Ask) -> Result<Settled, ClientError> {
        match heard {
            Heard::Denied => Err(ClientError::Refused(denied())),
            Heard::NobodyThere => {
                let who = match ask.kind {
                    Asking::Command(_) => "no broker is there to take commands",
                    Asking::Query { .. } => "no projector is there to answer questions",
                };
                Ok(self.later(Refusal::unavailable(who)))
            }
            Heard::Answer(message) => match refusal_of(&message) {
                Some(refusal) if refusal.code.is_retryable() => Ok(self.later(refusal)),
                _ => Ok(Settled::Answer(message)),
            },
        }
    }

    fn later(&mut self, refusal: Refusal) -> Settled {
        if refusal.code != ErrorCode::OutcomeUnknown {
            self.without_effect += 1;
        }
        let pause_ms = refusal.retry_after_ms;
        self.refusal = Some(refusal);
        Settled::Later(pause_ms)
    }
}

fn is_refusal(message: &Message) -> bool {
    message
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get(body::ERROR_CODE_HEADER).is_some())
}

/// The refusal that a message carries, when it can be read.
fn refusal_of(message: &Message) -> Option<Refusal> {
    if !is_refusal(message) {
        return None;
    }
    body::decode_answer::<()>(Encoding::of(&message.payload), &message.payload, true).err()
}

fn decode<T: DeserializeOwned>(message: &Message) -> Result<T, ClientError> {
    let encoding = Encoding::of(&message.payload);
    body::decode_answer(encoding, &message.payload, is_refusal(message))
        .map_err(ClientError::Refused)
}

fn denied() -> Refusal {
    Refusal::new(
        ErrorCode::PermissionDenied,
        "the nats-server does not let this credential ask this",
        "have a credential issued with the scope that subjects.md names for it",
    )
}

fn too_large(body: &Bytes) -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        format!(
            "the request has {} bytes; {MAX_PAYLOAD_BYTES} is what NATS carries",
            body.len()
        ),
        "send less at once",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: Asking) -> Ask {
        Ask {
            subject: "s".to_owned(),
            body: Bytes::new(),
            kind,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_connection_that_ends_does_not_hide_that_a_command_may_be_stored() {
        let id = CommandId::generate();
        let (command, waits) = (ask(Asking::Command(id)), Duration::ZERO);
        let mut trail = Trail::default();
        let never_asked = trail.blamed(ClientError::Closed, &command);
        assert!(matches!(never_asked, ClientError::Closed));
        trail.asked = 1;
        let asked = trail.blamed(ClientError::Closed, &command);
        assert!(matches!(asked, ClientError::OutcomeUnknown { id: of } if of == id));
        let refused = trail.blamed(ClientError::Refused(denied()), &command);
        assert!(matches!(refused, ClientError::Refused(_)));
        let query = trail.blamed(ClientError::Closed, &ask(Asking::Query { waits }));
        assert!(matches!(query, ClientError::Closed));
        trail.without_effect = 1;
        let without_effect = trail.blamed(ClientError::Closed, &command);
        assert!(matches!(without_effect, ClientError::Closed));
    }
}
