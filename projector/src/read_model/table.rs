//! Tables and rows as types, and [`TenantReader`], the one way to read a tenant's. Owns the tables'
//! names and how a row is stored; never knows what one means.

use super::keys::{ListedKey, Prefix, RowKey, beginning_with};
use crate::store::{RawTable, Snapshot, StoreError};
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
    Usage,
    Priorities,
    Memories,
    MemoryTexts,
    MemoryLanes,
    Namespaces,
    MemoryIndex,
    Tasks,
    TaskTexts,
    TaskOrder,
    Missions,
    MissionOrder,
    MissionProgress,
    TaskBits,
    TaskWaits,
    TaskLeases,
    TaskOutbox,
    TaskLoads,
    TaskDues,
}

impl Table {
    pub(crate) const ALL: [Self; 31] = [
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
        Self::Usage,
        Self::Priorities,
        Self::Memories,
        Self::MemoryTexts,
        Self::MemoryLanes,
        Self::Namespaces,
        Self::MemoryIndex,
        Self::Tasks,
        Self::TaskTexts,
        Self::TaskOrder,
        Self::Missions,
        Self::MissionOrder,
        Self::MissionProgress,
        Self::TaskBits,
        Self::TaskWaits,
        Self::TaskLeases,
        Self::TaskOutbox,
        Self::TaskLoads,
        Self::TaskDues,
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
            Self::Usage => "usage",
            Self::Priorities => "priorities",
            Self::Memories => "memories",
            Self::MemoryTexts => "memory_texts",
            Self::MemoryLanes => "memory_lanes",
            Self::Namespaces => "namespaces",
            Self::MemoryIndex => "memory_index",
            Self::Tasks => "tasks",
            Self::TaskTexts => "task_texts",
            Self::TaskOrder => "task_order",
            Self::Missions => "missions",
            Self::MissionOrder => "mission_order",
            Self::MissionProgress => "mission_progress",
            Self::TaskBits => "task_bits",
            Self::TaskWaits => "task_waits",
            Self::TaskLeases => "task_leases",
            Self::TaskOutbox => "task_outbox",
            Self::TaskLoads => "task_loads",
            Self::TaskDues => "task_dues",
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

/// A key or a value where it lies.
type Raw<'a> = redb::AccessGuard<'a, &'static [u8]>;

/// Rows with their keys, as they are read.
pub(super) type Rows<'r, R> =
    Box<dyn Iterator<Item = Result<(<R as Row>::Key, R), StoreError>> + 'r>;

/// Whoever has rows in `table`, without looking at any but the first of each.
pub(crate) fn owners_in(snapshot: &Snapshot, table: Table) -> Result<Vec<Prefix>, StoreError> {
    let rows = snapshot.table(table)?;
    let mut owners = Vec::new();
    let mut start = Bound::Unbounded;
    while let Some(first) = rows
        .range::<&[u8]>((start.as_ref().map(Vec::as_slice), Bound::Unbounded))?
        .next()
    {
        let (key, _) = first?;
        let owner = Prefix::read(&mut key.value()).ok_or_else(|| unreadable(table))?;
        start = match beginning_with(owner.key(&())).1 {
            Bound::Excluded(end) => Bound::Included(end),
            _ => break,
        };
        owners.push(owner);
    }
    Ok(owners)
}

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
    pub(crate) fn owner(&self) -> &str {
        self.prefix.owner()
    }

    /// The owner's part of every key.
    pub(super) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// A table whose rows are no [`Row`]s.
    pub(super) fn raw(&self, table: Table) -> Result<&'s RawTable, StoreError> {
        self.snapshot.table(table)
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
        Ok(Box::new(rows.map(move |row| self.read_row::<R>(row))))
    }

    /// Rows whose key begins with `under`, the last first, from before the key `before`.
    pub(crate) fn list_back<'r, R: Row<Key: ListedKey>>(
        &'r self,
        under: &impl RowKey,
        before: Option<&[u8]>,
    ) -> Result<Rows<'r, R>, StoreError> {
        let (start, end) = self.prefix.range_back(under, before);
        let bounds = (
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        );
        let rows = self.snapshot.table(R::TABLE)?.range::<&[u8]>(bounds)?;
        Ok(Box::new(rows.rev().map(move |row| self.read_row::<R>(row))))
    }

    fn read_row<R: Row<Key: ListedKey>>(
        &self,
        row: Result<(Raw<'_>, Raw<'_>), redb::StorageError>,
    ) -> Result<(R::Key, R), StoreError> {
        self.snapshot.count_row();
        let (key, value) = row?;
        let key = self.read_key::<R>(key.value())?;
        Ok((key, R::from_bytes(value.value())?))
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
}
