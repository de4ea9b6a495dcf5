//! A subscription while messages are in flight and parts die, the subscriber's own process among them:
//! gapless, each message once, in the order of the log.

use crate::harness::fleet::Fleet;
use crate::harness::{connect, connect_by_position, eventually, issue};
use postroad_client::{Client, Draft};
use postroad_protocol::MessageId;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Messages that must have come between two disturbances, so that each falls into the flow.
const FLOW: usize = 25;

/// What was sent and what came.
#[derive(Default)]
struct Journal {
    /// Where each acknowledged message lies in the log.
    sent: Mutex<HashMap<MessageId, u64>>,
    /// What each life of the subscriber was given, in that order.
    lives: Mutex<Vec<Vec<MessageId>>>,
    stop: AtomicBool,
}

impl Journal {
    fn came(&self) -> usize {
        self.lives.lock().unwrap().iter().map(Vec::len).sum()
    }

    /// How many different messages have come.
    fn different(&self) -> usize {
        let lives = self.lives.lock().unwrap();
        lives.iter().flatten().collect::<HashSet<_>>().len()
    }
}

/// Sends one message after the other, on every lane that leads to bob, each until it is acknowledged.
async fn keep_sending(client: Client, journal: Arc<Journal>) {
    let server = "b".parse().unwrap();
    for number in 0.. {
        if journal.stop.load(Ordering::Relaxed) {
            return;
        }
        let draft = match number % 3 {
            0 => Draft::new("bob", "to the role"),
            1 => Draft::new("bob", "to the instance").instance(&server),
            _ => Draft::new("broadcast", "to everybody"),
        };
        loop {
            match client.send(&draft).await {
                Ok(sent) => {
                    let place = sent.position.sequence;
                    journal.sent.lock().unwrap().insert(draft.id(), place);
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

/// One life of the subscriber: a connection and a subscription of its own, that marks what it was given.
async fn live(url: String, creds: String, journal: Arc<Journal>) {
    let client = connect_by_position(&url, &creds).await;
    let mut mail = client.subscribe().await.expect("it subscribes");
    journal.lives.lock().unwrap().push(Vec::new());
    while let Some(message) = mail.next().await {
        let message = message.expect("a subscription never gives up for a part that died");
        let id = message.message_id;
        journal.lives.lock().unwrap().last_mut().unwrap().push(id);
        // It is the subscriber's to repeat a mark that found nobody.
        while let Err(error) = mail.ack(&message).await {
            let retry = matches!(error.advice(), postroad_client::Advice::Retry { .. });
            assert!(retry, "a mark was refused for good: {error:?}");
        }
    }
}

/// Waits until mail flows again, so that the next disturbance falls into it.
async fn flowing(journal: &Journal, subscriber: &JoinHandle<()>) {
    let before = journal.came();
    eventually("mail flows", async || {
        assert!(!subscriber.is_finished(), "the subscriber gave up");
        journal.came() >= before + FLOW
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_flight_while_parts_and_subscriber_die_come_once_in_the_order_of_the_log() {
    let mut fleet = Fleet::start(2, 2, 1);
    fleet.tenant("acme", 1).await;
    let operator = fleet.operator().await;
    let creds = issue(&operator, "acme", "bob", Some("b")).await;
    let journal = Arc::new(Journal::default());
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..3 {
        let role = format!("sender-{number}");
        let client = fleet.agent_by_position("acme", &role, "s").await;
        senders.spawn(keep_sending(client, Arc::clone(&journal)));
    }
    let url = fleet.url.clone();
    let start = || tokio::spawn(live(url.clone(), creds.clone(), Arc::clone(&journal)));
    let mut subscriber = start();
    for disturbance in ["broker", "nats", "client", "projector", "nats", "client"] {
        flowing(&journal, &subscriber).await;
        match disturbance {
            "broker" => {
                for index in 0..2 {
                    fleet.brokers[index].take().unwrap().kill();
                }
                for index in 0..2 {
                    fleet.start_broker(index);
                }
            }
            "nats" => {
                fleet.kill_nats();
                fleet.start_nats();
            }
            "projector" => {
                fleet.projectors[0].take().unwrap().kill();
                fleet.start_projector(0);
            }
            _ => {
                // It dies where it stands: what it was given and had not marked comes again.
                subscriber.abort();
                let ended = subscriber.await;
                assert!(ended.is_err_and(|error| error.is_cancelled()));
                subscriber = start();
            }
        }
    }
    flowing(&journal, &subscriber).await;
    journal.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = senders.join_next().await {
        ended.expect("a promise was broken");
    }
    let bob = connect(&fleet.url, &creds, None).await;
    eventually("everything has come, and is marked", async || {
        assert!(!subscriber.is_finished(), "the subscriber gave up");
        let sent = journal.sent.lock().unwrap().len();
        journal.different() >= sent
            && bob.check(&Default::default()).await.unwrap().unread_total == 0
    })
    .await;
    subscriber.abort();
    balance(&journal);
}

/// Compares what came with what was sent.
fn balance(journal: &Journal) {
    let (sent, lives) = (journal.sent.lock().unwrap(), journal.lives.lock().unwrap());
    let mut firsts = Vec::new();
    let mut known = HashSet::new();
    for (number, life) in lives.iter().enumerate() {
        let places: Vec<u64> = life.iter().map(|id| sent[id]).collect();
        assert!(
            places.is_sorted_by(|left, right| left < right),
            "life {number} was given a message twice or out of order: {places:?}"
        );
        // Only the one that was in the hands of the life before may come again.
        let again: Vec<_> = life.iter().filter(|id| known.contains(*id)).collect();
        let in_hand = number
            .checked_sub(1)
            .and_then(|before| lives[before].last());
        assert!(
            again.iter().all(|id| Some(*id) == in_hand),
            "life {number}: {again:?} came again"
        );
        for id in life {
            if known.insert(*id) {
                firsts.push(sent[id]);
            }
        }
    }
    assert_eq!(lives.len(), 3, "the subscriber lived three times");
    let mut all: Vec<u64> = sent.values().copied().collect();
    all.sort_unstable();
    assert_eq!(firsts, all, "what came is what is stored, in its order");
    println!("{} messages over {} lives", all.len(), lives.len());
}
