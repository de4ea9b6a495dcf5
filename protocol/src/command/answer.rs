//! What commands are answered.

use crate::id::{MessageId, TimeMs};
use crate::memory::MemoryId;
use crate::position::Position;
use crate::quota::Limits;
use crate::task::{MissionId, MissionStatus, TaskId, TaskStatus};
use serde::{Deserialize, Serialize};

/// Answer of `send_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The message's id.
    pub message_id: MessageId,
    /// Where it is stored.
    pub position: Position,
    /// Readers that it is meant for; a role without a reader yet counts as one.
    pub recipient_count: u64,
    /// Those readers as `role/instance`, or `role` without one yet; for up to 20, and not for a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<String>>,
}

/// Answer of `mark_as_read`: every id that was given, in one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Marked {
    /// Read from now on.
    pub marked: Vec<String>,
    /// Read before; the first time stands.
    pub already_read: Vec<String>,
    /// No receipt or message of the caller's.
    pub not_found: Vec<String>,
    /// Where the mark is stored; none when nothing was left to mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Answer of commands that only need to say where they landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Where it is stored.
    pub position: Position,
}

/// Answer of `create_tenant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantMade {
    /// Its canonical name.
    pub tenant: String,
    /// Where it lives.
    pub shard: u16,
    /// Which creation of that name this is.
    pub generation: u32,
    /// Where that is stored.
    pub position: Position,
}

/// Answer of `issue_credential`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The signed user JWT; with the agent's own seed it makes a `.creds` file.
    pub jwt: String,
    /// When it ends.
    pub expires_at: TimeMs,
    /// Where the issue is stored.
    pub position: Position,
}

/// Answer of `revoke_credential` and `end_credential`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// The keys that have no credential any more.
    pub public_keys: Vec<String>,
    /// Where it is stored.
    pub position: Position,
}

/// Answer of `import_events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// Events that were stored.
    pub imported: u64,
    /// Events that were there before.
    pub skipped: u64,
    /// Where the last of them is stored; the part behind this one names its sequence as `after`.
    pub position: Position,
}

/// Answer of `erase_tenant`: nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Its canonical name.
    pub tenant: String,
    /// Which creation of that name is gone.
    pub generation: u32,
    /// Where the log says so.
    pub position: Position,
}

/// Answer of `rotate_key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The generation of the tenant's name.
    pub generation: u32,
    /// The new key's number in it.
    pub number: u32,
    /// Where that is stored.
    pub position: Position,
}

/// Answer of `suspend_tenant` and `resume_tenant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifeChanged {
    /// Where it is stored that the tenant is what it is now.
    pub position: Position,
    /// Whether an earlier command had made it so; then nothing was stored.
    pub already: bool,
}

/// Answer of `set_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSet {
    /// Every limit that is set now; the others have their defaults.
    pub limits: Limits,
    /// Where that is stored.
    pub position: Position,
    /// Whether they were so already; then nothing was stored.
    pub already: bool,
}

/// Answer of `store_memory` and `update_memory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemorySaved {
    /// The memory's id.
    pub memory_id: MemoryId,
    /// Where it is stored.
    pub position: Position,
}

/// Answer of `import_memory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryImported {
    /// The memory's id.
    pub memory_id: MemoryId,
    /// Where it is stored.
    pub position: Position,
    /// Whether it was brought in before; then nothing was stored.
    pub already: bool,
}

/// Answer of `forget_memory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forgotten {
    /// The memory that is forgotten.
    pub memory_id: MemoryId,
    /// Where it is stored.
    pub position: Position,
}

/// Answer of every command on a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSaved {
    /// The task's id.
    pub task_id: TaskId,
    /// How it stands from now on.
    pub status: TaskStatus,
    /// How often it has changed, from 1.
    pub version: u64,
    /// Until when the caller's claim holds, where it has a lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<TimeMs>,
    /// Where that is stored.
    pub position: Position,
    /// Whether it was so already; then nothing was stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
}

/// Answer of every command on a mission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissionSaved {
    /// The mission's id.
    pub mission_id: MissionId,
    /// How it stands from now on.
    pub status: MissionStatus,
    /// How often it has changed, from 1.
    pub version: u64,
    /// Where that is stored.
    pub position: Position,
    /// Whether it was so already; then nothing was stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
}
