//! What callers may ask to change: imperative, checked once, in one place. A [`Command`] is well
//! formed; whether it may happen is decided by the broker.

use crate::body::Encoding;
use crate::channel::Channel;
use crate::error::{ErrorCode, Refusal};
use crate::event::{EventKey, Priority};
use crate::id::{CommandId, InstanceId, MessageId, Reader, Role, TimeMs};
use crate::limits;
use crate::position::Position;
use crate::tenancy::{Claims, Scope};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bodies as callers write them: camelCase, everything that can be left out optional.
pub mod wire {
    use super::{BTreeMap, Deserialize, Serialize};

    /// `messages.send_message`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct SendMessage {
        /// A role, `broadcast`, or roles separated by commas.
        pub channel: String,
        /// The text, 1 byte to 256 KiB of UTF-8.
        pub content: String,
        /// Only this instance of the one role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub instance_id: Option<String>,
        /// UUID made by the client; a retry with the same id is stored once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub message_id: Option<String>,
        /// The message that this answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reply_to: Option<String>,
        /// `urgent`, `high`, `normal` or `low`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub priority: Option<String>,
        /// Small labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub metadata: Option<BTreeMap<String, String>>,
    }

    /// `messages.mark_as_read`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct MarkAsRead {
        /// Receipts from a check's answer.
        pub receipt_ids: Vec<String>,
        /// Messages, for one's own reader.
        pub message_ids: Vec<String>,
        /// UUID made by the client.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }

    /// `self.set_summary`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct SetSummary {
        /// What the agent is doing, at most 1 KiB; empty clears it.
        pub summary: String,
        /// UUID made by the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }

    /// `admin.create_tenant`; the tenant stands in the subject.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct CreateTenant {
        /// The shard to live in; by default the one with the fewest tenants.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shard: Option<u16>,
        /// UUID made by the client.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }

    /// `admin.issue_credential`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct IssueCredential {
        /// The role.
        pub role: String,
        /// Only this instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub instance_id: Option<String>,
        /// The public user nkey; the seed stays with the agent.
        pub public_key: String,
        /// What it may touch besides `self`; by default `messages`, `memory` and `tasks`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub scopes: Option<Vec<String>>,
        /// Life in seconds, at most 365 days; by default 30 days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ttl_s: Option<i64>,
        /// UUID made by the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }

    /// `admin.retire_agent`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct RetireAgent {
        /// The role.
        pub role: String,
        /// Only this instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub instance_id: Option<String>,
        /// UUID made by the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }

    /// `admin.accept_damage`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct AcceptDamage {
        /// The damaged shard.
        pub shard: u16,
        /// First sequence to give up.
        pub from: u64,
        /// Last sequence to give up.
        pub to: u64,
        /// UUID made by the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub command_id: Option<String>,
    }
}

/// A checked command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send one message.
    SendMessage(SendMessage),
    /// Mark messages as read for the caller's reader.
    MarkAsRead(MarkAsRead),
    /// Say what the caller is doing.
    SetSummary {
        /// The new summary.
        summary: String,
    },
    /// Create the tenant in the request's scope.
    CreateTenant {
        /// Wished shard.
        shard: Option<u16>,
    },
    /// Put a credential on the roster.
    IssueCredential(IssueCredential),
    /// Take a role, or one instance, off.
    RetireAgent {
        /// The role.
        role: Role,
        /// Only this instance.
        instance: Option<InstanceId>,
    },
    /// Give up lost events of a shard.
    AcceptDamage {
        /// The shard.
        shard: u16,
        /// First and last sequence.
        range: (u64, u64),
    },
}

/// A checked `send_message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessage {
    /// To whom.
    pub channel: Channel,
    /// Only this instance of the channel's one role.
    pub instance: Option<InstanceId>,
    /// 1 byte to 256 KiB.
    pub content: String,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// How urgent.
    pub priority: Priority,
    /// Labels.
    pub metadata: BTreeMap<String, String>,
}

/// A checked `mark_as_read`. Ids that cannot be ids at all are kept as text: they are answered
/// `notFound`, like every id that is not the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkAsRead {
    /// Named receipts and messages, in the order given, repeats merged.
    pub targets: Vec<MarkTarget>,
}

/// One id that `mark_as_read` was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkTarget {
    /// A receipt id.
    Receipt(String),
    /// A message id.
    Message(String),
}

impl MarkTarget {
    /// The id as the caller wrote it.
    pub fn text(&self) -> &str {
        match self {
            Self::Receipt(text) | Self::Message(text) => text,
        }
    }
}

/// A checked `issue_credential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueCredential {
    /// The role.
    pub role: Role,
    /// Only this instance.
    pub instance: Option<InstanceId>,
    /// The public user nkey.
    pub public_key: String,
    /// With `self` in it.
    pub scopes: Vec<Scope>,
    /// Life in seconds.
    pub ttl_s: u64,
}

