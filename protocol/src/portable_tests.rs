//! Tests of [`super`].

use super::*;
use crate::channel::Channel;
use crate::event::{
    AgentRetired, CredentialIssued, MemoryChange, MemoryForgotten, MemoryOrigin, MemoryStored,
    MemoryUpdated, MessageSent, MessagesDelivered, MessagesRead, OperatorRead, Priority,
    ReaderRegistered, SummarySet, TenantCreated,
};
use crate::id::{MemoryType, ProjectName};
use crate::memory::{Namespace, RelationKind};
use crate::tenancy::Scope;
use proptest::prelude::*;

fn names<T: fmt::Debug>(parse: fn(&str) -> Option<T>) -> impl Strategy<Value = T> {
    "[a-z0-9][a-z0-9_-]{0,12}".prop_filter_map("a name", move |text| parse(&text))
}

fn roles() -> impl Strategy<Value = Role> {
    names(|text| Role::parse(text).ok())
}

fn instances() -> impl Strategy<Value = InstanceId> {
    names(|text| InstanceId::parse(text).ok())
}

fn readers() -> impl Strategy<Value = Reader> {
    (roles(), instances()).prop_map(|(role, instance)| Reader { role, instance })
}

fn ids() -> impl Strategy<Value = CommandId> {
    any::<[u8; 16]>().prop_map(|bytes| CommandId::derived(&[&bytes]))
}

fn keys() -> impl Strategy<Value = Vec<EventKey>> {
    let key = any::<[u8; 16]>().prop_map(EventKey::from_bytes);
    proptest::collection::vec(key, 0..4)
}

fn messages() -> impl Strategy<Value = (Actor, Event)> {
    let channel = prop_oneof![
        Just(Channel::Broadcast),
        proptest::collection::btree_set(roles(), 1..4)
            .prop_map(|roles| Channel::Roles(roles.into_iter().collect())),
    ];
    let priority = prop_oneof![
        Just(Priority::Urgent),
        Just(Priority::High),
        Just(Priority::Normal),
        Just(Priority::Low)
    ];
    let metadata = proptest::collection::btree_map("[a-z\u{e9} ]{1,8}", ".{0,16}", 0..3);
    let parts = (
        readers(),
        channel,
        proptest::option::of(instances()),
        "(?s).{1,40}",
        proptest::option::of(ids()),
        priority,
        metadata,
    );
    parts.prop_map(
        |(from, channel, instance, content, reply_to, priority, metadata)| {
            let instance = instance.filter(|_| channel.single_role().is_some());
            let by = Actor::Agent(from.clone());
            let sent = MessageSent {
                from,
                channel,
                instance,
                content,
                reply_to,
                priority,
                metadata,
            };
            (by, sent.into())
        },
    )
}

fn rosters() -> impl Strategy<Value = (Actor, Event)> {
    let scopes = proptest::sample::subsequence(Scope::ALL.to_vec(), 0..=6);
    let bound = proptest::option::of(instances());
    let parts = (
        roles(),
        bound,
        scopes,
        "U[A-Z2-7]{55}",
        any::<u64>(),
        instances(),
        any::<bool>(),
    );
    let issued = parts.prop_map(
        |(role, instance, scopes, public_key, ends, operator, token)| {
            let issued = CredentialIssued {
                role,
                instance,
                scopes,
                public_key,
                expires_at: TimeMs(ends),
                token,
            };
            (Actor::Operator(operator), Event::from(issued))
        },
    );
    let retired = (roles(), proptest::option::of(instances()), instances()).prop_map(
        |(role, instance, operator)| {
            let by = Actor::Operator(operator);
            (by, AgentRetired { role, instance }.into())
        },
    );
    let registered =
        readers().prop_map(|reader| (Actor::System, ReaderRegistered { reader }.into()));
    prop_oneof![issued, retired, registered]
}

