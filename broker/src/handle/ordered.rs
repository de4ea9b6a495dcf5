//! Sends, summaries and new memories: what one reader stores in the order in which it asked. Decided at once where
//! nothing has to be waited for, else in the reader's lane.

use super::{Handler, Request, is_fresh};
use crate::aggregate::agent::{Standing, standing};
use crate::aggregate::life::Life;
use crate::aggregate::memory::{Subject, check_end, stored};
use crate::aggregate::message::{Audience, audience, doubtful_roles, sent};
use crate::answer::Answer;
use crate::ask::Currency;
use crate::event_log::{Appended, Draft, Outcome};
use postroad_protocol::command::{Command, Done, MemorySaved, Sent};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey, MemoryStored, MessageSent, SummarySet};
use postroad_protocol::id::{CommandId, MessageId, Reader, TimeMs};
use postroad_protocol::memory::MemoryId;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{Principal, Scope, TenantScope};
use std::sync::Arc;

/// A command of an agent that is stored in the order in which it came. Its event follows from the
/// command alone; what is left to decide is whether it may be.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) scope: TenantScope,
    pub(crate) reader: Reader,
    asked: Scope,
    id: CommandId,
    time: TimeMs,
    traceparent: Option<Box<str>>,
    event: Arc<Event>,
}

/// What deciding came to.
#[derive(Debug)]
pub(crate) struct Decision {
    next: Next,
    reply: Reply,
}

#[derive(Debug)]
enum Next {
    Append(Draft),
    /// An earlier attempt stored it.
    Stored(Appended),
}

/// What the answer needs beside the position.
#[derive(Debug)]
enum Reply {
    Sent {
        scope: TenantScope,
        id: CommandId,
        audience: Audience,
    },
    Memory {
        id: MemoryId,
    },
    Done,
}

/// A decision that is on its way into the log.
#[derive(Debug)]
pub(crate) struct Submitted {
    outcome: Outcome,
    reply: Reply,
}

impl Reply {
    /// The field that carried the command's id.
    fn id_field(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "messageId",
            Self::Memory { .. } | Self::Done => "commandId",
        }
    }
}

impl Request {
    /// Turns a send, a summary or an agent's new memory into what is kept in order; other commands come back as they are.
    ///
    /// # Errors
    /// A refusal when it is not an agent of a tenant who calls, or names what is another's: no attempt of the same caller
    /// was ever stored that did.
    pub(crate) fn ordered(self) -> Result<Result<Ordered, Self>, Refusal> {
        let event = match self.command {
            Command::SendMessage(command) => {
                let from = self.context.reader()?.clone();
                Event::from(sent(from, command))
            }
            Command::SetSummary { summary } => Event::from(SummarySet {
                reader: self.context.reader()?.clone(),
                summary,
            }),
            Command::StoreMemory(command)
                if matches!(self.context.principal(), Principal::Agent(_)) =>
            {
                let reader = self.context.reader()?;
                Event::from(stored(self.context.scope()?.tenant(), reader, command)?)
            }
            command => return Ok(Err(Self { command, ..self })),
        };
        Ok(Ok(Ordered {
            scope: self.context.scope()?.clone(),
            reader: self.context.reader()?.clone(),
            asked: self.asked,
            id: self.id,
            time: self.time,
            traceparent: self.context.traceparent().map(Into::into),
            event: Arc::new(event),
        }))
    }
}

impl Ordered {
    fn draft(&self, shard: u16) -> Draft {
        Draft {
            owner: Some(self.scope.clone()),
            shard,
            id: self.id,
            by: Actor::Agent(self.reader.clone()),
            event: self.event.clone(),
            time: self.time,
            traceparent: self.traceparent.clone(),
            expected_last: None,
        }
    }

    /// The memory that this stores.
    fn memory_id(&self) -> MemoryId {
        let by = Actor::Agent(self.reader.clone());
        MemoryId::of(EventKey::of(&by, self.id))
    }

    fn reply(&self, audience: Option<Audience>) -> Reply {
        match &*self.event {
            Event::MessageSent(_) => Reply::Sent {
                scope: self.scope.clone(),
                id: self.id,
                audience: audience.unwrap_or(Audience {
                    count: 0,
                    named: None,
                }),
            },
            Event::MemoryStored(_) => Reply::Memory {
                id: self.memory_id(),
            },
            _ => Reply::Done,
        }
    }
}

impl Handler {
    /// Decides at once, where nothing has to be waited for and nothing speaks against it. A refusal
    /// is never given here: it takes a look at the log first.
    pub(crate) fn decide_now(&self, request: &Ordered) -> Option<Decision> {
        if !is_fresh(request.id, request.time) {
            return None;
        }
        let limits = self.directory.life(&request.scope, Life::limits);
        if limits.is_some_and(|limits| limits.bounds_stored()) {
            return None;
        }
        let home = self.keyring.home(request.scope.owner())?;
        self.log.is_open(home.shard).then_some(())?;
        let audience = self.directory.with(&request.scope, |roster| {
            let standing = standing(roster, &request.reader, request.asked).ok()?;
            (standing == Standing::Registered).then_some(())?;
            match &*request.event {
                Event::MessageSent(message) if message.reply_to.is_some() => None,
                // Hints cost time that is everybody's here.
                Event::MessageSent(message) if !doubtful_roles(roster, message).is_empty() => None,
                Event::MessageSent(message) => audience(roster, message).ok().map(Some),
                Event::MemoryStored(memory) if !memory.relates_to.is_empty() => None,
                Event::MemoryStored(memory) => {
                    let ends = check_end(memory.expires_at, request.time);
                    ends.is_ok().then_some(None)
                }
                _ => Some(None),
            }
        })?;
        Some(Decision {
            next: Next::Append(request.draft(home.shard)),
            reply: request.reply(audience),
        })
    }

