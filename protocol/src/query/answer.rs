//! What queries are answered.

use crate::event::Priority;
use crate::id::{InstanceId, MessageId, Role, TenantId, TimeMs};
use crate::position::Position;
use crate::quota::Limits;
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

/// One tenant, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its name.
    pub tenant: String,
    /// Where it lives.
    pub shard: u16,
    /// Which creation of that name this is.
    pub generation: u32,
    /// When it was created.
    pub created_at: TimeMs,
    /// Roles on its roster.
    pub roles: u64,
    /// Readers registered.
    pub readers: u64,
    /// Messages stored.
    pub messages: u64,
    /// Whether its agents are served.
    #[serde(default)]
    pub state: TenantState,
    /// Since when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<TimeMs>,
    /// Why they are not, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_reason: Option<String>,
    /// Bytes of the events that its log holds, before they are sealed.
    #[serde(default)]
    pub stored_bytes: u64,
    /// Limits that are set for it; the others have their defaults.
    #[serde(default)]
    pub limits: Limits,
}

/// Whether a tenant's agents are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// They are.
    #[default]
    Active,
    /// The operator has shut them out.
    Suspended,
}

impl TenantState {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// One tenant in the deployment's register: what is the operator's own doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantEntry {
    /// Its name.
    pub tenant: String,
    /// Where it lives.
    pub shard: u16,
    /// Which creation of that name this is.
    pub generation: u32,
    /// Whether its erase began and has not ended: `tenant erase`, repeated, goes on with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erasing: bool,
    /// Whether its agents are served.
    #[serde(default)]
    pub state: TenantState,
}

/// Answer of `list_tenants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenants {
    /// In order of name.
    pub tenants: Vec<TenantEntry>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
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

/// How one shard is doing at the projector that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Which shard.
    pub shard: u16,
    /// Which incarnation of its stream.
    pub epoch: u64,
    /// Last sequence that is applied.
    pub applied: u64,
    /// Last sequence of the log.
    pub end: u64,
    /// `following`, `catching_up`, `rebuilding`, `disconnected` or `damaged`.
    pub state: String,
    /// What is wrong and what to do, when damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// Events set aside because this build or the fold could not take them.
    pub quarantined: u64,
    /// The first of them, at most [`crate::limits::QUARANTINE_NAMED`], in order of owner and sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<QuarantinedEvent>,
}

/// An event that changes no row. What it says is not shown: that is an audited `replay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedEvent {
    /// Where it is stored.
    pub sequence: u64,
    /// Whose it is: a tenant, or `_sys`.
    pub tenant: String,
    /// Why.
    pub reason: String,
}

/// What is wrong with a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// In one sentence.
    pub message: String,
    /// First sequence concerned.
    pub from: u64,
    /// Last sequence concerned, as far as is known.
    pub to: u64,
    /// What to do.
    pub remedy: String,
}

/// Answer of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Every shard.
    pub shards: Vec<ShardStatus>,
    /// Version of the projector that answers.
    pub version: String,
    /// Version of the nats-server behind it.
    pub nats_version: String,
    /// Requests dropped because they wanted their answer elsewhere than at the caller's inbox.
    pub dropped_requests: u64,
}

/// Answer of `rebuild`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilding {
    /// Shards whose rows are being folded anew; `status` shows when they follow again.
    pub shards: Vec<u16>,
}

/// The `problem` of an event whose key was destroyed with the tenant that had the name before.
pub const ERASED: &str = "erased: its key was destroyed with its tenant";

/// One event of a replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedEvent {
    /// Where it is stored.
    pub position: Position,
    /// Whose it is: a tenant, or `_sys`.
    pub tenant: String,
    /// Its id.
    pub id: String,
    /// Its stored name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its schema version.
    pub schema: u16,
    /// When ingress took the command.
    pub time: TimeMs,
    /// Who caused it: `role/instance`, `_operator/instance` or `_sys`.
    pub by: String,
    /// Its fields; null when it could not be read, with the reason in `problem`.
    pub data: serde_json::Value,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Answer of `replay`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// In order.
    pub events: Vec<ReplayedEvent>,
    /// The sequence to go on from; none when the end that was asked for is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sequence: Option<u64>,
    /// How far the log reached when it was read.
    pub end: Position,
    /// First and last sequence of what the log has lost in this page's part of it and an operator gave up:
    /// whose events those were cannot be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<(u64, u64)>,
}

/// Answer of `list_messages` to the operator: of one tenant, or of all in order of name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantMessages {
    /// Newest first within each tenant. They carry their tenant, and nobody's receipt.
    pub messages: Vec<Message>,
    /// Whether more may follow behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on. A page may hold fewer messages than were asked for, or none, and not be the last.
    pub next_cursor: Option<String>,
    /// How far the answer has read, where one tenant was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// True where a shard is damaged, or a tenant's key does not open: this may not be all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `list_peers` to the operator: of one tenant, or of all in order of name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantPeers {
    /// In order of role and instance within each tenant. They carry their tenant.
    pub peers: Vec<Peer>,
    /// See [`TenantMessages::next_cursor`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// See [`TenantMessages::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`TenantMessages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
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
