//! `send_message`: to a role, one instance of it, several roles, or everyone.

use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, Draft};
use postroad_protocol::Refusal;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{Command, Identified, Sent, wire};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `send_message`.
pub(crate) struct SendMessage;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// A role, roles separated by commas, or broadcast
    channel: String,
    /// At most 256 KiB
    content: String,
    /// Only this instance of the one role
    instance_id: Option<String>,
    /// urgent, high, normal (the default) or low
    #[schemars(extend("enum" = ["urgent", "high", "normal", "low"]))]
    priority: Option<String>,
    /// messageId that this answers
    reply_to: Option<String>,
    /// Small labels
    metadata: Option<BTreeMap<String, String>>,
    /// A UUID of your own: sent again with the same one it is stored once
    message_id: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    message_id: String,
    recipient_count: i64,
    /// As role/instance, for up to 20
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<String>>,
}

impl Tool for SendMessage {
    const NAME: &'static str = "send_message";
    const TITLE: &'static str = "Send a message";
    const ABOUT: &'static str = "Sends a message, stored durably when this returns; who is offline gets it \
        later. Try again after outcome_unknown only with the messageId that the error names.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Adds;
    const CLAIMS: &'static [(&'static str, &'static str)] = &[args::FROM, args::TENANT];
    type Args = Args;
    type Output = Output;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Output>, ClientError> {
        let sent = caller.client().send(&draft(args)?).await?;
        Ok(told(sent))
    }
}

/// Reads the fields as a broker will, so that a call is refused for the same reasons in the same words.
fn draft(args: Args) -> Result<Draft, Refusal> {
    let body = wire::SendMessage {
        channel: args.channel,
        content: args.content,
        instance_id: args.instance_id,
        message_id: args.message_id,
        reply_to: args.reply_to,
        priority: args.priority,
        metadata: args.metadata,
    };
    let encoding = Encoding::MessagePack;
    let read = Command::read(
        Scope::Messages,
        "send_message",
        encoding,
        &encoding.encode(&body),
    )?;
    let Identified {
        id,
        command: Command::SendMessage(message),
    } = read
    else {
        unreachable!("the body of a send reads as a send")
    };
    let mut draft = Draft::new(body.channel, message.content)
        .with_id(id)
        .priority(message.priority);
    if let Some(instance) = &message.instance {
        draft = draft.instance(instance);
    }
    if let Some(answered) = message.reply_to {
        draft = draft.reply_to(answered);
    }
    for (key, value) in message.metadata {
        draft = draft.label(key, value);
    }
    Ok(draft)
}

fn told(sent: Sent) -> Answer<Output> {
    let mut text = format!(
        "Sent: messageId {}, recipients: {}",
        sent.message_id, sent.recipient_count
    );
    if let Some(recipients) = sent.recipients.as_ref().filter(|named| !named.is_empty()) {
        text.push_str(&format!(" ({})", recipients.join(", ")));
    }
    let output = Output {
        message_id: sent.message_id.to_string(),
        recipient_count: i64::try_from(sent.recipient_count).unwrap_or(i64::MAX),
        recipients: sent.recipients,
    };
    Answer::new(output, text)
}
