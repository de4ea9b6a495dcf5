//! Memories: recalls by words from few and from many, alone and beside others'; stores beside sends; folding
//! them; and what the model takes. Owns these turns.
//!
//! | module | owns |
//! |---|---|
//! | this | figures without the model |
//! | [`load`] | what is stored, and what is asked |
//! | [`meaning`] | figures with the model |

mod load;
mod meaning;

use super::Bench;
use super::figure::{Figure, Must};
use super::plain::PlainServer;
use super::plan::{CONTENT_BYTES, IN_FLIGHT};
use super::projection::fold_log;
use super::rows::{self, Durable};
use super::samples::{Latencies, Turns, Until, keep_in_flight, together};
use super::sends::{name_of, senders};
use super::stage::{Agent, Deployment, up_command};
use crate::deployment::nats_config::Durability;
use load::{Asking, Texts, store_all, until};
use postroad_client::{Draft, NewMemory};
use postroad_protocol::query::RecallMode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Memories of a namespace: of a small one, and of the one that must be searched in a bound.
const SMALL: usize = 1_000;
const USUAL: usize = 10_000;
/// Memories of another tenant.
const FOREIGN: usize = 10_000;
const SMALL_SPACE: &str = "project/small";
const USUAL_SPACE: &str = "project/usual";
const LARGE_SPACE: &str = "project/large";
/// What a recall by words may take at most, in milliseconds, for 95 of 100.
const WORDS_MS: f64 = 2.0;
/// What a recall may cost more beside other namespaces and tenants.
const NEIGHBOURS_COST: f64 = 1.25;
/// Least share of sends that stores must reach.
const SHARE_OF_SENDS: f64 = 0.9;
/// How long stores and sends take turns.
const STORE_TURN: Duration = Duration::from_secs(1);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures the group; with as many memories as the plan has where it `is_alone` in a run.
pub(super) async fn measure(bench: &mut Bench, is_alone: bool) -> anyhow::Result<()> {
    let large = if is_alone {
        bench.plan.memories
    } else {
        bench.plan.memories_among_others
    };
    by_words(bench, large).await?;
    stores(bench).await?;
    meaning::measure(bench).await?;
    bench.explain(
        "recalls: bare requests, answered with as many bytes; of 40-word memories, five words asked for, no question asked twice",
    );
    bench.explain(
        "stores: sends of the same contents in turns with them, power-safe, without the model",
    );
    if !is_alone && large < bench.plan.memories {
        bench.explain(&format!(
            "the large namespace has {large} memories here, and {} under --only memories, where storing them may take longer",
            bench.plan.memories
        ));
    }
    Ok(())
}

/// A deployment for `name`, with the model in the folder `model`, or without one.
async fn deployment(
    bench: &Bench,
    durability: Durability,
    name: &str,
    model: Option<&Path>,
) -> anyhow::Result<Deployment> {
    let home = bench.place(&format!("{name}-{}", name_of(durability)));
    std::fs::create_dir(&home)?;
    let mut up = up_command(&home, &bench.server, durability)?;
    up.arg("--model")
        .arg(model.map_or_else(|| no_model(bench), Path::to_owned));
    Deployment::start(&home, up).await
}

/// A folder in which no model lies.
fn no_model(bench: &Bench) -> PathBuf {
    bench.place("no-model")
}

