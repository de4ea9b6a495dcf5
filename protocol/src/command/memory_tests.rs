//! Tests of [`super`].

use super::*;
use crate::body::Encoding;
use crate::event::MemoryOrigin;
use crate::limits::{
    AUTHOR_MAX_BYTES, EPISODE_MAX_BYTES, IMPORT_ID_MAX_BYTES, MEMORY_MAX_BYTES,
    MEMORY_RELATIONS_MAX, MEMORY_TAG_MAX_BYTES, MEMORY_TAGS_MAX, TIME_MAX_MS,
};
use crate::tenancy::Scope;
use serde_json::{Value, json};

pub(super) const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
/// Verbs with a body that each takes.
const VERBS: [(Scope, &str); 4] = [
    (Scope::Memory, "store_memory"),
    (Scope::Memory, "update_memory"),
    (Scope::Memory, "forget_memory"),
    (Scope::Admin, "import_memory"),
];

fn good(verb: &str) -> Value {
    match verb {
        "store_memory" => json!({"namespace": "global", "type": "user", "content": "x"}),
        "update_memory" => json!({"memoryId": ID, "content": "x"}),
        "forget_memory" => json!({"memoryId": ID}),
        _ => json!({"namespace": "global", "content": "x"}),
    }
}

pub(super) fn read_raw(verb: &str, body: &[u8]) -> Result<Identified, Refusal> {
    let (scope, _) = VERBS.into_iter().find(|(_, name)| *name == verb).unwrap();
    Command::read(scope, verb, Encoding::of(body), body)
}

/// Reads a good body of `verb` in which `field` is `value`.
fn with(verb: &str, field: &str, value: Value) -> Result<Identified, Refusal> {
    let mut body = good(verb);
    body[field] = value;
    let packed = rmp_serde::to_vec_named(&body).unwrap();
    let read = read_raw(verb, body.to_string().as_bytes());
    let unpacked = read_raw(verb, &packed);
    match (&read, unpacked) {
        (Ok(read), Ok(unpacked)) => assert_eq!(read.command, unpacked.command),
        (Err(read), Err(unpacked)) => {
            assert_eq!((read.code, &read.field), (unpacked.code, &unpacked.field));
        }
        (read, unpacked) => panic!("{read:?} as JSON, {unpacked:?} as MessagePack"),
    }
    read
}

fn stored(read: Result<Identified, Refusal>) -> StoreMemory {
    match read.unwrap().command {
        Command::StoreMemory(command) | Command::ImportMemory(command) => command,
        other => panic!("{other:?}"),
    }
}

