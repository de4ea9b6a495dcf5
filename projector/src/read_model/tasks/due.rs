//! What is to be reacted to: claims that end when their lease does, and messages that are owed to those whose tasks wait for nothing
//! any more. Found by owner, from the tables themselves, so that nothing of it can be forgotten.

use super::rows::{Owing, TaskRow};
use crate::read_model::batch::TenantWriter;
use crate::read_model::keys::Prefix;
use crate::read_model::lanes::Lane;
use crate::read_model::table::{Row, Table, TenantReader, owners_in};
use crate::store::{Snapshot, StoreError};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Actor, EventKey, MessageSent};
use postroad_protocol::id::TimeMs;
use postroad_protocol::service::task_ready_id;
use postroad_protocol::task::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a message about a task names it under.
pub(crate) const TASK_METADATA: &str = "taskId";

/// The claim that a lease is of, under when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRow {
    version: u64,
    sequence: u64,
}

impl Row for LeaseRow {
    type Key = (u64, TaskId);
    const TABLE: Table = Table::TaskLeases;
}

/// What caused that a message is owed, under where that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OwedRow(EventKey);

impl Row for OwedRow {
    type Key = (u64, TaskId);
    const TABLE: Table = Table::TaskOutbox;
}

/// A claim that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueLease {
    /// Whose the task is.
    pub(crate) owner: Prefix,
    /// When it ends.
    pub(crate) until: TimeMs,
    /// Of which task.
    pub(crate) task: TaskId,
    /// The task's version whose claim it is.
    pub(crate) version: u64,
    /// Where the event is stored that holds the claim.
    pub(crate) sequence: u64,
}

/// A message that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Whose the task is.
    pub(crate) owner: Prefix,
    /// The task that waits for nothing any more.
    pub(crate) task: TaskId,
    /// The event that completed the last one that it waited for.
    pub(crate) cause: EventKey,
    /// Where that is stored.
    pub(crate) sequence: u64,
}

/// The lease under which somebody works on a task.
fn lease_of(row: &TaskRow) -> Option<(u64, LeaseRow)> {
    let until = row.state.lease_until()?;
    let lease = LeaseRow {
        version: row.state.version,
        sequence: row.sequence,
    };
    Some((until.0, lease))
}

impl TenantWriter<'_, '_> {
    /// What is owed still, once a task is `after`. Nobody is told who is not named or could not be sent to, nor of a task that waits
    /// again or is under way.
    pub(super) fn still_owed(
        &mut self,
        after: &TaskRow,
        owed: Option<Owing>,
    ) -> Result<Option<Owing>, StoreError> {
        let Some(told) = after.state.told_when_ready() else {
            return Ok(None);
        };
        if owed.is_none() || !after.unmet.is_empty() {
            return Ok(None);
        }
        let is_known = self.is_lane_open(&Lane::Role(told.role))?;
        Ok(owed.filter(|_| is_known))
    }

    /// A task was `before`, and is `after`.
    pub(super) fn move_reactions(
        &mut self,
        id: TaskId,
        before: Option<&TaskRow>,
        after: &TaskRow,
    ) -> Result<(), StoreError> {
        let (was, is) = (before.and_then(lease_of), lease_of(after));
        if was != is {
            if let Some((until, _)) = was {
                self.delete::<LeaseRow>(&(until, id))?;
            }
            if let Some((until, lease)) = is {
                self.put(&(until, id), &lease)?;
            }
            self.stir();
        }
        let (was, is) = (before.and_then(|before| before.owed), after.owed);
        if was != is {
            if let Some(owing) = was {
                self.delete::<OwedRow>(&(owing.sequence, id))?;
            }
            if let Some(owing) = is {
                self.put(&(owing.sequence, id), &OwedRow(owing.cause))?;
            }
            self.stir();
        }
        Ok(())
    }

    /// A message of Postroad's own was sent: it may be one that was owed.
    pub(in crate::read_model) fn ready_told(
        &mut self,
        record: &Record,
        sent: &MessageSent,
    ) -> Result<(), StoreError> {
        let named = sent.metadata.get(TASK_METADATA);
        let Some(id) = named.and_then(|text| TaskId::parse(text)) else {
            return Ok(());
        };
        let Some(mut row) = self.see::<TaskRow>(&id)?.cloned() else {
            return Ok(());
        };
        let is_told = |owing: Owing| record.id == task_ready_id(id, owing.cause);
        if record.by == Actor::System && row.owed.is_some_and(is_told) {
            let before = row.clone();
            row.owed = None;
            self.move_reactions(id, Some(&before), &row)?;
            *self.edit(&id)? = Some(row);
        }
        Ok(())
    }
}

impl Snapshot {
    /// Whose claims end some time, and who is owed a message. Costs two rows for each.
    pub(crate) fn owners_with_reactions(&self) -> Result<Vec<Prefix>, StoreError> {
        let mut owners = owners_in(self, Table::TaskLeases)?;
        let known: HashSet<Prefix> = owners.iter().cloned().collect();
        let owed = owners_in(self, Table::TaskOutbox)?;
        owners.extend(owed.into_iter().filter(|owner| !known.contains(owner)));
        Ok(owners)
    }

    /// The first of `owner`'s claims that end.
    pub(crate) fn leases_of(
        &self,
        owner: &Prefix,
        limit: usize,
    ) -> Result<Vec<DueLease>, StoreError> {
        let rows = TenantReader::new(self, owner.clone());
        let leases = rows.list::<LeaseRow>(&(), None)?;
        let lease = |row: Result<((u64, TaskId), LeaseRow), StoreError>| {
            let ((until, task), LeaseRow { version, sequence }) = row?;
            Ok(DueLease {
                owner: owner.clone(),
                until: TimeMs(until),
                task,
                version,
                sequence,
            })
        };
        leases.take(limit).map(lease).collect()
    }

    /// The messages that `owner` is owed the longest.
    pub(crate) fn owed_by(&self, owner: &Prefix, limit: usize) -> Result<Vec<Owed>, StoreError> {
        let rows = TenantReader::new(self, owner.clone());
        let owed = rows.list::<OwedRow>(&(), None)?;
        let one = |row: Result<((u64, TaskId), OwedRow), StoreError>| {
            let ((sequence, task), OwedRow(cause)) = row?;
            Ok(Owed {
                owner: owner.clone(),
                task,
                cause,
                sequence,
            })
        };
        owed.take(limit).map(one).collect()
    }
}
