//! What only the operator does: tenants and damage. Each waits until its event is folded, so that the
//! next command already sees it.

use super::{ATTEMPTS, Handler, Request};
use crate::aggregate::tenant::{
    Creating, accept_damage, being_erased, choose_shard, create, exists,
};
use crate::answer::Answer;
use crate::error::{AppendError, no_tenant};
use crate::event_log::Draft;
use postroad_log::{Home, KeyringError, Opened};
use postroad_protocol::command::{Done, TenantMade};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, Event, EventKey};
use postroad_protocol::limits::{DAMAGE_MAX_EVENTS, TENANTS_MAX};
use postroad_protocol::subject::{AggregateKey, Owner};
use postroad_protocol::tenancy::TenantScope;
use std::sync::Arc;

impl Handler {
    pub(super) async fn create_tenant(
        &self,
        request: &Request,
        wished: Option<u16>,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let by = Actor::Operator(request.context.require_operator()?.clone());
        let home = self.settle(scope, wished).await?;
        let key = EventKey::of(&by, request.id);
        for _ in 0..ATTEMPTS {
            let last = self
                .directory
                .catch_up(scope, home.shard, &AggregateKey::Tenant)
                .await?;
            let decided = self.directory.with(scope, |roster| {
                create(roster, scope.tenant(), home.key_id.generation, key)
            })?;
            let position = match decided {
                Creating::Repeat(creation) => {
                    let shard = self.log.shard(home.shard).ok_or_else(no_tenant)?;
                    shard.position(creation.sequence)
                }
                Creating::Create(event) => {
                    let mut draft = draft(request, Some(scope), home.shard, by.clone(), event);
                    // Of two creators that found nothing, the log takes the first.
                    draft.expected_last = Some(last);
                    match self.append(draft).await {
                        Ok(appended) => appended.position,
                        Err(AppendError::Superseded) => continue,
                        Err(error) => return Err(error.refusal("commandId")),
                    }
                }
            };
            self.directory.wait_for(position).await.map_err(stored)?;
            return Ok(Answer::TenantMade(TenantMade {
                tenant: scope.tenant().to_string(),
                shard: home.shard,
                generation: home.key_id.generation,
                position,
            }));
        }
        Err(exists(scope.tenant()))
    }

    /// Registers a tenant's name and data key; of several creators one decides where it lives.
    async fn settle(&self, scope: &TenantScope, wished: Option<u16>) -> Result<Home, Refusal> {
        let homes = self.keyring.homes();
        if homes.len() >= TENANTS_MAX && self.keyring.home(scope.owner()).is_none() {
            return Err(Refusal::new(
                ErrorCode::QuotaExceeded,
                format!("this deployment has {TENANTS_MAX} tenants, which is the limit"),
                "erase tenants that are gone, or start another deployment",
            ));
        }
        let by_shard: Vec<(u16, usize)> = self
            .log
            .shards()
            .into_iter()
            .map(|shard| {
                let tenants = homes.iter().filter(|(_, home)| home.shard == shard);
                (shard, tenants.count())
            })
            .collect();
        let former = self.keyring.registered(scope.owner());
        let former = former.map(|registered| registered.home.shard);
        if let Some(former) = former.filter(|former| wished.is_some_and(|wished| wished != *former))
        {
            return Err(Refusal::invalid(
                "shard",
                format!("a tenant of this name lived in shard {former}, and comes back only there"),
                "leave the shard out, or choose another name",
            ));
        }
        if let Some(wished) = wished {
            // It may have been added since this broker started.
            let _unknown = self.open_shard(wished).await;
        }
        let shard = match wished {
            Some(wished) if self.log.is_open(wished) => wished,
            wished => choose_shard(wished, &by_shard)?,
        };
        let created = self.keyring.create(scope.owner(), shard).await;
        let (home, _) = created.map_err(|error| {
            if matches!(error, KeyringError::Erasing) {
                return being_erased(scope.tenant());
            }
            tracing::warn!(%error, "a tenant could not be registered");
            Refusal::unavailable("the data keys cannot be written now")
        })?;
        self.open_shard(home.shard).await?;
        Ok(home)
    }