fn changed(read: Result<Identified, Refusal>) -> MemoryChange {
    match read.unwrap().command {
        Command::UpdateMemory(command) => command.change,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(verb: &str, field: &str, value: Value) -> ErrorCode {
    let refusal = with(verb, field, value).unwrap_err();
    let of = refusal.field.as_deref().unwrap();
    // A part of a list is named by its place.
    assert!(
        of == field || of.starts_with(&format!("{field}[")),
        "{refusal:?}"
    );
    assert!(!refusal.remedy.is_empty() && refusal.message.len() < 400);
    refusal.code
}

const WRITES: [&str; 3] = ["store_memory", "update_memory", "import_memory"];

#[test]
fn every_field_is_refused_by_name_where_its_type_is_another() {
    let texts = ["content", "type", "episode", "commandId"];
    for verb in WRITES {
        for field in texts {
            for value in [json!(7), json!(["x"]), json!({"x": 1}), json!(true)] {
                assert_eq!(refused(verb, field, value), ErrorCode::InvalidArgument);
            }
        }
        for field in ["occurredAt", "expiresAt"] {
            for value in [json!("7"), json!(1.5), json!([7]), json!(u64::MAX)] {
                assert_eq!(refused(verb, field, value), ErrorCode::InvalidArgument);
            }
        }
        for value in [json!("x"), json!([7]), json!({"a": "b"}), json!([null])] {
            assert_eq!(refused(verb, "tags", value), ErrorCode::InvalidArgument);
        }
    }
    for verb in ["store_memory", "update_memory"] {
        for value in [
            json!("x"),
            json!([7]),
            json!([{"type": "updates"}]),
            json!([[]]),
        ] {
            assert_eq!(
                refused(verb, "relatesTo", value),
                ErrorCode::InvalidArgument
            );
        }
    }
    for (verb, field) in [
        ("store_memory", "namespace"),
        ("import_memory", "namespace"),
        ("store_memory", "createdBy"),
        ("import_memory", "createdBy"),
        ("import_memory", "id"),
        ("update_memory", "memoryId"),
        ("forget_memory", "memoryId"),
        ("forget_memory", "commandId"),
    ] {
        for value in [json!(7), json!([ID]), json!({"x": 1})] {
            assert_eq!(refused(verb, field, value), ErrorCode::InvalidArgument);
        }
    }
}

#[test]
fn what_is_left_out_is_refused_where_it_is_needed_and_null_is_left_out() {
    for (verb, needed) in [
        ("store_memory", vec!["namespace", "type", "content"]),
        ("import_memory", vec!["namespace", "content"]),
        ("update_memory", vec!["memoryId", "content"]),
        ("forget_memory", vec!["memoryId"]),
    ] {
        assert!(read_raw(verb, good(verb).to_string().as_bytes()).is_ok());
        for field in needed {
            let mut body = good(verb);
            body.as_object_mut().unwrap().remove(field);
            let refusal = read_raw(verb, body.to_string().as_bytes()).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidArgument, "{verb} {field}");
            assert!(
                refusal.message.contains(field) || refusal.field.as_deref() == Some(field),
                "{refusal:?}"
            );
        }
        for optional in ["tags", "episode", "occurredAt", "expiresAt", "commandId"] {
            assert!(
                with(verb, optional, Value::Null).is_ok(),
                "{verb} {optional}"
            );
        }
    }
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "\"x\"",
        "{",
        "{\"content\":",
        "\u{0}",
    ] {
        for (_, verb) in VERBS {
            assert!(read_raw(verb, body.as_bytes()).is_err(), "{verb} {body:?}");
        }
    }
    let twice = br#"{"namespace":"global","type":"user","content":"x","content":"y"}"#;
    assert!(read_raw("store_memory", twice).is_err());
}

#[test]
fn content_has_bounds_in_bytes_and_is_kept_to_the_byte() {
    for verb in WRITES {
        for empty in ["", " ", "\n\t \u{2003}\u{a0}"] {
            assert_eq!(
                refused(verb, "content", empty.into()),
                ErrorCode::InvalidArgument
            );
        }
        let over = "\u{e9}".repeat(MEMORY_MAX_BYTES / 2) + "x";
        assert_eq!(refused(verb, "content", over.into()), ErrorCode::TooLarge);
        let full = "\u{e9}".repeat(MEMORY_MAX_BYTES / 2);
        assert!(with(verb, "content", full.into()).is_ok());
        // Each byte takes six in JSON.
        let escaped = "\u{1}".repeat(MEMORY_MAX_BYTES);
        assert!(with(verb, "content", escaped.into()).is_ok());
    }
    for text in [
        "two\nlines\tand a tab",
        "\u{0}\u{7}\u{1b}[31m",
        "\u{202e}abc\u{202c}",
        "e\u{301} is not \u{e9}",
        " spaces around ",
        "\u{feff}\u{200b}\u{1f9d1}\u{200d}\u{1f680}",
        "\\u0000 \"quoted\" </script>",
    ] {
        assert_eq!(
            stored(with("store_memory", "content", text.into())).content,
            text
        );
        let change = changed(with("update_memory", "content", text.into()));
        assert_eq!(change.content.as_deref(), Some(text));
    }
    let escapes = br#"{"namespace":"global","type":"user","content":"\u00e9\ud83d\ude80\n\u0000"}"#;
    assert_eq!(
        stored(read_raw("store_memory", escapes)).content,
        "\u{e9}\u{1f680}\n\u{0}"
    );
    // Half a surrogate, and bytes that are no UTF-8.
    for bad in [&b"\"\\ud83d\""[..], b"\"\xff\"", b"\"\x01\"", b"\"\\x41\""] {
        let body = [
            &br#"{"namespace":"global","type":"user","content":"#[..],
            bad,
            b"}",
        ]
        .concat();
        let refusal = read_raw("store_memory", &body).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidArgument, "{bad:?}");
    }
}

