//! Every tenant's roster and life in memory: the fold of the log's events about them, rebuilt at start and
//! followed from then on. Before a name is refused it catches up with the log, as the stream's leader
//! has it. Never writes.

use crate::aggregate::life::Life;
use crate::aggregate::roster::Roster;
use crate::error::StartError;
use postroad_log::{Follower, Keyring, KeyringError, LogError, Opened, Shard, StoredEvent};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Event, TenantErased};
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::POSITION_WAIT_MS;
use postroad_protocol::position::Position;
use postroad_protocol::subject::{AggregateKey, Subjects};
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::tenancy::replay::StoredFor;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How long a command waits for the fold to reach what it needs.
const FOLD_WAIT: Duration = Duration::from_millis(POSITION_WAIT_MS);
/// Pause after keys could not be loaded.
const PAUSE: Duration = Duration::from_secs(1);

/// Rosters of every tenant in every followed shard.
#[derive(Debug)]
pub(crate) struct Directory {
    subjects: Subjects,
    keyring: Keyring,
    tenants: Arc<Tenants>,
    folds: RwLock<BTreeMap<u16, Fold>>,
}

type Tenants = RwLock<HashMap<TenantScope, Known>>;

/// What is known of one tenant.
#[derive(Debug, Default)]
struct Known {
    roster: Roster,
    life: Life,
}

#[derive(Debug)]
struct Fold {
    shard: Shard,
    /// Last sequence that was folded.
    folded: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Directory {
    /// An empty directory.
    pub(crate) fn new(subjects: Subjects, keyring: Keyring) -> Self {
        Self {
            subjects,
            keyring,
            tenants: Arc::default(),
            folds: RwLock::default(),
        }
    }

    /// Follows `shard`, and returns once everything is folded that was stored before.
    ///
    /// # Errors
    /// [`StartError`] when that cannot be known.
    pub(crate) async fn follow(&self, shard: Shard) -> Result<(), StartError> {
        let number = shard.number();
        let filter: Vec<String> = ["agent", "tenant", "erased"]
            .map(|aggregate| self.subjects.shard_aggregate(number, aggregate))
            .to_vec();
        let mut end = 0;
        for subject in &filter {
            let last = shard.leader_last_on_subject(subject).await?;
            end = end.max(last.map_or(0, |event| event.sequence));
        }
        let (report, folded) = watch::channel(0);
        let mut folding = Folding {
            follower: Follower::filtered(shard.clone(), filter),
            read: Vec::new(),
            keyring: self.keyring.clone(),
            shard: number,
            tenants: self.tenants.clone(),
            report,
        };
        while *folded.borrow() < end {
            folding.step().await.map_err(|error| error.at(number))?;
        }
        let fold = Fold {
            shard,
            folded,
            task: tokio::spawn(folding.run()),
        };
        let mut folds = self.folds.write().unwrap_or_else(PoisonError::into_inner);
        folds.insert(number, fold);
        Ok(())
    }

    /// Reads the roster of `scope` as far as it is folded; an empty one where nothing is.
    pub(crate) fn with<R>(&self, scope: &TenantScope, read: impl FnOnce(&Roster) -> R) -> R {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        match tenants.get(scope) {
            Some(known) => read(&known.roster),
            None => read(&Roster::default()),
        }
    }

    /// Whether a credential of another tenant than `scope` is for `public_key`.
    pub(crate) fn is_key_elsewhere(&self, scope: &TenantScope, public_key: &str) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = tenants.iter().filter(|(owner, _)| *owner != scope);
        others.any(|(_, known)| known.roster.holder(public_key).is_some())
    }

    /// Revoked keys of all tenants whose credentials have not expired at `now`.
    pub(crate) fn revoked(&self, now: TimeMs) -> usize {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants
            .values()
            .map(|known| known.roster.revoked(now))
            .sum()
    }

    /// Reads the life of `scope` as far as it is folded; one of nothing where nothing is.
    pub(crate) fn life<R>(&self, scope: &TenantScope, read: impl FnOnce(&Life) -> R) -> R {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        match tenants.get(scope) {
            Some(known) => read(&known.life),
            None => read(&Life::default()),
        }
    }

    /// How far `shard` is folded.
    pub(crate) fn position(&self, shard: u16) -> Option<Position> {
        let folds = self.folds.read().unwrap_or_else(PoisonError::into_inner);
        let fold = folds.get(&shard)?;
        Some(fold.shard.position(*fold.folded.borrow()))
    }

