//! One shard's stream: its incarnation, its end, single events, and whether it still holds what
//! a reader knows. Reads only; the stream is made in [`crate::streams`] and written by the broker.

use crate::error::{Broken, LogError, Unreachable};
use crate::stored::{Anchor, StoredEvent};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    DirectGetError, DirectGetErrorKind, Info, RawMessageError, RawMessageErrorKind, Stream,
};
use postroad_protocol::position::Position;
use postroad_protocol::subject::shard_stream;

/// A handle on one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shard {
    number: u16,
    epoch: u64,
    stream: Stream<()>,
    context: Context,
}

/// What the server says of a shard's stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Creation time in milliseconds since 1970.
    pub epoch: u64,
    /// Last sequence; 0 when it is empty.
    pub last: u64,
}

pub(crate) fn epoch_of(info: &Info) -> u64 {
    u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

impl Shard {
    pub(crate) async fn open(
        context: &Context,
        number: u16,
        epoch: u64,
    ) -> Result<Self, Unreachable> {
        let stream = context
            .get_stream_no_info(shard_stream(number))
            .await
            .map_err(Unreachable::at("opening a shard"))?;
        Ok(Self {
            number,
            epoch,
            stream,
            context: context.clone(),
        })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The incarnation that this handle was opened on: creation time in milliseconds since 1970.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The JetStream context behind it.
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn stream(&self) -> &Stream<()> {
        &self.stream
    }

    /// A place in this shard.
    pub fn position(&self, sequence: u64) -> Position {
        Position {
            shard: self.number,
            epoch: self.epoch,
            sequence,
        }
    }

    /// What the server says of the stream now.
    pub async fn extent(&self) -> Result<Extent, Unreachable> {
        let info = self
            .stream
            .get_info()
            .await
            .map_err(Unreachable::at("asking for a shard's end"))?;
        Ok(Extent {
            epoch: epoch_of(&info),
            last: info.state.last_sequence,
        })
    }

    /// The event at `sequence`; nothing when the stream does not hold it.
    pub async fn get(&self, sequence: u64) -> Result<Option<StoredEvent>, Unreachable> {
        found(self.stream.direct_get(sequence).await)
    }

    /// The last event stored under `subject`.
    pub async fn last_on_subject(&self, subject: &str) -> Result<Option<StoredEvent>, Unreachable> {
        found(self.stream.direct_get_last_for_subject(subject).await)
    }

    /// The first event at or after `sequence` whose subject matches `filter`.
    pub async fn next_on_subject(
        &self,
        sequence: u64,
        filter: &str,
    ) -> Result<Option<StoredEvent>, Unreachable> {
        found(
            self.stream
                .direct_get_next_for_subject(filter, Some(sequence))
                .await,
        )
    }

    /// The last event stored under `subject`, as the stream's leader has it. Any replica answers the
    /// other reads, and one that lags may not have it yet: what is decided by its absence asks here.
    pub async fn leader_last_on_subject(
        &self,
        subject: &str,
    ) -> Result<Option<StoredEvent>, Unreachable> {
        led(self.stream.get_last_raw_message_by_subject(subject).await)
    }

    /// The first event at or after `sequence` whose subject matches `filter`, as the leader has it.
    pub async fn leader_next_on_subject(
        &self,
        sequence: u64,
        filter: &str,
    ) -> Result<Option<StoredEvent>, Unreachable> {
        led(self
            .stream
            .get_first_raw_message_by_subject(filter, sequence)
            .await)
    }

    /// Whether the event that `anchor` knows lies where it lay. A replica that lags answers wrongly, so
    /// what it denies is asked of the stream's leader.
    async fn holds(&self, anchor: &Anchor) -> Result<bool, Unreachable> {
        let same = |event: &StoredEvent| event.digest() == anchor.digest;
        if self.get(anchor.sequence).await?.as_ref().is_some_and(same) {
            return Ok(true);
        }
        let led = led(self.stream.get_raw_message(anchor.sequence).await)?;
        Ok(led.as_ref().is_some_and(same))
    }

    /// Whether the stream still holds what `anchor` knows.
    ///
    /// # Errors
    /// [`LogError::Broken`] when it does not.
    pub async fn verify(&self, anchor: &Anchor) -> Result<Extent, LogError> {
        let extent = self.extent().await?;
        if extent.epoch != anchor.epoch {
            return Err(Broken::Replaced {
                expected: anchor.epoch,
                found: extent.epoch,
            }
            .into());
        }
        if extent.last < anchor.sequence {
            return Err(Broken::Truncated {
                last: extent.last,
                known: anchor.sequence,
            }
            .into());
        }
        // An anchor without digest stands behind events that an operator gave up.
        if anchor.digest != [0; 16] && !self.holds(anchor).await? {
            return Err(Broken::Rewritten {
                sequence: anchor.sequence,
            }
            .into());
        }
        Ok(extent)
    }
}

fn found(
    result: Result<StreamMessage, DirectGetError>,
) -> Result<Option<StoredEvent>, Unreachable> {
    match result {
        Ok(message) => Ok(Some(stored(message))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unreachable::at("reading one event")(error)),
    }
}

fn led(result: Result<StreamMessage, RawMessageError>) -> Result<Option<StoredEvent>, Unreachable> {
    match result {
        Ok(message) => Ok(Some(stored(message))),
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(Unreachable::at("reading one event of the leader")(error)),
    }
}

fn stored(message: StreamMessage) -> StoredEvent {
    StoredEvent::new(
        message.sequence,
        &message.subject,
        Some(&message.headers),
        message.payload,
        message.time.unix_timestamp_nanos(),
    )
}
