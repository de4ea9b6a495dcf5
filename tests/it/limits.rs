//! Limits that the operator sets for a tenant: each is met, named in its refusal, and met by nobody
//! else.

use crate::harness::fleet::Fleet;
use crate::harness::raw::{self, Watched};
use crate::harness::road::{Road, promised_by_both_kinds};
use crate::harness::witness::Witness;
use crate::harness::{DEADLINE, Deployment, connect, eventually, issue};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use postroad_client::{Check, Draft};
use postroad_protocol::limits::AGENT_SUBSCRIPTIONS;
use postroad_protocol::quota::Limit;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

promised_by_both_kinds!(
    what_is_stored_is_limited_in_size_number_and_sum,
    limits_are_shown_set_and_reset,
);

const SEND: &str = "postroad.default.cmd.tau.i1.messages.send_message";
const CHECK: &str = "postroad.default.qry.tau.i1.messages.check_messages";

async fn tau(url: &str, creds: &str) -> async_nats::Client {
    raw::connect(url, creds, &inbox_prefix("default", "tau", "i1")).await
}

async fn send(client: &async_nats::Client, content: &str) -> Value {
    let body = json!({"channel":"tau","content":content});
    raw::request(client, SEND, body.to_string()).await
}

#[track_caller]
fn expect(answer: &Value, code: &str, limit: &str) {
    assert_eq!(answer["code"], code, "{answer}");
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.contains(limit), "{answer}");
}

#[tokio::test]
async fn who_is_faster_than_the_rate_is_told_when_to_come_back() {
    let deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let client = tau(&deployment.url, &creds).await;
    deployment.tenant("calm").await;
    let calm = deployment.agent("calm", "tau", "i1").await;
    assert!(send(&client, "registers").await["position"].is_object());
    let limits = ["--json", "tenant", "limits", "default"];
    let slow = ["--commands-per-s", "1", "--burst", "3"];
    deployment.run(&[&limits[..], &slow].concat()).expect(0);
    let answers = join_all((0..30).map(|_| send(&client, "fast"))).await;
    let taken = answers
        .iter()
        .filter(|answer| answer["position"].is_object());
    let taken = taken.count();
    // One token comes back a second, however slow the machine is.
    assert!((3..12).contains(&taken), "{taken} of {answers:?}");
    let refused = answers.iter().find(|answer| answer["code"].is_string());
    let refused = refused.expect("one is refused");
    expect(refused, "rate_limited", "commands-per-s");
    let after = refused["retryAfterMs"].as_u64().expect("a time");
    assert!((1..=1_000).contains(&after), "{refused}");
    // Nobody else is slower, and queries are no commands.
    for _ in 0..20 {
        calm.send(&Draft::new("tau", "calm")).await.unwrap();
        let checked = raw::request(&client, CHECK, "{}").await;
        assert!(checked["messages"].is_array(), "{checked}");
    }
    // An agent's own rate is another one.
    let own = ["--reset", "commands-per-s", "--agent-commands-per-s", "1"];
    deployment.run(&[&limits[..], &own].concat()).expect(0);
    let answers = join_all((0..20).map(|_| send(&client, "fast"))).await;
    let refused = answers.iter().find(|answer| answer["code"].is_string());
    expect(
        refused.expect("one is refused"),
        "rate_limited",
        "agent-commands-per-s",
    );
    deployment
        .run(&[&limits[..], &["--reset", "agent-commands-per-s"]].concat())
        .expect(0);
    for answer in join_all((0..100).map(|_| send(&client, "fast"))).await {
        assert!(answer["position"].is_object(), "{answer}");
    }
}

#[tokio::test]
async fn brokers_share_a_rate_between_them() {
    let fleet = Fleet::start(1, 2, 1);
    fleet.tenant("default", 0).await;
    let operator = fleet.operator().await;
    let creds = issue(&operator, "default", "tau", Some("i1")).await;
    let client = tau(&fleet.url, &creds).await;
    let limits = [(Limit::CommandsPerS, 1), (Limit::Burst, 20)];
    let tenant = "default".parse().unwrap();
    let operator = operator.operator().unwrap();
    operator.set_limits(&tenant, &limits, &[]).await.unwrap();
    // The broker that did not answer learns it from the log, within a few sends.
    let answers = join_all((0..200).map(|_| send(&client, "fast"))).await;
    let refused = answers
        .iter()
        .filter(|answer| answer["code"] == "rate_limited");
    assert!(refused.count() > 100, "{answers:?}");
    // Empty by now; what comes back is one a second of both together, not of each.
    let start = Instant::now();
    let mut taken = 0.0;
    while start.elapsed() < Duration::from_secs(4) {
        let answers = join_all((0..8).map(|_| send(&client, "fast"))).await;
        let stored = answers
            .iter()
            .filter(|answer| answer["position"].is_object());
        taken += f64::from(u32::try_from(stored.count()).unwrap());
    }
    let most = start.elapsed().as_secs_f64() + 2.0;
    assert!(taken <= most, "{taken} of {most}");
}

