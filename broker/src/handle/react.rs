//! What follows from how tasks stand, as projectors see it: a claim that was not renewed ends, and whoever is to do a task is
//! told once everything is done that it waited for. Any number of projectors may ask for it, however often: it is stored once.

use super::look::{Last, Whom};
use super::task::no_task;
use super::{ATTEMPTS, Handler};
use crate::aggregate::task::{expire, ready_message};
use crate::error::AppendError;
use crate::event_log::Draft;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Asked, Event, EventKey, TaskChange, TaskChanged};
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::position::Position;
use postroad_protocol::service::{lease_expired_id, task_ready_id};
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::task::{TaskId, TaskState};
use postroad_protocol::tenancy::TenantScope;
use std::sync::Arc;

impl Handler {
    /// Ends the claim that `task` has in `version`, if it has run out by `time`. Says where what was stored last of the task
    /// is.
    pub(super) async fn expire_lease(
        &self,
        scope: &TenantScope,
        shard: u16,
        (task, version): (TaskId, u64),
        time: TimeMs,
    ) -> Result<Position, Refusal> {
        self.expect_resumed(scope)?;
        for _ in 0..ATTEMPTS {
            let (last, state) = self.last_state(scope, shard, task).await?;
            let Some(state) = expire(&state, version, time) else {
                return Ok(last.position);
            };
            let event = TaskChanged {
                task_id: task,
                change: TaskChange::LeaseExpired,
                asked: Asked::of(&(task, version)),
                state,
            };
            let id = lease_expired_id(task, version);
            let draft = Draft {
                expected_last: Some(last.position.sequence),
                ..by_itself(scope, shard, id, event.into(), time)
            };
            match self.append(draft).await {
                Ok(appended) => return Ok(appended.position),
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("observation")),
            }
        }
        Err(AppendError::Superseded.refusal("observation"))
    }

    /// Tells whoever is to do `task` that it waits for nothing any more, since the event `cause`. Says where that is stored;
    /// where nobody is to be told, where what was stored last of the task is.
    pub(super) async fn tell_ready(
        &self,
        scope: &TenantScope,
        shard: u16,
        (task, cause): (TaskId, EventKey),
        time: TimeMs,
    ) -> Result<Position, Refusal> {
        self.expect_resumed(scope)?;
        let id = task_ready_id(task, cause);
        let key = EventKey::of(&Actor::System, id);
        let (last, state) = self.last_state(scope, shard, task).await?;
        // What was told stays told, whatever the task is called by now.
        let told = async || {
            let sequence = self.ask.event(Some(scope), key).await?;
            Ok::<_, Refusal>(sequence.map(|sequence| Position {
                sequence,
                ..last.position
            }))
        };
        if let Some(position) = told().await? {
            return Ok(position);
        }
        let Some(message) = ready_message(task, &state) else {
            return Ok(last.position);
        };
        let draft = by_itself(scope, shard, id, message.into(), time);
        match self.append(draft).await {
            Ok(appended) => {
                self.ring(scope, id, &appended).await;
                Ok(appended.position)
            }
            // Somebody told it just now, when the task was called something else.
            Err(AppendError::Conflict) => told()
                .await?
                .ok_or_else(|| AppendError::Conflict.refusal("observation")),
            Err(error) => Err(error.refusal("observation")),
        }
    }

    /// How a task stands, as the stream's leader has it.
    async fn last_state(
        &self,
        scope: &TenantScope,
        shard: u16,
        task: TaskId,
    ) -> Result<(Last, TaskState), Refusal> {
        let aggregate = AggregateKey::Task(task);
        let last = self.last_of(scope, shard, &aggregate, Whom::Leader).await?;
        let last = last.ok_or_else(no_task)?;
        let state = match &last.record.event {
            Event::TaskChanged(changed) => changed.state.clone(),
            _ => return Err(no_task()),
        };
        Ok((last, state))
    }
}

/// What stores `event` of the tenant in `scope`, which nobody asked for.
fn by_itself(scope: &TenantScope, shard: u16, id: CommandId, event: Event, time: TimeMs) -> Draft {
    Draft {
        owner: Some(scope.clone()),
        shard,
        id,
        by: Actor::System,
        event: Arc::new(event),
        time,
        traceparent: None,
        expected_last: None,
    }
}
