//! One shard from log to rows: follow, load keys, write, tell. Decides what happens when the log
//! is not what it was: stop, say so loudly, serve what is there marked stale, and go on after
//! repair, after an operator gave the events up, or after a rebuild.

use crate::bells::Bells;
use crate::hosts::Host;
use crate::progress::{Progress, State, damage_of};
use crate::store::Store;
use crate::writer::{Writer, is_given_up};
use postroad_log::{Anchor, Broken, Follower, Keyring, LogError, Opened, Shard, StoredEvent};
use postroad_protocol::event::Event;
use postroad_protocol::query::Damage;
use postroad_protocol::subject::{AggregateKey, Owner, Subjects};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often a damaged shard looks whether it may go on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause after rows could not be written (a full disk, say).
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// What a pipeline works with.
#[derive(Debug)]
pub struct Pipeline {
    host: Arc<Host>,
    shard: Shard,
    keyring: Keyring,
    subjects: Subjects,
    bells: Arc<Bells>,
    writer: Writer,
    /// What is written to; differs from what is read while rebuilt rows catch up.
    store: Store,
    anchor: Anchor,
    given_up: Vec<(u64, u64)>,
    swaps: mpsc::Receiver<Swap>,
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
    Damaged(Damage),
    Swapped,
}

impl Pipeline {
    /// The pipeline of `host`, whose rows stand at `anchor`.
    ///
    /// # Errors
    /// When the writer thread cannot be started.
    pub fn new(
        host: Arc<Host>,
        shard: Shard,
        keyring: Keyring,
        subjects: Subjects,
        bells: Arc<Bells>,
        anchor: Anchor,
        swaps: mpsc::Receiver<Swap>,
    ) -> std::io::Result<Self> {
        let writer = Writer::start(shard.number(), keyring.clone())?;
        let store = host.store();
        Ok(Self {
            host,
            shard,
            keyring,
            subjects,
            bells,
            writer,
            store,
            anchor,
            given_up: Vec::new(),
            swaps,
        })
    }

