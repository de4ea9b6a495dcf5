//! `replay` begins where it is told, ends where it is told, and goes on when it is told to; of one log and
//! of those of several shards.

use crate::harness::process::{Lines, Process};
use crate::harness::{Deployment, binary};
use postroad_client::{Client, Draft};
use postroad_protocol::TenantId;
use serde_json::Value;
use std::process::Command;

/// What `replay` shows with these arguments, the operators' own reads left out: each replay adds one.
fn replay(deployment: &Deployment, args: &[&str]) -> Vec<Value> {
    let ran = deployment.run(&[&["--json", "replay"][..], args].concat());
    let lines = ran.expect(0).stdout;
    let events = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["type"] != "operator_read")
        .collect()
}

fn sequence(event: &Value) -> u64 {
    event["position"]["sequence"].as_u64().unwrap()
}

fn shard(event: &Value) -> u64 {
    event["position"]["shard"].as_u64().unwrap()
}

fn time(event: &Value) -> u64 {
    event["time"].as_u64().unwrap()
}

/// The time as `--from` and `--to` take it; digits alone would be a sequence.
fn written(time_ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(time_ms).unwrap());
    time.unwrap().to_string()
}

/// Sends messages of which each bears a later time than the one before.
async fn send_apart(client: &Client, channel: &str, count: usize) {
    let mut last = 0;
    for number in 0..count {
        // An event's time has a millisecond's grain.
        while crate::harness::witness::now_ms() <= last {
            tokio::task::yield_now().await;
        }
        let draft = Draft::new(channel, number.to_string());
        client.send(&draft).await.unwrap();
        last = crate::harness::witness::now_ms();
    }
}

#[tokio::test]
async fn a_replay_begins_and_ends_at_the_sequence_or_time_it_is_told() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    send_apart(&alice, "alice", 8).await;
    let all = replay(&deployment, &["--tenant", "default"]);
    let sent = all.iter().filter(|event| event["type"] == "message_sent");
    assert_eq!(sent.count(), 8);
    // Somewhere among the messages, with some before and some behind.
    let (start, end) = (&all[all.len() - 6], &all[all.len() - 3]);
    let bounds = [
        (sequence(start).to_string(), sequence(end).to_string()),
        (written(time(start)), written(time(end))),
        (sequence(start).to_string(), written(time(end))),
        (written(time(start)), sequence(end).to_string()),
    ];
    for (from, to) in &bounds {
        for scope in [&["--tenant", "default"][..], &["--shard", "0"], &[]] {
            let shown = |range: &[&str]| replay(&deployment, &[scope, range].concat());
            let middle = &all[all.len() - 6..=all.len() - 3];
            assert_eq!(shown(&["--from", from, "--to", to]), middle, "{from} {to}");
            assert_eq!(shown(&["--from", from]), all[all.len() - 6..], "{from}");
            let until = shown(&["--to", to]);
            assert_eq!(until.last(), Some(end), "{to}");
            // The tenant's own log is the whole of what lies before the end.
            if scope.contains(&"--tenant") {
                assert_eq!(until, all[..=all.len() - 3], "{to}");
            }
        }
    }
    assert_eq!(
        replay(&deployment, &["--tenant", "default", "--from", "now"]),
        [0; 0]
    );
    let behind = u64::MAX.to_string();
    assert_eq!(
        replay(&deployment, &["--tenant", "default", "--from", &behind]),
        [0; 0]
    );
    deployment.run(&["replay", "--from", "soon"]).expect(2);
    deployment.run(&["replay", "--tenant", "nobody"]).expect(3);
}

fn follow(deployment: &Deployment, args: &[&str]) -> (Process, Lines) {
    let mut command = Command::new(binary());
    command.arg("--dir").arg(deployment.path());
    command.args(["--json", "replay", "--follow"]).args(args);
    let (process, stdout) = Process::start(command);
    (process, Lines::of(stdout))
}

/// The contents of the next messages that are shown, with their shards.
fn next_messages(lines: &Lines, count: usize) -> Vec<(u64, String)> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let event = lines.next_json();
        if event["type"] == "message_sent" {
            let content = event["data"]["content"].as_str().unwrap().to_owned();
            messages.push((shard(&event), content));
        }
    }
    messages
}

