//! Whose connection a request is carried out with. Owns that question alone: no argument of any
//! tool answers it.

use postroad_client::{Client, ClientError, Identity};
use postroad_protocol::tenancy::{Claims, Scope};
use postroad_protocol::{ErrorCode, Reader, Refusal, TenantId};

/// One agent: its connection, and what its credential lets it touch.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    tenant: TenantId,
    reader: Reader,
    scopes: Vec<Scope>,
}

impl Caller {
    /// The agent that `client` is connected as.
    ///
    /// # Errors
    /// `permission_denied` for an operator, who has no inbox and sends no messages.
    pub fn new(client: Client) -> Result<Self, ClientError> {
        let Identity::Agent {
            tenant,
            reader,
            scopes,
        } = client.identity().clone()
        else {
            return Err(ClientError::Refused(Refusal::new(
                ErrorCode::PermissionDenied,
                "an operator's credential serves no MCP client: it has no inbox and sends no messages",
                "use an agent's credential, from `postroad agent issue` (CLI: --creds or --as)",
            )));
        };
        Ok(Self {
            client,
            tenant,
            reader,
            scopes,
        })
    }

    /// Its connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Its role and instance.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What it may touch.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Whether it may touch this.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Refuses what a request says of its caller and is not so.
    pub(crate) fn expect(&self, claims: &Claims) -> Result<(), Refusal> {
        claims.agree_with(Some(&self.tenant), Some(&self.reader))
    }
}
