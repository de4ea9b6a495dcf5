//! The contents in a shard's rows, as whoever embeds them in the background reads them.

use super::worker::{Pending, PendingDocument};
use crate::hosts::Host;
use crate::read_model::keys::Prefix;
use crate::read_model::memory::rows::TextRow;
use crate::read_model::table::{Table, TenantReader, owners_in};
use crate::side::Tenure;
use crate::store::{Snapshot, StoreError};
use postroad_log::Keyring;
use std::sync::Arc;

/// Those of one host.
pub(crate) struct PendingOf {
    pub(crate) host: Arc<Host>,
    pub(crate) keyring: Keyring,
}

impl PendingOf {
    fn read<T>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.host.store();
        let found = store.snapshot().and_then(|snapshot| read(&snapshot));
        found.inspect_err(|error| self.host.did_not_read(&store, error))
    }
}

impl Pending for PendingOf {
    fn owners(&self) -> Result<Vec<Prefix>, StoreError> {
        self.read(|snapshot| owners_in(snapshot, Table::MemoryTexts))
    }

    fn tenure(&self, owner: &Prefix) -> Option<Tenure> {
        Tenure::of_rows(owner, self.host.shard().number(), &self.keyring)
    }

    fn after(
        &self,
        owner: &Prefix,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<PendingDocument>, StoreError> {
        self.read(|snapshot| after(snapshot, owner, sequence, limit))
    }

    fn count_after(
        &self,
        owner: &Prefix,
        sequence: u64,
        at_most: usize,
    ) -> Result<usize, StoreError> {
        self.read(|snapshot| count_after(snapshot, owner, sequence, at_most))
    }
}

fn after(
    snapshot: &Snapshot,
    owner: &Prefix,
    sequence: u64,
    limit: usize,
) -> Result<Vec<PendingDocument>, StoreError> {
    let rows = TenantReader::new(snapshot, owner.clone());
    let texts = rows.list::<TextRow>(&(), Some(&sequence.to_be_bytes()))?;
    let document = |read: Result<(u64, TextRow), StoreError>| {
        let (sequence, TextRow { content, .. }) = read?;
        Ok(PendingDocument { sequence, content })
    };
    texts.take(limit).map(document).collect()
}

fn count_after(
    snapshot: &Snapshot,
    owner: &Prefix,
    sequence: u64,
    at_most: usize,
) -> Result<usize, StoreError> {
    let (start, end) = owner.range(&(), Some(&sequence.to_be_bytes()));
    let bounds = (
        start.as_ref().map(Vec::as_slice),
        end.as_ref().map(Vec::as_slice),
    );
    let texts = snapshot.table(Table::MemoryTexts)?.range::<&[u8]>(bounds)?;
    Ok(texts.take(at_most).count())
}
