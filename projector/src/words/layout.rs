//! What the file of words holds: keys, and the two rows that are not [`postroad_recall::postings`].
//!
//! | table | key, behind the tenure | value |
//! |---|---|---|
//! | `lanes` | lane | [`LaneWords`]: how many of its messages are here |
//! | `documents` | lane, block of 64 ordinals | [`Documents`] |
//! | `postings` | lane, term, `0`, block of 512 ordinals | which messages hold the term, and how often |
//! | `labels` | lane, [`Label`], block of 512 ordinals | which messages are from, or to, a role |
//! | `last` | – | the event key of the last message that is here |
//!
//! A lane is the partition: what is looked for in one lane is read from its own rows, and no other lane's are
//! touched. Numbers in it are the ordinals that the rows give out.

use crate::read_model::keys::{RowKey, write_name};
use crate::read_model::lanes::Lane;
use crate::side::Layout;
use crate::store::StoreError;
use postroad_recall::postings::BLOCK_DOCUMENTS;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) const LANES: &str = "lanes";
pub(super) const DOCUMENTS: &str = "documents";
pub(super) const POSTINGS: &str = "postings";
pub(super) const LABELS: &str = "labels";
pub(super) const LAST: &str = "last";

pub(crate) const LAYOUT: Layout = Layout {
    name: "words",
    schema: 1,
    tables: &[LANES, DOCUMENTS, POSTINGS, LABELS, LAST],
};

/// Ordinals in one block of documents.
pub(super) const DOCUMENTS_BLOCK: u64 = 64;
/// Ordinals in one block of postings or labels.
pub(super) const POSTINGS_BLOCK: u64 = BLOCK_DOCUMENTS as u64;

/// What a message is found by beside its words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label<'a> {
    /// The role that sent it.
    From(&'a str),
    /// A role that it names, or `broadcast`.
    To(&'a str),
}

impl RowKey for Label<'_> {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            Self::From(role) => {
                key.push(b'f');
                write_name(role, key);
            }
            Self::To(channel) => {
                key.push(b't');
                write_name(channel, key);
            }
        }
    }
}

/// A term. None holds a zero byte, so no term's rows lie among those of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term<'a>(pub(super) &'a str);

impl RowKey for Term<'_> {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(self.0, key);
    }
}

/// A place in a lane: a term's or a label's rows there.
pub(super) fn place<P: RowKey>(lane: &Lane, what: &P) -> Vec<u8> {
    let mut key = lane.bytes();
    what.write(&mut key);
    key
}

/// The key of one block under `place`.
pub(super) fn block_key(place: &[u8], block: u64) -> Vec<u8> {
    [place, &block.to_be_bytes()].concat()
}

/// The number of the block that a key ends with.
pub(super) fn block_of(key: &[u8]) -> Result<u64, StoreError> {
    let last = key.last_chunk().ok_or_else(|| unreadable(POSTINGS))?;
    Ok(u64::from_be_bytes(*last))
}

/// The block of an ordinal, and its place there.
pub(super) fn in_postings(ordinal: u64) -> (u64, u32) {
    let place = u32::try_from(ordinal % POSTINGS_BLOCK).unwrap_or(u32::MAX);
    (ordinal / POSTINGS_BLOCK, place)
}

/// How much of a lane is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaneWords {
    /// Its first so many messages.
    pub(super) count: u64,
    /// Words in them, without stop words.
    pub(super) words: u64,
}

/// What a score needs of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) sequence: u64,
    /// In milliseconds since 1970.
    pub(super) time: u64,
    /// Words, without stop words.
    pub(super) words: u32,
}

/// Up to [`DOCUMENTS_BLOCK`] messages of a lane, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Documents {
    /// Words in the lane's messages before these.
    pub(super) words_before: u64,
    /// Sequence and time as steps from the one before, which take a few bytes each; and words.
    steps: Vec<(u64, i64, u32)>,
}

impl Documents {
    pub(super) fn behind(words_before: u64) -> Self {
        let steps = Vec::new();
        Self {
            words_before,
            steps,
        }
    }

    pub(super) fn push(&mut self, document: Document) {
        let (mut sequence, mut time) = (0, 0);
        if let Some(last) = self.documents().last() {
            (sequence, time) = (last.sequence, last.time);
        }
        self.steps.push((
            document.sequence.wrapping_sub(sequence),
            document.time.wrapping_sub(time).cast_signed(),
            document.words,
        ));
    }

    /// The messages, in order.
    pub(super) fn documents(&self) -> impl Iterator<Item = Document> {
        self.steps
            .iter()
            .scan((0_u64, 0_u64), |(sequence, time), (step, later, words)| {
                *sequence = sequence.wrapping_add(*step);
                *time = time.wrapping_add(later.cast_unsigned());
                Some(Document {
                    sequence: *sequence,
                    time: *time,
                    words: *words,
                })
            })
    }

    /// Words before the message with this place among these.
    pub(super) fn words_until(&self, place: usize) -> u64 {
        let before = self.steps.iter().take(place);
        self.words_before + before.map(|(_, _, words)| u64::from(*words)).sum::<u64>()
    }
}

pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    rmp_serde::to_vec(row).expect("rows are plain data")
}

pub(super) fn decode<T: DeserializeOwned>(
    row: Option<&[u8]>,
    table: &'static str,
) -> Result<Option<T>, StoreError> {
    row.map(|row| rmp_serde::from_slice(row).map_err(|_| unreadable(table)))
        .transpose()
}

/// The file does not hold what was put there, or not what follows from the rows: it is to be made anew.
pub(super) fn unreadable(table: &'static str) -> StoreError {
    StoreError::Unreadable { table }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_read_back_with_times_that_go_back() {
        let mut block = Documents::behind(40);
        let given = [(7, 9_000, 3), (8, 2_000, 0), (4_000_000_000, u64::MAX, 5)].map(
            |(sequence, time, words)| Document {
                sequence,
                time,
                words,
            },
        );
        for one in given {
            block.push(one);
        }
        let read: Documents = decode(Some(&encode(&block)), DOCUMENTS).unwrap().unwrap();
        assert_eq!(read.documents().collect::<Vec<_>>(), given);
        assert_eq!([0, 1, 3].map(|place| read.words_until(place)), [40, 43, 48]);
        assert!(decode::<Documents>(Some(b"nonsense"), DOCUMENTS).is_err());
    }

    #[test]
    fn no_key_of_one_thing_begins_another_s() {
        let role = |name| postroad_protocol::id::Role::parse(name).unwrap();
        let lanes = [
            Lane::Broadcast,
            Lane::Role(role("a")),
            Lane::Sent(role("a")),
        ];
        let lanes = lanes.into_iter().chain([Lane::Role(role("ab"))]);
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for lane in lanes {
            keys.extend(["a", "ab", "rab"].map(|term| place(&lane, &Term(term))));
        }
        for (at, one) in keys.iter().enumerate() {
            for (other_at, other) in keys.iter().enumerate() {
                assert!(
                    at == other_at || !other.starts_with(one),
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
