//! One row a day: what the tenant used, by the time of its events in UTC.

use super::batch::{FoldError, TenantWriter};
use super::hot::{Hot, HotCache, HotRow};
use super::keys::{ListedKey, RowKey};
use super::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Actor, Event, UsageCounted};
use postroad_protocol::query::UsageDay;
use postroad_protocol::usage::Day;
use serde::{Deserialize, Serialize};

/// What was used on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageRow {
    commands: u64,
    queries: u64,
    pushes: u64,
    messages: u64,
    stored_bytes: u64,
}

impl Row for UsageRow {
    type Key = Day;
    const TABLE: Table = Table::Usage;
}

impl HotRow for UsageRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.usage
    }
}

impl RowKey for Day {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
    }
}

impl ListedKey for Day {
    fn read(key: &mut &[u8]) -> Option<Self> {
        u64::read(key).map(Self)
    }
}

/// Whether somebody's command caused it; an operator's read is a query.
fn is_command(record: &Record) -> bool {
    record.by != Actor::System && !matches!(record.event, Event::OperatorRead(_))
}

impl TenantWriter<'_, '_> {
    /// Counts an event that was folded, once.
    pub(crate) fn count_stored(&mut self, record: &Record) -> Result<(), StoreError> {
        let bytes = record.event.encoded_len(&record.by);
        self.tenant_row()?.stored_bytes += bytes;
        let row = self.usage_row(Day::of(record.time))?;
        row.stored_bytes += bytes;
        row.commands += u64::from(is_command(record));
        row.messages += u64::from(matches!(record.event, Event::MessageSent(_)));
        Ok(())
    }

    /// Adds what a broker or projector counted.
    pub(super) fn usage_counted(&mut self, data: &UsageCounted) -> Result<(), FoldError> {
        let row = self.usage_row(data.day)?;
        row.queries = row.queries.saturating_add(data.queries);
        row.pushes = row.pushes.saturating_add(data.pushes);
        Ok(())
    }

    fn usage_row(&mut self, day: Day) -> Result<&mut UsageRow, StoreError> {
        Ok(self.edit::<UsageRow>(&day)?.get_or_insert_default())
    }
}

impl TenantReader<'_> {
    /// What was used each day from `first` on, days of nothing left out.
    pub fn usage(&self, first: Day) -> Result<Vec<UsageDay>, StoreError> {
        let before = first.0.checked_sub(1).map(u64::to_be_bytes);
        let after = before.as_ref().map(<[u8; 8]>::as_slice);
        let rows = self.list::<UsageRow>(&(), after)?;
        rows.map(|row| {
            let (day, row) = row?;
            Ok(UsageDay {
                tenant: self.owner().to_owned(),
                day: day.begins(),
                commands: row.commands,
                queries: row.queries,
                pushes: row.pushes,
                messages: row.messages,
                stored_bytes: row.stored_bytes,
            })
        })
        .collect()
    }
}
