//! Sets of ordinals: [`Bits`] for one block of 4096, [`Runs`] for the numbers of whole blocks.
//! Both are stored in one form only, so equal sets are equal bytes whatever their history.
//!
//! Plain words rather than `roaring`: its containers switch to a bitmap above 4096 members, so in
//! blocks of 4096 a half-read block would cost up to 8 KiB where 512 bytes hold any.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::cmp::Ordering;

/// Ordinals in one block.
pub(crate) const BLOCK: u64 = 4096;
const BLOCK_END: u16 = 4096;
const WORDS: usize = 64;
type Words = [u64; WORDS];
static NONE: Words = [0; WORDS];

/// A set with more runs than this is stored as its words: runs take up to six bytes each.
const RUNS_MAX: usize = 80;

/// An ordinal's block, and its place there.
pub(crate) fn split(ordinal: u64) -> (u64, Place) {
    let place = u16::try_from(ordinal % BLOCK).expect("a remainder of 4096 fits 16 bits");
    (ordinal / BLOCK, Place(place))
}

/// Where `ordinal` lies in `block`, if not behind it; the block's first place if before it.
pub(crate) fn place_in(block: u64, ordinal: u64) -> Option<Place> {
    let (own, place) = split(ordinal);
    match own.cmp(&block) {
        Ordering::Less => Some(Place::FIRST),
        Ordering::Equal => Some(place),
        Ordering::Greater => None,
    }
}

/// A place in a block, below 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) fn offset(self) -> u64 {
        u64::from(self.0)
    }

    fn word(self) -> usize {
        usize::from(self.0 / 64)
    }

    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// A set of places in one block. Empty ones, which most are, take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredBits", into = "StoredBits")]
pub(crate) struct Bits(Option<Box<Words>>);

/// Gaps and lengths of the runs, or when they are many the words; the other is empty.
#[derive(Serialize, Deserialize)]
struct StoredBits(Vec<u16>, ByteBuf);

impl Bits {
    fn words(&self) -> &Words {
        self.0.as_deref().unwrap_or(&NONE)
    }

    fn words_mut(&mut self) -> &mut Words {
        self.0.get_or_insert_with(|| Box::new(NONE))
    }

    pub(crate) fn contains(&self, place: Place) -> bool {
        self.words()[place.word()] & place.bit() != 0
    }

    /// Puts `place` in; false when it was there.
    pub(crate) fn insert(&mut self, place: Place) -> bool {
        let is_new = !self.contains(place);
        if is_new {
            self.words_mut()[place.word()] |= place.bit();
        }
        is_new
    }

    /// Puts in what lies from `start` to before `end`, which may be the block's end.
    fn insert_run(&mut self, start: Place, end: Place) {
        for index in start.word()..usize::from(end.0.div_ceil(64)) {
            let run = mask_from(index, start) & !mask_from(index, end);
            if run != 0 {
                self.words_mut()[index] |= run;
            }
        }
    }

    /// Takes `place` out.
    pub(crate) fn remove(&mut self, place: Place) {
        if self.contains(place) {
            self.words_mut()[place.word()] &= !place.bit();
            self.tidy();
        }
    }

