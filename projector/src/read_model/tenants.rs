//! One row a tenant: when it was created, whether it is suspended, its limits, and counters that spare every
//! reader a scan.

use super::batch::{FoldError, Refused, TenantWriter};
use super::hot::{Hot, HotCache, HotRow};
use super::table::{Row, Table, TenantReader};
use crate::apply::Touched;
use crate::store::StoreError;
use postroad_protocol::event::{TenantCreated, TenantLimited, TenantSuspended};
use postroad_protocol::id::TimeMs;
use postroad_protocol::query::{self, TenantState};
use postroad_protocol::quota::Limits;
use postroad_protocol::service::TenantStanding;
use serde::{Deserialize, Serialize};

/// What is counted of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantRow {
    created: Option<(u32, TimeMs)>,
    pub(super) roles: u64,
    pub(super) readers: u64,
    pub(super) messages: u64,
    suspended: Option<Suspension>,
    pub(super) stored_bytes: u64,
    limits: Limits,
    pub(super) memories: u64,
    /// Ever created: the number that the next one gets.
    pub(super) tasks: u64,
    /// As `tasks`.
    pub(super) missions: u64,
}

/// Since when the tenant's agents are shut out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Suspension {
    at: TimeMs,
    reason: Option<Box<str>>,
}

impl Row for TenantRow {
    type Key = ();
    const TABLE: Table = Table::Tenants;
}

impl HotRow for TenantRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.tenant
    }
}

impl TenantRow {
    /// Which creation of the name this is.
    pub(super) fn generation(&self) -> Option<u32> {
        self.created.map(|(generation, _)| generation)
    }

    fn state(&self) -> TenantState {
        match self.suspended {
            Some(_) => TenantState::Suspended,
            None => TenantState::Active,
        }
    }
}

impl TenantWriter<'_, '_> {
    /// The tenant came to be. Its other events do not need this one, so that a log which lost it
    /// still shows what followed.
    pub(super) fn tenant_created(
        &mut self,
        time: TimeMs,
        data: &TenantCreated,
    ) -> Result<(), FoldError> {
        if data.tenant != *self.tenant() {
            return Err(Refused::OtherTenant.into());
        }
        let row = self.tenant_row()?;
        if row.created.is_some() {
            return Err(Refused::TenantExists.into());
        }
        row.created = Some((data.generation, time));
        Ok(())
    }

    /// The tenant's agents are shut out. Whoever waits for mail is woken, to be told.
    pub(super) fn tenant_suspended(
        &mut self,
        time: TimeMs,
        data: &TenantSuspended,
    ) -> Result<(), FoldError> {
        self.tenant_row()?.suspended = Some(Suspension {
            at: time,
            reason: data.reason.as_deref().map(Into::into),
        });
        let tenant = self.tenant().clone();
        self.touch(Touched::Broadcast(tenant));
        Ok(())
    }

    /// They are let in again.
    pub(super) fn tenant_resumed(&mut self) -> Result<(), FoldError> {
        self.tenant_row()?.suspended = None;
        Ok(())
    }

    /// Its limits are others.
    pub(super) fn tenant_limited(&mut self, data: &TenantLimited) -> Result<(), FoldError> {
        self.tenant_row()?.limits = data.limits.clone();
        Ok(())
    }

    pub(super) fn tenant_row(&mut self) -> Result<&mut TenantRow, StoreError> {
        Ok(self.edit::<TenantRow>(&())?.get_or_insert_default())
    }
}

impl TenantReader<'_> {
    /// The tenant, which lives in `shard`, and how much it holds; nothing when the log knows no
    /// event of it. Roles and readers that were retired do not count.
    pub fn tenant(&self, shard: u16) -> Result<Option<query::Tenant>, StoreError> {
        let Some(row) = self.get::<TenantRow>(&())? else {
            return Ok(None);
        };
        // A log that lost the creation shows generation 0, created at 0.
        let (generation, created_at) = row.created.unwrap_or_default();
        Ok(Some(query::Tenant {
            tenant: self.owner().to_owned(),
            shard,
            generation,
            created_at,
            roles: row.roles,
            readers: row.readers,
            messages: row.messages,
            state: row.state(),
            suspended_at: row.suspended.as_ref().map(|suspension| suspension.at),
            suspend_reason: row
                .suspended
                .and_then(|suspension| suspension.reason)
                .map(Into::into),
            stored_bytes: row.stored_bytes,
            memories: row.memories,
            tasks: row.tasks,
            limits: row.limits,
        }))
    }

    /// How the tenant stands, for a broker.
    pub fn tenant_standing(&self) -> Result<TenantStanding, StoreError> {
        let row = self.get::<TenantRow>(&())?.unwrap_or_default();
        Ok(TenantStanding {
            suspended: row.state() == TenantState::Suspended,
            messages: row.messages,
            stored_bytes: row.stored_bytes,
            memories: row.memories,
            tasks: row.tasks,
        })
    }

    /// The limits that are set.
    pub fn limits(&self) -> Result<Limits, StoreError> {
        Ok(self.get::<TenantRow>(&())?.unwrap_or_default().limits)
    }

    /// Whether the tenant's agents are served.
    pub fn tenant_state(&self) -> Result<TenantState, StoreError> {
        let row = self.get::<TenantRow>(&())?;
        Ok(row.map_or(TenantState::Active, |row| row.state()))
    }
}
