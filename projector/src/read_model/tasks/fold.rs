//! What an event changes: the task, every list it stands in, and the tasks that waited for it. The last event of the log is the truth,
//! whatever its version or its change say.

use super::bits::dims_of;
use super::rows::{OrderRow, Owing, TaskRef, TaskRow, TaskText};
use crate::read_model::batch::TenantWriter;
use crate::store::StoreError;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::TaskChanged;
use postroad_protocol::task::{TaskId, TaskState};

impl TenantWriter<'_, '_> {
    /// A task came to be, or is another.
    pub(in crate::read_model) fn task_changed(
        &mut self,
        sequence: u64,
        record: &Record,
        data: &TaskChanged,
    ) -> Result<(), StoreError> {
        let id = data.task_id;
        let before = self.see::<TaskRow>(&id)?.cloned();
        let counted = self.count_dependencies(id, before.as_ref(), &data.state.depends_on)?;
        let known = before.as_ref().map_or(&[][..], |before| &before.counted);
        self.link(id, known, &counted.all)?;
        let (ordinal, dependents) = match &before {
            Some(before) => (before.ordinal, before.dependents),
            // Others may have named it before it came.
            None => (self.next_ordinal(id)?, self.waiting_for(id)?.len() as u64),
        };
        let had_text = before.as_ref().is_some_and(|before| before.has_text);
        let (state, text) = without_text(&data.state);
        let mut after = TaskRow {
            ordinal,
            sequence,
            updated: record.time,
            state,
            has_text: text.is_some(),
            counted: counted.all,
            unmet: counted.unmet,
            dependents,
            owed: None,
        };
        let owed = before.as_ref().and_then(|before| before.owed);
        after.owed = self.still_owed(&after, owed)?;
        match text {
            Some(text) => self.put(&id, &text)?,
            None if had_text => self.delete::<TaskText>(&id)?,
            None => {}
        }
        self.move_progress(before.as_ref(), &after)?;
        let was_done = before.as_ref().is_some_and(TaskRow::is_done);
        let is_done = after.is_done();
        self.settle(id, before.as_ref(), after)?;
        if is_done == was_done {
            return Ok(());
        }
        let cause = is_done.then_some(Owing {
            cause: record.key,
            sequence,
        });
        for waits in self.waiting_for(id)? {
            self.dependency_changed(waits, id, cause)?;
        }
        Ok(())
    }

    /// The dependency `of` the task `id` is done by `cause`, or is not done any more.
    fn dependency_changed(
        &mut self,
        id: TaskId,
        of: TaskId,
        cause: Option<Owing>,
    ) -> Result<(), StoreError> {
        let Some(before) = self.see::<TaskRow>(&id)?.cloned() else {
            return Ok(());
        };
        let of = TaskRef::from(of);
        let mut after = before.clone();
        let is_unmet = |counted: &&TaskRef| {
            if **counted == of {
                cause.is_none()
            } else {
                before.unmet.contains(counted)
            }
        };
        after.unmet = before.counted.iter().filter(is_unmet).copied().collect();
        after.owed = self.still_owed(&after, cause.or(before.owed))?;
        self.settle(id, Some(&before), after)
    }

    /// Puts a task that was `before` and is `after` where it stands now.
    fn settle(
        &mut self,
        id: TaskId,
        before: Option<&TaskRow>,
        after: TaskRow,
    ) -> Result<(), StoreError> {
        let was = before.map_or_else(Vec::new, dims_of);
        self.move_between(after.ordinal, &was, &dims_of(&after))?;
        self.move_duty(id, before, &after)?;
        self.move_reactions(id, before, &after)?;
        *self.edit(&id)? = Some(after);
        Ok(())
    }

    fn next_ordinal(&mut self, id: TaskId) -> Result<u64, StoreError> {
        let tenant = self.tenant_row()?;
        let ordinal = tenant.tasks;
        tenant.tasks += 1;
        self.append_row(&ordinal, &OrderRow(id.into()));
        Ok(ordinal)
    }
}

/// A state without description and notes, and those where there are any.
fn without_text(state: &TaskState) -> (TaskState, Option<TaskText>) {
    let mut state = state.clone();
    let text = TaskText {
        description: std::mem::take(&mut state.description),
        notes: std::mem::take(&mut state.notes),
    };
    let has_text = !text.description.is_empty() || !text.notes.is_empty();
    (state, has_text.then_some(text))
}
