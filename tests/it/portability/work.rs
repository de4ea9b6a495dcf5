//! Tasks and missions move in several parts. What would follow from half of a history waits for the rest of it, and what has
//! followed from it all the same is taken for what the history goes on to tell.

use super::history::told;
use super::{export, file, history, import, lines};
use crate::harness::{Deployment, eventually, log};
use postroad_client::{
    Check, Client, MissionList, MissionUpdate, NewMission, NewTask, ReplayOf, TaskList,
};
use postroad_protocol::portable::{Header, PortableEvent, Scribe};
use postroad_protocol::task::{Assignee, MissionId, MissionStatus, TaskId, TaskStatus};
use postroad_protocol::{CommandId, Role, TimeMs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Long enough that what comes after the claim is stored before it runs out.
const LEASE: Duration = Duration::from_secs(6);
const SHORTEST: Duration = Duration::from_secs(1);
const YEAR_MS: u64 = 365 * 24 * 3_600_000;

/// What there is to do in a tenant.
struct Work {
    mission: MissionId,
    /// All of it.
    tasks: Vec<TaskId>,
    /// What another waits for.
    first: TaskId,
    /// What waits for it, bob's.
    waiting: TaskId,
    /// What was claimed under a lease that ran out.
    left: TaskId,
}

fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

async fn create(client: &Client, task: NewTask) -> TaskId {
    client.create_task(&task).await.unwrap().task_id
}

/// How often the log of a tenant tells of each thing that may follow by itself, by the task that it is about.
async fn followed(operator: &Client, tenant: &str, work: &Work) -> (usize, usize) {
    let of = ReplayOf::Tenant(tenant.parse().unwrap());
    let events = log::events(operator, of, 1).await;
    let (left, waiting) = (work.left.to_string(), work.waiting.to_string());
    let expired = |data: &Value| data["change"] == "lease_expired" && data["taskId"] == left;
    let told = |data: &Value| data["metadata"]["taskId"] == waiting;
    (
        events.iter().filter(|event| expired(&event.data)).count(),
        events.iter().filter(|event| told(&event.data)).count(),
    )
}

/// A tenant with missions and tasks: one that was told of, one whose claim ran out, and some that ended.
async fn live(deployment: &Deployment) -> Work {
    deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    let bob = deployment.agent("acme", "bob", "b").await;
    let mission = NewMission::new("Landing page").pilot(&role("alice"));
    let mission = alice.create_mission(&mission).await.unwrap().mission_id;
    let bobs = Assignee {
        role: role("bob"),
        instance: None,
    };
    let first = create(&alice, NewTask::new("Migrate the nav").mission(mission)).await;
    let waiting = NewTask::new("Review the nav")
        .assigned_to(bobs)
        .depends_on(first)
        .mission(mission);
    let waiting = create(&alice, waiting).await;
    let left = create(&alice, NewTask::new("Left behind").note("for whoever")).await;
    let failed = create(&bob, NewTask::new("Find an image").mission(mission)).await;
    bob.claim_task(failed, None).await.unwrap();
    bob.fail_task(failed, "it has no licence").await.unwrap();
    let cancelled = create(&bob, NewTask::new("Print it").tag("paper")).await;
    bob.cancel_task(cancelled, "not wanted").await.unwrap();
    alice.claim_task(first, None).await.unwrap();
    bob.claim_task(left, Some(LEASE)).await.unwrap();
    alice.complete_task(first, Some("PR 47")).await.unwrap();
    let work = Work {
        mission,
        tasks: vec![first, waiting, left, failed, cancelled],
        first,
        waiting,
        left,
    };
    let operator = deployment.operator().await;
    eventually("what follows has followed", async || {
        followed(&operator, "acme", &work).await == (1, 1)
    })
    .await;
    alice.claim_task(left, None).await.unwrap();
    alice.complete_task(left, None).await.unwrap();
    let update = MissionUpdate::new(mission).status(MissionStatus::Execute);
    alice.update_mission(&update).await.unwrap();
    work
}

/// The events of an export.
fn events(text: &str) -> Vec<PortableEvent> {
    let is_event = |line: &Value| line.get("type").is_some();
    let events = lines(text).into_iter().filter(is_event);
    events
        .map(|line| serde_json::from_value(line).expect("an event"))
        .collect()
}

/// The same history, as long ago as histories are that are brought in.
fn aged(text: &str) -> String {
    let header = text.lines().next().expect("a header");
    let header: Header = serde_json::from_str(header).expect("a header");
    let mut scribe = Scribe::default();
    let mut aged = scribe.header(&header);
    for mut event in events(text) {
        event.time = TimeMs(event.time.0 - YEAR_MS);
        aged += &scribe.event(&event);
    }
    aged + &scribe.end().0
}

/// The events up to the one that completes what another waits for: the claim runs and nobody was told.
fn first_part(text: &str, work: &Work) -> Vec<PortableEvent> {
    let mut part = events(text);
    let of_first = |event: &PortableEvent| {
        event.data["taskId"] == work.first.to_string() && event.data["change"] == "completed"
    };
    let end = part.iter().position(of_first).expect("it is completed");
    part.truncate(end + 1);
    part.retain(|event| event.type_name != "tenant_created");
    let has_followed = |event: &PortableEvent| {
        event.data["change"] == "lease_expired" || event.data["from"]["role"] == "_postroad"
    };
    assert!(!part.iter().any(has_followed), "the lease was too short");
    part
}

/// Stores the first part of a history, as an import that was interrupted then.
async fn import_part(operator: &Client, tenant: &str, part: Vec<PortableEvent>) {
    let (tenant, import) = (tenant.parse().unwrap(), CommandId::generate());
    let operator = operator.operator().unwrap();
    let imported = operator.import_events(&tenant, import, None, part);
    imported.await.unwrap();
}

/// What alice sees of the work and bob of his mail, but for when events happened.
async fn seen(deployment: &Deployment, tenant: &str, work: &Work) -> Vec<Value> {
    let alice = deployment.agent(tenant, "alice", "a").await;
    let bob = deployment.agent(tenant, "bob", "b").await;
    let mut seen = Vec::new();
    for task in &work.tasks {
        seen.push(told(alice.get_task(*task).await.unwrap()));
    }
    seen.push(told(alice.get_mission(work.mission).await.unwrap()));
    let (tasks, missions) = (TaskList::default(), MissionList::default());
    seen.push(told(alice.list_tasks(&tasks).await.unwrap()));
    seen.push(told(alice.list_missions(&missions).await.unwrap()));
    seen.push(told(bob.check(&Check::default()).await.unwrap()));
    for value in &mut seen {
        without_times(value, tenant);
    }
    seen
}

/// Takes away when events happened, and whose studio it is.
fn without_times(value: &mut Value, tenant: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove("updatedAt");
            fields.remove("sentAt");
            for value in fields.values_mut() {
                without_times(value, tenant);
            }
        }
        Value::Array(items) => {
            for value in items {
                without_times(value, tenant);
            }
        }
        Value::String(text) if *text == format!("studio/{tenant}") => *text = "the studio".into(),
        _ => {}
    }
}

