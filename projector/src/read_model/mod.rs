//! Rows: what is kept, how an event changes it, and what is read from it. One module a read
//! model, each with its table, keys, fold and reads; `fold` says which event goes where.
//!
//! | module | owns |
//! |---|---|
//! | `table`, `keys` | tables, rows and keys as types; `table::TenantReader` |
//! | `batch`, `hot`, `append` | the open transaction; `batch::TenantWriter` and what it holds back |
//! | `meta` | the shard's own rows; the operator's view |
//! | `tenants`, `roster`, `readers`, `registration`, `peers` | who there is |
//! | `messages`, `lanes` | what was sent, and in which order it reached each address |
//! | `bits`, `marks` | what is settled in a lane |
//! | `priorities` | how urgent what lies in a lane is |
//! | `inbox`, `history`, `receipts`, `status` | what readers and senders see |
//! | `search` | one's own history by its words |
//! | `overview` | what the operator sees of a tenant's messages |
//! | `memory` | what is remembered, and its index |
//! | `tasks` | work: tasks, missions, what waits for what, whose it is |
//! | `usage` | what was used each day |
//! | `events`, `quarantine` | what was applied, and what was set aside |
//! | `erasure` | a tenant's rows deleted |

pub(crate) mod append;
pub(crate) mod batch;
pub(crate) mod bits;
pub(crate) mod erasure;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod hot;
pub(crate) mod inbox;
pub(crate) mod keys;
pub(crate) mod lanes;
pub(crate) mod marks;
pub(crate) mod memory;
pub(crate) mod messages;
pub(crate) mod meta;
pub(crate) mod overview;
pub(crate) mod peers;
pub(crate) mod priorities;
pub(crate) mod quarantine;
pub(crate) mod readers;
pub(crate) mod receipts;
pub(crate) mod registration;
pub(crate) mod roster;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod tasks;
pub(crate) mod tenants;
pub(crate) mod usage;

#[cfg(test)]
mod tests;

use batch::{FoldError, Refused, TenantWriter};
use events::Route;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;

/// Changes a tenant's rows as `record`, stored at `sequence`, says; `route` is where a message
/// goes. A refused event has changed nothing.
///
/// # Errors
/// [`FoldError::Refused`] for an event that cannot be true of these rows.
pub(crate) fn fold(
    rows: &mut TenantWriter<'_, '_>,
    sequence: u64,
    record: &Record,
    route: &Route,
) -> Result<(), FoldError> {
    let time = record.time;
    match &record.event {
        Event::MessageSent(data) => rows.message_sent(sequence, record, data, route),
        Event::MessagesRead(data) => rows.messages_read(time, data),
        Event::MessagesDelivered(data) => rows.messages_delivered(time, data),
        Event::CredentialIssued(data) => rows.credential_issued(time, data),
        Event::AgentRetired(data) => rows.agent_retired(data),
        Event::CredentialRevoked(data) => rows.credential_revoked(data),
        Event::ReaderRegistered(data) => rows.reader_registered(time, data),
        Event::SummarySet(data) => rows.summary_set(time, data),
        Event::TenantCreated(data) => rows.tenant_created(time, data),
        Event::TenantSuspended(data) => rows.tenant_suspended(time, data),
        Event::TenantLimited(data) => rows.tenant_limited(data),
        Event::UsageCounted(data) => rows.usage_counted(data),
        Event::TenantResumed(_) => rows.tenant_resumed(),
        Event::MemoryStored(_) | Event::MemoryUpdated(_) | Event::MemoryForgotten(_) => {
            Ok(rows.memory_event(sequence, record)?)
        }
        Event::TaskChanged(data) => Ok(rows.task_changed(sequence, record, data)?),
        Event::MissionChanged(data) => Ok(rows.mission_changed(record, data)?),
        // Kept in the log for the audit; no row shows it.
        Event::OperatorRead(_) | Event::DataKeyRotated(_) => Ok(()),
        Event::DamageAccepted(_) | Event::TenantErased(_) => Err(Refused::OtherOwner.into()),
        _ => Err(Refused::UnknownType.into()),
    }
}
