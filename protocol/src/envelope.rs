//! An event as it lies in JetStream: short headers beside a sealed payload. Owns the headers and
//! what the seal binds; never talks to NATS.
//!
//! | header | holds | CloudEvents attribute |
//! |---|---|---|
//! | `Nats-Msg-Id` | hash of tenant, actor and command id | – |
//! | `Pr-Id` | event id: the command's id (UUID) | `id` |
//! | `Pr-Type` | stored name | `type`, as `postroad.{name}.v{schema}` |
//! | `Pr-V` | schema version | – |
//! | `Pr-Time` | milliseconds since 1970 | `time`, as RFC 3339 |
//! | `Pr-Key` | key id, `generation.number` | – |
//! | `traceparent` | W3C trace context, when the caller gave one | extension `traceparent` |
//!
//! The subject is CloudEvents' `source`; the content type is `application/msgpack` behind the seal.

use crate::event::{Actor, Event, EventKey};
use crate::id::{CommandId, TimeMs};
use crate::seal::{DataKey, KeyId, SealBroken, context_of};
use crate::subject::Owner;

/// Header: deduplication id.
pub const MSG_ID: &str = "Nats-Msg-Id";
/// Header: event id.
pub const ID: &str = "Pr-Id";
/// Header: stored name.
pub const TYPE: &str = "Pr-Type";
/// Header: schema version.
pub const SCHEMA: &str = "Pr-V";
/// Header: time.
pub const TIME: &str = "Pr-Time";
/// Header: data key.
pub const KEY: &str = "Pr-Key";
/// Header: trace context.
pub const TRACEPARENT: &str = "traceparent";

/// What stands beside the payload and is bound by the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Event id.
    pub id: CommandId,
    /// Stored name.
    pub type_name: Box<str>,
    /// Schema version.
    pub schema: u16,
    /// When ingress took the command.
    pub time: TimeMs,
    /// Which data key sealed it.
    pub key: KeyId,
}

/// An event ready to be appended.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Where it goes.
    pub subject: String,
    /// Its `Nats-Msg-Id`.
    pub msg_id: String,
    /// Its key inside the tenant.
    pub event_key: EventKey,
    /// Bound headers.
    pub head: Head,
    /// The caller's trace context.
    pub traceparent: Option<Box<str>>,
    /// Sealed payload.
    pub payload: Vec<u8>,
}

/// An event that was read from the log and whose seal opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Event id.
    pub id: CommandId,
    /// Its key inside the tenant.
    pub key: EventKey,
    /// When ingress took the command.
    pub time: TimeMs,
    /// Who caused it.
    pub by: Actor,
    /// What happened.
    pub event: Event,
}

/// Why a stored message gives no [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Headers are missing or malformed, or the seal does not open: the bytes are not what was written.
    #[error("damaged: the stored bytes are not what was written")]
    Damaged,
    /// The seal opened, but this build does not know what is inside.
    #[error("undecodable: sealed by us, but of a type or version this build does not know")]
    Undecodable,
}

impl From<SealBroken> for Unreadable {
    fn from(_: SealBroken) -> Self {
        Self::Damaged
    }
}

/// Everything that sealing one event needs.
#[derive(Clone, Debug)]
pub struct Sealing<'a> {
    /// Whose event.
    pub owner: Owner<'a>,
    /// Where it will be stored.
    pub subject: String,
    /// The owner's current data key.
    pub key_id: KeyId,
    /// The key itself.
    pub key: &'a DataKey,
    /// The command's id.
    pub id: CommandId,
    /// When ingress took the command.
    pub time: TimeMs,
    /// Who caused it.
    pub by: &'a Actor,
    /// The caller's trace context.
    pub traceparent: Option<&'a str>,
}

impl Sealing<'_> {
    /// Seals `event`.
    pub fn seal(self, event: &Event) -> Sealed {
        let head = Head {
            id: self.id,
            type_name: event.type_name().into(),
            schema: event.schema(),
            time: self.time,
            key: self.key_id,
        };
        let event_key = EventKey::of(self.by, self.id);
        let payload = self
            .key
            .seal(&head.context(&self.subject), &event.encode(self.by));
        Sealed {
            msg_id: event_key.message_id_header(self.owner, self.key_id.generation),
            subject: self.subject,
            event_key,
            head,
            traceparent: self.traceparent.map(Into::into),
            payload,
        }
    }
}

