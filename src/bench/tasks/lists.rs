//! The same ten tasks listed where there are no others and among many, checks without tasks and beside many, and folding
//! those. Owns these turns.

use crate::bench::Bench;
use crate::bench::figure::{Figure, Must};
use crate::bench::projection::fold_log;
use crate::bench::rows::{self, Durable};
use crate::bench::samples::{Latencies, Until, keep_in_flight, median, together};
use crate::bench::sends::senders;
use crate::bench::stage::{Agent, Deployment};
use crate::deployment::nats_config::Durability;
use postroad_client::{Check, NewMission, NewTask, TaskList};
use postroad_protocol::body::Encoding;
use postroad_protocol::task::{Assignee, MissionId, TaskId, TaskPriority, TaskStatus};
use postroad_protocol::{Role, TenantId};
use std::time::{Duration, Instant};

/// Tasks that a list is to show.
const SHOWN: usize = 10;
/// What a list may cost more among many tasks, and a check beside them.
const LIST_COST: f64 = 2.0;
const CHECK_COST: f64 = 1.25;
/// Creates that are open at once while the many are made.
const FILL_IN_FLIGHT: usize = 256;
/// Calls before the first that counts.
const WARM_UP: usize = 20;
/// How long rows may take to come as far as the log, and how often that is looked at.
const SETTLE_WAIT: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A tenant in which the ten are.
struct World {
    /// Whose the ten are.
    reader: Agent,
    mission: MissionId,
    /// In the order in which they were made.
    ten: Vec<TaskId>,
}

/// Measures this part.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.plan.backlog;
    let deployment = bench.deployment(Durability::Fast, "task-lists").await?;
    let empty = deployment.tenant("empty").await?;
    let idle = deployment.agent(&empty, "idle", "one").await?;
    let few = world(&deployment, &deployment.tenant("few").await?).await?;
    let many = deployment.tenant("many").await?;
    let agents = senders(&deployment, &many).await?;
    let busy = deployment.agent(&many, "busy", "one").await?;
    fill(bench, &agents, count).await?;
    let many = world(&deployment, &many).await?;
    settle(&deployment).await?;
    listed(bench, &few, &many, count).await?;
    checked(bench, &idle, &busy, count).await?;
    fold(bench, &deployment).await?;
    deployment.stop().await
}

/// Makes the ten, which are the most urgent, in a mission of their own.
async fn world(deployment: &Deployment, tenant: &TenantId) -> anyhow::Result<World> {
    let reader = deployment.agent(tenant, "reader", "one").await?;
    let mission = reader
        .client
        .create_mission(&NewMission::new("Ten tasks"))
        .await?;
    let mission = mission.mission_id;
    let mut ten = Vec::with_capacity(SHOWN);
    for number in 0..SHOWN {
        let task = NewTask::new(format!("Of the ten, {number}"))
            .priority(TaskPriority::Urgent)
            .assigned_to(given_to("reader")?)
            .mission(mission);
        ten.push(reader.client.create_task(&task).await?.task_id);
    }
    Ok(World {
        reader,
        mission,
        ten,
    })
}

fn given_to(role: &str) -> anyhow::Result<Assignee> {
    Ok(Assignee {
        role: Role::parse(role)?,
        instance: None,
    })
}

/// Makes the many: of the other priorities, all of them somebody else's.
async fn fill(bench: &Bench, agents: &[Agent], count: usize) -> anyhow::Result<()> {
    bench.progress.count("tasks", count);
    let each = count.div_ceil(agents.len());
    let priorities = [TaskPriority::High, TaskPriority::Medium, TaskPriority::Low];
    let filling = agents.iter().cloned().zip(priorities.into_iter().cycle());
    let in_flight = FILL_IN_FLIGHT / agents.len();
    let filling = filling.map(|(agent, priority)| {
        let bar = bench.progress.clone();
        async move {
            keep_in_flight(in_flight, Until::Calls(each), || async {
                let task = NewTask::new("One of many").priority(priority);
                let task = task.assigned_to(given_to("busy")?);
                agent.client.create_task(&task).await?;
                bar.step();
                Ok(())
            })
            .await
        }
    });
    together(filling).await?;
    Ok(())
}

