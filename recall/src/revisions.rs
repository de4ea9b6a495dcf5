//! Which blocks of facts changed when. One row tells it of 64 blocks, so that whoever holds facts in memory finds what changed
//! without reading the rest.
//!
//! A revision is the log's sequence of the event that last changed a block, so it is a function of the log as everything else is.

use crate::Damaged;
use crate::block::{self, BLOCK_PLACES, Malformed};

/// How many blocks of facts one row tells of.
pub const REVISIONS_ROW_BLOCKS: u32 = BLOCK_PLACES;

/// Calls `visit` with each block that is there: its number within the row, and its revision.
pub fn each(row: &[u8], mut visit: impl FnMut(u32, u64)) -> Result<(), Damaged> {
    block::each(row, |at, revision| visit(at, u64::from_le_bytes(*revision)))
        .map_err(|Malformed| Damaged::Revisions)
}

/// The row with a block's revision set, or without the block; empty bytes when nothing is left.
pub fn set(row: &[u8], offset: u32, revision: Option<u64>) -> Result<Vec<u8>, Damaged> {
    let revision = revision.map(u64::to_le_bytes);
    block::set(row, offset, revision.as_ref()).map_err(|Malformed| Damaged::Revisions)
}
