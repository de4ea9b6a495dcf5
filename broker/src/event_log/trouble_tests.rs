//! What the log does when a real nats-server stops, loses what it stored, or takes nothing more.

#[path = "../../tests/it/harness/server.rs"]
mod server;

use super::publish::{Failure, OpenBatch, send_plain};
use super::*;
use crate::aggregate::roster::given::{reader, scope};
use async_nats::ConnectOptions;
use async_nats::connection::State;
use postroad_log::LogError;
use postroad_log::streams::{ensure_keys_stream, ensure_shard};
use postroad_protocol::event::{EventKey, MessagesDelivered, SummarySet};
use postroad_protocol::seal::MasterKey;
use server::Server;
use std::process::Command;
use std::time::Instant;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(30);

/// A log of one shard on `server`, written to over `client`.
struct OneShard {
    log: EventLog,
    shard: Shard,
    client: async_nats::Client,
}

impl OneShard {
    async fn open(client: async_nats::Client) -> Self {
        let (context, subjects) = (context_of(client.clone()), Subjects::default());
        ensure_keys_stream(&context, &subjects, 1).await.unwrap();
        let shard = ensure_shard(&context, &subjects, 0, 1).await.unwrap();
        let master = MasterKey::from_bytes([7; 32]);
        let keyring = Keyring::open(&context, subjects.clone(), master).await;
        let keyring = keyring.unwrap();
        if keyring.current(scope("acme").owner()).is_none() {
            keyring.create(scope("acme").owner(), 0).await.unwrap();
        }
        let log = EventLog::new(subjects, keyring, Durability::PowerSafe);
        log.open(shard.clone()).await.unwrap();
        Self { log, shard, client }
    }

    fn put(&self, event: impl Into<Event>, id: CommandId) -> Outcome {
        self.log.append(Draft {
            owner: Some(scope("acme")),
            shard: 0,
            id,
            by: Actor::System,
            event: Arc::new(event.into()),
            time: TimeMs::now(),
            traceparent: None,
            expected_last: None,
        })
    }

    fn say(&self, summary: &str) -> Outcome {
        let reader = reader("tau", "pi");
        let summary = summary.to_owned();
        self.put(SummarySet { reader, summary }, CommandId::generate())
    }

    /// An event that is ready for the wire.
    fn outgoing(&self, bytes: usize) -> Outgoing {
        let owner = scope("acme");
        let key = self.log.keyring.current(owner.owner()).unwrap();
        let event = Event::from(SummarySet {
            reader: reader("tau", "pi"),
            summary: "x".repeat(bytes),
        });
        let subjects = Subjects::default();
        let sealing = Sealing {
            owner: owner.owner(),
            subject: subjects.event(owner.owner(), 0, &event.aggregate()),
            key_id: key.home.key_id,
            key: &key.key,
            id: CommandId::generate(),
            time: TimeMs::now(),
            by: &Actor::System,
            traceparent: None,
        };
        Outgoing::new(sealing.seal(&event), None)
    }
}

