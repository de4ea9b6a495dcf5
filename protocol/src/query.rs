//! What callers may ask, and what they are answered. Bodies are checked once, here; which rows a
//! caller may see is the projector's to say.

use crate::body::Encoding;
use crate::command::unknown_verb;
use crate::error::Refusal;
use crate::event::Priority;
use crate::id::{InstanceId, MessageId, Role, TimeMs};
use crate::limits;
use crate::position::Position;
use crate::tenancy::Scope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bodies as callers write them.
pub mod wire {
    use super::{Deserialize, Position, Serialize};

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
}

/// A checked query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// Who am I?
    WhoAmI,
    /// Who else is there?
    ListPeers(Page),
    /// What is unread?
    CheckMessages {
        /// Messages at most.
        limit: usize,
        /// Go on after this.
        cursor: Option<String>,
        /// Wait for the next, in milliseconds.
        wait_ms: u64,
    },
    /// Who has got and read a message of mine?
    MessageStatus {
        /// Which message.
        message: MessageId,
        /// Receipts.
        page: Page,
    },
    /// One message of my history.
    GetMessage {
        /// Which message.
        message: MessageId,
    },
    /// My history.
    ListMessages(ListMessages),
    /// Every tenant.
    ListTenants(Page),
    /// The tenant in scope.
    GetTenant,
    /// The roster of the tenant in scope.
    ListAgents(Page),
    /// How every shard is doing.
    Status,
    /// Fold the log anew.
    Rebuild,
    /// The tenant's log.
    Replay(Replay),
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most.
    pub limit: usize,
    /// Go on after this.
    pub cursor: Option<String>,
}

/// A checked `list_messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMessages {
    /// Which page.
    pub page: Page,
    /// Only from this role.
    pub sender: Option<Role>,
    /// Only to this.
    pub channel: Option<ChannelFilter>,
    /// Not before.
    pub since: Option<TimeMs>,
    /// Before.
    pub until: Option<TimeMs>,
}

/// Which channel a list is narrowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelFilter {
    /// Broadcasts.
    Broadcast,
    /// Messages whose channel names this role.
    Role(Role),
}

/// A checked `replay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// First sequence.
    pub from_sequence: u64,
    /// Not before.
    pub from_time: Option<TimeMs>,
    /// Last sequence.
    pub to_sequence: u64,
    /// Not after.
    pub to_time: Option<TimeMs>,
    /// Events at most.
    pub limit: usize,
}

impl Query {
    /// Reads the body of `scope.verb`.
    ///
    /// # Errors
    /// `invalid_argument` with the field; `not_found` for an unknown verb or a message id that is none.
    pub fn read(
        scope: Scope,
        verb: &str,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let page = || -> Result<Page, Refusal> {
            let wire: wire::Page = encoding.decode(body)?;
            read_page(wire.limit, wire.cursor, limits::PAGE_MAX)
        };
        Ok(match (scope, verb) {
            (Scope::Own, "whoami") => Self::WhoAmI,
            (Scope::Own, "list_peers") => Self::ListPeers(page()?),
            (Scope::Messages, "check_messages") => read_check(encoding.decode(body)?)?,
            (Scope::Messages, "message_status") => {
                let wire: wire::OneMessage = encoding.decode(body)?;
                let page = read_page(wire.limit, wire.cursor, limits::PAGE_MAX)?;
                Self::MessageStatus {
                    message: read_message_id(&wire.message_id)?,
                    page,
                }
            }
            (Scope::Messages, "get_message") => {
                let wire: wire::OneMessage = encoding.decode(body)?;
                Self::GetMessage {
                    message: read_message_id(&wire.message_id)?,
                }
            }
            (Scope::Messages, "list_messages") => {
                Self::ListMessages(read_list(encoding.decode(body)?)?)
            }
            (Scope::Admin, "list_tenants") => Self::ListTenants(page()?),
            (Scope::Admin, "get_tenant") => Self::GetTenant,
            (Scope::Admin, "list_agents") => Self::ListAgents(page()?),
            (Scope::Admin, "status") => Self::Status,
            (Scope::Admin, "rebuild") => Self::Rebuild,
            (Scope::Audit, "replay") => Self::Replay(read_replay(&encoding.decode(body)?)?),
            _ => return Err(unknown_verb()),
        })
    }
}

