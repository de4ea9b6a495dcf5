//! Commands on tasks that come a second time: at once, behind changes of others, and when nobody remembers their ids.

use crate::harness::{Caller, Server, Town, start_broker};
use crate::library::forget_ids;
use crate::memories::{at, old_id, told};
use crate::observations::observe;
use crate::tasks::{acme, act, changes, created_with, with};
use async_nats::header::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::Config;
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::CommandId;
use postroad_protocol::service::Observation;
use postroad_protocol::task::TaskId;
use serde_json::{Value, json};

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was_whatever_became_of_the_task_since() {
    let (town, tau, bob) = acme().await;
    let other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    for old in [false, true] {
        let id_of = |name: &str| {
            if old {
                old_id(name)
            } else {
                CommandId::generate()
            }
        };
        let (made, claim, update) = (id_of("made"), id_of("claim"), id_of("update"));
        let create_body = json!({"title": "x", "commandId": made.to_string()});
        let created = tau.own("tasks.create_task", &create_body).await.unwrap();
        let id = created["taskId"].as_str().unwrap().to_owned();
        let claim_body = json!({"leaseMs": 60_000, "commandId": claim.to_string()});
        let claimed = act(&bob, "claim_task", &id, claim_body.clone())
            .await
            .unwrap();
        let again = act(&bob, "claim_task", &id, claim_body.clone())
            .await
            .unwrap();
        assert_eq!(again, claimed, "nobody came between");
        let update_body = json!({"title": "y", "commandId": update.to_string()});
        let updated = act(&tau, "update_task", &id, update_body.clone())
            .await
            .unwrap();
        act(&tau, "update_task", &id, json!({"title": "z"}))
            .await
            .unwrap();
        act(&tau, "update_task", &id, json!({"title": "y"}))
            .await
            .unwrap();
        act(&bob, "complete_task", &id, json!({})).await.unwrap();
        let len = town.log().await.len().await;
        // Each several times, so that either broker is asked.
        for _ in 0..6 {
            let repeats = [
                (tau.own("tasks.create_task", &create_body).await, &created),
                (
                    act(&bob, "claim_task", &id, claim_body.clone()).await,
                    &claimed,
                ),
                (
                    act(&tau, "update_task", &id, update_body.clone()).await,
                    &updated,
                ),
            ];
            for (again, first) in repeats {
                assert_eq!(again.as_ref(), Ok(first));
            }
        }
        // Under an id that was used, nothing else is stored, nor is anything else done.
        let elsewhere = created_with(&tau, "elsewhere").await;
        let at_id = at(ErrorCode::Conflict, "commandId");
        let others = [
            tau.own(
                "tasks.create_task",
                &with(create_body, &json!({"title": "w"})),
            )
            .await,
            act(
                &bob,
                "claim_task",
                &id,
                with(claim_body.clone(), &json!({"leaseMs": 70_000})),
            )
            .await,
            act(&bob, "claim_task", &elsewhere, claim_body).await,
            act(
                &tau,
                "update_task",
                &id,
                with(update_body, &json!({"title": "w"})),
            )
            .await,
        ];
        for refused in others {
            assert_eq!(told(refused), at_id);
        }
        assert_eq!(town.log().await.len().await, len + 1);
    }
    other.drain().await;
}

#[tokio::test]
async fn one_command_sent_many_times_at_once_is_stored_once_also_while_others_change_the_task() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let id = created_with(&tau, "x").await;
    for round in 0..4 {
        let command = CommandId::generate().to_string();
        let body = json!({"note": format!("round {round}"), "commandId": command});
        let same = (0..6).map(|_| act(&tau, "update_task", &id, body.clone()));
        let others = (0..6).map(|n| {
            let note = format!("aside {round} {n}");
            act(&bob, "update_task", &id, json!({"note": note}))
        });
        let (same, others) = tokio::join!(join_all(same), join_all(others));
        let first = same[0].as_ref().unwrap();
        assert!(same.iter().all(|one| one.as_ref() == Ok(first)), "{same:?}");
        assert!(others.iter().all(Result::is_ok), "{others:?}");
    }
    let notes = changes(&town).await;
    assert_eq!(notes.len(), 1 + 4 * 7);
    let versions = notes.iter().map(|changed| changed.state.version);
    assert!(versions.eq(1..=29), "no change is lost");
}

