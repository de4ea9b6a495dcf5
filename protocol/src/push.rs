//! What travels on core NATS beside the log: hints and heartbeats. Both may be lost, doubled or
//! late; nothing may depend on them but speed.

use crate::event::{MessageSent, Priority};
use crate::id::{InstanceId, MessageId, Role, TimeMs};
use crate::limits::PUSH_CONTENT_MAX_BYTES;
use crate::position::Position;
use serde::{Deserialize, Serialize};

/// The hint that a message was stored. JSON, so that any client can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hint {
    /// The message's id.
    pub message_id: MessageId,
    /// The sender's role.
    pub from: Role,
    /// The sender's instance.
    pub from_instance_id: InstanceId,
    /// To whom it was sent.
    pub channel: String,
    /// To which instance alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// The text, when it is no longer than 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Whether the text was left out for its length.
    pub truncated: bool,
    /// When it was stored.
    pub sent_at: TimeMs,
    /// How urgent.
    pub priority: Priority,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Where it is stored.
    pub position: Position,
}

impl Hint {
    /// The hint of a stored message.
    pub fn of(id: MessageId, sent: &MessageSent, at: TimeMs, position: Position) -> Self {
        let fits = sent.content.len() <= PUSH_CONTENT_MAX_BYTES;
        Self {
            message_id: id,
            from: sent.from.role.clone(),
            from_instance_id: sent.from.instance.clone(),
            channel: sent.channel.to_string(),
            instance_id: sent.instance.clone(),
            content: fits.then(|| sent.content.clone()),
            truncated: !fits,
            sent_at: at,
            priority: sent.priority,
            reply_to: sent.reply_to,
            position,
        }
    }
}

/// A heartbeat. JSON; an empty body counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// The agent is going: it counts as offline from now on.
    pub leaving: bool,
    /// It comes from a program that starts the agent when mail waits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub watching: bool,
    /// When that program last started the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_asked_at: Option<TimeMs>,
    /// When the agent, started so, was first seen to deal with its mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_confirmed_at: Option<TimeMs>,
}