fn rest() -> impl Strategy<Value = (Actor, Event)> {
    let read = (readers(), keys()).prop_map(|(reader, messages)| {
        let by = Actor::Agent(reader.clone());
        (by, Event::from(MessagesRead { reader, messages }))
    });
    let delivered = (readers(), keys()).prop_map(|(reader, messages)| {
        let event = MessagesDelivered { reader, messages };
        (Actor::System, event.into())
    });
    let summary = (readers(), ".{0,40}").prop_map(|(reader, summary)| {
        let by = Actor::Agent(reader.clone());
        (by, SummarySet { reader, summary }.into())
    });
    let operators = (instances(), ".{0,12}", ".{0,12}").prop_map(|(operator, verb, what)| {
        let by = Actor::Operator(operator.clone());
        let read = OperatorRead {
            operator,
            verb,
            what,
        };
        (by, read.into())
    });
    let created = (roles(), 1_u32.., instances()).prop_map(|(name, generation, operator)| {
        let tenant = TenantId::parse(name.as_str()).unwrap();
        let event = TenantCreated { tenant, generation };
        (Actor::Operator(operator), event.into())
    });
    prop_oneof![read, delivered, summary, operators, created]
}

fn relations() -> impl Strategy<Value = Vec<Relation>> {
    let kind = prop_oneof![
        Just(RelationKind::Updates),
        Just(RelationKind::Extends),
        Just(RelationKind::Derives)
    ];
    let memory = any::<[u8; 16]>().prop_map(MemoryId::from_bytes);
    let relation = (kind, memory).prop_map(|(kind, memory_id)| Relation { kind, memory_id });
    proptest::collection::btree_set(relation, 0..4).prop_map(|set| set.into_iter().collect())
}

fn memories() -> impl Strategy<Value = (Actor, Event)> {
    let namespace = prop_oneof![
        Just(Namespace::Global),
        Just(Namespace::Workspace),
        names(|text| ProjectName::parse(text).ok()).prop_map(Namespace::Project),
        roles().prop_map(Namespace::Orchestrator),
    ];
    let time = proptest::option::of((0..=crate::limits::TIME_MAX_MS).prop_map(TimeMs));
    let tags = proptest::collection::btree_set("[a-z\u{e9}]{1,8}", 0..3)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let line = || proptest::option::of("[a-z\u{e9}]{1,16}");
    let origin = proptest::option::of((line(), line()))
        .prop_map(|of| of.map(|(id, author)| MemoryOrigin { id, author }));
    let parts = (
        (readers(), instances(), any::<u8>()),
        namespace,
        names(|text| MemoryType::parse(text).ok()),
        "(?s)[a-z].{0,40}",
        (tags, relations()),
        (line(), time.clone(), time),
        origin,
    );
    parts.prop_map(
        |(
            (reader, operator, what),
            namespace,
            kind,
            content,
            (tags, relates_to),
            times,
            imported,
        )| {
            let (episode, occurred_at, expires_at) = times;
            let agent = Actor::Agent(reader.clone());
            // Nothing is called by the nil UUID.
            let memory_id = MemoryId::from_bytes([what.max(1); 16]);
            match what % 3 {
                0 => {
                    let change = MemoryChange {
                        content: Some(content),
                        kind: Some(kind),
                        tags: Some(tags),
                        relates_to: Some(relates_to),
                        episode,
                        occurred_at,
                        expires_at,
                    };
                    (agent, MemoryUpdated { memory_id, change }.into())
                }
                1 => (agent, MemoryForgotten { memory_id }.into()),
                _ => {
                    let by = match &imported {
                        Some(_) if what % 2 == 0 => Actor::Operator(operator),
                        _ => agent,
                    };
                    let namespace = match namespace {
                        Namespace::Orchestrator(_) if imported.is_none() => {
                            Namespace::Orchestrator(reader.role)
                        }
                        namespace => namespace,
                    };
                    let stored = MemoryStored {
                        namespace,
                        kind,
                        content,
                        tags,
                        relates_to,
                        episode,
                        occurred_at,
                        expires_at,
                        imported: imported.map(Box::new),
                    };
                    (by, stored.into())
                }
            }
        },
    )
}

