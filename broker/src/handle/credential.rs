//! Credentials: issued, renewed, revoked, retired; by the operator, by a tenant's administrator, and by
//! whoever holds one. Each waits until its event is folded, and until nats-server knows whom it has to
//! refuse.

use super::admin::{draft, stored};
use super::{ATTEMPTS, Handler, Request};
use crate::aggregate::agent::retire;
use crate::aggregate::credential::{end, issue, key_in_use, renew, revoke};
use crate::answer::Answer;
use crate::error::AppendError;
use crate::event_log::Appended;
use postroad_protocol::command::{
    Done, IssueCredential, Issued, Possessed, RenewCredential, RevokeCredential, Revoked,
    no_such_credential,
};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, CredentialRevoked, Event};
use postroad_protocol::id::{InstanceId, Reader, Role};
use postroad_protocol::limits::REVOKED_MAX;
use postroad_protocol::possession::is_proved;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::tenancy::{Principal, Scope, TenantScope};

impl Handler {
    pub(super) async fn issue_credential(
        &self,
        request: &Request,
        command: IssueCredential,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let (shard, by) = self.administrator(request, scope).await?;
        self.expect_room_for(scope, &command.public_key, request)?;
        let role = command.role.clone();
        let decide = || {
            self.directory
                .with(scope, |roster| issue(roster, command.clone(), request.time))
        };
        let appended = self
            .change_role(request, (scope, shard), by, role, decide)
            .await?;
        self.signed(scope, &appended).await
    }

    pub(super) async fn renew_credential(
        &self,
        request: &Request,
        command: RenewCredential,
    ) -> Result<Answer, Refusal> {
        let (scope, reader) = (request.context.scope()?, request.context.reader()?);
        let shard = self
            .holder(request, scope, &command.held, "renew_credential")
            .await?;
        if let Some(new) = &command.new_public_key {
            self.expect_room_for(scope, new, request)?;
        }
        let decide = || {
            self.directory.with(scope, |roster| {
                renew(roster, reader, &command, request.time)
            })
        };
        let (by, role) = (Actor::Agent(reader.clone()), reader.role.clone());
        let appended = self
            .change_role(request, (scope, shard), by, role, decide)
            .await?;
        self.signed(scope, &appended).await
    }

    pub(super) async fn revoke_credential(
        &self,
        request: &Request,
        command: &RevokeCredential,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let (shard, by) = self.administrator(request, scope).await?;
        let decide = || {
            self.directory
                .with(scope, |roster| revoke(roster, command, request.time))
        };
        // A key alone does not say whose it is, and the role is what the log is asked for: one that was
        // issued through another broker a moment ago may not be folded yet.
        let role = match command {
            RevokeCredential::Of { role, .. } => role.clone(),
            RevokeCredential::Key(_) => {
                self.directory.catch_up_all(shard).await?;
                decide()?.role
            }
        };
        let appended = self
            .change_role(request, (scope, shard), by, role, decide)
            .await?;
        self.revoked(scope, &appended).await
    }

    pub(super) async fn end_credential(
        &self,
        request: &Request,
        command: &Possessed,
    ) -> Result<Answer, Refusal> {
        let (scope, reader) = (request.context.scope()?, request.context.reader()?);
        let shard = self
            .holder(request, scope, command, "end_credential")
            .await?;
        let decide = || {
            self.directory
                .with(scope, |roster| end(roster, reader, &command.public_key))
        };
        let (by, role) = (Actor::Agent(reader.clone()), reader.role.clone());
        let appended = self
            .change_role(request, (scope, shard), by, role, decide)
            .await?;
        self.revoked(scope, &appended).await
    }

    pub(super) async fn retire_agent(
        &self,
        request: &Request,
        role: &Role,
        instance: Option<&InstanceId>,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let (shard, by) = self.administrator(request, scope).await?;
        let decide = || {
            self.directory
                .with(scope, |roster| retire(roster, role, instance))
        };
        let place = (scope, shard);
        let appended = self
            .change_role(request, place, by, role.clone(), decide)
            .await?;
        let position = appended.position;
        self.ask.enforce(scope, position).await.map_err(stored)?;
        Ok(Answer::Done(Done { position }))
    }

