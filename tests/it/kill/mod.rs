//! Kills parts at random instants under steady load. No acknowledged message is lost, none is
//! visible twice, receipts never go backwards, the order of each sender is kept.
//!
//! `POSTROAD_SOAK_KILLS` says how often (`make soak`: 100), `POSTROAD_SEED` repeats a run.

use crate::harness::fleet::Fleet;
use crate::harness::{self, DEADLINE, Deployment};
use postroad_client::{Check, Client, Draft};
use postroad_protocol::MessageId;
use postroad_protocol::query::Receipt;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SENDERS: usize = 3;
const READERS: usize = 2;

fn kills() -> usize {
    std::env::var("POSTROAD_SOAK_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6)
}

/// What was acknowledged and what was seen.
#[derive(Default)]
struct Ledger {
    /// By sender: contents in the order in which they were acknowledged, with their ids.
    acknowledged: Mutex<BTreeMap<usize, Vec<(String, MessageId)>>>,
    /// By reader: contents in the order in which they were first seen.
    seen: Mutex<BTreeMap<usize, Vec<String>>>,
    stop: AtomicBool,
    /// Whether nothing more will be acknowledged.
    sent: AtomicBool,
}

/// Sends numbered messages one after the other; each is sent until it is acknowledged.
async fn keep_sending(sender: usize, client: Client, ledger: Arc<Ledger>) {
    for number in 0_u64.. {
        if ledger.stop.load(Ordering::Relaxed) {
            return;
        }
        let channel = if number % 4 == 0 {
            "broadcast"
        } else {
            "reader"
        };
        let content = format!("{sender}:{number}");
        let draft = Draft::new(channel, &content);
        loop {
            match client.send(&draft).await {
                Ok(sent) => {
                    let mut acknowledged = ledger.acknowledged.lock().unwrap();
                    acknowledged
                        .entry(sender)
                        .or_default()
                        .push((content, sent.message_id));
                    break;
                }
                Err(error) => {
                    let retry = matches!(error.advice(), postroad_client::Advice::Retry { .. });
                    assert!(retry, "a send was refused for good: {error:?}");
                }
            }
        }
    }
}

/// Checks and marks, and panics when anything comes back that was marked, or comes twice.
async fn keep_reading(reader: usize, client: Client, ledger: Arc<Ledger>) {
    let (mut marked, mut contents) = (HashSet::new(), HashMap::new());
    while !ledger.sent.load(Ordering::Relaxed) {
        read_once(reader, &client, &ledger, &mut marked, &mut contents).await;
    }
    let start = Instant::now();
    loop {
        read_once(reader, &client, &ledger, &mut marked, &mut contents).await;
        let expected: usize = ledger
            .acknowledged
            .lock()
            .unwrap()
            .values()
            .map(Vec::len)
            .sum();
        if ledger.seen.lock().unwrap().get(&reader).map_or(0, Vec::len) >= expected {
            return;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "not everything acknowledged has arrived at reader {reader}"
        );
    }
}

async fn read_once(
    reader: usize,
    client: &Client,
    ledger: &Ledger,
    marked: &mut HashSet<MessageId>,
    contents: &mut HashMap<String, MessageId>,
) {
    let Ok(page) = client
        .check(&Check::default().limit(50).wait(Duration::from_millis(100)))
        .await
    else {
        return;
    };
    assert!(!page.stale, "the shard must not count as damaged");
    for message in &page.messages {
        assert!(
            !marked.contains(&message.message_id),
            "{} came back after it was marked",
            message.content
        );
        let first = *contents
            .entry(message.content.clone())
            .or_insert(message.message_id);
        assert_eq!(
            first, message.message_id,
            "{} is visible twice",
            message.content
        );
        let mut seen = ledger.seen.lock().unwrap();
        let seen = seen.entry(reader).or_default();
        if !seen.contains(&message.content) {
            seen.push(message.content.clone());
        }
    }
    let receipts: Vec<String> = page
        .messages
        .iter()
        .filter_map(|message| message.receipt_id.clone())
        .collect();
    if !receipts.is_empty() && client.mark_as_read(receipts).await.is_ok() {
        marked.extend(page.messages.iter().map(|message| message.message_id));
    }
}

/// Watches receipts of acknowledged messages: what was set stays as it was set.
async fn watch_receipts(client: Client, ledger: Arc<Ledger>) {
    let mut known: HashMap<(MessageId, String), Receipt> = HashMap::new();
    while !ledger.stop.load(Ordering::Relaxed) {
        let sample: Vec<MessageId> = {
            let acknowledged = ledger.acknowledged.lock().unwrap();
            acknowledged
                .get(&0)
                .map(|all| {
                    all.iter()
                        .rev()
                        .step_by(3)
                        .take(5)
                        .map(|(_, id)| *id)
                        .collect()
                })
                .unwrap_or_default()
        };
        for message in sample
            .into_iter()
            .chain(known.keys().map(|(id, _)| *id).take(3).collect::<Vec<_>>())
        {
            let Ok(status) = client.message_status(message, &Default::default()).await else {
                continue;
            };
            for receipt in status.receipts {
                let whose = format!("{}/{:?}", receipt.recipient, receipt.recipient_instance_id);
                if let Some(before) = known.get(&(message, whose.clone())) {
                    assert!(
                        before.delivered_at.is_none()
                            || before.delivered_at == receipt.delivered_at,
                        "{before:?} {receipt:?}"
                    );
                    assert!(
                        before.read_at.is_none() || before.read_at == receipt.read_at,
                        "{before:?} {receipt:?}"
                    );
                }
                known.insert((message, whose), receipt);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs the load while `disturb` kills, then checks the books.
async fn under_load<F: Future<Output = ()>>(
    senders: Vec<Client>,
    readers: Vec<Client>,
    disturb: F,
) {
    let ledger = Arc::new(Ledger::default());
    let (mut sending, mut reading) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    sending.spawn(watch_receipts(senders[0].clone(), Arc::clone(&ledger)));
    for (number, client) in senders.into_iter().enumerate() {
        sending.spawn(keep_sending(number, client, Arc::clone(&ledger)));
    }
    for (number, client) in readers.into_iter().enumerate() {
        reading.spawn(keep_reading(number, client, Arc::clone(&ledger)));
    }
    disturb.await;
    ledger.stop.store(true, Ordering::Relaxed);
    // Readers may end only when the last send has been acknowledged.
    while let Some(ended) = sending.join_next().await {
        ended.expect("a promise was broken");
    }
    ledger.sent.store(true, Ordering::Relaxed);
    while let Some(ended) = reading.join_next().await {
        ended.expect("a promise was broken");
    }
    let acknowledged = ledger.acknowledged.lock().unwrap();
    let total: usize = acknowledged.values().map(Vec::len).sum();
    assert_eq!(acknowledged.len(), SENDERS, "every sender got through");
    for (reader, seen) in ledger.seen.lock().unwrap().iter() {
        for (sender, sent) in acknowledged.iter() {
            let own = format!("{sender}:");
            let seen: Vec<&String> = seen
                .iter()
                .filter(|content| content.starts_with(&own))
                .collect();
            let sent: Vec<&String> = sent.iter().map(|(content, _)| content).collect();
            assert_eq!(
                seen, sent,
                "reader {reader} saw other than what sender {sender} was told is stored"
            );
        }
    }
    println!("{total} messages acknowledged, each seen once, in order, by {READERS} readers");
}

async fn pause(random: &mut StdRng) {
    // The instant of a kill is the random part of this test, so it does pause.
    let pause = Duration::from_millis(random.random_range(20..500));
    tokio::time::sleep(pause).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_tree_the_supervisor_or_its_server_loses_and_doubles_nothing() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut deployment = Deployment::start();
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        senders.push(
            deployment
                .agent_by_position("default", &format!("sender-{number}"), "s")
                .await,
        );
    }
    for number in 0..READERS {
        readers.push(
            deployment
                .agent_by_position("default", "reader", &format!("r{number}"))
                .await,
        );
    }
    under_load(senders, readers, async {
        for _ in 0..kills().div_ceil(2) {
            pause(&mut random).await;
            match random.random_range(0..3) {
                0 => harness::process::kill(deployment.nats_pid().expect("a server runs")),
                1 => {
                    // The supervisor alone: its orphaned server is found and stopped at the next start.
                    deployment.up.take().expect("up runs").kill();
                    deployment.restart();
                }
                _ => {
                    deployment.kill_tree();
                    deployment.restart();
                }
            }
        }
        pause(&mut random).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_broker_projector_and_server_separately_loses_and_doubles_nothing() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut fleet = Fleet::start(2, 2, 2);
    fleet.tenant("acme", 1).await;
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        senders.push(
            fleet
                .agent_by_position("acme", &format!("sender-{number}"), "s")
                .await,
        );
    }
    for number in 0..READERS {
        readers.push(
            fleet
                .agent_by_position("acme", "reader", &format!("r{number}"))
                .await,
        );
    }
    under_load(senders, readers, async {
        for _ in 0..kills() / 2 {
            pause(&mut random).await;
            let which = random.random_range(0..2);
            match random.random_range(0..3) {
                0 => {
                    fleet.brokers[which].take().expect("it runs").kill();
                    fleet.start_broker(which);
                }
                1 => {
                    fleet.projectors[which].take().expect("it runs").kill();
                    fleet.start_projector(which);
                }
                _ => {
                    fleet.kill_nats();
                    fleet.start_nats();
                }
            }
        }
        pause(&mut random).await;
    })
    .await;
}
