//! What searches keep in memory between each other: of each namespace its documents' facts and vectors. Bounded in bytes; what was
//! not asked for longest goes first. Rows say what of it is still so, so that nothing here is ever believed.

use crate::store::{IndexReader, StoreError};
use crate::vectors::Vectors;
use postroad_protocol::id::TenantId;
use postroad_protocol::limits::RECALL_KEPT_BYTES;
use postroad_protocol::memory::Namespace;
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;
use postroad_recall::held::{Held, HoldError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Whose namespaces, in which log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    shard: u16,
    epoch: u64,
    owner: Option<TenantId>,
}

/// One namespace's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NamespaceSlot {
    slot: Slot,
    namespace: Namespace,
}

impl Slot {
    /// Of the tenant in `scope`, or without one of the library, in the log that `position` is of.
    pub(super) fn new(position: Position, scope: Option<&TenantScope>) -> Self {
        Self {
            shard: position.shard,
            epoch: position.epoch,
            owner: scope.map(|scope| scope.tenant().clone()),
        }
    }

    /// One namespace of it.
    pub(super) fn of(&self, namespace: &Namespace) -> NamespaceSlot {
        NamespaceSlot {
            slot: self.clone(),
            namespace: namespace.clone(),
        }
    }
}

/// One namespace, once it is read. Whoever reads it holds it, so that it is read once.
type Reading = Arc<Mutex<Option<Arc<Held>>>>;

#[derive(Debug, Default)]
struct Entry {
    reading: Reading,
    bytes: usize,
    used: u64,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<NamespaceSlot, Entry>,
    bytes: usize,
    uses: u64,
}

impl Keep {
    /// What is held of a namespace whose index lies in `rows`, as far as they say, with what there is of `vectors`.
    pub(super) fn hold(
        &self,
        slot: &NamespaceSlot,
        rows: &IndexReader<'_>,
        vectors: Option<&Vectors>,
    ) -> Result<Arc<Held>, StoreError> {
        let reading = self.kept().reading(slot);
        let mut held = reading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.clone().unwrap_or_default();
        let after = Arc::new(refreshed(&before, rows, vectors)?);
        *held = Some(Arc::clone(&after));
        drop(held);
        self.kept().weigh(slot, after.bytes());
        Ok(after)
    }

    /// Nothing is kept of `tenant` any more.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        let mut kept = self.kept();
        let gone = |slot: &NamespaceSlot| slot.slot.owner.as_ref() == Some(tenant);
        kept.entries.retain(|slot, _| !gone(slot));
        kept.bytes = kept.entries.values().map(|entry| entry.bytes).sum();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is held by now. Vectors that do not read are none: they are made anew, and words are searched meanwhile.
fn refreshed(
    before: &Held,
    rows: &IndexReader<'_>,
    vectors: Option<&Vectors>,
) -> Result<Held, StoreError> {
    if let Some(vectors) = vectors {
        let read = vectors.embedded_to().map_err(HoldError::Vectors);
        match read.and_then(|to| before.refreshed(rows, Some(vectors), to)) {
            Ok(held) => return Ok(held),
            Err(HoldError::Index(error)) => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "vectors do not read now"),
        }
    }
    match before.refreshed::<_, Vectors>(rows, None, 0) {
        Ok(held) => Ok(held),
        Err(HoldError::Index(error)) => Err(error.into()),
        Err(_) => Err(StoreError::Unreadable {
            table: "memory_index",
        }),
    }
}

impl Kept {
    fn reading(&mut self, slot: &NamespaceSlot) -> Reading {
        self.uses += 1;
        let entry = self.entries.entry(slot.clone()).or_default();
        entry.used = self.uses;
        Arc::clone(&entry.reading)
    }

    /// Counts what a namespace takes, and lets others go where it is too much.
    fn weigh(&mut self, slot: &NamespaceSlot, bytes: usize) {
        if let Some(entry) = self.entries.get_mut(slot) {
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
        }
        while self.bytes > RECALL_KEPT_BYTES && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(slot, _)| slot.clone()) else {
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
    }
}