async fn by_words(bench: &mut Bench, large: usize) -> anyhow::Result<()> {
    let plan = bench.plan;
    let alone = deployment(bench, Durability::Fast, "memories-alone", None).await?;
    let tenant = alone.tenant("bench").await?;
    let writers = senders(&alone, &tenant).await?;
    let alone_reader = alone.agent(&tenant, "reader", "one").await?;
    store_all(
        bench,
        &writers,
        SMALL_SPACE,
        0..SMALL,
        Texts::of_their_own(),
    )
    .await?;

    let full = deployment(bench, Durability::Fast, "memories", None).await?;
    let tenant = full.tenant("bench").await?;
    let writers = senders(&full, &tenant).await?;
    let reader = full.agent(&tenant, "reader", "one").await?;
    let other = full.tenant("other").await?;
    let others = senders(&full, &other).await?;
    let texts = Texts::of_their_own();
    store_all(bench, &writers, SMALL_SPACE, 0..SMALL, texts).await?;
    store_all(bench, &writers, USUAL_SPACE, 0..USUAL, texts).await?;
    store_all(bench, &others, SMALL_SPACE, 0..FOREIGN, texts).await?;
    store_all(bench, &writers, LARGE_SPACE, 0..large, texts).await?;

    let asked = |reader, space| Asking::new(reader, space, texts, RecallMode::Words);
    let in_small_alone = asked(&alone_reader, SMALL_SPACE);
    let in_small = asked(&reader, SMALL_SPACE);
    let in_usual = asked(&reader, USUAL_SPACE);
    let in_large = asked(&reader, LARGE_SPACE);
    let bytes = in_small_alone.settle(SMALL).await?;
    in_small.settle(SMALL).await?;
    in_usual.settle(USUAL).await?;
    held(bench, &full, &in_large, large).await?;

    bench.progress.group("recalls", 5 * plan.rounds);
    let nats = bench.plain(Durability::Fast, "memories").await?;
    let mut bare = Latencies::default();
    let mut of = <[Latencies; 4]>::default();
    let asking = [&in_small_alone, &in_small, &in_usual, &in_large];
    for _ in 0..plan.rounds {
        bare.extend(&requests(bench, &nats, bytes).await?);
        for (latencies, asking) in of.iter_mut().zip(asking) {
            latencies.extend(&recalls(bench, asking).await?);
        }
    }
    nats.stop().await?;
    let [of_alone, of_small, of_usual, of_large] = of;
    let name = |count: usize| format!("recall by words from {count}");
    let must = Must::AtMost(WORDS_MS);
    bench.add_p95(&name(USUAL), &of_usual, &bare, Some(&must));
    bench.add_p95(&name(large), &of_large, &bare, None);
    bench.add_p95(&name(SMALL), &of_alone, &bare, None);
    let beside = USUAL + large;
    let figure =
        format!("the same beside {beside} in other namespaces, {FOREIGN} of another tenant, p50");
    let must = Must::WithinTimes {
        times: NEIGHBOURS_COST,
        other: of_alone.p50_ms(),
        name: format!("{} p50", name(SMALL)),
    };
    let figure = Figure::new(figure, of_small.p50_ms(), "ms");
    bench.add(figure.beside(of_alone.p50_ms()).must(&must));
    fold(bench, &full).await?;
    alone.stop().await?;
    full.stop().await
}

/// What the first recall from a large namespace takes, and how much memory the process has more after some.
async fn held(
    bench: &mut Bench,
    deployment: &Deployment,
    asking: &Asking<'_>,
    count: usize,
) -> anyhow::Result<()> {
    until(|| async {
        let status = deployment.operator()?.status().await?;
        Ok(status.shards.iter().all(|shard| shard.applied == shard.end))
    })
    .await?;
    let before = deployment.resident_bytes().await?;
    let begun = Instant::now();
    asking.ask().await?;
    let first = begun.elapsed().as_secs_f64() * 1000.0;
    asking.settle(count).await?;
    let after = deployment.resident_bytes().await?;
    bench.add(Figure::new(
        format!("first recall from {count}, none of which is held"),
        first,
        "ms",
    ));
    bench.add(Figure::new(
        format!("memory held for {count} by words"),
        mebibytes(after.saturating_sub(before)),
        "MiB",
    ));
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::MAX, |kib| f64::from(kib) * 1024.0 / MIB)
}

