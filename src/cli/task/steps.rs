//! `task claim`, `task release`, `task complete` and the like: what happens to a task.

use crate::cli::failure::Failure;
use crate::cli::memory::command_id;
use crate::cli::session::Session;
use crate::cli::text::relative;
use crate::cli::time;
use clap::Args;
use postroad_client::TaskStep;
use postroad_protocol::command::{TaskSaved, read_task_id};
use postroad_protocol::task::TaskId;
use postroad_protocol::{Refusal, TimeMs};
use std::time::Duration;

/// Which task, and what every step takes.
#[derive(Args, Debug)]
pub(super) struct StepArgs {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Only while the task has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Id of the command, a UUID; a retry with the same id is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
}

impl StepArgs {
    fn read(&self) -> Result<TaskStep, Failure> {
        let mut step = TaskStep::new(read_task_id(&self.task)?);
        if let Some(version) = self.if_version {
            step = step.if_version(version);
        }
        if let Some(text) = &self.command_id {
            step = step.with_id(command_id(text)?);
        }
        Ok(step)
    }
}

/// Take a task on: it is yours, and nobody else's, from then on.
///
/// Of several who try, one gets it; the others end with exit code 5 and are told who did. A task that waits for
/// others, or is assigned to somebody else, cannot be claimed. With --lease it goes back to `todo` by itself
/// unless you claim it again within that time, so that nothing is stuck where an agent has died: claim it again
/// while you work. Without --lease it is yours until you complete, fail or release it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad task claim 01890000-0000-8000-8000-000000000001
  postroad task claim 01890000-0000-8000-8000-000000000001 --lease 10m")]
pub(crate) struct ClaimArgs {
    #[command(flatten)]
    step: StepArgs,
    /// For how long it is yours unless you claim it again: 1s to 7d
    #[arg(long, value_name = "DURATION", value_parser = time::timeout)]
    lease: Option<Duration>,
}

/// Give a task back that your role claimed or created: it is `todo` again.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task release 01890000-0000-8000-8000-000000000001 --note 'The cache part is done; the rest needs Go.'")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    step: StepArgs,
    /// What whoever goes on with it should know, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
}

/// Say that a task is done, for good. Tasks that waited for it alone are ready from then on.
///
/// It has to be yours, or in review. Whoever the tasks that become ready are assigned to is sent a message.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task complete 01890000-0000-8000-8000-000000000001 --note '180 KB now; PR 47'")]
pub(crate) struct CompleteArgs {
    #[command(flatten)]
    step: StepArgs,
    /// What there is to say of it, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
}

/// Say that something which is no task keeps a task from going on; claim it again to go on.
///
/// For one that waits for another task use `task depend`: it becomes ready by itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task block 01890000-0000-8000-8000-000000000001 --reason 'The staging password has expired.'")]
pub(crate) struct BlockArgs {
    #[command(flatten)]
    step: StepArgs,
    /// What keeps it, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    reason: String,
}

/// Say that a task that you tried came to nothing; `task update --status todo` opens it again.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task fail 01890000-0000-8000-8000-000000000001 --reason 'The image has no licence.'")]
pub(crate) struct FailArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Why, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    reason: String,
}

/// Say that a task is not wanted any more; `task update --status todo` opens it again.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task cancel 01890000-0000-8000-8000-000000000001 --reason 'The page is gone.'")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Why, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    reason: String,
}

/// Have a task wait until another is done.
///
/// It can be added while the task is `todo` or blocked. Two tasks never wait for each other, at once or over
/// others: that is refused. `task update --depends-on` names all at once, and --clear depends-on takes them away.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  postroad task depend 01890000-0000-8000-8000-000000000002 01890000-0000-8000-8000-000000000001")]
pub(crate) struct DependArgs {
    #[command(flatten)]
    step: StepArgs,
    /// The task that has to be done before
    #[arg(value_name = "ON")]
    on: String,
}

pub(super) async fn claim(session: &Session, args: &ClaimArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.claim_task(step, args.lease).await?;
    show(session, &saved, "claimed")
}

pub(super) async fn release(session: &Session, args: &ReleaseArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.release_task(step, args.note.as_deref()).await?;
    show(session, &saved, "released")
}

pub(super) async fn complete(session: &Session, args: &CompleteArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.complete_task(step, args.note.as_deref()).await?;
    show(session, &saved, "completed")
}

pub(super) async fn block(session: &Session, args: &BlockArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.block_task(step, &args.reason).await?;
    show(session, &saved, "blocked")
}

pub(super) async fn fail(session: &Session, args: &FailArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.fail_task(step, &args.reason).await?;
    show(session, &saved, "failed")
}

pub(super) async fn cancel(session: &Session, args: &CancelArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    let client = session.agent().await?;
    let saved = client.cancel_task(step, &args.reason).await?;
    show(session, &saved, "cancelled")
}

pub(super) async fn depend(session: &Session, args: &DependArgs) -> Result<(), Failure> {
    let step = args.step.read()?;
    // As the service would answer: what cannot be an id names no task.
    let on = TaskId::parse(&args.on).ok_or_else(|| Refusal::not_found("dependsOn", "task"))?;
    let client = session.agent().await?;
    let saved = client.add_dependency(step, on).await?;
    show(session, &saved, "waits for one more task")
}

/// What a command on a task did.
pub(super) fn show(session: &Session, saved: &TaskSaved, done: &str) -> Result<(), Failure> {
    session.out.show(saved, |style| {
        let id = style.strong(&saved.task_id.to_string());
        format!("{id}  {}", told(saved, done, TimeMs::now()))
    })
}

fn told(saved: &TaskSaved, done: &str, now: TimeMs) -> String {
    let mut told = if saved.already {
        "was so already; nothing changed".to_owned()
    } else {
        done.to_owned()
    };
    if told != saved.status.word() {
        told.push_str(&format!(", {}", saved.status));
    }
    told.push_str(&format!(", version {}", saved.version));
    if let Some(until) = saved.lease_until {
        let ends = relative(until, now);
        told.push_str(&format!(
            "; the lease ends {ends}: claim it again before that"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::Position;
    use postroad_protocol::task::TaskStatus;

    #[test]
    fn one_is_told_what_was_done_and_until_when_it_holds() {
        let now = TimeMs(1_800_000_000_000);
        let mut saved = TaskSaved {
            task_id: TaskId::from_bytes([1; 16]),
            status: TaskStatus::InProgress,
            version: 2,
            lease_until: None,
            position: Position {
                shard: 0,
                epoch: 1,
                sequence: 9,
            },
            already: false,
        };
        let told_now = |saved: &TaskSaved| told(saved, "claimed", now);
        assert_eq!(told_now(&saved), "claimed, in_progress, version 2");
        saved.lease_until = Some(TimeMs(now.0 + 600_000));
        assert_eq!(
            told_now(&saved),
            "claimed, in_progress, version 2; the lease ends in 10m: claim it again before that"
        );
        (saved.lease_until, saved.status) = (None, TaskStatus::Blocked);
        assert_eq!(told(&saved, "blocked", now), "blocked, version 2");
        (saved.status, saved.already) = (TaskStatus::InProgress, true);
        assert_eq!(
            told_now(&saved),
            "was so already; nothing changed, in_progress, version 2"
        );
    }
}
