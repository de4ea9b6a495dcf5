//! What callers may ask, and what they are answered. Bodies are checked once, here; which rows a
//! caller may see is the projector's to say.

use crate::body::Encoding;
use crate::command::unknown_verb;
use crate::error::Refusal;
use crate::id::{MessageId, Role, TimeMs};
use crate::limits;
use crate::task::{MissionId, TaskId};
use crate::tenancy::Scope;

mod answer;
mod memory;
mod operator;
mod search;
mod task;
pub mod wire;

pub use answer::{
    Agent, AgentKind, Agents, Message, MessageStatus, Messages, OneMessage, Peer, Peers, Receipt,
    Usage, UsageDay, WhoAmI,
};
pub use memory::{
    AsOf, GetMemory, ListMemories, Memories, Memory, OneMemory, Recall, RecallMode, Recalled, Why,
};
pub use operator::{
    Damage, ERASED, QuarantinedEvent, Rebuilding, RecallStatus, Replayed, ReplayedEvent,
    ShardStatus, Status, Tenant, TenantEntry, TenantMessages, TenantPeers, TenantState, Tenants,
};
pub use search::{FoundMessage, FoundMessages, SearchMessages};
pub use task::{
    ListMissions, ListTasks, Mission, Missions, OneMission, OneTask, Progress, Task, TaskCounts,
    TaskNote, Tasks,
};

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
    /// What the tenant in scope, or every tenant, used.
    Usage(UsageAsked),
    /// One memory.
    GetMemory(GetMemory),
    /// Memories, the newest first.
    ListMemories(ListMemories),
    /// Memories that answer a question, the best first.
    Recall(Recall),
    /// Messages of my history that have these words, the best first.
    SearchMessages(SearchMessages),
    /// One task.
    GetTask {
        /// Which.
        task: TaskId,
    },
    /// Tasks, the most urgent first.
    ListTasks(ListTasks),
    /// One mission.
    GetMission {
        /// Which.
        mission: MissionId,
    },
    /// Missions, the newest first.
    ListMissions(ListMissions),
}

/// A checked `usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageAsked {
    /// Days, today the last of them.
    pub days: u64,
    /// Tenants at most, where all are asked for.
    pub limit: usize,
    /// Go on after this.
    pub cursor: Option<String>,
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
    /// Which shard, where no tenant is named.
    pub shard: Option<u16>,
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
            (Scope::Own, "usage") => Self::Usage(read_usage(encoding.decode(body)?)?),
            (Scope::Memory, "get_memory") => {
                Self::GetMemory(memory::read_get(&encoding.decode(body)?)?)
            }
            (Scope::Memory, "list_memories") => {
                Self::ListMemories(memory::read_list(encoding.decode(body)?)?)
            }
            (Scope::Memory, "recall") => Self::Recall(memory::read_recall(encoding.decode(body)?)?),
            (Scope::Messages, "search_messages") => {
                Self::SearchMessages(search::read_search(encoding.decode(body)?)?)
            }
            (Scope::Tasks, "get_task") => Self::GetTask {
                task: task::read_get_task(&encoding.decode(body)?)?,
            },
            (Scope::Tasks, "list_tasks") => {
                Self::ListTasks(task::read_list_tasks(encoding.decode(body)?)?)
            }
            (Scope::Tasks, "get_mission") => Self::GetMission {
                mission: task::read_get_mission(&encoding.decode(body)?)?,
            },
            (Scope::Tasks, "list_missions") => {
                Self::ListMissions(task::read_list_missions(encoding.decode(body)?)?)
            }
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
                    format!("ask for 1 to {max}; a list goes on with its cursor"),
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

fn read_sender(text: Option<&str>) -> Result<Option<Role>, Refusal> {
    text.map(|text| Role::parse_stored(text).map_err(|error| error.at("sender")))
        .transpose()
}

fn read_channel(text: Option<&str>) -> Result<Option<ChannelFilter>, Refusal> {
    Ok(match text.map(str::trim) {
        None => None,
        Some(text) if text.eq_ignore_ascii_case(crate::channel::BROADCAST) => {
            Some(ChannelFilter::Broadcast)
        }
        Some(text) => Some(ChannelFilter::Role(
            Role::parse(text).map_err(|error| error.at("channel"))?,
        )),
    })
}

fn read_list(wire: wire::ListMessages) -> Result<ListMessages, Refusal> {
    Ok(ListMessages {
        page: read_page(wire.limit, wire.cursor, limits::PAGE_DEFAULT)?,
        sender: read_sender(wire.sender.as_deref())?,
        channel: read_channel(wire.channel.as_deref())?,
        since: read_time(wire.since, "since")?,
        until: read_time(wire.until, "until")?,
    })
}

fn read_usage(wire: wire::Usage) -> Result<UsageAsked, Refusal> {
    let most = limits::USAGE_DAYS_MAX;
    let days = match wire.days {
        None => limits::USAGE_DAYS_DEFAULT,
        Some(days) => u64::try_from(days)
            .ok()
            .filter(|days| (1..=most).contains(days))
            .ok_or_else(|| {
                Refusal::invalid(
                    "days",
                    format!("days lies between 1 and {most}"),
                    "ask for fewer days",
                )
            })?,
    };
    let page = read_page(wire.limit, wire.cursor, limits::PAGE_MAX)?;
    Ok(UsageAsked {
        days,
        limit: page.limit,
        cursor: page.cursor,
    })
}

fn read_replay(wire: &wire::Replay) -> Result<Replay, Refusal> {
    let replay = Replay {
        shard: wire.shard,
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
