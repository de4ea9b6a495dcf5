//! A log that is not what it was stops its shard, loudly, and what is right is still served. An
//! idle projector takes nothing for damage that is none.

use crate::harness::fleet::Fleet;
use crate::harness::{Deployment, connect, eventually};
use postroad_client::{Check, Client, Draft};
use postroad_protocol::query::ShardStatus;
use std::path::{Path, PathBuf};

async fn shard(operator: &Client, number: usize) -> Option<ShardStatus> {
    operator
        .operator()
        .unwrap()
        .status()
        .await
        .ok()?
        .shards
        .into_iter()
        .nth(number)
}

/// Every block file of shard 0 below `folder`, oldest first.
fn blocks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the store reads") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "blk")
                && path.to_string_lossy().contains("POSTROAD_0")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is a block file");
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is made");
    for entry in std::fs::read_dir(from).expect("the folder reads") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("the file copies");
        }
    }
}

#[tokio::test]
async fn an_idle_projector_over_a_nats_restart_neither_replays_nor_sees_a_gap() {
    let mut fleet = Fleet::start(1, 1, 1);
    fleet.tenant("acme", 0).await;
    let alice = fleet.agent("acme", "alice", "a").await;
    for number in 0..20 {
        alice
            .send(&Draft::new("broadcast", number.to_string()))
            .await
            .unwrap();
    }
    let operator = fleet.operator().await;
    eventually("everything is applied", async || {
        shard(&operator, 0)
            .await
            .is_some_and(|s| s.applied == s.end)
    })
    .await;
    let before = shard(&operator, 0).await.unwrap();
    fleet.kill_nats();
    fleet.start_nats();
    eventually("the shard is followed again", async || {
        shard(&operator, 0).await.is_some_and(|now| {
            assert!(now.applied >= before.applied, "it replays: {now:?}");
            assert!(now.damage.is_none(), "it sees damage: {now:?}");
            now.state == "following"
        })
    })
    .await;
    let projector = fleet.projectors[0].as_ref().unwrap();
    assert!(
        !projector.stderr().contains("SHARD STOPPED"),
        "{}",
        projector.stderr()
    );
    alice.send(&Draft::new("broadcast", "after")).await.unwrap();
    eventually("the next event is applied", async || {
        shard(&operator, 0)
            .await
            .is_some_and(|s| s.applied > before.applied)
    })
    .await;
}

#[tokio::test]
async fn a_cut_tail_and_one_that_was_filled_again_are_both_detected_and_a_rebuild_heals() {
    for refill in [0, 12] {
        let mut fleet = Fleet::start(1, 1, 1);
        fleet.tenant("acme", 0).await;
        let alice = fleet.agent("acme", "alice", "a").await;
        alice.send(&Draft::new("broadcast", "kept")).await.unwrap();
        let operator = fleet.operator().await;
        let (store, saved) = (
            fleet.path().join("nats/store"),
            fleet.dir.path().join("saved"),
        );
        fleet.nats.take().unwrap().terminate();
        copy(&store, &saved);
        fleet.start_nats();
        for number in 0..6 {
            alice
                .send(&Draft::new("broadcast", format!("lost {number}")))
                .await
                .unwrap();
        }
        eventually("everything is applied", async || {
            shard(&operator, 0)
                .await
                .is_some_and(|s| s.applied == s.end)
        })
        .await;
        let known = shard(&operator, 0).await.unwrap().applied;
        fleet.projectors[0].take().unwrap().terminate();
        fleet.brokers[0].take().unwrap().terminate();
        fleet.nats.take().unwrap().terminate();
        std::fs::remove_dir_all(&store).unwrap();
        copy(&saved, &store);
        fleet.start_nats();
        // A fresh broker knows nothing of the lost events; what it appends fills their places.
        fleet.start_broker(0);
        for number in 0..refill {
            alice
                .send(&Draft::new("broadcast", format!("refilled {number}")))
                .await
                .unwrap();
        }
        fleet.start_projector(0);
        eventually("the shard stops", async || {
            shard(&operator, 0)
                .await
                .is_some_and(|s| s.state == "damaged")
        })
        .await;
        let damaged = shard(&operator, 0).await.unwrap();
        assert_eq!(
            damaged.applied, known,
            "nothing was applied over it: {damaged:?}"
        );
        let projector = fleet.projectors[0].as_ref().unwrap();
        eventually("it says so", async || {
            projector.stderr().contains("SHARD STOPPED")
        })
        .await;
        let listed = alice.list_messages(&Default::default()).await.unwrap();
        assert!(
            listed.stale
                && listed
                    .messages
                    .iter()
                    .any(|message| message.content == "lost 5"),
            "{listed:?}"
        );
        operator.operator().unwrap().rebuild().await.unwrap();
        eventually("rebuilt rows are followed", async || {
            shard(&operator, 0)
                .await
                .is_some_and(|s| s.state == "following" && s.applied == s.end)
        })
        .await;
        let listed = alice.list_messages(&Default::default()).await.unwrap();
        assert!(
            !listed.stale
                && !listed
                    .messages
                    .iter()
                    .any(|message| message.content.starts_with("lost")),
            "{listed:?}"
        );
    }
}

