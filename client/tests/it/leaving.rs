//! When a client's connection ends: nobody uses it any more, or its credential has ended. Whether it has is seen
//! by the tasks that live.

use crate::world::{TIMEOUT, World, eventually};
use postroad_client::{Check, Client, ClientError};
use postroad_protocol::ErrorCode;
use std::time::Duration;
use tokio::net::TcpListener;

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn until_tasks_are(count: usize) {
    eventually("what it started has ended", async || tasks() == count).await;
}

/// Waits until somebody tries to connect, and hangs up.
async fn attempt(listener: &TcpListener) {
    let tried = tokio::time::timeout(TIMEOUT, listener.accept()).await;
    tried.expect("it tries to connect").unwrap();
}

async fn refused(client: &Client) -> ClientError {
    client.check(&Check::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_client_that_is_dropped_ends_its_connection() {
    let world = World::start();
    let before = tasks();
    let client = world.agent("alice", "desk").await;
    let presence = client.keep_present().unwrap();
    drop(client);
    presence.leave().await;
    until_tasks_are(before).await;
}

#[tokio::test]
async fn a_client_that_is_dropped_while_its_server_is_away_tries_no_more() {
    let mut world = World::start();
    let before = tasks();
    let client = world.agent("alice", "desk").await;
    let (clone, presence) = (client.clone(), client.keep_present().unwrap());
    world.kill();
    let listener = TcpListener::bind(world.address()).await.unwrap();
    for _ in 0..3 {
        attempt(&listener).await;
    }
    drop(client);
    attempt(&listener).await;
    drop(clone);
    attempt(&listener).await;
    drop(presence);
    until_tasks_are(before).await;
}

#[tokio::test]
async fn a_client_that_is_closed_while_its_server_is_away_tries_no_more() {
    let mut world = World::start();
    let before = tasks();
    let creds = world.agent_creds("alice", "desk", &["self", "messages"]);
    let quick = world.options(&creds).timeout(Duration::from_millis(100));
    let client = Client::connect(quick).await.unwrap();
    world.kill();
    let listener = TcpListener::bind(world.address()).await.unwrap();
    attempt(&listener).await;
    let clone = client.clone();
    client.close().await.unwrap();
    eventually("the clone is closed, too", async || {
        matches!(refused(&clone).await, ClientError::Closed)
    })
    .await;
    until_tasks_are(before).await;
}

#[tokio::test]
async fn a_client_whose_credential_has_expired_tries_no_more_and_says_why() {
    let world = World::start();
    let before = tasks();
    let creds = world.creds_for("alice", "desk", Duration::from_secs(2));
    let client = Client::connect(world.options(&creds)).await.unwrap();
    // Nobody is there to renew it.
    until_tasks_are(before).await;
    assert_eq!(refused(&client).await.code(), ErrorCode::Unauthenticated);
}
