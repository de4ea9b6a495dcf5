//! Checks of a reader with little mail, with much, and with much behind it, beside bare requests
//! that are answered with as many bytes. Owns these turns.

use super::Bench;
use super::backlog::Backlog;
use super::figure::{Figure, Must};
use super::plain::PlainServer;
use super::plan::CHECK_LIMIT;
use super::samples::{Latencies, Until, keep_in_flight};
use super::sends::send_one;
use super::stage::Agent;
use crate::deployment::nats_config::Durability;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use postroad_client::Check;
use postroad_protocol::body::Encoding;
use postroad_protocol::limits::MARK_MAX_IDS;
use std::time::{Duration, Instant};

/// What a check may cost more when much is unread.
const BACKLOG_COST: f64 = 2.0;
/// Marks in flight at once.
const MARKS_IN_FLIGHT: usize = 8;
/// How long rows may take to come as far as the log, and how often that is looked at.
const SETTLE_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Checks before the first that counts: they settle what is marked as delivered.
const WARM_UP: usize = 20;

/// Measures the group; at its end nothing of the backlog is unread any more.
pub(super) async fn measure(bench: &mut Bench, backlog: &Backlog) -> anyhow::Result<()> {
    let plan = bench.plan;
    let (few, away, count) = (&backlog.few, &backlog.away, backlog.ids.len());
    bench.progress.group("checks", 3 * plan.rounds);
    let nats = bench.plain(Durability::Fast, "checks").await?;
    let bytes = warm_up(few, CHECK_LIMIT).await?;
    warm_up(away, count).await?;
    let (mut bare, mut of_few, mut of_many) = <(Latencies, Latencies, Latencies)>::default();
    for _ in 0..plan.rounds {
        bare.extend(&turn(bench, &nats, bytes).await?);
        of_few.extend(&checks(bench, few, CHECK_LIMIT).await?);
        of_many.extend(&checks(bench, away, count).await?);
    }
    let few_name = format!("check, {CHECK_LIMIT} unread");
    let many_name = format!("check, {count} unread");
    bench.add_latencies(&few_name, &of_few, Some(&bare));
    let must = Must::WithinTimes {
        times: BACKLOG_COST,
        other: of_few.p50_ms(),
        name: format!("{few_name} p50"),
    };
    let p50 = Figure::new(format!("{many_name} p50"), of_many.p50_ms(), "ms");
    bench.add(p50.beside(bare.p50_ms()).must(&must));
    let p99 = Figure::new(format!("{many_name} p99"), of_many.p99_ms(), "ms");
    bench.add(p99.beside(bare.p99_ms()));

    read_all(bench, backlog).await?;
    for _ in 0..CHECK_LIMIT {
        send_one(&backlog.senders[0], "away").await?;
    }
    warm_up(away, CHECK_LIMIT).await?;
    bench.progress.group("checks", 2 * plan.rounds);
    let (mut bare, mut after) = <(Latencies, Latencies)>::default();
    for _ in 0..plan.rounds {
        bare.extend(&turn(bench, &nats, bytes).await?);
        after.extend(&checks(bench, away, CHECK_LIMIT).await?);
    }
    let name = format!("check, {CHECK_LIMIT} unread after {count} read");
    bench.add_latencies(&name, &after, Some(&bare));
    bench.explain("checks: bare requests, answered with as many bytes as ten messages take");
    nats.stop().await
}

async fn turn(bench: &Bench, nats: &PlainServer, bytes: usize) -> anyhow::Result<Latencies> {
    bench.progress.says("bare requests");
    let latencies = nats.requests(bytes, bench.plan.checks).await?;
    bench.progress.step();
    Ok(latencies)
}

async fn checks(bench: &Bench, reader: &Agent, unread: usize) -> anyhow::Result<Latencies> {
    bench.progress.says(format!("checks, {unread} unread"));
    let calls = Until::Calls(bench.plan.checks);
    let load = keep_in_flight(1, calls, || async {
        check(reader, unread).await?;
        Ok(())
    })
    .await?;
    bench.progress.step();
    Ok(load.latencies)
}

/// Waits until the reader sees what others have sent it, and makes a few checks ahead of those that
/// count; the bytes of an answer.
pub(super) async fn warm_up(reader: &Agent, unread: usize) -> anyhow::Result<usize> {
    let deadline = Instant::now() + SETTLE_WAIT;
    while let Err(error) = check(reader, unread).await {
        anyhow::ensure!(Instant::now() < deadline, error);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut bytes = 0;
    for _ in 0..WARM_UP {
        bytes = check(reader, unread).await?;
    }
    Ok(bytes)
}

/// One check, which must answer what is known to lie there; the bytes of its answer.
pub(super) async fn check(reader: &Agent, unread: usize) -> anyhow::Result<usize> {
    let limit = u32::try_from(CHECK_LIMIT)?;
    let answer = reader.client.check(&Check::default().limit(limit)).await?;
    anyhow::ensure!(
        answer.messages.len() == CHECK_LIMIT.min(unread)
            && answer.unread_total == u64::try_from(unread)?,
        "a check with {unread} unread answered {} of {}",
        answer.messages.len(),
        answer.unread_total
    );
    Ok(Encoding::MessagePack.encode(&answer).len())
}

/// Marks the whole backlog as read.
async fn read_all(bench: &Bench, backlog: &Backlog) -> anyhow::Result<()> {
    bench.progress.count("marking", backlog.ids.len());
    let chunks = backlog.ids.chunks(MARK_MAX_IDS).map(|chunk| async {
        let ids = chunk.iter().map(ToString::to_string);
        let marked = backlog.away.client.mark_messages_as_read(ids).await?;
        bench.progress.parts(chunk.len());
        anyhow::Ok(marked.marked.len() + marked.already_read.len())
    });
    let marked: Vec<usize> = stream::iter(chunks)
        .buffer_unordered(MARKS_IN_FLIGHT)
        .try_collect()
        .await?;
    let (marked, sent) = (marked.iter().sum::<usize>(), backlog.ids.len());
    anyhow::ensure!(
        marked == sent,
        "{marked} of {sent} messages could be marked as read"
    );
    Ok(())
}