/// Folds the log of memories into new rows, beside raw writes of as many events.
async fn fold(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    bench.progress.group("folding", 2);
    bench.progress.says("raw writes of as many events");
    let status = deployment.operator()?.status().await?;
    let events = status.shards.iter().map(|shard| shard.end).sum::<u64>();
    let events = usize::try_from(events)?;
    let path = bench.place("memories-raw.redb");
    let raw = tokio::task::spawn_blocking(move || rows::write(&path, events, Durable::Always));
    let raw = raw.await??;
    bench.progress.step();
    bench.progress.says("a projector with no rows");
    let (rows, model) = (bench.place("memories-rows"), no_model(bench));
    let folded = fold_log(deployment.dir(), &rows, Some(&model), events).await?;
    bench.progress.step();
    let name = format!("memories folded, {events} behind");
    bench.add(Figure::new(name, folded, "1/s").beside(raw));
    bench.explain("memories folded: raw redb, three tables, as of projected events; a memory is 40 words, each a row of its index");
    Ok(())
}

/// Stores in turns with sends of the same contents.
async fn stores(bench: &mut Bench) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench
        .progress
        .group("stores", 2 * plan.rounds * IN_FLIGHT.len());
    let deployment = deployment(bench, Durability::PowerSafe, "stores", None).await?;
    let tenant = deployment.tenant("bench").await?;
    let senders = senders(&deployment, &tenant).await?;
    let turn = STORE_TURN.min(plan.turn);
    let seed = Arc::new(AtomicUsize::new(0));
    for in_flight in IN_FLIGHT {
        let (mut stored, mut sent) = (Turns::default(), Turns::default());
        for _ in 0..plan.rounds {
            for (what, turns) in [(Said::Sent, &mut sent), (Said::Stored, &mut stored)] {
                bench
                    .progress
                    .says(format!("{what:?}, {in_flight} in flight"));
                let used = senders.len().min(in_flight);
                let load = senders[..used].iter().cloned().map(|sender| {
                    let seed = Arc::clone(&seed);
                    async move {
                        let until = Until::Elapsed(turn);
                        keep_in_flight(in_flight / used, until, || {
                            say(&sender, what, seed.fetch_add(1, Ordering::Relaxed))
                        })
                        .await
                    }
                });
                turns.add(&together(load).await?);
                bench.progress.step();
            }
        }
        let name = format!("stores, power-safe, {in_flight} in flight");
        let figure = Figure::new(name, stored.per_second(), "1/s").beside(sent.per_second());
        bench.add(figure.must(&Must::CeilingTimes(SHARE_OF_SENDS)));
    }
    deployment.stop().await
}

/// What is done with a content.
#[derive(Clone, Copy, Debug)]
enum Said {
    Sent,
    Stored,
}

async fn say(agent: &Agent, what: Said, seed: usize) -> anyhow::Result<()> {
    let mut content = super::search::words(seed, CONTENT_BYTES / 8);
    content.truncate(CONTENT_BYTES);
    match what {
        Said::Sent => agent
            .client
            .send(&Draft::new("sink", content))
            .await
            .map(drop)?,
        Said::Stored => {
            let memory = NewMemory::new(USUAL_SPACE, content);
            agent.client.store_memory(&memory).await.map(drop)?;
        }
    }
    Ok(())
}

async fn requests(bench: &Bench, nats: &PlainServer, bytes: usize) -> anyhow::Result<Latencies> {
    bench.progress.says("bare requests");
    let latencies = nats.requests(bytes, bench.plan.checks).await?;
    bench.progress.step();
    Ok(latencies)
}

async fn recalls(bench: &Bench, asking: &Asking<'_>) -> anyhow::Result<Latencies> {
    bench
        .progress
        .says(format!("recalls from {}", asking.space()));
    let calls = Until::Calls(bench.plan.checks);
    let load = keep_in_flight(1, calls, || async {
        asking.ask().await?;
        Ok(())
    })
    .await?;
    bench.progress.step();
    Ok(load.latencies)
}
