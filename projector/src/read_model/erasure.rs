//! A tenant's end in the rows: everything of it is deleted, in every table and in the shard's
//! counters, so that the rows are those of a log in which it never was readable. Owns the mark that the
//! file still holds deleted values, which redb keeps; copying it out is [`crate::purge`]'s.

use super::batch::BatchTables;
use super::keys::Prefix;
use super::quarantine::QuarantineRow;
use super::table::{Row, Table};
use crate::store::{StoreError, if_there};
use postroad_protocol::event::TenantErased;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// What the file needs and no rebuild repeats: it is not part of what two stores are compared by.
const UPKEEP: TableDefinition<&str, ()> = TableDefinition::new("upkeep");
const DELETED_KEY: &str = "deleted_values";

/// Whether the file holds values of an erased tenant that were deleted.
pub(crate) fn holds_deleted(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    let Some(table) = if_there(transaction.open_table(UPKEEP))? else {
        return Ok(false);
    };
    Ok(table.get(DELETED_KEY)?.is_some())
}

fn mark(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(UPKEEP)?.insert(DELETED_KEY, ())?;
    Ok(())
}

impl BatchTables<'_> {
    /// Deletes every row of the tenant that `erased` names.
    pub(crate) fn erase(&mut self, erased: &TenantErased) -> Result<(), StoreError> {
        let owner = Prefix::of_erased(erased);
        // What this batch has added lies in the tables then, and is deleted with the rest.
        self.write_appended()?;
        self.write_index()?;
        let (start, end) = owner.range(&(), None);
        let range = (
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        );
        let (mut aside, mut undecodable) = (0, 0);
        for row in self.table(Table::Quarantine)?.range::<&[u8]>(range)? {
            let (_, value) = row?;
            aside += 1;
            undecodable += u64::from(QuarantineRow::from_bytes(value.value())?.undecodable);
        }
        let mut deleted = false;
        for table in Table::ALL {
            self.table(table)?.retain_in::<&[u8], _>(range, |_, _| {
                deleted = true;
                false
            })?;
        }
        if aside > 0 {
            self.meta().forget_quarantined(aside, undecodable)?;
        }
        if deleted {
            mark(self.transaction())?;
        }
        Ok(())
    }
}
