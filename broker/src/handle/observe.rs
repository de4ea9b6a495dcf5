//! What projectors saw and only the log can remember. Ids derive from cause and kind, so any number
//! of projectors may report the same thing; an operator's read is a new thing each time.

use super::Handler;
use crate::event_log::Draft;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{
    Actor, Event, EventKey, MessagesDelivered, OperatorRead, UsageCounted,
};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::limits::DELIVERED_MAX_IDS;
use postroad_protocol::position::Position;
use postroad_protocol::service::{Observation, Observed};
use postroad_protocol::tenancy::{Scope, TenantScope};
use std::sync::Arc;

impl Handler {
    /// Stores an observation about the tenant in `scope`; says where.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn observe(
        &self,
        scope: &TenantScope,
        observation: Observation,
        time: TimeMs,
    ) -> Result<Observed, Refusal> {
        let shard = self.home(scope).await?;
        let (id, by, event) = match observation {
            Observation::FirstCall { reader } => {
                self.ensure_reader(scope, shard, &reader, Scope::Own, time)
                    .await?;
                // Wherever it is stored, it is not behind what is folded.
                let position = self.directory.position(shard);
                return position
                    .map(|position| Observed { position })
                    .ok_or_else(|| Refusal::unavailable("the directory is not there"));
            }
            Observation::Delivered { reader, messages } => {
                if messages.is_empty() || messages.len() > DELIVERED_MAX_IDS {
                    return Err(Refusal::invalid(
                        "messages",
                        format!("a delivered mark names 1 to {DELIVERED_MAX_IDS} messages"),
                        "report them in several marks",
                    ));
                }
                // It went out before; the projector keeps the mark and asks again.
                self.expect_resumed(scope)?;
                let id = delivered_id(&reader, &messages);
                let event = Event::from(MessagesDelivered { reader, messages });
                (id, Actor::System, event)
            }
            Observation::OperatorRead {
                operator,
                verb,
                what,
            } => {
                let by = Actor::Operator(operator.clone());
                let event = Event::from(OperatorRead {
                    operator,
                    verb,
                    what,
                });
                // Reading the same twice is two reads, and the audit trail shows both.
                (CommandId::generate(), by, event)
            }
            Observation::Usage { report, by } => {
                let event = Event::from(UsageCounted {
                    day: report.day,
                    queries: report.counted.queries,
                    pushes: report.counted.pushes,
                    by,
                });
                (usage_id(by, report.number), Actor::System, event)
            }
            Observation::LeaseExpired { task, version } => {
                let claim = (task, version);
                let expired = self.expire_lease(scope, shard, claim, time).await;
                return expired.map(|position| Observed { position });
            }
            Observation::TaskReady { task, cause } => {
                let told = self.tell_ready(scope, shard, (task, cause), time).await;
                return told.map(|position| Observed { position });
            }
        };
        let position = self.record(scope, shard, id, by, event, time).await?;
        Ok(Observed { position })
    }

    /// Puts off what a suspended tenant has to wait for.
    ///
    /// # Errors
    /// `unavailable`, so that it is asked for again.
    pub(super) fn expect_resumed(&self, scope: &TenantScope) -> Result<(), Refusal> {
        let active = self.expect_active(scope);
        active.map_err(|_| Refusal::unavailable("the tenant is suspended"))
    }

    async fn record(
        &self,
        scope: &TenantScope,
        shard: u16,
        id: CommandId,
        by: Actor,
        event: Event,
        time: TimeMs,
    ) -> Result<Position, Refusal> {
        let draft = Draft {
            owner: Some(scope.clone()),
            shard,
            id,
            by,
            event: Arc::new(event),
            time,
            traceparent: None,
            expected_last: None,
        };
        let appended = self.append(draft).await;
        let appended = appended.map_err(|error| error.refusal("observation"))?;
        Ok(appended.position)
    }
}

fn delivered_id(reader: &Reader, messages: &[EventKey]) -> CommandId {
    let keys: Vec<u8> = messages.iter().flat_map(|key| *key.as_bytes()).collect();
    CommandId::derived(&[
        b"delivered",
        reader.role.as_str().as_bytes(),
        reader.instance.as_str().as_bytes(),
        &keys,
    ])
}

fn usage_id(by: CommandId, number: u64) -> CommandId {
    CommandId::derived(&[b"usage", by.as_bytes(), &number.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::reader;

    #[test]
    fn a_count_reported_twice_has_one_id_and_another_processs_has_its_own() {
        let (one, other) = (CommandId::generate(), CommandId::generate());
        assert_eq!(usage_id(one, 1), usage_id(one, 1));
        assert_ne!(usage_id(one, 1), usage_id(one, 2));
        assert_ne!(usage_id(one, 1), usage_id(other, 1));
    }

    #[test]
    fn a_delivery_reported_twice_has_one_id_and_others_have_their_own() {
        let keys = |n: u8| vec![EventKey::from_bytes([n; 16])];
        let id = |who: &Reader, n| delivered_id(who, &keys(n));
        let (pi, mac) = (reader("tau", "pi"), reader("tau", "mac"));
        assert_eq!(id(&pi, 1), id(&pi, 1));
        assert_ne!(id(&pi, 1), id(&pi, 2));
        assert_ne!(id(&pi, 1), id(&mac, 1));
    }
}
