//! Tasks at the command line.
//!
//! | file | commands |
//! |---|---|
//! | `written` | `task create`, `task update` |
//! | `asked` | `task list`, `task get` |
//! | `steps` | `task claim`, `release`, `block`, `complete`, `fail`, `cancel`, `depend` |
//!
//! Beside them: `shown` (how tasks look), and here what `mission` reads in the same way.

mod asked;
mod shown;
mod steps;
mod written;

pub(super) use shown::{due, head, list as shown_list, margin, width};

use super::failure::Failure;
use super::send::read_content;
use super::session::Session;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use postroad_protocol::limits::DESCRIPTION_MAX_BYTES;
use postroad_protocol::task::{Assignee, TaskId, TaskPriority};
use postroad_protocol::{InstanceId, Refusal, Role};

/// Create tasks, find one to do, claim it, and say what became of it.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    Create(written::CreateArgs),
    List(asked::ListArgs),
    Get(asked::GetArgs),
    Claim(steps::ClaimArgs),
    Release(steps::ReleaseArgs),
    Complete(steps::CompleteArgs),
    Block(steps::BlockArgs),
    Fail(steps::FailArgs),
    Cancel(steps::CancelArgs),
    Update(written::UpdateArgs),
    #[command(visible_alias = "add-dependency")]
    Depend(steps::DependArgs),
}

pub(crate) async fn run(session: &Session, command: TaskCommand) -> Result<(), Failure> {
    match command {
        TaskCommand::Create(args) => written::create(session, args).await,
        TaskCommand::List(args) => asked::list(session, &args).await,
        TaskCommand::Get(args) => asked::get(session, &args).await,
        TaskCommand::Claim(args) => steps::claim(session, &args).await,
        TaskCommand::Release(args) => steps::release(session, &args).await,
        TaskCommand::Complete(args) => steps::complete(session, &args).await,
        TaskCommand::Block(args) => steps::block(session, &args).await,
        TaskCommand::Fail(args) => steps::fail(session, &args).await,
        TaskCommand::Cancel(args) => steps::cancel(session, &args).await,
        TaskCommand::Update(args) => written::update(session, args).await,
        TaskCommand::Depend(args) => steps::depend(session, &args).await,
    }
}

/// The words of an enum of the wire, as clap offers them.
pub(super) fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let offered: Vec<&str> = all.iter().map(|one| word(*one)).collect();
    PossibleValuesParser::new(offered).try_map(move |text: String| {
        let found = all.iter().copied().find(|one| word(*one) == text);
        found.ok_or("there is no such word")
    })
}

/// The words for priorities.
pub(super) fn priority() -> impl TypedValueParser<Value = TaskPriority> {
    words(TaskPriority::ALL, TaskPriority::word)
}

/// Reads `ROLE` or `ROLE/INSTANCE`.
fn assignee(text: &str) -> Result<Assignee, String> {
    let (role, instance) = match text.split_once('/') {
        Some((role, instance)) => (role, Some(instance)),
        None => (text, None),
    };
    Ok(Assignee {
        role: Role::parse(role).map_err(|error| error.to_string())?,
        instance: instance
            .map(InstanceId::parse)
            .transpose()
            .map_err(|error| error.to_string())?,
    })
}

/// What cannot be an id names no task, as the service would answer.
fn dependencies(ids: &[String]) -> Result<Vec<TaskId>, Failure> {
    let read = |text: &String| {
        TaskId::parse(text).ok_or_else(|| Refusal::not_found("dependsOn", "task").into())
    };
    ids.iter().map(read).collect()
}

/// The text that was given for `field`, or, for `-`, what stdin holds.
pub(super) fn long_text(given: String, field: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given);
    }
    read_content(std::io::stdin().lock(), DESCRIPTION_MAX_BYTES).map_err(|failure| match failure {
        Failure::Told { refusal, causes } => Failure::Told {
            refusal: Box::new(refusal.at(field)),
            causes,
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_given_to_a_role_or_to_one_instance_of_it() {
        let read = |text: &str| assignee(text).map(|one| one.to_string());
        assert_eq!(read("tau"), Ok("tau".to_owned()));
        assert_eq!(read("tau/mac"), Ok("tau/mac".to_owned()));
        for bad in ["", "/", "tau/", "/mac", "tau/mac/x", "a b", "broadcast"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_an_id_names_no_task() {
        let failure = dependencies(&["none".to_owned()]).unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        let Failure::Told { refusal, .. } = failure else {
            panic!("it is told");
        };
        assert_eq!(refusal.field.as_deref(), Some("dependsOn"));
        assert_eq!(dependencies(&[]).unwrap(), []);
    }
}
