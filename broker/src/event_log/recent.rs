//! Which ids this broker has seen stored lately, so that a repeat is answered from the log instead
//! of sinking a batch with its neighbours. Bounded; forgetting one costs time, never correctness.

use std::collections::{HashMap, VecDeque};

/// Ids remembered for each shard: a few seconds of full load, minutes of ordinary load.
const REMEMBERED: usize = 131_072;

/// An event's `Nats-Msg-Id`, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DedupId(u128);

impl DedupId {
    /// Reads the header's value.
    pub(crate) fn of(msg_id: &str) -> Self {
        Self(u128::from_str_radix(msg_id, 16).expect("a Nats-Msg-Id of ours is 32 hex digits"))
    }
}

/// Stored ids with their sequences, the oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    sequences: HashMap<DedupId, u64>,
    order: VecDeque<DedupId>,
}

impl Recent {
    /// Remembers that `id` is stored at `sequence`.
    pub(crate) fn remember(&mut self, id: DedupId, sequence: u64) {
        if self.sequences.insert(id, sequence).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sequences.remove(&oldest);
        }
    }

    /// Where `id` is stored, as far as is remembered.
    pub(crate) fn sequence(&self, id: DedupId) -> Option<u64> {
        self.sequences.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first_and_the_number_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..=REMEMBERED as u128 {
            recent.remember(DedupId(n), 7);
            recent.remember(DedupId(n), 8);
        }
        assert_eq!(recent.sequence(DedupId(0)), None);
        assert_eq!(recent.sequence(DedupId(1)), Some(8));
        assert_eq!(recent.order.len(), REMEMBERED);
        assert_eq!(recent.sequences.len(), REMEMBERED);
    }
}
