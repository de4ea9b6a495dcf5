//! `postroad rebuild` while the deployment is at work: the old rows are served meanwhile, and the
//! new ones answer the same to the byte.

use crate::harness::{DEADLINE, Deployment, eventually, raw};
use postroad_client::{Check, Client, Draft};
use postroad_protocol::MessageId;
use postroad_protocol::query::Messages;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

const MESSAGES: usize = 3_000;

/// Which file is at a path; rebuilt rows are another one.
fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).expect("the rows").ino()
}

/// Every answer whose bytes depend on rows alone.
async fn answers(agent: &async_nats::Client, messages: &[String]) -> Vec<Vec<u8>> {
    let mut asked = vec![
        ("check_messages", json!({"limit":200})),
        ("list_messages", json!({"limit":200})),
        ("list_messages", json!({"limit":50,"sender":"alice"})),
        ("list_messages", json!({"limit":50,"channel":"broadcast"})),
    ];
    for id in messages.iter().step_by(messages.len() / 20) {
        asked.push(("get_message", json!({"messageId":id})));
        asked.push(("message_status", json!({"messageId":id})));
    }
    let mut answers = Vec::new();
    for (verb, body) in asked {
        let subject = format!("postroad.default.qry.bob.b.messages.{verb}");
        let answer = agent.request(subject, body.to_string().into()).await;
        answers.push(answer.expect("an answer").payload.to_vec());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_serves_the_old_rows_meanwhile_and_the_new_ones_answer_the_same() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    let creds = deployment.creds("default", "bob", Some("b")).await;
    let raw = raw::connect(
        &deployment.url,
        &creds,
        &inbox_prefix("default", "bob", "b"),
    )
    .await;
    let mut sending = tokio::task::JoinSet::new();
    for sender in 0..30 {
        let alice = alice.clone();
        sending.spawn(async move {
            let mut sent = Vec::new();
            for number in 0..MESSAGES / 30 {
                let channel = if number % 5 == 0 { "broadcast" } else { "bob" };
                let draft = Draft::new(channel, format!("{sender}, {number}"));
                alice.send(&draft).await.unwrap();
                sent.push(draft.id().to_string());
            }
            sent
        });
    }
    let messages = sending.join_all().await.concat();
    let page = delivered(&bob).await;
    let receipts = page.messages.iter().step_by(3);
    let receipts: Vec<String> = receipts.filter_map(|one| one.receipt_id.clone()).collect();
    bob.mark_as_read(receipts).await.unwrap();
    // From here on no check shows anything for the first time, so nothing new is stored.
    delivered(&bob).await;
    let before = answers(&raw, &messages).await;

    let rows = deployment.path().join("rows/shard-0.redb");
    let (old, growing) = (inode(&rows), rows.with_extension("redb.new"));
    let ran = deployment.run(&["--json", "rebuild"]).expect(0).json();
    assert_eq!(ran, json!({"shards":[0]}));
    let first = MessageId::parse(&messages[0]).unwrap();
    let (start, mut meanwhile) = (Instant::now(), 0);
    while inode(&rows) == old {
        assert!(start.elapsed() < DEADLINE, "the rebuild does not end");
        // One question, then all of them: the new rows may be there before all are answered.
        let shown = bob.get_message(first).await.unwrap();
        assert_eq!(shown.message.message_id.to_string(), messages[0]);
        if growing.exists() && inode(&rows) == old {
            meanwhile += 1;
            let answered = answers(&raw, &messages).await;
            assert_eq!(differing(&before, &answered), None);
        }
    }
    assert!(meanwhile > 0, "nothing was asked while the new rows grew");
    for _ in 0..5 {
        let answered = answers(&raw, &messages).await;
        assert_eq!(differing(&before, &answered), None);
    }
    let operator = deployment.operator().await;
    eventually("the new rows are followed", async || {
        let status = operator.operator().unwrap().status().await.unwrap();
        status.shards[0].state == "following" && status.shards[0].applied == status.shards[0].end
    })
    .await;
    let answered = answers(&raw, &messages).await;
    assert_eq!(differing(&before, &answered), None);
    // They go on from there.
    let late = alice.send(&Draft::new("bob", "after it")).await.unwrap();
    let shown = bob.get_message(late.message_id).await.unwrap();
    assert_eq!(shown.message.content, "after it");
}

/// Checks once, and waits until all that was shown is marked as delivered.
async fn delivered(client: &Client) -> Messages {
    let page = client.check(&Check::default().limit(200)).await.unwrap();
    assert_eq!(page.messages.len(), 200);
    for message in &page.messages {
        eventually("what was shown is marked", async || {
            let now = client.get_message(message.message_id).await.unwrap();
            now.message.delivered_at.is_some()
        })
        .await;
    }
    page
}

/// Which of the answers is not the same to the byte, and the positions that the two are of.
fn differing(before: &[Vec<u8>], after: &[Vec<u8>]) -> Option<(usize, Value, Value)> {
    let position = |bytes: &Vec<u8>| {
        let answer: Value = serde_json::from_slice(bytes).expect("JSON");
        answer["position"].clone()
    };
    let mut pairs = before.iter().zip(after).enumerate();
    let (number, (left, right)) = pairs.find(|(_, (left, right))| left != right)?;
    Some((number, position(left), position(right)))
}