    /// Gives back the memory of an empty set.
    fn tidy(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// Whether no place is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// Takes out what `other` does not hold.
    pub(crate) fn keep(&mut self, other: &Self) {
        for (own, other) in self.words_mut().iter_mut().zip(other.words()) {
            *own &= other;
        }
        self.tidy();
    }

    /// Puts in what `other` holds at or after `from`.
    pub(crate) fn insert_all(&mut self, other: &Self, from: Place) {
        for (index, word) in other.words().iter().enumerate() {
            let added = word & mask_from(index, from);
            if added != 0 {
                self.words_mut()[index] |= added;
            }
        }
    }

    /// How many places at or after `from` are in this set or in `other`.
    pub(crate) fn count_either(&self, other: &Self, from: Place) -> u64 {
        let either = self.words().iter().zip(other.words()).enumerate();
        either
            .map(|(index, (a, b))| u64::from(((a | b) & mask_from(index, from)).count_ones()))
            .sum()
    }

    /// As [`Self::count_either`], of the places that are in `within`.
    pub(crate) fn count_either_within(&self, other: &Self, within: &Self, from: Place) -> u64 {
        let either = self.words().iter().zip(other.words());
        let words = either.zip(within.words()).enumerate();
        words
            .map(|(index, ((a, b), within))| {
                u64::from(((a | b) & within & mask_from(index, from)).count_ones())
            })
            .sum()
    }

    /// The first place at or after `from` that is in neither set.
    pub(crate) fn first_in_neither(&self, other: &Self, from: Place) -> Option<Place> {
        let (own, other) = (self.words(), other.words());
        (from.word()..WORDS)
            .find_map(|index| lowest(index, !(own[index] | other[index]) & mask_from(index, from)))
    }

    /// The first place at or after `from` that is in the set.
    pub(crate) fn first_from(&self, from: Place) -> Option<Place> {
        let words = self.words();
        (from.word()..WORDS).find_map(|index| lowest(index, words[index] & mask_from(index, from)))
    }

    /// Start and end of every run of places, in order.
    fn runs(&self) -> Vec<(u16, u16)> {
        let mut runs = Vec::new();
        let mut from = Some(Place::FIRST);
        while let Some(start) = from.and_then(|from| self.first_from(from)) {
            let end = self.first_in_neither(self, start);
            runs.push((start.0, end.map_or(BLOCK_END, |end| end.0)));
            from = end;
        }
        runs
    }
}

/// The lowest place of the bits that are set in word `index`.
fn lowest(index: usize, word: u64) -> Option<Place> {
    let place = index * 64 + word.trailing_zeros() as usize;
    (word != 0)
        .then(|| u16::try_from(place).ok().map(Place))
        .flatten()
}

/// The bits of word `index` at or after `from`.
fn mask_from(index: usize, from: Place) -> u64 {
    match index.cmp(&from.word()) {
        Ordering::Less => 0,
        Ordering::Equal => !(from.bit() - 1),
        Ordering::Greater => u64::MAX,
    }
}

impl From<Bits> for StoredBits {
    fn from(bits: Bits) -> Self {
        let runs = bits.runs();
        if runs.len() > RUNS_MAX {
            let bytes: Vec<u8> = bits.words().iter().flat_map(|w| w.to_be_bytes()).collect();
            return Self(Vec::new(), ByteBuf::from(bytes));
        }
        let mut stored = Vec::with_capacity(runs.len() * 2);
        let mut end = 0;
        for (start, next_end) in runs {
            stored.extend([start - end, next_end - start]);
            end = next_end;
        }
        Self(stored, ByteBuf::new())
    }
}

impl TryFrom<StoredBits> for Bits {
    type Error = &'static str;

    fn try_from(StoredBits(runs, bytes): StoredBits) -> Result<Self, Self::Error> {
        let mut bits = Self::default();
        if !bytes.is_empty() {
            let words = bits.words_mut();
            let (chunks, rest) = bytes.as_chunks();
            if chunks.len() != WORDS || !rest.is_empty() {
                return Err("a block of bits has another size");
            }
            for (word, chunk) in words.iter_mut().zip(chunks) {
                *word = u64::from_be_bytes(*chunk);
            }
            return Ok(bits);
        }
        let (pairs, rest) = runs.as_chunks();
        let mut place = 0_u16;
        for [gap, length] in pairs {
            let start = place.checked_add(*gap).ok_or("a run leaves its block")?;
            place = start.checked_add(*length).ok_or("a run leaves its block")?;
            if place > BLOCK_END || !rest.is_empty() {
                return Err("a run leaves its block");
            }
            bits.insert_run(Place(start), Place(place));
        }
        Ok(bits)
    }
}

/// A set of numbers as runs, joined where they touch. Small when the numbers lie together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// Where the run lies that `number` is in, or the one before it.
    fn at_or_before(&self, number: u64) -> Option<usize> {
        self.0
            .partition_point(|(start, _)| *start <= number)
            .checked_sub(1)
    }

    /// The first number at or after `from` that is not in the set.
    pub(crate) fn first_absent(&self, from: u64) -> u64 {
        match self.at_or_before(from).map(|index| self.0[index]) {
            Some((_, end)) if end > from => end,
            _ => from,
        }
    }

