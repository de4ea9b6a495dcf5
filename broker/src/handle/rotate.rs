//! A new data key for a tenant's new events. An event first: it says which number comes next, so a
//! repeat makes no second key. What lies in the log stays readable with the keys before.

use super::admin::{draft, stored};
use super::{Handler, Request};
use crate::answer::Answer;
use crate::error::{AppendError, no_tenant};
use postroad_protocol::command::Rotated;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, DataKeyRotated, Event};
use postroad_protocol::limits::{ERASE_WAIT_MS, KEYS_PER_GENERATION};
use postroad_protocol::service::Forget;
use std::time::Duration;
use tokio::time::Instant;

impl Handler {
    pub(super) async fn rotate_key(&self, request: &Request) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let by = Actor::Operator(request.context.require_operator()?.clone());
        let unwritten = |_| Refusal::unavailable("the data keys cannot be read or written now");
        self.keyring.refresh().await.map_err(unwritten)?;
        let shard = self.home(scope).await?;
        let home = self.keyring.home(scope.owner()).ok_or_else(no_tenant)?;
        if home.key_id.number >= KEYS_PER_GENERATION {
            return Err(Refusal::new(
                ErrorCode::QuotaExceeded,
                format!("the tenant has {KEYS_PER_GENERATION} data keys, which is the limit"),
                "rotate less often",
            ));
        }
        let event = DataKeyRotated {
            generation: home.key_id.generation,
            number: home.key_id.number + 1,
        };
        let draft = draft(request, Some(scope), shard, by, event);
        let appended = self.store(draft, "commandId").await?;
        let Event::DataKeyRotated(rotated) = &*appended.event else {
            return Err(AppendError::Conflict.refusal("commandId"));
        };
        let made = self.keyring.rotate(scope.owner(), rotated.number).await;
        made.map_err(unwritten)
            .map_err(stored)?
            .ok_or_else(no_tenant)?;
        // Whoever has not looked yet goes on with the key before.
        let deadline = Instant::now() + Duration::from_millis(ERASE_WAIT_MS);
        let look = Forget { through: None };
        self.parts
            .confirm(scope, &look, deadline)
            .await
            .map_err(stored)?;
        Ok(Answer::Rotated(Rotated {
            generation: rotated.generation,
            number: rotated.number,
            position: appended.position,
        }))
    }
}
