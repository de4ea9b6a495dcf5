//! The first wall alone: what nats-server itself keeps an agent with a valid credential from.

use crate::harness::Deployment;
use crate::harness::raw::Watched;
use postroad_protocol::subject::inbox_prefix;

#[tokio::test]
async fn an_agent_reaches_no_other_subject_of_any_class() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    deployment.tenant("acme-two").await;
    deployment.creds("acme", "tau", Some("i1")).await;
    let creds = deployment.creds("acme-two", "tau", Some("i1")).await;
    let prefix = inbox_prefix("acme-two", "tau", "i1");
    let stranger = Watched::connect(&deployment.url, &creds, &prefix).await;
    let inbox = format!("{prefix}.x");
    for subject in [
        "postroad.acme-two.evt.0.message.tau",
        "postroad.acme.evt.0.message.tau",
        "postroad.acme-two.push.tau",
        "postroad.acme.push.broadcast",
        "postroad.acme.presence.tau.i1",
        "postroad.acme-two.presence.pi.i1",
        "postroad._sys.broker.acme.observe",
        "postroad._sys.issuer.acme.sign",
        "postroad._sys.projector.acme.look_up",
        "postroad._keys.acme",
        "$JS.API.STREAM.INFO.POSTROAD_0",
        "$JS.API.CONSUMER.CREATE.POSTROAD_0",
        "$JS.API.DIRECT.GET.POSTROAD_0",
        "$SYS.REQ.SERVER.PING",
        "$KV.x.y",
        "$SRV.PING",
        "_INBOX.acme.tau.i1.x",
        "_INBOX.acme-two.pi.i1.x",
        "_INBOX._all._operator.local.x",
    ] {
        stranger.expect_publish_denied(subject, &inbox).await;
    }
    for subject in [
        ">",
        "*",
        "postroad.>",
        "postroad.acme.>",
        "postroad.*.push.>",
        "postroad.acme.push.tau",
        "postroad.acme-two.push.>",
        "postroad.acme-two.push.pi",
        "postroad.acme-two.cmd.>",
        "postroad.acme-two.evt.>",
        "postroad.*.presence.>",
        "postroad._sys.>",
        "postroad._keys.>",
        "_INBOX.>",
        "_INBOX.acme.>",
        "_INBOX.acme-two.pi.i1.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$SYS.>",
        "$KV.>",
    ] {
        stranger.expect_subscribe_denied(subject).await;
    }
}
