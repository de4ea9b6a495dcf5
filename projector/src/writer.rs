//! The one writer of a shard's rows: a thread that applies batches, since that holds a core. Seals of a
//! large batch are opened ahead of it, on another. Makes commits visible at once and durable every so
//! often; a crash replays the tail.

use crate::ahead::prepared;
use crate::apply::{self, Applied, ApplyError, Durability, Incoming, Outcome};
use crate::checkpoint::Checkpoint;
use crate::store::Store;
use postroad_log::{Anchor, Keyring, Opened, StoredEvent};
use postroad_protocol::event::Event;
use postroad_protocol::tenancy::replay::StoredFor;
use std::cell::{Cell, OnceCell};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a visible commit may wait to become durable.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

/// The way to a shard's writer thread. The thread ends, durably, when this is dropped, which does not
/// wait for it; [`Self::end`] does.
#[derive(Debug)]
pub struct Writer {
    jobs: mpsc::SyncSender<Job>,
    thread: std::thread::JoinHandle<()>,
}

struct Job {
    store: Store,
    events: Arc<Vec<StoredEvent>>,
    given_up: Vec<(u64, u64)>,
    after: Anchor,
    done: oneshot::Sender<Result<Written, ApplyError>>,
}

/// What a batch came to.
#[derive(Debug)]
pub struct Written {
    /// What was touched, for the bells.
    pub applied: Applied,
    /// Where the rows now stand.
    pub anchor: Anchor,
    /// The first event that is not what was written there; nothing after it was applied.
    pub damaged: Option<u64>,
}

impl Writer {
    /// Starts the thread of shard `shard`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(shard: u16, keyring: Keyring) -> std::io::Result<Self> {
        // One batch waits while one is applied: more would only hold memory.
        let (jobs, work) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("rows-{shard}"))
            .spawn(move || run(shard, &keyring, &work))?;
        Ok(Self { jobs, thread })
    }

    /// Applies `events`, which follow what `store` holds, up to the first damaged one.
    /// Damage inside `given_up` counts as erased.
    ///
    /// # Errors
    /// [`ApplyError`] when the rows cannot be written.
    pub async fn write(
        &self,
        store: &Store,
        events: Arc<Vec<StoredEvent>>,
        given_up: &[(u64, u64)],
        after: Anchor,
    ) -> Result<Written, ApplyError> {
        let (done, written) = oneshot::channel();
        let job = Job {
            store: store.clone(),
            events,
            given_up: given_up.to_vec(),
            after,
            done,
        };
        // The channel never blocks: there is one pipeline, and it waits for each answer.
        self.jobs.send(job).map_err(|_| ApplyError::WriterGone)?;
        written.await.map_err(|_| ApplyError::WriterGone)?
    }

    /// Ends the thread and waits until what it wrote is durable. Blocks: not for an async thread.
    pub fn end(self) {
        let Self { jobs, thread } = self;
        drop(jobs);
        if thread.join().is_err() {
            tracing::error!("the writer of a shard ended in a panic");
        }
    }
}

/// A store whose last commits are visible but not yet durable.
struct Dirty {
    store: Store,
    anchor: Anchor,
    since: Instant,
}

