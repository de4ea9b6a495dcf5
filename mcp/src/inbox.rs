//! The caller's mailbox as a resource: how much is unread and from whom, never what it says; and news of
//! it for clients that subscribe. Marks nothing, not even as delivered.

use crate::caller::Caller;
use crate::messages::ms;
use postroad_client::{ClientError, History};
use postroad_protocol::event::Priority;
use postroad_protocol::query::{Message, Messages};
use postroad_protocol::tenancy::Scope;
use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents};
use rmcp::service::SubscriptionSink;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

const SCHEME: &str = "inbox://";
/// Messages of the caller's history that a summary looks through for unread ones.
const LOOKED_THROUGH: u32 = 50;
/// Unread messages that a summary names.
const NAMED_MAX: usize = 20;
/// Longest part of a request's own address that an error repeats, in characters: longer than any of ours.
const REPEATED_MAX_CHARS: usize = 256;
/// How often a subscription looks by itself: a hint may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The address of a caller's mailbox.
pub(crate) fn uri(caller: &Caller) -> String {
    let reader = caller.reader();
    let (tenant, role, instance) = (caller.tenant(), &reader.role, &reader.instance);
    format!("{SCHEME}{tenant}/{role}/{instance}")
}

/// Whether this is the address of the caller's mailbox.
pub(crate) fn is_of(caller: &Caller, address: &str) -> bool {
    caller.has(Scope::Messages) && address == uri(caller)
}

/// How it is listed.
pub(crate) fn resource(caller: &Caller) -> Resource {
    Resource::new(uri(caller), "inbox")
        .with_title("Inbox")
        .with_description(
            "How many of your messages are unread, and from whom. check_messages shows them.",
        )
        .with_mime_type("application/json")
}

/// What stands in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    highest_priority: Option<Priority>,
    /// The newest of them.
    messages: Vec<Line<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    message_id: String,
    from: &'a str,
    from_instance_id: &'a str,
    priority: Priority,
    sent_at: i64,
}

/// Reads a mailbox.
pub(crate) async fn read(caller: &Caller, address: &str) -> Result<ReadResourceResult, ErrorData> {
    if !is_of(caller, address) {
        return Err(not_found(address));
    }
    let answer = history(caller).await.map_err(|error| failed(&error))?;
    let text = serde_json::to_string(&summary(&answer)).unwrap_or_default();
    let contents = ResourceContents::text(text, address).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![contents]))
}

async fn history(caller: &Caller) -> Result<Messages, ClientError> {
    let newest = History::default().limit(LOOKED_THROUGH);
    caller.client().list_messages(&newest).await
}

fn summary(answer: &Messages) -> Summary<'_> {
    let is_unread = |message: &&Message| message.receipt_id.is_some() && message.read_at.is_none();
    let unread = answer.messages.iter().filter(is_unread);
    Summary {
        unread: answer.unread_total,
        highest_priority: answer.highest_priority,
        messages: unread.take(NAMED_MAX).map(line).collect(),
    }
}

fn line(message: &Message) -> Line<'_> {
    Line {
        message_id: message.message_id.to_string(),
        from: message.from.as_str(),
        from_instance_id: message.from_instance_id.as_str(),
        priority: message.priority,
        sent_at: ms(message.sent_at),
    }
}

/// Tells of every change that brings mail, until it is dropped.
pub(crate) async fn follow(caller: &Caller, sink: &SubscriptionSink) -> Result<(), ErrorData> {
    let accepted = sink.accepted().resource_subscriptions.as_deref();
    let Some(address) = accepted.and_then(|uris| uris.first()) else {
        // Nothing that changes was asked for.
        return std::future::pending().await;
    };
    if !is_of(caller, address) {
        return Err(not_found(address));
    }
    let mut bell = caller
        .client()
        .mail_bell()
        .await
        .map_err(|error| failed(&error))?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    // What had come before the bell hung is news, too: it may have come after the subscription began.
    let mut known = 0;
    loop {
        let rang = tokio::select! {
            () = bell.rung() => true,
            _ = looks.tick() => false,
        };
        // Where nothing can be learnt now, the next look does.
        let who = caller.client().whoami().await.ok();
        let unread = who.and_then(|who| who.unread_total).unwrap_or(known);
        let grew = unread > known;
        known = unread;
        if (rang || grew) && sink.notify_resource_updated(address).await.is_err() {
            // Nobody listens any more.
            return Ok(());
        }
    }
}

fn not_found(address: &str) -> ErrorData {
    let address: String = address.chars().take(REPEATED_MAX_CHARS).collect();
    ErrorData::resource_not_found("there is no such resource", Some(json!({ "uri": address })))
}

fn failed(error: &ClientError) -> ErrorData {
    let refusal = error.to_refusal();
    let message = format!("{}: {}; {}", refusal.code, refusal.message, refusal.remedy);
    ErrorData::internal_error(message, Some(json!(refusal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_senders_and_never_says_what_they_wrote() {
        let message = |id: u8, receipt: bool, read: bool, priority: &str| {
            json!({
                "messageId": format!("01890000-0000-7000-8000-0000000000{id:02}"),
                "receiptId": receipt.then_some("rcpt-1"), "from": "bob", "fromInstanceId": "pi",
                "channel": "tau", "instanceId": null, "content": "canary", "sentAt": 5,
                "deliveredAt": null, "readAt": read.then_some(7), "replyTo": null,
                "priority": priority, "metadata": {"k": "canary"}
            })
        };
        let answer: Messages = serde_json::from_value(json!({
            "messages": [
                message(1, true, true, "urgent"), message(2, true, false, "high"),
                message(3, false, false, "urgent"), message(4, true, false, "low")
            ],
            "unreadTotal": 7, "highestPriority": "urgent", "truncated": false, "nextCursor": null,
            "position": {"shard": 0, "epoch": 1, "sequence": 9}
        }))
        .unwrap();
        let summary = serde_json::to_value(summary(&answer)).unwrap();
        assert_eq!(summary["unread"], 7);
        assert_eq!(summary["highestPriority"], "urgent");
        assert_eq!(summary["messages"].as_array().unwrap().len(), 2);
        assert!(!summary.to_string().contains("canary"));
    }
}
