//! Sends beside raw JetStream publishes: the same window, the same sync, in turns. Owns these turns.

use super::Bench;
use super::figure::{Figure, Must};
use super::plan::{CONTENT_BYTES, IN_FLIGHT, SENDERS};
use super::samples::{Load, Turns, Until, keep_in_flight, together};
use super::stage::{Agent, Deployment};
use crate::deployment::nats_config::Durability;
use clap::ValueEnum as _;
use postroad_client::Draft;
use postroad_protocol::MessageId;
use postroad_protocol::TenantId;

/// Durable sends with the most in flight, in raw publishes under the same sync: gathering commands
/// into batches is what the broker is for.
const DURABLE_CEILINGS: f64 = 3.0;
/// Requests of the figure of bare NATS.
const REQUESTS: usize = 1_000;
/// Bytes of a bare answer; about what a send is answered.
const ANSWER_BYTES: usize = 128;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        under(bench, durability).await?;
    }
    bench.explain(
        "sends: raw JetStream publishes of 512 bytes with a Nats-Msg-Id, same sync and window, one connection",
    );
    Ok(())
}

async fn under(bench: &mut Bench, durability: Durability) -> anyhow::Result<()> {
    let plan = bench.plan;
    let name = name_of(durability);
    let group = format!("sends, {name}");
    bench
        .progress
        .group(&group, 2 * plan.rounds * IN_FLIGHT.len());
    let nats = bench.plain(durability, "sends").await?;
    let deployment = bench.deployment(durability, "sends").await?;
    let tenant = deployment.tenant("bench").await?;
    let senders = senders(&deployment, &tenant).await?;
    for in_flight in IN_FLIGHT {
        let (mut sent, mut raw) = (Turns::default(), Turns::default());
        for _ in 0..plan.rounds {
            bench
                .progress
                .says(format!("raw publishes, {in_flight} in flight"));
            raw.add(&nats.publishes(in_flight, Until::Elapsed(plan.turn)).await?);
            bench.progress.step();
            bench.progress.says(format!("sends, {in_flight} in flight"));
            sent.add(&send(&senders, "sink", in_flight, Until::Elapsed(plan.turn)).await?);
            bench.progress.step();
        }
        let figure = format!("sends, {name}, {in_flight} in flight");
        let figure = Figure::new(figure, sent.per_second(), "1/s").beside(raw.per_second());
        let is_widest = IN_FLIGHT.iter().max() == Some(&in_flight);
        bench.add(if is_widest && durability == Durability::PowerSafe {
            figure.must(&Must::CeilingTimes(DURABLE_CEILINGS))
        } else {
            figure
        });
        if in_flight == 1 {
            bench.add_latencies(
                &format!("send, {name}"),
                &sent.latencies,
                Some(&raw.latencies),
            );
        }
    }
    if durability == Durability::PowerSafe {
        let requests = nats.requests(ANSWER_BYTES, REQUESTS).await?;
        bench.add_latencies("bare core request and reply", &requests, None);
    }
    deployment.stop().await?;
    nats.stop().await
}

/// The name of a durability, as `up` takes it.
pub(super) fn name_of(durability: Durability) -> String {
    let value = durability.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Agents that send, each over a connection of its own, and a role `sink` that never reads.
pub(super) async fn senders(
    deployment: &Deployment,
    tenant: &TenantId,
) -> anyhow::Result<Vec<Agent>> {
    deployment.agent(tenant, "sink", "one").await?;
    let mut senders = Vec::with_capacity(SENDERS);
    for number in 0..SENDERS {
        let role = format!("sender-{number}");
        senders.push(deployment.agent(tenant, &role, "one").await?);
    }
    Ok(senders)
}

/// Sends to `channel` with so many in flight in all, spread over as many senders as that takes.
pub(super) async fn send(
    senders: &[Agent],
    channel: &'static str,
    in_flight: usize,
    until: Until,
) -> anyhow::Result<Load> {
    let used = senders.len().min(in_flight);
    let each = in_flight / used;
    let until = match until {
        Until::Calls(calls) => Until::Calls(calls.div_ceil(used)),
        Until::Within(calls, time) => Until::Within(calls.div_ceil(used), time),
        elapsed @ Until::Elapsed(_) => elapsed,
    };
    together(senders[..used].iter().cloned().map(|sender| async move {
        keep_in_flight(each, until, || async {
            send_one(&sender, channel).await?;
            Ok(())
        })
        .await
    }))
    .await
}

/// Sends one message of the usual size.
pub(super) async fn send_one(sender: &Agent, channel: &str) -> anyhow::Result<MessageId> {
    let draft = Draft::new(channel, "x".repeat(CONTENT_BYTES));
    Ok(sender.client.send(&draft).await?.message_id)
}
