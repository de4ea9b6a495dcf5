//! The shards that this projector serves: what is read from, how far it is, and its pipeline.

use crate::progress::{Progress, State, another_log, wait_until};
use crate::store::Store;
use arc_swap::ArcSwap;
use postroad_log::{Home, Keyring, Shard};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// One shard as it is served.
#[derive(Debug)]
pub struct Host {
    shard: Shard,
    path: PathBuf,
    store: ArcSwap<Store>,
    progress: watch::Sender<Progress>,
    swaps: mpsc::Sender<crate::pipeline::Swap>,
    rebuilding: tokio::sync::Mutex<()>,
}

impl Host {
    /// Serves `store`, whose rows stand where `progress` says.
    pub fn new(
        shard: Shard,
        path: PathBuf,
        store: Store,
        progress: Progress,
        swaps: mpsc::Sender<crate::pipeline::Swap>,
    ) -> Self {
        Self {
            shard,
            path,
            store: ArcSwap::from_pointee(store),
            progress: watch::Sender::new(progress),
            swaps,
            rebuilding: tokio::sync::Mutex::new(()),
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

    /// The way to the pipeline, for rebuilt rows.
    pub fn swaps(&self) -> &mpsc::Sender<crate::pipeline::Swap> {
        &self.swaps
    }

    /// Takes the right to rebuild; nothing while a rebuild runs.
    pub fn try_rebuild(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.rebuilding.try_lock().ok()
    }

    /// The word for what it is doing.
    pub fn state_word(&self) -> &'static str {
        if self.rebuilding.try_lock().is_err() {
            "rebuilding"
        } else {
            self.progress().state.word()
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
        let progress = self.progress();
        if progress.epoch != extent.epoch {
            return Ok(());
        }
        wait_until(&self.progress, self.shard.position(extent.last)).await
    }

    /// Waits until every event before the start of this process is applied, or the shard is damaged.
    pub async fn caught_up(&self, end: u64) {
        let mut watching = self.progress.subscribe();
        // The sender lives as long as this host.
        let _ = watching
            .wait_for(|now| now.is_damaged() || now.sequence >= end)
            .await;
        self.update(|progress| {
            if progress.state == State::CatchingUp {
                progress.state = State::Following;
            }
        });
    }
}

/// Every shard by number, and where each tenant lives.
#[derive(Debug)]
pub struct Hosts {
    hosts: BTreeMap<u16, Arc<Host>>,
    keyring: Keyring,
}

impl Hosts {
    /// Serves these shards.
    pub fn new(hosts: impl IntoIterator<Item = Arc<Host>>, keyring: Keyring) -> Self {
        Self {
            hosts: hosts
                .into_iter()
                .map(|host| (host.shard().number(), host))
                .collect(),
            keyring,
        }
    }

    /// All of them, by number.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.hosts.values()
    }

    /// The keys and homes of tenants.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// One shard by number.
    ///
    /// # Errors
    /// `not_found`.
    pub fn shard(&self, number: u16) -> Result<&Arc<Host>, Refusal> {
        self.hosts
            .get(&number)
            .ok_or_else(|| Refusal::not_found("shard", "shard"))
    }

    /// The shard in which a tenant lives.
    ///
    /// # Errors
    /// `unauthenticated` when there is no such tenant: its credentials outlived it.
    pub async fn of(&self, scope: &TenantScope) -> Result<(Home, &Arc<Host>), Refusal> {
        let home = if let Some(home) = self.keyring.home(scope.owner()) {
            home
        } else {
            self.keyring
                .refresh()
                .await
                .map_err(|_| Refusal::unavailable("the log is not reachable"))?;
            self.keyring.home(scope.owner()).ok_or_else(no_tenant)?
        };
        let host = self.hosts.get(&home.shard).ok_or_else(|| {
            Refusal::unavailable("this projector does not serve the tenant's shard")
        })?;
        Ok((home, host))
    }

    /// Waits until `position` is applied.
    ///
    /// # Errors
    /// As [`wait_until`].
    pub async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        match self.hosts.get(&position.shard) {
            Some(host) => host.wait_for(position).await,
            None => Err(Refusal::invalid(
                "position",
                "there is no such shard",
                "call again without a position",
            )),
        }
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
