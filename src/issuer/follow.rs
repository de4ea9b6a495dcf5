//! Follows every shard's roster events into the [`Ledger`]. Owns how far that has come; never signs.

use super::ledger::Ledger;
use async_nats::jetstream::context::Context;
use postroad_log::{
    Follower, Keyring, KeyringError, LogError, Opened, Shard, StoredEvent, streams,
};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::Event;
use postroad_protocol::limits::POSITION_WAIT_MS;
use postroad_protocol::position::Position;
use postroad_protocol::subject::Subjects;
use postroad_protocol::tenancy::replay::StoredFor;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long a request waits for the fold to reach what it needs.
const FOLD_WAIT: Duration = Duration::from_millis(POSITION_WAIT_MS);
/// Pause after a failure that the follower does not pause after by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The ledger, and the folds that keep it.
#[derive(Debug)]
pub(crate) struct Following {
    context: Context,
    subjects: Subjects,
    keyring: Keyring,
    shared: Arc<Shared>,
    /// Last folded sequence of each followed shard.
    folded: tokio::sync::Mutex<BTreeMap<u16, (Shard, watch::Receiver<u64>)>>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Rung when somebody has to be refused who was not before.
    changed: Notify,
}

/// Why the log cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FollowError {
    /// It cannot be read, or is not the log that was followed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// NATS does not answer.
    #[error(transparent)]
    Unreachable(#[from] postroad_log::Unreachable),
    /// The data keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeyringError),
}

impl Following {
    /// Follows every shard that there is, and returns once all that was stored before is folded.
    ///
    /// # Errors
    /// [`FollowError`].
    pub(crate) async fn start(
        context: Context,
        subjects: Subjects,
        keyring: Keyring,
    ) -> Result<Self, FollowError> {
        let following = Self {
            context,
            subjects,
            keyring,
            shared: Arc::default(),
            folded: tokio::sync::Mutex::default(),
        };
        following.follow_new().await?;
        Ok(following)
    }

    /// Follows the shards that were added since.
    ///
    /// # Errors
    /// [`FollowError`].
    pub(crate) async fn follow_new(&self) -> Result<(), FollowError> {
        // Held throughout: a shard is followed once.
        let mut folded = self.folded.lock().await;
        for shard in streams::list_shards(&self.context).await? {
            if let Entry::Vacant(place) = folded.entry(shard.number()) {
                let reached = self.follow(shard.clone()).await?;
                place.insert((shard, reached));
            }
        }
        Ok(())
    }

    async fn follow(&self, shard: Shard) -> Result<watch::Receiver<u64>, FollowError> {
        let filter = ["agent", "erased"]
            .map(|aggregate| self.subjects.shard_aggregate(shard.number(), aggregate))
            .to_vec();
        let mut end = 0;
        for subject in &filter {
            let last = shard.leader_last_on_subject(subject).await?;
            end = end.max(last.map_or(0, |event| event.sequence));
        }
        let (report, folded) = watch::channel(0);
        let mut fold = Fold {
            shard: shard.number(),
            follower: Follower::filtered(shard, filter),
            read: Vec::new(),
            keyring: self.keyring.clone(),
            shared: Arc::clone(&self.shared),
            report,
        };
        while *folded.borrow() < end {
            fold.step().await?;
        }
        tokio::spawn(fold.run());
        Ok(folded)
    }

    /// The ledger as far as it is folded.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// Waits until somebody has to be refused who was not before.
    pub(crate) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Waits until the roster event at `position` is folded.
    ///
    /// # Errors
    /// `not_found` for a place in no log of ours, `unavailable` when it takes too long.
    pub(crate) async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let behind = |_| Refusal::unavailable("the issuer is behind the log");
        if !self.folded.lock().await.contains_key(&position.shard) {
            self.follow_new().await.map_err(behind)?;
        }
        let (shard, mut reached) = self
            .folded
            .lock()
            .await
            .get(&position.shard)
            .cloned()
            .filter(|(shard, _)| shard.epoch() == position.epoch)
            .ok_or_else(|| Refusal::not_found("position", "place in the log"))?;
        let waited = reached.wait_for(|sequence| *sequence >= position.sequence);
        if let Ok(Ok(_)) = tokio::time::timeout(FOLD_WAIT, waited).await {
            return Ok(());
        }
        let shard = shard.number();
        Err(Refusal::unavailable(format!(
            "the issuer is behind the log of shard {shard}"
        )))
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fold of one shard.
struct Fold {
    shard: u16,
    follower: Follower,
    /// Read and not folded yet.
    read: Vec<StoredEvent>,
    keyring: Keyring,
    shared: Arc<Shared>,
    report: watch::Sender<u64>,
}

impl Fold {
    async fn run(mut self) {
        while !self.report.is_closed() {
            match self.step().await {
                Ok(()) => {}
                // The follower pauses by itself before it tries again.
                Err(FollowError::Log(LogError::Unreachable(error))) => {
                    tracing::debug!(shard = self.shard, %error, "the issuer waits for the log");
                }
                Err(error) => {
                    tracing::error!(shard = self.shard, %error, "the issuer cannot follow the log");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), FollowError> {
        if self.read.is_empty() {
            self.read = self.follower.next().await?;
        }
        // The follower has moved on, so these events are kept until their keys are there.
        self.keyring.load_for(&self.read).await?;
        for event in std::mem::take(&mut self.read) {
            self.take(&event);
            self.report.send_replace(event.sequence);
        }
        Ok(())
    }

    fn take(&self, event: &StoredEvent) {
        match self.keyring.open_event(self.shard, event) {
            Opened::Event { stored_for, record } => {
                let is_new = match (&stored_for, &record.event) {
                    (StoredFor::Tenant(owner), _) => self.shared.ledger().apply(owner, &record),
                    (StoredFor::System, Event::TenantErased(erased)) => {
                        self.shared.ledger().erase(erased)
                    }
                    (StoredFor::System, _) => false,
                };
                if is_new {
                    self.shared.changed.notify_one();
                }
            }
            Opened::Erased => {}
            Opened::Damaged | Opened::Undecodable { .. } => {
                let sequence = event.sequence;
                tracing::warn!(
                    shard = self.shard,
                    sequence,
                    "a roster event cannot be read"
                );
            }
        }
    }
}
