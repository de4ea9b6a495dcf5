//! Stand-ins for the parts that a broker asks: a projector that answers from the log itself, and an
//! issuer whose signature is the place of what it signed.

use super::{Server, master, tasks};
use async_nats::Message;
use futures_util::StreamExt;
use postroad_log::streams::list_shards;
use postroad_log::{Keyring, Opened};
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{MarkTarget, parse_receipt_id};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Event, TaskChange};
use postroad_protocol::id::{Reader, Role};
use postroad_protocol::memory::{MemoryId, Namespace, Relation, RelationKind};
use postroad_protocol::service::{
    ENFORCE, Enforced, Finding, Lookup, MarkState, MemoryStanding, Question, Sign, Signed,
    TenantStanding,
};
use postroad_protocol::subject::{SYSTEM, Service, Subjects};
use postroad_protocol::tenancy::replay::StoredFor;
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// The stand-ins; gone when dropped.
pub(crate) struct Parts {
    projector: JoinHandle<()>,
    issuer: JoinHandle<()>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.projector.abort();
        self.issuer.abort();
    }
}

impl Parts {
    /// From now on no look-up is answered.
    pub(crate) fn silence_projector(&mut self) {
        self.projector.abort();
    }

    /// Starts both.
    pub(crate) async fn start(server: &Server) -> Self {
        let client = server.connect("_INBOX._sys.projector").await;
        let subjects = Subjects::default();
        let mut look_ups = client
            .subscribe(subjects.services(Service::Projector))
            .await
            .unwrap();
        let mut signs = client
            .subscribe(subjects.services(Service::Issuer))
            .await
            .unwrap();
        client.flush().await.unwrap();
        let (projector, issuer) = (client.clone(), client);
        Self {
            projector: tokio::spawn(async move {
                while let Some(message) = look_ups.next().await {
                    let client = projector.clone();
                    tokio::spawn(async move { answer_look_up(client, message).await });
                }
            }),
            issuer: tokio::spawn(async move {
                while let Some(message) = signs.next().await {
                    let body = if message.subject.ends_with(ENFORCE) {
                        Encoding::MessagePack.encode(&Enforced { revoked: 0 })
                    } else {
                        let sign: Sign = Encoding::MessagePack.decode(&message.payload).unwrap();
                        let jwt = format!("signed {}", sign.position.sequence);
                        Encoding::MessagePack.encode(&Signed { jwt })
                    };
                    issuer
                        .publish(message.reply.unwrap(), body.into())
                        .await
                        .unwrap();
                }
            }),
        }
    }
}

async fn answer_look_up(client: async_nats::Client, message: Message) {
    let lookup: Lookup = Encoding::MessagePack.decode(&message.payload).unwrap();
    let subjects = Subjects::default();
    let (tenant, _) = subjects
        .parse_service(Service::Projector, &message.subject)
        .unwrap();
    let records = records_of(&client, tenant).await;
    let reply = message.reply.unwrap();
    let finding = match lookup.question {
        Question::Event(key) => Finding::Event(
            records
                .iter()
                .find(|(_, record)| record.key == key)
                .map(|(sequence, _)| *sequence),
        ),
        Question::Events(keys) => {
            let place = |key| {
                let mut found = records.iter().filter(|(_, record)| record.key == key);
                found.next().map(|(sequence, _)| *sequence)
            };
            Finding::Events(keys.into_iter().map(place).collect())
        }
        Question::Visible { message, .. } => Finding::Visible(
            records
                .iter()
                .any(|(_, record)| record.id == message && is_message(record)),
        ),
        Question::Tenant => Finding::Tenant(TenantStanding {
            suspended: records.iter().rev().find_map(|(_, record)| {
                let is_suspension = matches!(record.event, Event::TenantSuspended(_));
                let is_end = matches!(record.event, Event::TenantResumed(_));
                (is_suspension || is_end).then_some(is_suspension)
            }) == Some(true),
            messages: records
                .iter()
                .filter(|(_, record)| is_message(record))
                .count() as u64,
            stored_bytes: records
                .iter()
                .map(|(_, record)| record.event.encoded_len(&record.by))
                .sum(),
            memories: memories_of(&records).len() as u64,
            tasks: created(&records),
        }),
        Question::Tasks { changed, named } => tasks::standings(&records, changed, &named),
        Question::Memories {
            role,
            changed,
            named,
        } => standings(&memories_of(&records), role.as_ref(), changed, &named),
        Question::Marks { reader, targets } => Finding::Marks(
            targets
                .iter()
                .map(|target| state_of(&records, &reader, target))
                .collect(),
        ),
    };
    let body = Encoding::MessagePack.encode(&finding);
    client.publish(reply, body.into()).await.unwrap();
}

