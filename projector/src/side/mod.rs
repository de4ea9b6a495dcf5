//! A file beside a shard's rows that holds what follows from them and is too slow to make in their
//! transaction: an index, vectors. Never the only place of anything: a file of another layout, of another
//! log, or that is damaged, is thrown away and filled anew by whoever owns it.
//!
//! Every key starts with a [`Tenure`]: the owner, and which creation of its name. Whoever fills a file takes
//! rows of one tenure at a time ([`SideFile::write`]) and keeps how far it has come with them
//! ([`SideWriter::set_reached`]), so a crash costs what was not committed. Nothing is written for a tenure that
//! is over, and [`SideFile::keep`] deletes what is there of one and copies the rest into a file that never held
//! it, since redb keeps deleted values.
//!
//! | module | owns |
//! |---|---|
//! | `mod` | the file: open, read, write, failed |
//! | [`rows`] | a snapshot's and a batch's rows |
//! | [`tenure`] | whose keys |
//! | [`tidy`] | what is over leaves the file |
//! | [`sides`] | every file beside one shard's rows |

mod rows;
mod sides;
mod tenure;
mod tidy;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use rows::{SideBatch, SideReader, SideSnapshot, SideWriter};
pub(crate) use sides::Sides;
pub(crate) use tenure::{IsOver, Tenure, over_by};

use crate::apply::Durability;
use crate::pipeline::with_causes;
use crate::rebuild::{beside, remove_if_there};
use crate::store::StoreError;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use tokio::sync::{Notify, watch};

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The first part of the file's name, before its shard. `shard` is the rows' own.
    pub(crate) name: &'static str,
    /// Version of what the tables hold; a file of another is thrown away.
    pub(crate) schema: u32,
    /// Its tables, beside the two that every file has: `meta` and `reached`.
    pub(crate) tables: &'static [&'static str],
}

/// The file's own: no owner's.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
/// Creation time of the log, in milliseconds since 1970.
const EPOCH_KEY: &str = "epoch";
/// There while the file may hold values that were deleted with their owner.
const DELETED_KEY: &str = "deleted_values";
/// How far whoever fills the file has come with each tenure.
const REACHED: &str = "reached";

