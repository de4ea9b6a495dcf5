//! Bad input of any kind: a stable code, the field, a remedy; nothing is stored and nothing panics.

use crate::harness::{Deployment, raw};
use postroad_protocol::limits::{CONTENT_MAX_BYTES, REQUEST_MAX_BYTES};
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};
use std::time::Duration;

/// Two tenants with the same names, one agent under attack, and the raw subject to attack it on.
struct Stage {
    deployment: Deployment,
    agent: async_nats::Client,
}

const SEND: &str = "postroad.acme.cmd.tau.t1.messages.send_message";
const MARK: &str = "postroad.acme.cmd.tau.t1.messages.mark_as_read";
const CHECK: &str = "postroad.acme.qry.tau.t1.messages.check_messages";
const LIST: &str = "postroad.acme.qry.tau.t1.messages.list_messages";

impl Stage {
    async fn set() -> Self {
        let deployment = Deployment::start();
        deployment.tenant("acme").await;
        deployment.tenant("globex").await;
        let creds = deployment.creds("acme", "tau", Some("t1")).await;
        deployment.creds("acme", "pi", Some("p1")).await;
        deployment.creds("acme", "phi", Some("f1")).await;
        deployment.creds("globex", "foreigner", Some("g1")).await;
        let agent = raw::connect(&deployment.url, &creds, &inbox_prefix("acme", "tau", "t1")).await;
        Self { deployment, agent }
    }

    /// How far the shard's log reaches, once nothing is on its way any more.
    async fn log_end(&self) -> u64 {
        let operator = self.deployment.operator().await;
        operator.operator().unwrap().status().await.unwrap().shards[0].end
    }

    /// Sends `body` and expects a refusal with this code and field, and a remedy.
    async fn refuse(
        &self,
        subject: &str,
        body: impl Into<Vec<u8>>,
        code: &str,
        field: Option<&str>,
    ) -> Value {
        let body = body.into();
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let refusal = raw::request(&self.agent, subject, body).await;
        assert_eq!(refusal["code"], code, "{shown}: {refusal}");
        if let Some(field) = field {
            assert_eq!(refusal["field"], field, "{shown}: {refusal}");
        }
        assert!(
            refusal["remedy"]
                .as_str()
                .is_some_and(|remedy| !remedy.is_empty()),
            "{shown}: {refusal}"
        );
        refusal
    }
}

