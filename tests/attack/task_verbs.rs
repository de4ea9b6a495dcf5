//! The verbs of tasks and missions, as [`crate::verbs`] has the others.

use crate::verbs::{Entry, Names};
use serde_json::json;

const NOTHING: Names = Names::Nothing;

/// A verb that takes a task, a note and the version that it has to have. What it does under one id is done under the next.
macro_rules! noted {
    ($verb:literal, $text:literal) => {
        Entry {
            verb: $verb,
            fields: &[
                ("taskId", Names::Task),
                ($text, NOTHING),
                ("ifVersion", NOTHING),
                ("commandId", NOTHING),
            ],
            body: |known| json!({"taskId": known.own.tasks[$verb], $text: "one's own"}),
        }
    };
}

/// Every one.
pub const ENTRIES: &[Entry] = &[
    Entry {
        verb: "create_task",
        // A project is a name that the caller makes up, or one that it may not use whether it exists or not.
        fields: &[
            ("title", NOTHING),
            ("description", NOTHING),
            ("project", NOTHING),
            ("priority", NOTHING),
            ("assignedTo", Names::Role),
            ("assignedToInstanceId", Names::Instance),
            ("dependsOn", Names::Tasks),
            ("missionId", Names::Mission),
            ("tags", NOTHING),
            ("dueAt", NOTHING),
            ("note", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |_| json!({"title": "one's own", "assignedTo": "pi"}),
    },
    Entry {
        verb: "claim_task",
        fields: &[
            ("taskId", Names::Task),
            ("leaseMs", NOTHING),
            ("ifVersion", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |known| json!({"taskId": known.own.tasks["claim_task"]}),
    },
    noted!("release_task", "note"),
    Entry {
        verb: "update_task",
        fields: &[
            ("taskId", Names::Task),
            ("title", NOTHING),
            ("description", NOTHING),
            ("project", NOTHING),
            ("priority", NOTHING),
            ("status", NOTHING),
            ("assignedTo", Names::Role),
            ("assignedToInstanceId", Names::Instance),
            ("dependsOn", Names::Tasks),
            ("missionId", Names::Mission),
            ("tags", NOTHING),
            ("dueAt", NOTHING),
            ("note", NOTHING),
            ("ifVersion", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |known| json!({"taskId": known.own.tasks["update_task"], "assignedTo": "pi", "note": "one's own"}),
    },
    Entry {
        verb: "add_dependency",
        fields: &[
            ("taskId", Names::Task),
            ("dependsOn", Names::Task),
            ("ifVersion", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |known| {
            let (task, on) = (
                &known.own.tasks["add_dependency"],
                &known.own.tasks["update_task"],
            );
            json!({"taskId": task, "dependsOn": on})
        },
    },
    noted!("block_task", "reason"),
    noted!("complete_task", "note"),
    noted!("fail_task", "reason"),
    noted!("cancel_task", "reason"),
    Entry {
        verb: "create_mission",
        fields: &[
            ("title", NOTHING),
            ("brief", NOTHING),
            ("pilot", Names::Role),
            ("agents", Names::Roles),
            ("project", NOTHING),
            ("priority", NOTHING),
            ("status", NOTHING),
            ("startsAt", NOTHING),
            ("dueAt", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |_| json!({"title": "one's own"}),
    },
    Entry {
        verb: "update_mission",
        fields: &[
            ("missionId", Names::Mission),
            ("title", NOTHING),
            ("brief", NOTHING),
            ("pilot", Names::Role),
            ("agents", Names::Roles),
            ("project", NOTHING),
            ("priority", NOTHING),
            ("status", NOTHING),
            ("startsAt", NOTHING),
            ("dueAt", NOTHING),
            ("ifVersion", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |known| json!({"missionId": known.own.mission, "title": "renamed"}),
    },
    Entry {
        verb: "get_task",
        fields: &[("taskId", Names::Task)],
        body: |known| json!({"taskId": known.own.tasks["update_task"]}),
    },
    Entry {
        verb: "list_tasks",
        fields: &[
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
            ("project", NOTHING),
            ("assignedTo", Names::Role),
            ("assignedToInstanceId", Names::Instance),
            ("status", NOTHING),
            ("missionId", Names::Mission),
            ("priority", NOTHING),
            ("ready", NOTHING),
        ],
        body: |_| json!({"assignedTo": "pi", "fresh": true}),
    },
    Entry {
        verb: "get_mission",
        fields: &[("missionId", Names::Mission)],
        body: |known| json!({"missionId": known.own.mission}),
    },
    Entry {
        verb: "list_missions",
        fields: &[
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
            ("project", NOTHING),
            ("status", NOTHING),
            ("pilot", Names::Role),
        ],
        body: |_| json!({"fresh": true}),
    },
];
