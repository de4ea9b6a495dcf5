//! Searches in a short history, in a long one, and in a short one beside another tenant's long one, beside
//! bare requests that are answered with as many bytes. The same number of messages match in each. Owns these
//! turns, and how long the index of words takes to come behind.

use super::Bench;
use super::figure::{Figure, Must};
use super::plain::PlainServer;
use super::samples::{Latencies, Until, keep_in_flight, together};
use super::sends::senders;
use super::stage::Agent;
use crate::deployment::nats_config::Durability;
use postroad_client::{Draft, Search};
use postroad_protocol::body::Encoding;
use std::time::{Duration, Instant};

/// Messages that match.
const MATCHING: usize = 10;
/// What a search may cost more in a long history, and beside one.
const HISTORY_COST: f64 = 2.0;
/// Sends that are open at once while the long history is made.
const FILL_IN_FLIGHT: usize = 256;
/// How long the index may take to come behind the rows, and how often that is looked at.
const INDEX_WAIT: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Words of one message.
const WORDS: usize = 30;
/// Different words of the long history.
const VOCABULARY: usize = 5_000;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let plan = bench.plan;
    let count = plan.backlog;
    bench.progress.count("history", count);
    let deployment = bench.deployment(Durability::Fast, "search").await?;
    let tenant = deployment.tenant("bench").await?;
    let senders = senders(&deployment, &tenant).await?;
    let short = deployment.agent(&tenant, "short", "one").await?;
    let long = deployment.agent(&tenant, "long", "one").await?;
    let other = deployment.tenant("beside").await?;
    let beside = deployment.agent(&other, "short", "one").await?;
    fill(bench, &senders, count).await?;
    for (sender, reader) in [
        (&senders[0], "short"),
        (&senders[0], "long"),
        (&beside, "short"),
    ] {
        for number in 0..2 * MATCHING {
            let word = if number % 2 == 0 { "ferry" } else { "tram" };
            let text = format!("{} {word}", text(number));
            sender.client.send(&Draft::new(reader, text)).await?;
        }
    }
    let begun = Instant::now();
    for reader in [&long, &short, &beside] {
        wait_until_indexed(reader).await?;
    }
    let behind = Figure::new(
        format!("index of words, behind {count} sends"),
        begun.elapsed().as_secs_f64(),
        "s",
    );
    bench.add(behind);
    bench.progress.group("searches", 4 * plan.rounds);
    let nats = bench.plain(Durability::Fast, "search").await?;
    let bytes = search(&short).await?;
    let mut bare = Latencies::default();
    let mut of = <[Latencies; 3]>::default();
    for _ in 0..plan.rounds {
        bare.extend(&requests(bench, &nats, bytes).await?);
        for (latencies, reader) in of.iter_mut().zip([&short, &long, &beside]) {
            latencies.extend(&searches(bench, reader).await?);
        }
    }
    let [of_short, of_long, of_beside] = of;
    let name = format!("search, {MATCHING} of {} messages match", 2 * MATCHING);
    bench.add_latencies(&name, &of_short, Some(&bare));
    let must = Must::WithinTimes {
        times: HISTORY_COST,
        other: of_short.p50_ms(),
        name: format!("{name} p50"),
    };
    for (name, latencies) in [
        (format!("search, {MATCHING} of {count} match"), of_long),
        (
            format!("search, beside {count} of another tenant"),
            of_beside,
        ),
    ] {
        let p50 = Figure::new(format!("{name} p50"), latencies.p50_ms(), "ms");
        bench.add(p50.beside(bare.p50_ms()).must(&must));
        let p99 = Figure::new(format!("{name} p99"), latencies.p99_ms(), "ms");
        bench.add(p99.beside(bare.p99_ms()));
    }
    bench.explain("searches: bare requests, answered with as many bytes as ten messages take");
    nats.stop().await?;
    deployment.stop().await
}

/// Sends the long history.
async fn fill(bench: &Bench, senders: &[Agent], count: usize) -> anyhow::Result<()> {
    let each = count.div_ceil(senders.len());
    let filling = senders.iter().cloned().enumerate().map(|(number, sender)| {
        let (bar, in_flight) = (bench.progress.clone(), FILL_IN_FLIGHT / senders.len());
        async move {
            let next = std::sync::atomic::AtomicUsize::new(number * each);
            keep_in_flight(in_flight, Until::Calls(each), || async {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                sender.client.send(&Draft::new("long", text(seed))).await?;
                bar.step();
                Ok(())
            })
            .await
        }
    });
    together(filling).await?;
    Ok(())
}

fn text(seed: usize) -> String {
    words(seed, WORDS)
}

/// Words as a message has them: some are said all the time, most seldom.
pub(super) fn words(seed: usize, count: usize) -> String {
    let ranks = ranks(seed, VOCABULARY).take(count);
    let words: Vec<String> = ranks.map(|rank| format!("word{}", letters(rank))).collect();
    words.join(" ")
}

/// Numbers below `below`, the low ones most of the time; the same for the same seed.
pub(super) fn ranks(seed: usize, below: usize) -> impl Iterator<Item = u64> {
    let mut state = seed as u64;
    std::iter::repeat_with(move || {
        // Splitmix64: well mixed, and the same in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state ^ (seed as u64).rotate_left(32);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let (rank, within) = (mixed >> 32, mixed & 0xffff_ffff);
        // The product of two evenly spread numbers lies low most of the time.
        (((rank * within) >> 32) * below as u64) >> 32
    })
}

/// A number in letters, so that it is one word.
fn letters(mut number: u64) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}

async fn wait_until_indexed(reader: &Agent) -> anyhow::Result<()> {
    let deadline = Instant::now() + INDEX_WAIT;
    loop {
        let answer = reader.client.search_messages(&Search::of("ferry")).await?;
        if answer.indexing == 0 && answer.matched == MATCHING as u64 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the index of words does not come behind"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn requests(bench: &Bench, nats: &PlainServer, bytes: usize) -> anyhow::Result<Latencies> {
    bench.progress.says("bare requests");
    let latencies = nats.requests(bytes, bench.plan.checks).await?;
    bench.progress.step();
    Ok(latencies)
}

async fn searches(bench: &Bench, reader: &Agent) -> anyhow::Result<Latencies> {
    bench.progress.says("searches");
    let load = keep_in_flight(1, Until::Calls(bench.plan.checks), || async {
        search(reader).await?;
        Ok(())
    })
    .await?;
    bench.progress.step();
    Ok(load.latencies)
}

/// One search, which must find what is known to lie there; the bytes of its answer.
async fn search(reader: &Agent) -> anyhow::Result<usize> {
    let answer = reader.client.search_messages(&Search::of("ferry")).await?;
    anyhow::ensure!(
        answer.messages.len() == MATCHING && answer.matched == MATCHING as u64,
        "a search found {} of {}",
        answer.messages.len(),
        answer.matched
    );
    Ok(Encoding::MessagePack.encode(&answer).len())
}