    pub(super) async fn accept_damage(
        &self,
        request: &Request,
        number: u16,
        range: (u64, u64),
    ) -> Result<Answer, Refusal> {
        let by = Actor::Operator(request.context.require_operator()?.clone());
        if self.open_shard(number).await.is_err() {
            return Err(Refusal::not_found("shard", "shard"));
        }
        self.expect_unreadable(number, range).await?;
        for _ in 0..ATTEMPTS {
            let (last, before) = self.damage_of(number).await?;
            let event = accept_damage(&before, range);
            let mut draft = draft(request, None, number, by.clone(), event);
            draft.expected_last = Some(last);
            match self.append(draft).await {
                Ok(appended) => {
                    let position = appended.position;
                    return Ok(Answer::Done(Done { position }));
                }
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }

    /// Refuses a range that the log does not reach, or in which anything can still be read: what is
    /// given up is given up for good.
    async fn expect_unreadable(&self, number: u16, (from, to): (u64, u64)) -> Result<(), Refusal> {
        let unreadable = |_| Refusal::unavailable(format!("shard {number} cannot be read now"));
        let Some(shard) = self.log.shard(number) else {
            return Err(Refusal::not_found("shard", "shard"));
        };
        let end = shard.extent().await.map_err(unreadable)?.last;
        if to > end {
            let said = format!("the log of shard {number} ends at {end}");
            return Err(Refusal::invalid(
                "toSequence",
                said,
                "name the range that `postroad status` shows",
            ));
        }
        let filter = self.log.subjects().shard_events(number);
        let mut at = from;
        for _ in 0..DAMAGE_MAX_EVENTS {
            let event = match shard
                .leader_next_on_subject(at, &filter)
                .await
                .map_err(unreadable)?
            {
                Some(event) if event.sequence <= to => [event],
                _ => return Ok(()),
            };
            let loaded = self.keyring.load_for(&event).await;
            loaded.map_err(|_| Refusal::unavailable("the data keys cannot be read now"))?;
            let [event] = event;
            if self.keyring.open_event(number, &event) != Opened::Damaged {
                let said = format!("event {} can be read", event.sequence);
                let refusal = Refusal::new(
                    ErrorCode::Conflict,
                    said,
                    "give up only what `postroad status` shows",
                );
                return Err(refusal.at("fromSequence"));
            }
            at = event.sequence + 1;
        }
        Err(too_much_damage())
    }

    /// What was given up in a shard so far, and where that is stored.
    async fn damage_of(&self, number: u16) -> Result<(u64, Vec<(u64, u64)>), Refusal> {
        let unreadable = || Refusal::unavailable(format!("shard {number} cannot be read now"));
        let shard = self.log.shard(number).ok_or_else(unreadable)?;
        let subject = self
            .log
            .subjects()
            .event(Owner::System, number, &AggregateKey::Shard);
        let last = shard.leader_last_on_subject(&subject).await;
        let Some(last) = last.map_err(|_| unreadable())? else {
            return Ok((0, Vec::new()));
        };
        let event = [last];
        self.keyring
            .load_for(&event)
            .await
            .map_err(|_| unreadable())?;
        let [last] = event;
        let ranges = match self.keyring.open_event(number, &last) {
            Opened::Event { record, .. } => match record.event {
                Event::DamageAccepted(data) => data.ranges,
                _ => Vec::new(),
            },
            // The record of damage may itself be damaged; the operator names what is given up.
            _ => Vec::new(),
        };
        Ok((last.sequence, ranges))
    }
}

fn too_much_damage() -> Refusal {
    Refusal::invalid(
        "toSequence",
        format!("more than {DAMAGE_MAX_EVENTS} damaged events at once"),
        "give them up in several ranges",
    )
}

/// What went wrong after the event was stored leaves the outcome open to the caller: a retry under the
/// same id finds it.
pub(super) fn stored(refusal: Refusal) -> Refusal {
    if !refusal.code.is_retryable() {
        return refusal;
    }
    Refusal::new(
        ErrorCode::OutcomeUnknown,
        format!("it is stored, but not yet in effect: {}", refusal.message),
        "repeat it with the same id: it is stored once",
    )
    .retry_after_ms(refusal.retry_after_ms.unwrap_or(500))
}

pub(super) fn draft(
    request: &Request,
    owner: Option<&TenantScope>,
    shard: u16,
    by: Actor,
    event: impl Into<Event>,
) -> Draft {
    Draft {
        owner: owner.cloned(),
        shard,
        id: request.id,
        by,
        event: Arc::new(event.into()),
        time: request.time,
        traceparent: request.context.traceparent().map(Into::into),
        expected_last: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::body::Encoding;
    use postroad_protocol::command::Command;
    use postroad_protocol::tenancy::Scope;

    #[test]
    fn a_refused_range_names_a_field_that_the_request_has() {
        let field = too_much_damage().field.unwrap();
        let body = serde_json::json!({"shard": 0, "fromSequence": 1, "toSequence": 2});
        let read = |body: &serde_json::Value| {
            let body = body.to_string();
            Command::read(
                Scope::Admin,
                "accept_damage",
                Encoding::Json,
                body.as_bytes(),
            )
        };
        assert!(read(&body).is_ok());
        let mut without = body.clone();
        assert!(without.as_object_mut().unwrap().remove(&field).is_some());
        assert_eq!(read(&without).unwrap_err().field, Some(field));
    }
}