fn written_down(id: CommandId, time: u64, by: &Actor, event: &Event) -> PortableEvent {
    PortableEvent {
        sequence: 7,
        id: id.to_string(),
        time: TimeMs(time),
        by: by.to_string(),
        type_name: event.type_name().to_owned(),
        schema: event.schema(),
        data: serde_json::to_value(event).unwrap(),
    }
}

proptest! {
    #[test]
    fn an_event_comes_back_as_it_was_from_its_line(
        (by, event) in prop_oneof![messages(), rosters(), rest(), memories()],
        id in ids(),
        time in any::<u64>(),
    ) {
        let line = Scribe::default().event(&written_down(id, time, &by, &event));
        prop_assert_eq!(line.matches('\n').count(), 1);
        let read: PortableEvent = serde_json::from_str(&line).unwrap();
        // As it travels in a command, too.
        let travelled = rmp_serde::to_vec_named(&read).unwrap();
        let read: PortableEvent = rmp_serde::from_slice(&travelled).unwrap();
        let record = read.record().unwrap();
        prop_assert_eq!(record.event.encode(&record.by), event.encode(&by));
        prop_assert_eq!((record.id, record.time, record.key), (id, TimeMs(time), EventKey::of(&by, id)));
        prop_assert_eq!((record.by, record.event), (by, event));
    }

    #[test]
    fn no_line_makes_a_reader_panic(lines in proptest::collection::vec("\\PC{0,60}", 1..6)) {
        let mut reader = Lines::default();
        for line in lines {
            let _ = reader.read(line.as_bytes());
        }
        prop_assert!(reader.finish().is_err());
    }
}

/// An export of three events, one of them lost.
fn export() -> Vec<String> {
    let header = Header::new(TenantId::parse("acme").unwrap(), 2, TimeMs(5));
    let event = |sequence: u8| {
        let reader = Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse("pi").unwrap(),
        };
        let by = Actor::Agent(reader.clone());
        let summary = "busy".to_owned();
        let id = CommandId::derived(&[&[sequence]]);
        let event = SummarySet { reader, summary }.into();
        let mut line = written_down(id, 5, &by, &event);
        line.sequence = u64::from(sequence);
        line
    };
    let mut scribe = Scribe::default();
    let mut lines = vec![scribe.header(&header)];
    lines.extend([3, 9].map(|sequence| scribe.event(&event(sequence))));
    let lost = Lost {
        sequence: 12,
        lost: "damaged".to_owned(),
    };
    lines.push(scribe.lost(&lost));
    lines.push(scribe.end().0);
    lines
}

fn read(lines: &[String]) -> Result<Vec<Line>, Refusal> {
    let mut reader = Lines::default();
    let read = |line: &String| reader.read(line.trim_end_matches('\n').as_bytes());
    let read: Vec<Line> = lines.iter().map(read).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(read)
}

