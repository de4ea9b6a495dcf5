//! Every JSON example of the seeds' messaging texts is a tool's arguments as it stands there.

use crate::client::{Mcp, NEW, OLD, agent};
use crate::harness::Deployment;
use serde_json::{Value, json};

#[track_caller]
fn contents(mail: &Value) -> Vec<&str> {
    let messages = mail["messages"].as_array().unwrap().iter();
    messages
        .map(|message| message["content"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messaging_examples_work_unchanged() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    let join = async |role, instance| agent(&deployment, OLD, "default", role, instance).await;
    let alice = join("alice", "tau-main").await;
    let bob = join("bob", "pi-chromebook").await;
    let tau = join("tau", "tau-1").await;
    let phi = join("phi", "phi-1").await;
    let (laptop, server) = (
        join("alice", "tau-laptop").await,
        join("alice", "tau-server").await,
    );
    let send = |from: &Mcp, example: Value| from.call("send_message", example).0;

    send(
        &alice,
        json!({
            "from": "alice",
            "channel": "bob",
            "content": "Phase 1 complete. Nav and Hero sections migrated."
        }),
    );
    send(
        &bob,
        json!({
            "from": "bob",
            "channel": "broadcast",
            "content": "Merge freeze starts Thursday. No non-critical commits after 2026-04-03."
        }),
    );
    send(
        &bob,
        json!({
            "from": "bob",
            "channel": "tau,phi",
            "content": "New mission created: landing-page-phase-2. Check your tasks."
        }),
    );
    send(
        &bob,
        json!({
            "from": "bob",
            "channel": "alice",
            "content": "Deploy the landing page preview."
        }),
    );
    send(
        &bob,
        json!({
            "from": "bob",
            "channel": "alice",
            "instanceId": "tau-laptop",
            "content": "This is for the laptop instance specifically."
        }),
    );
    send(
        &alice,
        json!({
            "from": "alice",
            "channel": "bob",
            "content": "Task task-abc123 complete. LandingNav migrated to lit-ui. Biome and tsc passing. PR #47 submitted."
        }),
    );

    assert_eq!(bob.unread().len(), 2);
    let mission = "New mission created: landing-page-phase-2. Check your tasks.";
    assert_eq!(tau.unread()[1], mission);
    assert_eq!(phi.unread()[1], mission);
    assert!(
        laptop
            .unread()
            .iter()
            .any(|content| content.contains("laptop instance"))
    );
    assert!(
        !server
            .unread()
            .iter()
            .any(|content| content.contains("laptop instance"))
    );

    let example = json!({"recipient": "alice", "recipientInstanceId": "tau-main"});
    let (mail, _) = alice.call("check_messages", example.clone());
    assert_eq!(contents(&mail)[1], "Deploy the landing page preview.");
    let message = &mail["messages"][1];
    for field in ["messageId", "receiptId", "content"] {
        assert!(message[field].is_string(), "{message}");
    }
    assert_eq!(message.get("readAt"), Some(&Value::Null));
    alice.call(
        "mark_as_read",
        json!({"receiptIds": [message["receiptId"]]}),
    );
    let (mail, _) = alice.call("check_messages", example);
    assert_eq!(contents(&mail).len(), 1);
    let (marked, _) = alice.call("mark_as_read", json!({"receiptIds": ["rcpt-xyz"]}));
    assert_eq!(marked["notFound"], json!(["rcpt-xyz"]));

    bob.call("set_summary", json!({"summary": "Reviewing PR #47"}));
    let (peers, _) = alice.call("list_peers", json!({}));
    let peers = peers["peers"].as_array().unwrap();
    let bob = peers.iter().find(|peer| peer["id"] == "bob").unwrap();
    assert_eq!(bob["instanceId"], "pi-chromebook");
    assert_eq!(bob["summary"], "Reviewing PR #47");
    assert!(bob["lastSeen"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_companies_example_works_unchanged() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    for tenant in ["acme-corp", "globex-corp"] {
        deployment.tenant(tenant).await;
    }
    let tau = agent(&deployment, NEW, "acme-corp", "tau", "tau-main").await;
    let pi = agent(&deployment, NEW, "acme-corp", "pi", "pi-main").await;
    let other = agent(&deployment, NEW, "globex-corp", "pi", "pi-main").await;
    let done = "Acme catalog migration complete. PR #112 ready for review.";
    tau.call(
        "send_message",
        json!({
            "from": "tau", "channel": "pi", "content": done, "tenantId": "acme-corp"
        }),
    );
    let example = json!({
        "recipient": "pi", "recipientInstanceId": "pi-main", "tenantId": "acme-corp"
    });
    let (mail, _) = pi.call("check_messages", example.clone());
    assert_eq!(contents(&mail), [done]);
    let refusal = other.refusal("check_messages", example);
    assert_eq!(
        (&refusal["code"], &refusal["field"]),
        (&json!("permission_denied"), &json!("tenantId"))
    );
}
