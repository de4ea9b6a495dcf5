//! What callers may ask to change: imperative, checked once, in one place. A [`Command`] is well
//! formed; whether it may happen is decided by the broker.

use crate::body::Encoding;
use crate::channel::Channel;
use crate::error::{ErrorCode, Refusal};
use crate::event::Priority;
use crate::id::{CommandId, InstanceId, MessageId, Role};
use crate::memory::MemoryId;
use crate::quota::LimitsChange;
use crate::tenancy::Scope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod answer;
mod credential;
mod import;
mod life;
mod memory;
mod mission;
mod read;
mod receipt;
mod task;
mod task_kept;
mod text;
pub mod wire;

pub use answer::{
    Done, Erased, Forgotten, Imported, Issued, LifeChanged, LimitsSet, Marked, MemoryImported,
    MemorySaved, MissionSaved, Revoked, Rotated, Sent, TaskSaved, TenantMade,
};
pub use credential::no_such_credential;
use credential::read_issue;
pub use import::ImportEvents;
use import::read_import;
pub use memory::{StoreMemory, UpdateMemory, bare_is_project, read_memory_id};
pub(crate) use memory::{check_change, check_stored};
pub(crate) use read::check_content;
use read::{identify, read_instance, read_mark, read_send, read_summary};

pub(crate) use mission::read_mission_status;
pub use mission::{CreateMission, MissionCommand, MissionPatch, UpdateMission};
pub use task::{
    ChangeTask, CreateTask, TaskAct, TaskCommand, TaskPatch, read_mission_id, read_task_id,
};
pub(crate) use task::{read_assignee, read_priority, read_project};
pub(crate) use task_kept::{check_mission, check_task};

pub use read::read_claims;
pub use receipt::{parse_receipt_id, receipt_id};

/// A checked command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send one message.
    SendMessage(SendMessage),
    /// Mark messages as read for the caller's reader.
    MarkAsRead(MarkAsRead),
    /// Say what the caller is doing.
    SetSummary {
        /// The new summary.
        summary: String,
    },
    /// Create the tenant in the request's scope.
    CreateTenant {
        /// Wished shard.
        shard: Option<u16>,
    },
    /// Put a credential on the roster.
    IssueCredential(IssueCredential),
    /// Take a role, or one instance, off.
    RetireAgent {
        /// The role.
        role: Role,
        /// Only this instance.
        instance: Option<InstanceId>,
    },
    /// Give up lost events of a shard.
    AcceptDamage {
        /// The shard.
        shard: u16,
        /// First and last sequence.
        range: (u64, u64),
    },
    /// End credentials before their time.
    RevokeCredential(RevokeCredential),
    /// Have one's own credential signed anew, or one for another key of one's own.
    RenewCredential(RenewCredential),
    /// End a credential of one's own.
    EndCredential(Possessed),
    /// Store events of an exported tenant.
    ImportEvents(ImportEvents),
    /// Erase the tenant in the request's scope.
    EraseTenant {
        /// The tenant's name once more, as the caller wrote it.
        confirm: String,
    },
    /// Seal the tenant's new events under a new data key.
    RotateKey,
    /// Shut the agents of the tenant in scope out.
    SuspendTenant {
        /// Why.
        reason: Option<String>,
    },
    /// Let them in again.
    ResumeTenant,
    /// Set limits of the tenant in scope, or reset them.
    SetLimits(LimitsChange),
    /// Store a memory.
    StoreMemory(StoreMemory),
    /// Store a memory that somebody had elsewhere.
    ImportMemory(StoreMemory),
    /// Have a memory say something else.
    UpdateMemory(UpdateMemory),
    /// Forget a memory.
    ForgetMemory {
        /// Which.
        memory: MemoryId,
    },
    /// Make or change a task.
    Task(TaskCommand),
    /// Make or change a mission.
    Mission(MissionCommand),
}

/// A checked `send_message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessage {
    /// To whom.
    pub channel: Channel,
    /// Only this instance of the channel's one role.
    pub instance: Option<InstanceId>,
    /// 1 byte to 256 KiB.
    pub content: String,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// How urgent.
    pub priority: Priority,
    /// Labels.
    pub metadata: BTreeMap<String, String>,
}

/// A checked `mark_as_read`. Ids that cannot be ids at all are kept as text: they are answered
/// `notFound`, like every id that is not the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkAsRead {
    /// Named receipts and messages, in the order given, repeats merged.
    pub targets: Vec<MarkTarget>,
}

/// One id that `mark_as_read` was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkTarget {
    /// A receipt id.
    Receipt(String),
    /// A message id.
    Message(String),
}

impl MarkTarget {
    /// The id as the caller wrote it.
    pub fn text(&self) -> &str {
        match self {
            Self::Receipt(text) | Self::Message(text) => text,
        }
    }
}

/// A checked `issue_credential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueCredential {
    /// The role.
    pub role: Role,
    /// Only this instance.
    pub instance: Option<InstanceId>,
    /// The public user nkey.
    pub public_key: String,
    /// With `self` in it.
    pub scopes: Vec<Scope>,
    /// Life in seconds.
    pub ttl_s: u64,
    /// Whether the key is that of a bearer token.
    pub token: bool,
}

/// Whose credentials a checked `revoke_credential` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeCredential {
    /// The one for this key.
    Key(String),
    /// Every one of the role, or those bound to one of its instances.
    Of {
        /// The role.
        role: Role,
        /// Only this instance.
        instance: Option<InstanceId>,
    },
}

