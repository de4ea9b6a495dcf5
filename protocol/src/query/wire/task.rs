//! Bodies of queries about tasks and missions.

use crate::position::Position;
use serde::{Deserialize, Serialize};

/// `tasks.get_task`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTask {
    /// Which task.
    pub task_id: String,
    /// See [`super::Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`super::Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `tasks.list_tasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTasks {
    /// Tasks in the answer, 1 to 200; by default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only given to this role or an instance of it, or claimed by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// Only given to this instance of that role alone, or claimed by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_to_instance_id: Option<String>,
    /// Only in this state, or one of several separated by commas; `open` is every state but `done`, `failed` and `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only of this mission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mission_id: Option<String>,
    /// Only of this priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Only those that can be claimed now: `todo`, and everything that they depend on is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// See [`super::Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`super::Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `tasks.get_mission`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMission {
    /// Which mission.
    pub mission_id: String,
    /// See [`super::Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`super::Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `tasks.list_missions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMissions {
    /// Missions in the answer, 1 to 200; by default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only led by this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot: Option<String>,
    /// See [`super::Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`super::Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}
