//! What Postroad's own parts say to each other below `_sys`: observations, look-ups, signatures.
//! MessagePack only. The owner stands in the subject, never in the body.

use crate::command::MarkTarget;
use crate::event::EventKey;
use crate::id::{CommandId, InstanceId, MessageId, Reader, Role, TimeMs};
use crate::memory::{MemoryId, Namespace};
use crate::position::Position;
use crate::task::{TaskId, TaskStatus};
use crate::usage::Report;
use serde::{Deserialize, Serialize};

/// Broker verb: store an [`Observation`].
pub const OBSERVE: &str = "observe";
/// Projector verb: answer a [`Lookup`].
pub const LOOK_UP: &str = "look_up";
/// Projector and broker verb: hear an [`Announcement`]. It goes to every part of the kind, and nobody
/// answers it.
pub const ANNOUNCE: &str = "announce";
/// Broker and projector verb: do a [`Forget`]. It goes to all of them, and each one answers.
pub const FORGET: &str = "forget";
/// Issuer verb: sign what a [`Sign`] points at.
pub const SIGN: &str = "sign";
/// Issuer verb: have nats-server refuse whom the log revokes, up to an [`Enforce`].
pub const ENFORCE: &str = "enforce";
/// Issuer verb: do an [`Exchange`], for a gateway, which knows no tenant to name.
pub const EXCHANGE_TOKEN: &str = "exchange_token";

/// Whether a subject's verb is for every part of a kind, and not for one of its queue group.
pub fn is_for_everyone(subject: &str) -> bool {
    let verb = subject.rsplit('.').next();
    verb.is_some_and(|verb| verb == ANNOUNCE || verb == FORGET)
}

/// What a projector saw that has to become an event. Ids derive from cause and kind, so any
/// number of projectors may report the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// A reader that is not registered made a call.
    FirstCall {
        /// Who.
        reader: Reader,
    },
    /// An answer with these messages went out.
    Delivered {
        /// To whom.
        reader: Reader,
        /// Which messages.
        messages: Vec<EventKey>,
    },
    /// The operator asks for a tenant's data; the answer waits for this to be stored.
    OperatorRead {
        /// From which machine.
        operator: InstanceId,
        /// The query's verb.
        verb: String,
        /// What is asked for.
        what: String,
    },
    /// Queries, or hints, were counted.
    Usage {
        /// What was counted; its number is the process's own.
        report: Report,
        /// Which process counted.
        by: CommandId,
    },
    /// A claim was not renewed in time.
    LeaseExpired {
        /// Of which task.
        task: TaskId,
        /// The task's version whose claim it is.
        version: u64,
    },
    /// The last task that a task waited for is done.
    TaskReady {
        /// The task that waited.
        task: TaskId,
        /// The event that completed the other.
        cause: EventKey,
    },
}

/// The id of the event that takes a task whose claim was not renewed back.
pub fn lease_expired_id(task: TaskId, version: u64) -> CommandId {
    CommandId::derived(&[b"lease expired", task.as_bytes(), &version.to_be_bytes()])
}

/// The id of the message that tells of a task that waits for nothing any more.
pub fn task_ready_id(task: TaskId, cause: EventKey) -> CommandId {
    CommandId::derived(&[b"task ready", task.as_bytes(), cause.as_bytes()])
}

/// Answer to an observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Where it is stored.
    pub position: Position,
}

/// What a broker must know of the rows before it decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Answer only when this is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Answer only when everything that the log holds now is applied.
    pub fresh: bool,
    /// The question.
    pub question: Question,
}

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Where is the event with this key?
    Event(EventKey),
    /// In what state are these for the reader?
    Marks {
        /// Whose receipts.
        reader: Reader,
        /// Which.
        targets: Vec<MarkTarget>,
    },
    /// May the reader refer to this message?
    Visible {
        /// Who refers.
        reader: Reader,
        /// To which message.
        message: MessageId,
    },
    /// Where are the events with these keys?
    Events(Vec<EventKey>),
    /// How does the tenant stand?
    Tenant,
    /// How do these memories stand? Asked of the deployment itself, those of the shared library.
    Memories {
        /// Who asks; none for an operator.
        role: Option<Role>,
        /// Which is to be changed, or followed: what takes its place is looked through for `named`.
        changed: Option<MemoryId>,
        /// Others that the change names.
        named: Vec<MemoryId>,
    },
    /// How do these tasks stand?
    Tasks {
        /// Which is to depend on `named`, where one is there already.
        changed: Option<TaskId>,
        /// Which.
        named: Vec<TaskId>,
    },
}

