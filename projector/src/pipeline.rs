//! One shard from log to rows: follow, load keys, write, tell. Decides what happens when the log
//! is not what it was: stop, say so loudly, serve what is there marked stale, and go on after repair,
//! after an operator gave the events up, or after a rebuild. Rows that fail are [`crate::renew`]'s.

use crate::bells::Bells;
use crate::hosts::Host;
use crate::intake::Intake;
use crate::progress::{Progress, State, damage_of};
use crate::purge::purge_until_done;
use crate::renew::{Attempts, Failure};
use crate::store::Store;
use crate::vectors::Meaning;
use crate::writer::{Writer, passable_until};
use postroad_log::{
    Anchor, Broken, Keyring, KeyringError, LogError, Opened, Shard, StoredEvent, Unreachable,
};
use postroad_protocol::event::Event;
use postroad_protocol::limits::WORDS_YIELD_EVENTS;
use postroad_protocol::query::Damage;
use postroad_protocol::subject::{AggregateKey, Owner, Subjects};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How often a damaged shard looks whether it may go on; doubled while nothing changes.
const LOOK_AGAIN_MIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(10);
/// Pause after data keys could not be loaded.
const KEYS_RETRY: Duration = Duration::from_millis(500);

/// What the pipelines of one projector share.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Opens events.
    pub keyring: Keyring,
    /// The deployment's subjects.
    pub subjects: Subjects,
    /// Who waits for mail.
    pub bells: Arc<Bells>,
    /// Page cache of one shard's rows, in bytes.
    pub cache_bytes: usize,
    /// Makes vectors of memories.
    pub(crate) meaning: Arc<Meaning>,
}

/// One shard's way from log to rows.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) host: Arc<Host>,
    pub(crate) shard: Shard,
    pub(crate) parts: Parts,
    writer: Writer,
    /// What is written to; differs from what is read while rebuilt rows catch up.
    store: Store,
    pub(crate) anchor: Anchor,
    given_up: Vec<(u64, u64)>,
    pub(crate) swaps: mpsc::Receiver<Swap>,
    failures: mpsc::Receiver<Failure>,
    /// Of folding failed rows anew.
    pub(crate) attempts: Attempts,
    /// What was said to be wrong, until it is over.
    told: Option<Damage>,
    /// The log has lost or changed events that were applied: what was made of them is of no use.
    rewritten: bool,
    /// Rids the file of what erased tenants left there.
    purging: Option<AbortOnDropHandle<()>>,
}

/// Rebuilt rows that are to take the place of the old ones.
#[derive(Debug)]
pub struct Swap {
    /// The new rows.
    pub store: Store,
    /// Where they stand.
    pub anchor: Anchor,
}

/// Why following stopped.
enum Stopped {
    /// The log is not what it was.
    Damaged(Damage),
    /// The rows cannot be read or written.
    Failed(String),
    /// Other rows are written from now on.
    Swapped,
}

impl Pipeline {
    /// The pipeline of `host`, whose rows stand at `anchor`.
    ///
    /// # Errors
    /// When the writer thread cannot be started.
    pub fn new(
        host: Arc<Host>,
        parts: Parts,
        anchor: Anchor,
        swaps: mpsc::Receiver<Swap>,
        failures: mpsc::Receiver<Failure>,
    ) -> std::io::Result<Self> {
        let shard = host.shard().clone();
        let writer = Writer::start(shard.number(), parts.keyring.clone())?;
        let store = host.store();
        Ok(Self {
            host,
            shard,
            parts,
            writer,
            store,
            anchor,
            given_up: Vec::new(),
            swaps,
            failures,
            attempts: Attempts::default(),
            told: None,
            rewritten: false,
            purging: None,
        })
    }

