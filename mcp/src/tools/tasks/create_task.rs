//! `create_task`: work for an agent, or for whoever claims it.

use super::{command, project};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::registry::{Effect, Tool};
use crate::tasks::Saved;
use postroad_client::{ClientError, NewTask};
use postroad_protocol::Refusal;
use postroad_protocol::command::{Command, TaskCommand};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `create_task`.
pub(crate) struct CreateTask;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// One line, at most 256 bytes
    title: String,
    /// At most 16 KiB
    description: Option<String>,
    /// studio/{your tenant} (the default), or a slug
    project: Option<String>,
    /// By default medium
    #[schemars(extend("enum" = ["urgent", "high", "medium", "low"]))]
    priority: Option<String>,
    /// A role; by default whoever claims it
    assigned_to: Option<String>,
    /// Only this instance of it
    assigned_to_instance_id: Option<String>,
    /// taskIds to be done before
    depends_on: Option<Vec<String>>,
    mission_id: Option<String>,
    tags: Option<Vec<String>>,
    /// Milliseconds since 1970
    due_at: Option<i64>,
    note: Option<String>,
    /// A UUID of your own: sent again with the same one it is stored once
    command_id: Option<String>,
}

impl Tool for CreateTask {
    const NAME: &'static str = "create_task";
    const TITLE: &'static str = "Create a task";
    const ABOUT: &'static str = "Puts down work, for the agent in assignedTo or for whoever claims it. An \
        assignee is sent a message when all that it depends on is done. Try again after outcome_unknown only \
        with the commandId that the error names.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Adds;
    type Args = Args;
    type Output = Saved;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Saved>, ClientError> {
        let task = new_task(caller, &args)?;
        let saved = caller.client().create_task(&task).await?;
        let (saved, text) = Saved::told("Created", &saved);
        Ok(Answer::new(saved, text))
    }
}

fn new_task(caller: &Caller, args: &Args) -> Result<NewTask, Refusal> {
    let read = command(CreateTask::NAME, args)?;
    let Command::Task(TaskCommand::Create(wanted)) = read.command else {
        unreachable!("the body of a task reads as a task")
    };
    let mut task = NewTask::new(wanted.title)
        .description(wanted.description)
        .priority(wanted.priority)
        .with_id(read.id);
    if let Some(wanted) = &wanted.project {
        task = task.project(project(caller, wanted)?);
    }
    if let Some(assignee) = wanted.assigned_to {
        task = task.assigned_to(assignee);
    }
    for before in wanted.depends_on {
        task = task.depends_on(before);
    }
    if let Some(mission) = wanted.mission {
        task = task.mission(mission);
    }
    for tag in wanted.tags {
        task = task.tag(tag);
    }
    if let Some(time) = wanted.due_at {
        task = task.due_at(time);
    }
    if let Some(note) = wanted.note {
        task = task.note(note);
    }
    Ok(task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::ErrorCode;
    use serde_json::{Value, json};

    #[test]
    fn what_a_broker_would_refuse_is_refused_with_the_same_field() {
        let refusal = |change: Value| {
            let mut args = json!({"title": "x"});
            for (field, value) in change.as_object().unwrap() {
                args[field] = value.clone();
            }
            let args: Args = serde_json::from_value(args).unwrap();
            command("create_task", &args).unwrap_err()
        };
        for (change, field) in [
            (json!({"title": " "}), "title"),
            (json!({"title": "a\nb"}), "title"),
            (
                json!({"description": "x".repeat(16 * 1024 + 1)}),
                "description",
            ),
            (json!({"project": "team/a"}), "project"),
            (json!({"priority": "normal"}), "priority"),
            (json!({"assignedTo": "a b"}), "assignedTo"),
            (
                json!({"assignedToInstanceId": "mac"}),
                "assignedToInstanceId",
            ),
            (json!({"tags": [""]}), "tags"),
            (json!({"dueAt": -1}), "dueAt"),
            (json!({"note": "x".repeat(2 * 1024 + 1)}), "note"),
            (json!({"commandId": "mine"}), "commandId"),
        ] {
            assert_eq!(
                refusal(change.clone()).field.as_deref(),
                Some(field),
                "{change}"
            );
        }
        for (change, field) in [
            (json!({"dependsOn": ["mine"]}), "dependsOn"),
            (json!({"missionId": "mine"}), "missionId"),
        ] {
            let refusal = refusal(change);
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::NotFound, Some(field))
            );
        }
    }
}
