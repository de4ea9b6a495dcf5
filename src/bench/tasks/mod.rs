//! Tasks: creates and claims beside raw publishes, lists of few tasks among few and among many, checks beside many, and
//! folding them. Owns these turns.
//!
//! | module | owns |
//! |---|---|
//! | this | creates and claims |
//! | [`lists`] | what is read of them |

mod lists;

use super::Bench;
use super::figure::Figure;
use super::plain::Expecting;
use super::samples::{Load, Turns, Until, keep_in_flight, together};
use super::sends::senders;
use super::stage::Agent;
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use postroad_client::NewTask;
use postroad_protocol::task::TaskId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Commands in flight at once, one row of figures each.
const IN_FLIGHT: [usize; 3] = [1, 16, 64];

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    commands(bench).await?;
    lists::measure(bench).await?;
    bench.explain(
        "creates and claims: raw JetStream publishes of 512 bytes with a Nats-Msg-Id, each to a subject of its own, for claims \
         with the last sequence expected there; same sync and window, one connection",
    );
    Ok(())
}

/// Tasks that nobody has claimed.
type Unclaimed = Arc<Mutex<Vec<TaskId>>>;

/// Creates and claims, power-safe: what is claimed was made in the turn before. Turns are half of the usual: there are four kinds.
async fn commands(bench: &mut Bench) -> anyhow::Result<()> {
    let plan = bench.plan;
    let steps = 4 * plan.rounds * IN_FLIGHT.len();
    bench.progress.group("tasks", steps);
    let nats = bench.plain(Durability::PowerSafe, "tasks").await?;
    let deployment = bench.deployment(Durability::PowerSafe, "tasks").await?;
    let tenant = deployment.tenant("bench").await?;
    let agents = senders(&deployment, &tenant).await?;
    for in_flight in IN_FLIGHT {
        let mut turns = <[Turns; 4]>::default();
        let [created, created_raw, claimed, claimed_raw] = &mut turns;
        let turn = plan.turn / 2;
        let until = Until::Elapsed(turn);
        for _ in 0..plan.rounds {
            let tasks = Unclaimed::default();
            bench
                .progress
                .says(format!("creates, {in_flight} in flight"));
            created_raw.add(
                &nats
                    .publishes_apart(in_flight, until, Expecting::Nothing)
                    .await?,
            );
            bench.progress.step();
            created.add(&create(&agents, in_flight, until, &tasks).await?);
            bench.progress.step();
            bench
                .progress
                .says(format!("claims, {in_flight} in flight"));
            claimed_raw.add(
                &nats
                    .publishes_apart(in_flight, until, Expecting::Last)
                    .await?,
            );
            bench.progress.step();
            claimed.add(&claim(&agents, in_flight, turn, &tasks).await?);
            bench.progress.step();
        }
        let [created, created_raw, claimed, claimed_raw] = &turns;
        for (what, of, raw) in [
            ("creates of tasks", created, created_raw),
            ("claims of tasks", claimed, claimed_raw),
        ] {
            let name = format!("{what}, power-safe, {in_flight} in flight");
            bench.add(Figure::new(name, of.per_second(), "1/s").beside(raw.per_second()));
        }
    }
    deployment.stop().await?;
    nats.stop().await
}

async fn create(
    agents: &[Agent],
    in_flight: usize,
    until: Until,
    tasks: &Unclaimed,
) -> anyhow::Result<Load> {
    let used = agents.len().min(in_flight);
    let loads = agents[..used].iter().cloned().map(|agent| {
        let tasks = Arc::clone(tasks);
        async move {
            keep_in_flight(in_flight / used, until, || async {
                let saved = agent
                    .client
                    .create_task(&NewTask::new("One of many"))
                    .await?;
                let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
                tasks.push(saved.task_id);
                Ok(())
            })
            .await
        }
    });
    together(loads).await
}

async fn claim(
    agents: &[Agent],
    in_flight: usize,
    turn: Duration,
    tasks: &Unclaimed,
) -> anyhow::Result<Load> {
    let used = agents.len().min(in_flight);
    let count = tasks.lock().unwrap_or_else(PoisonError::into_inner).len();
    let until = Until::Within(count / used, turn);
    let loads = agents[..used].iter().cloned().map(|agent| {
        let tasks = Arc::clone(tasks);
        async move {
            keep_in_flight(in_flight / used, until, || async {
                let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let task = task.context("there are as many tasks as claims")?;
                agent.client.claim_task(task, None).await?;
                Ok(())
            })
            .await
        }
    });
    together(loads).await
}
