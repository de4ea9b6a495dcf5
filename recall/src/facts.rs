//! What is known of each document beside its words: its length, by whom and when it was written, in which episode, and what
//! replaced it. One block of rows holds 64 documents, so that a search reads them all in a few steps.

use crate::Damaged;
use crate::analyze::name_words;
use crate::block::{self, BLOCK_PLACES, Malformed};

/// How many document numbers a block of facts spans.
pub const FACTS_BLOCK_DOCUMENTS: u32 = BLOCK_PLACES;
/// Bytes of one document's facts.
pub const FACTS_BYTES: usize = 88;

/// A name of which only equality matters: 64 bits of its BLAKE3, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tag(pub u64);

impl Tag {
    /// No name.
    pub const NONE: Self = Self(0);

    /// The tag of a slug: a type, an episode.
    pub fn of(text: &str) -> Self {
        Self::hash("postroad recall tag: slug", text)
    }

    /// The tag of a writer's name, the same for every way of writing it that a query may choose.
    pub fn of_writer(name: &str) -> Self {
        Self::of_words(&name_words(name))
    }

    /// The tag of the writer whose name is these words, as [`name_words`] gives them; none for no words.
    pub fn of_words(words: &[String]) -> Self {
        if words.is_empty() {
            Self::NONE
        } else {
            Self::hash("postroad recall tag: writer", &words.join(" "))
        }
    }

    fn hash(context: &str, text: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(text.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        // 0 says that there is no name.
        Self(u64::from_le_bytes(first).max(1))
    }
}

/// What a text is known by to those who keep its vectors: 16 bytes of its BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The hash of a memory's content.
    pub fn of(content: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("postroad recall content");
        hasher.update(content.as_bytes());
        let mut first = [0; 16];
        hasher.finalize_xof().fill(&mut first);
        Self(first)
    }
}

/// What a search knows of one document beside its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Words without stop words, as [`crate::analyze::Analysis`] counts them.
    pub length: u32,
    /// How many of them are identifiers or paths.
    pub identifiers: u32,
    /// Who wrote it: [`Tag::of_writer`].
    pub writer: Tag,
    /// Its type: [`Tag::of`].
    pub kind: Tag,
    /// The episode that its writer put it in, if any: [`Tag::of`].
    pub episode: Tag,
    /// When what it tells happened, in milliseconds since 1970.
    pub occurred_ms: i64,
    /// When it was stored, in milliseconds since 1970.
    pub stored_ms: i64,
    /// When it ends, in milliseconds since 1970; 0: never.
    pub expires_ms: i64,
    /// The log's sequence of the event that stored it.
    pub sequence: u64,
    /// The document of the same partition that tells it anew, as another memory: this one stays, and steps behind.
    pub successor: Option<u32>,
    /// The document of the same partition that is the next version of the same memory: this one is there as of earlier only.
    pub newer: Option<u32>,
    /// What its vectors are kept under.
    pub content: ContentHash,
}

impl Facts {
    fn to_record(self) -> [u8; FACTS_BYTES] {
        let mut record = [0; FACTS_BYTES];
        let mut rest = &mut record[..];
        let mut put = |bytes: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            rest = behind;
        };
        put(&self.length.to_le_bytes());
        put(&self.identifiers.to_le_bytes());
        for tag in [self.writer, self.kind, self.episode] {
            put(&tag.0.to_le_bytes());
        }
        for time in [self.occurred_ms, self.stored_ms, self.expires_ms] {
            put(&time.to_le_bytes());
        }
        put(&self.sequence.to_le_bytes());
        for other in [self.successor, self.newer] {
            // One more than the number, so that 0 is none; no partition comes near the last number.
            let other = other.map_or(0, |number| number.saturating_add(1));
            put(&other.to_le_bytes());
        }
        put(&self.content.0);
        record
    }

    fn of_record(record: &[u8; FACTS_BYTES]) -> Self {
        let rest = &mut &record[..];
        let (length, identifiers) = (
            u32::from_le_bytes(take(rest)),
            u32::from_le_bytes(take(rest)),
        );
        let [writer, kind, episode] = std::array::from_fn(|_| Tag(u64::from_le_bytes(take(rest))));
        let [occurred_ms, stored_ms, expires_ms] =
            std::array::from_fn(|_| i64::from_le_bytes(take(rest)));
        let sequence = u64::from_le_bytes(take(rest));
        let [successor, newer] =
            std::array::from_fn(|_| u32::from_le_bytes(take(rest)).checked_sub(1));
        Self {
            length,
            identifiers,
            writer,
            kind,
            episode,
            occurred_ms,
            stored_ms,
            expires_ms,
            sequence,
            successor,
            newer,
            content: ContentHash(take(rest)),
        }
    }
}

/// Takes the next bytes of a record whose length is known.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, behind) = rest
        .split_first_chunk()
        .expect("a record has its full length");
    *rest = behind;
    *bytes
}

/// Calls `visit` with each document of a block: its number within the block, and its facts.
pub fn each(block: &[u8], mut visit: impl FnMut(u32, Facts)) -> Result<(), Damaged> {
    block::each(block, |at, record| visit(at, Facts::of_record(record)))
        .map_err(|Malformed| Damaged::Facts)
}

/// The facts of one document of a block.
pub fn get(block: &[u8], offset: u32) -> Result<Option<Facts>, Damaged> {
    block::get(block, offset)
        .map(|record| record.map(Facts::of_record))
        .map_err(|Malformed| Damaged::Facts)
}

/// The block with the facts of the document at `offset` set, or without it; empty bytes when nothing is left.
pub fn set(block: &[u8], offset: u32, facts: Option<&Facts>) -> Result<Vec<u8>, Damaged> {
    let record = facts.map(|facts| facts.to_record());
    block::set(block, offset, record.as_ref()).map_err(|Malformed| Damaged::Facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_the_same_however_the_name_is_written() {
        assert_eq!(
            Tag::of_writer("Frontend-Dev"),
            Tag::of_writer("frontend dev")
        );
        assert_eq!(Tag::of_writer("hess,t.e."), Tag::of_writer("Hess, T. E."));
        assert_ne!(Tag::of_writer("frontend"), Tag::of_writer("frontend dev"));
        assert_eq!(Tag::of_writer(" ,. "), Tag::NONE);
        assert_ne!(
            Tag::of("alice"),
            Tag::of_writer("alice"),
            "a type is no writer"
        );
    }

    #[test]
    fn facts_come_back_as_they_were() {
        let facts = Facts {
            length: 12,
            identifiers: 3,
            writer: Tag(1),
            kind: Tag(2),
            episode: Tag(3),
            occurred_ms: -4,
            stored_ms: 5,
            expires_ms: 6,
            sequence: 7,
            successor: Some(0),
            newer: Some(8),
            content: ContentHash::of("nine"),
        };
        let block = set(
            &set(&[], 63, Some(&facts)).unwrap(),
            0,
            Some(&Facts::default()),
        )
        .unwrap();
        let mut seen = Vec::new();
        each(&block, |at, facts| seen.push((at, facts))).unwrap();
        assert_eq!(seen, [(0, Facts::default()), (63, facts)]);
        assert_eq!(
            set(&set(&block, 0, None).unwrap(), 63, None).unwrap(),
            [0_u8; 0]
        );
        assert_eq!(
            each(&block[..block.len() - 1], |_, _| ()),
            Err(Damaged::Facts)
        );
        assert_eq!(each(&[], |_, _| ()), Err(Damaged::Facts));
    }
}
