//! `memory …`: one memory, or many, and what becomes of them.

use super::{AsOfArg, Relations, command_id, content_of, note_more, shown};
use crate::cli::failure::Failure;
use crate::cli::session::{Session, TenantsArg};
use crate::cli::time;
use clap::{Args, Subcommand, ValueEnum};
use postroad_client::{MemoryFilter, MemoryUpdate};
use postroad_protocol::command::read_memory_id;
use postroad_protocol::{TenantId, TimeMs};

/// Look memories up, change or forget them.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
    Forget(ForgetArgs),
}

/// Show one memory, as it is or as it was.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad memory get 01890000-0000-8000-8000-000000000001
  postroad memory get 01890000-0000-8000-8000-000000000001 --as-of 2d
  postroad memory get 01890000-0000-8000-8000-000000000001 --tenant acme")]
pub(crate) struct GetArgs {
    /// The memory
    #[arg(value_name = "MEMORY")]
    memory: String,
    #[command(flatten)]
    as_of: AsOfArg,
    /// As the operator: of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// As the operator: of the shared library
    #[arg(long, conflicts_with = "tenant")]
    shared: bool,
}

/// List memories that you may read, the newest first; as the operator, a tenant's or everybody's.
///
/// What others have taken the place of is in it, and says so. With --tenant or --all-tenants the operator sees
/// every memory, with --all-tenants the shared library first and then tenant by tenant in order of name; each
/// such read is written into the log of every tenant that it touches. `recall` finds them by what they say.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad memory list
  postroad memory list --namespace project/ --tag performance --by tau
  postroad memory list --type feedback --limit 5 --json
  postroad memory list --tenant acme")]
pub(crate) struct ListArgs {
    /// Only in this namespace, or in those with this prefix, such as project/
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only with this label
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only by this author: a role, role/instance, or the author of imported memories
    #[arg(long, value_name = "AUTHOR")]
    by: Option<String>,
    /// Memories to show at most, 1 to 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what comes after the `nextCursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Whose memories, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

/// Have a memory say something else from now on; what you do not name stays.
///
/// What it said before can still be asked for with --as-of. To keep the old one beside the new, store another
/// one: `postroad remember TEXT --updates MEMORY`. Tags and relations that you give are all that it has from
/// then on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad memory update 01890000-0000-8000-8000-000000000001 'Releases are cut on Mondays.'
  postroad memory update 01890000-0000-8000-8000-000000000001 --tag release --tag process
  postroad memory update 01890000-0000-8000-8000-000000000001 --clear tags --clear expires-at")]
pub(crate) struct UpdateArgs {
    /// The memory
    #[arg(value_name = "MEMORY")]
    memory: String,
    /// Another text, at most 64 KiB; `-` reads it from stdin as it is
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    content: Option<String>,
    /// Another type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// A label in place of those that it has; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Another episode
    #[arg(long, value_name = "NAME")]
    episode: Option<String>,
    /// Another time at which what it tells happened
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    occurred_at: Option<TimeMs>,
    /// Another time from which on it is not found any more
    #[arg(long, value_name = "TIME", value_parser = time::coming)]
    expires_at: Option<TimeMs>,
    #[command(flatten)]
    relations: Relations,
    /// What to take away; may be given several times
    #[arg(long, value_enum, value_name = "FIELD")]
    clear: Vec<Cleared>,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
    /// As the operator: of the shared library
    #[arg(long)]
    shared: bool,
}

/// What an update can take away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cleared {
    /// Its labels
    Tags,
    /// Its relations to older memories
    Relations,
    /// Its episode
    Episode,
    /// The time of what it tells: it is then that at which it was stored
    OccurredAt,
    /// Its end
    ExpiresAt,
}

/// Forget a memory, with all that it ever said.
///
/// It is not found any more from then on, by nobody and at no --as-of. The log keeps that it was there, sealed
/// under its tenant's key.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad memory forget 01890000-0000-8000-8000-000000000001
  postroad memory forget --shared 01890000-0000-8000-8000-000000000001")]
pub(crate) struct ForgetArgs {
    /// The memory
    #[arg(value_name = "MEMORY")]
    memory: String,
    /// As the operator: of the shared library
    #[arg(long)]
    shared: bool,
}

