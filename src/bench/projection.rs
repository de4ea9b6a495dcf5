//! Folding the whole log into new rows, beside raw writes of the same events. Owns these turns.

use super::Bench;
use super::backlog::Backlog;
use super::figure::{Figure, Must};
use super::rows::{self, Durable};
use super::samples::{Load, Until, median};
use super::stage::{Child, program};
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Least share of raw writes that folding must reach.
const SHARE_OF_RAW: f64 = 0.4;
/// Publishes in flight while the log of the drain is filled.
const FILL_IN_FLIGHT: usize = 1_024;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, backlog: &Backlog) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("projection", 4 * plan.folds + 1);
    let status = backlog.deployment.operator()?.status().await?;
    let events = status.shards.iter().map(|shard| shard.end).sum::<u64>();
    let events = usize::try_from(events)?;
    bench.progress.says("filling a plain stream");
    let nats = bench.plain(Durability::Fast, "projection").await?;
    nats.publishes(FILL_IN_FLIGHT, Until::Calls(events)).await?;
    bench.progress.step();
    let (mut folded, mut durable, mut visible, mut drained) =
        <(Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>)>::default();
    for number in 0..plan.folds {
        bench.progress.says("raw writes of as many events");
        for (name, when, raw) in [
            ("durable", Durable::Always, &mut durable),
            ("visible", Durable::EverySecond, &mut visible),
        ] {
            let path = bench.place(&format!("{name}-{number}.redb"));
            let written = tokio::task::spawn_blocking(move || rows::write(&path, events, when));
            raw.push(written.await??);
            bench.progress.step();
        }
        bench.progress.says("a projector with no rows");
        let rows = bench.place(&format!("rows-{number}"));
        folded.push(fold(backlog, &rows, events).await?);
        bench.progress.step();
        bench.progress.says("a raw drain");
        drained.push(nats.drain(events).await?.per_second());
        bench.progress.step();
    }
    nats.stop().await?;
    let figure = Figure::new(
        format!("projected events, {events} behind"),
        median(&folded),
        "1/s",
    );
    bench.add(
        figure
            .beside(median(&durable))
            .must(&Must::CeilingTimes(SHARE_OF_RAW)),
    );
    let figure = Figure::new(
        "the same, beside raw redb durable every second",
        median(&folded),
        "1/s",
    );
    bench.add(figure.beside(median(&visible)));
    bench.add(Figure::new("raw pull drain", median(&drained), "1/s"));
    bench.explain(
        "projected events: raw redb, three tables, same bytes and keys, 8192 a transaction, each durable (Immediate, quick repair); \
         in the second row durable every second, as the projector commits",
    );
    Ok(())
}

/// Events in a second that a new projector folds. What its start takes when nothing is left to fold
/// is measured after it, and not counted.
async fn fold(backlog: &Backlog, rows: &Path, events: usize) -> anyhow::Result<f64> {
    fold_log(backlog.deployment.dir(), rows, None, events).await
}

/// As [`fold`], of the deployment in `dir`; with the model in `model`, where one is named.
pub(super) async fn fold_log(
    dir: &Path,
    rows: &Path,
    model: Option<&Path>,
    events: usize,
) -> anyhow::Result<f64> {
    let whole = start(dir, rows, model).await?;
    let bare = start(dir, rows, model).await?;
    let load = Load {
        calls: events,
        took: whole
            .checked_sub(bare)
            .context("folding the log took less than folding nothing")?,
        ..Load::default()
    };
    Ok(load.per_second())
}

/// How long a projector with `rows` takes until it has caught up.
async fn start(dir: &Path, rows: &Path, model: Option<&Path>) -> anyhow::Result<Duration> {
    let logs = rows.parent().context("rows lie in the run's folder")?;
    let mut command = program(logs)?;
    command
        .arg("--dir")
        .arg(dir)
        .args(["projector", "--rows"])
        .arg(rows);
    if let Some(model) = model {
        command.arg("--model").arg(model);
    }
    let begun = Instant::now();
    let mut projector = Child::start("projector", command, logs)?;
    projector.line().await?;
    let took = begun.elapsed();
    projector.stop().await?;
    Ok(took)
}
