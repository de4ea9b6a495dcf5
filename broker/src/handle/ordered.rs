//! Sends and summaries: what one reader stores in the order in which it asked. Decided at once where
//! nothing has to be waited for, else in the reader's lane.

use super::{Handler, Request, is_fresh};
use crate::aggregate::agent::{Standing, standing};
use crate::aggregate::life::Life;
use crate::aggregate::message::{Audience, audience, doubtful_roles, sent};
use crate::answer::Answer;
use crate::ask::Currency;
use crate::event_log::{Appended, Draft, Outcome};
use crate::quota::Amount;
use postroad_protocol::command::{Command, Done, Sent};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, MessageSent, SummarySet};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::quota::{Limit, too_large};
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{Scope, TenantScope};
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
            Self::Done => "commandId",
        }
    }
}

impl Request {
    /// Turns a send or a summary into what is kept in order; other commands come back as they are.
    ///
    /// # Errors
    /// A refusal when it is not an agent of a tenant who calls.
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
    fn message(&self) -> Option<&MessageSent> {
        match &*self.event {
            Event::MessageSent(message) => Some(message),
            _ => None,
        }
    }

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

    fn reply(&self, audience: Option<Audience>) -> Reply {
        match (self.message(), audience) {
            (Some(_), audience) => Reply::Sent {
                scope: self.scope.clone(),
                id: self.id,
                audience: audience.unwrap_or(Audience {
                    count: 0,
                    named: None,
                }),
            },
            (None, _) => Reply::Done,
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
            match request.message() {
                Some(message) if message.reply_to.is_some() => None,
                // Hints cost time that is everybody's here.
                Some(message) if !doubtful_roles(roster, message).is_empty() => None,
                Some(message) => audience(roster, message).ok().map(Some),
                None => Some(None),
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
        let Some(message) = request.message() else {
            if let Some(appended) = self.first_attempt(&draft, "commandId").await? {
                return Ok(stored(appended, None));
            }
            self.expect_room(request).await?;
            return Ok(Decision {
                next: Next::Append(draft),
                reply: request.reply(None),
            });
        };
        let first = self.first_attempt(&draft, "messageId").await?;
        let decided = self.decide_send(request, message, shard).await;
        match (first, decided) {
            (Some(appended), decided) => Ok(stored(appended, decided.ok())),
            (None, Ok(audience)) => Ok(Decision {
                next: Next::Append(draft),
                reply: request.reply(Some(audience)),
            }),
            // What refuses now may have come after an attempt that was stored and never answered.
            (None, Err(refusal)) => match self.find(&draft, "messageId").await {
                Ok(Some(appended)) => Ok(stored(appended, None)),
                Ok(None) => Err(refusal),
                // Whether there was one is not known, or it was another: that is the answer then.
                Err(other) => Err(other),
            },
        }
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
        self.expect_room(request).await?;
        Ok(audience)
    }

    /// Takes room for what the operator has limited, where it has.
    ///
    /// # Errors
    /// `too_large` or `quota_exceeded`.
    async fn expect_room(&self, request: &Ordered) -> Result<(), Refusal> {
        let Some(limits) = self.directory.life(&request.scope, Life::limits) else {
            return Ok(());
        };
        if let Some(message) = request.message() {
            let bytes = message.content.len();
            for limit in [Limit::AgentMessageBytes, Limit::MessageBytes] {
                if let Some(value) = limits.set(limit)
                    && bytes as u64 > value
                {
                    return Err(too_large(limit, value, bytes));
                }
            }
        }
        if !limits.has_quota() {
            return Ok(());
        }
        let by = Actor::Agent(request.reader.clone());
        let more = Amount {
            messages: u64::from(request.message().is_some()),
            bytes: request.event.encoded_len(&by),
        };
        self.quotas
            .take(&self.ask, &request.scope, &limits, more)
            .await
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
            Reply::Sent {
                scope,
                id,
                audience,
            } => {
                // What was on its way when the tenant was suspended is stored, and waits silently.
                if self.expect_active(&scope).is_ok() {
                    let hints = self.push.stored(scope.tenant(), id, &appended).await;
                    self.count_hints(&scope, hints);
                }
                Answer::Sent(Sent {
                    message_id: id,
                    position,
                    recipient_count: audience.count,
                    recipients: audience.named,
                })
            }
        })
    }
}
