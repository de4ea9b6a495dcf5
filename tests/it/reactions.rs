//! What follows from tasks by itself: a claim whose lease runs out ends, and who waits for other tasks is told when they are
//! done. Exactly once, whatever is killed meanwhile and however many projectors see it.

use crate::harness::fleet::Fleet;
use crate::harness::{Deployment, eventually, log};
use postroad_client::{Check, Client, NewTask, ReplayOf};
use postroad_protocol::query::Messages;
use postroad_protocol::task::{Assignee, TaskId, TaskPriority, TaskStatus};
use postroad_protocol::{Role, TimeMs};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);

/// What became of a task, in order, as the log has it.
async fn changes(operator: &Client, task: TaskId) -> Vec<String> {
    let of = ReplayOf::Tenant("acme".parse().unwrap());
    let events = log::events(operator, of, 1).await;
    let of_task = events.iter().filter(|event| {
        event.type_name == "task_changed" && event.data["taskId"] == task.to_string()
    });
    let change = |data: &serde_json::Value| data["change"].as_str().unwrap().to_owned();
    of_task.map(|event| change(&event.data)).collect()
}

/// How often the log holds that somebody was told that a task waits for nothing any more.
async fn told(operator: &Client, task: TaskId) -> usize {
    let of = ReplayOf::Tenant("acme".parse().unwrap());
    let events = log::events(operator, of, 1).await;
    let tells = events.iter().filter(|event| {
        event.type_name == "message_sent" && event.data["metadata"]["taskId"] == task.to_string()
    });
    tells.count()
}

async fn create(client: &Client, title: &str) -> TaskId {
    let created = client.create_task(&NewTask::new(title)).await;
    created.unwrap().task_id
}

/// A task for bob that waits for others.
async fn create_waiting(client: &Client, title: &str, blockers: &[TaskId]) -> TaskId {
    let bob = Assignee {
        role: Role::parse("bob").unwrap(),
        instance: None,
    };
    let task = NewTask::new(title).assigned_to(bob);
    let task = blockers
        .iter()
        .fold(task, |task, blocker| task.depends_on(*blocker));
    client.create_task(&task).await.unwrap().task_id
}

async fn finish(client: &Client, task: TaskId) {
    client.claim_task(task, None).await.unwrap();
    client.complete_task(task, None).await.unwrap();
}

async fn status(client: &Client, task: TaskId) -> TaskStatus {
    client.get_task(task).await.unwrap().task.status
}

async fn given_back(client: &Client, task: TaskId) {
    eventually("the task is given back", async || {
        status(client, task).await == TaskStatus::Todo
    })
    .await;
    let task = client.get_task(task).await.unwrap().task;
    assert_eq!((task.claimed_by, task.lease_until), (None, None));
}

async fn run_out(lease: TimeMs) {
    eventually("the lease runs out", async || TimeMs::now() > lease).await;
}

/// Has a lease that was begun now run out: whoever reacts has reacted to what was due before, too.
async fn see_another_run_out(client: &Client) {
    let task = create(client, "Another").await;
    client.claim_task(task, Some(SHORTEST)).await.unwrap();
    given_back(client, task).await;
}

async fn inbox(client: &Client) -> Messages {
    client.check(&Check::default()).await.unwrap()
}

/// Waits until so many messages are there.
async fn inbox_of(client: &Client, count: usize) -> Messages {
    eventually("the message is there", async || {
        inbox(client).await.messages.len() >= count
    })
    .await;
    let inbox = inbox(client).await;
    assert_eq!(inbox.messages.len(), count, "{:?}", inbox.messages);
    inbox
}

