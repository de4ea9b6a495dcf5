//! What becomes of tasks over time: waiting for each other, claims that end, and missions made of them.

use super::tasks::{SAVED, conflict, create, get, listed, titles};
use super::{Desk, assert_keys, assert_refused, issue};
use crate::harness::eventually;
use serde_json::{Value, json};

const PROGRESS: &[&str] = &[
    "total",
    "todo",
    "inProgress",
    "review",
    "blocked",
    "done",
    "failed",
    "cancelled",
    "percent",
];

#[tokio::test]
async fn a_task_that_waits_becomes_ready_and_whoever_it_is_for_is_told() {
    let desk = Desk::set();
    let first = create(&desk, &["First"]);
    let second = create(
        &desk,
        &["Second", "--assigned-to", "bob", "--priority", "urgent"],
    );
    let added = desk.alice(&["task", "depend", &second, &first]).expect(0);
    assert_eq!(added.json()["version"], 2);
    let again = desk.alice(&["task", "add-dependency", &second, &first]);
    assert_eq!(again.expect(0).json()["already"], true);
    // Neither can the two wait for each other, nor can what waits be claimed.
    conflict(desk.alice(&["task", "depend", &first, &second]));
    let told = conflict(desk.bob(&["task", "claim", &second]));
    assert!(told.contains(&first), "{told}");
    assert_eq!(listed(desk.bob(&["task", "list", "--ready"])), ["First"]);

    desk.alice(&["task", "claim", &first]).expect(0);
    conflict(desk.alice(&["task", "claim", &second]));
    desk.alice(&["task", "complete", &first]).expect(0);
    assert_eq!(
        listed(desk.bob(&["task", "list", "--ready", "--mine"])),
        ["Second"]
    );
    let message = desk.bob(&["check", "--wait", "30s"]).expect(0).json();
    let message = &message["messages"][0];
    assert_eq!(
        (&message["from"], &message["priority"]),
        (&json!("_postroad"), &json!("urgent")),
        "{message}"
    );
    assert_eq!(message["metadata"]["taskId"], second.as_str());
    assert!(
        message["content"].as_str().unwrap().contains("Second"),
        "{message}"
    );
    // It is bob's alone.
    let told = conflict(desk.alice(&["task", "claim", &second]));
    assert!(told.contains("bob"), "{told}");
    desk.bob(&["task", "claim", &second]).expect(0);
}