#[tokio::test]
async fn a_bad_send_is_refused_with_its_field_and_nothing_is_stored() {
    let stage = Stage::set().await;
    let before = stage.log_end().await;
    let long = "n".repeat(65);
    let big = "x".repeat(CONTENT_MAX_BYTES + 1);
    let cases = [
        (
            json!({"channel":"pi","content":""}),
            "invalid_argument",
            "content",
        ),
        (
            json!({"channel":"pi","content":big}),
            "too_large",
            "content",
        ),
        (json!({"channel":"pi"}), "invalid_argument", "content"),
        (json!({"content":"x"}), "invalid_argument", "channel"),
        (
            json!({"channel":"","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi\u{7}","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":long,"content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi,broadcast","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi.>","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"nobody","content":"x"}),
            "not_found",
            "channel",
        ),
        (
            json!({"channel":"foreigner","content":"x"}),
            "not_found",
            "channel",
        ),
        (
            json!({"channel":"pi","content":"x","instanceId":"elsewhere"}),
            "not_found",
            "instanceId",
        ),
        (
            json!({"channel":"pi","content":"x","instanceId":"g1"}),
            "not_found",
            "instanceId",
        ),
        (
            json!({"channel":"pi,phi","content":"x","instanceId":"p1"}),
            "invalid_argument",
            "instanceId",
        ),
        (
            json!({"channel":"pi","content":"x","from":"pi"}),
            "permission_denied",
            "from",
        ),
        (
            json!({"channel":"pi","content":"x","tenantId":"globex"}),
            "permission_denied",
            "tenantId",
        ),
        (
            json!({"channel":"pi","content":"x","messageId":"not-a-uuid"}),
            "invalid_argument",
            "messageId",
        ),
        (
            json!({"channel":"pi","content":"x","replyTo":"0190163d-8694-739b-aea5-966c26f8ad91"}),
            "not_found",
            "replyTo",
        ),
        (
            json!({"channel":"pi","content":"x","priority":"asap"}),
            "invalid_argument",
            "priority",
        ),
        (
            json!({"channel":"pi","content":7}),
            "invalid_argument",
            "content",
        ),
        (
            json!({"channel":["pi"],"content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi","content":"x","metadata":{"k":"v".repeat(2000)}}),
            "too_large",
            "metadata",
        ),
    ];
    for (body, code, field) in &cases {
        stage
            .refuse(SEND, body.to_string(), code, Some(field))
            .await;
        // The same in MessagePack gives the same.
        stage
            .refuse(
                SEND,
                rmp_serde::to_vec_named(body).unwrap(),
                code,
                Some(field),
            )
            .await;
    }
    let near = stage
        .refuse(
            SEND,
            json!({"channel":"phy","content":"x"}).to_string(),
            "not_found",
            Some("channel"),
        )
        .await;
    assert!(
        near.to_string().contains("phi"),
        "the nearest known name is told: {near}"
    );
    assert!(
        !near.to_string().contains("foreigner"),
        "and no foreign one: {near}"
    );
    assert_eq!(stage.log_end().await, before, "nothing was stored");
}

#[tokio::test]
async fn garbage_truncated_deep_and_oversized_bodies_are_refused() {
    let stage = Stage::set().await;
    let before = stage.log_end().await;
    let good = json!({"channel":"pi","content":"hello there"});
    let (text, packed) = (
        good.to_string().into_bytes(),
        rmp_serde::to_vec_named(&good).unwrap(),
    );
    for whole in [&text, &packed] {
        for cut in 1..whole.len() {
            stage
                .refuse(SEND, &whole[..cut], "invalid_argument", None)
                .await;
        }
    }
    let mut invalid_utf8 = text.clone();
    let place = invalid_utf8.iter().position(|byte| *byte == b'h').unwrap();
    invalid_utf8[place + 14] = 0xff;
    stage
        .refuse(SEND, invalid_utf8, "invalid_argument", None)
        .await;
    let deep = format!(
        r#"{{"channel":"pi","content":"x","metadata":{}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    stage.refuse(SEND, deep, "invalid_argument", None).await;
    let mut deep = vec![0x81, 0xa1, b'm'];
    deep.extend(std::iter::repeat_n(0x91, 50_000));
    stage.refuse(SEND, deep, "invalid_argument", None).await;
    stage
        .refuse(SEND, vec![b' '; REQUEST_MAX_BYTES + 1], "too_large", None)
        .await;
    stage
        .refuse(SEND, vec![0xc1; 1000], "invalid_argument", None)
        .await;
    stage
        .refuse(SEND, "[1,2,3]", "invalid_argument", None)
        .await;
    stage
        .refuse(SEND, "\"text\"", "invalid_argument", None)
        .await;
    stage.refuse(SEND, "{}{}", "invalid_argument", None).await;
    for verb in ["sing", "send_message2", "check_messages"] {
        stage
            .refuse(
                &format!("postroad.acme.cmd.tau.t1.messages.{verb}"),
                "{}",
                "not_found",
                Some("verb"),
            )
            .await;
    }
    assert_eq!(stage.log_end().await, before, "nothing was stored");
    // Fields that nobody knows are ignored.
    let extra = json!({"channel":"pi","content":"x","color":"red","nested":{"a":[1,{"b":null}]}});
    let sent = raw::request(&stage.agent, SEND, extra.to_string()).await;
    assert!(sent["messageId"].is_string(), "{sent}");
}

#[tokio::test]
async fn the_same_message_id_with_other_content_is_a_conflict_and_a_retry_is_not() {
    let stage = Stage::set().await;
    for id in [
        uuid::Uuid::now_v7(),
        uuid::Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef),
    ] {
        let body = json!({"channel":"pi","content":"one","messageId":id.to_string()});
        let first = raw::request(&stage.agent, SEND, body.to_string()).await;
        let retried = raw::request(&stage.agent, SEND, body.to_string()).await;
        assert_eq!(
            first["position"], retried["position"],
            "a retry returns its first position: {retried}"
        );
        let other = json!({"channel":"pi","content":"two","messageId":id.to_string()});
        stage
            .refuse(SEND, other.to_string(), "conflict", Some("messageId"))
            .await;
    }
    let listed = raw::request(&stage.agent, LIST, json!({"fresh":true}).to_string()).await;
    assert_eq!(listed["messages"].as_array().unwrap().len(), 2, "{listed}");
}

#[tokio::test]
async fn limits_waits_and_cursors_out_of_bounds_are_refused() {
    let stage = Stage::set().await;
    for limit in [
        json!(-1),
        json!(0),
        json!(201),
        json!(1_000_000_000_000_i64),
        json!(1.5),
        json!("ten"),
    ] {
        stage
            .refuse(
                CHECK,
                json!({"limit":limit}).to_string(),
                "invalid_argument",
                Some("limit"),
            )
            .await;
        stage
            .refuse(
                LIST,
                json!({"limit":limit}).to_string(),
                "invalid_argument",
                Some("limit"),
            )
            .await;
    }
    for wait in [json!(-1), json!(60_001), json!("long")] {
        stage
            .refuse(
                CHECK,
                json!({"waitMs":wait}).to_string(),
                "invalid_argument",
                Some("waitMs"),
            )
            .await;
    }
    for who in [
        json!({"recipient":"pi"}),
        json!({"recipientInstanceId":"t2"}),
        json!({"tenantId":"globex"}),
    ] {
        stage
            .refuse(CHECK, who.to_string(), "permission_denied", None)
            .await;
    }
    for cursor in ["", "garbage", "AAAA", &"A".repeat(5000)] {
        stage
            .refuse(
                CHECK,
                json!({"cursor":cursor}).to_string(),
                "invalid_argument",
                Some("cursor"),
            )
            .await;
    }
    // A cursor that another agent was given, and one of another list, are none of this one's.
    for content in ["1", "2", "3"] {
        raw::request(
            &stage.agent,
            SEND,
            json!({"channel":"pi","content":content}).to_string(),
        )
        .await;
    }
    let creds = stage.deployment.creds("acme", "pi", Some("p1")).await;
    let pi = raw::connect(
        &stage.deployment.url,
        &creds,
        &inbox_prefix("acme", "pi", "p1"),
    )
    .await;
    let page = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.check_messages",
        json!({"limit":1,"fresh":true}).to_string(),
    )
    .await;
    let cursor = page["nextCursor"]
        .as_str()
        .unwrap_or_else(|| panic!("{page}"));
    stage
        .refuse(
            CHECK,
            json!({"cursor":cursor}).to_string(),
            "invalid_argument",
            Some("cursor"),
        )
        .await;
    let other_list = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.list_messages",
        json!({"cursor":cursor}).to_string(),
    )
    .await;
    assert_eq!(other_list["field"], "cursor", "{other_list}");
}

