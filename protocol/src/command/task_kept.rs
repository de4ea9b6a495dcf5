//! What every stored task and mission keeps to, whoever brings it in.

use super::text::{check_time, line_of, read_tags, read_text};
use crate::error::Refusal;
use crate::event::{MissionChange, MissionChanged, TaskChange, TaskChanged};
use crate::id::{Role, TimeMs};
use crate::limits;
use crate::task::{MissionStatus, TaskState, TaskStatus};

/// Refuses a task that no broker of this version would have stored.
///
/// # Errors
/// `invalid_argument` or `too_large` at the field.
pub(crate) fn check_task(data: &TaskChanged) -> Result<(), Refusal> {
    let state = &data.state;
    check_version(state.version, data.change == TaskChange::Created)?;
    check_title(&state.title)?;
    check_long(&state.description, "description")?;
    if read_tags(state.tags.clone())? != state.tags {
        return Err(not_as_stored("tags"));
    }
    let depends_on = &state.depends_on;
    if depends_on.len() > limits::TASK_DEPENDENCIES_MAX
        || !depends_on.is_sorted_by(|one, next| one < next)
        || depends_on.contains(&data.task_id)
    {
        return Err(not_as_stored("dependsOn"));
    }
    check_times([(state.due_at, "dueAt"), (None, "startsAt")])?;
    if state.notes.len() > limits::TASK_NOTES_KEPT {
        return Err(not_as_stored("notes"));
    }
    for note in &state.notes {
        read_text(note.text.clone(), "notes", limits::NOTE_MAX_BYTES)?;
    }
    if state.ended_at.is_some() != state.status.has_ended() {
        return Err(not_as_stored("endedAt"));
    }
    check_claim(state)?;
    if leads_to(data.change, state.status) {
        return Ok(());
    }
    Err(not_as_stored("status"))
}

/// Refuses a mission that no broker of this version would have stored.
///
/// # Errors
/// As [`check_task`].
pub(crate) fn check_mission(data: &MissionChanged) -> Result<(), Refusal> {
    let state = &data.state;
    let is_new = data.change == MissionChange::Created;
    check_version(state.version, is_new)?;
    check_title(&state.title)?;
    check_long(&state.brief, "brief")?;
    let in_order = |agents: &[Role]| agents.is_sorted_by(|one, next| one < next);
    if state.agents.len() > limits::MISSION_AGENTS_MAX || !in_order(&state.agents) {
        return Err(not_as_stored("agents"));
    }
    check_times([(state.starts_at, "startsAt"), (state.due_at, "dueAt")])?;
    if state.ended_at.is_some() != state.status.has_ended() {
        return Err(not_as_stored("endedAt"));
    }
    let begins = !matches!(
        state.status,
        MissionStatus::Validate | MissionStatus::Complete | MissionStatus::Cancelled
    );
    if is_new && !begins {
        return Err(not_as_stored("status"));
    }
    Ok(())
}

fn check_version(version: u64, is_new: bool) -> Result<(), Refusal> {
    if version > 0 && (version == 1) == is_new {
        return Ok(());
    }
    Err(not_as_stored("version"))
}

fn check_title(title: &str) -> Result<(), Refusal> {
    let line = line_of(title, "title", limits::TITLE_MAX_BYTES)?;
    if line == title && !title.is_empty() {
        return Ok(());
    }
    Err(not_as_stored("title"))
}

fn check_long(text: &str, field: &'static str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Ok(());
    }
    read_text(text.to_owned(), field, limits::DESCRIPTION_MAX_BYTES).map(drop)
}

fn check_times(times: [(Option<TimeMs>, &str); 2]) -> Result<(), Refusal> {
    for (time, field) in times {
        if let Some(time) = time {
            check_time(time, field)?;
        }
    }
    Ok(())
}

/// Whoever works on a task has claimed it, what waits to be claimed is nobody's, and only who works on it has a lease.
fn check_claim(state: &TaskState) -> Result<(), Refusal> {
    let bounds = limits::LEASE_MIN_MS..=limits::LEASE_MAX_MS;
    let is_kept = match (state.status, &state.claim) {
        (TaskStatus::InProgress, Some(claim)) => {
            claim.lease.is_none_or(|lease| bounds.contains(&lease.ms))
        }
        (TaskStatus::InProgress, None) | (TaskStatus::Todo, Some(_)) => false,
        (_, Some(claim)) => claim.lease.is_none(),
        (_, None) => true,
    };
    if is_kept {
        return Ok(());
    }
    Err(not_as_stored("claim"))
}

/// Whether a change of this kind leaves a task in this state.
const fn leads_to(change: TaskChange, status: TaskStatus) -> bool {
    match change {
        TaskChange::Created | TaskChange::Released | TaskChange::LeaseExpired => {
            matches!(status, TaskStatus::Todo)
        }
        TaskChange::Claimed | TaskChange::Renewed => matches!(status, TaskStatus::InProgress),
        TaskChange::DependencyAdded => matches!(status, TaskStatus::Todo | TaskStatus::Blocked),
        TaskChange::Blocked => matches!(status, TaskStatus::Blocked),
        TaskChange::Completed => matches!(status, TaskStatus::Done),
        TaskChange::Failed => matches!(status, TaskStatus::Failed),
        TaskChange::Cancelled => matches!(status, TaskStatus::Cancelled),
        TaskChange::Updated => true,
    }
}

fn not_as_stored(field: &str) -> Refusal {
    Refusal::invalid(
        field,
        format!("{field} is not as it is stored"),
        "import what `postroad tenant export` wrote, unchanged",
    )
}
