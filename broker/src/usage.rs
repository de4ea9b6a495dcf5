//! Has the counted push hints stored, about once a minute and when the broker stops. A crash loses what
//! was counted since. Counts nothing itself.

use crate::handle::Handler;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::USAGE_EVERY_MS;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::usage::Counted;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

impl Handler {
    /// Counts hints that were published for the tenant in `scope`.
    pub(crate) fn count_hints(&self, scope: &TenantScope, hints: u64) {
        if hints == 0 {
            return;
        }
        let counted = Counted {
            queries: 0,
            pushes: hints,
        };
        self.counts.count(scope, counted);
    }

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
        for (scope, report) in self.counts.due() {
            let observation = self.counts.observation(&report);
            // Boxed: it is large, and would make everything large that drains a broker.
            let stored = Box::pin(self.observe(&scope, observation, TimeMs::now())).await;
            self.counts.settle(&scope, &report, &stored);
        }
    }
}
