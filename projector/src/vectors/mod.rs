//! What contents mean: made by the model off the write path, kept beside the rows, and asked for by queries.
//!
//! A memory is found by its words as soon as it is stored, and by its meaning once its vectors have landed. Vectors are
//! kept under their content's hash, so a rebuild of the rows, or another memory that says the same, costs nothing.
//! Without a model nothing here is done, and everything else works.
//!
//! | module | owns |
//! |---|---|
//! | `mod` | where vectors are kept and read |
//! | [`pending`] | the contents in a shard's rows |
//! | [`model`] | the model, when it is first needed, or why there is none |
//! | [`queries`] | what queries mean |
//! | [`queue`] | whose memories are looked at next |
//! | [`worker`] | the one thread that embeds memories |

mod model;
mod pending;
mod queries;
mod queue;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use pending::PendingOf;

use worker::Pending;

use crate::read_model::keys::Prefix;
use crate::side::{IsOver, Layout, SideError, SideFile, SideSnapshot, Tenure};
use crate::store::StoreError;
use model::Model;
use postroad_protocol::query::{RecallMode, RecallStatus};
use postroad_protocol::tenancy::TenantScope;
use postroad_recall::facts::ContentHash;
use postroad_recall::held::VectorSource;
use postroad_recall::model::{Embedder, MODEL_NAME};
use postroad_recall::vector::{Embedding, Vector};
use queries::Queries;
use std::path::PathBuf;
use std::sync::Arc;
use worker::Worker;

/// The files of vectors.
pub(crate) const LAYOUT: Layout = Layout {
    name: "vectors",
    schema: 1,
    tables: &[VECTORS],
};

/// Under the model's tag and the content's hash: an embedding's bytes.
const VECTORS: &str = "vectors";

/// The model's part of a key.
fn model_tag() -> u64 {
    Embedder::tag().0
}

fn key_of(content: ContentHash) -> Vec<u8> {
    [&model_tag().to_be_bytes()[..], &content.0].concat()
}

/// The vectors of one owner, as they stand now. Not to be kept: a tenant's erase waits for it.
#[derive(Debug)]
pub(crate) struct Vectors {
    snapshot: SideSnapshot,
    tenure: Tenure,
}

impl Vectors {
    /// Those in `file`.
    pub(crate) fn of(file: &Arc<SideFile>, tenure: Tenure) -> Result<Self, SideError> {
        let snapshot = file.snapshot()?;
        Ok(Self { snapshot, tenure })
    }

    /// The sequence up to which the model has been through the owner's contents: all of them have vectors then, but
    /// those of which it could make none.
    pub(crate) fn embedded_to(&self) -> Result<u64, StoreError> {
        self.snapshot.reader(&self.tenure).reached(&model_tag())
    }

    fn has(&self, content: ContentHash) -> Result<bool, StoreError> {
        let reader = self.snapshot.reader(&self.tenure);
        Ok(reader.get(VECTORS, &&key_of(content)[..])?.is_some())
    }
}

impl VectorSource for Vectors {
    type Error = StoreError;

    fn vectors(&self, content: ContentHash) -> Result<Option<Embedding>, StoreError> {
        let reader = self.snapshot.reader(&self.tenure);
        let stored = reader.get(VECTORS, &&key_of(content)[..])?;
        let read = stored.map(|bytes| Embedding::from_bytes(&bytes));
        read.transpose().map_err(|_| reader.unreadable(VECTORS))
    }
}

/// The part of a projector that knows what texts mean. One a process.
#[derive(Debug)]
pub(crate) struct Meaning {
    model: Arc<Model>,
    queries: Queries,
    worker: Worker,
}

impl Meaning {
    /// With the model in `folder`, which is read when it is first needed. Nothing is made or kept of whoever `is_over`.
    pub(crate) fn new(folder: Option<PathBuf>, is_over: IsOver) -> Self {
        let model = Arc::new(Model::new(folder));
        Self {
            queries: Queries::new(Arc::clone(&model), Arc::clone(&is_over)),
            worker: Worker::start(Arc::clone(&model), is_over),
            model,
        }
    }

    /// Makes vectors of the contents of shard `shard` that `pending` shows, into `file`, until the process stops. For ever:
    /// it looks through all of them now, and whenever the file had to be made anew.
    pub(crate) async fn serve(&self, shard: u16, file: Arc<SideFile>, pending: Arc<dyn Pending>) {
        let mut opened = file.opened();
        self.worker.add(shard, file, pending);
        loop {
            self.worker.wake_all(shard);
            if opened.changed().await.is_err() {
                return;
            }
        }
    }

    /// A content of `owner` came into the rows of shard `shard`.
    pub(crate) fn wake(&self, shard: u16, owner: &Prefix) {
        self.worker.wake(shard, owner);
    }

    /// What a query of the owner's means; none without a model, or where it could make nothing of the text: then words alone
    /// are searched.
    pub(crate) async fn embed_query(&self, tenure: &Tenure, text: &str) -> Option<Vector> {
        self.queries.embed(tenure, text).await
    }

    /// Drops what is kept of the queries of the erased tenant in `scope`.
    pub(crate) fn forget(&self, scope: &TenantScope) {
        self.queries.forget(&Prefix::of(scope));
    }

    /// Whether nothing of the erased tenant in `scope` is being worked on.
    pub(crate) fn is_rid_of(&self, scope: &TenantScope) -> bool {
        !self.worker.works_for(&Prefix::of(scope))
    }

    /// How memories are recalled here. Reads the model if nothing needed it yet. Blocks.
    pub(crate) fn status(&self) -> RecallStatus {
        let (mode, problem) = match self.model.get() {
            Ok(_) => (RecallMode::WordsAndMeaning, None),
            Err(problem) => (RecallMode::Words, Some(problem.to_owned())),
        };
        let has_model = problem.is_none();
        let problem = problem.or_else(|| self.worker.problem());
        RecallStatus {
            mode,
            model: has_model.then(|| MODEL_NAME.to_owned()),
            problem,
            awaiting: has_model.then(|| self.worker.awaiting()),
            embedded: self.worker.embedded(),
            skipped: self.worker.skipped(),
        }
    }

    /// Ends the thread, and waits until what it made is durable. Blocks.
    pub(crate) fn stop(&self) {
        self.worker.stop();
    }
}
