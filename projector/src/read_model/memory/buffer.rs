//! Rows of indexes while a batch is folded: a memory changes a row for each of its words, and the memories of a batch share most of
//! them. Each is read once and written once, in order of key. Owns what was changed and is not written yet; whoever else reads or
//! deletes these rows has them written first.

use crate::read_model::batch::OpenTable;
use crate::store::StoreError;
use foldhash::HashMap;

/// Bytes of changed rows that are held before they are written out.
pub(crate) const INDEX_HELD_MAX_BYTES: usize = if cfg!(test) { 2_000 } else { 16 * 1024 * 1024 };
/// What a row takes beside its bytes.
const ROW_BYTES: usize = 96;

/// Changed rows by the whole of their keys; none in place of one that was removed.
#[derive(Default)]
pub(crate) struct IndexBuffer {
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl IndexBuffer {
    /// The row as it was last changed, where it was.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.rows.get(key)
    }

    /// Changes a row.
    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let length = value.map_or(0, <[u8]>::len);
        if let Some(held) = self.rows.get_mut(key) {
            self.bytes = self.bytes + length - held.as_ref().map_or(0, Vec::len);
            match (held, value) {
                (Some(held), Some(value)) => {
                    held.clear();
                    held.extend_from_slice(value);
                }
                (held, value) => *held = value.map(<[u8]>::to_vec),
            }
            return;
        }
        self.bytes += ROW_BYTES + key.len() + length;
        self.rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    /// Changed rows whose key begins with `prefix`.
    pub(super) fn within<'b>(
        &'b self,
        prefix: &'b [u8],
    ) -> impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)> {
        self.rows
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .filter(move |(key, _)| key.starts_with(prefix))
    }

    /// About how many bytes of memory are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes what was changed, in order of key: the tree's pages are then each visited once.
    pub(crate) fn write_out(&mut self, table: &mut OpenTable<'_>) -> Result<(), StoreError> {
        let mut rows: Vec<_> = self.rows.drain().collect();
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in rows {
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
        self.bytes = 0;
        Ok(())
    }
}
