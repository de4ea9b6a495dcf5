//! Which tasks are meant: filters of a list. Asks nothing.

use super::written::given;
use crate::queries::Page;
use postroad_protocol::query::wire as query;
use postroad_protocol::task::{Assignee, MissionId, TaskPriority, TaskStatus};

/// Which tasks to list, the most urgent first and of those the oldest. [`TaskList::default`] asks for the first 20 of
/// all, those that have ended too.
///
/// ```
/// use postroad_client::TaskList;
///
/// let wanted = TaskList::default().project("landing-page").ready();
/// # drop(wanted);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TaskList {
    page: Page,
    project: Option<String>,
    assigned_to: Option<Assignee>,
    statuses: Vec<TaskStatus>,
    mission: Option<MissionId>,
    priority: Option<TaskPriority>,
    ready: bool,
}

impl TaskList {
    /// At most so many tasks: 1 to 200, 20 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.page = self.page.limit(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.page = self.page.after(cursor);
        self
    }

    /// Only of this project.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Only given to this role or claimed by it; with an instance, given to that alone or claimed by it.
    pub fn assigned_to(mut self, assignee: Assignee) -> Self {
        self.assigned_to = Some(assignee);
        self
    }

    /// Only in this state; called again, in that one as well.
    pub fn status(mut self, status: TaskStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Only those that have not ended.
    pub fn open(mut self) -> Self {
        let open = TaskStatus::ALL.iter().filter(|status| !status.has_ended());
        self.statuses.extend(open);
        self
    }

    /// Only of this mission.
    pub fn mission(mut self, mission: MissionId) -> Self {
        self.mission = Some(mission);
        self
    }

    /// Only of this priority.
    pub fn priority(mut self, priority: TaskPriority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Only those that can be claimed now.
    pub fn ready(mut self) -> Self {
        self.ready = true;
        self
    }

    pub(super) fn wire(&self, reading: &query::Reading) -> query::ListTasks {
        let page = self.page.wire(reading);
        let words: Vec<&str> = self.statuses.iter().map(|status| status.word()).collect();
        let (role, instance) = match &self.assigned_to {
            None => (None, None),
            given_to => given(given_to.clone()),
        };
        query::ListTasks {
            limit: page.limit,
            cursor: page.cursor,
            project: self.project.clone(),
            assigned_to: role,
            assigned_to_instance_id: instance,
            status: (!words.is_empty()).then(|| words.join(",")),
            mission_id: self.mission.map(|mission| mission.to_string()),
            priority: self.priority.map(|priority| priority.word().to_owned()),
            ready: self.ready.then_some(true),
            position: page.position,
            fresh: page.fresh,
        }
    }
}
