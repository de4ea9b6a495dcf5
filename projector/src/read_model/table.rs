//! Tables, keys and rows as types, and [`TenantReader`], the one way to read them. Owns how a key
//! is written: the tenant's name, a zero byte that no name contains, then the rest.

use crate::store::{Snapshot, StoreError};
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role};
use postroad_protocol::subject::Owner;
use postroad_protocol::tenancy::TenantScope;
use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Bound;

/// Every table but the shard's own `meta`. A stored name is never reused for other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Tenants,
    Roles,
    Credentials,
    Readers,
    Lanes,
    LaneBlocks,
    Marks,
    Events,
    Ids,
    Messages,
    Receipts,
    Quarantine,
}

impl Table {
    pub(crate) const ALL: [Self; 12] = [
        Self::Tenants,
        Self::Roles,
        Self::Credentials,
        Self::Readers,
        Self::Lanes,
        Self::LaneBlocks,
        Self::Marks,
        Self::Events,
        Self::Ids,
        Self::Messages,
        Self::Receipts,
        Self::Quarantine,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Roles => "roles",
            Self::Credentials => "credentials",
            Self::Readers => "readers",
            Self::Lanes => "lanes",
            Self::LaneBlocks => "lane_blocks",
            Self::Marks => "marks",
            Self::Events => "events",
            Self::Ids => "ids",
            Self::Messages => "messages",
            Self::Receipts => "receipts",
            Self::Quarantine => "quarantine",
        }
    }

    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// What one table holds: MessagePack with fields by place, so that a row spends no bytes on names.
pub(crate) trait Row: Serialize + DeserializeOwned {
    /// What names a row inside its tenant.
    type Key: RowKey;
    /// Where it lies.
    const TABLE: Table;

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        rmp_serde::from_slice(bytes).map_err(|_| unreadable(Self::TABLE))
    }
}

pub(crate) fn unreadable(table: Table) -> StoreError {
    StoreError::Unreadable {
        table: table.name(),
    }
}

/// A key, or its first parts. Written so that keys sort as their parts do.
pub(crate) trait RowKey {
    fn write(&self, key: &mut Vec<u8>);

    fn bytes(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.write(&mut key);
        key
    }
}

/// A key that is read back when rows are listed.
pub(crate) trait ListedKey: RowKey + Sized {
    /// Takes this part off the front of `key`.
    fn read(key: &mut &[u8]) -> Option<Self>;
}

impl RowKey for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

impl RowKey for u64 {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.to_be_bytes());
    }
}

impl ListedKey for u64 {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(Self::from_be_bytes(*bytes))
    }
}

/// Writes a name, and the zero byte that ends it.
pub(crate) fn write_name(name: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(name.as_bytes());
    key.push(0);
}

/// Takes a name and its zero byte off the front of `key`.
pub(crate) fn read_name<'a>(key: &mut &'a [u8]) -> Option<&'a str> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (name, rest) = key.split_at(end);
    *key = rest.get(1..)?;
    std::str::from_utf8(name).ok()
}

impl RowKey for Role {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(self.as_str(), key);
    }
}

impl ListedKey for Role {
    fn read(key: &mut &[u8]) -> Option<Self> {
        Self::parse(read_name(key)?).ok()
    }
}

impl RowKey for InstanceId {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(self.as_str(), key);
    }
}

impl ListedKey for InstanceId {
    fn read(key: &mut &[u8]) -> Option<Self> {
        Self::parse(read_name(key)?).ok()
    }
}

impl RowKey for Reader {
    fn write(&self, key: &mut Vec<u8>) {
        self.role.write(key);
        self.instance.write(key);
    }
}

impl ListedKey for Reader {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let role = Role::read(key)?;
        let instance = InstanceId::read(key)?;
        Some(Self { role, instance })
    }
}

impl RowKey for EventKey {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl RowKey for CommandId {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl ListedKey for CommandId {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(Self::from_bytes(*bytes))
    }
}

impl<A: RowKey, B: RowKey> RowKey for (A, B) {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
        self.1.write(key);
    }
}

impl<A: ListedKey, B: ListedKey> ListedKey for (A, B) {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let first = A::read(key)?;
        let second = B::read(key)?;
        Some((first, second))
    }
}

/// The owner's part of every key. Made from a scope, so a row function cannot be given a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix(Box<[u8]>);

impl Prefix {
    /// Rows of the tenant in `scope`.
    pub(crate) fn of(scope: &TenantScope) -> Self {
        Self::of_owner(scope.owner())
    }

