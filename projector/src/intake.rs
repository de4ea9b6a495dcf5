//! What comes from the log while rows are written: reading goes on beside the writer's thread, so that
//! neither waits for the other. Owns the follower of one shard and the events read ahead; applies none.

use postroad_log::{Anchor, Follower, LogError, Shard, StoredEvent};
use postroad_protocol::limits::{APPLY_MAX_BYTES, APPLY_MAX_EVENTS};

/// Reads one shard, ahead of whoever applies it.
pub struct Intake {
    follower: Follower,
    ahead: Vec<StoredEvent>,
    ahead_bytes: usize,
    /// Met after the events read ahead, and told after them.
    met: Option<Met>,
}

enum Met {
    /// The log was connected to.
    Connected,
    Failed(LogError),
}

impl Intake {
    /// Reads every event of `shard` after `anchor`.
    pub fn new(shard: Shard, anchor: Anchor) -> Self {
        Self {
            follower: Follower::new(shard, anchor),
            ahead: Vec::new(),
            ahead_bytes: 0,
            met: None,
        }
    }

    /// How far the log reached when the last connection was made.
    pub fn end(&self) -> u64 {
        self.follower.end()
    }

    /// Goes on after `anchor`, although events before it were not read: an operator gave them up.
    pub fn skip_to(&mut self, anchor: Anchor) {
        self.ahead.clear();
        self.ahead_bytes = 0;
        self.met = None;
        self.follower.skip_to(anchor);
    }

    /// Waits for events, and hands out all that were read ahead. Otherwise as [`Follower::next`].
    ///
    /// # Errors
    /// As [`Follower::next`].
    pub async fn next(&mut self) -> Result<Vec<StoredEvent>, LogError> {
        if !self.ahead.is_empty() {
            self.ahead_bytes = 0;
            return Ok(std::mem::take(&mut self.ahead));
        }
        match self.met.take() {
            Some(Met::Connected) => Ok(Vec::new()),
            Some(Met::Failed(error)) => Err(error),
            None => self.follower.next().await,
        }
    }

    /// Waits for `work`, and reads ahead meanwhile: at most half a transaction's worth and what arrives
    /// together with the event that exceeds it.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.read_ahead() => match never {},
        }
    }

    async fn read_ahead(&mut self) -> std::convert::Infallible {
        while self.met.is_none()
            && self.ahead.len() < APPLY_MAX_EVENTS / 2
            && self.ahead_bytes < APPLY_MAX_BYTES / 2
        {
            match self.follower.next().await {
                Ok(events) if events.is_empty() => self.met = Some(Met::Connected),
                Ok(events) => {
                    self.ahead_bytes += events
                        .iter()
                        .map(|event| event.payload.len())
                        .sum::<usize>();
                    self.ahead.extend(events);
                }
                Err(error) => self.met = Some(Met::Failed(error)),
            }
        }
        std::future::pending().await
    }
}
