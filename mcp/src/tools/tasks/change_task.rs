//! What becomes of a task that is there: `claim_task`, `release_task`, `block_task`, `complete_task`, `fail_task`,
//! `cancel_task`, `add_dependency`.

use super::command;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::registry::{Effect, Tool};
use crate::tasks::Saved;
use postroad_client::{ClientError, TaskStep};
use postroad_protocol::command::{Command, TaskAct, TaskCommand};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Arguments of `claim_task`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimArgs {
    task_id: String,
    /// 1 second to 7 days; without, it stays yours until you release it
    lease_ms: Option<i64>,
    if_version: Option<u64>,
}

/// A task, and a word about it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotedArgs {
    task_id: String,
    note: Option<String>,
    if_version: Option<u64>,
}

/// A task, and why.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReasonedArgs {
    task_id: String,
    reason: String,
    if_version: Option<u64>,
}

/// Arguments of `add_dependency`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DependencyArgs {
    task_id: String,
    /// taskId of the task to be done before
    depends_on: String,
    if_version: Option<u64>,
}

/// `claim_task`.
pub(crate) struct ClaimTask;

impl Tool for ClaimTask {
    const NAME: &'static str = "claim_task";
    const TITLE: &'static str = "Claim a task";
    const ABOUT: &'static str = "Take a task before you work on it: of several who try exactly one gets \
        it, the others are told who. With leaseMs it is given back unless you claim it again in time.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = ClaimArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: ClaimArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Claimed", &args).await
    }
}

/// `release_task`.
pub(crate) struct ReleaseTask;

impl Tool for ReleaseTask {
    const NAME: &'static str = "release_task";
    const TITLE: &'static str = "Release a task";
    const ABOUT: &'static str = "Gives a claimed task back: it is todo again, for others to claim. Say in note how far it is.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = NotedArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: NotedArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Released", &args).await
    }
}

/// `block_task`.
pub(crate) struct BlockTask;

impl Tool for BlockTask {
    const NAME: &'static str = "block_task";
    const TITLE: &'static str = "Block a task";
    const ABOUT: &'static str = "Says that something which is no task keeps a task from going on. You \
        keep your claim; claim_task goes on.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = ReasonedArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: ReasonedArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Blocked", &args).await
    }
}

/// `complete_task`.
pub(crate) struct CompleteTask;

impl Tool for CompleteTask {
    const NAME: &'static str = "complete_task";
    const TITLE: &'static str = "Complete a task";
    const ABOUT: &'static str = "The task that you claimed, or one in review, is done, for good. Say in \
        note what came of it. What waited for it alone is ready now.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = NotedArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: NotedArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Completed", &args).await
    }
}

/// `fail_task`.
pub(crate) struct FailTask;

impl Tool for FailTask {
    const NAME: &'static str = "fail_task";
    const TITLE: &'static str = "Fail a task";
    const ABOUT: &'static str = "The task that you claimed, or one in review, came to nothing. What waits for it keeps waiting.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = ReasonedArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: ReasonedArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Failed", &args).await
    }
}

/// `cancel_task`.
pub(crate) struct CancelTask;

impl Tool for CancelTask {
    const NAME: &'static str = "cancel_task";
    const TITLE: &'static str = "Cancel a task";
    const ABOUT: &'static str =
        "A task is not wanted any more. update_task with status todo reopens it.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = ReasonedArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: ReasonedArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Cancelled", &args).await
    }
}

/// `add_dependency`.
pub(crate) struct AddDependency;

impl Tool for AddDependency {
    const NAME: &'static str = "add_dependency";
    const TITLE: &'static str = "Add a dependency";
    const ABOUT: &'static str =
        "Has a task that is todo or blocked wait until another one is done too.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = DependencyArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: DependencyArgs) -> Result<Answer<Saved>, ClientError> {
        change(caller, Self::NAME, "Dependency added", &args).await
    }
}

/// Carries out what the tool `verb` says of a task.
async fn change(
    caller: &Caller,
    verb: &str,
    what: &str,
    args: &(impl Serialize + Sync),
) -> Result<Answer<Saved>, ClientError> {
    let read = command(verb, args)?;
    let Command::Task(TaskCommand::Change(change)) = read.command else {
        unreachable!("what names a task reads as a change of one")
    };
    let mut step = TaskStep::new(change.task).with_id(read.id);
    if let Some(version) = change.if_version {
        step = step.if_version(version);
    }
    let client = caller.client();
    let saved = match change.act {
        TaskAct::Claim { lease_ms } => {
            let lease = lease_ms.map(Duration::from_millis);
            client.claim_task(step, lease).await
        }
        TaskAct::Release { note } => client.release_task(step, note.as_deref()).await,
        TaskAct::Block { reason } => client.block_task(step, &reason).await,
        TaskAct::Complete { note } => client.complete_task(step, note.as_deref()).await,
        TaskAct::Fail { reason } => client.fail_task(step, &reason).await,
        TaskAct::Cancel { reason } => client.cancel_task(step, &reason).await,
        TaskAct::AddDependency { on } => client.add_dependency(step, on).await,
        TaskAct::Update(_) => unreachable!("an update has a tool of its own"),
    };
    let (saved, text) = Saved::told(what, &saved?);
    Ok(Answer::new(saved, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::{ErrorCode, Refusal};
    use serde_json::{Value, json};

    const ID: &str = "01890000-0000-7000-8000-000000000001";

    fn refusal<A: Serialize + serde::de::DeserializeOwned>(verb: &str, args: Value) -> Refusal {
        let args: A = serde_json::from_value(args).unwrap();
        command(verb, &args).unwrap_err()
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused_with_the_same_field() {
        let long = "x".repeat(2 * 1024 + 1);
        for (lease, is_refused) in [(-1, true), (999, true), (1_000, false), (i64::MAX, true)] {
            let args: ClaimArgs =
                serde_json::from_value(json!({"taskId": ID, "leaseMs": lease})).unwrap();
            let read = command("claim_task", &args);
            assert_eq!(read.is_err(), is_refused, "{lease}");
            if let Err(refusal) = read {
                assert_eq!(refusal.field.as_deref(), Some("leaseMs"));
            }
        }
        let note = json!({"taskId": ID, "note": long});
        let too_long = refusal::<NotedArgs>("complete_task", note);
        assert_eq!(
            (too_long.code, too_long.field.as_deref()),
            (ErrorCode::TooLarge, Some("note"))
        );
        for verb in ["block_task", "fail_task", "cancel_task"] {
            let empty = refusal::<ReasonedArgs>(verb, json!({"taskId": ID, "reason": " "}));
            assert_eq!(empty.field.as_deref(), Some("reason"), "{verb}");
            let nobodys = refusal::<ReasonedArgs>(verb, json!({"taskId": "mine", "reason": "x"}));
            assert_eq!(
                (nobodys.code, nobodys.field.as_deref()),
                (ErrorCode::NotFound, Some("taskId"))
            );
        }
        let nothing = json!({"taskId": ID, "dependsOn": "mine"});
        let nothing = refusal::<DependencyArgs>("add_dependency", nothing);
        assert_eq!(nothing.field.as_deref(), Some("dependsOn"));
    }
}