/// Lets `server` stand still with its connections open, as a machine does that hangs.
async fn pause(server: &Server) {
    let id = server.child.id().to_string();
    let stop = Command::new("kill").args(["-STOP", &id]).status();
    assert!(stop.unwrap().success());
    until("it stands still", || {
        let state = Command::new("ps")
            .args(["-o", "state=", "-p", &id])
            .output();
        state.unwrap().stdout.starts_with(b"T")
    })
    .await;
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server with a log of two events, and a copy of its store from when there was one. It is down.
async fn cut_log() -> (Server, OneShard, tempfile::TempDir) {
    let mut server = Server::start(Durability::PowerSafe).await;
    let one = OneShard::open(server.connect("_INBOX._sys.broker").await).await;
    one.say("kept").wait().await.unwrap();
    server.kill();
    let early = server.copy_store();
    server.restart().await;
    one.say("lost").wait().await.unwrap();
    (server, one, early)
}

#[tokio::test]
async fn what_comes_while_the_connection_is_down_waits_until_the_log_is_looked_at() {
    let (mut server, one, early) = cut_log().await;
    server.kill();
    let client = one.client.clone();
    until("it is noticed", || {
        client.connection_state() != State::Connected
    })
    .await;
    server.put_store(&early);
    let waiting: Vec<_> = (0..100).map(|n| one.say(&n.to_string())).collect();
    // The task has them now; without a connection it keeps them.
    until("they are taken in", || {
        let shards = one.log.shards.read().unwrap();
        let inbox = &shards[&0].inbox;
        inbox.capacity() == inbox.max_capacity()
    })
    .await;
    server.restart().await;
    for outcome in waiting {
        let error = outcome.wait().await.unwrap_err();
        assert!(
            matches!(
                error,
                AppendError::Broken { .. } | AppendError::Unavailable { .. }
            ),
            "it never was on its way: {error:?}"
        );
    }
    assert_eq!(one.shard.extent().await.unwrap().last, 1);
    assert!(!one.log.in_place());
}

#[tokio::test]
async fn an_event_that_was_on_its_way_when_the_log_broke_may_be_stored() {
    let (mut server, one, early) = cut_log().await;
    pause(&server).await;
    let sent = || one.client.statistics().out_messages.load(Ordering::Relaxed);
    let before = sent();
    let outcome = one.say("who knows");
    until("it is sent", || sent() > before).await;
    server.kill();
    server.put_store(&early);
    server.restart().await;
    assert_eq!(
        outcome.wait().await.unwrap_err(),
        AppendError::Unknown { shard: 0 }
    );
    let next = one.say("never sent").wait().await.unwrap_err();
    assert!(matches!(next, AppendError::Broken { .. }), "{next:?}");
}

#[tokio::test]
async fn a_log_that_is_restored_is_taken_up_again_though_nobody_writes() {
    let (mut server, one, early) = cut_log().await;
    server.kill();
    let late = server.copy_store();
    server.put_store(&early);
    server.restart().await;
    while one.log.in_place() {
        one.say("refused").wait().await.unwrap_err();
    }
    server.kill();
    server.put_store(&late);
    server.restart().await;
    until("it is in place again", || one.log.in_place()).await;
    let stored = one.say("restored").wait().await.unwrap();
    assert_eq!(stored.position.sequence, 3);
}

#[tokio::test]
async fn looking_at_a_log_that_does_not_answer_ends_soon() {
    let server = Server::start(Durability::PowerSafe).await;
    let one = OneShard::open(server.connect("_INBOX._sys.broker").await).await;
    let mut guard = Guard::open(one.shard.clone()).await.unwrap();
    pause(&server).await;
    let look = tokio::time::timeout(Duration::from_secs(3), guard.verify());
    let look = look.await.expect("it gives up before that");
    assert!(matches!(look, Err(LogError::Unreachable(_))), "{look:?}");
}

#[tokio::test]
async fn handing_events_to_a_connection_that_takes_nothing_ends_soon() {
    let server = Server::start(Durability::PowerSafe).await;
    let options = ConnectOptions::new().client_capacity(8);
    let one = OneShard::open(server.connect_with(options).await).await;
    pause(&server).await;
    let context = one.shard.context();
    // More than the sockets and the client's queue hold together.
    let (event, count) = (one.outgoing(256 * 1024), 200);
    let mut open = OpenBatch::new();
    let batch = open.add(context, std::iter::repeat_n(&event, count));
    let batch = tokio::time::timeout(Duration::from_secs(3), batch).await;
    let batch = batch.expect("it gives up before that");
    assert_eq!(batch.unwrap_err(), Failure::Unknown);
    let plain = tokio::time::timeout(Duration::from_secs(3), send_plain(context, &event));
    let plain = plain.await.expect("it gives up before that");
    assert_eq!(plain.unwrap_err(), Failure::Unknown);
}

#[tokio::test]
async fn repeated_marks_sink_one_batch_and_go_apart_then() {
    let server = Server::start(Durability::PowerSafe).await;
    let mark = |one: &OneShard, n: u8| {
        let (reader, messages) = (reader("tau", "pi"), vec![EventKey::from_bytes([n; 16])]);
        let id = CommandId::derived(&[b"mark", &[n]]);
        one.put(MessagesDelivered { reader, messages }, id)
    };
    let other = OneShard::open(server.connect("_INBOX._sys.broker").await).await;
    for n in 0..2 {
        mark(&other, n).wait().await.unwrap();
    }
    // A broker that has not seen them stored.
    let one = OneShard::open(server.connect("_INBOX._sys.broker").await).await;
    for n in 0..2 {
        let said: Vec<_> = (0..40).map(|_| one.say("together")).collect();
        let marked = mark(&one, n);
        for outcome in said.into_iter().chain([marked]) {
            outcome.wait().await.unwrap();
        }
    }
    let failed = one.log.counters().failed_batches.load(Ordering::Relaxed);
    assert_eq!(failed, 1);
}
