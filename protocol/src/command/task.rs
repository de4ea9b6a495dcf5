//! Commands on tasks and missions as callers write them, field by field.

#![expect(
    clippy::option_option,
    reason = "a field is left out, taken away or set: three things"
)]

use super::read::identify;
use super::text::{line_of, read_tags, read_text, read_time};
use super::{Command, Identified, wire};
use crate::error::{ErrorCode, Refusal};
use crate::event::Asked;
use crate::id::{InstanceId, Role, TimeMs};
use crate::limits;
use crate::task::{Assignee, MissionId, ProjectText, TaskId, TaskPriority, TaskStatus};
use serde::Serialize;

/// A checked command on a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskCommand {
    /// Make one.
    Create(CreateTask),
    /// Change one.
    Change(ChangeTask),
}

/// A checked `create_task`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateTask {
    /// 1 to 256 bytes, one line.
    pub title: String,
    /// At most 16 KiB.
    pub description: String,
    /// None: the tenant's studio.
    pub project: Option<ProjectText>,
    /// How urgent.
    pub priority: TaskPriority,
    /// To whom it is given.
    pub assigned_to: Option<Assignee>,
    /// In order, each once.
    pub depends_on: Vec<TaskId>,
    /// The mission.
    pub mission: Option<MissionId>,
    /// In order, each once.
    pub tags: Vec<String>,
    /// By when.
    pub due_at: Option<TimeMs>,
    /// A first note.
    pub note: Option<String>,
}

/// A checked command on a task that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeTask {
    /// Which.
    pub task: TaskId,
    /// The version that it has to have.
    pub if_version: Option<u64>,
    /// What is to happen to it.
    pub act: TaskAct,
}

/// What is to happen to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TaskAct {
    /// The caller works on it, or goes on doing so.
    Claim {
        /// For so many milliseconds, then it is given back.
        lease_ms: Option<u64>,
    },
    /// Nobody works on it.
    Release {
        /// What there is to say.
        note: Option<String>,
    },
    /// It says something else.
    Update(Box<TaskPatch>),
    /// It depends on one more.
    AddDependency {
        /// On which.
        on: TaskId,
    },
    /// Something keeps it from going on.
    Block {
        /// What.
        reason: String,
    },
    /// It is done.
    Complete {
        /// What there is to say.
        note: Option<String>,
    },
    /// It came to nothing.
    Fail {
        /// Why.
        reason: String,
    },
    /// It is not wanted any more.
    Cancel {
        /// Why.
        reason: String,
    },
}

/// What `update_task` changes: what is named is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskPatch {
    /// The title.
    pub title: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The project.
    pub project: Option<ProjectText>,
    /// The priority.
    pub priority: Option<TaskPriority>,
    /// `todo`, `in_progress` or `review`.
    pub status: Option<TaskStatus>,
    /// To whom it is given; nobody.
    pub assigned_to: Option<Option<Assignee>>,
    /// All that it depends on, in order, each once.
    pub depends_on: Option<Vec<TaskId>>,
    /// The mission; none.
    pub mission: Option<Option<MissionId>>,
    /// All labels, in order, each once.
    pub tags: Option<Vec<String>>,
    /// By when; never.
    pub due_at: Option<Option<TimeMs>>,
    /// One more note.
    pub note: Option<String>,
}

impl TaskCommand {
    /// What it asks for, as events keep it.
    pub fn asked(&self) -> Asked {
        match self {
            Self::Create(command) => Asked::of(command),
            Self::Change(command) => Asked::of(command),
        }
    }
}

pub(super) fn read_create(wire: wire::CreateTask) -> Result<Identified, Refusal> {
    let assigned_to = read_assignee(
        wire.assigned_to.as_deref(),
        wire.assigned_to_instance_id.as_deref(),
    )?;
    let command = CreateTask {
        title: read_title(&wire.title)?,
        description: read_long(wire.description, "description")?.unwrap_or_default(),
        project: read_project(wire.project.as_deref())?,
        priority: read_priority(wire.priority.as_deref())?.unwrap_or(TaskPriority::Medium),
        assigned_to: assigned_to.flatten(),
        depends_on: read_dependencies(&wire.depends_on.unwrap_or_default())?,
        mission: read_mission(wire.mission_id.as_deref())?.flatten(),
        tags: read_tags(wire.tags.unwrap_or_default())?,
        due_at: read_time(wire.due_at, "dueAt")?,
        note: read_note(wire.note)?,
    };
    let id = wire.command_id.as_deref();
    identify(id, "commandId", Command::Task(TaskCommand::Create(command)))
}

