//! A log or a key that is not what it was: what stops, what goes on, and what callers are told.

use crate::harness::{Town, eventually, host, no_key};
use postroad_projector::hosts::Host;
use postroad_projector::progress::State;
use postroad_protocol::event::{
    Actor, DamageAccepted, MessagesDelivered, ReaderRegistered, TenantCreated,
};
use postroad_protocol::query::Damage;
use postroad_protocol::subject::Owner;
use serde_json::json;
use std::time::{Duration, Instant};

fn damage(host: &Host) -> Option<Damage> {
    match host.progress().state {
        State::Damaged(damage) => Some(damage),
        _ => None,
    }
}

#[tokio::test]
async fn a_check_on_a_damaged_shard_waits_as_long_as_it_was_asked_to() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let (host, pi) = (host(&projector), town.agent("tau/pi").await);
    let wait = json!({"waitMs": 60_000});
    let waiting = pi.ask("messages.check_messages", &wait);
    let breaks = async {
        // Its own query has to be waiting, or it would begin on a damaged shard.
        let query = json!({"waitMs": 200});
        pi.ask("messages.check_messages", &query).await.unwrap();
        town.damage("acme").await;
    };
    let (told, ()) = tokio::join!(waiting, breaks);
    assert_eq!(told.unwrap()["stale"], json!(true), "it is told at once");
    assert!(damage(&host).is_some());
    let began = Instant::now();
    let wait = json!({"waitMs": 700});
    let rested = pi.ask("messages.check_messages", &wait);
    assert_eq!(rested.await.unwrap()["stale"], json!(true));
    assert!(
        began.elapsed() >= Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
    projector.drain().await;
}

#[tokio::test]
async fn a_key_record_that_does_not_open_stops_only_what_it_sealed() {
    let town = Town::new().await;
    let system = town.keyring.home(Owner::System).unwrap();
    // Someone's record was damaged; everybody else's lie behind it.
    let garbled = format!("{}.evil", "postroad._keys");
    town.store(&garbled, async_nats::HeaderMap::new(), b"garbage".to_vec())
        .await;
    let projector = town.projector("rows").await;
    let host = host(&projector);
    town.tenant("acme").await;
    for agent in ["bob/mac", "tau/pi"] {
        town.issue("acme", agent).await;
    }
    let end = town.say("acme", "hello").await;
    host.caught_up(end).await;
    assert_eq!(damage(&host), None);
    let pi = town.agent("tau/pi").await;
    assert_eq!(pi.check().await, (vec!["hello".to_owned()], false));

    // An event that needs the bad record.
    let tenant = postroad_protocol::TenantId::parse("evil").unwrap();
    let key = town.keyring.current(Owner::System).unwrap();
    let event = postroad_protocol::event::Event::from(MessagesDelivered {
        reader: crate::harness::reader("tau/pi"),
        messages: vec![no_key()],
    });
    let sealed = postroad_protocol::envelope::Sealing {
        owner: Owner::Tenant(&tenant),
        subject: town
            .subjects
            .event(Owner::Tenant(&tenant), 0, &event.aggregate()),
        key_id: system.key_id,
        key: &key.key,
        id: postroad_protocol::id::CommandId::generate(),
        time: postroad_protocol::id::TimeMs::now(),
        by: &Actor::System,
        traceparent: None,
    }
    .seal(&event);
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in sealed.headers() {
        headers.insert(name, value.as_str());
    }
    let unreadable = town.store(&sealed.subject, headers, sealed.payload).await;
    eventually("the shard stops", async || damage(&host).is_some()).await;
    let told = damage(&host).unwrap();
    assert_eq!((told.from, told.to), (unreadable, unreadable));
    assert!(told.message.contains("record 2"), "{told:?}");
    assert!(
        told.remedy.contains("keys stream") && told.remedy.contains("accept-damage"),
        "{told:?}"
    );
    let ranges = vec![(unreadable, unreadable)];
    let accepted = DamageAccepted { ranges };
    town.append(Owner::System, &Actor::System, accepted).await;
    let end = town.say("acme", "after").await;
    eventually("the shard goes on", async || {
        host.progress().sequence >= end && damage(&host).is_none()
    })
    .await;
    projector.drain().await;
}

#[tokio::test]
async fn status_names_what_was_set_aside_and_nothing_that_it_says() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let tenant = postroad_protocol::TenantId::parse("acme").unwrap();
    let mut first = None;
    for number in 0..25 {
        let reader = crate::harness::reader(&format!("secret-{number}/x"));
        let event = ReaderRegistered { reader };
        let at = town
            .append(Owner::Tenant(&tenant), &Actor::System, event)
            .await;
        first = first.or(Some(at));
        host.caught_up(at).await;
    }
    let operator = town.operator().await;
    let status = operator.ask("admin.status", &json!({})).await.unwrap();
    let shard = &status["shards"][0];
    assert_eq!(shard["quarantined"], json!(25));
    let named = shard["quarantine"].as_array().unwrap();
    assert_eq!(named.len(), 20);
    assert_eq!(named[0]["sequence"], json!(first.unwrap()));
    assert_eq!(named[0]["tenant"], json!("acme"));
    let reason = named[0]["reason"].as_str().unwrap();
    assert!(reason.contains("never on the roster"), "{reason}");
    assert!(!status.to_string().contains("secret"), "{status}");
    let pi = town.agent("tau/pi").await;
    assert!(pi.ask("admin.status", &json!({})).await.is_err());
    projector.drain().await;
}