    /// Runs until `stop`, then makes its rows durable.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run_forever() => {}
        }
        // Waits for the writer thread, which an async thread must not.
        let ended = tokio::task::spawn_blocking(move || self.writer.end()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the writer of a shard was not waited for");
        }
    }

    async fn run_forever(&mut self) {
        // A process before this one may have ended in the middle of it.
        self.purge();
        // What was given up before this start must not count as damage again.
        self.load_given_up().await;
        let mut pause = LOOK_AGAIN_MIN;
        let mut reached = self.anchor.sequence;
        loop {
            match self.follow().await {
                Stopped::Swapped => continue,
                Stopped::Failed(message) => self.renew(&message).await,
                Stopped::Damaged(damage) => {
                    self.tell(damage);
                    pause = if self.anchor.sequence > reached {
                        LOOK_AGAIN_MIN
                    } else {
                        (pause * 2).min(LOOK_AGAIN_MAX)
                    };
                    reached = self.anchor.sequence;
                    tokio::select! {
                        stopped = self.interrupted() => if let Stopped::Failed(message) = stopped {
                            self.renew(&message).await;
                        },
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
            self.load_given_up().await;
        }
    }

    /// Waits for what ends following from outside: other rows to write to, or rows that failed whoever
    /// read them.
    async fn interrupted(&mut self) -> Stopped {
        loop {
            tokio::select! {
                Some(swap) = self.swaps.recv() => {
                    self.take(swap);
                    return Stopped::Swapped;
                }
                Some(Failure { store, message }) = self.failures.recv() => {
                    if store.is_same(&self.store) {
                        return Stopped::Failed(message);
                    }
                    if self.host.is_served(&store) {
                        // Rebuilt rows that still catch up are better than rows that fail.
                        self.serve_rebuilt();
                    }
                }
            }
        }
    }

    /// Rids the file that is written to of what was deleted, if it has to be.
    fn purge(&mut self) {
        let purging = purge_until_done(
            Arc::clone(&self.host),
            self.store.clone(),
            self.parts.keyring.clone(),
            self.parts.cache_bytes,
        );
        let purging = AbortOnDropHandle::new(tokio::spawn(purging));
        // The one before it was for another file, or for this one as it was.
        drop(self.purging.replace(purging));
    }

    /// A new thread for the writer; the old one may have ended in a panic.
    pub(crate) fn replace_writer(&mut self) -> std::io::Result<()> {
        self.writer = Writer::start(self.shard.number(), self.parts.keyring.clone())?;
        Ok(())
    }

    /// Says once, loudly, what is wrong, and marks every answer until it is over.
    pub(crate) fn tell(&mut self, damage: Damage) {
        if self.told.as_ref() == Some(&damage) {
            return;
        }
        let (shard, remedy) = (self.shard.number(), &damage.remedy);
        tracing::error!(
            shard,
            from = damage.from,
            to = damage.to,
            remedy,
            "SHARD STOPPED: {}",
            damage.message
        );
        self.host
            .update(|progress| progress.state = State::Damaged(damage.clone()));
        // Whoever waits for mail is told now that there may be some that cannot be shown.
        self.parts.bells.ring_everybody();
        self.told = Some(damage);
    }

    /// Applies events until the log is broken, the rows fail or the rows are swapped.
    async fn follow(&mut self) -> Stopped {
        let mut intake = Intake::new(self.shard.clone(), self.anchor);
        loop {
            let events = tokio::select! {
                biased;
                stopped = self.interrupted() => return stopped,
                events = intake.next() => events,
            };
            let advanced = match events {
                Ok(events) if events.is_empty() => {
                    self.connected(intake.end());
                    continue;
                }
                Ok(events) => match self.load_keys(&events).await {
                    Ok(()) => self.advance(&mut intake, events, self.anchor).await,
                    Err(stopped) => Err(stopped),
                },
                Err(LogError::Broken(broken)) => {
                    if let Some(anchor) = self.passable(&broken) {
                        intake.skip_to(anchor);
                        self.advance(&mut intake, Vec::new(), anchor).await
                    } else {
                        self.rewritten |= !matches!(broken, Broken::Gap { .. });
                        let damage = damage_of(self.shard.number(), &broken);
                        Err(Stopped::Damaged(damage))
                    }
                }
                Err(LogError::Unreachable(error)) => {
                    self.disconnected(&error);
                    continue;
                }
            };
            if let Err(stopped) = advanced {
                return stopped;
            }
        }
    }

    /// Where to go on behind a gap that was given up; nothing for any other breakage.
    fn passable(&self, broken: &Broken) -> Option<Anchor> {
        let Broken::Gap { from, to } = *broken else {
            return None;
        };
        let last = passable_until(&self.given_up, from, to)?;
        Some(Anchor::given_up(self.anchor.epoch, last))
    }

    /// The log is there again. What was wrong is over only when nothing is left behind it.
    fn connected(&mut self, end: u64) {
        if end <= self.anchor.sequence {
            self.told = None;
            self.rewritten = false;
            self.host
                .update(|progress| progress.state = State::Following);
        } else {
            self.reconnected();
        }
    }

    fn disconnected(&self, error: &postroad_log::Unreachable) {
        tracing::debug!(shard = self.shard.number(), %error, "the log is not reachable");
        self.host.update(|progress| {
            if !progress.is_damaged() {
                progress.state = State::Disconnected;
            }
        });
    }

    /// Loads the data keys of `events`, however long that takes. A key whose record does not open is for
    /// the writer to meet: it stops before the first event that needs it, unless that was given up.
    async fn load_keys(&mut self, events: &[StoredEvent]) -> Result<(), Stopped> {
        let keyring = self.parts.keyring.clone();
        loop {
            let loaded = tokio::select! {
                biased;
                stopped = self.interrupted() => return Err(stopped),
                loaded = keyring.load_for(events) => loaded,
            };
            match loaded {
                Err(KeyringError::Unreachable(error)) => self.disconnected(&error),
                Ok(()) | Err(_) => break,
            }
            tokio::select! {
                biased;
                stopped = self.interrupted() => return Err(stopped),
                () = tokio::time::sleep(KEYS_RETRY) => {}
            }
        }
        self.reconnected();
        Ok(())
    }

    fn reconnected(&self) {
        self.host.update(|progress| {
            if progress.state == State::Disconnected {
                progress.state = State::CatchingUp;
            }
        });
    }

    /// Writes `events`, or only moves the checkpoint to `after`, and tells everybody.
    async fn advance(
        &mut self,
        intake: &mut Intake,
        events: Vec<StoredEvent>,
        after: Anchor,
    ) -> Result<(), Stopped> {
        let end = intake.end();
        let events = Arc::new(events);
        let written = intake
            .meanwhile(
                self.writer
                    .write(&self.store, Arc::clone(&events), &self.given_up, after),
            )
            .await;
        let written = written.map_err(|error| Stopped::Failed(with_causes(&error)))?;
        self.anchor = written.anchor;
        if written.applied.erased > 0 {
            self.purge();
            self.host.sides().tidy();
            self.host.stirred().add_everybody();
        }
        let whole = written.damaged.is_none() && written.anchor.sequence >= end;
        let is_large = !whole || events.len() as u64 >= WORDS_YIELD_EVENTS;
        if self.host.is_served(&self.store) {
            self.host.update(|progress| {
                progress.epoch = written.anchor.epoch;
                progress.sequence = written.anchor.sequence;
                if whole {
                    progress.state = State::Following;
                }
            });
            if whole {
                self.told = None;
                self.rewritten = false;
            }
            self.parts.bells.ring(&written.applied.touched);
            for owner in &written.applied.remembered {
                self.parts.meaning.wake(self.shard.number(), owner);
            }
            self.host.stirred().add(&written.applied.stirred);
            let words = &self.host.sides().words;
            words.applied(&written.applied.touched, is_large);
        } else if written.anchor.sequence >= self.host.progress().sequence {
            self.serve_rebuilt();
        }
        let Some(sequence) = written.damaged else {
            return Ok(());
        };
        let event = events.iter().find(|event| event.sequence == sequence);
        let record = event.and_then(|event| self.parts.keyring.unreadable_record(event));
        let shard = self.shard.number();
        Err(Stopped::Damaged(unopened(shard, sequence, record)))
    }

    /// Takes rebuilt rows as what is written to. They are read from once they are as far as the old
    /// ones, so that nobody sees time go back; at once when the old ones know what the log lost.
    pub(crate) fn take(&mut self, swap: Swap) {
        let old = self.host.progress();
        if self.rewritten || old.epoch != swap.anchor.epoch {
            self.host.sides().begin_anew(swap.anchor.epoch);
            self.rewritten = false;
        }
        self.store = swap.store;
        self.anchor = swap.anchor;
        if old.is_damaged()
            || old.epoch != swap.anchor.epoch
            || swap.anchor.sequence >= old.sequence
        {
            self.serve_rebuilt();
        }
        self.purge();
    }

    fn serve_rebuilt(&mut self) {
        self.host.serve(self.store.clone());
        let Anchor {
            epoch, sequence, ..
        } = self.anchor;
        // Whether they are at the log's end shows when it is connected.
        self.host.update(|progress| {
            *progress = Progress {
                epoch,
                sequence,
                state: State::CatchingUp,
            }
        });
        self.told = None;
        self.parts.bells.ring_everybody();
        self.host.sides().words.rows_replaced();
        self.host.stirred().add_everybody();
        tracing::info!(
            shard = self.shard.number(),
            sequence,
            "rebuilt rows are served"
        );
    }

    async fn load_given_up(&mut self) {
        match given_up(&self.shard, &self.parts.keyring, &self.parts.subjects).await {
            Ok(ranges) => self.given_up = ranges,
            Err(error) => {
                tracing::debug!(shard = self.shard.number(), %error, "the log is not reachable");
            }
        }
    }
}

/// The damage that an event is shown as whose seal does not open; `record` is its key's, when that is
/// why.
fn unopened(shard: u16, sequence: u64, record: Option<u64>) -> Damage {
    let give_up = format!(
        "give this event up: postroad shard accept-damage --shard {shard} --from {sequence} --to {sequence}"
    );
    let (message, remedy) = match record {
        None => (
            format!("event {sequence} is not what was written there: its seal does not open"),
            format!("put the shard's files back from a backup, or {give_up}"),
        ),
        Some(record) => (
            format!(
                "event {sequence} cannot be read: record {record} of the keys stream, with its key, does not open"
            ),
            format!(
                "put the keys stream's files back from a backup and start the projector again, or {give_up}"
            ),
        ),
    };
    Damage {
        message,
        from: sequence,
        to: sequence,
        remedy,
    }
}

/// An error with what it came of, for a text that is shown.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The ranges that an operator gave up in `shard`, from the last event that says so.
pub async fn given_up(
    shard: &Shard,
    keyring: &Keyring,
    subjects: &Subjects,
) -> Result<Vec<(u64, u64)>, Unreachable> {
    let subject = subjects.event(Owner::System, shard.number(), &AggregateKey::Shard);
    let Some(event) = shard.last_on_subject(&subject).await? else {
        return Ok(Vec::new());
    };
    if let Err(KeyringError::Unreachable(error)) =
        keyring.load_for(std::slice::from_ref(&event)).await
    {
        return Err(error);
    }
    match keyring.open_event(shard.number(), &event) {
        Opened::Event { record, .. } => match record.event {
            Event::DamageAccepted(accepted) => Ok(accepted.ranges),
            _ => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}
