//! Bodies of commands as callers write them: camelCase, everything that can be left out optional.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod task;

pub use task::{
    AddDependency, ClaimTask, CreateMission, CreateTask, NotedTask, ReasonedTask, UpdateMission,
    UpdateTask,
};

/// `messages.send_message`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// A role, `broadcast`, or roles separated by commas.
    pub channel: String,
    /// The text, 1 byte to 256 KiB of UTF-8.
    pub content: String,
    /// Only this instance of the one role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// UUID made by the client; a retry with the same id is stored once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The message that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// `urgent`, `high`, `normal` or `low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Small labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// `messages.mark_as_read`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MarkAsRead {
    /// Receipts from a check's answer.
    pub receipt_ids: Vec<String>,
    /// Messages, for one's own reader.
    pub message_ids: Vec<String>,
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `self.set_summary`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetSummary {
    /// What the agent is doing, at most 1 KiB; empty clears it.
    pub summary: String,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.create_tenant`; the tenant stands in the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTenant {
    /// The shard to live in; by default the one with the fewest tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.issue_credential`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueCredential {
    /// The role.
    pub role: String,
    /// Only this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The public user nkey; the seed stays with the agent.
    pub public_key: String,
    /// What it may touch besides `self`; by default `messages`, `memory` and `tasks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Life in seconds, at most 365 days; by default 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<i64>,
    /// Whether the key is that of a bearer token, which serves one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<bool>,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.retire_agent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetireAgent {
    /// The role.
    pub role: String,
    /// Only this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.accept_damage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptDamage {
    /// The damaged shard.
    pub shard: u16,
    /// First sequence to give up.
    pub from_sequence: u64,
    /// Last sequence to give up.
    pub to_sequence: u64,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.erase_tenant`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EraseTenant {
    /// The tenant's name once more.
    pub confirm: String,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.rotate_key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotateKey {
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.revoke_credential`: by key, or by role with or without an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevokeCredential {
    /// The role whose credentials end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Only those bound to this instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Only the credential for this user nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `self.renew_credential`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewCredential {
    /// The user nkey of the credential that the caller has.
    pub public_key: String,
    /// Signed with its seed: see subjects.md.
    pub proof: String,
    /// The key that the new credential is for; by default the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_public_key: Option<String>,
    /// Life in seconds, at most 365 days and not longer than the former's; by default as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<i64>,
    /// UUID made by the client; signed with the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `self.end_credential`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndCredential {
    /// The user nkey of the credential that ends.
    pub public_key: String,
    /// Signed with its seed: see subjects.md.
    pub proof: String,
    /// UUID made by the client; signed with the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.import_events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportEvents {
    /// The events, in their order.
    pub events: Vec<crate::portable::PortableEvent>,
    /// Sequence in the answer to the part before this one: up to there the tenant holds nothing but what
    /// was imported. None at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// UUID made by the client, one for a whole import: it names the import in the tenant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.suspend_tenant`; the tenant stands in the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SuspendTenant {
    /// Why, at most 1 KiB; the operator's, agents are not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.resume_tenant`; the tenant stands in the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResumeTenant {
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.set_limits`; the tenant stands in the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetLimits {
    /// New values by name, such as `commandsPerS`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, u64>,
    /// Names of limits that get their defaults back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<String>,
    /// UUID made by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `memory.store_memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreMemory {
    /// `global`, `project/{x}`, `workspace/{tenant}` or `orchestrator/{role}`.
    pub namespace: String,
    /// `user`, `feedback`, `project`, `reference`, `episode` or another slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text, 1 byte to 64 KiB.
    pub content: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Older memories that it updates, extends or derives from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relates_to: Option<Vec<Relation>>,
    /// The episode that it is a part of, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// When what it tells happened, in milliseconds since 1970; by default now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<i64>,
    /// From when on it is not found any more, in milliseconds since 1970; by default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The caller's own role; compared with the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// A relation as callers write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// `updates`, `extends` or `derives`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The older memory.
    pub memory_id: String,
}

/// `memory.update_memory`: what is named is set, the rest stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateMemory {
    /// Which memory.
    pub memory_id: String,
    /// Another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// All its labels; an empty list takes them away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// All its relations; an empty list takes them away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relates_to: Option<Vec<Relation>>,
    /// Another episode; an empty text takes it out of its episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// Another time of what it tells, in milliseconds since 1970; 0: when it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<i64>,
    /// Another end, in milliseconds since 1970; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `memory.forget_memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetMemory {
    /// Which memory.
    pub memory_id: String,
    /// UUID made by the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// `admin.import_memory`: a line of a file of memories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportMemory {
    /// Its id where it comes from: with the namespace it says what was brought in before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As in `store_memory`; a bare name becomes `project/{name}`.
    pub namespace: String,
    /// As in `store_memory`; by default `reference`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The text, 1 byte to 64 KiB.
    pub content: String,
    /// Its author where it comes from, in any words.
    #[serde(default, alias = "created_by", skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// As in `store_memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// As in `store_memory`.
    #[serde(
        default,
        alias = "occurred_at",
        skip_serializing_if = "Option::is_none"
    )]
    pub occurred_at: Option<i64>,
    /// As in `store_memory`.
    #[serde(default, alias = "expires_at", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// UUID made by the client; by default derived from id and namespace, or from the whole line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}
