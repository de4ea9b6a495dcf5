//! `task …`, `mission …`: what agents of a tenant have to do, who does it, and what the operator sees of it.

use super::{Desk, POSITION, assert_keys, assert_refused};
use crate::harness::cli::Ran;
use serde_json::{Value, json};

/// What every task has, wherever it is shown.
const TASK: &[&str] = &[
    "taskId",
    "title",
    "project",
    "priority",
    "status",
    "ready",
    "createdBy",
    "createdByInstanceId",
    "createdAt",
    "updatedAt",
    "version",
];
pub(super) const SAVED: &[&str] = &["taskId", "status", "version", "position"];

/// Creates a task; its id.
#[track_caller]
pub(super) fn create(desk: &Desk, args: &[&str]) -> String {
    let saved = desk.alice(&[&["task", "create"][..], args].concat());
    let saved = saved.expect(0).json();
    saved["taskId"].as_str().unwrap().to_owned()
}

pub(super) fn get(desk: &Desk, task: &str) -> Value {
    let one = desk.bob(&["task", "get", task]).expect(0).json();
    assert_keys(&one, &["task", "position"]);
    one["task"].clone()
}

pub(super) fn titles(tasks: &Value) -> Vec<String> {
    let tasks = tasks.as_array().unwrap_or_else(|| panic!("{tasks}"));
    let title = |task: &Value| task["title"].as_str().unwrap().to_owned();
    tasks.iter().map(title).collect()
}

#[track_caller]
pub(super) fn listed(ran: Ran) -> Vec<String> {
    titles(&ran.expect(0).json()["tasks"])
}

