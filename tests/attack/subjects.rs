//! The first wall: with a valid credential, every subject of every other class is refused, to speak
//! on and to listen to, however it is written.

use crate::socket::{Delivered, Frame, Socket};
use crate::stage::{CANARY, INSTANCE, Stage, find, has_canary, issue};
use postroad_protocol::catalogue::VERBS;
use postroad_protocol::subject::inbox_prefix;
use postroad_protocol::tenancy::Scope;
use serde_json::json;

/// Tenants whose subjects are tried: the other one, names that only look like the attacker's own or
/// begin like it, and what stands for all tenants or none.
const TENANTS: &[&str] = &[
    "acme",
    "_all",
    "_sys",
    "*",
    "acme-",
    "acme-tw",
    "acme-two2",
    "ACME-TWO",
    "Acme-two",
    "\u{0430}cme-two",
    "acme\u{2010}two",
    "\u{ff41}cme-two",
    "acme-two\u{200b}",
    "acme-tw\u{00f8}",
];

/// Whether the credential serves one instance, or any of its role.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    One,
    Any,
}

impl Bound {
    fn instance(self) -> Option<&'static str> {
        (self == Self::One).then_some(INSTANCE)
    }
}

/// Every subject on which the agent `acme-two/tau/i1` with the default scopes may not speak.
fn forbidden_to_publish(bound: Bound) -> Vec<String> {
    let mut subjects = Vec::new();
    for verb in VERBS {
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        let mut add = |tenant: &str, kind: &str, role: &str, instance: &str, rest: &str| {
            subjects.push(format!("postroad.{tenant}.{kind}.{role}.{instance}.{rest}"));
        };
        let rest = format!("{scope}.{name}");
        for tenant in TENANTS {
            add(tenant, kind, "tau", INSTANCE, &rest);
        }
        for role in [
            "pi",
            "_operator",
            "*",
            "TAU",
            "tau-",
            "t\u{0430}u",
            "broadcast",
        ] {
            add("acme-two", kind, role, INSTANCE, &rest);
            add("_all", kind, role, INSTANCE, &rest);
        }
        if bound == Bound::One {
            for instance in ["i2", "i", "i10", "*", "I1", "\u{0456}1"] {
                add("acme-two", kind, "tau", instance, &rest);
            }
        }
        // Scopes that it was not given, names of scopes that there are not, and other kinds.
        for scope in ["admin", "audit", "*", "SELF", "messages2"] {
            add(
                "acme-two",
                kind,
                "tau",
                INSTANCE,
                &format!("{scope}.{name}"),
            );
        }
        for kind in ["CMD", "cmds", "*", "evt", "push", "presence"] {
            add("acme-two", kind, "tau", INSTANCE, &rest);
        }
        // A token more or less.
        add("acme-two", kind, "tau", INSTANCE, &format!("{rest}.x"));
        add("acme-two", kind, "tau", INSTANCE, name);
        subjects.push(format!("acme-two.{kind}.tau.{INSTANCE}.{rest}"));
        subjects.push(format!("Postroad.acme-two.{kind}.tau.{INSTANCE}.{rest}"));
    }
    for tenant in ["acme", "acme-two", "_sys", "_all", "*"] {
        for rest in [
            "evt.0.message.tau",
            "evt.0.message.pi",
            "evt.0.tenant.life",
            "evt.0.agent.tau",
            "evt.0.receipt.tau",
            "evt.0.shard.damage",
            "evt.1.message.tau",
            "push.tau",
            "push.pi",
            "push.tau.i1",
            "push.broadcast",
            "presence.pi.i1",
            "presence.tau",
            "presence.tau.i1.x",
            "presence.*.*",
        ] {
            subjects.push(format!("postroad.{tenant}.{rest}"));
        }
    }
    if bound == Bound::One {
        subjects.push("postroad.acme-two.presence.tau.i2".to_owned());
    }
    subjects.push("postroad.acme.presence.tau.i1".to_owned());
    for system in [
        "postroad._sys.broker.acme.observe",
        "postroad._sys.broker.acme-two.observe",
        "postroad._sys.projector.acme.look_up",
        "postroad._sys.projector._sys.announce",
        "postroad._sys.issuer.acme.sign",
        "postroad._sys.issuer.acme-two.sign",
        "postroad._sys.issuer._sys.exchange_token",
        "postroad._keys.acme",
        "postroad._keys.acme-two",
        "postroad._keys._sys",
        "postroad.>",
        "postroad",
        "*.*.evt.>",
        ">",
        "*",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.POSTROAD_0",
        "$JS.API.STREAM.CREATE.EVIL",
        "$JS.API.STREAM.UPDATE.POSTROAD_0",
        "$JS.API.STREAM.PURGE.POSTROAD_0",
        "$JS.API.STREAM.DELETE.POSTROAD_0",
        "$JS.API.STREAM.SNAPSHOT.POSTROAD_0",
        "$JS.API.STREAM.MSG.GET.POSTROAD_0",
        "$JS.API.STREAM.MSG.DELETE.POSTROAD_0",
        "$JS.API.STREAM.MSG.GET.POSTROAD_KEYS",
        "$JS.API.DIRECT.GET.POSTROAD_0",
        "$JS.API.DIRECT.GET.POSTROAD_KEYS.postroad._keys.acme",
        "$JS.API.CONSUMER.CREATE.POSTROAD_0",
        "$JS.API.CONSUMER.CREATE.POSTROAD_0.evil.postroad.acme.evt.>",
        "$JS.API.CONSUMER.MSG.NEXT.POSTROAD_0.x",
        "$JS.API.CONSUMER.LIST.POSTROAD_0",
        "$JS.API.SERVER.REMOVE",
        "$JS.API.ACCOUNT.PURGE.x",
        "$JS.ACK.POSTROAD_0.x.1.1.1.1.0",
        "$JS.FC.POSTROAD_0.x.y",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.ACCOUNT.PING.CONNZ",
        "$SYS.REQ.ACCOUNT.PING.STATZ",
        "$SYS.REQ.SERVER.PING.KICK",
        "$KV.x.y",
        "$O.x.C.y",
        "$SRV.PING",
        "$SRV.INFO.postroad",
        "_INBOX.acme.tau.i1.x",
        "_INBOX.acme-two.tau.i1.x",
        "_INBOX.acme-two.pi.i1.x",
        "_INBOX._all._operator.local.x",
        "_INBOX._sys.broker.x",
        "_INBOX._sys.projector.x",
        "_INBOX._sys.gateway.x",
        "_INBOX.x",
        "_R_.x",
        "_GR_.x",
        "$G.x",
        "$MQTT.x",
    ] {
        subjects.push(system.to_owned());
    }
    subjects
}

