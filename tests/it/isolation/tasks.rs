//! The cases of tasks and missions: everybody's in their tenant, and nobody's elsewhere, whatever names them.

use super::{Agent, CANARY, Stage};
use postroad_protocol::CommandId;
use serde_json::{Value, json};

/// An id that nobody has.
const NEVER: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
/// Stands in what the other tenant makes.
const THEIRS: &str = "canary-of-acme-two-88e1";

pub(super) async fn case(stage: &Stage, verb: &str) {
    match verb {
        "create_task" => create(stage).await,
        "create_mission" => create_mission(stage).await,
        "update_mission" => update_mission(stage).await,
        "get_task" | "get_mission" => get(stage, verb).await,
        "list_tasks" => list_tasks(stage).await,
        "list_missions" => list_missions(stage).await,
        changes => change(stage, changes).await,
    }
}

async fn call(agent: &Agent, verb: &str, body: Value) -> Value {
    let kind = match verb {
        "get_task" | "list_tasks" | "get_mission" | "list_missions" => "qry",
        _ => "cmd",
    };
    agent.call(kind, "tasks", verb, body).await
}

async fn made(agent: &Agent, verb: &str, body: Value) -> Value {
    let saved = call(agent, verb, body).await;
    let id = saved.get("taskId").or(saved.get("missionId"));
    id.unwrap_or_else(|| panic!("{verb}: {saved}")).clone()
}

async fn task(agent: &Agent, title: &str) -> Value {
    made(agent, "create_task", json!({"title": title})).await
}

async fn mission(agent: &Agent, title: &str) -> Value {
    made(agent, "create_mission", json!({"title": title})).await
}

fn refused(told: &Value, code: &str, field: &str) {
    assert_eq!(
        (&told["code"], &told["field"]),
        (&json!(code), &json!(field)),
        "{told}"
    );
    assert!(told["remedy"].is_string(), "{told}");
    for secret in [CANARY, "acme\""] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
}

/// The body is refused alike with what is the owner's and with what nobody has.
async fn alike(
    agent: &Agent,
    verb: &str,
    field: &str,
    owners: &Value,
    body: impl Fn(&Value) -> Value,
) {
    let told = call(agent, verb, body(owners)).await;
    refused(&told, "not_found", field);
    let missing = call(agent, verb, body(&json!(NEVER))).await;
    assert_eq!(told, missing, "{verb}: foreign and missing answer alike");
}

/// A name that only the owner's tenant knows is refused to the stranger.
async fn names_are_refused(stage: &Stage, verb: &str, body: &Value, fields: &[(&str, Value)]) {
    for (field, name) in fields {
        let mut body = body.clone();
        body[field] = name.clone();
        let told = call(&stage.stranger, verb, body).await;
        refused(&told, "not_found", field);
    }
    for project in ["studio/acme", "studio/nobody-has-it"] {
        let mut body = body.clone();
        body["project"] = json!(project);
        let told = call(&stage.stranger, verb, body).await;
        refused(&told, "permission_denied", "project");
    }
}

/// Four events of the owner's tenant.
async fn create(stage: &Stage) {
    let owners = task(&stage.owner, CANARY).await;
    let goal = mission(&stage.owner, CANARY).await;
    let stranger = &stage.stranger;
    alike(
        stranger,
        "create_task",
        "dependsOn",
        &owners,
        |id| json!({"title": "x", "dependsOn": [id]}),
    )
    .await;
    alike(
        stranger,
        "create_task",
        "missionId",
        &goal,
        |id| json!({"title": "x", "missionId": id}),
    )
    .await;
    let names = [("assignedTo", json!("only-acme"))];
    names_are_refused(stage, "create_task", &json!({"title": "x"}), &names).await;
    let body = json!({"title": "x", "assignedTo": "pi"});
    let names = [("assignedToInstanceId", json!("only-here"))];
    names_are_refused(stage, "create_task", &body, &names).await;
    // The owner's command id is no obstacle to the stranger, whose task is its own.
    let id = CommandId::generate().to_string();
    let body = |title: &str| json!({"title": title, "commandId": id});
    let first = made(&stage.owner, "create_task", body(CANARY)).await;
    let second = made(stranger, "create_task", body(THEIRS)).await;
    for (agent, own) in [(&stage.owner, CANARY), (stranger, THEIRS)] {
        // The id follows from role, instance and command: in each tenant it names that tenant's task.
        assert_eq!(first, second);
        let ask = json!({"taskId": first, "fresh": true});
        let told = call(agent, "get_task", ask).await;
        assert_eq!(told["task"]["title"], own, "{told}");
    }
    let body = json!({
        "title": CANARY, "assignedTo": "only-acme", "assignedToInstanceId": "only-here",
        "dependsOn": [owners], "missionId": goal, "project": "studio/acme"
    });
    made(&stage.owner, "create_task", body).await;
}

