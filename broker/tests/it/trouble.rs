//! Crashes of nats-server, a log that was replaced, a broker that leaves.

use crate::harness::{Caller, Town, start_broker};
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_log::streams::{ensure_keys_stream, ensure_shard};
use postroad_protocol::id::CommandId;
use postroad_protocol::subject::Subjects;
use postroad_protocol::{ErrorCode, Refusal};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// When the server crashes: from `POSTROAD_SEED`, or fresh. Printed, so that a failure can be repeated.
fn seed() -> u64 {
    let given = std::env::var("POSTROAD_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    // The last bytes of an id are random.
    let seed = given.unwrap_or_else(|| u64::from(CommandId::generate().as_bytes()[15]));
    println!("POSTROAD_SEED={seed}");
    seed
}

#[tokio::test]
async fn a_crash_of_the_server_loses_no_acknowledged_message_and_doubles_none() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let mut town = Town::new(durability).await;
        town.tenant("acme", &["tau", "bob"]).await;
        let tau = town.agent("acme", "tau", "pi").await;
        tau.say("bob", "registers").await;
        let before = town.log().await.len().await;
        let stored = town.broker.counters().appended;
        let ids: Vec<_> = (0..400).map(|_| CommandId::generate()).collect();
        let sending = {
            let (tau, ids) = (tau.clone(), ids.clone());
            tokio::spawn(async move {
                join_all(
                    ids.iter()
                        .map(|id| tau.insist(*id, "bob", "through the crash")),
                )
                .await
            })
        };
        let many = seed() % 200;
        let started = Instant::now();
        while town.broker.counters().appended <= stored + many {
            assert!(started.elapsed() < Duration::from_mins(1), "never stored");
            tokio::task::yield_now().await;
        }
        town.server.kill();
        town.server.restart().await;
        let places = sending.await.unwrap();
        let log = town.log().await;
        assert_eq!(places.iter().collect::<HashSet<_>>().len(), 400);
        for (id, place) in ids.iter().zip(&places) {
            assert_eq!(log.at(*place).await.1.id, *id);
        }
        assert_eq!(log.len().await, before + 400, "nothing is stored twice");
        assert!(town.broker.ready());
    }
}

#[tokio::test]
async fn a_log_that_was_replaced_takes_no_commands_and_says_which() {
    let mut town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "before").await;
    town.server.kill();
    town.server.forget_everything();
    town.server.restart().await;
    let context = async_nats::jetstream::new(town.server.connect("_INBOX.test").await);
    let subjects = Subjects::default();
    ensure_keys_stream(&context, &subjects, 1).await.unwrap();
    ensure_shard(&context, &subjects, 0, 1).await.unwrap();
    let refusal = refusal_of(&tau).await;
    assert!(refusal.message.contains("shard 0"), "{refusal:?}");
    assert!(!town.broker.ready());
    assert_eq!(town.log().await.len().await, 0, "nothing is written there");
}

#[tokio::test]
async fn a_tail_that_was_cut_and_filled_again_is_noticed_until_it_is_restored() {
    let mut town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "kept").await;
    town.server.kill();
    let early = town.server.copy_store();
    town.server.restart().await;
    let known = tau.insist(CommandId::generate(), "bob", "lost").await;
    town.server.kill();
    let late = town.server.copy_store();
    town.server.put_store(&early);
    town.server.restart().await;
    let context = async_nats::jetstream::new(town.server.connect("_INBOX.test").await);
    for _ in 0..3 {
        let sent = context.publish("postroad.acme.evt.0.message.tau", "other".into());
        sent.await.unwrap().await.unwrap();
    }
    let filled = town.log().await.len().await;
    assert!(filled > known);
    let refusal = refusal_of(&tau).await;
    assert!(refusal.message.contains("cut"), "{refusal:?}");
    assert_eq!(town.log().await.len().await, filled, "nothing is added");
    town.server.kill();
    town.server.put_store(&late);
    town.server.restart().await;
    let place = tau.insist(CommandId::generate(), "bob", "restored").await;
    assert_eq!(place, known + 1);
    assert!(town.broker.ready());
}

/// What a sender is told by a shard that refuses every event.
async fn refusal_of(caller: &Caller) -> Refusal {
    loop {
        let refusal = caller
            .send(CommandId::generate(), "bob", "after")
            .await
            .unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal:?}");
        if refusal.remedy.contains("POSTROAD_0") {
            return refusal;
        }
    }
}

#[tokio::test]
async fn a_broker_knows_every_roster_before_it_takes_its_first_command() {
    let town = Town::with_shards(Durability::PowerSafe, 2).await;
    for name in ["acme", "globex"] {
        town.tenant(name, &["tau", "phi", "bob"]).await;
        town.issue(name, "late", None).await;
    }
    let Town { broker, server, .. } = town;
    broker.drain().await;
    let _second = start_broker(&server, Durability::PowerSafe, 2).await;
    for name in ["acme", "globex"] {
        let tau = Caller::agent(&server, name, "tau", "pi").await;
        let slip = tau.send(CommandId::generate(), "lte", "x").await;
        assert!(slip.unwrap_err().message.contains("late"));
        let all = tau.send(CommandId::generate(), "broadcast", "x").await;
        assert_eq!(all.unwrap()["recipientCount"], 3);
    }
}

#[tokio::test]
async fn a_broker_that_leaves_answers_what_it_has_taken() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let before = tau.say("bob", "registers").await;
    let ids: Vec<_> = (0..300).map(|_| CommandId::generate()).collect();
    let sending = {
        let tau = tau.clone();
        tokio::spawn(async move { join_all(ids.iter().map(|id| tau.send(*id, "bob", "x"))).await })
    };
    while town.broker.counters().appended < 20 {
        tokio::task::yield_now().await;
    }
    let Town { broker, server, .. } = town;
    broker.drain().await;
    let mut stored = 0;
    for answer in sending.await.unwrap() {
        match answer {
            Ok(_) => stored += 1,
            // It came too late to be taken, and its sender knows at once.
            Err(refusal) => assert_eq!(refusal.message, "no broker is there"),
        }
    }
    let length = crate::harness::Log::open(&server).await.len().await;
    // And one event that counts the hints.
    assert_eq!(length, before + stored + 1, "what was taken was answered");
}
