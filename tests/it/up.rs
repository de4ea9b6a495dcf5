//! `postroad up`: starts from nothing, refuses what cannot work, keeps its server alive, stops
//! cleanly, and finds everything again.

use crate::harness::{Deployment, binary, cli, eventually, log as harness_log, process, seed};
use postroad_client::{Check, Draft};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

#[tokio::test]
async fn a_stopped_deployment_starts_again_with_everything_still_there() {
    let mut deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.creds("default", "bob", Some("b")).await;
    let sent = alice
        .send(&Draft::new("bob", "survives a stop"))
        .await
        .unwrap();
    alice.close().await.unwrap();
    assert_eq!(deployment.stop(), 0);
    assert!(
        deployment
            .nats_pid()
            .is_none_or(|pid| !process::is_running(pid)),
        "nats-server was left behind"
    );
    deployment.restart();
    let bob = crate::harness::connect(&deployment.url, &bob, None).await;
    let unread = bob.check(&Check::default()).await.unwrap();
    assert_eq!(unread.messages[0].message_id, sent.message_id);
}

/// Members of a batch wait for their commit in memory, where the system has a place for that, and a
/// loss of power takes them along.
#[tokio::test]
async fn what_is_acknowledged_does_not_depend_on_where_batches_wait() {
    let mut deployment = Deployment::start();
    let alice = deployment.creds("default", "alice", Some("a")).await;
    deployment.creds("default", "bob", Some("b")).await;
    let mut acknowledged = BTreeSet::new();
    let mut random = StdRng::seed_from_u64(seed());
    for round in 0..3 {
        let batches = deployment.batches();
        let in_memory = batches.is_symlink();
        assert!(in_memory || !has_roomy_memory(), "{}", batches.display());
        let staging = std::fs::read_link(&batches);
        let client = crate::harness::connect(&deployment.url, &alice, None).await;
        let sends = (0..300).map(|number| {
            let client = client.clone();
            async move {
                let draft = Draft::new("bob", format!("{round} {number}"));
                client.send(&draft).await.expect("it is stored").message_id
            }
        });
        let sent = futures_util::future::join_all(sends).await;
        acknowledged.extend(sent.iter().map(ToString::to_string));
        // Some that nobody waits for, so that a batch may be open.
        let unheard = (0..300).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let _ = client.send(&Draft::new("bob", number.to_string())).await;
            })
        });
        let unheard: Vec<_> = unheard.collect();
        let instant = random.random_range(3_000..25_000);
        tokio::time::sleep(Duration::from_micros(instant)).await;
        // The server first: in the middle of a commit, if it can be.
        deployment.kill_nats();
        deployment.kill_tree();
        unheard.iter().for_each(tokio::task::JoinHandle::abort);
        if let Ok(staging) = staging {
            std::fs::remove_dir_all(staging).expect("memory is lost");
        }
        deployment.restart();
    }
    let stored = harness_log::stored(&deployment.operator().await, "default").await;
    for id in &acknowledged {
        assert_eq!(stored.get(id), Some(&1), "{id}");
    }
    assert_eq!(acknowledged.len(), 900);
}

/// Whether this system has a place in memory with so much room that staging has to be there.
#[cfg(target_os = "linux")]
fn has_roomy_memory() -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    statfs("/dev/shm").is_ok_and(|stat| {
        stat.filesystem_type() == TMPFS_MAGIC
            && stat.blocks_available() * u64::try_from(stat.block_size()).unwrap() > 256 << 20
    })
}

#[cfg(not(target_os = "linux"))]
fn has_roomy_memory() -> bool {
    false
}

#[tokio::test]
async fn the_first_start_makes_private_files_and_the_tenant_default() {
    let deployment = Deployment::start();
    for (path, mode) in [
        ("operator.creds", 0o600),
        ("keys", 0o700),
        ("keys/master.key", 0o600),
    ] {
        let metadata = std::fs::metadata(deployment.path().join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
    let listed = deployment
        .run(&["--json", "tenant", "list"])
        .expect(0)
        .json();
    assert_eq!(listed["tenants"][0]["tenant"], "default");
}

#[tokio::test]
async fn a_second_up_on_the_same_folder_or_port_is_refused_with_the_reason() {
    let deployment = Deployment::start();
    let second = deployment.run(&["up", "--listen", "127.0.0.1:0"]).expect(5);
    let pid = deployment.up.as_ref().unwrap().pid().to_string();
    assert!(
        second.stderr.contains(&pid),
        "it names the process that has the folder: {second:?}"
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let listen = deployment.url.trim_start_matches("nats://");
    let mut command = Command::new(binary());
    command
        .arg("--dir")
        .arg(elsewhere.path().join("d"))
        .args(["up", "--listen", listen]);
    let taken = cli::run(command, "").expect(5);
    let port = listen.rsplit(':').next().unwrap();
    assert!(
        taken.stderr.contains(port) && taken.stderr.contains("in use"),
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_nats_server_that_is_too_old_or_missing_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("nats-server");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (server, word) in [
        (old.display().to_string(), "2.9.10"),
        ("/nowhere/nats-server".to_owned(), "/nowhere/nats-server"),
    ] {
        let mut command = Command::new(binary());
        command.arg("--dir").arg(folder.path().join("d")).args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--nats-server",
            &server,
        ]);
        let refused = cli::run(command, "").expect(1);
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn a_nats_server_that_dies_is_started_again_and_nobody_has_to_do_anything() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    alice.send(&Draft::new("bob", "before")).await.unwrap();
    let first = deployment.nats_pid().expect("a server runs");
    process::kill(first);
    eventually("another nats-server runs", async || {
        deployment.nats_pid().is_some_and(|pid| pid != first)
    })
    .await;
    alice.send(&Draft::new("bob", "after")).await.unwrap();
    eventually("both messages are there", async || {
        bob.check(&Check::default()).await.is_ok_and(|unread| {
            unread
                .messages
                .iter()
                .map(|message| message.content.as_str())
                .eq(["before", "after"])
        })
    })
    .await;
}

#[tokio::test]
async fn a_killed_tree_starts_again_and_lost_nothing_that_was_acknowledged() {
    let mut deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let bob = deployment.agent("default", "bob", "b").await;
    alice
        .send(&Draft::new("bob", "acknowledged"))
        .await
        .unwrap();
    deployment.kill_tree();
    deployment.restart();
    eventually("the message is there", async || {
        bob.check(&Check::default())
            .await
            .is_ok_and(|unread| unread.unread_total == 1)
    })
    .await;
}