/// Every subject that it may not listen to.
fn forbidden_to_subscribe(bound: Bound) -> Vec<String> {
    let mut subjects = forbidden_to_publish(bound);
    // Its own inbox is there to be listened to; that nobody else may speak there is the list above.
    subjects.retain(|subject| *subject != "_INBOX.acme-two.tau.i1.x");
    // Nor may anybody but the broker wait for its pushes' neighbours, in any shape that holds them.
    let own_push = [
        "postroad.acme-two.push.tau",
        "postroad.acme-two.push.tau.i1",
        "postroad.acme-two.push.broadcast",
    ];
    subjects.retain(|subject| !own_push.contains(&subject.as_str()));
    for verb in ["send_message", "check_messages"].map(find) {
        // Not even what it may say may it hear, least of all in the place of those who answer it.
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        subjects.push(format!("postroad.acme-two.{kind}.tau.i1.{scope}.{name}"));
    }
    for more in [
        "postroad.*.cmd.>",
        "postroad.*.cmd.> broker",
        "postroad.*.qry.> projector",
        "postroad.*.evt.>",
        "postroad.*.push.>",
        "postroad.*.push.*",
        "postroad.*.push.broadcast",
        "postroad.*.presence.*.*",
        "postroad.*.>",
        "postroad.acme.>",
        "postroad.acme-two.>",
        "postroad.acme-two.push.>",
        "postroad.acme-two.push.*",
        "postroad.acme-two.push.pi",
        "postroad.acme-two.push.pi.i1",
        "postroad.acme-two.push.*.i1",
        "postroad.acme-two.presence.tau.i1",
        "postroad._sys.>",
        "postroad._sys.broker.*.*",
        "postroad._sys.projector.*.*",
        "postroad._keys.>",
        "*.>",
        "*.acme.>",
        "*.*.push.broadcast",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX.*.>",
        "_INBOX.acme.>",
        "_INBOX.acme.tau.i1.>",
        "_INBOX.acme-two.>",
        "_INBOX.acme-two.*.i1.>",
        "_INBOX.acme-two.tau.>",
        "_INBOX.acme-two.pi.i1.>",
        "_INBOX.*.tau.i1.>",
        "_INBOX._sys.>",
        "_INBOX._all.>",
        "$JS.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$JS.EVENT.>",
        "$SYS.>",
        "$SYS.ACCOUNT.>",
        "$KV.>",
        "$SRV.>",
        "$O.>",
        "_R_.>",
        "_GR_.>",
    ] {
        subjects.push(more.to_owned());
    }
    if bound == Bound::One {
        subjects.push("postroad.acme-two.push.tau.i2".to_owned());
        // The other kind may: it hears every instance of its role, and below them there is nothing.
        subjects.push("postroad.acme-two.push.tau.>".to_owned());
        subjects.push("_INBOX.acme-two.tau.i2.>".to_owned());
        subjects.push("_INBOX.acme-two.tau.*.>".to_owned());
    }
    subjects
}

