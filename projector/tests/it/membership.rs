//! Of two projectors, one whose rows are not right leaves its queries to the other, and answers them,
//! marked stale, where there is none.

use crate::harness::{Agent, Town, eventually, host};
use postroad_projector::apply::{Durability, apply};
use postroad_projector::checkpoint::Checkpoint;
use postroad_projector::rebuild::rebuild;
use postroad_projector::store::Store;

/// Checks in a row of which none, or all, are stale.
const IN_A_ROW: usize = 100;

async fn all_are(pi: &Agent, stale: bool) -> bool {
    for _ in 0..IN_A_ROW {
        if pi.check().await != (vec!["hello".to_owned()], stale) {
            return false;
        }
    }
    true
}

/// Whether an answer is stale; none when nobody answers.
async fn stale(pi: &Agent) -> Option<bool> {
    let query = serde_json::json!({});
    let answer = pi.ask("messages.check_messages", &query).await.ok()?;
    Some(answer.get("stale").is_some())
}

/// Makes the rows of the folder ones of another log: their last event is not the one that lies there.
fn spoil(town: &Town, rows: &str) {
    let path = town.folder.path().join(rows).join("shard-0.redb");
    let store = Store::open(&path, 1 << 20).unwrap();
    let stands = store.snapshot().unwrap().checkpoint().unwrap().unwrap();
    let spoilt = Checkpoint {
        digest: [0xff; 16],
        ..stands
    };
    apply(&store, &[], spoilt, Durability::Durable).unwrap();
}

#[tokio::test]
async fn a_damaged_projector_leaves_its_queries_to_a_healthy_one_and_alone_serves_them_stale() {
    let town = Town::with_acme().await;
    let pi = town.agent("tau/pi").await;
    let first = town.projector("first").await;
    let end = town.say("acme", "hello").await;
    host(&first).caught_up(end).await;
    assert!(all_are(&pi, false).await);
    first.drain().await;
    spoil(&town, "first");
    let first = town.projector("first").await;
    assert!(all_are(&pi, true).await, "alone it serves what it has");

    let second = town.projector("second").await;
    eventually("no answer is stale", async || all_are(&pi, false).await).await;
    for _ in 0..10 {
        assert!(all_are(&pi, false).await, "and none is any more");
    }
    // Nobody else is there any more, so it takes its queries back.
    second.drain().await;
    eventually("it serves again what it has", async || {
        stale(&pi).await.is_some()
    })
    .await;
    assert!(all_are(&pi, true).await);

    // Once it is healthy it belongs, whoever else is there.
    let second = town.projector("second").await;
    eventually("it has left again", async || all_are(&pi, false).await).await;
    let (keyring, subjects) = (town.keyring.clone(), town.subjects.clone());
    rebuild(host(&first), keyring, subjects, 1 << 20)
        .await
        .unwrap();
    second.drain().await;
    eventually("it answers, and whole", async || {
        stale(&pi).await == Some(false)
    })
    .await;
    assert!(all_are(&pi, false).await);
    first.drain().await;
}
