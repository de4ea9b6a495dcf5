//! Whose query is worked on next. Each tenant has a bounded number of turns, and takes them in the
//! order in which its queries came; so one tenant's burst waits behind itself. Whoever waits for
//! something else rests meanwhile, and gives its turn to others.

use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::{
    QUERIES_IN_FLIGHT, TENANT_QUERIES_IN_FLIGHT, TENANT_QUERIES_WAITING, WAITS_OPEN,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All turns of one projector.
#[derive(Debug)]
pub struct Turns {
    everybody: Arc<Semaphore>,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    taken_on: usize,
    by_name: HashMap<Arc<str>, TenantTurns>,
}

#[derive(Debug)]
struct TenantTurns {
    taken_on: usize,
    working: Arc<Semaphore>,
}

/// One query that was taken on. Dropping it ends it.
#[derive(Debug)]
pub struct Ticket {
    turns: Arc<Turns>,
    tenant: Arc<str>,
    own: Arc<Semaphore>,
    working: Option<[OwnedSemaphorePermit; 2]>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            everybody: Arc::new(Semaphore::new(QUERIES_IN_FLIGHT)),
            tenants: Mutex::default(),
        }
    }
}

impl Turns {
    /// Takes on a query of `tenant`, a token that NATS authorised.
    ///
    /// # Errors
    /// `rate_limited` when too many of the tenant's wait already, `unavailable` when too many wait in all.
    pub fn take_on(self: &Arc<Self>, tenant: &str) -> Result<Ticket, Refusal> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.taken_on >= WAITS_OPEN * 2 {
            return Err(Refusal::unavailable(
                "too many queries wait at this projector",
            ));
        }
        let (name, own) = match tenants.by_name.get_key_value(tenant) {
            Some((_, own)) if own.taken_on >= TENANT_QUERIES_WAITING => {
                return Err(Refusal::new(
                    ErrorCode::RateLimited,
                    format!("{TENANT_QUERIES_WAITING} queries of this tenant wait already"),
                    "ask less at once",
                )
                .retry_after_ms(200));
            }
            Some((name, own)) => (Arc::clone(name), Arc::clone(&own.working)),
            None => (
                tenant.into(),
                Arc::new(Semaphore::new(TENANT_QUERIES_IN_FLIGHT)),
            ),
        };
        tenants.taken_on += 1;
        let working = Arc::clone(&own);
        let entry = tenants.by_name.entry(Arc::clone(&name));
        entry
            .or_insert(TenantTurns {
                taken_on: 0,
                working,
            })
            .taken_on += 1;
        Ok(Ticket {
            turns: Arc::clone(self),
            tenant: name,
            own,
            working: None,
        })
    }
}

impl Ticket {
    /// Waits for a turn and takes it.
    pub async fn work(&mut self) {
        if self.working.is_some() {
            return;
        }
        // The tenant's own turn first, so that a burst does not stand in everybody's way.
        let own = Arc::clone(&self.own).acquire_owned().await;
        let everybody = Arc::clone(&self.turns.everybody).acquire_owned().await;
        // Neither semaphore is ever closed.
        self.working = own
            .ok()
            .zip(everybody.ok())
            .map(|(own, everybody)| [own, everybody]);
    }

    /// Gives the turn to others while this query waits for something else.
    pub fn rest(&mut self) {
        self.working = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut tenants = self
            .turns
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tenants.taken_on -= 1;
        if let Some(own) = tenants.by_name.get_mut(&self.tenant) {
            own.taken_on -= 1;
            if own.taken_on == 0 {
                tenants.by_name.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_of_one_tenant_waits_behind_itself_alone() {
        let turns = Arc::new(Turns::default());
        let mut busy = Vec::new();
        for _ in 0..TENANT_QUERIES_IN_FLIGHT {
            let mut ticket = turns.take_on("noisy").unwrap();
            ticket.work().await;
            busy.push(ticket);
        }
        let mut waiting = turns.take_on("noisy").unwrap();
        assert!(
            futures_util::FutureExt::now_or_never(waiting.work()).is_none(),
            "it waits for its own"
        );
        let mut other = turns.take_on("quiet").unwrap();
        assert!(
            futures_util::FutureExt::now_or_never(other.work()).is_some(),
            "the other does not"
        );
        busy[0].rest();
        waiting.work().await;
    }

    #[test]
    fn what_is_taken_on_is_bounded_and_given_back() {
        let turns = Arc::new(Turns::default());
        let all: Vec<_> = (0..TENANT_QUERIES_WAITING)
            .map(|_| turns.take_on("noisy").unwrap())
            .collect();
        assert_eq!(
            turns.take_on("noisy").unwrap_err().code,
            ErrorCode::RateLimited
        );
        assert!(turns.take_on("quiet").is_ok());
        drop(all);
        assert!(turns.tenants.lock().unwrap().by_name.is_empty());
    }
}
