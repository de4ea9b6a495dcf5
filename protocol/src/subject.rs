//! Builds and parses every subject. No other file formats one. Owns layout, never permission.

use crate::id::{InstanceId, Reader, Role, TenantId};
use crate::service::{ANNOUNCE, FORGET};
use crate::task::{MissionId, TaskId};
use std::fmt;
use std::sync::Arc;

/// The role token with which operators call.
pub const OPERATOR_ROLE: &str = "_operator";
/// The tenant token of an operator's request that names no tenant.
pub const ALL_TENANTS: &str = "_all";
/// The tenant token under which Postroad's own parts speak, and under which events that belong
/// to no tenant are stored.
pub const SYSTEM: &str = "_sys";
/// The token under which tenants' wrapped data keys are kept.
const KEYS: &str = "_keys";
/// The role token of presence and push that means every agent of the tenant.
const BROADCAST: &str = "broadcast";

/// What a request asks for: a change or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A change: answered by a broker.
    Command,
    /// A question: answered by a projector.
    Query,
}

impl RequestKind {
    /// The subject's token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Command => "cmd",
            Self::Query => "qry",
        }
    }
}

/// A part of Postroad that answers other parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Takes observations and reactions.
    Broker,
    /// Resolves ids against rows.
    Projector,
    /// Signs what the log says was issued.
    Issuer,
    /// Lets callers with bearer tokens in. It asks the issuer and answers nobody here.
    Gateway,
}

impl Service {
    /// The subject's token, and the name of the queue group.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Projector => "projector",
            Self::Issuer => "issuer",
            Self::Gateway => "gateway",
        }
    }
}

/// A request's subject, split but not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRequest<'a> {
    /// Tenant token: a name or `_all`.
    pub tenant: &'a str,
    /// Command or query.
    pub kind: RequestKind,
    /// Role token: a name or `_operator`.
    pub role: &'a str,
    /// Instance token.
    pub instance: &'a str,
    /// Scope token.
    pub scope: &'a str,
    /// Verb token.
    pub verb: &'a str,
}

/// A stored event's subject, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// Tenant token: a name or `_sys`.
    pub tenant: &'a str,
    /// Number of the shard.
    pub shard: u16,
    /// Aggregate token.
    pub aggregate: &'a str,
    /// Key token.
    pub key: &'a str,
}

/// What an event belongs to inside its tenant; the last two tokens of its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AggregateKey {
    /// The tenant itself, or an operator's reads of it.
    Tenant,
    /// The roster and readers of a role.
    Agent(Role),
    /// Messages sent by a role.
    Message(Role),
    /// Receipts of a role.
    Receipt(Role),
    /// Memories; under `_sys` those of the operator's shared library.
    Memory,
    /// One task: its own, so that of two changes decided at once one is refused.
    Task(TaskId),
    /// One mission.
    Mission(MissionId),
    /// The shard's own health; only under `_sys`.
    Shard,
    /// The end of a tenant; only under `_sys`.
    Erasure(TenantId),
}

impl fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant.life"),
            Self::Agent(role) => write!(f, "agent.{role}"),
            Self::Message(role) => write!(f, "message.{role}"),
            Self::Receipt(role) => write!(f, "receipt.{role}"),
            Self::Memory => f.write_str("memory.all"),
            Self::Task(task) => write!(f, "task.{task}"),
            Self::Mission(mission) => write!(f, "mission.{mission}"),
            Self::Shard => f.write_str("shard.damage"),
            Self::Erasure(tenant) => write!(f, "erased.{tenant}"),
        }
    }
}

/// Whose event: a tenant's, or the deployment's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A tenant.
    Tenant(&'a TenantId),
    /// The deployment.
    System,
}

impl Owner<'_> {
    /// The subject's tenant token.
    pub fn token(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::System => SYSTEM,
        }
    }
}

/// The subjects below one root. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    root: Arc<str>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self {
            root: "postroad".into(),
        }
    }
}

impl Subjects {
    /// Subjects below `root`: one token of `[a-z0-9_-]`.
    pub fn with_root(root: &str) -> Result<Self, crate::id::InvalidName> {
        Ok(Self {
            root: TenantId::parse(root)?.as_str().into(),
        })
    }

    /// The first token.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// `{root}.{tenant}.cmd|qry.{role}.{instance}.{scope}.{verb}`, from tokens that the caller's
    /// credential was issued for.
    pub fn request(
        &self,
        kind: RequestKind,
        tenant: &str,
        role: &str,
        instance: &str,
        scope: &str,
        verb: &str,
    ) -> String {
        format!(
            "{}.{tenant}.{}.{role}.{instance}.{scope}.{verb}",
            self.root,
            kind.token()
        )
    }

    /// What a broker or projector subscribes to: every tenant's requests of one kind.
    pub fn requests(&self, kind: RequestKind) -> String {
        format!("{}.*.{}.>", self.root, kind.token())
    }

