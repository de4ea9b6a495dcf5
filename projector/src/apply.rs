//! EVENT BECOMES ROWS: a batch of the log's events in one transaction, with the checkpoint that
//! they lead to. Owns exactly-once; reads no clock, rolls no dice and knows no NATS, so the same
//! log gives the same rows however it is cut into batches.

use crate::checkpoint::Checkpoint;
use crate::read_model;
use crate::read_model::batch::{BatchTables, FoldError, Refused, TenantWriter};
use crate::read_model::events::{EventRow, Route, Sighting, content_of, remember};
use crate::read_model::hot::HotRows;
use crate::read_model::keys::Prefix;
use crate::read_model::memory::MemoryWriter;
use crate::read_model::quarantine::set_aside;
use crate::store::{Store, StoreError};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;
use postroad_protocol::id::{Reader, Role, TenantId};
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::tenancy::replay::StoredFor;
use redb::WriteTransaction;
use std::borrow::Borrow;
use std::collections::HashSet;

/// Hot rows held in memory, over batches; beyond that they are written out and read anew. An event
/// may touch many, and a batch has a bound on events, not on what they touch.
const HOT_ROWS_MAX: usize = if cfg!(test) { 16 } else { 16_384 };

/// Bytes of new rows that a batch gathers before it writes them out.
/// As much as stays in a core's own cache.
const APPENDED_MAX_BYTES: usize = if cfg!(test) { 2_000 } else { 1024 * 1024 };

/// One stored event, on its way to the rows.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it is stored.
    pub sequence: u64,
    /// What was found there.
    pub outcome: Outcome,
}

/// What was found at a sequence.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are events, and boxing each would cost an allocation"
)]
#[derive(Clone, Debug)]
pub enum Outcome {
    /// An event.
    Event {
        /// Whose.
        stored_for: StoredFor,
        /// What happened.
        record: Record,
    },
    /// Its key was destroyed with its tenant, or an operator gave it up: it only keeps its number.
    Erased,
    /// Behind a good seal, and unknown to this build.
    Undecodable {
        /// Whose; none for the deployment's own.
        scope: Option<TenantScope>,
        /// Why it cannot be read.
        reason: String,
    },
}

/// How soon a commit must survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// With this commit, and every earlier one.
    Durable,
    /// With a later one; after a crash the log is applied again from the last durable commit.
    Visible,
}

/// Whose mail came. Each is named once a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Touched {
    /// Every instance of a role.
    Role(TenantId, Role),
    /// One instance.
    Instance(TenantId, Reader),
    /// Every agent of a tenant. Also when it is suspended: they look again, and are told.
    Broadcast(TenantId),
}

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that changed rows, or had nothing left to change.
    pub folded: u64,
    /// Events that were applied before.
    pub repeated: u64,
    /// Events that were set aside.
    pub quarantined: u64,
    /// Whose mail came, in the order of its first message.
    pub touched: Vec<Touched>,
    /// Tenants whose rows were deleted.
    pub erased: u64,
    /// Whose memories were stored or say something else.
    pub(crate) remembered: HashSet<Prefix>,
    /// Whose leases, or messages about tasks that wait for nothing any more, are others.
    pub(crate) stirred: HashSet<Prefix>,
}

/// Why a batch was not applied. The rows are as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The rows cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows were folded from another incarnation of the log: fold it anew, into other rows.
    #[error("the rows are of the log that began at {rows}, the events of one that began at {log}")]
    OtherLog {
        /// Epoch of the rows.
        rows: u64,
        /// Epoch of the batch.
        log: u64,
    },
    /// The batch does not ascend, or goes beyond its checkpoint.
    #[error("sequence {sequence} is out of order")]
    OutOfOrder {
        /// The first that is.
        sequence: u64,
    },
    /// The thread that writes this shard's rows has ended.
    #[error("the writer of the rows has ended")]
    WriterGone,
}

/// Applies `batch`, whose last event `checkpoint` stands for, in one transaction. Sequences that
/// the rows include already are passed over. An empty batch moves the checkpoint, or makes earlier
/// commits durable.
///
/// # Errors
/// [`ApplyError`]; then nothing was applied.
pub fn apply(
    store: &Store,
    batch: &[Incoming],
    checkpoint: Checkpoint,
    durability: Durability,
) -> Result<Applied, ApplyError> {
    apply_each(store, checkpoint.epoch, batch, || checkpoint, durability)
}

