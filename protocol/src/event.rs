//! What happened: the past-tense facts that the log keeps, their stored names and schema versions.
//! A stored name or version is never reused; every one ever written replays forever (golden files).

use crate::channel::Channel;
use crate::id::{CommandId, InstanceId, MessageId, Reader, Role, TenantId, TimeMs};
use crate::quota::{Limits, LimitsChange};
use crate::subject::{AggregateKey, OPERATOR_ROLE, SYSTEM};
use crate::tenancy::Scope;
use crate::usage::Day;
use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

mod memory;
mod task;

pub use crate::priority::Priority;
pub use memory::{MemoryChange, MemoryForgotten, MemoryOrigin, MemoryStored, MemoryUpdated};
pub use task::{Asked, MissionChange, MissionChanged, TaskChange, TaskChanged};

/// What names an event inside its tenant: a hash of who caused it and the command id, so that two
/// agents that choose the same id never touch each other. Sixteen bytes, hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey([u8; 16]);

impl EventKey {
    /// The key of what `by` caused under `id`.
    pub fn of(by: &Actor, id: CommandId) -> Self {
        static PURPOSE: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("postroad 2026 event key"));
        let (role, instance) = by.tokens();
        let mut hasher = blake3::Hasher::new_from_context_key(&PURPOSE);
        hasher.update(&crate::seal::context_of(&[
            role.as_bytes(),
            instance.as_bytes(),
            id.as_bytes(),
        ]));
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }

    /// The `Nats-Msg-Id`: with the tenant in it, since JetStream deduplicates over a whole stream.
    ///
    /// A name that was created again is another tenant, whose ids are its own.
    pub fn message_id_header(&self, owner: crate::subject::Owner<'_>, generation: u32) -> String {
        static PURPOSE: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("postroad 2026 nats message id"));
        let mut hasher = blake3::Hasher::new_from_context_key(&PURPOSE);
        hasher.update(&crate::seal::context_of(&[
            owner.token().as_bytes(),
            &self.0,
        ]));
        if generation > 1 {
            hasher.update(&generation.to_be_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// The bytes, for row keys.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the bytes of a row key.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey({self})")
    }
}

impl Serialize for EventKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for EventKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            let value = (text.len() == 32)
                .then(|| u128::from_str_radix(&text, 16).ok())
                .flatten();
            return value
                .map(|value| Self(value.to_be_bytes()))
                .ok_or_else(|| serde::de::Error::custom("not an event key"));
        }
        let bytes = serde_bytes::ByteArray::<16>::deserialize(deserializer)?;
        Ok(Self(bytes.into_array()))
    }
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// An agent of the tenant.
    Agent(Reader),
    /// The operator.
    Operator(InstanceId),
    /// Postroad itself, as an observation or a reaction.
    System,
}

impl Actor {
    fn tokens(&self) -> (&str, &str) {
        match self {
            Self::Agent(reader) => (reader.role.as_str(), reader.instance.as_str()),
            Self::Operator(instance) => (OPERATOR_ROLE, instance.as_str()),
            Self::System => (SYSTEM, ""),
        }
    }
}

/// A tenant came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantCreated {
    /// Its name.
    pub tenant: TenantId,
    /// Which creation of that name this is, from 1.
    pub generation: u32,
}

/// A role was put on the roster, or given one more credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialIssued {
    /// For this role.
    pub role: Role,
    /// For this instance only; without one it serves any instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// What it may touch.
    pub scopes: Vec<Scope>,
    /// The user nkey it is bound to.
    pub public_key: String,
    /// When it ends.
    pub expires_at: TimeMs,
    /// Whether its key is that of a bearer token ([`crate::token`]). Not written where it is not, as before there
    /// were tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token: bool,
}

/// A role, or one instance of it, left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRetired {
    /// The role.
    pub role: Role,
    /// Only this instance; without one, the whole role with every instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

/// A reader made its first call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderRegistered {
    /// Who.
    pub reader: Reader,
}

/// An agent said what it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SummarySet {
    /// Who.
    pub reader: Reader,
    /// In its own words; empty clears it.
    pub summary: String,
}

