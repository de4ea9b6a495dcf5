//! Changing what has a subject of its own and says all of itself in each event: tasks and missions. The last event is
//! what a change is decided on, and what it has to be stored behind; where another came between, it is decided anew.

use super::look::Whom;
use super::{ATTEMPTS, Handler, Request, is_fresh};
use crate::aggregate::repeat::{Taken, is_repeat};
use crate::error::AppendError;
use crate::event_log::{Appended, Draft};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey};
use postroad_protocol::id::Reader;
use postroad_protocol::position::Position;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::TenantScope;
use std::sync::Arc;

/// An agent that makes or changes a task or a mission.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) scope: &'a TenantScope,
    pub(super) shard: u16,
    pub(super) reader: &'a Reader,
    pub(super) by: Actor,
}

impl Writer<'_> {
    /// What stores `event`.
    pub(super) fn draft(&self, request: &Request, event: impl Into<Event>) -> Draft {
        Draft {
            owner: Some(self.scope.clone()),
            shard: self.shard,
            id: request.id,
            by: self.by.clone(),
            event: Arc::new(event.into()),
            time: request.time,
            traceparent: request.context.traceparent().map(Into::into),
            expected_last: None,
        }
    }

    /// The key of the event that `request` stores.
    pub(super) fn key(&self, request: &Request) -> EventKey {
        EventKey::of(&self.by, request.id)
    }
}

/// A change of a task or a mission.
pub(super) trait Change: Sync {
    /// Of which.
    fn aggregate(&self) -> AggregateKey;

    /// What the caller is told where there is none.
    fn absent(&self) -> Refusal;

    /// The event `last` as an attempt of this change would have stored it, but for the state, which no comparison looks at;
    /// nothing where `last` tells of something else than tasks and missions do.
    fn attempt(&self, last: &Event) -> Option<Event>;

    /// Decides on what `last` says; nothing is stored where it is so already.
    fn decide(
        &self,
        handler: &Handler,
        last: &Event,
    ) -> impl Future<Output = Result<Option<Event>, Refusal>> + Send;
}

/// What a change came to.
#[derive(Debug)]
pub(super) struct Settled {
    /// The event that says how it stands from then on.
    pub(super) event: Arc<Event>,
    /// Where that is stored.
    pub(super) position: Position,
    /// Whether it was so already.
    pub(super) already: bool,
}

impl From<Appended> for Settled {
    fn from(appended: Appended) -> Self {
        Self {
            event: appended.event,
            position: appended.position,
            already: false,
        }
    }
}

impl Handler {
    /// The agent that calls, when it is registered and may act in the scope that it asks in.
    pub(super) async fn agent_writer<'a>(
        &self,
        request: &'a Request,
    ) -> Result<Writer<'a>, Refusal> {
        let (scope, reader) = (request.context.scope()?, request.context.reader()?);
        let shard = self.home(scope).await?;
        self.ensure_reader(scope, shard, reader, request.asked, request.time)
            .await?;
        Ok(Writer {
            scope,
            shard,
            reader,
            by: Actor::Agent(reader.clone()),
        })
    }

    /// Stores what `change` comes to. An earlier attempt that was stored is the answer, whatever would be decided now and
    /// whatever others have stored since.
    ///
    /// # Errors
    /// The refusal, decided on the last event as the stream's leader has it.
    pub(super) async fn change(
        &self,
        request: &Request,
        writer: &Writer<'_>,
        change: &impl Change,
    ) -> Result<Settled, Refusal> {
        let (scope, shard, aggregate) = (writer.scope, writer.shard, change.aggregate());
        let mut whom = Whom::Anyone;
        let mut is_new = is_fresh(request.id, request.time);
        let mut has_room = false;
        // Held until this returns.
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let Some(last) = self.last_of(scope, shard, &aggregate, whom).await? else {
                if whom == Whom::Leader {
                    return Err(change.absent());
                }
                whom = Whom::Leader;
                continue;
            };
            let attempt = change.attempt(&last.record.event);
            let attempt = attempt.ok_or_else(|| super::look::unreadable(shard))?;
            let draft = writer.draft(request, attempt);
            if last.record.key == writer.key(request) {
                expect_same(&last.record.event, &draft)?;
                return Ok(last.settled(false));
            }
            if !is_new && let Some(first) = self.find(&draft, "commandId").await? {
                return Ok(first.into());
            }
            is_new = true;
            let mut decided = change.decide(self, &last.record.event).await;
            if let Ok(Some(event)) = &decided
                && !has_room
            {
                match self.expect_room(scope, &writer.by, event).await {
                    Ok(()) => has_room = true,
                    Err(refusal) => decided = Err(refusal),
                }
            }
            if let Ok(Some(event)) = decided {
                let draft = Draft {
                    expected_last: Some(last.position.sequence),
                    ..writer.draft(request, event)
                };
                match self.append(draft).await {
                    Ok(appended) => return Ok(appended.into()),
                    Err(AppendError::Superseded) => whom = Whom::Leader,
                    Err(error) => return Err(error.refusal("commandId")),
                }
                if turn.is_none() {
                    turn = Some(self.turns.take(scope, &aggregate).await);
                }
                continue;
            }
            if whom == Whom::Anyone {
                // A replica that lags shows what is not so any more.
                whom = Whom::Leader;
                let led = self.last_of(scope, shard, &aggregate, whom).await?;
                if led.map(|led| led.position) != Some(last.position) {
                    continue;
                }
            }
            // What refuses now may have come after an attempt that was stored, and may be its own doing.
            return match (self.find(&draft, "commandId").await?, decided) {
                (Some(first), _) => Ok(first.into()),
                (None, Err(refusal)) => Err(refusal),
                (None, Ok(_)) => Ok(last.settled(true)),
            };
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }
}

/// Refuses an id under which something else than `draft` is stored.
fn expect_same(stored: &Event, draft: &Draft) -> Result<(), Refusal> {
    let (event, time) = (stored, draft.time);
    let asked = Taken {
        event: &draft.event,
        time,
    };
    if is_repeat(Taken { event, time }, asked) {
        return Ok(());
    }
    Err(AppendError::Conflict.refusal("commandId"))
}
