//! Questions about tasks and missions, and what they are answered.

use super::{Page, read_page, wire};
use crate::command::{
    read_assignee, read_mission_id, read_mission_status, read_priority, read_project, read_task_id,
};
use crate::error::Refusal;
use crate::id::{InstanceId, Role, TenantId, TimeMs};
use crate::limits;
use crate::position::Position;
use crate::task::{
    Assignee, MissionId, MissionStatus, ProjectText, TaskId, TaskPriority, TaskStatus,
};
use serde::{Deserialize, Serialize};

/// What every state but the ends is called in a question.
const OPEN: &str = "open";

/// A checked `list_tasks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTasks {
    /// Which page.
    pub page: Page,
    /// Only of this project.
    pub project: Option<ProjectText>,
    /// Only given to this role or claimed by it; with an instance, given to that alone or claimed by it.
    pub assigned_to: Option<Assignee>,
    /// Only in one of these states, in order, each once; of any where it is empty.
    pub statuses: Vec<TaskStatus>,
    /// Only of this mission.
    pub mission: Option<MissionId>,
    /// Only of this priority.
    pub priority: Option<TaskPriority>,
    /// Only those that can be claimed now.
    pub ready: bool,
}

/// A checked `list_missions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMissions {
    /// Which page.
    pub page: Page,
    /// Only of this project.
    pub project: Option<ProjectText>,
    /// Only in this state.
    pub status: Option<MissionStatus>,
    /// Only led by this role.
    pub pilot: Option<Role>,
}

/// What somebody said of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskNote {
    /// When.
    pub at: TimeMs,
    /// Who: `role/instance`.
    pub by: String,
    /// What.
    pub text: String,
}

/// A task as a caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Whose it is, in the operator's view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its id.
    pub task_id: TaskId,
    /// What it is, in one line.
    pub title: String,
    /// What it is, at length; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it belongs.
    pub project: String,
    /// How urgent.
    pub priority: TaskPriority,
    /// How it stands.
    pub status: TaskStatus,
    /// Whether it can be claimed now: it is `todo`, and everything that it depends on is done.
    pub ready: bool,
    /// Tasks that it waits for: those of `dependsOn` that are not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_on: Vec<TaskId>,
    /// The role that is to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<Role>,
    /// The one instance of it that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to_instance_id: Option<InstanceId>,
    /// The role that works on it, or did until it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<Role>,
    /// The instance of it that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by_instance_id: Option<InstanceId>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<TimeMs>,
    /// Until when that claim holds unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<TimeMs>,
    /// Tasks that have to be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// The mission that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission_id: Option<MissionId>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// By when it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<TimeMs>,
    /// The last that were said of it, the newest last; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<TaskNote>,
    /// The role that created it.
    pub created_by: String,
    /// The instance that did.
    pub created_by_instance_id: String,
    /// When.
    pub created_at: TimeMs,
    /// When it changed last.
    pub updated_at: TimeMs,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<TimeMs>,
    /// How often it has changed, from 1.
    pub version: u64,
}

/// Answer of `get_task`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneTask {
    /// The task.
    pub task: Task,
    /// How far the answer has read.
    pub position: Position,
    /// True where the shard is damaged: this may not be the newest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `list_tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tasks {
    /// The most urgent first, and of those the oldest; in the operator's view of all tenants, within each.
    pub tasks: Vec<Task>,
    /// Whether more may follow behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on.
    pub next_cursor: Option<String>,
    /// How far the answer has read, where one tenant was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`OneTask::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// How far a mission is: its tasks, counted by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// All of them.
    pub total: u64,
    /// Nobody works on them yet.
    pub todo: u64,
    /// Somebody does.
    pub in_progress: u64,
    /// Somebody looks at them.
    pub review: u64,
    /// Something keeps them from going on.
    pub blocked: u64,
    /// They are done.
    pub done: u64,
    /// They came to nothing.
    pub failed: u64,
    /// They are not wanted any more.
    pub cancelled: u64,
    /// Hundredths that are done of all that are wanted, rounded down; 0 of none.
    pub percent: u64,
}

