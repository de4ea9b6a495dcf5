//! `export memories`: writes memories down, one JSON object a line, as `import memories` takes them.

use super::recall::memories;
use super::tenant_of;
use crate::cli::failure::Failure;
use crate::cli::mail::STALE;
use crate::cli::output::say;
use crate::cli::session::{PAGE_LIMIT, Session};
use crate::cli::tenant_export::{Sink, progress};
use crate::cli::text::one_line;
use clap::{Args, Subcommand};
use postroad_client::{Client, Identity, MemoryFilter};
use postroad_protocol::TenantId;
use postroad_protocol::command::wire::ImportMemory;
use postroad_protocol::query::{Memories, Memory};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Write down what you have here.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    Memories(ExportArgs),
}

/// Write memories down, one JSON object a line, the newest first.
///
/// Each line is what `postroad import memories` takes: id, namespace, type, content, createdBy, episode,
/// occurredAt, expiresAt, tags. As an agent you get what you may read of your tenant; as the operator, with
/// --tenant, all of it, and the tenant finds that in its log. What others have taken the place of is left out,
/// and so is the shared library. Relations are not written: `tenant export` moves a whole history.
///
/// In the tenant that they come from, imported lines are passed over where they were imported before, and
/// stored beside the original where they were not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad export memories --tenant acme memories.jsonl
  postroad --creds alice.creds export memories --namespace project/ | jq -r .content
  postroad export memories --tenant acme | zstd > memories.jsonl.zst")]
pub(crate) struct ExportArgs {
    /// File to write, readable by you alone; it must not exist. `-` is stdout
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Only of this namespace, or of those with this prefix, such as project/
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only memories of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only memories with this label
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only by this author: a role, role/instance, or the author of imported memories
    #[arg(long, value_name = "AUTHOR")]
    by: Option<String>,
    /// Whose memories, for the operator
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
}

impl ExportArgs {
    fn filter(&self) -> MemoryFilter {
        let mut filter = MemoryFilter::default().limit(PAGE_LIMIT);
        if let Some(namespace) = &self.namespace {
            filter = filter.namespace(namespace);
        }
        if let Some(kind) = &self.kind {
            filter = filter.kind(kind);
        }
        if let Some(tag) = &self.tag {
            filter = filter.tag(tag);
        }
        if let Some(author) = &self.by {
            filter = filter.created_by(author);
        }
        filter
    }
}

/// What a file's export prints for programs.
#[derive(Serialize)]
struct Exported<'a> {
    tenant: &'a TenantId,
    file: &'a Path,
    memories: u64,
    superseded: u64,
}

pub(crate) async fn run(session: &Session, command: ExportCommand) -> Result<(), Failure> {
    match command {
        ExportCommand::Memories(args) => export(session, &args).await,
    }
}

async fn export(session: &Session, args: &ExportArgs) -> Result<(), Failure> {
    let client = session.anyone().await?;
    let tenant = tenant_of(&client, args.tenant.as_ref())?;
    let mut sink = Sink::open(&args.file)?;
    let bar = progress(session, None, "exporting");
    let (mut written, mut superseded, mut stale) = (0, 0, false);
    let mut filter = args.filter();
    loop {
        let page = page(&client, tenant, &filter).await?;
        stale |= page.stale;
        for memory in page.memories {
            if memory.shared {
                continue;
            }
            if memory.superseded_by.is_some() {
                superseded += 1;
                continue;
            }
            let line = serde_json::to_string(&line_of(memory)).map_err(std::io::Error::other)?;
            sink.write(&(line + "\n"))?;
            written += 1;
            bar.inc(1);
        }
        match page.next_cursor {
            Some(cursor) => filter = filter.after(cursor),
            None => break,
        }
    }
    bar.finish_and_clear();
    let file = sink.finish()?;
    if stale {
        say(STALE);
    }
    let mut told = format!("{} of tenant {tenant}", memories(written));
    if superseded > 0 {
        told += &format!("; left {superseded} out whose place others have taken");
    }
    let Some(file) = file else {
        session.out.note(&format!("exported {told}"));
        return Ok(());
    };
    let document = Exported {
        tenant,
        file: &file,
        memories: written,
        superseded,
    };
    session.out.show(&document, |style| {
        let file = style.strong(&one_line(&file.to_string_lossy()));
        format!("wrote {file}: {told}")
    })
}

async fn page(
    client: &Client,
    tenant: &TenantId,
    filter: &MemoryFilter,
) -> Result<Memories, Failure> {
    Ok(match client.identity() {
        Identity::Operator { .. } => {
            let operator = client.operator()?;
            operator.list_memories(Some(tenant), filter).await?
        }
        Identity::Agent { .. } => client.list_memories(filter).await?,
    })
}

/// A memory as an import takes it. What was imported keeps the id that it had elsewhere, and has no time of its
/// own where it came without one, so that importing it again where it is finds it.
fn line_of(memory: Memory) -> ImportMemory {
    let ms = |time: postroad_protocol::TimeMs| i64::try_from(time.0).ok();
    let has_no_time = memory.imported && memory.occurred_at == memory.created_at;
    let id = memory.import_id;
    ImportMemory {
        id: Some(id.unwrap_or_else(|| memory.memory_id.to_string())),
        namespace: memory.namespace,
        kind: Some(memory.kind.to_string()),
        content: memory.content,
        created_by: Some(memory.created_by),
        episode: memory.episode,
        occurred_at: ms(memory.occurred_at).filter(|_| !has_no_time),
        expires_at: memory.expires_at.and_then(ms),
        tags: (!memory.tags.is_empty()).then_some(memory.tags),
        command_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(memory: &Value) -> Value {
        let memory: Memory = serde_json::from_value(memory.clone()).unwrap();
        serde_json::to_value(line_of(memory)).unwrap()
    }

    #[test]
    fn what_was_imported_is_written_as_it_came() {
        let mut memory = json!({
            "memoryId": "01890000-0000-7000-8000-000000000001", "namespace": "project/x",
            "type": "note", "content": "text", "occurredAt": 5, "createdAt": 5, "version": 1,
            "createdBy": "hess,t.e.", "imported": true, "importId": "cran/1", "tags": ["a"],
        });
        let written = json!({
            "id": "cran/1", "namespace": "project/x", "type": "note", "content": "text",
            "createdBy": "hess,t.e.", "tags": ["a"],
        });
        assert_eq!(line(&memory), written);
        memory["createdAt"] = 9.into();
        assert_eq!(line(&memory)["occurredAt"], 5);
    }

    #[test]
    fn what_was_stored_here_takes_its_id_and_its_time_along() {
        let memory = json!({
            "memoryId": "01890000-0000-7000-8000-000000000001", "namespace": "global",
            "type": "note", "content": "text", "occurredAt": 5, "createdAt": 5, "version": 1,
            "createdBy": "tau", "createdByInstanceId": "pi", "expiresAt": 7,
        });
        let written = json!({
            "id": "01890000-0000-7000-8000-000000000001", "namespace": "global", "type": "note",
            "content": "text", "createdBy": "tau", "occurredAt": 5, "expiresAt": 7,
        });
        assert_eq!(line(&memory), written);
    }
}
