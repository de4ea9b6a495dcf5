//! What follows from how tasks stand, as projectors ask for it: stored once, however often and by however many.

use crate::harness::{Caller, Log, Town, sequence, start_broker};
use crate::observations::{observe, reader};
use crate::tasks::{acme, act, changes, created_with, made};
use async_nats::client::Client;
use futures_util::StreamExt;
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::{Actor, Event, EventKey, MessageSent, Priority, TaskChange};
use postroad_protocol::id::Reader;
use postroad_protocol::push::Hint;
use postroad_protocol::service::{Observation, task_ready_id};
use postroad_protocol::task::{TaskId, TaskStatus};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn id_of(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

/// Asks `times` times at once; says where each answer says that it is stored.
async fn ask(town: &Town, client: &Client, observation: &Observation, times: usize) -> Vec<u64> {
    let asked = (0..times).map(|_| observe(town, client, "acme", observation));
    let answers = join_all(asked).await.into_iter();
    answers.map(Result::unwrap).collect()
}

async fn messages_of_postroad(log: &Log) -> Vec<(u64, MessageSent)> {
    let mut messages = Vec::new();
    for (index, (_, record)) in log.all().await.into_iter().enumerate() {
        if let Event::MessageSent(message) = record.event
            && message.from == Reader::postroad()
        {
            assert_eq!(record.by, Actor::System);
            messages.push((index as u64 + 1, message));
        }
    }
    messages
}

#[tokio::test]
async fn a_claim_that_was_not_renewed_ends_once_however_often_that_is_asked_for() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let id = created_with(&tau, "x").await;
    let claimed = act(&bob, "claim_task", &id, json!({"leaseMs": 1_000})).await;
    let claimed = sequence(&claimed.unwrap());
    let expired = Observation::LeaseExpired {
        task: id_of(&id),
        version: 2,
    };
    let started = Instant::now();
    let stored = loop {
        let places = ask(&town, &projector, &expired, 5).await;
        if places.iter().all(|place| *place > claimed) {
            break places[0];
        }
        assert!(started.elapsed() < Duration::from_secs(30), "never ended");
    };
    let places = ask(&town, &projector, &expired, 10).await;
    assert!(places.iter().all(|place| *place == stored), "{places:?}");
    assert_eq!(town.log().await.len().await, stored);
    let record = town.log().await.at(stored).await.1;
    assert_eq!(record.by, Actor::System);
    let last = changes(&town).await.pop().unwrap();
    assert_eq!(last.change, TaskChange::LeaseExpired);
    let state = last.state;
    assert_eq!((state.status, state.version), (TaskStatus::Todo, 3));
    assert_eq!(state.claim, None);
    // Somebody else has it by then; the claim that ended is not theirs.
    let body = json!({"leaseMs": 1_000});
    let taken = sequence(&act(&tau, "claim_task", &id, body).await.unwrap());
    let places = ask(&town, &projector, &expired, 4).await;
    assert_eq!(places, [taken; 4]);
    assert_eq!(town.log().await.len().await, taken);
}

