//! How much this broker has taken on: commands between arrival and answer and the bytes of their
//! bodies, in all and of each tenant. Refuses beyond the bounds; never waits to admit.

use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::{
    COMMAND_BYTES_IN_FLIGHT, COMMANDS_IN_FLIGHT, MAX_PAYLOAD_BYTES, TENANT_COMMAND_BYTES_IN_FLIGHT,
    TENANT_COMMANDS_WAITING,
};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Places that only tenants take which hold few.
const RESERVED: usize = COMMANDS_IN_FLIGHT / 8;
/// What counts as few.
const FEW: usize = 16;
/// Bytes that only tenants take which hold few.
const RESERVED_BYTES: usize = COMMAND_BYTES_IN_FLIGHT / 8;
/// What counts as few bytes: one command fits, however large.
const FEW_BYTES: usize = MAX_PAYLOAD_BYTES;

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
    total: Held,
    by_tenant: HashMap<Option<TenantScope>, Held>,
}

/// What somebody holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    commands: usize,
    bytes: usize,
}

impl Held {
    fn add(&mut self, bytes: usize) {
        self.commands += 1;
        self.bytes += bytes;
    }

    fn give_back(&mut self, bytes: usize) {
        self.commands -= 1;
        self.bytes -= bytes;
    }
}

/// A command's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    inner: Arc<Inner>,
    tenant: Option<TenantScope>,
    bytes: usize,
}

impl InFlight {
    /// Takes a place for a command of `tenant`, or of nobody's for no tenant, with a body of `bytes`. A
    /// tenant may hold as much as is still free; the last of it is for those that hold only a little.
    ///
    /// # Errors
    /// `rate_limited` when the tenant has too much, `unavailable` when nothing is free at all.
    pub(crate) fn enter(
        &self,
        tenant: Option<&TenantScope>,
        bytes: usize,
    ) -> Result<Place, Refusal> {
        let tenant = tenant.cloned();
        let mut counts = self.lock();
        let free = COMMANDS_IN_FLIGHT.saturating_sub(counts.total.commands);
        let free_bytes = COMMAND_BYTES_IN_FLIGHT.saturating_sub(counts.total.bytes);
        if free == 0 || bytes > free_bytes {
            return Err(Refusal::unavailable("this broker is full"));
        }
        let held = counts.by_tenant.get(&tenant).copied().unwrap_or_default();
        let unreserved = free.saturating_sub(RESERVED);
        if held.commands >= FEW.max(TENANT_COMMANDS_WAITING.min(unreserved)) {
            return Err(too_much("too many commands of this tenant are under way"));
        }
        let unreserved = free_bytes.saturating_sub(RESERVED_BYTES);
        let room = FEW_BYTES.max(TENANT_COMMAND_BYTES_IN_FLIGHT.min(unreserved));
        if held.bytes + bytes > room {
            return Err(too_much(
                "the commands of this tenant that are under way are too large together",
            ));
        }
        counts
            .by_tenant
            .entry(tenant.clone())
            .or_default()
            .add(bytes);
        counts.total.add(bytes);
        Ok(Place {
            inner: self.inner.clone(),
            tenant,
            bytes,
        })
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.inner.idle.notified();
            if self.lock().total.commands == 0 {
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
        counts.total.give_back(self.bytes);
        if let Some(held) = counts.by_tenant.get_mut(&self.tenant) {
            held.give_back(self.bytes);
            if held.commands == 0 {
                counts.by_tenant.remove(&self.tenant);
            }
        }
        if counts.total.commands == 0 {
            self.inner.idle.notify_waiters();
        }
    }
}

fn too_much(message: &str) -> Refusal {
    let refusal = Refusal::new(
        ErrorCode::RateLimited,
        message,
        "send fewer at once, and this one again with the same id",
    );
    refusal.retry_after_ms(200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::scope;

    fn flood(in_flight: &InFlight, scope: &TenantScope, bytes: usize) -> Vec<Place> {
        std::iter::from_fn(|| in_flight.enter(Some(scope), bytes).ok()).collect()
    }

    #[tokio::test]
    async fn places_of_a_tenant_are_bounded_and_come_back() {
        let in_flight = InFlight::default();
        let places = flood(&in_flight, &scope("acme"), 1);
        assert_eq!(places.len(), TENANT_COMMANDS_WAITING);
        let refusal = in_flight.enter(Some(&scope("acme")), 1).unwrap_err();
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
            .map(|n| flood(&in_flight, &scope(&format!("flood-{n}")), 1))
            .collect();
        let taken: usize = floods.iter().map(Vec::len).sum();
        assert!(taken < COMMANDS_IN_FLIGHT);
        assert!(in_flight.enter(Some(&scope("calm")), 1).is_ok());
    }

    #[tokio::test]
    async fn bytes_of_a_tenant_are_bounded_and_come_back() {
        let (in_flight, acme) = (InFlight::default(), scope("acme"));
        let large = 700 * 1024;
        let places = flood(&in_flight, &acme, large);
        assert_eq!(places.len(), TENANT_COMMAND_BYTES_IN_FLIGHT / large);
        let refusal = in_flight.enter(Some(&acme), large).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some());
        assert!(in_flight.enter(Some(&scope("calm")), large).is_ok());
        drop(places);
        in_flight.idle().await;
        assert!(in_flight.enter(Some(&acme), large).is_ok());
    }

    #[test]
    fn however_many_send_large_bodies_the_bytes_are_bounded_and_the_next_tenant_has_room() {
        let (in_flight, large) = (InFlight::default(), MAX_PAYLOAD_BYTES);
        let floods: Vec<_> = (0..8)
            .map(|n| flood(&in_flight, &scope(&format!("flood-{n}")), large))
            .collect();
        let taken: usize = floods.iter().map(Vec::len).sum();
        assert!(taken * large < COMMAND_BYTES_IN_FLIGHT);
        let mut calm = Vec::new();
        let refusal = loop {
            match in_flight.enter(Some(&scope(&format!("calm-{}", calm.len()))), large) {
                Ok(place) => calm.push(place),
                Err(refusal) => break refusal,
            }
        };
        assert!(!calm.is_empty());
        assert_eq!((taken + calm.len()) * large, COMMAND_BYTES_IN_FLIGHT);
        assert_eq!(refusal.code, ErrorCode::Unavailable);
        assert!(refusal.retry_after_ms.is_some());
    }
}