/// A command with the id under which a retry is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The client's id, or a fresh one where it named none.
    pub id: CommandId,
    /// The command.
    pub command: Command,
}

impl Command {
    /// Reads the body of `scope.verb`.
    ///
    /// # Errors
    /// `invalid_argument` or `too_large` with the field; `not_found` for an unknown verb.
    pub fn read(
        scope: Scope,
        verb: &str,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Identified, Refusal> {
        match (scope, verb) {
            (Scope::Messages, "send_message") => read_send(&encoding.decode(body)?),
            (Scope::Messages, "mark_as_read") => read_mark(encoding.decode(body)?),
            (Scope::Own, "set_summary") => read_summary(encoding.decode(body)?),
            (Scope::Admin, "create_tenant") => {
                let wire: wire::CreateTenant = encoding.decode(body)?;
                identify(
                    wire.command_id.as_deref(),
                    "commandId",
                    Self::CreateTenant { shard: wire.shard },
                )
            }
            (Scope::Admin, "issue_credential") => read_issue(&encoding.decode(body)?),
            (Scope::Admin, "retire_agent") => {
                let wire: wire::RetireAgent = encoding.decode(body)?;
                let role = Role::parse(&wire.role).map_err(|error| error.at("role"))?;
                let instance = read_instance(wire.instance_id.as_deref())?;
                identify(
                    wire.command_id.as_deref(),
                    "commandId",
                    Self::RetireAgent { role, instance },
                )
            }
            (Scope::Admin, "accept_damage") => {
                let wire: wire::AcceptDamage = encoding.decode(body)?;
                if wire.from == 0 || wire.to < wire.from {
                    return Err(Refusal::invalid(
                        "from",
                        "the range is empty",
                        "name the range that `postroad status` shows",
                    ));
                }
                let command = Self::AcceptDamage {
                    shard: wire.shard,
                    range: (wire.from, wire.to),
                };
                identify(wire.command_id.as_deref(), "commandId", command)
            }
            _ => Err(unknown_verb()),
        }
    }
}

/// The refusal of a verb that is not in the catalogue.
pub fn unknown_verb() -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        "there is no such verb",
        "use a verb that subjects.md lists under this scope",
    )
    .at("verb")
}

fn identify(id: Option<&str>, field: &str, command: Command) -> Result<Identified, Refusal> {
    let id = match id {
        None => CommandId::generate(),
        Some(text) => CommandId::parse(text).ok_or_else(|| {
            Refusal::invalid(
                field,
                format!("{field} is not a UUID"),
                "make a UUIDv7, or leave it out",
            )
        })?,
    };
    Ok(Identified { id, command })
}

fn read_instance(text: Option<&str>) -> Result<Option<InstanceId>, Refusal> {
    text.map(|text| InstanceId::parse(text).map_err(|error| error.at("instanceId")))
        .transpose()
}

fn read_send(wire: &wire::SendMessage) -> Result<Identified, Refusal> {
    if wire.content.is_empty() {
        return Err(Refusal::invalid(
            "content",
            "a message needs content",
            "send at least one character",
        ));
    }
    if wire.content.len() > limits::CONTENT_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the content has {} bytes; {} is the limit",
                wire.content.len(),
                limits::CONTENT_MAX_BYTES
            ),
            "put it where the recipient can fetch it, and send the reference",
        )
        .at("content"));
    }
    let channel = Channel::parse(&wire.channel)?;
    let instance = read_instance(wire.instance_id.as_deref())?;
    if instance.is_some() && channel.single_role().is_none() {
        return Err(Refusal::invalid(
            "instanceId",
            "an instance narrows a channel of one role",
            "name one role, or leave instanceId out",
        ));
    }
    let reply_to = match wire.reply_to.as_deref() {
        None => None,
        Some(text) => {
            Some(CommandId::parse(text).ok_or_else(|| Refusal::not_found("replyTo", "message"))?)
        }
    };
    let priority = match wire.priority.as_deref() {
        None | Some("normal") => Priority::Normal,
        Some("urgent") => Priority::Urgent,
        Some("high") => Priority::High,
        Some("low") => Priority::Low,
        Some(_) => {
            return Err(Refusal::invalid(
                "priority",
                "there is no such priority",
                "use urgent, high, normal or low",
            ));
        }
    };
    let metadata = wire.metadata.clone().unwrap_or_default();
    check_metadata(&metadata)?;
    let command = Command::SendMessage(SendMessage {
        channel,
        instance,
        content: wire.content.clone(),
        reply_to,
        priority,
        metadata,
    });
    identify(wire.message_id.as_deref(), "messageId", command)
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let too_large = |message: String| {
        Err(
            Refusal::new(ErrorCode::TooLarge, message, "send fewer or shorter labels")
                .at("metadata"),
        )
    };
    if metadata.len() > limits::METADATA_MAX_ENTRIES {
        return too_large(format!(
            "metadata has {} entries; {} is the limit",
            metadata.len(),
            limits::METADATA_MAX_ENTRIES
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err(Refusal::invalid(
                "metadata",
                "a metadata key is empty or holds control characters",
                "name each label in plain text",
            ));
        }
        if key.len() > limits::METADATA_KEY_MAX_BYTES
            || value.len() > limits::METADATA_VALUE_MAX_BYTES
        {
            return too_large(format!(
                "a metadata key has at most {} bytes and a value {}",
                limits::METADATA_KEY_MAX_BYTES,
                limits::METADATA_VALUE_MAX_BYTES
            ));
        }
    }
    Ok(())
}