#[tokio::test]
async fn a_claim_that_was_renewed_or_has_no_lease_does_not_end() {
    let (town, tau, bob) = acme().await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let id = created_with(&tau, "x").await;
    let begun = Instant::now();
    act(&bob, "claim_task", &id, json!({"leaseMs": 1_000}))
        .await
        .unwrap();
    let renewed = act(&bob, "claim_task", &id, json!({"leaseMs": 60_000}))
        .await
        .unwrap();
    assert_eq!(renewed["version"], 3);
    // With no lease named it is renewed for as long as before.
    let renewed = act(&bob, "claim_task", &id, json!({})).await.unwrap();
    assert_eq!(renewed["version"], 4);
    let held = created_with(&tau, "y").await;
    let last = sequence(&act(&bob, "claim_task", &held, json!({})).await.unwrap());
    let again = act(&bob, "claim_task", &held, json!({})).await.unwrap();
    assert_eq!((&again["already"], sequence(&again)), (&json!(true), last));
    let len = town.log().await.len().await;
    // Until the first lease is over, and once more.
    loop {
        let is_over = begun.elapsed() > Duration::from_millis(1_500);
        for (task, version) in [(&id, 2), (&id, 3), (&id, 4), (&id, 9), (&held, 2)] {
            let expired = Observation::LeaseExpired {
                task: id_of(task),
                version,
            };
            let place = observe(&town, &projector, "acme", &expired).await.unwrap();
            let expected = if task == &held {
                last
            } else {
                sequence(&renewed)
            };
            assert_eq!(place, expected);
        }
        if is_over {
            break;
        }
    }
    assert_eq!(town.log().await.len().await, len);
    let nothing = Observation::LeaseExpired {
        task: TaskId::from_bytes([9; 16]),
        version: 1,
    };
    let refused = observe(&town, &projector, "acme", &nothing).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn whoever_is_to_do_a_task_is_told_once_that_it_is_ready() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let mut hints = bob
        .client
        .subscribe("postroad.acme.push.bob.mac")
        .await
        .unwrap();
    bob.client.flush().await.unwrap();
    let mission = tau
        .own("tasks.create_mission", &json!({"title": "m"}))
        .await
        .unwrap();
    let mission = mission["missionId"].as_str().unwrap();
    let id = made(
        &tau,
        json!({
            "title": "Paint it", "priority": "urgent", "assignedTo": "bob",
            "assignedToInstanceId": "mac", "missionId": mission,
        }),
    )
    .await;
    let cause = EventKey::from_bytes([7; 16]);
    let ready = Observation::TaskReady {
        task: id_of(&id),
        cause,
    };
    let before = town.log().await.len().await;
    for _ in 0..3 {
        let places = ask(&town, &projector, &ready, 8).await;
        assert_eq!(places, [before + 1; 8]);
    }
    // What is told once stays told, also where it would be told in other words, or not at all.
    act(&tau, "update_task", &id, json!({"title": "Paint it red"}))
        .await
        .unwrap();
    assert_eq!(ask(&town, &projector, &ready, 8).await, [before + 1; 8]);
    act(&bob, "claim_task", &id, json!({})).await.unwrap();
    assert_eq!(ask(&town, &projector, &ready, 8).await, [before + 1; 8]);
    assert_eq!(town.log().await.len().await, before + 3);

    let mut messages = messages_of_postroad(&town.log().await).await;
    assert_eq!(messages.len(), 1);
    let (place, message) = messages.remove(0);
    assert_eq!(place, before + 1);
    assert_eq!(message.from.to_string(), "_postroad/tasks");
    assert_eq!(message.channel.to_string(), "bob");
    assert_eq!(message.instance, Some(reader("bob", "mac").instance));
    assert_eq!(message.priority, Priority::Urgent);
    assert_eq!(
        message.content,
        format!("Task ready: Paint it ({id}). Everything it waited for is done.")
    );
    let metadata: Vec<(&str, &str)> = message
        .metadata
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        metadata,
        [
            ("event", "task_ready"),
            ("missionId", mission),
            ("taskId", id.as_str())
        ]
    );
    let hint: Hint = serde_json::from_slice(&hints.next().await.unwrap().payload).unwrap();
    assert_eq!(hint.message_id, task_ready_id(id_of(&id), cause));
    // There was no second hint: the next is that of another message.
    tau.own(
        "messages.send_message",
        &json!({"channel": "bob", "instanceId": "mac", "content": "next"}),
    )
    .await
    .unwrap();
    let hint: Value = serde_json::from_slice(&hints.next().await.unwrap().payload).unwrap();
    assert_eq!(hint["content"], "next");
}

#[tokio::test]
async fn a_message_told_in_two_wordings_at_once_is_one_message() {
    let (town, tau, _) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let id = made(&tau, json!({"assignedTo": "bob"})).await;
    for n in 0..4 {
        let cause = EventKey::from_bytes([n; 16]);
        let ready = Observation::TaskReady {
            task: id_of(&id),
            cause,
        };
        let renamed = (0..4).map(|m| {
            let title = format!("{n} {m}");
            rename(&tau, &id, title)
        });
        let (places, _) = tokio::join!(ask(&town, &projector, &ready, 8), join_all(renamed));
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        let messages = messages_of_postroad(&town.log().await).await;
        assert_eq!(messages.len(), usize::from(n) + 1);
    }
}

async fn rename(caller: &Caller, id: &str, title: String) {
    act(caller, "update_task", id, json!({"title": title}))
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_is_told_of_a_task_that_is_nobodys_or_is_being_done() {
    let (town, tau, bob) = acme().await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let nobodys = created_with(&tau, "x").await;
    let done = made(&tau, json!({"assignedTo": "bob"})).await;
    act(&bob, "claim_task", &done, json!({})).await.unwrap();
    let last = act(&bob, "complete_task", &done, json!({})).await.unwrap();
    let ready = |id: &str| Observation::TaskReady {
        task: id_of(id),
        cause: EventKey::from_bytes([7; 16]),
    };
    let len = town.log().await.len().await;
    let place = observe(&town, &projector, "acme", &ready(&done)).await;
    assert_eq!(place.unwrap(), sequence(&last));
    observe(&town, &projector, "acme", &ready(&nobodys))
        .await
        .unwrap();
    let nothing = ready(&TaskId::from_bytes([9; 16]).to_string());
    let refused = observe(&town, &projector, "acme", &nothing).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn what_follows_waits_while_the_tenant_is_suspended() {
    let (town, tau, _) = acme().await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let id = made(&tau, json!({"assignedTo": "bob"})).await;
    town.operator
        .command("acme", "admin.suspend_tenant", &json!({}))
        .await
        .unwrap();
    let len = town.log().await.len().await;
    let ready = Observation::TaskReady {
        task: id_of(&id),
        cause: EventKey::from_bytes([7; 16]),
    };
    let expired = Observation::LeaseExpired {
        task: id_of(&id),
        version: 1,
    };
    for observation in [&ready, &expired] {
        let refused = observe(&town, &projector, "acme", observation).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    }
    assert_eq!(town.log().await.len().await, len);
    town.operator
        .command("acme", "admin.resume_tenant", &json!({}))
        .await
        .unwrap();
    assert_eq!(ask(&town, &projector, &ready, 1).await, [len + 2]);
}
