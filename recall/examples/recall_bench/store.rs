//! Rows in a redb file, as the product keeps them: behind a key of their tenant and namespace, among those of others.

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
};

use postroad_recall::rows::{Rows, RowsMut};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// As long as a tenant's and a namespace's together.
const PARTITION: &[u8] = b"a tenant and a namespace";

/// Rows of one partition while they are written.
pub(crate) struct Writing<'t>(Table<'t, &'static [u8], &'static [u8]>);

/// Rows of one partition as they were at one time.
pub(crate) struct Reading(ReadOnlyTable<&'static [u8], &'static [u8]>);

/// Writes rows in one transaction.
pub(crate) fn write<T>(
    database: &Database,
    change: impl FnOnce(&mut Writing<'_>) -> Result<T, Box<dyn std::error::Error>>,
) -> Result<T, Box<dyn std::error::Error>> {
    let transaction = database.begin_write()?;
    let done = change(&mut Writing(transaction.open_table(ROWS)?))?;
    transaction.commit()?;
    Ok(done)
}

/// The rows as they are now.
pub(crate) fn read(database: &Database) -> Result<Reading, Box<dyn std::error::Error>> {
    Ok(Reading(database.begin_read()?.open_table(ROWS)?))
}

fn key(of: &[u8]) -> Vec<u8> {
    [PARTITION, of].concat()
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    of: &[u8],
) -> Result<Option<Vec<u8>>, StorageError> {
    Ok(table
        .get(key(of).as_slice())?
        .map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), StorageError> {
    let prefix = key(prefix);
    for row in table.range(prefix.as_slice()..)? {
        let (key, value) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        visit(&key.value()[PARTITION.len()..], value.value());
    }
    Ok(())
}

impl Rows for Reading {
    type Error = StorageError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        get(&self.0, key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StorageError> {
        scan(&self.0, prefix, visit)
    }
}

impl Rows for Writing<'_> {
    type Error = StorageError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        get(&self.0, key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StorageError> {
        scan(&self.0, prefix, visit)
    }
}

impl RowsMut for Writing<'_> {
    fn put(&mut self, of: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.0.insert(key(of).as_slice(), value).map(drop)
    }

    fn remove(&mut self, of: &[u8]) -> Result<(), StorageError> {
        self.0.remove(key(of).as_slice()).map(drop)
    }
}
