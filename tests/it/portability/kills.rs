//! An import that is stopped at any moment, or that runs twice at once, stores each event once.

use super::{Told, export, file, history, import, lines};
use crate::harness::process::Process;
use crate::harness::{Deployment, binary, eventually, seed};
use postroad_client::Client;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::path::Path;
use std::process::Command;

fn start(deployment: &Deployment, file: &Path) -> Process {
    let mut command = Command::new(binary());
    command
        .arg("--dir")
        .arg(deployment.path())
        .args(["--json", "tenant", "import"])
        .arg(file);
    Process::start_unheard(command)
}

async fn end(operator: &Client) -> u64 {
    let status = operator.operator().unwrap().status().await;
    status.map_or(0, |status| status.shards[0].end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_import_goes_on_where_it_was_and_doubles_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut deployment = Deployment::start();
    let text = Told::with_messages(5_000).end();
    let path = file(&deployment, "acme.ndjson", &text);
    let operator = deployment.operator().await;
    let mut target = end(&operator).await;
    for round in 0..4 {
        target += random.random_range(1..1_300);
        let mut running = start(&deployment, &path);
        eventually("so much is stored", async || {
            running.has_ended() || end(&operator).await >= target
        })
        .await;
        running.kill();
        if round == 1 {
            // The deployment may be killed as well.
            deployment.kill_tree();
            deployment.restart();
        }
    }
    let ran = import(&deployment, &path, &[]).expect(0).json();
    let count = |field: &str| ran[field].as_u64().unwrap();
    assert_eq!(count("imported") + count("skipped"), 5_001, "{ran}");
    assert!(count("skipped") > 0, "{ran}");
    let stored = history(&lines(&export(&deployment, "acme")));
    assert!(stored == history(&lines(&text)), "{} lines", stored.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_at_once_store_each_event_once_and_in_order() {
    let deployment = Deployment::start();
    let text = Told::with_messages(2_600).end();
    let path = file(&deployment, "acme.ndjson", &text);
    let ran = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| import(&deployment, &path, &[]).expect(0)));
        both.map(|one| one.join().expect("an import").json())
    });
    for ran in &ran {
        let count = |field: &str| ran[field].as_u64().unwrap();
        assert_eq!(count("imported") + count("skipped"), 2_601, "{ran}");
    }
    let stored = history(&lines(&export(&deployment, "acme")));
    assert!(stored == history(&lines(&text)), "{} lines", stored.len());
}
