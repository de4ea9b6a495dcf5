//! The real door: a subject that NATS authorised becomes a [`RequestContext`].
//! NATS checks who may publish to a subject and never checks reply-to, so this checks the latter.

use super::context::{Principal, RequestContext, Scope, TenantScope};
use crate::error::{ErrorCode, Refusal};
use crate::id::{InstanceId, Reader, Role, TenantId};
use crate::subject::{self, ALL_TENANTS, OPERATOR_ROLE, RequestKind, Service, Subjects};

/// Admits requests of one deployment. Built once per process, where it connects with a service's
/// credential; a lint bans building it anywhere else.
#[derive(Clone, Debug)]
pub struct Admission {
    subjects: Subjects,
}

/// A request that may be handled. Made at the door only: elsewhere a scope could be put beside a context
/// that was never admitted for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Admitted<'a> {
    /// Who calls, for whom.
    pub context: RequestContext,
    /// The scope that NATS checked.
    pub scope: Scope,
    /// The verb, still to be known.
    pub verb: &'a str,
}

/// A request that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Answer it with this.
    Refuse(Box<Refusal>),
    /// Do not answer: there is no reply subject, or it is not the caller's own. Count it.
    Drop,
}

/// A request of another part of Postroad.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceRequest<'a> {
    /// The tenant it is about; none for the deployment itself.
    pub scope: Option<TenantScope>,
    /// The verb.
    pub verb: &'a str,
}

impl Admission {
    /// The door for the subjects of one deployment.
    pub fn new(subjects: Subjects) -> Self {
        Self { subjects }
    }

    /// Admits an agent's or operator's request.
    ///
    /// # Errors
    /// [`Rejected::Drop`] when there is nobody to answer, else [`Rejected::Refuse`].
    pub fn admit<'a>(
        &self,
        expected: RequestKind,
        subject: &'a str,
        reply: Option<&str>,
        traceparent: Option<&str>,
    ) -> Result<Admitted<'a>, Rejected> {
        let raw = self
            .subjects
            .parse_request(subject)
            .filter(|raw| raw.kind == expected)
            .ok_or(Rejected::Drop)?;
        let inbox = subject::inbox_prefix(raw.tenant, raw.role, raw.instance);
        if !reply.is_some_and(|reply| subject::is_below(reply, &inbox)) {
            return Err(Rejected::Drop);
        }
        let refuse = |refusal: Refusal| Rejected::Refuse(Box::new(refusal));
        let instance =
            InstanceId::parse(raw.instance).map_err(|error| refuse(error.at("instance")))?;
        // A name is used as it was authorised: an upper-case token would be another address.
        if instance.as_str() != raw.instance {
            return Err(refuse(Refusal::invalid(
                "instance",
                "an instance is written in lower case",
                "write it in lower case",
            )));
        }
        let (principal, tenant) = if raw.role == OPERATOR_ROLE {
            let tenant = match raw.tenant {
                ALL_TENANTS => None,
                name => Some(TenantId::parse(name).map_err(|error| refuse(error.at("tenantId")))?),
            };
            (Principal::Operator(instance), tenant)
        } else {
            let role = Role::parse(raw.role).map_err(|error| refuse(error.at("role")))?;
            let tenant =
                TenantId::parse(raw.tenant).map_err(|error| refuse(error.at("tenantId")))?;
            (Principal::Agent(Reader { role, instance }), Some(tenant))
        };
        let scope = Scope::parse(raw.scope).ok_or_else(|| {
            refuse(Refusal::new(
                ErrorCode::PermissionDenied,
                "there is no such scope",
                "use a scope that subjects.md lists",
            ))
        })?;
        let traceparent = traceparent
            .filter(|text| text.len() <= 64 && text.is_ascii())
            .map(Into::into);
        let context = RequestContext::new(principal, tenant.map(TenantScope::prove), traceparent);
        Ok(Admitted {
            context,
            scope,
            verb: raw.verb,
        })
    }

    /// Admits a request of another part of Postroad. Only service credentials may publish to
    /// `_sys`, and they are answered only in the inbox of `from`.
    pub fn admit_service<'a>(
        &self,
        service: Service,
        from: Service,
        subject: &'a str,
        reply: Option<&str>,
    ) -> Option<ServiceRequest<'a>> {
        let (owner, verb) = self.subjects.parse_service(service, subject)?;
        reply.filter(|reply| subject::is_below(reply, &subject::service_inbox_prefix(from)))?;
        let scope = match owner {
            subject::SYSTEM => None,
            name => Some(TenantScope::prove(TenantId::parse(name).ok()?)),
        };
        Some(ServiceRequest { scope, verb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the door itself is under test")]
    fn admit<'a>(subject: &'a str, reply: &str) -> Result<Admitted<'a>, Rejected> {
        Admission::new(Subjects::default()).admit(RequestKind::Command, subject, Some(reply), None)
    }

    #[test]
    fn the_subject_says_who_calls() {
        let subject = "postroad.acme.cmd.tau.pi.messages.send_message";
        let admitted = admit(subject, "_INBOX.acme.tau.pi.x").unwrap();
        assert_eq!(admitted.context.scope().unwrap().tenant().as_str(), "acme");
        assert_eq!(admitted.context.reader().unwrap().to_string(), "tau/pi");
        assert!(admitted.context.require_operator().is_err());
        assert_eq!(admitted.verb, "send_message");
    }

    #[test]
    fn a_reply_to_any_other_inbox_is_dropped() {
        let subject = "postroad.acme.cmd.tau.pi.messages.send_message";
        for reply in [
            "",
            "_INBOX.acme.tau.pi2.x",
            "_INBOX.globex.tau.pi.x",
            "postroad.acme.cmd.tau.pi.messages.send_message",
            "$JS.API.STREAM.DELETE.POSTROAD_0",
        ] {
            assert!(
                matches!(admit(subject, reply), Err(Rejected::Drop)),
                "{reply}"
            );
        }
    }

    #[test]
    fn an_operator_may_name_no_tenant_and_is_no_agent() {
        let admitted = admit(
            "postroad._all.cmd._operator.cli.admin.create_tenant",
            "_INBOX._all._operator.cli.x",
        )
        .unwrap();
        assert!(admitted.context.scope().is_err());
        assert!(admitted.context.reader().is_err());
        assert!(admitted.context.require_operator().is_ok());
        // No agent can claim the operator's place in another position of the subject.
        assert!(
            admit(
                "postroad._all.cmd.tau.pi.messages.send_message",
                "_INBOX._all.tau.pi.x"
            )
            .is_err()
        );
    }
}
