//! Tasks: made, and changed by whoever may. What an act needs to know beyond the task itself is looked up here.

use super::look::Whom;
use super::stated::{Change, Settled, Writer};
use super::{Handler, Request};
use crate::aggregate::address::Place;
use crate::aggregate::mission::check_open;
use crate::aggregate::task::{
    Decided, Found, Needs, change, check_edges, create, needs_of_change, needs_of_creation,
};
use crate::answer::Answer;
use crate::ask::Currency;
use postroad_protocol::command::{ChangeTask, CreateTask, TaskCommand, TaskSaved};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Asked, Event, TaskChange, TaskChanged};
use postroad_protocol::id::{Reader, TimeMs};
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::task::{MissionId, TaskId, TaskState, TaskStatus};
use postroad_protocol::tenancy::TenantScope;

/// A change of one task.
struct ChangeOf<'a> {
    writer: &'a Writer<'a>,
    command: &'a ChangeTask,
    asked: Asked,
    time: TimeMs,
}

impl ChangeOf<'_> {
    fn event(&self, change: TaskChange, state: TaskState) -> Event {
        Event::from(TaskChanged {
            task_id: self.command.task,
            change,
            asked: self.asked,
            state,
        })
    }
}

impl Change for ChangeOf<'_> {
    fn aggregate(&self) -> AggregateKey {
        AggregateKey::Task(self.command.task)
    }

    fn absent(&self) -> Refusal {
        no_task()
    }

    fn attempt(&self, last: &Event) -> Option<Event> {
        let last = changed(last)?;
        Some(self.event(last.change, last.state.clone()))
    }

    async fn decide(&self, handler: &Handler, last: &Event) -> Result<Option<Event>, Refusal> {
        let Some(TaskChanged { state, .. }) = changed(last) else {
            return Err(no_task());
        };
        let Writer { scope, reader, .. } = self.writer;
        let (tenant, command, time) = (scope.tenant(), self.command, self.time);
        let needs = needs_of_change(tenant, state, command, reader, time)?;
        let waiting_on = if needs.done {
            handler.waiting_on(scope, command.task, state).await?
        } else {
            Vec::new()
        };
        handler
            .expect_needs(self.writer, Some(command.task), needs)
            .await?;
        let found = Found { waiting_on };
        match change(tenant, state, command, reader, time, &found)? {
            Decided::Changed { change, state } => Ok(Some(self.event(change, state))),
            Decided::Already => Ok(None),
        }
    }
}

impl Handler {
    /// Makes or changes a task.
    pub(super) async fn task(
        &self,
        request: &Request,
        command: TaskCommand,
    ) -> Result<Answer, Refusal> {
        let asked = command.asked();
        let writer = self.agent_writer(request).await?;
        let settled = match command {
            TaskCommand::Create(command) => {
                self.create_task(request, &writer, &command, asked).await?
            }
            TaskCommand::Change(command) => {
                let change = ChangeOf {
                    writer: &writer,
                    command: &command,
                    asked,
                    time: request.time,
                };
                self.change(request, &writer, &change).await?
            }
        };
        saved(&settled, writer.reader)
    }

    async fn create_task(
        &self,
        request: &Request,
        writer: &Writer<'_>,
        command: &CreateTask,
        asked: Asked,
    ) -> Result<Settled, Refusal> {
        let state = create(writer.scope.tenant(), command, &writer.by, request.time)?;
        let event = TaskChanged {
            task_id: TaskId::of(writer.key(request)),
            change: TaskChange::Created,
            asked,
            state,
        };
        let draft = writer.draft(request, event);
        let event = draft.event.clone();
        let decided = Box::pin(async {
            let needs = needs_of_creation(command);
            self.expect_needs(writer, None, needs).await?;
            self.expect_room(writer.scope, &writer.by, &event).await
        });
        let appended = self.store_decided(draft, "commandId", decided).await?;
        Ok(appended.into())
    }

