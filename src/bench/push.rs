//! From a send to the push that announces it, beside a publish that is acknowledged and then rung
//! for by hand. Owns these turns.

use super::Bench;
use super::plain::hear;
use super::samples::Latencies;
use super::sends::{name_of, send_one};
use super::stage::{Agent, Deployment};
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use bytes::Bytes;
use postroad_protocol::subject::{RequestKind, inbox_prefix};
use postroad_protocol::{Role, Subjects, TenantId};
use std::time::Instant;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        under(bench, durability).await?;
    }
    bench.explain("send to push: a raw publish, acknowledged, then a core message that is heard");
    bench.explain("send to subscription: the same; here the message itself arrives, in order");
    Ok(())
}

async fn under(bench: &mut Bench, durability: Durability) -> anyhow::Result<()> {
    let plan = bench.plan;
    let name = name_of(durability);
    bench
        .progress
        .group(&format!("push, {name}"), 3 * plan.rounds);
    let nats = bench.plain(durability, "push").await?;
    let deployment = bench.deployment(durability, "push").await?;
    let tenant = deployment.tenant("bench").await?;
    let sender = deployment.agent(&tenant, "sender", "one").await?;
    let hearer = deployment.agent(&tenant, "hearer", "one").await?;
    let reader = deployment.agent(&tenant, "reader", "one").await?;
    let (mut raw, mut pushed, mut yielded) = <(Latencies, Latencies, Latencies)>::default();
    for _ in 0..plan.rounds {
        bench.progress.says("raw publishes and bells");
        raw.extend(&nats.publishes_and_bells(plan.pushes).await?);
        bench.progress.step();
        bench.progress.says("sends and their push");
        pushed.extend(&pushes(&deployment, &tenant, &sender, &hearer, plan.pushes).await?);
        bench.progress.step();
        bench.progress.says("sends and their subscriber");
        yielded.extend(&yields(&sender, &reader, plan.pushes).await?);
        bench.progress.step();
    }
    bench.add_latencies(&format!("send to push, {name}"), &pushed, Some(&raw));
    bench.add_latencies(
        &format!("send to subscription, {name}"),
        &yielded,
        Some(&raw),
    );
    deployment.stop().await?;
    nats.stop().await
}

/// What any NATS client with the hearer's credential hears of each send.
async fn pushes(
    deployment: &Deployment,
    tenant: &TenantId,
    sender: &Agent,
    hearer: &Agent,
    count: usize,
) -> anyhow::Result<Latencies> {
    let (subjects, tenant_token) = (Subjects::default(), tenant.as_str());
    let nats = async_nats::ConnectOptions::with_credentials(&hearer.creds)?
        .custom_inbox_prefix(inbox_prefix(tenant_token, "hearer", "one"))
        .connect(deployment.url())
        .await?;
    let mut hints = nats
        .subscribe(subjects.push_role(tenant, &Role::parse("hearer")?))
        .await?;
    // An answer on this connection proves that the server has taken the subscription before it.
    let whoami = subjects.request(
        RequestKind::Query,
        tenant_token,
        "hearer",
        "one",
        "self",
        "whoami",
    );
    nats.request(whoami, Bytes::new()).await?;
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let started = Instant::now();
        let heard = async {
            hear(&mut hints).await?;
            anyhow::Ok(started.elapsed())
        };
        let (took, _) = tokio::try_join!(heard, send_one(sender, "hearer"))?;
        latencies.push(took);
    }
    Ok(latencies)
}

/// What `Client::subscribe` yields of each send.
async fn yields(sender: &Agent, reader: &Agent, count: usize) -> anyhow::Result<Latencies> {
    let mut mail = reader.client.subscribe().await?;
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let started = Instant::now();
        let arrived = async {
            let message = mail.next().await.context("the subscription ended")??;
            anyhow::Ok((started.elapsed(), message))
        };
        let ((took, message), sent) = tokio::try_join!(arrived, send_one(sender, "reader"))?;
        anyhow::ensure!(
            message.message_id == sent,
            "another message than the one that was sent arrived"
        );
        mail.ack(&message).await?;
        latencies.push(took);
    }
    Ok(latencies)
}
