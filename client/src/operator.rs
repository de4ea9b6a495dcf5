//! What only the deployment's operator can do: tenants, agents, the log, the projectors.
//!
//! Owns how these are asked. Every read of a tenant's data is written into that tenant's log.

use crate::client::{Client, Verb};
use crate::connect::Identity;
use crate::error::ClientError;
use crate::queries::{History, Page};
use postroad_protocol::command::{
    Done, Erased, Imported, Issued, LifeChanged, LimitsSet, Rotated, TenantMade, wire as command,
};
use postroad_protocol::portable::PortableEvent;
use postroad_protocol::query::{
    Agents, Rebuilding, Status, Tenant, TenantMessages, TenantPeers, Tenants, Usage, wire as query,
};
use postroad_protocol::quota::Limit;
use postroad_protocol::subject::ALL_TENANTS;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, ErrorCode, InstanceId, Refusal, Role, TenantId};
use std::time::Duration;

/// The operator's view of a client.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    pub(crate) client: &'a Client,
}

impl Client {
    /// What only the operator can do.
    ///
    /// # Errors
    /// `permission_denied` when the credential is an agent's.
    pub fn operator(&self) -> Result<Operator<'_>, ClientError> {
        match self.identity() {
            Identity::Operator { .. } => Ok(Operator { client: self }),
            Identity::Agent { .. } => Err(ClientError::Refused(Refusal::new(
                ErrorCode::PermissionDenied,
                "only the operator may do this",
                "use the deployment's operator.creds, or ask its operator",
            ))),
        }
    }
}

/// A credential to be issued.
#[derive(Clone, Debug)]
#[must_use]
pub struct NewAgent {
    role: Role,
    instance: Option<InstanceId>,
    scopes: Option<Vec<Scope>>,
    ttl: Option<Duration>,
    token: bool,
}

impl NewAgent {
    /// One that serves any instance of `role`, with the usual scopes, for the usual time.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            instance: None,
            scopes: None,
            ttl: None,
            token: false,
        }
    }

    /// One whose key is that of a bearer token, for `instance`.
    pub fn token(role: Role, instance: InstanceId) -> Self {
        Self {
            token: true,
            ..Self::new(role).instance(instance)
        }
    }

    /// Bound to this instance, which becomes a reader at once.
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// What it may touch besides `self`.
    pub fn scopes(mut self, scopes: Vec<Scope>) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// How long it lives, in whole seconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The body that asks for it.
    pub(crate) fn wire(&self, public_key: &str, id: CommandId) -> command::IssueCredential {
        let tokens = |scopes: &Vec<Scope>| {
            let tokens = scopes.iter().map(|scope| scope.token().to_owned());
            tokens.collect()
        };
        let seconds = |ttl: Duration| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        command::IssueCredential {
            role: self.role.to_string(),
            instance_id: self.instance.as_ref().map(ToString::to_string),
            public_key: public_key.to_owned(),
            scopes: self.scopes.as_ref().map(tokens),
            ttl_s: self.ttl.map(seconds),
            token: self.token.then_some(true),
            command_id: Some(id.to_string()),
        }
    }
}

