//! A suspended tenant: its agents are refused at once, nothing of it is lost, nobody else notices.

use crate::harness::road::{Road, promised_by_both_kinds};
use crate::harness::{Deployment, connect, eventually};
use postroad_client::{Check, Client, ClientError, Draft, Page};
use postroad_protocol::ErrorCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

promised_by_both_kinds!(
    agents_of_a_suspended_tenant_are_refused_and_find_everything_afterwards,
    an_open_wait_ends_with_the_suspension,
);

fn is_refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> bool {
    match outcome {
        Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::PermissionDenied => {
            assert_eq!(refusal.message, "this tenant is suspended");
            assert!(refusal.remedy.contains("operator"), "{refusal:?}");
            true
        }
        Ok(_) => false,
        other => panic!("{other:?}"),
    }
}

/// Whether each of these calls was refused.
async fn all_refused(agent: &Client) -> bool {
    let outcomes = [
        is_refused(agent.set_summary("while suspended").await),
        is_refused(agent.check(&Check::default()).await),
        is_refused(agent.list_peers(&Page::default()).await),
        is_refused(agent.whoami().await),
    ];
    outcomes.iter().all(|refused| *refused)
}

fn events(road: &Road, tenant: &str) -> Vec<Value> {
    let ran = road
        .run(&["--json", "replay", "--tenant", tenant])
        .expect(0);
    let events = ran.stdout.lines().map(serde_json::from_str::<Value>);
    let events = events.map(|event| event.expect("an event is JSON"));
    events
        .filter(|event| event["type"] != "operator_read")
        .collect()
}