/// A command on the task that a body names.
fn change(
    task: &str,
    if_version: Option<u64>,
    act: TaskAct,
    id: Option<&str>,
) -> Result<Identified, Refusal> {
    let command = ChangeTask {
        task: read_task_id(task)?,
        if_version,
        act,
    };
    identify(id, "commandId", Command::Task(TaskCommand::Change(command)))
}

pub(super) fn read_claim(wire: &wire::ClaimTask) -> Result<Identified, Refusal> {
    let lease_ms = match wire.lease_ms {
        None => None,
        Some(ms) => Some(
            u64::try_from(ms)
                .ok()
                .filter(|ms| (limits::LEASE_MIN_MS..=limits::LEASE_MAX_MS).contains(ms))
                .ok_or_else(|| {
                    let (min, max) = (limits::LEASE_MIN_MS, limits::LEASE_MAX_MS);
                    Refusal::invalid(
                        "leaseMs",
                        format!("leaseMs lies between {min} (1 second) and {max} (7 days)"),
                        "name how long you may be silent, and claim again before that is over",
                    )
                })?,
        ),
    };
    let act = TaskAct::Claim { lease_ms };
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act, id)
}

pub(super) fn read_release(wire: wire::NotedTask) -> Result<Identified, Refusal> {
    let act = TaskAct::Release {
        note: read_note(wire.note)?,
    };
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act, id)
}

pub(super) fn read_complete(wire: wire::NotedTask) -> Result<Identified, Refusal> {
    let act = TaskAct::Complete {
        note: read_note(wire.note)?,
    };
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act, id)
}

pub(super) fn read_reasoned(
    wire: wire::ReasonedTask,
    act: impl FnOnce(String) -> TaskAct,
) -> Result<Identified, Refusal> {
    let reason = read_text(wire.reason, "reason", limits::NOTE_MAX_BYTES)?;
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act(reason), id)
}

pub(super) fn read_dependency(wire: &wire::AddDependency) -> Result<Identified, Refusal> {
    let on =
        TaskId::parse(&wire.depends_on).ok_or_else(|| Refusal::not_found("dependsOn", "task"))?;
    let act = TaskAct::AddDependency { on };
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act, id)
}

pub(super) fn read_update(wire: wire::UpdateTask) -> Result<Identified, Refusal> {
    let status = wire
        .status
        .as_deref()
        .map(|word| match TaskStatus::parse(word) {
            Some(status @ (TaskStatus::Todo | TaskStatus::InProgress | TaskStatus::Review)) => {
                Ok(status)
            }
            Some(_) => Err(Refusal::invalid(
                "status",
                "this state has a verb of its own",
                "use block_task, complete_task, fail_task or cancel_task",
            )),
            None => Err(Refusal::invalid(
                "status",
                "there is no such state",
                "use todo, in_progress or review",
            )),
        })
        .transpose()?;
    let patch = TaskPatch {
        title: wire.title.as_deref().map(read_title).transpose()?,
        description: read_long(wire.description, "description")?,
        project: read_project(wire.project.as_deref())?,
        priority: read_priority(wire.priority.as_deref())?,
        status,
        assigned_to: read_assignee(
            wire.assigned_to.as_deref(),
            wire.assigned_to_instance_id.as_deref(),
        )?,
        depends_on: wire
            .depends_on
            .as_deref()
            .map(read_dependencies)
            .transpose()?,
        mission: read_mission(wire.mission_id.as_deref())?,
        tags: wire.tags.map(read_tags).transpose()?,
        due_at: read_end(wire.due_at, "dueAt")?,
        note: read_note(wire.note)?,
    };
    if patch == TaskPatch::default() {
        return Err(Refusal::invalid(
            "title",
            "nothing is named to change",
            "give title, description, project, priority, status, assignedTo, dependsOn, missionId, tags, dueAt or note",
        ));
    }
    let act = TaskAct::Update(Box::new(patch));
    let id = wire.command_id.as_deref();
    change(&wire.task_id, wire.if_version, act, id)
}