#[test]
fn a_namespace_and_a_type_are_names() {
    for namespace in [
        "",
        " ",
        "project/",
        "project/a/b",
        "project/\u{e4}",
        "project/..",
        "workspace/",
        "workspace/_sys",
        "orchestrator/broadcast",
        "orchestrator/_operator",
        "global/x",
        "project/a\u{0}",
        "pro\u{200b}ject/a",
    ] {
        for verb in ["store_memory", "import_memory"] {
            let code = refused(verb, "namespace", namespace.into());
            assert_eq!(code, ErrorCode::InvalidArgument, "{verb} {namespace:?}");
        }
    }
    for bare in ["web", "team/web"] {
        let code = refused("store_memory", "namespace", bare.into());
        assert_eq!(code, ErrorCode::InvalidArgument);
    }
    let imported = stored(with("import_memory", "namespace", "Web".into()));
    assert_eq!(imported.namespace.to_string(), "project/web");
    assert_eq!(
        stored(with("store_memory", "namespace", "workspace/Acme".into()))
            .namespace
            .to_string(),
        "workspace/acme"
    );
    let long = "x".repeat(65);
    for kind in ["", " ", "two words", "a/b", "\u{e4}", "-x", "x\u{0}", &long] {
        for verb in WRITES {
            assert_eq!(
                refused(verb, "type", kind.into()),
                ErrorCode::InvalidArgument
            );
        }
    }
    assert_eq!(
        stored(with("store_memory", "type", "ADR".into()))
            .kind
            .as_str(),
        "adr"
    );
    assert_eq!(
        stored(with("import_memory", "type", Value::Null))
            .kind
            .as_str(),
        "reference"
    );
}

#[test]
fn tags_are_one_line_each_and_few() {
    for verb in WRITES {
        let full: Vec<String> = (0..MEMORY_TAGS_MAX).map(|n| format!("t{n}")).collect();
        assert!(with(verb, "tags", json!(full)).is_ok());
        let over = vec!["x"; MEMORY_TAGS_MAX + 1];
        assert_eq!(refused(verb, "tags", json!(over)), ErrorCode::TooLarge);
        assert!(with(verb, "tags", json!(["x".repeat(MEMORY_TAG_MAX_BYTES)])).is_ok());
        let long = "x".repeat(MEMORY_TAG_MAX_BYTES + 1);
        assert_eq!(refused(verb, "tags", json!([long])), ErrorCode::TooLarge);
        let huge = "x".repeat(100_000);
        assert_eq!(refused(verb, "tags", json!([huge])), ErrorCode::TooLarge);
        // One that NFC makes longer.
        let grows = "\u{1d160}".repeat(MEMORY_TAG_MAX_BYTES / 4);
        assert_eq!(refused(verb, "tags", json!([grows])), ErrorCode::TooLarge);
        for bad in ["", "  ", "a\nb", "a\u{0}", "\u{85}", "\u{7f}"] {
            assert_eq!(
                refused(verb, "tags", json!([bad])),
                ErrorCode::InvalidArgument
            );
        }
    }
    let tags = json!(["b", " a ", "e\u{301}", "\u{e9}", "b", "B"]);
    let read = stored(with("store_memory", "tags", tags.clone()));
    assert_eq!(read.tags, ["B", "a", "b", "\u{e9}"]);
    assert_eq!(
        changed(with("update_memory", "tags", tags)).tags,
        Some(read.tags)
    );
    let none = changed(with("update_memory", "tags", json!([])));
    assert_eq!(none.tags, Some(Vec::new()));
    // As long as it is allowed to be, once its accents are put together.
    let decomposed = "e\u{301}".repeat(MEMORY_TAG_MAX_BYTES / 2);
    assert!(with("store_memory", "tags", json!([decomposed])).is_ok());
}

