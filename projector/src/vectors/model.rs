//! The model, read when it is first needed, or why there is none, which is told once. Owns the order of work on it: memories are
//! embedded while no query is.

use crate::pipeline::with_causes;
use postroad_protocol::limits::EMBED_YIELD_MAX_MS;
use postroad_recall::model::Embedder;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How long one chunk of a memory stays behind queries at most: they must not hold up memories for ever.
const YIELD_MAX: Duration = Duration::from_millis(EMBED_YIELD_MAX_MS);

/// The model of one process.
pub(crate) struct Model {
    folder: Option<PathBuf>,
    read: OnceLock<Result<Embedder, String>>,
    /// Queries that are being embedded.
    queries: Mutex<usize>,
    ended: Condvar,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A query that is being embedded; dropping it says that it is not any more.
#[derive(Debug)]
pub(super) struct Asking<'m>(&'m Model);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut queries = self
            .0
            .queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *queries -= 1;
        if *queries == 0 {
            self.0.ended.notify_all();
        }
    }
}

impl Model {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            read: OnceLock::new(),
            queries: Mutex::new(0),
            ended: Condvar::new(),
        }
    }

    /// The model, or why there is none. Reads it the first time, which takes a while. Blocks.
    pub(super) fn get(&self) -> Result<&Embedder, &str> {
        let read = self.read.get_or_init(|| {
            let Some(folder) = &self.folder else {
                let problem = "no folder of a model is named: run scripts/recall-model.sh, which fetches it, and \
                               name its folder with --model or in POSTROAD_MODEL";
                tracing::info!(problem, "memories are recalled by words alone");
                return Err(problem.to_owned());
            };
            Embedder::load(folder).map_err(|error| {
                let problem = with_causes(&error);
                tracing::warn!(problem, "memories are recalled by words alone");
                problem
            })
        });
        read.as_ref().map_err(String::as_str)
    }

    /// A query begins.
    pub(super) fn ask(&self) -> Asking<'_> {
        *self.queries.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Asking(self)
    }

    /// Waits while queries are embedded, for as long as is bearable.
    pub(super) fn give_way(&self) {
        let queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        let some = |queries: &mut usize| *queries > 0;
        drop(self.ended.wait_timeout_while(queries, YIELD_MAX, some));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn memories_wait_for_queries_and_not_for_ever() {
        let model = Model::new(None);
        let start = Instant::now();
        model.give_way();
        assert!(start.elapsed() < YIELD_MAX, "there is no query");
        let asking = model.ask();
        let start = Instant::now();
        model.give_way();
        assert!(start.elapsed() >= YIELD_MAX);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| model.give_way());
            drop(asking);
            waiting.join().unwrap();
        });
        assert_eq!(*model.queries.lock().unwrap(), 0);
    }
}
