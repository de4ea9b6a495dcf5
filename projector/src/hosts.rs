//! The shards that this projector serves: what is read from, how far it is, and its pipeline.

use crate::open::Opener;
use crate::pipeline::{Swap, with_causes};
use crate::progress::{Progress, State, another_log, wait_until, wait_until_end};
use crate::react::Stirred;
use crate::renew::Failure;
use crate::side::Sides;
use crate::store::{Store, StoreError};
use arc_swap::ArcSwap;
use postroad_log::{Home, Keyring, Shard};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, watch};

/// One shard as it is served.
#[derive(Debug)]
pub struct Host {
    shard: Shard,
    path: PathBuf,
    store: ArcSwap<Store>,
    sides: Sides,
    progress: watch::Sender<Progress>,
    swaps: mpsc::Sender<Swap>,
    failures: mpsc::Sender<Failure>,
    rebuilding: AtomicBool,
    /// Whether other rows were handed over that are not served yet.
    swapping: AtomicBool,
    stirred: Stirred,
}

/// The right to rebuild a shard. Dropping it gives it back.
#[derive(Debug)]
pub struct RebuildTurn(Arc<Host>);

impl Drop for RebuildTurn {
    fn drop(&mut self) {
        self.0.rebuilding.store(false, Ordering::Release);
    }
}

impl Host {
    /// Serves `store`, whose rows stand where `progress` says.
    pub(crate) fn new(
        shard: Shard,
        path: PathBuf,
        store: Store,
        sides: Sides,
        progress: Progress,
        swaps: mpsc::Sender<Swap>,
        failures: mpsc::Sender<Failure>,
    ) -> Self {
        Self {
            shard,
            path,
            store: ArcSwap::from_pointee(store),
            sides,
            progress: watch::Sender::new(progress),
            swaps,
            failures,
            rebuilding: AtomicBool::new(false),
            swapping: AtomicBool::new(false),
            stirred: Stirred::default(),
        }
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Where its rows lie.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What lies beside its rows.
    pub(crate) fn sides(&self) -> &Sides {
        &self.sides
    }

    /// Whose rows have changed so that something may follow.
    pub(crate) fn stirred(&self) -> &Stirred {
        &self.stirred
    }

    /// What is read from now.
    pub fn store(&self) -> Store {
        Store::clone(&self.store.load())
    }

    /// Whether `store` is what is read from.
    pub fn is_served(&self, store: &Store) -> bool {
        self.store.load().is_same(store)
    }

    /// Reads from `store` from now on.
    pub fn serve(&self, store: Store) {
        self.store.store(Arc::new(store));
        self.swapping.store(false, Ordering::Release);
    }

    /// Hands rows over to the pipeline, whose file is in place; they are served when they are as far as
    /// the old ones.
    ///
    /// # Errors
    /// When the pipeline has ended.
    pub async fn swap(&self, swap: Swap) -> Result<(), mpsc::error::SendError<Swap>> {
        self.swapping.store(true, Ordering::Release);
        self.swaps.send(swap).await
    }

    /// Whether there are no rows but those that are read from.
    fn has_one_file(&self) -> bool {
        // In this order: whoever rebuilds hands over before it ends.
        !self.rebuilding.load(Ordering::Acquire) && !self.swapping.load(Ordering::Acquire)
    }

    /// Whether the erase of the tenant in `scope` at `position` is applied and no file holds what it deleted.
    ///
    /// # Errors
    /// When the rows do not read.
    pub fn has_erased(&self, scope: &TenantScope, position: Position) -> Result<bool, StoreError> {
        if !self.has_one_file() {
            return Ok(false);
        }
        let now = self.progress();
        let applied = now.epoch == position.epoch && now.sequence >= position.sequence;
        Ok(applied && !self.store().holds_deleted()? && self.sides.are_rid_of(scope))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// The progress itself, to watch.
    pub fn watch(&self) -> &watch::Sender<Progress> {
        &self.progress
    }

    /// Changes the progress and wakes who waits for it.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// `store` did not read. When asking again cannot help, the pipeline folds the rows anew.
    pub fn did_not_read(&self, store: &Store, error: &StoreError) {
        if error.is_lasting() && self.is_served(store) {
            // Full: the pipeline is about to hear of it already.
            let _ = self.failures.try_send(Failure {
                store: store.clone(),
                message: with_causes(error),
            });
        }
    }

    /// Takes the right to rebuild; nothing while a rebuild runs.
    pub fn try_rebuild(self: &Arc<Self>) -> Option<RebuildTurn> {
        let free = self
            .rebuilding
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        free.then(|| RebuildTurn(Arc::clone(self)))
    }

    /// The word for what it is doing. Damage is told before a rebuild that may mend it.
    pub fn state_word(&self) -> &'static str {
        let state = self.progress().state;
        match state {
            State::Damaged(_) => state.word(),
            _ if self.rebuilding.load(Ordering::Acquire) => "rebuilding",
            _ => state.word(),
        }
    }

    /// Whether `position` is applied, or a damaged shard answers without it.
    pub fn has_reached(&self, position: Position) -> bool {
        let now = self.progress.borrow();
        now.is_damaged() || (now.epoch == position.epoch && now.sequence >= position.sequence)
    }

    /// Waits until `position` is applied.
    ///
    /// # Errors
    /// `invalid_argument` for a place that the log does not have: in another shard, in another
    /// incarnation, or behind its end. Otherwise as [`wait_until`].
    pub async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        if position.shard != self.shard.number() {
            return Err(another_log());
        }
        if self.has_reached(position) {
            return Ok(());
        }
        // A place that cannot come is refused at once, or waiting for it would cost the caller's neighbours.
        let extent = self
            .shard
            .extent()
            .await
            .map_err(|_| Refusal::unavailable("the log is not reachable"))?;
        if extent.last < position.sequence {
            return Err(another_log());
        }
        wait_until(&self.progress, position).await
    }

