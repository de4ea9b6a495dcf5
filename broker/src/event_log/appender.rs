//! The task that writes one shard. It alone publishes there, one round after the other, so events of
//! a tenant are stored in the order in which they were taken in. Whatever goes wrong with a batch is
//! resolved member by member, each under its own id; nothing is answered before its outcome is known.

mod settle;
mod stage;

use super::guard::Guard;
use super::pace::Pace;
use super::payer::Payer;
use super::planner::{NotTaken, Planner, Policy, Round, Ticket};
use super::publish::{Failure, OpenBatch, Outgoing, acknowledged, send_plain};
use super::recent::{DedupId, Recent};
use super::stored::Stored;
use super::{Appended, Counters};
use crate::aggregate::repeat::{Taken, is_repeat};
use crate::error::AppendError;
use async_nats::client::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::publish::PublishAck;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use postroad_log::{Broken, Keyring, LogError, Shard};
use postroad_protocol::event::Event;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::APPEND_ACK_WAIT_MS;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// An event that was never on its way is given up after this.
const WAITING_MAX: Duration = Duration::from_millis(APPEND_ACK_WAIT_MS);
/// An event whose outcome is unknown is tried again for as long as this.
const UNKNOWN_MAX: Duration = Duration::from_millis(2 * APPEND_ACK_WAIT_MS);
/// How often a task with work left looks at its deadlines and at the connection.
const TICK: Duration = Duration::from_millis(50);
/// How long a log has to look like another one before it is refused.
const DOUBT: Duration = Duration::from_millis(500);
/// How often a log that was refused is looked at again: somebody may have restored it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// One event for the log.
pub(super) struct Append {
    /// Who waits for its turn.
    pub(super) payer: Payer,
    /// As it goes on the wire.
    pub(super) outgoing: Outgoing,
    /// As it was before it was sealed.
    pub(super) event: Arc<Event>,
    /// When its command was taken in.
    pub(super) time: TimeMs,
    /// Where the outcome is awaited.
    pub(super) answer: Answer,
}

/// What reaches a shard's task.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are events, and none needs an allocation more"
)]
pub(super) enum Inbound {
    /// An event to be stored.
    Append(Append),
    /// Somebody asks to be told when everything that came before is settled.
    Settle(oneshot::Sender<()>),
}

/// Who is to be told when none of these waits any more.
struct Settling {
    ids: Vec<DedupId>,
    done: oneshot::Sender<()>,
}

struct Pending {
    append: Append,
    /// Those who asked for the same event while it waited.
    followers: Vec<Answer>,
    /// Other events under its id. Which of them all is the one that is stored shows when it settles:
    /// this one may itself be the late one, and a rival the retry of what was stored before.
    rivals: Vec<Append>,
    since: Instant,
    /// Whether an attempt ended without an answer.
    maybe_stored: bool,
    /// Whether it was in a batch that the server refused.
    sank: bool,
}

/// Events of other content that wait under one id; further ones are refused at once.
const RIVALS_MAX: usize = 256;

enum Done {
    Plain(DedupId, Result<PublishAck, Failure>),
    Batch(Vec<DedupId>, Result<PublishAck, Failure>),
    Compared(DedupId, u64, Result<Stored, AppendError>),
}

impl Done {
    fn is_success(&self) -> bool {
        matches!(self, Self::Plain(_, Ok(_)) | Self::Batch(_, Ok(_)))
    }
}

/// The state of one shard's task.
pub(super) struct Appender {
    shard: Shard,
    client: Client,
    keyring: Keyring,
    guard: Guard,
    planner: Planner<Payer, Pending>,
    recent: Recent,
    counters: Arc<Counters>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The connection that is in use; what was sent on an earlier one has no answer to wait for.
    connection: watch::Sender<u64>,
    /// Whether answers of a former connection are still out.
    reconnected: bool,
    broken: Option<(Broken, Instant)>,
    /// Since when the log looks like another one; a replica that is behind may look so for a moment.
    doubted: Option<Instant>,
    /// Whether it is broken, for others to see.
    refused: Arc<AtomicBool>,
    pace: Pace,
    /// The batch whose members are sent ahead of their commit.
    open: Option<OpenBatch>,
    settling: Vec<Settling>,
    swept: Instant,
}

