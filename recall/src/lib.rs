//! How memories are found: by their words, by what they mean, and by where they stand.
//!
//! Everything here is computed; the only IO is [`model::Embedder::load`], which reads the model's files. Rows belong to
//! whoever calls: one set of them is one *partition* (one namespace of one tenant), and a search sees the partitions that it is given and
//! nothing else, so what must not be found is never looked at.
//!
//! | module | owns |
//! |---|---|
//! | [`analyze`] | text becomes terms |
//! | [`rows`] | the seam to the store: ordered rows of bytes |
//! | [`postings`], [`facts`], [`revisions`] | the bytes of a block of rows |
//! | [`index`] | a document comes in, changes, goes |
//! | [`held`] | what is held of a partition in memory from search to search |
//! | [`model`] | text becomes vectors |
//! | [`vector`] | vectors in 8 bits, compared exactly |
//! | [`search`] | what is asked, and the ranked, explained answer |
//! | [`score`] | each part of a score: words, meaning, structure, supersession |

pub mod analyze;
mod block;
pub mod facts;
pub mod held;
pub mod index;
pub mod model;
pub mod postings;
pub mod revisions;
pub mod rows;
pub mod score;
pub mod search;
pub mod vector;

/// A row holds what this crate never writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damaged {
    /// A block of postings.
    #[error("a block of postings is damaged; the index must be built anew")]
    Postings,
    /// A block of facts.
    #[error("a block of facts is damaged; the index must be built anew")]
    Facts,
    /// A row of revisions.
    #[error("a row of revisions is damaged; the index must be built anew")]
    Revisions,
    /// A document's vectors.
    #[error("a document's vectors are damaged; they must be made anew")]
    Vectors,
}

/// Why an index could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError<E> {
    /// The store failed.
    #[error("the rows of an index could not be read or written")]
    Rows(#[source] E),
    /// The store answered, with something else than was put there.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}
