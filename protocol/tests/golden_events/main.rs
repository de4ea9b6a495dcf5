//! Every event ever stored replays forever: for each stored name and version there is a golden
//! file with the plain payload in hexadecimal, and beside it what it must read as.
//!
//! A new event or version adds a file: `POSTROAD_WRITE_GOLDEN=1 cargo test -p postroad-protocol
//! --test golden_events` writes the missing ones and never changes one that is there.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

mod work;

use postroad_protocol::event::{
    Actor, AgentRetired, CredentialIssued, CredentialRevoked, DamageAccepted, DataKeyRotated,
    Event, EventKey, MemoryChange, MemoryForgotten, MemoryOrigin, MemoryStored, MemoryUpdated,
    MessageSent, MessagesDelivered, MessagesRead, OperatorRead, Priority, ReaderRegistered,
    SummarySet, TenantCreated, TenantErased, TenantLimited, TenantResumed, TenantSuspended,
    UsageCounted, VoidCredential,
};
use postroad_protocol::id::{MemoryType, ProjectName};
use postroad_protocol::memory::{MemoryId, Namespace, Relation, RelationKind};
use postroad_protocol::quota::{Limits, LimitsChange};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::usage::Day;
use postroad_protocol::{Channel, CommandId, InstanceId, Reader, Role, TenantId, TimeMs};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use work::{samples_of_tasks, variants_of_tasks};

fn reader() -> Reader {
    Reader {
        role: Role::parse("tau").unwrap(),
        instance: InstanceId::parse("tau-laptop").unwrap(),
    }
}

fn limited() -> TenantLimited {
    let set = BTreeMap::from([
        ("commandsPerS".to_owned(), 50),
        ("storedBytes".to_owned(), 1 << 30),
    ]);
    let change = LimitsChange::read(&set, &["waits".to_owned()]).unwrap();
    TenantLimited {
        limits: Limits::default().with(&change),
        change,
    }
}

#[expect(clippy::too_many_lines, reason = "a list: one sample an event")]
fn samples() -> Vec<(Actor, Event)> {
    let agent = Actor::Agent(reader());
    let operator = Actor::Operator(InstanceId::parse("cli").unwrap());
    let keys = vec![
        EventKey::from_bytes([0x11; 16]),
        EventKey::from_bytes([0xfe; 16]),
    ];
    let sent = MessageSent {
        from: reader(),
        channel: Channel::parse("pi,phi").unwrap(),
        instance: None,
        content: "Acme catalog migration complete. PR #112 ready for review. ✓".into(),
        reply_to: CommandId::parse("0190163d-8694-739b-aea5-966c26f8ad91"),
        priority: Priority::High,
        metadata: BTreeMap::from([("pr".to_owned(), "112".to_owned())]),
    };
    vec![
        (
            operator.clone(),
            TenantCreated {
                tenant: TenantId::parse("acme-corp").unwrap(),
                generation: 1,
            }
            .into(),
        ),
        (
            operator.clone(),
            CredentialIssued {
                role: Role::parse("tau").unwrap(),
                instance: Some(InstanceId::parse("tau-laptop").unwrap()),
                scopes: Scope::AGENT_DEFAULT.to_vec(),
                public_key: "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ".into(),
                expires_at: TimeMs(1_714_262_400_000),
                token: false,
            }
            .into(),
        ),
        (
            operator.clone(),
            AgentRetired {
                role: Role::parse("tau").unwrap(),
                instance: None,
            }
            .into(),
        ),
        (Actor::System, ReaderRegistered { reader: reader() }.into()),
        (
            agent.clone(),
            SummarySet {
                reader: reader(),
                summary: "Reviewing PR #47".into(),
            }
            .into(),
        ),
        (agent.clone(), sent.into()),
        (
            agent,
            MessagesRead {
                reader: reader(),
                messages: keys.clone(),
            }
            .into(),
        ),
        (
            Actor::System,
            MessagesDelivered {
                reader: reader(),
                messages: keys,
            }
            .into(),
        ),
        (
            Actor::System,
            OperatorRead {
                operator: InstanceId::parse("cli").unwrap(),
                verb: "replay".into(),
                what: "events 1 to 20".into(),
            }
            .into(),
        ),
        (
            operator.clone(),
            DamageAccepted {
                ranges: vec![(32_305, 40_000)],
            }
            .into(),
        ),
        (
            operator.clone(),
            CredentialRevoked {
                role: Role::parse("tau").unwrap(),
                public_keys: vec![
                    "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ".into(),
                ],
            }
            .into(),
        ),
        (
            operator.clone(),
            TenantErased {
                tenant: TenantId::parse("acme-corp").unwrap(),
                generation: 1,
                through_sequence: 40_017,
                key_destroyed: false,
                credentials: vec![VoidCredential {
                    public_key: "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ".into(),
                    expires_at: TimeMs(1_714_262_400_000),
                }],
            }
            .into(),
        ),
        (
            operator.clone(),
            DataKeyRotated {
                generation: 1,
                number: 2,
            }
            .into(),
        ),
    ]
    .into_iter()
    .chain(samples_of_life(operator))
    .chain(samples_of_memories())
    .chain(samples_of_tasks())
    .collect()
}

fn samples_of_life(operator: Actor) -> Vec<(Actor, Event)> {
    vec![
        (
            operator.clone(),
            TenantSuspended {
                reason: Some("the invoice of March is open".into()),
            }
            .into(),
        ),
        (operator.clone(), TenantResumed {}.into()),
        (operator, limited().into()),
        (
            Actor::System,
            UsageCounted {
                day: Day(19_811),
                queries: 1_440,
                pushes: 288,
                by: CommandId::parse("0190163d-8694-739b-aea5-966c26f8ad91").unwrap(),
            }
            .into(),
        ),
    ]
}

