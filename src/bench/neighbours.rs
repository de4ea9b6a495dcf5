//! One tenant's sends and checks while another tenant of the same shard floods it, beside the same
//! in peace. Owns these turns.

use super::Bench;
use super::checks::{check, warm_up};
use super::plan::CHECK_LIMIT;
use super::samples::{Latencies, Until, keep_in_flight};
use super::sends::{send, send_one, senders};
use super::stage::Agent;
use crate::deployment::nats_config::Durability;

/// Sends of the flooding tenant that are open at once.
const FLOOD_IN_FLIGHT: usize = 512;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("neighbours", 2 * plan.rounds);
    let deployment = bench
        .deployment(Durability::PowerSafe, "neighbours")
        .await?;
    let hostile = deployment.tenant("hostile").await?;
    let flooders = senders(&deployment, &hostile).await?;
    let quiet = deployment.tenant("quiet").await?;
    let sender = deployment.agent(&quiet, "sender", "one").await?;
    deployment.agent(&quiet, "sink", "one").await?;
    let reader = deployment.agent(&quiet, "reader", "one").await?;
    for _ in 0..CHECK_LIMIT {
        send_one(&sender, "reader").await?;
    }
    warm_up(&reader, CHECK_LIMIT).await?;
    let (mut idle, mut flooded) = <(Turn, Turn)>::default();
    for _ in 0..plan.rounds {
        bench.progress.says("in peace");
        idle.extend(&turn(&sender, &reader, Until::Elapsed(plan.turn)).await?);
        bench.progress.step();
        bench.progress.says("while the other tenant floods");
        let flood = send(
            &flooders,
            "sink",
            FLOOD_IN_FLIGHT,
            Until::Elapsed(plan.turn),
        );
        let (_, turn) = tokio::try_join!(flood, turn(&sender, &reader, Until::Elapsed(plan.turn)))?;
        flooded.extend(&turn);
        bench.progress.step();
    }
    bench.add_latencies("neighbour's send, idle", &idle.sends, None);
    let name = "neighbour's send, other tenant floods";
    bench.add_latencies(name, &flooded.sends, Some(&idle.sends));
    bench.add_latencies("neighbour's check, idle", &idle.checks, None);
    let name = "neighbour's check, other tenant floods";
    bench.add_latencies(name, &flooded.checks, Some(&idle.checks));
    bench.explain("neighbours: the same while the other tenant is silent");
    deployment.stop().await
}

/// What the quiet tenant sees.
#[derive(Debug, Default)]
struct Turn {
    sends: Latencies,
    checks: Latencies,
}

impl Turn {
    fn extend(&mut self, other: &Self) {
        self.sends.extend(&other.sends);
        self.checks.extend(&other.checks);
    }
}

async fn turn(sender: &Agent, reader: &Agent, until: Until) -> anyhow::Result<Turn> {
    let sends = keep_in_flight(1, until, || async {
        send_one(sender, "sink").await?;
        Ok(())
    });
    let checks = keep_in_flight(1, until, || async {
        check(reader, CHECK_LIMIT).await?;
        Ok(())
    });
    let (sends, checks) = tokio::try_join!(sends, checks)?;
    Ok(Turn {
        sends: sends.latencies,
        checks: checks.latencies,
    })
}