async fn what_is_stored_is_limited_in_size_number_and_sum(road: Road) {
    let creds = road.creds("default", "tau", Some("i1")).await;
    let client = tau(road.url(), &creds).await;
    let limits = |options: &[&str]| {
        let command = ["--json", "tenant", "limits", "--tenant", "default"];
        road.run(&[&command[..], options].concat()).expect(0).json()
    };
    // With several brokers each learns a limit from the log.
    let refused = async |content: &str, code: &str, limit: &str| {
        eventually("every broker refuses", async || {
            for _ in 0..5 {
                let answer = send(&client, content).await;
                if answer["position"].is_object() {
                    return false;
                }
                expect(&answer, code, limit);
            }
            true
        })
        .await;
    };
    limits(&["--message-bytes", "10"]);
    refused("eleven byte", "too_large", "message-bytes").await;
    assert!(send(&client, "ten bytes.").await["position"].is_object());
    limits(&["--reset", "message-bytes", "--agent-message-bytes", "5"]);
    refused("eleven byte", "too_large", "agent-message-bytes").await;
    assert!(send(&client, "five.").await["position"].is_object());

    let shown = limits(&["--reset", "agent-message-bytes"]);
    let stored = shown["used"]["messages"].as_u64().expect("a count");
    let most = (stored + 4).to_string();
    limits(&["--messages", &most]);
    let mut taken = 0;
    eventually("there is no room", async || {
        let answer = send(&client, "more").await;
        taken += u64::from(answer["position"].is_object());
        answer["code"] == "quota_exceeded"
    })
    .await;
    refused("more", "quota_exceeded", "messages").await;
    // Exact for who sends one after the other to one broker; another broker may be a second behind.
    assert!((4..=60).contains(&taken), "{taken}");

    let shown = limits(&["--reset", "messages"]);
    let bytes = shown["used"]["storedBytes"].as_u64().expect("a sum") + 20_000;
    limits(&["--stored-bytes", &bytes.to_string()]);
    refused(&"x".repeat(40_000), "quota_exceeded", "stored-bytes").await;
    let summary = json!({"summary":"small"}).to_string();
    let subject = "postroad.default.cmd.tau.i1.self.set_summary";
    let said = raw::request(&client, subject, summary).await;
    assert!(said["position"].is_object(), "what fits is stored: {said}");
    limits(&["--reset", "stored-bytes"]);
    eventually("there is room again", async || {
        send(&client, &"x".repeat(40_000)).await["position"].is_object()
    })
    .await;
}

#[tokio::test]
async fn one_after_the_other_meets_a_quota_exactly() {
    let deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let client = tau(&deployment.url, &creds).await;
    deployment
        .run(&["tenant", "limits", "default", "--messages", "25"])
        .expect(0);
    for number in 0..25 {
        let answer = send(&client, &number.to_string()).await;
        assert!(answer["position"].is_object(), "{number}: {answer}");
    }
    expect(&send(&client, "26").await, "quota_exceeded", "messages");
    // What is there can still be read and marked.
    let unread = raw::request(&client, CHECK, json!({"fresh":true}).to_string()).await;
    assert!(unread["messages"].is_array(), "{unread}");
}

#[tokio::test]
async fn open_waits_are_limited_for_agents_and_tenants() {
    let deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let client = tau(&deployment.url, &creds).await;
    let checked = raw::request(&client, CHECK, "{}").await;
    assert!(checked["messages"].is_array(), "{checked}");
    let wait = |ms: u64| raw::request(&client, CHECK, json!({ "waitMs": ms }).to_string());
    for (limit, other) in [("waits", "agent-waits"), ("agent-waits", "waits")] {
        let option = format!("--{limit}");
        deployment
            .run(&[
                "tenant", "limits", "default", &option, "2", "--reset", other,
            ])
            .expect(0);
        // Three at once: one of them is too much, whichever it is.
        let answers = join_all((0..3).map(|_| wait(3_000))).await;
        let refused: Vec<_> = answers.iter().filter(|a| a["code"].is_string()).collect();
        assert_eq!(refused.len(), 1, "{answers:?}");
        expect(refused[0], "rate_limited", limit);
        assert!(refused[0]["retryAfterMs"].is_u64(), "{answers:?}");
    }
}

