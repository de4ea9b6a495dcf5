//! What operators' queries are answered: tenants, shards and the log, and the views across tenants.

use super::{Message, Peer, RecallMode};
use crate::id::TimeMs;
use crate::position::Position;
use crate::quota::Limits;
use serde::{Deserialize, Serialize};

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
    /// Memories that it holds.
    #[serde(default)]
    pub memories: u64,
    /// Tasks that were ever created in it.
    #[serde(default)]
    pub tasks: u64,
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
    /// How memories are recalled; none from a projector that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<RecallStatus>,
}

/// How a projector recalls memories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecallStatus {
    /// By words alone, or by meaning, too.
    pub mode: RecallMode,
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why it is words alone, or why vectors cannot be read now, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Memories that have no vectors yet and are found by their words, up to a bound; none without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<u64>,
    /// Contents that were embedded since the projector started; what is kept needs no embedding again.
    #[serde(default)]
    pub embedded: u64,
    /// Memories of which the model could make nothing since the projector started.
    #[serde(default)]
    pub skipped: u64,
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
