//! Every tool does what it says, in both revisions of the protocol.

use crate::client::{NEW, OLD, agent};
use crate::harness::Deployment;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_works_in_the_revision_with_a_handshake() {
    every_tool_works(OLD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_works_in_the_revision_without_one() {
    every_tool_works(NEW).await;
}

async fn every_tool_works(revision: &'static str) {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, revision, "acme", "alice", "desk").await;
    let bob = agent(&deployment, revision, "acme", "bob", "pi").await;

    let about = &alice.opened["result"];
    let versions = match revision {
        OLD => json!([about["protocolVersion"]]),
        _ => about["supportedVersions"].clone(),
    };
    assert!(
        versions.as_array().unwrap().contains(&json!(revision)),
        "{about}"
    );
    assert!(
        about["instructions"]
            .as_str()
            .unwrap()
            .starts_with("Postroad carries")
    );
    assert!(
        about.to_string().contains(r#""name":"postroad""#),
        "{about}"
    );

    let (me, text) = alice.call("whoami", json!({}));
    assert_eq!(me["tenantId"], "acme");
    assert_eq!(
        (&me["role"], &me["instanceId"]),
        (&json!("alice"), &json!("desk"))
    );
    assert_eq!(me["scopes"], json!(["self", "messages"]));
    assert!(text.starts_with("You are alice/desk of tenant acme"));

    let (summary, _) = alice.call("set_summary", json!({"summary": "Migrating \"Pricing\""}));
    assert_eq!(summary["summary"], "Migrating \"Pricing\"");
    let (peers, text) = bob.call("list_peers", json!({}));
    let listed: Vec<&Value> = peers["peers"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2, "{peers}");
    assert_eq!(listed[0]["id"], "alice");
    assert_eq!(listed[0]["summary"], "Migrating \"Pricing\"");
    assert_eq!(
        listed[0]["online"], true,
        "a session keeps its agent present: {peers}"
    );
    assert!(text.contains(r#"says "Migrating \"Pricing\"""#), "{text}");

    let (nothing, text) = bob.call("check_messages", json!({}));
    assert_eq!(nothing["messages"], json!([]));
    assert_eq!(nothing["unread"]["count"], 0);
    assert!(text.starts_with("No unread messages."));

    let (sent, text) = alice.call(
        "send_message",
        json!({
            "channel": "bob", "content": "Review #47, please.", "priority": "high",
            "metadata": {"task": "nav"}, "messageId": "01890000-0000-7000-8000-0000000000aa"
        }),
    );
    assert_eq!(sent["messageId"], "01890000-0000-7000-8000-0000000000aa");
    assert_eq!(sent["recipientCount"], 1);
    assert_eq!(sent["recipients"], json!(["bob/pi"]));
    assert!(text.contains("bob/pi"));

    let (mail, text) = bob.call("check_messages", json!({}));
    let message = &mail["messages"][0];
    assert_eq!(message["content"], "Review #47, please.");
    assert_eq!(
        (&message["from"], &message["fromInstanceId"]),
        (&json!("alice"), &json!("desk"))
    );
    assert_eq!(message["priority"], "high");
    assert_eq!(message["metadata"], json!({"task": "nav"}));
    assert_eq!(message["readAt"], Value::Null);
    let waiting = json!({"count": 1, "highestPriority": "high"});
    assert_eq!(mail["unread"], waiting);
    let (me, told) = bob.call("whoami", json!({}));
    assert_eq!(me["unread"], waiting, "every result tells it");
    assert!(told.ends_with("Unread: 1, highest priority high (check_messages shows them)"));
    assert!(text.contains("Review #47, please.") && text.contains("written by alice/desk"));

    let answered = json!({"channel": "alice", "content": "Done.", "replyTo": message["messageId"]});
    let (answer, _) = bob.call("send_message", answered);
    let (waited, _) = alice.call("wait_for_messages", json!({"waitMs": 10_000}));
    assert_eq!(waited["messages"][0]["messageId"], answer["messageId"]);
    assert_eq!(waited["messages"][0]["replyTo"], message["messageId"]);

    let (marked, text) = bob.call(
        "mark_as_read",
        json!({"receiptIds": [message["receiptId"]]}),
    );
    assert_eq!(marked["marked"], json!([message["receiptId"]]));
    assert_eq!(
        marked["unread"]["count"], 0,
        "a result tells what is so after it"
    );
    assert!(text.starts_with("Marked as read: 1"));
    let again = json!({"messageIds": [message["messageId"], "never-there"]});
    let (marked, text) = bob.call("mark_as_read", again);
    assert_eq!(marked["alreadyRead"], json!([message["messageId"]]));
    assert_eq!(marked["notFound"], json!(["never-there"]));
    assert!(text.contains("never-there"));

    let (status, text) = alice.call("message_status", json!({"messageId": sent["messageId"]}));
    assert_eq!(
        (&status["readCount"], &status["recipientCount"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["receipts"][0]["recipient"], "bob");
    assert!(status["receipts"][0]["readAt"].is_u64());
    assert!(text.contains("bob/pi: read "), "{text}");

    let (history, _) = bob.call("list_messages", json!({}));
    let ids: Vec<&Value> = history["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["messageId"])
        .collect();
    assert_eq!(
        ids,
        [&answer["messageId"], &sent["messageId"]],
        "newest first"
    );
    let (from_alice, _) = bob.call("list_messages", json!({"sender": "alice", "since": 1}));
    assert_eq!(from_alice["messages"].as_array().unwrap().len(), 1);

    let (one, text) = bob.call("get_message", json!({"messageId": sent["messageId"]}));
    assert_eq!(one["message"]["content"], "Review #47, please.");
    assert!(text.contains("written by alice/desk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_field_and_the_remedy() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let cases = [
        (
            "send_message",
            json!({"content": "x"}),
            "invalid_argument",
            "channel",
            "a string",
        ),
        (
            "send_message",
            json!({"chanel": "bob", "content": "x"}),
            "invalid_argument",
            "chanel",
            "`channel`",
        ),
        (
            "send_message",
            json!({"channel": "alise", "content": "x"}),
            "not_found",
            "channel",
            "alice",
        ),
        (
            "send_message",
            json!({"channel": "alice", "content": 7}),
            "invalid_argument",
            "content",
            "a string",
        ),
        (
            "send_message",
            json!({"channel": "alice", "content": ""}),
            "invalid_argument",
            "content",
            "one character",
        ),
        (
            "send_message",
            json!({"channel": "alice", "content": "x".repeat(256 * 1024 + 1)}),
            "too_large",
            "content",
            "reference",
        ),
        (
            "send_message",
            json!({"channel": "alice", "content": "x", "priority": "asap"}),
            "invalid_argument",
            "priority",
            "urgent",
        ),
        (
            "send_message",
            json!({"channel": "alice", "content": "x", "metadata": {"k": 1}}),
            "invalid_argument",
            "metadata.k",
            "an object",
        ),
        (
            "check_messages",
            json!({"limit": 201}),
            "invalid_argument",
            "limit",
            "1 to 200",
        ),
        (
            "check_messages",
            json!({"limit": "20"}),
            "invalid_argument",
            "limit",
            "an integer",
        ),
        (
            "check_messages",
            json!({"cursor": "garbage"}),
            "invalid_argument",
            "cursor",
            "without a cursor",
        ),
        (
            "wait_for_messages",
            json!({"waitMs": 50_001}),
            "invalid_argument",
            "waitMs",
            "several calls",
        ),
        (
            "mark_as_read",
            json!({}),
            "invalid_argument",
            "receiptIds",
            "check_messages",
        ),
        (
            "mark_as_read",
            json!({"receiptIds": "rcpt-1"}),
            "invalid_argument",
            "receiptIds",
            "a list",
        ),
        (
            "mark_as_read",
            json!({"receiptIds": ["a b"]}),
            "invalid_argument",
            "receiptIds[0]",
            "check_messages",
        ),
        (
            "message_status",
            json!({"messageId": "nonsense"}),
            "not_found",
            "messageId",
            "message",
        ),
        (
            "get_message",
            json!({"messageId": "01890000-0000-7000-8000-0000000000ff"}),
            "not_found",
            "messageId",
            "message",
        ),
        (
            "list_messages",
            json!({"since": -1}),
            "invalid_argument",
            "since",
            "milliseconds",
        ),
        (
            "list_messages",
            json!({"from": "bob"}),
            "invalid_argument",
            "from",
            "sender",
        ),
        (
            "set_summary",
            json!({"summary": "two\nlines"}),
            "invalid_argument",
            "summary",
            "one line",
        ),
        (
            "whoami",
            json!({"verbose": true}),
            "invalid_argument",
            "verbose",
            "tenantId",
        ),
    ];
    for (tool, arguments, code, field, remedy) in cases {
        let refusal = alice.refusal(tool, arguments.clone());
        let shown = format!("{tool}: {refusal}");
        assert_eq!(refusal["code"], code, "{shown}");
        if (tool, code) != ("set_summary", "invalid_argument") {
            assert_eq!(refusal["field"], field, "{shown}");
        }
        assert!(
            refusal["remedy"].as_str().unwrap().contains(remedy),
            "{shown}"
        );
    }
    assert_eq!(alice.unread(), Vec::<String>::new());
}
