//! Tasks and missions that are none, ids that name nothing, cursors that are stale, and bytes that mean nothing.

use super::Stage;
use crate::harness::raw;
use serde_json::{Value, json};

const NEVER: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

fn subject(verb: &str) -> String {
    let is_question = verb.starts_with("get_") || verb.starts_with("list_");
    let kind = if is_question { "qry" } else { "cmd" };
    format!("postroad.acme.{kind}.tau.t1.tasks.{verb}")
}

async fn ask(stage: &Stage, verb: &str, body: Value) -> Value {
    raw::request(&stage.agent, &subject(verb), body.to_string()).await
}

#[tokio::test]
async fn what_is_no_command_on_tasks_is_refused_with_its_field_and_stores_nothing() {
    let stage = Stage::set().await;
    let (title, huge) = ("x".repeat(257), "x".repeat(16 * 1024 + 1));
    let ids: Vec<&str> = vec![NEVER; 65];
    let cases = [
        (
            "create_task",
            json!({"title": "\u{3000}\t"}),
            "invalid_argument",
            "title",
        ),
        (
            "create_task",
            json!({"title": "a\u{0}b"}),
            "invalid_argument",
            "title",
        ),
        ("create_task", json!({"title": title}), "too_large", "title"),
        (
            "create_task",
            json!({"title": "x", "description": huge}),
            "too_large",
            "description",
        ),
        (
            "create_task",
            json!({"title": "x", "dependsOn": ids}),
            "too_large",
            "dependsOn",
        ),
        (
            "create_task",
            json!({"title": "x", "dependsOn": [NEVER]}),
            "not_found",
            "dependsOn",
        ),
        (
            "create_task",
            json!({"title": "x", "missionId": NEVER}),
            "not_found",
            "missionId",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "pj"}),
            "not_found",
            "assignedTo",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "_postroad"}),
            "invalid_argument",
            "assignedTo",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "pi", "assignedToInstanceId": "p2"}),
            "not_found",
            "assignedToInstanceId",
        ),
        (
            "create_task",
            json!({"title": "x", "project": "studio/globex"}),
            "permission_denied",
            "project",
        ),
        (
            "create_task",
            json!({"title": "x", "tags": ["a\nb"]}),
            "invalid_argument",
            "tags",
        ),
        (
            "create_task",
            json!({"title": "x", "dueAt": 253_402_300_800_000_i64}),
            "invalid_argument",
            "dueAt",
        ),
        (
            "claim_task",
            json!({"taskId": "nonsense"}),
            "not_found",
            "taskId",
        ),
        (
            "claim_task",
            json!({"taskId": NEVER}),
            "not_found",
            "taskId",
        ),
        (
            "claim_task",
            json!({"taskId": NEVER, "leaseMs": 0}),
            "invalid_argument",
            "leaseMs",
        ),
        (
            "release_task",
            json!({"taskId": NEVER}),
            "not_found",
            "taskId",
        ),
        (
            "block_task",
            json!({"taskId": NEVER, "reason": ""}),
            "invalid_argument",
            "reason",
        ),
        (
            "complete_task",
            json!({"taskId": NEVER}),
            "not_found",
            "taskId",
        ),
        (
            "fail_task",
            json!({"taskId": NEVER, "reason": "x"}),
            "not_found",
            "taskId",
        ),
        (
            "cancel_task",
            json!({"taskId": NEVER, "reason": "x"}),
            "not_found",
            "taskId",
        ),
        (
            "update_task",
            json!({"taskId": NEVER}),
            "invalid_argument",
            "title",
        ),
        (
            "update_task",
            json!({"taskId": NEVER, "status": "blocked"}),
            "invalid_argument",
            "status",
        ),
        (
            "add_dependency",
            json!({"taskId": NEVER, "dependsOn": NEVER}),
            "not_found",
            "taskId",
        ),
        (
            "create_mission",
            json!({"title": "x", "pilot": "pj"}),
            "not_found",
            "pilot",
        ),
        (
            "create_mission",
            json!({"title": "x", "agents": ["pi", "pj"]}),
            "not_found",
            "agents",
        ),
        (
            "create_mission",
            json!({"title": "x", "status": "validate"}),
            "invalid_argument",
            "status",
        ),
        (
            "update_mission",
            json!({"missionId": NEVER, "title": "y"}),
            "not_found",
            "missionId",
        ),
        ("get_task", json!({"taskId": ""}), "not_found", "taskId"),
        ("get_task", json!({"taskId": NEVER}), "not_found", "taskId"),
        (
            "get_mission",
            json!({"missionId": NEVER}),
            "not_found",
            "missionId",
        ),
        (
            "list_tasks",
            json!({"missionId": NEVER}),
            "not_found",
            "missionId",
        ),
        (
            "list_tasks",
            json!({"status": "asleep"}),
            "invalid_argument",
            "status",
        ),
        (
            "list_tasks",
            json!({"cursor": "not base64!"}),
            "invalid_argument",
            "cursor",
        ),
        (
            "list_tasks",
            json!({"limit": 201}),
            "invalid_argument",
            "limit",
        ),
        (
            "list_tasks",
            json!({"assignedToInstanceId": "p1"}),
            "invalid_argument",
            "assignedToInstanceId",
        ),
        (
            "list_missions",
            json!({"cursor": "AAAA"}),
            "invalid_argument",
            "cursor",
        ),
        (
            "list_missions",
            json!({"project": "studio/globex"}),
            "permission_denied",
            "project",
        ),
    ];
    for (verb, body, code, field) in cases {
        stage
            .refuse(&subject(verb), body.to_string(), code, Some(field))
            .await;
    }
    for verb in ["create_task", "claim_task", "update_mission", "get_task"] {
        for body in [
            "[]",
            "{\"title\":\"\\ud800\"}",
            "{\"taskId\":",
            "\u{1}\u{2}",
        ] {
            stage
                .refuse(&subject(verb), body, "invalid_argument", None)
                .await;
        }
        let garbage = [0x81_u8, 0xc1, 0xff, 0x00, 0x9f];
        stage
            .refuse(&subject(verb), garbage, "invalid_argument", None)
            .await;
    }
}

