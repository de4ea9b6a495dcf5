//! Plain and batched appends: every command is stored once, in order, and none pays for another.

use crate::harness::{Caller, Town, sequence, start_broker};
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::Event;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::CONTENT_MAX_BYTES;
use std::collections::HashSet;

async fn town_of_two(durability: Durability) -> (Town, Caller) {
    let town = Town::new(durability).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "registers tau").await;
    (town, tau)
}

#[tokio::test]
async fn every_member_of_a_batch_is_told_its_own_place() {
    let (town, tau) = town_of_two(Durability::PowerSafe).await;
    let ids: Vec<_> = (0..600).map(|_| CommandId::generate()).collect();
    let sends = ids.iter().map(|id| tau.send(*id, "bob", "together"));
    let answers = join_all(sends).await;
    let counters = town.broker.counters();
    assert!(counters.batched > 300, "{counters:?}");
    assert_eq!(counters.failed_batches, 0);
    let log = town.log().await;
    let mut seen = HashSet::new();
    for (id, answer) in ids.iter().zip(answers) {
        let place = sequence(&answer.unwrap());
        assert!(seen.insert(place), "two messages at {place}");
        assert_eq!(log.at(place).await.1.id, *id);
    }
}

#[tokio::test]
async fn one_connections_messages_are_stored_in_the_order_they_were_sent() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let town = Town::new(durability).await;
        town.tenant("acme", &["tau", "bob"]).await;
        // Its first command has to wait for its registration; the others must wait behind it.
        let tau = town.agent("acme", "tau", "pi").await;
        let ids: Vec<_> = (0..400).map(|_| CommandId::generate()).collect();
        for answer in tau.send_in_order(&ids, "bob").await {
            answer.unwrap();
        }
        let stored = town.log().await.all().await.into_iter();
        let stored: Vec<_> = stored
            .filter(|(_, record)| matches!(record.event, Event::MessageSent(_)))
            .map(|(_, record)| record.id)
            .collect();
        assert_eq!(stored, ids);
        let batched = town.broker.counters().batched;
        assert_eq!(batched > 0, durability == Durability::PowerSafe);
    }
}

#[tokio::test]
async fn a_duplicate_in_a_batch_costs_no_neighbour_its_message() {
    let (town, tau) = town_of_two(Durability::PowerSafe).await;
    let repeated = CommandId::generate();
    let first = sequence(&tau.send(repeated, "bob", "again").await.unwrap());
    // A broker that has not seen the id stored cannot keep it out of the batch.
    town.broker.drain().await;
    let broker = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let before = town_length(&town.server).await;
    let mut ids: Vec<_> = (0..200).map(|_| CommandId::generate()).collect();
    ids.insert(100, repeated);
    let answers = join_all(ids.iter().map(|id| tau.send(*id, "bob", "again"))).await;
    assert!(broker.counters().failed_batches > 0);
    let places: Vec<u64> = answers
        .into_iter()
        .map(|answer| sequence(&answer.unwrap()))
        .collect();
    assert_eq!(places[100], first);
    assert_eq!(places.iter().collect::<HashSet<_>>().len(), 201);
    assert_eq!(town_length(&town.server).await, before + 200);
}

async fn town_length(server: &crate::harness::Server) -> u64 {
    crate::harness::Log::open(server).await.len().await
}

#[tokio::test]
async fn a_retried_command_returns_its_first_position() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let (town, tau) = town_of_two(durability).await;
        let id = CommandId::generate();
        let first = tau.send(id, "bob", "once").await.unwrap();
        let length = town.log().await.len().await;
        let again = join_all((0..50).map(|_| tau.send(id, "bob", "once"))).await;
        for answer in again {
            assert_eq!(answer.unwrap(), first);
        }
        assert_eq!(town.log().await.len().await, length);
    }
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let (town, tau) = town_of_two(durability).await;
        let id = CommandId::generate();
        let length = town.log().await.len().await;
        // Side by side: whichever comes first stands.
        let both = join_all(["one", "two"].map(|content| tau.send(id, "bob", content))).await;
        assert_eq!(both.iter().filter(|answer| answer.is_ok()).count(), 1);
        let other = tau.send(id, "bob", "three").await.unwrap_err();
        assert_eq!(
            (other.code, other.field.as_deref()),
            (ErrorCode::Conflict, Some("messageId"))
        );
        assert_eq!(town.log().await.len().await, length + 1);
    }
}

#[tokio::test]
async fn an_old_id_finds_its_first_position_beyond_the_deduplication_window() {
    let (town, tau) = town_of_two(Durability::PowerSafe).await;
    // Not stamped now, so the broker looks it up instead of trusting JetStream's memory.
    let id = CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    let first = tau.send(id, "bob", "old").await.unwrap();
    let length = town.log().await.len().await;
    assert_eq!(tau.send(id, "bob", "old").await.unwrap(), first);
    let other = tau.send(id, "bob", "new").await.unwrap_err();
    assert_eq!(other.code, ErrorCode::Conflict);
    assert_eq!(town.log().await.len().await, length);
}

#[tokio::test]
async fn a_neighbour_that_reuses_ids_repeats_and_floods_harms_nobody() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    town.tenant("mallory", &["tau", "bob"]).await;
    let acme = town.agent("acme", "tau", "pi").await;
    let mallory = town.agent("mallory", "tau", "pi").await;
    acme.say("bob", "registers").await;
    mallory.say("bob", "registers").await;
    let ids: Vec<_> = (0..150).map(|_| CommandId::generate()).collect();
    let flood = || {
        let repeats = ids.iter().chain(&ids).chain(&ids);
        join_all(repeats.map(|id| mallory.send(*id, "bob", "mine")))
    };
    let (_, answers, _) = tokio::join!(flood(), acme.send_in_order(&ids, "bob"), flood());
    let log = town.log().await;
    let mut places = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        let place = sequence(&answer.unwrap());
        let (tenant, record) = log.at(place).await;
        assert_eq!(tenant.unwrap().as_str(), "acme");
        assert_eq!(record.id, *id);
        places.push(place);
    }
    assert!(
        places.is_sorted(),
        "stored in the order in which they were sent {places:?} {:?}",
        town.broker.counters()
    );
    let mut stored: Vec<_> = log
        .all()
        .await
        .into_iter()
        .filter(|(_, record)| ids.contains(&record.id))
        .map(|(tenant, record)| (tenant.unwrap().to_string(), record.id))
        .collect();
    assert_eq!(stored.len(), 300, "each tenant's messages once");
    stored.sort();
    stored.dedup();
    assert_eq!(stored.len(), 300);
}

#[tokio::test]
async fn the_largest_messages_fit_one_by_one_and_in_batches() {
    let (town, tau) = town_of_two(Durability::PowerSafe).await;
    let large = "x".repeat(CONTENT_MAX_BYTES);
    // Alone, large ones are stored as fast as they are read; small ones gather, and they among them.
    let sends = (0..400).map(|number| {
        let content = if number % 10 == 0 { &large } else { "small" };
        tau.insist(CommandId::generate(), "bob", content)
    });
    join_all(sends).await;
    let counters = town.broker.counters();
    assert!(counters.batched > 360, "large ones, too: {counters:?}");
    assert_eq!(counters.failed_batches, 0, "{counters:?}");
}
