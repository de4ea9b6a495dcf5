//! What each kind of credential may publish and subscribe: the first wall.
//! Owns the templates that the deployment's account carries; never signs anything.

use crate::service::{ANNOUNCE, EXCHANGE_TOKEN, FORGET};
use crate::subject::{ALL_TENANTS, OPERATOR_ROLE, SYSTEM, Service};

/// The permissions of one scoped signing key, with `{{tag(…)}}` where a credential's tags go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionTemplate {
    /// Subjects it may publish to.
    pub publish_allow: Vec<String>,
    /// Subjects it may not publish to, whatever is allowed.
    pub publish_deny: Vec<String>,
    /// Subjects it may subscribe to.
    pub subscribe_allow: Vec<String>,
    /// Subjects it may not subscribe to, whatever is allowed.
    pub subscribe_deny: Vec<String>,
}

/// An agent whose credential names its instance.
pub fn agent(root: &str) -> PermissionTemplate {
    agent_at(root, "{{tag(instance)}}")
}

/// An agent whose credential serves any instance of its role: instances are addresses, not walls.
pub fn agent_any_instance(root: &str) -> PermissionTemplate {
    agent_at(root, "*")
}

fn agent_at(root: &str, instance: &str) -> PermissionTemplate {
    let own = format!("{root}.{{{{tag(tenant)}}}}");
    PermissionTemplate {
        publish_allow: vec![
            format!("{own}.cmd.{{{{tag(role)}}}}.{instance}.{{{{tag(scope)}}}}.*"),
            format!("{own}.qry.{{{{tag(role)}}}}.{instance}.{{{{tag(scope)}}}}.*"),
            format!("{own}.presence.{{{{tag(role)}}}}.{instance}"),
        ],
        subscribe_allow: vec![
            format!("_INBOX.{{{{tag(tenant)}}}}.{{{{tag(role)}}}}.{instance}.>"),
            format!("{own}.push.{{{{tag(role)}}}}"),
            format!("{own}.push.{{{{tag(role)}}}}.{instance}"),
            format!("{own}.push.broadcast"),
        ],
        ..PermissionTemplate::default()
    }
}

/// An operator: may name any tenant, or none, under the role `_operator` only.
pub fn operator(root: &str) -> PermissionTemplate {
    PermissionTemplate {
        publish_allow: ["cmd", "qry"]
            .map(|kind| format!("{root}.*.{kind}.{OPERATOR_ROLE}.{{{{tag(instance)}}}}.*.*"))
            .to_vec(),
        subscribe_allow: vec![format!(
            "_INBOX.{ALL_TENANTS}.{OPERATOR_ROLE}.{{{{tag(instance)}}}}.>"
        )],
        ..PermissionTemplate::default()
    }
}

/// A broker: writes the log, rings bells, answers agents, announces itself. It cannot publish a command or a query.
pub fn broker(root: &str) -> PermissionTemplate {
    PermissionTemplate {
        publish_allow: vec![
            format!("{root}.*.evt.>"),
            format!("{root}.*.push.>"),
            format!("{root}._keys.*"),
            format!("{root}.{SYSTEM}.{}.*.*", Service::Projector.token()),
            format!("{root}.{SYSTEM}.{}.*.*", Service::Issuer.token()),
            // To every broker; it asks none of them anything else.
            announcements(root, Service::Broker),
            format!("{root}.{SYSTEM}.{}.*.{FORGET}", Service::Broker.token()),
            "_INBOX.>".to_owned(),
            "$JS.API.>".to_owned(),
            // To the other brokers; it asks them nothing.
            format!(
                "{root}.{SYSTEM}.{}.{SYSTEM}.{ANNOUNCE}",
                Service::Broker.token()
            ),
        ],
        publish_deny: services_never_publish(root),
        subscribe_allow: vec![
            format!("{root}.*.cmd.>"),
            format!("{root}.{SYSTEM}.{}.*.*", Service::Broker.token()),
            announcements(root, Service::Projector),
            own_inbox(Service::Broker),
        ],
        ..PermissionTemplate::default()
    }
}

/// A projector: reads the log, answers agents, asks brokers, announces itself. It cannot write the log.
pub fn projector(root: &str) -> PermissionTemplate {
    let mut template = reader_of_the_log(Service::Projector);
    template.publish_allow.extend([
        format!("{root}.{SYSTEM}.{}.*.*", Service::Broker.token()),
        // To the other projectors; it asks them nothing.
        announcements(root, Service::Projector),
    ]);
    template.publish_deny = services_never_publish(root);
    template.subscribe_allow.extend([
        format!("{root}.*.qry.>"),
        format!("{root}.*.presence.*.*"),
        format!("{root}.{SYSTEM}.{}.*.*", Service::Projector.token()),
    ]);
    template
}

/// The issuer's view of the account: reads what the log says was issued and answers brokers.
pub fn issuer(root: &str) -> PermissionTemplate {
    let mut template = reader_of_the_log(Service::Issuer);
    template.publish_deny = services_never_publish(root);
    template
        .subscribe_allow
        .push(format!("{root}.{SYSTEM}.{}.*.*", Service::Issuer.token()));
    template
}

/// A gateway: asks the issuer about the tokens that are presented to it, and no more. Whoever presents one
/// speaks over a connection of its own.
pub fn gateway(root: &str) -> PermissionTemplate {
    PermissionTemplate {
        publish_allow: vec![format!(
            "{root}.{SYSTEM}.{}.{SYSTEM}.{EXCHANGE_TOKEN}",
            Service::Issuer.token()
        )],
        publish_deny: services_never_publish(root),
        subscribe_allow: vec![own_inbox(Service::Gateway)],
        ..PermissionTemplate::default()
    }
}

fn announcements(root: &str, service: Service) -> String {
    format!("{root}.{SYSTEM}.{}.{SYSTEM}.{ANNOUNCE}", service.token())
}

fn own_inbox(service: Service) -> String {
    format!("{}.>", crate::subject::service_inbox_prefix(service))
}

/// Reading is creating one's own consumers and direct gets; deleting and purging are not in it.
fn reader_of_the_log(service: Service) -> PermissionTemplate {
    PermissionTemplate {
        publish_allow: vec![
            "_INBOX.>".to_owned(),
            "$JS.API.INFO".to_owned(),
            "$JS.API.STREAM.NAMES".to_owned(),
            "$JS.API.STREAM.LIST".to_owned(),
            "$JS.API.STREAM.INFO.*".to_owned(),
            "$JS.API.STREAM.MSG.GET.*".to_owned(),
            "$JS.API.DIRECT.GET.>".to_owned(),
            "$JS.API.CONSUMER.CREATE.>".to_owned(),
            "$JS.API.CONSUMER.INFO.>".to_owned(),
            "$JS.API.CONSUMER.DELETE.>".to_owned(),
            "$JS.API.CONSUMER.MSG.NEXT.>".to_owned(),
        ],
        subscribe_allow: vec![own_inbox(service)],
        ..PermissionTemplate::default()
    }
}

/// NATS never checks reply-to, so a service that could publish these could be made to.
fn services_never_publish(root: &str) -> Vec<String> {
    vec![
        format!("{root}.*.cmd.>"),
        format!("{root}.*.qry.>"),
        format!("{root}.*.presence.>"),
    ]
}
