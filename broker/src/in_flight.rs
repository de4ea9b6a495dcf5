//! How much this broker has taken on: commands between arrival and answer, in all and of each
//! tenant. Refuses beyond the bounds; never waits to admit.

use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::{COMMANDS_IN_FLIGHT, TENANT_COMMANDS_WAITING};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Places that only tenants take which hold few.
const RESERVED: usize = COMMANDS_IN_FLIGHT / 8;
/// What counts as few.
const FEW: usize = 16;

/// Counts what is in flight. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Mutex<Counts>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_tenant: HashMap<Option<TenantScope>, usize>,
}

/// A command's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    inner: Arc<Inner>,
    tenant: Option<TenantScope>,
}

impl InFlight {
    /// Takes a place for a command of `tenant`, or of the operator for no tenant. A tenant may hold as
    /// many as are still free; the last places are for those that hold only a few.
    ///
    /// # Errors
    /// `rate_limited` when the tenant has too many, `unavailable` when nothing is free at all.
    pub(crate) fn enter(&self, tenant: Option<&TenantScope>) -> Result<Place, Refusal> {
        let tenant = tenant.cloned();
        let mut counts = self.lock();
        let free = COMMANDS_IN_FLIGHT.saturating_sub(counts.total);
        if free == 0 {
            return Err(Refusal::unavailable("this broker is full"));
        }
        let held = counts.by_tenant.get(&tenant).copied().unwrap_or(0);
        let unreserved = free.saturating_sub(RESERVED);
        if held >= FEW.max(TENANT_COMMANDS_WAITING.min(unreserved)) {
            let refusal = Refusal::new(
                ErrorCode::RateLimited,
                "too many commands of this tenant are under way",
                "send fewer at once, and this one again with the same id",
            );
            return Err(refusal.retry_after_ms(200));
        }
        counts.by_tenant.insert(tenant.clone(), held + 1);
        counts.total += 1;
        Ok(Place {
            inner: self.inner.clone(),
            tenant,
        })
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.inner.idle.notified();
            if self.lock().total == 0 {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.inner
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .inner
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(count) = counts.by_tenant.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                counts.by_tenant.remove(&self.tenant);
            }
        }
        if counts.total == 0 {
            self.inner.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use postroad_protocol::subject::{RequestKind, Subjects};
    use postroad_protocol::tenancy::Admission;

    fn scope(name: &str) -> TenantScope {
        let subject = format!("postroad.{name}.cmd.tau.pi.self.x");
        let reply = format!("_INBOX.{name}.tau.pi.1");
        #[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
        let admission = Admission::new(Subjects::default());
        let admitted = admission.admit(RequestKind::Command, &subject, Some(&reply), None);
        admitted.unwrap().context.scope().unwrap().clone()
    }

    fn flood(in_flight: &InFlight, scope: &TenantScope) -> Vec<Place> {
        std::iter::from_fn(|| in_flight.enter(Some(scope)).ok()).collect()
    }

    #[tokio::test]
    async fn places_of_a_tenant_are_bounded_and_come_back() {
        let in_flight = InFlight::default();
        let places = flood(&in_flight, &scope("acme"));
        assert_eq!(places.len(), TENANT_COMMANDS_WAITING);
        let refusal = in_flight.enter(Some(&scope("acme"))).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some());
        drop(places);
        in_flight.idle().await;
        assert!(in_flight.lock().by_tenant.is_empty());
    }

    #[test]
    fn however_many_flood_there_is_room_for_the_next_tenant() {
        let in_flight = InFlight::default();
        let floods: Vec<_> = (0..40)
            .map(|n| flood(&in_flight, &scope(&format!("flood-{n}"))))
            .collect();
        let taken: usize = floods.iter().map(Vec::len).sum();
        assert!(taken < COMMANDS_IN_FLIGHT);
        assert!(in_flight.enter(Some(&scope("calm"))).is_ok());
    }
}
