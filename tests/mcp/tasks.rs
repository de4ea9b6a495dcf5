//! Tasks and missions through MCP: the seeds' examples, every tool on its way from a mission to what came of it, a race
//! for a task, and arguments that nobody should send.

use crate::client::{Mcp, NEW, OLD, creds};
use crate::harness::{Deployment, eventually};
use crate::web::{Gateway, Web, token_of};
use postroad_protocol::tenancy::Scope;
use serde_json::{Value, json};

const SCOPES: [Scope; 2] = [Scope::Messages, Scope::Tasks];

/// An agent that has tasks, and mail besides.
pub async fn agent(
    deployment: &Deployment,
    revision: &'static str,
    tenant: &str,
    role: &str,
    instance: &str,
) -> Mcp {
    let creds = creds(deployment, tenant, role, instance, &SCOPES).await;
    Mcp::start(deployment, &creds, revision, &[])
}

/// Creates, and says the task's id.
#[track_caller]
pub fn create(agent: &Mcp, task: Value) -> String {
    let (created, text) = agent.call("create_task", task);
    let id = created["taskId"].as_str().unwrap().to_owned();
    assert_eq!(created["status"], "todo");
    assert_eq!(created["version"], 1);
    assert!(text.starts_with(&format!("Created: taskId {id}, todo, version 1")));
    id
}

/// The titles of a list.
#[track_caller]
pub fn titles(agent: &Mcp, filter: Value) -> Vec<String> {
    let (listed, text) = agent.call("list_tasks", filter);
    let tasks = listed["tasks"].as_array().unwrap().iter();
    let titles = tasks.map(|task| task["title"].as_str().unwrap().to_owned());
    let titles: Vec<String> = titles.collect();
    for title in &titles {
        assert!(text.contains(&format!("{title:?}")), "{title}: {text}");
    }
    titles
}

#[track_caller]
fn expect(agent: &Mcp, tool: &str, arguments: Value, code: &str, field: &str) -> Value {
    let refusal = agent.refusal(tool, arguments);
    assert_eq!(
        (&refusal["code"], &refusal["field"]),
        (&json!(code), &json!(field)),
        "{tool}: {refusal}"
    );
    refusal
}

fn acme_task() -> Value {
    json!({
        "title": "Migrate Acme product catalog to pgvector",
        "assignedTo": "tau",
        "priority": "high",
        "project": "studio/acme-corp"
    })
}

