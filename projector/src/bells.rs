//! Wakes waiting checks when mail for their reader was applied. Owns no mail: a bell only says
//! "look again", and ringing too often is harmless.

use crate::apply::Touched;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{InstanceId, Reader, Role, TenantId};
use postroad_protocol::limits::WAITS_OPEN;
use postroad_protocol::quota::{Limit, Limits};
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
    roles: HashMap<Role, HashMap<InstanceId, ReaderBell>>,
}

#[derive(Debug, Default)]
struct ReaderBell {
    waits: usize,
    bell: Arc<Notify>,
}

/// One waiting check. Dropping it frees its place.
#[derive(Debug)]
pub struct Wait {
    bells: Arc<Bells>,
    tenant: TenantId,
    reader: Reader,
    bell: Arc<Notify>,
}

impl Bells {
    /// Takes a place to wait for mail of `reader`, within the limits that are set for its tenant.
    ///
    /// # Errors
    /// `rate_limited` when the reader, its tenant, or all together hold too many checks open.
    pub fn wait(
        self: &Arc<Self>,
        scope: &TenantScope,
        reader: &Reader,
        limits: &Limits,
    ) -> Result<Wait, Refusal> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenants.by_name.get(scope.tenant());
        let open = tenant.map_or(0, |tenant| tenant.waits);
        let own = tenant.and_then(|tenant| tenant.roles.get(&reader.role)?.get(&reader.instance));
        let bounds = [
            (Limit::AgentWaits, own.map_or(0, |own| own.waits)),
            (Limit::Waits, open),
        ];
        for (limit, open) in bounds {
            if open >= limits.bound(limit) {
                let bound = limits.bound(limit);
                return Err(too_many(&format!("{limit} is limited to {bound}")));
            }
        }
        if tenants.waits >= WAITS_OPEN {
            return Err(too_many("this projector holds no more"));
        }
        tenants.waits += 1;
        let tenant = tenants.by_name.entry(scope.tenant().clone()).or_default();
        tenant.waits += 1;
        let instances = tenant.roles.entry(reader.role.clone()).or_default();
        let own = instances.entry(reader.instance.clone()).or_default();
        own.waits += 1;
        Ok(Wait {
            bells: Arc::clone(self),
            tenant: scope.tenant().clone(),
            reader: reader.clone(),
            bell: Arc::clone(&own.bell),
        })
    }

    /// Rings for what was applied.
    pub fn ring(&self, touched: &[Touched]) {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        for touched in touched {
            let tenant = match touched {
                Touched::Role(tenant, _)
                | Touched::Instance(tenant, _)
                | Touched::Broadcast(tenant) => tenant,
            };
            let Some(bells) = tenants.by_name.get(tenant) else {
                continue;
            };
            match touched {
                Touched::Role(_, role) => bells.roles.get(role).into_iter().for_each(ring_all),
                Touched::Instance(_, reader) => {
                    let instances = bells.roles.get(&reader.role);
                    let own = instances.and_then(|instances| instances.get(&reader.instance));
                    if let Some(own) = own {
                        own.bell.notify_waiters();
                    }
                }
                Touched::Broadcast(_) => bells.roles.values().for_each(ring_all),
            }
        }
    }

    /// Rings every bell: what everybody reads has changed.
    pub fn ring_everybody(&self) {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants
            .by_name
            .values()
            .flat_map(|tenant| tenant.roles.values())
            .for_each(ring_all);
    }
}

fn ring_all(instances: &HashMap<InstanceId, ReaderBell>) {
    for own in instances.values() {
        own.bell.notify_waiters();
    }
}

fn too_many(why: &str) -> Refusal {
    Refusal::new(
        ErrorCode::RateLimited,
        format!("too many checks are waiting: {why}"),
        "close some, or check without waitMs",
    )
    .at("waitMs")
    .retry_after_ms(1_000)
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
        if let Some(instances) = tenant.roles.get_mut(&self.reader.role) {
            if let Some(own) = instances.get_mut(&self.reader.instance) {
                own.waits -= 1;
                if own.waits == 0 {
                    instances.remove(&self.reader.instance);
                }
            }
            if instances.is_empty() {
                tenant.roles.remove(&self.reader.role);
            }
        }
        if tenant.waits == 0 {
            tenants.by_name.remove(&self.tenant);
        }
    }
}
