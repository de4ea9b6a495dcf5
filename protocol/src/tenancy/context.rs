//! Who calls, for which tenant. Fields are private and there is no public constructor, so
//! holding one of these proves that NATS, or the log, vouched for it.

use crate::error::{ErrorCode, Refusal};
use crate::id::{CommandId, InstanceId, Reader, Role, TenantId};
use crate::subject::Owner;

/// What part of the tenant's business a credential may touch; a token of every request's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One's own identity; every credential has it.
    #[serde(rename = "self")]
    Own,
    /// Messages and receipts.
    Messages,
    /// Memories.
    Memory,
    /// Tasks and missions.
    Tasks,
    /// The tenant's log.
    Audit,
    /// Administration.
    Admin,
}

impl Scope {
    /// Every scope, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Own,
        Self::Messages,
        Self::Memory,
        Self::Tasks,
        Self::Audit,
        Self::Admin,
    ];

    /// The scopes of an agent for which none are named.
    pub const AGENT_DEFAULT: [Self; 4] = [Self::Own, Self::Messages, Self::Memory, Self::Tasks];

    /// The subject's token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Messages => "messages",
            Self::Memory => "memory",
            Self::Tasks => "tasks",
            Self::Audit => "audit",
            Self::Admin => "admin",
        }
    }

    /// The scope of a token.
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.token() == token)
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An agent of the tenant in scope.
    Agent(Reader),
    /// The deployment's operator, from one of its machines.
    Operator(InstanceId),
}

/// Proof that the holder acts for one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantScope {
    tenant: TenantId,
}

impl TenantScope {
    pub(super) fn prove(tenant: TenantId) -> Self {
        Self { tenant }
    }

    /// The tenant that was proved.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The tenant as the owner of subjects.
    pub fn owner(&self) -> Owner<'_> {
        Owner::Tenant(&self.tenant)
    }
}

/// Everything that a handler may know of its caller. Made by [`super::Admission`] only.
#[derive(Clone, Debug)]
pub struct RequestContext {
    principal: Principal,
    scope: Option<TenantScope>,
    request_id: CommandId,
    traceparent: Option<Box<str>>,
}

impl RequestContext {
    pub(super) fn new(
        principal: Principal,
        scope: Option<TenantScope>,
        traceparent: Option<Box<str>>,
    ) -> Self {
        Self {
            principal,
            scope,
            request_id: CommandId::generate(),
            traceparent,
        }
    }

    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The tenant that the call is about.
    ///
    /// # Errors
    /// `invalid_argument` when an operator named none where one is needed.
    pub fn scope(&self) -> Result<&TenantScope, Refusal> {
        self.scope.as_ref().ok_or_else(|| {
            Refusal::invalid(
                "tenantId",
                "this needs a tenant, and the request names none",
                "name the tenant (CLI: --tenant)",
            )
        })
    }

    /// The tenant that the call is about, where none means all of them.
    pub fn scope_or_all(&self) -> Option<&TenantScope> {
        self.scope.as_ref()
    }

    /// The calling agent, for what only agents do.
    ///
    /// # Errors
    /// `permission_denied` for an operator.
    pub fn reader(&self) -> Result<&Reader, Refusal> {
        match &self.principal {
            Principal::Agent(reader) => Ok(reader),
            Principal::Operator(_) => Err(Refusal::new(
                ErrorCode::PermissionDenied,
                "an operator has no inbox and sends no messages",
                "use an agent's credential (CLI: --as tenant/role)",
            )),
        }
    }

    /// Proof that the operator calls.
    ///
    /// # Errors
    /// `permission_denied` for an agent.
    pub fn require_operator(&self) -> Result<&InstanceId, Refusal> {
        match &self.principal {
            Principal::Operator(instance) => Ok(instance),
            Principal::Agent(_) => Err(Refusal::new(
                ErrorCode::PermissionDenied,
                "only the operator may do this",
                "ask the operator of this deployment",
            )),
        }
    }

    /// Proof for one tenant after another, for what the operator asks of all of them.
    ///
    /// # Errors
    /// `permission_denied` for an agent, and for an operator whose request names another tenant.
    pub fn operator_scope(&self, tenant: &TenantId) -> Result<TenantScope, Refusal> {
        self.require_operator()?;
        match &self.scope {
            Some(scope) if scope.tenant != *tenant => Err(Refusal::new(
                ErrorCode::PermissionDenied,
                "the request names another tenant",
                "name that tenant, or none",
            )),
            _ => Ok(TenantScope::prove(tenant.clone())),
        }
    }

    /// Under which this request appears in logs and internal errors.
    pub fn request_id(&self) -> CommandId {
        self.request_id
    }

    /// The caller's W3C trace context, as it came.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Refuses a `tenantId`, `from`, `recipient` or instance in a request that is not the credential's.
    ///
    /// # Errors
    /// `permission_denied`, alike for a foreign, a malformed and an unknown name.
    pub fn check_claims(&self, claims: &Claims) -> Result<(), Refusal> {
        let reader = match &self.principal {
            Principal::Agent(reader) => Some(reader),
            Principal::Operator(_) => None,
        };
        claims.agree_with(self.scope.as_ref().map(|scope| &scope.tenant), reader)
    }
}

/// What a request may say of its own caller. Optional, and never believed: only compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// Claimed tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Claimed sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Claimed sender's instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_instance_id: Option<String>,
    /// Claimed recipient of one's own mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Claimed instance of that recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient_instance_id: Option<String>,
}

impl Claims {
    /// Refuses whatever is claimed and is not so: `tenant` and `reader` are the credential's.
    ///
    /// # Errors
    /// `permission_denied`, alike for a foreign, a malformed and an unknown name.
    pub fn agree_with(
        &self,
        tenant: Option<&TenantId>,
        reader: Option<&Reader>,
    ) -> Result<(), Refusal> {
        let agree = |claim: &Option<String>,
                     field: &str,
                     own: Option<&str>,
                     canonical: fn(&str) -> Option<String>| match claim {
            Some(text) if canonical(text).as_deref() != own || own.is_none() => Err(Refusal::new(
                ErrorCode::PermissionDenied,
                format!("{field} is not the credential's"),
                format!("leave {field} out: the credential says who calls"),
            )
            .at(field)),
            _ => Ok(()),
        };
        let a_tenant = |text: &str| {
            let name = TenantId::parse(text).ok()?;
            Some(name.as_str().to_owned())
        };
        let a_role = |text: &str| Role::parse(text).ok().map(|name| name.as_str().to_owned());
        let an_instance = |text: &str| {
            let name = InstanceId::parse(text).ok()?;
            Some(name.as_str().to_owned())
        };
        let role = reader.map(|reader| reader.role.as_str());
        let instance = reader.map(|reader| reader.instance.as_str());
        let tenant = tenant.map(TenantId::as_str);
        agree(&self.tenant_id, "tenantId", tenant, a_tenant)?;
        agree(&self.from, "from", role, a_role)?;
        agree(&self.recipient, "recipient", role, a_role)?;
        let (from, recipient) = (&self.from_instance_id, &self.recipient_instance_id);
        agree(from, "fromInstanceId", instance, an_instance)?;
        agree(recipient, "recipientInstanceId", instance, an_instance)
    }
}
