//! What belongs to the shard and to no tenant: schema version, checkpoint, accepted damage, the
//! count of quarantined events; and [`OperatorReader`], for what no tenant is shown.

use super::keys::{ListedKey, Prefix, read_name};
use super::quarantine::{QuarantineRow, Quarantined};
use super::table::{Listed, PageOf, Row, Table, unreadable};
use crate::checkpoint::Checkpoint;
use crate::store::{DumpedRow, SCHEMA, Snapshot, StoreError, if_there};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Event, EventKey};
use postroad_protocol::tenancy::RequestContext;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Bound;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
const CHECKPOINT_KEY: &str = "checkpoint";
const DAMAGE_KEY: &str = "accepted_damage";
const QUARANTINED_KEY: &str = "quarantined";
/// How many of the quarantined were unknown to the build that met them.
const UNDECODABLE_KEY: &str = "undecodable";
/// Which events the build knew that folded these rows.
const EVENT_TYPES_KEY: &str = "event_types";

/// Names and versions of the events that a build knows, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventTypes([u8; 16]);

impl EventTypes {
    /// What this build knows.
    pub(crate) fn known() -> Self {
        Self::of(Event::TYPES)
    }

    pub(crate) fn of(types: &[(&str, u16)]) -> Self {
        let mut types = types.to_vec();
        types.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("postroad 2026 known event types");
        for (name, version) in types {
            // No name holds a space or a line's end.
            hasher.update(format!("{name} {version}\n").as_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(digest)
    }
}

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

/// Which events the build knew that folded these rows; none in a file from before that was kept.
pub(crate) fn event_types(transaction: &ReadTransaction) -> Result<Option<EventTypes>, StoreError> {
    read(transaction, EVENT_TYPES_KEY)
}

/// Whether the rows lack events only because the build that met them did not know them, as far as
/// the file tells.
pub(crate) fn lacks_unknown_events(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    let key = match event_types(transaction)? {
        Some(_) => UNDECODABLE_KEY,
        None => QUARANTINED_KEY,
    };
    Ok(read::<u64>(transaction, key)?.unwrap_or(0) > 0)
}

pub(crate) fn create(transaction: &WriteTransaction, known: EventTypes) -> Result<(), StoreError> {
    let mut meta = Meta::open(transaction)?;
    meta.put(SCHEMA_KEY, &SCHEMA)?;
    meta.set_event_types(known)
}

/// Copies the shard's own rows.
pub(crate) fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), StoreError> {
    let mut target = to.open_table(META)?;
    for row in from.open_table(META)?.iter()? {
        let (key, value) = row?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
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

    pub(crate) fn accept_damage(&mut self, ranges: &[(u64, u64)]) -> Result<(), StoreError> {
        self.put(DAMAGE_KEY, &ranges)
    }

    pub(crate) fn set_event_types(&mut self, known: EventTypes) -> Result<(), StoreError> {
        self.put(EVENT_TYPES_KEY, &known)
    }

    /// More events were set aside, so many of them because this build does not know them.
    pub(crate) fn count_quarantined(
        &mut self,
        more: u64,
        undecodable: u64,
    ) -> Result<(), StoreError> {
        self.count(QUARANTINED_KEY, |before| before + more)?;
        self.count(UNDECODABLE_KEY, |before| before + undecodable)
    }

    /// Events that were set aside are gone with their tenant.
    pub(super) fn forget_quarantined(
        &mut self,
        fewer: u64,
        undecodable: u64,
    ) -> Result<(), StoreError> {
        self.count(QUARANTINED_KEY, |before| before.saturating_sub(fewer))?;
        self.count(UNDECODABLE_KEY, |before| before.saturating_sub(undecodable))
    }

    /// Changes a counter. There is none at zero: rows from which a tenant was erased are those that
    /// never had it.
    fn count(&mut self, key: &str, change: impl FnOnce(u64) -> u64) -> Result<(), StoreError> {
        match change(self.get(key)?.unwrap_or(0)) {
            0 => {
                self.0.remove(key)?;
                Ok(())
            }
            some => self.put(key, &some),
        }
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
