//! Random commands of several agents at once, on tasks that wait for each other: what is accepted is one event each, the events of
//! a task follow one another as the table of states allows, and the last of them is what everybody is shown, also after the rows
//! were folded anew.

use super::Worker;
use crate::harness::road::Road;
use crate::harness::{self, eventually, log};
use postroad_client::ReplayOf;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

const AGENTS: [&str; 4] = ["tau", "pi", "phi", "rho"];
const TASKS: usize = 8;
const COMMANDS: usize = 60;

/// Which state may follow which, by what was done.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    ("claimed", &["todo", "blocked", "review"], "in_progress"),
    ("renewed", &["in_progress"], "in_progress"),
    ("released", &["in_progress", "review", "blocked"], "todo"),
    ("lease_expired", &["in_progress"], "todo"),
    ("blocked", &["todo", "in_progress", "review"], "blocked"),
    ("completed", &["in_progress", "review"], "done"),
    ("failed", &["in_progress", "review", "blocked"], "failed"),
    (
        "cancelled",
        &["todo", "in_progress", "review", "blocked"],
        "cancelled",
    ),
    ("dependency_added", &["todo"], "todo"),
    ("dependency_added", &["blocked"], "blocked"),
];
/// What an update may make of a state; it leaves every other as it was.
const UPDATED: &[(&str, &str)] = &[
    ("in_progress", "review"),
    ("review", "in_progress"),
    ("in_progress", "todo"),
    ("review", "todo"),
    ("blocked", "todo"),
    ("failed", "todo"),
    ("cancelled", "todo"),
];

fn is_allowed(change: &str, from: &str, to: &str) -> bool {
    if change == "updated" {
        return from == to || UPDATED.contains(&(from, to));
    }
    ALLOWED
        .iter()
        .any(|(of, before, after)| *of == change && before.contains(&from) && *after == to)
}

/// One command, on a random task.
fn command(random: &mut StdRng, tasks: &[Value]) -> (&'static str, Value) {
    let task = tasks.choose(random).expect("a task");
    let verbs = [
        "claim_task",
        "claim_task",
        "claim_task",
        "release_task",
        "update_task",
        "add_dependency",
        "block_task",
        "complete_task",
        "complete_task",
        "fail_task",
        "cancel_task",
    ];
    let verb = *verbs.choose(random).expect("a verb");
    let mut body = json!({"taskId": task});
    match verb {
        "claim_task" if random.random_bool(0.3) => body["leaseMs"] = json!(60_000),
        "add_dependency" => body["dependsOn"] = tasks.choose(random).expect("a task").clone(),
        "block_task" | "fail_task" | "cancel_task" => body["reason"] = json!("for a reason"),
        "update_task" => {
            let status = ["todo", "in_progress", "review"].choose(random);
            match random.random_range(0..4) {
                0 => body["note"] = json!("a word"),
                1 => body["priority"] = json!(["urgent", "low"].choose(random)),
                _ => body["status"] = json!(status),
            }
        }
        _ => {}
    }
    (verb, body)
}

/// What one agent was told was done: task and version.
async fn act(worker: Arc<Worker>, seed: u64, tasks: Vec<Value>) -> Vec<(String, u64)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = Vec::new();
    for _ in 0..COMMANDS {
        let (verb, body) = command(&mut random, &tasks);
        let told = worker.call(verb, body.clone()).await;
        if let Some(code) = told["code"].as_str() {
            let known = ["conflict", "permission_denied", "invalid_argument"];
            assert!(known.contains(&code), "{verb} {body}: {told}");
            assert!(told["remedy"].is_string(), "{told}");
        } else if told["already"] != true {
            let task = told["taskId"].as_str().expect("an id").to_owned();
            done.push((task, told["version"].as_u64().expect("a version")));
        }
    }
    done
}

/// What everybody is shown of every task, by its id.
async fn shown(worker: &Worker, tasks: &[Value]) -> BTreeMap<String, Value> {
    let mut shown = BTreeMap::new();
    for task in tasks {
        let told = worker.call("get_task", json!({"taskId": task})).await;
        let id = task.as_str().expect("an id").to_owned();
        shown.insert(id, told["task"].clone());
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_agents_do_at_once_each_tasks_history_leads_to_what_it_is() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let road = Road::separate_processes().await;
    let tenant = road.tenant("acme").await;
    let mut workers = Vec::new();
    for role in AGENTS {
        workers.push(Arc::new(Worker::of(&road, "acme", role).await));
    }
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let mut body = json!({"title": format!("task {number}")});
        if number > 0 && random.random_bool(0.4) {
            body["dependsOn"] = json!([tasks.choose(&mut random)]);
        }
        tasks.push(workers[0].make("create_task", body).await);
    }
    let mut acting = JoinSet::new();
    for worker in &workers {
        acting.spawn(act(Arc::clone(worker), random.random(), tasks.clone()));
    }
    let mut done: Vec<(String, u64)> = acting.join_all().await.into_iter().flatten().collect();
    done.extend(
        tasks
            .iter()
            .map(|task| (task.as_str().unwrap().to_owned(), 1)),
    );
    done.sort_unstable();

    let operator = road.operator().await;
    let events = log::events(&operator, ReplayOf::Tenant(tenant), 1).await;
    let mut stored = Vec::new();
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.type_name == "task_changed")
    {
        let id = event.data["taskId"].as_str().expect("an id").to_owned();
        let state = event.data["state"].clone();
        let version = state["version"].as_u64().expect("a version");
        let (change, to) = (
            event.data["change"].as_str().unwrap(),
            state["status"].as_str().unwrap(),
        );
        match last.insert(id.clone(), state.clone()) {
            None => assert_eq!((change, to, version), ("created", "todo", 1)),
            Some(before) => {
                let from = before["status"].as_str().unwrap();
                assert!(is_allowed(change, from, to), "{from} -{change}-> {to}");
                assert_eq!(version, before["version"].as_u64().unwrap() + 1);
            }
        }
        stored.push((id, version));
    }
    stored.sort_unstable();
    assert_eq!(
        stored, done,
        "what was accepted was stored, once each, and nothing else"
    );

    let before = shown(&workers[1], &tasks).await;
    for (id, task) in &before {
        let state = &last[id];
        for field in ["status", "version", "title", "priority"] {
            assert_eq!(task[field], state[field], "{field} of {task}");
        }
        let claimant = &state["claim"]["by"];
        assert_eq!(task["claimedBy"], claimant["role"], "{task}");
        let done = |id: &Value| before[id.as_str().unwrap()]["status"] == "done";
        let waits = task["dependsOn"].as_array();
        let waits = waits.is_some_and(|on| !on.iter().all(done));
        assert_eq!(
            task["ready"],
            json!(task["status"] == "todo" && !waits),
            "{task}"
        );
    }
    operator
        .operator()
        .unwrap()
        .rebuild()
        .await
        .expect("the rows are folded anew");
    eventually("the rows that were folded anew say the same", async || {
        let status = operator.operator().unwrap().status().await;
        status.is_ok_and(|status| status.shards.iter().all(|shard| shard.state == "following"))
    })
    .await;
    assert_eq!(shown(&workers[1], &tasks).await, before);
}
