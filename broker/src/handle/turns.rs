//! Turns: changes of one aggregate that were overtaken go one behind the other, so that those of one broker stand in each
//! other's way no more. Only order; what is stored is decided by the sequence that an append expects.

use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// How long one waits for its turn; then it tries without.
const WAIT: Duration = Duration::from_secs(2);

type Whose = (TenantScope, AggregateKey);
type Places = HashMap<Whose, Arc<tokio::sync::Mutex<()>>>;

/// Whose turn it is, of every aggregate that several want to change at once.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Mutex<Places>,
    wait: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            wait: WAIT,
        }
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    whose: Whose,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn to change an aggregate of `scope`.
    pub(super) async fn take(&self, scope: &TenantScope, aggregate: &AggregateKey) -> Turn<'_> {
        let whose = (scope.clone(), aggregate.clone());
        let place = Arc::clone(self.places().entry(whose.clone()).or_default());
        // Made before it waits: whoever gives up leaves nothing behind.
        let mut turn = Turn {
            turns: self,
            whose,
            held: None,
        };
        turn.held = tokio::time::timeout(self.wait, place.lock_owned())
            .await
            .ok();
        turn
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut places = self.turns.places();
        let is_last = |place: &Arc<_>| Arc::strong_count(place) == 1;
        if places.get(&self.whose).is_some_and(is_last) {
            places.remove(&self.whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::scope;
    use futures_util::FutureExt as _;
    use postroad_protocol::task::TaskId;

    fn task(number: u8) -> AggregateKey {
        AggregateKey::Task(TaskId::from_bytes([number; 16]))
    }

    #[tokio::test]
    async fn one_goes_behind_the_other_and_nobody_waits_for_another_task() {
        let turns = Turns {
            wait: Duration::from_millis(20),
            ..Turns::default()
        };
        let (acme, globex) = (scope("acme"), scope("globex"));
        let first = turns.take(&acme, &task(1)).await;
        assert!(turns.take(&acme, &task(2)).now_or_never().is_some());
        assert!(turns.take(&globex, &task(1)).now_or_never().is_some());
        assert!(turns.take(&acme, &task(1)).now_or_never().is_none());
        assert_eq!(turns.places().len(), 1, "who gave up is forgotten");
        let late = turns.take(&acme, &task(1)).await;
        assert!(late.held.is_none(), "it goes on without");
        drop((first, late));
        assert!(turns.places().is_empty());
        assert!(turns.take(&acme, &task(1)).await.held.is_some());
    }
}
