//! How callers over HTTP end: revoked, expired, idle, vanished, or because the server stops.

use crate::client::OLD;
use crate::harness::{Deployment, eventually};
use crate::web::{Answer, Gateway, Web, get, open, read, revoke, send, token};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use postroad_protocol::token::Token;
use serde_json::json;
use std::time::{Duration, Instant};

/// Within which a revoked caller has to be gone.
const AT_ONCE: Duration = Duration::from_secs(1);

fn fast() -> Deployment {
    Deployment::start_with(&["--durability", "fast"])
}

/// Has `caller` wait for mail meanwhile.
fn wait(caller: &Web, wait_ms: u64) -> tokio::task::JoinHandle<Answer> {
    let caller = caller.clone();
    tokio::spawn(async move {
        let wait = json!({"waitMs": wait_ms});
        caller.try_call("wait_for_messages", &wait).await
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_out_within_a_second_with_all_its_streams() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let leaked = token(&operator, "acme", "tau", "mcp", None).await;
    let other = token(&operator, "acme", "tau", "mcp", None).await;
    let (caller, stays) = (gateway.caller(&leaked), gateway.caller(&other));
    let session = gateway.caller(&leaked).with_session(OLD).await;
    stays.call("whoami", json!({})).await;
    // A subscription, the stream of a session, and a wait.
    let subscribing = json!({"notifications": {"resourceSubscriptions": ["inbox://acme/tau/mcp"]}});
    let mut listening = open(
        &gateway.address,
        caller.asking("subscriptions/listen", subscribing),
    )
    .await;
    assert_eq!(listening.status(), StatusCode::OK);
    assert!(
        listening.body_mut().frame().await.unwrap().is_ok(),
        "it is acknowledged"
    );
    let mut request = get("/mcp", &gateway.address);
    for (name, value) in [
        ("authorization", format!("Bearer {}", session.token)),
        ("accept", "text/event-stream".to_owned()),
        ("mcp-session-id", session.session.clone().unwrap()),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let streaming = open(&gateway.address, request).await;
    assert_eq!(streaming.status(), StatusCode::OK);
    let waits = wait(&caller, 40_000);
    crate::harness::eventually("three are under way", async || {
        gateway.counts().await.requests == 3
    })
    .await;

    revoke(&operator, "acme", &leaked).await;
    let revoked = Instant::now();
    let (listened, streamed, waited) = tokio::join!(read(listening), read(streaming), waits);
    assert!(revoked.elapsed() < AT_ONCE, "{:?}", revoked.elapsed());
    assert!(!listened.body.contains("error") && streamed.status == StatusCode::OK);
    assert_eq!(waited.unwrap().status, StatusCode::UNAUTHORIZED);
    for former in [&caller, &session] {
        let answer = former.try_call("whoami", &json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
    assert!(revoked.elapsed() < AT_ONCE, "{:?}", revoked.elapsed());
    // Another token of the very same agent goes on.
    assert_eq!(stays.call("whoami", json!({})).await["role"], json!("tau"));
    crate::harness::eventually("one is left", async || {
        let counts = gateway.counts().await;
        (counts.callers, counts.sessions, counts.requests) == (1, 0, 0)
    })
    .await;
    // What nats-server refuses is not tried for ever.
    let said = gateway.process.said();
    let mut heard = (0, Instant::now());
    crate::harness::eventually("it is given up", async || {
        let tries = said.text().matches("authorization violation").count();
        if tries != heard.0 {
            heard = (tries, Instant::now());
        }
        // Twice as long as the longest pause between two tries.
        heard.1.elapsed() > Duration::from_secs(8)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_by_itself_is_out_when_it_ends() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let brief = token(
        &operator,
        "acme",
        "tau",
        "mcp",
        Some(Duration::from_secs(4)),
    )
    .await;
    let issued = Instant::now();
    let caller = gateway.caller(&brief);
    caller.call("whoami", json!({})).await;
    let wait = json!({"waitMs": 40_000});
    let waited = caller.try_call("wait_for_messages", &wait).await;
    assert_eq!(waited.status, StatusCode::UNAUTHORIZED, "{waited:?}");
    let lived = issued.elapsed();
    assert!(
        lived > Duration::from_secs(2) && lived < Duration::from_secs(6),
        "{lived:?}"
    );
    let again = caller.try_call("whoami", &json!({})).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    gateway.expect_nobody().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_serves_the_token_that_opened_it_and_no_other() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let operator = deployment.operator().await;
    let own = token(&operator, "acme", "tau", "mcp", None).await;
    let session = gateway.caller(&own).with_session(OLD).await;
    // Of the same agent, of another role, and of another tenant.
    for (tenant, role) in [("acme", "tau"), ("acme", "pi"), ("globex", "tau")] {
        let token = token(&operator, tenant, role, "mcp", None).await;
        let mut thief = gateway.caller(&token).with_session(OLD).await;
        let theirs = thief
            .session
            .replace("7f2d0000-0000-4000-8000-00000000beef".to_owned());
        let unknown = thief.try_call("whoami", &json!({})).await;
        thief.session.clone_from(&session.session);
        let stolen = thief.try_call("whoami", &json!({})).await;
        assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{tenant}/{role}");
        assert_eq!(stolen.body, unknown.body, "as one that there never was");
        let mut end = thief.post(&json!({}));
        *end.method_mut() = hyper::Method::DELETE;
        send(&gateway.address, end).await;
        thief.session = theirs;
        thief.call("whoami", json!({})).await;
    }
    assert_eq!(
        session.call("whoami", json!({})).await["role"],
        json!("tau")
    );
    let mut end = session.post(&json!({}));
    *end.method_mut() = hyper::Method::DELETE;
    assert!(send(&gateway.address, end).await.status.is_success());
    let gone = session.try_call("whoami", &json!({})).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    // Sessions of one token have a bound.
    let caller = gateway.caller(&own);
    for _ in 0..64 {
        caller.clone().with_session(OLD).await;
    }
    let hello = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}
    });
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello});
    let refused = send(&gateway.address, caller.post(&body)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["code"], json!("quota_exceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing_and_loses_nothing() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &["--http-idle", "2s"]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let tau = gateway.caller(&token(&operator, "acme", "tau", "mcp", None).await);
    let pi = gateway.caller(&token(&operator, "acme", "pi", "mcp", None).await);
    let waits = wait(&tau, 50_000);
    crate::harness::eventually("it waits", async || gateway.counts().await.requests == 1).await;
    waits.abort();
    crate::harness::eventually("nobody waits any more", async || {
        let counts = gateway.counts().await;
        (counts.requests, counts.connections) == (0, 0)
    })
    .await;
    pi.call(
        "send_message",
        json!({"channel": "tau", "content": "still there?"}),
    )
    .await;
    assert_eq!(tau.unread().await, ["still there?"]);
    gateway.expect_nobody().await;
    // Who comes back is let in again, with the same mail.
    assert_eq!(tau.unread().await, ["still there?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_calls_finish_and_ends_waits() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let tau = gateway.caller(&token(&operator, "acme", "tau", "mcp", None).await);
    let waits = wait(&tau, 50_000);
    crate::harness::eventually("it waits", async || gateway.counts().await.requests == 1).await;
    let begun = Instant::now();
    assert_eq!(gateway.process.terminate(), 0);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let ended = waits.await.unwrap();
    assert!(ended.json().get("error").is_some(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_somebody_made_up_takes_no_callers_room() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &["--http-callers", "1"]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let tau = token(&operator, "acme", "tau", "mcp", None).await;
    let session = gateway.caller(&tau).with_session(OLD).await;
    for _ in 0..3 {
        let nobodys = gateway.caller(&Token::generate());
        let refused = nobodys.try_call("whoami", &json!({})).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    session.call("whoami", json!({})).await;
    // Somebody who is known does, where nothing of the other is under way.
    let pi = token(&operator, "acme", "pi", "mcp", None).await;
    gateway.caller(&pi).call("whoami", json!({})).await;
    let gone = session.try_call("whoami", &json!({})).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_before_its_token_was_looked_at_leaves_nothing() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &[]);
    // Nobody says whether a token is good, so that trying takes its time.
    let up = deployment.up.as_ref().unwrap();
    up.freeze();
    let nobodys = gateway.caller(&Token::generate());
    let trying = tokio::spawn(async move { nobodys.try_call("whoami", &json!({})).await });
    crate::harness::eventually("it is tried", async || gateway.counts().await.callers == 1).await;
    trying.abort();
    gateway.expect_nobody().await;
    let up = nix::unistd::Pid::from_raw(up.pid());
    nix::sys::signal::kill(up, nix::sys::signal::Signal::SIGCONT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_an_idle_caller_go_only_when_it_is_known() {
    let deployment = fast();
    let gateway = Gateway::start(&deployment, &["--http-callers", "1"]);
    deployment.tenant("acme").await;
    let operator = deployment.operator().await;
    let own = token(&operator, "acme", "tau", "mcp", None).await;
    let session = gateway.caller(&own).with_session(OLD).await;
    let stranger = gateway.caller(&Token::generate());
    let refused = stranger.try_call("whoami", &json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    session.call("whoami", json!({})).await;
    // Nobody goes who is active, and strangers hear the same as ever.
    let other = gateway.caller(&token(&operator, "acme", "pi", "mcp", None).await);
    let waiting = wait(&session, 40_000);
    eventually("the wait is under way", async || {
        gateway.counts().await.requests == 1
    })
    .await;
    let full = other.try_call("whoami", &json!({})).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "{full:?}");
    let stranger = gateway.caller(&Token::generate());
    let refused = stranger.try_call("whoami", &json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    waiting.abort();
    let _ = waiting.await;
    // Whoever is idle does, with its sessions.
    other.call("whoami", json!({})).await;
    assert_eq!(gateway.counts().await.callers, 1);
    eventually("its session is gone", async || {
        let gone = session.try_call("whoami", &json!({})).await;
        gone.status == StatusCode::NOT_FOUND
    })
    .await;
}