    /// Refuses what a task, which is `task` where it is there already, is to be given and cannot be.
    async fn expect_needs(
        &self,
        writer: &Writer<'_>,
        task: Option<TaskId>,
        needs: Needs,
    ) -> Result<(), Refusal> {
        let (scope, shard) = (writer.scope, writer.shard);
        if let Some(to) = needs.assignee {
            let instance = to.instance.as_ref();
            self.expect_served(scope, shard, Place::Assignee, &to.role, instance)
                .await?;
        }
        if let Some(mission) = needs.mission {
            self.expect_open(scope, shard, mission).await?;
        }
        self.expect_edges(scope, task, needs.edges).await
    }

    /// Refuses a mission that is not there, or has ended. The leader is asked: whoever was told that it began, or ended, is
    /// not told otherwise.
    async fn expect_open(
        &self,
        scope: &TenantScope,
        shard: u16,
        mission: MissionId,
    ) -> Result<(), Refusal> {
        let aggregate = AggregateKey::Mission(mission);
        let last = self
            .last_of(scope, shard, &aggregate, Whom::Leader)
            .await?
            .map(|last| last.record.event);
        check_open(match &last {
            Some(Event::MissionChanged(changed)) => Some(&changed.state),
            _ => None,
        })
    }

    /// Refuses dependencies that `task` may not have, or a new task where it is not there yet. For one that is there the
    /// rows have to be as far as the log, so that no circle is overlooked.
    async fn expect_edges(
        &self,
        scope: &TenantScope,
        task: Option<TaskId>,
        edges: Vec<TaskId>,
    ) -> Result<(), Refusal> {
        if edges.is_empty() {
            return Ok(());
        }
        let decide = async |currency| {
            let asked = self.ask.tasks(scope, currency, task, edges.clone());
            let (_, standings) = asked.await?;
            check_edges(task, &edges, &standings)
        };
        if task.is_some() {
            return decide(Currency::Fresh).await;
        }
        // The rows may not have one yet, though its creator was already told of it.
        match decide(Currency::Any).await {
            Err(refusal) if !refusal.code.is_retryable() => decide(Currency::Fresh).await,
            decided => decided,
        }
    }

    /// The dependencies of `task` that count and are not done. What is done stays done, so rows that lag are believed where
    /// they say that of all.
    async fn waiting_on(
        &self,
        scope: &TenantScope,
        task: TaskId,
        state: &TaskState,
    ) -> Result<Vec<TaskId>, Refusal> {
        let look = async |currency| {
            let named = state.depends_on.clone();
            let (counted, standings) = self.ask.tasks(scope, currency, Some(task), named).await?;
            let named = state.depends_on.iter().zip(standings);
            let open = named.filter(|(_, standing)| {
                standing.is_none_or(|standing| standing.status != TaskStatus::Done)
            });
            let open: Vec<TaskId> = open.map(|(id, _)| *id).collect();
            Ok::<_, Refusal>((counted, open))
        };
        let (_, open) = look(Currency::Any).await?;
        if open.is_empty() {
            return Ok(open);
        }
        let (counted, mut open) = look(Currency::Fresh).await?;
        open.retain(|id| counted.contains(id));
        Ok(open)
    }
}

fn changed(event: &Event) -> Option<&TaskChanged> {
    match event {
        Event::TaskChanged(changed) => Some(changed),
        _ => None,
    }
}

/// There is no such task that the caller may know of.
pub(super) fn no_task() -> Refusal {
    Refusal::not_found("taskId", "task")
}

/// What `reader` is told.
fn saved(settled: &Settled, reader: &Reader) -> Result<Answer, Refusal> {
    let TaskChanged { task_id, state, .. } = changed(&settled.event).ok_or_else(no_task)?;
    let is_own = state
        .claim
        .as_ref()
        .is_some_and(|claim| claim.by == *reader);
    Ok(Answer::TaskSaved(TaskSaved {
        task_id: *task_id,
        status: state.status,
        version: state.version,
        lease_until: state.lease_until().filter(|_| is_own),
        position: settled.position,
        already: settled.already,
    }))
}
