//! Reads each command's body, field by field; the only place where a command's fields are checked.

use super::{Command, Identified, MarkAsRead, MarkTarget, SendMessage, wire};
use crate::body::Encoding;
use crate::channel::Channel;
use crate::error::{ErrorCode, Refusal};
use crate::event::Priority;
use crate::id::{CommandId, InstanceId};
use crate::limits;
use crate::tenancy::Claims;
use std::collections::BTreeMap;

pub(super) fn identify(
    id: Option<&str>,
    field: &str,
    command: Command,
) -> Result<Identified, Refusal> {
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

pub(super) fn read_instance(text: Option<&str>) -> Result<Option<InstanceId>, Refusal> {
    text.map(|text| InstanceId::parse(text).map_err(|error| error.at("instanceId")))
        .transpose()
}

/// Checks the parts of a message whose size is the sender's.
pub(crate) fn check_content(
    content: &str,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    check_text(content)?;
    check_metadata(metadata)
}

fn check_text(content: &str) -> Result<(), Refusal> {
    if content.is_empty() {
        return Err(Refusal::invalid(
            "content",
            "a message needs content",
            "send at least one character",
        ));
    }
    if content.len() > limits::CONTENT_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the content has {} bytes; {} is the limit",
                content.len(),
                limits::CONTENT_MAX_BYTES
            ),
            "put it where the recipient can fetch it, and send the reference",
        )
        .at("content"));
    }
    let json_bytes = json_len(content);
    if json_bytes > limits::CONTENT_JSON_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "written as JSON the content has {json_bytes} bytes; {} is the limit",
                limits::CONTENT_JSON_MAX_BYTES
            ),
            "it is mostly control characters: encode it, as base64 say",
        )
        .at("content"));
    }
    Ok(())
}

pub(super) fn read_send(wire: &wire::SendMessage) -> Result<Identified, Refusal> {
    check_text(&wire.content)?;
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

/// Bytes that a text takes in JSON.
fn json_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
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

pub(super) fn read_mark(wire: wire::MarkAsRead) -> Result<Identified, Refusal> {
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

pub(super) fn read_summary(wire: wire::SetSummary) -> Result<Identified, Refusal> {
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

/// What a request says of its caller, to be compared with the credential.
///
/// # Errors
/// As [`Encoding::decode`].
pub fn read_claims(encoding: Encoding, body: &[u8]) -> Result<Claims, Refusal> {
    encoding.decode(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::Scope;

    fn read(verb: &str, body: &serde_json::Value) -> Result<Identified, Refusal> {
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
            let refusal = read("send_message", &body).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (code, Some(field))
            );
        }
        let full =
            serde_json::json!({"channel":"tau","content":"x".repeat(limits::CONTENT_MAX_BYTES)});
        assert!(read("send_message", &full).is_ok());
        assert_eq!(
            read("sing", &serde_json::json!({})).unwrap_err().code,
            ErrorCode::NotFound
        );
    }
}
