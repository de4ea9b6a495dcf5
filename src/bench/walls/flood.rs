//! Checks of one tenant while another sends ten times as many commands as it may, beside the same
//! checks in peace. The flooder is a plain NATS client: it heeds no refusal and waits for nobody.
//! Owns these turns.

use super::super::Bench;
use super::super::checks::{check, warm_up};
use super::super::figure::{Figure, Must};
use super::super::plan::{CHECK_LIMIT, CONTENT_BYTES};
use super::super::samples::{Latencies, Until, keep_in_flight, median};
use super::super::sends::send_one;
use super::super::stage::{Agent, Deployment};
use anyhow::Context as _;
use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use futures_util::StreamExt as _;
use postroad_protocol::TenantId;
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding};
use postroad_protocol::command::wire::SendMessage;
use postroad_protocol::quota::Limit;
use postroad_protocol::subject::{RequestKind, Subjects, inbox_prefix};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Commands a second that the flooding tenant may send.
const MAY_PER_S: u32 = 500;
/// How many times as many it sends.
const TIMES: u32 = 10;
/// Least share of that which must really be sent: a flood that ebbs proves nothing.
const SENT_SHARE: f64 = 0.9;
/// How much slower the slowest checks of the other tenant may be.
const SLOWER: f64 = 3.0;
/// How often the flooder sends what is due.
const TICK: Duration = Duration::from_millis(2);
/// How long the flood may take to be felt, and how often that is looked at.
const RISE_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ROLE: &str = "flooder";

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("flood", 2 * plan.rounds);
    let flooding = deployment.tenant("flooding").await?;
    deployment.agent(&flooding, "sink", "one").await?;
    let limits = [(Limit::CommandsPerS, u64::from(MAY_PER_S))];
    let operator = deployment.operator()?;
    operator.set_limits(&flooding, &limits, &[]).await?;
    let flooder = deployment.agent(&flooding, ROLE, "one").await?;
    let flooder = Flooder::connect(deployment, &flooding, &flooder).await?;
    let bystander = deployment.tenant("bystander").await?;
    let sender = deployment.agent(&bystander, "sender", "one").await?;
    let reader = deployment.agent(&bystander, "reader", "one").await?;
    for _ in 0..CHECK_LIMIT {
        send_one(&sender, "reader").await?;
    }
    warm_up(&reader, CHECK_LIMIT).await?;
    let (mut idle, mut under) = <(Latencies, Latencies)>::default();
    let (mut sent, mut taken) = (Vec::new(), Vec::new());
    let each = plan.flood_checks.div_ceil(plan.rounds);
    for _ in 0..plan.rounds {
        bench.progress.says("checks in peace");
        idle.extend(&checks(&reader, each).await?);
        bench.progress.step();
        bench.progress.says("checks while the other tenant floods");
        let flood = flooder.start().await?;
        let begun = Instant::now();
        let before = flood.counts();
        under.extend(&checks(&reader, each).await?);
        let (now, took) = (flood.counts(), begun.elapsed().as_secs_f64());
        sent.push(now.since(before).sent / took);
        taken.push(now.since(before).taken / took);
        flood.end().await?;
        bench.progress.step();
    }
    report(bench, &idle, &under, median(&sent), median(&taken));
    Ok(())
}

fn report(bench: &mut Bench, idle: &Latencies, under: &Latencies, sent: f64, taken: f64) {
    let figure = Figure::new("flood: commands that were sent", sent, "1/s");
    let figure = figure.beside(f64::from(MAY_PER_S * TIMES));
    bench.add(figure.must(&Must::CeilingTimes(SENT_SHARE)));
    let figure = Figure::new("flood: commands that were taken", taken, "1/s");
    bench.add(figure.beside(f64::from(MAY_PER_S)));
    let idle_name = "flood: other tenant's check before it";
    bench.add_latencies(idle_name, idle, None);
    let name = "flood: other tenant's check";
    let p50 = Figure::new(format!("{name} p50"), under.p50_ms(), "ms");
    bench.add(p50.beside(idle.p50_ms()));
    let must = Must::WithinTimes {
        times: SLOWER,
        other: idle.p99_ms(),
        name: format!("{idle_name} p99"),
    };
    let p99 = Figure::new(format!("{name} p99"), under.p99_ms(), "ms");
    bench.add(p99.beside(idle.p99_ms()).must(&must));
    bench.explain(
        "flood: ten times what the tenant may send; what it may send; the same checks in peace",
    );
}

