//! Temporary.
use crate::harness::{Caller, Town};
use postroad_broker::Durability;
use postroad_protocol::id::CommandId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

async fn run(town: &Town, callers: &[Caller], n: usize, secs: u64) -> (f64, f64, f64) {
    let count = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(secs);
    let mut tasks = vec![];
    for w in 0..n {
        let c = callers[w % callers.len()].clone();
        let count = count.clone();
        tasks.push(tokio::spawn(async move {
            let content = "x".repeat(300);
            let mut lat = vec![];
            while Instant::now() < end {
                let t = Instant::now();
                c.send(CommandId::generate(), "bob", &content)
                    .await
                    .unwrap();
                lat.push(t.elapsed().as_secs_f64() * 1e3);
                count.fetch_add(1, Ordering::Relaxed);
            }
            lat
        }));
    }
    let mut lat = vec![];
    for t in tasks {
        lat.extend(t.await.unwrap());
    }
    lat.sort_by(f64::total_cmp);
    let _ = town;
    (
        count.load(Ordering::Relaxed) as f64 / secs as f64,
        lat[lat.len() / 2],
        lat[lat.len() * 99 / 100],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bench_tmp() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let town = Town::new(durability).await;
        town.tenant("acme", &["tau", "bob"]).await;
        let mut callers = vec![];
        for i in 0..4 {
            callers.push(town.agent("acme", "tau", &format!("pi{i}")).await);
        }
        for c in &callers {
            c.say("bob", "r").await;
        }
        // raw
        let client = town.server.connect("_INBOX.raw").await;
        let js = async_nats::jetstream::new(client);
        for n in [1, 16, 256] {
            let end = Instant::now() + Duration::from_secs(2);
            let count = Arc::new(AtomicU64::new(0));
            let mut tasks = vec![];
            for _ in 0..n {
                let (js, count) = (js.clone(), count.clone());
                tasks.push(tokio::spawn(async move {
                    while Instant::now() < end {
                        js.publish("postroad.zzz.evt.0.message.x", vec![7u8; 512].into())
                            .await
                            .unwrap()
                            .await
                            .unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
            for t in tasks {
                t.await.unwrap();
            }
            println!(
                "{durability:?} raw {n}: {}",
                count.load(Ordering::Relaxed) / 2
            );
        }
        for n in [1, 4, 8, 16, 32, 64, 256, 1024] {
            let before = town.broker.counters();
            let (rate, p50, p99) = run(&town, &callers, n, 2).await;
            let after = town.broker.counters();
            let batches = after.batches - before.batches;
            println!(
                "{durability:?} broker {n}: {rate}/s p50 {p50:.2} p99 {p99:.2}  batches {} avg {:.0} plain {}",
                batches,
                (after.batched - before.batched) as f64 / (batches.max(1)) as f64,
                (after.appended - before.appended) - (after.batched - before.batched)
            );
        }
    }
}