impl Operator<'_> {
    /// Creates a tenant, in the shard named or the one with the fewest tenants.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when it exists.
    pub async fn create_tenant(
        &self,
        tenant: &TenantId,
        shard: Option<u16>,
    ) -> Result<TenantMade, ClientError> {
        let id = CommandId::generate();
        let body = command::CreateTenant {
            shard,
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "create_tenant");
        self.client.command(verb, id, &body).await
    }

    /// Puts a credential on a tenant's roster: [`crate::Roster::issue`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn issue_credential(
        &self,
        tenant: &TenantId,
        agent: &NewAgent,
        public_key: &str,
    ) -> Result<Issued, ClientError> {
        let roster = self.client.roster(Some(tenant))?;
        roster.issue(agent, public_key).await
    }

    /// Takes a role, or one instance of it, off a tenant's roster: [`crate::Roster::retire`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retire_agent(
        &self,
        tenant: &TenantId,
        role: &Role,
        instance: Option<&InstanceId>,
    ) -> Result<Done, ClientError> {
        let roster = self.client.roster(Some(tenant))?;
        roster.retire(role, instance).await
    }

    /// Lets a damaged shard go on without the events `from` to `to`, which the log has lost.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn accept_damage(&self, shard: u16, from: u64, to: u64) -> Result<Done, ClientError> {
        let id = CommandId::generate();
        let body = command::AcceptDamage {
            shard,
            from_sequence: from,
            to_sequence: to,
            command_id: Some(id.to_string()),
        };
        self.client
            .command(admin(None, "accept_damage"), id, &body)
            .await
    }

    /// Stores events of an exported history in `tenant`, each under its own id; those that are there are
    /// passed over. `import` names the whole import in the tenant's log, so it is the same for every
    /// part of it; `after` is the sequence in the answer to the part before.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when the tenant holds anything else. A field `events[N]…` says which.
    pub async fn import_events(
        &self,
        tenant: &TenantId,
        import: CommandId,
        after: Option<u64>,
        events: Vec<PortableEvent>,
    ) -> Result<Imported, ClientError> {
        let body = command::ImportEvents {
            events,
            after,
            command_id: Some(import.to_string()),
        };
        let verb = admin(Some(tenant), "import_events");
        self.client.command(verb, import, &body).await
    }

    /// Erases a tenant with everything in it: its keys are destroyed, and nothing of it is left once
    /// this answers. `confirm` has to be its name once more. Called again after it was interrupted, it
    /// goes on where it stopped; give the client a time-out of a minute or more.
    ///
    /// # Errors
    /// [`ClientError`]; `unavailable` while a part of the deployment has not confirmed.
    pub async fn erase_tenant(
        &self,
        tenant: &TenantId,
        confirm: &str,
    ) -> Result<Erased, ClientError> {
        let id = CommandId::generate();
        let body = command::EraseTenant {
            confirm: confirm.to_owned(),
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "erase_tenant");
        self.client.command(verb, id, &body).await
    }

    /// Has a tenant's new events sealed under a new data key; what is stored stays readable.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_key(&self, tenant: &TenantId) -> Result<Rotated, ClientError> {
        let id = CommandId::generate();
        let body = command::RotateKey {
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "rotate_key");
        self.client.command(verb, id, &body).await
    }

    /// Shuts a tenant's agents out: commands, queries and hints stop, what is stored stays.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn suspend_tenant(
        &self,
        tenant: &TenantId,
        reason: Option<&str>,
    ) -> Result<LifeChanged, ClientError> {
        let id = CommandId::generate();
        let body = command::SuspendTenant {
            reason: reason.map(str::to_owned),
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "suspend_tenant");
        self.client.command(verb, id, &body).await
    }

    /// Lets a tenant's agents in again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume_tenant(&self, tenant: &TenantId) -> Result<LifeChanged, ClientError> {
        let id = CommandId::generate();
        let body = command::ResumeTenant {
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "resume_tenant");
        self.client.command(verb, id, &body).await
    }

    /// Sets limits of a tenant and resets others to their defaults; what is not named stays.
    ///
    /// # Errors
    /// [`ClientError`]; `invalid_argument` for a value out of bounds.
    pub async fn set_limits(
        &self,
        tenant: &TenantId,
        set: &[(Limit, u64)],
        reset: &[Limit],
    ) -> Result<LimitsSet, ClientError> {
        let id = CommandId::generate();
        let named = |(limit, value): &(Limit, u64)| (limit.name().to_owned(), *value);
        let body = command::SetLimits {
            set: set.iter().map(named).collect(),
            reset: reset.iter().map(|limit| limit.name().to_owned()).collect(),
            command_id: Some(id.to_string()),
        };
        let verb = admin(Some(tenant), "set_limits");
        self.client.command(verb, id, &body).await
    }

    /// The tenants of the deployment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_tenants(&self, page: &Page) -> Result<Tenants, ClientError> {
        let verb = admin(None, "list_tenants");
        self.client
            .query(verb, Duration::ZERO, |reading| page.wire(&reading))
            .await
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_tenant(&self, tenant: &TenantId) -> Result<Tenant, ClientError> {
        let verb = admin(Some(tenant), "get_tenant");
        self.client
            .query(verb, Duration::ZERO, |reading| reading)
            .await
    }

    /// What a tenant used each of the last `days`, today included; of no tenant in particular, what each
    /// of a page of tenants used.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(
        &self,
        tenant: Option<&TenantId>,
        days: u32,
        page: &Page,
    ) -> Result<Usage, ClientError> {
        let verb = Verb {
            tenant: tenant.map_or(ALL_TENANTS, TenantId::as_str),
            scope: Scope::Own,
            name: "usage",
        };
        self.client
            .query(verb, Duration::ZERO, |reading| {
                let page = page.wire(&reading);
                query::Usage {
                    days: Some(i64::from(days)),
                    limit: page.limit,
                    cursor: page.cursor,
                    position: page.position,
                    fresh: page.fresh,
                }
            })
            .await
    }

    /// The roster of a tenant: [`crate::Roster::agents`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_agents(&self, tenant: &TenantId, page: &Page) -> Result<Agents, ClientError> {
        self.client.roster(Some(tenant))?.agents(page).await
    }

    /// Messages of one tenant, or of all in order of name; newest first within each. Every tenant that a
    /// page has read is told so in its own log. A page may hold fewer messages than were asked for, or
    /// none, and not be the last: there are more while it has a `nextCursor`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_messages(
        &self,
        tenant: Option<&TenantId>,
        wanted: &History,
    ) -> Result<TenantMessages, ClientError> {
        let verb = over(tenant, Scope::Messages, "list_messages");
        self.client
            .query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    /// Agents of one tenant, or of all in order of name; told and paged as
    /// [`list_messages`](Self::list_messages) is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_peers(
        &self,
        tenant: Option<&TenantId>,
        page: &Page,
    ) -> Result<TenantPeers, ClientError> {
        let verb = over(tenant, Scope::Own, "list_peers");
        self.client
            .query(verb, Duration::ZERO, |reading| page.wire(&reading))
            .await
    }

    /// How every shard is doing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.client
            .query(admin(None, "status"), Duration::ZERO, |reading| reading)
            .await
    }

    /// Has every row folded anew from the log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rebuild(&self) -> Result<Rebuilding, ClientError> {
        self.client
            .query(admin(None, "rebuild"), Duration::ZERO, |reading| reading)
            .await
    }
}

fn admin<'a>(tenant: Option<&'a TenantId>, name: &'static str) -> Verb<'a> {
    over(tenant, Scope::Admin, name)
}

pub(crate) fn over<'a>(tenant: Option<&'a TenantId>, scope: Scope, name: &'static str) -> Verb<'a> {
    Verb {
        tenant: tenant.map_or(ALL_TENANTS, TenantId::as_str),
        scope,
        name,
    }
}
