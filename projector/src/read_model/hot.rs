//! Rows that many events read and change: held in memory, read once and written once a batch, and
//! kept for the next batch. Owns which of them were changed; nobody else writes these tables, so
//! what is held is what is stored, or will be when the batch is committed.

use super::batch::{BatchTables, NewRows};
use super::keys::Prefix;
use super::lanes::LaneRow;
use super::marks::Marks;
use super::priorities::Priorities;
use super::readers::ReaderRow;
use super::roster::RoleRow;
use super::table::Row;
use super::tasks::bits::TaskBits;
use super::tasks::loads::LoadRow;
use super::tasks::missions::ProgressRow;
use super::tasks::rows::TaskRow;
use super::tenants::TenantRow;
use super::usage::UsageRow;
use crate::store::StoreError;
use foldhash::{HashMap, HashMapExt as _};
use postroad_protocol::id::TenantId;
use postroad_protocol::tenancy::TenantScope;
use std::hash::Hash;

/// A kind of row that many events of a batch read and write.
pub(crate) trait HotRow: Row<Key: Clone + Eq + Hash> {
    /// Where it is held.
    fn cache(hot: &mut Hot) -> &mut HotCache<Self>;
}

/// Rows of one kind, or that there is none under a key.
pub(crate) struct HotCache<R: HotRow> {
    rows: HashMap<R::Key, Held<R>>,
    /// Keys of those that were changed, each once.
    changed: Vec<R::Key>,
}

struct Held<R> {
    row: Option<R>,
    is_changed: bool,
}

impl<R: HotRow> Default for HotCache<R> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            changed: Vec::new(),
        }
    }
}

impl<R: HotRow> HotCache<R> {
    pub(super) fn holds(&self, key: &R::Key) -> bool {
        self.rows.contains_key(key)
    }

    /// Holds what is stored under `key`.
    pub(super) fn hold(&mut self, key: R::Key, row: Option<R>) {
        let is_changed = false;
        self.rows.insert(key, Held { row, is_changed });
    }

    /// The row that is held.
    pub(super) fn see(&self, key: &R::Key) -> Option<&R> {
        self.rows.get(key)?.row.as_ref()
    }

    /// The row that is held, to be changed.
    pub(super) fn edit(&mut self, key: &R::Key) -> &mut Option<R> {
        let held = self.rows.get_mut(key).expect("a row is held first");
        if !held.is_changed {
            held.is_changed = true;
            self.changed.push(key.clone());
        }
        &mut held.row
    }

    /// Writes what was changed, in order of key: the tree's pages are then each visited once.
    fn write_out(
        &mut self,
        tables: &mut BatchTables<'_>,
        owner: &Prefix,
    ) -> Result<(), StoreError> {
        let changed = self.changed.drain(..).map(|key| (owner.key(&key), key));
        let mut changed: Vec<(Vec<u8>, R::Key)> = changed.collect();
        changed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (bytes, key) in changed {
            if let Some(held) = self.rows.get_mut(&key) {
                held.is_changed = false;
                match &held.row {
                    Some(row) => tables.put_at(&bytes, row)?,
                    None => tables.delete_at::<R>(&bytes)?,
                }
            }
        }
        Ok(())
    }
}

/// One tenant's hot rows.
#[derive(Default)]
pub(crate) struct Hot {
    pub(super) tenant: HotCache<TenantRow>,
    pub(super) roles: HotCache<RoleRow>,
    pub(super) readers: HotCache<ReaderRow>,
    pub(super) lanes: HotCache<LaneRow>,
    pub(super) marks: HotCache<Marks>,
    pub(super) priorities: HotCache<Priorities>,
    pub(super) usage: HotCache<UsageRow>,
    pub(super) tasks: HotCache<TaskRow>,
    pub(super) task_bits: HotCache<TaskBits>,
    pub(super) loads: HotCache<LoadRow>,
    pub(super) progress: HotCache<ProgressRow>,
}

impl Hot {
    /// How many rows are held, and one for the tenant.
    fn len(&self) -> usize {
        let (roles, readers) = (self.roles.rows.len(), self.readers.rows.len());
        let (days, priorities) = (self.usage.rows.len(), self.priorities.rows.len());
        let (lanes, marks) = (self.lanes.rows.len(), self.marks.rows.len());
        let (bits, loads) = (self.task_bits.rows.len(), self.loads.rows.len());
        let (tasks, missions) = (self.tasks.rows.len(), self.progress.rows.len());
        1 + roles + readers + days + lanes + marks + priorities + bits + loads + tasks + missions
    }

    /// Writes what was changed. Everything stays held.
    pub(crate) fn write_out(
        &mut self,
        tables: &mut BatchTables<'_>,
        owner: &Prefix,
    ) -> Result<(), StoreError> {
        self.tenant.write_out(tables, owner)?;
        self.roles.write_out(tables, owner)?;
        self.readers.write_out(tables, owner)?;
        self.lanes.write_out(tables, owner)?;
        self.marks.write_out(tables, owner)?;
        self.priorities.write_out(tables, owner)?;
        self.usage.write_out(tables, owner)?;
        self.tasks.write_out(tables, owner)?;
        self.task_bits.write_out(tables, owner)?;
        self.loads.write_out(tables, owner)?;
        self.progress.write_out(tables, owner)
    }
}

/// A tenant's rows, and whether this batch has touched them.
struct HotTenant {
    owner: Prefix,
    hot: Hot,
    /// Rows when they were last counted.
    counted: usize,
    is_touched: bool,
}

/// Hot rows of every tenant.
#[derive(Default)]
pub(crate) struct HotRows {
    tenants: HashMap<TenantScope, HotTenant>,
    touched: Vec<TenantScope>,
    /// Rows of all tenants, as counted.
    held: usize,
    /// Memory for the next batch.
    pub(crate) new_rows: NewRows,
}

impl HotRows {
    /// The rows of one tenant, to fold an event.
    pub(crate) fn of(&mut self, scope: &TenantScope) -> (&Prefix, &mut Hot) {
        if !self.tenants.contains_key(scope) {
            let tenant = HotTenant {
                owner: Prefix::of(scope),
                hot: Hot::default(),
                counted: 0,
                is_touched: false,
            };
            self.tenants.insert(scope.clone(), tenant);
        }
        let tenant = self.tenants.get_mut(scope).expect("it was just put there");
        if !tenant.is_touched {
            tenant.is_touched = true;
            self.touched.push(scope.clone());
        }
        (&tenant.owner, &mut tenant.hot)
    }

    /// How many rows are held, once those of `scope` are counted anew.
    pub(crate) fn count(&mut self, scope: &TenantScope) -> usize {
        if let Some(tenant) = self.tenants.get_mut(scope) {
            self.held -= tenant.counted;
            tenant.counted = tenant.hot.len();
            self.held += tenant.counted;
        }
        self.held
    }

    /// Writes what this batch has changed. Everything stays held.
    pub(crate) fn write_out(&mut self, tables: &mut BatchTables<'_>) -> Result<(), StoreError> {
        for scope in self.touched.drain(..) {
            if let Some(tenant) = self.tenants.get_mut(&scope) {
                tenant.is_touched = false;
                tenant.hot.write_out(tables, &tenant.owner)?;
            }
        }
        Ok(())
    }

    /// Forgets one tenant's rows, written or not: they are deleted.
    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        self.touched.retain(|scope| scope.tenant() != tenant);
        let held = &mut self.held;
        self.tenants.retain(|scope, rows| {
            let stays = scope.tenant() != tenant;
            if !stays {
                *held -= rows.counted;
            }
            stays
        });
    }

    /// Forgets everything, written or not.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