/// What changes a task, with what it wants beside the task; the second is whether somebody has to work on it.
fn change_of(verb: &str) -> (Value, bool) {
    match verb {
        "claim_task" | "add_dependency" => (json!({}), false),
        "release_task" | "complete_task" => (json!({"note": "x"}), true),
        "block_task" | "fail_task" => (json!({"reason": "x"}), true),
        "cancel_task" => (json!({"reason": "x"}), false),
        "update_task" => (json!({"title": "changed"}), false),
        unknown => panic!("{unknown} has no case"),
    }
}

/// Two events of the owner's tenant, and one more for each that it takes: a claim, or what else is named.
async fn change(stage: &Stage, verb: &str) {
    let (stranger, owner) = (&stage.stranger, &stage.owner);
    let owners = task(owner, CANARY).await;
    let (body, is_worked_on) = change_of(verb);
    let own = task(stranger, THEIRS).await;
    if is_worked_on {
        for (agent, task) in [(owner, &owners), (stranger, &own)] {
            made(agent, "claim_task", json!({"taskId": task})).await;
        }
    }
    let of = |id: &Value| {
        let mut body = body.clone();
        body["taskId"] = id.clone();
        if verb == "add_dependency" {
            body["dependsOn"] = own.clone();
        }
        body
    };
    alike(stranger, verb, "taskId", &owners, of).await;
    if verb == "add_dependency" {
        alike(
            stranger,
            verb,
            "dependsOn",
            &owners,
            |id| json!({"taskId": own, "dependsOn": id}),
        )
        .await;
    }
    if verb == "update_task" {
        let goal = mission(owner, CANARY).await;
        alike(
            stranger,
            verb,
            "dependsOn",
            &owners,
            |id| json!({"taskId": own, "dependsOn": [id]}),
        )
        .await;
        alike(
            stranger,
            verb,
            "missionId",
            &goal,
            |id| json!({"taskId": own, "missionId": id}),
        )
        .await;
        let names = [("assignedTo", json!("only-acme"))];
        names_are_refused(stage, verb, &json!({"taskId": own}), &names).await;
    }
    let ask = json!({"taskId": owners, "fresh": true});
    let kept = call(owner, "get_task", ask).await;
    let version = if is_worked_on { 2 } else { 1 };
    assert_eq!(
        (&kept["task"]["title"], &kept["task"]["version"]),
        (&json!(CANARY), &json!(version)),
        "{kept}"
    );
    let mut served = of(&owners);
    if verb == "add_dependency" {
        served["dependsOn"] = task(owner, CANARY).await;
    }
    let served = call(owner, verb, served).await;
    assert_eq!(
        (&served["taskId"], &served["version"]),
        (&owners, &json!(version + 1)),
        "{served}"
    );
}

/// Two events of the owner's tenant.
async fn create_mission(stage: &Stage) {
    mission(&stage.owner, CANARY).await;
    let names = [
        ("pilot", json!("only-acme")),
        ("agents", json!(["tau", "only-acme"])),
    ];
    names_are_refused(stage, "create_mission", &json!({"title": "x"}), &names).await;
    let body = json!({"title": CANARY, "pilot": "only-acme", "agents": ["only-acme", "tau"]});
    let owners = made(&stage.owner, "create_mission", body).await;
    let theirs = mission(&stage.stranger, THEIRS).await;
    assert_ne!(owners, theirs);
}

/// Two events of the owner's tenant.
async fn update_mission(stage: &Stage) {
    let owners = mission(&stage.owner, CANARY).await;
    let own = mission(&stage.stranger, THEIRS).await;
    alike(
        &stage.stranger,
        "update_mission",
        "missionId",
        &owners,
        |id| json!({"missionId": id, "title": "changed"}),
    )
    .await;
    let names = [
        ("pilot", json!("only-acme")),
        ("agents", json!(["only-acme"])),
    ];
    let body = json!({"missionId": own});
    names_are_refused(stage, "update_mission", &body, &names).await;
    let body = json!({"missionId": owners, "status": "plan"});
    let served = call(&stage.owner, "update_mission", body).await;
    assert_eq!(served["version"], 2, "{served}");
}

/// One event of the owner's tenant.
async fn get(stage: &Stage, verb: &str) {
    let (what, field) = match verb {
        "get_task" => ("task", "taskId"),
        _ => ("mission", "missionId"),
    };
    let owners = match what {
        "task" => task(&stage.owner, CANARY).await,
        _ => mission(&stage.owner, CANARY).await,
    };
    let ask = |id: &Value| json!({field: id, "fresh": true});
    alike(&stage.stranger, verb, field, &owners, ask).await;
    for agent in [&stage.owner, &stage.peer] {
        let served = call(agent, verb, ask(&owners)).await;
        assert_eq!(served[what]["title"], CANARY, "{served}");
    }
    let seen = ["--json", what, "get", "--tenant", "acme"];
    let id = owners.as_str().expect("an id");
    let seen = stage.road.run(&[&seen[..], &[id]].concat()).expect(0);
    assert!(seen.stdout.contains(CANARY), "{}", seen.stdout);
    super::cases::expect_in_the_trail(stage, verb);
}