fn run(shard: u16, keyring: &Keyring, work: &mpsc::Receiver<Job>) {
    let mut dirty: Option<Dirty> = None;
    loop {
        let wait = dirty.as_ref().map_or(Duration::from_hours(1), |dirty| {
            DURABLE_EVERY.saturating_sub(dirty.since.elapsed())
        });
        match work.recv_timeout(wait) {
            Ok(job) => {
                let overdue = dirty
                    .as_ref()
                    .is_some_and(|dirty| dirty.since.elapsed() >= DURABLE_EVERY);
                let durability = if overdue {
                    Durability::Durable
                } else {
                    Durability::Visible
                };
                let written = write(shard, keyring, &job, durability);
                if let Ok(written) = &written {
                    let since = dirty.take().map_or_else(Instant::now, |dirty| dirty.since);
                    dirty = (durability == Durability::Visible).then(|| Dirty {
                        store: job.store.clone(),
                        anchor: written.anchor,
                        since,
                    });
                }
                // The pipeline may have been dropped meanwhile; the rows are right all the same.
                let _ = job.done.send(written);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => make_durable(shard, dirty.take()),
            Err(mpsc::RecvTimeoutError::Disconnected) => return make_durable(shard, dirty.take()),
        }
    }
}

fn make_durable(shard: u16, dirty: Option<Dirty>) {
    let Some(Dirty { store, anchor, .. }) = dirty else {
        return;
    };
    if let Err(error) = apply::apply(&store, &[], Checkpoint::from(anchor), Durability::Durable) {
        // Nothing is lost: a crash replays the tail. The next batch tries again.
        tracing::error!(shard, error = %error, "rows could not be made durable");
    }
}

fn write(
    shard: u16,
    keyring: &Keyring,
    job: &Job,
    durability: Durability,
) -> Result<Written, ApplyError> {
    let events = job.events.as_slice();
    // Of every event is something made, up to one that is not what was written there.
    let taken = Cell::new(0);
    let opened = |event: &StoredEvent| {
        let outcome = open(shard, keyring, event, &job.given_up)?;
        let sequence = event.sequence;
        Some(Incoming { sequence, outcome })
    };
    // Asked for when the last event was taken, and a digest to make.
    let anchor = OnceCell::new();
    let reached = || {
        let last = || events[..taken.get()].last();
        let after = |event| Anchor::after(job.after.epoch, event);
        *anchor.get_or_init(|| last().map_or(job.after, after))
    };
    let applied = prepared(events, opened, |opened| {
        apply::apply_each(
            &job.store,
            job.after.epoch,
            opened.inspect(|_| taken.set(taken.get() + 1)),
            || Checkpoint::from(reached()),
            durability,
        )
    })?;
    Ok(Written {
        applied,
        anchor: reached(),
        damaged: events.get(taken.get()).map(|event| event.sequence),
    })
}

/// What `event` is to the rows; nothing when it is not what was written there.
fn open(
    shard: u16,
    keyring: &Keyring,
    event: &StoredEvent,
    given_up: &[(u64, u64)],
) -> Option<Outcome> {
    match keyring.open_event(shard, event) {
        Opened::Event { stored_for, record } => {
            if let (StoredFor::System, Event::TenantErased(erased)) = (&stored_for, &record.event)
                && erased.key_destroyed
            {
                // What was sealed under its keys and comes behind this must make no rows.
                keyring.withdraw(&erased.tenant, erased.generation);
            }
            Some(Outcome::Event { stored_for, record })
        }
        Opened::Erased => Some(Outcome::Erased),
        Opened::Undecodable { stored_for, what } => {
            let scope = match stored_for {
                StoredFor::Tenant(scope) => Some(scope),
                StoredFor::System => None,
            };
            tracing::warn!(
                shard,
                sequence = event.sequence,
                what,
                "an event is unknown to this build"
            );
            Some(Outcome::Undecodable {
                scope,
                reason: format!("unknown to this build: {what}"),
            })
        }
        Opened::Damaged if is_given_up(given_up, event.sequence) => Some(Outcome::Erased),
        Opened::Damaged => None,
    }
}

/// How far a gap from `from` to `to` may be passed: to the end of what an operator gave up there;
/// nothing when its beginning was not given up.
pub fn passable_until(ranges: &[(u64, u64)], from: u64, to: u64) -> Option<u64> {
    is_given_up(ranges, from).then_some(())?;
    let ends = ranges
        .iter()
        .filter(|range| range.0 <= from)
        .map(|range| range.1);
    ends.max().map(|last| last.min(to))
}

/// Whether an operator gave up the event at `sequence`.
fn is_given_up(ranges: &[(u64, u64)], sequence: u64) -> bool {
    ranges
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&sequence))
}
