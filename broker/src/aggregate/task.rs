//! Deciding what becomes of a task: who may claim it, give it back, end it. Pure; one function for each act. A claim ends
//! by an event and by nothing else: until one says that a lease ran out, its claimant still has the task.
//!
//! | module | owns |
//! |---|---|
//! | this | the acts that move a task from state to state |
//! | [`update`] | `update_task` and dependencies |
//! | [`refusal`] | what a caller is told of a task that does not move |

pub(super) mod refusal;
mod update;

pub(crate) use update::check_edges;

use postroad_protocol::Channel;
use postroad_protocol::command::{ChangeTask, CreateTask, TaskAct};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, MessageSent, TaskChange};
use postroad_protocol::id::{Reader, TenantId, TimeMs};
use postroad_protocol::limits::TASK_NOTES_KEPT;
use postroad_protocol::task::{
    Assignee, Claim, Lease, MissionId, Note, Project, TaskId, TaskState, TaskStatus,
};

/// What has to be looked up before an act can be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Which of the task's counted dependencies are not done: it is to be claimed.
    pub(crate) done: bool,
    /// Tasks that it is to depend on from now on, for [`check_edges`].
    pub(crate) edges: Vec<TaskId>,
    /// To whom it is to be given from now on.
    pub(crate) assignee: Option<Assignee>,
    /// The mission that it is to be a part of from now on, for [`super::mission::check_open`].
    pub(crate) mission: Option<MissionId>,
}

/// What was found. Whoever looks up checks edges, assignee and mission itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Counted dependencies that are not done.
    pub(crate) waiting_on: Vec<TaskId>,
}

/// What an act on a task comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision, and most decisions change something"
)]
pub(crate) enum Decided {
    /// Store this.
    Changed {
        /// How it changes.
        change: TaskChange,
        /// How it stands from then on.
        state: TaskState,
    },
    /// It is so already.
    Already,
}

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
struct Moment<'a> {
    by: &'a Reader,
    time: TimeMs,
}

/// What has to be looked up before `command` can be decided. What is refused whatever would be found is refused here, so
/// nothing is looked up for it; and nothing is for what is so already.
///
/// # Errors
/// As [`change`], but for dependencies that are not done.
pub(crate) fn needs_of_change(
    tenant: &TenantId,
    state: &TaskState,
    command: &ChangeTask,
    by: &Reader,
    time: TimeMs,
) -> Result<Needs, Refusal> {
    let decided = change(tenant, state, command, by, time, &Found::default())?;
    let Decided::Changed { state: after, .. } = decided else {
        return Ok(Needs::default());
    };
    let is_new = |task: &&TaskId| !state.depends_on.contains(task);
    let moved = |from: &[TaskStatus]| from.contains(&state.status);
    Ok(Needs {
        done: matches!(command.act, TaskAct::Claim { .. })
            && !after.depends_on.is_empty()
            && moved(&[TaskStatus::Todo, TaskStatus::Blocked]),
        edges: after.depends_on.iter().filter(is_new).copied().collect(),
        assignee: after
            .assigned_to
            .filter(|to| state.assigned_to.as_ref() != Some(to)),
        mission: after.mission.filter(|id| state.mission != Some(*id)),
    })
}

/// What has to be looked up before a task is made.
pub(crate) fn needs_of_creation(command: &CreateTask) -> Needs {
    Needs {
        done: false,
        edges: command.depends_on.clone(),
        assignee: command.assigned_to.clone(),
        mission: command.mission,
    }
}

/// The first state of a task.
///
/// # Errors
/// `permission_denied` at `project` for another tenant's studio.
pub(crate) fn create(
    tenant: &TenantId,
    command: &CreateTask,
    by: &Actor,
    time: TimeMs,
) -> Result<TaskState, Refusal> {
    let project = command.project.as_ref();
    let project = project.map_or(Ok(Project::Studio), |text| text.resolve(tenant))?;
    let mut state = TaskState {
        version: 1,
        title: command.title.clone(),
        description: command.description.clone(),
        project,
        priority: command.priority,
        status: TaskStatus::Todo,
        assigned_to: command.assigned_to.clone(),
        claim: None,
        depends_on: command.depends_on.clone(),
        mission: command.mission,
        tags: command.tags.clone(),
        due_at: command.due_at,
        notes: Vec::new(),
        created_by: by.clone(),
        created_at: time,
        ended_at: None,
    };
    note(&mut state, by, time, command.note.as_deref());
    Ok(state)
}

