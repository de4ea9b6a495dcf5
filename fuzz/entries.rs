//! Where bytes that somebody else wrote enter, one function each: it must not panic, and what it accepts it
//! must be able to write again. Used by the targets of cargo-fuzz beside this file, and by the property
//! tests of `tests/attack`, which include it: all of it goes through what the crates make public anyway.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use postroad_client::{Context, Credential, NatsContext, UserKey};
use postroad_projector::cursor::{Cursor, Kind};
use postroad_protocol::body::{Encoding, decode_answer};
use postroad_protocol::catalogue::VERBS;
use postroad_protocol::command::{Command, parse_receipt_id, read_claims, receipt_id};
use postroad_protocol::envelope::{self, Head, Sealing};
use postroad_protocol::event::{Actor, Event, EventKey, SummarySet};
use postroad_protocol::id::{InstanceId, Reader, Role, TenantId, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace, NamespaceFilter, NamespaceName};
use postroad_protocol::query::{Query, wire::Reading};
use postroad_protocol::seal::{DataKey, KeyId, KeyRecord, MasterKey};
use postroad_protocol::subject::{self, Owner, RequestKind, Service, Subjects};
use postroad_protocol::task::{Project, ProjectText, TaskId};
use postroad_protocol::tenancy::{Admission, Scope, TenantScope};
use postroad_protocol::{Channel, CommandId, MessageId};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// One entry.
pub struct Target {
    /// Its name, as that of its file in `fuzz_targets`.
    pub name: &'static str,
    /// Takes the bytes in.
    pub run: fn(&[u8]),
    /// Valid inputs, to be changed.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every entry.
pub const TARGETS: &[Target] = &[
    Target {
        name: "subjects",
        run: subjects,
        seeds: subject_seeds,
    },
    Target {
        name: "ids",
        run: ids,
        seeds: id_seeds,
    },
    Target {
        name: "envelopes",
        run: envelopes,
        seeds: envelope_seeds,
    },
    Target {
        name: "cursors",
        run: cursors,
        seeds: cursor_seeds,
    },
    Target {
        name: "creds",
        run: creds,
        seeds: creds_seeds,
    },
    Target {
        name: "contexts",
        run: contexts,
        seeds: context_seeds,
    },
    Target {
        name: "events",
        run: events,
        seeds: event_seeds,
    },
    Target {
        name: "commands",
        run: commands,
        seeds: body_seeds,
    },
    Target {
        name: "queries",
        run: queries,
        seeds: body_seeds,
    },
];

fn reader() -> Reader {
    Reader {
        role: Role::parse("tau").expect("a role"),
        instance: InstanceId::parse("pi").expect("an instance"),
    }
}

/// Proof as a request of `tau/pi` in `acme` has it, through the real door.
fn scope() -> TenantScope {
    static SCOPE: LazyLock<TenantScope> = LazyLock::new(|| {
        let subject = "postroad.acme.cmd.tau.pi.self.set_summary";
        let admitted = admission().admit(
            RequestKind::Command,
            subject,
            Some("_INBOX.acme.tau.pi.x"),
            None,
        );
        let admitted = admitted.expect("it is admitted");
        admitted.context.scope().expect("it names a tenant").clone()
    });
    SCOPE.clone()
}

#[allow(clippy::disallowed_methods, reason = "the door itself is under test")]
fn admission() -> Admission {
    Admission::new(Subjects::default())
}

/// Subjects and reply-tos: `subject`, and behind a space `reply`.
pub fn subjects(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (subject, reply) = text.split_once(' ').unwrap_or((&text, ""));
    let subjects = Subjects::default();
    if let Some(raw) = subjects.parse_request(subject) {
        let again = subjects.request(
            raw.kind,
            raw.tenant,
            raw.role,
            raw.instance,
            raw.scope,
            raw.verb,
        );
        assert_eq!(again, subject);
    }
    for kind in [RequestKind::Command, RequestKind::Query] {
        if let Ok(admitted) = admission().admit(kind, subject, Some(reply), Some(&text)) {
            let raw = subjects.parse_request(subject).expect("it was admitted");
            let inbox = subject::inbox_prefix(raw.tenant, raw.role, raw.instance);
            assert!(reply.starts_with(&format!("{inbox}.")));
            if let (Ok(scope), Ok(reader)) = (admitted.context.scope(), admitted.context.reader()) {
                assert_eq!(
                    Some(scope.tenant()),
                    TenantId::parse(raw.tenant).ok().as_ref()
                );
                assert_eq!(reader.instance.as_str(), raw.instance);
            }
        }
    }
    for part in [
        Service::Broker,
        Service::Projector,
        Service::Issuer,
        Service::Gateway,
    ] {
        let admitted = admission().admit_service(part, Service::Projector, subject, Some(reply));
        assert!(admitted.is_none() || subjects.parse_service(part, subject).is_some());
    }
    let _ = subjects.parse_event(subject);
    let _ = subjects.parse_presence(subject);
    let _ = subjects.parse_data_key(subject);
    if let Some(shard) = subject::parse_shard_stream(subject) {
        assert_eq!(
            subject::parse_shard_stream(&subject::shard_stream(shard)),
            Some(shard)
        );
    }
    let _ = Subjects::with_root(subject);
}

fn subject_seeds() -> Vec<Vec<u8>> {
    [
        "postroad.acme.cmd.tau.pi.messages.send_message _INBOX.acme.tau.pi.x",
        "postroad._all.qry._operator.local.admin.status _INBOX._all._operator.local.x",
        "postroad.acme.evt.0.message.tau",
        "postroad.acme.presence.tau.pi",
        "postroad._sys.broker.acme.observe _INBOX._sys.projector.x",
        "postroad._keys.acme",
        "POSTROAD_12",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Names, ids, channels, receipts.
pub fn ids(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    if let Ok(name) = TenantId::parse(text) {
        assert_eq!(TenantId::parse(name.as_str()).as_ref(), Ok(&name));
        assert!(name.as_str().len() <= 64 && !name.as_str().contains(['.', '*', '>', ' ']));
    }
    if let Ok(name) = Role::parse(text) {
        assert_eq!(Role::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(name) = InstanceId::parse(text) {
        assert_eq!(InstanceId::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Some(id) = CommandId::parse(text) {
        assert_eq!(CommandId::parse(&id.to_string()), Some(id));
        let _ = id.stamp_ms();
    }
    if let Ok(channel) = Channel::parse(text) {
        assert_eq!(Channel::parse(&channel.to_string()), Ok(channel));
    }
    if let Some(key) = KeyId::parse(text) {
        assert_eq!(KeyId::parse(&key.to_string()), Some(key));
    }
    if let Some(message) = parse_receipt_id(text, &reader()) {
        assert_eq!(receipt_id(message, &reader()), text);
    }
    if let Some(id) = MemoryId::parse(text) {
        assert_eq!(MemoryId::parse(&id.to_string()), Some(id));
    }
    if let Some(id) = TaskId::parse(text) {
        assert_eq!(TaskId::parse(&id.to_string()), Some(id));
    }
    if let Ok(project) = ProjectText::parse(text)
        && let Ok(project) = project.resolve(scope().tenant())
    {
        assert_eq!(Project::parse_stored(project.stored()), Some(project));
    }
    if let Ok(name) = NamespaceName::parse(text) {
        assert_eq!(NamespaceName::parse(&name.to_string()), Ok(name));
        assert!(NamespaceFilter::parse(text).is_ok());
    }
    if let Some(namespace) = Namespace::parse_stored(text) {
        assert_eq!(
            Namespace::parse_stored(&namespace.stored()),
            Some(namespace)
        );
    }
    let _ = Scope::parse(text);
    let _ = serde_json::from_slice::<EventKey>(bytes);
    let _ = rmp_serde::from_slice::<EventKey>(bytes);
    let _ = rmp_serde::from_slice::<Reader>(bytes);
}

fn id_seeds() -> Vec<Vec<u8>> {
    let key = EventKey::from_bytes([7; 16]);
    let texts = [
        "acme-two".to_owned(),
        "tau, phi,broadcast".to_owned(),
        "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
        "12.7".to_owned(),
        "project/Landing-page".to_owned(),
        "workspace/acme".to_owned(),
        receipt_id(key, &reader()),
        format!("\"{key}\""),
    ];
    texts.map(String::into_bytes).to_vec()
}

fn data_key() -> &'static DataKey {
    static KEY: LazyLock<DataKey> = LazyLock::new(DataKey::generate);
    &KEY
}

fn master_key() -> MasterKey {
    MasterKey::from_bytes([9; 32])
}

/// An event as it lies in the log: `name: value` lines, an empty one, the sealed payload; and a kept key.
pub fn envelopes(bytes: &[u8]) {
    let place = bytes
        .windows(2)
        .position(|two| two == b"\n\n")
        .unwrap_or(bytes.len());
    let (block, payload) = bytes.split_at(place);
    let block = String::from_utf8_lossy(block);
    let header = |name: &str| {
        let mut lines = block.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(of, value)| (of == name).then_some(value))
    };
    let payload = payload.get(2..).unwrap_or_default();
    if let Ok(head) = Head::read(header) {
        let subject = header("subject").unwrap_or_default();
        if let Ok(record) = head.open(subject, data_key(), payload) {
            assert_eq!(record.id, head.id);
        }
    }
    let _ = data_key().open(b"", bytes);
    if let Ok(record) = rmp_serde::from_slice::<KeyRecord>(bytes) {
        let _ = master_key().unwrap("acme", &record);
    }
}

fn envelope_seeds() -> Vec<Vec<u8>> {
    let tenant = TenantId::parse("acme").expect("a name");
    let (by, event) = (Actor::Agent(reader()), summary());
    let subjects = Subjects::default();
    let key_id = KeyId {
        generation: 1,
        number: 1,
    };
    let sealed = Sealing {
        owner: Owner::Tenant(&tenant),
        subject: subjects.event(Owner::Tenant(&tenant), 0, &event.aggregate()),
        key_id,
        key: data_key(),
        id: CommandId::generate(),
        time: TimeMs(1_711_670_400_000),
        by: &by,
        traceparent: None,
    }
    .seal(&event);
    let mut stored = format!("subject: {}\n", sealed.subject);
    for (name, value) in sealed.headers() {
        stored += &format!("{name}: {value}\n");
    }
    assert!(stored.contains(envelope::TYPE), "the headers are there");
    let mut stored = format!("{stored}\n").into_bytes();
    stored.extend(&sealed.payload);
    let kept = master_key().wrap("acme", key_id, 0, data_key());
    vec![stored, rmp_serde::to_vec_named(&kept).expect("it encodes")]
}

fn kinds() -> [Kind; 6] {
    let message = MessageId::from_bytes([3; 16]);
    [
        Kind::Check,
        Kind::List,
        Kind::Status(message),
        Kind::Peers,
        Kind::Roster,
        Kind::Tenants,
    ]
}

/// Cursors.
pub fn cursors(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for kind in kinds() {
        if let Ok(cursor) = Cursor::decode(&text, kind, 7, &scope(), &reader()) {
            assert_eq!(cursor.encode(&scope(), &reader()), text);
            let _ = cursor.sequence();
        }
        let operator = InstanceId::parse("local").expect("an instance");
        let _ = Cursor::decode_for_operator(&text, kind, 7, None, &operator);
    }
}

fn cursor_seeds() -> Vec<Vec<u8>> {
    kinds()
        .map(|kind| {
            Cursor::new(kind, 7, 42)
                .encode(&scope(), &reader())
                .into_bytes()
        })
        .to_vec()
}

/// `.creds` files.
pub fn creds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(credential) = Credential::parse(&text) {
        // Whoever logs one shows no secret.
        assert!(!format!("{credential:?}").contains("SEED"));
        let _ = (credential.holder(), credential.is_operator());
    }
}

fn creds_seeds() -> Vec<Vec<u8>> {
    let user = UserKey::generate();
    let tags = [
        json!(["tenant:acme", "role:tau", "instance:pi", "scope:self"]),
        json!(["tenant:acme", "role:tau"]),
        json!(["role:_operator", "instance:local"]),
    ];
    tags.map(|tags| {
        let claims =
            json!({"sub": user.public_key(), "exp": 4_102_444_800_u64, "nats": {"tags": tags}});
        let [head, claims] = [json!({"typ": "JWT"}), claims]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = user.creds(&format!("{head}.{claims}.AAAA")).to_string();
        assert!(Credential::parse(&text).is_ok(), "a credential reads");
        text.into_bytes()
    })
    .to_vec()
}

/// A folder with one file under the three names that are read; gone with the thread that made it.
struct Contexts(std::path::PathBuf);

impl Contexts {
    fn make() -> Self {
        let dir = std::env::temp_dir().join(format!("postroad-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("context")).expect("a folder");
        let file = dir.join("context/x.json");
        std::fs::write(&file, b"").expect("it is written");
        for name in ["context.txt", Context::FILE] {
            std::fs::hard_link(&file, dir.join(name)).expect("it is linked");
        }
        Self(dir)
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Files that say where a deployment is.
pub fn contexts(bytes: &[u8]) {
    thread_local! {
        static DIR: Contexts = Contexts::make();
    }
    DIR.with(|Contexts(dir)| {
        std::fs::write(dir.join("context/x.json"), bytes).expect("it is written");
        let _ = Context::in_dir(dir);
        let _ = NatsContext::named(dir, "x");
        let _ = NatsContext::selected(dir);
    });
}

fn context_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"url":"nats://127.0.0.1:4222","ca":"ca.pem"}"#,
        r#"{"description":"x","url":"nats://a,nats://b","creds":"~/a.creds","ca":"","nsc":"nsc://o/a/u"}"#,
        "x",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn summary() -> Event {
    Event::from(SummarySet {
        reader: reader(),
        summary: "busy".into(),
    })
}

/// Plain payloads of every type of event there is, behind a good seal.
pub fn events(bytes: &[u8]) {
    for (name, schema) in Event::TYPES {
        if let Some((by, event)) = Event::decode(name, *schema, bytes) {
            let again = Event::decode(name, *schema, &event.encode(&by));
            assert_eq!(again, Some((by, event.clone())));
            let _ = event.aggregate().to_string();
        }
    }
}

fn event_seeds() -> Vec<Vec<u8>> {
    let by = [Actor::Agent(reader()), Actor::System];
    let data = [
        json!({"reader": {"role": "tau", "instance": "pi"}, "summary": "busy"}),
        json!({"tenant": "acme", "generation": 1}),
        json!({"role": "tau", "instance": "pi", "scopes": ["self", "admin"], "publicKey": "U", "expiresAt": 1}),
        json!({"from": {"role": "tau", "instance": "pi"}, "channel": "a,b", "content": "x", "metadata": {"a": "b"}}),
        json!({"operator": "local", "verb": "replay", "what": "all"}),
        json!({"ranges": [[1, 2], [3, 4]]}),
        json!({"namespace": "project/web", "type": "user", "content": "x", "tags": ["a"], "imported": {"id": "m"}}),
    ];
    let mut seeds: Vec<Vec<u8>> = by.iter().map(|by| summary().encode(by)).collect();
    let stored = |data| json!({"by": {"operator": "local"}, "data": data});
    seeds.extend(data.map(|data| packed(&stored(data))));
    seeds
}

fn packed(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("it encodes")
}

/// Bodies of every command.
pub fn commands(bytes: &[u8]) {
    for encoding in [Encoding::of(bytes), Encoding::Json, Encoding::MessagePack] {
        for verb in VERBS
            .iter()
            .filter(|verb| verb.kind == RequestKind::Command)
        {
            let _ = Command::read(verb.scope, verb.name, encoding, bytes);
        }
        let _ = read_claims(encoding, bytes);
    }
}

/// Bodies of every query, and answers as a client reads them.
pub fn queries(bytes: &[u8]) {
    for encoding in [Encoding::of(bytes), Encoding::Json, Encoding::MessagePack] {
        for verb in VERBS.iter().filter(|verb| verb.kind == RequestKind::Query) {
            let _ = Query::read(verb.scope, verb.name, encoding, bytes);
        }
        let _ = encoding.decode::<Reading>(bytes);
        for is_error in [true, false] {
            let _ = decode_answer::<Value>(encoding, bytes, is_error);
        }
    }
}

fn body_seeds() -> Vec<Vec<u8>> {
    let id = "0190163d-8694-739b-aea5-966c26f8ad91";
    [
        json!({"channel": "pi", "content": "x", "messageId": id, "replyTo": id, "metadata": {"a": "b"}, "priority": "high"}),
        json!({"receiptIds": ["rcpt-x"], "messageIds": [id], "commandId": id}),
        json!({"summary": "busy"}),
        json!({"role": "tau", "publicKey": "U".repeat(56), "scopes": ["admin"], "ttlS": 60, "instanceId": "pi"}),
        json!({"shard": 0, "fromSequence": 1, "toSequence": 2, "fromTime": 1, "toTime": 2, "limit": 3}),
        json!({"limit": 1, "cursor": "AAAA", "waitMs": 1, "fresh": true, "position": {"shard": 0, "epoch": 1, "sequence": 2}}),
        json!({"messageId": id, "sender": "tau", "channel": "broadcast", "since": 1, "until": 2}),
        json!({"tenantId": "acme", "from": "tau", "recipient": "tau", "fromInstanceId": "pi"}),
        json!({"namespace": "project/web", "type": "user", "content": "x", "tags": ["a"], "episode": "e", "occurredAt": 1, "expiresAt": 2, "relatesTo": [{"type": "updates", "memoryId": id}], "createdBy": "tau", "id": "m", "commandId": id}),
        json!({"memoryId": id, "content": "y", "relatesTo": [], "episode": "", "asOf": 1}),
        json!({"query": "x", "namespace": "project/", "since": 1, "until": 2, "limit": 3, "asOfSequence": 4}),
        json!({"title": "x", "description": "y", "project": "studio/acme", "priority": "high", "assignedTo": "tau", "assignedToInstanceId": "pi", "dependsOn": [id], "missionId": id, "tags": ["a"], "dueAt": 1, "note": "n", "commandId": id}),
        json!({"taskId": id, "leaseMs": 60_000, "ifVersion": 1, "status": "review", "reason": "r", "assignedTo": "", "missionId": "", "dueAt": 0}),
        json!({"taskId": id, "dependsOn": id}),
        json!({"title": "x", "brief": "b", "pilot": "tau", "agents": ["phi"], "status": "plan", "startsAt": 1}),
        json!({"missionId": id, "status": "complete", "ready": true, "limit": 1}),
        json!({"code": "not_found", "message": "x", "remedy": "y", "field": "z", "retryAfterMs": 1}),
    ]
    .iter()
    .flat_map(|body| [body.to_string().into_bytes(), packed(body)])
    .collect()
}