    /// Where one event is stored.
    pub fn event(&self, owner: Owner<'_>, shard: u16, key: &AggregateKey) -> String {
        format!("{}.{}.evt.{shard}.{key}", self.root, owner.token())
    }

    /// Everything that a shard's stream captures.
    pub fn shard_events(&self, shard: u16) -> String {
        format!("{}.*.evt.{shard}.>", self.root)
    }

    /// Every event of one owner in a shard, for a replay.
    pub fn tenant_events(&self, owner: Owner<'_>, shard: u16) -> String {
        format!("{}.{}.evt.{shard}.>", self.root, owner.token())
    }

    /// The events of one kind of aggregate of every tenant in a shard, for a broker's directory.
    pub fn shard_aggregate(&self, shard: u16, aggregate: &str) -> String {
        format!("{}.*.evt.{shard}.{aggregate}.*", self.root)
    }

    /// The events of one kind of aggregate of one owner in a shard.
    pub fn tenant_aggregate(&self, owner: Owner<'_>, shard: u16, aggregate: &str) -> String {
        format!("{}.{}.evt.{shard}.{aggregate}.*", self.root, owner.token())
    }

    /// Where the wrapped data keys of a tenant, or of the system, are kept.
    pub fn data_key(&self, owner: Owner<'_>) -> String {
        format!("{}.{KEYS}.{}", self.root, owner.token())
    }

    /// Every wrapped data key.
    pub fn data_keys(&self) -> String {
        format!("{}.{KEYS}.*", self.root)
    }

    /// The hint that every instance of a role hears.
    pub fn push_role(&self, tenant: &TenantId, role: &Role) -> String {
        format!("{}.{tenant}.push.{role}", self.root)
    }

    /// The hint that one instance hears.
    pub fn push_instance(&self, tenant: &TenantId, reader: &Reader) -> String {
        format!(
            "{}.{tenant}.push.{}.{}",
            self.root, reader.role, reader.instance
        )
    }

    /// The hint that every agent of a tenant hears.
    pub fn push_broadcast(&self, tenant: &TenantId) -> String {
        format!("{}.{tenant}.push.{BROADCAST}", self.root)
    }

    /// An agent's heartbeat.
    pub fn presence(&self, tenant: &TenantId, reader: &Reader) -> String {
        format!(
            "{}.{tenant}.presence.{}.{}",
            self.root, reader.role, reader.instance
        )
    }

    /// Every agent's heartbeat.
    pub fn presences(&self) -> String {
        format!("{}.*.presence.*.*", self.root)
    }

    /// A request between parts of Postroad, about one owner.
    pub fn service(&self, service: Service, owner: Owner<'_>, verb: &str) -> String {
        format!(
            "{}.{SYSTEM}.{}.{}.{verb}",
            self.root,
            service.token(),
            owner.token()
        )
    }

    /// Where projectors announce themselves to each other.
    pub fn announcements(&self) -> String {
        self.service(Service::Projector, Owner::System, ANNOUNCE)
    }

    /// Where brokers announce themselves to each other.
    pub fn broker_announcements(&self) -> String {
        self.service(Service::Broker, Owner::System, ANNOUNCE)
    }

    /// Where every broker, or every projector, is told what to forget.
    pub fn forgettings(&self, service: Service) -> String {
        format!("{}.{SYSTEM}.{}.*.{FORGET}", self.root, service.token())
    }

    /// What a part subscribes to for requests of other parts.
    pub fn services(&self, service: Service) -> String {
        format!("{}.{SYSTEM}.{}.*.*", self.root, service.token())
    }

    /// Splits a request's subject; nothing when it is none.
    pub fn parse_request<'a>(&self, subject: &'a str) -> Option<RawRequest<'a>> {
        let [tenant, kind, role, instance, scope, verb] = self.tokens_below(subject)?;
        let kind = match kind {
            "cmd" => RequestKind::Command,
            "qry" => RequestKind::Query,
            _ => return None,
        };
        Some(RawRequest {
            tenant,
            kind,
            role,
            instance,
            scope,
            verb,
        })
    }

    /// Splits a stored event's subject; nothing when it is none.
    pub fn parse_event<'a>(&self, subject: &'a str) -> Option<RawEvent<'a>> {
        let [tenant, evt, shard, aggregate, key] = self.tokens_below(subject)?;
        (evt == "evt").then_some(())?;
        Some(RawEvent {
            tenant,
            shard: shard.parse().ok()?,
            aggregate,
            key,
        })
    }

    /// Splits a heartbeat's subject into tenant and reader; nothing when it is none.
    pub fn parse_presence(&self, subject: &str) -> Option<(TenantId, Reader)> {
        let [tenant, presence, role, instance] = self.tokens_below(subject)?;
        (presence == "presence").then_some(())?;
        let reader = Reader {
            role: Role::parse(role).ok()?,
            instance: InstanceId::parse(instance).ok()?,
        };
        Some((TenantId::parse(tenant).ok()?, reader))
    }

    /// Splits a service request's subject into owner token and verb; nothing when it is none.
    pub fn parse_service<'a>(
        &self,
        service: Service,
        subject: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        let [system, token, owner, verb] = self.tokens_below(subject)?;
        (system == SYSTEM && token == service.token()).then_some((owner, verb))
    }

    /// The owner token of a data key's subject; nothing when it is none.
    pub fn parse_data_key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let [keys, owner] = self.tokens_below(subject)?;
        (keys == KEYS).then_some(owner)
    }

    fn tokens_below<'a, const N: usize>(&self, subject: &'a str) -> Option<[&'a str; N]> {
        let rest = subject.strip_prefix(&*self.root)?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let mut found = [""; N];
        for slot in &mut found {
            *slot = tokens.next().filter(|token| !token.is_empty())?;
        }
        tokens.next().is_none().then_some(found)
    }
}

