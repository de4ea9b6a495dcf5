//! Tasks and missions: what agents have to do, who does it, and the operator's view of it.
//!
//! Owns how these are asked. Decides nothing of what may become of a task.
//!
//! | module | owns |
//! |---|---|
//! | `written` | what is to become of a task |
//! | `asked` | which tasks are listed |
//! | `missions` | all of that, for missions |

mod asked;
mod missions;
mod written;

pub use asked::TaskList;
pub use missions::{MissionList, MissionUpdate, NewMission};
pub use written::{NewTask, TaskStep, TaskUpdate};

use crate::client::{Client, Verb};
use crate::error::ClientError;
use crate::operator::{Operator, over};
use postroad_protocol::TenantId;
use postroad_protocol::command::{TaskSaved, wire as command};
use postroad_protocol::query::{OneTask, Tasks, wire as query};
use postroad_protocol::task::TaskId;
use postroad_protocol::tenancy::Scope;
use serde::Serialize;
use std::time::Duration;

impl Client {
    /// Creates a task. When this returns, it is stored as durably as the deployment promises, and the
    /// next question of this client finds it.
    ///
    /// ```no_run
    /// # async fn work(client: postroad_client::Client) -> Result<(), postroad_client::ClientError> {
    /// use postroad_client::NewTask;
    /// use std::time::Duration;
    ///
    /// let task = NewTask::new("Make the hero image smaller").project("landing-page");
    /// let task = client.create_task(&task).await?.task_id;
    /// // Nobody else gets it, unless nothing is heard of this agent for ten minutes.
    /// client.claim_task(task, Some(Duration::from_secs(600))).await?;
    /// client.complete_task(task, Some("180 KB now")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::OutcomeUnknown`] create the same one again.
    pub async fn create_task(&self, task: &NewTask) -> Result<TaskSaved, ClientError> {
        let verb = self.own(Scope::Tasks, "create_task")?;
        self.command(verb, task.id(), &task.wire()).await
    }

    /// Takes a task on, or goes on with it. Of several who try one gets it. With a lease, of 1 second to
    /// 7 days, the task goes back to `todo` unless it is claimed again before the lease is over.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when somebody else has it, when it is somebody else's or waits for other
    /// tasks, and when it has ended.
    pub async fn claim_task(
        &self,
        task: impl Into<TaskStep>,
        lease: Option<Duration>,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        // What is too long for an i64 is refused, as eight days are.
        let ms = |lease: Duration| i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let body = command::ClaimTask {
            task_id: step.task.to_string(),
            lease_ms: lease.map(ms),
            if_version: step.if_version,
            command_id: Some(step.id().to_string()),
        };
        self.step("claim_task", step, &body).await
    }

    /// Gives a task back: it is `todo` again, and nobody's claim.
    ///
    /// # Errors
    /// [`ClientError`]; `permission_denied` for whoever neither claimed it nor has its creator's role.
    pub async fn release_task(
        &self,
        task: impl Into<TaskStep>,
        note: Option<&str>,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        self.step("release_task", step, &step.noted(note)).await
    }

    /// Has a task say, or stand, otherwise from now on.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when its state does not take that, or it has another version.
    pub async fn update_task(&self, update: &TaskUpdate) -> Result<TaskSaved, ClientError> {
        let verb = self.own(Scope::Tasks, "update_task")?;
        let saved: TaskSaved = self.command(verb, update.id(), &update.wire()).await?;
        expect(update.task, saved.task_id)?;
        Ok(saved)
    }

    /// Has a task wait until one more is done.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when the two would wait for each other.
    pub async fn add_dependency(
        &self,
        task: impl Into<TaskStep>,
        depends_on: TaskId,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        let body = command::AddDependency {
            task_id: step.task.to_string(),
            depends_on: depends_on.to_string(),
            if_version: step.if_version,
            command_id: Some(step.id().to_string()),
        };
        self.step("add_dependency", step, &body).await
    }

    /// Says that something which is no task keeps a task from going on.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when somebody else works on it, or it has ended.
    pub async fn block_task(
        &self,
        task: impl Into<TaskStep>,
        reason: &str,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        self.step("block_task", step, &step.reasoned(reason)).await
    }

    /// Says that a task is done. Tasks that waited for it alone are ready from now on.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when it is not the caller's, or has ended.
    pub async fn complete_task(
        &self,
        task: impl Into<TaskStep>,
        note: Option<&str>,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        self.step("complete_task", step, &step.noted(note)).await
    }

    /// Says that a task came to nothing.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when it is not the caller's, or has ended.
    pub async fn fail_task(
        &self,
        task: impl Into<TaskStep>,
        reason: &str,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        self.step("fail_task", step, &step.reasoned(reason)).await
    }

    /// Says that a task is not wanted any more.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when it has ended.
    pub async fn cancel_task(
        &self,
        task: impl Into<TaskStep>,
        reason: &str,
    ) -> Result<TaskSaved, ClientError> {
        let step = task.into();
        self.step("cancel_task", step, &step.reasoned(reason)).await
    }

    /// One task, with its description and its last notes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_task(&self, task: TaskId) -> Result<OneTask, ClientError> {
        let verb = self.own(Scope::Tasks, "get_task")?;
        self.ask_task(verb, task).await
    }

    /// Tasks, the most urgent first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_tasks(&self, wanted: &TaskList) -> Result<Tasks, ClientError> {
        let verb = self.own(Scope::Tasks, "list_tasks")?;
        self.query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    async fn step(
        &self,
        name: &'static str,
        step: TaskStep,
        body: &impl Serialize,
    ) -> Result<TaskSaved, ClientError> {
        let verb = self.own(Scope::Tasks, name)?;
        let saved: TaskSaved = self.command(verb, step.id(), body).await?;
        expect(step.task, saved.task_id)?;
        Ok(saved)
    }

    async fn ask_task(&self, verb: Verb<'_>, task: TaskId) -> Result<OneTask, ClientError> {
        let asked = self.query(verb, Duration::ZERO, |reading| query::GetTask {
            task_id: task.to_string(),
            position: reading.position,
            fresh: reading.fresh,
        });
        let one: OneTask = asked.await?;
        expect(task, one.task.task_id)?;
        Ok(one)
    }
}

fn expect<Id: Copy + PartialEq + std::fmt::Display>(
    asked: Id,
    answered: Id,
) -> Result<(), ClientError> {
    if asked == answered {
        return Ok(());
    }
    Err(ClientError::BadAnswer {
        reason: format!("{asked} was asked for, {answered} was answered"),
    })
}

impl Operator<'_> {
    /// One task of a tenant, which is told so in its own log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_task(&self, tenant: &TenantId, task: TaskId) -> Result<OneTask, ClientError> {
        let verb = over(Some(tenant), Scope::Tasks, "get_task");
        self.client.ask_task(verb, task).await
    }

    /// Tasks of one tenant, or of all in order of name; told and paged as
    /// [`list_messages`](Self::list_messages) is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_tasks(
        &self,
        tenant: Option<&TenantId>,
        wanted: &TaskList,
    ) -> Result<Tasks, ClientError> {
        let verb = over(tenant, Scope::Tasks, "list_tasks");
        self.client
            .query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }
}
