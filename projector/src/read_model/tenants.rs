//! One row a tenant: when it was created, and counters that spare every reader a scan.

use super::batch::{FoldError, Refused, TenantWriter};
use super::hot::{Hot, HotCache, HotRow};
use super::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::event::TenantCreated;
use postroad_protocol::id::TimeMs;
use postroad_protocol::query;
use serde::{Deserialize, Serialize};

/// What is counted of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantRow {
    created: Option<(u32, TimeMs)>,
    pub(super) roles: u64,
    pub(super) readers: u64,
    pub(super) messages: u64,
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
        }))
    }
}
