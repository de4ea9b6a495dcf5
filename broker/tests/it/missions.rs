//! Missions of a tenant: created, changed, ended; and the tasks that may be a part of one.

use crate::harness::{Caller, sequence, start_broker};
use crate::memories::{at, old_id, told};
use crate::observations::reader;
use crate::tasks::{acme, act, create, with};
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey, MissionChange};
use postroad_protocol::id::CommandId;
use postroad_protocol::task::{MissionId, MissionStatus};
use serde_json::{Value, json};

async fn begin(caller: &Caller, more: Value) -> Result<Value, Refusal> {
    let body = with(json!({"title": "Ship it", "status": "execute"}), &more);
    caller.own("tasks.create_mission", &body).await
}

/// Creates a mission; says its id.
async fn begun(caller: &Caller, more: Value) -> String {
    let answer = begin(caller, more).await.unwrap();
    answer["missionId"].as_str().unwrap().to_owned()
}

async fn update(caller: &Caller, id: &str, more: Value) -> Result<Value, Refusal> {
    let body = with(json!({"missionId": id}), &more);
    caller.own("tasks.update_mission", &body).await
}

#[tokio::test]
async fn a_mission_is_created_changed_and_completed() {
    let (town, tau, bob) = acme().await;
    let id = CommandId::generate();
    let body = json!({"pilot": "tau", "agents": ["tau", "bob"], "commandId": id.to_string()});
    let answer = begin(&tau, body).await.unwrap();
    let by = Actor::Agent(reader("tau", "pi"));
    let mission = MissionId::of(EventKey::of(&by, id));
    assert_eq!(answer["missionId"], mission.to_string());
    let (_, record) = town.log().await.at(sequence(&answer)).await;
    let Event::MissionChanged(changed) = record.event else {
        panic!("{:?}", record.event)
    };
    assert_eq!(
        (changed.mission_id, changed.change),
        (mission, MissionChange::Created)
    );
    assert_eq!(
        (changed.state.agents.len(), changed.state.status),
        (2, MissionStatus::Execute)
    );
    let id = mission.to_string();
    let body = json!({"status": "complete", "ifVersion": 1});
    let done = update(&bob, &id, body).await.unwrap();
    assert_eq!(
        (&done["status"], &done["version"]),
        (&json!("complete"), &json!(2))
    );
    // It has ended.
    let len = town.log().await.len().await;
    let refused = update(&tau, &id, json!({"title": "more"})).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Conflict);
    let refused = update(&tau, &id, json!({"title": "more", "ifVersion": 1})).await;
    assert_eq!(told(refused), at(ErrorCode::Conflict, "ifVersion"));
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was_and_other_content_under_its_id_is_refused() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    for old in [false, true] {
        let id_of = |name: &str| {
            if old {
                old_id(name)
            } else {
                CommandId::generate()
            }
        };
        let (made, change) = (id_of("begun").to_string(), id_of("changed").to_string());
        let create_body = json!({"commandId": made});
        let first = begin(&tau, create_body.clone()).await.unwrap();
        let id = first["missionId"].as_str().unwrap().to_owned();
        let change_body = json!({"title": "y", "commandId": change});
        let changed = update(&tau, &id, change_body.clone()).await.unwrap();
        update(&bob, &id, json!({"title": "z"})).await.unwrap();
        update(&bob, &id, json!({"status": "cancelled"}))
            .await
            .unwrap();
        let len = town.log().await.len().await;
        for _ in 0..4 {
            assert_eq!(begin(&tau, create_body.clone()).await.as_ref(), Ok(&first));
            let again = update(&tau, &id, change_body.clone()).await;
            assert_eq!(again.as_ref(), Ok(&changed));
        }
        let at_id = at(ErrorCode::Conflict, "commandId");
        let other = begin(&tau, with(create_body, &json!({"title": "w"}))).await;
        assert_eq!(told(other), at_id);
        let other = update(&tau, &id, with(change_body, &json!({"title": "w"}))).await;
        assert_eq!(told(other), at_id);
        assert_eq!(town.log().await.len().await, len);
    }
}

#[tokio::test]
async fn who_leads_and_takes_part_is_on_the_roster() {
    let (town, tau, _) = acme().await;
    let id = begun(&tau, json!({})).await;
    let len = town.log().await.len().await;
    for (more, field) in [
        (json!({"pilot": "tua"}), "pilot"),
        (json!({"agents": ["tau", "bop"]}), "agents"),
    ] {
        let refusals = [
            begin(&tau, more.clone()).await.unwrap_err(),
            update(&tau, &id, more).await.unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::NotFound, Some(field))
            );
            assert!(refusal.message.contains("nearest"), "{refusal:?}");
        }
    }
    let unknown = MissionId::from_bytes([9; 16]).to_string();
    let refused = update(&tau, &unknown, json!({"title": "x"})).await;
    assert_eq!(told(refused), at(ErrorCode::NotFound, "missionId"));
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn a_task_is_a_part_of_a_mission_of_its_tenant_that_goes_on() {
    let (town, tau, bob) = acme().await;
    town.tenant("globex", &["eve"]).await;
    let eve = town.agent("globex", "eve", "box").await;
    let foreign = begun(&eve, json!({})).await;
    let unknown = MissionId::from_bytes([9; 16]).to_string();
    let (open, ended) = (begun(&tau, json!({})).await, begun(&tau, json!({})).await);
    update(&tau, &ended, json!({"status": "cancelled"}))
        .await
        .unwrap();
    let made = create(&bob, json!({"missionId": open})).await.unwrap();
    let id = made["taskId"].as_str().unwrap();
    let len = town.log().await.len().await;
    for (mission, code) in [
        (&foreign, ErrorCode::NotFound),
        (&unknown, ErrorCode::NotFound),
        (&ended, ErrorCode::Conflict),
    ] {
        let refused = create(&bob, json!({"missionId": mission})).await;
        assert_eq!(told(refused), at(code, "missionId"));
        let refused = act(&bob, "update_task", id, json!({"missionId": mission})).await;
        assert_eq!(told(refused), at(code, "missionId"));
    }
    assert_eq!(town.log().await.len().await, len);
    act(&bob, "update_task", id, json!({"missionId": ""}))
        .await
        .unwrap();
}

#[tokio::test]
async fn changes_at_once_are_all_made_and_none_is_lost() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let id = begun(&tau, json!({})).await;
    let changes = (0..8).map(|n| {
        let caller = if n % 2 == 0 { &tau } else { &bob };
        update(caller, &id, json!({"title": format!("t{n}")}))
    });
    let mut versions: Vec<u64> = Vec::new();
    for answer in join_all(changes).await {
        versions.push(answer.unwrap()["version"].as_u64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=9).collect::<Vec<u64>>());
}