#[tokio::test]
async fn what_a_task_does_not_take_is_a_conflict_that_names_its_state_and_stores_nothing() {
    let stage = Stage::set().await;
    let made = async |body: Value| {
        let saved = ask(&stage, "create_task", body).await;
        stage.expect_stored(1).await;
        assert!(saved["taskId"].is_string(), "{saved}");
        saved["taskId"].clone()
    };
    let first = made(json!({"title": "first"})).await;
    let second = made(json!({"title": "second", "dependsOn": [first]})).await;
    let given = made(json!({"title": "given", "assignedTo": "pi"})).await;
    let refuse = async |verb: &str, body: Value, code: &str, word: &str| {
        let told = stage
            .refuse(&subject(verb), body.to_string(), code, None)
            .await;
        let text = told.to_string();
        assert!(text.contains(word), "{word} is not said: {told}");
    };
    refuse(
        "claim_task",
        json!({"taskId": second}),
        "conflict",
        first.as_str().unwrap(),
    )
    .await;
    refuse("claim_task", json!({"taskId": given}), "conflict", "pi").await;
    refuse(
        "complete_task",
        json!({"taskId": first}),
        "conflict",
        "todo",
    )
    .await;
    refuse("release_task", json!({"taskId": first}), "conflict", "todo").await;
    refuse(
        "claim_task",
        json!({"taskId": first, "ifVersion": 7}),
        "conflict",
        "1",
    )
    .await;
    refuse(
        "add_dependency",
        json!({"taskId": first, "dependsOn": second}),
        "conflict",
        "wait for each other",
    )
    .await;
    refuse(
        "add_dependency",
        json!({"taskId": first, "dependsOn": first}),
        "invalid_argument",
        "itself",
    )
    .await;
    for step in [
        json!({"taskId": first}),
        json!({"taskId": first, "leaseMs": 60_000}),
    ] {
        let saved = ask(&stage, "claim_task", step).await;
        stage.expect_stored(1).await;
        assert_eq!(saved["status"], "in_progress", "{saved}");
    }
    refuse(
        "add_dependency",
        json!({"taskId": first, "dependsOn": given}),
        "conflict",
        "in_progress",
    )
    .await;
    let done = ask(&stage, "complete_task", json!({"taskId": first})).await;
    stage.expect_stored(1).await;
    assert_eq!(done["status"], "done", "{done}");
    for (verb, body) in [
        ("claim_task", json!({"taskId": first})),
        ("complete_task", json!({"taskId": first})),
        ("cancel_task", json!({"taskId": first, "reason": "x"})),
        ("update_task", json!({"taskId": first, "status": "todo"})),
        ("update_task", json!({"taskId": first, "title": "another"})),
    ] {
        refuse(verb, body, "conflict", "done").await;
    }
}
