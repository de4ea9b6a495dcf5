//! Tasks of a tenant: created, claimed by one of many, changed, done; who may, and what is refused.

use crate::harness::{Caller, Town, sequence, start_broker};
use crate::memories::{at, told};
use crate::observations::reader;
use futures_util::future::join_all;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey, TaskChange, TaskChanged};
use postroad_protocol::id::CommandId;
use postroad_protocol::task::{Project, TaskId, TaskStatus};
use serde_json::{Value, json};

/// A town where `acme` has the roles `tau` and `bob`; and `tau/pi` and `bob/mac`, who have called before.
pub(crate) async fn acme() -> (Town, Caller, Caller) {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let (tau, bob) = (
        town.agent("acme", "tau", "pi").await,
        town.agent("acme", "bob", "mac").await,
    );
    tau.say("bob", "registers").await;
    bob.say("tau", "registers").await;
    (town, tau, bob)
}

pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

pub(crate) async fn create(caller: &Caller, more: Value) -> Result<Value, Refusal> {
    let body = with(json!({"title": "Build it"}), &more);
    caller.own("tasks.create_task", &body).await
}

/// Creates a task; says its id.
pub(crate) async fn made(caller: &Caller, more: Value) -> String {
    let answer = create(caller, more).await.unwrap();
    answer["taskId"].as_str().unwrap().to_owned()
}

/// Has `verb` done to the task `id`.
pub(crate) async fn act(
    caller: &Caller,
    verb: &str,
    id: &str,
    more: Value,
) -> Result<Value, Refusal> {
    let body = with(json!({"taskId": id}), &more);
    caller.own(&format!("tasks.{verb}"), &body).await
}

/// Every change of a task that is stored, in order.
pub(crate) async fn changes(town: &Town) -> Vec<TaskChanged> {
    let records = town.log().await.all().await.into_iter();
    let changed = records.filter_map(|(_, record)| match record.event {
        Event::TaskChanged(changed) => Some(changed),
        _ => None,
    });
    changed.collect()
}

fn message(refused: Result<Value, Refusal>, code: ErrorCode) -> String {
    let refusal = refused.unwrap_err();
    assert_eq!(refusal.code, code, "{refusal:?}");
    refusal.message
}

#[tokio::test]
async fn everybody_who_notes_something_at_once_is_heard() {
    let (town, tau, bob) = acme().await;
    let id = made(&tau, json!({})).await;
    let notes = (0..64).map(|number| {
        let caller = if number % 2 == 0 { &tau } else { &bob };
        act(
            caller,
            "update_task",
            &id,
            json!({"note": format!("{number}")}),
        )
    });
    for noted in join_all(notes).await {
        noted.unwrap();
    }
    assert_eq!(changes(&town).await.len(), 65);
}

