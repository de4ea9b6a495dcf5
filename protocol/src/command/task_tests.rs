use super::*;
use crate::body::Encoding;
use crate::tenancy::Scope;
use serde_json::{Value, json};

fn read(verb: &str, body: &Value) -> Result<Identified, Refusal> {
    Command::read(
        Scope::Tasks,
        verb,
        Encoding::Json,
        body.to_string().as_bytes(),
    )
}

const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

#[test]
#[expect(clippy::too_many_lines, reason = "a list: one case a field")]
fn every_field_that_is_wrong_is_named() {
    use ErrorCode::{InvalidArgument, NotFound, TooLarge};
    let long = "x".repeat(limits::TITLE_MAX_BYTES + 1);
    let huge = "x".repeat(limits::DESCRIPTION_MAX_BYTES + 1);
    let note = "x".repeat(limits::NOTE_MAX_BYTES + 1);
    let many = vec![ID; limits::TASK_DEPENDENCIES_MAX + 1];
    let roles: Vec<String> = (0..=limits::MISSION_AGENTS_MAX)
        .map(|n| format!("r{n}"))
        .collect();
    let cases = [
        ("create_task", json!({}), InvalidArgument, "title"),
        (
            "create_task",
            json!({"title": ""}),
            InvalidArgument,
            "title",
        ),
        (
            "create_task",
            json!({"title": "a\nb"}),
            InvalidArgument,
            "title",
        ),
        ("create_task", json!({"title": 7}), InvalidArgument, "title"),
        ("create_task", json!({"title": long}), TooLarge, "title"),
        (
            "create_task",
            json!({"title": "x", "description": huge}),
            TooLarge,
            "description",
        ),
        (
            "create_task",
            json!({"title": "x", "description": " "}),
            InvalidArgument,
            "description",
        ),
        (
            "create_task",
            json!({"title": "x", "project": "a/b"}),
            InvalidArgument,
            "project",
        ),
        (
            "create_task",
            json!({"title": "x", "priority": "normal"}),
            InvalidArgument,
            "priority",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "broadcast"}),
            InvalidArgument,
            "assignedTo",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "_postroad"}),
            InvalidArgument,
            "assignedTo",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedToInstanceId": "pi"}),
            InvalidArgument,
            "assignedToInstanceId",
        ),
        (
            "create_task",
            json!({"title": "x", "assignedTo": "tau", "assignedToInstanceId": "é"}),
            InvalidArgument,
            "assignedToInstanceId",
        ),
        (
            "create_task",
            json!({"title": "x", "dependsOn": ["7"]}),
            NotFound,
            "dependsOn",
        ),
        (
            "create_task",
            json!({"title": "x", "dependsOn": many}),
            TooLarge,
            "dependsOn",
        ),
        (
            "create_task",
            json!({"title": "x", "missionId": "7"}),
            NotFound,
            "missionId",
        ),
        (
            "create_task",
            json!({"title": "x", "tags": [""]}),
            InvalidArgument,
            "tags",
        ),
        (
            "create_task",
            json!({"title": "x", "dueAt": -1}),
            InvalidArgument,
            "dueAt",
        ),
        (
            "create_task",
            json!({"title": "x", "note": note}),
            TooLarge,
            "note",
        ),
        (
            "create_task",
            json!({"title": "x", "commandId": "7"}),
            InvalidArgument,
            "commandId",
        ),
        ("claim_task", json!({"taskId": "7"}), NotFound, "taskId"),
        (
            "claim_task",
            json!({"taskId": ID, "leaseMs": 999}),
            InvalidArgument,
            "leaseMs",
        ),
        (
            "claim_task",
            json!({"taskId": ID, "leaseMs": -1}),
            InvalidArgument,
            "leaseMs",
        ),
        (
            "claim_task",
            json!({"taskId": ID, "leaseMs": limits::LEASE_MAX_MS + 1}),
            InvalidArgument,
            "leaseMs",
        ),
        (
            "release_task",
            json!({"taskId": ID, "note": note}),
            TooLarge,
            "note",
        ),
        (
            "block_task",
            json!({"taskId": ID}),
            InvalidArgument,
            "reason",
        ),
        (
            "fail_task",
            json!({"taskId": ID, "reason": " "}),
            InvalidArgument,
            "reason",
        ),
        (
            "cancel_task",
            json!({"taskId": ID, "reason": note}),
            TooLarge,
            "reason",
        ),
        (
            "update_task",
            json!({"taskId": ID}),
            InvalidArgument,
            "title",
        ),
        (
            "update_task",
            json!({"taskId": ID, "status": "done"}),
            InvalidArgument,
            "status",
        ),
        (
            "update_task",
            json!({"taskId": ID, "status": "asleep"}),
            InvalidArgument,
            "status",
        ),
        (
            "update_task",
            json!({"taskId": ID, "ifVersion": -1, "title": "x"}),
            InvalidArgument,
            "ifVersion",
        ),
        (
            "add_dependency",
            json!({"taskId": ID, "dependsOn": ""}),
            NotFound,
            "dependsOn",
        ),
        (
            "create_mission",
            json!({"title": "x", "pilot": "_sys"}),
            InvalidArgument,
            "pilot",
        ),
        (
            "create_mission",
            json!({"title": "x", "agents": [""]}),
            InvalidArgument,
            "agents",
        ),
        (
            "create_mission",
            json!({"title": "x", "agents": roles}),
            TooLarge,
            "agents",
        ),
        (
            "create_mission",
            json!({"title": "x", "status": "complete"}),
            InvalidArgument,
            "status",
        ),
        (
            "create_mission",
            json!({"title": "x", "brief": huge}),
            TooLarge,
            "brief",
        ),
        (
            "update_mission",
            json!({"missionId": ID}),
            InvalidArgument,
            "title",
        ),
        (
            "update_mission",
            json!({"missionId": "x", "title": "y"}),
            NotFound,
            "missionId",
        ),
        (
            "update_mission",
            json!({"missionId": ID, "startsAt": limits::TIME_MAX_MS + 1}),
            InvalidArgument,
            "startsAt",
        ),
    ];
    for (verb, body, code, field) in cases {
        let refusal = read(verb, &body).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (code, Some(field)),
            "{verb} {body}"
        );
    }
    assert_eq!(read("sing", &json!({})).unwrap_err().code, NotFound);
}

