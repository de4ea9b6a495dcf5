//! Rids a shard's file of what erased tenants left in it. redb keeps deleted values until it is
//! compacted, which needs a file that nobody reads; so the rows are copied into a file beside it, which
//! takes its place as rebuilt rows do. A process that dies meanwhile begins again at its start.

use crate::hosts::Host;
use crate::pipeline::Swap;
use crate::read_model::meta;
use crate::read_model::table::Table;
use crate::rebuild::{Growing, RebuildError};
use crate::store::{Store, StoreError};
use postroad_log::{Anchor, Keyring};
use redb::ReadableTable;
use std::sync::Arc;
use std::time::Duration;

/// Pause while the rows are folded anew anyway.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Pause after it failed, as it does on a full disk.
const RETRY: Duration = Duration::from_secs(10);
/// Bytes of rows that are copied in one transaction.
const COPY_BYTES: usize = 8 * 1024 * 1024;

/// Copies the rows of `store`, which is what is written to, until its file holds nothing deleted.
pub async fn purge_until_done(host: Arc<Host>, store: Store, keyring: Keyring, cache_bytes: usize) {
    let shard = host.shard().number();
    loop {
        let asked = store.clone();
        let due = tokio::task::spawn_blocking(move || asked.holds_deleted()).await;
        match due {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) | Err(_) => return,
            // Whoever reads or writes them says so, and they are folded anew.
            Ok(Err(error)) => return tracing::debug!(shard, %error, "the rows do not read"),
        }
        match purge(&host, &store, &keyring, cache_bytes).await {
            Ok(()) => {
                return tracing::info!(shard, "the file of the rows was rid of what was deleted");
            }
            Err(RebuildError::Stopping) => return,
            Err(RebuildError::Running) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(error) => {
                tracing::error!(shard, %error, "what was erased could not be removed from the file of the rows yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn purge(
    host: &Arc<Host>,
    store: &Store,
    keyring: &Keyring,
    cache_bytes: usize,
) -> Result<(), RebuildError> {
    let turn = host.try_rebuild().ok_or(RebuildError::Running)?;
    let growing = Growing::begin(host, turn, keyring, cache_bytes).await?;
    let (from, to) = (store.clone(), growing.store()?);
    let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await;
    let anchor = copied.map_err(|_| RebuildError::Stopping)??;
    let (store, _turn) = growing.put_in_place(host.path().clone(), anchor).await?;
    host.swap(Swap { store, anchor })
        .await
        .map_err(|_| RebuildError::Stopping)
}

/// Copies every row of one moment; says where they stand.
fn copy(from: &Store, to: &Store) -> Result<Anchor, StoreError> {
    let snapshot = from.snapshot()?;
    for table in Table::ALL {
        let mut rows = snapshot.table(table)?.iter()?.peekable();
        while rows.peek().is_some() {
            let mut transaction = to.begin_write()?;
            transaction.set_durability(redb::Durability::None)?;
            let mut target = transaction.open_table(table.definition())?;
            let mut bytes = 0;
            while bytes < COPY_BYTES
                && let Some(row) = rows.next()
            {
                let (key, value) = row?;
                bytes += key.value().len() + value.value().len();
                target.insert(key.value(), value.value())?;
            }
            drop(target);
            transaction.commit()?;
        }
    }
    let transaction = to.begin_write()?;
    meta::copy(snapshot.transaction(), &transaction)?;
    transaction.commit()?;
    // Only what was folded from a log can hold anything deleted.
    let checkpoint = snapshot.checkpoint()?;
    checkpoint
        .map(Anchor::from)
        .ok_or(StoreError::Unreadable { table: "meta" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Road;

    #[test]
    fn a_copy_has_every_row_and_stands_where_the_rows_stood() {
        let mut road = Road::new();
        for agent in ["bob/mac", "tau/pi"] {
            road.issue(agent);
        }
        for _ in 0..100 {
            road.send("bob/mac", "tau", &"x".repeat(2_000));
        }
        let to = Store::in_memory();
        let anchor = copy(&road.store, &to).unwrap();
        assert_eq!(anchor.sequence, road.end());
        assert_eq!(to.dump().unwrap(), road.store.dump().unwrap());
    }
}
