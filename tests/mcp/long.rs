//! Long answers are cut where they must be, and nothing is lost by it: cursors and offsets go on where an
//! answer stopped.

use crate::client::{Mcp, OLD, agent};
use crate::harness::Deployment;
use serde_json::{Value, json};

/// Reads a list to its end by its cursors; the messages, and in how many answers they came.
fn whole(agent: &Mcp, tool: &str, limit: Option<u32>) -> (Vec<Value>, usize) {
    let (mut messages, mut answers, mut cursor) = (Vec::new(), 0, Value::Null);
    loop {
        let (page, text) = agent.call(tool, json!({"limit": limit, "cursor": cursor}));
        messages.extend(page["messages"].as_array().unwrap().iter().cloned());
        answers += 1;
        if page["truncated"] != true {
            return (messages, answers);
        }
        cursor = page["nextCursor"].clone();
        assert!(
            text.contains(cursor.as_str().unwrap()),
            "the text says how to go on"
        );
        assert!(answers < 100, "the list has an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_read_whole_by_its_cursors_and_each_message_comes_once() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    let content = |n: usize| {
        let size = [10, 4_000, 15_000, 60_000][n % 4];
        format!("{n}:{}", "é\"\n\\".repeat(size / 6))
    };
    let sent: Vec<String> = (0..24).map(|n| alice.send("bob", &content(n))).collect();
    let ids = |messages: &[Value]| -> Vec<String> {
        let id = |message: &Value| message["messageId"].as_str().unwrap().to_owned();
        messages.iter().map(id).collect()
    };
    for limit in [None, Some(1), Some(7), Some(200)] {
        let (messages, answers) = whole(&bob, "check_messages", limit);
        assert_eq!(ids(&messages), sent, "with the limit {limit:?}");
        assert!(answers > 4, "{answers} answers");
        for (n, message) in messages.iter().enumerate() {
            let shown = message["content"].as_str().unwrap();
            let is_cut = message["contentTruncated"] == true;
            assert_eq!(is_cut, shown.len() < content(n).len());
            assert!(content(n).starts_with(shown));
        }
    }
    let (mut history, _) = whole(&bob, "list_messages", None);
    history.reverse();
    assert_eq!(ids(&history), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_is_obtainable_in_parts() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    let content: String = "0123456789é\n🚚\"".chars().cycle().take(200_000).collect();
    assert!(
        content.len() > 250 * 1024 && content.len() <= 256 * 1024,
        "{}",
        content.len()
    );
    let id = alice.send("bob", &content);

    let (mail, text) = bob.call("check_messages", json!({}));
    let first = &mail["messages"][0];
    assert_eq!(first["contentTruncated"], true);
    assert_eq!(first["contentBytes"], content.len());
    let mut read = first["content"].as_str().unwrap().to_owned();
    let mut next = first["nextContentOffset"].clone();
    assert!(text.contains(&format!(
        r#"get_message {{"messageId":"{id}","contentOffset":{next}}}"#
    )));
    let mut parts = 1;
    while !next.is_null() {
        let (part, _) = bob.call(
            "get_message",
            json!({"messageId": id, "contentOffset": next}),
        );
        assert_eq!(part["message"]["contentOffset"], next);
        read.push_str(part["message"]["content"].as_str().unwrap());
        next = part["message"]["nextContentOffset"].clone();
        parts += 1;
    }
    assert!(read == content, "the parts make the whole");
    assert!(parts > 10);
    for offset in [json!(-1), json!(11), json!(content.len() + 1)] {
        let refusal = bob.refusal(
            "get_message",
            json!({"messageId": id, "contentOffset": offset}),
        );
        assert_eq!(refusal["field"], "contentOffset");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_peers_and_many_receipts_come_in_pages() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let mut roles = vec!["alice".to_owned()];
    for n in 0..60 {
        let role = format!("role-{n:02}");
        let client = deployment.agent("acme", &role, &"i".repeat(60)).await;
        client.set_summary(&"\"".repeat(1_000)).await.unwrap();
        roles.push(role);
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let (page, _) = alice.call("list_peers", json!({"cursor": cursor}));
        let peers = page["peers"].as_array().unwrap().iter();
        seen.extend(peers.map(|peer| peer["id"].as_str().unwrap().to_owned()));
        pages += 1;
        if page["truncated"] != true {
            break;
        }
        cursor = page["nextCursor"].clone();
    }
    assert_eq!(seen, roles);
    assert!(pages > 3, "{pages} pages");

    let id = alice.send("broadcast", "to all");
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let (page, _) = alice.call("message_status", json!({"messageId": id, "cursor": cursor}));
        assert_eq!(page["recipientCount"], 60);
        let receipts = page["receipts"].as_array().unwrap().iter();
        seen.extend(receipts.map(|receipt| receipt["recipient"].as_str().unwrap().to_owned()));
        if page["truncated"] != true {
            break;
        }
        cursor = page["nextCursor"].clone();
    }
    assert_eq!(seen, roles[1..]);
}