async fn agents_of_a_suspended_tenant_are_refused_and_find_everything_afterwards(road: Road) {
    for tenant in ["acme", "globex"] {
        road.tenant(tenant).await;
    }
    let agent = async |tenant, role| {
        let creds = road.creds(tenant, role, Some("i1")).await;
        connect(road.url(), &creds, None).await
    };
    let (tau, pi) = (agent("acme", "tau").await, agent("acme", "pi").await);
    let neighbour = agent("globex", "tau").await;
    let before = tau.send(&Draft::new("pi", "before")).await.unwrap();

    let suspend = [
        "--json", "tenant", "suspend", "--tenant", "acme", "--reason", "invoice",
    ];
    let first = road.run(&suspend).expect(0).json();
    assert_eq!(first["already"], false, "{first}");
    let again = road.run(&suspend).expect(0).json();
    assert_eq!(
        (&again["already"], &again["position"]),
        (&json!(true), &first["position"])
    );
    // The broker and the projector that answered have it in force; others learn it from the log.
    eventually("every part refuses", async || {
        for _ in 0..5 {
            if !all_refused(&tau).await || !all_refused(&pi).await {
                return false;
            }
        }
        true
    })
    .await;
    let stored = events(&road, "acme");
    let last = stored
        .iter()
        .rfind(|event| event["type"] == "tenant_suspended");
    assert_eq!(last.unwrap()["data"], json!({"reason":"invoice"}));
    assert!(all_refused(&tau).await);
    assert!(is_refused(
        tau.send(&Draft::new("pi", "while suspended")).await
    ));
    assert!(is_refused(
        pi.mark_messages_as_read([before.message_id.to_string()])
            .await
    ));
    assert_eq!(events(&road, "acme"), stored, "nothing more was stored");
    neighbour
        .send(&Draft::new("tau", "to myself"))
        .await
        .unwrap();
    neighbour.check(&Check::default()).await.unwrap();

    let listed = road.run(&["--json", "tenant", "list"]).expect(0).json();
    let state = |tenant: &str| {
        let tenants = listed["tenants"].as_array().expect("tenants");
        let found = tenants.iter().find(|entry| entry["tenant"] == tenant);
        found.expect("the tenant is listed")["state"].clone()
    };
    assert_eq!(
        (state("acme"), state("globex")),
        (json!("suspended"), json!("active"))
    );
    let shown = road
        .run(&["--json", "tenant", "show", "acme"])
        .expect(0)
        .json();
    assert_eq!(shown["state"], "suspended", "{shown}");
    assert_eq!(shown["suspendReason"], "invoice", "{shown}");
    assert!(shown["suspendedAt"].is_u64(), "{shown}");
    road.run(&["agent", "list", "--tenant", "acme"]).expect(0);
    road.creds("acme", "late", Some("i1")).await;
    road.run(&["agent", "retire", "--tenant", "acme", "--role", "late"])
        .expect(0);

    let resume = ["--json", "tenant", "resume", "--tenant", "acme"];
    let resumed = road.run(&resume).expect(0).json();
    assert_eq!(resumed["already"], false, "{resumed}");
    let again = road.run(&resume).expect(0).json();
    assert_eq!(
        (&again["already"], &again["position"]),
        (&json!(true), &resumed["position"])
    );
    eventually("every part serves", async || {
        for _ in 0..5 {
            if tau.whoami().await.is_err() || tau.set_summary("back").await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    let unread = pi.check(&Check::default()).await.unwrap();
    let contents: Vec<_> = unread.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(contents, ["before"]);
    tau.send(&Draft::new("pi", "after")).await.unwrap();
    let shown = road
        .run(&["--json", "tenant", "show", "acme"])
        .expect(0)
        .json();
    assert_eq!(
        (&shown["state"], &shown["suspendedAt"]),
        (&json!("active"), &Value::Null)
    );
}

async fn an_open_wait_ends_with_the_suspension(road: Road) {
    road.tenant("acme").await;
    let creds = road.creds("acme", "tau", Some("i1")).await;
    let tau = connect(road.url(), &creds, None).await;
    // It has registered and is told that there is nothing: the next check waits.
    tau.check(&Check::default()).await.unwrap();
    let waits = tau.clone();
    let waiting = tokio::spawn(async move {
        let check = Check::default().wait(Duration::from_mins(1));
        waits.check(&check).await
    });
    tau.whoami().await.unwrap();
    let start = Instant::now();
    road.run(&["tenant", "suspend", "acme"]).expect(0);
    assert!(is_refused(waiting.await.unwrap()));
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_suspension_outlives_restarts_and_rebuilds() {
    let mut deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let tau = connect(&deployment.url, &creds, None).await;
    tau.send(&Draft::new("tau", "before")).await.unwrap();
    deployment.run(&["tenant", "suspend", "default"]).expect(0);
    assert!(all_refused(&tau).await);
    assert_eq!(deployment.stop(), 0);
    deployment.restart();
    let tau = connect(&deployment.url, &creds, None).await;
    assert!(all_refused(&tau).await);
    deployment.run(&["rebuild"]).expect(0);
    let operator = deployment.operator().await;
    eventually("the rows are followed again", async || {
        let status = operator.operator().unwrap().status().await;
        status.is_ok_and(|status| status.shards.iter().all(|shard| shard.state == "following"))
    })
    .await;
    assert!(all_refused(&tau).await);
    deployment.run(&["tenant", "resume", "default"]).expect(0);
    tau.send(&Draft::new("tau", "after")).await.unwrap();
}

#[tokio::test]
async fn no_bell_rings_and_a_subscription_is_told_that_its_tenant_is_suspended() {
    let deployment = Deployment::start();
    let tau = deployment.agent("default", "tau", "i1").await;
    let mut mail = tau.subscribe().await.unwrap();
    deployment.run(&["tenant", "suspend", "default"]).expect(0);
    let told = tokio::time::timeout(Duration::from_secs(30), mail.next()).await;
    assert!(is_refused(told.expect("it is told").expect("an error")));
}

#[test]
fn what_cannot_be_suspended_is_refused_with_its_code() {
    let deployment = Deployment::start();
    let code = |args: &[&str]| deployment.run(&[&["--json"], args].concat());
    let missing = code(&["tenant", "suspend", "nobody"]).expect(3);
    assert!(
        missing.stdout.is_empty() && missing.stderr.contains("not_found"),
        "{missing:?}"
    );
    code(&["tenant", "resume", "nobody"]).expect(3);
    let long = "x".repeat(2_000);
    let refused = code(&["tenant", "suspend", "default", "--reason", &long]);
    assert!(refused.stderr.contains("too_large"), "{refused:?}");
    let creds = deployment
        .dir
        .path()
        .join("tau.creds")
        .display()
        .to_string();
    code(&[
        "agent", "issue", "--tenant", "default", "--role", "tau", "--out", &creds,
    ])
    .expect(0);
    code(&["--creds", &creds, "tenant", "suspend", "default"]).expect(4);
    let shown = code(&["tenant", "show", "default"]).expect(0).json();
    assert_eq!(shown["state"], "active");
}
