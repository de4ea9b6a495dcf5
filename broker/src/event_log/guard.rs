//! Watches that the stream is still the log that this broker wrote to. After every (re)connect the
//! last event that it knows must still be there: a tail that was cut and filled again passes every
//! other check. Never writes.

use async_nats::Statistics;
use bytes::Bytes;
use postroad_log::{Anchor, LogError, Shard, Unreachable, digest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long one look may take. Everything of the shard waits for it, and after a reconnect that does
/// not last each of its questions would wait for an answer that cannot come.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// The last event known of one shard, and the connection on which it was last found in place.
#[derive(Debug)]
pub(super) struct Guard {
    shard: Shard,
    connection: Arc<Statistics>,
    last: Last,
    verified: u64,
}

#[derive(Debug)]
enum Last {
    /// What lay at the end when this broker started.
    Found(Anchor),
    /// What this broker appended; its digest is only taken when it is needed.
    Appended {
        sequence: u64,
        subject: String,
        payload: Bytes,
    },
}

impl Guard {
    /// Takes the end of the shard as it is now for what has to stay.
    pub(super) async fn open(shard: Shard) -> Result<Self, Unreachable> {
        let connection = shard.context().client().statistics();
        let verified = connection.connects.load(Ordering::Relaxed);
        let extent = shard.extent().await?;
        let anchor = match extent.last {
            0 => Anchor::start(shard.epoch()),
            last => match shard.get(last).await? {
                Some(event) => Anchor::after(shard.epoch(), &event),
                // Damage at the very end is the projector's to report; new events go behind it.
                None => Anchor::given_up(shard.epoch(), last),
            },
        };
        Ok(Self {
            shard,
            connection,
            last: Last::Found(anchor),
            verified,
        })
    }

    /// Remembers an event that was just acknowledged as new.
    pub(super) fn note(&mut self, sequence: u64, subject: &str, payload: &Bytes) {
        if sequence > self.sequence() {
            self.last = Last::Appended {
                sequence,
                subject: subject.to_owned(),
                payload: payload.clone(),
            };
        }
    }

    /// Whether the connection is still the one on which the log was verified.
    pub(super) fn is_current(&self) -> bool {
        self.connects() == self.verified
    }

    /// The connection on which the log was verified.
    pub(super) fn verified(&self) -> u64 {
        self.verified
    }

    /// Looks whether the last event known is still in its place; not for longer than a moment.
    ///
    /// # Errors
    /// [`LogError`].
    pub(super) async fn verify(&mut self) -> Result<(), LogError> {
        let (connects, anchor) = (self.connects(), self.anchor());
        let look = tokio::time::timeout(LOOK_WAIT, self.shard.verify(&anchor)).await;
        look.map_err(Unreachable::at("looking whether the log is in place"))??;
        self.verified = connects;
        Ok(())
    }

    /// How often the client has connected: another number is another connection.
    fn connects(&self) -> u64 {
        self.connection.connects.load(Ordering::Relaxed)
    }

    fn sequence(&self) -> u64 {
        match &self.last {
            Last::Found(anchor) => anchor.sequence,
            Last::Appended { sequence, .. } => *sequence,
        }
    }

    fn anchor(&self) -> Anchor {
        match &self.last {
            Last::Found(anchor) => *anchor,
            Last::Appended {
                sequence,
                subject,
                payload,
            } => Anchor {
                epoch: self.shard.epoch(),
                sequence: *sequence,
                digest: digest(subject, payload),
            },
        }
    }
}
