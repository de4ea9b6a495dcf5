//! Answers wanted elsewhere than at the caller's own inbox. NATS checks no reply-to, so the parts do.
//! `tests/it/bad_input/reply_to.rs` tries what a bound credential can; this what is left: a credential that
//! serves any instance, subjects of JetStream and the server, and names that only look like the inbox.

use crate::harness::eventually;
use crate::socket::{Frame, Socket};
use crate::stage::{CANARY, INSTANCE, Stage, has_canary, issue};
use postroad_protocol::tenancy::Scope;
use serde_json::json;

/// Where the agent `acme-two/tau/i1` may not want its answer.
const ELSEWHERE: &[&str] = &[
    "_INBOX.acme-two.tau.i2.x",
    "_INBOX.acme-two.tau.i10.x",
    "_INBOX.acme-two.tau.i1",
    "_INBOX.acme-two.tau.I1.x",
    "_INBOX.acme-two.tau.*.x",
    "_INBOX.acme-two.tau.i1.*",
    "_INBOX.acme-two.tau.i1.>",
    "_INBOX.acme-two.tau.i1.x.>",
    "_INBOX.acme-two.tau.i1..x",
    "_INBOX.acme-two.pi.i1.x",
    "_INBOX.acme-two.*.i1.x",
    "_INBOX.acme.tau.i1.x",
    "_INBOX.acme.pi.i1.x",
    "_INBOX.*.tau.i1.x",
    "_inbox.acme-two.tau.i1.x",
    "_INBOX.\u{0430}cme-two.tau.i1.x",
    "_INBOX._all._operator.local.x",
    "_INBOX._sys.broker.x",
    "_INBOX._sys.projector.x",
    "_INBOX._sys.issuer.x",
    "_INBOX._sys.gateway.x",
    "postroad.acme-two.cmd.tau.i1.messages.send_message",
    "postroad.acme-two.cmd.pi.i1.messages.send_message",
    "postroad.acme.cmd.pi.i1.self.set_summary",
    "postroad.acme.qry.tau.i1.messages.check_messages",
    "postroad.acme-two.push.tau",
    "postroad.acme.push.pi",
    "postroad.acme.push.pi.i1",
    "postroad.acme.push.broadcast",
    "postroad.acme.presence.pi.i1",
    "postroad.acme.evt.0.message.pi",
    "postroad._keys.acme",
    "postroad._sys.broker.acme.observe",
    "postroad._sys.projector._sys.announce",
    "postroad._sys.issuer.acme.sign",
    "postroad._sys.issuer._sys.exchange_token",
    "$JS.API.INFO",
    "$JS.API.STREAM.PURGE.POSTROAD_0",
    "$JS.API.STREAM.DELETE.POSTROAD_0",
    "$JS.API.STREAM.MSG.DELETE.POSTROAD_0",
    "$JS.API.STREAM.MSG.GET.POSTROAD_0",
    "$JS.API.DIRECT.GET.POSTROAD_0",
    "$JS.API.CONSUMER.CREATE.POSTROAD_0",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$KV.x.y",
    "$SRV.PING",
];

#[tokio::test]
async fn an_answer_wanted_elsewhere_is_never_given_and_counted_as_dropped() {
    let stage = Stage::set().await;
    let any = issue(
        &stage.deployment,
        "acme-two",
        "tau",
        None,
        &Scope::AGENT_DEFAULT,
    )
    .await;
    let parts = stage.parts().await;
    let before = stage.dropped().await;
    let mut everything = stage.witness.listen(">").await;
    let end = stage.log_end().await;
    let command = stage.stranger.subject("set_summary");
    let query = stage.stranger.subject("list_messages");
    let body = json!({"summary": CANARY, "content": CANARY}).to_string();
    let mut queries = 0;
    for creds in [&stage.stranger.creds, &any] {
        let mut attacker = Socket::connect(&stage.deployment.url, creds).await.unwrap();
        for reply in ELSEWHERE {
            attacker
                .publish(command.as_bytes(), reply.as_bytes(), body.as_bytes())
                .await;
            attacker
                .publish(query.as_bytes(), reply.as_bytes(), body.as_bytes())
                .await;
            queries += 1;
        }
        let said = attacker.settle().await;
        assert!(said.is_empty(), "{said:?}");
        // This one the server does look at.
        attacker
            .publish(
                query.as_bytes(),
                b"$JS.ACK.POSTROAD_0.x.1.1.1.1.0",
                body.as_bytes(),
            )
            .await;
        let said = attacker.settle().await;
        assert!(matches!(&said[..], [Frame::Error(_)]), "{said:?}");
    }
    eventually("every one is counted", async || {
        stage.dropped().await == before + queries
    })
    .await;
    stage.witness.settle().await;
    for message in everything.so_far() {
        let own = *message.subject == command || *message.subject == query;
        assert!(own || !has_canary(&message.payload), "{message:?}");
        if message.subject.starts_with("_INBOX.acme")
            || message.subject.starts_with("$JS.API.STREAM.PURGE")
        {
            panic!("somebody was answered: {message:?}");
        }
    }
    assert_eq!(stage.log_end().await, end, "nothing was done");
    // The same wish below the own inbox is granted.
    let mut attacker = Socket::connect(&stage.deployment.url, &any).await.unwrap();
    let inbox = format!("_INBOX.acme-two.tau.{INSTANCE}.x");
    attacker.subscribe(&inbox).await;
    let answer = attacker
        .request(command.as_bytes(), &inbox, body.as_bytes())
        .await;
    assert!(answer["position"].is_object(), "{answer}");
    stage
        .expect_unharmed(&parts, "wishes for answers elsewhere")
        .await;
}
