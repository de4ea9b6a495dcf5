//! Headers that claim to be somebody else's, or speak to JetStream: what is stored carries only what
//! the broker writes, once, under the name of whoever sent it.

use crate::harness::log;
use crate::socket::{Frame, Socket};
use crate::stage::{Agent, INSTANCE, Stage};
use async_nats::HeaderMap;
use postroad_protocol::limits::MAX_PAYLOAD_BYTES;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

/// What JetStream, Postroad or NATS itself would act on if it believed it.
const FORGED: &[(&str, &str)] = &[
    ("Nats-Msg-Id", "the-same-for-all"),
    ("Nats-Rollup", "all"),
    ("Nats-Rollup", "sub"),
    ("Nats-Expected-Stream", "POSTROAD_KEYS"),
    ("Nats-Expected-Last-Sequence", "999999"),
    ("Nats-Expected-Last-Subject-Sequence", "999999"),
    ("Nats-Expected-Last-Msg-Id", "nobody"),
    ("Nats-Batch-Id", "a-batch"),
    ("Nats-Batch-Sequence", "7"),
    ("Nats-Batch-Commit", "1"),
    ("Nats-TTL", "1s"),
    ("Nats-Schedule", "@every 1s"),
    ("Nats-Schedule-Target", "postroad.acme.push.tau"),
    ("Nats-Subject", "postroad.acme.evt.0.message.pi"),
    ("Nats-Stream", "POSTROAD_0"),
    ("Nats-Sequence", "1"),
    ("Nats-Incr", "1"),
    ("Nats-Request-Info", r#"{"acc":"SYS","user":"operator"}"#),
    ("Nats-Service-Error-Code", "internal"),
    ("Pr-Id", "0190163d-8694-739b-aea5-966c26f8ad91"),
    ("Pr-Type", "tenant_created"),
    ("Pr-V", "9"),
    ("Pr-Time", "0"),
    ("Pr-Key", "9.9"),
    ("tenantId", "acme"),
    ("Tenant", "acme"),
    ("from", "pi"),
    ("Authorization", "Bearer operator"),
    ("Status", "503"),
];

/// Names that the broker itself writes to the log.
const OWN: &[&str] = &[
    "Nats-Msg-Id",
    "Pr-Id",
    "Pr-Type",
    "Pr-V",
    "Pr-Time",
    "Pr-Key",
    "traceparent",
];
/// And those of a batch that it made itself.
const OF_BATCH: &[&str] = &["Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"];

async fn call_with(agent: &Agent, verb: &str, headers: HeaderMap, body: Value) -> Value {
    let client = &agent.watched.client;
    let shown = format!("{headers:?}");
    let asked = client.request_with_headers(agent.subject(verb), headers, body.to_string().into());
    crate::harness::raw::read(
        &asked
            .await
            .unwrap_or_else(|error| panic!("{error}: {shown}")),
    )
}

fn forged() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in FORGED {
        headers.append(*name, *value);
    }
    headers
}

