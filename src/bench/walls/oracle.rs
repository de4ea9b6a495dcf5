//! Whether the time of a refusal tells what exists: messages of another tenant are asked for in turns
//! with messages that nobody ever sent. Owns these turns.

use super::super::Bench;
use super::super::figure::{Figure, Must};
use super::super::samples::Latencies;
use super::super::sends::send_one;
use super::super::stage::{Agent, Deployment};
use postroad_client::{ClientError, Page};
use postroad_protocol::{ErrorCode, MessageId};
use std::time::{Duration, Instant};

/// How far the medians may lie apart, as a share.
const APART: f64 = 0.10;
/// Ids of either kind; each is asked for many times.
const IDS: usize = 100;
/// Pairs ahead of those that count.
const WARM_UP: usize = 50;

/// A way to ask for a message by its id.
#[derive(Clone, Copy, Debug)]
enum Ask {
    GetMessage,
    MessageStatus,
    MarkAsRead,
}

impl Ask {
    const ALL: [Self; 3] = [Self::GetMessage, Self::MessageStatus, Self::MarkAsRead];

    fn name(self) -> &'static str {
        match self {
            Self::GetMessage => "get_message",
            Self::MessageStatus => "message_status",
            Self::MarkAsRead => "mark_as_read",
        }
    }

    /// Asks once; how long the refusal took.
    async fn once(self, agent: &Agent, id: MessageId) -> anyhow::Result<Duration> {
        let client = &agent.client;
        let begun = Instant::now();
        let (is_refused, took) = match self {
            Self::GetMessage => {
                let answer = client.get_message(id).await;
                (is_not_found(answer)?, begun.elapsed())
            }
            Self::MessageStatus => {
                let answer = client.message_status(id, &Page::default()).await;
                (is_not_found(answer)?, begun.elapsed())
            }
            Self::MarkAsRead => {
                let marked = client.mark_messages_as_read([id.to_string()]).await?;
                (marked.not_found == [id.to_string()], begun.elapsed())
            }
        };
        anyhow::ensure!(is_refused, "{} showed a message of others", self.name());
        Ok(took)
    }
}

fn is_not_found<T>(answer: Result<T, ClientError>) -> Result<bool, ClientError> {
    match answer {
        Ok(_) => Ok(false),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    let probes = bench.plan.probes;
    bench.progress.group("oracle", Ask::ALL.len());
    let (owner, stranger) = (
        deployment.tenant("owning").await?,
        deployment.tenant("strange").await?,
    );
    let sender = deployment.agent(&owner, "sender", "one").await?;
    deployment.agent(&owner, "sink", "one").await?;
    // The same names as the owner's, so that nothing but the tenant differs.
    let asker = deployment.agent(&stranger, "sender", "one").await?;
    let (mut foreign, mut missing) = (Vec::new(), Vec::new());
    for _ in 0..IDS {
        foreign.push(send_one(&sender, "sink").await?);
        missing.push(MessageId::generate());
    }
    for ask in Ask::ALL {
        bench.progress.says(ask.name());
        turns(&asker, ask, &foreign, &missing, WARM_UP).await?;
        let (of_foreign, of_missing) = turns(&asker, ask, &foreign, &missing, probes).await?;
        let name = format!("{}, another tenant's id, p50 of {probes}", ask.name());
        let figure = Figure::new(name, of_foreign.p50_ms(), "ms");
        let figure = figure.beside(of_missing.p50_ms());
        bench.add(figure.must(&Must::NearCeiling(APART)));
        bench.progress.step();
    }
    bench.explain("another tenant's id: an id that nobody has, asked for in turns with it");
    Ok(())
}

/// So many pairs of questions; what is asked first alternates, since the first may find things colder.
async fn turns(
    asker: &Agent,
    ask: Ask,
    foreign: &[MessageId],
    missing: &[MessageId],
    pairs: usize,
) -> anyhow::Result<(Latencies, Latencies)> {
    let (mut of_foreign, mut of_missing) = <(Latencies, Latencies)>::default();
    let ids = foreign.iter().zip(missing).cycle().take(pairs);
    for (number, (foreign, missing)) in ids.enumerate() {
        if number % 2 == 0 {
            of_foreign.push(ask.once(asker, *foreign).await?);
        }
        of_missing.push(ask.once(asker, *missing).await?);
        if number % 2 == 1 {
            of_foreign.push(ask.once(asker, *foreign).await?);
        }
    }
    Ok((of_foreign, of_missing))
}