impl Appender {
    /// A task for `shard`, which `guard` was opened on.
    pub(super) fn new(
        shard: Shard,
        keyring: Keyring,
        guard: Guard,
        policy: Policy,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            connection: watch::Sender::new(guard.verified()),
            client: shard.context().client(),
            shard,
            keyring,
            guard,
            planner: Planner::new(policy, Instant::now()),
            recent: Recent::default(),
            counters,
            jobs: FuturesUnordered::new(),
            reconnected: false,
            broken: None,
            doubted: None,
            refused: Arc::default(),
            pace: Pace::default(),
            open: None,
            settling: Vec::new(),
            swept: Instant::now(),
        }
    }

    /// Whether the log is refused for not being the one that was written to.
    pub(super) fn refused(&self) -> Arc<AtomicBool> {
        self.refused.clone()
    }

    /// Writes until every sender is gone and everything is settled.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Inbound>) {
        let mut open = true;
        let mut done = Vec::new();
        while open || !self.planner.is_empty() {
            let (busy, wait) = (
                !self.planner.is_empty() || self.broken.is_some(),
                self.wait(),
            );
            tokio::select! {
                biased;
                Some(job) = self.jobs.next(), if !self.jobs.is_empty() => done.push(job),
                received = inbox.recv(), if open => match received {
                    Some(inbound) => self.take(inbound),
                    None => open = false,
                },
                () = tokio::time::sleep(wait), if busy => {}
            }
            while let Some(Some(job)) = self.jobs.next().now_or_never() {
                done.push(job);
            }
            while let Ok(inbound) = inbox.try_recv() {
                self.take(inbound);
            }
            if !self.is_in_place() {
                self.unstage();
            }
            self.look().await;
            // A success counts only if it came from the log that was written to.
            let verified = self.guard.is_current();
            for job in done.extract_if(.., |job| verified || !job.is_success()) {
                self.settle(job);
            }
            self.send_rounds().await;
            self.sweep();
            self.tell_settled();
        }
    }

    fn take(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Append(append) => self.offer(append),
            Inbound::Settle(done) => {
                let ids = self.planner.ids_where(|_| true);
                self.settling.push(Settling { ids, done });
            }
        }
    }

    fn wait(&self) -> Duration {
        if let Some((_, seen)) = &self.broken
            && self.planner.is_empty()
        {
            return LOOK_AGAIN.saturating_sub(seen.elapsed()).max(TICK);
        }
        let held = self.pace.remaining(Instant::now());
        held.map_or(TICK, |held| held.min(TICK))
    }

    fn offer(&mut self, append: Append) {
        if let Some((broken, seen)) = &self.broken
            && seen.elapsed() < LOOK_AGAIN
        {
            let (shard, broken) = (self.shard.number(), broken.clone());
            answer(append.answer, Err(AppendError::Broken { shard, broken }));
            return;
        }
        let ticket = Ticket {
            id: DedupId::of(&append.outgoing.sealed().msg_id),
            payer: append.payer.clone(),
            bytes: append.outgoing.size(),
            alone: append.outgoing.is_alone(),
        };
        let id = ticket.id;
        let pending = Pending {
            append,
            followers: Vec::new(),
            rivals: Vec::new(),
            since: Instant::now(),
            maybe_stored: false,
            sank: false,
        };
        let taken = match self.recent.sequence(id) {
            Some(sequence) => self.planner.adopt(ticket, pending).inspect(|()| {
                self.compare_with(id, sequence);
            }),
            None => self.planner.offer(ticket, pending, Instant::now()),
        };
        match taken {
            Ok(()) => {}
            Err(NotTaken::Known(pending)) => self.merge(id, pending.append),
            Err(NotTaken::Full(pending)) => answer(pending.append.answer, Err(AppendError::Full)),
        }
    }

    /// A second event under an id that waits or is on its way shares the first one's outcome; one with
    /// other content waits to be compared with what is stored.
    fn merge(&mut self, id: DedupId, second: Append) {
        let Some(first) = self.planner.get_mut(id) else {
            return;
        };
        let same = is_repeat(
            Taken {
                event: &first.append.event,
                time: first.append.time,
            },
            Taken {
                event: &second.event,
                time: second.time,
            },
        );
        if same {
            first.followers.push(second.answer);
        } else if first.rivals.len() < RIVALS_MAX {
            first.rivals.push(second);
        } else {
            answer(second.answer, Err(AppendError::Conflict));
        }
    }

    /// Whether the log may be written to now. What is handed to a client that is not connected goes out
    /// on its next connection, before anybody has looked at the log there.
    fn is_in_place(&self) -> bool {
        self.broken.is_none() && self.is_connected() && self.guard.is_current()
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Looks at the log where it is not known to be in place.
    async fn look(&mut self) {
        if self.is_in_place() || !self.is_connected() {
            return;
        }
        if let Some((_, seen)) = &self.broken
            && seen.elapsed() < LOOK_AGAIN
        {
            return;
        }
        match self.guard.verify().await {
            Ok(()) => {
                self.doubted = None;
                if self.broken.take().is_some() {
                    self.refused.store(false, Ordering::Relaxed);
                    tracing::info!(shard = self.shard.number(), "the log is in place again");
                }
                // It may have changed since somebody last looked.
                self.unstage();
                self.connection.send_replace(self.guard.verified());
                self.reconnected = true;
            }
            Err(LogError::Broken(broken)) => {
                let doubted = *self.doubted.get_or_insert_with(Instant::now);
                if doubted.elapsed() >= DOUBT {
                    self.refuse_everything(broken);
                }
            }
            Err(LogError::Unreachable(_)) => {}
        }
    }

    fn refuse_everything(&mut self, broken: Broken) {
        let shard = self.shard.number();
        if self.broken.is_none() {
            tracing::error!(shard, %broken, "not the log that this broker wrote to: it takes no commands");
        }
        self.unstage();
        // What never was on its way is not stored; of the rest nobody can say.
        for id in self.planner.waiting_where(|pending| !pending.maybe_stored) {
            let broken = broken.clone();
            self.fail(id, &AppendError::Broken { shard, broken });
        }
        for id in self.planner.ids_where(|_| true) {
            self.fail(id, &AppendError::Unknown { shard });
        }
        self.broken = Some((broken, Instant::now()));
        self.refused.store(true, Ordering::Relaxed);
    }

    async fn send_rounds(&mut self) {
        if self.pace.holds(self.planner.gathered(), Instant::now()) {
            return self.stage().await;
        }
        if self.reconnected {
            // What was sent on the former connection comes first, whatever became of it.
            if self.planner.travelling() > 0 {
                return;
            }
            self.reconnected = false;
        }
        // Also while it sends: the connection may be another one by now, or take nothing more.
        while self.is_in_place()
            && let Some(round) = self.planner.next_round()
        {
            let sent = match round {
                Round::Plain(id) => self.send_one(id).await,
                Round::Batch(ids) => self.send_batch(ids).await,
            };
            if sent == Err(Failure::Unknown) {
                return;
            }
        }
        self.stage().await;
    }

    async fn send_one(&mut self, id: DedupId) -> Result<(), Failure> {
        let Some(pending) = self.planner.get_mut(id) else {
            return Ok(());
        };
        let sent = send_plain(self.shard.context(), &pending.append.outgoing).await;
        let outcome = sent.as_ref().map(|_| ()).map_err(Clone::clone);
        let answered = self.answered(sent);
        self.jobs
            .push(async move { Done::Plain(id, answered.await) }.boxed());
        outcome
    }

    /// Waits for an answer as long as the connection lives on which it would come.
    fn answered(
        &self,
        sent: Result<PublishAckFuture, Failure>,
    ) -> impl Future<Output = Result<PublishAck, Failure>> + Send + use<> {
        let mut connection = self.connection.subscribe();
        async move {
            let future = sent?;
            tokio::select! {
                biased;
                answer = acknowledged(future) => answer,
                _ = connection.changed() => Err(Failure::Unknown),
            }
        }
    }

    /// Gives up what has waited too long.
    fn sweep(&mut self) {
        if self.swept.elapsed() < TICK * 5 {
            return;
        }
        self.swept = Instant::now();
        let shard = self.shard.number();
        let unknown = self
            .planner
            .waiting_where(|pending| pending.maybe_stored && pending.since.elapsed() > UNKNOWN_MAX);
        for id in unknown {
            self.fail(id, &AppendError::Unknown { shard });
        }
        let waiting = self.planner.waiting_where(|pending| {
            !pending.maybe_stored && pending.since.elapsed() > WAITING_MAX
        });
        for id in waiting {
            self.fail(id, &AppendError::Unavailable { shard });
        }
        // An answer that came on a connection whose log could not be verified since is no answer.
        let unverified = self
            .planner
            .ids_where(|pending| pending.since.elapsed() > UNKNOWN_MAX + WAITING_MAX);
        if !unverified.is_empty() {
            self.unstage();
        }
        for id in unverified {
            self.fail(id, &AppendError::Unknown { shard });
        }
        self.planner.forget_given_up();
    }
}

/// Whoever asked may have gone; nobody else needs the answer.
fn answer(to: Answer, outcome: Result<Appended, AppendError>) {
    let _gone = to.send(outcome);
}
