//! Who may use each command, query and subject, and what a stranger gets: derived from the catalogue and
//! from the permission templates, so that the table in `subjects.md`, the tests that attack it and what
//! is enforced cannot say different things. Enforces only who may use a verb.

use crate::catalogue::{VERBS, Verb, Who};
use crate::error::{ErrorCode, Refusal};
use crate::permission::{self, PermissionTemplate};
use crate::subject::RequestKind;
use crate::tenancy::{RequestContext, Scope};

/// From where a verb is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An agent, in its own name, with the verb's scope.
    Agent,
    /// An agent, in its own name, without the verb's scope.
    AgentWithoutScope,
    /// An agent, in the name of another tenant, of all, of another role, or of the operator.
    AgentAsAnother,
    /// An agent, in its own name, whose body claims another tenant.
    AgentClaimingAnother,
    /// The operator.
    Operator,
}

impl Caller {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Agent,
        Self::AgentWithoutScope,
        Self::AgentAsAnother,
        Self::AgentClaimingAnother,
        Self::Operator,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::AgentWithoutScope => "agent without the scope",
            Self::AgentAsAnother => "agent in another's name",
            Self::AgentClaimingAnother => "agent with another's `tenantId`",
            Self::Operator => "operator",
        }
    }
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gets {
    /// An answer about what is its own, or a refusal of what it asks.
    Served,
    /// A refusal with this code, whatever it asks.
    Refused(ErrorCode),
    /// Nothing: nats-server carries it to nobody, and tells the caller of a permissions violation.
    Violation,
    /// There is no such caller.
    Nobody,
}

impl Gets {
    fn shown(self) -> String {
        match self {
            Self::Served => "served".to_owned(),
            Self::Refused(code) => format!("`{code}`"),
            Self::Violation => "violation".to_owned(),
            Self::Nobody => "–".to_owned(),
        }
    }
}

impl Verb {
    /// The verb of this name; nothing for one that there is not.
    pub fn find(kind: RequestKind, scope: Scope, name: &str) -> Option<&'static Self> {
        VERBS
            .iter()
            .find(|verb| verb.kind == kind && verb.scope == scope && verb.name == name)
    }

    /// What `caller` gets.
    pub fn gets(&self, caller: Caller) -> Gets {
        let denied = Gets::Refused(ErrorCode::PermissionDenied);
        match (caller, self.who) {
            (Caller::AgentWithoutScope, _) if self.scope == Scope::Own => Gets::Nobody,
            (Caller::AgentWithoutScope | Caller::AgentAsAnother, _) => Gets::Violation,
            (Caller::AgentClaimingAnother, _)
            | (Caller::Agent, Who::Operator)
            | (Caller::Operator, Who::Agent) => denied,
            (Caller::Agent, Who::Agent | Who::Both)
            | (Caller::Operator, Who::Operator | Who::Both) => Gets::Served,
        }
    }

    /// Refuses who may not use it, whatever the request holds.
    ///
    /// # Errors
    /// `permission_denied`.
    pub fn check_caller(&self, context: &RequestContext) -> Result<(), Refusal> {
        match self.who {
            Who::Agent => context.reader().map(drop),
            Who::Operator => context.require_operator().map(drop),
            Who::Both => Ok(()),
        }
    }
}

/// One kind of subject.
#[derive(Clone, Copy, Debug)]
pub struct SubjectClass {
    /// As the table shows it.
    pub shown: &'static str,
    /// One of them, with `{root}`, `{tenant}`, `{role}` and `{instance}` to be filled.
    pub sample: &'static str,
}

const fn class(shown: &'static str, sample: &'static str) -> SubjectClass {
    SubjectClass { shown, sample }
}