/// A public key, and the proof that the caller holds its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Possessed {
    /// The public user nkey.
    pub public_key: String,
    /// What [`crate::possession::prove`] signed.
    pub proof: String,
}

/// A checked `renew_credential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewCredential {
    /// The credential that the caller has.
    pub held: Possessed,
    /// The key that the new one is for; without one, the same.
    pub new_public_key: Option<String>,
    /// Life in seconds; without one, as long as the former's.
    pub ttl_s: Option<u64>,
}

/// A command with the id under which a retry is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The client's id, or a fresh one where it named none.
    pub id: CommandId,
    /// The command.
    pub command: Command,
}

impl Command {
    /// Reads the body of `scope.verb`.
    ///
    /// # Errors
    /// `invalid_argument` or `too_large` with the field; `not_found` for an unknown verb.
    pub fn read(
        scope: Scope,
        verb: &str,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Identified, Refusal> {
        match (scope, verb) {
            (Scope::Messages, "send_message") => read_send(&encoding.decode(body)?),
            (Scope::Messages, "mark_as_read") => read_mark(encoding.decode(body)?),
            (Scope::Own, "set_summary") => read_summary(encoding.decode(body)?),
            (Scope::Admin, "create_tenant") => {
                let wire: wire::CreateTenant = encoding.decode(body)?;
                identify(
                    wire.command_id.as_deref(),
                    "commandId",
                    Self::CreateTenant { shard: wire.shard },
                )
            }
            (Scope::Admin, "issue_credential") => read_issue(&encoding.decode(body)?),
            (Scope::Admin, "retire_agent") => {
                let wire: wire::RetireAgent = encoding.decode(body)?;
                let role = Role::parse(&wire.role).map_err(|error| error.at("role"))?;
                let instance = read_instance(wire.instance_id.as_deref())?;
                identify(
                    wire.command_id.as_deref(),
                    "commandId",
                    Self::RetireAgent { role, instance },
                )
            }
            (Scope::Admin, "accept_damage") => {
                let wire: wire::AcceptDamage = encoding.decode(body)?;
                if wire.from_sequence == 0 || wire.to_sequence < wire.from_sequence {
                    return Err(Refusal::invalid(
                        "fromSequence",
                        "the range is empty",
                        "name the range that `postroad status` shows",
                    ));
                }
                let command = Self::AcceptDamage {
                    shard: wire.shard,
                    range: (wire.from_sequence, wire.to_sequence),
                };
                identify(wire.command_id.as_deref(), "commandId", command)
            }
            (Scope::Admin, "revoke_credential") => credential::read_revoke(&encoding.decode(body)?),
            (Scope::Own, "renew_credential") => credential::read_renew(&encoding.decode(body)?),
            (Scope::Own, "end_credential") => credential::read_end(&encoding.decode(body)?),
            (Scope::Admin, "import_events") => read_import(&encoding.decode(body)?),
            (Scope::Admin, "erase_tenant") => {
                let wire: wire::EraseTenant = encoding.decode(body)?;
                identify(
                    wire.command_id.as_deref(),
                    "commandId",
                    Self::EraseTenant {
                        confirm: wire.confirm,
                    },
                )
            }
            (Scope::Admin, "rotate_key") => {
                let wire: wire::RotateKey = encoding.decode(body)?;
                identify(wire.command_id.as_deref(), "commandId", Self::RotateKey)
            }
            (Scope::Admin, "suspend_tenant") => life::read_suspend(encoding.decode(body)?),
            (Scope::Admin, "resume_tenant") => life::read_resume(&encoding.decode(body)?),
            (Scope::Admin, "set_limits") => life::read_limits(&encoding.decode(body)?),
            (Scope::Memory, "store_memory") => memory::read_store(encoding.decode(body)?),
            (Scope::Memory, "update_memory") => memory::read_update(encoding.decode(body)?),
            (Scope::Memory, "forget_memory") => memory::read_forget(&encoding.decode(body)?),
            (Scope::Admin, "import_memory") => memory::read_import(encoding.decode(body)?),
            (Scope::Tasks, verb) => Self::read_tasks(verb, encoding, body),
            _ => Err(unknown_verb()),
        }
    }

    fn read_tasks(verb: &str, encoding: Encoding, body: &[u8]) -> Result<Identified, Refusal> {
        match verb {
            "create_task" => task::read_create(encoding.decode(body)?),
            "claim_task" => task::read_claim(&encoding.decode(body)?),
            "release_task" => task::read_release(encoding.decode(body)?),
            "update_task" => task::read_update(encoding.decode(body)?),
            "add_dependency" => task::read_dependency(&encoding.decode(body)?),
            "block_task" => {
                task::read_reasoned(encoding.decode(body)?, |reason| TaskAct::Block { reason })
            }
            "complete_task" => task::read_complete(encoding.decode(body)?),
            "fail_task" => {
                task::read_reasoned(encoding.decode(body)?, |reason| TaskAct::Fail { reason })
            }
            "cancel_task" => {
                task::read_reasoned(encoding.decode(body)?, |reason| TaskAct::Cancel { reason })
            }
            "create_mission" => mission::read_create(encoding.decode(body)?),
            "update_mission" => mission::read_update(encoding.decode(body)?),
            _ => Err(unknown_verb()),
        }
    }
}

/// The refusal of a verb that is not in the catalogue.
pub fn unknown_verb() -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        "there is no such verb",
        "use a verb that subjects.md lists under this scope",
    )
    .at("verb")
}