/// A message was sent: one event with its audience, however many it reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// The sender.
    pub from: Reader,
    /// The audience.
    pub channel: Channel,
    /// Only this instance of the one role in `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The text.
    pub content: String,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// How urgent.
    #[serde(default)]
    pub priority: Priority,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A reader has read messages; the event's time is their `readAt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagesRead {
    /// Who.
    pub reader: Reader,
    /// Which messages, by the key of the event that sent each.
    pub messages: Vec<EventKey>,
}

/// Messages went out in an answer to a reader; the event's time is their `deliveredAt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagesDelivered {
    /// To whom.
    pub reader: Reader,
    /// Which messages, by the key of the event that sent each.
    pub messages: Vec<EventKey>,
}

/// An operator read a tenant's data, and the answer waited until this was stored; or it brought a history
/// in, and this was stored with the first event of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorRead {
    /// From which machine.
    pub operator: InstanceId,
    /// The query's verb.
    pub verb: String,
    /// What was asked for, in a few words.
    pub what: String,
}

/// An operator decided to go on without events that the log has lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DamageAccepted {
    /// First and last sequence of every range given up in this shard so far.
    pub ranges: Vec<(u64, u64)>,
}

/// Credentials ended before their time. The role keeps its mail: another credential may serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRevoked {
    /// Of this role.
    pub role: Role,
    /// The user nkeys that end, in order.
    pub public_keys: Vec<String>,
}

/// A credential of a tenant that is being erased. Nobody can read any more that it was issued, so
/// whoever revokes it finds it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoidCredential {
    /// The user nkey it is bound to.
    pub public_key: String,
    /// When it would have ended.
    pub expires_at: TimeMs,
}

/// A tenant was erased. The deployment's own, so that it outlives the tenant. Stored when the erase
/// begins, with the credentials (in several events where they are many), and when the keys are destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantErased {
    /// Its name.
    pub tenant: TenantId,
    /// Which creation of that name.
    pub generation: u32,
    /// The shard's last event when this was decided.
    pub through_sequence: u64,
    /// Whether its keys are destroyed: rows of it are deleted then.
    pub key_destroyed: bool,
    /// Credentials that were issued to it, retired or not, and had not expired.
    pub credentials: Vec<VoidCredential>,
}

/// A tenant's events are sealed under a new data key, from about here on. This one is the last that its
/// broker seals under the key before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataKeyRotated {
    /// The generation of the tenant's name.
    pub generation: u32,
    /// The new key's number in it.
    pub number: u32,
}

/// The operator shut a tenant's agents out; what is stored stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantSuspended {
    /// Why, for whoever looks at it later; agents are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The operator let a tenant's agents in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantResumed {}

/// The operator set limits of a tenant anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantLimited {
    /// Every limit that is set from now on; the others have their defaults.
    pub limits: Limits,
    /// What was asked for.
    pub change: LimitsChange,
}

/// A broker or projector counted what is no event by itself; this adds to what was counted before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageCounted {
    /// On which day.
    pub day: Day,
    /// Queries that were served.
    pub queries: u64,
    /// Push hints that were published.
    pub pushes: u64,
    /// Which process counted.
    pub by: CommandId,
}

macro_rules! events {
    ($($variant:ident = $name:literal v $schema:literal),* $(,)?) => {
        /// Any event.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        #[non_exhaustive]
        pub enum Event {
            $(#[doc = concat!("Stored as `", $name, "`.")] $variant($variant)),*
        }

        impl Event {
            /// Every stored name with the schema version that is written today.
            pub const TYPES: &'static [(&'static str, u16)] = &[$(($name, $schema)),*];

            /// The stored name.
            pub const fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),* }
            }

            /// The schema version that is written today.
            pub const fn schema(&self) -> u16 {
                match self { $(Self::$variant(_) => $schema),* }
            }

            fn decode_data(type_name: &str, schema: u16, plain: &[u8]) -> Option<(Actor, Self)> {
                match (type_name, schema) {
                    $(($name, $schema) => read::<$variant>(plain).map(|(by, data)| (by, Self::$variant(data))),)*
                    _ => None,
                }
            }

            /// Reads the fields that `Serialize` writes in JSON; nothing for a name or version that this
            /// build does not know.
            pub fn from_json(
                type_name: &str,
                schema: u16,
                data: &serde_json::Value,
            ) -> Option<Result<Self, serde_json::Error>> {
                match (type_name, schema) {
                    $(($name, $schema) => Some($variant::deserialize(data).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$variant> for Event {
            fn from(data: $variant) -> Self { Self::$variant(data) }
        })*
    };
}

events! {
    TenantCreated = "tenant_created" v 1,
    CredentialIssued = "credential_issued" v 1,
    AgentRetired = "agent_retired" v 1,
    ReaderRegistered = "reader_registered" v 1,
    SummarySet = "summary_set" v 1,
    MessageSent = "message_sent" v 1,
    MessagesRead = "messages_read" v 1,
    MessagesDelivered = "messages_delivered" v 1,
    OperatorRead = "operator_read" v 1,
    DamageAccepted = "damage_accepted" v 1,
    CredentialRevoked = "credential_revoked" v 1,
    TenantErased = "tenant_erased" v 1,
    DataKeyRotated = "data_key_rotated" v 1,
    TenantSuspended = "tenant_suspended" v 1,
    TenantResumed = "tenant_resumed" v 1,
    TenantLimited = "tenant_limited" v 1,
    UsageCounted = "usage_counted" v 1,
    MemoryStored = "memory_stored" v 1,
    MemoryUpdated = "memory_updated" v 1,
    MemoryForgotten = "memory_forgotten" v 1,
    TaskChanged = "task_changed" v 1,
    MissionChanged = "mission_changed" v 1,
}

#[derive(Serialize)]
struct StoredRef<'a> {
    by: &'a Actor,
    data: &'a Event,
}