/// Answer to a [`Lookup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The sequence of the event, when there is one.
    Event(Option<u64>),
    /// One for each target, in their order.
    Marks(Vec<MarkState>),
    /// Whether it is.
    Visible(bool),
    /// The sequence of each event that there is, in the order of the keys.
    Events(Vec<Option<u64>>),
    /// How it stands.
    Tenant(TenantStanding),
    /// What is to be changed, if it is there for who asks, and each that was named, in their order.
    Memories {
        /// Where the changed one belongs.
        changed: Option<Namespace>,
        /// Each that was named.
        named: Vec<Option<MemoryStanding>>,
    },
    /// Each task that was named, in their order.
    Tasks {
        /// Of the changed one, those of its dependencies that count: all but what would have closed a circle.
        counted: Vec<TaskId>,
        /// Each that was named.
        named: Vec<Option<TaskStanding>>,
    },
}

/// How a task stands in the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStanding {
    /// How it stands.
    pub status: TaskStatus,
    /// Tasks that depend on it.
    pub dependents: u64,
    /// Whether it is the one to be changed, or depends on that one, at once or over others: were that one to depend on it, they
    /// would wait for each other.
    pub is_behind: bool,
}

/// How a memory stands in the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStanding {
    /// Where it belongs.
    pub namespace: Namespace,
    /// Whether it is the one to be changed, or takes its place, at once or over others: were it superseded by
    /// that one, they would run in a circle.
    pub is_behind: bool,
}

/// How a tenant stands in the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStanding {
    /// Whether its agents are shut out.
    pub suspended: bool,
    /// Messages that its log holds.
    #[serde(default)]
    pub messages: u64,
    /// Bytes of its events.
    #[serde(default)]
    pub stored_bytes: u64,
    /// Memories that it holds.
    #[serde(default)]
    pub memories: u64,
    /// Tasks that were ever created in it.
    #[serde(default)]
    pub tasks: u64,
}

/// State of one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkState {
    /// Not read yet.
    Unread(EventKey),
    /// Read before.
    Read,
    /// Not the reader's.
    NotFound,
}

/// A tenant is being erased: look at the keys stream, seal nothing more for it, and settle what was
/// sealed. It may be said any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Where the log says that the keys are destroyed, once it does: nothing of the tenant may be
    /// left, in memory or in a file, before this is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Position>,
}

/// Answer to a [`Forget`]: it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// By which process, as it announces itself.
    pub instance: CommandId,
}

/// A broker or projector says that it is there; a projector, to the others, how it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Which process: made at random when it starts.
    pub instance: CommandId,
    /// Every shard that a projector hosts, and whether its rows there are whole and as far as the log.
    pub shards: Vec<(u16, bool)>,
    /// Whether it takes no more queries from now on.
    #[serde(default)]
    pub leaving: bool,
}

/// Asks the issuer to sign the credential that the event at this position says was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// Where the event is stored.
    pub position: Position,
}

/// Answer to a [`Sign`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The user JWT.
    pub jwt: String,
}

/// Asks the issuer to see to it that nats-server refuses whoever the log revokes up to this position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforce {
    /// Where the revoking event is stored.
    pub position: Position,
}

/// Answer to an [`Enforce`]: their connections are cut, and they are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Keys that are revoked now, in the whole deployment.
    pub revoked: u64,
}

/// Asks the issuer for a JWT of the bearer token whose key this is. It is answered where the proof says, and
/// nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The user nkey that derives from the token.
    pub public_key: String,
    /// When it was asked.
    pub at: TimeMs,
    /// How long the JWT is to live, in milliseconds, where that is less than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_ms: Option<u64>,
    /// [`crate::possession::prove_exchange`].
    pub proof: String,
}

/// Answer to an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// The user JWT: it ends soon, and with the credential at the latest.
    pub jwt: String,
}
