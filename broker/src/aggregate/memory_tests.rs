//! Tests of [`super`].

use super::super::roster::given::*;
use super::*;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::Command;
use postroad_protocol::event::{Event, EventKey};
use postroad_protocol::id::CommandId;
use postroad_protocol::tenancy::Scope;
use proptest::prelude::*;
use serde_json::{Value, json};

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn read(scope: Scope, verb: &str, more: &Value) -> StoreMemory {
    let mut body = json!({"namespace": "global", "type": "project", "content": "x"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let body = body.to_string();
    match Command::read(scope, verb, Encoding::Json, body.as_bytes())
        .unwrap()
        .command
    {
        Command::StoreMemory(command) | Command::ImportMemory(command) => command,
        other => panic!("{other:?}"),
    }
}

fn command(more: &Value) -> StoreMemory {
    read(Scope::Memory, "store_memory", more)
}

fn refused<T: std::fmt::Debug>(decided: Result<T, Refusal>) -> (ErrorCode, String) {
    let refusal = decided.unwrap_err();
    (refusal.code, refusal.field.unwrap())
}

fn denied(field: &str) -> (ErrorCode, String) {
    (ErrorCode::PermissionDenied, field.to_owned())
}

#[test]
fn an_agent_stores_where_it_may_read() {
    let tau = reader("tau", "pi");
    let store = |namespace: &str| stored(&acme(), &tau, command(&json!({"namespace": namespace})));
    for (named, namespace) in [
        ("global", Namespace::Global),
        ("workspace/acme", Namespace::Workspace),
        ("orchestrator/Tau", Namespace::Orchestrator(role("tau"))),
    ] {
        assert_eq!(store(named).unwrap().namespace, namespace);
    }
    for foreign in ["workspace/globex", "workspace/acme2", "orchestrator/pi"] {
        assert_eq!(refused(store(foreign)), denied("namespace"), "{foreign}");
    }
}

#[test]
fn an_import_reaches_every_role_and_no_other_tenant() {
    let import = |namespace: &str| {
        let command = read(
            Scope::Admin,
            "import_memory",
            &json!({"namespace": namespace, "createdBy": "somebody else"}),
        );
        imported(&acme(), command)
    };
    let event = import("orchestrator/pi").unwrap();
    assert_eq!(event.namespace, Namespace::Orchestrator(role("pi")));
    let origin = event.imported.unwrap();
    assert_eq!(origin.author.as_deref(), Some("somebody else"));
    assert_eq!(
        import("landing").unwrap().namespace.stored(),
        "project/landing"
    );
    assert_eq!(refused(import("workspace/globex")), denied("namespace"));
}

#[test]
fn the_library_has_one_namespace() {
    let operator = Actor::Operator(instance("cli"));
    let publish = |more: Value| published(&operator, command(&more));
    assert_eq!(publish(json!({})).unwrap().namespace, Namespace::Global);
    assert!(publish(json!({"createdBy": "_operator/cli"})).is_ok());
    assert!(publish(json!({"createdBy": "_operator"})).is_ok());
    for namespace in ["workspace/acme", "project/x", "orchestrator/tau"] {
        assert_eq!(
            refused(publish(json!({"namespace": namespace}))),
            (ErrorCode::InvalidArgument, "namespace".to_owned())
        );
    }
    assert_eq!(
        refused(publish(json!({"createdBy": "tau"}))),
        denied("createdBy")
    );
}

#[test]
fn an_author_is_compared_with_the_credential_and_never_believed() {
    let tau = reader("tau", "pi");
    let store = |author: &str| stored(&acme(), &tau, command(&json!({"createdBy": author})));
    for own in ["tau", "Tau", "tau/pi", "TAU/PI"] {
        assert!(store(own).is_ok(), "{own}");
    }
    let long = "a/".repeat(50_000);
    for other in [
        "",
        "/",
        "pi",
        "tau/",
        "/pi",
        "tau/mac",
        "tau/pi/x",
        "_sys",
        "_operator",
        "_operator/pi",
        "tau ",
        "tau\u{0}",
        "t\u{430}u",
        "\u{202e}uat",
        &long,
    ] {
        assert_eq!(refused(store(other)), denied("createdBy"), "{other:?}");
    }
}

#[test]
fn a_memory_ends_ahead_or_never() {
    let ends = |end: Option<u64>| check_end(end.map(TimeMs), TimeMs(7));
    assert!(ends(None).is_ok() && ends(Some(8)).is_ok());
    for past in [0, 6, 7] {
        assert_eq!(
            refused(ends(Some(past))),
            (ErrorCode::InvalidArgument, "expiresAt".to_owned())
        );
    }
}

fn id(n: u8) -> MemoryId {
    MemoryId::from_bytes([n; 16])
}

fn standing(namespace: Namespace, is_behind: bool) -> MemoryStanding {
    MemoryStanding {
        namespace,
        is_behind,
    }
}

fn decide(
    kind: RelationKind,
    other: u8,
    standing: impl Into<Option<MemoryStanding>>,
) -> Result<(), Refusal> {
    let subject = Subject {
        id: id(1),
        namespace: &Namespace::Workspace,
        role: Some(&role("tau")),
    };
    let relation = Relation {
        kind,
        memory_id: id(other),
    };
    relate(subject, &[relation], &[standing.into()])
}

const KINDS: [RelationKind; 3] = [
    RelationKind::Updates,
    RelationKind::Extends,
    RelationKind::Derives,
];

#[test]
fn a_relation_needs_a_memory_that_the_caller_may_know_of() {
    let not_found = (ErrorCode::NotFound, "relatesTo".to_owned());
    for kind in KINDS {
        assert!(decide(kind, 2, standing(Namespace::Workspace, false)).is_ok());
        assert_eq!(refused(decide(kind, 2, None)), not_found);
        let of_pi = Namespace::Orchestrator(role("pi"));
        assert_eq!(refused(decide(kind, 2, standing(of_pi, false))), not_found);
        let itself = decide(kind, 1, standing(Namespace::Workspace, false));
        assert_eq!(
            refused(itself),
            (ErrorCode::InvalidArgument, "relatesTo".to_owned())
        );
    }
    // An answer that is too short names nothing.
    let subject = Subject {
        id: id(1),
        namespace: &Namespace::Global,
        role: None,
    };
    let relation = Relation {
        kind: RelationKind::Extends,
        memory_id: id(2),
    };
    assert_eq!(refused(relate(subject, &[relation], &[])), not_found);
}

#[test]
fn only_the_place_of_one_in_the_same_namespace_is_taken_and_never_in_a_circle() {
    for kind in KINDS {
        let elsewhere = decide(kind, 2, standing(Namespace::Global, false));
        let behind = decide(kind, 2, standing(Namespace::Workspace, true));
        if kind == RelationKind::Updates {
            let refusal = elsewhere.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidArgument);
            assert!(refusal.remedy.contains("extends or derives"));
            assert_eq!(
                refused(behind),
                (ErrorCode::Conflict, "relatesTo".to_owned())
            );
        } else {
            assert!(elsewhere.is_ok() && behind.is_ok(), "{kind:?}");
        }
    }
}

proptest! {
    /// Whatever is related to, nothing is accepted that the caller may not know of.
    #[test]
    fn what_is_accepted_is_known_and_open(
        relations in proptest::collection::vec((0_usize..3, 1_u8..5), 0..6),
        stands in proptest::collection::vec(proptest::option::of((0_usize..4, any::<bool>())), 0..6),
    ) {
        let namespaces = [
            Namespace::Global,
            Namespace::Workspace,
            Namespace::Orchestrator(role("tau")),
            Namespace::Orchestrator(role("pi")),
        ];
        let relations: Vec<_> = relations
            .into_iter()
            .map(|(kind, other)| Relation { kind: KINDS[kind], memory_id: id(other) })
            .collect();
        let standings: Vec<_> = stands
            .iter()
            .map(|stand| stand.map(|(n, behind)| standing(namespaces[n].clone(), behind)))
            .collect();
        let subject = Subject { id: id(1), namespace: &Namespace::Workspace, role: Some(&role("tau")) };
        let expected = relations.iter().enumerate().all(|(at, relation)| {
            let Some(Some((n, behind))) = stands.get(at) else { return false };
            let takes_its_place = relation.kind == RelationKind::Updates;
            relation.memory_id != id(1) && *n != 3 && (!takes_its_place || (*n == 1 && !behind))
        });
        prop_assert_eq!(relate(subject, &relations, &standings).is_ok(), expected);
        prop_assert_eq!(named(&relations).len(), relations.len());
    }
}

#[test]
fn the_event_of_a_retry_is_the_same_and_names_the_same_memory() {
    let tau = reader("tau", "pi");
    let one =
        || Event::from(stored(&acme(), &tau, command(&json!({"tags": ["b", "a", "b"]}))).unwrap());
    let by = Actor::Agent(tau.clone());
    assert_eq!(one().encode(&by), one().encode(&by));
    let command_id = CommandId::generate();
    let key = EventKey::of(&by, command_id);
    let other = EventKey::of(&Actor::Agent(reader("tau", "mac")), command_id);
    assert_ne!(MemoryId::of(key), MemoryId::of(other));
}