#[test]
fn an_export_reads_back_line_by_line() {
    let lines = export();
    insta::assert_snapshot!(lines.concat(), @r#"
    {"format":"postroad-tenant-export","version":1,"tenant":"acme","generation":2,"exportedAt":5}
    {"sequence":3,"id":"49d89849-b0d0-84a5-b8f0-2bf4b5e42995","time":5,"by":"tau/pi","type":"summary_set","schema":1,"data":{"reader":{"instance":"pi","role":"tau"},"summary":"busy"}}
    {"sequence":9,"id":"32143070-4c8b-8597-b09f-c6b7cb67e595","time":5,"by":"tau/pi","type":"summary_set","schema":1,"data":{"reader":{"instance":"pi","role":"tau"},"summary":"busy"}}
    {"sequence":12,"lost":"damaged"}
    {"end":true,"events":2,"lost":1,"digest":"60290ad98567ed99483a27339bf6b657898e1a63cf7e32bc0e1edcdc27f7d52a"}
    "#);
    let read = read(&lines).unwrap();
    assert!(matches!(&read[0], Line::Header(header) if header.generation == 2));
    assert!(matches!(&read[2], Line::Event(event) if event.sequence == 9));
    assert!(matches!(&read[3], Line::Lost(lost) if lost.sequence == 12));
    assert!(matches!(&read[4], Line::End(totals) if (totals.events, totals.lost) == (2, 1)));
}

#[test]
fn what_is_not_as_it_was_written_is_told_with_its_line() {
    let told = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = export();
        change(&mut lines);
        let refusal = read(&lines).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("file"));
        refusal.message
    };
    let cut = told(&|lines| lines.truncate(3));
    assert!(cut.contains("after line 3"), "{cut}");
    let changed = told(&|lines| lines[1] = lines[1].replace("busy", "idle"));
    assert!(changed.starts_with("line 5:"), "{changed}");
    let taken_out = told(&|lines| drop(lines.remove(1)));
    assert!(taken_out.starts_with("line 4:"), "{taken_out}");
    let swapped = told(&|lines| lines.swap(1, 2));
    assert!(swapped.starts_with("line 3: event 3"), "{swapped}");
    let garbage = told(&|lines| "\u{0}{".clone_into(&mut lines[2]));
    assert!(garbage.starts_with("line 3: it is not JSON"), "{garbage}");
    let doubled = told(&|lines| lines.push(lines[4].clone()));
    assert!(doubled.starts_with("line 6:"), "{doubled}");
    let newer = told(&|lines| lines[0] = lines[0].replace("\"version\":1", "\"version\":2"));
    assert!(newer.starts_with("line 1: this build"), "{newer}");
    let other = told(&|lines| lines[0] = "{\"format\":\"tar\"}".to_owned());
    assert!(other.starts_with("line 1: this is no export"), "{other}");
}

#[test]
fn what_no_broker_would_have_stored_is_refused_with_its_field() {
    let lines = export();
    let good: PortableEvent = serde_json::from_str(&lines[1]).unwrap();
    let refused = |change: &dyn Fn(&mut PortableEvent)| {
        let mut event = good.clone();
        change(&mut event);
        event.record().unwrap_err().field.unwrap()
    };
    assert!(good.record().is_ok());
    assert_eq!(refused(&|event| event.id = "7".to_owned()), "id");
    assert_eq!(refused(&|event| event.by = "tau".to_owned()), "by");
    assert_eq!(refused(&|event| event.by = "pi/tau".to_owned()), "by");
    assert_eq!(
        refused(&|event| event.type_name = "sung".to_owned()),
        "type"
    );
    assert_eq!(refused(&|event| event.schema = 9), "type");
    assert_eq!(refused(&|event| event.data = Value::Null), "data");
    let damage = |event: &mut PortableEvent| {
        event.type_name = "damage_accepted".to_owned();
        event.data = serde_json::json!({"ranges": []});
    };
    assert_eq!(refused(&damage), "type");
    let message = |event: &mut PortableEvent| {
        event.type_name = "message_sent".to_owned();
        let from = serde_json::json!({"role": "tau", "instance": "pi"});
        event.data = serde_json::json!({"from": from, "channel": "pi", "content": ""});
    };
    assert_eq!(refused(&message), "content");
}