/// The stream of a shard.
pub fn shard_stream(shard: u16) -> String {
    format!("POSTROAD_{shard}")
}

/// The shard of a stream; nothing when it is none of ours.
pub fn parse_shard_stream(stream: &str) -> Option<u16> {
    stream.strip_prefix("POSTROAD_")?.parse().ok()
}

/// The stream that keeps wrapped data keys; unlike shards it allows secure deletion.
pub const KEYS_STREAM: &str = "POSTROAD_KEYS";

/// The only prefix under which a service answers an agent. Its dots are what NATS permissions confine.
pub fn inbox_prefix(tenant: &str, role: &str, instance: &str) -> String {
    if role == OPERATOR_ROLE {
        // An operator speaks to many tenants over one connection, so its inbox names none.
        return format!("_INBOX.{ALL_TENANTS}.{OPERATOR_ROLE}.{instance}");
    }
    format!("_INBOX.{tenant}.{role}.{instance}")
}

/// The prefix under which parts of Postroad are answered.
pub fn service_inbox_prefix(service: Service) -> String {
    format!("_INBOX.{SYSTEM}.{}", service.token())
}

/// Whether `reply` lies below `prefix`, as whole tokens, none of them empty, and without wildcards.
pub fn is_below(reply: &str, prefix: &str) -> bool {
    reply
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| {
            !rest.split('.').any(str::is_empty)
                && !rest
                    .bytes()
                    .any(|b| b == b'*' || b == b'>' || b.is_ascii_whitespace())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_splits_into_what_it_was_built_from() {
        let subjects = Subjects::default();
        let subject = subjects.request(
            RequestKind::Query,
            "acme",
            "tau",
            "pi-1",
            "messages",
            "check_messages",
        );
        let raw = subjects.parse_request(&subject).unwrap();
        assert_eq!(
            raw,
            RawRequest {
                tenant: "acme",
                kind: RequestKind::Query,
                role: "tau",
                instance: "pi-1",
                scope: "messages",
                verb: "check_messages"
            }
        );
        for bad in [
            "postroad.acme.qry.tau.pi.messages",
            "postroad.acme.evt.tau.pi.messages.x",
            "postroadx.a.cmd.b.c.d.e",
            "postroad..cmd.b.c.d.e",
            "postroad.a.cmd.b.c.d.e.f",
        ] {
            assert_eq!(subjects.parse_request(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_inbox_is_matched_by_whole_tokens() {
        let prefix = inbox_prefix("acme", "tau", "pi");
        assert!(is_below("_INBOX.acme.tau.pi.abc.1", &prefix));
        for foreign in [
            "_INBOX.acme.tau.pi",
            "_INBOX.acme.tau.pi-2.abc",
            "_INBOX.acme.tau.pi.",
            "_INBOX.acme.tau.pi.>",
            "_INBOX.acme.tau.pi..a",
            "_INBOX.acme-two.tau.pi.a",
            "postroad.acme.cmd.tau.pi.messages.send_message",
        ] {
            assert!(!is_below(foreign, &prefix), "{foreign}");
        }
    }

    #[test]
    fn events_and_keys_split_again() {
        let subjects = Subjects::with_root("road").unwrap();
        let tenant = TenantId::parse("acme").unwrap();
        let role = Role::parse("tau").unwrap();
        let subject = subjects.event(Owner::Tenant(&tenant), 3, &AggregateKey::Agent(role));
        assert_eq!(subject, "road.acme.evt.3.agent.tau");
        assert_eq!(
            subjects.parse_event(&subject),
            Some(RawEvent {
                tenant: "acme",
                shard: 3,
                aggregate: "agent",
                key: "tau"
            })
        );
        assert_eq!(
            subjects.parse_data_key(&subjects.data_key(Owner::System)),
            Some("_sys")
        );
        assert_eq!(parse_shard_stream("POSTROAD_KEYS"), None);
        assert_eq!(parse_shard_stream(&shard_stream(12)), Some(12));
    }
}