#[tokio::test]
async fn forged_headers_are_ignored_and_a_message_is_stored_once_as_its_senders() {
    let stage = Stage::set().await;
    let mut sent = Vec::new();
    // One by one, all at once, and by two tenants: a believed message id would suppress the second.
    let single = FORGED.iter().map(|(name, value)| {
        let mut headers = HeaderMap::new();
        headers.insert(*name, *value);
        headers
    });
    let end = stage.log_end().await;
    for headers in single.chain([forged(), forged()]) {
        for agent in [&stage.stranger, &stage.owner] {
            let body = json!({"channel": "pi", "content": "under a false name"});
            let answer = call_with(agent, "send_message", headers.clone(), body).await;
            assert!(answer["messageId"].is_string(), "{headers:?}: {answer}");
            sent.push((agent.tenant, answer));
        }
    }
    assert_eq!(stage.log_end().await, end + sent.len() as u64, "each once");
    let jetstream = async_nats::jetstream::new(stage.witness.client.clone());
    let stream = jetstream.get_stream("POSTROAD_0").await.unwrap();
    for (tenant, answer) in &sent {
        let sequence = answer["position"]["sequence"].as_u64().unwrap();
        let stored = stream.get_raw_message(sequence).await.unwrap();
        assert_eq!(
            *stored.subject,
            format!("postroad.{tenant}.evt.0.message.tau")
        );
        let header = |name: &str| {
            stored
                .headers
                .get(name)
                .map(|value| value.as_str().to_owned())
        };
        assert_eq!(header("Pr-Id").as_deref(), answer["messageId"].as_str());
        assert_eq!(header("Pr-Type").as_deref(), Some("message_sent"));
        assert_ne!(header("Nats-Msg-Id").as_deref(), Some("the-same-for-all"));
        assert_ne!(header("Nats-Batch-Id").as_deref(), Some("a-batch"));
        for (name, _) in stored.headers.iter() {
            let name: &str = name.as_ref();
            assert!(
                OWN.contains(&name) || OF_BATCH.contains(&name),
                "{name} was stored"
            );
        }
    }
    let operator = stage.deployment.operator().await;
    for (agent, tenant) in [(&stage.peer, "acme"), (&stage.double, "acme-two")] {
        let stored = log::stored(&operator, tenant).await;
        assert_eq!(stored.len(), sent.len() / 2);
        assert!(stored.values().all(|times| *times == 1), "{stored:?}");
        let page = agent
            .call("check_messages", json!({"limit": 200, "fresh": true}))
            .await;
        let messages = page["messages"].as_array().unwrap();
        assert_eq!(messages.len(), sent.len() / 2, "{page}");
        assert!(
            messages.iter().all(|message| message["from"] == "tau"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn forged_headers_change_no_answer() {
    let stage = Stage::set().await;
    stage
        .owner
        .call(
            "send_message",
            json!({"channel": "tau,pi", "content": "theirs"}),
        )
        .await;
    let plain = |mut answer: Value| {
        answer.as_object_mut().unwrap().remove("position");
        answer
    };
    for verb in ["whoami", "list_peers", "list_messages", "check_messages"] {
        let body = json!({"fresh": true});
        let without = plain(stage.stranger.call(verb, body.clone()).await);
        let with = plain(call_with(&stage.stranger, verb, forged(), body).await);
        let (mut without, mut with) = (without, with);
        // When each was heard of lately differs from one call to the next.
        for answer in [&mut without, &mut with] {
            for peer in answer["peers"].as_array_mut().into_iter().flatten() {
                peer.as_object_mut().unwrap().remove("lastSeen");
            }
        }
        assert_eq!(without, with, "{verb}");
        assert!(without["code"].is_null(), "{verb}: {without}");
    }
}

#[tokio::test]
async fn a_trace_that_is_none_is_not_kept() {
    let stage = Stage::set().await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = "0".repeat(60_000);
    let jetstream = async_nats::jetstream::new(stage.witness.client.clone());
    let stream = jetstream.get_stream("POSTROAD_0").await.unwrap();
    for (trace, kept) in [
        (good, true),
        (long.as_str(), false),
        ("é", false),
        ("", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", trace);
        let body = json!({"summary": "traced"});
        let answer = call_with(&stage.stranger, "set_summary", headers, body).await;
        let sequence = answer["position"]["sequence"]
            .as_u64()
            .unwrap_or_else(|| panic!("{answer}"));
        let stored = stream.get_raw_message(sequence).await.unwrap();
        let stored = stored
            .headers
            .get("traceparent")
            .map(async_nats::HeaderValue::as_str);
        let shown: String = trace.chars().take(9).collect();
        assert_eq!(
            stored.filter(|text| !text.is_empty()),
            kept.then_some(trace),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_trace_of_the_server_reaches_no_subject_that_its_sender_may_not_publish_to() {
    let stage = Stage::set().await;
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", INSTANCE));
    let subject = stage.stranger.subject("set_summary");
    let mut attacker = Socket::connect(&stage.deployment.url, &stage.stranger.creds)
        .await
        .unwrap();
    attacker.subscribe(&inbox).await;
    let end = stage.log_end().await;
    for target in [
        "postroad.acme.push.tau",
        "postroad.acme-two.push.tau",
        inbox.as_str(),
        "$JS.API.STREAM.PURGE.POSTROAD_0",
    ] {
        let mut heard = stage.witness.listen(target).await;
        for only in ["", "Nats-Trace-Only: true\r\n"] {
            let block = format!("NATS/1.0\r\nNats-Trace-Dest: {target}\r\n{only}\r\n");
            attacker
                .publish_with_headers(
                    subject.as_bytes(),
                    &inbox,
                    block.as_bytes(),
                    br#"{"summary":"x"}"#,
                )
                .await;
        }
        let said = attacker.settle().await;
        let refused = said.iter().filter(|frame| matches!(frame, Frame::Error(error) if error.starts_with("Permissions Violation")));
        assert_eq!((refused.count(), said.len()), (2, 2), "{target}: {said:?}");
        stage.witness.settle().await;
        assert!(heard.so_far().is_empty(), "{target}");
    }
    assert_eq!(stage.log_end().await, end, "nothing was done");
}

#[tokio::test]
async fn oversized_headers_harm_nobody() {
    let stage = Stage::set().await;
    let parts = stage.parts().await;
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", INSTANCE));
    let subject = stage.stranger.subject("set_summary");
    let block = |bytes: usize| {
        let line = format!("a: {}\r\n", "x".repeat(1_000));
        let mut block = format!("NATS/1.0\r\n{}", line.repeat(bytes / line.len()));
        block.push_str("\r\n");
        block
    };
    let mut attacker = Socket::connect(&stage.deployment.url, &stage.stranger.creds)
        .await
        .unwrap();
    attacker.subscribe(&inbox).await;
    // As large as the server carries: it is answered as any other, or refused for its size.
    let headers = block(MAX_PAYLOAD_BYTES - 4_096);
    for _ in 0..20 {
        attacker
            .publish_with_headers(
                subject.as_bytes(),
                &inbox,
                headers.as_bytes(),
                br#"{"summary":"x"}"#,
            )
            .await;
    }
    for _ in 0..20 {
        let answer = attacker.answer(&inbox).await;
        let is_refused = ["too_large", "rate_limited"]
            .iter()
            .any(|code| answer["code"] == *code);
        assert!(is_refused || answer["position"].is_object(), "{answer}");
    }
    stage.expect_unharmed(&parts, "headers of a mebibyte").await;
    // Larger ones end the connection that sends them, and no other.
    let headers = block(MAX_PAYLOAD_BYTES + 4_096);
    attacker
        .publish_with_headers(subject.as_bytes(), &inbox, headers.as_bytes(), b"{}")
        .await;
    let said = attacker.settle().await;
    assert!(matches!(said.last(), Some(Frame::End)), "{said:?}");
    stage
        .expect_unharmed(&parts, "larger headers than the server carries")
        .await;
}
