//! What the model takes: embedding memories, and recalls by words and by meaning, meanwhile and afterwards. Owns
//! these turns; where there is no model, it says so.

use super::load::{Asking, Texts, store_all, until};
use super::{USUAL, USUAL_SPACE, deployment, recalls, requests};
use crate::bench::Bench;
use crate::bench::figure::{Figure, Must};
use crate::bench::samples::Latencies;
use crate::bench::sends::senders;
use crate::deployment::nats_config::Durability;
use crate::model::ModelArgs;
use postroad_protocol::query::RecallMode;
use std::time::Instant;

/// What a recall with its question's embedding may take at most, in milliseconds, for 95 of 100.
const MEANING_MS: f64 = 40.0;

/// Measures with the model, where it is.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(model) = ModelArgs::default().folder() else {
        bench.explain(
            "recalls by meaning were not measured: there is no model (scripts/recall-model.sh)",
        );
        return Ok(());
    };
    let (plan, different) = (bench.plan, bench.plan.embedded);
    let deployment = deployment(bench, Durability::Fast, "meaning", Some(&model)).await?;
    let tenant = deployment.tenant("bench").await?;
    let writers = senders(&deployment, &tenant).await?;
    let reader = deployment.agent(&tenant, "reader", "one").await?;
    let texts = Texts::in_english(2 * different);
    let asking = Asking::new(&reader, USUAL_SPACE, texts, RecallMode::WordsAndMeaning);
    // The model is read when it is first needed.
    until(|| async { asking.ask_for_all().await.map(|_| true) }).await?;

    let begun = Instant::now();
    store_all(bench, &writers, USUAL_SPACE, 0..different, texts).await?;
    embedded(&asking, different).await?;
    let each = begun.elapsed() / u32::try_from(different)?;
    let name = format!("memories embedded, {different} awaiting, nothing asked");
    bench.add(Figure::new(name, 1.0 / each.as_secs_f64(), "1/s"));

    store_all(
        bench,
        &writers,
        USUAL_SPACE,
        different..2 * different,
        texts,
    )
    .await?;
    bench.progress.group("meaning", 2 * plan.rounds + 1);
    bench.progress.says("recalls while memories are embedded");
    let mut meanwhile = Latencies::default();
    loop {
        let begun = Instant::now();
        let answer = asking.ask().await?;
        if answer.awaiting == 0 {
            break;
        }
        meanwhile.push(begun.elapsed());
    }
    anyhow::ensure!(!meanwhile.is_empty(), "nothing was embedded meanwhile");
    bench.progress.step();

    store_all(bench, &writers, USUAL_SPACE, 2 * different..USUAL, texts).await?;
    embedded(&asking, USUAL).await?;
    let bytes = asking.settle(USUAL).await?;
    let nats = bench.plain(Durability::Fast, "meaning").await?;
    let (mut bare, mut of_usual) = <(Latencies, Latencies)>::default();
    for _ in 0..plan.rounds {
        bare.extend(&requests(bench, &nats, bytes).await?);
        of_usual.extend(&recalls(bench, &asking).await?);
    }
    nats.stop().await?;
    let name = format!("recall by words and meaning from {USUAL}");
    bench.add_p95(&name, &of_usual, &bare, Some(&Must::AtMost(MEANING_MS)));
    bench.add_p95(
        "the same while memories are embedded",
        &meanwhile,
        &bare,
        None,
    );
    bench.explain(&format!(
        "recalls by meaning: {} contents in English, said over and over, each embedded once; every question is embedded",
        2 * different
    ));
    deployment.stop().await
}

/// Waits until `count` memories are there, and none awaits its vector.
async fn embedded(asking: &Asking<'_>, count: usize) -> anyhow::Result<()> {
    let count = u64::try_from(count)?;
    until(|| async {
        let answer = asking.ask_for_all().await?;
        Ok(answer.matched >= count && answer.awaiting == 0)
    })
    .await
}
