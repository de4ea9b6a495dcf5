//! Every tenant's roster and life in memory: the fold of the log's events about them, rebuilt at start and
//! followed from then on. Before a name is refused it catches up with the log, as the stream's leader
//! has it. Never writes.

use crate::aggregate::life::Life;
use crate::aggregate::roster::Roster;
use crate::error::StartError;
use postroad_log::{Fold, Keyring, Opened, Shard, StoredEvent};
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

/// How long a command waits for the fold to reach what it needs.
const FOLD_WAIT: Duration = Duration::from_millis(POSITION_WAIT_MS);

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
        let (tenants, keyring) = (Arc::clone(&self.tenants), self.keyring.clone());
        let take = move |events: &[StoredEvent]| take(&tenants, &keyring, number, events);
        let fold = Fold::follow(shard, filter, self.keyring.clone(), "the directory", take).await;
        let fold = fold.map_err(|error| StartError::fold(number, error))?;
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
        Some(fold.shard().position(*fold.reached().borrow()))
    }

    /// Waits until the event at `position` is folded; it must be one that the fold reads.
    ///
    /// # Errors
    /// `unavailable` when that takes too long.
    pub(crate) async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let behind = || Refusal::unavailable("the directory is behind the log");
        let mut folded = {
            let folds = self.folds.read().unwrap_or_else(PoisonError::into_inner);
            folds.get(&position.shard).ok_or_else(behind)?.reached()
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
            folds.get(&shard).map(|fold| fold.shard().clone())
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

/// Takes events of shard `shard`.
fn take(tenants: &Tenants, keyring: &Keyring, shard: u16, events: &[StoredEvent]) {
    let opened = events.iter().map(|event| {
        let opened = keyring.open_event(shard, event);
        if let Some(erased) = destroyed(&opened) {
            // What was sealed under its keys and comes behind this opens for nobody.
            keyring.withdraw(&erased.tenant, erased.generation);
        }
        (event.sequence, opened)
    });
    let opened: Vec<(u64, Opened)> = opened.collect();
    let mut tenants = tenants.write().unwrap_or_else(PoisonError::into_inner);
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
                tracing::warn!(shard, sequence, "a roster event cannot be read");
            }
        }
    }
}
