//! One partition's index as rows: a document comes in, changes and goes, each at the cost of that document alone.
//!
//! | key | value |
//! |---|---|
//! | `p` term `0` block (u32 BE) | [`postings`]: 512 documents |
//! | `f` block (u32 BE) | [`facts`]: 64 documents |
//! | `r` row (u32 BE) | [`revisions`]: of 64 blocks of facts |
//!
//! There are no sums: how many documents there are, how long and how many hold a term is counted where they are read anyway.
//! So whatever comes in whatever order, the same documents, last changed by the same events, give the same bytes. Vectors are
//! not here: they are kept by whoever makes them, by [`ContentHash`], and outlive an index that is built anew.
//!
//! Whatever changes an index says by which event, as the log's sequence. What one event changes is committed together: a
//! reader who has seen a revision has seen all of it.

use crate::analyze::{Analysis, analyze};
use crate::facts::{self, ContentHash, FACTS_BLOCK_DOCUMENTS, Facts, Tag};
use crate::postings::{self, BLOCK_DOCUMENTS};
use crate::revisions::{self, REVISIONS_ROW_BLOCKS};
use crate::rows::{Rows, RowsMut};
use crate::{Damaged, IndexError};

/// A memory as its index sees it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its text.
    pub content: &'a str,
    /// Who wrote it.
    pub writer: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// Its episode, where its writer named one.
    pub episode: Option<&'a str>,
    /// When what it tells happened, in milliseconds since 1970.
    pub occurred_ms: i64,
    /// When it was stored, in milliseconds since 1970.
    pub stored_ms: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// The log's sequence of the event that stored it.
    pub sequence: u64,
}

impl Document<'_> {
    fn facts(&self, analysis: &Analysis) -> Facts {
        Facts {
            length: analysis.length,
            identifiers: analysis.identifiers,
            writer: Tag::of_writer(self.writer),
            kind: Tag::of(self.kind),
            episode: self.episode.map_or(Tag::NONE, Tag::of),
            occurred_ms: self.occurred_ms,
            stored_ms: self.stored_ms,
            expires_ms: self.expires_ms.unwrap_or(0),
            sequence: self.sequence,
            successor: None,
            newer: None,
            content: ContentHash::of(self.content),
        }
    }
}

/// How one document takes another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// As the next version of the same memory: the older one is found as of earlier only.
    Version,
    /// As another memory that tells it anew: the older one stays, and steps behind.
    Memory,
}

/// Takes in a document under a number that the caller gives out: from 0 upward, never twice, in order of sequences.
pub fn add<R: RowsMut>(
    rows: &mut R,
    number: u32,
    document: &Document<'_>,
    revision: u64,
) -> Result<(), IndexError<R::Error>> {
    let analysis = analyze(document.content);
    for (term, count) in &analysis.terms {
        set_posting(rows, term, number, *count)?;
    }
    set_facts(rows, number, Some(&document.facts(&analysis)), revision)
}

/// Takes out a document. `content` is what it came in with: its words say where it stands.
pub fn remove<R: RowsMut>(
    rows: &mut R,
    number: u32,
    content: &str,
    revision: u64,
) -> Result<(), IndexError<R::Error>> {
    for term in analyze(content).terms.keys() {
        set_posting(rows, term, number, 0)?;
    }
    set_facts(rows, number, None, revision)
}

/// Says that `successor` took the document's place, or that nothing did. A document that is not there stays so.
pub fn set_successor<R: RowsMut>(
    rows: &mut R,
    number: u32,
    succession: Succession,
    successor: Option<u32>,
    revision: u64,
) -> Result<(), IndexError<R::Error>> {
    let Some(mut facts) = facts_of(rows, number)? else {
        return Ok(());
    };
    match succession {
        Succession::Version => facts.newer = successor,
        Succession::Memory => facts.successor = successor,
    }
    set_facts(rows, number, Some(&facts), revision)
}

/// The facts of one document.
pub fn facts_of<R: Rows>(rows: &R, number: u32) -> Result<Option<Facts>, IndexError<R::Error>> {
    let block = rows
        .get(&facts_key(number / FACTS_BLOCK_DOCUMENTS))
        .map_err(IndexError::Rows)?;
    match block {
        Some(block) => Ok(facts::get(&block, number % FACTS_BLOCK_DOCUMENTS)?),
        None => Ok(None),
    }
}

