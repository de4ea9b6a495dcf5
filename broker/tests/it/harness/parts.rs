//! Stand-ins for the parts that a broker asks: a projector that answers from the log itself, and an
//! issuer whose signature is the place of what it signed.

use super::{Server, master};
use async_nats::Message;
use futures_util::StreamExt;
use postroad_log::streams::list_shards;
use postroad_log::{Keyring, Opened};
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{MarkTarget, parse_receipt_id};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;
use postroad_protocol::id::Reader;
use postroad_protocol::service::{
    ENFORCE, Enforced, Finding, Lookup, MarkState, Question, Sign, Signed, TenantStanding,
};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::replay::StoredFor;
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
        }),
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

/// A tenant's events with their sequences, straight from the log.
async fn records_of(client: &async_nats::Client, tenant: &str) -> Vec<(u64, Record)> {
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
            if let Opened::Event {
                stored_for: StoredFor::Tenant(scope),
                record,
            } = keyring.open_event(shard.number(), &event)
                && scope.tenant().as_str() == tenant
            {
                records.push((sequence, record));
            }
        }
    }
    records
}