#[tokio::test]
async fn unknown_and_foreign_receipts_and_messages_read_alike() {
    let stage = Stage::set().await;
    let sent = raw::request(
        &stage.agent,
        SEND,
        json!({"channel":"pi","content":"for pi"}).to_string(),
    )
    .await;
    let creds = stage.deployment.creds("acme", "pi", Some("p1")).await;
    let pi = raw::connect(
        &stage.deployment.url,
        &creds,
        &inbox_prefix("acme", "pi", "p1"),
    )
    .await;
    let page = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.check_messages",
        json!({"fresh":true}).to_string(),
    )
    .await;
    let receipt = page["messages"][0]["receiptId"].as_str().unwrap();
    let body = json!({"receiptIds":[receipt, "rcpt-xyz", "é"], "messageIds":[sent["messageId"], "nonsense"]});
    let marked = raw::request(&stage.agent, MARK, body.to_string()).await;
    assert_eq!(marked["marked"], json!([]), "{marked}");
    assert_eq!(marked["notFound"].as_array().unwrap().len(), 5, "{marked}");
    for body in [json!({}), json!({"receiptIds":[]})] {
        stage
            .refuse(
                MARK,
                body.to_string(),
                "invalid_argument",
                Some("receiptIds"),
            )
            .await;
    }
    stage
        .refuse(
            MARK,
            json!({"receiptIds": vec!["x"; 501]}).to_string(),
            "too_large",
            Some("receiptIds"),
        )
        .await;
    for verb in ["get_message", "message_status"] {
        let subject = format!("postroad.acme.qry.tau.t1.messages.{verb}");
        for id in ["0190163d-8694-739b-aea5-966c26f8ad91", "nonsense", ""] {
            stage
                .refuse(
                    &subject,
                    json!({"messageId":id}).to_string(),
                    "not_found",
                    Some("messageId"),
                )
                .await;
        }
    }
}

