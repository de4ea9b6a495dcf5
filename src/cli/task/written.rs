//! `task create`, `task update`: what a task says.

use super::{assignee, dependencies, long_text, priority, words};
use crate::cli::failure::Failure;
use crate::cli::memory::command_id;
use crate::cli::session::Session;
use crate::cli::time;
use clap::{Args, ValueEnum};
use postroad_client::{NewTask, TaskUpdate};
use postroad_protocol::TimeMs;
use postroad_protocol::command::{read_mission_id, read_task_id};
use postroad_protocol::task::{Assignee, TaskPriority, TaskStatus};

/// Create a task, for whoever claims it or for the role that you name.
///
/// It waits as `todo` until somebody claims it. With --depends-on it can be claimed only once those tasks are
/// done; whoever it is assigned to is then sent a message. Without --project it belongs to the studio of your
/// tenant. What you describe is read by other agents: say what is wanted, and how to see that it is done.
///
/// After exit code 6 run it again with the same --command-id: it is created once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad task create 'Make the hero image smaller' --project landing-page --priority high
  postroad task create 'Review PR 47' --assigned-to tau --due 2d --description 'Look at the cache first.'
  postroad task create 'Release' --depends-on 01890000-0000-8000-8000-000000000001 --assigned-to tau/mac
  gh issue view 12 | postroad task create 'Fix issue 12' --description - --tag bug
  TASK=$(postroad task create 'Tidy up' --json | jq -r .taskId)")]
pub(crate) struct CreateArgs {
    /// What is to be done, in one line of at most 256 bytes
    #[arg(value_name = "TITLE", allow_hyphen_values = true)]
    title: String,
    /// The same at length, at most 16 KiB; `-` reads it from stdin as it is
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,
    /// Only this role, or this instance of it, is to do it; by default whoever claims it
    #[arg(long, value_name = "ROLE[/INSTANCE]", value_parser = assignee)]
    assigned_to: Option<Assignee>,
    /// How urgent it is; by default medium
    #[arg(long, value_name = "PRIORITY", value_parser = priority())]
    priority: Option<TaskPriority>,
    /// Where it belongs: a name such as landing-page; by default studio/TENANT
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// A task that has to be done before; may be given several times
    #[arg(long, value_name = "TASK")]
    depends_on: Vec<String>,
    /// The mission that it is a part of
    #[arg(long, value_name = "MISSION")]
    mission: Option<String>,
    /// A label; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// By when it is to be done (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    due: Option<TimeMs>,
    /// A first note, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
}

/// Have a task say, or stand, otherwise from now on; what you do not name stays.
///
/// Tags and dependencies that you give are all that it has from then on; `task depend` adds one. With --status
/// a task goes to `review` when you have done your part, back to `in_progress` when it needs more, and to
/// `todo` again after it failed or was cancelled; the other states have commands of their own. --if-version
/// changes nothing when somebody else was faster.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad task update 01890000-0000-8000-8000-000000000001 --priority urgent --due 4h
  postroad task update 01890000-0000-8000-8000-000000000001 --status review --note 'PR 47 is up.'
  postroad task update 01890000-0000-8000-8000-000000000001 --assigned-to phi --tag release --tag process
  postroad task update 01890000-0000-8000-8000-000000000001 --clear assigned-to --clear due --if-version 3")]
pub(crate) struct UpdateArgs {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Another title
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    title: Option<String>,
    /// Another description, at most 16 KiB; `-` reads it from stdin as it is
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,
    /// Another role, or one instance of it alone
    #[arg(long, value_name = "ROLE[/INSTANCE]", value_parser = assignee)]
    assigned_to: Option<Assignee>,
    /// Another priority
    #[arg(long, value_name = "PRIORITY", value_parser = priority())]
    priority: Option<TaskPriority>,
    /// Another project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Another state
    #[arg(long, value_name = "STATUS", value_parser = words(SETTABLE, TaskStatus::word))]
    status: Option<TaskStatus>,
    /// A task that has to be done before, in place of those that are named; may be given several times
    #[arg(long, value_name = "TASK")]
    depends_on: Vec<String>,
    /// Another mission
    #[arg(long, value_name = "MISSION")]
    mission: Option<String>,
    /// A label in place of those that it has; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Another time by which it is to be done (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    due: Option<TimeMs>,
    /// One more note, at most 2 KiB
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// What to take away; may be given several times
    #[arg(long, value_enum, value_name = "FIELD")]
    clear: Vec<Cleared>,
    /// Only while the task has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
}

