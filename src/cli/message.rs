//! `message …`: one's own history, and what became of a message.

use super::failure::Failure;
use super::mail::STALE;
use super::session::{Session, TenantsArg};
use super::shown;
use super::text::{count, one_line};
use super::time;
use clap::{Args, Subcommand};
use postroad_client::{History, Page, Search};
use postroad_protocol::{MessageId, Refusal, Role, TenantId, TimeMs};

/// Look up messages that you sent or received.
#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    Status(StatusArgs),
    Get(GetArgs),
    List(ListArgs),
    Search(SearchArgs),
}

/// Show who has got and who has read a message that you sent.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad message status 01890000-0000-7000-8000-000000000001")]
pub(crate) struct StatusArgs {
    /// The message
    #[arg(value_name = "MESSAGE")]
    message: String,
    /// Receipts to show at most, 1 to 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what comes after the `nextCursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Show one message that you sent or received, read or not.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad message get 01890000-0000-7000-8000-000000000001")]
pub(crate) struct GetArgs {
    /// The message
    #[arg(value_name = "MESSAGE")]
    message: String,
}

/// List messages that you sent or received, newest first; as the operator, a tenant's or everybody's.
///
/// With --tenant or --all-tenants the operator sees every message, tenant by tenant in order of name;
/// each such read is written into the log of every tenant that it touches. Times are RFC 3339, dates, or how long ago: --since 2h, --since 2026-11-22, --until now.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad message list --sender bob --since 1d
  postroad message list --channel broadcast --limit 5
  postroad message list --tenant acme --since 1h
  postroad message list --all-tenants --json")]
pub(crate) struct ListArgs {
    /// Only what this role sent
    #[arg(long, value_name = "ROLE")]
    sender: Option<Role>,
    /// Only what was sent to this role, or to `broadcast`
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only what was sent at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    since: Option<TimeMs>,
    /// Only what was sent before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    until: Option<TimeMs>,
    /// Messages to show at most, 1 to 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what comes after the `nextCursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Whose messages, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

/// Find messages that you sent or received, by their words; the best match first.
///
/// A message is found when it has any of the words, in whatever form ("deploy" finds "deployed"); one that has more of them, or rarer ones, comes first.
/// Words that say nothing, such as "the", are not looked for. Identifiers are found whole and in parts: `tenant_id`, `tenantId` and "tenant" find one another.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad message search \"ferry timetable\"
  postroad message search \"E0382 borrow\" --from bob --since 7d
  postroad message search outage --to broadcast --limit 3 --json")]
pub(crate) struct SearchArgs {
    /// The words, up to 1 KiB
    #[arg(value_name = "WORDS")]
    words: String,
    /// Only what this role sent
    #[arg(long, value_name = "ROLE")]
    from: Option<Role>,
    /// Only what was sent to this role, or to `broadcast`
    #[arg(long, value_name = "CHANNEL")]
    to: Option<String>,
    /// Only what was sent at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    since: Option<TimeMs>,
    /// Only what was sent before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    until: Option<TimeMs>,
    /// Messages to show at most, 1 to 100; 10 by default
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

pub(crate) async fn run(session: &Session, command: MessageCommand) -> Result<(), Failure> {
    match command {
        MessageCommand::Status(args) => status(session, args).await,
        MessageCommand::Get(args) => get(session, &args).await,
        MessageCommand::List(args) => list(session, args).await,
        MessageCommand::Search(args) => search(session, args).await,
    }
}

/// What cannot be an id names no message, just as an id of somebody else's.
fn message_id(text: &str) -> Result<MessageId, Failure> {
    MessageId::parse(text).ok_or_else(|| Refusal::not_found("messageId", "message").into())
}

async fn status(session: &Session, args: StatusArgs) -> Result<(), Failure> {
    let message = message_id(&args.message)?;
    let mut page = Page::default();
    if let Some(limit) = args.limit {
        page = page.limit(limit);
    }
    if let Some(cursor) = args.cursor {
        page = page.after(cursor);
    }
    let client = session.agent().await?;
    let status = client.message_status(message, &page).await?;
    session.out.show(&status, |style| {
        shown::status(style, &status, TimeMs::now())
    })?;
    note_more(session, status.next_cursor.as_deref(), status.stale);
    Ok(())
}

async fn get(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let message = message_id(&args.message)?;
    let one = session.agent().await?.get_message(message).await?;
    session.out.show(&one, |style| {
        shown::full_message(style, &one.message, TimeMs::now())
    })?;
    note_more(session, None, one.stale);
    Ok(())
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Failure> {
    let mut history = History::default();
    if let Some(sender) = args.sender {
        history = history.sender(sender);
    }
    if let Some(channel) = args.channel {
        history = history.channel(channel);
    }
    if let Some(since) = args.since {
        history = history.since(since);
    }
    if let Some(until) = args.until {
        history = history.until(until);
    }
    if let Some(limit) = args.limit {
        history = history.limit(limit);
    }
    if let Some(cursor) = args.cursor {
        history = history.after(cursor);
    }
    if args.of.is_operators() {
        return list_tenants(session, args.of.tenant(), &history).await;
    }
    let answer = session.agent().await?.list_messages(&history).await?;
    session.out.show(&answer, |style| {
        shown::messages(style, &answer.messages, TimeMs::now())
    })?;
    if answer.messages.is_empty() {
        session.out.note("no such messages");
    }
    note_more(session, answer.next_cursor.as_deref(), answer.stale);
    Ok(())
}

async fn list_tenants(
    session: &Session,
    tenant: Option<&TenantId>,
    history: &History,
) -> Result<(), Failure> {
    let client = session.operator().await?;
    let answer = client.operator()?.list_messages(tenant, history).await?;
    session.out.show(&answer, |style| {
        shown::messages(style, &answer.messages, TimeMs::now())
    })?;
    if answer.messages.is_empty() {
        session.out.note(match answer.next_cursor {
            // A page reads a bounded number of tenants and messages, whether they fit or not.
            Some(_) => "no such messages so far",
            None => "no such messages",
        });
    }
    note_more(session, answer.next_cursor.as_deref(), answer.stale);
    Ok(())
}

async fn search(session: &Session, args: SearchArgs) -> Result<(), Failure> {
    let mut search = Search::of(args.words);
    if let Some(sender) = args.from {
        search = search.sender(sender);
    }
    if let Some(channel) = args.to {
        search = search.channel(channel);
    }
    if let Some(since) = args.since {
        search = search.since(since);
    }
    if let Some(until) = args.until {
        search = search.until(until);
    }
    if let Some(limit) = args.limit {
        search = search.limit(limit);
    }
    let answer = session.agent().await?.search_messages(&search).await?;
    session.out.show(&answer, |style| {
        shown::found(style, &answer.messages, TimeMs::now())
    })?;
    let shown = u64::try_from(answer.messages.len()).unwrap_or(u64::MAX);
    if answer.matched == 0 {
        session.out.note("no message has any of these words");
    } else if answer.matched > shown {
        session.out.note(&format!(
            "\n{} match; more of them with --limit, fewer with more filters",
            count(answer.matched, "message")
        ));
    }
    if answer.indexing > 0 {
        session.out.note(&format!(
            "{} could not be searched yet: the index of words is being built; ask again soon",
            count(answer.indexing, "message")
        ));
    }
    note_more(session, None, answer.stale);
    Ok(())
}

fn note_more(session: &Session, cursor: Option<&str>, stale: bool) {
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
