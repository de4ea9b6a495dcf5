//! The data keys of every tenant, as far as they were needed: unwrapped in memory, kept wrapped in
//! the keys stream, which is also the register of which tenant lives in which shard.
//! Opens stored events; sealing is done by whoever appends, and what is written to that stream is
//! `register`'s.

mod load;

use crate::error::Unreachable;
use crate::stored::StoredEvent;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;
use postroad_protocol::envelope::{Record, Unreadable};
use postroad_protocol::id::TenantId;
use postroad_protocol::seal::{DataKey, KeyId, KeyRecord, MasterKey, Stage};
use postroad_protocol::subject::{Owner, SYSTEM, Subjects};
use postroad_protocol::tenancy::replay::{StoredFor, stored_for};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Where a tenant lives, and which creation of its name this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its shard.
    pub shard: u16,
    /// Its current data key; the generation counts creations of the name.
    pub key_id: KeyId,
}

/// The key with which an owner's next event is sealed.
#[derive(Clone, Debug)]
pub struct OwnerKey {
    /// Where the owner lives.
    pub home: Home,
    /// The key.
    pub key: DataKey,
}

/// What opening a stored event gives.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are events, and boxing each would cost an allocation"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The event.
    Event {
        /// Whose.
        stored_for: StoredFor,
        /// What happened.
        record: Record,
    },
    /// Its key was destroyed with its tenant.
    Erased,
    /// It is not what was written there.
    Damaged,
    /// The seal is good, but this build does not know the type or version.
    Undecodable {
        /// Whose.
        stored_for: StoredFor,
        /// The stored name and version.
        what: String,
    },
}

/// Why a data key could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Try again.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The master key is not the one under which this deployment's keys were wrapped.
    #[error(
        "the master key does not open the key of record {sequence}: this is another deployment's master key, or the record is damaged"
    )]
    WrongMaster {
        /// Sequence in the keys stream.
        sequence: u64,
    },
    /// The owner is being erased; its name is free again when that has ended.
    #[error("the tenant is being erased")]
    Erasing,
}

/// Keys by owner. Cheap to clone; clones share what they have loaded.
#[derive(Clone)]
pub struct Keyring {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

pub(crate) struct Inner {
    pub(crate) context: Context,
    pub(crate) stream: Stream<()>,
    pub(crate) subjects: Subjects,
    pub(crate) master: MasterKey,
    owners: RwLock<Owners>,
    /// Last sequence of the keys stream that is loaded; the lock also makes loads take turns.
    loaded: tokio::sync::Mutex<u64>,
}

#[derive(Default)]
pub(crate) struct Owners {
    by_name: HashMap<String, OwnerKeys>,
    /// The tenants among them, in order.
    tenants: BTreeSet<TenantId>,
    /// Owners with a record that does not even say which key it holds, and its sequence.
    pub(crate) garbled: HashMap<String, u64>,
}

struct OwnerKeys {
    shard: u16,
    current: KeyId,
    stage: Stage,
    /// Keys of this generation of the name, and of those before it, are destroyed.
    destroyed: Option<u32>,
    /// Sequence of the owner's last record.
    last: u64,
    keys: BTreeMap<KeyId, Held>,
}

impl OwnerKeys {
    fn new(record: &KeyRecord) -> Self {
        Self {
            shard: record.shard,
            current: record.key,
            stage: record.stage,
            destroyed: None,
            last: 0,
            keys: BTreeMap::new(),
        }
    }

    fn held(&self, key: KeyId) -> Option<&Held> {
        if self.destroyed.is_some_and(|last| key.generation <= last) {
            return Some(&Held::Destroyed);
        }
        self.keys.get(&key)
    }

    /// Destroys every key up to `generation`, as far as it is in memory.
    fn destroy(&mut self, generation: u32) {
        self.destroyed = self.destroyed.max(Some(generation));
        self.keys.retain(|key, _| key.generation > generation);
    }

    fn home(&self) -> Home {
        Home {
            shard: self.shard,
            key_id: self.current,
        }
    }

    fn live_home(&self) -> Option<Home> {
        (self.stage == Stage::Live).then(|| self.home())
    }
}

/// What the keys stream says of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Where it lives or lived, and its last key.
    pub home: Home,
    /// How far its life has come.
    pub stage: Stage,
    /// Sequence of its last record.
    pub(crate) last: u64,
}

/// A data key as its record gave it.
enum Held {
    Key(DataKey),
    /// It was destroyed with its tenant.
    Destroyed,
    /// The master key does not open the record at this sequence of the keys stream.
    Unreadable(u64),
}

/// What is known of the key that an event needs.
enum Need {
    Met,
    /// No record of it was read yet.
    Missing,
    /// Its record is there and does not open.
    Unreadable(u64),
}

impl Owners {
    fn need(&self, owner: &str, key: KeyId) -> Need {
        let held = self.by_name.get(owner).and_then(|found| found.held(key));
        match (held, self.garbled.get(owner)) {
            (Some(Held::Key(_) | Held::Destroyed), _) => Need::Met,
            (Some(Held::Unreadable(sequence)), _) | (None, Some(sequence)) => {
                Need::Unreadable(*sequence)
            }
            (None, None) => Need::Missing,
        }
    }
}