/// Each of `wanted` was refused, in its order, and nothing besides.
fn expect_refused(frames: &[Frame], what: &str, wanted: &[&str]) {
    let start = format!("Permissions Violation for {what} to \"");
    let mut refused = Vec::new();
    for frame in frames {
        match frame {
            // The server quotes what is no letter as Go does.
            Frame::Error(error) if error.starts_with(&start) => {
                refused.push(error.replace("\\u200b", "\u{200b}"));
            }
            other => panic!("another answer: {other:?}"),
        }
    }
    for (refused, wanted) in refused.iter().zip(wanted) {
        assert!(
            refused.starts_with(&format!("{start}{wanted}\"")),
            "{wanted} was not refused, but: {refused}"
        );
    }
    assert_eq!(refused.len(), wanted.len(), "as many as were tried");
}

fn delivered(frames: Vec<Frame>) -> Vec<Delivered> {
    let message = |frame| match frame {
        Frame::Message(message) => Some(message),
        _ => None,
    };
    frames.into_iter().filter_map(message).collect()
}

/// Connects by hand with a valid credential of this kind.
async fn attacker(stage: &Stage, bound: Bound) -> Socket {
    let scopes = &Scope::AGENT_DEFAULT;
    let (deployment, instance) = (&stage.deployment, bound.instance());
    let creds = issue(deployment, "acme-two", "tau", instance, scopes).await;
    Socket::connect(&deployment.url, &creds).await.unwrap()
}