const fn table(name: &'static str) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// Why a file could not be read or written now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SideError {
    /// It failed, or is being made anew; [`SideFile::keep`] opens it again.
    #[error("the file beside the rows is not open: {0}")]
    Closed(String),
    /// The file or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One such file of one shard.
pub(crate) struct SideFile {
    path: PathBuf,
    layout: Layout,
    cache_bytes: usize,
    is_over: IsOver,
    state: RwLock<State>,
    /// Held by whoever writes, and while the file is copied.
    writing: Mutex<()>,
    /// Files that another took the place of, while somebody still reads them.
    replaced: Mutex<Vec<Weak<Database>>>,
    wanted: Notify,
    /// How often it was opened.
    opened: watch::Sender<u64>,
}

struct State {
    database: Option<Arc<Database>>,
    /// Of the log whose rows these follow from.
    epoch: u64,
    /// What lies there is of no use.
    throw_away: bool,
    /// Why it is not open.
    problem: String,
}

/// Why a file that is there does not open.
enum Unfit {
    /// It is to be thrown away.
    Useless(String),
    Failed(StoreError),
}

impl<E: Into<StoreError>> From<E> for Unfit {
    fn from(error: E) -> Self {
        match error.into() {
            error if error.calls_for_rebuild() => Self::Useless(with_causes(&error)),
            error => Self::Failed(error),
        }
    }
}

impl std::fmt::Debug for SideFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SideFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SideFile {
    /// The file of shard `shard` in `folder`, for rows of the log that began at `epoch`. A file that cannot
    /// be opened now stops nobody: it is closed until [`Self::keep`] has opened it. Blocks.
    pub(crate) fn open(
        folder: &Path,
        shard: u16,
        layout: Layout,
        cache_bytes: usize,
        epoch: u64,
        is_over: IsOver,
    ) -> Arc<Self> {
        let file = Self {
            path: folder.join(format!("{}-{shard}.redb", layout.name)),
            layout,
            cache_bytes,
            is_over,
            state: RwLock::new(State {
                database: None,
                epoch,
                throw_away: false,
                problem: String::new(),
            }),
            writing: Mutex::default(),
            replaced: Mutex::default(),
            wanted: Notify::new(),
            opened: watch::Sender::new(0),
        };
        if let Err(error) = file.reopen() {
            let (path, problem) = (file.path.display(), with_causes(&error));
            tracing::warn!(%path, problem, "a file beside the rows does not open; it is tried again");
        }
        Arc::new(file)
    }

    /// Everything as it stands now, all of the same moment. Not to be kept: a tenant's erase waits for it.
    pub(crate) fn snapshot(self: &Arc<Self>) -> Result<SideSnapshot, SideError> {
        let database = self.database()?;
        Ok(self.noting(SideSnapshot::of(Arc::clone(self), database))?)
    }

    /// Changes rows in one transaction, which is dropped when `change` fails. Blocks while another writes or
    /// the file is copied.
    pub(crate) fn write<T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut SideBatch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, SideError> {
        let _turn = self.turn();
        let database = self.database()?;
        let write = || {
            let transaction = begin(&database, durability)?;
            let mut batch = SideBatch::of(&transaction, &self.is_over);
            let changed = change(&mut batch)?;
            drop(batch);
            transaction.commit()?;
            Ok(changed)
        };
        Ok(self.noting(write())?)
    }

    /// The rows follow from the log that began at `epoch` by now, and not from the one that was known: what
    /// is here goes.
    pub(crate) fn begin_anew(&self, epoch: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.epoch = epoch;
        state.throw_away = true;
        self.close(&mut state, "it is made anew");
    }

    /// What is here does not follow from the rows: it goes.
    pub(crate) fn make_anew(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.throw_away = true;
        self.close(&mut state, "it is made anew");
    }

    /// Has [`Self::keep`] look for what is over: an owner was erased.
    pub(crate) fn tidy(&self) {
        self.wanted.notify_one();
    }

    /// Changes when the file was opened again, and may lack what it held: whoever fills it looks how far it
    /// [has come](SideReader::reached).
    pub(crate) fn opened(&self) -> watch::Receiver<u64> {
        self.opened.subscribe()
    }

    /// Why the file is not open, if it is not.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.database.is_none().then(|| state.problem.clone())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> Result<Arc<Database>, SideError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let open = state.database.clone();
        open.ok_or_else(|| SideError::Closed(state.problem.clone()))
    }

    /// Closes the file when the error in `result` says that it takes no more.
    fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.note(error);
        }
        result
    }

    fn note(&self, error: &StoreError) {
        if error.is_lasting() {
            let problem = with_causes(error);
            let path = self.path.display();
            tracing::error!(%path, problem, "a file beside the rows failed; it is opened again");
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.throw_away |= error.calls_for_rebuild();
            self.close(&mut state, &problem);
        }
    }

    fn close(&self, state: &mut State, problem: &str) {
        problem.clone_into(&mut state.problem);
        if let Some(database) = state.database.take() {
            self.leave(&database);
        }
        self.wanted.notify_one();
    }

    /// `database` is not what is read from any more; it ends with its last reader.
    fn leave(&self, database: &Arc<Database>) {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.retain(|left| left.strong_count() > 0);
        replaced.push(Arc::downgrade(database));
    }

    /// Whether somebody still reads a file that another took the place of.
    fn is_left_open(&self) -> bool {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.iter().any(|left| left.strong_count() > 0)
    }

    /// Opens the file if it is closed, or makes another where it is of no use.
    fn reopen(&self) -> Result<(), SideError> {
        let _turn = self.turn();
        let (throw_away, epoch) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.database.is_some() {
                return Ok(());
            }
            (state.throw_away, state.epoch)
        };
        let opened = self.open_or_make(throw_away, epoch);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match opened {
            // Another log began meanwhile.
            Ok(_) if state.epoch != epoch => Err(SideError::Closed(state.problem.clone())),
            Ok(database) => {
                state.database = Some(Arc::new(database));
                state.throw_away = false;
                self.opened.send_modify(|times| *times += 1);
                Ok(())
            }
            Err(error) => {
                state.problem = with_causes(&error);
                Err(error.into())
            }
        }
    }

    fn open_or_make(&self, throw_away: bool, epoch: u64) -> Result<Database, StoreError> {
        let files = |error| StoreError::Storage(redb::Error::Io(error));
        remove_if_there(&beside(&self.path)).map_err(files)?;
        if !throw_away {
            match self.open_fitting(&self.path, epoch) {
                Ok(database) => return Ok(database),
                Err(Unfit::Failed(error)) => return Err(error),
                Err(Unfit::Useless(reason)) => {
                    let path = self.path.display();
                    tracing::warn!(%path, reason, "a file beside the rows is made anew");
                }
            }
        }
        remove_if_there(&self.path).map_err(files)?;
        self.open_fitting(&self.path, epoch)
            .map_err(|unfit| match unfit {
                Unfit::Failed(error) => error,
                // An empty file that does not fit: somebody else puts files there.
                Unfit::Useless(_) => StoreError::InUse,
            })
    }

    fn open_fitting(&self, path: &Path, epoch: u64) -> Result<Database, Unfit> {
        let database = Database::builder()
            .set_cache_size(self.cache_bytes)
            .create(path)?;
        let reading = database.begin_read()?;
        if reading.list_tables()?.next().is_none() {
            drop(reading);
            self.create_tables(&database, epoch)?;
            return Ok(database);
        }
        let foreign = |_: TableError| Unfit::Useless("it has other tables".to_owned());
        let meta = reading.open_table(META).map_err(foreign)?;
        let stored = |key| Ok::<_, Unfit>(meta.get(key)?.map(|value| value.value()));
        let (schema, log) = (stored(SCHEMA_KEY)?, stored(EPOCH_KEY)?);
        if schema != Some(self.layout.schema.into()) {
            return Err(Unfit::Useless("it has another layout".to_owned()));
        }
        if log != Some(epoch) {
            return Err(Unfit::Useless("it is of another log".to_owned()));
        }
        for name in self.tables() {
            reading.open_table(table(name)).map_err(foreign)?;
        }
        drop(meta);
        drop(reading);
        Ok(database)
    }

    fn create_tables(&self, database: &Database, epoch: u64) -> Result<(), StoreError> {
        let transaction = begin(database, Durability::Durable)?;
        for name in self.tables() {
            transaction.open_table(table(name))?;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(SCHEMA_KEY, u64::from(self.layout.schema))?;
        meta.insert(EPOCH_KEY, epoch)?;
        drop(meta);
        transaction.commit()?;
        Ok(())
    }

    /// Every table whose keys start with a tenure.
    fn tables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.layout.tables.iter().copied().chain([REACHED])
    }
}

fn begin(database: &Database, durability: Durability) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    match durability {
        // Quick repair costs a durable commit little and spares a start the walk over the file.
        Durability::Durable => transaction.set_quick_repair(true),
        Durability::Visible => transaction.set_durability(redb::Durability::None)?,
    }
    Ok(transaction)
}