impl Sealed {
    /// Name and value of every header, `Nats-Msg-Id` first.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let head = &self.head;
        [
            (MSG_ID, self.msg_id.clone()),
            (ID, head.id.to_string()),
            (TYPE, head.type_name.to_string()),
            (SCHEMA, head.schema.to_string()),
            (TIME, head.time.0.to_string()),
            (KEY, head.key.to_string()),
        ]
        .into_iter()
        .chain(
            self.traceparent
                .iter()
                .map(|trace| (TRACEPARENT, trace.to_string())),
        )
    }

    /// About how many bytes it takes in a batch.
    pub fn size(&self) -> usize {
        self.payload.len() + self.subject.len() + 256
    }
}

impl Head {
    /// Reads the headers of a stored message.
    ///
    /// # Errors
    /// [`Unreadable::Damaged`] when one is missing or malformed: we never store such a message.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Unreadable> {
        let parse = || {
            Some(Self {
                id: CommandId::parse(header(ID)?)?,
                type_name: header(TYPE)?.into(),
                schema: header(SCHEMA)?.parse().ok()?,
                time: TimeMs(header(TIME)?.parse().ok()?),
                key: KeyId::parse(header(KEY)?)?,
            })
        };
        parse().ok_or(Unreadable::Damaged)
    }

    /// Opens the payload stored under `subject`, as plain bytes.
    ///
    /// # Errors
    /// [`Unreadable::Damaged`].
    pub fn open_plain(
        &self,
        subject: &str,
        key: &DataKey,
        payload: &[u8],
    ) -> Result<Vec<u8>, Unreadable> {
        Ok(key.open(&self.context(subject), payload)?)
    }

    /// Opens and decodes the payload stored under `subject`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn open(&self, subject: &str, key: &DataKey, payload: &[u8]) -> Result<Record, Unreadable> {
        self.decode(&self.open_plain(subject, key, payload)?)
    }

    /// Decodes what [`Self::open_plain`] gave.
    ///
    /// # Errors
    /// [`Unreadable::Undecodable`].
    pub fn decode(&self, plain: &[u8]) -> Result<Record, Unreadable> {
        let (by, event) =
            Event::decode(&self.type_name, self.schema, plain).ok_or(Unreadable::Undecodable)?;
        Ok(Record {
            id: self.id,
            key: EventKey::of(&by, self.id),
            time: self.time,
            by,
            event,
        })
    }

    fn context(&self, subject: &str) -> Vec<u8> {
        context_of(&[
            subject.as_bytes(),
            self.id.as_bytes(),
            self.type_name.as_bytes(),
            &self.schema.to_be_bytes(),
            &self.time.0.to_be_bytes(),
            &self.key.generation.to_be_bytes(),
            &self.key.number.to_be_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SummarySet;
    use crate::id::{InstanceId, Reader, Role, TenantId};
    use crate::subject::Subjects;

    fn sample() -> (Sealed, DataKey, Actor, Event) {
        let reader = Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse("pi").unwrap(),
        };
        let event = Event::from(SummarySet {
            reader: reader.clone(),
            summary: "busy".into(),
        });
        let (by, key, tenant) = (
            Actor::Agent(reader),
            DataKey::generate(),
            TenantId::parse("acme").unwrap(),
        );
        let subject = Subjects::default().event(Owner::Tenant(&tenant), 0, &event.aggregate());
        let sealed = Sealing {
            owner: Owner::Tenant(&tenant),
            subject,
            key_id: KeyId {
                generation: 1,
                number: 1,
            },
            key: &key,
            id: CommandId::generate(),
            time: TimeMs(1_711_670_400_000),
            by: &by,
            traceparent: None,
        }
        .seal(&event);
        (sealed, key, by, event)
    }

    #[test]
    fn a_sealed_event_reads_back_from_its_headers() {
        let (sealed, key, by, event) = sample();
        let headers: std::collections::HashMap<_, _> = sealed.headers().collect();
        let head = Head::read(|name| headers.get(name).map(String::as_str)).unwrap();
        let record = head.open(&sealed.subject, &key, &sealed.payload).unwrap();
        assert_eq!(
            (record.by, record.event, record.key),
            (by, event, sealed.event_key)
        );
    }

    #[test]
    fn every_bound_header_and_the_subject_are_part_of_the_seal() {
        let (sealed, key, ..) = sample();
        let open = |head: &Head, subject: &str| head.open(subject, &key, &sealed.payload);
        let mut changes: Vec<Head> = vec![sealed.head.clone(); 5];
        changes[0].id = CommandId::generate();
        changes[1].type_name = "message_sent".into();
        changes[2].schema = 2;
        changes[3].time = TimeMs(1);
        changes[4].key.generation = 2;
        for head in &changes {
            assert_eq!(
                open(head, &sealed.subject),
                Err(Unreadable::Damaged),
                "{head:?}"
            );
        }
        assert_eq!(
            open(&sealed.head, "postroad.globex.evt.0.receipt.tau"),
            Err(Unreadable::Damaged)
        );
    }
}