/// Something that is refused because of how things stand; the sentence that says so.
#[track_caller]
pub(super) fn conflict(ran: Ran) -> String {
    let ran = ran.expect(5);
    let refusal: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(refusal["code"], "conflict", "{refusal}");
    refusal["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_is_created_claimed_once_and_completed() {
    let desk = Desk::set();
    let created = desk.alice(&["task", "create", "Shrink the hero image"]);
    let created = created.expect(0).json();
    assert_keys(&created, SAVED);
    assert_keys(&created["position"], POSITION);
    assert_eq!(
        (&created["status"], &created["version"]),
        (&json!("todo"), &json!(1))
    );
    let task = created["taskId"].as_str().unwrap();
    let page = desk.bob(&["task", "list"]).expect(0).json();
    assert_keys(&page, &["tasks", "truncated", "nextCursor", "position"]);
    assert_keys(&page["tasks"][0], TASK);
    let one = &page["tasks"][0];
    assert_eq!(
        (&one["taskId"], &one["project"], &one["priority"]),
        (&json!(task), &json!("studio/default"), &json!("medium"))
    );
    assert_eq!(
        (&one["ready"], &one["createdBy"]),
        (&json!(true), &json!("alice"))
    );

    let claimed = desk.bob(&["task", "claim", task]).expect(0).json();
    assert_keys(&claimed, SAVED);
    assert_eq!(claimed["status"], "in_progress");
    // The loser is told who won, and what nobody else may do either.
    let told = conflict(desk.alice(&["task", "claim", task]));
    assert!(told.contains("bob/server"), "{told}");
    for step in [
        &["task", "complete", task][..],
        &["task", "block", task, "--reason", "mine"],
        &["task", "fail", task, "--reason", "mine"],
        &["task", "update", task, "--status", "review"],
    ] {
        let told = conflict(desk.alice(step));
        assert!(told.contains("bob/server"), "{step:?}: {told}");
    }
    let again = desk.bob(&["task", "claim", task]).expect(0).json();
    assert_keys(&again, &[SAVED, &["already"]].concat());
    assert_eq!(again["version"], claimed["version"]);

    let done = ["task", "complete", task, "--note", "180 KB now"];
    let done = desk.bob(&done).expect(0).json();
    assert_eq!(done["status"], "done");
    let one = get(&desk, task);
    assert_eq!(
        (&one["claimedBy"], &one["claimedByInstanceId"]),
        (&json!("bob"), &json!("server"))
    );
    assert_eq!(one["notes"][0]["text"], "180 KB now");
    assert_eq!(one["notes"][0]["by"], "bob/server");
    assert!(one["endedAt"].is_u64(), "{one}");
    assert!(listed(desk.bob(&["task", "list"])).is_empty());
    assert_eq!(
        listed(desk.bob(&["task", "list", "--all"])),
        ["Shrink the hero image"]
    );
    for step in [
        &["task", "claim", task][..],
        &["task", "cancel", task, "--reason", "late"],
        &["task", "update", task, "--status", "todo"],
    ] {
        conflict(desk.bob(step));
    }
}

#[tokio::test]
async fn a_task_says_all_that_was_given_and_a_retry_creates_one() {
    let desk = Desk::set();
    let before = create(&desk, &["Before"]);
    let mission = desk.alice(&["mission", "create", "Relaunch"]).expect(0);
    let mission = mission.json()["missionId"].as_str().unwrap().to_owned();
    let command = uuid::Uuid::now_v7().to_string();
    let args = [
        "task",
        "create",
        "Review",
        "--description",
        "-",
        "--assigned-to",
        "bob/server",
        "--priority",
        "high",
        "--project",
        "landing-page",
        "--depends-on",
        &before,
        "--mission",
        &mission,
        "--tag",
        "web",
        "--tag",
        "cache",
        "--due",
        "2099-12-01T12:00Z",
        "--note",
        "first",
        "--command-id",
        &command,
    ];
    let text = "Look at the cache.\n- söme \"lines\"\n";
    let saved = desk.speak(&desk.alice, &args, text).expect(0).json();
    let again = desk.speak(&desk.alice, &args, text).expect(0).json();
    assert_eq!(saved["taskId"], again["taskId"]);
    let one = get(&desk, saved["taskId"].as_str().unwrap());
    let more = [
        "description",
        "waitingOn",
        "assignedTo",
        "assignedToInstanceId",
        "dependsOn",
        "missionId",
        "tags",
        "dueAt",
        "notes",
    ];
    assert_keys(&one, &[TASK, &more].concat());
    assert_eq!(one["description"], text);
    assert_eq!(
        (&one["assignedTo"], &one["assignedToInstanceId"]),
        (&json!("bob"), &json!("server"))
    );
    assert_eq!(one["tags"], json!(["cache", "web"]));
    assert_eq!(one["dueAt"], 4_099_809_600_000_u64);
    assert_eq!(
        (&one["dependsOn"], &one["waitingOn"], &one["ready"]),
        (&json!([before]), &json!([before]), &json!(false))
    );
    assert_eq!(listed(desk.bob(&["task", "list", "--all"])).len(), 2);

    let human = |creds: &str, args: &[&str]| {
        let all = [&["--creds", creds][..], args].concat();
        desk.deployment.run(&all).expect(0)
    };
    let shown = human(&desk.bob, &["task", "list", "--mine"]);
    assert!(
        shown.stdout.starts_with("high    waiting      Review\n  "),
        "{shown:?}"
    );
    assert!(
        shown
            .stdout
            .contains("landing-page, for bob/server, waits for 1 task, due in "),
        "{shown:?}"
    );
    let id = saved["taskId"].as_str().unwrap();
    let shown = human(&desk.bob, &["task", "get", id]);
    assert!(
        shown.stdout.contains("\n  │ - söme \"lines\"\n"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains(&format!("{before} (not done yet)")),
        "{shown:?}"
    );
    // Whoever checks for mail is told of work, too.
    let shown = human(&desk.bob, &["check"]);
    assert!(
        shown
            .stderr
            .contains("1 task waiting: postroad task list --mine"),
        "{shown:?}"
    );
    let checked = desk.bob(&["check"]).expect(0).json();
    assert_eq!(checked["tasks"]["waiting"], 1);
    // Alice has nothing to do.
    assert_eq!(
        desk.alice(&["check"]).expect(0).json()["tasks"],
        Value::Null
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_where_it_is_wrong() {
    let desk = Desk::set();
    let task = create(&desk, &["One"]);
    let nobodys = uuid::Uuid::now_v7().to_string();
    let long = "x".repeat(257);
    for (args, exit, code, field) in [
        (&["task", "create", " "][..], 2, "invalid_argument", "title"),
        (&["task", "create", &long], 1, "too_large", "title"),
        (
            &["task", "create", "x", "--assigned-to", "bbo"],
            3,
            "not_found",
            "assignedTo",
        ),
        (
            &["task", "create", "x", "--depends-on", "none"],
            3,
            "not_found",
            "dependsOn",
        ),
        (
            &["task", "create", "x", "--depends-on", &nobodys],
            3,
            "not_found",
            "dependsOn",
        ),
        (
            &["task", "create", "x", "--mission", &nobodys],
            3,
            "not_found",
            "missionId",
        ),
        (
            &["task", "create", "x", "--project", "studio/globex"],
            4,
            "permission_denied",
            "project",
        ),
        (
            &["task", "create", "x", "--command-id", "none"],
            2,
            "invalid_argument",
            "commandId",
        ),
        (&["task", "get", &nobodys], 3, "not_found", "taskId"),
        (&["task", "claim", "none"], 3, "not_found", "taskId"),
        (
            &["task", "claim", &task, "--lease", "8d"],
            2,
            "invalid_argument",
            "leaseMs",
        ),
        (
            &["task", "claim", &task, "--lease", "10ms"],
            2,
            "invalid_argument",
            "leaseMs",
        ),
        (&["task", "update", &task], 2, "invalid_argument", "title"),
        (
            &["task", "block", &task, "--reason", " "],
            2,
            "invalid_argument",
            "reason",
        ),
        (
            &["task", "depend", &task, &task],
            2,
            "invalid_argument",
            "dependsOn",
        ),
        (
            &["task", "claim", &task, "--if-version", "7"],
            5,
            "conflict",
            "ifVersion",
        ),
        (&["mission", "get", &nobodys], 3, "not_found", "missionId"),
        (
            &["mission", "create", "x", "--pilot", "bbo"],
            3,
            "not_found",
            "pilot",
        ),
    ] {
        assert_refused(desk.alice(args), exit, code, Some(field));
    }
    let one = get(&desk, &task);
    assert_eq!(
        (&one["version"], &one["status"]),
        (&json!(1), &json!("todo"))
    );
    assert_eq!(listed(desk.bob(&["task", "list", "--all"])), ["One"]);
}

#[tokio::test]
async fn lists_are_narrowed_and_paged_the_most_urgent_first() {
    let desk = Desk::set();
    create(&desk, &["Low", "--priority", "low", "--project", "p"]);
    create(&desk, &["Medium", "--assigned-to", "bob"]);
    let urgent = create(&desk, &["Urgent", "--priority", "urgent"]);
    create(&desk, &["Late", "--project", "p", "--assigned-to", "alice"]);
    let list = |args: &[&str]| listed(desk.bob(&[&["task", "list"], args].concat()));
    assert_eq!(list(&[]), ["Urgent", "Medium", "Late", "Low"]);
    assert_eq!(list(&["--project", "p"]), ["Late", "Low"]);
    assert_eq!(list(&["--mine"]), ["Medium"]);
    assert_eq!(list(&["--assigned-to", "alice"]), ["Late"]);
    assert_eq!(list(&["--priority", "low"]), ["Low"]);
    // What is for everybody is bob's once he has claimed it.
    desk.bob(&["task", "claim", &urgent]).expect(0);
    assert_eq!(list(&["--mine"]), ["Urgent", "Medium"]);
    assert_eq!(list(&["--mine", "--status", "in_progress"]), ["Urgent"]);
    assert_eq!(list(&["--mine", "--ready"]), ["Medium"]);
    assert_eq!(listed(desk.alice(&["task", "list", "--mine"])), ["Late"]);
    let cancel = ["task", "cancel", &urgent, "--reason", "no"];
    desk.alice(&cancel).expect(0);
    assert_eq!(list(&["--status", "cancelled"]), ["Urgent"]);
    assert_eq!(list(&["--all"]).len(), 4);
    let page = desk.bob(&["task", "list", "--limit", "2"]).expect(0).json();
    assert_eq!(titles(&page["tasks"]), ["Medium", "Late"]);
    let cursor = page["nextCursor"].as_str().unwrap();
    assert_eq!(list(&["--cursor", cursor]), ["Low"]);
    let bad = desk.bob(&["task", "list", "--cursor", "none"]);
    assert_refused(bad, 2, "invalid_argument", Some("cursor"));
}

#[tokio::test]
async fn the_operator_sees_every_tenants_tasks_and_no_tenant_anothers() {
    let desk = Desk::set();
    let task = create(&desk, &["Ours"]);
    let mission = desk.alice(&["mission", "create", "Our mission"]).expect(0);
    let mission = mission.json()["missionId"].as_str().unwrap().to_owned();
    desk.deployment.tenant("globex").await;
    let other = desk.deployment.dir.path().join("other.creds");
    let other = other.display().to_string();
    let args = [
        "agent", "issue", "--tenant", "globex", "--role", "bob", "--out", &other,
    ];
    desk.deployment.run(&args).expect(0);
    let foreign = |args: &[&str]| desk.speak(&other, args, "");
    foreign(&["task", "create", "Theirs"]).expect(0);
    for (args, field) in [
        (&["task", "get", &task][..], "taskId"),
        (&["task", "claim", &task], "taskId"),
        (&["task", "cancel", &task, "--reason", "no"], "taskId"),
        (&["task", "create", "x", "--depends-on", &task], "dependsOn"),
        (&["mission", "get", &mission], "missionId"),
        (&["task", "create", "x", "--mission", &mission], "missionId"),
    ] {
        assert_refused(foreign(args), 3, "not_found", Some(field));
    }
    assert_eq!(listed(foreign(&["task", "list"])), ["Theirs"]);

    let operator = |args: &[&str]| desk.deployment.run(&[&["--json"][..], args].concat());
    let all = operator(&["task", "list", "--all-tenants"])
        .expect(0)
        .json();
    assert_keys(&all, &["tasks", "truncated", "nextCursor"]);
    assert_eq!(titles(&all["tasks"]), ["Ours", "Theirs"]);
    assert_eq!(all["tasks"][1]["tenantId"], "globex");
    let one = operator(&["task", "list", "--tenant", "default"]);
    assert_eq!(listed(one), ["Ours"]);
    let one = operator(&["task", "get", &task, "--tenant", "default"]);
    assert_eq!(one.expect(0).json()["task"]["title"], "Ours");
    let one = operator(&["mission", "get", &mission, "--tenant", "default"]);
    assert_eq!(one.expect(0).json()["mission"]["title"], "Our mission");
    let missions = operator(&["mission", "list", "--all-tenants"]);
    let missions = missions.expect(0).json();
    assert_eq!(titles(&missions["missions"]), ["Our mission"]);
    let theirs = operator(&["task", "get", &task, "--tenant", "globex"]);
    assert_refused(theirs, 3, "not_found", Some("taskId"));
    // Whoever says neither tenant nor agent is told how; an agent is no operator.
    let refused = assert_refused(operator(&["task", "list"]), 4, "unauthenticated", None);
    assert!(
        refused["remedy"]
            .as_str()
            .unwrap()
            .contains("--all-tenants"),
        "{refused}"
    );
    let ran = desk.alice(&["task", "list", "--tenant", "default"]);
    assert_refused(ran, 4, "permission_denied", None);
}