    /// Puts `number` in.
    pub(crate) fn insert(&mut self, number: u64) {
        if self.first_absent(number) != number {
            return;
        }
        let next = self.0.partition_point(|(start, _)| *start <= number);
        let joins_next = self.0.get(next).is_some_and(|run| run.0 == number + 1);
        let before = next.checked_sub(1).filter(|at| self.0[*at].1 == number);
        match (before, joins_next) {
            (Some(before), true) => {
                self.0[before].1 = self.0[next].1;
                self.0.remove(next);
            }
            (Some(before), false) => self.0[before].1 = number + 1,
            (None, true) => self.0[next].0 = number,
            (None, false) => self.0.insert(next, (number, number + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(places: &BTreeSet<u16>) -> Bits {
        let mut bits = Bits::default();
        for place in places {
            assert!(bits.insert(Place(*place)));
            assert!(!bits.insert(Place(*place)));
        }
        bits
    }

    fn places() -> impl Strategy<Value = BTreeSet<u16>> {
        let scattered = proptest::collection::btree_set(0..4096_u16, 0..600);
        let runs = proptest::collection::vec((0..4096_u16, 0..2000_u16), 0..6).prop_map(|runs| {
            let spread = |(start, length): (u16, u16)| start..(start + length).min(4096);
            runs.into_iter().flat_map(spread).collect()
        });
        prop_oneof![scattered, runs]
    }

    proptest! {
        #[test]
        fn a_block_behaves_as_the_set_it_stands_for(a in places(), b in places(), from in 0..4096_u16) {
            let (one, two, from_place) = (bits(&a), bits(&b), Place(from));
            let both: BTreeSet<u16> = a.union(&b).copied().filter(|place| *place >= from).collect();
            prop_assert_eq!(one.count_either(&two, from_place), both.len() as u64);
            let shared = a.intersection(&b).filter(|place| **place >= from).count() as u64;
            prop_assert_eq!(Bits::default().count_either_within(&two, &one, from_place), shared);
            prop_assert_eq!(one.count_either_within(&two, &two, from_place), b.range(from..).count() as u64);
            let open = (from..4096).find(|place| !both.contains(place)).map(Place);
            prop_assert_eq!(one.first_in_neither(&two, from_place), open);
            let mut shared = one.clone();
            shared.keep(&two);
            prop_assert_eq!(shared.is_empty(), a.intersection(&b).next().is_none());
            let from_on = a.intersection(&b).copied().find(|place| *place >= from);
            prop_assert_eq!(shared.first_from(from_place), from_on.map(Place));
            let mut rest = one.clone();
            for place in &b {
                rest.remove(Place(*place));
            }
            prop_assert_eq!(rest, bits(&a.difference(&b).copied().collect()));
            let mut sum = one.clone();
            sum.insert_all(&two, from_place);
            let expected: BTreeSet<u16> = a.union(&both).copied().collect();
            prop_assert_eq!(sum, bits(&expected));
        }

        #[test]
        fn equal_sets_are_equal_bytes_and_read_back(a in places()) {
            let forwards = rmp_serde::to_vec(&bits(&a)).unwrap();
            let mut backwards = Bits::default();
            a.iter().rev().for_each(|place| { backwards.insert(Place(*place)); });
            prop_assert_eq!(&forwards, &rmp_serde::to_vec(&backwards).unwrap());
            prop_assert_eq!(rmp_serde::from_slice::<Bits>(&forwards).unwrap(), backwards);
            prop_assert!(forwards.len() < 530);
        }

        #[test]
        fn runs_behave_as_the_set_they_stand_for(numbers in proptest::collection::vec(0..40_u64, 0..60)) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                runs.insert(number);
                set.insert(number);
                for from in 0..42 {
                    let absent = (from..43).find(|n| !set.contains(n)).unwrap();
                    prop_assert_eq!(runs.first_absent(from), absent);
                }
            }
            let joined = runs.0.windows(2).all(|pair| pair[0].1 < pair[1].0);
            prop_assert!(joined, "{:?}", runs);
        }
    }

    #[test]
    fn stored_bits_that_leave_their_block_do_not_read() {
        for stored in [
            StoredBits(vec![4000, 200], ByteBuf::new()),
            StoredBits(vec![u16::MAX, 2], ByteBuf::new()),
            StoredBits(vec![1, 2, 3], ByteBuf::new()),
            StoredBits(Vec::new(), ByteBuf::from(vec![1; 100])),
        ] {
            let bytes = rmp_serde::to_vec(&stored).unwrap();
            assert!(rmp_serde::from_slice::<Bits>(&bytes).is_err());
        }
    }
}
