//! Opens one shard's rows and hands out the only ways to them: a [`Snapshot`], and from it a
//! [`TenantReader`]. Owns the file, its schema version and its errors; never folds an event.

use crate::checkpoint::Checkpoint;
use crate::read_model::erasure;
use crate::read_model::hot::HotRows;
use crate::read_model::keys::Prefix;
use crate::read_model::meta::{self, EventTypes, Meta};
use crate::read_model::table::Table;
use postroad_protocol::event::EventKey;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableError};
use std::cell::{Cell, OnceCell};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub use crate::read_model::inbox::CheckPage;
pub(crate) use crate::read_model::memory::find::{Found, Searched, recall};
pub(crate) use crate::read_model::memory::index::IndexReader;
pub use crate::read_model::memory::reach::Reach;
pub use crate::read_model::memory::read::{MemoryPage, MemoryReader};
pub use crate::read_model::meta::OperatorReader;
pub use crate::read_model::overview::Room;
pub use crate::read_model::priorities::Counts;
pub use crate::read_model::quarantine::Quarantined;
pub use crate::read_model::readers::ReaderState;
pub use crate::read_model::table::{Listed, PageOf, TenantReader};
pub use crate::read_model::tasks::missions::{MissionPage, MissionsWanted};
pub use crate::read_model::tasks::read::{TaskPage, TaskPlace, TasksWanted};
pub use crate::read_model::{history::HistoryPage, status::StatusPage};

/// Version of the rows' layout. Rows of another version are not read but folded anew.
pub const SCHEMA: u32 = 8;

pub(crate) type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Why rows cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Written by a build with another layout: remove the file and fold the log anew.
    #[error("the rows have layout {found}, this build reads {SCHEMA}: they have to be folded anew")]
    OtherSchema {
        /// The version in the file.
        found: u32,
    },
    /// An older build set events aside that this one knows: remove the file and fold the log anew.
    #[error("the rows lack events that this build knows: they have to be folded anew")]
    OtherEventTypes,
    /// Another process, or another handle in this one, has the file open.
    #[error("the rows are open elsewhere")]
    InUse,
    /// A row that this build wrote does not read: remove the file and fold the log anew.
    #[error("a row of table {table} does not read: the rows have to be folded anew")]
    Unreadable {
        /// The table.
        table: &'static str,
    },
    /// The file is not what was written: remove it and fold the log anew.
    #[error("the file of the rows is damaged: they have to be folded anew")]
    Damaged(#[source] redb::Error),
    /// The file or the disk failed.
    #[error("the file of the rows failed")]
    Storage(#[source] redb::Error),
}

impl StoreError {
    /// Whether these rows are of no use any more, while the log that they follow from still is: the
    /// file is to be removed, and the log folded anew.
    pub fn calls_for_rebuild(&self) -> bool {
        matches!(
            self,
            Self::OtherSchema { .. }
                | Self::OtherEventTypes
                | Self::Unreadable { .. }
                | Self::Damaged(_)
        )
    }

    /// Whether asking an open file again cannot help: redb takes no more of one that failed once.
    pub fn is_lasting(&self) -> bool {
        let has_failed = matches!(
            self,
            Self::Storage(redb::Error::Io(_) | redb::Error::PreviousIo)
        );
        has_failed || self.calls_for_rebuild()
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => Self::Damaged(error),
            // How redb says that a file is none of its own, or was cut.
            redb::Error::Io(cause)
                if matches!(
                    cause.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(redb::Error::Io(cause))
            }
            error => Self::Storage(error),
        }
    }
}

macro_rules! storage_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
storage_errors!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::CursorError,
    redb::SetDurabilityError,
    redb::DatabaseError
);