/// Decides over `command`, which `by` gives on a task that stands as `state`.
///
/// # Errors
/// `conflict` at `ifVersion`, `taskId`, `status`, `assignedTo` or `dependsOn` where the task's state stands against it,
/// naming that state; `permission_denied` at `taskId` for another's claim that is to be given back, at `project` for another
/// tenant's studio; `invalid_argument` and `too_large` at `dependsOn`.
pub(crate) fn change(
    tenant: &TenantId,
    state: &TaskState,
    command: &ChangeTask,
    by: &Reader,
    time: TimeMs,
    found: &Found,
) -> Result<Decided, Refusal> {
    if let Some(version) = command.if_version
        && version != state.version
    {
        return Err(refusal::version("task", state.version, state.status.word()));
    }
    let at = Moment { by, time };
    let moved = match &command.act {
        TaskAct::Claim { lease_ms } => claim(state, at, *lease_ms, found),
        TaskAct::Release { note } => release(state, at, note.as_deref()).map(Some),
        TaskAct::Update(patch) => update::update(tenant, command.task, state, at, patch),
        TaskAct::AddDependency { on } => update::add_dependency(command.task, state, *on),
        TaskAct::Block { reason } => block(state, at, reason).map(Some),
        TaskAct::Complete { note } => complete(state, at, note.as_deref()).map(Some),
        TaskAct::Fail { reason } => fail(state, at, reason).map(Some),
        TaskAct::Cancel { reason } => {
            expect_open(state)?;
            Ok(Some(ended(state, at, TaskStatus::Cancelled, Some(reason))))
        }
    }?;
    let Some((change, mut after)) = moved else {
        return Ok(Decided::Already);
    };
    after.version = state.version.saturating_add(1);
    Ok(Decided::Changed {
        change,
        state: after,
    })
}

/// How a task stands once its claim, made or renewed in `version`, has run out; nothing where it is no more that claim's.
pub(crate) fn expire(state: &TaskState, version: u64, now: TimeMs) -> Option<TaskState> {
    let lease = state.claim.as_ref()?.lease?;
    let is_due =
        state.version == version && state.status == TaskStatus::InProgress && lease.until <= now;
    is_due.then(|| TaskState {
        version: version.saturating_add(1),
        status: TaskStatus::Todo,
        claim: None,
        ..state.clone()
    })
}

/// The message that everything a task waited for is done: to whom it is given, or else to whoever has it. Nothing where it
/// waits for nobody.
pub(crate) fn ready_message(id: TaskId, state: &TaskState) -> Option<MessageSent> {
    let to = state.told_when_ready()?;
    let mut metadata = [
        ("taskId".to_owned(), id.to_string()),
        ("event".to_owned(), "task_ready".to_owned()),
    ]
    .into_iter()
    .collect::<std::collections::BTreeMap<_, _>>();
    if let Some(mission) = state.mission {
        metadata.insert("missionId".to_owned(), mission.to_string());
    }
    Some(MessageSent {
        from: Reader::postroad(),
        channel: Channel::Roles(vec![to.role]),
        instance: to.instance,
        content: format!(
            "Task ready: {} ({id}). Everything it waited for is done.",
            state.title
        ),
        reply_to: None,
        priority: state.priority.of_message(),
        metadata,
    })
}

/// How a task changes, and how it stands from then on; its version is counted by [`change`].
type Moved = (TaskChange, TaskState);

fn claim(
    state: &TaskState,
    at: Moment<'_>,
    lease_ms: Option<u64>,
    found: &Found,
) -> Result<Option<Moved>, Refusal> {
    expect_open(state)?;
    let own = own_claim(state, at.by);
    match (state.status, own) {
        (TaskStatus::InProgress, Some(own)) => {
            return Ok(renewed(state, own, at.time, lease_ms));
        }
        (TaskStatus::InProgress | TaskStatus::Review, None) => {
            return Err(refusal::taken(state, at.time));
        }
        (TaskStatus::Blocked, None) if state.claim.is_some() => {
            return Err(refusal::taken(state, at.time));
        }
        // What was given to somebody else while it was theirs is theirs until they give it back.
        (TaskStatus::Review | TaskStatus::Blocked, Some(_)) => {}
        _ => expect_fit(state, at.by)?,
    }
    let waits = matches!(state.status, TaskStatus::Todo | TaskStatus::Blocked);
    if waits && !found.waiting_on.is_empty() {
        return Err(refusal::waiting(state, &found.waiting_on));
    }
    let mut after = state.clone();
    after.status = TaskStatus::InProgress;
    after.claim = Some(Claim {
        by: at.by.clone(),
        at: own.map_or(at.time, |own| own.at),
        lease: lease_ms.map(|ms| lease(at.time, ms)),
    });
    Ok(Some((TaskChange::Claimed, after)))
}

/// The claimant claims once more: its lease begins anew, where it has or asks for one.
fn renewed(state: &TaskState, own: &Claim, time: TimeMs, lease_ms: Option<u64>) -> Option<Moved> {
    let ms = lease_ms.or_else(|| own.lease.map(|lease| lease.ms))?;
    let renewed = Some(lease(time, ms));
    if renewed == own.lease {
        return None;
    }
    let mut after = state.clone();
    after.claim = Some(Claim {
        lease: renewed,
        ..own.clone()
    });
    Some((TaskChange::Renewed, after))
}

