//! Every JSON example of the seeds' messaging texts, sent as it stands there. Credentials supply
//! what the examples leave to trust.

use crate::harness::raw;
use crate::harness::road::{Road, promised_by_both_kinds};
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

promised_by_both_kinds!(
    direct_broadcast_and_multi_target_examples_reach_whom_they_name,
    role_and_instance_routing_examples_reach_all_or_one,
    the_receipt_lifecycle_example_runs_from_unread_to_read,
    the_list_peers_example_names_instances_with_their_summaries,
    the_two_companies_example_keeps_equal_roles_apart,
);

/// An agent that speaks JSON over plain NATS, as the seeds' examples do.
struct Agent {
    client: async_nats::Client,
    tenant: String,
    role: String,
    instance: String,
}

impl Agent {
    async fn new(road: &Road, tenant: &str, role: &str, instance: &str) -> Self {
        let creds = road.creds(tenant, role, Some(instance)).await;
        let client = raw::connect(road.url(), &creds, &inbox_prefix(tenant, role, instance)).await;
        Self {
            client,
            tenant: tenant.into(),
            role: role.into(),
            instance: instance.into(),
        }
    }

    async fn call(&self, kind: &str, scope: &str, verb: &str, body: &Value) -> Value {
        let subject = format!(
            "postroad.{}.{kind}.{}.{}.{scope}.{verb}",
            self.tenant, self.role, self.instance
        );
        raw::request(&self.client, &subject, body.to_string()).await
    }

    async fn send(&self, body: Value) -> Value {
        let sent = self.call("cmd", "messages", "send_message", &body).await;
        assert!(sent["messageId"].is_string(), "{sent}");
        sent
    }