async fn nothing_is_said_where_it_may_not_be(bound: Bound) {
    let stage = Stage::set().await;
    let mut attacker = attacker(&stage, bound).await;
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", INSTANCE));
    let body = json!({"summary": CANARY, "content": CANARY, "channel": "pi"}).to_string();
    let mut everything = stage.witness.listen(">").await;
    let end = stage.log_end().await;
    let forbidden = forbidden_to_publish(bound);
    for subject in &forbidden {
        attacker
            .publish(subject.as_bytes(), inbox.as_bytes(), body.as_bytes())
            .await;
    }
    let wanted: Vec<&str> = forbidden.iter().map(String::as_str).collect();
    expect_refused(&attacker.settle().await, "Publish", &wanted);
    stage.witness.settle().await;
    let heard = everything.so_far();
    let leaked: Vec<_> = heard
        .iter()
        .filter(|message| has_canary(&message.payload))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    assert_eq!(stage.log_end().await, end, "nothing was stored");

    // What it may say is heard, and done.
    attacker.subscribe(&inbox).await;
    let own = "postroad.acme-two.cmd.tau.i1.self.set_summary";
    let done = attacker
        .request(own.as_bytes(), &inbox, body.as_bytes())
        .await;
    assert!(done["position"].is_object(), "{done}");
    let presence = "postroad.acme-two.presence.tau.i1";
    attacker
        .publish(presence.as_bytes(), b"", body.as_bytes())
        .await;
    assert!(delivered(attacker.settle().await).is_empty());
    stage.witness.settle().await;
    let heard = everything.so_far();
    let said = |subject: &str| {
        heard
            .iter()
            .any(|message| &*message.subject == subject && has_canary(&message.payload))
    };
    assert!(
        said(own) && said(presence),
        "the witness hears what is said"
    );
    assert_eq!(stage.log_end().await, end + 1);
}

async fn nothing_is_heard_where_it_may_not_be(bound: Bound) {
    let stage = Stage::set().await;
    let mut attacker = attacker(&stage, bound).await;
    let forbidden = forbidden_to_subscribe(bound);
    for subject in &forbidden {
        attacker.subscribe(subject).await;
    }

    let wanted: Vec<&str> = forbidden
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    expect_refused(&attacker.settle().await, "Subscription", &wanted);
    let allowed = [
        "postroad.acme-two.push.tau",
        "postroad.acme-two.push.tau.i1",
        "postroad.acme-two.push.broadcast",
    ];
    for subject in allowed {
        attacker.subscribe(subject).await;
    }
    assert!(attacker.settle().await.is_empty());
    let send =
        async |from: &crate::stage::Agent, to: &str, instance: Option<&str>, content: &str| {
            let body = json!({"channel": to, "instanceId": instance, "content": content});
            let sent = from.call("send_message", body).await;
            assert!(sent["messageId"].is_string(), "{sent}");
        };
    for (to, instance) in [
        ("tau", None),
        ("tau", Some(INSTANCE)),
        ("pi", None),
        ("broadcast", None),
    ] {
        send(&stage.peer, to, instance, CANARY).await;
        send(&stage.owner, to, instance, CANARY).await;
        // Of its own tenant, what is meant for another role.
        send(&stage.stranger, "pi", None, CANARY).await;
    }
    stage
        .owner
        .call("set_summary", json!({"summary": CANARY}))
        .await;
    let page = stage
        .peer
        .call("check_messages", json!({"fresh": true}))
        .await;
    assert!(
        page.to_string().contains(CANARY),
        "it was there to be heard: {page}"
    );
    for (to, instance) in [("tau", None), ("tau", Some(INSTANCE)), ("broadcast", None)] {
        send(&stage.double, to, instance, "its own").await;
    }
    // The bells of one broker ring in the order of what it stored: behind its own there is nothing.
    let mut heard = Vec::new();
    while heard.len() < allowed.len() {
        match attacker.next().await {
            Frame::Message(message) => heard.push(message),
            frame => panic!("{frame:?}"),
        }
    }
    heard.extend(delivered(attacker.settle().await));
    let subjects: Vec<&str> = heard
        .iter()
        .map(|message| message.subject.as_str())
        .collect();
    assert_eq!(subjects, allowed, "each of its own, once");
    assert!(
        heard.iter().all(|message| !has_canary(&message.payload)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_bound_credential_speaks_on_no_other_subject() {
    nothing_is_said_where_it_may_not_be(Bound::One).await;
}

#[tokio::test]
async fn a_credential_for_any_instance_speaks_on_no_other_subject() {
    nothing_is_said_where_it_may_not_be(Bound::Any).await;
}

#[tokio::test]
async fn a_bound_credential_hears_no_other_subject() {
    nothing_is_heard_where_it_may_not_be(Bound::One).await;
}

#[tokio::test]
async fn a_credential_for_any_instance_hears_no_other_subject() {
    nothing_is_heard_where_it_may_not_be(Bound::Any).await;
}
