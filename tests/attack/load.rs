//! Too much of everything from one agent: subscriptions, connections, answers that it does not read,
//! requests. Its neighbours in the other tenant are served meanwhile. How fast is measured by the bench.

use crate::harness::eventually;
use crate::socket::{self, Frame, Socket};
use crate::stage::{INSTANCE, Stage};
use postroad_protocol::subject::inbox_prefix;
use serde_json::json;

/// What a neighbour needs: it sends, the message arrives, it is read.
async fn expect_neighbours_served(stage: &Stage, after: &str) {
    let body = json!({"channel": "pi", "content": after});
    let sent = stage.owner.call("send_message", body).await;
    assert!(sent["messageId"].is_string(), "after {after}: {sent}");
    let check = json!({"fresh": true, "waitMs": 60_000, "limit": 1});
    let page = stage.peer.call("check_messages", check).await;
    let receipt = &page["messages"][0]["receiptId"];
    let mark = json!({"receiptIds": [receipt]});
    let marked = stage.peer.call("mark_as_read", mark).await;
    assert_eq!(
        marked["marked"],
        json!([receipt]),
        "after {after}: {marked}"
    );
}

#[tokio::test]
async fn thousands_of_subscriptions_are_bounded_and_harm_nobody() {
    let stage = Stage::set().await;
    let parts = stage.parts().await;
    let prefix = inbox_prefix("acme-two", "tau", INSTANCE);
    let mut attackers = Vec::new();
    for connection in 0..20 {
        let mut attacker = Socket::connect(&stage.deployment.url, &stage.stranger.creds)
            .await
            .unwrap();
        for number in 0..1_000 {
            attacker
                .subscribe(&format!("{prefix}.{connection}.{number}.>"))
                .await;
        }
        let said = attacker.settle().await;
        let too_many = said.iter().any(|frame| {
            matches!(frame, Frame::Error(error) if error.eq_ignore_ascii_case("maximum subscriptions exceeded"))
        });
        assert!(
            too_many,
            "one connection holds a bounded number: {:?}",
            said.first()
        );
        attackers.push(attacker);
    }
    expect_neighbours_served(&stage, "thousands of subscriptions").await;
    stage
        .expect_unharmed(&parts, "thousands of subscriptions")
        .await;
}

#[tokio::test]
async fn who_never_reads_is_cut_off_and_nobody_else_waits() {
    let stage = Stage::set().await;
    let parts = stage.parts().await;
    let content = "x".repeat(200_000);
    for _ in 0..2 {
        let body = json!({"channel": "tau", "content": content});
        stage.double.call("send_message", body).await;
    }
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", INSTANCE));
    let mut deaf = Socket::connect(&stage.deployment.url, &stage.stranger.creds)
        .await
        .unwrap();
    for subject in [
        "postroad.acme-two.push.tau",
        "postroad.acme-two.push.broadcast",
        inbox.as_str(),
    ] {
        deaf.subscribe(subject).await;
    }
    // Bells for it, and answers of 400 KB each: together more than the server keeps for one connection.
    let query = stage.stranger.subject("list_messages");
    for round in 0..12 {
        for _ in 0..24 {
            deaf.publish(query.as_bytes(), inbox.as_bytes(), br#"{"fresh":true}"#)
                .await;
        }
        let body = json!({"channel": "broadcast", "content": "x".repeat(16_000)});
        let sent = stage.double.call("send_message", body).await;
        assert!(sent["messageId"].is_string(), "{sent}");
        expect_neighbours_served(
            &stage,
            &format!("round {round} of answers that nobody reads"),
        )
        .await;
    }
    stage
        .expect_unharmed(&parts, "answers that nobody reads")
        .await;
    eventually("the one who never reads is cut off", async || {
        stage.connections(socket::NAME).await.is_empty()
    })
    .await;
    let again = stage
        .stranger
        .call("check_messages", json!({"fresh": true, "limit": 1}))
        .await;
    assert_eq!(
        again["messages"].as_array().map(Vec::len),
        Some(1),
        "{again}"
    );
}

#[tokio::test]
async fn every_check_of_a_neighbour_succeeds_while_one_tenant_floods() {
    let stage = Stage::set().await;
    let parts = stage.parts().await;
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", INSTANCE));
    let mut flood = Socket::connect(&stage.deployment.url, &stage.stranger.creds)
        .await
        .unwrap();
    flood.subscribe(&inbox).await;
    let requests = [
        ("send_message", json!({"channel": "pi", "content": "flood"})),
        (
            "send_message",
            json!({"channel": "nobody", "content": "flood"}),
        ),
        ("set_summary", json!({"summary": "flood"})),
        ("mark_as_read", json!({"receiptIds": ["rcpt-x"]})),
        ("check_messages", json!({"fresh": true, "waitMs": 60_000})),
        ("list_messages", json!({"limit": 200})),
        ("list_peers", json!({})),
    ];
    let requests = requests.map(|(verb, body)| (stage.stranger.subject(verb), body.to_string()));
    for round in 0..10 {
        for _ in 0..100 {
            for (subject, body) in &requests {
                flood
                    .publish(subject.as_bytes(), inbox.as_bytes(), body.as_bytes())
                    .await;
            }
        }
        expect_neighbours_served(&stage, &format!("round {round} of a flood")).await;
    }
    // The flood was heard: it was answered, in its turn or with a refusal.
    let answer = flood.answer(&inbox).await;
    assert!(answer.is_object(), "{answer}");
    assert_eq!(stage.parts().await, parts);
}
