//! Nobody's names and contents stand in what the parts say of themselves, at their most talkative, whatever
//! goes right or wrong; nor in anything that another tenant is told.

use crate::harness::fleet::Fleet;
use crate::harness::process::Said;
use crate::harness::raw::{self, Watched};
use crate::harness::witness::Witness;
use crate::harness::{Deployment, cli, connect, eventually, issue};
use async_nats::jetstream;
use futures_util::StreamExt as _;
use postroad_client::{Client, Draft, History, Page, ReplayOf};
use postroad_protocol::envelope::Sealing;
use postroad_protocol::event::{Actor, Event, ReaderRegistered};
use postroad_protocol::seal::{DataKey, KeyRecord, MasterKey};
use postroad_protocol::subject::{KEYS_STREAM, Owner, Subjects, inbox_prefix};
use postroad_protocol::{CommandId, Reader, TenantId, TimeMs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A part of every name and text of the watched tenant, and of nothing else.
const MARK: &str = "cnry7f3a";
const TENANT: &str = "cnry7f3a-tenant";
const TAU: &str = "cnry7f3a-tau";
const PI: &str = "cnry7f3a-pi";
const INSTANCE: &str = "cnry7f3a-i1";
/// Everything, of our own crates and of others.
const LOUDEST: &[(&str, &str)] = &[("POSTROAD_LOG", "trace"), ("RUST_LOG", "trace")];

/// The mark in the ways in which a program shows bytes.
fn marks() -> [String; 4] {
    let list = |bytes: Vec<String>, between: &str| bytes.join(between);
    let bytes = || MARK.bytes();
    [
        MARK.to_owned(),
        list(bytes().map(|byte| byte.to_string()).collect(), ", "),
        list(bytes().map(|byte| format!("{byte:02x}")).collect(), ""),
        list(bytes().map(|byte| format!("{byte:02x}")).collect(), " "),
    ]
}

/// The lines of `text` in which the watched tenant shows.
fn leaks(text: &str) -> Vec<&str> {
    let marks = marks();
    let shows = |line: &&str| {
        let line = line.to_lowercase();
        marks.iter().any(|mark| line.contains(mark))
    };
    text.lines().filter(shows).collect()
}

#[test]
fn a_leak_is_seen_in_each_of_its_forms() {
    let bytes = MARK.as_bytes();
    let quoted = [
        format!("sent to {TENANT}.x"),
        TENANT.to_uppercase(),
        format!("{bytes:?}"),
        format!("{bytes:02x?}").replace(", ", " "),
    ];
    for text in quoted {
        assert_eq!(
            leaks(&format!("a line\n{text}\nanother")).len(),
            1,
            "{text}"
        );
    }
}

/// Where it happens.
struct Place {
    url: String,
    dir: PathBuf,
    shard: u16,
}

impl Place {
    async fn operator(&self) -> Client {
        let creds = std::fs::read_to_string(self.dir.join("operator.creds")).unwrap();
        connect(&self.url, &creds, None).await
    }

    /// Raw, as anybody can be who has a credential.
    async fn agent(&self, tenant: &str, role: &str, instance: &str) -> Watched {
        let creds = issue(&self.operator().await, tenant, role, Some(instance)).await;
        Watched::connect(&self.url, &creds, &inbox_prefix(tenant, role, instance)).await
    }
}

/// An agent of the watched tenant does everything that it may, and much that it may not.
async fn busy(place: &Place) {
    let tau = place.agent(TENANT, TAU, INSTANCE).await;
    let pi = place.agent(TENANT, PI, INSTANCE).await;
    let call = async |agent: &Watched, role: &str, verb: &str, body: Value| {
        let subject = format!("postroad.{TENANT}.{role}.{INSTANCE}.{verb}");
        raw::request(&agent.client, &subject, body.to_string()).await
    };
    let (by_tau, ask_tau) = (format!("cmd.{TAU}"), format!("qry.{TAU}"));
    let (by_pi, ask_pi) = (format!("cmd.{PI}"), format!("qry.{PI}"));
    let mut push = pi
        .client
        .subscribe(format!("postroad.{TENANT}.push.{PI}"))
        .await
        .unwrap();
    pi.client.flush().await.unwrap();
    let text = format!("{MARK} is what it says");
    let id = uuid::Uuid::now_v7().to_string();
    let send = "messages.send_message";
    let sends = [
        json!({"channel":PI,"content":text,"messageId":id,"metadata":{MARK:MARK},"priority":"urgent"}),
        json!({"channel":PI,"content":"other","messageId":id}),
        json!({"channel":"broadcast","content":text.repeat(2_000)}),
        json!({"channel":PI,"instanceId":INSTANCE,"content":text,"replyTo":id}),
        json!({"channel":format!("{MARK}-nobody"),"content":text}),
        json!({"channel":PI,"instanceId":format!("{MARK}-i2"),"content":text}),
        json!({"channel":PI,"content":text,"from":format!("{MARK}-else")}),
        json!({"channel":PI,"content":text,"tenantId":format!("{MARK}-else")}),
        json!({"channel":format!("{MARK} .*>"),"content":text}),
        json!({"channel":PI,"content":text,"messageId":MARK}),
        json!({"channel":PI,"content":text,"messageId":"ffffffff-ffff-7fff-bfff-ffffffffffff"}),
        json!({"channel":PI,"content":text,"priority":MARK}),
        json!({"channel":PI,"content":"x".repeat(300 * 1024) + MARK}),
        json!({"channel":[MARK],"content":{MARK:MARK}}),
        json!(MARK),
    ];
    for body in sends {
        call(&tau, &by_tau, send, body).await;
    }
    assert!(push.next().await.is_some(), "it is rung");
    let summary = json!({"summary":text});
    call(&tau, &by_tau, "self.set_summary", summary).await;
    let unread = call(
        &pi,
        &ask_pi,
        "messages.check_messages",
        json!({"fresh":true}),
    )
    .await;
    assert!(unread.to_string().contains(MARK), "{unread}");
    let receipt = &unread["messages"][0]["receiptId"];
    let marks = json!({"receiptIds":[receipt, MARK],"messageIds":[MARK]});
    call(&pi, &by_pi, "messages.mark_as_read", marks).await;
    for (verb, body) in [
        ("messages.check_messages", json!({"waitMs":1})),
        ("messages.check_messages", json!({"cursor":MARK})),
        ("messages.list_messages", json!({"sender":TAU,"channel":PI})),
        (
            "messages.list_messages",
            json!({"sender":format!("{MARK}.")}),
        ),
        ("messages.get_message", json!({"messageId":id})),
        ("messages.get_message", json!({"messageId":MARK})),
        ("messages.message_status", json!({"messageId":id})),
        ("self.list_peers", json!({})),
        ("self.whoami", json!({"tenantId":format!("{MARK}-else")})),
        ("messages.cnry7f3a", json!({})),
        ("cnry7f3a.whoami", json!({})),
        ("admin.list_agents", json!({})),
    ] {
        let subject = format!("postroad.{TENANT}.{ask_tau}.{INSTANCE}.{verb}");
        // Scopes that the credential lacks are nats-server's to refuse, others ours.
        let body = body.to_string();
        let asked = tau.client.publish_with_reply(
            subject,
            format!("{}.x", inbox_prefix(TENANT, TAU, INSTANCE)),
            body.into(),
        );
        asked.await.unwrap();
    }
    let elsewhere = format!("postroad.{TENANT}.{by_pi}.{INSTANCE}.{send}");
    let own = format!("postroad.{TENANT}.{by_tau}.{INSTANCE}.{send}");
    let body = json!({"channel":PI,"content":text}).to_string();
    tau.client
        .publish_with_reply(own, elsewhere.clone(), body.into())
        .await
        .unwrap();
    tau.expect_publish_denied(&elsewhere, "_INBOX.x").await;
    tau.expect_subscribe_denied(&format!("postroad.{TENANT}.>"))
        .await;
}

/// Another tenant's agent tries to learn of it.
async fn pry(place: &Place, message: &str) {
    let stranger = place.agent("globex", "tau", "i1").await;
    let near = |name: &str| name.replace(MARK, "cnry7f3b");
    for (kind, verb, body) in [
        (
            "cmd",
            "messages.send_message",
            json!({"channel":near(PI),"content":"x"}),
        ),
        (
            "cmd",
            "messages.send_message",
            json!({"channel":"tau","instanceId":near(INSTANCE),"content":"x"}),
        ),
        (
            "cmd",
            "messages.send_message",
            json!({"channel":"broadcast","content":"x","replyTo":message}),
        ),
        (
            "cmd",
            "messages.send_message",
            json!({"channel":"broadcast","content":"x","messageId":message}),
        ),
        (
            "cmd",
            "messages.mark_as_read",
            json!({"messageIds":[message]}),
        ),
        ("qry", "messages.get_message", json!({"messageId":message})),
        (
            "qry",
            "messages.message_status",
            json!({"messageId":message}),
        ),
        (
            "qry",
            "messages.list_messages",
            json!({"sender":near(TAU),"fresh":true}),
        ),
        ("qry", "messages.check_messages", json!({"fresh":true})),
        ("qry", "self.list_peers", json!({"fresh":true})),
        ("qry", "self.whoami", json!({"tenantId":near(TENANT)})),
        ("qry", "self.sing", json!({})),
    ] {
        let subject = format!("postroad.globex.{kind}.tau.i1.{verb}");
        let told = raw::request(&stranger.client, &subject, body.to_string()).await;
        assert_eq!(leaks(&told.to_string()), [""; 0], "{verb} tells a stranger");
    }
}

/// The operator reads, mints and retires.
async fn operate(place: &Place) {
    let operator = place.operator().await;
    let (tenant, asking) = (
        TENANT.parse::<TenantId>().unwrap(),
        operator.operator().unwrap(),
    );
    asking.get_tenant(&tenant).await.unwrap();
    asking.list_agents(&tenant, &Page::default()).await.unwrap();
    asking
        .list_messages(None, &History::default())
        .await
        .unwrap();
    asking
        .list_peers(Some(&tenant), &Page::default())
        .await
        .unwrap();
    asking.create_tenant(&tenant, None).await.unwrap_err();
    let gone = format!("{MARK}-gone").parse().unwrap();
    asking.get_tenant(&gone).await.unwrap_err();
    crate::harness::log::events(&operator, ReplayOf::Tenant(tenant.clone()), 1).await;
    let retiring = issue(&operator, TENANT, "cnry7f3a-old", None).await;
    let old = connect(&place.url, &retiring, Some(INSTANCE)).await;
    old.send(&Draft::new(PI, MARK)).await.unwrap();
    let role = "cnry7f3a-old".parse().unwrap();
    asking.retire_agent(&tenant, &role, None).await.unwrap();
    old.send(&Draft::new(PI, MARK)).await.unwrap_err();
    let never = format!("{MARK}-never").parse().unwrap();
    let refused = asking.retire_agent(&tenant, &never, None).await;
    refused.unwrap_err();
}

/// The tenant's data key, as whoever has the master key finds it.
async fn data_key(place: &Place, witness: &Witness, tenant: &TenantId) -> (KeyRecord, DataKey) {
    let hex = std::fs::read_to_string(place.dir.join("keys/master.key")).unwrap();
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let master = MasterKey::from_bytes(bytes.try_into().unwrap());
    let context = jetstream::new(witness.client.clone());
    let keys = context.get_stream(KEYS_STREAM).await.unwrap();
    let subject = Subjects::default().data_key(Owner::Tenant(tenant));
    let stored = keys
        .get_last_raw_message_by_subject(&subject)
        .await
        .unwrap();
    let record: KeyRecord = rmp_serde::from_slice(&stored.payload).unwrap();
    let key = master
        .unwrap(TENANT, &record)
        .expect("the master key opens it");
    (record, key)
}

/// Events that cannot be: one that the fold refuses, and two that were never written there.
async fn damage(place: &Place, witness: &Witness) {
    let tenant: TenantId = TENANT.parse().unwrap();
    let (record, key) = data_key(place, witness, &tenant).await;
    let reader = Reader {
        role: format!("{MARK}-ghost").parse().unwrap(),
        instance: INSTANCE.parse().unwrap(),
    };
    let event = Event::from(ReaderRegistered { reader });
    let owner = Owner::Tenant(&tenant);
    let sealed = Sealing {
        owner,
        subject: Subjects::default().event(owner, place.shard, &event.aggregate()),
        key_id: record.key,
        key: &key,
        id: CommandId::generate(),
        time: TimeMs::now(),
        by: &Actor::System,
        traceparent: None,
    }
    .seal(&event);
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in sealed.headers() {
        headers.insert(name, value.as_str());
    }
    let context = jetstream::new(witness.client.clone());
    let store = async |subject: String, headers, payload: Vec<u8>| {
        let stored = context.publish_with_headers(subject, headers, payload.into());
        stored.await.unwrap().await.unwrap().sequence
    };
    store(sealed.subject.clone(), headers.clone(), sealed.payload).await;
    let operator = place.operator().await;
    let status = async || {
        let status = operator.operator().unwrap().status().await.ok()?;
        status
            .shards
            .into_iter()
            .find(|shard| shard.shard == place.shard)
    };
    eventually("the ghost is set aside", async || {
        status().await.is_some_and(|shard| shard.quarantined == 1)
    })
    .await;
    // Sealed for nobody, and no event at all.
    headers.insert("Nats-Msg-Id", "another");
    let first = store(sealed.subject, headers, MARK.into()).await;
    let garbage = format!("postroad.{TENANT}.evt.{}.agent.{TAU}", place.shard);
    let last = store(garbage, async_nats::HeaderMap::new(), MARK.into()).await;
    eventually("the shard stops", async || {
        status().await.is_some_and(|shard| shard.state == "damaged")
    })
    .await;
    let (shard, from, to) = (place.shard.to_string(), first.to_string(), last.to_string());
    let args = [
        "shard",
        "accept-damage",
        "--shard",
        &shard,
        "--from",
        &from,
        "--to",
        &to,
    ];
    cli::run_in(&place.dir, &args, "").expect(0);
    eventually("the shard goes on", async || {
        status()
            .await
            .is_some_and(|shard| shard.state == "following" && shard.applied >= last)
    })
    .await;
}

/// What nats-server itself has written below DIR.
fn of_nats(dir: &Path) -> String {
    let files = std::fs::read_dir(dir.join("nats"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && name.contains("log") || name.contains("stderr")
    });
    logs.map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// The parts' own words hold nothing; nats-server's name what it refused, and whose it was, in its own file.
fn expect_silence(said: &[Said], dir: &Path) {
    let text: Vec<String> = said.iter().map(Said::text).collect();
    for text in &text {
        assert_eq!(leaks(text), [""; 0]);
    }
    let trace = text.iter().any(|text| text.contains("SHARD STOPPED"));
    assert!(trace, "there is something to look at");
    let nats = of_nats(dir);
    for line in leaks(&nats) {
        assert!(line.contains("Violation"), "{line}");
        assert!(!line.contains("is what it says"), "{line}");
    }
}

/// An id of the watched tenant's that a stranger may have overheard.
async fn some_message(place: &Place) -> String {
    let operator = place.operator().await;
    let tenant = TENANT.parse().unwrap();
    let page = operator.operator().unwrap();
    let page = page
        .list_messages(Some(&tenant), &History::default())
        .await
        .unwrap();
    page.messages[0].message_id.to_string()
}

#[tokio::test]
async fn up_says_nothing_of_its_tenants_whatever_happens() {
    let mut deployment = Deployment::start_in(&[], LOUDEST);
    deployment.tenant(TENANT).await;
    deployment.tenant("globex").await;
    let place = Place {
        url: deployment.url.clone(),
        dir: deployment.path(),
        shard: 0,
    };
    busy(&place).await;
    pry(&place, &some_message(&place).await).await;
    operate(&place).await;
    let witness = Witness::connect(&place.dir, &place.url).await;
    damage(&place, &witness).await;
    // A server that dies, a process that does, and rows that are garbage when it comes back.
    deployment.kill_nats();
    busy_again(&place).await;
    deployment.kill_tree();
    for entry in std::fs::read_dir(place.dir.join("rows")).unwrap() {
        std::fs::write(entry.unwrap().path(), format!("{MARK} is no file of rows")).unwrap();
    }
    deployment.restart();
    busy_again(&place).await;
    deployment.stop();
    expect_silence(&deployment.said, &place.dir);
}

#[tokio::test]
async fn parts_of_their_own_say_nothing_of_their_tenants_whatever_happens() {
    let mut fleet = Fleet::start_in(2, 1, 1, LOUDEST);
    fleet.tenant(TENANT, 1).await;
    fleet.tenant("globex", 1).await;
    let place = Place {
        url: fleet.url.clone(),
        dir: fleet.path(),
        shard: 1,
    };
    busy(&place).await;
    pry(&place, &some_message(&place).await).await;
    operate(&place).await;
    let witness = Witness::connect(&place.dir, &place.url).await;
    damage(&place, &witness).await;
    fleet.kill_nats();
    fleet.start_nats();
    busy_again(&place).await;
    fleet.restart_parts();
    busy_again(&place).await;
    drop(fleet.projectors[0].take());
    drop(fleet.brokers[0].take());
    expect_silence(&fleet.said, &place.dir);
}

/// It serves, after whatever it was.
async fn busy_again(place: &Place) {
    eventually("it takes messages again", async || {
        let creds = std::fs::read_to_string(place.dir.join("operator.creds")).unwrap();
        let credential = postroad_client::Credential::parse(&creds).unwrap();
        let options = postroad_client::ConnectOptions::new(&place.url, credential);
        let Ok(operator) = Client::connect(options).await else {
            return false;
        };
        let tenant = TENANT.parse().unwrap();
        let asking = operator.operator().unwrap();
        asking
            .list_messages(Some(&tenant), &History::default())
            .await
            .is_ok()
    })
    .await;
    busy(place).await;
}