    /// What is unread, including everything stored until now.
    async fn check(&self, mut body: Value) -> Vec<Value> {
        body["fresh"] = json!(true);
        let answer = self.call("qry", "messages", "check_messages", &body).await;
        answer["messages"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .clone()
    }

    async fn contents(&self) -> Vec<String> {
        let unread = self.check(json!({})).await;
        unread
            .iter()
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn direct_broadcast_and_multi_target_examples_reach_whom_they_name(road: Road) {
    let alice = Agent::new(&road, "default", "alice", "tau-main").await;
    let bob = Agent::new(&road, "default", "bob", "pi-chromebook").await;
    let tau = Agent::new(&road, "default", "tau", "tau-1").await;
    let phi = Agent::new(&road, "default", "phi", "phi-1").await;

    alice
        .send(json!({
            "from": "alice",
            "channel": "bob",
            "content": "Phase 1 complete. Nav and Hero sections migrated."
        }))
        .await;
    bob.send(json!({
        "from": "bob",
        "channel": "broadcast",
        "content": "Merge freeze starts Thursday. No non-critical commits after 2026-04-03."
    }))
    .await;
    let sent = bob
        .send(json!({
            "from": "bob",
            "channel": "tau,phi",
            "content": "New mission created: landing-page-phase-2. Check your tasks."
        }))
        .await;
    assert_eq!(sent["recipientCount"], 2);
    assert_eq!(sent["recipients"], json!(["tau/tau-1", "phi/phi-1"]));

    let freeze = "Merge freeze starts Thursday. No non-critical commits after 2026-04-03.";
    let mission = "New mission created: landing-page-phase-2. Check your tasks.";
    // The sender gets no receipt of its own broadcast.
    assert_eq!(
        bob.contents().await,
        ["Phase 1 complete. Nav and Hero sections migrated."]
    );
    assert_eq!(alice.contents().await, [freeze]);
    assert_eq!(tau.contents().await, [freeze, mission]);
    assert_eq!(phi.contents().await, [freeze, mission]);
}

async fn role_and_instance_routing_examples_reach_all_or_one(road: Road) {
    let bob = Agent::new(&road, "default", "bob", "pi-chromebook").await;
    let laptop = Agent::new(&road, "default", "alice", "tau-laptop").await;
    let server = Agent::new(&road, "default", "alice", "tau-server").await;
    bob.send(json!({
        "from": "bob",
        "channel": "alice",
        "content": "Deploy the landing page preview."
    }))
    .await;
    let sent = bob
        .send(json!({
            "from": "bob",
            "channel": "alice",
            "instanceId": "tau-laptop",
            "content": "This is for the laptop instance specifically."
        }))
        .await;
    assert_eq!(sent["recipients"], json!(["alice/tau-laptop"]));
    let (both, one) = (
        "Deploy the landing page preview.",
        "This is for the laptop instance specifically.",
    );
    assert_eq!(laptop.contents().await, [both, one]);
    assert_eq!(server.contents().await, [both]);
}

async fn the_receipt_lifecycle_example_runs_from_unread_to_read(road: Road) {
    let bob = Agent::new(&road, "default", "bob", "pi-chromebook").await;
    let alice = Agent::new(&road, "default", "alice", "tau-main").await;
    let sent = bob
        .send(json!({ "from": "bob", "channel": "alice", "content": "Check your tasks." }))
        .await;

    // Session start: whatever arrived while away, in order, unread.
    let who = json!({ "recipient": "alice", "recipientInstanceId": "tau-main" });
    let unread = alice.check(who.clone()).await;
    assert_eq!(unread.len(), 1);
    assert_eq!(unread[0]["messageId"], sent["messageId"]);
    assert_eq!(unread[0]["readAt"], Value::Null);
    assert!(unread[0]["receiptId"].is_string());

    // Checking again shows it again: only marking hides it.
    assert_eq!(alice.check(who.clone()).await.len(), 1);
    let receipt = unread[0]["receiptId"].clone();
    let marked = alice
        .call(
            "cmd",
            "messages",
            "mark_as_read",
            &json!({ "receiptIds": [receipt] }),
        )
        .await;
    assert_eq!(marked["marked"], json!([receipt]));
    assert_eq!(alice.check(who).await.len(), 0);

    let again = alice
        .call(
            "cmd",
            "messages",
            "mark_as_read",
            &json!({ "receiptIds": [receipt, "rcpt-xyz"] }),
        )
        .await;
    assert_eq!(again["alreadyRead"], json!([receipt]));
    assert_eq!(again["notFound"], json!(["rcpt-xyz"]));

    let status = bob
        .call(
            "qry",
            "messages",
            "message_status",
            &json!({ "messageId": sent["messageId"], "fresh": true }),
        )
        .await;
    assert_eq!(
        (&status["recipientCount"], &status["readCount"]),
        (&json!(1), &json!(1)),
        "{status}"
    );
    assert!(status["receipts"][0]["readAt"].is_u64(), "{status}");
    assert!(status["receipts"][0]["deliveredAt"].is_u64(), "{status}");

    // The message persists for audit although nobody has it unread.
    let kept = alice
        .call(
            "qry",
            "messages",
            "get_message",
            &json!({ "messageId": sent["messageId"] }),
        )
        .await;
    assert_eq!(kept["message"]["content"], "Check your tasks.");

    let report = alice
        .send(json!({
            "from": "alice",
            "channel": "bob",
            "content": "Task task-abc123 complete. LandingNav migrated to lit-ui. Biome and tsc passing. PR #47 submitted."
        }))
        .await;
    assert_eq!(
        bob.check(json!({})).await[0]["messageId"],
        report["messageId"]
    );
}

async fn the_list_peers_example_names_instances_with_their_summaries(road: Road) {
    let bob = Agent::new(&road, "default", "bob", "pi-chromebook").await;
    let alice = Agent::new(&road, "default", "alice", "tau-main").await;
    for (agent, summary) in [
        (&bob, "Reviewing PR #47"),
        (&alice, "Migrating PricingSection to lit-ui"),
    ] {
        let done = agent
            .call("cmd", "self", "set_summary", &json!({ "summary": summary }))
            .await;
        assert!(done["position"].is_object(), "{done}");
    }
    let answer = bob
        .call("qry", "self", "list_peers", &json!({ "fresh": true }))
        .await;
    let peers = answer["peers"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    let shown: Vec<_> = peers
        .iter()
        .map(|peer| (&peer["id"], &peer["instanceId"], &peer["summary"]))
        .collect();
    let text = |text: &str| json!(text);
    assert_eq!(
        shown,
        [
            (
                &text("alice"),
                &text("tau-main"),
                &text("Migrating PricingSection to lit-ui")
            ),
            (
                &text("bob"),
                &text("pi-chromebook"),
                &text("Reviewing PR #47")
            ),
        ]
    );
    assert!(
        peers.iter().all(|peer| peer["lastSeen"].is_u64()),
        "{answer}"
    );
    assert_eq!(peers[1]["online"], true, "who asks is online: {answer}");
}

async fn the_two_companies_example_keeps_equal_roles_apart(road: Road) {
    road.tenant("acme-corp").await;
    road.tenant("globex-corp").await;
    let acme_tau = Agent::new(&road, "acme-corp", "tau", "tau-1").await;
    let acme_pi = Agent::new(&road, "acme-corp", "pi", "pi-main").await;
    let globex_tau = Agent::new(&road, "globex-corp", "tau", "tau-1").await;
    let globex_pi = Agent::new(&road, "globex-corp", "pi", "pi-main").await;

    acme_tau
        .send(json!({
            "from": "tau",
            "channel": "pi",
            "content": "Acme catalog migration complete. PR #112 ready for review.",
            "tenantId": "acme-corp"
        }))
        .await;
    let check =
        json!({ "recipient": "pi", "recipientInstanceId": "pi-main", "tenantId": "acme-corp" });
    let unread = acme_pi.check(check.clone()).await;
    assert_eq!(
        unread[0]["content"],
        "Acme catalog migration complete. PR #112 ready for review."
    );

    // The same words from the other company are refused, and its own box is empty.
    let refused = globex_pi
        .call("qry", "messages", "check_messages", &check)
        .await;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("permission_denied"), &json!("tenantId"))
    );
    assert!(
        globex_pi
            .check(json!({ "tenantId": "globex-corp" }))
            .await
            .is_empty()
    );
    let refused = globex_tau
        .call(
            "cmd",
            "messages",
            "send_message",
            &json!({ "channel": "pi", "content": "x", "tenantId": "acme-corp" }),
        )
        .await;
    assert_eq!(refused["code"], "permission_denied");
    assert_eq!(acme_pi.check(check).await.len(), 1);
}
