//! A tenant's roster: issuing, listing, ending and retiring. For the operator, and for a tenant's own
//! administrators, whose credential has the scope `admin`.
//!
//! Owns how these are asked.

use crate::client::{Client, Verb};
use crate::connect::Identity;
use crate::error::ClientError;
use crate::operator::NewAgent;
use crate::queries::Page;
use postroad_protocol::command::{Done, Issued, Revoked, wire as command};
use postroad_protocol::query::Agents;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, ErrorCode, InstanceId, Refusal, Role, TenantId};
use std::time::Duration;

/// One tenant's roster, as its administrator or the operator has it.
#[derive(Clone, Copy, Debug)]
pub struct Roster<'a> {
    client: &'a Client,
    tenant: &'a TenantId,
}

/// Whose credentials end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// The one for this user nkey.
    Key(String),
    /// Every one of a role.
    Role(Role),
    /// Those bound to one instance of a role.
    Instance(Role, InstanceId),
}

impl Client {
    /// The roster of `tenant`. An agent need not name its own.
    ///
    /// # Errors
    /// `permission_denied` for an agent that names another tenant, `invalid_argument` for an operator
    /// that names none.
    pub fn roster<'a>(&'a self, tenant: Option<&'a TenantId>) -> Result<Roster<'a>, ClientError> {
        let refused = |refusal: Refusal| Err(ClientError::Refused(refusal.at("tenantId")));
        let tenant = match (self.identity(), tenant) {
            (Identity::Operator { .. }, Some(tenant)) => tenant,
            (Identity::Operator { .. }, None) => {
                return refused(Refusal::invalid(
                    "tenantId",
                    "it is not said whose roster is meant",
                    "name the tenant (CLI: --tenant)",
                ));
            }
            (Identity::Agent { tenant: own, .. }, None) => own,
            (Identity::Agent { tenant: own, .. }, Some(named)) if own == named => own,
            (Identity::Agent { .. }, Some(_)) => {
                return refused(Refusal::new(
                    ErrorCode::PermissionDenied,
                    "the credential is another tenant's",
                    "leave the tenant out: the credential says whose it is",
                ));
            }
        };
        Ok(Roster {
            client: self,
            tenant,
        })
    }
}

impl Roster<'_> {
    /// Whose roster it is.
    pub fn tenant(&self) -> &TenantId {
        self.tenant
    }

    /// Puts a credential on the roster and has it signed. The seed stays with the caller:
    /// [`crate::UserKey::creds`] makes the file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn issue(&self, agent: &NewAgent, public_key: &str) -> Result<Issued, ClientError> {
        let id = CommandId::generate();
        let body = agent.wire(public_key, id);
        self.client
            .command(self.verb("issue_credential"), id, &body)
            .await
    }

    /// Ends credentials before their time. When this returns, their connections are cut and they are
    /// refused. Their roles keep their mail.
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` where there is none.
    pub async fn revoke(&self, whose: &Revoke) -> Result<Revoked, ClientError> {
        let id = CommandId::generate();
        let (role, instance_id, public_key) = match whose {
            Revoke::Key(key) => (None, None, Some(key.clone())),
            Revoke::Role(role) => (Some(role.to_string()), None, None),
            Revoke::Instance(role, only) => (Some(role.to_string()), Some(only.to_string()), None),
        };
        let body = command::RevokeCredential {
            role,
            instance_id,
            public_key,
            command_id: Some(id.to_string()),
        };
        self.client
            .command(self.verb("revoke_credential"), id, &body)
            .await
    }

    /// Takes a role, or one instance of it, off the roster: its credentials end as by
    /// [`Roster::revoke`], and it gets no new receipts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retire(
        &self,
        role: &Role,
        instance: Option<&InstanceId>,
    ) -> Result<Done, ClientError> {
        let id = CommandId::generate();
        let body = command::RetireAgent {
            role: role.to_string(),
            instance_id: instance.map(ToString::to_string),
            command_id: Some(id.to_string()),
        };
        self.client
            .command(self.verb("retire_agent"), id, &body)
            .await
    }

    /// Its credentials and readers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn agents(&self, page: &Page) -> Result<Agents, ClientError> {
        let verb = self.verb("list_agents");
        self.client
            .query(verb, Duration::ZERO, |reading| page.wire(&reading))
            .await
    }

    fn verb(&self, name: &'static str) -> Verb<'_> {
        Verb {
            tenant: self.tenant.as_str(),
            scope: Scope::Admin,
            name,
        }
    }
}