#[test]
fn what_is_emptied_is_taken_away_and_what_is_left_out_stays() {
    let patch = |body: Value| match read("update_task", &body).unwrap().command {
        Command::Task(TaskCommand::Change(ChangeTask {
            act: TaskAct::Update(patch),
            ..
        })) => *patch,
        other => panic!("{other:?}"),
    };
    let emptied = patch(json!({
        "taskId": ID, "assignedTo": "", "missionId": "", "dueAt": 0, "tags": [], "dependsOn": [], "description": ""
    }));
    assert_eq!(
        emptied,
        TaskPatch {
            assigned_to: Some(None),
            mission: Some(None),
            due_at: Some(None),
            tags: Some(Vec::new()),
            depends_on: Some(Vec::new()),
            description: Some(String::new()),
            ..TaskPatch::default()
        }
    );
    let titled = patch(json!({"taskId": ID, "title": " Nav "}));
    assert_eq!(titled.title.as_deref(), Some("Nav"));
    assert_eq!(titled.assigned_to, None);
}

#[test]
fn two_commands_that_ask_for_one_thing_are_one_and_others_are_not() {
    let asked = |verb: &str, body: Value| match read(verb, &body).unwrap().command {
        Command::Task(command) => command.asked(),
        other => panic!("{other:?}"),
    };
    let one = asked("complete_task", json!({"taskId": ID, "note": "a"}));
    assert_eq!(
        one,
        asked(
            "complete_task",
            json!({"taskId": ID, "note": "a", "commandId": ID})
        )
    );
    assert_ne!(
        one,
        asked("complete_task", json!({"taskId": ID, "note": "b"}))
    );
    assert_ne!(
        one,
        asked("release_task", json!({"taskId": ID, "note": "a"}))
    );
}
