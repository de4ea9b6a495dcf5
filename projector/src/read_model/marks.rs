//! What is settled in one block of a lane, for one reader or for a role as a whole. Owns the
//! three sets and how they combine; never knows what lies in the lane.

use super::bits::{Bits, Place};
use super::hot::{Hot, HotCache, HotRow};
use super::keys::RowKey;
use super::priorities::{Counts, Priorities};
use super::table::{Row, Table};
use postroad_protocol::id::{InstanceId, Role};
use serde::{Deserialize, Serialize};

/// Which of a reader's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    Role,
    Broadcast,
    Instance,
}

impl Via {
    pub(crate) const ALL: [Self; 3] = [Self::Role, Self::Broadcast, Self::Instance];

    fn code(self) -> u8 {
        match self {
            Self::Role => b'r',
            Self::Broadcast => b'b',
            Self::Instance => b'i',
        }
    }
}

/// Whose marks, in which lane and block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MarksKey {
    pub(super) role: Role,
    /// None for what any instance of the role has read: what a new one inherits as read.
    pub(super) instance: Option<InstanceId>,
    pub(super) via: Via,
    pub(super) block: u64,
}

impl RowKey for MarksKey {
    fn write(&self, key: &mut Vec<u8>) {
        self.role.write(key);
        match &self.instance {
            Some(instance) => instance.write(key),
            None => key.push(0),
        }
        key.push(self.via.code());
        self.block.write(key);
    }
}

/// Settled ordinals of one block. What is in none of the sets is unread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Read by the reader, or by its role before it registered.
    pub(super) read: Bits,
    /// Sent by this very instance: no receipt, and nothing that a later instance inherits as read.
    pub(super) own: Bits,
    /// In `read` by inheritance alone: no receipt of this reader's.
    pub(super) inherited: Bits,
}

impl Row for Marks {
    type Key = MarksKey;
    const TABLE: Table = Table::Marks;
}

impl HotRow for Marks {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.marks
    }
}

impl Marks {
    /// How many ordinals at or after `from` are settled; `priorities` are those of the same block.
    pub(super) fn settled(&self, from: Place, priorities: &Priorities) -> Counts {
        let all = self.read.count_either(&self.own, from);
        priorities.split_count(all, |set| {
            self.read.count_either_within(&self.own, set, from)
        })
    }

    /// The first ordinal at or after `from` that is unread.
    pub(super) fn first_unread(&self, from: Place) -> Option<Place> {
        self.read.first_in_neither(&self.own, from)
    }
}
