//! `hook`: tells a running model about its mail, when its client says that this is the moment.
//!
//! Owns the order of a hook's work and how long it may take. What is asked and remembered stands in
//! `ledger` and `kept`, what is said in `told`, what the client says in `input`. Never marks a message as
//! read, never blocks a turn's end twice for the same mail, and never fails: a client may take a failed
//! hook for a reason to stop its session, so whatever goes wrong is one line on stderr.

mod input;
mod kept;
mod ledger;
mod told;

use self::input::{Heard, Moment};
use self::kept::Kept;
use self::ledger::Ledger;
use super::failure::Failure;
use super::output::{print, say};
use super::session::Session;
use super::text::one_line;
use clap::{Args, ValueEnum};
use postroad_client::{Check, Client, ClientError, Identity};
use postroad_protocol::ErrorCode;
use postroad_protocol::event::Priority;
use postroad_protocol::query::{Message, TaskCounts};
use std::time::Duration;

/// How long all of a hook's work may take: somebody waits for it after every tool call.
const BUDGET: Duration = Duration::from_secs(3);
/// Unread messages that are fetched at once.
const PAGE: u32 = 50;
/// Pages that one hook reads: what lies behind them is told by the next.
const PAGES_MAX: usize = 4;

/// Serve the hooks of an agent's client: show new mail to the model while it works.
///
/// The client runs this at the start of a session, at each prompt, after each tool call and at the end of a
/// turn, and puts what is printed into the model's context. Each message is shown once, as data from its
/// sender, with at most 8 KiB of messages at a time; after that only how many are unread. A turn that
/// would end while mail is unread goes on, once for each message. Nothing is ever marked as read. Tasks that
/// wait are counted beside the mail, and at the start of a session also where there is none.
///
/// Whatever goes wrong (no credential, no deployment, input that is no JSON), the hook says so on stderr,
/// prints nothing and ends with 0, so that it is never in the way of a session. `postroad mcp install` enters
/// it into the client's settings.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad hook --client claude-code < event.json
  echo '{\"hook_event_name\":\"Stop\",\"session_id\":\"s1\"}' | postroad --creds bob.creds hook --client codex

In .claude/settings.json:
  {\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"postroad hook --client claude-code\"}]}]}}")]
pub(crate) struct HookArgs {
    /// Whose hooks
    #[arg(long, value_name = "CLIENT")]
    client: HookClient,
}

/// A client that has hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookClient {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
}

/// Serves one event. Never fails, save where whoever reads stdout has gone.
pub(crate) async fn hook(session: &Session, args: &HookArgs) -> Result<(), Failure> {
    let patient = session.within(BUDGET);
    let answer = tokio::time::timeout(BUDGET, answer(&patient, args.client)).await;
    match answer {
        Ok(Ok(Some(document))) => print(&document),
        Ok(Ok(None)) => Ok(()),
        Ok(Err(reason)) => {
            silent(&reason);
            Ok(())
        }
        Err(_) => {
            silent("the deployment did not answer in time");
            Ok(())
        }
    }
}

fn silent(reason: &str) {
    say(&format!("postroad hook: {}", one_line(reason)));
}

/// What to print, if anything.
async fn answer(session: &Session, client: HookClient) -> Result<Option<String>, String> {
    let Some(Heard { moment, session_id }) = input::heard(&input::stdin().await?)? else {
        return Ok(None);
    };
    let road = session.agent().await.map_err(|failure| spoken(&failure))?;
    let memory = session.memory().map_err(|failure| spoken(&failure))?;
    let memory = memory.ok_or("there is no home directory to remember in")?;
    let mut kept = Kept::open(&memory.folder, &identity(memory.deployment, &road)).await?;
    let mut ledger = kept.read();
    let mail = match moment {
        Moment::Stop => unread_since_stop(&road, &mut ledger).await?,
        _ => unread_since_shown(&road, &mut ledger).await?,
    };
    let said = ledger.tell(moment, &session_id, &mail);
    // First remembered, then said: what cannot be remembered would be said again at every call.
    kept.write(&ledger)?;
    let Some(said) = said else { return Ok(None) };
    Ok(Some(told::document(client, moment, &told::text(&said))))
}

/// Whose memory this is: the agent's, at this deployment.
fn identity(deployment: String, road: &Client) -> Vec<String> {
    let mut identity = vec![deployment];
    if let Identity::Agent { tenant, reader, .. } = road.identity() {
        identity.extend([
            tenant.to_string(),
            reader.role.to_string(),
            reader.instance.to_string(),
        ]);
    }
    identity
}

/// The failure as one line: what went wrong and what to do.
fn spoken(failure: &Failure) -> String {
    let report = failure.report(false).unwrap_or_default();
    let report = report.strip_prefix("error: ").unwrap_or(&report);
    let lines: Vec<&str> = report.lines().map(str::trim).collect();
    lines.join("; ")
}

/// Unread messages, as far as a hook reads.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Oldest first.
    messages: Vec<Message>,
    /// How many are unread in all.
    unread: u64,
    /// The highest priority among all of those.
    highest: Option<Priority>,
    /// Behind the last of them.
    end: Option<String>,
    /// Tasks that wait for the agent.
    tasks: Option<TaskCounts>,
}

/// What is unread behind what was shown.
async fn unread_since_shown(road: &Client, ledger: &mut Ledger) -> Result<Mail, String> {
    let mail = unread(road, ledger.shown_up_to.clone(), |m| ledger.is_new(m)).await;
    let mail = match mail {
        // The log was restored from before that place: what was shown is known by its ids, too.
        Err(error) if is_void(&error) => {
            ledger.shown_up_to = None;
            unread(road, None, |m| ledger.is_new(m)).await
        }
        mail => mail,
    };
    mail.map_err(|error| error.to_string())
}

/// What is unread behind what a turn's end was last held up for.
async fn unread_since_stop(road: &Client, ledger: &mut Ledger) -> Result<Mail, String> {
    let mut mail = unread(road, ledger.stopped_up_to.clone(), |_| false).await;
    if mail.as_ref().is_err_and(is_void) {
        ledger.stopped_up_to = None;
        mail = unread(road, None, |_| false).await;
        if let Ok(mail) = &mut mail {
            // Nothing that was shown before may hold a turn up again.
            mail.messages.retain(|message| ledger.is_new(message));
        }
    }
    mail.map_err(|error| error.to_string())
}

fn is_void(error: &ClientError) -> bool {
    let refusal = error.to_refusal();
    refusal.code == ErrorCode::InvalidArgument && refusal.field.as_deref() == Some("cursor")
}

/// Reads pages until one holds something that is `wanted`, or there are no more, or they are too many.
async fn unread(
    road: &Client,
    mut after: Option<String>,
    wanted: impl Fn(&Message) -> bool,
) -> Result<Mail, ClientError> {
    let mut mail = Mail::default();
    for _ in 0..PAGES_MAX {
        let mut check = Check::default().limit(PAGE);
        if let Some(cursor) = &after {
            check = check.after(cursor.clone());
        }
        let page = road.check(&check).await?;
        let is_enough = page.messages.iter().any(&wanted);
        mail.messages.extend(page.messages);
        (mail.unread, mail.highest) = (page.unread_total, page.highest_priority);
        mail.tasks = page.tasks;
        if page.next_cursor.is_some() {
            mail.end.clone_from(&page.next_cursor);
            after = page.next_cursor;
        }
        if is_enough || !page.truncated {
            break;
        }
    }
    Ok(mail)
}