    /// Rows of the deployment itself. No tenant's name begins with its underscore.
    pub(crate) fn system() -> Self {
        Self::of_owner(Owner::System)
    }

    fn of_owner(owner: Owner<'_>) -> Self {
        let mut key = Vec::new();
        write_name(owner.token(), &mut key);
        Self(key.into())
    }

    pub(crate) fn key(&self, key: &impl RowKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + 48);
        self.write_key(key, &mut bytes);
        bytes
    }

    pub(crate) fn write_key(&self, key: &impl RowKey, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
        key.write(bytes);
    }

    /// The range of keys that begin with `under`, from behind `after`, which is such a key's rest.
    pub(crate) fn range(
        &self,
        under: &impl RowKey,
        after: Option<&[u8]>,
    ) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let first = self.key(under);
        let end = successor(&first);
        let start = match after {
            None => Bound::Included(first),
            Some(rest) => Bound::Excluded([&self.0, rest].concat()),
        };
        (start, end)
    }

    /// A row's own key without the owner's part.
    pub(crate) fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&*self.0)
    }
}

/// Behind every key that begins with `first`.
fn successor(first: &[u8]) -> Bound<Vec<u8>> {
    let mut end = first.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageOf<'a> {
    /// Rows at most.
    pub limit: usize,
    /// Go on behind this: `next` of the page before.
    pub after: Option<&'a [u8]>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// What was found, in order.
    pub rows: Vec<T>,
    /// Where the next page begins; none when this is the last.
    pub next: Option<Box<[u8]>>,
}

/// Rows with their keys, as they are read.
type Rows<'r, R> = Box<dyn Iterator<Item = Result<(<R as Row>::Key, R), StoreError>> + 'r>;

/// The rows of one tenant at one moment.
#[derive(Debug)]
pub struct TenantReader<'s> {
    snapshot: &'s Snapshot,
    prefix: Prefix,
}

impl<'s> TenantReader<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, prefix: Prefix) -> Self {
        Self { snapshot, prefix }
    }

    /// The owner's name, as it stands in every key.
    pub(super) fn owner(&self) -> &str {
        std::str::from_utf8(&self.prefix.0)
            .unwrap_or_default()
            .trim_end_matches('\0')
    }

    pub(crate) fn get<R: Row>(&self, key: &R::Key) -> Result<Option<R>, StoreError> {
        self.snapshot.count_row();
        let found = self
            .snapshot
            .table(R::TABLE)?
            .get(self.prefix.key(key).as_slice())?;
        found.map(|row| R::from_bytes(row.value())).transpose()
    }

    /// Rows whose key begins with `under`, in order, from behind the key `after`.
    pub(crate) fn list<'r, R: Row<Key: ListedKey>>(
        &'r self,
        under: &impl RowKey,
        after: Option<&[u8]>,
    ) -> Result<Rows<'r, R>, StoreError> {
        let (start, end) = self.prefix.range(under, after);
        let bounds = (
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        );
        let rows = self.snapshot.table(R::TABLE)?.range::<&[u8]>(bounds)?;
        Ok(Box::new(rows.map(move |row| {
            self.snapshot.count_row();
            let (key, value) = row?;
            let key = self.read_key::<R>(key.value())?;
            Ok((key, R::from_bytes(value.value())?))
        })))
    }

    fn read_key<R: Row>(&self, key: &[u8]) -> Result<R::Key, StoreError>
    where
        R::Key: ListedKey,
    {
        let mut rest = self.prefix.strip(key).ok_or_else(|| unreadable(R::TABLE))?;
        R::Key::read(&mut rest).ok_or_else(|| unreadable(R::TABLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_at_its_place_and_no_name_is_used_twice() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, place);
        }
        let names: std::collections::BTreeSet<_> = Table::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(names.len(), Table::ALL.len());
    }

    #[test]
    fn a_name_never_reads_as_the_beginning_of_another() {
        let role = |name| Role::parse(name).unwrap();
        let range = Prefix::system().range(&role("tau"), None);
        let inside = Prefix::system().key(&(role("tau"), 7));
        let beside = Prefix::system().key(&(role("tau-2"), 7));
        let holds = |key: &Vec<u8>| std::ops::RangeBounds::contains(&range, key);
        assert!(holds(&inside) && !holds(&beside));
    }

    #[test]
    fn the_range_of_a_prefix_of_last_bytes_has_an_end() {
        assert_eq!(successor(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(successor(&[255]), Bound::Unbounded);
    }
}
