//! The only JetStream writer. A decided event is sealed and handed to the task of its shard, which
//! publishes it plainly or in an atomic batch; the outcome comes back as a position.
//!
//! | module | owns |
//! |---|---|
//! | [`appender`] | the task of one shard: rounds, outcomes, retries |
//! | [`planner`] | what goes next and how; ids that wait meet here |
//! | [`fair`] | turns among tenants |
//! | [`payer`] | who waits for a turn of its own |
//! | [`pace`] | when the next round may go |
//! | [`recent`] | ids seen stored lately |
//! | [`publish`] | headers, batches, what an answer means |
//! | [`guard`] | whether the log is still the one that was written to |
//! | [`stored`] | comparing a repeat with what is stored |
//! | [`whole`] | several events of one tenant, all or none, behind all that it holds |

mod appender;
mod fair;
mod guard;
mod pace;
mod payer;
mod planner;
mod publish;
mod recent;
mod stored;
mod whole;

use crate::Durability;
use crate::error::AppendError;
use appender::{Append, Appender, Inbound};
use async_nats::jetstream::context::{Context, ContextBuilder};
use guard::Guard;
use payer::Payer;
use planner::Policy;
use postroad_log::{Keyring, OwnerKey, Shard, Unreachable};
use postroad_protocol::envelope::{Sealed, Sealing};
use postroad_protocol::event::{Actor, Event};
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::limits;
use postroad_protocol::position::Position;
use postroad_protocol::subject::{Owner, Subjects};
use postroad_protocol::tenancy::TenantScope;
use publish::Outgoing;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A decided event that is not stored yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Whose; none for the deployment's own.
    pub(crate) owner: Option<TenantScope>,
    /// Where it is stored.
    pub(crate) shard: u16,
    /// The command's id.
    pub(crate) id: CommandId,
    /// Who caused it.
    pub(crate) by: Actor,
    /// What happened.
    pub(crate) event: Arc<Event>,
    /// When its command was taken in.
    pub(crate) time: TimeMs,
    /// The caller's trace context.
    pub(crate) traceparent: Option<Box<str>>,
    /// The last sequence that its subject must have, where the decision depends on it.
    pub(crate) expected_last: Option<u64>,
}

/// A stored event.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    /// Where.
    pub(crate) position: Position,
    /// What is stored there: for a repeat, what the first attempt stored.
    pub(crate) event: Arc<Event>,
    /// When the command that stored it was taken in.
    pub(crate) time: TimeMs,
    /// Whether this very command stored it, rather than an earlier one with the same id.
    pub(crate) first: bool,
}

/// Events appended since the start, and how.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended: AtomicU64,
    pub(crate) batched: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
}

/// Appends to every shard.
#[derive(Debug)]
pub(crate) struct EventLog {
    subjects: Subjects,
    keyring: Keyring,
    policy: Policy,
    shards: RwLock<BTreeMap<u16, Writer>>,
    counters: Arc<Counters>,
    /// Whole batches go one at a time: the server bounds how many are open.
    whole: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Writer {
    shard: Shard,
    inbox: mpsc::Sender<Inbound>,
    refused: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

/// The outcome of an append.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is there.
    Known(Result<Appended, AppendError>),
    /// It is on its way.
    Awaited {
        /// Where it is stored, if it is.
        shard: u16,
        /// Where the outcome comes.
        answer: oneshot::Receiver<Result<Appended, AppendError>>,
    },
}

impl Outcome {
    /// Waits for it; the log's own deadlines bound the wait.
    pub(crate) async fn wait(self) -> Result<Appended, AppendError> {
        match self {
            Self::Known(outcome) => outcome,
            Self::Awaited { shard, answer } => {
                let gone = AppendError::Unknown { shard };
                answer.await.unwrap_or(Err(gone))
            }
        }
    }
}

/// A context whose publishes are bounded as the log's are: the broker's own queues hold back what is
/// too much, so the client library's bound must never be met first.
pub(crate) fn context_of(client: async_nats::Client) -> Context {
    let ack_wait = Duration::from_millis(limits::APPEND_ACK_WAIT_MS);
    ContextBuilder::new()
        // Of acknowledgements that are awaited, and of those whose future was dropped.
        .timeout(ack_wait)
        .ack_timeout(ack_wait)
        .max_ack_inflight(4 * limits::COMMANDS_IN_FLIGHT)
        .build(client)
}

impl EventLog {
    /// A log without shards yet.
    pub(crate) fn new(subjects: Subjects, keyring: Keyring, durability: Durability) -> Self {
        let policy = match durability {
            Durability::PowerSafe => Policy::Batching,
            Durability::Fast => Policy::Plain,
        };
        Self {
            subjects,
            keyring,
            policy,
            shards: RwLock::default(),
            counters: Arc::default(),
            whole: tokio::sync::Mutex::default(),
        }
    }