/// What the other tenant is shown of a list holds nothing of the owner's, whatever it asks for.
async fn shows_nothing(agent: &Agent, verb: &str, asked: &[Value]) {
    for more in asked {
        let mut body = more.clone();
        body["fresh"] = json!(true);
        body["limit"] = json!(200);
        let told = call(agent, verb, body).await;
        assert!(told["code"].is_null(), "{more}: {told}");
        assert!(!told.to_string().contains(CANARY), "{more}: {told}");
    }
}

/// The owner's cursor is the owner's, and another's project is nobody's to ask for.
async fn cursors_and_projects(stage: &Stage, verb: &str) {
    let page = call(&stage.owner, verb, json!({"limit": 1, "fresh": true})).await;
    let cursor = page["nextCursor"].as_str().expect("there is more");
    for agent in [&stage.stranger, &stage.peer] {
        let told = call(agent, verb, json!({"cursor": cursor})).await;
        refused(&told, "invalid_argument", "cursor");
    }
    let next = call(&stage.owner, verb, json!({"cursor": cursor})).await;
    assert!(next["code"].is_null(), "{next}");
    for project in ["studio/acme", "studio/nobody-has-it"] {
        let told = call(&stage.stranger, verb, json!({"project": project})).await;
        refused(&told, "permission_denied", "project");
    }
    let own = call(
        &stage.owner,
        verb,
        json!({"project": "studio/acme", "fresh": true}),
    )
    .await;
    assert!(own.to_string().contains(CANARY), "{own}");
}

/// Three events of the owner's tenant.
async fn list_tasks(stage: &Stage) {
    let goal = mission(&stage.owner, CANARY).await;
    let body = json!({
        "title": CANARY, "assignedTo": "pi", "priority": "urgent", "missionId": goal, "dueAt": 1
    });
    made(&stage.owner, "create_task", body).await;
    task(&stage.owner, CANARY).await;
    task(&stage.stranger, THEIRS).await;
    let asked = [
        json!({}),
        json!({"assignedTo": "pi"}),
        json!({"assignedTo": "pi", "assignedToInstanceId": "i1"}),
        json!({"status": "todo"}),
        json!({"status": "open", "ready": true}),
        json!({"priority": "urgent"}),
        json!({"project": "studio/acme-two"}),
        json!({"project": "acme"}),
    ];
    shows_nothing(&stage.stranger, "list_tasks", &asked).await;
    alike(
        &stage.stranger,
        "list_tasks",
        "missionId",
        &goal,
        |id| json!({"missionId": id, "fresh": true}),
    )
    .await;
    let own = json!({"missionId": goal, "assignedTo": "pi", "fresh": true});
    let own = call(&stage.peer, "list_tasks", own).await;
    assert_eq!(own["tasks"].as_array().map(Vec::len), Some(1), "{own}");
    // What waits for the owner's peer is counted for it, and not for whoever has its names elsewhere.
    let check = json!({"fresh": true, "limit": 1});
    let counted = stage
        .peer
        .call("qry", "messages", "check_messages", check.clone())
        .await;
    let tasks = &counted["tasks"];
    assert!(
        tasks["ready"].as_u64() >= Some(1) && tasks["due"].as_u64() >= Some(1),
        "{counted}"
    );
    let foreign = stage
        .stranger
        .call("qry", "messages", "check_messages", check)
        .await;
    assert!(
        foreign.get("tasks").is_none_or(|tasks| tasks["due"] == 0),
        "{foreign}"
    );
    cursors_and_projects(stage, "list_tasks").await;
    super::cases::operator_sees(stage, "list_tasks", &["task", "list"]);
}

/// Two events of the owner's tenant.
async fn list_missions(stage: &Stage) {
    let body = json!({"title": CANARY, "pilot": "pi", "status": "execute"});
    made(&stage.owner, "create_mission", body).await;
    mission(&stage.owner, CANARY).await;
    mission(&stage.stranger, THEIRS).await;
    let asked = [
        json!({}),
        json!({"pilot": "pi"}),
        json!({"status": "execute"}),
        json!({"project": "studio/acme-two"}),
    ];
    shows_nothing(&stage.stranger, "list_missions", &asked).await;
    cursors_and_projects(stage, "list_missions").await;
    super::cases::operator_sees(stage, "list_missions", &["mission", "list"]);
}
