//! A tenant as a whole: shutting its agents out and letting them in, and its limits. The answer waits
//! until that is in force here and at a projector; every other one learns it from the log.

use super::admin::stored;
use super::{ATTEMPTS, Handler, Request};
use crate::aggregate::life::{Changing, Life, limit};
use crate::answer::Answer;
use crate::ask::Currency;
use crate::error::{AppendError, no_tenant};
use crate::event_log::Draft;
use postroad_protocol::command::{LifeChanged, LimitsSet};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, EventKey};
use postroad_protocol::position::Position;
use postroad_protocol::quota::LimitsChange;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{Principal, RequestContext, TenantScope};
use std::sync::Arc;
use std::time::Instant;

impl Handler {
    /// Whether a command may be taken at all, before anything else is spent on it.
    ///
    /// # Errors
    /// `permission_denied` for an agent of a tenant that is suspended, `rate_limited` for one that is
    /// faster than the operator lets it.
    pub(crate) fn let_in(&self, context: &RequestContext) -> Result<(), Refusal> {
        let (Principal::Agent(agent), Some(scope)) = (context.principal(), context.scope_or_all())
        else {
            return Ok(());
        };
        let standing = |life: &Life| (life.is_suspended(), life.limits());
        match self.directory.life(scope, standing) {
            (true, _) => Err(Refusal::suspended()),
            (false, None) => Ok(()),
            (false, Some(limits)) => {
                let brokers = self.parts.brokers();
                self.rates
                    .take(scope, agent, &limits, brokers, Instant::now())
            }
        }
    }

    /// Refuses what a suspended tenant's agents ask for.
    ///
    /// # Errors
    /// `permission_denied`.
    pub(super) fn expect_active(&self, scope: &TenantScope) -> Result<(), Refusal> {
        if self.directory.life(scope, Life::is_suspended) {
            return Err(Refusal::suspended());
        }
        Ok(())
    }

    /// Sets limits, and answers when they are in force.
    pub(super) async fn set_limits(
        &self,
        request: &Request,
        change: &LimitsChange,
    ) -> Result<Answer, Refusal> {
        let decide = |life: &Life, key| Ok(limit(life, change, key));
        let (position, already) = self.change_tenant(request, decide).await?;
        let limits = self.directory.life(request.context.scope()?, Life::limits);
        Ok(Answer::LimitsSet(LimitsSet {
            limits: limits.map(Arc::unwrap_or_clone).unwrap_or_default(),
            position,
            already,
        }))
    }

    /// Suspends or resumes, and answers when that is in force.
    pub(super) async fn change_life(
        &self,
        request: &Request,
        decide: impl Fn(&Life, EventKey) -> Result<Changing, Refusal>,
    ) -> Result<Answer, Refusal> {
        let (position, already) = self.change_tenant(request, decide).await?;
        Ok(Answer::LifeChanged(LifeChanged { position, already }))
    }

    /// Stores what `decide` comes to, and waits until it is in force here and at a projector. Says where
    /// it is stored, and whether it was so already.
    async fn change_tenant(
        &self,
        request: &Request,
        decide: impl Fn(&Life, EventKey) -> Result<Changing, Refusal>,
    ) -> Result<(Position, bool), Refusal> {
        let scope = request.context.scope()?;
        let by = Actor::Operator(request.context.require_operator()?.clone());
        let (position, already) = self.store_change(request, scope, by, decide).await?;
        self.directory.wait_for(position).await.map_err(stored)?;
        // One that is asked at this position answers once it has applied it.
        let at = Currency::At(position);
        self.ask.standing(scope, at).await.map_err(stored)?;
        Ok((position, already))
    }

    async fn store_change(
        &self,
        request: &Request,
        scope: &TenantScope,
        by: Actor,
        decide: impl Fn(&Life, EventKey) -> Result<Changing, Refusal>,
    ) -> Result<(Position, bool), Refusal> {
        let shard = self.home(scope).await?;
        let key = EventKey::of(&by, request.id);
        for _ in 0..ATTEMPTS {
            let last = self
                .directory
                .catch_up(scope, shard, &AggregateKey::Tenant)
                .await?;
            let event = match self.directory.life(scope, |life| decide(life, key))? {
                Changing::Store(event) => event,
                Changing::Stands { sequence, by_this } => {
                    let shard = self.log.shard(shard).ok_or_else(no_tenant)?;
                    return Ok((shard.position(sequence), !by_this));
                }
            };
            let mut draft = Draft {
                owner: Some(scope.clone()),
                shard,
                id: request.id,
                by: by.clone(),
                event: Arc::new(event),
                time: request.time,
                traceparent: request.context.traceparent().map(Into::into),
                expected_last: None,
            };
            if let Some(first) = self.first_attempt(&draft, "commandId").await? {
                return Ok((first.position, false));
            }
            // What was decided holds only while nobody else has changed the tenant.
            draft.expected_last = Some(last);
            match self.append(draft).await {
                Ok(appended) => return Ok((appended.position, false)),
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }
}
