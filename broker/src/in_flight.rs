//! How much this broker has taken on: commands between arrival and answer, in all and of each
//! tenant. Refuses beyond the bounds; never waits to admit.

use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::{COMMANDS_IN_FLIGHT, TENANT_COMMANDS_WAITING};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

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
    /// Takes a place for a command of `tenant`, or of the operator for no tenant.
    ///
    /// # Errors
    /// `rate_limited` when the tenant has too many, `unavailable` when all have together.
    pub(crate) fn enter(&self, tenant: Option<&TenantScope>) -> Result<Place, Refusal> {
        let mut counts = self.lock();
        if counts.total >= COMMANDS_IN_FLIGHT {
            return Err(Refusal::unavailable("this broker is full"));
        }
        let tenant = tenant.cloned();
        let of_tenant = counts.by_tenant.entry(tenant.clone()).or_default();
        if *of_tenant >= TENANT_COMMANDS_WAITING {
            let refusal = Refusal::new(
                ErrorCode::RateLimited,
                "too many commands of this tenant are under way",
                "send fewer at once, and this one again with the same id",
            );
            return Err(refusal.retry_after_ms(200));
        }
        *of_tenant += 1;
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

    #[tokio::test]
    async fn places_are_bounded_and_come_back() {
        let in_flight = InFlight::default();
        let places: Vec<_> = (0..TENANT_COMMANDS_WAITING)
            .map(|_| in_flight.enter(None).unwrap())
            .collect();
        let refusal = in_flight.enter(None).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some());
        drop(places);
        in_flight.idle().await;
        assert!(in_flight.enter(None).is_ok());
    }
}
