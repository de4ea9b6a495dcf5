//! Tests of what is kept of memory commands: the ids of imports, and the bounds of what is stored.

use super::tests::{ID, read_raw};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn an_import_has_the_id_of_its_origin_or_of_all_that_it_says() {
    let id = |body: &Value| {
        let read = read_raw("import_memory", body.to_string().as_bytes());
        read.unwrap().id
    };
    let line = json!({
        "namespace": "web", "type": "user", "content": "x", "createdBy": "a", "episode": "e",
        "occurredAt": 1, "expiresAt": 2, "tags": ["s", "t"],
    });
    let first = id(&line);
    assert_eq!(id(&line), first);
    // An id that follows from its cause is always looked up, whatever the time.
    assert_eq!(first.stamp_ms(), None);
    let same = json!({"namespace": "project/WEB", "tags": ["t", "s", "t"], "episode": " e "});
    let mut written_otherwise = line.clone();
    for (name, value) in same.as_object().unwrap() {
        written_otherwise[name] = value.clone();
    }
    assert_eq!(id(&written_otherwise), first);
    for (field, other) in [
        ("namespace", json!("workspace/web")),
        ("type", json!("project")),
        ("content", json!("y")),
        ("createdBy", json!("b")),
        ("createdBy", Value::Null),
        ("episode", json!("f")),
        ("episode", Value::Null),
        ("occurredAt", json!(0)),
        ("occurredAt", Value::Null),
        ("expiresAt", Value::Null),
        ("tags", json!(["st"])),
        ("tags", json!([])),
        ("id", json!("m-1")),
    ] {
        let mut changed = line.clone();
        changed[field] = other;
        assert_ne!(id(&changed), first, "{field}");
    }
    let mut of_id = line.clone();
    of_id["id"] = "m-1".into();
    let named = id(&of_id);
    of_id["content"] = "y".into();
    assert_eq!(id(&of_id), named);
    of_id["namespace"] = "app".into();
    assert_ne!(id(&of_id), named);
}

proptest! {
    /// What is read keeps to the bounds of what is stored, and reads the same once more.
    #[test]
    fn what_is_read_is_as_it_is_stored(
        texts in proptest::collection::vec("\\PC{0,70}", 4),
        content in "(?s).{0,80}",
        tags in proptest::collection::vec("\\PC{0,20}", 0..5),
        times in proptest::collection::vec(any::<i64>(), 2),
        ids in proptest::collection::vec(any::<[u8; 16]>(), 0..4),
    ) {
        let relations: Vec<_> = ids
            .iter()
            .map(|id| json!({"type": "extends", "memoryId": MemoryId::from_bytes(*id).to_string()}))
            .collect();
        let bodies = [
            ("store_memory", json!({
                "namespace": "global", "type": "user", "content": content, "tags": tags, "episode": texts[0],
                "occurredAt": times[0], "expiresAt": times[1], "relatesTo": relations,
            })),
            ("import_memory", json!({
                "namespace": "global", "content": content, "tags": tags, "episode": texts[1],
                "createdBy": texts[2], "id": texts[3], "occurredAt": times[0],
            })),
            ("update_memory", json!({
                "memoryId": ID, "content": content, "tags": tags, "episode": texts[0], "relatesTo": relations,
            })),
        ];
        for (verb, body) in bodies {
            let Ok(read) = read_raw(verb, body.to_string().as_bytes()) else { continue };
            match read.command {
                Command::UpdateMemory(command) => prop_assert_eq!(check_change(&command.change), Ok(())),
                Command::StoreMemory(command) | Command::ImportMemory(command) => {
                    let event = MemoryStored {
                        namespace: crate::memory::Namespace::Global,
                        kind: command.kind,
                        content: command.content,
                        tags: command.tags,
                        relates_to: command.relates_to,
                        episode: command.episode,
                        occurred_at: command.occurred_at,
                        expires_at: command.expires_at,
                        imported: command.imported.map(Box::new),
                    };
                    prop_assert_eq!(check_stored(&event), Ok(()));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