    /// Starts the task of `shard`, where there is none yet. The shard's handle has to come from a
    /// [`context_of`].
    pub(crate) async fn open(&self, shard: Shard) -> Result<(), Unreachable> {
        let guard = Guard::open(shard.clone()).await?;
        let appender = Appender::new(
            shard.clone(),
            self.keyring.clone(),
            guard,
            self.policy,
            self.counters.clone(),
        );
        let refused = appender.refused();
        // Whatever the broker's three doors let in finds room here: commands of agents, of operators,
        // and observations. So no payer is refused for another's events before they are told apart.
        let (inbox, arriving) = mpsc::channel(3 * limits::COMMANDS_IN_FLIGHT);
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        shards.entry(shard.number()).or_insert_with(|| Writer {
            shard,
            inbox,
            refused,
            task: tokio::spawn(appender.run(arriving)),
        });
        Ok(())
    }

    /// The subjects that are written to.
    pub(crate) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Whether `number` can be written to.
    pub(crate) fn is_open(&self, number: u16) -> bool {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.contains_key(&number)
    }

    /// Whether every shard is still the log that was written to.
    pub(crate) fn in_place(&self) -> bool {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let refused = |writer: &Writer| writer.refused.load(Ordering::Relaxed);
        !shards.values().any(refused)
    }

    /// Shards that are open, by number.
    pub(crate) fn shards(&self) -> Vec<u16> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.keys().copied().collect()
    }

    /// A handle for reading shard `number`.
    pub(crate) fn shard(&self, number: u16) -> Option<Shard> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(&number).map(|writer| writer.shard.clone())
    }

    /// What was appended so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Seals `draft` and queues it. Drafts of one [`Payer`] are stored in the order of these
    /// calls.
    pub(crate) fn append(&self, draft: Draft) -> Outcome {
        match self.queue(draft) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Known(Err(error)),
        }
    }

    fn queue(&self, draft: Draft) -> Result<Outcome, AppendError> {
        let owner = draft
            .owner
            .as_ref()
            .map_or(Owner::System, TenantScope::owner);
        // Held from the look at the keys until it is queued: see [`Self::settled`].
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let key = self.keyring.current(owner).ok_or(AppendError::NoOwner)?;
        let shard = draft.shard;
        let outgoing = Outgoing::new(self.seal(&draft, &key), draft.expected_last);
        let (promise, answer) = oneshot::channel();
        let append = Append {
            payer: Payer::of(&draft),
            outgoing,
            event: draft.event,
            time: draft.time,
            answer: promise,
        };
        let writer = shards
            .get(&shard)
            .ok_or(AppendError::Unavailable { shard })?;
        let queued = writer.inbox.try_send(Inbound::Append(append));
        queued.map_err(|full| match full {
            mpsc::error::TrySendError::Full(_) => AppendError::Full,
            mpsc::error::TrySendError::Closed(_) => AppendError::Unavailable { shard },
        })?;
        Ok(Outcome::Awaited { shard, answer })
    }

    /// Seals `draft` with its owner's `key`.
    fn seal(&self, draft: &Draft, key: &OwnerKey) -> Sealed {
        let owner = draft
            .owner
            .as_ref()
            .map_or(Owner::System, TenantScope::owner);
        let subject = self
            .subjects
            .event(owner, draft.shard, &draft.event.aggregate());
        let sealing = Sealing {
            owner,
            subject,
            key_id: key.home.key_id,
            key: &key.key,
            id: draft.id,
            time: draft.time,
            by: &draft.by,
            traceparent: draft.traceparent.as_deref(),
        };
        sealing.seal(&draft.event)
    }

    /// Waits until everything that was sealed for shard `number` with keys as they were known before
    /// this call is stored, or is given up; the log's own deadlines bound the wait.
    pub(crate) async fn settled(&self, number: u16) {
        let inbox = {
            // Whoever is between its look at the keys and the queue goes first.
            let shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
            shards.get(&number).map(|writer| writer.inbox.clone())
        };
        let (done, settled) = oneshot::channel();
        let asked = match inbox {
            Some(inbox) => inbox.send(Inbound::Settle(done)).await.is_ok(),
            None => false,
        };
        if asked {
            // A task that has ended has nothing left to settle.
            let _ended = settled.await;
        }
    }

    /// Compares `draft` with the event that is known to be stored under its id at `sequence`.
    ///
    /// # Errors
    /// `Conflict` when it is something else.
    pub(crate) async fn compare(
        &self,
        draft: &Draft,
        sequence: u64,
    ) -> Result<Appended, AppendError> {
        let shard = draft.shard;
        let shard = self
            .shard(shard)
            .ok_or(AppendError::Unavailable { shard })?;
        let stored =
            stored::compare(&shard, &self.keyring, sequence, &draft.event, draft.time).await?;
        Ok(Appended {
            position: shard.position(sequence),
            event: stored.event,
            time: stored.time,
            first: false,
        })
    }

    /// Takes no more events, and waits until those taken in are settled.
    pub(crate) async fn close(&self) {
        let writers: Vec<Writer> = {
            let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *shards).into_values().collect()
        };
        for writer in writers {
            drop(writer.inbox);
            // A task that panicked has nothing left to settle.
            let _panicked = writer.task.await;
        }
    }
}

#[cfg(test)]
#[path = "event_log/trouble_tests.rs"]
mod trouble_tests;
