//! What tenants use is counted: once, by day, over restarts and rebuilds, and shown to whom it concerns.

use crate::harness::fleet::Fleet;
use crate::harness::{DEADLINE, Deployment, connect, eventually};
use postroad_client::{Check, Draft};
use postroad_protocol::query::UsageDay;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The sum over all days; the test may run at midnight.
fn sum(days: &[UsageDay]) -> (u64, u64, u64, u64) {
    let each = |of: fn(&UsageDay) -> u64| days.iter().map(of).sum();
    (
        each(|day| day.commands),
        each(|day| day.queries),
        each(|day| day.pushes),
        each(|day| day.messages),
    )
}

fn asked(deployment: &Deployment, args: &[&str]) -> Vec<UsageDay> {
    let ran = deployment.run(&[&["--json", "usage"], args].concat());
    let document = ran.expect(0).json();
    serde_json::from_value(document["days"].clone()).expect("days")
}

#[tokio::test]
async fn what_was_used_is_there_after_a_stop_a_start_and_a_rebuild() {
    let mut deployment = Deployment::start();
    deployment.tenant("acme").await;
    deployment.tenant("idle").await;
    let creds = deployment.creds("acme", "tau", Some("i1")).await;
    deployment.creds("acme", "pi", Some("i1")).await;
    let tau = connect(&deployment.url, &creds, None).await;
    for _ in 0..5 {
        tau.send(&Draft::new("tau,pi", "hello")).await.unwrap();
    }
    tau.set_summary("counting").await.unwrap();
    for _ in 0..7 {
        tau.check(&Check::default()).await.unwrap();
    }
    let refused = tau.send(&Draft::new("nobody", "lost")).await;
    assert!(refused.is_err(), "what is refused is not counted");
    // Commands and messages are in the log: creation, two credentials, five sends, a summary.
    let (commands, _, _, messages) = sum(&tau.usage(1).await.unwrap().days);
    assert_eq!((commands, messages), (9, 5));

    assert_eq!(deployment.stop(), 0);
    deployment.restart();
    let stored = sum(&asked(&deployment, &["--tenant", "acme", "--days", "2"]));
    // Each message rings two roles; seven checks and the question before.
    assert_eq!(stored, (9, 8, 10, 5));
    deployment.run(&["rebuild"]).expect(0);
    let operator = deployment.operator().await;
    eventually("the rows are followed again", async || {
        let status = operator.operator().unwrap().status().await;
        status.is_ok_and(|status| status.shards.iter().all(|shard| shard.state == "following"))
    })
    .await;
    let days = asked(&deployment, &["--tenant", "acme"]);
    assert_eq!(sum(&days), stored);
    let bytes: u64 = days.iter().map(|day| day.stored_bytes).sum();
    let shown = deployment.run(&["--json", "tenant", "show", "acme"]);
    let total = shown.expect(0).json()["storedBytes"].as_u64().unwrap();
    // Showing the tenant is an event, too.
    assert!(
        bytes > 0 && bytes < total && total < bytes + 2_000,
        "{bytes} of {total}"
    );
    let all = asked(&deployment, &[]);
    let mut tenants: Vec<_> = all.iter().map(|day| day.tenant.as_str()).collect();
    tenants.dedup();
    assert_eq!(tenants, ["acme", "default", "idle"]);
    // Every read of the operator is in the log of each tenant whose use it saw.
    let trail = deployment.run(&["--json", "replay", "--tenant", "idle"]);
    let trail = trail.expect(0).stdout;
    let reads = trail.lines().map(serde_json::from_str::<Value>);
    let mut reads = reads
        .map(Result::unwrap)
        .filter(|event| event["type"] == "operator_read");
    assert!(reads.any(|read| read["data"]["verb"] == "usage"), "{trail}");
}

#[tokio::test]
async fn parts_that_stop_for_themselves_have_their_counts_stored() {
    let mut fleet = Fleet::start(1, 2, 2);
    fleet.tenant("acme", 0).await;
    let tau = fleet.agent_by_position("acme", "tau", "i1").await;
    for _ in 0..10 {
        tau.send(&Draft::new("tau", "hello")).await.unwrap();
        tau.check(&Check::default()).await.unwrap();
    }
    // Projectors first, so that brokers are there to take their counts.
    for index in 0..2 {
        let projector = fleet.projectors[index].take().expect("it runs");
        assert_eq!(projector.terminate(), 0);
    }
    for index in 0..2 {
        let broker = fleet.brokers[index].take().expect("it runs");
        assert_eq!(broker.terminate(), 0);
    }
    fleet.revive();
    let tau = fleet.agent_by_position("acme", "tau", "i1").await;
    let (_, queries, pushes, messages) = sum(&tau.usage(2).await.unwrap().days);
    assert_eq!((queries, pushes, messages), (10, 10, 10));
}

#[tokio::test]
async fn queries_and_pushes_are_stored_once_a_minute_and_survive_a_kill() {
    let mut deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let tau = connect(&deployment.url, &creds, None).await;
    for _ in 0..3 {
        tau.send(&Draft::new("tau", "hello")).await.unwrap();
        tau.check(&Check::default()).await.unwrap();
    }
    let start = Instant::now();
    // The operator's questions are not counted, so that asking does not change the answer.
    let used = |deployment: &Deployment| sum(&asked(deployment, &["--tenant", "default"]));
    while (used(&deployment).1, used(&deployment).2) != (3, 3) {
        assert!(start.elapsed() < 2 * DEADLINE, "{:?}", used(&deployment));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    deployment.kill_tree();
    deployment.restart();
    let (_, queries, pushes, messages) = used(&deployment);
    assert_eq!((queries, pushes, messages), (3, 3, 3));
}

#[test]
fn bad_questions_are_refused_and_an_agent_asks_for_itself() {
    let deployment = Deployment::start();
    let creds = deployment
        .dir
        .path()
        .join("tau.creds")
        .display()
        .to_string();
    let issue = [
        "agent",
        "issue",
        "--tenant",
        "default",
        "--role",
        "tau",
        "--instance",
        "i1",
    ];
    deployment
        .run(&[&issue[..], &["--out", &creds]].concat())
        .expect(0);
    let agent = |args: &[&str]| deployment.run_as(&creds, &[&["usage"], args].concat());
    let own = agent(&[]).expect(0).json();
    assert_eq!(own["days"][0]["tenant"], json!("default"), "{own}");
    agent(&["--tenant", "default"]).expect(0);
    agent(&["--tenant", "acme"]).expect(2);
    deployment.run(&["usage", "--days", "0"]).expect(2);
    deployment.run(&["usage", "--tenant", "nobody"]).expect(3);
    let shown = deployment.run(&["usage"]).expect(0).stdout;
    assert!(
        shown.starts_with("TENANT") && shown.contains("default"),
        "{shown}"
    );
}