/// Publishes `id` where the last event of its subject has to be at `last`; says where it is, and whether it was there before.
async fn publish(context: &Context, id: &str, last: u64) -> Result<(u64, bool), PublishErrorKind> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id);
    headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
    let sent = context.publish_with_headers("t.a", headers, "x".into());
    match sent.await.unwrap().await {
        Ok(ack) => Ok((ack.sequence, ack.duplicate)),
        Err(error) => Err(error.kind()),
    }
}

#[tokio::test]
async fn nats_server_looks_at_the_sequence_that_is_expected_before_it_knows_a_duplicate() {
    let server = Server::start(Durability::PowerSafe).await;
    let context = async_nats::jetstream::new(server.connect("_INBOX.test").await);
    let config = Config {
        name: "T".into(),
        subjects: vec!["t.>".into()],
        ..Config::default()
    };
    context.create_stream(config).await.unwrap();
    let moved_on = Err(PublishErrorKind::WrongLastSequence);
    assert_eq!(publish(&context, "one", 0).await, Ok((1, false)));
    // So whoever sends an event a second time, since the first answer was lost, is told that another came between. That it is
    // the own one shows in the last event, or, once others came behind it, when it is sent again behind those.
    assert_eq!(publish(&context, "one", 0).await, moved_on);
    assert_eq!(publish(&context, "one", 1).await, Ok((1, true)));
    assert_eq!(publish(&context, "two", 1).await, Ok((2, false)));
    assert_eq!(publish(&context, "one", 0).await, moved_on);
    assert_eq!(publish(&context, "one", 1).await, moved_on);
    assert_eq!(publish(&context, "one", 2).await, Ok((1, true)));
}

/// Has every kind of command and reaction done under ids that are looked up; what is answered.
async fn do_all(town: &Town, tau: &Caller, bob: &Caller) -> Vec<Value> {
    let id_of = |name: &str| json!({"commandId": old_id(name).to_string()});
    let mut answers = Vec::new();
    let title = with(json!({"title": "x", "assignedTo": "bob"}), &id_of("create"));
    answers.push(tau.own("tasks.create_task", &title).await.unwrap());
    let id = answers[0]["taskId"].as_str().unwrap().to_owned();
    let body = with(json!({"title": "m"}), &id_of("mission"));
    answers.push(tau.own("tasks.create_mission", &body).await.unwrap());
    let body = json!({"missionId": answers[1]["missionId"], "title": "n"});
    let body = with(body, &id_of("mission again"));
    answers.push(tau.own("tasks.update_mission", &body).await.unwrap());
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let ready = Observation::TaskReady {
        task: TaskId::parse(&id).unwrap(),
        cause: EventKey::from_bytes([7; 16]),
    };
    let told = observe(town, &projector, "acme", &ready).await.unwrap();
    answers.push(json!({"position": {"sequence": told}}));
    for (caller, verb, more) in [
        (tau, "update_task", json!({"title": "y"})),
        (bob, "claim_task", json!({"leaseMs": 600_000})),
        (bob, "update_task", json!({"note": "half of it"})),
    ] {
        let body = with(
            more,
            &id_of(&format!("{verb} of {answers:?}", answers = answers.len())),
        );
        answers.push(act(caller, verb, &id, body).await.unwrap());
    }
    answers
}

#[tokio::test]
async fn what_is_repeated_when_nobody_remembers_its_id_is_done_once() {
    let (mut town, tau, bob) = acme().await;
    let first = do_all(&town, &tau, &bob).await;
    let id = first[0]["taskId"].as_str().unwrap();
    // Each of them would be stored again by now: the task is called something else, and its claim can be renewed.
    act(&tau, "update_task", id, json!({"title": "z"}))
        .await
        .unwrap();
    let mission = json!({"missionId": first[1]["missionId"], "title": "o"});
    tau.own("tasks.update_mission", &mission).await.unwrap();
    forget_ids(&town.server).await;
    // Neither does a broker that has seen none of them stored.
    let other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    std::mem::replace(&mut town.broker, other).drain().await;
    let len = town.log().await.len().await;
    assert_eq!(do_all(&town, &tau, &bob).await, first);
    assert_eq!(town.log().await.len().await, len);
}
