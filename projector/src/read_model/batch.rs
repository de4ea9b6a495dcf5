//! Rows while a batch is folded: [`BatchTables`] of the open transaction, and [`TenantWriter`],
//! the one way to write a tenant's. Never decides what an event means.

use super::append::Appended;
use super::hot::{Hot, HotRow};
use super::keys::{ListedKey, Prefix, RowKey};
use super::memory::buffer::{INDEX_HELD_MAX_BYTES, IndexBuffer};
use super::meta::Meta;
use super::table::{Row, Table, unreadable};
use crate::apply::Touched;
use crate::store::StoreError;
use postroad_protocol::id::TenantId;
use postroad_protocol::tenancy::TenantScope;
use redb::{ReadableTable, WriteTransaction};

/// Why an event changes nothing but the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the event of another tenant")]
    OtherTenant,
    #[error("the tenant was created before")]
    TenantExists,
    // Names nothing of the tenant's: the reason is shown where no audit says that it was.
    #[error("a role in it was never on the roster")]
    UnknownRole,
    #[error("none of the messages has a receipt of the reader")]
    NoReceipt,
    #[error("another event with the same key and other content was applied before")]
    KeyTaken,
    #[error("this type of event is not stored for this owner")]
    OtherOwner,
    #[error("this build does not fold this type of event")]
    UnknownType,
}

/// Why folding one event stopped: the event's fault, or the disk's.
#[derive(Debug)]
pub(crate) enum FoldError {
    Refused(Refused),
    Store(StoreError),
}

impl From<Refused> for FoldError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for FoldError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// New rows of each table. Kept from batch to batch for its memory: a large piece that is freed goes
/// back to the system, and comes back page by page.
pub(crate) type NewRows = [Appended; Table::ALL.len()];

/// The tables of an open write transaction.
pub(crate) struct BatchTables<'t> {
    transaction: &'t WriteTransaction,
    /// Opened when first touched: a small batch touches few, and each costs a look-up.
    open: [Option<OpenTable<'t>>; Table::ALL.len()],
    meta: Meta<'t>,
    /// New rows that nobody reads before the batch ends.
    appended: NewRows,
    /// Changed rows of the indexes of memories.
    index: IndexBuffer,
    /// Values are encoded here, so that a batch does not allocate for each.
    encoded: Vec<u8>,
}

impl<'t> BatchTables<'t> {
    /// Gathers new rows in the memory of `appended`, which is empty.
    pub(crate) fn open(
        transaction: &'t WriteTransaction,
        appended: NewRows,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            transaction,
            open: std::array::from_fn(|_| None),
            meta: Meta::open(transaction)?,
            appended,
            index: IndexBuffer::default(),
            encoded: Vec::new(),
        })
    }

    /// Writes the rows that are left, and gives back the memory in which they were gathered.
    pub(crate) fn close(mut self) -> Result<NewRows, StoreError> {
        self.write_appended()?;
        self.write_index()?;
        Ok(self.appended)
    }

    pub(crate) fn meta(&mut self) -> &mut Meta<'t> {
        &mut self.meta
    }

    pub(super) fn transaction(&self) -> &'t WriteTransaction {
        self.transaction
    }

    pub(super) fn table(&mut self, table: Table) -> Result<&mut OpenTable<'t>, StoreError> {
        match &mut self.open[table as usize] {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(self.transaction.open_table(table.definition())?)),
        }
    }

    pub(super) fn get<R: Row>(
        &mut self,
        owner: &Prefix,
        key: &R::Key,
    ) -> Result<Option<R>, StoreError> {
        let found = self.table(R::TABLE)?.get(owner.key(key).as_slice())?;
        found.map(|row| R::from_bytes(row.value())).transpose()
    }

    /// Writes a row; answers the one that it replaces.
    pub(super) fn replace<R: Row>(
        &mut self,
        owner: &Prefix,
        key: &R::Key,
        row: &R,
    ) -> Result<Option<R>, StoreError> {
        let encoded = self.encode(row);
        let table = self.table(R::TABLE)?;
        let before = table.insert(owner.key(key).as_slice(), encoded.as_slice())?;
        let before = before.map(|row| R::from_bytes(row.value())).transpose();
        self.encoded = encoded;
        before
    }

    pub(super) fn put<R: Row>(
        &mut self,
        owner: &Prefix,
        key: &R::Key,
        row: &R,
    ) -> Result<(), StoreError> {
        self.put_at::<R>(&owner.key(key), row)
    }

    pub(super) fn put_at<R: Row>(&mut self, key: &[u8], row: &R) -> Result<(), StoreError> {
        let encoded = self.encode(row);
        self.table(R::TABLE)?.insert(key, encoded.as_slice())?;
        self.encoded = encoded;
        Ok(())
    }

    pub(super) fn delete_at<R: Row>(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.table(R::TABLE)?.remove(key)?;
        Ok(())
    }

    fn encode<R: Row>(&mut self, row: &R) -> Vec<u8> {
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        write_row(row, &mut encoded);
        encoded
    }

    fn append<R: Row>(&mut self, owner: &Prefix, key: &R::Key, row: &R) {
        self.appended[R::TABLE as usize].push(
            |bytes| owner.write_key(key, bytes),
            |bytes| write_row(row, bytes),
        );
    }

    /// The indexes of memories: as they are stored, and what of them this batch has changed.
    pub(super) fn index(&mut self) -> Result<(&mut OpenTable<'t>, &mut IndexBuffer), StoreError> {
        const TABLE: Table = Table::MemoryIndex;
        let open = match &mut self.open[TABLE as usize] {
            Some(open) => open,
            closed => closed.insert(self.transaction.open_table(TABLE.definition())?),
        };
        Ok((open, &mut self.index))
    }

    /// Writes changed rows of indexes when they are many.
    pub(crate) fn bound_index(&mut self) -> Result<(), StoreError> {
        if self.index.bytes() > INDEX_HELD_MAX_BYTES {
            self.write_index()?;
        }
        Ok(())
    }

    /// Writes changed rows of indexes.
    pub(super) fn write_index(&mut self) -> Result<(), StoreError> {
        if self.index.is_empty() {
            return Ok(());
        }
        let (table, index) = self.index()?;
        index.write_out(table)
    }

    /// Bytes of new rows that are not written yet.
    pub(crate) fn appended_bytes(&self) -> usize {
        self.appended.iter().map(Appended::len).sum()
    }

    /// Writes new rows.
    pub(crate) fn write_appended(&mut self) -> Result<(), StoreError> {
        for table in Table::ALL {
            let mut appended = std::mem::take(&mut self.appended[table as usize]);
            if appended.len() > 0 {
                appended.write_out(self.table(table)?)?;
            }
            // Its memory serves the next rows.
            self.appended[table as usize] = appended;
        }
        Ok(())
    }
}