fn read_mark(wire: wire::MarkAsRead) -> Result<Identified, Refusal> {
    let count = wire.receipt_ids.len() + wire.message_ids.len();
    if count == 0 {
        return Err(Refusal::invalid(
            "receiptIds",
            "nothing is named to mark",
            "give the receiptIds that check_messages answered",
        ));
    }
    if count > limits::MARK_MAX_IDS {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "{count} ids are named; {} is the limit",
                limits::MARK_MAX_IDS
            ),
            "mark them in several calls",
        )
        .at("receiptIds"));
    }
    let mut targets: Vec<MarkTarget> = Vec::with_capacity(count);
    let named = wire.receipt_ids.into_iter().map(MarkTarget::Receipt);
    let mut seen = std::collections::HashSet::with_capacity(count);
    for target in named.chain(wire.message_ids.into_iter().map(MarkTarget::Message)) {
        if target.text().len() > 128 {
            return Err(Refusal::invalid(
                "receiptIds",
                "an id is too long to be one",
                "give the ids that check_messages answered",
            ));
        }
        if seen.insert(target.clone()) {
            targets.push(target);
        }
    }
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::MarkAsRead(MarkAsRead { targets }),
    )
}

fn read_summary(wire: wire::SetSummary) -> Result<Identified, Refusal> {
    if wire.summary.len() > limits::SUMMARY_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the summary has {} bytes; {} is the limit",
                wire.summary.len(),
                limits::SUMMARY_MAX_BYTES
            ),
            "say it in fewer words",
        )
        .at("summary"));
    }
    if wire.summary.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            "summary",
            "the summary holds control characters",
            "write it in one line of plain text",
        ));
    }
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::SetSummary {
            summary: wire.summary,
        },
    )
}

