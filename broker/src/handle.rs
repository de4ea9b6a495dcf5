//! COMMAND BECOMES EVENT: load, decide, append, position. Deciding itself is pure and lives in
//! [`crate::aggregate`]; this brings it what it needs and takes its word to the log.
//!
//! | module | owns |
//! |---|---|
//! | this | what is kept in order: sends and summaries |
//! | [`mark`] | `mark_as_read` |
//! | [`admin`] | tenants, credentials, retirements, damage |
//! | [`observe`] | what projectors saw |

mod admin;
mod mark;
mod observe;

use crate::aggregate::agent::{Standing, standing};
use crate::aggregate::message::{Audience, audience, doubtful_roles};
use crate::answer::Answer;
use crate::ask::{Ask, Currency};
use crate::directory::Directory;
use crate::error::{AppendError, no_tenant};
use crate::event_log::{Appended, Draft, EventLog, Outcome};
use crate::push::Push;
use async_nats::jetstream::context::Context;
use postroad_log::Keyring;
use postroad_protocol::command::{Command, Done, Sent};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, MessageSent, SummarySet};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::limits::FRESH_ID_MS;
use postroad_protocol::position::Position;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{RequestContext, TenantScope};
use std::sync::Arc;

/// Everything that handling a command needs.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) log: EventLog,
    pub(crate) directory: Directory,
    pub(crate) keyring: Keyring,
    pub(crate) ask: Ask,
    pub(crate) push: Push,
    pub(crate) context: Context,
    /// Shards that were added while this broker runs are opened one at a time.
    pub(crate) opening: tokio::sync::Mutex<()>,
}

/// A command as ingress admitted and read it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Who calls, for whom.
    pub(crate) context: RequestContext,
    /// Under which a retry is recognised.
    pub(crate) id: CommandId,
    /// What is asked.
    pub(crate) command: Command,
    /// When it came.
    pub(crate) time: TimeMs,
    /// The highest position that the caller has seen, where it said so.
    pub(crate) position: Option<Position>,
}

/// A command of an agent that is stored in the order in which it came. Its event follows from the
/// command alone; what is left to decide is whether it may be.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) scope: TenantScope,
    pub(crate) reader: Reader,
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
    outcome: Result<OutcomeOr, AppendError>,
    reply: Reply,
}

