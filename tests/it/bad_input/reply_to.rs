//! Answers wanted elsewhere than at the caller's inbox: nobody gets one, and nothing is done.

use super::{MARK, SEND, Stage};
use crate::harness::{eventually, raw};
use serde_json::json;

/// Where a caller might want an answer that it may not want there: other agents, other tenants, its
/// own other machine, a part of the deployment, a command, an event, JetStream itself.
const ELSEWHERE: &[&str] = &[
    "_INBOX.acme.pi.p1.x",
    "_INBOX.acme.tau.t2.x",
    "_INBOX.acme.tau.t10.x",
    "_INBOX.acme.tau.t1",
    "_INBOX.globex.tau.t1.x",
    "_INBOX._all._operator.local.x",
    "_INBOX._sys.broker.x",
    "postroad.acme.cmd.pi.p1.messages.send_message",
    "postroad.globex.cmd.tau.t1.messages.send_message",
    "postroad.acme.evt.0.message.pi",
    "postroad.acme.push.pi",
    "postroad._sys.broker.acme.observe",
    "$JS.API.STREAM.PURGE.POSTROAD_0",
];

#[tokio::test]
async fn an_answer_wanted_outside_the_callers_inbox_is_never_given() {
    let stage = Stage::set().await;
    let sent = json!({"channel":"pi","content":"reflected"}).to_string();
    let of_broker = [
        (SEND, sent.as_str()),
        (SEND, "{}"),
        (MARK, r#"{"receiptIds":["x"]}"#),
        (
            "postroad.acme.cmd.tau.t1.self.set_summary",
            r#"{"summary":"reflected"}"#,
        ),
        ("postroad.acme.cmd.tau.t1.messages.sing", "{}"),
    ];
    let of_projector = [
        ("messages.check_messages", "{}"),
        ("messages.check_messages", r#"{"limit":0}"#),
        ("messages.list_messages", "{}"),
        ("messages.get_message", r#"{"messageId":"x"}"#),
        ("messages.message_status", r#"{"messageId":"x"}"#),
        ("self.list_peers", "{}"),
        ("self.whoami", "{}"),
        ("messages.sing", "{}"),
    ];
    let operator = stage.deployment.operator().await;
    let dropped = async || {
        let status = operator.operator().unwrap().status().await.unwrap();
        status.dropped_requests
    };
    let dropped_before = dropped().await;
    let mut heard = Vec::new();
    for subject in ELSEWHERE {
        heard.push(stage.witness.listen(subject).await);
    }
    let mut own = stage.witness.listen("_INBOX.acme.tau.t1.>").await;
    let ask = async |subject: &str, reply: &str, body: &str| {
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        let asked = stage
            .agent
            .publish_with_reply(subject, reply, body.to_owned().into());
        asked.await.unwrap();
    };
    for reply in ELSEWHERE {
        for (subject, body) in of_broker {
            ask(subject, reply, body).await;
        }
        for (verb, body) in of_projector {
            ask(&format!("postroad.acme.qry.tau.t1.{verb}"), reply, body).await;
        }
    }
    // Whoever wants no answer at all is not served either: what failed would be lost on it.
    stage
        .agent
        .publish(SEND, sent.clone().into())
        .await
        .unwrap();
    // Commands of one connection are taken in their order, and stored in it.
    stage
        .expect_nothing_stored("sends with a foreign inbox")
        .await;
    // Queries are taken in order; those that were taken are answered long before a third round trip.
    for _ in 0..3 {
        let query = json!({"fresh":true}).to_string();
        let answered = raw::request(&stage.agent, super::CHECK, query).await;
        assert!(answered["messages"].is_array(), "{answered}");
    }
    let asked = u64::try_from(ELSEWHERE.len() * of_projector.len()).unwrap();
    eventually("the projector has dropped every one", async || {
        dropped().await == dropped_before + asked
    })
    .await;
    stage.witness.settle().await;
    for (subject, heard) in ELSEWHERE.iter().zip(&mut heard) {
        let said = heard.so_far();
        assert!(said.is_empty(), "{subject}: {said:?}");
    }
    assert!(
        own.so_far().len() >= 4,
        "the witness hears what is answered"
    );
    let peers = json!({"fresh":true}).to_string();
    let peers = raw::request(
        &stage.agent,
        "postroad.acme.qry.tau.t1.self.list_peers",
        peers,
    )
    .await;
    assert!(!peers.to_string().contains("reflected"), "{peers}");
}