#[tokio::test]
async fn a_task_is_created_claimed_and_completed() {
    let (town, tau, bob) = acme().await;
    let id = CommandId::generate();
    let body = json!({
        "title": " Build it ", "tags": ["b", "a"], "assignedTo": "bob", "priority": "high",
        "note": "mind the gap", "commandId": id.to_string(),
    });
    let created = tau.own("tasks.create_task", &body).await.unwrap();
    let by = Actor::Agent(reader("tau", "pi"));
    let task_id = TaskId::of(EventKey::of(&by, id));
    assert_eq!(created["taskId"], task_id.to_string());
    assert_eq!(
        (&created["status"], &created["version"]),
        (&json!("todo"), &json!(1))
    );
    let (tenant, record) = town.log().await.at(sequence(&created)).await;
    assert_eq!(tenant.unwrap().as_str(), "acme");
    assert_eq!((record.id, &record.by), (id, &by));
    let Event::TaskChanged(changed) = record.event else {
        panic!("{:?}", record.event)
    };
    assert_eq!(
        (changed.task_id, changed.change),
        (task_id, TaskChange::Created)
    );
    let state = changed.state;
    assert_eq!(
        (state.title.as_str(), &state.project),
        ("Build it", &Project::Studio)
    );
    assert_eq!((&state.created_by, state.created_at), (&by, record.time));
    assert_eq!((state.tags.len(), state.notes.len()), (2, 1));

    let id = task_id.to_string();
    let claimed = act(&bob, "claim_task", &id, json!({"leaseMs": 60_000}))
        .await
        .unwrap();
    assert_eq!(claimed["status"], "in_progress");
    assert!(claimed["leaseUntil"].as_u64().unwrap() > 60_000);
    let note = json!({"note": "it stands"});
    let done = act(&bob, "complete_task", &id, note).await.unwrap();
    assert_eq!(
        (&done["status"], &done["version"]),
        (&json!("done"), &json!(3))
    );
    assert_eq!(done.get("leaseUntil"), None);
    let last = changes(&town).await.pop().unwrap();
    assert_eq!(
        (last.change, last.state.status),
        (TaskChange::Completed, TaskStatus::Done)
    );
    assert_eq!(last.state.claim.unwrap().by, reader("bob", "mac"));
    assert!(last.state.ended_at.is_some());
    // It is done for good.
    let len = town.log().await.len().await;
    let refused = act(&tau, "claim_task", &id, json!({})).await;
    assert!(message(refused, ErrorCode::Conflict).contains("done"));
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn of_many_who_claim_at_once_over_two_brokers_one_wins_and_the_others_are_told_who() {
    let (town, tau, _) = acme().await;
    let other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let mut racers = Vec::new();
    for n in 0..16 {
        let racer = town.agent("acme", "bob", &format!("m{n}")).await;
        racer.say("tau", "registers").await;
        racers.push(racer);
    }
    for round in 0..4 {
        let id = made(&tau, json!({"title": format!("round {round}")})).await;
        let before = town.log().await.len().await;
        let claims = racers
            .iter()
            .map(|racer| act(racer, "claim_task", &id, json!({})));
        let answers = join_all(claims).await;
        let winners: Vec<usize> = (0..16).filter(|n| answers[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let winner = format!("bob/m{}", winners[0]);
        for refused in answers.into_iter().filter(Result::is_err) {
            let told = message(refused, ErrorCode::Conflict);
            assert!(told.contains(&winner), "{told}, and not {winner}");
        }
        assert_eq!(town.log().await.len().await, before + 1);
    }
    let taken = |broker: &postroad_broker::Broker| broker.counters().appended;
    assert!(taken(&town.broker) > 0 && taken(&other) > 0);
}

/// Creates a task with this title; says its id.
pub(crate) async fn created_with(caller: &Caller, title: &str) -> String {
    made(caller, json!({"title": title})).await
}

#[tokio::test]
async fn a_task_waits_for_what_it_depends_on() {
    let (town, tau, bob) = acme().await;
    let first = created_with(&tau, "first").await;
    let second = created_with(&tau, "second").await;
    let last = made(&tau, json!({"title": "last", "dependsOn": [first]})).await;
    act(&tau, "add_dependency", &last, json!({"dependsOn": second}))
        .await
        .unwrap();
    let len = town.log().await.len().await;
    let refused = act(&bob, "claim_task", &last, json!({})).await;
    let told = message(refused, ErrorCode::Conflict);
    assert!(told.contains(&first) && told.contains(&second), "{told}");
    // There already.
    let again = act(&tau, "add_dependency", &last, json!({"dependsOn": second}))
        .await
        .unwrap();
    assert_eq!(
        (&again["already"], &again["version"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(town.log().await.len().await, len);
    for id in [&first, &second] {
        act(&bob, "claim_task", id, json!({})).await.unwrap();
        let refused = act(&tau, "claim_task", &last, json!({})).await;
        message(refused, ErrorCode::Conflict);
        act(&bob, "complete_task", id, json!({})).await.unwrap();
    }
    act(&tau, "claim_task", &last, json!({})).await.unwrap();
}

#[tokio::test]
async fn a_task_depends_on_no_circle_not_on_itself_and_on_nothing_that_the_tenant_has_not() {
    let (town, tau, _) = acme().await;
    town.tenant("globex", &["eve"]).await;
    let eve = town.agent("globex", "eve", "box").await;
    let foreign = created_with(&eve, "foreign").await;
    let (a, b) = (created_with(&tau, "a").await, created_with(&tau, "b").await);
    let c = made(&tau, json!({"title": "c", "dependsOn": [b]})).await;
    act(&tau, "add_dependency", &b, json!({"dependsOn": a}))
        .await
        .unwrap();
    let len = town.log().await.len().await;
    let unknown = TaskId::from_bytes([9; 16]).to_string();
    for (on, code) in [
        (&a, ErrorCode::InvalidArgument),
        (&c, ErrorCode::Conflict),
        (&b, ErrorCode::Conflict),
        (&foreign, ErrorCode::NotFound),
        (&unknown, ErrorCode::NotFound),
        (&"no id".to_owned(), ErrorCode::NotFound),
    ] {
        let refused = act(&tau, "add_dependency", &a, json!({"dependsOn": on})).await;
        assert_eq!(told(refused), at(code, "dependsOn"), "{on}");
        let refused = act(&tau, "update_task", &a, json!({"dependsOn": [on]})).await;
        assert_eq!(told(refused), at(code, "dependsOn"), "{on}");
    }
    for on in [&foreign, &unknown] {
        let refused = create(&tau, json!({"dependsOn": [a, on]})).await;
        assert_eq!(told(refused), at(ErrorCode::NotFound, "dependsOn"));
    }
    // A task of others is as unknown as none.
    for id in [&foreign, &unknown] {
        let refused = act(&tau, "claim_task", id, json!({})).await;
        assert_eq!(told(refused), at(ErrorCode::NotFound, "taskId"));
    }
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn two_edits_at_once_lock_no_two_tasks() {
    let (town, tau, bob) = acme().await;
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    for _ in 0..6 {
        let (a, b) = (created_with(&tau, "a").await, created_with(&tau, "b").await);
        let (one, other) = tokio::join!(
            act(&tau, "add_dependency", &a, json!({"dependsOn": b})),
            act(&bob, "add_dependency", &b, json!({"dependsOn": a})),
        );
        assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        let claims = [
            act(&tau, "claim_task", &a, json!({})).await,
            act(&tau, "claim_task", &b, json!({})).await,
        ];
        let claimed = claims.iter().filter(|claim| claim.is_ok());
        assert_eq!(claimed.count(), 1, "{claims:?}");
    }
}

#[tokio::test]
async fn a_task_is_given_to_whoever_is_on_the_roster_and_taken_by_nobody_else() {
    let (town, tau, bob) = acme().await;
    let len = town.log().await.len().await;
    let refusal = create(&tau, json!({"assignedTo": "bop"}))
        .await
        .unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("assignedTo"));
    assert!(refusal.message.contains("bob"), "{refusal:?}");
    let nobody = json!({"assignedTo": "bob", "assignedToInstanceId": "mak"});
    let refusal = create(&tau, nobody).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::NotFound, Some("assignedToInstanceId"))
    );
    assert!(refusal.message.contains("mac"), "{refusal:?}");
    assert_eq!(town.log().await.len().await, len);
    let to_mac = json!({"assignedTo": "bob", "assignedToInstanceId": "mac"});
    let id = made(&tau, to_mac).await;
    let len = town.log().await.len().await;
    let refused = act(&tau, "claim_task", &id, json!({})).await;
    assert!(message(refused, ErrorCode::Conflict).contains("bob/mac"));
    let refused = act(&tau, "update_task", &id, json!({"assignedTo": "tao"})).await;
    assert_eq!(told(refused), at(ErrorCode::NotFound, "assignedTo"));
    assert_eq!(town.log().await.len().await, len);
    act(&bob, "claim_task", &id, json!({})).await.unwrap();
    // What the operator issued just now is known to every broker.
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    for n in 0..4 {
        let role = format!("new{n}");
        town.issue("acme", &role, None).await;
        create(&tau, json!({"assignedTo": role})).await.unwrap();
    }
}

#[tokio::test]
async fn who_names_a_version_changes_that_one_or_nothing() {
    let (town, tau, bob) = acme().await;
    let id = created_with(&tau, "x").await;
    let body = json!({"title": "y", "ifVersion": 1});
    act(&bob, "update_task", &id, body).await.unwrap();
    let len = town.log().await.len().await;
    for (verb, more) in [
        ("update_task", json!({"title": "z"})),
        ("claim_task", json!({})),
        ("cancel_task", json!({"reason": "no"})),
        ("add_dependency", json!({"dependsOn": id})),
    ] {
        let refused = act(&tau, verb, &id, with(more, &json!({"ifVersion": 1}))).await;
        let refusal = refused.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::Conflict, Some("ifVersion")),
            "{verb}"
        );
        assert!(refusal.message.contains('2'), "{refusal:?}");
    }
    let same = act(&tau, "update_task", &id, json!({"title": "y"}))
        .await
        .unwrap();
    assert_eq!(
        (&same["already"], &same["version"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(town.log().await.len().await, len);
    let one_at_a_time = (0..8).map(|n| {
        let body = json!({"title": format!("w{n}"), "ifVersion": 2});
        act(&tau, "update_task", &id, body)
    });
    let answers = join_all(one_at_a_time).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_eq!(told(refused), at(ErrorCode::Conflict, "ifVersion"));
    }
}

#[tokio::test]
async fn a_tenant_at_its_limit_of_tasks_creates_none_and_a_suspended_one_is_served_nothing() {
    let (town, tau, _) = acme().await;
    let id = created_with(&tau, "x").await;
    let limits = json!({"set": {"tasks": 2}});
    town.operator
        .command("acme", "admin.set_limits", &limits)
        .await
        .unwrap();
    created_with(&tau, "y").await;
    let refused = create(&tau, json!({})).await;
    message(refused, ErrorCode::QuotaExceeded);
    act(&tau, "update_task", &id, json!({"title": "z"}))
        .await
        .unwrap();
    town.operator
        .command("acme", "admin.suspend_tenant", &json!({}))
        .await
        .unwrap();
    let len = town.log().await.len().await;
    for refused in [
        create(&tau, json!({})).await,
        act(&tau, "claim_task", &id, json!({})).await,
        tau.own("tasks.create_mission", &json!({"title": "x"}))
            .await,
    ] {
        message(refused, ErrorCode::PermissionDenied);
    }
    assert_eq!(town.log().await.len().await, len);
}

#[tokio::test]
async fn bad_input_changes_nothing() {
    let (town, tau, _) = acme().await;
    let id = created_with(&tau, "x").await;
    let len = town.log().await.len().await;
    let invalid = ErrorCode::InvalidArgument;
    for (more, code, field) in [
        (json!({"title": " "}), invalid, "title"),
        (
            json!({"project": "studio/globex"}),
            ErrorCode::PermissionDenied,
            "project",
        ),
        (json!({"priority": "now"}), invalid, "priority"),
        (json!({"missionId": "x"}), ErrorCode::NotFound, "missionId"),
    ] {
        assert_eq!(
            told(create(&tau, more.clone()).await),
            at(code, field),
            "{more}"
        );
        let updated = act(&tau, "update_task", &id, more.clone()).await;
        assert_eq!(told(updated), at(code, field), "{more}");
    }
    let refused = act(&tau, "complete_task", &id, json!({})).await;
    assert!(message(refused, ErrorCode::Conflict).contains("claim"));
    let refused = act(&tau, "claim_task", &id, json!({"leaseMs": 1})).await;
    assert_eq!(told(refused), at(invalid, "leaseMs"));
    assert_eq!(town.log().await.len().await, len);
}