#[tokio::test]
async fn a_followed_replay_goes_on_with_what_happens_each_event_once_until_it_is_interrupted() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    alice.send(&Draft::new("alice", "skipped")).await.unwrap();
    let second = alice.send(&Draft::new("alice", "shown")).await.unwrap();
    let from = second.position.sequence.to_string();
    let (process, lines) = follow(&deployment, &["--tenant", "default", "--from", &from]);
    assert_eq!(next_messages(&lines, 1), [(0, "shown".to_owned())]);
    for content in ["first after", "second after"] {
        alice.send(&Draft::new("alice", content)).await.unwrap();
        assert_eq!(next_messages(&lines, 1), [(0, content.to_owned())]);
    }
    assert_eq!(process.interrupt(), 0);
    let rest = lines.rest();
    assert!(
        !rest.iter().any(|line| line.contains("message_sent")),
        "{rest:?}"
    );
}

#[tokio::test]
async fn the_logs_of_several_shards_are_shown_each_in_its_order() {
    let deployment = Deployment::start_with(&["--shards", "3"]);
    let operator = deployment.operator().await;
    let mut agents = Vec::new();
    for number in 0..3 {
        let name = format!("tenant-{number}");
        let tenant = TenantId::parse(&name).unwrap();
        let operator = operator.operator().unwrap();
        operator.create_tenant(&tenant, Some(number)).await.unwrap();
        agents.push(deployment.agent(&name, "alice", "a").await);
    }
    for round in 0..3 {
        for (number, agent) in agents.iter().enumerate() {
            let content = format!("{number} in round {round}");
            agent.send(&Draft::new("alice", content)).await.unwrap();
        }
        send_apart(&agents[0], "alice", 1).await;
    }
    let all = replay(&deployment, &[]);
    let places: Vec<(u64, u64)> = all
        .iter()
        .map(|event| (shard(event), sequence(event)))
        .collect();
    assert!(places.is_sorted() && places[0].0 == 0, "{places:?}");
    assert_eq!(places.last().unwrap().0, 2, "{places:?}");
    let of_one = |shown: &[Value], number: u64| -> Vec<Value> {
        let own = shown.iter().filter(|event| shard(event) == number);
        own.cloned().collect()
    };
    for number in 0..3 {
        let of = number.to_string();
        assert_eq!(replay(&deployment, &["--shard", &of]), of_one(&all, number));
        let tenant = format!("tenant-{number}");
        let own: Vec<Value> = all
            .iter()
            .filter(|event| event["tenant"] == tenant.as_str())
            .cloned()
            .collect();
        assert_eq!(own.len(), 5 + if number == 0 { 3 } else { 0 }, "{tenant}");
        assert_eq!(replay(&deployment, &["--tenant", &tenant]), own);
        let from = sequence(&own[2]).to_string();
        let later = replay(&deployment, &["--shard", &of, "--from", &from]);
        assert_eq!(later.first(), Some(&own[2]));
    }
    // Between the first round and the last, in every shard.
    let rounds: Vec<&Value> = all
        .iter()
        .filter(|event| event["data"]["content"] == "0 in round 1")
        .collect();
    let from = time(rounds[0]);
    let last = all
        .iter()
        .filter(|event| event["data"]["content"] == "2 in round 1");
    let to = last.map(time).next().unwrap();
    let middle = replay(
        &deployment,
        &["--from", &written(from), "--to", &written(to)],
    );
    let expected: Vec<Value> = all
        .iter()
        .filter(|event| (from..=to).contains(&time(event)))
        .cloned()
        .collect();
    assert_eq!(middle, expected);
    assert!((3..all.len()).contains(&middle.len()), "{middle:?}");
    for number in 0..3 {
        assert!(!of_one(&middle, number).is_empty(), "{middle:?}");
    }
    // A sequence means something in one log only.
    let refused = deployment
        .run(&["--json", "replay", "--from", "3"])
        .expect(2);
    assert!(refused.stderr.contains("--shard"), "{refused:?}");

    let now = time(all.iter().max_by_key(|event| time(event)).unwrap()) + 1;
    let (process, lines) = follow(&deployment, &["--from", &written(now)]);
    for number in [2, 1, 2] {
        let content = format!("followed in {number}");
        let agent = &agents[usize::try_from(number).unwrap()];
        agent.send(&Draft::new("alice", &content)).await.unwrap();
        assert_eq!(next_messages(&lines, 1), [(number, content)]);
    }
    assert_eq!(process.interrupt(), 0);
}