/// A mission as a caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mission {
    /// Whose it is, in the operator's view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its id.
    pub mission_id: MissionId,
    /// What it is, in one line.
    pub title: String,
    /// What it is for; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brief: Option<String>,
    /// The role that leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pilot: Option<Role>,
    /// The roles that take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<Role>,
    /// Where it belongs.
    pub project: String,
    /// How urgent.
    pub priority: TaskPriority,
    /// How it stands.
    pub status: MissionStatus,
    /// When it is to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<TimeMs>,
    /// By when it is to be complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<TimeMs>,
    /// How far it is.
    pub progress: Progress,
    /// The role that created it.
    pub created_by: String,
    /// The instance that did.
    pub created_by_instance_id: String,
    /// When.
    pub created_at: TimeMs,
    /// When it changed last.
    pub updated_at: TimeMs,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<TimeMs>,
    /// How often it has changed, from 1.
    pub version: u64,
}

/// Answer of `get_mission`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneMission {
    /// The mission.
    pub mission: Mission,
    /// How far the answer has read.
    pub position: Position,
    /// See [`OneTask::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `list_missions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missions {
    /// The newest first; in the operator's view of all tenants, within each.
    pub missions: Vec<Mission>,
    /// Whether more may follow behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on.
    pub next_cursor: Option<String>,
    /// See [`Tasks::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`OneTask::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Work that waits for a reader, counted. A claimed task is its claimant's, another that of whoever it is given to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskCounts {
    /// Given to the reader or its role, and can be claimed now.
    pub ready: u64,
    /// Given to the reader or its role, and waits for other tasks or is blocked.
    pub waiting: u64,
    /// Claimed by the reader, and not ended: in progress, in review or blocked.
    pub claimed: u64,
    /// Of all those, due by now; of very many, as many as were counted.
    pub due: u64,
}

impl TaskCounts {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn read_get_task(wire: &wire::GetTask) -> Result<TaskId, Refusal> {
    read_task_id(&wire.task_id)
}

pub(super) fn read_get_mission(wire: &wire::GetMission) -> Result<MissionId, Refusal> {
    read_mission_id(&wire.mission_id)
}

pub(super) fn read_list_tasks(wire: wire::ListTasks) -> Result<ListTasks, Refusal> {
    let assigned_to = read_assignee(
        wire.assigned_to.as_deref(),
        wire.assigned_to_instance_id.as_deref(),
    )?;
    Ok(ListTasks {
        page: read_page(wire.limit, wire.cursor, limits::PAGE_DEFAULT)?,
        project: read_project(wire.project.as_deref())?,
        assigned_to: assigned_to.flatten(),
        statuses: read_statuses(wire.status.as_deref())?,
        mission: wire
            .mission_id
            .as_deref()
            .map(read_mission_id)
            .transpose()?,
        priority: read_priority(wire.priority.as_deref())?,
        ready: wire.ready == Some(true),
    })
}

pub(super) fn read_list_missions(wire: wire::ListMissions) -> Result<ListMissions, Refusal> {
    let pilot = wire
        .pilot
        .as_deref()
        .map(|text| Role::parse(text).map_err(|error| error.at("pilot")));
    Ok(ListMissions {
        page: read_page(wire.limit, wire.cursor, limits::PAGE_DEFAULT)?,
        project: read_project(wire.project.as_deref())?,
        status: read_mission_status(wire.status.as_deref())?,
        pilot: pilot.transpose()?,
    })
}

fn read_statuses(text: Option<&str>) -> Result<Vec<TaskStatus>, Refusal> {
    let mut statuses = Vec::new();
    for word in text.unwrap_or_default().split(',').map(str::trim) {
        match TaskStatus::parse(word) {
            Some(status) => statuses.push(status),
            None if word == OPEN => {
                let open = TaskStatus::ALL.iter().filter(|status| !status.has_ended());
                statuses.extend(open);
            }
            None if word.is_empty() => {}
            None => {
                return Err(Refusal::invalid(
                    "status",
                    "there is no such state",
                    "use open, todo, in_progress, review, blocked, done, failed, cancelled, or several with commas between",
                ));
            }
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    Ok(statuses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn states_are_given_one_by_one_or_as_open() {
        use TaskStatus::{Blocked, Done, InProgress, Review, Todo};
        let read = |text| read_statuses(Some(text)).unwrap();
        assert_eq!(read("open"), [Todo, InProgress, Review, Blocked]);
        assert_eq!(read(" done , todo,,todo"), [Todo, Done]);
        assert_eq!(read(""), []);
        assert_eq!(read_statuses(None).unwrap(), []);
        let refusal = read_statuses(Some("open,asleep")).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::InvalidArgument, Some("status"))
        );
    }
}
