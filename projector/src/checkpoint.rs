//! Where a shard's rows stand in its log. Stored in the same transaction as the rows it speaks
//! of; compared with the log whenever a projector connects.

use postroad_log::Anchor;
use serde::{Deserialize, Serialize};

/// The last event that is applied. The digest anchors it: a log that was cut and filled again
/// has another event at that sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Creation time of the stream, in milliseconds since 1970.
    pub epoch: u64,
    /// The last sequence applied; 0 before the first event.
    pub sequence: u64,
    /// Digest of the event at that sequence; zeroes at 0, and where that event was given up.
    pub digest: [u8; 16],
}

impl From<Anchor> for Checkpoint {
    fn from(anchor: Anchor) -> Self {
        Self {
            epoch: anchor.epoch,
            sequence: anchor.sequence,
            digest: anchor.digest,
        }
    }
}

impl From<Checkpoint> for Anchor {
    fn from(checkpoint: Checkpoint) -> Self {
        Self {
            epoch: checkpoint.epoch,
            sequence: checkpoint.sequence,
            digest: checkpoint.digest,
        }
    }
}
