//! Room for what is stored, where the operator has limited that.

use super::Handler;
use crate::aggregate::life::Life;
use crate::quota::Amount;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event};
use postroad_protocol::quota::{Limit, too_large};
use postroad_protocol::tenancy::TenantScope;

impl Handler {
    /// Takes room for `event` of the tenant in `scope`, where the operator has limited what it may store.
    ///
    /// # Errors
    /// `too_large` or `quota_exceeded`.
    pub(super) async fn expect_room(
        &self,
        scope: &TenantScope,
        by: &Actor,
        event: &Event,
    ) -> Result<(), Refusal> {
        let Some(limits) = self.directory.life(scope, Life::limits) else {
            return Ok(());
        };
        if let Event::MessageSent(message) = event {
            let bytes = message.content.len();
            for limit in [Limit::AgentMessageBytes, Limit::MessageBytes] {
                if let Some(value) = limits.set(limit)
                    && bytes as u64 > value
                {
                    return Err(too_large(limit, value, bytes));
                }
            }
        }
        if !limits.has_quota() {
            return Ok(());
        }
        let more = Amount::of(event, by);
        self.quotas.take(&self.ask, scope, &limits, more).await
    }
}