    /// Waits until the event at `position` is folded; it must be one that the fold reads.
    ///
    /// # Errors
    /// `unavailable` when that takes too long.
    pub(crate) async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let behind = || Refusal::unavailable("the directory is behind the log");
        let mut folded = {
            let folds = self.folds.read().unwrap_or_else(PoisonError::into_inner);
            folds
                .get(&position.shard)
                .ok_or_else(behind)?
                .folded
                .clone()
        };
        let reached = folded.wait_for(|sequence| *sequence >= position.sequence);
        match tokio::time::timeout(FOLD_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(behind()),
        }
    }

    /// Waits until everything is folded that the log holds now of every role in `shard`.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub(crate) async fn catch_up_all(&self, shard: u16) -> Result<(), Refusal> {
        let every_role = self.subjects.shard_aggregate(shard, "agent");
        self.catch_up_with(shard, &every_role).await.map(drop)
    }

    /// Waits until everything is folded that the log holds now of one aggregate; says where that ends.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be asked, or the fold is too slow.
    pub(crate) async fn catch_up(
        &self,
        scope: &TenantScope,
        shard: u16,
        aggregate: &AggregateKey,
    ) -> Result<u64, Refusal> {
        let subject = self.subjects.event(scope.owner(), shard, aggregate);
        self.catch_up_with(shard, &subject).await
    }

    async fn catch_up_with(&self, shard: u16, subject: &str) -> Result<u64, Refusal> {
        let handle = {
            let folds = self.folds.read().unwrap_or_else(PoisonError::into_inner);
            folds.get(&shard).map(|fold| fold.shard.clone())
        };
        let unreachable = || Refusal::unavailable(format!("shard {shard} cannot be read now"));
        let handle = handle.ok_or_else(unreachable)?;
        let last = handle
            .leader_last_on_subject(subject)
            .await
            .map_err(|_| unreachable())?;
        let Some(last) = last else {
            return Ok(0);
        };
        self.wait_for(handle.position(last.sequence)).await?;
        Ok(last.sequence)
    }
}

/// The erase whose keys are destroyed by now, if that is what an event says.
fn destroyed(opened: &Opened) -> Option<&TenantErased> {
    match opened {
        Opened::Event {
            stored_for: StoredFor::System,
            record,
        } => match &record.event {
            Event::TenantErased(erased) => erased.key_destroyed.then_some(erased),
            _ => None,
        },
        _ => None,
    }
}

/// The fold of one shard.
struct Folding {
    follower: Follower,
    /// Read and not folded yet.
    read: Vec<StoredEvent>,
    keyring: Keyring,
    shard: u16,
    tenants: Arc<Tenants>,
    report: watch::Sender<u64>,
}

/// Why a step of the fold came to nothing.
#[derive(Debug)]
enum Stuck {
    Log(LogError),
    Keys(KeyringError),
}

impl Stuck {
    fn at(self, shard: u16) -> StartError {
        match self {
            Self::Log(source) => StartError::Log { shard, source },
            Self::Keys(error) => StartError::Keys(error),
        }
    }
}

impl Folding {
    async fn run(mut self) {
        loop {
            match self.step().await {
                Ok(()) => {}
                // The follower pauses by itself before it tries again.
                Err(Stuck::Log(LogError::Unreachable(error))) => {
                    tracing::debug!(shard = self.shard, %error, "the directory waits for the log");
                }
                Err(Stuck::Log(error)) => {
                    tracing::error!(shard = self.shard, %error, "the directory cannot follow the log");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Stuck::Keys(error)) => {
                    tracing::error!(shard = self.shard, %error, "the directory cannot load data keys");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Stuck> {
        if self.read.is_empty() {
            self.read = self.follower.next().await.map_err(Stuck::Log)?;
        }
        // The follower has moved on, so these events are kept until their keys are there.
        self.keyring
            .load_for(&self.read)
            .await
            .map_err(Stuck::Keys)?;
        let events = std::mem::take(&mut self.read);
        self.fold(&events);
        Ok(())
    }

    fn fold(&self, events: &[StoredEvent]) {
        let opened = events.iter().map(|event| {
            let opened = self.keyring.open_event(self.shard, event);
            if let Some(erased) = destroyed(&opened) {
                // What was sealed under its keys and comes behind this opens for nobody.
                self.keyring.withdraw(&erased.tenant, erased.generation);
            }
            (event.sequence, opened)
        });
        let opened: Vec<(u64, Opened)> = opened.collect();
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        for (sequence, opened) in opened {
            if let Some(erased) = destroyed(&opened) {
                tenants.retain(|scope, _| *scope.tenant() != erased.tenant);
            }
            match opened {
                Opened::Event {
                    stored_for: StoredFor::Tenant(scope),
                    record,
                } => {
                    let known = tenants.entry(scope).or_default();
                    known.roster.apply(sequence, &record);
                    known.life.apply(sequence, &record);
                }
                Opened::Event { .. } | Opened::Erased => {}
                Opened::Damaged | Opened::Undecodable { .. } => {
                    tracing::warn!(
                        shard = self.shard,
                        sequence,
                        "a roster event cannot be read"
                    );
                }
            }
        }
        drop(tenants);
        if let Some(last) = events.last() {
            self.report.send_replace(last.sequence);
        }
    }
}
