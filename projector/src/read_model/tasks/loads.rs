//! Whose work a task is, counted, so that a check of mail says at no cost what waits beside it. A claimed task is its claimant's,
//! another that of whoever it is given to.

use super::rows::TaskRow;
use crate::read_model::batch::TenantWriter;
use crate::read_model::hot::{Hot, HotCache, HotRow};
use crate::read_model::keys::{ListedKey, RowKey, read_name, write_name};
use crate::read_model::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::id::{InstanceId, Reader, TimeMs};
use postroad_protocol::limits::DUE_COUNTED_MAX;
use postroad_protocol::query::TaskCounts;
use postroad_protocol::task::{Assignee, TaskId, TaskStatus};
use serde::{Deserialize, Serialize};

/// What a task is to whoever it is the work of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It can be claimed now.
    Ready,
    /// It waits for others, or is blocked.
    Waiting,
    /// Somebody works on it.
    Claimed,
}

/// Whose work a task is, and what it is to them; none for one that has ended or that nobody is named for.
pub(super) fn duty_of(row: &TaskRow) -> Option<(Assignee, Kind)> {
    let responsible = row.state.responsible()?;
    let kind = match row.state.status {
        _ if row.state.claim.is_some() => Kind::Claimed,
        TaskStatus::Todo if row.unmet.is_empty() => Kind::Ready,
        TaskStatus::Todo | TaskStatus::Blocked => Kind::Waiting,
        // Nobody works on it, and nobody can claim it: no broker makes such a task.
        _ => return None,
    };
    Some((responsible, kind))
}

/// By when a task is due, and whose work it is.
pub(super) fn due_of(row: &TaskRow) -> Option<(Assignee, TimeMs)> {
    let (responsible, _) = duty_of(row)?;
    Some((responsible, row.state.due_at?))
}

impl RowKey for Assignee {
    fn write(&self, key: &mut Vec<u8>) {
        self.role.write(key);
        write_name(self.instance.as_ref().map_or("", InstanceId::as_str), key);
    }
}

/// How many tasks are the work of a role, or of one instance. No row where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadRow {
    ready: u64,
    waiting: u64,
    claimed: u64,
}

impl Row for LoadRow {
    type Key = Assignee;
    const TABLE: Table = Table::TaskLoads;
}

impl HotRow for LoadRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.loads
    }
}

impl LoadRow {
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Ready => &mut self.ready,
            Kind::Waiting => &mut self.waiting,
            Kind::Claimed => &mut self.claimed,
        }
    }
}

/// That a task is due, under whose work it is and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueRow();

impl Row for DueRow {
    type Key = DueKey;
    const TABLE: Table = Table::TaskDues;
}

/// Read back as the time alone: the rest is what was asked for, or not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DueKey(Option<(Assignee, TaskId)>, TimeMs);

impl RowKey for DueKey {
    fn write(&self, key: &mut Vec<u8>) {
        if let Some((responsible, _)) = &self.0 {
            responsible.write(key);
        }
        self.1.0.write(key);
        if let Some((_, task)) = &self.0 {
            task.write(key);
        }
    }
}

impl ListedKey for DueKey {
    fn read(key: &mut &[u8]) -> Option<Self> {
        read_name(key)?;
        read_name(key)?;
        let due = TimeMs(u64::read(key)?);
        TaskId::read(key)?;
        Some(Self(None, due))
    }
}

impl TenantWriter<'_, '_> {
    /// A task was `before`, and is `after`.
    pub(super) fn move_duty(
        &mut self,
        id: TaskId,
        before: Option<&TaskRow>,
        after: &TaskRow,
    ) -> Result<(), StoreError> {
        let (was, is) = (before.and_then(duty_of), duty_of(after));
        if was != is {
            if let Some((responsible, kind)) = was {
                let row = self.edit::<LoadRow>(&responsible)?;
                let mut load = row.unwrap_or_default();
                *load.of(kind) = load.of(kind).saturating_sub(1);
                *row = Some(load).filter(|load| *load != LoadRow::default());
            }
            if let Some((responsible, kind)) = is {
                let row = self.edit::<LoadRow>(&responsible)?;
                *row.get_or_insert_default().of(kind) += 1;
            }
        }
        let (was, is) = (before.and_then(due_of), due_of(after));
        if was != is {
            if let Some((responsible, due)) = was {
                self.delete::<DueRow>(&DueKey(Some((responsible, id)), due))?;
            }
            if let Some((responsible, due)) = is {
                self.put(&DueKey(Some((responsible, id)), due), &DueRow())?;
            }
        }
        Ok(())
    }
}

impl TenantReader<'_> {
    /// What waits for `reader`. Costs two rows, and one for each task that is due.
    pub fn task_counts(&self, reader: &Reader, now: TimeMs) -> Result<TaskCounts, StoreError> {
        let assignee = |instance| Assignee {
            role: reader.role.clone(),
            instance,
        };
        let (role, own) = (assignee(None), assignee(Some(reader.instance.clone())));
        let of_role = self.get::<LoadRow>(&role)?.unwrap_or_default();
        let of_own = self.get::<LoadRow>(&own)?.unwrap_or_default();
        let mut counts = TaskCounts {
            ready: of_role.ready + of_own.ready,
            waiting: of_role.waiting + of_own.waiting,
            claimed: of_own.claimed,
            due: 0,
        };
        let loads = [(role, of_role), (own, of_own)];
        // Where there is no work, nothing of it is due.
        for (responsible, _) in loads.iter().filter(|(_, load)| *load != LoadRow::default()) {
            for row in self.list::<DueRow>(responsible, None)? {
                let (DueKey(_, due), _) = row?;
                if due > now || counts.due >= DUE_COUNTED_MAX as u64 {
                    break;
                }
                counts.due += 1;
            }
        }
        Ok(counts)
    }
}