    /// Who changes the roster of `scope`, and in which shard: the operator, or one of the tenant's own
    /// administrators.
    async fn administrator(
        &self,
        request: &Request,
        scope: &TenantScope,
    ) -> Result<(u16, Actor), Refusal> {
        let shard = self.home(scope).await?;
        match request.context.principal() {
            Principal::Operator(instance) => Ok((shard, Actor::Operator(instance.clone()))),
            Principal::Agent(reader) => {
                self.ensure_reader(scope, shard, reader, Scope::Admin, request.time)
                    .await?;
                Ok((shard, Actor::Agent(reader.clone())))
            }
        }
    }

    /// Refuses who does not show that it holds the seed; says in which shard its tenant lives.
    async fn holder(
        &self,
        request: &Request,
        scope: &TenantScope,
        held: &Possessed,
        verb: &str,
    ) -> Result<u16, Refusal> {
        let reader: &Reader = request.context.reader()?;
        let shard = self.home(scope).await?;
        self.ensure_reader(scope, shard, reader, Scope::Own, request.time)
            .await?;
        let (proof, key) = (&held.proof, &held.public_key);
        if is_proved(proof, key, scope.tenant(), verb, request.id) {
            Ok(shard)
        } else {
            Err(no_such_credential())
        }
    }

    /// Refuses a key that another tenant's credential is for: ending one would end the other. The same
    /// answer as for one of the tenant's own, so it tells only who knows the key already.
    fn expect_room_for(
        &self,
        scope: &TenantScope,
        public_key: &str,
        request: &Request,
    ) -> Result<(), Refusal> {
        if self.directory.is_key_elsewhere(scope, public_key) {
            return Err(key_in_use());
        }
        if self.directory.revoked(request.time) >= REVOKED_MAX {
            return Err(Refusal::new(
                ErrorCode::QuotaExceeded,
                "too many revoked credentials of this deployment have not expired",
                "wait until some expire; issue credentials with a shorter --ttl",
            )
            .at("publicKey"));
        }
        Ok(())
    }

    async fn signed(&self, scope: &TenantScope, appended: &Appended) -> Result<Answer, Refusal> {
        let Event::CredentialIssued(issued) = &*appended.event else {
            return Err(AppendError::Conflict.refusal("commandId"));
        };
        let signed = self.ask.sign(scope, appended.position).await;
        Ok(Answer::Issued(Issued {
            jwt: signed.map_err(stored)?,
            expires_at: issued.expires_at,
            position: appended.position,
        }))
    }

    async fn revoked(&self, scope: &TenantScope, appended: &Appended) -> Result<Answer, Refusal> {
        let Event::CredentialRevoked(CredentialRevoked { public_keys, .. }) = &*appended.event
        else {
            return Err(AppendError::Conflict.refusal("commandId"));
        };
        let position = appended.position;
        self.ask.enforce(scope, position).await.map_err(stored)?;
        Ok(Answer::Revoked(Revoked {
            public_keys: public_keys.clone(),
            position,
        }))
    }

    /// Decides over a role on what the log holds of it now, appends, and waits until it is folded.
    async fn change_role<E: Into<Event>>(
        &self,
        request: &Request,
        (scope, shard): (&TenantScope, u16),
        by: Actor,
        role: Role,
        decide: impl Fn() -> Result<E, Refusal>,
    ) -> Result<Appended, Refusal> {
        let aggregate = AggregateKey::Agent(role);
        for _ in 0..ATTEMPTS {
            let last = self.directory.catch_up(scope, shard, &aggregate).await?;
            let mut draft = draft(request, Some(scope), shard, by.clone(), decide()?);
            if let Some(appended) = self.first_attempt(&draft, "commandId").await? {
                return Ok(appended);
            }
            // What was decided holds only while nobody else has changed the role.
            draft.expected_last = Some(last);
            match self.append(draft).await {
                Ok(appended) => {
                    self.directory
                        .wait_for(appended.position)
                        .await
                        .map_err(stored)?;
                    return Ok(appended);
                }
                Err(AppendError::Superseded) => {}
                Err(error) => return Err(error.refusal("commandId")),
            }
        }
        Err(AppendError::Superseded.refusal("commandId"))
    }
}
