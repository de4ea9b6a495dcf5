//! Rows that are only ever added, gathered while a batch is folded and written together: in order
//! of key and in runs, which spares the tree a descent for each and leaves its pages full.

use super::batch::OpenTable;
use crate::store::StoreError;
use redb::CursorError;
use std::ops::Bound;

/// Rows from which on they are written in runs: a run of a few costs more than as many descents.
const RUNS_FROM: usize = if cfg!(test) { 8 } else { 512 };

/// Bytes after which a run ends: redb keeps a run in memory until then, and memory that grows large is
/// the system's to clear.
const RUN_MAX_BYTES: usize = if cfg!(test) { 500 } else { 64 * 1024 };

/// New rows of one table. Their keys are not in it, and nobody reads them before they are written.
#[derive(Default)]
pub(crate) struct Appended {
    /// Keys and values, one after the other.
    bytes: Vec<u8>,
    /// Where each key begins and ends, and its value ends.
    rows: Vec<(usize, usize, usize)>,
}

impl Appended {
    /// Adds a row, whose parts are written by the functions given.
    pub(super) fn push(
        &mut self,
        key: impl FnOnce(&mut Vec<u8>),
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.rows.push((start, middle, self.bytes.len()));
    }

    /// Bytes gathered.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the rows into `table` and forgets them.
    pub(super) fn write_out(&mut self, table: &mut OpenTable<'_>) -> Result<(), StoreError> {
        let bytes = &self.bytes;
        self.rows
            .sort_unstable_by_key(|(start, middle, _)| &bytes[*start..*middle]);
        let row = |(start, middle, end): &(usize, usize, usize)| {
            (&bytes[*start..*middle], &bytes[*middle..*end])
        };
        let rows = self.rows.iter().map(row);
        if self.rows.len() < RUNS_FROM {
            for (key, value) in rows {
                table.insert(key, value)?;
            }
        } else {
            insert_runs(table, rows)?;
        }
        self.bytes.clear();
        self.rows.clear();
        Ok(())
    }
}

/// Inserts rows that come in order of key and are not in `table`.
fn insert_runs<'r>(
    table: &mut OpenTable<'_>,
    rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
) -> Result<(), StoreError> {
    let mut rows = rows.peekable();
    while let Some((first, value)) = rows.next() {
        let mut cursor = table.upper_bound_mut(Bound::Included(first))?;
        cursor.insert_before(first, value)?;
        let mut bytes = first.len() + value.len();
        while let Some((key, value)) = rows.peek()
            && bytes < RUN_MAX_BYTES
        {
            bytes += key.len() + value.len();
            match cursor.insert_before(*key, *value) {
                Ok(()) => rows.next(),
                // The run ends at a key of the table: another begins behind that.
                Err(CursorError::UnorderedKey) => break,
                Err(error) => return Err(error.into()),
            };
        }
        cursor.close()?;
    }
    Ok(())
}