    /// Decides with everything that it takes: registration, look-ups, catching up.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn decide_in_order(&self, request: &Ordered) -> Result<Decision, Refusal> {
        let shard = self.home(&request.scope).await?;
        let (scope, reader) = (&request.scope, &request.reader);
        self.ensure_reader(scope, shard, reader, request.asked, request.time)
            .await?;
        let draft = request.draft(shard);
        let stored = |appended, audience| Decision {
            next: Next::Stored(appended),
            reply: request.reply(audience),
        };
        let id_field = request.reply(None).id_field();
        let first = self.first_attempt(&draft, id_field).await?;
        let decided = match (&*request.event, &first) {
            // Whom it reaches is a part of the answer.
            (Event::MessageSent(message), _) => {
                let decided = self.decide_send(request, message, shard).await;
                decided.map(Some)
            }
            (_, Some(_)) => Ok(None),
            (Event::MemoryStored(memory), None) => {
                let decided = self.decide_store(request, memory).await;
                decided.map(|()| None)
            }
            (_, None) => self.expect_room_in_order(request).await.map(|()| None),
        };
        match (first, decided) {
            (Some(appended), decided) => Ok(stored(appended, decided.ok().flatten())),
            (None, Ok(audience)) => Ok(Decision {
                next: Next::Append(draft),
                reply: request.reply(audience),
            }),
            // What refuses now may have come after an attempt that was stored and never answered.
            (None, Err(refusal)) => match self.find(&draft, id_field).await {
                Ok(Some(appended)) => Ok(stored(appended, None)),
                Ok(None) => Err(refusal),
                // Whether there was one is not known, or it was another: that is the answer then.
                Err(other) => Err(other),
            },
        }
    }

    async fn decide_store(&self, request: &Ordered, memory: &MemoryStored) -> Result<(), Refusal> {
        check_end(memory.expires_at, request.time)?;
        let subject = Subject {
            id: request.memory_id(),
            namespace: &memory.namespace,
            role: Some(&request.reader.role),
        };
        self.expect_related(Some(&request.scope), subject, &memory.relates_to)
            .await?;
        self.expect_room_in_order(request).await
    }

    async fn expect_room_in_order(&self, request: &Ordered) -> Result<(), Refusal> {
        let by = Actor::Agent(request.reader.clone());
        self.expect_room(&request.scope, &by, &request.event).await
    }

    async fn decide_send(
        &self,
        request: &Ordered,
        message: &MessageSent,
        shard: u16,
    ) -> Result<Audience, Refusal> {
        let scope = &request.scope;
        let decide = || {
            self.directory
                .with(scope, |roster| audience(roster, message))
        };
        let mut decided = decide();
        if decided.is_err() {
            let doubtful = self
                .directory
                .with(scope, |roster| doubtful_roles(roster, message));
            for role in doubtful {
                let aggregate = AggregateKey::Agent(role);
                self.directory.catch_up(scope, shard, &aggregate).await?;
            }
            decided = decide();
        }
        let audience = decided?;
        if let Some(reply_to) = message.reply_to {
            let visible = |currency| {
                self.ask
                    .visible(scope, currency, request.reader.clone(), reply_to)
            };
            // The rows may not have it yet, though its reader was already told of it.
            if !visible(Currency::Any).await? && !visible(Currency::Fresh).await? {
                return Err(Refusal::not_found("replyTo", "message"));
            }
        }
        // Last, so that room is only taken by what is stored.
        self.expect_room_in_order(request).await?;
        Ok(audience)
    }

    /// Hands a decision to the log. What is handed over first is stored first.
    pub(crate) fn submit(&self, decision: Decision) -> Submitted {
        let outcome = match decision.next {
            Next::Append(draft) => self.log.append(draft),
            Next::Stored(appended) => Outcome::Known(Ok(appended)),
        };
        Submitted {
            outcome,
            reply: decision.reply,
        }
    }

    /// Waits for the outcome, rings the bell, and says what the caller is told.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn complete(&self, submitted: Submitted) -> Result<Answer, Refusal> {
        let reply = submitted.reply;
        let appended = submitted.outcome.wait().await;
        let appended = appended.map_err(|error| error.refusal(reply.id_field()))?;
        let position = appended.position;
        Ok(match reply {
            Reply::Done => Answer::Done(Done { position }),
            Reply::Memory { id } => Answer::MemorySaved(MemorySaved {
                memory_id: id,
                position,
            }),
            Reply::Sent {
                scope,
                id,
                audience,
            } => {
                self.ring(&scope, id, &appended).await;
                Answer::Sent(Sent {
                    message_id: id,
                    position,
                    recipient_count: audience.count,
                    recipients: audience.named,
                })
            }
        })
    }

    /// Rings the bell for the message `id`, which is stored.
    pub(super) async fn ring(&self, scope: &TenantScope, id: MessageId, appended: &Appended) {
        // What was on its way when the tenant was suspended is stored, and waits silently.
        if self.expect_active(scope).is_ok() {
            let hints = self.push.stored(scope.tenant(), id, appended).await;
            self.count_hints(scope, hints);
        }
    }
}
