//! 64 agents claim 1,000 tasks while brokers are killed under them: every task is claimed once, none is lost, and the log tells
//! of each how it came to be as it is.

use crate::harness::fleet::Fleet;
use crate::harness::{self, DEADLINE, log};
use postroad_client::{Advice, Client, ClientError, NewTask, ReplayOf, TaskList};
use postroad_protocol::ErrorCode;
use postroad_protocol::query::{ReplayedEvent, Task};
use postroad_protocol::task::{Assignee, TaskId, TaskStatus};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const AGENTS: usize = 64;
const TASKS: usize = 1_000;
/// Tasks that are asked for at once: every agent looks at the same ones, so that they race.
const PAGE: u32 = 32;
/// Brokers that are killed at least.
const KILLS: usize = 6;

fn worker() -> Assignee {
    Assignee {
        role: "worker".parse().expect("a role"),
        instance: None,
    }
}

/// What a call came to; nothing where it is to be repeated.
fn settled<T>(since: Instant, told: Result<T, ClientError>) -> Option<Result<T, ClientError>> {
    match told {
        Err(error) if matches!(error.advice(), Advice::Retry { .. }) && !is_lost(&error) => {
            assert!(
                since.elapsed() < DEADLINE,
                "it is never answered: {error:?}"
            );
            None
        }
        told => Some(told),
    }
}

/// Somebody else has it.
fn is_lost(error: &ClientError) -> bool {
    error
        .refusal()
        .is_some_and(|refusal| refusal.code == ErrorCode::Conflict)
}

async fn create(client: &Client, count: usize) -> Vec<TaskId> {
    let mut made = Vec::new();
    for number in 0..count {
        let task = NewTask::new(format!("task {number}")).assigned_to(worker());
        let start = Instant::now();
        let saved = loop {
            if let Some(saved) = settled(start, client.create_task(&task).await) {
                break saved;
            }
        };
        made.push(saved.expect("it is created").task_id);
    }
    made
}

/// Claims what is ready until nothing is; what was won, and what the losses were told.
async fn work(
    client: Client,
    seed: u64,
    stop: Arc<AtomicBool>,
    won: Arc<AtomicUsize>,
) -> (Vec<TaskId>, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut own, mut losses) = (Vec::new(), 0);
    let wanted = TaskList::default().ready().limit(PAGE);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let Some(listed) = settled(start, client.list_tasks(&wanted).await) else {
            continue;
        };
        let listed = listed.expect("a list").tasks;
        let Some(task) = listed.choose(&mut random) else {
            if won.load(Ordering::Relaxed) >= TASKS {
                return (own, losses);
            }
            continue;
        };
        let claim = postroad_client::TaskStep::new(task.task_id);
        let claimed = loop {
            let told = client.claim_task(claim, None).await;
            if let Some(claimed) = settled(start, told) {
                break claimed;
            }
        };
        match claimed {
            // Rows that lag show it what it has already.
            Ok(saved) if saved.already => {}
            Ok(saved) => {
                assert_eq!(saved.status, TaskStatus::InProgress);
                own.push(task.task_id);
                won.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
                assert_eq!(refusal.code, ErrorCode::Conflict, "{refusal:?}");
                assert!(
                    refusal.message.contains("worker/w"),
                    "it tells who won: {refusal:?}"
                );
                losses += 1;
            }
        }
    }
    (own, losses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_agents_that_race_for_1000_tasks_each_gets_its_own_while_brokers_are_killed() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut fleet = Fleet::start(1, 2, 1);
    let tenant = fleet.tenant("acme", 0).await;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let instance = format!("w{number}");
        agents.push(fleet.agent_by_position("acme", "worker", &instance).await);
    }
    let mut creating = JoinSet::new();
    for agent in agents.iter().take(20) {
        let agent = agent.clone();
        creating.spawn(async move { create(&agent, TASKS / 20).await });
    }
    let created: BTreeSet<TaskId> = creating.join_all().await.into_iter().flatten().collect();
    assert_eq!(created.len(), TASKS);

    let (stop, won) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut working = JoinSet::new();
    for agent in &agents {
        let (agent, stop, won) = (agent.clone(), Arc::clone(&stop), Arc::clone(&won));
        working.spawn(work(agent, random.random(), stop, won));
    }
    let (start, mut hits) = (Instant::now(), 0);
    while won.load(Ordering::Relaxed) < TASKS && start.elapsed() < DEADLINE {
        // The instant of a kill is the random part of this test, so it does pause.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..300))).await;
        let mut order = [0, 1];
        order.shuffle(&mut random);
        for index in order.into_iter().take(random.random_range(1..=2)) {
            if let Some(mut broker) = fleet.brokers[index].take() {
                hits += usize::from(!broker.has_ended());
                broker.kill();
            }
        }
        fleet.revive();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(
        hits >= KILLS.min(won.load(Ordering::Relaxed)),
        "{hits} kills hit"
    );
    let mut winners: BTreeMap<TaskId, usize> = BTreeMap::new();
    let mut losses = 0;
    for (won, lost) in working.join_all().await {
        losses += lost;
        for task in won {
            *winners.entry(task).or_default() += 1;
        }
    }
    println!("{hits} kills hit, {losses} claims were lost to others");
    assert!(
        winners.values().all(|count| *count == 1),
        "a task was won twice"
    );
    assert_eq!(winners.len(), TASKS, "every task was won");
    assert!(losses > 0, "nobody raced");
    let operator = fleet.operator().await;
    let events = log::events(&operator, ReplayOf::Tenant(tenant), 1).await;
    balance(&agents[0], &created, &events).await;
}

/// What the rows show of every task is what its last event says, and one event claimed it.
async fn balance(agent: &Client, created: &BTreeSet<TaskId>, events: &[ReplayedEvent]) {
    let mut by_task: BTreeMap<TaskId, Vec<&ReplayedEvent>> = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.type_name == "task_changed")
    {
        let id = event.data["taskId"].as_str().and_then(TaskId::parse);
        by_task.entry(id.expect("an id")).or_default().push(event);
    }
    let known: BTreeSet<TaskId> = by_task.keys().copied().collect();
    assert_eq!(
        known, *created,
        "the log holds the tasks that were acknowledged, and no other"
    );
    for (id, history) in by_task {
        let changes: Vec<_> = history.iter().map(|event| &event.data["change"]).collect();
        assert_eq!(changes, ["created", "claimed"], "{id}");
        let task: Task = agent.get_task(id).await.expect("it is there").task;
        let last = &history[1].data["state"];
        assert_eq!(task.version, 2, "{task:?}");
        assert_eq!(last["version"], 2, "{last}");
        let claimant = format!(
            "{}/{}",
            task.claimed_by.expect("a claimant"),
            task.claimed_by_instance_id.expect("its instance")
        );
        assert_eq!(history[1].by, claimant);
    }
}
