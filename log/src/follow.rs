//! Follows a shard with its own ephemeral pull consumer, made at the next sequence and made again
//! after any interruption. Finds gaps, truncation and refilled tails; never skips one silently.
//! The client library's ordered consumer is not used: an idle one restarts from 1 after a server
//! restart.

use crate::error::{Broken, LogError, Unreachable};
use crate::shard::Shard;
use crate::stored::{Anchor, StoredEvent};
use async_nats::jetstream::consumer::pull::{self, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use futures_util::StreamExt;
use postroad_protocol::limits::{APPLY_MAX_BYTES, APPLY_MAX_EVENTS};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often an idle follower looks whether its connection is still the same one.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often an idle follower compares its place with the log's end.
const TAIL_CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait for events that the server says lie behind those at hand.
const MORE_WAIT: Duration = Duration::from_millis(2);
/// Longest that events are kept from whoever applies them.
const GATHER_MAX: Duration = Duration::from_millis(10);
/// Pause after a failed attempt, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Reads one shard from a place on, for ever.
pub struct Follower {
    shard: Shard,
    /// Empty: everything, checked for gaps. Otherwise only these subjects.
    filter: Vec<String>,
    anchor: Anchor,
    connection: Option<Connection>,
    gathered: Gathered,
    /// The gap that was already read twice.
    suspect: Option<u64>,
    /// Last sequence of the log when the connection was made.
    end: u64,
    retry: Duration,
    checked_tail: Instant,
}

struct Connection {
    messages: Messages,
    connects: u64,
}

/// Events that arrived and were not handed out. They outlive a call of [`Follower::next`] that is
/// given up.
#[derive(Default)]
struct Gathered {
    events: Vec<StoredEvent>,
    bytes: usize,
    /// When the first of them arrived.
    since: Option<Instant>,
    /// Whether more lay behind the last of them when the server sent it.
    more: bool,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn push(&mut self, event: StoredEvent, more: bool) {
        self.bytes += event.payload.len();
        self.since.get_or_insert_with(Instant::now);
        self.more = more;
        self.events.push(event);
    }

    /// Whether waiting for more would fill no transaction better, or keep these for too long.
    fn is_complete(&self) -> bool {
        let since = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        !self.is_empty()
            && (!self.more
                || self.events.len() >= APPLY_MAX_EVENTS
                || self.bytes >= APPLY_MAX_BYTES
                || since >= GATHER_MAX)
    }
}

impl Follower {
    /// Follows every event of `shard` after `anchor`.
    pub fn new(shard: Shard, anchor: Anchor) -> Self {
        Self::with_filter(shard, anchor, Vec::new())
    }

    /// Follows only events under `filter`; gaps cannot be seen then.
    pub fn filtered(shard: Shard, filter: Vec<String>) -> Self {
        let anchor = Anchor::start(shard.epoch());
        Self::with_filter(shard, anchor, filter)
    }

    fn with_filter(shard: Shard, anchor: Anchor, filter: Vec<String>) -> Self {
        Self {
            shard,
            filter,
            anchor,
            connection: None,
            gathered: Gathered::default(),
            suspect: None,
            end: 0,
            retry: RETRY_MIN,
            checked_tail: Instant::now(),
        }
    }

    /// The last event that was handed out.
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// How far the log reached when the last connection was made.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Goes on after `anchor`, although events before it were not read: an operator gave them up.
    pub fn skip_to(&mut self, anchor: Anchor) {
        self.anchor = anchor;
        self.connection = None;
        self.gathered = Gathered::default();
        self.suspect = None;
    }

    /// Waits for events: at most what fits one transaction, and while more lie behind them, what comes
    /// within some milliseconds. Nothing, once, after every connection: the log is there, is the one
    /// that is known, and reached to [`Self::end`]. May be given up and called again.
    ///
    /// # Errors
    /// [`LogError::Unreachable`] after each failed attempt, so that the caller can say so and call
    /// again; [`LogError::Broken`] when the log is not the one that was followed.
    pub async fn next(&mut self) -> Result<Vec<StoredEvent>, LogError> {
        loop {
            if self.gathered.is_complete()
                || (self.connection.is_none() && !self.gathered.is_empty())
            {
                return Ok(self.hand_out());
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                return Ok(Vec::new());
            };
            let connects = self
                .shard
                .context()
                .client()
                .statistics()
                .connects
                .load(Ordering::Relaxed);
            if connects != connection.connects {
                // After a reconnect the consumer may be gone, and the log another one.
                self.connection = None;
                continue;
            }
            let wait = if self.gathered.is_empty() {
                LOOK_EVERY
            } else {
                MORE_WAIT
            };
            match tokio::time::timeout(wait, connection.messages.next()).await {
                Err(_idle) if self.gathered.is_empty() => self.check_tail().await?,
                Err(_nothing_more) => return Ok(self.hand_out()),
                Ok(Some(Ok(message))) => self.take(&message)?,
                Ok(Some(Err(_)) | None) => self.connection = None,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), LogError> {
        match self.try_connect().await {
            Ok((connection, end)) => {
                self.connection = Some(connection);
                self.end = end;
                self.retry = RETRY_MIN;
                self.checked_tail = Instant::now();
                Ok(())
            }
            Err(error) => {
                tokio::time::sleep(self.retry).await;
                self.retry = (self.retry * 2).min(RETRY_MAX);
                Err(error)
            }
        }
    }

    async fn try_connect(&self) -> Result<(Connection, u64), LogError> {
        let client = self.shard.context().client();
        let connects = client.statistics().connects.load(Ordering::Relaxed);
        // A filter passes over events, so its last one is no anchor; epoch and end still are.
        let anchor = if self.filter.is_empty() {
            self.anchor
        } else {
            Anchor::given_up(self.anchor.epoch, self.anchor.sequence)
        };
        let extent = self.shard.verify(&anchor).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.anchor.sequence + 1,
            },
            ack_policy: AckPolicy::None,
            filter_subjects: self.filter.clone(),
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .shard
            .stream()
            .create_consumer(config)
            .await
            .map_err(Unreachable::at("making a consumer"))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(APPLY_MAX_EVENTS)
            .max_bytes_per_batch(APPLY_MAX_BYTES)
            .expires(Duration::from_secs(30))
            .heartbeat(Duration::from_secs(5))
            .messages()
            .await
            .map_err(Unreachable::at("reading a shard"))?;
        Ok((Connection { messages, connects }, extent.last))
    }

    /// Takes what arrived, unless it is known already.
    fn take(&mut self, message: &async_nats::jetstream::Message) -> Result<(), Broken> {
        let Some((event, more)) = read(message) else {
            self.connection = None;
            return Ok(());
        };
        let last = self.gathered.events.last();
        let reached = last.map_or(self.anchor.sequence, |last| last.sequence);
        if event.sequence <= reached {
            return Ok(());
        }
        if self.filter.is_empty() && event.sequence != reached + 1 {
            self.connection = None;
            if self.gathered.is_empty() {
                self.suspect_gap(event.sequence - 1)?;
            }
            return Ok(());
        }
        self.gathered.push(event, more);
        Ok(())
    }

    fn hand_out(&mut self) -> Vec<StoredEvent> {
        let events = std::mem::take(&mut self.gathered).events;
        // Only the last event is an anchor, so only its digest is taken.
        if let Some(last) = events.last() {
            self.anchor = Anchor::after(self.anchor.epoch, last);
            self.suspect = None;
        }
        events
    }

    /// The first sight of a gap reads the range again; the second is damage.
    fn suspect_gap(&mut self, to: u64) -> Result<(), Broken> {
        let from = self.anchor.sequence + 1;
        if self.suspect == Some(from) {
            return Err(Broken::Gap { from, to });
        }
        self.suspect = Some(from);
        Ok(())
    }

    /// An idle follower that is behind the log's end has lost something: the consumer, or events.
    async fn check_tail(&mut self) -> Result<(), LogError> {
        if !self.filter.is_empty() || self.checked_tail.elapsed() < TAIL_CHECK_EVERY {
            return Ok(());
        }
        self.checked_tail = Instant::now();
        let Ok(extent) = self.shard.extent().await else {
            self.connection = None;
            return Ok(());
        };
        if extent.last > self.anchor.sequence {
            self.connection = None;
            self.suspect_gap(extent.last)?;
        } else if extent.last < self.anchor.sequence {
            return Err(Broken::Truncated {
                last: extent.last,
                known: self.anchor.sequence,
            }
            .into());
        }
        Ok(())
    }
}

/// The event in a message, and whether more lay behind it when it was sent.
fn read(message: &async_nats::jetstream::Message) -> Option<(StoredEvent, bool)> {
    let info = message.info().ok()?;
    let event = StoredEvent::new(
        info.stream_sequence,
        &message.subject,
        message.headers.as_ref(),
        message.payload.clone(),
        info.published.unix_timestamp_nanos(),
    );
    Some((event, info.pending > 0))
}
