//! Opening shards: the rows of each, what lies beside them, and the pipeline that fills them.

use crate::bells::Bells;
use crate::checkpoint::Checkpoint;
use crate::hosts::Host;
use crate::pipeline::{Parts, Pipeline};
use crate::progress::{Progress, State};
use crate::react::{Asking, react};
use crate::rebuild::{beside, remove_if_there};
use crate::side::{IsOver, Sides};
use crate::start::StartError;
use crate::store::{Store, StoreError};
use crate::vectors::{Meaning, PendingOf};
use postroad_log::{Anchor, Keyring, Shard, streams};
use postroad_protocol::subject::Subjects;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Opens shards: their rows, their pipelines. Kept, since shards may be added while a projector runs.
pub struct Opener {
    pub(crate) context: async_nats::jetstream::Context,
    pub(crate) subjects: Subjects,
    pub(crate) rows: PathBuf,
    pub(crate) keyring: Keyring,
    pub(crate) bells: Arc<Bells>,
    pub(crate) cache_bytes: usize,
    pub(crate) side_cache_bytes: usize,
    pub(crate) is_over: IsOver,
    pub(crate) meaning: Arc<Meaning>,
    pub(crate) asking: Arc<Asking>,
    pub(crate) pipelines: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Opener {
    /// Opens shard `number`.
    ///
    /// # Errors
    /// [`StartError`]; `NoShard` when there is none of that number.
    pub async fn open(&self, number: u16) -> Result<Arc<Host>, StartError> {
        let shards = streams::list_shards(&self.context).await?;
        let shard = shards.into_iter().find(|shard| shard.number() == number);
        self.open_shard(shard.ok_or(StartError::NoShard)?).await
    }

    pub(crate) async fn open_shard(&self, shard: Shard) -> Result<Arc<Host>, StartError> {
        let path = self.rows.join(format!("shard-{}.redb", shard.number()));
        remove_if_there(&beside(&path))?;
        let (file, cache_bytes) = (path.clone(), self.cache_bytes);
        let opened = tokio::task::spawn_blocking(move || open_rows(&file, cache_bytes)).await;
        let at = |source| StartError::Store {
            path: path.clone(),
            source,
        };
        let (store, checkpoint) = opened.map_err(|_| StartError::Stopping)?.map_err(at)?;
        let anchor = checkpoint.map_or_else(|| Anchor::start(shard.epoch()), Anchor::from);
        let progress = Progress {
            epoch: anchor.epoch,
            sequence: anchor.sequence,
            state: State::CatchingUp,
        };
        // One rebuild at a time hands over one file.
        let (swaps, swapped) = mpsc::channel(1);
        let (failures, failed) = mpsc::channel(1);
        let sides = self.open_sides(&shard, anchor.epoch).await?;
        let host = Host::new(shard, path, store, sides, progress, swaps, failures);
        let host = Arc::new(host);
        let parts = Parts {
            keyring: self.keyring.clone(),
            subjects: self.subjects.clone(),
            bells: Arc::clone(&self.bells),
            cache_bytes: self.cache_bytes,
            meaning: Arc::clone(&self.meaning),
        };
        let pipeline = Pipeline::new(Arc::clone(&host), parts, anchor, swapped, failed)?;
        self.pipelines.spawn(pipeline.run(self.stop.clone()));
        self.fill_sides(&host);
        let reactions = react(
            Arc::clone(&host),
            Arc::clone(&self.asking),
            self.stop.clone(),
        );
        self.pipelines.spawn(reactions);
        Ok(host)
    }

    async fn open_sides(&self, shard: &Shard, epoch: u64) -> Result<Sides, StartError> {
        let (folder, number, is_over) =
            (self.rows.clone(), shard.number(), Arc::clone(&self.is_over));
        let cache_bytes = self.side_cache_bytes;
        let keyring = self.keyring.clone();
        let open = move || Sides::open(&folder, number, cache_bytes, epoch, &is_over, keyring);
        let opened = tokio::task::spawn_blocking(open).await;
        opened.map_err(|_| StartError::Stopping)
    }

    /// Keeps what lies beside a host's rows in order, and makes what belongs there.
    fn fill_sides(&self, host: &Arc<Host>) {
        for file in host.sides().all() {
            let keep = Arc::clone(file).keep();
            let stop = self.stop.clone();
            self.pipelines
                .spawn(async move { stop.run_until_cancelled_owned(keep).await });
        }
        let words = Arc::clone(&host.sides().words);
        self.pipelines
            .spawn(words.run(Arc::clone(host), self.stop.clone()));
        let pending = Arc::new(PendingOf {
            host: Arc::clone(host),
            keyring: self.keyring.clone(),
        });
        let (meaning, vectors) = (Arc::clone(&self.meaning), Arc::clone(&host.sides().vectors));
        let (number, stop) = (host.shard().number(), self.stop.clone());
        self.pipelines.spawn(async move {
            let serve = meaning.serve(number, vectors, pending);
            stop.run_until_cancelled(serve).await
        });
    }
}

/// Opens the rows; rows that are of no use are dropped, since the log gives them back.
fn open_rows(path: &Path, cache_bytes: usize) -> Result<(Store, Option<Checkpoint>), StoreError> {
    let open = || -> Result<(Store, Option<Checkpoint>), StoreError> {
        let store = Store::open(path, cache_bytes)?;
        let checkpoint = store.snapshot()?.checkpoint()?;
        Ok((store, checkpoint))
    };
    match open() {
        Err(error) if error.calls_for_rebuild() => {
            tracing::warn!(path = %path.display(), %error, "the rows are folded anew");
            remove_if_there(path).map_err(|error| StoreError::Storage(redb::Error::Io(error)))?;
            open()
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Durability, apply};
    use crate::testing;

    #[test]
    fn a_checkpoint_that_does_not_read_is_folded_anew_and_stops_no_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard-0.redb");
        let (store, none) = open_rows(&path, 1 << 20).unwrap();
        assert_eq!(none, None);
        apply(&store, &[], testing::checkpoint(7), Durability::Durable).unwrap();
        drop(store);
        let (store, kept) = open_rows(&path, 1 << 20).unwrap();
        assert_eq!(kept, Some(testing::checkpoint(7)));
        drop(store);
        let file = redb::Database::open(&path).unwrap();
        let transaction = file.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let mut table = transaction.open_table(meta).unwrap();
        table.insert("checkpoint", b"nonsense".as_slice()).unwrap();
        drop(table);
        transaction.commit().unwrap();
        drop(file);
        let (store, checkpoint) = open_rows(&path, 1 << 20).unwrap();
        assert_eq!(checkpoint, None);
        assert!(store.dump().is_ok());
    }
}
