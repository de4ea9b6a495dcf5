//! The rows of a file beside a shard's: of one moment, to be read, and of one transaction, to be written.
//! A table is named as the layout names it.

use super::tenure::{IsOver, Tenure};
use super::{META, REACHED, SideFile, table};
use crate::read_model::keys::RowKey;
use crate::store::{RawTable, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// A name that is not in the layout is a mistake in this crate.
const NO_TABLE: &str = "the table is in the file's layout";

/// A file's rows of one moment.
pub(crate) struct SideSnapshot {
    file: Arc<SideFile>,
    tables: Vec<(&'static str, RawTable)>,
    transaction: ReadTransaction,
    /// Last: the file ends with its readers.
    _database: Arc<Database>,
}

impl std::fmt::Debug for SideSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SideSnapshot")
    }
}

impl SideSnapshot {
    pub(super) fn of(file: Arc<SideFile>, database: Arc<Database>) -> Result<Self, StoreError> {
        let transaction = database.begin_read()?;
        let mut tables = Vec::new();
        for name in file.tables() {
            tables.push((name, transaction.open_table(table(name))?));
        }
        Ok(Self {
            file,
            tables,
            transaction,
            _database: database,
        })
    }

    /// The rows of one tenure.
    pub(crate) fn reader<'s>(&'s self, tenure: &'s Tenure) -> SideReader<'s> {
        SideReader {
            snapshot: self,
            tenure,
        }
    }

    /// Every tenure of which there is a row, in each table in order.
    pub(super) fn tenures(&self) -> Result<Vec<Tenure>, StoreError> {
        let mut found = Vec::new();
        for (name, table) in &self.tables {
            let mut start = Bound::Unbounded;
            while let Some(first) = table
                .range::<&[u8]>((start.as_ref().map(Vec::as_slice), Bound::Unbounded))?
                .next()
            {
                let (key, _) = first?;
                let unreadable = StoreError::Unreadable { table: name };
                let tenure = Tenure::read(&mut key.value()).ok_or(unreadable)?;
                // Behind all of them, without looking at any.
                start = match tenure.range(&(), None).1 {
                    Bound::Excluded(end) => Bound::Included(end),
                    _ => break,
                };
                found.push(tenure);
            }
        }
        Ok(found)
    }

    /// One of the file's own numbers.
    pub(super) fn meta(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let meta = self.transaction.open_table(META)?;
        Ok(meta.get(key)?.map(|value| value.value()))
    }

    pub(super) fn table(&self, name: &str) -> &RawTable {
        let found = self.tables.iter().find(|(table, _)| *table == name);
        &found.expect(NO_TABLE).1
    }
}

/// One tenure's rows of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SideReader<'s> {
    snapshot: &'s SideSnapshot,
    tenure: &'s Tenure,
}

impl SideReader<'_> {
    /// The value of a key.
    pub(crate) fn get(
        &self,
        table: &str,
        key: &impl RowKey,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let found = get(self.snapshot.table(table), self.tenure, key);
        self.snapshot.file.noting(found)
    }

    /// Shows every row whose key begins with `under`, in order, from behind the key `after`: the key without
    /// its tenure, and the value.
    pub(crate) fn scan(
        &self,
        table: &str,
        under: &impl RowKey,
        after: Option<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let table = self.snapshot.table(table);
        let seen = scan(table, self.tenure, under, after, visit);
        self.snapshot.file.noting(seen)
    }

    /// The sequence up to which whoever fills the file has come with `what`, a part of it that is filled by
    /// itself; 0 before the first.
    pub(crate) fn reached(&self, what: &impl RowKey) -> Result<u64, StoreError> {
        Ok(number(self.get(REACHED, what)?))
    }

    /// A row of `table` does not read: the file is thrown away and filled anew.
    pub(crate) fn unreadable(&self, table: &'static str) -> StoreError {
        let error = StoreError::Unreadable { table };
        self.snapshot.file.note(&error);
        error
    }
}

