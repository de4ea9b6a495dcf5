//! `list_tasks` and `get_task`.

use super::{Page, project, query};
use crate::answer::{Answer, ROWS_MAX_BYTES, fitting, row_cost};
use crate::args;
use crate::caller::Caller;
use crate::parts;
use crate::registry::{Effect, Tool};
use crate::tasks::{NOTICE, Part, Shown, each_task, line, part, whole_task};
use crate::tools::STALE;
use postroad_client::{ClientError, TaskList};
use postroad_protocol::Refusal;
use postroad_protocol::command::read_task_id;
use postroad_protocol::query::{Query, Task, Tasks};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `list_tasks`.
pub(crate) struct ListTasks;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListArgs {
    project: Option<String>,
    /// A role
    assigned_to: Option<String>,
    assigned_to_instance_id: Option<String>,
    /// open, or todo, `in_progress`, review, blocked, done, failed, cancelled; several with commas
    status: Option<String>,
    mission_id: Option<String>,
    #[schemars(extend("enum" = ["urgent", "high", "medium", "low"]))]
    priority: Option<String>,
    /// Only what can be claimed now
    ready: Option<bool>,
    /// 1 to 200, by default 20
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    #[schemars(schema_with = "each_task")]
    tasks: Vec<Task>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for ListTasks {
    const NAME: &'static str = "list_tasks";
    const TITLE: &'static str = "List tasks";
    const ABOUT: &'static str = "Tasks of your tenant, the most urgent first, then the oldest. To find \
        work: assignedTo your role and ready; status open leaves out what has ended.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Reads;
    type Args = ListArgs;
    type Output = Listed;

    async fn call(caller: &Caller, args: ListArgs) -> Result<Answer<Listed>, ClientError> {
        let mut wanted = wanted(caller, &args)?;
        loop {
            let answer = caller.client().list_tasks(&wanted).await?;
            let costs = answer.tasks.iter().map(|task| row_cost(task, &line(task)));
            let fits = fitting(costs, ROWS_MAX_BYTES);
            if fits == answer.tasks.len() {
                return Ok(told(answer));
            }
            // Once more with as many as fit, so that the cursor is the one behind the last that is shown.
            wanted = wanted.limit(u32::try_from(fits).unwrap_or(1));
        }
    }
}

fn wanted(caller: &Caller, args: &ListArgs) -> Result<TaskList, Refusal> {
    let limit = args::limit(args.limit)?;
    let read = query(ListTasks::NAME, args)?;
    let Query::ListTasks(read) = read else {
        unreachable!("the body of a list reads as a list")
    };
    let mut wanted = TaskList::default();
    if let Some(limit) = limit {
        wanted = wanted.limit(limit);
    }
    if let Some(of) = &read.project {
        wanted = wanted.project(project(caller, of)?);
    }
    if let Some(assignee) = read.assigned_to {
        wanted = wanted.assigned_to(assignee);
    }
    for status in read.statuses {
        wanted = wanted.status(status);
    }
    if let Some(mission) = read.mission {
        wanted = wanted.mission(mission);
    }
    if let Some(priority) = read.priority {
        wanted = wanted.priority(priority);
    }
    if read.ready {
        wanted = wanted.ready();
    }
    Ok(match &args.cursor {
        Some(cursor) => wanted.after(cursor),
        None => wanted,
    })
}

fn told(answer: Tasks) -> Answer<Listed> {
    let page = Page {
        what: "Tasks",
        tool: ListTasks::NAME,
        count: answer.tasks.len(),
        truncated: answer.truncated,
        next_cursor: answer.next_cursor.as_deref(),
        stale: answer.stale,
    };
    let text = page.text(answer.tasks.iter().map(line));
    let listed = Listed {
        notice: (!answer.tasks.is_empty()).then_some(NOTICE),
        tasks: answer.tasks,
        truncated: answer.truncated,
        next_cursor: answer.next_cursor,
        stale: answer.stale,
    };
    Answer::new(listed, text)
}

/// `get_task`.
pub(crate) struct GetTask;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetArgs {
    task_id: String,
    /// nextContentOffset of an earlier answer: its description from there on
    content_offset: Option<i64>,
    /// Its notes but for so many of the newest
    skip_notes: Option<u32>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct One {
    notice: &'static str,
    #[schemars(schema_with = "whole_task")]
    task: Shown,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for GetTask {
    const NAME: &'static str = "get_task";
    const TITLE: &'static str = "Get a task";
    const ABOUT: &'static str = "One task, with its description and what was last said of it. What is too \
        long for one answer comes in parts.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Reads;
    type Args = GetArgs;
    type Output = One;

    async fn call(caller: &Caller, args: GetArgs) -> Result<Answer<One>, ClientError> {
        let id = read_task_id(&args.task_id)?;
        let one = caller.client().get_task(id).await?;
        let described = one.task.description.as_deref().unwrap_or_default();
        let wanted = match (args.content_offset, args.skip_notes) {
            (None | Some(0), None) => Part::Beginning,
            (None, Some(skipped)) => Part::Notes(usize::try_from(skipped).unwrap_or(usize::MAX)),
            (offset, _) => Part::Description(parts::offset(offset, described)?),
        };
        let (task, mut text) = part(&one.task, wanted);
        if one.stale {
            text.push_str(STALE);
        }
        let one = One {
            notice: NOTICE,
            task,
            stale: one.stale,
        };
        Ok(Answer::new(one, text))
    }
}
