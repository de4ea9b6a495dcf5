//! What is held of one partition in memory between searches: every document's facts and vectors, in blocks that are shared by
//! whoever holds an earlier or later state of the same partition.
//!
//! A [`Held`] never changes. [`Held::refreshed`] makes the next one at the cost of what changed: rows tell the revision of each block of
//! facts, and vectors land in order of sequences.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::{BLOCK_PLACES, is_set, rank};
use crate::facts::{self, ContentHash, FACTS_BLOCK_DOCUMENTS, Facts};
use crate::index::{each_revision, facts_block};
use crate::rows::Rows;
use crate::score::view::View;
use crate::search::AsOf;
use crate::vector::{BlockVectors, Embedding};
use crate::{Damaged, IndexError};

/// Bytes that a search keeps of each document beside its facts and vectors: where it stands among others.
const STANDING_BYTES: usize = 24;

/// The last block that document numbers reach.
const MAX_BLOCK: u32 = u32::MAX / FACTS_BLOCK_DOCUMENTS;

/// Where vectors are kept.
pub trait VectorSource {
    /// Why they could not be read.
    type Error;

    /// What the model in use made of a content; none where it made nothing of it.
    fn vectors(&self, content: ContentHash) -> Result<Option<Embedding>, Self::Error>;
}

/// No vectors: what stands for their source where there is no model.
#[derive(Debug, Clone, Copy)]
pub enum NoVectors {}

impl VectorSource for NoVectors {
    type Error = Infallible;

    fn vectors(&self, _: ContentHash) -> Result<Option<Embedding>, Self::Error> {
        match *self {}
    }
}

/// Vectors in memory.
impl VectorSource for BTreeMap<ContentHash, Embedding> {
    type Error = Infallible;

    fn vectors(&self, content: ContentHash) -> Result<Option<Embedding>, Infallible> {
        Ok(self.get(&content).cloned())
    }
}

/// Why a partition could not be read into memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError<R, V> {
    /// Its rows.
    #[error(transparent)]
    Index(#[from] IndexError<R>),
    /// The source of its vectors.
    #[error("the vectors of an index could not be read")]
    Vectors(#[source] V),
}

/// One partition in memory, as its rows were at one time.
#[derive(Debug, Default)]
pub struct Held {
    /// By the number of the block.
    blocks: Vec<Option<Arc<Block>>>,
    embedded_to: u64,
    with_vectors: bool,
    bytes: usize,
    /// The documents that count by now, as the last search found them.
    view: Mutex<Option<Arc<View>>>,
}

/// The documents of one block of facts.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    revision: u64,
    /// A bit for each document that is there.
    pub(crate) present: u64,
    /// Their facts, in order.
    pub(crate) facts: Vec<Facts>,
    pub(crate) vectors: BlockVectors,
}

/// How a new state of a partition is read: what it may take from the one before, and where the rest comes from.
struct Reading<'a, V> {
    /// Vectors of documents up to this sequence were looked up before; the others were not.
    looked_to: Option<u64>,
    vectors: Option<&'a V>,
    embedded_to: u64,
}

impl Held {
    /// Reads a partition. Vectors are looked up of documents up to the sequence `embedded_to`: all that the model has been through.
    pub fn load<R: Rows, V: VectorSource>(
        rows: &R,
        vectors: Option<&V>,
        embedded_to: u64,
    ) -> Result<Self, HoldError<R::Error, V::Error>> {
        Self::default().refreshed(rows, vectors, embedded_to)
    }

    /// What [`Self::load`] gives by now, at the cost of what changed since this one: blocks of facts with another revision, and
    /// vectors of documents behind the last `embedded_to`. Other documents that had no vectors are not looked up again. The rows are
    /// those of the same partition, the vectors of the same model.
    pub fn refreshed<R: Rows, V: VectorSource>(
        &self,
        rows: &R,
        vectors: Option<&V>,
        embedded_to: u64,
    ) -> Result<Self, HoldError<R::Error, V::Error>> {
        // Vectors that are no more, or of another model: none can be taken over.
        let same = vectors.is_some() == self.with_vectors && embedded_to >= self.embedded_to;
        let reading = Reading {
            looked_to: same.then_some(self.embedded_to),
            vectors,
            embedded_to,
        };
        let mut revisions = Vec::new();
        each_revision(rows, |block, revision| revisions.push((block, revision)))?;
        let mut blocks = Vec::new();
        for (number, revision) in revisions {
            if number > MAX_BLOCK || (number as usize) < blocks.len() {
                return Err(IndexError::from(Damaged::Revisions).into());
            }
            let before = self.block(number);
            let facts = match before {
                Some(before) if before.revision == revision => None,
                _ => Some(facts_block(rows, number)?),
            };
            let block = reading
                .block(before, facts.as_deref(), revision)
                .map_err(|error| match error {
                    BlockError::Damaged(damaged) => HoldError::Index(damaged.into()),
                    BlockError::Vectors(error) => HoldError::Vectors(error),
                })?;
            blocks.resize(number as usize, None);
            blocks.push(Some(block));
        }
        let facts_are_the_same = blocks.len() == self.blocks.len()
            && blocks
                .iter()
                .zip(&self.blocks)
                .all(|(after, before)| match (after, before) {
                    (Some(after), Some(before)) => after.revision == before.revision,
                    (None, None) => true,
                    _ => false,
                });
        let view = if facts_are_the_same {
            self.cached().clone()
        } else {
            None
        };
        Ok(Self {
            bytes: blocks.iter().flatten().map(|block| block.bytes()).sum(),
            blocks,
            embedded_to,
            with_vectors: vectors.is_some(),
            view: Mutex::new(view),
        })
    }