/// Reads a task's id. A text that cannot be one names nothing, just like an id of somebody else's.
///
/// # Errors
/// `not_found` at `taskId`.
pub fn read_task_id(text: &str) -> Result<TaskId, Refusal> {
    TaskId::parse(text).ok_or_else(|| Refusal::not_found("taskId", "task"))
}

/// As [`read_task_id`], of a mission.
///
/// # Errors
/// `not_found` at `missionId`.
pub fn read_mission_id(text: &str) -> Result<MissionId, Refusal> {
    MissionId::parse(text).ok_or_else(|| Refusal::not_found("missionId", "mission"))
}

/// Reads the word for a priority of tasks.
///
/// # Errors
/// `invalid_argument` at `priority`.
pub(crate) fn read_priority(text: Option<&str>) -> Result<Option<TaskPriority>, Refusal> {
    text.map(|word| {
        TaskPriority::parse(word).ok_or_else(|| {
            Refusal::invalid(
                "priority",
                "there is no such priority",
                "use urgent, high, medium or low",
            )
        })
    })
    .transpose()
}

pub(crate) fn read_project(text: Option<&str>) -> Result<Option<ProjectText>, Refusal> {
    text.map(ProjectText::parse).transpose()
}

/// Reads a role and an instance of it; nobody for an empty role.
///
/// # Errors
/// `invalid_argument` at the field that is at fault.
pub(crate) fn read_assignee(
    role: Option<&str>,
    instance: Option<&str>,
) -> Result<Option<Option<Assignee>>, Refusal> {
    let instance = instance
        .map(|text| InstanceId::parse(text).map_err(|error| error.at("assignedToInstanceId")))
        .transpose()?;
    let role = match role {
        Some(text) if !text.is_empty() => {
            Some(Role::parse(text).map_err(|error| error.at("assignedTo"))?)
        }
        role => {
            if instance.is_some() {
                return Err(Refusal::invalid(
                    "assignedToInstanceId",
                    "an instance narrows a role",
                    "name the role in assignedTo, or leave assignedToInstanceId out",
                ));
            }
            return Ok(role.map(|_| None));
        }
    };
    Ok(Some(role.map(|role| Assignee { role, instance })))
}

pub(super) fn read_title(text: &str) -> Result<String, Refusal> {
    let title = line_of(text, "title", limits::TITLE_MAX_BYTES)?;
    if title.is_empty() {
        return Err(Refusal::invalid(
            "title",
            "the title is empty",
            "say in a few words what is to be done",
        ));
    }
    Ok(title)
}

pub(super) fn read_long(
    text: Option<String>,
    field: &'static str,
) -> Result<Option<String>, Refusal> {
    match text {
        Some(text) if text.is_empty() => Ok(Some(text)),
        Some(text) => read_text(text, field, limits::DESCRIPTION_MAX_BYTES).map(Some),
        None => Ok(None),
    }
}

fn read_note(note: Option<String>) -> Result<Option<String>, Refusal> {
    note.filter(|text| !text.trim().is_empty())
        .map(|text| read_text(text, "note", limits::NOTE_MAX_BYTES))
        .transpose()
}

/// A time; none for 0, which takes it away.
pub(super) fn read_end(
    value: Option<i64>,
    field: &'static str,
) -> Result<Option<Option<TimeMs>>, Refusal> {
    let time = read_time(value, field)?;
    Ok(time.map(|time| Some(time).filter(|time| time.0 > 0)))
}

fn read_mission(text: Option<&str>) -> Result<Option<Option<MissionId>>, Refusal> {
    match text {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => read_mission_id(text).map(|id| Some(Some(id))),
    }
}

fn read_dependencies(ids: &[String]) -> Result<Vec<TaskId>, Refusal> {
    check_count(ids.len(), limits::TASK_DEPENDENCIES_MAX, "dependsOn")?;
    let read =
        |text: &String| TaskId::parse(text).ok_or_else(|| Refusal::not_found("dependsOn", "task"));
    let mut ids = ids.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

pub(super) fn check_count(count: usize, max: usize, field: &'static str) -> Result<(), Refusal> {
    if count <= max {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::TooLarge,
        format!("{count} are given in {field}; {max} is the limit"),
        "name fewer, or group them behind one that stands for them",
    )
    .at(field))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