/// As [`apply`], taking the events of the log's incarnation `epoch` one by one, so that not all of
/// them are in memory at once. The checkpoint is asked for when the last one was taken.
///
/// # Errors
/// [`ApplyError`]; then nothing was applied.
pub fn apply_each<I: Borrow<Incoming>>(
    store: &Store,
    epoch: u64,
    batch: impl IntoIterator<Item = I>,
    checkpoint: impl FnOnce() -> Checkpoint,
    durability: Durability,
) -> Result<Applied, ApplyError> {
    // Held to the end: hot rows are those of the last commit only while nobody else commits.
    let mut hot = store.hot();
    let applied = commit_batch(store, &mut hot, epoch, batch, checkpoint, durability);
    if applied.is_err() {
        hot.forget();
    }
    applied
}

fn commit_batch<I: Borrow<Incoming>>(
    store: &Store,
    hot: &mut HotRows,
    epoch: u64,
    batch: impl IntoIterator<Item = I>,
    checkpoint: impl FnOnce() -> Checkpoint,
    durability: Durability,
) -> Result<Applied, ApplyError> {
    let mut transaction = store.begin_write()?;
    match durability {
        // Quick repair costs a durable commit little and spares a start the walk over the file.
        Durability::Durable => transaction.set_quick_repair(true),
        Durability::Visible => transaction
            .set_durability(redb::Durability::None)
            .map_err(StoreError::from)?,
    }
    let applied = take_batch(&transaction, hot, epoch, batch, checkpoint)?;
    transaction.commit().map_err(StoreError::from)?;
    Ok(applied)
}

fn take_batch<I: Borrow<Incoming>>(
    transaction: &WriteTransaction,
    hot: &mut HotRows,
    epoch: u64,
    batch: impl IntoIterator<Item = I>,
    checkpoint: impl FnOnce() -> Checkpoint,
) -> Result<Applied, ApplyError> {
    let mut open = Batch {
        tables: BatchTables::open(transaction, std::mem::take(&mut hot.new_rows))?,
        hot,
        system: Prefix::system(),
        applied: Applied::default(),
        touched: Vec::new(),
        rung: HashSet::new(),
        scratch: Vec::new(),
    };
    let before = open.tables.meta().checkpoint()?;
    if let Some(before) = before.filter(|before| before.epoch != epoch) {
        return Err(ApplyError::OtherLog {
            rows: before.epoch,
            log: epoch,
        });
    }
    let known = before.map_or(0, |before| before.sequence);
    let mut last = 0;
    for incoming in batch {
        let incoming = incoming.borrow();
        let sequence = incoming.sequence;
        if sequence <= last {
            return Err(ApplyError::OutOfOrder { sequence });
        }
        last = sequence;
        if sequence > known {
            open.take(incoming)?;
        }
    }
    let checkpoint = checkpoint();
    if last > checkpoint.sequence {
        return Err(ApplyError::OutOfOrder { sequence: last });
    }
    open.hot.write_out(&mut open.tables)?;
    if checkpoint.sequence >= known {
        open.tables.meta().set_checkpoint(checkpoint)?;
    }
    open.hot.new_rows = open.tables.close()?;
    Ok(open.applied)
}

/// A batch while it is applied.
struct Batch<'t, 'h> {
    tables: BatchTables<'t>,
    hot: &'h mut HotRows,
    system: Prefix,
    applied: Applied,
    /// Of the event at hand.
    touched: Vec<Touched>,
    rung: HashSet<Touched>,
    scratch: Vec<u8>,
}

impl Batch<'_, '_> {
    fn take(&mut self, incoming: &Incoming) -> Result<(), StoreError> {
        let sequence = incoming.sequence;
        match &incoming.outcome {
            Outcome::Erased => Ok(()),
            Outcome::Undecodable { scope, reason } => {
                let owner = scope.as_ref().map(Prefix::of);
                self.applied.quarantined += 1;
                let owner = owner.as_ref().unwrap_or(&self.system);
                set_aside(&mut self.tables, owner, sequence, reason, true)
            }
            Outcome::Event { stored_for, record } => match stored_for {
                StoredFor::Tenant(scope) => self.take_tenants(scope, sequence, record),
                StoredFor::System => self.take_system(sequence, record),
            },
        }
    }

    fn set_aside(
        &mut self,
        owner: Option<&Prefix>,
        sequence: u64,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.applied.quarantined += 1;
        let owner = owner.unwrap_or(&self.system);
        set_aside(&mut self.tables, owner, sequence, reason, false)
    }