#[derive(Debug)]
enum OutcomeOr {
    Outcome(Outcome),
    Stored(Appended),
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

/// Whether an id was made so lately that, were it stored before, JetStream would still know it.
fn is_fresh(id: CommandId, now: TimeMs) -> bool {
    id.stamp_ms()
        .is_some_and(|stamp| stamp.abs_diff(now.0) <= FRESH_ID_MS)
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
                Event::from(crate::aggregate::message::sent(from, command))
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
        let home = self.keyring.home(request.scope.owner())?;
        self.log.is_open(home.shard).then_some(())?;
        let audience = self.directory.with(&request.scope, |roster| {
            let standing = standing(roster, &request.reader).ok()?;
            (standing == Standing::Registered).then_some(())?;
            match request.message() {
                Some(message) if message.reply_to.is_some() => None,
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
        self.ensure_reader(&request.scope, shard, &request.reader, request.time)
            .await?;
        let draft = request.draft(shard);
        let stored = |appended, audience| Decision {
            next: Next::Stored(appended),
            reply: request.reply(audience),
        };
        let Some(message) = request.message() else {
            return Ok(match self.first_attempt(&draft, "commandId").await? {
                Some(appended) => stored(appended, None),
                None => Decision {
                    next: Next::Append(draft),
                    reply: request.reply(None),
                },
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
                Ok(None) | Err(_) => Err(refusal),
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
        Ok(audience)
    }

    /// Hands a decision to the log. What is handed over first is stored first.
    pub(crate) fn submit(&self, decision: Decision) -> Submitted {
        let outcome = match decision.next {
            Next::Append(draft) => self.log.append(draft).map(OutcomeOr::Outcome),
            Next::Stored(appended) => Ok(OutcomeOr::Stored(appended)),
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
        let appended = match submitted.outcome {
            Ok(OutcomeOr::Outcome(outcome)) => outcome.wait().await,
            Ok(OutcomeOr::Stored(appended)) => Ok(appended),
            Err(error) => Err(error),
        };
        let appended = appended.map_err(|error| error.refusal(reply.id_field()))?;
        let position = appended.position;
        Ok(match reply {
            Reply::Done => Answer::Done(Done { position }),
            Reply::Sent {
                scope,
                id,
                audience,
            } => {
                self.push.stored(scope.tenant(), id, &appended).await;
                Answer::Sent(Sent {
                    message_id: id,
                    position,
                    recipient_count: audience.count,
                    recipients: audience.named,
                })
            }
        })
    }

    /// Handles a command that needs no order.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        match request.command.clone() {
            Command::MarkAsRead(command) => self.mark_as_read(&request, command).await,
            Command::CreateTenant { shard } => self.create_tenant(&request, shard).await,
            Command::IssueCredential(command) => self.issue_credential(&request, command).await,
            Command::RetireAgent { role, instance } => {
                self.retire_agent(&request, &role, instance.as_ref()).await
            }
            Command::AcceptDamage { shard, range } => {
                self.accept_damage(&request, shard, range).await
            }
            // Sends and summaries go through a lane, and there is no other command yet.
            _ => Err(postroad_protocol::command::unknown_verb()),
        }
    }

    /// Appends and waits, unless an earlier attempt is found that stored it.
    async fn store(&self, draft: Draft, id_field: &str) -> Result<Appended, Refusal> {
        if let Some(appended) = self.first_attempt(&draft, id_field).await? {
            return Ok(appended);
        }
        let appended = self.append(draft).await;
        appended.map_err(|error| error.refusal(id_field))
    }

    /// Appends and waits.
    async fn append(&self, draft: Draft) -> Result<Appended, AppendError> {
        self.log.append(draft)?.wait().await
    }

    /// The shard in which a tenant lives, ready to be written to.
    ///
    /// # Errors
    /// `not_found` for a tenant that does not exist.
    async fn home(&self, scope: &TenantScope) -> Result<u16, Refusal> {
        if let Some(key) = self.keyring.current(scope.owner())
            && self.log.is_open(key.home.shard)
        {
            return Ok(key.home.shard);
        }
        let unreachable = |_| Refusal::unavailable("the data keys cannot be read now");
        self.keyring.refresh().await.map_err(unreachable)?;
        let key = self.keyring.current(scope.owner()).ok_or_else(no_tenant)?;
        self.open_shard(key.home.shard).await?;
        Ok(key.home.shard)
    }

    /// Opens a shard that was added since this broker started.
    async fn open_shard(&self, number: u16) -> Result<(), Refusal> {
        let _turn = self.opening.lock().await;
        if self.log.is_open(number) {
            return Ok(());
        }
        let unreachable = || Refusal::unavailable(format!("shard {number} cannot be opened now"));
        let shards = postroad_log::streams::list_shards(&self.context)
            .await
            .map_err(|_| unreachable())?;
        let shard = shards
            .into_iter()
            .find(|shard| shard.number() == number)
            .ok_or_else(unreachable)?;
        let followed = self.directory.follow(shard.clone()).await;
        followed.map_err(|_| unreachable())?;
        self.log.open(shard).await.map_err(|_| unreachable())
    }

    /// Registers `reader` where it has to be, and waits until that is folded.
    ///
    /// # Errors
    /// `permission_denied` for one that was retired.
    async fn ensure_reader(
        &self,
        scope: &TenantScope,
        shard: u16,
        reader: &Reader,
        time: TimeMs,
    ) -> Result<(), Refusal> {
        let look = || {
            self.directory
                .with(scope, |roster| standing(roster, reader))
        };
        let mut found = look();
        if found.is_err() {
            let aggregate = AggregateKey::Agent(reader.role.clone());
            self.directory.catch_up(scope, shard, &aggregate).await?;
            found = look();
        }
        let Standing::Registers(registration) = found? else {
            return Ok(());
        };
        let draft = Draft {
            owner: Some(scope.clone()),
            shard,
            id: registration.id,
            by: Actor::System,
            event: Arc::new(Event::from(registration.event)),
            time,
            traceparent: None,
            expected_last: None,
        };
        let appended = self.append(draft).await;
        let appended = appended.map_err(|error| error.refusal("commandId"))?;
        self.directory.wait_for(appended.position).await
    }

    /// What an earlier attempt stored under an id that JetStream may have forgotten.
    async fn first_attempt(
        &self,
        draft: &Draft,
        id_field: &str,
    ) -> Result<Option<Appended>, Refusal> {
        if is_fresh(draft.id, draft.time) {
            return Ok(None);
        }
        self.find(draft, id_field).await
    }

    /// What is stored under the draft's id, if anything is and if it is the same.
    async fn find(&self, draft: &Draft, id_field: &str) -> Result<Option<Appended>, Refusal> {
        let Some(scope) = &draft.owner else {
            return Ok(None);
        };
        let key = postroad_protocol::event::EventKey::of(&draft.by, draft.id);
        let Some(sequence) = self.ask.event(scope, key).await? else {
            return Ok(None);
        };
        let compared = self.log.compare(draft, sequence).await;
        compared.map(Some).map_err(|error| error.refusal(id_field))
    }
}
