//! The first wall alone: what nats-server itself keeps an agent with a valid credential from.

use crate::harness::Deployment;
use crate::harness::raw::Watched;
use postroad_protocol::permission::{self, PermissionTemplate};
use postroad_protocol::subject::inbox_prefix;
use postroad_protocol::walls::{Named, SUBJECTS};

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
        "postroad._sys.issuer._sys.exchange_token",
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

/// Whatever the table of subjects does not allow this credential, its own or anybody's, is denied.
async fn expect_denied(url: &str, creds: &str, template: &PermissionTemplate, tags: Named<'_>) {
    let prefix = inbox_prefix(tags.tenant, tags.role, tags.instance);
    let watched = Watched::connect(url, creds, &prefix).await;
    let inbox = format!("{prefix}.x");
    let other = Named {
        tenant: "acme",
        role: "tau",
        instance: "i1",
    };
    let mut denied = 0;
    for class in SUBJECTS {
        for owner in [other, tags] {
            let subject = class.of("postroad", owner);
            if !template.may_publish(tags, &subject) {
                watched.expect_publish_denied(&subject, &inbox).await;
                denied += 1;
            }
            if !template.may_subscribe(tags, &subject) {
                watched.expect_subscribe_denied(&subject).await;
                denied += 1;
            }
        }
    }
    assert!(denied > SUBJECTS.len(), "{denied} attempts were denied");
}

#[tokio::test]
async fn what_the_table_of_subjects_does_not_allow_is_denied_by_nats_server() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    deployment.tenant("acme-two").await;
    let url = &deployment.url;
    let named = |tenant, instance| Named {
        tenant,
        role: "tau",
        instance,
    };
    for tenant in ["acme", "acme-two"] {
        let creds = deployment.creds(tenant, "tau", Some("i1")).await;
        let template = permission::agent("postroad");
        expect_denied(url, &creds, &template, named(tenant, "i1")).await;
    }
    let creds = deployment.creds("acme-two", "tau", None).await;
    let template = permission::agent_any_instance("postroad");
    expect_denied(url, &creds, &template, named("acme-two", "i2")).await;
    let creds = std::fs::read_to_string(deployment.path().join("operator.creds")).unwrap();
    let operator = Named {
        tenant: "_all",
        role: "_operator",
        instance: "local",
    };
    expect_denied(url, &creds, &permission::operator("postroad"), operator).await;
}
