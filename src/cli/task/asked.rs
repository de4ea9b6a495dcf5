//! `task list`, `task get`: which tasks there are.

use super::shown;
use super::{assignee, priority, words};
use crate::cli::failure::Failure;
use crate::cli::memory::note_more;
use crate::cli::session::{Session, TenantsArg};
use clap::Args;
use postroad_client::{Client, Identity, TaskList};
use postroad_protocol::command::{read_mission_id, read_task_id};
use postroad_protocol::query::{Task, Tasks};
use postroad_protocol::task::{Assignee, TaskPriority, TaskStatus};
use postroad_protocol::{Reader, TenantId, TimeMs};

/// List tasks, the most urgent first and of those the oldest; as the operator, a tenant's or everybody's.
///
/// Without --status or --all those are shown that have not ended. What is `todo` shows as ready, or as waiting
/// while tasks before it are not done. With --mine you see what is for you to do: what you have claimed, and
/// what is assigned to your role or to you, but for what another instance has claimed. With --tenant or
/// --all-tenants the operator sees every task, tenant by tenant in order of name; each such read is written into
/// the log of every tenant that it touches.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad task list --mine
  postroad task list --ready --project landing-page
  postroad task list --mission 01890000-0000-8000-8000-000000000001 --all
  postroad task list --assigned-to tau/mac --status in_progress,review --json
  postroad task list --tenant acme")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct ListArgs {
    /// Only of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only assigned to this role or claimed by it; with an instance, assigned to that alone or claimed by it
    #[arg(long, value_name = "ROLE[/INSTANCE]", value_parser = assignee)]
    assigned_to: Option<Assignee>,
    /// Only what is for you to do
    #[arg(long, conflicts_with_all = ["assigned_to", "tenant", "all_tenants"])]
    mine: bool,
    /// Only in this state; several separated by commas
    #[arg(
        long,
        value_name = "STATUS",
        value_delimiter = ',',
        value_parser = words(TaskStatus::ALL, TaskStatus::word)
    )]
    status: Vec<TaskStatus>,
    /// Only of this mission
    #[arg(long, value_name = "MISSION")]
    mission: Option<String>,
    /// Only of this priority
    #[arg(long, value_name = "PRIORITY", value_parser = priority())]
    priority: Option<TaskPriority>,
    /// Only those that can be claimed now
    #[arg(long)]
    ready: bool,
    /// Only those that have not ended; so it is without --status and --all
    #[arg(long, conflicts_with = "status")]
    open: bool,
    /// Those that have ended, too
    #[arg(long, conflicts_with_all = ["status", "open"])]
    all: bool,
    /// Tasks to show at most, 1 to 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what comes after the `nextCursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Whose tasks, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

/// Show one task: what is to be done, who does it, what it waits for, and what was said of it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad task get 01890000-0000-8000-8000-000000000001
  postroad task get 01890000-0000-8000-8000-000000000001 --tenant acme")]
pub(crate) struct GetArgs {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// As the operator: of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
}

pub(super) async fn get(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let task = read_task_id(&args.task)?;
    let one = if let Some(tenant) = &args.tenant {
        let client = session.operator().await?;
        client.operator()?.get_task(tenant, task).await?
    } else {
        session.agent().await?.get_task(task).await?
    };
    session
        .out
        .show(&one, |style| shown::full(style, &one.task, TimeMs::now()))?;
    note_more(session, None, one.stale);
    Ok(())
}

pub(super) async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let wanted = wanted(args)?;
    let answer = if args.of.is_operators() {
        let client = session.operator().await?;
        let operator = client.operator()?;
        operator.list_tasks(args.of.tenant(), &wanted).await?
    } else {
        let client = session.agent().await?;
        if args.mine {
            list_mine(&client, wanted).await?
        } else {
            client.list_tasks(&wanted).await?
        }
    };
    session.out.show(&answer, |style| {
        shown::list(style, &answer.tasks, TimeMs::now(), shown::width())
    })?;
    if answer.tasks.is_empty() {
        session.out.note(match answer.next_cursor {
            // A page reads a bounded number of tasks, whether they fit or not.
            Some(_) => "no such tasks so far",
            None => "no such tasks",
        });
    }
    note_more(session, answer.next_cursor.as_deref(), answer.stale);
    Ok(())
}

fn wanted(args: &ListArgs) -> Result<TaskList, Failure> {
    let mut wanted = placed(args)?;
    if let Some(assignee) = &args.assigned_to {
        wanted = wanted.assigned_to(assignee.clone());
    }
    for status in &args.status {
        wanted = wanted.status(*status);
    }
    if args.status.is_empty() && !args.all {
        wanted = wanted.open();
    }
    if args.ready {
        wanted = wanted.ready();
    }
    if let Some(limit) = args.limit {
        wanted = wanted.limit(limit);
    }
    if let Some(cursor) = &args.cursor {
        wanted = wanted.after(cursor);
    }
    Ok(wanted)
}

/// Where tasks belong, and how urgent they are.
fn placed(args: &ListArgs) -> Result<TaskList, Failure> {
    let mut wanted = TaskList::default();
    if let Some(project) = &args.project {
        wanted = wanted.project(project);
    }
    if let Some(mission) = &args.mission {
        wanted = wanted.mission(read_mission_id(mission)?);
    }
    if let Some(priority) = args.priority {
        wanted = wanted.priority(priority);
    }
    Ok(wanted)
}

/// What is assigned to the caller's role or claimed by it, without what is another instance's.
async fn list_mine(client: &Client, wanted: TaskList) -> Result<Tasks, Failure> {
    let Identity::Agent { reader, .. } = client.identity() else {
        return Ok(client.list_tasks(&wanted).await?);
    };
    let of_role = Assignee {
        role: reader.role.clone(),
        instance: None,
    };
    let mut answer = client.list_tasks(&wanted.assigned_to(of_role)).await?;
    answer.tasks.retain(|task| is_mine(task, reader));
    Ok(answer)
}

fn is_claimed(task: &Task, reader: &Reader) -> bool {
    task.claimed_by.as_ref() == Some(&reader.role)
        && task.claimed_by_instance_id.as_ref() == Some(&reader.instance)
}

/// Whether a task of a reader's role is the reader's to do: no other instance has claimed it, or alone is to do it.
fn is_mine(task: &Task, reader: &Reader) -> bool {
    if task.claimed_by.is_some() {
        return is_claimed(task, reader);
    }
    let only = task.assigned_to_instance_id.as_ref();
    only.is_none_or(|instance| *instance == reader.instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_instance_is_to_do_is_not_mine() {
        let reader = Reader {
            role: "tau".parse().unwrap(),
            instance: "mac".parse().unwrap(),
        };
        let mut task = shown::sample();
        let mut is = |claimed: Option<&str>, only: Option<&str>| {
            task.claimed_by = claimed.map(|_| "tau".parse().unwrap());
            task.claimed_by_instance_id = claimed.map(|name| name.parse().unwrap());
            task.assigned_to_instance_id = only.map(|name| name.parse().unwrap());
            is_mine(&task, &reader)
        };
        assert!(is(None, None) && is(None, Some("mac")) && is(Some("mac"), None));
        assert!(!is(None, Some("pi")) && !is(Some("pi"), None) && !is(Some("pi"), Some("pi")));
    }
}