/// An open transaction.
pub(crate) struct SideBatch<'t> {
    transaction: &'t WriteTransaction,
    is_over: &'t IsOver,
    /// A table is opened once, and stays open.
    tables: Vec<(&'static str, OpenTable<'t>)>,
}

impl<'t> SideBatch<'t> {
    pub(super) fn of(transaction: &'t WriteTransaction, is_over: &'t IsOver) -> Self {
        Self {
            transaction,
            is_over,
            tables: Vec::new(),
        }
    }

    /// The rows of one tenure; none when it is over: nothing may be written for it any more.
    pub(crate) fn writer<'b>(&'b mut self, tenure: &'b Tenure) -> Option<SideWriter<'b, 't>> {
        (!(self.is_over)(tenure)).then_some(SideWriter {
            batch: self,
            tenure,
        })
    }

    fn table(&mut self, name: &'static str) -> Result<&mut OpenTable<'t>, StoreError> {
        let known = self.tables.iter().position(|(open, _)| *open == name);
        let at = known.unwrap_or(self.tables.len());
        if known.is_none() {
            let open = self.transaction.open_table(table(name))?;
            self.tables.push((name, open));
        }
        Ok(&mut self.tables[at].1)
    }
}

/// One tenure's rows in an open transaction.
pub(crate) struct SideWriter<'b, 't> {
    batch: &'b mut SideBatch<'t>,
    tenure: &'b Tenure,
}

impl SideWriter<'_, '_> {
    /// The value of a key.
    pub(crate) fn get(
        &mut self,
        table: &'static str,
        key: &impl RowKey,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let tenure = self.tenure;
        get(self.batch.table(table)?, tenure, key)
    }

    /// As [`SideReader::scan`].
    pub(crate) fn scan(
        &mut self,
        table: &'static str,
        under: &impl RowKey,
        after: Option<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let tenure = self.tenure;
        scan(self.batch.table(table)?, tenure, under, after, visit)
    }

    /// Puts a value at a key, in place of what is there.
    pub(crate) fn put(
        &mut self,
        table: &'static str,
        key: &impl RowKey,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let key = self.tenure.key(key);
        self.batch.table(table)?.insert(key.as_slice(), value)?;
        Ok(())
    }

    /// Removes the row at a key; it need not be there.
    pub(crate) fn remove(
        &mut self,
        table: &'static str,
        key: &impl RowKey,
    ) -> Result<(), StoreError> {
        let key = self.tenure.key(key);
        self.batch.table(table)?.remove(key.as_slice())?;
        Ok(())
    }

    /// As [`SideReader::reached`].
    pub(crate) fn reached(&mut self, what: &impl RowKey) -> Result<u64, StoreError> {
        Ok(number(self.get(REACHED, what)?))
    }

    /// Whoever fills the file has come to `sequence` with `what`.
    pub(crate) fn set_reached(
        &mut self,
        what: &impl RowKey,
        sequence: u64,
    ) -> Result<(), StoreError> {
        self.put(REACHED, what, &sequence.to_be_bytes())
    }
}

fn number(stored: Option<Vec<u8>>) -> u64 {
    let bytes = stored.and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    tenure: &Tenure,
    key: &impl RowKey,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = table.get(tenure.key(key).as_slice())?;
    Ok(found.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    tenure: &Tenure,
    under: &impl RowKey,
    after: Option<&[u8]>,
    mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let (start, end) = tenure.range(under, after);
    let bounds = (
        start.as_ref().map(Vec::as_slice),
        end.as_ref().map(Vec::as_slice),
    );
    let whose = tenure.key(&()).len();
    for row in table.range::<&[u8]>(bounds)? {
        let (key, value) = row?;
        if visit(&key.value()[whose..], value.value()).is_break() {
            break;
        }
    }
    Ok(())
}
