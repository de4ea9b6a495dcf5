//! Two tenants in one shard, one hostile: it re-uses the other's message ids, repeats its own inside
//! a batch, retries committed ones, floods. The other's sends all succeed, each stored once, in order.

use crate::harness::{Deployment, log};
use postroad_client::{Advice, Check, Client, ClientError, Draft, ReplayOf};
use postroad_protocol::{ErrorCode, MessageId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SENDS: usize = 200;

/// What the attackers have done, each class counted by what was acknowledged or refused as it should be.
#[derive(Default)]
struct Attacked {
    /// Sends under the victim's ids.
    stolen: AtomicU64,
    /// Sends under one id, many in one flight.
    repeated: AtomicU64,
    /// Retries of committed ids with identical content, each answered with its first place.
    retried: AtomicU64,
    /// Committed ids with other content, each a conflict.
    rewritten: AtomicU64,
    /// Plain flood.
    fresh: AtomicU64,
}

/// One send of the attack.
enum Strike {
    Stolen(MessageId),
    Repeated(MessageId),
    Retried(MessageId, u64),
    Rewritten(MessageId),
    Fresh,
}

impl Strike {
    /// Sends it, and checks what the attacker itself is told; where it was stored for the first time.
    async fn land(self, client: &Client, done: &Attacked) -> Option<(MessageId, u64)> {
        let (id, content, counter) = match &self {
            Self::Stolen(id) => (*id, "stolen", &done.stolen),
            Self::Repeated(id) => (*id, "repeated", &done.repeated),
            // To the byte what was committed before.
            Self::Retried(id, _) => (*id, "fresh", &done.retried),
            Self::Rewritten(id) => (*id, "rewritten", &done.rewritten),
            Self::Fresh => (MessageId::generate(), "fresh", &done.fresh),
        };
        let sent = client.send(&Draft::new("pi", content).with_id(id)).await;
        match (self, sent) {
            (Self::Rewritten(_), Err(ClientError::Refused(refusal)))
                if refusal.code == ErrorCode::Conflict => {}
            (Self::Rewritten(_), Ok(sent)) => panic!("{id} was stored again: {sent:?}"),
            (Self::Retried(_, first), Ok(sent)) => {
                assert_eq!(
                    sent.position.sequence, first,
                    "a retry finds its first place"
                );
            }
            (Self::Fresh, Ok(sent)) => {
                counter.fetch_add(1, Ordering::Relaxed);
                return Some((id, sent.position.sequence));
            }
            (_, Ok(_)) => {}
            // The flood may be told to slow down.
            (_, Err(error)) => {
                let retry = matches!(error.advice(), Advice::Retry { .. });
                assert!(retry, "{error:?}");
                return None;
            }
        }
        counter.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Keeps many sends in flight until told to stop, with ids that are meant to do harm.
async fn attack(
    client: Client,
    stolen: Vec<MessageId>,
    stop: Arc<AtomicBool>,
    done: Arc<Attacked>,
) {
    let mut committed: Vec<(MessageId, u64)> = Vec::new();
    let mut round = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let mut flight = tokio::task::JoinSet::new();
        let repeated = MessageId::generate();
        for number in 0..64 {
            let before = committed.get((round * 7 + number) % committed.len().max(1));
            let strike = match (number % 5, before) {
                // The victim's id, at the very time when the victim may be using it.
                (0, _) => Strike::Stolen(stolen[(round * 16 + number / 5) % stolen.len()]),
                // The same id many times over in one flight, and so in one batch.
                (1, _) => Strike::Repeated(repeated),
                (2, Some((id, first))) => Strike::Retried(*id, *first),
                (3, Some((id, _))) => Strike::Rewritten(*id),
                _ => Strike::Fresh,
            };
            let (client, done) = (client.clone(), Arc::clone(&done));
            flight.spawn(async move { strike.land(&client, &done).await });
        }
        while let Some(ended) = flight.join_next().await {
            committed.extend(ended.expect("a promise was broken"));
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
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Attacked::default()),
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
            Arc::clone(&done),
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
    while let Some(ended) = attackers.join_next().await {
        ended.expect("a promise was broken");
    }
    for (class, count) in [
        ("stolen", &done.stolen),
        ("repeated", &done.repeated),
        ("retried", &done.retried),
        ("rewritten", &done.rewritten),
        ("fresh", &done.fresh),
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "the attack ran: {class}");
    }
    assert!(
        positions.is_sorted_by(|left, right| left < right),
        "in order"
    );
    // In the log itself: each once, at the place that the victim was told.
    let operator = deployment.operator().await;
    let of = ReplayOf::Tenant("victim".parse().unwrap());
    let log = log::events(&operator, of, 1).await;
    let stored: Vec<(String, u64)> = log
        .into_iter()
        .filter(|event| event.type_name == "message_sent")
        .map(|event| (event.id, event.position.sequence))
        .collect();
    let told: Vec<(String, u64)> = ids.iter().map(ToString::to_string).zip(positions).collect();
    assert_eq!(stored, told);
    // The attacker's own are no more than its ids, twice at most: each attacker has its own.
    let most = log::stored(&operator, "hostile").await.into_values().max();
    assert!(most.is_some_and(|most| most <= 2), "{most:?}");
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
    let mut ids = Vec::new();
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
        ids.push(id.to_string());
        assert!(
            conflicts == 10 || conflicts == 90,
            "one content won: {conflicts}"
        );
    }
    assert_eq!(bob.check(&Check::default()).await.unwrap().unread_total, 5);
    let stored = log::stored(&deployment.operator().await, "default").await;
    let once: BTreeMap<String, usize> = ids.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(stored, once, "the log holds each id once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_ids_sent_again_as_they_were_find_their_places_and_store_nothing() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    // Ids of today, and ones so old that the log's own memory of ids is no help: those are looked up.
    let old = |number: u64| uuid::Uuid::from_u64_pair(0x0190_163d_8694_7000 + number, 1 << 63);
    let drafts: Vec<Draft> = (0..100)
        .map(|number| {
            let draft = Draft::new("bob", number.to_string());
            if number % 2 == 0 {
                draft
            } else {
                draft.with_id(MessageId::parse(&old(number).to_string()).unwrap())
            }
        })
        .collect();
    let send_all = async || {
        let mut flight = tokio::task::JoinSet::new();
        for (number, draft) in drafts.iter().cloned().enumerate() {
            let alice = alice.clone();
            flight.spawn(async move { (number, alice.send(&draft).await.unwrap().position) });
        }
        BTreeMap::from_iter(flight.join_all().await)
    };
    let first = send_all().await;
    for _ in 0..3 {
        assert_eq!(send_all().await, first, "each retry finds its first place");
    }
    let stored = log::stored(&deployment.operator().await, "default").await;
    let once: BTreeMap<String, usize> = drafts
        .iter()
        .map(|draft| (draft.id().to_string(), 1))
        .collect();
    assert_eq!(stored, once);
    assert_eq!(
        bob.check(&Check::default()).await.unwrap().unread_total,
        100
    );
}
