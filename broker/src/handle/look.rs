//! What deciding over one task or mission looks at: the last event on its own subject, and the roster.

use super::Handler;
use super::stated::Settled;
use crate::aggregate::address::{Place, check_served, is_served};
use postroad_log::Opened;
use postroad_protocol::envelope::Record;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{InstanceId, Role};
use postroad_protocol::position::Position;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::tenancy::replay::StoredFor;
use std::sync::Arc;

/// Who is asked for the last event of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Any replica. One that lags may have an earlier one, or none.
    Anyone,
    /// The stream's leader.
    Leader,
}

/// The last event of one aggregate.
#[derive(Debug)]
pub(super) struct Last {
    /// Where it is stored.
    pub(super) position: Position,
    /// What it says.
    pub(super) record: Record,
}

impl Last {
    /// As the answer to a change that was made by it, or for which nothing is left to do.
    pub(super) fn settled(self, already: bool) -> Settled {
        Settled {
            event: Arc::new(self.record.event),
            position: self.position,
            already,
        }
    }
}

/// A shard of which nothing can be said now.
pub(super) fn unreadable(shard: u16) -> Refusal {
    Refusal::unavailable(format!("shard {shard} cannot be read now"))
}

impl Handler {
    /// The last event on the subject of `aggregate`; none where there is none of this tenant.
    ///
    /// # Errors
    /// `unavailable` when it cannot be read now.
    pub(super) async fn last_of(
        &self,
        scope: &TenantScope,
        shard: u16,
        aggregate: &AggregateKey,
        whom: Whom,
    ) -> Result<Option<Last>, Refusal> {
        let unreadable = || unreadable(shard);
        let handle = self.log.shard(shard).ok_or_else(unreadable)?;
        let subject = self.log.subjects().event(scope.owner(), shard, aggregate);
        let last = match whom {
            Whom::Anyone => handle.last_on_subject(&subject).await,
            Whom::Leader => handle.leader_last_on_subject(&subject).await,
        };
        let Some(last) = last.map_err(|_| unreadable())? else {
            return Ok(None);
        };
        let events = [last];
        let loaded = self.keyring.load_for(&events).await;
        loaded.map_err(|_| unreadable())?;
        let [last] = events;
        match self.keyring.open_event(shard, &last) {
            Opened::Event {
                stored_for: StoredFor::Tenant(owner),
                record,
            } if owner == *scope => Ok(Some(Last {
                position: handle.position(last.sequence),
                record,
            })),
            // Of a tenant that had the name before: it is not there any more.
            Opened::Event { .. } | Opened::Erased => Ok(None),
            Opened::Damaged | Opened::Undecodable { .. } => {
                let sequence = last.sequence;
                tracing::error!(shard, sequence, "a stored event cannot be read");
                Err(unreadable())
            }
        }
    }

    /// Refuses a role, or an instance of it, that the roster does not serve. The directory catches up before it does.
    ///
    /// # Errors
    /// `not_found` at the field of `place`, with the nearest names that there are.
    pub(super) async fn expect_served(
        &self,
        scope: &TenantScope,
        shard: u16,
        place: Place,
        role: &Role,
        instance: Option<&InstanceId>,
    ) -> Result<(), Refusal> {
        let served = |roster: &_| is_served(roster, role, instance);
        if self.directory.with(scope, served) {
            return Ok(());
        }
        let aggregate = AggregateKey::Agent(role.clone());
        self.directory.catch_up(scope, shard, &aggregate).await?;
        let check = |roster: &_| check_served(roster, place, role, instance);
        self.directory.with(scope, check)
    }
}
