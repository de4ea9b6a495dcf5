//! How soon a new deployment serves, beside a bare nats-server with one stream. Owns these turns.

use super::Bench;
use super::figure::{Figure, Must};
use super::plain::PlainServer;
use super::samples::median;
use super::stage::{start_up, up_command};
use crate::deployment::nats_config::Durability;
use std::time::Instant;

/// Longest time from an empty directory to the line that says it serves, in milliseconds.
const READY_MOST_MS: f64 = 2000.0;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let starts = bench.plan.starts;
    bench.progress.group("start", 2 * starts);
    let (mut ready, mut bare) = (Vec::new(), Vec::new());
    for number in 0..starts {
        bench.progress.says("a bare nats-server");
        let dir = bench.place(&format!("bare-{number}"));
        let (server, took) = PlainServer::start(&bench.server, &dir, Durability::PowerSafe).await?;
        bare.push(took.as_secs_f64() * 1000.0);
        server.stop().await?;
        bench.progress.step();

        bench.progress.says("postroad up on an empty directory");
        let home = bench.place(&format!("start-{number}"));
        std::fs::create_dir(&home)?;
        let command = up_command(&home, &bench.server, Durability::PowerSafe)?;
        let begun = Instant::now();
        let (mut up, _) = start_up(&home, command).await?;
        ready.push(begun.elapsed().as_secs_f64() * 1000.0);
        up.stop().await?;
        bench.progress.step();
    }
    let figure = Figure::new("up ready from an empty directory", median(&ready), "ms")
        .beside(median(&bare))
        .must(&Must::AtMost(READY_MOST_MS));
    bench.add(figure);
    bench.explain("up ready: a bare nats-server and one stream, from start to stream");
    Ok(())
}
