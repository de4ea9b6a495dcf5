//! Every example of the seeds' text on tenants that is about tasks and missions, sent as it stands there. Credentials supply
//! what the examples leave to trust: agents of the two companies have the same roles, and each company is a tenant.

use crate::harness::road::{Road, promised_by_both_kinds};
use crate::tasks::{Worker, titles};
use postroad_client::{MissionList, TaskList};
use serde_json::{Value, json};
use std::collections::BTreeSet;

promised_by_both_kinds!(
    the_examples_of_projects_keep_the_companies_apart,
    the_admin_view_without_a_project_is_of_all_tasks,
);

const ACME: &str = "Migrate Acme product catalog to pgvector";
const GLOBEX: &str = "Globex API v2 rollout";

fn task_for_acme() -> Value {
    json!({
        "title": "Migrate Acme product catalog to pgvector",
        "assignedTo": "tau",
        "priority": "high",
        "project": "studio/acme-corp"
    })
}

fn mission_for_globex() -> Value {
    json!({
        "title": "Globex API v2 rollout",
        "pilot": "pi",
        "project": "studio/globex-corp"
    })
}

/// Agents of the roles `tau` and `pi` of both companies.
async fn two_companies(road: &Road) -> [[Worker; 2]; 2] {
    road.tenant("acme-corp").await;
    road.tenant("globex-corp").await;
    let company = async |tenant| {
        [
            Worker::of(road, tenant, "tau").await,
            Worker::of(road, tenant, "pi").await,
        ]
    };
    [company("acme-corp").await, company("globex-corp").await]
}

fn is_denied(told: &Value) {
    let given = (&told["code"], &told["field"]);
    let wanted = (&json!("permission_denied"), &json!("project"));
    assert_eq!(given, wanted, "{told}");
}

async fn the_examples_of_projects_keep_the_companies_apart(road: Road) {
    let [[acme_tau, acme_pi], [globex_tau, globex_pi]] = two_companies(&road).await;
    let task = acme_pi.make("create_task", task_for_acme()).await;
    let mission = globex_tau
        .make("create_mission", mission_for_globex())
        .await;
    // The other company's studio is not open, whoever says so.
    is_denied(&globex_pi.call("create_task", task_for_acme()).await);
    is_denied(&acme_pi.call("create_mission", mission_for_globex()).await);
    let project = json!({"project": "studio/acme-corp"});
    is_denied(&globex_tau.call("list_tasks", project.clone()).await);

    let told = acme_tau.call("list_tasks", project).await;
    assert_eq!(titles(&told["tasks"]), [ACME], "{told}");
    let first = &told["tasks"][0];
    assert_eq!(first["taskId"], task, "{told}");
    assert_eq!(first["project"], "studio/acme-corp", "{told}");
    assert_eq!(first["assignedTo"], "tau", "{told}");
    assert_eq!(first["priority"], "high", "{told}");
    assert_eq!(first["createdBy"], "pi", "{told}");
    assert_eq!(
        (&first["status"], &first["ready"]),
        (&json!("todo"), &json!(true))
    );

    let told = globex_pi
        .call("get_mission", json!({"missionId": mission}))
        .await;
    let shown = &told["mission"];
    assert_eq!(
        (&shown["title"], &shown["pilot"]),
        (&json!(GLOBEX), &json!("pi"))
    );
    assert_eq!(shown["project"], "studio/globex-corp", "{told}");
    assert_eq!(shown["status"], "brainstorm", "{told}");

    // The same arguments for the other company, by an agent of the same role: a world of its own.
    for (worker, verb, list) in [
        (&globex_tau, "list_tasks", "tasks"),
        (&acme_tau, "list_missions", "missions"),
    ] {
        let told = worker.call(verb, json!({})).await;
        assert_eq!(told[list], json!([]), "{told}");
    }
    // What belongs nowhere in particular belongs to the company's studio.
    let own = json!({"title": "Write it down"});
    let own = globex_tau.make("create_task", own).await;
    let told = globex_tau.call("get_task", json!({"taskId": own})).await;
    assert_eq!(told["task"]["project"], "studio/globex-corp", "{told}");
    assert_eq!(told["task"]["priority"], "medium", "{told}");
}

async fn the_admin_view_without_a_project_is_of_all_tasks(road: Road) {
    let [[acme, _], [globex, globex_pi]] = two_companies(&road).await;
    acme.make("create_task", task_for_acme()).await;
    globex.make("create_mission", mission_for_globex()).await;
    let theirs = json!({"title": "Roll out", "project": "studio/globex-corp"});
    globex.make("create_task", theirs).await;
    // Without a credential of the operator's, all that there is is one's own company's.
    let told = globex_pi.call("list_tasks", json!({})).await;
    assert_eq!(titles(&told["tasks"]), ["Roll out"], "{told}");

    let client = road.operator().await;
    let operator = client.operator().unwrap();
    let told = operator
        .list_tasks(None, &TaskList::default())
        .await
        .unwrap();
    let found: BTreeSet<_> = told
        .tasks
        .iter()
        .map(|one| {
            let tenant = one.tenant_id.as_ref().map(ToString::to_string);
            (tenant.unwrap_or_default(), one.title.as_str())
        })
        .collect();
    let wanted = [
        ("acme-corp".to_owned(), ACME),
        ("globex-corp".to_owned(), "Roll out"),
    ];
    assert_eq!(found, BTreeSet::from(wanted));
    let one = operator
        .list_missions(
            Some(&"globex-corp".parse().unwrap()),
            &MissionList::default(),
        )
        .await
        .unwrap();
    let found: Vec<_> = one.missions.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(found, [GLOBEX]);
}