/// Two projectors over one shard, and agents.
async fn fleet(projectors: usize) -> (Fleet, Client, Client, Client) {
    let fleet = Fleet::start(1, 1, projectors);
    fleet.tenant("acme", 0).await;
    let alice = fleet.agent("acme", "alice", "a").await;
    let bob = fleet.agent("acme", "bob", "b").await;
    let operator = fleet.operator().await;
    (fleet, operator, alice, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_lease_runs_out_is_given_back_once_and_another_agent_has_it() {
    let (_fleet, operator, alice, bob) = fleet(2).await;
    let task = create(&alice, "Left behind").await;
    let claimed = bob.claim_task(task, Some(SHORTEST)).await.unwrap();
    given_back(&alice, task).await;
    assert!(TimeMs::now() > claimed.lease_until.unwrap());
    alice.claim_task(task, None).await.unwrap();
    see_another_run_out(&bob).await;
    assert_eq!(
        changes(&operator, task).await,
        ["created", "claimed", "lease_expired", "claimed"]
    );
    let held = alice.get_task(task).await.unwrap().task;
    assert_eq!(held.claimed_by, Some(Role::parse("alice").unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_lease_is_not_taken_back_and_runs_out_when_it_is_renewed_no_more() {
    let (_fleet, operator, alice, bob) = fleet(2).await;
    let task = create(&alice, "Long work").await;
    let lease = 3 * SHORTEST;
    let first = bob.claim_task(task, Some(lease)).await.unwrap();
    // Well beyond the first lease.
    let end = TimeMs(first.lease_until.unwrap().0 + 2_000);
    let mut renewed = 0;
    eventually("it was renewed for long", async || {
        bob.claim_task(task, Some(lease)).await.unwrap();
        renewed += 1;
        TimeMs::now() > end
    })
    .await;
    assert_eq!(status(&alice, task).await, TaskStatus::InProgress);
    let so_far = changes(&operator, task).await;
    assert!(!so_far.contains(&"lease_expired".to_owned()), "{so_far:?}");
    given_back(&alice, task).await;
    see_another_run_out(&bob).await;
    let all = changes(&operator, task).await;
    assert_eq!(all.len(), 2 + renewed + 1);
    assert_eq!(all.last().unwrap(), "lease_expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_runs_out_while_no_projector_is_there_ends_once_one_is() {
    let (mut fleet, operator, alice, bob) = fleet(2).await;
    let task = create(&alice, "Left behind").await;
    let claimed = bob.claim_task(task, Some(5 * SHORTEST)).await.unwrap();
    let lease = claimed.lease_until.unwrap();
    for projector in &mut fleet.projectors {
        projector.take().unwrap().kill();
    }
    assert!(TimeMs::now() < lease, "it runs still");
    run_out(lease).await;
    fleet.start_projector(0);
    fleet.start_projector(1);
    given_back(&alice, task).await;
    see_another_run_out(&bob).await;
    assert_eq!(
        changes(&operator, task).await,
        ["created", "claimed", "lease_expired"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_runs_out_while_no_broker_is_there_ends_once_one_is() {
    let (mut fleet, operator, alice, bob) = fleet(2).await;
    let task = create(&alice, "Left behind").await;
    let claimed = bob.claim_task(task, Some(2 * SHORTEST)).await.unwrap();
    fleet.brokers[0].take().unwrap().kill();
    run_out(claimed.lease_until.unwrap()).await;
    assert_eq!(status(&alice, task).await, TaskStatus::InProgress);
    fleet.start_broker(0);
    given_back(&alice, task).await;
    see_another_run_out(&bob).await;
    assert_eq!(
        changes(&operator, task).await,
        ["created", "claimed", "lease_expired"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_told_once_when_the_last_of_two_blockers_is_done() {
    let (mut fleet, operator, alice, bob) = fleet(2).await;
    let one = create(&alice, "One").await;
    let two = create(&alice, "Two").await;
    let waiting = create_waiting(&alice, "After both", &[one, two]).await;
    let unassigned = NewTask::new("Nobody's").depends_on(one).depends_on(two);
    let unassigned = alice.create_task(&unassigned).await.unwrap().task_id;
    finish(&alice, one).await;
    let counted = inbox(&bob).await;
    let tasks = counted.tasks.expect("there is work");
    assert_eq!((tasks.ready, tasks.waiting), (0, 1));
    assert!(counted.messages.is_empty());
    finish(&alice, two).await;
    let mail = inbox_of(&bob, 1).await;
    let message = &mail.messages[0];
    assert_eq!(message.from.as_str(), "_postroad");
    let content = format!("Task ready: After both ({waiting}). Everything it waited for is done.");
    assert_eq!(message.content, content);
    assert_eq!(message.metadata["taskId"], waiting.to_string());
    assert_eq!(message.priority, TaskPriority::Medium.of_message());
    let tasks = mail.tasks.expect("there is work");
    assert_eq!((tasks.ready, tasks.waiting), (1, 0));
    // Nor again when everything is started anew.
    fleet.restart_parts();
    let three = create(&alice, "Three").await;
    let later = create_waiting(&alice, "After the third", &[three]).await;
    finish(&alice, three).await;
    inbox_of(&bob, 2).await;
    for (task, times) in [(waiting, 1), (later, 1), (unassigned, 0)] {
        assert_eq!(told(&operator, task).await, times, "{task}");
    }
    let ready = alice.get_task(unassigned).await.unwrap().task;
    assert!(ready.ready && ready.waiting_on.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_told_once_although_no_projector_was_there_when_the_last_blocker_was_done()
{
    let (mut fleet, operator, alice, bob) = fleet(2).await;
    let blocker = create(&alice, "First").await;
    let waiting = create_waiting(&alice, "After it", &[blocker]).await;
    alice.claim_task(blocker, None).await.unwrap();
    for projector in &mut fleet.projectors {
        projector.take().unwrap().kill();
    }
    alice.complete_task(blocker, None).await.unwrap();
    fleet.start_projector(0);
    fleet.start_projector(1);
    inbox_of(&bob, 1).await;
    see_another_run_out(&bob).await;
    assert_eq!(told(&operator, waiting).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_folded_anew_tell_nobody_again_and_go_on_telling() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    let bob = deployment.agent("acme", "bob", "b").await;
    let operator = deployment.operator().await;
    let (one, two) = (create(&alice, "One").await, create(&alice, "Two").await);
    let told_before = create_waiting(&alice, "After one", &[one]).await;
    let told_after = create_waiting(&alice, "After two", &[two]).await;
    let left = create(&alice, "Left behind").await;
    finish(&alice, one).await;
    inbox_of(&bob, 1).await;
    let lease = bob.claim_task(left, Some(2 * SHORTEST)).await.unwrap();
    let rows = deployment.path().join("rows/shard-0.redb");
    let inode = || std::fs::metadata(&rows).unwrap().ino();
    let old = inode();
    deployment.run(&["--json", "rebuild"]).expect(0);
    eventually("the rows are others", async || inode() != old).await;
    run_out(lease.lease_until.unwrap()).await;
    given_back(&alice, left).await;
    finish(&alice, two).await;
    inbox_of(&bob, 2).await;
    see_another_run_out(&bob).await;
    assert_eq!(told(&operator, told_before).await, 1);
    assert_eq!(told(&operator, told_after).await, 1);
    assert_eq!(
        changes(&operator, left).await,
        ["created", "claimed", "lease_expired"]
    );
}