/// Every kind of subject that there is in a deployment's account.
pub const SUBJECTS: &[SubjectClass] = &[
    class(
        "`{root}.{tenant}.cmd.{role}.{instance}.>`",
        "{root}.{tenant}.cmd.{role}.{instance}.messages.send_message",
    ),
    class(
        "`{root}.{tenant}.qry.{role}.{instance}.>`",
        "{root}.{tenant}.qry.{role}.{instance}.messages.check_messages",
    ),
    class(
        "`{root}.*.cmd._operator.{instance}.>`",
        "{root}.{tenant}.cmd._operator.local.admin.retire_agent",
    ),
    class(
        "`{root}.*.qry._operator.{instance}.>`",
        "{root}.{tenant}.qry._operator.local.admin.list_agents",
    ),
    class(
        "`{root}.{tenant}.evt.>`",
        "{root}.{tenant}.evt.0.message.{role}",
    ),
    class(
        "`{root}.{tenant}.push.{role}`",
        "{root}.{tenant}.push.{role}",
    ),
    class(
        "`{root}.{tenant}.push.{role}.{instance}`",
        "{root}.{tenant}.push.{role}.{instance}",
    ),
    class(
        "`{root}.{tenant}.push.broadcast`",
        "{root}.{tenant}.push.broadcast",
    ),
    class(
        "`{root}.{tenant}.presence.{role}.{instance}`",
        "{root}.{tenant}.presence.{role}.{instance}",
    ),
    class("`{root}._keys.>`", "{root}._keys.{tenant}"),
    class(
        "`{root}._sys.broker.>`",
        "{root}._sys.broker.{tenant}.observe",
    ),
    class(
        "`{root}._sys.projector.>`",
        "{root}._sys.projector.{tenant}.look_up",
    ),
    class("`{root}._sys.issuer.>`", "{root}._sys.issuer.{tenant}.sign"),
    class(
        "`{root}._sys.issuer._sys.exchange_token`",
        "{root}._sys.issuer._sys.exchange_token",
    ),
    class(
        "`_INBOX.{tenant}.{role}.{instance}.>`",
        "_INBOX.{tenant}.{role}.{instance}.x",
    ),
    class(
        "`_INBOX._all._operator.{instance}.>`",
        "_INBOX._all._operator.local.x",
    ),
    class("`_INBOX._sys.broker.>`", "_INBOX._sys.broker.x"),
    class("`_INBOX._sys.projector.>`", "_INBOX._sys.projector.x"),
    class("`_INBOX._sys.issuer.>`", "_INBOX._sys.issuer.x"),
    class("`_INBOX._sys.gateway.>`", "_INBOX._sys.gateway.x"),
    class("`$JS.API.>`: reading", "$JS.API.CONSUMER.CREATE.POSTROAD_0"),
    class("`$JS.API.>`: changing", "$JS.API.STREAM.DELETE.POSTROAD_0"),
    class("`$JS.ACK.>`", "$JS.ACK.POSTROAD_0.x.1.1.1.1.0"),
    class("`$KV.>`, `$O.>`", "$KV.x.y"),
    class("`$SRV.>`", "$SRV.PING"),
    class("`$SYS.>`", "$SYS.REQ.SERVER.PING"),
    class("anything else", "x"),
];

/// An agent's or operator's names, for filling a sample or a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The role.
    pub role: &'a str,
    /// The instance.
    pub instance: &'a str,
}

impl SubjectClass {
    /// The sample that belongs to `owner`.
    pub fn of(&self, root: &str, owner: Named<'_>) -> String {
        let sample = self.sample.replace("{root}", root);
        let sample = sample.replace("{tenant}", owner.tenant);
        let sample = sample.replace("{role}", owner.role);
        sample.replace("{instance}", owner.instance)
    }
}

impl PermissionTemplate {
    /// Whether a credential with these tags, and any scope, may publish to `subject`.
    pub fn may_publish(&self, tags: Named<'_>, subject: &str) -> bool {
        allows(&self.publish_allow, &self.publish_deny, tags, subject)
    }

    /// Whether a credential with these tags may subscribe to `subject`.
    pub fn may_subscribe(&self, tags: Named<'_>, subject: &str) -> bool {
        allows(&self.subscribe_allow, &self.subscribe_deny, tags, subject)
    }
}

fn allows(allow: &[String], deny: &[String], tags: Named<'_>, subject: &str) -> bool {
    let fits = |pattern: &String| {
        let pattern = pattern.replace("{{tag(tenant)}}", tags.tenant);
        let pattern = pattern.replace("{{tag(role)}}", tags.role);
        let pattern = pattern.replace("{{tag(instance)}}", tags.instance);
        matches(&pattern.replace("{{tag(scope)}}", "*"), subject)
    };
    allow.iter().any(fits) && !deny.iter().any(fits)
}

/// Whether `subject`, which has no wildcard, fits `pattern` as NATS reads it.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

