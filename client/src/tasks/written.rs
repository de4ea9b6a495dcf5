//! What is to become of a task, with the id of its command from the start. Sends nothing.

use crate::times::{wire_end, wire_ms};
use postroad_protocol::command::wire as command;
use postroad_protocol::task::{Assignee, MissionId, TaskId, TaskPriority, TaskStatus};
use postroad_protocol::{CommandId, TimeMs};

/// A task that is still to be created.
///
/// The id of its command is made here, so creating the same one again, even after
/// [`crate::ClientError::OutcomeUnknown`] or from another process, creates one task.
///
/// ```
/// use postroad_client::NewTask;
/// use postroad_client::protocol::task::TaskPriority;
///
/// let task = NewTask::new("Make the hero image smaller")
///     .description("It must stay below 200 KB.")
///     .project("landing-page")
///     .priority(TaskPriority::High)
///     .tag("performance");
/// assert_eq!(task.id(), task.clone().id());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewTask {
    id: CommandId,
    body: command::CreateTask,
}

impl NewTask {
    /// One of the tenant's studio, of medium priority, for whoever claims it.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            id: CommandId::generate(),
            body: command::CreateTask {
                title: title.into(),
                ..command::CreateTask::default()
            },
        }
    }

    /// What it is at length.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.body.description = Some(description.into());
        self
    }

    /// Another project: a slug, or `studio/{tenant}`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.body.project = Some(project.into());
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: TaskPriority) -> Self {
        self.body.priority = Some(priority.word().to_owned());
        self
    }

    /// Only this role, or this instance of it, is to do it.
    pub fn assigned_to(mut self, assignee: Assignee) -> Self {
        let given = given(Some(assignee));
        (self.body.assigned_to, self.body.assigned_to_instance_id) = given;
        self
    }

    /// One task more that has to be done before.
    pub fn depends_on(mut self, task: TaskId) -> Self {
        let all = self.body.depends_on.get_or_insert_default();
        all.push(task.to_string());
        self
    }

    /// The mission that it is a part of.
    pub fn mission(mut self, mission: MissionId) -> Self {
        self.body.mission_id = Some(mission.to_string());
        self
    }

    /// One label more.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.body.tags.get_or_insert_default().push(tag.into());
        self
    }

    /// By when it is to be done.
    pub fn due_at(mut self, time: TimeMs) -> Self {
        self.body.due_at = Some(wire_ms(time));
        self
    }

    /// A first note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.body.note = Some(note.into());
        self
    }

    /// Creates it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is created. The task's own id follows from it and from who creates it.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub(super) fn wire(&self) -> command::CreateTask {
        command::CreateTask {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

/// What a task is to say from now on: what is named is set, the rest stays.
///
/// Like [`NewTask`] it has the id of its command from the start.
#[derive(Clone, Debug)]
#[must_use]
pub struct TaskUpdate {
    pub(super) task: TaskId,
    id: CommandId,
    body: command::UpdateTask,
}

impl TaskUpdate {
    /// Nothing yet, of this task.
    pub fn new(task: TaskId) -> Self {
        Self {
            task,
            id: CommandId::generate(),
            body: command::UpdateTask {
                task_id: task.to_string(),
                ..command::UpdateTask::default()
            },
        }
    }

    /// Another title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.body.title = Some(title.into());
        self
    }

    /// Another description; an empty text takes it away.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.body.description = Some(description.into());
        self
    }

    /// Another project.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.body.project = Some(project.into());
        self
    }

    /// Another priority.
    pub fn priority(mut self, priority: TaskPriority) -> Self {
        self.body.priority = Some(priority.word().to_owned());
        self
    }

    /// Another state: `todo`, `in_progress` or `review`. The others have calls of their own.
    pub fn status(mut self, status: TaskStatus) -> Self {
        self.body.status = Some(status.word().to_owned());
        self
    }

    /// To whom it is given; `None`: nobody.
    pub fn assigned_to(mut self, assignee: Option<Assignee>) -> Self {
        (self.body.assigned_to, self.body.assigned_to_instance_id) = given(assignee);
        self
    }

    /// All that has to be done before, from now on; none takes them away.
    pub fn depends_on(mut self, all: impl IntoIterator<Item = TaskId>) -> Self {
        let all = all.into_iter().map(|task| task.to_string());
        self.body.depends_on = Some(all.collect());
        self
    }

    /// Another mission; `None`: it is a part of none.
    pub fn mission(mut self, mission: Option<MissionId>) -> Self {
        let text = mission.map(|mission| mission.to_string());
        self.body.mission_id = Some(text.unwrap_or_default());
        self
    }

    /// All its labels from now on; none takes them away.
    pub fn tags<I: IntoIterator<Item: Into<String>>>(mut self, tags: I) -> Self {
        self.body.tags = Some(tags.into_iter().map(Into::into).collect());
        self
    }

    /// Another time by which it is to be done; `None`: no time.
    pub fn due_at(mut self, time: Option<TimeMs>) -> Self {
        self.body.due_at = Some(wire_end(time));
        self
    }

    /// One note more.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.body.note = Some(note.into());
        self
    }

    /// Only while the task has this version.
    pub fn if_version(mut self, version: u64) -> Self {
        self.body.if_version = Some(version);
        self
    }

    /// Sends it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is sent.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub(super) fn wire(&self) -> command::UpdateTask {
        command::UpdateTask {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

/// A task with which something is to happen, and the id of the command that says so.
///
/// A [`TaskId`] does for it where nothing else is to be said.
///
/// ```
/// use postroad_client::TaskStep;
/// use postroad_client::protocol::task::TaskId;
///
/// # let task = TaskId::from_bytes([7; 16]);
/// let step = TaskStep::new(task).if_version(3);
/// assert_eq!(step.id(), step.id());
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct TaskStep {
    pub(super) task: TaskId,
    pub(super) if_version: Option<u64>,
    id: CommandId,
}

impl TaskStep {
    /// With this task, whatever its version.
    pub fn new(task: TaskId) -> Self {
        Self {
            task,
            if_version: None,
            id: CommandId::generate(),
        }
    }

    /// Only while the task has this version.
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// Sends it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is sent.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub(super) fn noted(&self, note: Option<&str>) -> command::NotedTask {
        command::NotedTask {
            task_id: self.task.to_string(),
            note: note.map(str::to_owned),
            if_version: self.if_version,
            command_id: Some(self.id.to_string()),
        }
    }

    pub(super) fn reasoned(&self, reason: &str) -> command::ReasonedTask {
        command::ReasonedTask {
            task_id: self.task.to_string(),
            reason: reason.to_owned(),
            if_version: self.if_version,
            command_id: Some(self.id.to_string()),
        }
    }
}

impl From<TaskId> for TaskStep {
    fn from(task: TaskId) -> Self {
        Self::new(task)
    }
}

/// Role and instance, as bodies write them; nobody is an empty text.
pub(super) fn given(assignee: Option<Assignee>) -> (Option<String>, Option<String>) {
    match assignee {
        None => (Some(String::new()), None),
        Some(Assignee { role, instance }) => {
            (Some(role.to_string()), instance.map(|one| one.to_string()))
        }
    }
}
