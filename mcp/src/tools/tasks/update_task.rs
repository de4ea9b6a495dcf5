//! `update_task`: having a task say, or stand, otherwise.

use super::{command, project};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::registry::{Effect, Tool};
use crate::tasks::Saved;
use postroad_client::{ClientError, TaskUpdate};
use postroad_protocol::Refusal;
use postroad_protocol::command::{Command, TaskAct, TaskCommand, TaskPatch};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `update_task`.
pub(crate) struct UpdateTask;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    task_id: String,
    title: Option<String>,
    description: Option<String>,
    project: Option<String>,
    #[schemars(extend("enum" = ["urgent", "high", "medium", "low"]))]
    priority: Option<String>,
    /// Back from review: `in_progress`. Reopens a failed or cancelled one: todo
    #[schemars(extend("enum" = ["todo", "in_progress", "review"]))]
    status: Option<String>,
    /// A role; "" for nobody
    assigned_to: Option<String>,
    assigned_to_instance_id: Option<String>,
    /// All of them; [] for none
    depends_on: Option<Vec<String>>,
    /// "" for none
    mission_id: Option<String>,
    /// All of them; [] for none
    tags: Option<Vec<String>>,
    /// 0: never
    due_at: Option<i64>,
    /// One more
    note: Option<String>,
    /// Only while it has this version
    if_version: Option<u64>,
}

impl Tool for UpdateTask {
    const NAME: &'static str = "update_task";
    const TITLE: &'static str = "Update a task";
    const ABOUT: &'static str = "Changes what a task says, whose it is or how it stands: what you name is \
        set, the rest stays. status review: your part is done, somebody has to look.";
    const SCOPE: Scope = Scope::Tasks;
    // The same note again is one more.
    const EFFECT: Effect = Effect::Adds;
    type Args = Args;
    type Output = Saved;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Saved>, ClientError> {
        let update = update(caller, &args)?;
        let saved = caller.client().update_task(&update).await?;
        let (saved, text) = Saved::told("Updated", &saved);
        Ok(Answer::new(saved, text))
    }
}

fn update(caller: &Caller, args: &Args) -> Result<TaskUpdate, Refusal> {
    let read = command(UpdateTask::NAME, args)?;
    let Command::Task(TaskCommand::Change(change)) = read.command else {
        unreachable!("what names a task reads as a change of one")
    };
    let TaskAct::Update(patch) = change.act else {
        unreachable!("the body of an update reads as an update")
    };
    let mut update = TaskUpdate::new(change.task).with_id(read.id);
    if let Some(version) = change.if_version {
        update = update.if_version(version);
    }
    if let Some(wanted) = &patch.project {
        update = update.project(project(caller, wanted)?);
    }
    Ok(patched(update, *patch))
}

/// With all that the patch sets but the project.
fn patched(mut update: TaskUpdate, patch: TaskPatch) -> TaskUpdate {
    if let Some(title) = patch.title {
        update = update.title(title);
    }
    if let Some(description) = patch.description {
        update = update.description(description);
    }
    if let Some(priority) = patch.priority {
        update = update.priority(priority);
    }
    if let Some(status) = patch.status {
        update = update.status(status);
    }
    if let Some(assignee) = patch.assigned_to {
        update = update.assigned_to(assignee);
    }
    if let Some(all) = patch.depends_on {
        update = update.depends_on(all);
    }
    if let Some(mission) = patch.mission {
        update = update.mission(mission);
    }
    if let Some(tags) = patch.tags {
        update = update.tags(tags);
    }
    if let Some(time) = patch.due_at {
        update = update.due_at(time);
    }
    match patch.note {
        Some(note) => update.note(note),
        None => update,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::TimeMs;
    use serde_json::{Value, json};

    const ID: &str = "01890000-0000-7000-8000-000000000001";

    fn read(args: Value) -> Result<Box<TaskPatch>, Refusal> {
        let args: Args = serde_json::from_value(args).unwrap();
        match command("update_task", &args)?.command {
            Command::Task(TaskCommand::Change(change)) => match change.act {
                TaskAct::Update(patch) => Ok(patch),
                act => panic!("{act:?}"),
            },
            command => panic!("{command:?}"),
        }
    }

    #[test]
    fn an_update_says_what_it_changes_and_takes_away() {
        let patch = read(json!({
            "taskId": ID, "title": "y", "description": "", "priority": "low", "status": "review", "assignedTo": "",
            "dependsOn": [], "missionId": "", "tags": [], "dueAt": 0, "note": "seen"
        }));
        let id = postroad_protocol::command::read_task_id(ID).unwrap();
        let written = format!("{:?}", patched(TaskUpdate::new(id), *patch.unwrap()));
        for part in [
            "title: Some(\"y\")",
            "description: Some(\"\")",
            "priority: Some(\"low\")",
            "status: Some(\"review\")",
            "assigned_to: Some(\"\")",
            "depends_on: Some([])",
            "mission_id: Some(\"\")",
            "tags: Some([])",
            "due_at: Some(0)",
            "note: Some(\"seen\")",
        ] {
            assert!(written.contains(part), "{part}: {written}");
        }
        let time = Some(Some(TimeMs(5)));
        assert_eq!(
            read(json!({"taskId": ID, "dueAt": 5})).unwrap().due_at,
            time
        );
    }

    #[test]
    fn an_update_of_nothing_and_to_a_state_with_a_tool_of_its_own_are_refused() {
        let nothing = read(json!({"taskId": ID})).unwrap_err();
        assert_eq!(nothing.field.as_deref(), Some("title"));
        let done = read(json!({"taskId": ID, "status": "done"})).unwrap_err();
        assert_eq!(done.field.as_deref(), Some("status"));
        assert!(done.remedy.contains("complete_task"), "{}", done.remedy);
    }
}
