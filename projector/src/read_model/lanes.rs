//! Lanes: the order in which messages reached one address. A lane gives each message the next
//! ordinal and keeps which sequence of the log it has, in blocks of 64 and a tail. Owns no
//! content and no receipts.

use super::batch::TenantWriter;
use super::hot::{Hot, HotCache, HotRow};
use super::keys::RowKey;
use super::priorities::Counts;
use super::table::{Row, Table, TenantReader, unreadable};
use crate::store::StoreError;
use postroad_protocol::event::Priority;
use postroad_protocol::id::{Reader, Role};
use serde::{Deserialize, Serialize};

/// Sequences in one stored block.
pub(super) const LANE_BLOCK: u64 = 64;

/// What a lane leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lane {
    /// Every agent of the tenant.
    #[serde(rename = "b")]
    Broadcast,
    /// Every instance of a role.
    #[serde(rename = "r")]
    Role(Role),
    /// One instance.
    #[serde(rename = "i")]
    Instance(Reader),
    /// Nobody: what a role sent, for its own history.
    #[serde(rename = "s")]
    Sent(Role),
}

impl RowKey for Lane {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            Self::Broadcast => key.push(b'b'),
            Self::Role(role) => {
                key.push(b'r');
                role.write(key);
            }
            Self::Instance(reader) => {
                key.push(b'i');
                reader.write(key);
            }
            Self::Sent(role) => {
                key.push(b's');
                role.write(key);
            }
        }
    }
}

/// How many messages a lane has, and the sequences that do not fill a block yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneRow {
    counts: Counts,
    #[serde(with = "steps")]
    tail: Vec<u64>,
}

impl Row for LaneRow {
    type Key = Lane;
    const TABLE: Table = Table::Lanes;
}

impl HotRow for LaneRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.lanes
    }
}

/// The sequences of a full block, by lane and number of the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LaneBlock(#[serde(with = "steps")] Vec<u64>);

impl Row for LaneBlock {
    type Key = (Lane, u64);
    const TABLE: Table = Table::LaneBlocks;
}

/// Ascending numbers stored as the steps between them, which take a byte or two each.
mod steps {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(numbers: &[u64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().scan(0, |last, number| {
            let step = number - *last;
            *last = *number;
            Some(step)
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
        let mut numbers = Vec::<u64>::deserialize(from)?;
        let mut last = 0_u64;
        for number in &mut numbers {
            last = last
                .checked_add(*number)
                .ok_or_else(|| serde::de::Error::custom("a sequence beyond 64 bits"))?;
            *number = last;
        }
        Ok(numbers)
    }
}

impl TenantWriter<'_, '_> {
    /// Makes an empty lane, if there is none. A role's is made with the role, so that a lane that
    /// is not there tells of a role that never was.
    pub(super) fn open_lane(&mut self, lane: &Lane) -> Result<(), StoreError> {
        self.edit::<LaneRow>(lane)?.get_or_insert_default();
        Ok(())
    }

    pub(super) fn is_lane_open(&mut self, lane: &Lane) -> Result<bool, StoreError> {
        Ok(self.see::<LaneRow>(lane)?.is_some())
    }

    /// Puts the message at `sequence` at the end of `lane`.
    pub(super) fn append(
        &mut self,
        lane: &Lane,
        sequence: u64,
        priority: Priority,
    ) -> Result<(), StoreError> {
        let row = self.edit::<LaneRow>(lane)?.get_or_insert_default();
        let ordinal = row.counts.total();
        row.counts.add(priority);
        row.tail.push(sequence);
        if (ordinal + 1).is_multiple_of(LANE_BLOCK) {
            let full = LaneBlock(std::mem::take(&mut row.tail));
            self.append_row(&(lane.clone(), ordinal / LANE_BLOCK), &full);
        }
        self.set_priority(lane, ordinal, priority)
    }

    /// How many messages `lane` has.
    pub(super) fn lane_counts(&mut self, lane: &Lane) -> Result<Counts, StoreError> {
        let row = self.see::<LaneRow>(lane)?;
        Ok(row.map_or(Counts::default(), |row| row.counts))
    }
}

/// A lane to be read, holding the last block that was looked at.
pub(crate) struct LaneView<'r, 's> {
    rows: &'r TenantReader<'s>,
    lane: Lane,
    row: LaneRow,
    block: Option<(u64, Vec<u64>)>,
}

impl<'r, 's> LaneView<'r, 's> {
    pub(super) fn open(rows: &'r TenantReader<'s>, lane: Lane) -> Result<Self, StoreError> {
        let row = rows.get(&lane)?.unwrap_or_default();
        Ok(Self {
            rows,
            lane,
            row,
            block: None,
        })
    }

    /// How many messages the lane has.
    pub(super) fn counts(&self) -> Counts {
        self.row.counts
    }

    /// How many messages the lane has, of whatever priority.
    pub(super) fn count(&self) -> u64 {
        self.row.counts.total()
    }

    fn block(&mut self, number: u64) -> Result<&[u64], StoreError> {
        if self.block.as_ref().is_none_or(|(held, _)| *held != number) {
            let LaneBlock(sequences) = self
                .rows
                .get(&(self.lane.clone(), number))?
                .ok_or_else(|| unreadable(Table::LaneBlocks))?;
            self.block = Some((number, sequences));
        }
        Ok(self.block.as_ref().map_or(&[], |(_, held)| held))
    }

    /// The sequence of the message with this ordinal.
    pub(super) fn sequence(&mut self, ordinal: u64) -> Result<u64, StoreError> {
        let place = usize::try_from(ordinal % LANE_BLOCK).unwrap_or(usize::MAX);
        let number = ordinal / LANE_BLOCK;
        let sequences = if number == self.count() / LANE_BLOCK {
            &self.row.tail
        } else {
            self.block(number)?
        };
        sequences
            .get(place)
            .copied()
            .ok_or_else(|| unreadable(Table::Lanes))
    }

    /// The first ordinal whose message lies behind `sequence`; the lane's count when none does.
    pub(super) fn first_after(&mut self, sequence: u64) -> Result<u64, StoreError> {
        let behind = |held: &[u64]| held.partition_point(|other| *other <= sequence) as u64;
        let blocks = self.count() / LANE_BLOCK;
        let in_tail = behind(&self.row.tail);
        if in_tail > 0 {
            return Ok(blocks * LANE_BLOCK + in_tail);
        }
        let (mut low, mut high) = (0, blocks);
        while low < high {
            let middle = low.midpoint(high);
            if behind(self.block(middle)?) == LANE_BLOCK {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let inside = if low == blocks {
            0
        } else {
            behind(self.block(low)?)
        };
        Ok(low * LANE_BLOCK + inside)
    }
}