#[derive(Deserialize)]
struct Stored<T> {
    by: Actor,
    data: T,
}

fn read<T: DeserializeOwned>(plain: &[u8]) -> Option<(Actor, T)> {
    rmp_serde::from_slice::<Stored<T>>(plain)
        .ok()
        .map(|stored| (stored.by, stored.data))
}

impl Event {
    /// The plain payload: MessagePack with named fields, `{by, data}`. It holds no time and no
    /// randomness, so the same command always gives the same bytes.
    pub fn encode(&self, by: &Actor) -> Vec<u8> {
        rmp_serde::to_vec_named(&StoredRef { by, data: self })
            .expect("events are plain data and always encode")
    }

    /// How many bytes [`encode`](Self::encode) gives, without making them.
    pub fn encoded_len(&self, by: &Actor) -> u64 {
        struct Counted(u64);
        impl std::io::Write for Counted {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 += bytes.len() as u64;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut counted = Counted(0);
        rmp_serde::encode::write_named(&mut counted, &StoredRef { by, data: self })
            .expect("events are plain data and always encode");
        counted.0
    }

    /// Reads a plain payload of a stored name and version; nothing when this build does not know it.
    pub fn decode(type_name: &str, schema: u16, plain: &[u8]) -> Option<(Actor, Self)> {
        Self::decode_data(type_name, schema, plain)
    }

    /// The aggregate whose subject stores it.
    pub fn aggregate(&self) -> AggregateKey {
        match self {
            Self::TenantCreated(_)
            | Self::OperatorRead(_)
            | Self::TenantSuspended(_)
            | Self::TenantResumed(_)
            | Self::TenantLimited(_)
            | Self::DataKeyRotated(_)
            | Self::UsageCounted(_) => AggregateKey::Tenant,
            Self::CredentialIssued(data) => AggregateKey::Agent(data.role.clone()),
            Self::AgentRetired(data) => AggregateKey::Agent(data.role.clone()),
            Self::ReaderRegistered(data) => AggregateKey::Agent(data.reader.role.clone()),
            Self::SummarySet(data) => AggregateKey::Receipt(data.reader.role.clone()),
            Self::MessageSent(data) => AggregateKey::Message(data.from.role.clone()),
            Self::MessagesRead(data) => AggregateKey::Receipt(data.reader.role.clone()),
            Self::MessagesDelivered(data) => AggregateKey::Receipt(data.reader.role.clone()),
            Self::MemoryStored(_) | Self::MemoryUpdated(_) | Self::MemoryForgotten(_) => {
                AggregateKey::Memory
            }
            Self::TaskChanged(data) => AggregateKey::Task(data.task_id),
            Self::MissionChanged(data) => AggregateKey::Mission(data.mission_id),
            Self::DamageAccepted(_) => AggregateKey::Shard,
            Self::CredentialRevoked(data) => AggregateKey::Agent(data.role.clone()),
            Self::TenantErased(data) => AggregateKey::Erasure(data.tenant.clone()),
        }
    }
}