/// One shard's rows. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    /// Rows that the last batch held, for the next one.
    hot: Arc<Mutex<HotRows>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the rows in the file at `path`, or makes an empty file; at most `cache_bytes` of its
    /// pages are kept in memory.
    ///
    /// # Errors
    /// [`StoreError::OtherSchema`], [`StoreError::OtherEventTypes`] and [`StoreError::InUse`] as they
    /// say; else the disk's.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::open_knowing(path, cache_bytes, EventTypes::known())
    }

    /// As a build opens them that knows these events.
    pub(crate) fn open_knowing(
        path: &Path,
        cache_bytes: usize,
        known: EventTypes,
    ) -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create(path)?;
        Self::prepare(database, known)
    }

    /// Rows that live as long as this handle.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend);
        let database = database.expect("memory does not fail");
        Self::prepare(database, EventTypes::known()).expect("memory does not fail")
    }

    fn prepare(database: Database, known: EventTypes) -> Result<Self, StoreError> {
        let store = Self {
            database: Arc::new(database),
            hot: Arc::default(),
        };
        match meta::schema(&store.database.begin_read()?)? {
            Some(SCHEMA) => {
                store.learn(known)?;
                Ok(store)
            }
            Some(found) => Err(StoreError::OtherSchema { found }),
            None => {
                let mut transaction = store.database.begin_write()?;
                transaction.set_quick_repair(true);
                for table in Table::ALL {
                    transaction.open_table(table.definition())?;
                }
                meta::create(&transaction, known)?;
                transaction.commit()?;
                Ok(store)
            }
        }
    }

    /// An event that was set aside as unknown would stay so although this build knows it.
    fn learn(&self, known: EventTypes) -> Result<(), StoreError> {
        let rows = self.database.begin_read()?;
        if meta::event_types(&rows)? == Some(known) {
            return Ok(());
        }
        if meta::lacks_unknown_events(&rows)? {
            return Err(StoreError::OtherEventTypes);
        }
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        Meta::open(&transaction)?.set_event_types(known)?;
        transaction.commit()?;
        Ok(())
    }

    /// Whether both are handles of the same rows.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.database, &other.database)
    }

    /// The rows as they stand now, all of the same moment, whatever is applied meanwhile.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot {
            transaction: self.database.begin_read()?,
            tables: Default::default(),
            rows_read: Cell::new(0),
        })
    }

    /// How many events were set aside, and are left out of the rows.
    pub fn quarantined(&self) -> Result<u64, StoreError> {
        self.snapshot()?.quarantined()
    }

    /// Whether the file still holds values of an erased tenant, which were deleted.
    pub fn holds_deleted(&self) -> Result<bool, StoreError> {
        erasure::holds_deleted(&self.database.begin_read()?)
    }

    pub(crate) fn begin_write(&self) -> Result<redb::WriteTransaction, StoreError> {
        Ok(self.database.begin_write()?)
    }

    /// The rows that the last batch held. Whoever writes holds them until it has committed.
    pub(crate) fn hot(&self) -> MutexGuard<'_, HotRows> {
        self.hot.lock().unwrap_or_else(|poisoned| {
            // A writer that panicked may have changed what it never stored.
            let mut hot = poisoned.into_inner();
            hot.forget();
            hot
        })
    }

    /// Every row as table, key and value, for comparing two stores byte by byte.
    pub fn dump(&self) -> Result<Vec<DumpedRow>, StoreError> {
        let snapshot = self.snapshot()?;
        let mut rows = Vec::new();
        for table in Table::ALL {
            for row in snapshot.table(table)?.iter()? {
                let (key, value) = row?;
                rows.push((
                    table.name(),
                    key.value().to_vec().into(),
                    value.value().to_vec().into(),
                ));
            }
        }
        rows.extend(meta::dump(&snapshot.transaction)?);
        Ok(rows)
    }
}

/// Table, key and value of one row.
pub type DumpedRow = (&'static str, Box<[u8]>, Box<[u8]>);

/// The rows of one moment, and the checkpoint they stand at.
pub struct Snapshot {
    transaction: ReadTransaction,
    /// Opened when first read: a query needs a few of them.
    tables: [OnceCell<RawTable>; Table::ALL.len()],
    rows_read: Cell<u64>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Snapshot {
    /// The last event that these rows include; none before the first commit.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        meta::checkpoint(&self.transaction)
    }

    /// The rows of the tenant in `scope`.
    pub fn tenant(&self, scope: &postroad_protocol::tenancy::TenantScope) -> TenantReader<'_> {
        TenantReader::new(self, Prefix::of(scope))
    }

    /// The operator's shared library, which every admitted caller may read.
    pub fn library(&self, _: &postroad_protocol::tenancy::RequestContext) -> Library<'_> {
        Library(TenantReader::new(self, Prefix::system()))
    }

    /// As [`library`](Self::library), for a broker that decides about it.
    pub(crate) fn library_for_brokers(&self) -> Library<'_> {
        Library(TenantReader::new(self, Prefix::system()))
    }

    /// How many rows the answers of this snapshot have read: what they cost.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.get()
    }

    pub(crate) fn count_row(&self) {
        self.rows_read.set(self.rows_read.get() + 1);
    }

    pub(crate) fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }

    pub(crate) fn table(&self, table: Table) -> Result<&RawTable, StoreError> {
        let place = &self.tables[table as usize];
        if let Some(open) = place.get() {
            return Ok(open);
        }
        let open = self.transaction.open_table(table.definition())?;
        Ok(place.get_or_init(|| open))
    }
}

/// The memories of the operator's shared library: of the deployment's own rows, nothing else is reached by it.
#[derive(Debug)]
pub struct Library<'s>(TenantReader<'s>);

impl<'s> Library<'s> {
    /// Where the event with this key is stored.
    pub(crate) fn event_sequence(&self, key: EventKey) -> Result<Option<u64>, StoreError> {
        self.0.event_sequence(key)
    }

    /// Its memories.
    pub fn memories(&self) -> MemoryReader<'_, 's> {
        MemoryReader::new(&self.0)
    }
}

/// Reads a table that may not be there yet as none.
pub(crate) fn if_there<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