fn globex_mission() -> Value {
    json!({
        "title": "Globex API v2 rollout",
        "pilot": "pi",
        "project": "studio/globex-corp"
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_examples_of_tasks_work_with_a_credential_in_place_of_trust() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    for tenant in ["acme-corp", "globex-corp"] {
        deployment.tenant(tenant).await;
    }
    let tau = agent(&deployment, OLD, "acme-corp", "tau", "main").await;
    let pi = agent(&deployment, NEW, "acme-corp", "pi", "main").await;
    let other = agent(&deployment, OLD, "globex-corp", "tau", "main").await;
    let other_pi = agent(&deployment, NEW, "globex-corp", "pi", "main").await;
    let task = create(&pi, acme_task());
    let (mission, text) = other.call("create_mission", globex_mission());
    assert_eq!(mission["status"], "brainstorm");
    assert!(text.starts_with("Created: missionId "), "{text}");

    let studio = json!({"project": "studio/acme-corp"});
    let title = "Migrate Acme product catalog to pgvector";
    assert_eq!(titles(&tau, studio.clone()), [title]);
    let (listed, text) = tau.call("list_tasks", studio.clone());
    let row = &listed["tasks"][0];
    assert_eq!(row["taskId"], task);
    assert_eq!(row["assignedTo"], "tau");
    assert_eq!(
        (&row["priority"], &row["project"]),
        (&json!("high"), &json!("studio/acme-corp"))
    );
    assert_eq!(
        (&row["createdBy"], &row["ready"]),
        (&json!("pi"), &json!(true))
    );
    let line = format!("\n{task} todo (ready), high, \"{title}\", for tau");
    assert!(text.contains(&line), "{text}");
    let (missions, text) = other_pi.call("list_missions", json!({"pilot": "pi"}));
    let row = &missions["missions"][0];
    assert_eq!(row["missionId"], mission["missionId"]);
    assert_eq!(row["project"], "studio/globex-corp");
    assert!(
        text.contains("\"Globex API v2 rollout\", led by pi, 0 of 0 tasks done (0 %)"),
        "{text}"
    );

    // In place of trust: another tenant's studio is closed, whoever asks for it.
    for (agent, tool, arguments) in [
        (&other, "create_task", acme_task()),
        (&other, "list_tasks", studio.clone()),
        (&other, "list_missions", studio),
        (&tau, "create_mission", globex_mission()),
        (
            &tau,
            "update_task",
            json!({"taskId": task, "project": "studio/globex-corp"}),
        ),
    ] {
        expect(agent, tool, arguments, "permission_denied", "project");
    }
    // The seeds' admin view, by leaving everything out, is an agent's own view here.
    assert_eq!(titles(&tau, json!({})), [title]);
    assert_eq!(
        titles(&other, json!({"tenantId": "globex-corp"})),
        Vec::<String>::new()
    );
    assert_eq!(
        tau.call("list_missions", json!({})).0["missions"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mission_goes_from_its_plan_to_what_came_of_it() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let pi = agent(&deployment, OLD, "acme", "pi", "main").await;
    let tau = agent(&deployment, NEW, "acme", "tau", "mac").await;
    let (mission, _) = pi.call(
        "create_mission",
        json!({
            "title": "Landing page", "brief": "Ship the walrus.\nBy Friday.", "pilot": "pi", "agents": ["tau", "pi"],
            "project": "landing-page", "priority": "high", "status": "plan", "startsAt": 1_000
        }),
    );
    let mission = mission["missionId"].as_str().unwrap().to_owned();
    let first = create(
        &pi,
        json!({
            "title": "Move the nav", "description": "All of the walrus.", "missionId": mission, "assignedTo": "tau",
            "assignedToInstanceId": "mac", "project": "landing-page", "tags": ["nav"], "note": "begin here"
        }),
    );
    let second = create(
        &pi,
        json!({
            "title": "Move the hero", "missionId": mission, "assignedTo": "tau", "dependsOn": [first],
            "priority": "urgent", "project": "landing-page", "dueAt": 1_000
        }),
    );

    let (mail, text) = tau.call("check_messages", json!({}));
    let counts = json!({"ready": 1, "waiting": 1, "claimed": 0, "due": 1});
    assert_eq!(mail["tasks"], counts, "{mail}");
    let told = "No unread messages.\n\nYour tasks: 1 ready, 1 waiting, 0 claimed, 1 due";
    assert!(text.starts_with(told), "{text}");
    assert!(
        pi.call("check_messages", json!({}))
            .0
            .get("tasks")
            .is_none()
    );
    let (one, text) = tau.call("get_task", json!({"taskId": second}));
    assert_eq!(
        (&one["task"]["ready"], &one["task"]["waitingOn"]),
        (&json!(false), &json!([first]))
    );
    assert!(text.contains(&format!("\nwaits for {first}")), "{text}");
    assert_eq!(
        titles(&tau, json!({"assignedTo": "tau", "ready": true})),
        ["Move the nav"]
    );
    let refusal = expect(
        &tau,
        "claim_task",
        json!({"taskId": second}),
        "conflict",
        "taskId",
    );
    assert!(
        refusal["message"].as_str().unwrap().contains(&first),
        "{refusal}"
    );

    let (claimed, text) = tau.call("claim_task", json!({"taskId": first, "leaseMs": 600_000}));
    assert_eq!(
        (&claimed["status"], &claimed["version"]),
        (&json!("in_progress"), &json!(2))
    );
    assert!(
        claimed["leaseUntil"].is_u64() && text.contains("\nThe claim holds until 20"),
        "{text}"
    );
    let (renewed, _) = tau.call("claim_task", json!({"taskId": first}));
    assert!(renewed["leaseUntil"].as_u64() >= claimed["leaseUntil"].as_u64());
    let review = json!({"taskId": first, "status": "review", "note": "PR 47", "tags": []});
    assert_eq!(tau.call("update_task", review).0["status"], "review");
    let (done, text) = pi.call("complete_task", json!({"taskId": first, "note": "merged"}));
    assert_eq!(done["status"], "done");
    assert!(
        text.starts_with(&format!("Completed: taskId {first}, done, version ")),
        "{text}"
    );
    let (one, text) = pi.call("get_task", json!({"taskId": first}));
    let notes = one["task"]["notes"].as_array().unwrap();
    let said: Vec<&Value> = notes.iter().map(|note| &note["text"]).collect();
    assert_eq!(said, ["begin here", "PR 47", "merged"]);
    assert_eq!(one["task"]["claimedBy"], "tau");
    assert!(
        text.contains("written by pi/main, or whoever changed it =====\nAll of the walrus."),
        "{text}"
    );
    assert!(
        text.contains(" written by tau/mac =====\nPR 47\n"),
        "{text}"
    );

    released_tasks_are_announced(&tau, &first, &second, &mission).await;
    changes_of_the_second(&pi, &tau, &second, &first);
    end_of_the_mission(&pi, &tau, &mission);
}

/// Whoever waited hears of it by mail, from Postroad itself, and finds that mail by its sender.
async fn released_tasks_are_announced(tau: &Mcp, first: &str, second: &str, mission: &str) {
    let content =
        format!("Task ready: Move the hero ({second}). Everything it waited for is done.");
    eventually("the assignee is told", async || {
        tau.unread() == [content.clone()]
    })
    .await;
    for (tool, arguments) in [
        ("check_messages", json!({})),
        ("list_messages", json!({"sender": "_postroad"})),
        (
            "search_messages",
            json!({"query": "hero", "sender": "_postroad"}),
        ),
    ] {
        let (mail, text) = tau.call(tool, arguments);
        let message = &mail["messages"][0];
        assert_eq!(message["content"], content, "{tool}");
        assert_eq!(message["from"], "_postroad", "{tool}");
        assert_eq!(message["priority"], "urgent", "{tool}");
        let labels = json!({"taskId": second, "event": "task_ready", "missionId": mission});
        assert_eq!(message["metadata"], labels, "{tool}");
        assert!(!text.contains(first), "{tool}: {text}");
    }
    let (nobody, _) = tau.call("list_messages", json!({"sender": "pi"}));
    assert_eq!(nobody["messages"], json!([]));
}

fn changes_of_the_second(pi: &Mcp, tau: &Mcp, second: &str, first: &str) {
    let task = json!({"taskId": second});
    let with = |field: &str, value: &str| json!({"taskId": second, field: value});
    let status = |tool: &str, arguments: Value| tau.call(tool, arguments).0["status"].clone();
    assert_eq!(status("claim_task", task.clone()), "in_progress");
    let (again, text) = tau.call("claim_task", task.clone());
    assert_eq!(again["already"], true);
    assert!(text.starts_with("Claimed (so before): taskId "), "{text}");
    let edge = json!({"taskId": second, "dependsOn": first});
    assert_eq!(tau.call("add_dependency", edge.clone()).0["already"], true);
    assert_eq!(status("block_task", with("reason", "no access")), "blocked");
    assert_eq!(status("claim_task", task.clone()), "in_progress");
    let other = expect(pi, "complete_task", task.clone(), "conflict", "taskId");
    assert!(
        other["message"].as_str().unwrap().contains("tau/mac"),
        "{other}"
    );
    assert_eq!(status("release_task", with("note", "half of it")), "todo");
    expect(tau, "complete_task", task.clone(), "conflict", "taskId");
    let stale = json!({"taskId": second, "ifVersion": 1});
    let stale = expect(tau, "claim_task", stale, "conflict", "ifVersion");
    assert!(
        stale["message"].as_str().unwrap().contains("version 5"),
        "{stale}"
    );
    assert_eq!(
        status("claim_task", json!({"taskId": second, "ifVersion": 5})),
        "in_progress"
    );
    assert_eq!(
        status("fail_task", with("reason", "it cannot be done")),
        "failed"
    );
    expect(tau, "claim_task", task, "conflict", "taskId");
    assert_eq!(status("update_task", with("status", "todo")), "todo");

    let third = create(pi, json!({"title": "Third", "priority": "low"}));
    let edge = json!({"taskId": third, "dependsOn": second});
    let (added, text) = pi.call("add_dependency", edge);
    assert_eq!(added["version"], 2);
    assert!(text.starts_with("Dependency added: taskId "), "{text}");
    let circle = json!({"taskId": second, "dependsOn": third});
    expect(tau, "add_dependency", circle, "conflict", "dependsOn");
    let free = json!({"taskId": third, "dependsOn": [], "assignedTo": "tau", "title": "The third"});
    pi.call("update_task", free);
    assert_eq!(
        titles(tau, json!({"ready": true})),
        ["Move the hero", "The third"]
    );
    assert_eq!(
        titles(tau, json!({"status": "open", "priority": "low"})),
        ["The third"]
    );
    let cancelled = json!({"taskId": third, "reason": "not wanted"});
    assert_eq!(pi.call("cancel_task", cancelled).0["status"], "cancelled");
    assert_eq!(titles(tau, json!({"status": "cancelled, done"})).len(), 2);
}

fn end_of_the_mission(pi: &Mcp, tau: &Mcp, mission: &str) {
    let of_it = json!({"missionId": mission});
    assert_eq!(
        titles(tau, of_it.clone()),
        ["Move the hero", "Move the nav"]
    );
    let (one, text) = tau.call("get_mission", of_it);
    let (one, progress) = (&one["mission"], &one["mission"]["progress"]);
    assert_eq!(
        (&one["brief"], &one["agents"]),
        (
            &json!("Ship the walrus.\nBy Friday."),
            &json!(["pi", "tau"])
        )
    );
    assert_eq!(
        (&progress["total"], &progress["percent"]),
        (&json!(2), &json!(50))
    );
    assert!(
        text.contains("\ntasks: 1 todo, 1 done (50 % done)"),
        "{text}"
    );
    assert!(
        text.contains(" written by pi/main =====\nShip the walrus.\nBy Friday.\n"),
        "{text}"
    );
    let to = |status: &str| json!({"missionId": mission, "status": status, "ifVersion": null});
    expect(pi, "update_mission", to("complete"), "conflict", "status");
    for (number, status) in ["execute", "validate", "complete"].iter().enumerate() {
        let (updated, text) = pi.call("update_mission", to(status));
        assert_eq!(
            (&updated["status"], &updated["version"]),
            (&json!(status), &json!(number + 2))
        );
        assert!(text.starts_with("Updated: missionId "), "{text}");
    }
    let late = json!({"title": "Late", "missionId": mission});
    expect(pi, "create_task", late, "conflict", "missionId");
    let (listed, _) = tau.call(
        "list_missions",
        json!({"status": "complete", "project": "landing-page"}),
    );
    assert_eq!(listed["missions"][0]["missionId"], mission);
    let (none, text) = tau.call("list_missions", json!({"status": "plan"}));
    assert_eq!(none["missions"], json!([]));
    assert!(text.starts_with("No such missions."), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_that_claim_a_task_one_wins_and_the_other_is_told_who() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let mac = agent(&deployment, OLD, "acme", "tau", "mac").await;
    let lab = agent(&deployment, NEW, "acme", "pi", "lab").await;
    for round in 0..10 {
        let task = create(&mac, json!({"title": format!("Race {round}")}));
        let call = json!({"name": "claim_task", "arguments": {"taskId": task}});
        let asked = [&mac, &lab].map(|agent| agent.begin("tools/call", call.clone()));
        let answers = [mac.answer(asked[0]), lab.answer(asked[1])];
        let won = answers
            .each_ref()
            .map(|answer| answer["result"]["isError"] != true);
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{answers:?}");
        let (winner, lost) = if won[0] {
            ("tau/mac", 1)
        } else {
            ("pi/lab", 0)
        };
        let refusal = &answers[lost]["result"]["structuredContent"]["error"];
        assert_eq!(
            (&refusal["code"], &refusal["field"]),
            (&json!("conflict"), &json!("taskId"))
        );
        let message = refusal["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("claimed by {winner}")),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_lease_runs_out_returns_by_itself() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let gone = agent(&deployment, OLD, "acme", "tau", "mac").await;
    let pi = agent(&deployment, NEW, "acme", "pi", "lab").await;
    let task = create(&pi, json!({"title": "Left behind"}));
    gone.call("claim_task", json!({"taskId": task, "leaseMs": 1_000}));
    drop(gone);
    eventually("it can be claimed", async || {
        let claimed = pi.result("claim_task", json!({"taskId": task}));
        claimed["isError"] != true
    })
    .await;
    let (one, _) = pi.call("get_task", json!({"taskId": task}));
    assert_eq!(one["task"]["claimedBy"], "pi");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_over_http_are_the_same_tasks() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    let gateway = Gateway::start(&deployment, &[]);
    let operator = deployment.operator().await;
    deployment.tenant("acme-corp").await;
    deployment.tenant("globex-corp").await;
    let join = async |tenant: &str, role: &str| {
        let token = token_of(&operator, tenant, role, "mcp", None, &SCOPES).await;
        gateway.caller(&token)
    };
    let tau = join("acme-corp", "tau").await.with_session(OLD).await;
    let pi = join("acme-corp", "pi").await;
    let other = join("globex-corp", "pi").await;
    let created = pi.call("create_task", acme_task()).await;
    other.call("create_mission", globex_mission()).await;
    let studio = json!({"project": "studio/acme-corp"});
    let listed = tau.call("list_tasks", studio.clone()).await;
    assert_eq!(listed["tasks"][0]["taskId"], created["taskId"]);
    let error = async |agent: &Web, tool: &str, arguments: Value| {
        let told = agent.try_call(tool, &arguments).await.json();
        assert_eq!(told["result"]["isError"], true, "{told}");
        told["result"]["structuredContent"]["error"].clone()
    };
    let refusal = error(&other, "list_tasks", studio).await;
    assert_eq!(refusal["code"], "permission_denied");
    let theirs = error(&other, "get_task", json!({"taskId": created["taskId"]})).await;
    assert_eq!(
        (&theirs["code"], &theirs["field"]),
        (&json!("not_found"), &json!("taskId"))
    );

    let race = tau.call("create_task", json!({"title": "Race"})).await;
    let claim = json!({"taskId": race["taskId"]});
    let (one, two) = tokio::join!(
        tau.try_call("claim_task", &claim),
        pi.try_call("claim_task", &claim)
    );
    let (one, two) = (one.json(), two.json());
    let (winner, lost) = if one["result"]["isError"] == true {
        ("pi/mcp", one)
    } else {
        ("tau/mcp", two)
    };
    let refusal = &lost["result"]["structuredContent"]["error"];
    assert_eq!(refusal["code"], "conflict", "{lost}");
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("claimed by {winner}")),
        "{message}"
    );
}
