//! Kills parts at random instants under steady load, also while they recover from the kill before. No
//! acknowledged message is lost, none is visible or stored twice, receipts never go backwards, the
//! order of each sender is kept.
//!
//! `POSTROAD_SOAK_KILLS` says how often (`make soak`: 100), `POSTROAD_SEED` repeats a run.

mod load;

use self::load::{READERS, SENDERS, under_load};
use crate::harness::fleet::Fleet;
use crate::harness::process::Process;
use crate::harness::{self, Deployment};
use postroad_client::Client;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::time::Duration;

/// Kills of both tests together; each counts only what hit a live process.
fn kills() -> usize {
    std::env::var("POSTROAD_SOAK_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8)
}

async fn pause(random: &mut StdRng) {
    // The instant of a kill is the random part of this test, so it does pause.
    let pause = Duration::from_millis(random.random_range(20..500));
    tokio::time::sleep(pause).await;
}

/// Kills a process if it is alive; how many that hit.
fn hit(process: Option<Process>) -> usize {
    process.map_or(0, |mut process| {
        let alive = !process.has_ended();
        process.kill();
        usize::from(alive)
    })
}

/// Kills the supervisor, its server, or both, once.
fn strike(deployment: &mut Deployment, random: &mut StdRng) -> usize {
    match random.random_range(0..3) {
        0 => deployment.kill_nats(),
        // The supervisor alone: its orphaned server is found and stopped at the next start.
        1 => hit(deployment.up.take()),
        _ => hit(deployment.up.take()).max(deployment.kill_nats()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_tree_the_supervisor_or_its_server_loses_and_doubles_nothing() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut deployment = Deployment::start();
    let (mut senders, mut readers): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        let role = format!("sender-{number}");
        senders.push(deployment.agent_by_position("default", &role, "s").await);
    }
    for number in 0..READERS {
        let instance = format!("r{number}");
        readers.push(
            deployment
                .agent_by_position("default", "reader", &instance)
                .await,
        );
    }
    let books = under_load(senders, readers, async {
        let (wanted, mut hits) = (kills().div_ceil(2), 0);
        while hits < wanted {
            pause(&mut random).await;
            hits += strike(&mut deployment, &mut random);
            // Half of the time the next kill comes while it starts; then it is left to itself.
            if deployment.up.is_none() && random.random_bool(0.5) {
                deployment.restart_without_waiting();
                pause(&mut random).await;
                hits += strike(&mut deployment, &mut random);
            }
            if deployment.up.as_mut().is_none_or(Process::has_ended) {
                drop(deployment.up.take());
                deployment.restart();
            }
        }
        deployment.revive().await;
        println!("{hits} kills hit");
        pause(&mut random).await;
    })
    .await;
    books.balance(&deployment.operator().await, "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_broker_projector_and_server_separately_loses_and_doubles_nothing() {
    let mut random = StdRng::seed_from_u64(harness::seed());
    let mut fleet = Fleet::start(2, 2, 2);
    fleet.tenant("acme", 1).await;
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        let role = format!("sender-{number}");
        senders.push(fleet.agent_by_position("acme", &role, "s").await);
    }
    for number in 0..READERS {
        let instance = format!("r{number}");
        readers.push(fleet.agent_by_position("acme", "reader", &instance).await);
    }
    let books = under_load(senders, readers, async {
        let (wanted, mut hits) = (kills() / 2, 0);
        while hits < wanted {
            pause(&mut random).await;
            // One to three fall before any of them is back: the second hits amid recovery.
            for _ in 0..random.random_range(1..=3) {
                let which = random.random_range(0..2);
                hits += match random.random_range(0..3) {
                    0 => hit(fleet.brokers[which].take()),
                    1 => hit(fleet.projectors[which].take()),
                    _ => hit(fleet.nats.take()),
                };
                if random.random_bool(0.5) {
                    fleet.revive_without_waiting();
                    pause(&mut random).await;
                }
            }
            fleet.revive();
        }
        fleet.restart_parts();
        println!("{hits} kills hit");
        pause(&mut random).await;
    })
    .await;
    books.balance(&fleet.operator().await, "acme").await;
}