/// How often an export holds each event, by its id and its data.
fn counted(text: &str) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for line in history(&lines(text)) {
        let event = format!("{} {}", line["id"], line["data"]);
        *counted.entry(event).or_default() += 1;
    }
    counted
}

/// Has a lease that was begun now run out: whoever reacts has reacted to what was due before, too.
async fn see_another_run_out(deployment: &Deployment, tenant: &str) {
    let alice = deployment.agent(tenant, "alice", "a").await;
    let task = create(&alice, NewTask::new("Another")).await;
    alice.claim_task(task, Some(SHORTEST)).await.unwrap();
    eventually("it is given back", async || {
        alice.get_task(task).await.unwrap().task.status == TaskStatus::Todo
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_moves_in_parts_is_the_same_and_nothing_follows_from_it_twice() {
    let old = Deployment::start();
    let work = live(&old).await;
    let text = export(&old, "acme");
    let long_ago = aged(&text);
    let new = Deployment::start();
    let operator = new.operator().await;
    // Of these two the first is a history of long ago, the second one of just now.
    for (tenant, text) in [("aged", &long_ago), ("fresh", &text)] {
        new.tenant(tenant).await;
        import_part(&operator, tenant, first_part(text, &work)).await;
    }
    eventually("it follows from what happened just now", async || {
        followed(&operator, "fresh", &work).await == (1, 1)
    })
    .await;
    // Its lease ended long ago as well, and was there to be seen before.
    assert_eq!(followed(&operator, "aged", &work).await, (0, 0));

    let before = seen(&old, "acme", &work).await;
    for (tenant, text, there) in [("aged", &long_ago, 0), ("fresh", &text, 2)] {
        let path = file(&new, &format!("{tenant}.ndjson"), text);
        let done = import(&new, &path, &["--tenant", tenant]).expect(0).json();
        let skipped = first_part(text, &work).len() as u64 + there;
        assert_eq!(done["skipped"], skipped, "{tenant}: {done}");
        let stored = export(&new, tenant);
        assert_eq!(counted(&stored), counted(text), "{tenant}");
        if there == 0 {
            assert_eq!(history(&lines(&stored)), history(&lines(text)));
        }
        assert_eq!(seen(&new, tenant, &work).await, before, "{tenant}");
        see_another_run_out(&new, tenant).await;
        assert_eq!(followed(&operator, tenant, &work).await, (1, 1), "{tenant}");
        let again = import(&new, &path, &["--tenant", tenant]).expect(0).json();
        assert_eq!(again["imported"], 0, "{tenant}: {again}");
    }
}