#[tokio::test]
async fn a_task_goes_back_blocks_fails_and_is_opened_again() {
    let desk = Desk::set();
    let carol = issue(&desk.deployment, "carol", Some("desk"));
    let task = create(&desk, &["Move the host", "--tag", "a", "--due", "2d"]);
    let bob = |args: &[&str]| {
        let saved = desk.bob(&[&["task"], args].concat()).expect(0).json();
        saved["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(bob(&["claim", &task]), "in_progress");
    let theirs = desk.speak(&carol, &["task", "release", &task], "");
    assert_refused(theirs, 4, "permission_denied", Some("taskId"));
    assert_eq!(bob(&["release", &task, "--note", "half done"]), "todo");
    assert_eq!(get(&desk, &task)["claimedBy"], Value::Null);
    conflict(desk.bob(&["task", "complete", &task]));
    assert_eq!(bob(&["claim", &task]), "in_progress");
    assert_eq!(bob(&["block", &task, "--reason", "no password"]), "blocked");
    assert_eq!(bob(&["claim", &task]), "in_progress");
    assert_eq!(bob(&["update", &task, "--status", "review"]), "review");
    // Whoever reviews sends it back, or ends it.
    let back = ["task", "update", &task, "--status", "in_progress"];
    let back = desk.speak(&carol, &back, "").expect(0).json();
    assert_eq!(back["status"], "in_progress");
    assert_eq!(bob(&["fail", &task, "--reason", "no host"]), "failed");
    assert_eq!(bob(&["update", &task, "--status", "todo"]), "todo");
    let changed = [
        "update", &task, "--title", "Move", "--clear", "tags", "--clear", "due",
    ];
    assert_eq!(bob(&changed), "todo");
    let unchanged = desk.bob(&["task", "update", &task, "--title", "Move"]);
    assert_eq!(unchanged.expect(0).json()["already"], true);
    let one = get(&desk, &task);
    assert_eq!(
        (&one["title"], &one["tags"], &one["dueAt"], &one["endedAt"]),
        (&json!("Move"), &Value::Null, &Value::Null, &Value::Null)
    );
    let version = one["version"].to_string();
    let stale = ["task", "update", &task, "--priority", "low", "--if-version"];
    let stale = desk.alice(&[&stale[..], &["1"]].concat());
    assert_refused(stale, 5, "conflict", Some("ifVersion"));
    let args = [
        "cancel",
        &task,
        "--reason",
        "gone",
        "--if-version",
        &version,
    ];
    assert_eq!(bob(&args), "cancelled");
    let notes = get(&desk, &task)["notes"].clone();
    let notes: Vec<&str> = notes
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["text"].as_str().unwrap())
        .collect();
    assert_eq!(notes, ["half done", "no password", "no host", "gone"]);
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_gives_the_task_back() {
    let desk = Desk::set();
    let task = create(&desk, &["Watch the road"]);
    let claim = ["task", "claim", &task, "--lease", "1h"];
    let claimed = desk.bob(&claim).expect(0).json();
    assert_keys(&claimed, &[SAVED, &["leaseUntil"]].concat());
    let shorter = ["task", "claim", &task, "--lease", "1s"];
    let renewed = desk.bob(&shorter).expect(0).json();
    assert!(renewed["leaseUntil"].as_u64() < claimed["leaseUntil"].as_u64());
    assert_eq!(renewed["version"], 3);
    eventually("the task is given back", async || {
        get(&desk, &task)["status"] == "todo"
    })
    .await;
    let one = get(&desk, &task);
    assert_eq!(
        (&one["claimedBy"], &one["ready"]),
        (&Value::Null, &json!(true))
    );
    desk.alice(&["task", "claim", &task]).expect(0);
}

#[tokio::test]
async fn a_mission_tells_how_far_its_tasks_are() {
    let desk = Desk::set();
    let args = [
        "mission",
        "create",
        "Relaunch",
        "--brief",
        "-",
        "--pilot",
        "alice",
        "--agent",
        "bob",
        "--agent",
        "alice",
        "--project",
        "landing-page",
        "--priority",
        "high",
        "--status",
        "plan",
        "--starts",
        "1d",
        "--due",
        "30d",
    ];
    let saved = desk.speak(&desk.alice, &args, "Faster.\n").expect(0).json();
    assert_keys(&saved, &["missionId", "status", "version", "position"]);
    let mission = saved["missionId"].as_str().unwrap();
    let tasks = ["One", "Two", "Three"].map(|title| create(&desk, &[title, "--mission", mission]));
    desk.bob(&["task", "claim", &tasks[0]]).expect(0);
    desk.bob(&["task", "complete", &tasks[0]]).expect(0);
    desk.bob(&["task", "cancel", &tasks[2], "--reason", "no"])
        .expect(0);

    let one = desk.bob(&["mission", "get", mission]).expect(0).json();
    let document = ["mission", "tasks", "truncated", "nextCursor", "position"];
    assert_keys(&one, &document);
    let progress = &one["mission"]["progress"];
    assert_keys(progress, PROGRESS);
    assert_eq!(
        ["total", "todo", "done", "cancelled", "percent"].map(|field| &progress[field]),
        [&json!(3), &json!(1), &json!(1), &json!(1), &json!(50)]
    );
    assert_eq!(one["mission"]["brief"], "Faster.\n");
    assert_eq!(one["mission"]["agents"], json!(["alice", "bob"]));
    assert_eq!(titles(&one["tasks"]), ["One", "Two", "Three"]);
    let shown = desk
        .deployment
        .run(&["--creds", &desk.bob, "mission", "get", mission])
        .expect(0);
    assert!(
        shown
            .stdout
            .contains("progress: 1 of 2 done (50%), 1 to do, 1 cancelled\n"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains("\n\nmedium  done         One\n"),
        "{shown:?}"
    );

    conflict(desk.alice(&["mission", "update", mission, "--status", "complete"]));
    for status in ["execute", "validate", "complete"] {
        let update = ["mission", "update", mission, "--status", status];
        let saved = desk.alice(&update).expect(0).json();
        assert_eq!(saved["status"], status);
    }
    conflict(desk.alice(&["mission", "update", mission, "--title", "Late"]));
    conflict(desk.alice(&["task", "create", "Late", "--mission", mission]));
    let list = |args: &[&str]| {
        let page = desk.bob(&[&["mission", "list"], args].concat());
        let page = page.expect(0).json();
        assert_keys(&page, &["missions", "truncated", "nextCursor", "position"]);
        titles(&page["missions"])
    };
    assert_eq!(
        list(&["--pilot", "alice", "--status", "complete"]),
        ["Relaunch"]
    );
    assert!(list(&["--pilot", "bob"]).is_empty() && list(&["--status", "plan"]).is_empty());
    assert_eq!(list(&["--project", "landing-page"]), ["Relaunch"]);
}
