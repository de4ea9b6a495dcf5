//! A namespace's index as rows of the store: keys of the index behind the owner's and the namespace's, values as the index writes them.

use super::buffer::IndexBuffer;
use crate::read_model::batch::OpenTable;
use crate::read_model::keys::{Prefix, successor};
use crate::read_model::table::{Table, unreadable};
use crate::store::{RawTable, StoreError};
use postroad_protocol::memory::Namespace;
use postroad_recall::IndexError;
use postroad_recall::rows::{Rows, RowsMut};
use redb::ReadableTable;
use std::collections::BTreeMap;

/// Bytes behind which no key of the namespace's index lies.
fn bounds(first: &[u8]) -> (std::ops::Bound<&[u8]>, std::ops::Bound<Vec<u8>>) {
    (std::ops::Bound::Included(first), successor(first))
}

fn scan_in<T>(
    table: &T,
    place: &[u8],
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), StoreError>
where
    T: ReadableTable<&'static [u8], &'static [u8]>,
{
    let first = [place, prefix].concat();
    let (start, end) = bounds(&first);
    let range = (start, end.as_ref().map(Vec::as_slice));
    for row in table.range::<&[u8]>(range)? {
        let (key, value) = row?;
        visit(&key.value()[place.len()..], value.value());
    }
    Ok(())
}

/// An index of a snapshot.
pub(crate) struct IndexReader<'s> {
    table: &'s RawTable,
    place: Vec<u8>,
}

impl<'s> IndexReader<'s> {
    pub(crate) fn new(table: &'s RawTable, owner: &Prefix, namespace: &Namespace) -> Self {
        let place = owner.key(namespace);
        Self { table, place }
    }
}

impl Rows for IndexReader<'_> {
    type Error = StoreError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.table.get([&self.place, key].concat().as_slice())?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        scan_in(self.table, &self.place, prefix, visit)
    }
}

/// An index in an open batch: what the batch has changed of it, above what is stored.
pub(crate) struct IndexWriter<'b, 't> {
    table: &'b OpenTable<'t>,
    changed: &'b mut IndexBuffer,
    place: Vec<u8>,
}

impl<'b, 't> IndexWriter<'b, 't> {
    pub(crate) fn new(
        table: &'b OpenTable<'t>,
        changed: &'b mut IndexBuffer,
        owner: &Prefix,
        namespace: &Namespace,
    ) -> Self {
        let place = owner.key(namespace);
        Self {
            table,
            changed,
            place,
        }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.place, key].concat()
    }
}

impl Rows for IndexWriter<'_, '_> {
    type Error = StoreError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(key);
        if let Some(changed) = self.changed.get(&key) {
            return Ok(changed.clone());
        }
        let found = self.table.get(key.as_slice())?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let mut rows = BTreeMap::new();
        scan_in(self.table, &self.place, prefix, &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
        })?;
        let changed = self.key(prefix);
        for (key, value) in self.changed.within(&changed) {
            let key = &key[self.place.len()..];
            match value {
                Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
                None => drop(rows.remove(key)),
            }
        }
        for (key, value) in &rows {
            visit(key, value);
        }
        Ok(())
    }
}

impl RowsMut for IndexWriter<'_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let key = self.key(key);
        self.changed.set(&key, Some(value));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let key = self.key(key);
        self.changed.set(&key, None);
        Ok(())
    }
}

impl From<IndexError<StoreError>> for StoreError {
    fn from(error: IndexError<StoreError>) -> Self {
        match error {
            IndexError::Rows(error) => error,
            _ => unreadable(Table::MemoryIndex),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_model::batch::{BatchTables, NewRows};
    use crate::store::Store;

    #[test]
    fn what_a_batch_has_changed_lies_above_what_is_stored() {
        let store = Store::in_memory();
        let transaction = store.begin_write().unwrap();
        let mut tables = BatchTables::open(&transaction, NewRows::default()).unwrap();
        let (owner, space) = (Prefix::system(), Namespace::parse_stored("global").unwrap());
        let mut change = |rows: &[(&[u8], Option<&[u8]>)]| {
            let (table, changed) = tables.index().unwrap();
            let mut index = IndexWriter::new(table, changed, &owner, &space);
            for (key, value) in rows {
                match value {
                    Some(value) => index.put(key, value).unwrap(),
                    None => index.remove(key).unwrap(),
                }
            }
            let mut seen = Vec::new();
            let mut see = |key: &[u8], value: &[u8]| seen.push((key.to_vec(), value.to_vec()));
            index.scan(b"p", &mut see).unwrap();
            for (key, value) in &seen {
                assert_eq!(index.get(key).unwrap().as_ref(), Some(value));
            }
            assert_eq!(index.get(b"pc").unwrap(), None);
            tables.write_index().unwrap();
            seen
        };
        let row = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
        let first = change(&[
            (b"pa", Some(b"1")),
            (b"pc", Some(b"3")),
            (b"pb", Some(b"2")),
            (b"q", Some(b"9")),
            (b"pc", None),
        ]);
        assert_eq!(first, [row(b"pa", b"1"), row(b"pb", b"2")]);
        let second = change(&[(b"pa", None), (b"pd", Some(b"4")), (b"pb", Some(b"20"))]);
        assert_eq!(second, [row(b"pb", b"20"), row(b"pd", b"4")]);
        assert_eq!(change(&[]), second);
    }
}