#[tokio::test]
async fn keys_that_cannot_be_reached_are_shown_and_hold_up_no_stop() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let late = postroad_protocol::TenantId::parse("late").unwrap();
    town.keyring.create(Owner::Tenant(&late), 0).await.unwrap();
    town.context
        .delete_stream(postroad_protocol::subject::KEYS_STREAM)
        .await
        .unwrap();
    let created = TenantCreated {
        tenant: late.clone(),
        generation: 1,
    };
    let before = host.progress().sequence;
    town.append(Owner::Tenant(&late), &Actor::System, created)
        .await;
    eventually("it says so", async || {
        host.progress().state == State::Disconnected
    })
    .await;
    assert_eq!(host.progress().sequence, before);
    let began = Instant::now();
    projector.drain().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// A stored event's headers and payload, without what JetStream deduplicates by.
async fn stolen(town: &Town, sequence: u64) -> (async_nats::HeaderMap, Vec<u8>) {
    let stream = town.context.get_stream("POSTROAD_0").await.unwrap();
    let stored = stream.get_raw_message(sequence).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    for (name, values) in stored.headers.iter() {
        if name.to_string() != "Nats-Msg-Id" {
            headers.insert(name.clone(), values[0].clone());
        }
    }
    (headers, stored.payload.to_vec())
}

#[tokio::test]
async fn an_event_that_was_moved_or_never_sealed_stops_its_shard_wherever_it_is_put() {
    let town = Town::with_acme().await;
    town.tenant("globex").await;
    for agent in ["bob/mac", "tau/pi"] {
        town.issue("globex", agent).await;
    }
    let said = town.say("acme", "of acme").await;
    let (headers, payload) = stolen(&town, said).await;
    let from = crate::harness::reader("bob/mac");
    let plain = postroad_protocol::event::Event::from(ReaderRegistered {
        reader: from.clone(),
    });
    let plain = plain.encode(&Actor::Agent(from));
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let mut given_up = Vec::new();
    for (subject, payload) in [
        ("postroad.globex.evt.0.message.bob", payload.clone()),
        ("postroad.acme.evt.0.message.tau", payload.clone()),
        ("postroad._sys.evt.0.message.bob", payload),
        // There is no unsealed mode: what anybody can read was not written by a broker.
        ("postroad.globex.evt.0.message.bob", plain),
    ] {
        let forged = town.store(subject, headers.clone(), payload).await;
        eventually("the shard stops", async || damage(&host).is_some()).await;
        let told = damage(&host).unwrap();
        assert_eq!((told.from, told.to), (forged, forged), "{subject}");
        assert!(told.message.contains("seal does not open"), "{told:?}");
        assert_eq!(host.progress().sequence, forged - 1);
        given_up.push((forged, forged));
        let ranges = given_up.clone();
        let accepted = DamageAccepted { ranges };
        let end = town.append(Owner::System, &Actor::System, accepted).await;
        eventually("the shard goes on", async || {
            host.progress().sequence >= end && damage(&host).is_none()
        })
        .await;
    }
    // Nobody of the other tenant was shown anything.
    let pi = town.caller("globex", "tau/pi").await;
    assert_eq!(pi.check().await, (Vec::new(), false));
    projector.drain().await;
}

/// Seals of a long log are opened ahead of the rows: nothing behind the damage may get there all the same.
#[tokio::test]
async fn a_long_log_is_applied_up_to_what_is_damaged_in_it_and_behind_it_once_that_was_given_up() {
    let town = Town::with_acme().await;
    for number in 0..400 {
        town.say("acme", &format!("before {number}")).await;
    }
    let damaged = town.damage("acme").await;
    let mut end = damaged;
    for number in 0..400 {
        end = town.say("acme", &format!("behind {number}")).await;
    }
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let told = damage(&host).expect("the shard stopped");
    assert_eq!((told.from, told.to), (damaged, damaged));
    assert_eq!(host.progress().sequence, damaged - 1);
    let pi = town.agent("tau/pi").await;
    let question = json!({"limit": 1});
    let answer = pi.ask("messages.check_messages", &question).await.unwrap();
    assert_eq!(answer["unreadTotal"], json!(400));

    let accepted = DamageAccepted {
        ranges: vec![(damaged, damaged)],
    };
    end = end.max(town.append(Owner::System, &Actor::System, accepted).await);
    eventually("the shard goes on", async || {
        host.progress().sequence >= end
    })
    .await;
    let answer = pi.ask("messages.check_messages", &question).await.unwrap();
    assert_eq!(answer["unreadTotal"], json!(800));
    projector.drain().await;
}
