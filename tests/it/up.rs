//! `postroad up`: starts from nothing, refuses what cannot work, keeps its server alive, stops
//! cleanly, and finds everything again.

use crate::harness::{Deployment, binary, cli, eventually, process};
use postroad_client::{Check, Draft};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

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