fn write_row<R: Row>(row: &R, bytes: &mut Vec<u8>) {
    rmp_serde::encode::write(bytes, row).expect("rows are plain data");
}

/// The rows of one tenant in an open batch.
pub(crate) struct TenantWriter<'b, 't> {
    tables: &'b mut BatchTables<'t>,
    hot: &'b mut Hot,
    owner: &'b Prefix,
    scope: &'b TenantScope,
    touched: &'b mut Vec<Touched>,
    /// Whether what the tenant's reactions follow from is another now.
    stirred: bool,
}

impl<'b, 't> TenantWriter<'b, 't> {
    pub(crate) fn new(
        tables: &'b mut BatchTables<'t>,
        hot: &'b mut Hot,
        owner: &'b Prefix,
        scope: &'b TenantScope,
        touched: &'b mut Vec<Touched>,
    ) -> Self {
        Self {
            tables,
            hot,
            owner,
            scope,
            touched,
            stirred: false,
        }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        self.scope.tenant()
    }

    pub(super) fn touch(&mut self, touched: Touched) {
        self.touched.push(touched);
    }

    /// What the tenant's reactions follow from has changed.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether it has.
    pub(crate) fn is_stirred(&self) -> bool {
        self.stirred
    }

    pub(super) fn get<R: Row>(&mut self, key: &R::Key) -> Result<Option<R>, StoreError> {
        self.tables.get(self.owner, key)
    }

    pub(super) fn put<R: Row>(&mut self, key: &R::Key, row: &R) -> Result<(), StoreError> {
        self.tables.put(self.owner, key, row)
    }

    pub(super) fn delete<R: Row>(&mut self, key: &R::Key) -> Result<(), StoreError> {
        self.tables.delete_at::<R>(&self.owner.key(key))
    }

    /// Adds a row that is not there yet, and that nobody reads before the batch ends.
    pub(super) fn append_row<R: Row>(&mut self, key: &R::Key, row: &R) {
        self.tables.append(self.owner, key, row);
    }

    /// The tables, and whose rows in them are this writer's.
    pub(super) fn tables(&mut self) -> (&mut BatchTables<'t>, &'b Prefix) {
        (self.tables, self.owner)
    }

    /// The keys of rows that begin with `under`. Not for hot rows that were not written out.
    pub(super) fn keys<R: Row>(&mut self, under: &impl RowKey) -> Result<Vec<R::Key>, StoreError>
    where
        R::Key: ListedKey,
    {
        self.first_keys::<R>(under, usize::MAX)
    }

    /// As [`Self::keys`], the first so many.
    pub(super) fn first_keys<R: Row>(
        &mut self,
        under: &impl RowKey,
        limit: usize,
    ) -> Result<Vec<R::Key>, StoreError>
    where
        R::Key: ListedKey,
    {
        let (start, end) = self.owner.range(under, None);
        let bounds = (
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        );
        let rows = self.tables.table(R::TABLE)?.range::<&[u8]>(bounds)?;
        rows.take(limit)
            .map(|row| {
                let (key, _) = row?;
                let read = |mut rest: &[u8]| R::Key::read(&mut rest);
                let key = self.owner.strip(key.value()).and_then(read);
                key.ok_or_else(|| unreadable(R::TABLE))
            })
            .collect()
    }

    /// Writes hot rows out, so that they can be listed.
    pub(super) fn write_hot(&mut self) -> Result<(), StoreError> {
        self.hot.write_out(self.tables, self.owner)
    }

    fn hot<R: HotRow>(&mut self, key: &R::Key) -> Result<(), StoreError> {
        if !R::cache(self.hot).holds(key) {
            let row = self.tables.get(self.owner, key)?;
            R::cache(self.hot).hold(key.clone(), row);
        }
        Ok(())
    }

    /// A hot row, to be read.
    pub(super) fn see<R: HotRow>(&mut self, key: &R::Key) -> Result<Option<&R>, StoreError> {
        self.hot::<R>(key)?;
        Ok(R::cache(self.hot).see(key))
    }

    /// A hot row, to be changed or made.
    pub(super) fn edit<R: HotRow>(&mut self, key: &R::Key) -> Result<&mut Option<R>, StoreError> {
        self.hot::<R>(key)?;
        Ok(R::cache(self.hot).edit(key))
    }
}
