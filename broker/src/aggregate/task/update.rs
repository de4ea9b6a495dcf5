//! What `update_task` and `add_dependency` make of a task. Pure.

use super::{Moment, Moved, end_lease, expect_own, refusal, release, say};
use postroad_protocol::command::TaskPatch;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::TaskChange;
use postroad_protocol::id::TenantId;
use postroad_protocol::limits::{TASK_DEPENDENCIES_MAX, TASK_DEPENDENTS_MAX};
use postroad_protocol::service::TaskStanding;
use postroad_protocol::task::{Assignee, TaskId, TaskState, TaskStatus};

/// Decides over a patch: the state that it names comes first, and the rest is held against that.
pub(super) fn update(
    tenant: &TenantId,
    task: TaskId,
    state: &TaskState,
    at: Moment<'_>,
    patch: &TaskPatch,
) -> Result<Option<Moved>, Refusal> {
    let (change, mut after) = match patch.status {
        Some(status) => move_to(state, at, status)?,
        None => (TaskChange::Updated, state.clone()),
    };
    if after.status.has_ended() && !is_note_alone(patch) {
        return Err(refusal::ended(state));
    }
    if let Some(to) = &patch.assigned_to {
        assign(&mut after, to.as_ref())?;
    }
    if let Some(depends_on) = &patch.depends_on {
        depend(task, &mut after, depends_on.clone())?;
    }
    if let Some(project) = &patch.project {
        after.project = project.resolve(tenant)?;
    }
    set(&mut after.title, patch.title.as_ref());
    set(&mut after.description, patch.description.as_ref());
    set(&mut after.priority, patch.priority.as_ref());
    set(&mut after.mission, patch.mission.as_ref());
    set(&mut after.tags, patch.tags.as_ref());
    set(&mut after.due_at, patch.due_at.as_ref());
    say(&mut after, at, patch.note.as_deref());
    let is_same = after == *state && patch.note.is_none();
    Ok((!is_same).then_some((change, after)))
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

fn is_note_alone(patch: &TaskPatch) -> bool {
    let rest = TaskPatch {
        note: None,
        ..patch.clone()
    };
    rest == TaskPatch::default()
}

/// Brings a task into the state that a patch names.
fn move_to(state: &TaskState, at: Moment<'_>, status: TaskStatus) -> Result<Moved, Refusal> {
    let mut after = state.clone();
    match (state.status, status) {
        (now, wanted) if now == wanted => return Ok((TaskChange::Updated, after)),
        (TaskStatus::Failed | TaskStatus::Cancelled, TaskStatus::Todo) => {
            after.claim = None;
            after.ended_at = None;
        }
        (now, _) if now.has_ended() => return Err(refusal::ended(state)),
        (_, TaskStatus::Todo) => return release(state, at, None),
        (TaskStatus::InProgress, TaskStatus::Review) => {
            expect_own(state, at)?;
            end_lease(&mut after);
        }
        (TaskStatus::Review, TaskStatus::InProgress) if state.claim.is_some() => {}
        _ => return Err(refusal::no_way(state, status)),
    }
    after.status = status;
    Ok((TaskChange::Updated, after))
}

/// Gives a task to somebody, or to nobody in particular. Whoever has claimed it is not passed over.
fn assign(state: &mut TaskState, to: Option<&Assignee>) -> Result<(), Refusal> {
    if state.assigned_to.as_ref() == to {
        return Ok(());
    }
    if let (Some(claim), Some(to)) = (&state.claim, to)
        && !to.includes(&claim.by)
    {
        return Err(refusal::has_claimant(state, claim));
    }
    state.assigned_to = to.cloned();
    Ok(())
}

/// Decides over one more dependency. Whether there is such a task is for [`check_edges`].
pub(super) fn add_dependency(
    task: TaskId,
    state: &TaskState,
    on: TaskId,
) -> Result<Option<Moved>, Refusal> {
    if state.depends_on.contains(&on) {
        return Ok(None);
    }
    let mut after = state.clone();
    let mut depends_on = state.depends_on.clone();
    depends_on.push(on);
    depends_on.sort_unstable();
    depend(task, &mut after, depends_on)?;
    Ok(Some((TaskChange::DependencyAdded, after)))
}

/// Has a task depend on these, in order, each once. While somebody works on it, it waits for nothing.
fn depend(task: TaskId, state: &mut TaskState, on: Vec<TaskId>) -> Result<(), Refusal> {
    if state.depends_on == on {
        return Ok(());
    }
    if on.contains(&task) {
        return Err(refusal::itself());
    }
    match state.status {
        TaskStatus::Todo | TaskStatus::Blocked => {}
        _ if state.status.has_ended() => return Err(refusal::ended(state)),
        _ => return Err(refusal::waits_for_nothing(state)),
    }
    if on.len() > TASK_DEPENDENCIES_MAX {
        return Err(refusal::too_many_dependencies());
    }
    state.depends_on = on;
    Ok(())
}

/// Decides whether `task`, where it is there already, may depend on `edges` from now on, each of which stands as `standings`
/// says at its place.
///
/// # Errors
/// At `dependsOn`: `invalid_argument` for itself, `not_found` for a task that the caller's tenant has not, `conflict` where
/// they would wait for each other, `too_large` where too many depend on one.
pub(crate) fn check_edges(
    task: Option<TaskId>,
    edges: &[TaskId],
    standings: &[Option<TaskStanding>],
) -> Result<(), Refusal> {
    for (index, edge) in edges.iter().enumerate() {
        if task == Some(*edge) {
            return Err(refusal::itself());
        }
        let standing = standings.get(index).copied().flatten();
        let standing = standing.ok_or_else(|| Refusal::not_found("dependsOn", "task"))?;
        if standing.is_behind {
            return Err(refusal::circle(*edge));
        }
        if standing.dependents >= TASK_DEPENDENTS_MAX as u64 {
            return Err(refusal::too_many_dependents(*edge));
        }
    }
    Ok(())
}
