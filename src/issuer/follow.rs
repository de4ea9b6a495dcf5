//! Follows every shard's roster events into the [`Ledger`]. Owns how far that has come; never signs.

use super::ledger::Ledger;
use async_nats::jetstream::context::Context;
use postroad_log::{Fold, FoldError, Keyring, LogError, Opened, Shard, StoredEvent, streams};
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
use tokio::sync::Notify;

/// How long a request waits for the fold to reach what it needs.
const FOLD_WAIT: Duration = Duration::from_millis(POSITION_WAIT_MS);

/// The ledger, and the folds that keep it.
#[derive(Debug)]
pub(crate) struct Following {
    context: Context,
    subjects: Subjects,
    keyring: Keyring,
    shared: Arc<Shared>,
    /// The fold of each followed shard.
    folds: tokio::sync::Mutex<BTreeMap<u16, Fold>>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Rung when somebody has to be refused who was not before.
    changed: Notify,
}

impl Following {
    /// Follows every shard that there is, and returns once all that was stored before is folded.
    ///
    /// # Errors
    /// [`FoldError`].
    pub(crate) async fn start(
        context: Context,
        subjects: Subjects,
        keyring: Keyring,
    ) -> Result<Self, FoldError> {
        let following = Self {
            context,
            subjects,
            keyring,
            shared: Arc::default(),
            folds: tokio::sync::Mutex::default(),
        };
        following.follow_new().await?;
        Ok(following)
    }

    /// Follows the shards that were added since.
    ///
    /// # Errors
    /// [`FoldError`].
    pub(crate) async fn follow_new(&self) -> Result<(), FoldError> {
        // Held throughout: a shard is followed once.
        let mut folds = self.folds.lock().await;
        for shard in streams::list_shards(&self.context)
            .await
            .map_err(LogError::from)?
        {
            if let Entry::Vacant(place) = folds.entry(shard.number()) {
                place.insert(self.follow(shard).await?);
            }
        }
        Ok(())
    }

    async fn follow(&self, shard: Shard) -> Result<Fold, FoldError> {
        let number = shard.number();
        let filter = ["agent", "erased"]
            .map(|aggregate| self.subjects.shard_aggregate(number, aggregate))
            .to_vec();
        let (into, keyring) = (Arc::clone(&self.shared), self.keyring.clone());
        let take = move |events: &[StoredEvent]| {
            for event in events {
                into.take(&keyring, number, event);
            }
        };
        Fold::follow(shard, filter, self.keyring.clone(), "the issuer", take).await
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
        if !self.folds.lock().await.contains_key(&position.shard) {
            self.follow_new().await.map_err(behind)?;
        }
        let mut reached = self
            .folds
            .lock()
            .await
            .get(&position.shard)
            .filter(|fold| fold.shard().epoch() == position.epoch)
            .map(Fold::reached)
            .ok_or_else(|| Refusal::not_found("position", "place in the log"))?;
        let waited = reached.wait_for(|sequence| *sequence >= position.sequence);
        if let Ok(Ok(_)) = tokio::time::timeout(FOLD_WAIT, waited).await {
            return Ok(());
        }
        let shard = position.shard;
        Err(Refusal::unavailable(format!(
            "the issuer is behind the log of shard {shard}"
        )))
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one roster event of shard `shard`.
    fn take(&self, keyring: &Keyring, shard: u16, event: &StoredEvent) {
        match keyring.open_event(shard, event) {
            Opened::Event { stored_for, record } => {
                let is_new = match (&stored_for, &record.event) {
                    (StoredFor::Tenant(owner), _) => self.ledger().apply(owner, &record),
                    (StoredFor::System, Event::TenantErased(erased)) => self.ledger().erase(erased),
                    (StoredFor::System, _) => false,
                };
                if is_new {
                    self.changed.notify_one();
                }
            }
            Opened::Erased => {}
            Opened::Damaged | Opened::Undecodable { .. } => {
                let sequence = event.sequence;
                tracing::warn!(shard, sequence, "a roster event cannot be read");
            }
        }
    }
}