#[test]
fn an_episode_and_where_it_comes_from_are_lines() {
    let lines = [
        ("store_memory", "episode", EPISODE_MAX_BYTES),
        ("update_memory", "episode", EPISODE_MAX_BYTES),
        ("import_memory", "episode", EPISODE_MAX_BYTES),
        ("import_memory", "createdBy", AUTHOR_MAX_BYTES),
        ("import_memory", "id", IMPORT_ID_MAX_BYTES),
    ];
    for (verb, field, max) in lines {
        assert!(with(verb, field, "x".repeat(max).into()).is_ok());
        assert_eq!(
            refused(verb, field, "x".repeat(max + 1).into()),
            ErrorCode::TooLarge
        );
        assert_eq!(
            refused(verb, field, "x".repeat(max * 9).into()),
            ErrorCode::TooLarge
        );
        for bad in ["a\nb", "\u{0}", "a\u{9b}b"] {
            assert_eq!(refused(verb, field, bad.into()), ErrorCode::InvalidArgument);
        }
    }
    let episode = |verb, text: &str| with(verb, "episode", text.into());
    let named = stored(episode("store_memory", " e\u{301} "));
    assert_eq!(named.episode.as_deref(), Some("\u{e9}"));
    assert_eq!(stored(episode("store_memory", "  ")).episode, None);
    let cleared = changed(episode("update_memory", " "));
    assert_eq!(cleared.episode.as_deref(), Some(""));
    let nobody = stored(with("import_memory", "createdBy", " ".into()));
    assert_eq!(nobody.imported, Some(MemoryOrigin::default()));
    // Of a store it is compared with the credential, whatever it is, and never kept.
    let claimed = stored(with("store_memory", "createdBy", "a\nb".into()));
    assert_eq!(claimed.claimed_author.as_deref(), Some("a\nb"));
    assert_eq!(claimed.imported, None);
}

#[test]
fn times_lie_between_1970_and_9999() {
    let max = i64::try_from(TIME_MAX_MS).unwrap();
    for verb in WRITES {
        for field in ["occurredAt", "expiresAt"] {
            for good in [0, 1, max] {
                assert!(with(verb, field, good.into()).is_ok(), "{verb} {field}");
            }
            for bad in [-1, max + 1, i64::MIN, i64::MAX] {
                assert_eq!(refused(verb, field, bad.into()), ErrorCode::InvalidArgument);
            }
        }
    }
}

#[test]
fn relations_are_known_kinds_of_ids_and_few() {
    let relation = |kind: &str, id: &str| json!({"type": kind, "memoryId": id});
    for verb in ["store_memory", "update_memory"] {
        let ids = (1..=MEMORY_RELATIONS_MAX).map(|n| format!("00000000-0000-8000-8000-{n:012}"));
        let full: Vec<Value> = ids.map(|id| relation("extends", &id)).collect();
        assert!(with(verb, "relatesTo", json!(full)).is_ok());
        let over = vec![relation("extends", ID); MEMORY_RELATIONS_MAX + 1];
        assert_eq!(refused(verb, "relatesTo", json!(over)), ErrorCode::TooLarge);
        for kind in ["", "Updates", "replaces", "updates "] {
            let bad = json!([relation(kind, ID)]);
            assert_eq!(refused(verb, "relatesTo", bad), ErrorCode::InvalidArgument);
        }
        for id in [
            "",
            "7",
            "_sys",
            "00000000-0000-0000-0000-000000000000",
            "x\u{0}",
        ] {
            let bad = json!([relation("updates", id)]);
            assert_eq!(refused(verb, "relatesTo", bad), ErrorCode::NotFound);
        }
        for missing in [json!([{"memoryId": ID}]), json!([{"type": "updates"}])] {
            assert_eq!(
                refused(verb, "relatesTo", missing),
                ErrorCode::InvalidArgument
            );
        }
    }
    let upper = ID.to_uppercase();
    let twice = json!([
        relation("derives", ID),
        relation("updates", &upper),
        relation("updates", ID),
    ]);
    let read = stored(with("store_memory", "relatesTo", twice));
    let kinds: Vec<_> = read.relates_to.iter().map(|to| to.kind).collect();
    assert_eq!(kinds, [RelationKind::Updates, RelationKind::Derives]);
}

#[test]
fn an_id_that_cannot_be_one_names_nothing() {
    for verb in ["update_memory", "forget_memory"] {
        let long = "0".repeat(100_000);
        for id in [
            "",
            "7",
            "*",
            "../x",
            "\u{0}",
            "00000000-0000-0000-0000-000000000000",
            &long,
        ] {
            assert_eq!(refused(verb, "memoryId", id.into()), ErrorCode::NotFound);
        }
    }
    for (_, verb) in VERBS {
        for id in ["", "7", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(
                refused(verb, "commandId", id.into()),
                ErrorCode::InvalidArgument
            );
        }
        let named = with(verb, "commandId", ID.into()).unwrap();
        assert_eq!(named.id.to_string(), ID);
    }
}

#[test]
fn an_update_changes_something() {
    let body = json!({"memoryId": ID}).to_string();
    let refusal = read_raw("update_memory", body.as_bytes()).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::InvalidArgument, Some("content"))
    );
}