/// How many tasks were ever created.
fn created(records: &[(u64, Record)]) -> u64 {
    let is_new = |(_, record): &&(u64, Record)| match &record.event {
        Event::TaskChanged(changed) => changed.change == TaskChange::Created,
        _ => false,
    };
    records.iter().filter(is_new).count() as u64
}

fn is_message(record: &Record) -> bool {
    matches!(record.event, Event::MessageSent(_))
}

fn state_of(records: &[(u64, Record)], reader: &Reader, target: &MarkTarget) -> MarkState {
    let key = match target {
        MarkTarget::Receipt(text) => parse_receipt_id(text, reader),
        MarkTarget::Message(text) => records
            .iter()
            .find(|(_, record)| is_message(record) && record.id.to_string() == *text)
            .map(|(_, record)| record.key),
    };
    let Some(key) = key.filter(|key| records.iter().any(|(_, record)| record.key == *key)) else {
        return MarkState::NotFound;
    };
    let read = records.iter().any(|(_, record)| match &record.event {
        Event::MessagesRead(read) => read.reader == *reader && read.messages.contains(&key),
        _ => false,
    });
    if read {
        MarkState::Read
    } else {
        MarkState::Unread(key)
    }
}

/// Memories that are not forgotten: where each belongs, and to what it relates.
type Known = BTreeMap<MemoryId, (Namespace, Vec<Relation>)>;

fn memories_of(records: &[(u64, Record)]) -> Known {
    let mut known = Known::new();
    for (_, record) in records {
        match &record.event {
            Event::MemoryStored(data) => {
                let memory = (data.namespace.clone(), data.relates_to.clone());
                known.insert(MemoryId::of(record.key), memory);
            }
            Event::MemoryUpdated(data) => {
                if let (Some(memory), Some(relations)) =
                    (known.get_mut(&data.memory_id), &data.change.relates_to)
                {
                    memory.1.clone_from(relations);
                }
            }
            Event::MemoryForgotten(data) => drop(known.remove(&data.memory_id)),
            _ => {}
        }
    }
    known
}

fn standings(
    known: &Known,
    role: Option<&Role>,
    changed: Option<MemoryId>,
    named: &[MemoryId],
) -> Finding {
    let visible = |id: &MemoryId| {
        let (namespace, _) = known.get(id)?;
        namespace.is_open_to(role).then(|| namespace.clone())
    };
    let standing = |id: &MemoryId| {
        Some(MemoryStanding {
            namespace: visible(id)?,
            is_behind: changed.is_some_and(|changed| reaches(known, *id, changed)),
        })
    };
    Finding::Memories {
        changed: changed.as_ref().and_then(visible),
        named: named.iter().map(standing).collect(),
    }
}

/// Whether `from` is `to`, or takes its place, at once or over others.
fn reaches(known: &Known, from: MemoryId, to: MemoryId) -> bool {
    let (mut left, mut seen) = (vec![from], Vec::new());
    while let Some(at) = left.pop() {
        if at == to {
            return true;
        }
        if seen.contains(&at) {
            continue;
        }
        seen.push(at);
        let relations = known.get(&at).into_iter().flat_map(|memory| &memory.1);
        let older = relations.filter(|relation| relation.kind == RelationKind::Updates);
        left.extend(older.map(|relation| relation.memory_id));
    }
    false
}

/// An owner's events with their sequences, straight from the log.
async fn records_of(client: &async_nats::Client, owner: &str) -> Vec<(u64, Record)> {
    let context = async_nats::jetstream::new(client.clone());
    let keyring = Keyring::open(&context, Subjects::default(), master())
        .await
        .unwrap();
    let mut records = Vec::new();
    for shard in list_shards(&context).await.unwrap() {
        for sequence in 1..=shard.extent().await.unwrap().last {
            let Some(event) = shard.get(sequence).await.unwrap() else {
                continue;
            };
            let Opened::Event { stored_for, record } = keyring.open_event(shard.number(), &event)
            else {
                continue;
            };
            let is_owners = match stored_for {
                StoredFor::Tenant(scope) => scope.tenant().as_str() == owner,
                StoredFor::System => owner == SYSTEM,
            };
            if is_owners {
                records.push((sequence, record));
            }
        }
    }
    records
}
