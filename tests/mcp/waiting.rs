//! Waiting for mail, and ending while somebody waits.

use crate::client::{NEW, OLD, agent};
use crate::harness::process::is_running;
use crate::harness::{Deployment, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_the_first_message_and_behind_a_cursor_with_the_next() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    for revision in [OLD, NEW] {
        let role = format!("bob-{}", revision.len() + usize::from(revision == NEW));
        let bob = agent(&deployment, revision, "acme", &role, "pi").await;
        let begun = Instant::now();
        let id = bob.begin(
            "tools/call",
            json!({"name": "wait_for_messages", "arguments": {}}),
        );
        // A wait keeps nobody else waiting.
        let other = bob.begin("tools/call", json!({"name": "whoami", "arguments": {}}));
        assert_eq!(
            bob.answer(other)["result"]["structuredContent"]["role"],
            role.as_str()
        );
        alice.send(&role, "first");
        let mail = bob.answer(id)["result"]["structuredContent"].clone();
        assert_eq!(mail["messages"][0]["content"], "first");
        assert!(begun.elapsed() < Duration::from_secs(30));
        let behind = json!({"cursor": mail["nextCursor"], "waitMs": 40_000});
        let id = bob.begin(
            "tools/call",
            json!({"name": "wait_for_messages", "arguments": behind}),
        );
        alice.send(&role, "second");
        let mail = bob.answer(id)["result"]["structuredContent"].clone();
        assert_eq!(mail["messages"].as_array().unwrap().len(), 1);
        assert_eq!(mail["messages"][0]["content"], "second");
        let (none, text) = bob.call(
            "wait_for_messages",
            json!({"cursor": mail["nextCursor"], "waitMs": 100}),
        );
        assert_eq!(none["messages"], json!([]));
        assert_eq!(none["unread"]["count"], 2);
        assert!(
            text.starts_with("Nothing more behind this cursor."),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_a_wait_leaves_nothing_behind() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let wait = || json!({"name": "wait_for_messages", "arguments": {}});
    for revision in [OLD, NEW] {
        let leaving = agent(&deployment, revision, "acme", "bob", revision).await;
        leaving.begin("tools/call", wait());
        leaving.call("whoami", json!({}));
        let pid = leaving.pid();
        leaving.close().expect_prompt();
        assert!(!is_running(pid));
        let stopped = agent(&deployment, revision, "acme", "carol", revision).await;
        stopped.begin("tools/call", wait());
        stopped.call("whoami", json!({}));
        stopped.terminate().expect_prompt();
        // Whoever has gone is offline at once, and gets what comes later when it is back.
        eventually("bob is seen to have left", async || {
            let (peers, _) = alice.call("list_peers", json!({}));
            let gone = peers["peers"].as_array().unwrap().iter();
            gone.filter(|peer| peer["id"] != "alice")
                .all(|peer| peer["online"] == false)
        })
        .await;
    }
    alice.send("bob", "while you were away");
    let bob = agent(&deployment, NEW, "acme", "bob", NEW).await;
    assert_eq!(bob.unread(), ["while you were away"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_taken_back_is_not_answered() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    let id = bob.begin(
        "tools/call",
        json!({"name": "wait_for_messages", "arguments": {}}),
    );
    bob.notify(
        "notifications/cancelled",
        json!({"requestId": id, "reason": "enough"}),
    );
    // Were it answered, that answer would come before one of these.
    for _ in 0..5 {
        bob.call("whoami", json!({}));
    }
    bob.close().expect_prompt();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_the_end_of_the_stream_is_answered() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    let id = bob.begin("tools/call", json!({"name": "whoami", "arguments": {}}));
    let ended = bob.close();
    ended.expect_prompt();
    let answers = ended
        .rest
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let answer = answers
        .into_iter()
        .find(|answer| answer["id"] == id)
        .expect("it is answered");
    assert_eq!(answer["result"]["structuredContent"]["role"], "bob");
}
