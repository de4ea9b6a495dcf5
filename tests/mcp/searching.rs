//! Messages are found by their words: one's own, and nobody else's.

use crate::client::{NEW, OLD, agent};
use crate::harness::Deployment;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_their_words_in_ones_own_history_alone() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, NEW, "acme", "bob", "pi").await;
    let carol = agent(&deployment, NEW, "acme", "carol", "pi").await;
    let other = agent(&deployment, NEW, "globex", "bob", "pi").await;
    let review = alice.send("bob", "The quokka review of PR 47 is done.");
    alice.send("bob", "Nothing about that animal.");
    bob.send("carol", "A quokka for carol alone.");
    let long = format!("quokka {}", "é\n".repeat(50_000));
    let long = alice.send("bob", &long);

    let (found, text) = bob.call(
        "search_messages",
        json!({"query": "quokka reviews", "sender": "alice"}),
    );
    let hits = found["messages"].as_array().unwrap();
    let ids: Vec<&str> = hits
        .iter()
        .map(|hit| hit["messageId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&*review, &*long], "{text}");
    assert_eq!(found["matched"], 2);
    assert!(hits[0]["score"].as_f64().unwrap() > hits[1]["score"].as_f64().unwrap());
    assert_eq!(hits[1]["contentTruncated"], true);
    assert!(hits[1]["content"].as_str().unwrap().len() > 5_000);
    assert!(
        text.starts_with("Best 2 of 2 that have any of the words."),
        "{text}"
    );
    assert!(text.contains("\n\n1. Score ") && text.contains(" written by alice/desk ====="));
    assert!(text.contains(&format!(
        r#"get_message {{"messageId":"{long}","contentOffset":"#
    )));

    let (of_carol, _) = carol.call("search_messages", json!({"query": "quokka"}));
    assert_eq!(
        of_carol["messages"].as_array().unwrap().len(),
        1,
        "{of_carol}"
    );
    assert_eq!(
        of_carol["messages"][0]["content"],
        "A quokka for carol alone."
    );
    let (nothing, text) = other.call("search_messages", json!({"query": "quokka"}));
    assert_eq!(
        (&nothing["messages"], &nothing["matched"]),
        (&json!([]), &json!(0))
    );
    assert!(
        text.starts_with("No message that you sent or received"),
        "{text}"
    );
    let (mail, _) = bob.call("check_messages", json!({}));
    assert_eq!(
        mail["unread"]["count"], 3,
        "a search reads nothing for anybody"
    );

    for (change, field) in [
        (json!({"query": ""}), "query"),
        (json!({"query": "x".repeat(1_025)}), "query"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"sender": "no role"}), "sender"),
        (json!({"since": -1}), "since"),
        (json!({"cursor": "x"}), "cursor"),
        (json!({"tenantId": "globex"}), "tenantId"),
    ] {
        let mut arguments = json!({"query": "quokka"});
        for (name, value) in change.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        assert_eq!(bob.refusal("search_messages", arguments)["field"], field);
    }
}
