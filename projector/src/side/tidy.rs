//! What is over leaves the file: its rows are deleted, and then the others copied into a file that never held
//! them, which takes this one's place, since redb keeps deleted values. Opens a file again that failed, too.

use super::rows::SideSnapshot;
use super::{DELETED_KEY, EPOCH_KEY, META, SideError, SideFile, Tenure, begin, table};
use crate::apply::Durability;
use crate::pipeline::with_causes;
use crate::read_model::keys::Prefix;
use crate::rebuild::{beside, remove_if_there};
use crate::store::StoreError;
use redb::{Database, ReadableTable, WriteTransaction};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Pause while readers of a file that failed go.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Pause after it failed, as it does on a full disk.
const RETRY: Duration = Duration::from_secs(10);
/// Bytes of rows that are copied in one transaction.
const COPY_BYTES: usize = 8 * 1024 * 1024;

impl SideFile {
    /// Keeps the file open and rid of what is over, for ever. Looks when it starts, and when it is told to.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            let this = Arc::clone(&self);
            let pause = match tokio::task::spawn_blocking(move || this.tidy_now()).await {
                Ok(Ok(())) => None,
                Ok(Err(SideError::Store(StoreError::InUse))) => Some(BUSY_PAUSE),
                Ok(Err(error)) => {
                    let (path, problem) = (self.path.display(), with_causes(&error));
                    tracing::warn!(%path, problem, "a file beside the rows is not in order yet");
                    Some(RETRY)
                }
                Err(_) => return,
            };
            let again = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wanted.notified() => {}
                () = again => {}
            }
        }
    }

    /// Opens the file if it is closed, and rids it of what is over. Blocks.
    pub(crate) fn tidy_now(self: &Arc<Self>) -> Result<(), SideError> {
        self.reopen()?;
        let found = {
            let snapshot = self.snapshot()?;
            let found = snapshot.tenures().map(|tenures| {
                let over = tenures.into_iter().filter(|tenure| (self.is_over)(tenure));
                over.collect::<Vec<_>>()
            });
            let deleted = snapshot.meta(DELETED_KEY).map(|mark| mark.is_some());
            self.noting(found.and_then(|over| Ok((over, deleted?))))?
        };
        let (over, deleted) = found;
        if !over.is_empty() {
            let _turn = self.turn();
            let database = self.database()?;
            self.noting(self.delete(&database, &over))?;
        }
        if deleted || !over.is_empty() {
            self.copy_out()?;
        }
        Ok(())
    }

    /// Whether nothing of an ended tenure of `owner` is left in any file that this stands for.
    pub(crate) fn is_rid_of(self: &Arc<Self>, owner: &Prefix) -> Result<bool, SideError> {
        if self.is_left_open() {
            return Ok(false);
        }
        let snapshot = self.snapshot()?;
        let seen = snapshot.tenures().and_then(|tenures| {
            let mut its = tenures.iter().filter(|tenure| tenure.owner() == owner);
            let is_there = its.any(|tenure| (self.is_over)(tenure));
            Ok(!is_there && snapshot.meta(DELETED_KEY)?.is_none())
        });
        Ok(self.noting(seen)?)
    }

    pub(super) fn delete(&self, database: &Database, over: &[Tenure]) -> Result<(), StoreError> {
        let transaction = begin(database, Durability::Durable)?;
        for name in self.tables() {
            let mut table = transaction.open_table(table(name))?;
            for tenure in over {
                let (start, end) = tenure.range(&(), None);
                let range = (
                    start.as_ref().map(Vec::as_slice),
                    end.as_ref().map(Vec::as_slice),
                );
                table.retain_in::<&[u8], _>(range, |_, _| false)?;
            }
        }
        transaction.open_table(META)?.insert(DELETED_KEY, 1)?;
        transaction.commit()?;
        Ok(())
    }

    /// Copies what is there into a file beside it, which takes its place.
    fn copy_out(self: &Arc<Self>) -> Result<(), SideError> {
        let _turn = self.turn();
        let snapshot = self.snapshot()?;
        let path = beside(&self.path);
        let files = |error| StoreError::Storage(redb::Error::Io(error));
        let copied = remove_if_there(&path).map_err(files).and_then(|()| {
            let epoch = snapshot.meta(EPOCH_KEY)?.unwrap_or_default();
            let copy = Database::builder()
                .set_cache_size(self.cache_bytes)
                .create(&path)?;
            self.create_tables(&copy, epoch)?;
            self.copy(&snapshot, &copy)?;
            Ok((epoch, copy))
        });
        drop(snapshot);
        let placed = copied.and_then(|(epoch, copy)| {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Another log began meanwhile: this file goes with the old one.
            if state.epoch == epoch && !state.throw_away {
                std::fs::rename(&path, &self.path).map_err(files)?;
                if let Some(old) = state.database.replace(Arc::new(copy)) {
                    self.leave(&old);
                }
            }
            Ok(())
        });
        if placed.is_err()
            && let Err(error) = remove_if_there(&path)
        {
            tracing::error!(path = %path.display(), %error, "a copy that was given up cannot be removed");
        }
        // The file that was copied from is as it was, unless it said otherwise itself.
        Ok(placed?)
    }

    fn copy(&self, from: &SideSnapshot, to: &Database) -> Result<(), StoreError> {
        for name in self.tables() {
            let mut rows = from.table(name).iter()?.peekable();
            while rows.peek().is_some() {
                let transaction = begin(to, Durability::Visible)?;
                copy_some(&mut rows, &transaction, name)?;
                transaction.commit()?;
            }
        }
        // Everything before it is durable with it.
        begin(to, Durability::Durable)?.commit()?;
        Ok(())
    }
}

fn copy_some<'r>(
    rows: &mut impl Iterator<Item = Result<(Raw<'r>, Raw<'r>), redb::StorageError>>,
    transaction: &WriteTransaction,
    name: &'static str,
) -> Result<(), StoreError> {
    let mut target = transaction.open_table(table(name))?;
    let mut bytes = 0;
    while bytes < COPY_BYTES
        && let Some(row) = rows.next()
    {
        let (key, value) = row?;
        bytes += key.value().len() + value.value().len();
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}

type Raw<'r> = redb::AccessGuard<'r, &'static [u8]>;