fn read_issue(wire: &wire::IssueCredential) -> Result<Identified, Refusal> {
    let role = Role::parse(&wire.role).map_err(|error| error.at("role"))?;
    let instance = read_instance(wire.instance_id.as_deref())?;
    let is_key = wire.public_key.len() == 56
        && wire.public_key.starts_with('U')
        && wire
            .public_key
            .bytes()
            .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    if !is_key {
        return Err(Refusal::invalid(
            "publicKey",
            "this is no public user nkey",
            "give the 56 characters that begin with U",
        ));
    }
    let mut scopes = match &wire.scopes {
        None => Scope::AGENT_DEFAULT.to_vec(),
        Some(texts) => texts
            .iter()
            .map(|text| {
                Scope::parse(text).ok_or_else(|| {
                    Refusal::invalid(
                        "scopes",
                        "there is no such scope",
                        "use messages, memory, tasks, audit or admin",
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?,
    };
    scopes.push(Scope::Own);
    scopes.sort_by_key(|scope| Scope::ALL.iter().position(|known| known == scope));
    scopes.dedup();
    let longest = 365 * 24 * 3600;
    let ttl_s = match wire.ttl_s {
        None => limits::CREDENTIAL_TTL_S,
        Some(seconds) => u64::try_from(seconds)
            .ok()
            .filter(|s| (1..=longest).contains(s))
            .ok_or_else(|| {
                Refusal::invalid(
                    "ttlS",
                    "a credential lives between 1 second and 365 days",
                    "name a life within that",
                )
            })?,
    };
    let command = Command::IssueCredential(IssueCredential {
        role,
        instance,
        public_key: wire.public_key.clone(),
        scopes,
        ttl_s,
    });
    identify(wire.command_id.as_deref(), "commandId", command)
}

/// What a request says of its caller, to be compared with the credential.
///
/// # Errors
/// As [`Encoding::decode`].
pub fn read_claims(encoding: Encoding, body: &[u8]) -> Result<Claims, Refusal> {
    encoding.decode(body)
}

/// The opaque id of one reader's receipt of one message. Nobody else's receipt can be named by it.
pub fn receipt_id(message: EventKey, reader: &Reader) -> String {
    let mut bytes = message.as_bytes().to_vec();
    bytes.extend_from_slice(&reader_mark(message, reader));
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The message of a receipt id, when it is `reader`'s.
pub fn parse_receipt_id(text: &str, reader: &Reader) -> Option<EventKey> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (key, mark) = bytes.split_at_checked(16)?;
    let key = EventKey::from_bytes(key.try_into().ok()?);
    (mark == reader_mark(key, reader)).then_some(key)
}

fn reader_mark(message: EventKey, reader: &Reader) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("postroad 2026 receipt id");
    let parts: [&[u8]; 3] = [
        message.as_bytes(),
        reader.role.as_str().as_bytes(),
        reader.instance.as_str().as_bytes(),
    ];
    hasher.update(&crate::seal::context_of(&parts));
    let mut mark = [0; 8];
    mark.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    mark
}

/// Answer of `send_message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The message's id.
    pub message_id: MessageId,
    /// Where it is stored.
    pub position: Position,
    /// Readers that it is meant for; a role without a reader yet counts as one.
    pub recipient_count: u64,
    /// Those readers as `role/instance`, or `role` without one yet; for up to 20, and not for a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<String>>,
}

/// Answer of `mark_as_read`: every id that was given, in one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Marked {
    /// Read from now on.
    pub marked: Vec<String>,
    /// Read before; the first time stands.
    pub already_read: Vec<String>,
    /// No receipt or message of the caller's.
    pub not_found: Vec<String>,
    /// Where the mark is stored; none when nothing was left to mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Answer of commands that only need to say where they landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Where it is stored.
    pub position: Position,
}

/// Answer of `create_tenant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantMade {
    /// Its canonical name.
    pub tenant: String,
    /// Where it lives.
    pub shard: u16,
    /// Which creation of that name this is.
    pub generation: u32,
    /// Where that is stored.
    pub position: Position,
}

/// Answer of `issue_credential`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The signed user JWT; with the agent's own seed it makes a `.creds` file.
    pub jwt: String,
    /// When it ends.
    pub expires_at: TimeMs,
    /// Where the issue is stored.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(verb: &str, body: serde_json::Value) -> Result<Identified, Refusal> {
        Command::read(
            Scope::Messages,
            verb,
            Encoding::Json,
            body.to_string().as_bytes(),
        )
    }

    #[test]
    fn a_send_is_checked_field_by_field() {
        let cases = [
            (
                serde_json::json!({"channel":"bob","content":""}),
                ErrorCode::InvalidArgument,
                "content",
            ),
            (
                serde_json::json!({"channel":"bob","content":"x".repeat(limits::CONTENT_MAX_BYTES + 1)}),
                ErrorCode::TooLarge,
                "content",
            ),
            (
                serde_json::json!({"channel":"tau,broadcast","content":"x"}),
                ErrorCode::InvalidArgument,
                "channel",
            ),
            (
                serde_json::json!({"channel":"tau,phi","content":"x","instanceId":"a"}),
                ErrorCode::InvalidArgument,
                "instanceId",
            ),
            (
                serde_json::json!({"channel":"tau","content":"x","messageId":"7"}),
                ErrorCode::InvalidArgument,
                "messageId",
            ),
            (
                serde_json::json!({"channel":"tau","content":"x","replyTo":"7"}),
                ErrorCode::NotFound,
                "replyTo",
            ),
            (
                serde_json::json!({"channel":"tau","content":"x","priority":"now"}),
                ErrorCode::InvalidArgument,
                "priority",
            ),
            (
                serde_json::json!({"channel":"tau","content":"x","metadata":{"":"v"}}),
                ErrorCode::InvalidArgument,
                "metadata",
            ),
            (
                serde_json::json!({"channel":"tau","content":"x","metadata":{"k":"v".repeat(2000)}}),
                ErrorCode::TooLarge,
                "metadata",
            ),
            (
                serde_json::json!({"channel":"tau","content":7}),
                ErrorCode::InvalidArgument,
                "content",
            ),
        ];
        for (body, code, field) in cases {
            let refusal = read("send_message", body).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (code, Some(field))
            );
        }
        let full =
            serde_json::json!({"channel":"tau","content":"x".repeat(limits::CONTENT_MAX_BYTES)});
        assert!(read("send_message", full).is_ok());
        assert_eq!(
            read("sing", serde_json::json!({})).unwrap_err().code,
            ErrorCode::NotFound
        );
    }

    #[test]
    fn a_receipt_id_reads_only_for_its_reader() {
        let reader = |instance| Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse(instance).unwrap(),
        };
        let key = EventKey::from_bytes([7; 16]);
        let id = receipt_id(key, &reader("a"));
        assert_eq!(parse_receipt_id(&id, &reader("a")), Some(key));
        assert_eq!(parse_receipt_id(&id, &reader("b")), None);
        assert_eq!(parse_receipt_id("rcpt-xyz", &reader("a")), None);
    }
}
