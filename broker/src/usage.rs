//! Counts push hints and has the counts stored, about once a minute and when the broker stops. A crash
//! loses what was counted since. Owns the counts; storing them is the handler's.

use crate::handle::Handler;
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::limits::USAGE_EVERY_MS;
use postroad_protocol::service::Observation;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::usage::{Counted, Day, Report, Tally};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What one broker has counted.
#[derive(Debug)]
pub(crate) struct Usage {
    tally: Mutex<Tally>,
    /// Which process: made at random when it starts.
    instance: CommandId,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            tally: Mutex::default(),
            instance: CommandId::generate(),
        }
    }
}

impl Usage {
    /// Counts hints that were published for the tenant in `scope`.
    pub(crate) fn pushed(&self, scope: &TenantScope, hints: u64) {
        if hints == 0 {
            return;
        }
        let counted = Counted {
            queries: 0,
            pushes: hints,
        };
        let today = Day::of(TimeMs::now());
        self.tally().count(scope, today, counted);
    }

    fn observation(&self, report: &Report) -> Observation {
        Observation::Usage {
            report: *report,
            by: self.instance,
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler {
    /// Stores what was counted, until told to stop.
    pub(crate) async fn keep_usage(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let every = Duration::from_millis(USAGE_EVERY_MS);
        // It also ends when the broker was dropped without draining.
        while tokio::time::timeout(every, stop.changed()).await.is_err() {
            self.store_usage().await;
        }
    }

    /// Stores what was counted until now. What fails is tried again with the next.
    pub(crate) async fn store_usage(&self) {
        let due = self.usage.tally().due();
        for (scope, report) in due {
            let observation = self.usage.observation(&report);
            // Boxed: it is large, and would make everything large that drains a broker.
            let stored = Box::pin(self.observe(&scope, observation, TimeMs::now())).await;
            if stored.is_err_and(|refusal| refusal.code.is_retryable()) {
                continue;
            }
            self.usage.tally().settle(&scope, &report);
        }
    }
}