/// Gives a task back. Whoever has it, or serves the same role, or the role that made it, may; what nobody has, anybody may.
fn release(state: &TaskState, at: Moment<'_>, text: Option<&str>) -> Result<Moved, Refusal> {
    expect_open(state)?;
    if state.status == TaskStatus::Todo {
        return Err(refusal::unclaimed(state, "give it back"));
    }
    if let Some(claim) = &state.claim {
        let is_makers =
            matches!(&state.created_by, Actor::Agent(maker) if maker.role == at.by.role);
        if claim.by.role != at.by.role && !is_makers {
            return Err(refusal::not_yours(state, claim));
        }
    }
    let mut after = state.clone();
    after.status = TaskStatus::Todo;
    after.claim = None;
    say(&mut after, at, text);
    Ok((TaskChange::Released, after))
}

fn block(state: &TaskState, at: Moment<'_>, reason: &str) -> Result<Moved, Refusal> {
    expect_open(state)?;
    match state.status {
        TaskStatus::Blocked => return Err(refusal::blocked_already(state)),
        TaskStatus::InProgress => expect_own(state, at)?,
        _ => {}
    }
    let mut after = state.clone();
    after.status = TaskStatus::Blocked;
    end_lease(&mut after);
    say(&mut after, at, Some(reason));
    Ok((TaskChange::Blocked, after))
}

fn complete(state: &TaskState, at: Moment<'_>, text: Option<&str>) -> Result<Moved, Refusal> {
    expect_open(state)?;
    match state.status {
        TaskStatus::Todo => return Err(refusal::unclaimed(state, "complete it")),
        TaskStatus::Blocked => return Err(refusal::blocked(state, at.time)),
        TaskStatus::InProgress => expect_own(state, at)?,
        _ => {}
    }
    Ok(ended(state, at, TaskStatus::Done, text))
}

fn fail(state: &TaskState, at: Moment<'_>, reason: &str) -> Result<Moved, Refusal> {
    expect_open(state)?;
    match state.status {
        TaskStatus::Todo => return Err(refusal::unclaimed(state, "let it fail")),
        TaskStatus::Blocked if state.claim.is_some() => expect_own(state, at)?,
        TaskStatus::InProgress => expect_own(state, at)?,
        _ => {}
    }
    Ok(ended(state, at, TaskStatus::Failed, Some(reason)))
}

/// A task that ends now. Who had it stays in it.
fn ended(state: &TaskState, at: Moment<'_>, status: TaskStatus, text: Option<&str>) -> Moved {
    let mut after = state.clone();
    after.status = status;
    after.ended_at = Some(at.time);
    end_lease(&mut after);
    say(&mut after, at, text);
    let change = match status {
        TaskStatus::Done => TaskChange::Completed,
        TaskStatus::Failed => TaskChange::Failed,
        _ => TaskChange::Cancelled,
    };
    (change, after)
}

fn expect_open(state: &TaskState) -> Result<(), Refusal> {
    if state.status.has_ended() {
        return Err(refusal::ended(state));
    }
    Ok(())
}

/// Refuses whoever a task that is given to somebody is not given to.
fn expect_fit(state: &TaskState, by: &Reader) -> Result<(), Refusal> {
    match &state.assigned_to {
        Some(to) if !to.includes(by) => Err(refusal::given_to(state, to)),
        _ => Ok(()),
    }
}

/// Refuses everybody but the claimant.
fn expect_own(state: &TaskState, at: Moment<'_>) -> Result<(), Refusal> {
    if own_claim(state, at.by).is_some() {
        return Ok(());
    }
    Err(refusal::taken(state, at.time))
}

fn own_claim<'a>(state: &'a TaskState, by: &Reader) -> Option<&'a Claim> {
    state.claim.as_ref().filter(|claim| claim.by == *by)
}

fn end_lease(state: &mut TaskState) {
    if let Some(claim) = &mut state.claim {
        claim.lease = None;
    }
}

fn lease(from: TimeMs, ms: u64) -> Lease {
    let until = TimeMs(from.0.saturating_add(ms));
    Lease { ms, until }
}

fn say(state: &mut TaskState, at: Moment<'_>, text: Option<&str>) {
    note(state, &Actor::Agent(at.by.clone()), at.time, text);
}

/// Adds a note, and drops the oldest beyond those that are kept.
fn note(state: &mut TaskState, by: &Actor, at: TimeMs, text: Option<&str>) {
    let Some(text) = text else {
        return;
    };
    state.notes.push(Note {
        at,
        by: by.clone(),
        text: text.to_owned(),
    });
    let beyond = state.notes.len().saturating_sub(TASK_NOTES_KEPT);
    state.notes.drain(..beyond);
}

#[cfg(test)]
#[path = "task_given.rs"]
pub(super) mod given;

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "task_rule_tests.rs"]
mod rule_tests;

#[cfg(test)]
#[path = "task_model_tests.rs"]
mod model_tests;