    fn take_tenants(
        &mut self,
        scope: &TenantScope,
        sequence: u64,
        record: &Record,
    ) -> Result<(), StoreError> {
        let (owner, hot) = self.hot.of(scope);
        let (tables, touched) = (&mut self.tables, &mut self.touched);
        let mut rows = TenantWriter::new(tables, hot, owner, scope, touched);
        let content = content_of(record, &mut self.scratch);
        let taken = take_record(&mut rows, sequence, record, content);
        let is_stirred = rows.is_stirred();
        match taken {
            Ok(Sighting::New) => {
                self.applied.folded += 1;
                if is_stirred && !self.applied.stirred.contains(owner) {
                    self.applied.stirred.insert(owner.clone());
                }
                if is_remembered(&record.event) && !self.applied.remembered.contains(owner) {
                    self.applied.remembered.insert(owner.clone());
                }
                for touched in self.touched.drain(..) {
                    if self.rung.insert(touched.clone()) {
                        self.applied.touched.push(touched);
                    }
                }
            }
            Ok(Sighting::Repeat) => self.applied.repeated += 1,
            Err(FoldError::Store(error)) => return Err(error),
            Err(FoldError::Refused(refused)) => {
                let owner = owner.clone();
                self.set_aside(Some(&owner), sequence, &refused.to_string())?;
            }
        }
        self.bound(scope)
    }

    fn take_system(&mut self, sequence: u64, record: &Record) -> Result<(), StoreError> {
        let event = EventRow::new(
            sequence,
            content_of(record, &mut self.scratch),
            Route::default(),
        );
        let sighting = remember(&mut self.tables, &self.system, record.key, &event);
        let refused = match (sighting, &record.event) {
            (Ok(Sighting::New), Event::DamageAccepted(data)) => {
                self.applied.folded += 1;
                return self.tables.meta().accept_damage(&data.ranges);
            }
            (Ok(Sighting::New), Event::TenantErased(data)) => {
                self.applied.folded += 1;
                // Until its keys are destroyed it may still send.
                if data.key_destroyed {
                    self.applied.erased += 1;
                    self.hot.forget_tenant(&data.tenant);
                    self.tables.erase(data)?;
                }
                return Ok(());
            }
            (
                Ok(Sighting::New),
                Event::MemoryStored(_) | Event::MemoryUpdated(_) | Event::MemoryForgotten(_),
            ) => {
                self.applied.folded += 1;
                if is_remembered(&record.event) {
                    self.applied.remembered.insert(self.system.clone());
                }
                MemoryWriter::new(&mut self.tables, &self.system).fold(sequence, record)?;
                return self.tables.bound_index();
            }
            (Ok(Sighting::New), _) => Refused::OtherOwner,
            (Ok(Sighting::Repeat), _) => {
                self.applied.repeated += 1;
                return Ok(());
            }
            (Err(FoldError::Refused(refused)), _) => refused,
            (Err(FoldError::Store(error)), _) => return Err(error),
        };
        self.set_aside(None, sequence, &refused.to_string())
    }

    /// Writes rows out when they are many.
    fn bound(&mut self, scope: &TenantScope) -> Result<(), StoreError> {
        if self.hot.count(scope) > HOT_ROWS_MAX {
            self.hot.write_out(&mut self.tables)?;
            self.hot.forget();
        }
        if self.tables.appended_bytes() > APPENDED_MAX_BYTES {
            self.tables.write_appended()?;
        }
        self.tables.bound_index()
    }
}

/// Whether a content came with it.
fn is_remembered(event: &Event) -> bool {
    matches!(event, Event::MemoryStored(_) | Event::MemoryUpdated(_))
}

/// Folds an event of a tenant's, unless it was met before, and remembers it either way.
fn take_record(
    rows: &mut TenantWriter<'_, '_>,
    sequence: u64,
    record: &Record,
    content: u64,
) -> Result<Sighting, FoldError> {
    let planned = match &record.event {
        Event::MessageSent(sent) => rows.plan(sent),
        _ => Ok(Route::default()),
    };
    let (route, refused) = match planned {
        Ok(route) => (route, None),
        Err(FoldError::Refused(refused)) => (Route::default(), Some(refused)),
        Err(error) => return Err(error),
    };
    let event = EventRow::new(sequence, content, route);
    if rows.remember(record.key, &event)? == Sighting::Repeat {
        return Ok(Sighting::Repeat);
    }
    match refused {
        Some(refused) => return Err(refused.into()),
        None => read_model::fold(rows, sequence, record, &event.route)?,
    }
    rows.count_stored(record)?;
    Ok(Sighting::New)
}
