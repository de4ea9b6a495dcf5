//! What belongs to the shard and to no tenant: schema version, checkpoint, accepted damage, the
//! count of quarantined events; and [`OperatorReader`], for what no tenant is shown.

use super::keys::{ListedKey, Prefix, read_name};
use super::quarantine::{QuarantineRow, Quarantined};
use super::table::{Listed, PageOf, Row, Table, unreadable};
use crate::checkpoint::Checkpoint;
use crate::store::{DumpedRow, SCHEMA, Snapshot, StoreError, if_there};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::EventKey;
use postroad_protocol::tenancy::RequestContext;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Bound;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
const CHECKPOINT_KEY: &str = "checkpoint";
const DAMAGE_KEY: &str = "accepted_damage";
const QUARANTINED_KEY: &str = "quarantined";

fn read<T: DeserializeOwned>(
    transaction: &ReadTransaction,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let Some(table) = if_there(transaction.open_table(META))? else {
        return Ok(None);
    };
    table.get(key)?.map(|row| decode(row.value())).transpose()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|_| StoreError::Unreadable { table: "meta" })
}

pub(crate) fn schema(transaction: &ReadTransaction) -> Result<Option<u32>, StoreError> {
    read(transaction, SCHEMA_KEY)
}

pub(crate) fn checkpoint(transaction: &ReadTransaction) -> Result<Option<Checkpoint>, StoreError> {
    read(transaction, CHECKPOINT_KEY)
}

pub(crate) fn create(transaction: &WriteTransaction) -> Result<(), StoreError> {
    Meta::open(transaction)?.put(SCHEMA_KEY, &SCHEMA)
}

pub(crate) fn dump(transaction: &ReadTransaction) -> Result<Vec<DumpedRow>, StoreError> {
    let mut rows = Vec::new();
    for row in transaction.open_table(META)?.iter()? {
        let (key, value) = row?;
        rows.push(("meta", key.value().as_bytes().into(), value.value().into()));
    }
    Ok(rows)
}

/// The shard's own rows, to be written.
pub(crate) struct Meta<'t>(redb::Table<'t, &'static str, &'static [u8]>);

impl<'t> Meta<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self(transaction.open_table(META)?))
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.0.get(key)?.map(|row| decode(row.value())).transpose()
    }

    fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), StoreError> {
        let bytes = rmp_serde::to_vec(value).expect("plain data always encodes");
        self.0.insert(key, bytes.as_slice())?;
        Ok(())
    }

    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.get(CHECKPOINT_KEY)
    }

    pub(crate) fn set_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        self.put(CHECKPOINT_KEY, &checkpoint)
    }

    /// Whatever it is, as a damaged file may hold.
    #[cfg(test)]
    pub(crate) fn put_checkpoint_for_test<T: Serialize>(&mut self, value: &T) {
        self.put(CHECKPOINT_KEY, value).unwrap();
    }

    pub(crate) fn accept_damage(&mut self, ranges: &[(u64, u64)]) -> Result<(), StoreError> {
        self.put(DAMAGE_KEY, &ranges)
    }

    pub(crate) fn count_quarantined(&mut self, more: u64) -> Result<(), StoreError> {
        let before: u64 = self.get(QUARANTINED_KEY)?.unwrap_or(0);
        self.put(QUARANTINED_KEY, &(before + more))
    }
}

impl Snapshot {
    /// How many events were set aside.
    pub fn quarantined(&self) -> Result<u64, StoreError> {
        Ok(read(self.transaction(), QUARANTINED_KEY)?.unwrap_or(0))
    }

    /// The ranges of sequences that an operator gave up.
    pub fn accepted_damage(&self) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(read(self.transaction(), DAMAGE_KEY)?.unwrap_or_default())
    }

    /// Where an event of the deployment's own is stored.
    pub fn system_event_sequence(&self, key: EventKey) -> Result<Option<u64>, StoreError> {
        super::table::TenantReader::new(self, Prefix::system()).event_sequence(key)
    }

    /// What only the operator sees.
    ///
    /// # Errors
    /// `permission_denied` for an agent's context.
    pub fn operator(&self, context: &RequestContext) -> Result<OperatorReader<'_>, Refusal> {
        context.require_operator()?;
        Ok(OperatorReader { snapshot: self })
    }
}

/// What the operator sees of a shard as a whole.
#[derive(Debug)]
pub struct OperatorReader<'s> {
    snapshot: &'s Snapshot,
}

impl OperatorReader<'_> {
    /// Events that were set aside, in order of owner and sequence.
    pub fn quarantine(&self, page: PageOf<'_>) -> Result<Listed<Quarantined>, StoreError> {
        let start = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.snapshot.table(Table::Quarantine)?;
        let mut rows = Vec::new();
        let mut last = None;
        for row in table.range::<&[u8]>((start, Bound::Unbounded))? {
            if rows.len() == page.limit {
                return Ok(Listed { rows, next: last });
            }
            self.snapshot.count_row();
            let (key, value) = row?;
            let mut rest = key.value();
            let owner = read_name(&mut rest).map(str::to_owned);
            let (Some(owner), Some(sequence)) = (owner, u64::read(&mut rest)) else {
                return Err(unreadable(Table::Quarantine));
            };
            rows.push(QuarantineRow::from_bytes(value.value())?.shown(owner, sequence));
            last = Some(key.value().into());
        }
        Ok(Listed { rows, next: None })
    }
}
