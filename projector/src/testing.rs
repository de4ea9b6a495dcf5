//! Helpers of this crate's tests: names, scopes, and [`Road`], a log that is written by hand and
//! folded as it is written.

use crate::apply::{Applied, Durability, Incoming, Outcome, apply};
use crate::checkpoint::Checkpoint;
use crate::store::{Snapshot, Store};
use postroad_protocol::channel::Channel;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    Actor, AgentRetired, CredentialIssued, Event, EventKey, MessageSent, MessagesDelivered,
    MessagesRead, Priority, ReaderRegistered, TenantCreated,
};
use postroad_protocol::id::{CommandId, InstanceId, MessageId, Reader, Role, TenantId, TimeMs};
use postroad_protocol::subject::{AggregateKey, Owner, Subjects};
use postroad_protocol::tenancy::replay::{StoredFor, stored_for};
use postroad_protocol::tenancy::{Scope, TenantScope};
use std::collections::BTreeMap;

pub(crate) const EPOCH: u64 = 7;

/// A scope, through the log's door.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no log that says whose an event is"
)]
pub(crate) fn scope(tenant: &str) -> TenantScope {
    let subjects = Subjects::default();
    let tenant = TenantId::parse(tenant).unwrap();
    let subject = subjects.event(Owner::Tenant(&tenant), 0, &AggregateKey::Tenant);
    match stored_for(&subjects, 0, &subject) {
        Some(StoredFor::Tenant(scope)) => scope,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

pub(crate) fn instance(name: &str) -> InstanceId {
    InstanceId::parse(name).unwrap()
}

/// Reads `role/instance`.
pub(crate) fn reader(name: &str) -> Reader {
    let (role_name, instance_name) = name.split_once('/').unwrap();
    Reader {
        role: role(role_name),
        instance: instance(instance_name),
    }
}

/// Reads `role` or `role/instance`.
fn agent(name: &str) -> (Role, Option<InstanceId>) {
    match name.split_once('/') {
        None => (role(name), None),
        Some((role_name, instance_name)) => (role(role_name), Some(instance(instance_name))),
    }
}

pub(crate) fn checkpoint(sequence: u64) -> Checkpoint {
    Checkpoint {
        epoch: EPOCH,
        sequence,
        digest: [0; 16],
    }
}

/// The time of the event at a sequence.
pub(crate) fn time(sequence: u64) -> TimeMs {
    TimeMs(1_000 * sequence)
}

pub(crate) fn incoming(
    scope: &TenantScope,
    sequence: u64,
    by: Actor,
    id: CommandId,
    event: Event,
) -> Incoming {
    let record = Record {
        id,
        key: EventKey::of(&by, id),
        time: time(sequence),
        by,
        event,
    };
    let stored_for = StoredFor::Tenant(scope.clone());
    Incoming {
        sequence,
        outcome: Outcome::Event { stored_for, record },
    }
}

/// Every event in a batch of its own.
pub(crate) fn fold_one_by_one(store: &Store, log: &[Incoming]) {
    for incoming in log {
        let checkpoint = checkpoint(incoming.sequence);
        apply(
            store,
            std::slice::from_ref(incoming),
            checkpoint,
            Durability::Visible,
        )
        .unwrap();
    }
}

/// One tenant's log and the rows that follow from it.
pub(crate) struct Road {
    pub(crate) store: Store,
    pub(crate) scope: TenantScope,
    pub(crate) log: Vec<Incoming>,
    keys: BTreeMap<MessageId, EventKey>,
}

impl Road {
    /// Tenant `acme`, just created.
    pub(crate) fn new() -> Self {
        Self::of("acme")
    }

    /// A tenant, just created.
    pub(crate) fn of(tenant: &str) -> Self {
        let mut road = Self {
            store: Store::in_memory(),
            scope: scope(tenant),
            log: Vec::new(),
            keys: BTreeMap::new(),
        };
        let tenant = road.scope.tenant().clone();
        road.put(
            Actor::System,
            TenantCreated {
                tenant,
                generation: 1,
            },
        );
        road
    }

    pub(crate) fn end(&self) -> u64 {
        self.log.last().map_or(0, |last| last.sequence)
    }

    /// The id of the command whose event comes next.
    fn next_id(&self) -> CommandId {
        CommandId::derived(&[&self.end().to_be_bytes()])
    }

    pub(crate) fn put(&mut self, by: Actor, event: impl Into<Event>) -> Applied {
        let id = self.next_id();
        self.put_as(by, id, event)
    }

    pub(crate) fn put_as(&mut self, by: Actor, id: CommandId, event: impl Into<Event>) -> Applied {
        let sequence = self.end() + 1;
        let event = incoming(&self.scope, sequence, by, id, event.into());
        self.log.push(event);
        let last = &self.log[self.log.len() - 1..];
        apply(&self.store, last, checkpoint(sequence), Durability::Visible).unwrap()
    }

    /// A credential for `role` or `role/instance`, with a key of that name.
    pub(crate) fn issue(&mut self, name: &str) -> Applied {
        self.issue_key(name, &format!("U-{}", name.replace('/', "-")))
    }

    pub(crate) fn issue_key(&mut self, name: &str, public_key: &str) -> Applied {
        let (role, instance) = agent(name);
        let event = CredentialIssued {
            role,
            instance,
            scopes: vec![Scope::Own, Scope::Messages],
            public_key: public_key.to_owned(),
            expires_at: TimeMs(u64::MAX),
            token: false,
        };
        self.put(Actor::Operator(instance_of_operator()), event)
    }

    pub(crate) fn retire(&mut self, name: &str) -> Applied {
        let (role, instance) = agent(name);
        let event = AgentRetired { role, instance };
        self.put(Actor::Operator(instance_of_operator()), event)
    }

    pub(crate) fn register(&mut self, name: &str) -> Applied {
        let reader = reader(name);
        self.put(Actor::System, ReaderRegistered { reader })
    }

    /// `to` is a channel, or `role/instance`.
    pub(crate) fn send(&mut self, from: &str, to: &str, content: &str) -> MessageId {
        let id = self.next_id();
        self.send_as(from, to, content, id);
        id
    }

    pub(crate) fn send_as(
        &mut self,
        from: &str,
        to: &str,
        content: &str,
        id: MessageId,
    ) -> Applied {
        self.put_message(from, to, content, id, Priority::Normal)
    }

    /// As [`Self::send`]; the priority is the content.
    pub(crate) fn send_of(&mut self, from: &str, to: &str, priority: Priority) -> MessageId {
        let id = self.next_id();
        self.put_message(from, to, &format!("{priority:?}"), id, priority);
        id
    }

    fn put_message(
        &mut self,
        from: &str,
        to: &str,
        content: &str,
        id: MessageId,
        priority: Priority,
    ) -> Applied {
        let (channel, only) = match to.split_once('/') {
            Some((role, only)) => (role, Some(instance(only))),
            None => (to, None),
        };
        let from = reader(from);
        let by = Actor::Agent(from.clone());
        self.keys.insert(id, EventKey::of(&by, id));
        let event = MessageSent {
            from,
            channel: Channel::parse(channel).unwrap(),
            instance: only,
            content: content.to_owned(),
            reply_to: None,
            priority,
            metadata: BTreeMap::new(),
        };
        self.put_as(by, id, event)
    }

    pub(crate) fn key(&self, message: MessageId) -> EventKey {
        self.keys[&message]
    }

    pub(crate) fn read(&mut self, name: &str, messages: &[MessageId]) -> Applied {
        let reader = reader(name);
        let messages = messages.iter().map(|id| self.key(*id)).collect();
        let by = Actor::Agent(reader.clone());
        self.put(by, MessagesRead { reader, messages })
    }

    pub(crate) fn deliver(&mut self, name: &str, messages: &[MessageId]) -> Applied {
        let reader = reader(name);
        let messages = messages.iter().map(|id| self.key(*id)).collect();
        self.put(Actor::System, MessagesDelivered { reader, messages })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.snapshot().unwrap()
    }

    /// What a check of `name` shows, by content.
    pub(crate) fn check(&self, name: &str) -> Vec<String> {
        let snapshot = self.snapshot();
        let rows = snapshot.tenant(&self.scope);
        let page = rows.check(&reader(name), 200, None, usize::MAX).unwrap();
        assert_eq!(page.unread_total, page.messages.len() as u64, "{name}");
        let unread = rows.unread(&reader(name)).unwrap();
        assert_eq!(page.unread_total, unread.total(), "{name}");
        let highest = page.messages.iter().map(|m| m.priority).min();
        assert_eq!(page.highest_priority, highest, "{name}");
        assert_eq!(unread.highest(), highest, "{name}");
        page.messages.into_iter().map(|m| m.content).collect()
    }

    /// The receipts of a message, as `who: times`, with `d` for delivered and `r` for read.
    pub(crate) fn status(&self, message: MessageId) -> Vec<String> {
        let snapshot = self.snapshot();
        let rows = snapshot.tenant(&self.scope);
        let from = self.sender_of(message);
        let page = crate::store::PageOf {
            limit: 200,
            after: None,
        };
        let status = rows.message_status(&from, message, page).unwrap().unwrap();
        assert_eq!(status.recipient_count, status.receipts.len() as u64);
        let count = |happened: fn(&postroad_protocol::query::Receipt) -> bool| {
            status.receipts.iter().filter(|r| happened(r)).count() as u64
        };
        assert_eq!(status.delivered_count, count(|r| r.delivered_at.is_some()));
        assert_eq!(status.read_count, count(|r| r.read_at.is_some()));
        let shown = |r: &postroad_protocol::query::Receipt| {
            let instance = r.recipient_instance_id.as_ref();
            let who = instance.map_or(r.recipient.to_string(), |i| format!("{}/{i}", r.recipient));
            let delivered = r
                .delivered_at
                .map_or(String::new(), |t| format!(" d{}", t.0 / 1_000));
            let read = r
                .read_at
                .map_or(String::new(), |t| format!(" r{}", t.0 / 1_000));
            format!("{who}{delivered}{read}")
        };
        status.receipts.iter().map(shown).collect()
    }

    fn sender_of(&self, message: MessageId) -> Role {
        let sent = |incoming: &Incoming| match &incoming.outcome {
            Outcome::Event { record, .. } => match &record.event {
                Event::MessageSent(sent) if record.id == message => Some(sent.from.role.clone()),
                _ => None,
            },
            _ => None,
        };
        self.log.iter().find_map(sent).unwrap()
    }
}

fn instance_of_operator() -> InstanceId {
    instance("cli")
}
