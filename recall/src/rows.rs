//! Where an index lies: ordered rows of bytes, one set of them a partition. The projector keeps them in redb, inside its own
//! transaction and under the tenant's and the namespace's key; tests and measurements keep them in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

/// Rows of one partition, read.
pub trait Rows {
    /// Why a row could not be read or written.
    type Error;

    /// The value of `key`, if there is one.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Shows every row whose key begins with `prefix`, in order of keys.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Self::Error>;
}

/// Rows of one partition, written.
pub trait RowsMut: Rows {
    /// Puts `value` at `key`, in place of what is there.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Self::Error>;

    /// Removes the row at `key`; it need not be there.
    fn remove(&mut self, key: &[u8]) -> Result<(), Self::Error>;
}

/// Rows in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRows(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryRows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }
}

impl Rows for MemoryRows {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Infallible> {
        for (key, value) in self
            .0
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
        {
            visit(key, value);
        }
        Ok(())
    }
}

impl RowsMut for MemoryRows {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Infallible> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), Infallible> {
        self.0.remove(key);
        Ok(())
    }
}
