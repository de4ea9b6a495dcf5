//! Memories that are longer than an answer, and more of them than one holds: nothing is lost by the cuts.

use crate::client::OLD;
use crate::harness::Deployment;
use crate::memories::{agent, store};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_memory_is_obtainable_in_parts_and_keeps_no_short_one_out() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let tau = agent(&deployment, OLD, "acme", "tau").await;
    let mut content: String = "walrus 0123456789é\n🚚\""
        .chars()
        .cycle()
        .take(55_000)
        .collect();
    while content.len() > 64 * 1024 {
        content.pop();
    }
    assert!(content.len() > 60 * 1024, "{}", content.len());
    let id = store(
        &tau,
        json!({"namespace": "global", "type": "reference", "content": content}),
    );
    for n in 0..5 {
        let short = format!("walrus {n}");
        store(
            &tau,
            json!({"namespace": "global", "type": "reference", "content": short}),
        );
    }
    let (found, text) = tau.call("recall", json!({"query": "walrus"}));
    assert_eq!(found["results"].as_array().unwrap().len(), 6, "{text}");
    assert_eq!(found["truncated"], false);
    let rows = found["results"].as_array().unwrap();
    let long = rows.iter().find(|row| row["memoryId"] == *id).unwrap();
    assert_eq!(long["contentTruncated"], true);
    assert_eq!(long["contentBytes"], content.len());
    let mut read = long["content"].as_str().unwrap().to_owned();
    let mut next = long["nextContentOffset"].clone();
    assert!(text.contains(&format!(
        r#"get_memory {{"memoryId":"{id}","contentOffset":{next}}}"#
    )));
    while !next.is_null() {
        let (part, _) = tau.call("get_memory", json!({"memoryId": id, "contentOffset": next}));
        assert_eq!(part["memory"]["contentOffset"], next);
        read.push_str(part["memory"]["content"].as_str().unwrap());
        next = part["memory"]["nextContentOffset"].clone();
    }
    assert!(read == content, "the parts make the whole");
    for offset in [json!(-1), json!(content.len() + 1)] {
        let refusal = tau.refusal(
            "get_memory",
            json!({"memoryId": id, "contentOffset": offset}),
        );
        assert_eq!(refusal["field"], "contentOffset");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_whole_by_their_cursors_and_a_cut_recall_says_so() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let tau = agent(&deployment, OLD, "acme", "tau").await;
    let mut stored = Vec::new();
    for n in 0..60_usize {
        let size = [10, 400, 15_000, 60_000][n % 4];
        let content = format!("{n} walrus {}", "é\"\n\\".repeat(size / 6));
        stored.push(store(
            &tau,
            json!({"namespace": "project/nav", "type": "reference", "content": content}),
        ));
    }
    stored.reverse();
    for limit in [None, Some(7), Some(200)] {
        let (mut listed, mut cursor, mut answers) = (Vec::new(), Value::Null, 0);
        loop {
            let (page, text) = tau.call("list_memories", json!({"limit": limit, "cursor": cursor}));
            let rows = page["memories"].as_array().unwrap().iter();
            listed.extend(rows.map(|row| row["memoryId"].as_str().unwrap().to_owned()));
            answers += 1;
            if page["truncated"] != true {
                break;
            }
            cursor = page["nextCursor"].clone();
            assert!(text.contains(cursor.as_str().unwrap()), "{text}");
            assert!(answers < 100, "the list has an end");
        }
        assert_eq!(listed, stored, "with the limit {limit:?}");
        assert!(answers > 1);
    }
    let (found, text) = tau.call("recall", json!({"query": "walrus", "limit": 100}));
    assert_eq!(found["matched"], 60);
    assert_eq!(found["truncated"], true);
    assert!(found["results"].as_array().unwrap().len() >= 10, "{text}");
    assert!(text.contains("More results did not fit"), "{text}");
}