pub(crate) async fn run(session: &Session, command: MemoryCommand) -> Result<(), Failure> {
    match command {
        MemoryCommand::Get(args) => get(session, &args).await,
        MemoryCommand::List(args) => list(session, &args).await,
        MemoryCommand::Update(args) => update(session, args).await,
        MemoryCommand::Forget(args) => forget(session, &args).await,
    }
}

async fn get(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let memory = read_memory_id(&args.memory)?;
    let as_of = args.as_of.read();
    let one = if args.shared || args.tenant.is_some() {
        let client = session.operator().await?;
        let tenant = args.tenant.as_ref();
        client.operator()?.get_memory(tenant, memory, as_of).await?
    } else {
        session.agent().await?.get_memory(memory, as_of).await?
    };
    session
        .out
        .show(&one, |style| shown::full(style, &one.memory, TimeMs::now()))?;
    note_more(session, None, one.stale);
    Ok(())
}

async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let mut filter = MemoryFilter::default();
    if let Some(namespace) = &args.namespace {
        filter = filter.namespace(namespace);
    }
    if let Some(kind) = &args.kind {
        filter = filter.kind(kind);
    }
    if let Some(tag) = &args.tag {
        filter = filter.tag(tag);
    }
    if let Some(author) = &args.by {
        filter = filter.created_by(author);
    }
    if let Some(limit) = args.limit {
        filter = filter.limit(limit);
    }
    if let Some(cursor) = &args.cursor {
        filter = filter.after(cursor);
    }
    let answer = if args.of.is_operators() {
        let client = session.operator().await?;
        let operator = client.operator()?;
        operator.list_memories(args.of.tenant(), &filter).await?
    } else {
        session.agent().await?.list_memories(&filter).await?
    };
    session.out.show(&answer, |style| {
        shown::memories(style, &answer.memories, TimeMs::now())
    })?;
    if answer.memories.is_empty() {
        session.out.note(match answer.next_cursor {
            // A page reads a bounded number of memories, whether they fit or not.
            Some(_) => "no such memories so far",
            None => "no such memories",
        });
    }
    note_more(session, answer.next_cursor.as_deref(), answer.stale);
    Ok(())
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Failure> {
    let is_shared = args.shared;
    let update = update_of(args)?;
    let saved = if is_shared {
        let client = session.operator().await?;
        client.operator()?.update_memory(&update).await?
    } else {
        session.agent().await?.update_memory(&update).await?
    };
    session.out.show(&saved, |style| {
        format!("{}  updated", style.strong(&saved.memory_id.to_string()))
    })
}

fn update_of(args: UpdateArgs) -> Result<MemoryUpdate, Failure> {
    let mut update = MemoryUpdate::new(read_memory_id(&args.memory)?);
    for field in &args.clear {
        update = match field {
            Cleared::Tags => update.tags([""; 0]),
            Cleared::Relations => update.relations([]),
            Cleared::Episode => update.episode(""),
            Cleared::OccurredAt => update.occurred_at(None),
            Cleared::ExpiresAt => update.expires_at(None),
        };
    }
    if !args.tags.is_empty() {
        update = update.tags(args.tags);
    }
    let relations = args.relations.read()?;
    if !relations.is_empty() {
        update = update.relations(relations);
    }
    if let Some(content) = args.content {
        update = update.content(content_of(content)?);
    }
    if let Some(kind) = args.kind {
        update = update.kind(kind);
    }
    if let Some(episode) = args.episode {
        update = update.episode(episode);
    }
    if let Some(time) = args.occurred_at {
        update = update.occurred_at(Some(time));
    }
    if let Some(time) = args.expires_at {
        update = update.expires_at(Some(time));
    }
    if let Some(text) = &args.command_id {
        update = update.with_id(command_id(text)?);
    }
    Ok(update)
}

async fn forget(session: &Session, args: &ForgetArgs) -> Result<(), Failure> {
    let memory = read_memory_id(&args.memory)?;
    let forgotten = if args.shared {
        let client = session.operator().await?;
        client.operator()?.forget_memory(memory).await?
    } else {
        session.agent().await?.forget_memory(memory).await?
    };
    session.out.show(&forgotten, |style| {
        let id = forgotten.memory_id.to_string();
        format!("{}  forgotten", style.strong(&id))
    })
}
