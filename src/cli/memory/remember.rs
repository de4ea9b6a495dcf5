//! `remember`: one memory, stored when the command ends.

use super::{Relations, command_id, content_of};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::time;
use clap::Args;
use postroad_client::NewMemory;
use postroad_protocol::TimeMs;
use postroad_protocol::memory::GLOBAL;

/// Remember something, so that you and the other agents of your tenant can recall it.
///
/// When the command ends well, the memory is stored, and `recall` finds it by its words; by its meaning a
/// moment later. Without --namespace it is in `global`, which every agent of your tenant reads. What belongs
/// to one repository or feature is better kept in project/NAME; workspace/TENANT is for what is true of your
/// tenant, and orchestrator/ROLE is read by your own role alone.
///
/// Types are user, feedback, project, reference and episode, or a name of your own. As the operator, --shared
/// publishes it to every tenant. After exit code 6 run it again with the same --command-id: it is stored once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad remember 'Releases are cut on Thursdays.'
  postroad remember 'Images stay below 200 KB.' --namespace project/landing-page --type feedback --tag performance
  postroad remember 'Releases are cut on Mondays.' --updates 01890000-0000-8000-8000-000000000001
  postroad remember 'The staging password rotates.' --expires-at 30d
  git log -1 | postroad remember - --namespace project/landing-page --episode 'review of PR 47'
  postroad remember --shared 'Postroad keeps times in milliseconds.'")]
pub(crate) struct RememberArgs {
    /// The text, at most 64 KiB; `-` reads it from stdin as it is
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    content: String,
    /// Where it belongs: global, project/NAME, workspace/TENANT or orchestrator/ROLE
    #[arg(long, value_name = "NAMESPACE", default_value = GLOBAL)]
    namespace: String,
    /// What kind of memory it is
    #[arg(long = "type", value_name = "TYPE", default_value = "reference")]
    kind: String,
    /// A label; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What it is a part of, in your own words: memories of one episode help to find each other
    #[arg(long, value_name = "NAME")]
    episode: Option<String>,
    /// When what it tells happened (RFC 3339, a date, `2h ago`); by default now
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    occurred_at: Option<TimeMs>,
    /// From when on it is not found any more (RFC 3339, a date, or `30d` from now); by default never
    #[arg(long, value_name = "TIME", value_parser = time::coming)]
    expires_at: Option<TimeMs>,
    #[command(flatten)]
    relations: Relations,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
    /// As the operator: in the library that every tenant reads
    #[arg(long)]
    shared: bool,
}

pub(crate) async fn remember(session: &Session, args: RememberArgs) -> Result<(), Failure> {
    let is_shared = args.shared;
    let namespace = args.namespace.clone();
    let memory = memory_of(args)?;
    let saved = if is_shared {
        let client = session.operator().await?;
        client.operator()?.store_memory(&memory).await?
    } else {
        session.agent().await?.store_memory(&memory).await?
    };
    session.out.show(&saved, |style| {
        let id = style.strong(&saved.memory_id.to_string());
        let library = if is_shared {
            " of the shared library"
        } else {
            ""
        };
        let namespace = crate::cli::text::one_line(&namespace);
        format!("{id}  remembered in {namespace}{library}")
    })
}

fn memory_of(args: RememberArgs) -> Result<NewMemory, Failure> {
    let relations = args.relations.read()?;
    let mut memory = NewMemory::new(args.namespace, content_of(args.content)?).kind(args.kind);
    for tag in args.tags {
        memory = memory.tag(tag);
    }
    for (kind, older) in relations {
        memory = memory.relates_to(kind, older);
    }
    if let Some(episode) = args.episode {
        memory = memory.episode(episode);
    }
    if let Some(time) = args.occurred_at {
        memory = memory.occurred_at(time);
    }
    if let Some(time) = args.expires_at {
        memory = memory.expires_at(time);
    }
    if let Some(text) = &args.command_id {
        memory = memory.with_id(command_id(text)?);
    }
    Ok(memory)
}
