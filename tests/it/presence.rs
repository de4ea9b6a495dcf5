//! Who is there: online while it says so, offline when it has left or fallen silent.

use crate::harness::process::{Lines, Process};
use crate::harness::witness::now_ms;
use crate::harness::{DEADLINE, Deployment, binary};
use postroad_client::{Client, Draft, Page};
use postroad_protocol::limits::{PRESENCE_EVERY_MS, PRESENCE_ONLINE_MS};
use postroad_protocol::query::Peer;
use std::process::Command;
use std::time::{Duration, Instant};

async fn peer(asking: &Client, role: &str) -> Peer {
    let peers = asking.list_peers(&Page::default()).await.unwrap().peers;
    let found = peers.into_iter().find(|peer| peer.id.as_str() == role);
    found.unwrap_or_else(|| panic!("{role} is on the roster"))
}

/// Waits until a peer is online, or is not.
async fn until(asking: &Client, role: &str, online: bool) -> Peer {
    let start = Instant::now();
    loop {
        let now = peer(asking, role).await;
        if now.online == online {
            return now;
        }
        assert!(start.elapsed() < DEADLINE, "{role}: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `watch` as bob, once it has shown the mail that was there.
async fn watching(deployment: &Deployment, alice: &Client) -> Process {
    let creds = deployment.creds("default", "bob", Some("b")).await;
    let file = deployment.dir.path().join("bob.creds");
    std::fs::write(&file, creds).unwrap();
    alice
        .send(&Draft::new("bob", "are you there?"))
        .await
        .unwrap();
    let mut command = Command::new(binary());
    command.arg("--dir").arg(deployment.path());
    command.args(["--json", "watch", "--creds"]).arg(file);
    let (process, stdout) = Process::start(command);
    assert_eq!(Lines::of(stdout).next_json()["content"], "are you there?");
    process
}

#[tokio::test]
async fn an_agent_that_leaves_is_offline_at_once_and_one_that_never_came_is_too() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let carol = deployment.agent("default", "carol", "c").await;
    deployment.creds("default", "dave", Some("d")).await;
    let never = peer(&alice, "dave").await;
    assert!(!never.online && never.last_seen.is_none(), "{never:?}");
    // As a program, and from the library: leaving, and being dropped.
    let watch = watching(&deployment, &alice).await;
    until(&alice, "bob", true).await;
    let left_at = Instant::now();
    assert_eq!(watch.interrupt(), 0);
    let gone = until(&alice, "bob", false).await;
    assert!(gone.last_seen.is_some(), "{gone:?}");
    carol.keep_present().unwrap().leave().await;
    until(&alice, "carol", false).await;
    let presence = carol.keep_present().unwrap();
    until(&alice, "carol", true).await;
    drop(presence);
    until(&alice, "carol", false).await;
    // None of it was only silence.
    let silence = Duration::from_millis(PRESENCE_ONLINE_MS);
    assert!(left_at.elapsed() < silence, "{:?}", left_at.elapsed());
}

#[tokio::test]
async fn an_agent_whose_heartbeat_ends_without_a_word_is_offline_when_its_time_is_over() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let watch = watching(&deployment, &alice).await;
    until(&alice, "bob", true).await;
    watch.freeze();
    // A beat sent just before may still be on its way; the next would come long after this.
    let last_beat = until_silent(&alice).await;
    let gone = until(&alice, "bob", false).await;
    assert_eq!(
        gone.last_seen, last_beat.last_seen,
        "nothing was heard of it"
    );
    let silent_for = now_ms() - gone.last_seen.unwrap().0;
    // The log may have heard of it (a delivered mark) a moment after its last heartbeat.
    let bounds = PRESENCE_ONLINE_MS - 1_000..PRESENCE_ONLINE_MS + PRESENCE_EVERY_MS;
    assert!(bounds.contains(&silent_for), "{silent_for}");
}

/// What was heard of bob last, when that is more than a moment ago.
async fn until_silent(asking: &Client) -> Peer {
    let start = Instant::now();
    loop {
        let bob = peer(asking, "bob").await;
        assert!(bob.online, "{bob:?}");
        if now_ms() > bob.last_seen.unwrap().0 + 500 {
            return bob;
        }
        assert!(start.elapsed() < DEADLINE, "{bob:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
