//! What the broker relies on when it stages a batch's members ahead of its commit, asked of the
//! nats-server itself.

use crate::harness::Server;
use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use postroad_broker::Durability;

/// A stream that takes batches, and who writes to it.
struct Desk {
    _server: Server,
    client: async_nats::Client,
    context: jetstream::Context,
}

impl Desk {
    async fn new() -> Self {
        let server = Server::start(Durability::PowerSafe).await;
        let client = server.connect("_INBOX.desk").await;
        let context = jetstream::new(client.clone());
        let config = stream::Config {
            name: "BATCHES".to_owned(),
            subjects: vec!["batches".to_owned()],
            allow_atomic_publish: true,
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
        Self {
            _server: server,
            client,
            context,
        }
    }

    async fn stage(&self, batch: &str, number: usize, id: &str) {
        let headers = member(batch, number, id);
        let sent = self
            .client
            .publish_with_headers("batches", headers, id.to_owned().into());
        sent.await.unwrap();
    }

    async fn commit(&self, batch: &str, number: usize, id: &str) -> Result<u64, String> {
        let mut headers = member(batch, number, id);
        headers.insert("Nats-Batch-Commit", "1");
        let message = jetstream::message::PublishMessage::build()
            .headers(headers)
            .payload(id.to_owned().into());
        let sent = self.context.send_publish("batches", message).await.unwrap();
        let ack = sent.await.map_err(|error| format!("{error:?}"))?;
        Ok(ack.sequence)
    }

    async fn stored(&self) -> Vec<String> {
        let mut stream = self.context.get_stream("BATCHES").await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        futures_util::stream::iter(1..=last)
            .then(|sequence| {
                let stream = stream.clone();
                async move {
                    let message = stream.get_raw_message(sequence).await.unwrap();
                    String::from_utf8(message.payload.to_vec()).unwrap()
                }
            })
            .collect()
            .await
    }
}

fn member(batch: &str, number: usize, id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Batch-Id", batch);
    headers.insert("Nats-Batch-Sequence", number.to_string());
    headers.insert("Nats-Msg-Id", id);
    headers
}

#[tokio::test]
async fn ids_are_compared_when_a_batch_commits_not_only_when_its_members_come() {
    let desk = Desk::new().await;
    desk.stage("late", 1, "a").await;
    desk.stage("late", 2, "b").await;
    // Somebody else stores the same id meanwhile.
    assert_eq!(desk.commit("other", 1, "a").await, Ok(1));
    let refused = desk.commit("late", 3, "c").await.unwrap_err();
    assert!(refused.contains("10201"), "{refused}");
    assert_eq!(desk.stored().await, ["a"]);
}

#[tokio::test]
async fn members_that_are_staged_while_another_batch_commits_are_stored_behind_it() {
    let desk = Desk::new().await;
    desk.stage("first", 1, "a").await;
    desk.stage("second", 1, "d").await;
    desk.stage("first", 2, "b").await;
    desk.stage("second", 2, "e").await;
    assert_eq!(desk.commit("first", 3, "c").await, Ok(3));
    assert_eq!(desk.commit("second", 3, "f").await, Ok(6));
    assert_eq!(desk.stored().await, ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test]
async fn what_is_staged_and_never_committed_is_never_stored_and_keeps_its_id_free() {
    let desk = Desk::new().await;
    desk.stage("left", 1, "a").await;
    desk.stage("left", 2, "b").await;
    assert_eq!(desk.commit("other", 1, "b").await, Ok(1));
    assert_eq!(desk.commit("another", 1, "a").await, Ok(2));
    assert_eq!(desk.stored().await, ["b", "a"]);
}

/// What an import relies on: the first member of a batch may expect where all subjects of a tenant end.
#[tokio::test]
async fn a_batch_may_expect_where_a_wildcard_of_subjects_ends_and_is_refused_whole_where_it_does_not()
 {
    let server = Server::start(Durability::PowerSafe).await;
    let client = server.connect("_INBOX.desk").await;
    let context = jetstream::new(client.clone());
    let config = stream::Config {
        name: "TENANTS".to_owned(),
        subjects: vec!["t.*.evt.>".to_owned()],
        allow_atomic_publish: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    let send = async |batch: &str, subjects: &[&str], expected: u64| {
        for (index, subject) in subjects.iter().enumerate() {
            let mut headers = member(batch, index + 1, &format!("{batch}-{index}"));
            if index == 0 {
                headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
                headers.insert(
                    "Nats-Expected-Last-Subject-Sequence-Subject",
                    "t.acme.evt.>",
                );
            }
            if index + 1 < subjects.len() {
                let sent = client.publish_with_headers((*subject).to_owned(), headers, "x".into());
                sent.await.unwrap();
                continue;
            }
            headers.insert("Nats-Batch-Commit", "1");
            let message = jetstream::message::PublishMessage::build()
                .headers(headers)
                .payload("x".into());
            let sent = context.send_publish((*subject).to_owned(), message).await;
            let ack = sent.unwrap().await.map_err(|error| format!("{error:?}"));
            return ack.map(|ack| ack.sequence);
        }
        unreachable!("a batch has members")
    };
    let acme = ["t.acme.evt.a", "t.acme.evt.b", "t.acme.evt.a"];
    assert_eq!(send("one", &acme, 0).await, Ok(3));
    // Another tenant's events do not matter.
    context
        .publish("t.globex.evt.a", "x".into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(send("two", &acme, 3).await, Ok(7));
    for wrong in [0, 3, 6, 8] {
        let refused = send(&format!("wrong-{wrong}"), &acme, wrong).await;
        assert!(refused.is_err(), "{refused:?}");
        println!("{refused:?}");
    }
    let mut stream = context.get_stream("TENANTS").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.last_sequence, 7);
}