fn stored() -> MemoryStored {
    let relation = |kind, byte| Relation {
        kind,
        memory_id: MemoryId::from_bytes([byte; 16]),
    };
    MemoryStored {
        namespace: Namespace::Project(ProjectName::parse("landing-page").unwrap()),
        kind: MemoryType::parse("feedback").unwrap(),
        content: "The hero stays blue: Jürgen's call ✓\nSee PR #112.".into(),
        tags: vec!["design".into(), "hero".into()],
        relates_to: vec![
            relation(RelationKind::Updates, 0x11),
            relation(RelationKind::Extends, 0x22),
            relation(RelationKind::Derives, 0x33),
        ],
        episode: Some("review of 7 May".into()),
        occurred_at: Some(TimeMs(1_711_670_400_000)),
        expires_at: Some(TimeMs(1_714_262_400_000)),
        imported: None,
    }
}

fn samples_of_memories() -> Vec<(Actor, Event)> {
    let agent = Actor::Agent(reader());
    let updated = MemoryUpdated {
        memory_id: MemoryId::from_bytes([0x11; 16]),
        change: MemoryChange {
            content: Some("The hero is red.".into()),
            kind: MemoryType::parse("project").ok(),
            tags: Some(Vec::new()),
            relates_to: Some(stored().relates_to),
            episode: Some(String::new()),
            occurred_at: Some(TimeMs(0)),
            expires_at: Some(TimeMs(0)),
        },
    };
    let forgotten = MemoryForgotten {
        memory_id: MemoryId::from_bytes([0x11; 16]),
    };
    vec![
        (agent.clone(), stored().into()),
        (agent.clone(), updated.into()),
        (agent, forgotten.into()),
    ]
}

/// Further forms of events that have a sample, with what their files are called.
fn variants() -> Vec<(&'static str, Actor, Event)> {
    let token = CredentialIssued {
        role: Role::parse("tau").unwrap(),
        instance: Some(InstanceId::parse("mcp").unwrap()),
        scopes: vec![Scope::Own, Scope::Messages],
        public_key: "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ".into(),
        expires_at: TimeMs(1_714_262_400_000),
        token: true,
    };
    let operator = Actor::Operator(InstanceId::parse("cli").unwrap());
    let plain = MemoryStored {
        namespace: Namespace::Workspace,
        tags: Vec::new(),
        relates_to: Vec::new(),
        episode: None,
        occurred_at: None,
        expires_at: None,
        ..stored()
    };
    let imported = MemoryStored {
        namespace: Namespace::Orchestrator(Role::parse("tau").unwrap()),
        imported: Some(Box::new(MemoryOrigin {
            id: Some("m-1".into()),
            author: Some("Jürgen".into()),
        })),
        ..plain.clone()
    };
    let published = MemoryStored {
        namespace: Namespace::Global,
        ..plain.clone()
    };
    vec![
        ("token", operator.clone(), token.into()),
        ("plain", Actor::Agent(reader()), plain.into()),
        ("imported", operator.clone(), imported.into()),
        ("published", operator, published.into()),
    ]
    .into_iter()
    .chain(variants_of_tasks())
    .collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn shown(by: &Actor, event: &Event) -> String {
    serde_json::to_string_pretty(&serde_json::json!({ "by": by, "data": event })).unwrap() + "\n"
}

#[test]
fn every_event_has_a_golden_file_that_reads_and_writes_as_ever() {
    let samples = samples();
    assert_eq!(
        samples.len(),
        Event::TYPES.len(),
        "every event needs a sample"
    );
    let samples = samples
        .into_iter()
        .map(|(by, event)| (event.type_name().to_owned(), by, event));
    let variants = variants()
        .into_iter()
        .map(|(form, by, event)| (format!("{}.{form}", event.type_name()), by, event));
    for (name, by, event) in &samples.chain(variants).collect::<Vec<_>>() {
        let path = folder().join(format!("{name}.v{}.hex", event.schema()));
        if !path.exists() && std::env::var_os("POSTROAD_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, hex(&event.encode(by)) + "\n").unwrap();
            std::fs::write(path.with_extension("json"), shown(by, event)).unwrap();
        }
        let golden = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("{} is missing", path.display()));
        assert_eq!(
            hex(&event.encode(by)),
            golden.trim(),
            "{} is written otherwise than before",
            event.type_name()
        );
        assert_eq!(event.encoded_len(by), event.encode(by).len() as u64);
    }
}

#[test]
fn every_golden_file_of_every_version_still_reads() {
    let mut read = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (name, version) = stem.rsplit_once(".v").unwrap();
        let name = name.split('.').next().unwrap();
        let plain = unhex(&std::fs::read_to_string(&path).unwrap());
        let (by, event) = Event::decode(name, version.parse().unwrap(), &plain)
            .unwrap_or_else(|| panic!("{stem} does not read any more"));
        let golden = std::fs::read_to_string(path.with_extension("json")).unwrap();
        assert_eq!(shown(&by, &event), golden, "{stem} reads as something else");
        read += 1;
    }
    assert!(read >= Event::TYPES.len());
}

#[test]
fn an_unknown_name_or_version_is_undecodable_and_never_a_panic() {
    let (by, event) = &samples()[5];
    let plain = event.encode(by);
    assert!(Event::decode("message_sung", 1, &plain).is_none());
    assert!(Event::decode("message_sent", 999, &plain).is_none());
    for cut in 0..plain.len() {
        assert!(Event::decode("message_sent", 1, &plain[..cut]).is_none());
    }
}