/// Waits until the rows have come as far as the log.
async fn settle(deployment: &Deployment) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        let status = deployment.operator()?.status().await?;
        if status.shards.iter().all(|shard| shard.applied == shard.end) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "the rows stay behind the log");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn listed(bench: &mut Bench, few: &World, many: &World, count: usize) -> anyhow::Result<()> {
    let plan = bench.plan;
    let limit = u32::try_from(SHOWN)?;
    let filters = |world: &World| -> anyhow::Result<[(&'static str, TaskList); 4]> {
        let all = || TaskList::default().limit(limit);
        let own = all().assigned_to(given_to("reader")?);
        Ok([
            ("of an assignee and a state", own.status(TaskStatus::Todo)),
            ("of a mission", all().mission(world.mission)),
            ("of a priority", all().priority(TaskPriority::Urgent)),
            ("of all", all()),
        ])
    };
    let pairs = filters(few)?.into_iter().zip(filters(many)?);
    let pairs: Vec<_> = pairs.collect();
    bench.progress.group("lists", 3 * plan.rounds * pairs.len());
    let nats = bench.plain(Durability::Fast, "task-lists").await?;
    for ((name, among_few), (_, among_many)) in pairs {
        let mut bytes = 0;
        for _ in 0..WARM_UP {
            bytes = list(few, &among_few).await?;
            list(many, &among_many).await?;
        }
        let (mut bare, mut of_few, mut of_many) = <(Latencies, Latencies, Latencies)>::default();
        for _ in 0..plan.rounds {
            bench.progress.says("bare requests");
            bare.extend(&nats.requests(bytes, plan.checks).await?);
            bench.progress.step();
            for (world, wanted, latencies) in [
                (few, &among_few, &mut of_few),
                (many, &among_many, &mut of_many),
            ] {
                bench.progress.says(format!("lists {name}"));
                let load = keep_in_flight(1, Until::Calls(plan.checks), || async {
                    list(world, wanted).await.map(drop)
                });
                latencies.extend(&load.await?.latencies);
                bench.progress.step();
            }
        }
        let alone = format!("list {name}, {SHOWN} tasks");
        bench.add_p95(&alone, &of_few, &bare, None);
        let among = format!("list {name}, {SHOWN} among {count}");
        let must = |other: f64, percentile: &str| Must::WithinTimes {
            times: LIST_COST,
            other,
            name: format!("{alone} {percentile}"),
        };
        let p50 = Figure::new(format!("{among} p50"), of_many.p50_ms(), "ms");
        bench.add(
            p50.beside(bare.p50_ms())
                .must(&must(of_few.p50_ms(), "p50")),
        );
        let p95 = Figure::new(format!("{among} p95"), of_many.p95_ms(), "ms");
        bench.add(
            p95.beside(bare.p95_ms())
                .must(&must(of_few.p95_ms(), "p95")),
        );
    }
    bench.explain("lists of tasks: bare requests, answered with as many bytes as ten tasks take");
    nats.stop().await
}

/// One list, which must show the ten in their order; the bytes of its answer.
async fn list(world: &World, wanted: &TaskList) -> anyhow::Result<usize> {
    let answer = world.reader.client.list_tasks(wanted).await?;
    let shown = answer.tasks.iter().map(|task| task.task_id);
    anyhow::ensure!(
        shown.eq(world.ten.iter().copied()),
        "a list showed {} tasks, not the ten",
        answer.tasks.len()
    );
    Ok(Encoding::MessagePack.encode(&answer).len())
}

async fn checked(
    bench: &mut Bench,
    idle: &Agent,
    busy: &Agent,
    count: usize,
) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("checks", 2 * plan.rounds);
    for _ in 0..WARM_UP {
        check(idle, 0).await?;
        check(busy, count).await?;
    }
    let (mut without, mut with) = <(Latencies, Latencies)>::default();
    for _ in 0..plan.rounds {
        for (agent, tasks, latencies) in [(idle, 0, &mut without), (busy, count, &mut with)] {
            bench.progress.says(format!("checks beside {tasks} tasks"));
            let load = keep_in_flight(1, Until::Calls(plan.checks), || check(agent, tasks));
            latencies.extend(&load.await?.latencies);
            bench.progress.step();
        }
    }
    let alone = "check without mail and tasks p50";
    bench.add(Figure::new(alone, without.p50_ms(), "ms"));
    let must = Must::WithinTimes {
        times: CHECK_COST,
        other: without.p50_ms(),
        name: alone.to_owned(),
    };
    let name = format!("check without mail, {count} tasks p50");
    let figure = Figure::new(name, with.p50_ms(), "ms").beside(without.p50_ms());
    bench.add(figure.must(&must));
    Ok(())
}

/// One check, which must count as many tasks that are ready.
async fn check(agent: &Agent, tasks: usize) -> anyhow::Result<()> {
    let answer = agent.client.check(&Check::default()).await?;
    let ready = answer.tasks.map_or(0, |counts| counts.ready);
    let expected = u64::try_from(tasks)?;
    anyhow::ensure!(
        ready >= expected,
        "a check counted {ready} of {expected} tasks"
    );
    Ok(())
}

/// Folds the log of tasks into new rows, in turns with raw writes of as many events.
async fn fold(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    let rounds = bench.plan.rounds;
    bench.progress.group("folding", 2 * rounds);
    let status = deployment.operator()?.status().await?;
    let events = status.shards.iter().map(|shard| shard.end).sum::<u64>();
    let events = usize::try_from(events)?;
    let (mut raw, mut folded) = <(Vec<f64>, Vec<f64>)>::default();
    for number in 0..rounds {
        bench.progress.says("raw writes of as many events");
        let path = bench.place(&format!("tasks-raw-{number}.redb"));
        let write = move || rows::write(&path, events, Durable::Always);
        raw.push(tokio::task::spawn_blocking(write).await??);
        bench.progress.step();
        bench.progress.says("a projector with no rows");
        let rows = bench.place(&format!("tasks-rows-{number}"));
        folded.push(fold_log(deployment.dir(), &rows, None, events).await?);
        bench.progress.step();
    }
    let name = format!("tasks folded, {events} behind");
    bench.add(Figure::new(name, median(&folded), "1/s").beside(median(&raw)));
    bench.explain("tasks folded: raw redb, three tables, as of projected events");
    Ok(())
}
