//! What queries of agents are answered, and those that agents and operators both ask.

use super::TaskCounts;
use crate::event::Priority;
use crate::id::{InstanceId, MessageId, Role, TenantId, TimeMs};
use crate::position::Position;
use crate::tenancy::Scope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A message as its reader or sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Whose it is; only where the operator reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its id.
    pub message_id: MessageId,
    /// The caller's receipt of it; none when the caller sent it or has no receipt.
    pub receipt_id: Option<String>,
    /// The sender's role.
    pub from: Role,
    /// The sender's instance.
    pub from_instance_id: InstanceId,
    /// To whom it was sent.
    pub channel: String,
    /// To which instance alone.
    pub instance_id: Option<InstanceId>,
    /// The text.
    pub content: String,
    /// When it was stored.
    pub sent_at: TimeMs,
    /// When the caller first got it in an answer.
    pub delivered_at: Option<TimeMs>,
    /// When the caller marked it read.
    pub read_at: Option<TimeMs>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// How urgent.
    pub priority: Priority,
    /// The sender's labels.
    pub metadata: BTreeMap<String, String>,
}

/// Answer of `check_messages` and `list_messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Messages {
    /// Oldest first in a check, newest first in a list.
    pub messages: Vec<Message>,
    /// How many are unread for the caller's reader.
    pub unread_total: u64,
    /// The highest priority among all of those; none when nothing is unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_priority: Option<Priority>,
    /// Whether more follows behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on. A check's answer has one whenever it has messages, also when nothing follows
    /// yet: a subscriber's next check waits behind it for what is newer. A list's last page has none.
    pub next_cursor: Option<String>,
    /// Work that waits for the caller, in a check's answer where there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskCounts>,
    /// How far the answer has read.
    pub position: Position,
    /// True while the shard is damaged: what is shown is right, but may not be all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `get_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneMessage {
    /// The message.
    pub message: Message,
    /// How far the answer has read.
    pub position: Position,
    /// See [`Messages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// One reader's receipt, as the sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Whose.
    pub recipient: Role,
    /// Which instance; none while the role has no reader yet.
    pub recipient_instance_id: Option<InstanceId>,
    /// When the receipt came to be: when the message was stored.
    pub created_at: TimeMs,
    /// When it first went out in an answer.
    pub delivered_at: Option<TimeMs>,
    /// When it was marked read.
    pub read_at: Option<TimeMs>,
}

/// Answer of `message_status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStatus {
    /// Which message.
    pub message_id: MessageId,
    /// Readers that it is meant for.
    pub recipient_count: u64,
    /// How many have got it.
    pub delivered_count: u64,
    /// How many have read it.
    pub read_count: u64,
    /// One for each reader.
    pub receipts: Vec<Receipt>,
    /// Where to go on.
    pub next_cursor: Option<String>,
    /// How far the answer has read.
    pub position: Position,
    /// See [`Messages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// One agent of the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Whose it is; only where the operator reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its role.
    pub id: Role,
    /// Its instance; none while the role has no reader yet.
    pub instance_id: Option<InstanceId>,
    /// What it says that it is doing.
    pub summary: Option<String>,
    /// When it was last heard of.
    pub last_seen: Option<TimeMs>,
    /// Whether that was just now.
    pub online: bool,
    /// Whether a program is there that starts it when mail waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watching: bool,
    /// When such a program last started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_asked_at: Option<TimeMs>,
    /// When, after such a start, it was first seen to deal with its mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_confirmed_at: Option<TimeMs>,
}

/// Answer of `list_peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peers {
    /// In order of role and instance.
    pub peers: Vec<Peer>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How far the answer has read.
    pub position: Position,
    /// See [`Messages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// The credential's tenant; none for an operator that names none.
    pub tenant_id: Option<String>,
    /// The credential's role, or `_operator`.
    pub role: String,
    /// The instance in use.
    pub instance_id: InstanceId,
    /// How many messages are unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_total: Option<u64>,
    /// The highest priority among those; none when nothing is unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_priority: Option<Priority>,
    /// How far the answer has read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Whether a program is there that starts it when mail waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watching: bool,
    /// When such a program last started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_asked_at: Option<TimeMs>,
    /// When, after such a start, it was first seen to deal with its mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_confirmed_at: Option<TimeMs>,
}

/// One credential or reader on a roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The role.
    pub role: Role,
    /// The instance; none for a credential that serves any.
    pub instance_id: Option<InstanceId>,
    /// `credential` or `reader`.
    pub kind: AgentKind,
    /// A credential's public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// A credential's scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// Issued, or registered, at.
    pub since: TimeMs,
    /// A credential's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<TimeMs>,
    /// Whether it was retired.
    pub retired: bool,
    /// Whether the credential was revoked.
    #[serde(default)]
    pub revoked: bool,
    /// Whether the credential is a bearer token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token: bool,
}

/// What a roster row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// A credential.
    Credential,
    /// A reader.
    Reader,
}

/// Answer of `list_agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agents {
    /// In order of role.
    pub agents: Vec<Agent>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How far the answer has read.
    pub position: Position,
}

/// What one tenant used on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageDay {
    /// Which tenant.
    pub tenant: String,
    /// When the day began, in UTC.
    pub day: TimeMs,
    /// Commands that were stored, those of the operator for it included.
    pub commands: u64,
    /// Queries of its agents that were served.
    pub queries: u64,
    /// Push hints that were published.
    pub pushes: u64,
    /// Messages that were stored.
    pub messages: u64,
    /// Bytes of events that were stored, before they are sealed.
    pub stored_bytes: u64,
}

/// Answer of `usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// In order of tenant and day; days on which nothing was used are left out.
    pub days: Vec<UsageDay>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How far the answer has read; an operator's has read all that the log held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`Messages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}