#[tokio::test]
async fn one_flipped_bit_stops_the_shard_and_everything_before_it_is_served() {
    let mut deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let creds = deployment.creds("default", "bob", Some("b")).await;
    for number in 0..40 {
        let content = format!("message {number} {}", "x".repeat(200));
        alice.send(&Draft::new("bob", content)).await.unwrap();
    }
    alice.close().await.unwrap();
    assert_eq!(deployment.stop(), 0);
    let block = blocks(&deployment.path().join("nats/store")).remove(0);
    let mut bytes = std::fs::read(&block).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0b0001_0000;
    std::fs::write(&block, bytes).unwrap();
    std::fs::remove_dir_all(deployment.path().join("rows")).unwrap();
    deployment.restart();
    let operator = deployment.operator().await;
    eventually("the shard stops", async || {
        shard(&operator, 0)
            .await
            .is_some_and(|s| s.state == "damaged")
    })
    .await;
    let damage = shard(&operator, 0)
        .await
        .unwrap()
        .damage
        .expect("it says what is wrong");
    assert!(damage.remedy.contains("accept-damage"), "{damage:?}");
    let up = deployment.up.as_ref().unwrap();
    eventually("it says so", async || up.stderr().contains("SHARD STOPPED")).await;
    let bob = connect(&deployment.url, &creds, None).await;
    let unread = bob.check(&Check::default().limit(200)).await.unwrap();
    assert!(unread.stale, "the answer says that it may not be all");
    assert!(
        !unread.messages.is_empty() && unread.messages.len() < 40,
        "{} messages",
        unread.messages.len()
    );
    for (number, message) in unread.messages.iter().enumerate() {
        assert!(
            message.content.starts_with(&format!("message {number} ")),
            "{}",
            message.content
        );
    }
    // The operator gives up what is lost; everything else is served again.
    let before = unread.messages.len();
    for _ in 0..3 {
        let Some(damage) = shard(&operator, 0).await.unwrap().damage else {
            break;
        };
        operator
            .operator()
            .unwrap()
            .accept_damage(0, damage.from, damage.to)
            .await
            .unwrap();
        eventually("that damage is passed", async || {
            shard(&operator, 0)
                .await
                .is_some_and(|now| now.damage.is_none_or(|next| next.from > damage.to))
        })
        .await;
    }
    let status = shard(&operator, 0).await.unwrap();
    assert!(status.damage.is_none(), "{status:?}");
    let unread = bob.check(&Check::default().limit(200)).await.unwrap();
    assert!(
        !unread.stale && unread.messages.len() >= before,
        "{} messages",
        unread.messages.len()
    );
}