async fn checks(reader: &Agent, count: usize) -> anyhow::Result<Latencies> {
    let load = keep_in_flight(1, Until::Calls(count), || async {
        check(reader, CHECK_LIMIT).await?;
        Ok(())
    })
    .await?;
    Ok(load.latencies)
}

/// A plain NATS client with an agent's credential.
struct Flooder {
    client: Client,
    subject: String,
    inbox: String,
    body: Bytes,
}

/// A flood that goes on until it is ended.
struct Flood {
    counters: Arc<Counters>,
    sending: JoinHandle<anyhow::Result<()>>,
    hearing: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Commands so far.
#[derive(Clone, Copy, Debug)]
struct Counts {
    sent: f64,
    taken: f64,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            taken: self.taken - before.taken,
        }
    }
}

impl Flooder {
    async fn connect(
        deployment: &Deployment,
        tenant: &TenantId,
        agent: &Agent,
    ) -> anyhow::Result<Self> {
        let inbox = inbox_prefix(tenant.as_str(), ROLE, "one");
        let client = ConnectOptions::with_credentials(&agent.creds)?
            .custom_inbox_prefix(&inbox)
            .connect(deployment.url())
            .await?;
        let subject = Subjects::default().request(
            RequestKind::Command,
            tenant.as_str(),
            ROLE,
            "one",
            "messages",
            "send_message",
        );
        let message = SendMessage {
            channel: "sink".to_owned(),
            content: "x".repeat(CONTENT_BYTES),
            ..SendMessage::default()
        };
        Ok(Self {
            client,
            subject,
            inbox: format!("{inbox}.flood"),
            body: Encoding::MessagePack.encode(&message).into(),
        })
    }

    /// Begins to send, and returns once answers to more than a second's worth have come: what may be
    /// sent at once is used up then.
    async fn start(&self) -> anyhow::Result<Flood> {
        let counters = Arc::new(Counters::default());
        let mut answers = self.client.subscribe(self.inbox.clone()).await?;
        let heard = Arc::clone(&counters);
        let hearing = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let headers = answer.headers.as_ref();
                let is_refused = headers.is_some_and(|all| all.get(ERROR_CODE_HEADER).is_some());
                let counter = if is_refused {
                    &heard.refused
                } else {
                    &heard.taken
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let (client, subject, inbox) = (
            self.client.clone(),
            self.subject.clone(),
            self.inbox.clone(),
        );
        let (body, told) = (self.body.clone(), Arc::clone(&counters));
        let sending = tokio::spawn(async move {
            let begun = Instant::now();
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                while told.sent.load(Ordering::Relaxed) < due(begun.elapsed()) {
                    let (subject, inbox) = (subject.clone(), inbox.clone());
                    client
                        .publish_with_reply(subject, inbox, body.clone())
                        .await?;
                    told.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let flood = Flood {
            counters,
            sending,
            hearing,
        };
        flood.risen().await?;
        Ok(flood)
    }
}

/// Commands that a flood has sent after this time.
fn due(after: Duration) -> u64 {
    let whole = after.as_micros() * u128::from(MAY_PER_S * TIMES) / 1_000_000;
    u64::try_from(whole).unwrap_or(u64::MAX)
}

impl Flood {
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody sends 2^52 commands in one run"
    )]
    fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        Counts {
            sent: read(&self.counters.sent),
            taken: read(&self.counters.taken),
        }
    }

    async fn risen(&self) -> anyhow::Result<()> {
        let answered = || {
            let counters = &self.counters;
            counters.taken.load(Ordering::Relaxed) + counters.refused.load(Ordering::Relaxed)
        };
        let risen = async {
            while answered() < due(Duration::from_secs(1)) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(RISE_WAIT, risen)
            .await
            .context("the flood is not answered")
    }

    /// Ends it; an error when it had ended before.
    async fn end(self) -> anyhow::Result<()> {
        for task in [self.sending, self.hearing] {
            task.abort();
            match task.await {
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(error.into()),
                Ok(ended) => {
                    ended?;
                    anyhow::bail!("the flood ended early");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_times_what_may_be_sent() {
        assert_eq!(due(Duration::ZERO), 0);
        assert_eq!(due(Duration::from_secs(2)), 2 * 10 * u64::from(MAY_PER_S));
        assert_eq!(due(Duration::from_micros(399)), 1);
    }
}