fn read_limit(limit: Option<i64>, default: usize, max: usize) -> Result<usize, Refusal> {
    match limit {
        None => Ok(default),
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or_else(|| {
                Refusal::invalid(
                    "limit",
                    format!("the limit lies between 1 and {max}"),
                    format!("ask for 1 to {max}, and use the cursor for more"),
                )
            }),
    }
}

fn read_cursor(cursor: Option<String>) -> Result<Option<String>, Refusal> {
    match cursor {
        Some(text) if text.len() > limits::CURSOR_MAX_CHARS || text.is_empty() => Err(bad_cursor()),
        cursor => Ok(cursor),
    }
}

/// The refusal of a cursor that is garbage, another caller's, or of a log that has been replaced.
pub fn bad_cursor() -> Refusal {
    Refusal::invalid(
        "cursor",
        "this cursor is not one that the caller was given for this list, or is no longer valid",
        "begin again without a cursor",
    )
}

fn read_page(limit: Option<i64>, cursor: Option<String>, default: usize) -> Result<Page, Refusal> {
    Ok(Page {
        limit: read_limit(limit, default, limits::PAGE_MAX)?,
        cursor: read_cursor(cursor)?,
    })
}

fn read_message_id(text: &str) -> Result<MessageId, Refusal> {
    // A text that cannot be an id names nothing, just like an id of somebody else's.
    MessageId::parse(text).ok_or_else(|| Refusal::not_found("messageId", "message"))
}

fn read_check(wire: wire::CheckMessages) -> Result<Query, Refusal> {
    let wait_ms = match wire.wait_ms {
        None => 0,
        Some(wait) => u64::try_from(wait)
            .ok()
            .filter(|wait| *wait <= limits::WAIT_MAX_MS)
            .ok_or_else(|| {
                Refusal::invalid(
                    "waitMs",
                    format!("waitMs lies between 0 and {}", limits::WAIT_MAX_MS),
                    "wait in several calls",
                )
            })?,
    };
    Ok(Query::CheckMessages {
        limit: read_limit(wire.limit, limits::PAGE_DEFAULT, limits::PAGE_MAX)?,
        cursor: read_cursor(wire.cursor)?,
        wait_ms,
    })
}

fn read_time(value: Option<i64>, field: &str) -> Result<Option<TimeMs>, Refusal> {
    value
        .map(|ms| {
            u64::try_from(ms).map(TimeMs).map_err(|_| {
                Refusal::invalid(
                    field,
                    "a time is not negative",
                    "give milliseconds since 1970",
                )
            })
        })
        .transpose()
}

fn read_list(wire: wire::ListMessages) -> Result<ListMessages, Refusal> {
    let channel = match wire.channel.as_deref().map(str::trim) {
        None => None,
        Some(text) if text.eq_ignore_ascii_case(crate::channel::BROADCAST) => {
            Some(ChannelFilter::Broadcast)
        }
        Some(text) => Some(ChannelFilter::Role(
            Role::parse(text).map_err(|error| error.at("channel"))?,
        )),
    };
    Ok(ListMessages {
        page: read_page(wire.limit, wire.cursor, limits::PAGE_DEFAULT)?,
        sender: wire
            .sender
            .as_deref()
            .map(|text| Role::parse(text).map_err(|error| error.at("sender")))
            .transpose()?,
        channel,
        since: read_time(wire.since, "since")?,
        until: read_time(wire.until, "until")?,
    })
}

fn read_replay(wire: &wire::Replay) -> Result<Replay, Refusal> {
    let replay = Replay {
        from_sequence: wire.from_sequence.unwrap_or(1).max(1),
        from_time: read_time(wire.from_time, "fromTime")?,
        to_sequence: wire.to_sequence.unwrap_or(u64::MAX),
        to_time: read_time(wire.to_time, "toTime")?,
        limit: read_limit(
            wire.limit,
            limits::REPLAY_MAX_EVENTS,
            limits::REPLAY_MAX_EVENTS,
        )?,
    };
    if replay.to_sequence < replay.from_sequence {
        return Err(Refusal::invalid(
            "toSequence",
            "the range ends before it begins",
            "give a last sequence at or after the first",
        ));
    }
    Ok(replay)
}

/// A message as its reader or sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
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
    /// Whether more follows behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on.
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
    /// How far the answer has read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
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
}

/// One tenant in the deployment's register: what is known without reading the tenant's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantEntry {
    /// Its name.
    pub tenant: String,
    /// Where it lives.
    pub shard: u16,
    /// Which creation of that name this is.
    pub generation: u32,
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

/// One event of a replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedEvent {
    /// Where it is stored.
    pub position: Position,
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
}
