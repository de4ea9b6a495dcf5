//! Tasks of two tenants with the same names, and arguments that nobody should send.

use crate::client::{NEW, OLD};
use crate::harness::Deployment;
use crate::tasks::{agent, create, titles};
use serde_json::{Value, json};

const ABSENT: &str = "01890000-0000-7000-8000-0000000000ff";

/// What every tool that names a task or mission takes besides it.
fn on_a_task() -> [(&'static str, Value); 9] {
    [
        ("get_task", json!({})),
        ("claim_task", json!({})),
        ("release_task", json!({})),
        ("complete_task", json!({})),
        ("update_task", json!({"title": "defaced"})),
        ("block_task", json!({"reason": "defaced"})),
        ("fail_task", json!({"reason": "defaced"})),
        ("cancel_task", json!({"reason": "defaced"})),
        ("add_dependency", json!({"dependsOn": ABSENT})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_names_in_two_tenants_work_apart() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    let mut worlds = Vec::new();
    for (tenant, revision, canary) in [("acme", OLD, "kiwi7519"), ("globex", NEW, "mango2284")] {
        deployment.tenant(tenant).await;
        let tau = agent(&deployment, revision, tenant, "tau", "main").await;
        // An id follows from who creates a thing and from the command's: here both are alike in the two tenants.
        let twin = "01890000-0000-7000-8000-0000000000aa";
        let mission = json!({"title": canary, "pilot": "tau", "commandId": twin});
        let mission = tau.call("create_mission", mission).0["missionId"].clone();
        let task = json!({
            "title": canary, "assignedTo": "tau", "project": "nav", "missionId": mission, "description": canary
        });
        let task = create(&tau, task);
        let same = json!({"title": format!("twin {canary}"), "commandId": "01890000-0000-7000-8000-0000000000bb"});
        let same = [create(&tau, same.clone()), create(&tau, same)];
        assert_eq!(same[0], same[1], "one command is stored once");
        worlds.push((tau, task, mission, canary, same[0].clone()));
    }
    assert_eq!(worlds[0].4, worlds[1].4);
    for (at, (tau, own, _, canary, twin)) in worlds.iter().enumerate() {
        let (_, foreign, _, secret, _) = &worlds[1 - at];
        for filter in [
            json!({}),
            json!({"project": "nav"}),
            json!({"assignedTo": "tau", "ready": true}),
            json!({"status": "open"}),
        ] {
            let listed = titles(tau, filter);
            assert!(!listed.is_empty() && !listed.iter().any(|title| title.contains(secret)));
        }
        let (missions, _) = tau.call("list_missions", json!({"pilot": "tau"}));
        assert_eq!(missions["missions"][0]["title"], *canary);
        assert_eq!(missions["missions"].as_array().unwrap().len(), 1);
        let (one, text) = tau.call("get_task", json!({"taskId": twin}));
        assert_eq!(one["task"]["title"], format!("twin {canary}"));
        assert!(!text.contains(secret));

        // What is another tenant's reads like what is not there.
        for (tool, mut arguments) in on_a_task() {
            arguments["taskId"] = json!(foreign);
            let theirs = tau.refusal(tool, arguments.clone());
            arguments["taskId"] = json!(ABSENT);
            assert_eq!(theirs, tau.refusal(tool, arguments), "{tool}");
            assert_eq!(
                (&theirs["code"], &theirs["field"]),
                (&json!("not_found"), &json!("taskId")),
                "{tool}"
            );
        }
        let depending = |id: &str| json!({"title": "x", "dependsOn": [id]});
        let theirs = tau.refusal("create_task", depending(foreign));
        assert_eq!(theirs, tau.refusal("create_task", depending(ABSENT)));
        assert_eq!(
            (&theirs["code"], &theirs["field"]),
            (&json!("not_found"), &json!("dependsOn"))
        );
        let edge = |id: &str| json!({"taskId": own, "dependsOn": id});
        let theirs = tau.refusal("add_dependency", edge(foreign));
        assert_eq!(theirs, tau.refusal("add_dependency", edge(ABSENT)));
    }
    let title = |at: usize| {
        let (tau, own, _, canary, _) = &worlds[at];
        let (one, _) = tau.call("get_task", json!({"taskId": own}));
        (
            one["task"]["title"].clone(),
            json!(canary),
            one["task"]["version"].clone(),
        )
    };
    for at in 0..2 {
        let (now, then, version) = title(at);
        assert_eq!((now, version), (then, json!(1)), "nobody was hurt by it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_mission_is_as_good_as_none() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let tau = agent(&deployment, OLD, "acme", "tau", "main").await;
    let other = agent(&deployment, OLD, "globex", "tau", "main").await;
    let (mission, _) = other.call("create_mission", json!({"title": "A secret"}));
    let theirs = mission["missionId"].as_str().unwrap();
    for (tool, mut arguments) in [
        ("get_mission", json!({})),
        ("list_tasks", json!({})),
        ("update_mission", json!({"title": "defaced"})),
        ("create_task", json!({"title": "x"})),
    ] {
        arguments["missionId"] = json!(theirs);
        let refusal = tau.refusal(tool, arguments.clone());
        arguments["missionId"] = json!(ABSENT);
        assert_eq!(refusal, tau.refusal(tool, arguments), "{tool}");
        assert_eq!(
            (&refusal["code"], &refusal["field"]),
            (&json!("not_found"), &json!("missionId")),
            "{tool}"
        );
    }
    let (one, _) = other.call("get_mission", json!({"missionId": theirs}));
    assert_eq!(one["mission"]["title"], "A secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_are_refused_with_field_and_remedy_and_change_nothing() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let tau = agent(&deployment, NEW, "acme", "tau", "mac").await;
    let id = create(&tau, json!({"title": "The only one"}));
    let (mission, _) = tau.call("create_mission", json!({"title": "The only mission"}));
    let mission = mission["missionId"].as_str().unwrap().to_owned();
    let (mb, long) = ("x".repeat(1 << 20), "x".repeat(2_049));
    let with = |base: Value, change: Value| {
        let mut arguments = base;
        for (field, value) in change.as_object().unwrap() {
            arguments[field] = value.clone();
        }
        arguments
    };
    let new = |change: Value| ("create_task", with(json!({"title": "x"}), change));
    let to = |change: Value| ("update_task", with(json!({"taskId": id}), change));
    let begin = |change: Value| ("create_mission", with(json!({"title": "x"}), change));
    let list = |change: Value| ("list_tasks", change);
    let invalid = "invalid_argument";
    for ((tool, arguments), code, field) in [
        (("create_task", json!({})), invalid, "title"),
        (new(json!({"title": "\t"})), invalid, "title"),
        (new(json!({"title": "x".repeat(257)})), "too_large", "title"),
        (new(json!({"title": mb})), "too_large", ""),
        (
            new(json!({"description": "x".repeat(16 * 1024 + 1)})),
            "too_large",
            "description",
        ),
        (new(json!({"note": long})), "too_large", "note"),
        (new(json!({"project": "studio/*"})), invalid, "project"),
        (new(json!({"project": "../x"})), invalid, "project"),
        (
            new(json!({"project": "studio/acme-corp"})),
            "permission_denied",
            "project",
        ),
        (new(json!({"priority": "normal"})), invalid, "priority"),
        (new(json!({"priority": 1})), invalid, "priority"),
        (new(json!({"assignedTo": "tua"})), "not_found", "assignedTo"),
        (new(json!({"assignedTo": "a b"})), invalid, "assignedTo"),
        (
            new(json!({"assignedTo": "tau", "assignedToInstanceId": "pc"})),
            "not_found",
            "assignedToInstanceId",
        ),
        (
            new(json!({"assignedToInstanceId": "mac"})),
            invalid,
            "assignedToInstanceId",
        ),
        (new(json!({"dependsOn": "x"})), invalid, "dependsOn"),
        (new(json!({"dependsOn": [long]})), "not_found", "dependsOn"),
        (
            new(json!({"dependsOn": [id], "dueAt": -1})),
            invalid,
            "dueAt",
        ),
        (new(json!({"missionId": "*"})), "not_found", "missionId"),
        (new(json!({"tags": vec!["x"; 33]})), "too_large", "tags"),
        (new(json!({"commandId": "1"})), invalid, "commandId"),
        (new(json!({"owner": "tau"})), invalid, "owner"),
        (
            new(json!({"tenantId": "globex"})),
            "permission_denied",
            "tenantId",
        ),
        (to(json!({})), invalid, "title"),
        (to(json!({"status": "done"})), invalid, "status"),
        (to(json!({"status": "review"})), "conflict", "status"),
        (
            to(json!({"ifVersion": -1, "title": "x"})),
            invalid,
            "ifVersion",
        ),
        (
            to(json!({"ifVersion": 7, "title": "x"})),
            "conflict",
            "ifVersion",
        ),
        (to(json!({"dependsOn": [id]})), invalid, "dependsOn"),
        (
            to(json!({"taskId": long, "title": "x"})),
            "not_found",
            "taskId",
        ),
        (to(json!({"missionId": id})), "not_found", "missionId"),
        (
            ("claim_task", json!({"taskId": id, "leaseMs": 999})),
            invalid,
            "leaseMs",
        ),
        (
            ("claim_task", json!({"taskId": id, "leaseMs": "1h"})),
            invalid,
            "leaseMs",
        ),
        (("claim_task", json!({})), invalid, "taskId"),
        (
            ("release_task", json!({"taskId": id})),
            "conflict",
            "taskId",
        ),
        (
            ("complete_task", json!({"taskId": id, "note": long})),
            "too_large",
            "note",
        ),
        (
            ("complete_task", json!({"taskId": id, "reason": "x"})),
            invalid,
            "reason",
        ),
        (("block_task", json!({"taskId": id})), invalid, "reason"),
        (
            ("fail_task", json!({"taskId": id, "reason": " "})),
            invalid,
            "reason",
        ),
        (
            ("cancel_task", json!({"taskId": "", "reason": "x"})),
            "not_found",
            "taskId",
        ),
        (
            ("add_dependency", json!({"taskId": id, "dependsOn": id})),
            invalid,
            "dependsOn",
        ),
        (
            ("add_dependency", json!({"taskId": id, "dependsOn": "x"})),
            "not_found",
            "dependsOn",
        ),
        (begin(json!({"pilot": "nobody"})), "not_found", "pilot"),
        (
            begin(json!({"agents": ["tau", "nobody"]})),
            "not_found",
            "agents",
        ),
        (begin(json!({"status": "complete"})), invalid, "status"),
        (
            begin(json!({"brief": "x".repeat(16 * 1024 + 1)})),
            "too_large",
            "brief",
        ),
        (
            ("update_mission", json!({"missionId": mission})),
            invalid,
            "title",
        ),
        (
            (
                "update_mission",
                json!({"missionId": mission, "status": "done"}),
            ),
            invalid,
            "status",
        ),
        (
            (
                "update_mission",
                json!({"missionId": mission, "ifVersion": 2, "title": "x"}),
            ),
            "conflict",
            "ifVersion",
        ),
        (
            (
                "get_mission",
                json!({"missionId": mission, "contentOffset": 1}),
            ),
            invalid,
            "contentOffset",
        ),
        (
            ("get_task", json!({"taskId": id, "contentOffset": -1})),
            invalid,
            "contentOffset",
        ),
        (
            ("get_task", json!({"taskId": id, "skipNotes": -1})),
            invalid,
            "skipNotes",
        ),
        (list(json!({"limit": 0})), invalid, "limit"),
        (list(json!({"limit": 201})), invalid, "limit"),
        (list(json!({"cursor": "x"})), invalid, "cursor"),
        (list(json!({"cursor": mb})), "too_large", ""),
        (list(json!({"status": "asleep"})), invalid, "status"),
        (list(json!({"ready": "yes"})), invalid, "ready"),
        (list(json!({"missionId": "x"})), "not_found", "missionId"),
        (
            list(json!({"project": "studio/globex"})),
            "permission_denied",
            "project",
        ),
        (
            list(json!({"tenantId": "globex"})),
            "permission_denied",
            "tenantId",
        ),
        (("list_missions", json!({"pilot": "*"})), invalid, "pilot"),
        (("list_missions", json!({"cursor": "x"})), invalid, "cursor"),
    ] {
        let refusal = tau.refusal(tool, arguments);
        assert_eq!(refusal["code"], code, "{tool}: {refusal}");
        assert!(refusal.to_string().len() < 5_000, "{tool}");
        assert!(!refusal["remedy"].as_str().unwrap().is_empty(), "{tool}");
        if !field.is_empty() {
            assert_eq!(refusal["field"], field, "{tool}: {refusal}");
        }
    }
    let (one, _) = tau.call("get_task", json!({"taskId": id}));
    assert_eq!(
        (&one["task"]["version"], &one["task"]["status"]),
        (&json!(1), &json!("todo"))
    );
    assert_eq!(titles(&tau, json!({})), ["The only one"]);
    let (missions, _) = tau.call("list_missions", json!({}));
    assert_eq!(missions["missions"].as_array().unwrap().len(), 1);
    assert_eq!(missions["missions"][0]["version"], 1);
}