/// The bytes of a block of facts, empty where there is none.
pub(crate) fn facts_block<R: Rows>(rows: &R, block: u32) -> Result<Vec<u8>, IndexError<R::Error>> {
    Ok(rows
        .get(&facts_key(block))
        .map_err(IndexError::Rows)?
        .unwrap_or_default())
}

/// Calls `visit` with every block of facts and its revision, in order.
pub(crate) fn each_revision<R: Rows>(
    rows: &R,
    mut visit: impl FnMut(u32, u64),
) -> Result<(), IndexError<R::Error>> {
    let mut outcome = Ok(());
    rows.scan(b"r", &mut |key, row| {
        if outcome.is_ok() {
            outcome = first_of(key, REVISIONS_ROW_BLOCKS, Damaged::Revisions)
                .and_then(|first| revisions::each(row, |at, revision| visit(first + at, revision)));
        }
    })
    .map_err(IndexError::Rows)?;
    Ok(outcome?)
}

/// Calls `visit` with every document that holds `term`, in order of numbers, and how often it does.
pub fn each_posting<R: Rows>(
    rows: &R,
    term: &str,
    mut visit: impl FnMut(u32, u32),
) -> Result<(), IndexError<R::Error>> {
    let mut outcome = Ok(());
    rows.scan(&postings_prefix(term), &mut |key, block| {
        if outcome.is_ok() {
            outcome = first_of(key, BLOCK_DOCUMENTS, Damaged::Postings).and_then(|first| {
                postings::each(block, |posting| {
                    visit(first + posting.offset, posting.count);
                })
            });
        }
    })
    .map_err(IndexError::Rows)?;
    Ok(outcome?)
}

fn set_posting<R: RowsMut>(
    rows: &mut R,
    term: &str,
    number: u32,
    count: u32,
) -> Result<(), IndexError<R::Error>> {
    let mut key = postings_prefix(term);
    key.extend((number / BLOCK_DOCUMENTS).to_be_bytes());
    let before = rows
        .get(&key)
        .map_err(IndexError::Rows)?
        .unwrap_or_default();
    let after = postings::set(&before, number % BLOCK_DOCUMENTS, count)?;
    put_or_remove(rows, &key, &before, &after)
}

fn set_facts<R: RowsMut>(
    rows: &mut R,
    number: u32,
    facts: Option<&Facts>,
    revision: u64,
) -> Result<(), IndexError<R::Error>> {
    let block = number / FACTS_BLOCK_DOCUMENTS;
    let before = facts_block(rows, block)?;
    let after = facts::set(&before, number % FACTS_BLOCK_DOCUMENTS, facts)?;
    if before == after {
        return Ok(());
    }
    put_or_remove(rows, &facts_key(block), &before, &after)?;
    let key = revisions_key(block / REVISIONS_ROW_BLOCKS);
    let known = rows
        .get(&key)
        .map_err(IndexError::Rows)?
        .unwrap_or_default();
    let revision = (!after.is_empty()).then_some(revision);
    let told = revisions::set(&known, block % REVISIONS_ROW_BLOCKS, revision)?;
    put_or_remove(rows, &key, &known, &told)
}

fn put_or_remove<R: RowsMut>(
    rows: &mut R,
    key: &[u8],
    before: &[u8],
    after: &[u8],
) -> Result<(), IndexError<R::Error>> {
    if before == after {
        return Ok(());
    }
    if after.is_empty() {
        rows.remove(key)
    } else {
        rows.put(key, after)
    }
    .map_err(IndexError::Rows)
}

/// No term holds a zero byte (it is no letter), so no term's rows lie among those of another.
fn postings_prefix(term: &str) -> Vec<u8> {
    [b"p", term.as_bytes(), &[0]].concat()
}

fn facts_key(block: u32) -> Vec<u8> {
    [&b"f"[..], &block.to_be_bytes()].concat()
}

fn revisions_key(row: u32) -> Vec<u8> {
    [&b"r"[..], &row.to_be_bytes()].concat()
}

/// The first of the numbers that the row of a key tells of, `each` of them a row.
fn first_of(key: &[u8], each: u32, damage: Damaged) -> Result<u32, Damaged> {
    key.last_chunk()
        .and_then(|row| u32::from_be_bytes(*row).checked_mul(each))
        .ok_or(damage)
}
