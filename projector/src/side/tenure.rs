//! Whose keys: an owner, and which creation of its name. Two tenants that had one name after the other never
//! share a key, so what the first left is never taken for the second's.

use crate::read_model::keys::{Prefix, RowKey, beginning_with};
use postroad_log::{Home, Keyring};
use postroad_protocol::id::TenantId;
use postroad_protocol::seal::Stage;
use postroad_protocol::subject::{Owner, SYSTEM};
use postroad_protocol::tenancy::TenantScope;
use std::ops::Bound;
use std::sync::Arc;

/// One creation of an owner's name: the first part of every key of a file beside the rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tenure {
    owner: Prefix,
    generation: u32,
}

impl Tenure {
    /// That of the tenant in `scope`, who lives in `home`.
    pub(crate) fn of(scope: &TenantScope, home: Home) -> Self {
        let owner = Prefix::of(scope);
        let generation = home.key_id.generation;
        Self { owner, generation }
    }

    /// The deployment's own, which never ends.
    pub(crate) fn system() -> Self {
        let (owner, generation) = (Prefix::system(), 0);
        Self { owner, generation }
    }

    /// That of `owner`, whose rows lie in shard `shard`, for whoever makes something of them in the background;
    /// none when it does not live there.
    pub(crate) fn of_rows(owner: &Prefix, shard: u16, keyring: &Keyring) -> Option<Self> {
        if owner.owner() == SYSTEM {
            return Some(Self::system());
        }
        let tenant = TenantId::parse(owner.owner()).ok()?;
        let home = keyring.home(Owner::Tenant(&tenant))?;
        let (owner, generation) = (owner.clone(), home.key_id.generation);
        (home.shard == shard).then_some(Self { owner, generation })
    }

    /// Takes it off the front of a stored key.
    pub(super) fn read(key: &mut &[u8]) -> Option<Self> {
        let owner = Prefix::read(key)?;
        let (generation, rest) = key.split_first_chunk()?;
        *key = rest;
        let generation = u32::from_be_bytes(*generation);
        Some(Self { owner, generation })
    }

    /// The owner's part of its rows' keys.
    pub(crate) fn owner(&self) -> &Prefix {
        &self.owner
    }

    /// Which creation of the owner's name.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn key(&self, rest: &impl RowKey) -> Vec<u8> {
        let mut key = self.owner.key(&Generation(self.generation));
        rest.write(&mut key);
        key
    }

    /// The keys that begin with `under`, from behind `after`, which is such a key's rest.
    pub(super) fn range(
        &self,
        under: &impl RowKey,
        after: Option<&[u8]>,
    ) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let (start, end) = beginning_with(self.key(under));
        match after {
            None => (start, end),
            Some(rest) => (Bound::Excluded(self.key(&rest)), end),
        }
    }
}

struct Generation(u32);

impl RowKey for Generation {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// Whether a tenure is over, so that nothing of it may be kept.
pub(crate) type IsOver = Arc<dyn Fn(&Tenure) -> bool + Send + Sync>;

/// What the keys say: a tenure is over once its keys are destroyed, and not where they are not known.
pub(crate) fn over_by(keyring: Keyring) -> IsOver {
    Arc::new(move |tenure: &Tenure| {
        // The deployment's own name is no tenant's.
        let Ok(tenant) = TenantId::parse(tenure.owner.owner()) else {
            return false;
        };
        let Some(known) = keyring.registered(Owner::Tenant(&tenant)) else {
            return false;
        };
        let now = known.home.key_id.generation;
        now > tenure.generation || (now == tenure.generation && known.stage >= Stage::Destroyed)
    })
}
