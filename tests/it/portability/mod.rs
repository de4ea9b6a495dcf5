//! A tenant moves: what is exported from one deployment and imported into another is the same
//! afterwards, whatever stops it on the way, and nobody but the operator can do either.

mod history;
mod kills;
mod refused;
mod work;

use crate::harness::Deployment;
use crate::harness::cli::Ran;
use postroad_protocol::channel::Channel;
use postroad_protocol::event::{
    Actor, CredentialIssued, Event, MessageSent, Priority, TenantCreated,
};
use postroad_protocol::portable::{Header, Lost, PortableEvent, Scribe};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, InstanceId, Reader, Role, TenantId, TimeMs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lines of an export, each as JSON.
fn lines(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).expect("a line is JSON");
    text.lines().map(read).collect()
}

/// Exports a tenant over stdout.
fn export(deployment: &Deployment, tenant: &str) -> String {
    let ran = deployment.run(&["tenant", "export", "--tenant", tenant]);
    ran.expect(0).stdout
}

/// Imports a file.
fn import(deployment: &Deployment, file: &Path, more: &[&str]) -> Ran {
    let file = file.display().to_string();
    deployment.run(&[&["--json", "tenant", "import", &file], more].concat())
}

/// Writes a file into the folder of a deployment.
fn file(deployment: &Deployment, name: &str, text: &str) -> PathBuf {
    let path = deployment.dir.path().join(name);
    std::fs::write(&path, text).expect("the file is written");
    path
}

/// What tells events apart wherever they are stored, without the tenant's creation and what operators did.
fn history(lines: &[Value]) -> Vec<Value> {
    let own = |line: &&Value| {
        let kind = line["type"].as_str();
        kind.is_some_and(|kind| !["operator_read", "tenant_created"].contains(&kind))
    };
    let without_place = |line: &Value| {
        let mut line = line.clone();
        line.as_object_mut().expect("an object").remove("sequence");
        line
    };
    lines.iter().filter(own).map(without_place).collect()
}

/// A tenant `acme` as an export tells it, with a credential for `alice/a` and messages of hers.
struct Told {
    scribe: Scribe,
    sequence: u64,
    text: String,
}

fn alice() -> Reader {
    Reader {
        role: Role::parse("alice").unwrap(),
        instance: InstanceId::parse("a").unwrap(),
    }
}

impl Told {
    fn new() -> Self {
        let tenant = TenantId::parse("acme").unwrap();
        let mut scribe = Scribe::default();
        let text = scribe.header(&Header::new(tenant.clone(), 1, TimeMs(1_711_670_400_000)));
        let mut told = Self {
            scribe,
            sequence: 0,
            text,
        };
        let operator = Actor::Operator(InstanceId::parse("cli").unwrap());
        let generation = 1;
        told.event(&operator, &TenantCreated { tenant, generation }.into());
        let issued = CredentialIssued {
            role: alice().role,
            instance: Some(alice().instance),
            scopes: vec![Scope::Own, Scope::Messages],
            public_key: format!("U{}", "A".repeat(55)),
            expires_at: TimeMs(1_711_670_500_000),
            token: false,
        };
        told.event(&operator, &issued.into());
        told
    }

    /// With so many messages to everybody.
    fn with_messages(count: usize) -> Self {
        let mut told = Self::new();
        for number in 0..count {
            told.message(&format!("message {number}"));
        }
        told
    }

    fn message(&mut self, content: &str) {
        let sent = MessageSent {
            from: alice(),
            channel: Channel::Broadcast,
            instance: None,
            content: content.to_owned(),
            reply_to: None,
            priority: Priority::Normal,
            metadata: BTreeMap::new(),
        };
        self.event(&Actor::Agent(alice()), &sent.into());
    }

    fn event(&mut self, by: &Actor, event: &Event) {
        // Gaps are other tenants' events.
        self.sequence += 3;
        let event = PortableEvent {
            sequence: self.sequence,
            id: CommandId::generate().to_string(),
            time: TimeMs(1_711_670_400_000 + self.sequence),
            by: by.to_string(),
            type_name: event.type_name().to_owned(),
            schema: event.schema(),
            data: serde_json::to_value(event).unwrap(),
        };
        self.line(&event);
    }

    fn line(&mut self, event: &PortableEvent) {
        self.text += &self.scribe.event(event);
    }

    fn lost(&mut self) {
        self.sequence += 3;
        let lost = Lost {
            sequence: self.sequence,
            lost: "damaged".to_owned(),
        };
        self.text += &self.scribe.lost(&lost);
    }

    fn end(self) -> String {
        self.text + &self.scribe.end().0
    }
}
