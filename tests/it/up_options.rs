//! `postroad up` as its options say, ended as people end it, and the words it says to them.

use crate::harness::process::{self, Lines, Process};
use crate::harness::{Deployment, binary, cli, connect, eventually, kill_nats_of, log};
use postroad_client::{Check, Client, Draft};
use postroad_protocol::TenantId;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[tokio::test]
async fn several_shards_are_all_served_and_all_found_again() {
    let mut deployment = Deployment::start_with(&["--shards", "3"]);
    let operator = deployment.operator().await;
    let mut sent = Vec::new();
    for shard in 0..3 {
        let name = format!("tenant-{shard}");
        let tenant = TenantId::parse(&name).unwrap();
        let created = operator.operator().unwrap();
        created.create_tenant(&tenant, Some(shard)).await.unwrap();
        let creds = deployment.creds(&name, "alice", Some("a")).await;
        let alice = connect(&deployment.url, &creds, None).await;
        let draft = Draft::new("alice", format!("in shard {shard}"));
        let position = alice.send(&draft).await.unwrap().position;
        assert_eq!(position.shard, shard);
        sent.push((creds, draft.id()));
        alice.close().await.unwrap();
    }
    let status = operator.operator().unwrap().status().await.unwrap();
    let mut shards: Vec<u16> = status.shards.iter().map(|shard| shard.shard).collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1, 2]);
    operator.close().await.unwrap();
    assert_eq!(deployment.stop(), 0);
    deployment.restart();
    for (creds, id) in sent {
        let alice = connect(&deployment.url, &creds, None).await;
        let kept = alice.get_message(id).await.unwrap();
        assert!(kept.message.content.starts_with("in shard "), "{kept:?}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    for number in ["0", "257", "many"] {
        let args = ["up", "--listen", "127.0.0.1:0", "--shards", number];
        cli::run_in(&elsewhere.path().join("d"), &args, "").expect(2);
    }
}

#[tokio::test]
async fn durability_is_what_the_server_is_told_and_fast_says_what_it_gives_up() {
    let sync_interval = |deployment: &Deployment| {
        let path = deployment.path().join("nats/nats-server.conf");
        let config = std::fs::read_to_string(path).unwrap();
        let line = config.lines().find(|line| line.contains("sync_interval"));
        line.map(|line| line.trim().replace([' ', '"'], ""))
    };
    let safe = Deployment::start();
    assert_eq!(
        sync_interval(&safe).as_deref(),
        Some("sync_interval:always")
    );
    drop(safe);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(".postroad");
    let (up, _) = start_up(&dir, folder.path(), &["--durability", "fast"]);
    eventually("it says what fast gives up", async || {
        up.stderr().contains("power loss")
    })
    .await;
    assert_eq!(up.stop(), 0);

    // What it does not give up: every crash of processes.
    let mut fast = Deployment::start_with(&["--durability", "fast"]);
    assert_ne!(
        sync_interval(&fast).as_deref(),
        Some("sync_interval:always")
    );
    let alice = fast.agent("default", "alice", "a").await;
    let mut ids = Vec::new();
    for number in 0..50 {
        let draft = Draft::new("alice", number.to_string());
        alice.send(&draft).await.unwrap();
        ids.push(draft.id().to_string());
    }
    fast.kill_tree();
    fast.restart();
    let stored = log::stored(&fast.operator().await, "default").await;
    assert_eq!(stored.len(), ids.len());
    assert!(
        ids.iter().all(|id| stored.get(id) == Some(&1)),
        "{stored:?}"
    );
}

#[tokio::test]
async fn ctrl_c_ends_it_with_zero_and_leaves_no_server_behind() {
    let mut deployment = Deployment::start();
    let nats = deployment.nats_pid().expect("a server runs");
    assert_eq!(deployment.up.take().unwrap().interrupt(), 0);
    assert!(!process::is_running(nats), "nats-server was left behind");
    deployment.restart();
    assert_eq!(deployment.stop(), 0, "and it starts again");
}

