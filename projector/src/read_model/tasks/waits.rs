//! What waits for what. Of the tasks that one names, those count that do not wait for it themselves: two edits that were decided at
//! once could otherwise lock each other for good. Owns which count, and the way back from a task to those that wait for it.

use super::rows::{TaskRef, TaskRow};
use crate::read_model::batch::TenantWriter;
use crate::read_model::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::limits::TASK_WALK_MAX;
use postroad_protocol::task::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Rows that one walk reads: tasks may wait for each other over very many ways.
const WALK_WAITS_MAX: usize = 8 * TASK_WALK_MAX;

/// That the second task counts the first among its dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WaitRow();

impl Row for WaitRow {
    type Key = (TaskId, TaskId);
    const TABLE: Table = Table::TaskWaits;
}

/// A task, and those that wait for it, at once or over others.
#[derive(Debug, Default)]
pub(super) struct Behind {
    seen: HashSet<TaskId>,
    /// There are more than were walked through.
    more: bool,
}

impl Behind {
    /// Whether `id` is one of them, or may be.
    pub(super) fn holds(&self, id: TaskId) -> bool {
        self.more || self.seen.contains(&id)
    }
}

/// `id`, and every task that waits for it; `waiting` finds the first so many that wait for one at once.
fn behind(
    id: TaskId,
    mut waiting: impl FnMut(TaskId, usize) -> Result<Vec<TaskId>, StoreError>,
) -> Result<Behind, StoreError> {
    let mut behind = Behind::default();
    behind.seen.insert(id);
    let (mut next, mut room) = (vec![id], WALK_WAITS_MAX);
    while let Some(at) = next.pop() {
        for waits in waiting(at, room + 1)? {
            let is_new = behind.seen.insert(waits);
            if room == 0 || behind.seen.len() > TASK_WALK_MAX {
                behind.more = true;
                return Ok(behind);
            }
            room -= 1;
            if is_new {
                next.push(waits);
            }
        }
    }
    Ok(behind)
}

/// The dependencies of a task that count, and those of them that are not done.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) all: Vec<TaskRef>,
    pub(super) unmet: Vec<TaskRef>,
}

impl TenantWriter<'_, '_> {
    /// Tasks that wait for `id` at once.
    pub(super) fn waiting_for(&mut self, id: TaskId) -> Result<Vec<TaskId>, StoreError> {
        let keys = self.keys::<WaitRow>(&id)?;
        Ok(keys.into_iter().map(|(_, waits)| waits).collect())
    }

    /// Which of `named` count for the task `id`, which was as `before` says. One that was left out stays so until it is taken
    /// away and named again.
    pub(super) fn count_dependencies(
        &mut self,
        id: TaskId,
        before: Option<&TaskRow>,
        named: &[TaskId],
    ) -> Result<Counted, StoreError> {
        let (mut counted, mut seen) = (Counted::default(), HashSet::new());
        let mut ahead: Option<Behind> = None;
        for dependency in named {
            if !seen.insert(*dependency) {
                continue;
            }
            let known = before.filter(|before| before.state.depends_on.contains(dependency));
            let reference = TaskRef::from(*dependency);
            let (counts, is_met) = if let Some(before) = known {
                let counts = before.counted.contains(&reference);
                (counts, !before.unmet.contains(&reference))
            } else {
                let behind = match ahead.take() {
                    Some(behind) => behind,
                    None => behind(id, |at, most| {
                        let keys = self.first_keys::<WaitRow>(&at, most)?;
                        Ok(keys.into_iter().map(|(_, waits)| waits).collect())
                    })?,
                };
                let counts = !behind.holds(*dependency);
                ahead = Some(behind);
                let row = self.see::<TaskRow>(dependency)?;
                (counts, row.is_some_and(TaskRow::is_done))
            };
            if counts {
                counted.all.push(reference);
                if !is_met {
                    counted.unmet.push(reference);
                }
            }
        }
        Ok(counted)
    }

    /// Keeps the way back from dependencies to the task `id`.
    pub(super) fn link(
        &mut self,
        id: TaskId,
        before: &[TaskRef],
        after: &[TaskRef],
    ) -> Result<(), StoreError> {
        for gone in before.iter().filter(|known| !after.contains(known)) {
            self.delete::<WaitRow>(&((*gone).into(), id))?;
            self.count_dependent((*gone).into(), |count| count.saturating_sub(1))?;
        }
        for new in after.iter().filter(|named| !before.contains(named)) {
            self.put(&((*new).into(), id), &WaitRow())?;
            self.count_dependent((*new).into(), |count| count + 1)?;
        }
        Ok(())
    }

    fn count_dependent(
        &mut self,
        id: TaskId,
        change: impl FnOnce(u64) -> u64,
    ) -> Result<(), StoreError> {
        // One that is not known yet is counted when it comes.
        if self.see::<TaskRow>(&id)?.is_some()
            && let Some(row) = self.edit::<TaskRow>(&id)?
        {
            row.dependents = change(row.dependents);
        }
        Ok(())
    }
}

impl TenantReader<'_> {
    /// The task `id`, and every task that waits for it.
    pub(super) fn behind(&self, id: TaskId) -> Result<Behind, StoreError> {
        behind(id, |at, most| {
            let rows = self.list::<WaitRow>(&at, None)?;
            rows.take(most).map(|row| Ok(row?.0.1)).collect()
        })
    }
}