    /// How many documents are held, those that a search passes over included.
    pub fn documents(&self) -> usize {
        self.blocks
            .iter()
            .flatten()
            .map(|block| block.facts.len())
            .sum()
    }

    /// Bytes of memory that this takes, whatever of it is shared with others.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The facts of a document.
    pub fn facts(&self, number: u32) -> Option<&Facts> {
        let block = self.block(number / FACTS_BLOCK_DOCUMENTS)?;
        let at = number % FACTS_BLOCK_DOCUMENTS;
        is_set(block.present, at).then(|| &block.facts[rank(block.present, at)])
    }

    /// Every block, with the number of its first document.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u32, &Block)> {
        (0..)
            .step_by(FACTS_BLOCK_DOCUMENTS as usize)
            .zip(&self.blocks)
            .filter_map(|(first, block)| Some((first, block.as_deref()?)))
    }

    /// The documents that count at a time. Those of the newest state are kept until something in it expires.
    pub(crate) fn view(&self, now_ms: i64, as_of: Option<AsOf>) -> Arc<View> {
        if as_of.is_some() {
            return Arc::new(View::of(self, now_ms, as_of));
        }
        let kept = self.cached().clone();
        if let Some(view) = kept.filter(|view| view.holds_at(now_ms)) {
            return view;
        }
        let view = Arc::new(View::of(self, now_ms, None));
        *self.cached() = Some(Arc::clone(&view));
        view
    }

    fn block(&self, number: u32) -> Option<&Arc<Block>> {
        self.blocks.get(number as usize)?.as_ref()
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Arc<View>>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two are equal that hold the same, whatever of it they share.
impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (&self.blocks, self.embedded_to, self.with_vectors)
            == (&other.blocks, other.embedded_to, other.with_vectors)
    }
}

enum BlockError<V> {
    Damaged(Damaged),
    Vectors(V),
}

impl<V: VectorSource> Reading<'_, V> {
    /// A block by now: `facts` are the bytes of its row where they changed.
    fn block(
        &self,
        before: Option<&Arc<Block>>,
        facts: Option<&[u8]>,
        revision: u64,
    ) -> Result<Arc<Block>, BlockError<V::Error>> {
        if let (None, Some(before)) = (facts, before)
            && self.looked_to.is_some()
            && !self.has_landed(before)
        {
            return Ok(Arc::clone(before));
        }
        let (mut present, mut known) = (0, Vec::new());
        match (facts, before) {
            (Some(row), _) => facts::each(row, |at, facts| {
                present |= 1 << at;
                known.push(facts);
            })
            .map_err(BlockError::Damaged)?,
            (None, Some(before)) => {
                present = before.present;
                known.clone_from(&before.facts);
            }
            (None, None) => {}
        }
        let mut vectors = BlockVectors::default();
        let places = (0..BLOCK_PLACES).filter(|at| is_set(present, *at));
        for (at, facts) in places.zip(&known) {
            let before = before.filter(|_| self.looked_to.is_some());
            self.take_vectors(&mut vectors, at, facts, before.map(Arc::as_ref))?;
        }
        Ok(Arc::new(Block {
            revision,
            present,
            facts: known,
            vectors,
        }))
    }

    /// Whether vectors may be there by now that were not when the block was read.
    fn has_landed(&self, block: &Block) -> bool {
        let places = (0..BLOCK_PLACES).filter(|at| is_set(block.present, *at));
        let mut awaiting = places
            .zip(&block.facts)
            .filter(|(at, _)| !block.vectors.has(*at));
        awaiting.any(|(_, facts)| self.is_new(facts.sequence))
    }

    fn is_new(&self, sequence: u64) -> bool {
        self.vectors.is_some()
            && sequence <= self.embedded_to
            && self.looked_to.is_none_or(|to| sequence > to)
    }

    fn take_vectors(
        &self,
        vectors: &mut BlockVectors,
        at: u32,
        facts: &Facts,
        before: Option<&Block>,
    ) -> Result<(), BlockError<V::Error>> {
        let Some(source) = self.vectors.filter(|_| facts.sequence <= self.embedded_to) else {
            return Ok(());
        };
        // A number is never given out twice, so what stood there is the same document.
        if let Some(before) = before.filter(|before| is_set(before.present, at))
            && !self.is_new(facts.sequence)
        {
            vectors.take(at, &before.vectors);
            return Ok(());
        }
        if let Some(embedding) = source.vectors(facts.content).map_err(BlockError::Vectors)? {
            vectors.push(at, &embedding);
        }
        Ok(())
    }
}

impl Block {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.facts.len() * (size_of::<Facts>() + STANDING_BYTES)
            + self.vectors.bytes()
    }
}
