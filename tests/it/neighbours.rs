//! Two tenants in one shard, one hostile: it re-uses the other's message ids, repeats its own inside
//! a batch, retries committed ones, floods. The other's sends all succeed, each stored once, in order.

use crate::harness::Deployment;
use postroad_client::{Check, Client, Draft};
use postroad_protocol::{ErrorCode, MessageId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SENDS: usize = 200;

/// Keeps many sends in flight until told to stop, with ids that are meant to do harm.
async fn attack(
    client: Client,
    stolen: Vec<MessageId>,
    stop: Arc<AtomicBool>,
    landed: Arc<AtomicU64>,
) {
    let mut committed: Vec<MessageId> = Vec::new();
    let mut round = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let mut flight = tokio::task::JoinSet::new();
        let repeated = MessageId::generate();
        for number in 0..64 {
            let id = match number % 4 {
                // The victim's id, at the very time when the victim may be using it.
                0 => stolen[(round * 16 + number / 4) % stolen.len()],
                // The same id many times over in one flight, and so in one batch.
                1 => repeated,
                // One that was committed before.
                2 => committed
                    .get(round % committed.len().max(1))
                    .copied()
                    .unwrap_or(repeated),
                _ => MessageId::generate(),
            };
            let (client, content) = (client.clone(), format!("flood {}", number % 4));
            flight.spawn(async move {
                client
                    .send(&Draft::new("pi", content).with_id(id))
                    .await
                    .map(|sent| sent.message_id)
            });
        }
        while let Some(ended) = flight.join_next().await {
            if let Ok(Ok(id)) = ended {
                landed.fetch_add(1, Ordering::Relaxed);
                committed.push(id);
            }
        }
        committed.truncate(1_000);
        round += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_neighbour_neither_fails_nor_doubles_nor_reorders_the_others_sends() {
    let deployment = Deployment::start();
    deployment.tenant("victim").await;
    deployment.tenant("hostile").await;
    let victim = deployment.agent("victim", "tau", "t").await;
    let reader = deployment.agent("victim", "pi", "p").await;
    deployment.creds("hostile", "pi", Some("p")).await;
    let ids: Vec<MessageId> = (0..SENDS).map(|_| MessageId::generate()).collect();
    let (stop, landed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut attackers = tokio::task::JoinSet::new();
    for number in 0..2 {
        let client = deployment
            .agent("hostile", "tau", &format!("t{number}"))
            .await;
        attackers.spawn(attack(
            client,
            ids.clone(),
            Arc::clone(&stop),
            Arc::clone(&landed),
        ));
    }
    let mut positions = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let sent = victim
            .send(&Draft::new("pi", number.to_string()).with_id(*id))
            .await;
        let sent = sent.unwrap_or_else(|error| panic!("send {number} failed: {error:?}"));
        positions.push(sent.position.sequence);
    }
    stop.store(true, Ordering::Relaxed);
    while attackers.join_next().await.is_some() {}
    assert!(landed.load(Ordering::Relaxed) > 0, "the attack ran");
    assert!(
        positions.is_sorted_by(|left, right| left < right),
        "stored once each, in order"
    );
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let mut check = Check::default().limit(200);
        if let Some(cursor) = cursor {
            check = check.after(cursor);
        }
        let page = reader.check(&check).await.unwrap();
        seen.extend(
            page.messages
                .iter()
                .map(|message| (message.message_id, message.content.clone())),
        );
        cursor = page.next_cursor.filter(|_| page.truncated);
        if cursor.is_none() {
            assert_eq!(page.unread_total, SENDS as u64);
            break;
        }
    }
    let expected: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(number, id)| (*id, number.to_string()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_in_flight_is_merged_and_another_content_under_its_id_is_a_conflict() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    for round in 0..5 {
        let id = MessageId::generate();
        let mut flight = tokio::task::JoinSet::new();
        for number in 0..100 {
            let (client, content) = (
                alice.clone(),
                format!(
                    "round {round}, {}",
                    if number % 10 == 0 { "other" } else { "same" }
                ),
            );
            flight.spawn(async move { client.send(&Draft::new("bob", content).with_id(id)).await });
        }
        let mut positions = std::collections::BTreeSet::new();
        let mut conflicts = 0;
        while let Some(ended) = flight.join_next().await {
            match ended.unwrap() {
                Ok(sent) => drop(positions.insert(sent.position.sequence)),
                Err(postroad_client::ClientError::Refused(refusal))
                    if refusal.code == ErrorCode::Conflict =>
                {
                    conflicts += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(positions.len(), 1, "one id, one place in the log");
        assert!(
            conflicts == 10 || conflicts == 90,
            "one content won: {conflicts}"
        );
    }
    assert_eq!(bob.check(&Check::default()).await.unwrap().unread_total, 5);
}
