//! How urgent the messages of a lane are: how many there are of each priority, and in blocks of
//! 4096 which of them are not normal. A reader's unread mail by priority is then a difference of
//! counts. Owns that arithmetic; never knows who has read what.

use super::batch::TenantWriter;
use super::bits::{Bits, Place, split};
use super::hot::{Hot, HotCache, HotRow};
use super::lanes::Lane;
use super::table::{Row, Table};
use crate::store::StoreError;
use postroad_protocol::event::Priority;
use serde::{Deserialize, Serialize};

/// The most urgent first. Counts are stored in this order.
const ALL: [Priority; 4] = [
    Priority::Urgent,
    Priority::High,
    Priority::Normal,
    Priority::Low,
];

/// How many messages, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts([u64; 4]);

impl Counts {
    /// One more message.
    pub(super) fn add(&mut self, priority: Priority) {
        let place = match priority {
            Priority::Urgent => 0,
            Priority::High => 1,
            Priority::Normal => 2,
            Priority::Low => 3,
        };
        self.0[place] += 1;
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] + other.0[place]))
    }

    /// What is left without `other`, which is a part of it.
    pub(super) fn less(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| {
            self.0[place].saturating_sub(other.0[place])
        }))
    }

    fn are_normal(self) -> bool {
        let [urgent, high, _, low] = self.0;
        (urgent, high, low) == (0, 0, 0)
    }

    /// How many messages in all.
    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }

    /// The highest priority among them; none when there are none.
    pub fn highest(self) -> Option<Priority> {
        let some = ALL.into_iter().zip(self.0).find(|(_, count)| *count > 0);
        some.map(|(priority, _)| priority)
    }
}

/// Which ordinals of one block of a lane are not of normal priority. No row where all are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Priorities {
    urgent: Bits,
    high: Bits,
    low: Bits,
}

impl Row for Priorities {
    type Key = (Lane, u64);
    const TABLE: Table = Table::Priorities;
}

impl HotRow for Priorities {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.priorities
    }
}

impl Priorities {
    fn insert(&mut self, place: Place, priority: Priority) {
        match priority {
            Priority::Urgent => self.urgent.insert(place),
            Priority::High => self.high.insert(place),
            Priority::Low => self.low.insert(place),
            Priority::Normal => return,
        };
    }

    fn at(&self, place: Place) -> Priority {
        let sets = [
            (&self.urgent, Priority::Urgent),
            (&self.high, Priority::High),
            (&self.low, Priority::Low),
        ];
        let found = sets.into_iter().find(|(set, _)| set.contains(place));
        found.map_or(Priority::Normal, |(_, priority)| priority)
    }

    /// How many ordinals of each priority are among some of this block: `count_in` says how many of
    /// them lie in a set, `all` how many there are.
    pub(super) fn split_count(&self, all: u64, count_in: impl Fn(&Bits) -> u64) -> Counts {
        let [urgent, high, low] = [&self.urgent, &self.high, &self.low].map(count_in);
        Counts([urgent, high, all.saturating_sub(urgent + high + low), low])
    }
}

impl TenantWriter<'_, '_> {
    /// The message that was put at `ordinal` of `lane` has this priority.
    pub(super) fn set_priority(
        &mut self,
        lane: &Lane,
        ordinal: u64,
        priority: Priority,
    ) -> Result<(), StoreError> {
        if priority != Priority::Normal {
            let (block, place) = split(ordinal);
            self.edit::<Priorities>(&(lane.clone(), block))?
                .get_or_insert_default()
                .insert(place, priority);
        }
        Ok(())
    }

    /// The priorities in one block of `lane`; none where all are normal.
    pub(super) fn priorities(
        &mut self,
        lane: &Lane,
        block: u64,
    ) -> Result<Option<&Priorities>, StoreError> {
        // Nearly every lane has normal mail alone: no row is looked for there.
        if self.lane_counts(lane)?.are_normal() {
            return Ok(None);
        }
        self.see(&(lane.clone(), block))
    }

    /// The priority of the message at `ordinal` of `lane`.
    pub(super) fn priority_at(
        &mut self,
        lane: &Lane,
        ordinal: u64,
    ) -> Result<Priority, StoreError> {
        let (block, place) = split(ordinal);
        let priorities = self.priorities(lane, block)?;
        Ok(priorities.map_or(Priority::Normal, |priorities| priorities.at(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_name_the_highest_that_is_left() {
        let mut all = Counts::default();
        assert_eq!((all.highest(), all.total()), (None, 0));
        let mut read = Counts::default();
        for priority in ALL.into_iter().rev() {
            all.add(priority);
            assert_eq!(all.highest(), Some(priority));
        }
        for (priority, next) in ALL.into_iter().zip(ALL.into_iter().skip(1).map(Some)) {
            read.add(priority);
            assert_eq!(all.less(read).highest(), next);
        }
        assert_eq!((all.total(), all.less(read).total()), (4, 1));
        assert_eq!(all.less(read).plus(read), all);
    }

    #[test]
    fn a_block_tells_the_priority_of_each_place() {
        let mut priorities = Priorities::default();
        let places: Vec<_> = (0..4096).map(|ordinal| split(ordinal).1).collect();
        for (place, priority) in places.iter().zip(ALL.into_iter().cycle()) {
            priorities.insert(*place, priority);
        }
        for (place, priority) in places.iter().zip(ALL.into_iter().cycle()) {
            assert_eq!(priorities.at(*place), priority);
        }
    }
}