async fn limits_are_shown_set_and_reset(road: Road) {
    let run = |options: &[&str]| {
        let command = ["--json", "tenant", "limits", "--tenant", "default"];
        road.run(&[&command[..], options].concat())
    };
    let shown = run(&[]).expect(0).json();
    assert_eq!(shown["limits"], json!({}), "{shown}");
    assert_eq!(shown["inUse"]["commandsPerS"], Value::Null);
    assert_eq!(shown["inUse"]["messageBytes"], 262_144);
    let set = run(&["--commands-per-s", "500", "--agent-waits", "3"]).expect(0);
    let set = set.json();
    assert_eq!(
        set["limits"],
        json!({"commandsPerS":500,"agentWaits":3}),
        "{set}"
    );
    assert_eq!(set["inUse"]["burst"], 500, "a burst follows its rate");
    let more = run(&["--burst", "7", "--reset", "agent-waits"])
        .expect(0)
        .json();
    assert_eq!(
        more["limits"],
        json!({"commandsPerS":500,"burst":7}),
        "{more}"
    );
    run(&["--waits", "0"]).expect(2);
    run(&["--waits", "5000"]).expect(2);
    run(&["--waits", "5", "--reset", "waits"]).expect(2);
    run(&["--reset", "subscriptions"]).expect(2);
    let missing = ["tenant", "limits", "nobody", "--waits", "5"];
    road.run(&missing).expect(3);
    // Setting what is set is no second event.
    let events = |road: &Road| {
        let ran = road.run(&["--json", "replay", "--tenant", "default"]);
        let ran = ran.expect(0);
        let limited = |line: &&str| line.contains("tenant_limited");
        ran.stdout.lines().filter(limited).count()
    };
    assert_eq!(events(&road), 2);
    assert_eq!(
        run(&["--burst", "7"]).expect(0).json()["limits"],
        more["limits"]
    );
    assert_eq!(events(&road), 2);
    let back = run(&["--reset", "burst", "--reset", "commandsPerS"]).expect(0);
    assert_eq!(back.json()["limits"], json!({}));
    let creds = road.creds("default", "tau", Some("i1")).await;
    let client = connect(road.url(), &creds, None).await;
    client.send(&Draft::new("tau", "unlimited")).await.unwrap();
    assert_eq!(
        client
            .check(&Check::default())
            .await
            .unwrap()
            .messages
            .len(),
        0
    );
}

#[tokio::test]
async fn nats_server_refuses_an_agent_one_subscription_too_many() {
    let deployment = Deployment::start();
    let creds = deployment.creds("default", "tau", Some("i1")).await;
    let prefix = inbox_prefix("default", "tau", "i1");
    let watched = Watched::connect(&deployment.url, &creds, &prefix).await;
    let mut held = Vec::new();
    for number in 0..=AGENT_SUBSCRIPTIONS {
        let subject = format!("{prefix}.n{number}");
        held.push(watched.client.subscribe(subject).await.unwrap());
    }
    watched.client.flush().await.unwrap();
    let witness = Witness::connect(&deployment.path(), &deployment.url).await;
    for number in 0..=AGENT_SUBSCRIPTIONS {
        let subject = format!("{prefix}.n{number}");
        witness.client.publish(subject, "x".into()).await.unwrap();
    }
    // A fence: what the server sends for it comes behind everything else.
    let fence = format!("{prefix}.n0");
    witness.client.publish(fence, "x".into()).await.unwrap();
    let mut beyond = held.pop().expect("the last one");
    for one in &mut held {
        let heard = timeout(DEADLINE, one.next()).await;
        assert!(heard.expect("in time").is_some());
    }
    let fence = timeout(DEADLINE, held[0].next()).await;
    assert!(fence.expect("in time").is_some());
    let heard = beyond.next().now_or_never().flatten();
    assert!(heard.is_none(), "{heard:?}");
}
