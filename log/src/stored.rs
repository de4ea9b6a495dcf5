//! One event as it lies in a shard's stream, before its seal is opened.

use bytes::Bytes;
use postroad_protocol::envelope::{Head, Unreadable};
use postroad_protocol::id::TimeMs;
use postroad_protocol::position::Position;

/// A message read from a shard.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Where it is stored.
    pub subject: String,
    /// Its headers, when they are ours.
    pub head: Result<Head, Unreadable>,
    /// The sealed payload.
    pub payload: Bytes,
    /// When the stream stored it, by the server's clock.
    pub stored_at: TimeMs,
}

impl StoredEvent {
    pub(crate) fn new(
        sequence: u64,
        subject: &str,
        headers: Option<&async_nats::HeaderMap>,
        payload: Bytes,
        stored_at_ns: i128,
    ) -> Self {
        let head = Head::read(|name| headers?.get(name).map(async_nats::HeaderValue::as_str));
        Self {
            sequence,
            subject: subject.to_owned(),
            head,
            payload,
            stored_at: TimeMs(u64::try_from(stored_at_ns / 1_000_000).unwrap_or(0)),
        }
    }

    /// What identifies this event at its place: the payload's seal binds the headers.
    pub fn digest(&self) -> [u8; 16] {
        digest(&self.subject, &self.payload)
    }
}

/// The digest of an event stored under `subject`.
pub fn digest(subject: &str, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(subject.len() as u64).to_be_bytes());
    hasher.update(subject.as_bytes());
    hasher.update(payload);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

/// What must still be in the log for a reader or writer to go on: the last event that it knows.
/// A tail that was cut and filled again passes every check but this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Creation time of the stream, in milliseconds since 1970.
    pub epoch: u64,
    /// The last sequence known; 0 before the first event.
    pub sequence: u64,
    /// Digest of the event at that sequence; zeroes at 0, and where that event was given up.
    pub digest: [u8; 16],
}

impl Anchor {
    /// Before the first event of a stream.
    pub fn start(epoch: u64) -> Self {
        Self {
            epoch,
            sequence: 0,
            digest: [0; 16],
        }
    }

    /// Behind events up to `sequence` that are lost and were given up.
    pub fn given_up(epoch: u64, sequence: u64) -> Self {
        Self {
            epoch,
            sequence,
            digest: [0; 16],
        }
    }

    /// The anchor after `event`.
    pub fn after(epoch: u64, event: &StoredEvent) -> Self {
        Self {
            epoch,
            sequence: event.sequence,
            digest: event.digest(),
        }
    }

    /// The place in shard `shard`.
    pub fn position(&self, shard: u16) -> Position {
        Position {
            shard,
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }
}
