//! A queue that serves its payers in turn, by bytes: however much one tenant has waiting, another's
//! next event waits for at most one turn of each. Pure; bounds are set by whoever pushes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Bytes that one payer may take in its turn. An event larger than this waits several turns, so
/// that large events cost their sender and not its neighbours.
pub(crate) const TURN_BYTES: usize = 8 * 1024;

/// First in, first out for each payer; payers take turns (deficit round robin).
#[derive(Debug)]
pub(crate) struct FairQueue<P, T> {
    lanes: HashMap<P, Lane<T>>,
    turns: VecDeque<P>,
    len: usize,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<(usize, T)>,
    /// Bytes that it may still take before the next payer's turn.
    credit: usize,
}

impl<P, T> Default for FairQueue<P, T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<P: Clone + Eq + Hash, T> FairQueue<P, T> {
    /// Puts an item of `bytes` at the end of `payer`'s lane.
    pub(crate) fn push(&mut self, payer: P, bytes: usize, item: T) {
        self.lane(payer).items.push_back((bytes, item));
        self.len += 1;
    }

    /// Puts an item that was taken back at the beginning of `payer`'s lane.
    pub(crate) fn push_front(&mut self, payer: P, bytes: usize, item: T) {
        self.lane(payer).items.push_front((bytes, item));
        self.len += 1;
    }

    fn lane(&mut self, payer: P) -> &mut Lane<T> {
        self.lanes.entry(payer.clone()).or_insert_with(|| {
            self.turns.push_back(payer);
            Lane {
                items: VecDeque::new(),
                credit: 0,
            }
        })
    }

    /// Items of every payer.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Items of one payer.
    pub(crate) fn len_of(&self, payer: &P) -> usize {
        self.lanes.get(payer).map_or(0, |lane| lane.items.len())
    }

    /// Takes the next items in turn, at most `max_items` and `max_bytes`, the first one always; with
    /// their bytes.
    pub(crate) fn take(&mut self, max_items: usize, max_bytes: usize) -> (Vec<T>, usize) {
        self.take_of(max_items, max_bytes, |_| true)
    }

    /// Takes the next item of those payers of which `may` is true.
    pub(crate) fn take_one(&mut self, may: impl Fn(&P) -> bool) -> Option<T> {
        // Turns go round until somebody may, so there has to be one.
        let has_one = |payer: &P| may(payer) && self.lanes.contains_key(payer);
        if !self.turns.iter().any(has_one) {
            return None;
        }
        self.take_of(1, usize::MAX, may).0.pop()
    }

    fn take_of(
        &mut self,
        max_items: usize,
        max_bytes: usize,
        may: impl Fn(&P) -> bool,
    ) -> (Vec<T>, usize) {
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while taken.len() < max_items {
            let Some(payer) = self.turns.front() else {
                break;
            };
            if !may(payer) {
                self.turns.rotate_left(1);
                continue;
            }
            let Some(lane) = self.lanes.get_mut(payer) else {
                self.turns.pop_front();
                continue;
            };
            let Some((size, _)) = lane.items.front() else {
                self.lanes.remove(payer);
                self.turns.pop_front();
                continue;
            };
            let size = *size;
            if lane.credit < size {
                lane.credit += TURN_BYTES;
                self.turns.rotate_left(1);
                continue;
            }
            if !taken.is_empty() && bytes + size > max_bytes {
                break;
            }
            lane.credit -= size;
            bytes += size;
            taken.extend(lane.items.pop_front().map(|(_, item)| item));
            self.len -= 1;
            // A lane without items is forgotten with its credit: nobody saves up turns.
            if lane.items.is_empty() {
                self.lanes.remove(payer);
                self.turns.pop_front();
            }
        }
        (taken, bytes)
    }

    /// Keeps only items of which `holds` is true.
    pub(crate) fn retain(&mut self, holds: impl Fn(&T) -> bool) {
        for lane in self.lanes.values_mut() {
            lane.items.retain(|(_, item)| holds(item));
        }
        self.lanes.retain(|_, lane| !lane.items.is_empty());
        let lanes = &self.lanes;
        self.turns.retain(|payer| lanes.contains_key(payer));
        self.len = self.lanes.values().map(|lane| lane.items.len()).sum();
    }

