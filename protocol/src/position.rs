//! Where an append landed, and how far an answer has read. Owns the triple; never waits.

use serde::{Deserialize, Serialize};

/// A place in the log. Ordered only within one shard and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The shard.
    pub shard: u16,
    /// Which incarnation of the shard's stream: its creation time in milliseconds since 1970.
    pub epoch: u64,
    /// Sequence in the stream, from 1; 0 is before the first event.
    pub sequence: u64,
}

impl Position {
    /// Whether this place is in the same log as `other` and at or after it.
    pub fn covers(&self, other: &Self) -> bool {
        self.shard == other.shard && self.epoch == other.epoch && self.sequence >= other.sequence
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.shard, self.sequence)
    }
}