#[test]
fn a_memory_keeps_its_id_and_to_the_bounds_of_what_is_stored() {
    let export = export();
    let good: PortableEvent = serde_json::from_str(&export[1]).unwrap();
    let memory = |name: &str, by: &str, data: Value| {
        let mut event = good.clone();
        (event.type_name, event.by, event.data) = (name.to_owned(), by.to_owned(), data);
        event.record()
    };
    let stored = |by: &str, more: Value| {
        let mut data = serde_json::json!({"namespace": "global", "type": "user", "content": "x"});
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        memory("memory_stored", by, data)
    };
    let field = |refused: Result<Record, Refusal>| refused.unwrap_err().field.unwrap();
    let record = stored("tau/pi", serde_json::json!({})).unwrap();
    // The id follows from who stored it and from the command, wherever the history is brought in.
    assert_eq!(record.key, EventKey::of(&record.by, record.id));
    let own = MemoryId::of(record.key).to_string();
    let other = MemoryId::from_bytes([7; 16]).to_string();
    let extends = |id: &str| serde_json::json!({"type": "extends", "memoryId": id});
    let lines = |count: usize| (0..count).map(|n| format!("{n:02}")).collect::<Vec<_>>();
    for (at, more) in [
        ("content", serde_json::json!({"content": " "})),
        (
            "content",
            serde_json::json!({"content": "x".repeat(64 * 1024 + 1)}),
        ),
        ("tags", serde_json::json!({"tags": ["b", "a"]})),
        ("tags", serde_json::json!({"tags": ["a", "a"]})),
        ("tags", serde_json::json!({"tags": ["e\u{301}"]})),
        ("tags", serde_json::json!({"tags": [" a"]})),
        ("tags", serde_json::json!({"tags": [""]})),
        ("tags", serde_json::json!({"tags": lines(33)})),
        (
            "relatesTo",
            serde_json::json!({"relatesTo": [extends(&own)]}),
        ),
        (
            "relatesTo",
            serde_json::json!({"relatesTo": vec![extends(&other); 2]}),
        ),
        (
            "relatesTo",
            serde_json::json!({"relatesTo": vec![extends(&other); 17]}),
        ),
        ("episode", serde_json::json!({"episode": ""})),
        ("episode", serde_json::json!({"episode": "a\nb"})),
        ("episode", serde_json::json!({"episode": "x".repeat(129)})),
        ("occurredAt", serde_json::json!({"occurredAt": u64::MAX})),
        ("expiresAt", serde_json::json!({"expiresAt": u64::MAX})),
        ("id", serde_json::json!({"imported": {"id": ""}})),
        (
            "id",
            serde_json::json!({"imported": {"id": "x".repeat(257)}}),
        ),
        (
            "createdBy",
            serde_json::json!({"imported": {"author": "a\u{0}"}}),
        ),
        ("by", serde_json::json!({"namespace": "orchestrator/phi"})),
        ("data", serde_json::json!({"namespace": "workspace/acme"})),
        ("data", serde_json::json!({"namespace": "elsewhere"})),
        ("data", serde_json::json!({"type": "two words"})),
        (
            "data",
            serde_json::json!({"relatesTo": [{"type": "sings", "memoryId": other}]}),
        ),
    ] {
        assert_eq!(field(stored("tau/pi", more.clone())), at, "{more}");
    }
    let of_phi = serde_json::json!({"namespace": "orchestrator/phi", "imported": {}});
    assert!(stored("tau/pi", of_phi.clone()).is_ok());
    assert!(stored("_operator/cli", of_phi.clone()).is_ok());
    assert_eq!(field(stored("_sys", of_phi)), "by");
    assert_eq!(field(stored("_operator/cli", serde_json::json!({}))), "by");
    let forgotten = serde_json::json!({"memoryId": other});
    assert!(memory("memory_forgotten", "tau/pi", forgotten.clone()).is_ok());
    assert_eq!(field(memory("memory_forgotten", "_sys", forgotten)), "by");
    let updated = |change: Value| {
        let data = serde_json::json!({"memoryId": other, "change": change});
        memory("memory_updated", "tau/pi", data)
    };
    assert!(updated(serde_json::json!({"episode": "", "occurredAt": 0, "tags": []})).is_ok());
    let circle = serde_json::json!({"relatesTo": [extends(&other)]});
    assert_eq!(field(updated(circle)), "relatesTo");
    assert_eq!(
        field(updated(serde_json::json!({"content": ""}))),
        "content"
    );
    assert_eq!(
        field(updated(serde_json::json!({"episode": " a"}))),
        "episode"
    );
}