/// States that an update can set.
const SETTABLE: &[TaskStatus] = &[TaskStatus::Todo, TaskStatus::InProgress, TaskStatus::Review];

/// What an update can take away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cleared {
    /// Its description
    Description,
    /// To whom it is given: it is then for whoever claims it
    AssignedTo,
    /// All that it waits for
    DependsOn,
    /// Its mission
    Mission,
    /// Its labels
    Tags,
    /// The time by which it is to be done
    Due,
}

pub(super) async fn create(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let task = task_of(args)?;
    let saved = session.agent().await?.create_task(&task).await?;
    session.out.show(&saved, |style| {
        format!("{}  created", style.strong(&saved.task_id.to_string()))
    })
}

fn task_of(args: CreateArgs) -> Result<NewTask, Failure> {
    let mut task = NewTask::new(args.title);
    for dependency in dependencies(&args.depends_on)? {
        task = task.depends_on(dependency);
    }
    for tag in args.tags {
        task = task.tag(tag);
    }
    if let Some(text) = args.description {
        task = task.description(long_text(text, "description")?);
    }
    if let Some(assignee) = args.assigned_to {
        task = task.assigned_to(assignee);
    }
    if let Some(priority) = args.priority {
        task = task.priority(priority);
    }
    if let Some(project) = args.project {
        task = task.project(project);
    }
    if let Some(mission) = &args.mission {
        task = task.mission(read_mission_id(mission)?);
    }
    if let Some(due) = args.due {
        task = task.due_at(due);
    }
    if let Some(note) = args.note {
        task = task.note(note);
    }
    if let Some(text) = &args.command_id {
        task = task.with_id(command_id(text)?);
    }
    Ok(task)
}

pub(super) async fn update(session: &Session, args: UpdateArgs) -> Result<(), Failure> {
    let update = update_of(args)?;
    let saved = session.agent().await?.update_task(&update).await?;
    super::steps::show(session, &saved, "updated")
}

fn update_of(args: UpdateArgs) -> Result<TaskUpdate, Failure> {
    let mut update = cleared(TaskUpdate::new(read_task_id(&args.task)?), &args.clear);
    if let Some(title) = args.title {
        update = update.title(title);
    }
    if let Some(text) = args.description {
        update = update.description(long_text(text, "description")?);
    }
    if let Some(assignee) = args.assigned_to {
        update = update.assigned_to(Some(assignee));
    }
    if let Some(priority) = args.priority {
        update = update.priority(priority);
    }
    if let Some(project) = args.project {
        update = update.project(project);
    }
    if let Some(status) = args.status {
        update = update.status(status);
    }
    if !args.depends_on.is_empty() {
        update = update.depends_on(dependencies(&args.depends_on)?);
    }
    if let Some(mission) = &args.mission {
        update = update.mission(Some(read_mission_id(mission)?));
    }
    if !args.tags.is_empty() {
        update = update.tags(args.tags);
    }
    if let Some(due) = args.due {
        update = update.due_at(Some(due));
    }
    if let Some(note) = args.note {
        update = update.note(note);
    }
    if let Some(version) = args.if_version {
        update = update.if_version(version);
    }
    if let Some(text) = &args.command_id {
        update = update.with_id(command_id(text)?);
    }
    Ok(update)
}

fn cleared(mut update: TaskUpdate, fields: &[Cleared]) -> TaskUpdate {
    for field in fields {
        update = match field {
            Cleared::Description => update.description(""),
            Cleared::AssignedTo => update.assigned_to(None),
            Cleared::DependsOn => update.depends_on([]),
            Cleared::Mission => update.mission(None),
            Cleared::Tags => update.tags([""; 0]),
            Cleared::Due => update.due_at(None),
        };
    }
    update
}
