//! `import_events`: the one command that stores several events. What makes that safe: each has had its id
//! since before, so a repeat of the command finds them; they are stored all or none, and only where
//! nothing else came to the tenant meanwhile. JetStream's memory of ids is not relied on.
//!
//! The command's own id names the whole import, and the event under it tells who made it.

use super::{ATTEMPTS, Handler, Request};
use crate::aggregate::import::{Plan, There, compare, holds_else, may_lie_between, plan};
use crate::answer::Answer;
use crate::error::{AppendError, no_tenant};
use crate::event_log::Draft;
use futures_util::{StreamExt, TryStreamExt};
use postroad_log::Opened;
use postroad_protocol::command::{ImportEvents, Imported};
use postroad_protocol::envelope::Record;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey, OperatorRead};
use postroad_protocol::id::InstanceId;
use postroad_protocol::limits::IMPORT_LOOKS_MAX;
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;
use std::sync::Arc;
use std::time::Duration;

/// Events that are read side by side, to be compared with those of the command.
const READS_AT_ONCE: usize = 32;
/// Pause before the tenant is looked at once more, where somebody else appended to it.
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of the events of a command.
struct Known {
    /// Where each of them lies, if anywhere.
    events: Vec<Option<u64>>,
    /// Whether the event that tells of the import is stored.
    is_told: bool,
}

impl Handler {
    pub(super) async fn import_events(
        &self,
        request: &Request,
        command: ImportEvents,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let operator = request.context.require_operator()?;
        let shard = self.home(scope).await?;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            // In this order: what comes behind this end fails the append.
            let last = self.tenant_end(scope, shard).await?;
            let known = self.known(request, scope, operator, &command).await?;
            let plan = plan(&command.events, &known.events, command.after)?;
            self.compare_all(shard, &command.events, &plan).await?;
            if !plan.missing.is_empty() {
                self.expect_nothing_else(scope, shard, plan.behind, last)
                    .await?;
            }
            let drafts = drafts(
                request,
                scope,
                shard,
                operator,
                &command.events,
                &plan,
                &known,
            );
            let imported = plan.missing.len() as u64;
            let appended = match drafts.as_slice() {
                [] => Ok(self.position(shard, plan.behind)?),
                drafts => self.log.append_whole(scope, shard, drafts, last).await,
            };
            match appended {
                Ok(position) => {
                    return Ok(Answer::Imported(Imported {
                        imported,
                        skipped: command.events.len() as u64 - imported,
                        position,
                    }));
                }
                Err(AppendError::Superseded | AppendError::Unavailable { .. }) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Unavailable { shard }.refusal("commandId"))
    }

    fn position(&self, shard: u16, sequence: u64) -> Result<Position, Refusal> {
        let handle = self.log.shard(shard).ok_or_else(|| unreadable(shard))?;
        Ok(handle.position(sequence))
    }

    /// The last sequence of the tenant's events, as the leader has it.
    async fn tenant_end(&self, scope: &TenantScope, shard: u16) -> Result<u64, Refusal> {
        let handle = self.log.shard(shard).ok_or_else(|| unreadable(shard))?;
        let filter = self.log.subjects().tenant_events(scope.owner(), shard);
        let last = handle.leader_last_on_subject(&filter).await;
        let last = last.map_err(|_| unreadable(shard))?.ok_or_else(no_tenant)?;
        Ok(last.sequence)
    }

    /// Asks a projector that has applied everything where the events are.
    async fn known(
        &self,
        request: &Request,
        scope: &TenantScope,
        operator: &InstanceId,
        command: &ImportEvents,
    ) -> Result<Known, Refusal> {
        let told = EventKey::of(&Actor::Operator(operator.clone()), request.id);
        let mut keys: Vec<EventKey> = command.events.iter().map(|event| event.key).collect();
        keys.push(told);
        let mut found = self.ask.events(scope, keys).await?;
        let is_told = found.pop().flatten().is_some();
        Ok(Known {
            events: found,
            is_told,
        })
    }

    async fn compare_all(&self, shard: u16, events: &[Record], plan: &Plan) -> Result<(), Refusal> {
        let read = |there: &There| {
            let there = *there;
            async move {
                let stored = self.log.read(shard, there.sequence).await;
                let stored = stored.map_err(|_| unreadable(shard))?;
                compare(&events[there.index], there, &stored)
            }
        };
        let compared = futures_util::stream::iter(plan.there.iter().map(read));
        compared.buffered(READS_AT_ONCE).try_collect().await
    }

    /// Refuses a tenant that has anything of its own behind the sequence `behind`, up to `last`.
    async fn expect_nothing_else(
        &self,
        scope: &TenantScope,
        shard: u16,
        behind: u64,
        last: u64,
    ) -> Result<(), Refusal> {
        let handle = self.log.shard(shard).ok_or_else(|| unreadable(shard))?;
        let filter = self.log.subjects().tenant_events(scope.owner(), shard);
        let mut at = behind + 1;
        for _ in 0..IMPORT_LOOKS_MAX {
            if at > last {
                return Ok(());
            }
            let next = handle.leader_next_on_subject(at, &filter).await;
            let event = match next.map_err(|_| unreadable(shard))? {
                Some(event) if event.sequence <= last => [event],
                _ => return Ok(()),
            };
            let loaded = self.keyring.load_for(&event).await;
            loaded.map_err(|_| unreadable(shard))?;
            let [event] = event;
            match self.keyring.open_event(shard, &event) {
                Opened::Event { record, .. } if may_lie_between(&record.event) => {}
                // Of a tenant that had the name before: it is not there any more.
                Opened::Erased => {}
                _ => return Err(holds_else(event.sequence)),
            }
            at = event.sequence + 1;
        }
        Err(holds_else(at))
    }
}

fn unreadable(shard: u16) -> Refusal {
    Refusal::unavailable(format!("shard {shard} cannot be read now"))
}

/// What is to be stored: the word of the import before its first event, then each event as it was.
fn drafts(
    request: &Request,
    scope: &TenantScope,
    shard: u16,
    operator: &InstanceId,
    events: &[Record],
    plan: &Plan,
    known: &Known,
) -> Vec<Draft> {
    let draft = |id, by: &Actor, event: &Event, time| Draft {
        owner: Some(scope.clone()),
        shard,
        id,
        by: by.clone(),
        event: Arc::new(event.clone()),
        time,
        traceparent: None,
        expected_last: None,
    };
    let mut drafts = Vec::with_capacity(plan.missing.len() + 1);
    if let Some(first) = plan.missing.first()
        && !known.is_told
    {
        let told = OperatorRead {
            operator: operator.clone(),
            verb: "import_events".to_owned(),
            what: format!("brought in a history, from event {} on", events[*first].id),
        };
        let by = Actor::Operator(operator.clone());
        drafts.push(draft(request.id, &by, &told.into(), request.time));
    }
    let missing = plan.missing.iter().map(|index| &events[*index]);
    drafts.extend(missing.map(|event| draft(event.id, &event.by, &event.event, event.time)));
    drafts
}