    /// Runs until `stop`, then makes its rows durable.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run_forever() => {}
        }
        // Dropping joins the writer thread, which an async thread must not wait for.
        if tokio::task::spawn_blocking(move || drop(self))
            .await
            .is_err()
        {
            tracing::error!("the writer of a shard ended in a panic");
        }
    }

    async fn run_forever(&mut self) {
        let mut reported = None;
        loop {
            let Stopped::Damaged(damage) = self.follow().await else {
                continue;
            };
            if reported.as_ref() != Some(&damage) {
                tracing::error!(
                    shard = self.shard.number(),
                    from = damage.from,
                    to = damage.to,
                    remedy = damage.remedy,
                    "SHARD STOPPED: {}",
                    damage.message
                );
                reported = Some(damage.clone());
            }
            self.host
                .update(|progress| progress.state = State::Damaged(damage));
            // Whoever waits for mail is told at once that the answer may not be all.
            self.bells.ring_all();
            self.await_remedy().await;
        }
    }

    /// Applies events until the log is broken or the rows are swapped.
    async fn follow(&mut self) -> Stopped {
        let mut follower = Follower::new(self.shard.clone(), self.anchor);
        loop {
            let events = tokio::select! {
                biased;
                Some(swap) = self.swaps.recv() => {
                    self.take(swap);
                    return Stopped::Swapped;
                }
                events = follower.next() => events,
            };
            match events {
                Ok(events) if events.is_empty() => self.connected(follower.end()),
                Ok(events) => {
                    if let Err(damage) = self.apply(events).await {
                        return Stopped::Damaged(damage);
                    }
                }
                Err(LogError::Broken(Broken::Gap { from, to }))
                    if is_given_up(&self.given_up, from) =>
                {
                    let last = self
                        .given_up
                        .iter()
                        .filter(|range| range.0 <= from)
                        .map(|range| range.1)
                        .max();
                    let anchor = Anchor::given_up(self.anchor.epoch, last.unwrap_or(to).min(to));
                    if let Err(damage) = self.advance(Vec::new(), anchor).await {
                        return Stopped::Damaged(damage);
                    }
                    follower.skip_to(self.anchor);
                }
                Err(LogError::Broken(broken)) => {
                    return Stopped::Damaged(damage_of(self.shard.number(), &broken));
                }
                Err(LogError::Unreachable(error)) => {
                    tracing::debug!(shard = self.shard.number(), %error, "the log is not reachable");
                    self.host.update(|progress| {
                        if !progress.is_damaged() {
                            progress.state = State::Disconnected;
                        }
                    });
                }
            }
        }
    }

    /// The log is there again. Damage is over only when nothing is left behind it.
    fn connected(&self, end: u64) {
        let at_end = end <= self.anchor.sequence;
        self.host.update(|progress| match progress.state {
            State::Disconnected => {
                progress.state = if at_end {
                    State::Following
                } else {
                    State::CatchingUp
                }
            }
            State::Damaged(_) if at_end => progress.state = State::Following,
            _ => {}
        });
    }

    async fn apply(&mut self, events: Vec<StoredEvent>) -> Result<(), Damage> {
        while let Err(error) = self.keyring.load_for(&events).await {
            tracing::warn!(shard = self.shard.number(), %error, "data keys could not be loaded");
            tokio::time::sleep(WRITE_RETRY).await;
        }
        let after = self.anchor;
        self.advance(events, after).await
    }

    /// Writes `events`, or only moves the checkpoint to `after`, and tells everybody.
    async fn advance(&mut self, events: Vec<StoredEvent>, after: Anchor) -> Result<(), Damage> {
        let events = Arc::new(events);
        let written = loop {
            match self
                .writer
                .write(&self.store, Arc::clone(&events), &self.given_up, after)
                .await
            {
                Ok(written) => break written,
                Err(error) => {
                    tracing::error!(shard = self.shard.number(), %error, "rows could not be written");
                    tokio::time::sleep(WRITE_RETRY).await;
                }
            }
        };
        self.anchor = written.anchor;
        if self.host.is_served(&self.store) {
            self.host.update(|progress| {
                progress.epoch = written.anchor.epoch;
                progress.sequence = written.anchor.sequence;
                progress.state = State::Following;
            });
            self.bells.ring(&written.applied.touched);
        } else if written.anchor.sequence >= self.host.progress().sequence {
            self.serve_rebuilt();
        }
        match written.damaged {
            None => Ok(()),
            Some(sequence) => Err(Damage {
                message: format!(
                    "event {sequence} is not what was written there: its seal does not open"
                ),
                from: sequence,
                to: sequence,
                remedy: format!(
                    "put the shard's files back from a backup, or give this event up: postroad shard \
                     accept-damage --shard {} --from {sequence} --to {sequence}",
                    self.shard.number()
                ),
            }),
        }
    }

    /// Takes rebuilt rows as what is written to. They are read from once they are as far as the old
    /// ones, so that nobody sees time go back; at once when the old ones know what the log lost.
    fn take(&mut self, swap: Swap) {
        let old = self.host.progress();
        self.store = swap.store;
        self.anchor = swap.anchor;
        if old.is_damaged()
            || old.epoch != swap.anchor.epoch
            || swap.anchor.sequence >= old.sequence
        {
            self.serve_rebuilt();
        }
    }

    fn serve_rebuilt(&mut self) {
        self.host.serve(self.store.clone());
        let anchor = self.anchor;
        self.host.update(|progress| {
            *progress = Progress {
                epoch: anchor.epoch,
                sequence: anchor.sequence,
                state: State::Following,
            };
        });
        self.bells.ring_all();
        tracing::info!(
            shard = self.shard.number(),
            sequence = anchor.sequence,
            "rebuilt rows are served"
        );
    }

    /// Waits a while, or for rebuilt rows; then looks what was given up meanwhile.
    async fn await_remedy(&mut self) {
        tokio::select! {
            Some(swap) = self.swaps.recv() => self.take(swap),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        match given_up(&self.shard, &self.keyring, &self.subjects).await {
            Ok(ranges) => self.given_up = ranges,
            Err(error) => {
                tracing::debug!(shard = self.shard.number(), %error, "the log is not reachable");
            }
        }
    }
}

/// The ranges that an operator gave up in `shard`, from the last event that says so.
pub async fn given_up(
    shard: &Shard,
    keyring: &Keyring,
    subjects: &Subjects,
) -> Result<Vec<(u64, u64)>, LogError> {
    let subject = subjects.event(Owner::System, shard.number(), &AggregateKey::Shard);
    let Some(event) = shard.last_on_subject(&subject).await? else {
        return Ok(Vec::new());
    };
    if keyring
        .load_for(std::slice::from_ref(&event))
        .await
        .is_err()
    {
        return Ok(Vec::new());
    }
    match keyring.open_event(shard.number(), &event) {
        Opened::Event { record, .. } => match record.event {
            Event::DamageAccepted(accepted) => Ok(accepted.ranges),
            _ => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}
