//! Memories at the command line.
//!
//! | file | commands |
//! |---|---|
//! | `remember`, `recall`, `batch` | `remember`, `recall`, `recall --queries` |
//! | `kept` | `memory get`, `memory list`, `memory update`, `memory forget` |
//! | `import`, `export` | `import memories`, `export memories` |
//!
//! Beside them: `shown` (how memories look) and `lines` (files of one JSON object a line).

mod batch;
mod export;
mod import;
mod kept;
mod lines;
mod recall;
mod remember;
mod shown;

pub(super) use export::{ExportCommand, run as export};
pub(super) use import::{ImportCommand, run as import};
pub(super) use kept::{MemoryCommand, run};
pub(super) use recall::{RecallArgs, recall};
pub(super) use remember::{RememberArgs, remember};

use super::failure::Failure;
use super::mail::STALE;
use super::send::read_content;
use super::session::Session;
use super::text::one_line;
use postroad_client::{Client, Identity};
use postroad_protocol::command::read_memory_id;
use postroad_protocol::limits::MEMORY_MAX_BYTES;
use postroad_protocol::memory::{MemoryId, RelationKind};
use postroad_protocol::query::AsOf;
use postroad_protocol::{CommandId, ErrorCode, Refusal, TenantId, TimeMs};

/// The text that was given, or, for `-`, what stdin holds.
fn content_of(given: String) -> Result<String, Failure> {
    match given.as_str() {
        "-" => read_content(std::io::stdin().lock(), MEMORY_MAX_BYTES),
        _ => Ok(given),
    }
}

pub(super) fn command_id(text: &str) -> Result<CommandId, Failure> {
    CommandId::parse(text).ok_or_else(|| {
        let remedy = "make a UUIDv7, or leave it out";
        Refusal::invalid("commandId", "the command id is not a UUID", remedy).into()
    })
}

/// Whose memories are meant: an agent's own tenant's, or those of the one that the operator names.
fn tenant_of<'a>(client: &'a Client, named: Option<&'a TenantId>) -> Result<&'a TenantId, Failure> {
    match (client.identity(), named) {
        (Identity::Operator { .. }, None) => Err(Failure::usage(
            "tenant",
            "it is not said whose memories are meant",
            "name the tenant with --tenant, or use an agent's credential",
        )),
        (Identity::Agent { tenant, .. }, Some(named)) if tenant != named => Err(Refusal::new(
            ErrorCode::PermissionDenied,
            "the credential is another tenant's",
            "leave --tenant out: the credential says whose it is",
        )
        .at("tenant")
        .into()),
        (Identity::Operator { .. }, Some(tenant)) | (Identity::Agent { tenant, .. }, _) => {
            Ok(tenant)
        }
    }
}

/// Older memories that one is related to.
#[derive(clap::Args, Debug)]
struct Relations {
    /// An older memory whose place it takes; may be given several times
    #[arg(long, value_name = "MEMORY")]
    updates: Vec<String>,
    /// An older memory that it adds to; may be given several times
    #[arg(long, value_name = "MEMORY")]
    extends: Vec<String>,
    /// An older memory that it follows from; may be given several times
    #[arg(long, value_name = "MEMORY")]
    derives: Vec<String>,
}

impl Relations {
    fn read(&self) -> Result<Vec<(RelationKind, MemoryId)>, Failure> {
        let kinds = [
            (RelationKind::Updates, &self.updates),
            (RelationKind::Extends, &self.extends),
            (RelationKind::Derives, &self.derives),
        ];
        let mut all = Vec::new();
        for (kind, ids) in kinds {
            for id in ids {
                // As the service would answer: what cannot be an id names no memory.
                let id = read_memory_id(id).map_err(|refusal| refusal.at("relatesTo"))?;
                all.push((kind, id));
            }
        }
        Ok(all)
    }
}

/// As of when memories are seen.
#[derive(clap::Args, Debug)]
struct AsOfArg {
    /// What was known at this time, instead of now
    #[arg(long, value_name = "TIME", value_parser = super::time::time)]
    as_of: Option<TimeMs>,
    /// What was known at this sequence of the tenant's log, as `position` in an answer tells it
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    as_of_sequence: Option<u64>,
}

impl AsOfArg {
    fn read(&self) -> Option<AsOf> {
        let time = self.as_of.map(AsOf::Time);
        time.or(self.as_of_sequence.map(AsOf::Sequence))
    }
}

pub(super) fn note_more(session: &Session, cursor: Option<&str>, stale: bool) {
    if let Some(cursor) = cursor {
        let cursor = one_line(cursor);
        session
            .out
            .note(&format!("\nmore: the same again with --cursor {cursor}"));
    }
    if stale {
        session.out.note(STALE);
    }
}