    /// Takes everything of one payer, in order, with sizes.
    pub(crate) fn take_all_of(&mut self, payer: &P) -> VecDeque<(usize, T)> {
        self.turns.retain(|waiting| waiting != payer);
        let items = self.lanes.remove(payer).map(|lane| lane.items);
        let items = items.unwrap_or_default();
        self.len -= items.len();
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_SIZE: usize = 64 * 1024;

    fn queue_of(items: &[(u8, usize)]) -> FairQueue<u8, (u8, usize, usize)> {
        let mut queue = FairQueue::default();
        for (number, (payer, size)) in items.iter().enumerate() {
            queue.push(*payer, *size, (*payer, *size, number));
        }
        queue
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_reordered_within_a_payer(
            items in proptest::collection::vec((0_u8..5, 1_usize..MAX_SIZE), 0..200),
            max_items in 1_usize..50,
            max_bytes in 1_usize..200_000,
        ) {
            let mut queue = queue_of(&items);
            prop_assert_eq!(queue.len(), items.len());
            let mut seen = Vec::new();
            loop {
                let (round, _) = queue.take(max_items, max_bytes);
                if round.is_empty() {
                    break;
                }
                prop_assert!(round.len() <= max_items);
                let bytes: usize = round.iter().map(|item| item.1).sum();
                prop_assert!(bytes <= max_bytes || round.len() == 1);
                seen.extend(round);
            }
            prop_assert_eq!(queue.len(), 0);
            for payer in 0..5 {
                let order: Vec<_> = seen.iter().filter(|i| i.0 == payer).map(|i| i.2).collect();
                prop_assert!(order.is_sorted());
            }
            seen.sort_by_key(|item| item.2);
            let expected: Vec<_> = items.iter().enumerate().map(|(n, (p, s))| (*p, *s, n)).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn two_payers_with_work_get_the_same_bytes_but_for_one_turn(
            left in proptest::collection::vec(1_usize..MAX_SIZE, 50..100),
            right in proptest::collection::vec(1_usize..MAX_SIZE, 50..100),
            rounds in 1_usize..40,
        ) {
            let mut queue = FairQueue::default();
            for (payer, sizes) in [(0_u8, left), (1, right)] {
                for size in sizes {
                    queue.push(payer, size, (payer, size));
                }
            }
            let mut bytes = [0_usize; 2];
            for _ in 0..rounds {
                if queue.len_of(&0) == 0 || queue.len_of(&1) == 0 {
                    break;
                }
                for (payer, size) in queue.take(1, usize::MAX).0 {
                    bytes[usize::from(payer)] += size;
                }
            }
            prop_assert!(bytes[0].abs_diff(bytes[1]) <= MAX_SIZE + TURN_BYTES);
        }
    }

    #[test]
    fn a_flood_does_not_delay_a_neighbour_by_more_than_a_turn() {
        let mut queue = FairQueue::default();
        for _ in 0..100_000 {
            queue.push("flood", 1_024, "flood");
        }
        queue.push("calm", 1_024, "calm");
        let place = queue
            .take(1_000, usize::MAX)
            .0
            .iter()
            .position(|item| *item == "calm");
        assert!(place.unwrap() <= TURN_BYTES / 1_024, "{place:?}");
    }

    #[test]
    fn who_may_not_is_passed_over_and_keeps_its_place() {
        let mut queue = queue_of(&[(0, 10), (1, 40_000), (0, 30)]);
        assert_eq!(queue.take_one(|payer| *payer > 1), None);
        assert_eq!(queue.take_one(|payer| *payer == 1), Some((1, 40_000, 1)));
        assert_eq!(queue.take_one(|payer| *payer == 1), None);
        assert_eq!(queue.take(10, usize::MAX).0.len(), 2);
    }

    #[test]
    fn a_payer_can_be_taken_out_whole() {
        let mut queue = queue_of(&[(0, 10), (1, 20), (0, 30)]);
        let sizes: Vec<_> = queue
            .take_all_of(&0)
            .into_iter()
            .map(|item| item.0)
            .collect();
        assert_eq!(sizes, [10, 30]);
        assert_eq!((queue.len(), queue.len_of(&0)), (1, 0));
        assert_eq!(queue.take(10, usize::MAX).0.len(), 1);
    }
}