    /// Waits until what the log holds now is applied. A damaged shard does not wait.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn wait_for_end(&self) -> Result<(), Refusal> {
        if self.progress().is_damaged() {
            return Ok(());
        }
        let extent = self
            .shard
            .extent()
            .await
            .map_err(|_| Refusal::unavailable("the log is not reachable"))?;
        let end = Position {
            shard: self.shard.number(),
            epoch: extent.epoch,
            sequence: extent.last,
        };
        wait_until_end(&self.progress, end).await
    }

    /// Waits until the log was found to hold what the rows know and every event up to `end` is applied, or
    /// the shard is damaged.
    pub async fn caught_up(&self, end: u64) {
        let mut watching = self.progress.subscribe();
        // The sender lives as long as this host.
        let _ = watching
            .wait_for(|now| {
                now.is_damaged() || (now.sequence >= end && now.state == State::Following)
            })
            .await;
    }
}

/// Every shard by number, and where each tenant lives.
pub struct Hosts {
    by_number: RwLock<BTreeMap<u16, Arc<Host>>>,
    keyring: Keyring,
    opener: Opener,
    /// Shards that were added while this projector runs are opened one at a time.
    opening: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hosts")
    }
}

impl Hosts {
    /// Serves these shards, and whichever `opener` finds later.
    pub fn new(
        hosts: impl IntoIterator<Item = Arc<Host>>,
        keyring: Keyring,
        opener: Opener,
    ) -> Self {
        let hosts = hosts
            .into_iter()
            .map(|host| (host.shard().number(), host))
            .collect();
        Self {
            by_number: RwLock::new(hosts),
            keyring,
            opener,
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// All of them, by number.
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.by_number
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The keys and homes of tenants.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// One shard by number.
    ///
    /// # Errors
    /// `not_found`.
    pub fn shard(&self, number: u16) -> Result<Arc<Host>, Refusal> {
        let hosts = self
            .by_number
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        hosts
            .get(&number)
            .cloned()
            .ok_or_else(|| Refusal::not_found("shard", "shard"))
    }

    /// The shard in which a tenant lives.
    ///
    /// # Errors
    /// `unauthenticated` when there is no such tenant: its credentials outlived it.
    pub async fn of(&self, scope: &TenantScope) -> Result<(Home, Arc<Host>), Refusal> {
        let home = if let Some(home) = self.keyring.home(scope.owner()) {
            home
        } else {
            self.keyring
                .refresh()
                .await
                .map_err(|_| Refusal::unavailable("the log is not reachable"))?;
            self.keyring.home(scope.owner()).ok_or_else(no_tenant)?
        };
        match self.shard(home.shard) {
            Ok(host) => Ok((home, host)),
            Err(_) => Ok((home, self.open_added(home.shard).await?)),
        }
    }

    /// Opens a shard that was added since this projector started.
    async fn open_added(&self, number: u16) -> Result<Arc<Host>, Refusal> {
        let _turn = self.opening.lock().await;
        if let Ok(host) = self.shard(number) {
            return Ok(host);
        }
        let host = self.opener.open(number).await.map_err(|error| {
            tracing::error!(shard = number, %error, "a shard that was added cannot be opened");
            Refusal::unavailable(format!("shard {number} cannot be opened now"))
        })?;
        self.by_number
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, Arc::clone(&host));
        Ok(host)
    }

    /// Waits until `position` is applied.
    ///
    /// # Errors
    /// As [`Host::wait_for`].
    pub async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        self.shard(position.shard)
            .map_err(|_| another_log())?
            .wait_for(position)
            .await
    }
}

/// The refusal of a credential whose tenant does not exist.
pub fn no_tenant() -> Refusal {
    Refusal::new(
        ErrorCode::Unauthenticated,
        "there is no tenant for this credential",
        "ask the operator for a credential",
    )
}