impl Keyring {
    pub(crate) fn read_owners(&self) -> RwLockReadGuard<'_, Owners> {
        self.inner
            .owners
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write_owners(&self) -> RwLockWriteGuard<'_, Owners> {
        self.inner
            .owners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the keys of a tenant up to `generation`, because the log says that they are destroyed:
    /// whoever missed that in the keys stream must not open with them what comes late.
    pub fn withdraw(&self, tenant: &TenantId, generation: u32) {
        let mut owners = self.write_owners();
        if let Some(keys) = owners.by_name.get_mut(tenant.as_str()) {
            keys.destroy(generation);
            if keys.current.generation <= generation {
                keys.stage = keys.stage.max(Stage::Destroyed);
            }
        }
    }

    /// The key with which the next event of `owner` is sealed; nothing when it is not loaded.
    pub fn current(&self, owner: Owner<'_>) -> Option<OwnerKey> {
        let owners = self.read_owners();
        let found = owners.by_name.get(owner.token())?;
        let home = found.live_home()?;
        let Held::Key(key) = found.keys.get(&found.current)? else {
            return None;
        };
        let key = key.clone();
        Some(OwnerKey { home, key })
    }

    /// Where `owner` lives; nothing when it is not loaded, and once its erase began.
    pub fn home(&self, owner: Owner<'_>) -> Option<Home> {
        self.read_owners().by_name.get(owner.token())?.live_home()
    }

    /// What is known of `owner`, also when it does not live any more.
    pub fn registered(&self, owner: Owner<'_>) -> Option<Registered> {
        let owners = self.read_owners();
        let found = owners.by_name.get(owner.token())?;
        Some(Registered {
            home: found.home(),
            stage: found.stage,
            last: found.last,
        })
    }

    /// Every tenant that is loaded and lives, by name.
    pub fn homes(&self) -> Vec<(TenantId, Home)> {
        let tenants = self.tenants().into_iter();
        let live = tenants.filter(|(.., stage)| *stage == Stage::Live);
        live.map(|(name, home, _)| (name, home)).collect()
    }

    /// Every tenant that is loaded and not quite gone, by name.
    pub fn tenants(&self) -> Vec<(TenantId, Home, Stage)> {
        let owners = self.read_owners();
        let named = owners.by_name.iter().filter(|(name, _)| *name != SYSTEM);
        let there = named.filter(|(_, found)| found.stage != Stage::Erased);
        let mut tenants: Vec<_> = there
            .filter_map(|(name, found)| {
                Some((TenantId::parse(name).ok()?, found.home(), found.stage))
            })
            .collect();
        tenants.sort_by(|left, right| left.0.cmp(&right.0));
        tenants
    }

    /// The next `limit` tenants in order of name from `start` on. Those whose key was destroyed are no more.
    pub fn tenants_from(&self, start: Bound<&TenantId>, limit: usize) -> Vec<TenantId> {
        let owners = self.read_owners();
        let is_there = |tenant: &&TenantId| {
            let found = owners.by_name.get(tenant.as_str());
            let held = found.and_then(|found| found.keys.get(&found.current));
            !matches!(held, None | Some(Held::Destroyed))
        };
        owners
            .tenants
            .range::<TenantId, _>((start, Bound::Unbounded))
            .filter(is_there)
            .take(limit)
            .cloned()
            .collect()
    }

    /// Loads the keys that `events` need, where they are not loaded yet. A record that does not open is
    /// no error of all of them: what it sealed opens as [`Opened::Damaged`], which can be given up, and
    /// [`Self::unreadable_record`] says why.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn load_for(&self, events: &[StoredEvent]) -> Result<(), KeyringError> {
        let is_met = |event| matches!(self.need_of(event), Need::Met);
        if events.iter().all(is_met) {
            return Ok(());
        }
        self.refresh().await
    }

    fn need_of(&self, event: &StoredEvent) -> Need {
        let (Ok(head), Some(raw)) = (&event.head, self.inner.subjects.parse_event(&event.subject))
        else {
            return Need::Met;
        };
        self.read_owners().need(raw.tenant, head.key)
    }

    /// The record, by its sequence in the keys stream, that does not open and without which `event`
    /// cannot be read; nothing when the event itself is what is wrong.
    pub fn unreadable_record(&self, event: &StoredEvent) -> Option<u64> {
        match self.need_of(event) {
            Need::Unreadable(sequence) => Some(sequence),
            Need::Met | Need::Missing => None,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a stored event says whose it is, and its seal proves it"
    )]
    /// Opens an event of shard `shard`. Its key must have been looked for ([`Self::load_for`]).
    pub fn open_event(&self, shard: u16, event: &StoredEvent) -> Opened {
        let Some(stored_for) = stored_for(&self.inner.subjects, shard, &event.subject) else {
            return Opened::Damaged;
        };
        let Ok(head) = &event.head else {
            return Opened::Damaged;
        };
        let owner = match &stored_for {
            StoredFor::Tenant(scope) => scope.tenant().as_str(),
            StoredFor::System => SYSTEM,
        };
        let key = {
            let owners = self.read_owners();
            let keys = owners.by_name.get(owner);
            match keys.and_then(|found| found.held(head.key)) {
                // No record at all is not an erasure: that leaves a record of itself.
                None | Some(Held::Unreadable(_)) => return Opened::Damaged,
                Some(Held::Destroyed) => return Opened::Erased,
                Some(Held::Key(key)) => key.clone(),
            }
        };
        match head.open(&event.subject, &key, &event.payload) {
            Ok(record) => Opened::Event { stored_for, record },
            Err(Unreadable::Undecodable) => Opened::Undecodable {
                stored_for,
                what: format!("{} v{}", head.type_name, head.schema),
            },
            Err(_) => Opened::Damaged,
        }
    }
}
