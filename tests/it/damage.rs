//! A log that is not what it was stops its shard, loudly, and what is right is still served. An
//! idle projector takes nothing for damage that is none.

use crate::harness::fleet::Fleet;
use crate::harness::witness::Witness;
use crate::harness::{Deployment, connect, eventually};
use async_nats::jetstream::consumer::DeliverPolicy;
use postroad_client::{Check, Client, Draft};
use postroad_protocol::TenantId;
use postroad_protocol::command::Sent;
use postroad_protocol::query::{Messages, ShardStatus};
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
    let witness = Witness::connect(&fleet.path(), &fleet.url).await;
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
    // The server's own count of what it handed out since it started: the new event, nothing again.
    let consumers = witness.whole_consumers(0).await;
    let mut delivered = 0;
    for consumer in &consumers {
        let DeliverPolicy::ByStartSequence { start_sequence } = consumer.config.deliver_policy
        else {
            panic!("it begins anywhere: {consumer:?}");
        };
        assert!(start_sequence > before.applied, "{consumer:?}");
        delivered += consumer.delivered.consumer_sequence;
    }
    assert!(
        !consumers.is_empty(),
        "the shard is read through a consumer"
    );
    assert_eq!(delivered, 1, "{consumers:?}");
    let projector = fleet.projectors[0].as_ref().unwrap();
    assert!(!projector.stderr().contains("SHARD STOPPED"));
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

/// Flips one bit of the sealed payload of the message `damaged`, which `next` follows in the block.
fn flip_a_bit(store: &Path, damaged: &Sent, next: &Sent) {
    let block = blocks(store).remove(0);
    let mut bytes = std::fs::read(&block).unwrap();
    let find = |text: &str| {
        let mut windows = bytes.windows(text.len());
        windows
            .position(|window| window == text.as_bytes())
            .expect("it is in the block")
    };
    let (id, next_id) = (
        find(&damaged.message_id.to_string()),
        find(&next.message_id.to_string()),
    );
    // A record's subject and headers lie open; the next record's begins behind this one's payload, with
    // 8 bytes of checksum and 22 of lengths, sequence and time between them.
    let subject = b"postroad.default.evt.0.message.alice";
    let mut windows = bytes[..next_id].windows(subject.len());
    let next_begins = windows
        .rposition(|window| window == subject)
        .expect("it has a subject");
    let place = next_begins - 22 - 8 - 40;
    assert!(id < place, "the place lies in the payload");
    bytes[place] ^= 0b0001_0000;
    std::fs::write(&block, bytes).unwrap();
}

#[tokio::test]
async fn one_flipped_bit_stops_its_shard_alone_and_every_message_before_it_is_served() {
    const COUNT: usize = 40;
    const DAMAGED: usize = 23;
    let mut deployment = Deployment::start_with(&["--shards", "2"]);
    let operator = deployment.operator().await;
    let other = TenantId::parse("other").unwrap();
    operator
        .operator()
        .unwrap()
        .create_tenant(&other, Some(1))
        .await
        .unwrap();
    let alice = deployment.agent("default", "alice", "a").await;
    let creds = deployment.creds("default", "bob", Some("b")).await;
    let elsewhere = deployment.creds("other", "carol", Some("c")).await;
    let mut sent = Vec::new();
    for number in 0..COUNT {
        let content = format!("message {number} {}", "x".repeat(200));
        sent.push(alice.send(&Draft::new("bob", content)).await.unwrap());
    }
    for client in [alice, operator] {
        client.close().await.unwrap();
    }
    assert_eq!(deployment.stop(), 0);
    let store = deployment.path().join("nats/store");
    flip_a_bit(&store, &sent[DAMAGED], &sent[DAMAGED + 1]);
    std::fs::remove_dir_all(deployment.path().join("rows")).unwrap();
    deployment.restart();
    let operator = deployment.operator().await;
    eventually("the shard stops", async || {
        shard(&operator, 0)
            .await
            .is_some_and(|s| s.state == "damaged")
    })
    .await;
    let stopped = shard(&operator, 0).await.unwrap();
    let place = sent[DAMAGED].position.sequence;
    assert_eq!(stopped.applied, place - 1, "{stopped:?}");
    let damage = stopped.damage.expect("it says what is wrong");
    assert_eq!((damage.from, damage.to), (place, place), "{damage:?}");
    assert!(damage.remedy.contains("accept-damage"), "{damage:?}");
    let up = deployment.up.as_ref().unwrap();
    eventually("it says so", async || up.stderr().contains("SHARD STOPPED")).await;
    let bob = connect(&deployment.url, &creds, None).await;
    let numbers = |unread: &Messages| -> Vec<usize> {
        let number = |text: &str| text.split(' ').nth(1).unwrap().parse().unwrap();
        let contents = unread.messages.iter().map(|message| &message.content);
        contents.map(|content| number(content)).collect()
    };
    let all = Check::default().limit(200);
    let unread = bob.check(&all).await.unwrap();
    assert!(unread.stale, "the answer says that it may not be all");
    assert_eq!(numbers(&unread), (0..DAMAGED).collect::<Vec<_>>());
    assert_eq!(unread.unread_total, DAMAGED as u64);

    // The other shard neither stops nor counts as damaged.
    let carol = connect(&deployment.url, &elsewhere, None).await;
    for number in 0..3 {
        carol
            .send(&Draft::new("carol", number.to_string()))
            .await
            .unwrap();
    }
    let page = carol.list_messages(&Default::default()).await.unwrap();
    assert!(!page.stale && page.messages.len() == 3, "{page:?}");
    let healthy = shard(&operator, 1).await.unwrap();
    assert!(
        healthy.state == "following" && healthy.damage.is_none(),
        "{healthy:?}"
    );

    // The operator gives up what is lost; everything else is served again.
    let accepting = operator.operator().unwrap();
    accepting
        .accept_damage(0, damage.from, damage.to)
        .await
        .unwrap();
    eventually("the shard goes on", async || {
        shard(&operator, 0)
            .await
            .is_some_and(|s| s.state == "following" && s.applied == s.end)
    })
    .await;
    let unread = bob.check(&all).await.unwrap();
    assert!(!unread.stale, "{unread:?}");
    let rest = (0..COUNT).filter(|number| *number != DAMAGED);
    assert_eq!(numbers(&unread), rest.collect::<Vec<_>>());
    // An export goes on behind it, and says that it is lost.
    let exported = deployment.run(&["tenant", "export", "--tenant", "default"]);
    let exported = exported.expect(0);
    println!("{}", exported.stderr);
    let lines = exported.stdout.lines().map(serde_json::from_str);
    let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().unwrap();
    let messages = lines.iter().filter(|line| line["type"] == "message_sent");
    assert_eq!(messages.count(), COUNT - 1);
    let lost: Vec<_> = lines
        .iter()
        .filter(|line| line["lost"].is_string())
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["sequence"], place);
    assert_eq!(lines.last().unwrap()["lost"], 1);
}