const AN_AGENT: Named<'_> = Named {
    tenant: "acme",
    role: "tau",
    instance: "pi",
};
const THE_OPERATOR: Named<'_> = Named {
    tenant: "_all",
    role: "_operator",
    instance: "local",
};

/// Who of an agent, the operator and the parts may do something to one of the agent's subjects.
fn parties(root: &str, may: impl Fn(&PermissionTemplate, Named<'_>) -> bool) -> String {
    let all = [
        ("agent", permission::agent(root), AN_AGENT),
        ("operator", permission::operator(root), THE_OPERATOR),
        ("broker", permission::broker(root), THE_OPERATOR),
        ("projector", permission::projector(root), THE_OPERATOR),
        ("issuer", permission::issuer(root), THE_OPERATOR),
        ("gateway", permission::gateway(root), THE_OPERATOR),
    ];
    let allowed = all
        .iter()
        .filter(|(_, template, tags)| may(template, *tags))
        .map(|(name, ..)| *name)
        .collect::<Vec<_>>();
    match allowed.as_slice() {
        [] => "nobody".to_owned(),
        some => some.join(", "),
    }
}

/// The table of who may and what a stranger gets, in Markdown, as `subjects.md` holds it.
pub fn markdown(root: &str) -> String {
    let titles = Caller::ALL.map(Caller::title).join(" | ");
    let mut text = format!("| command or query | {titles} |\n|---|---|---|---|---|---|\n");
    for verb in VERBS {
        let cells = Caller::ALL.map(|caller| verb.gets(caller).shown());
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        text += &format!("| `{kind}` `{scope}.{name}` | {} |\n", cells.join(" | "));
    }
    text += "\n| subject | may publish | may subscribe | any other agent |\n|---|---|---|---|\n";
    let stranger = Named {
        tenant: "globex",
        ..AN_AGENT
    };
    let agent = permission::agent(root);
    for class in SUBJECTS {
        let sample = class.of(root, AN_AGENT);
        let publish = parties(root, |template, tags| template.may_publish(tags, &sample));
        let subscribe = parties(root, |template, tags| template.may_subscribe(tags, &sample));
        let is_open =
            agent.may_publish(stranger, &sample) || agent.may_subscribe(stranger, &sample);
        let gets = if is_open {
            Gets::Served
        } else {
            Gets::Violation
        };
        let shown = class.shown.replace("{root}", root);
        text += &format!("| {shown} | {publish} | {subscribe} | {} |\n", gets.shown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_nats() {
        for (pattern, subject, fits) in [
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.c.d", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.b", "a.bc", false),
            (">", "a", true),
            ("a.*", "a", false),
        ] {
            assert_eq!(matches(pattern, subject), fits, "{pattern} {subject}");
        }
    }

    #[test]
    fn no_subject_of_anybody_is_open_to_a_stranger() {
        let strangers = [
            ("globex", "tau", "pi"),
            ("acme", "phi", "pi"),
            ("acme-two", "tau", "pi"),
        ];
        for class in SUBJECTS {
            let sample = class.of("postroad", AN_AGENT);
            for (tenant, role, instance) in strangers {
                let tags = Named {
                    tenant,
                    role,
                    instance,
                };
                for template in [
                    permission::agent("postroad"),
                    permission::agent_any_instance("postroad"),
                ] {
                    let of_tenant = class.sample.ends_with("push.broadcast") && tenant == "acme";
                    assert!(!template.may_publish(tags, &sample), "{sample} by {tags:?}");
                    assert_eq!(
                        template.may_subscribe(tags, &sample),
                        of_tenant,
                        "{sample} by {tags:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_part_of_postroad_can_speak_as_an_agent() {
        let services = [
            permission::broker("r"),
            permission::projector("r"),
            permission::issuer("r"),
            permission::gateway("r"),
        ];
        for class in ["cmd", "qry", "presence"] {
            let is_of = |one: &&SubjectClass| one.sample.contains(&format!(".{class}."));
            for class in SUBJECTS.iter().filter(is_of) {
                let sample = class.of("r", AN_AGENT);
                let speaks =
                    |template: &PermissionTemplate| template.may_publish(AN_AGENT, &sample);
                assert!(!services.iter().any(speaks), "{sample}");
            }
        }
    }
}