#[tokio::test]
async fn an_answer_wanted_outside_the_callers_inbox_is_never_given() {
    let stage = Stage::set().await;
    let before = stage.log_end().await;
    let body = json!({"channel":"pi","content":"reflected"}).to_string();
    let mut own = stage.agent.subscribe("_INBOX.acme.tau.t1.>").await.unwrap();
    for reply in [
        "_INBOX.acme.pi.p1.x",
        "_INBOX.globex.tau.t1.x",
        "postroad.acme.cmd.pi.p1.messages.send_message",
        "$JS.API.STREAM.PURGE.POSTROAD_0",
    ] {
        stage
            .agent
            .publish_with_reply(SEND, reply, body.clone().into())
            .await
            .unwrap();
        stage
            .agent
            .publish_with_reply(CHECK, reply, "{}".into())
            .await
            .unwrap();
    }
    stage.agent.publish(SEND, body.into()).await.unwrap();
    // Requests of one connection are taken in order: when this is answered, the others were dropped.
    let answered = raw::request(&stage.agent, CHECK, "{}").await;
    assert!(answered["messages"].is_array(), "{answered}");
    assert_eq!(stage.log_end().await, before, "nothing was stored");
    let stray = tokio::time::timeout(
        Duration::from_millis(200),
        futures_util::StreamExt::next(&mut own),
    )
    .await;
    let strays = stray
        .ok()
        .flatten()
        .is_some_and(|message| message.payload.starts_with(b"{\"messageId"));
    assert!(!strays, "no send was answered");
}

#[tokio::test]
async fn expired_and_malformed_credentials_say_so() {
    let deployment = Deployment::start();
    let folder = deployment.dir.path();
    let out = folder.join("short.creds").display().to_string();
    deployment
        .run(&[
            "agent",
            "issue",
            "--tenant",
            "default",
            "--role",
            "short",
            "--instance",
            "s",
            "--ttl",
            "1s",
            "--out",
            &out,
        ])
        .expect(0);
    crate::harness::eventually("the credential expires", async || {
        deployment.run(&["--creds", &out, "whoami"]).code == 4
    })
    .await;
    let expired = deployment.run(&["--creds", &out, "whoami"]).expect(4);
    assert!(expired.stderr.contains("expired"), "{expired:?}");
    let bad = folder.join("bad.creds");
    std::fs::write(&bad, "-----BEGIN NATS USER JWT-----\nnonsense\n").unwrap();
    let malformed = deployment.run(&["--creds", &bad.display().to_string(), "whoami"]);
    assert_ne!(malformed.code, 0);
    assert!(malformed.stderr.contains("remedy"), "{malformed:?}");
}
