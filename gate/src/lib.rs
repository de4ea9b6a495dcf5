//! How requests of agents come in. nats-server checks neither the bytes of a subject nor those of headers, and passes
//! on what it is given; a client library that cannot read a message may give up its whole connection, and with it
//! everybody else's requests. A gate is a connection that only receives, takes of a message no more than a request
//! needs, and passes over what cannot be read. For the subjects that agents may publish to, and for no other.
//!
//! | module | owns |
//! |---|---|
//! | `parser` | bytes → operations; what of them an agent may have chosen |
//! | `link` | one attempt to connect: TLS, the credential's signature |
//! | `keeper` | the task that keeps a connection for ever, and its subscriptions |
//! | `source` | what is the same for a gate and a client of the library |
//!
//! Absent on purpose: publishing, and every header but `traceparent`.

mod keeper;
mod link;
mod parser;
mod source;

pub use link::{GateError, GateOptions};
pub use source::{Ground, Source};

use crate::keeper::{Command, Keeper, Shared, Subscribed};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Messages that one subscription keeps for whoever reads it. What comes on top is dropped, and asked again.
const CAPACITY: usize = 16 * 1024;
/// Bytes of bodies that it keeps, likewise.
const CAPACITY_BYTES: usize = 128 * 1024 * 1024;
/// How long the server may take to have a subscription.
const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// A request, or a heartbeat, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Where it was published: text without white space and control characters.
    pub subject: String,
    /// Where the answer is wanted, likewise.
    pub reply: Option<String>,
    /// The body.
    pub payload: Bytes,
    /// What a well-formed header says, if there is one: printable ASCII.
    pub traceparent: Option<String>,
}

/// A connection that only receives, and comes back by itself. Cheap to clone; it ends with the last clone and the
/// last subscription.
#[derive(Clone, Debug)]
pub struct Gate {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

impl Gate {
    /// Connects; the first of the servers that takes it.
    ///
    /// # Errors
    /// [`GateError`] of the last server that was tried. Once connected, it tries for ever.
    pub async fn connect(options: GateOptions) -> Result<Self, GateError> {
        let (commands, given) = mpsc::unbounded_channel();
        let shared = Arc::<Shared>::default();
        let keeper = Keeper::connect(options, Arc::clone(&shared), given).await?;
        tokio::spawn(keeper);
        Ok(Self { commands, shared })
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Messages passed over since the start because their subject or reply-to is no text, or they are too large.
    pub fn unreadable(&self) -> u64 {
        self.shared.unreadable.load(Ordering::Relaxed)
    }

    /// Subscribes, as one of `group` if there is one, and again whenever the connection comes back. [`Gate::flush`]
    /// tells when the server has it.
    pub fn subscribe(&self, subject: String, group: Option<String>) -> Subscription {
        let number = self.shared.subscriptions.fetch_add(1, Ordering::Relaxed);
        let (inbox, messages) = mpsc::channel(CAPACITY);
        let subscribed = Subscribed::new(subject, group, inbox);
        let waiting_bytes = Arc::clone(&subscribed.waiting_bytes);
        // Nobody takes commands only after a panic; the subscription then ends at once.
        let _ended = self.commands.send(Command::Subscribe(number, subscribed));
        Subscription {
            number,
            messages,
            waiting_bytes,
            commands: self.commands.clone(),
            draining: false,
        }
    }

    /// Waits until the server has taken everything that it was told before.
    ///
    /// # Errors
    /// [`GateError::TimedOut`].
    pub async fn flush(&self) -> Result<(), GateError> {
        let (done, settled) = oneshot::channel();
        let _ended = self.commands.send(Command::Flush(done));
        match tokio::time::timeout(SETTLE_WAIT, settled).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(GateError::TimedOut),
        }
    }
}

/// What arrives for one subject. Dropped, it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    number: u64,
    messages: mpsc::Receiver<Incoming>,
    /// Bytes of the bodies in `messages`.
    waiting_bytes: Arc<std::sync::atomic::AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    draining: bool,
}

impl Subscription {
    /// The next message; none once it is drained and everything before was taken. Nothing is lost where this is given
    /// up.
    pub async fn next(&mut self) -> Option<Incoming> {
        let message = self.messages.recv().await?;
        self.waiting_bytes
            .fetch_sub(message.payload.len(), Ordering::Relaxed);
        Some(message)
    }

    /// Asks the server for no more. What it has sent before still comes, then the end.
    pub fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            let _ended = self.commands.send(Command::Drain(self.number));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.drain();
    }
}
