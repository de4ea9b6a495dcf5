//! Wakes waiting checks when mail for their role was applied. Owns no mail: a bell only says
//! "look again", and ringing too often is harmless.

use crate::apply::Touched;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{Reader, Role, TenantId};
use postroad_protocol::limits::{TENANT_WAITS_OPEN, WAITS_OPEN};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// All bells of one projector.
#[derive(Debug, Default)]
pub struct Bells {
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    waits: usize,
    by_name: HashMap<TenantId, TenantBells>,
}

#[derive(Debug, Default)]
struct TenantBells {
    waits: usize,
    roles: HashMap<Role, RoleBell>,
}

#[derive(Debug, Default)]
struct RoleBell {
    waits: usize,
    bell: Arc<Notify>,
}

/// One waiting check. Dropping it frees its place.
#[derive(Debug)]
pub struct Wait {
    bells: Arc<Bells>,
    tenant: TenantId,
    role: Role,
    bell: Arc<Notify>,
}

impl Bells {
    /// Takes a place to wait for mail of `reader`.
    ///
    /// # Errors
    /// `rate_limited` when the tenant, or all together, hold too many checks open.
    pub fn wait(self: &Arc<Self>, scope: &TenantScope, reader: &Reader) -> Result<Wait, Refusal> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let open = tenants
            .by_name
            .get(scope.tenant())
            .map_or(0, |tenant| tenant.waits);
        if tenants.waits >= WAITS_OPEN || open >= TENANT_WAITS_OPEN {
            return Err(Refusal::new(
                ErrorCode::RateLimited,
                format!(
                    "too many checks are waiting; {TENANT_WAITS_OPEN} is the limit of a tenant"
                ),
                "close some, or check without waitMs",
            )
            .at("waitMs")
            .retry_after_ms(1_000));
        }
        tenants.waits += 1;
        let tenant = tenants.by_name.entry(scope.tenant().clone()).or_default();
        tenant.waits += 1;
        let role = tenant.roles.entry(reader.role.clone()).or_default();
        role.waits += 1;
        Ok(Wait {
            bells: Arc::clone(self),
            tenant: scope.tenant().clone(),
            role: reader.role.clone(),
            bell: Arc::clone(&role.bell),
        })
    }

    /// Rings for what was applied.
    pub fn ring(&self, touched: &[Touched]) {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.waits == 0 {
            return;
        }
        for touched in touched {
            let (tenant, role) = match touched {
                Touched::Role(tenant, role) => (tenant, Some(role)),
                Touched::Instance(tenant, reader) => (tenant, Some(&reader.role)),
                Touched::Broadcast(tenant) => (tenant, None),
            };
            let Some(bells) = tenants.by_name.get(tenant) else {
                continue;
            };
            match role {
                Some(role) => bells
                    .roles
                    .get(role)
                    .into_iter()
                    .for_each(|role| role.bell.notify_waiters()),
                None => bells
                    .roles
                    .values()
                    .for_each(|role| role.bell.notify_waiters()),
            }
        }
    }

    /// Rings every bell: what everybody reads has changed.
    pub fn ring_all(&self) {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants
            .by_name
            .values()
            .flat_map(|tenant| tenant.roles.values())
            .for_each(|role| role.bell.notify_waiters());
    }

    /// How many checks are waiting.
    pub fn waiting(&self) -> usize {
        self.tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waits
    }
}

impl Wait {
    /// The bell. Enable its `notified()` before reading, so that no ring is missed between.
    pub fn bell(&self) -> &Notify {
        &self.bell
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut tenants = self
            .bells
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tenants.waits -= 1;
        let Some(tenant) = tenants.by_name.get_mut(&self.tenant) else {
            return;
        };
        tenant.waits -= 1;
        if let Some(role) = tenant.roles.get_mut(&self.role) {
            role.waits -= 1;
            if role.waits == 0 {
                tenant.roles.remove(&self.role);
            }
        }
        if tenant.waits == 0 {
            tenants.by_name.remove(&self.tenant);
        }
    }
}
