//! Bodies of queries as callers write them.

use crate::position::Position;
use serde::{Deserialize, Serialize};

mod task;

pub use task::{GetMission, GetTask, ListMissions, ListTasks};

/// Fields that every query takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reading {
    /// The highest position that the caller has seen: the answer includes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Include everything that the log held when the query arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `messages.check_messages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckMessages {
    /// Messages in the answer, 1 to 200; by default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer: go on after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Wait so long for a message when none is unread, in milliseconds, at most 60 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<i64>,
    /// See [`Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `messages.list_messages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMessages {
    /// Messages in the answer, 1 to 200; by default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only messages sent by this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Only messages to this role, or `broadcast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Only messages sent at or after this time, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only messages sent before this time, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// See [`Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `messages.get_message` and `messages.message_status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneMessage {
    /// Which message.
    pub message_id: String,
    /// Receipts in a status, 1 to 200; by default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// See [`Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// Lists of a tenant's agents, or of tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    /// Rows in the answer, 1 to 200; by default 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// See [`Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `audit.replay`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replay {
    /// Which shard, where no tenant is named; by default the first. A tenant's own needs no naming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
    /// First sequence; by default the first of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<u64>,
    /// Not before this time, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_time: Option<i64>,
    /// Last sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_sequence: Option<u64>,
    /// Not after this time, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_time: Option<i64>,
    /// Events in the answer, 1 to 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// `self.usage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Days in the answer, 1 to 366, today the last of them; by default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
    /// Tenants in the answer, 1 to 200, where the operator asks for all; by default 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// See [`Reading::position`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `memory.get_memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMemory {
    /// Which memory.
    pub memory_id: String,
    /// As it was at this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<i64>,
    /// As it was at this sequence of the tenant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_sequence: Option<u64>,
    /// See [`Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `memory.list_memories`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMemories {
    /// Memories in the answer, 1 to 200; by default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `nextCursor` of an earlier answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only this namespace, or those with this prefix, such as `project/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only with this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only by this role, `role/instance`, or author of an imported memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// See [`Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `memory.recall`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recall {
    /// What is looked for, 1 byte to 1 KiB.
    pub query: String,
    /// Only this namespace, or those with this prefix, such as `project/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only by this role, whichever instance, or author of an imported memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Only what happened at this time or later, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only what happened before this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Results in the answer, 1 to 100; by default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// What was known at this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<i64>,
    /// What was known at this sequence of the tenant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_sequence: Option<u64>,
    /// See [`Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// `messages.search_messages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchMessages {
    /// What is looked for, 1 byte to 1 KiB.
    pub query: String,
    /// Only messages sent by this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Only messages to this role, or `broadcast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Only messages sent at or after this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only messages sent before this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Messages in the answer, 1 to 100; by default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// See [`Reading::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Reading::fresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}