/// Sends one message after the other until told to stop; the ids that were acknowledged.
async fn keep_sending(
    client: Client,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let draft = Draft::new("bob", "in flight");
        // A send that finds nobody for a while is the same send until it is acknowledged.
        while client.send(&draft).await.is_err() {}
        acknowledged.push(draft.id().to_string());
        done.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_sends_in_flight_keeps_each_that_was_acknowledged_once() {
    let mut deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (client, stop, done) = (alice.clone(), Arc::clone(&stop), Arc::clone(&done));
        senders.spawn(keep_sending(client, stop, done));
    }
    eventually("sends are under way", async || {
        done.load(Ordering::Relaxed) > 100
    })
    .await;
    // Each of the 32 has a send in flight when the signal comes, and goes on until the start after.
    let up = deployment.up.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || up.terminate()).await;
    assert_eq!(ended.unwrap(), 0);
    let before = done.load(Ordering::Relaxed);
    deployment.restart();
    eventually("sends go on", async || {
        done.load(Ordering::Relaxed) > before + 32
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged: Vec<String> = senders.join_all().await.concat();
    acknowledged.sort_unstable();
    let stored = log::stored(&deployment.operator().await, "default").await;
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        acknowledged.iter().collect::<Vec<_>>()
    );
    assert!(stored.values().all(|times| *times == 1), "{stored:?}");
    let unread = bob.check(&Check::default()).await.unwrap();
    assert_eq!(unread.unread_total, acknowledged.len() as u64);
}

/// An `up` that a person started; when the test fails, its server goes with it.
struct Up {
    process: Option<Process>,
    dir: PathBuf,
}

impl Up {
    fn stderr(&self) -> String {
        self.process.as_ref().expect("it runs").stderr()
    }

    fn stop(mut self) -> i32 {
        self.process.take().expect("it runs").terminate()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.process.take());
        kill_nats_of(&self.dir);
    }
}

/// Starts `up` as a person does, without `--json`, in the directory `cwd`.
fn start_up(dir: &Path, cwd: &Path, args: &[&str]) -> (Up, String) {
    let mut command = Command::new(binary());
    command.current_dir(cwd).arg("--dir").arg(dir);
    command.args(["up", "--listen", "127.0.0.1:0"]).args(args);
    for name in ["NATS_URL", "NATS_CREDS", "NATS_CONTEXT", "POSTROAD_DIR"] {
        command.env_remove(name);
    }
    let (process, stdout) = Process::start(command);
    let up = Up {
        process: Some(process),
        dir: dir.to_owned(),
    };
    (up, Lines::of(stdout).next())
}

#[tokio::test]
async fn the_commands_that_it_shows_run_as_they_are_printed() {
    // In the directory above `.postroad`, as by default; and with a DIR that must be named.
    for name in [".postroad", "mine"] {
        let folder = tempfile::tempdir().unwrap();
        let (up, ready) = start_up(&folder.path().join(name), folder.path(), &[]);
        assert!(
            ready.starts_with("postroad ready nats://127.0.0.1:"),
            "{ready}"
        );
        let mut commands = Vec::new();
        eventually("three commands are shown", async || {
            let shown = up.stderr();
            let lines = shown.lines().filter_map(|line| line.strip_prefix("  "));
            commands = lines.map(str::to_owned).collect();
            commands.len() == 3 && shown.ends_with("\n\n")
        })
        .await;
        let mut last = None;
        for line in &commands {
            let mut shell = Command::new("sh");
            shell.current_dir(folder.path()).args(["-c", line]);
            last = Some(cli::run(shell, "").expect(0));
        }
        let last = last.unwrap();
        assert!(last.stdout.contains("hello from alice"), "{last:?}");
        assert!(last.stdout.contains("alice/"), "{last:?}");
        assert_eq!(up.stop(), 0);
    }
}
