//! `remember`, `recall`, `memory …`: what agents of a tenant share, and what the operator publishes.

use super::{Desk, POSITION, assert_keys, assert_refused, issue};
use serde_json::{Value, json};

/// What every memory has, wherever it is shown.
const MEMORY: &[&str] = &[
    "memoryId",
    "namespace",
    "type",
    "content",
    "occurredAt",
    "createdBy",
    "createdByInstanceId",
    "createdAt",
    "version",
];
const RECALLED: &[&str] = &["results", "matched", "awaiting", "mode", "position"];

fn id_of(saved: &Value) -> String {
    saved["memoryId"].as_str().unwrap().to_owned()
}

fn contents(memories: &Value) -> Vec<String> {
    let memories = memories.as_array().unwrap_or_else(|| panic!("{memories}"));
    let content = |memory: &Value| memory["content"].as_str().unwrap().to_owned();
    memories.iter().map(content).collect()
}

#[tokio::test]
async fn what_one_agent_remembers_another_recalls_and_another_tenant_does_not() {
    let desk = Desk::set();
    let saved = desk
        .alice(&["remember", "Releases are cut on Thursdays."])
        .expect(0)
        .json();
    assert_keys(&saved, &["memoryId", "position"]);
    assert_keys(&saved["position"], POSITION);
    let found = desk.bob(&["recall", "when is a release cut?"]);
    let found = found.expect(0).json();
    assert_keys(&found, RECALLED);
    let result = &found["results"][0];
    assert_keys(result, &[MEMORY, &["score", "why"]].concat());
    assert_eq!(result["memoryId"], saved["memoryId"]);
    assert_eq!(
        (
            &result["namespace"],
            &result["type"],
            &result["createdBy"],
            &result["createdByInstanceId"],
            &result["version"]
        ),
        (
            &json!("global"),
            &json!("reference"),
            &json!("alice"),
            &json!("laptop"),
            &json!(1)
        )
    );
    let parts = [
        "words",
        "meaning",
        "neighbours",
        "episode",
        "author",
        "chain",
    ];
    assert_keys(&result["why"], &parts);

    let shown = desk
        .deployment
        .run(&["--creds", &desk.bob, "recall", "release", "--explain"])
        .expect(0);
    assert!(
        shown
            .stdout
            .contains("\n  │ Releases are cut on Thursdays.\n"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains("NEIGHBOURS") && shown.stderr.contains("searched by words"),
        "{shown:?}"
    );

    desk.deployment.tenant("globex").await;
    let other = desk.deployment.dir.path().join("other.creds");
    let other = other.display().to_string();
    let args = [
        "agent", "issue", "--tenant", "globex", "--role", "bob", "--out", &other,
    ];
    desk.deployment.run(&args).expect(0);
    let foreign = |args: &[&str]| desk.speak(&other, args, "");
    let nothing = foreign(&["recall", "when is a release cut?"]).expect(0);
    assert_eq!(
        (&nothing.json()["results"], &nothing.json()["matched"]),
        (&json!([]), &json!(0))
    );
    let id = id_of(&saved);
    let theirs = assert_refused(
        foreign(&["memory", "get", &id]),
        3,
        "not_found",
        Some("memoryId"),
    );
    let nobodys = uuid::Uuid::now_v7().to_string();
    let refused = foreign(&["memory", "get", &nobodys]);
    assert_eq!(
        assert_refused(refused, 3, "not_found", Some("memoryId")),
        theirs
    );
    for args in [
        ["memory", "forget", &id, "--json"],
        ["memory", "update", &id, "mine"],
    ] {
        assert_refused(foreign(&args), 3, "not_found", Some("memoryId"));
    }
}

#[tokio::test]
async fn remember_takes_every_option_and_a_retry_stores_once() {
    let desk = Desk::set();
    let first = desk.alice(&["remember", "Images stay small."]).expect(0);
    let older = id_of(&first.json());
    let command = uuid::Uuid::now_v7().to_string();
    let args = [
        "remember",
        "-",
        "--namespace",
        "project/landing-page",
        "--type",
        "feedback",
        "--tag",
        "performance",
        "--tag",
        "images",
        "--episode",
        "review of PR 47",
        "--occurred-at",
        "2026-11-22T10:00:00Z",
        "--expires-at",
        "2099-01-01",
        "--extends",
        &older,
        "--command-id",
        &command,
    ];
    let text = "Images stay below 200 KB.\n- söme \"lines\"\n";
    let saved = desk.speak(&desk.alice, &args, text).expect(0).json();
    let again = desk.speak(&desk.alice, &args, text).expect(0).json();
    assert_eq!(again, saved);
    let one = desk.bob(&["memory", "get", &id_of(&saved)]).expect(0);
    let one = one.json();
    assert_keys(&one, &["memory", "position"]);
    let memory = &one["memory"];
    let more = ["tags", "relatesTo", "episode", "expiresAt"];
    assert_keys(memory, &[MEMORY, &more].concat());
    assert_eq!(memory["content"], text);
    assert_eq!(memory["tags"], json!(["images", "performance"]));
    assert_eq!(
        memory["relatesTo"],
        json!([{"type": "extends", "memoryId": older}])
    );
    assert_eq!(memory["occurredAt"], 1_795_341_600_000_u64);
    assert!(memory["expiresAt"].as_u64() > memory["createdAt"].as_u64());
    let brief = ["remember", "The freeze ends soon.", "--expires-at", "30d"];
    let brief = id_of(&desk.alice(&brief).expect(0).json());
    let brief = desk.bob(&["memory", "get", &brief]).expect(0).json();
    let (end, stored) = (&brief["memory"]["expiresAt"], &brief["memory"]["createdAt"]);
    let days = (end.as_u64().unwrap() - stored.as_u64().unwrap()).div_ceil(86_400_000);
    assert_eq!(days, 30);

    for (args, exit, code, field) in [
        (&["remember", " "][..], 2, "invalid_argument", "content"),
        (
            &["remember", "x", "--namespace", "workspace/globex"],
            4,
            "permission_denied",
            "namespace",
        ),
        (
            &["remember", "x", "--namespace", "orchestrator/bob"],
            4,
            "permission_denied",
            "namespace",
        ),
        (
            &["remember", "x", "--namespace", "nowhere"],
            2,
            "invalid_argument",
            "namespace",
        ),
        (
            &["remember", "x", "--updates", "none"],
            3,
            "not_found",
            "relatesTo",
        ),
        (
            &["remember", "x", "--expires-at", "2020-01-01"],
            2,
            "invalid_argument",
            "expiresAt",
        ),
        (
            &["remember", "x", "--command-id", "none"],
            2,
            "invalid_argument",
            "commandId",
        ),
        (&["recall", " "], 2, "invalid_argument", "query"),
    ] {
        assert_refused(desk.alice(args), exit, code, Some(field));
    }
    let large = "x".repeat(64 * 1024 + 1);
    let ran = desk.speak(&desk.alice, &["remember", "-"], &large);
    assert_refused(ran, 1, "too_large", Some("content"));
}

#[tokio::test]
async fn a_memory_is_listed_updated_superseded_and_forgotten() {
    let desk = Desk::set();
    let mut ids = Vec::new();
    for number in 1..=3 {
        let namespace = format!("project/p{number}");
        let text = format!("Fact {number} of the atlas.");
        let args = ["remember", &text, "--namespace", &namespace, "--tag", "t"];
        ids.push(id_of(&desk.alice(&args).expect(0).json()));
    }
    let list = |args: &[&str]| {
        let args = [&["memory", "list"][..], args].concat();
        desk.bob(&args).expect(0).json()
    };
    let page = list(&["--namespace", "project/", "--limit", "2"]);
    assert_keys(&page, &["memories", "truncated", "nextCursor", "position"]);
    assert_eq!(
        contents(&page["memories"]),
        ["Fact 3 of the atlas.", "Fact 2 of the atlas."]
    );
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = list(&["--namespace", "project/", "--cursor", cursor]);
    assert_eq!(contents(&rest["memories"]), ["Fact 1 of the atlas."]);
    let narrowed = list(&["--namespace", "project/p2", "--tag", "t", "--by", "alice"]);
    assert_eq!(contents(&narrowed["memories"]), ["Fact 2 of the atlas."]);
    assert_eq!(list(&["--by", "bob"])["memories"], json!([]));
    assert_eq!(list(&["--type", "feedback"])["memories"], json!([]));

    // What it said before stays known as of then; what is cleared is gone.
    let first = ids[0].as_str();
    let before = desk.bob(&["memory", "get", first]).expect(0).json();
    let sequence = before["position"]["sequence"].to_string();
    let update = [
        "memory",
        "update",
        first,
        "Fact one, corrected.",
        "--clear",
        "tags",
    ];
    let updated = desk.bob(&update).expect(0).json();
    assert_eq!(updated["memoryId"], first);
    let now = desk.alice(&["memory", "get", first]).expect(0).json();
    assert_eq!(now["memory"]["content"], "Fact one, corrected.");
    assert_eq!(now["memory"]["version"], 2);
    assert_eq!(now["memory"]["tags"], Value::Null);
    let as_of = ["memory", "get", first, "--as-of-sequence", &sequence];
    let then = desk.alice(&as_of).expect(0).json();
    assert_eq!(then["memory"]["content"], "Fact 1 of the atlas.");
    let empty = desk.alice(&["memory", "update", first]);
    assert_refused(empty, 2, "invalid_argument", Some("content"));

    // What takes another's place ranks before it.
    let args = ["remember", "Fact 2 of the atlas is void.", "--updates"];
    let place = ["--namespace", "project/p2"];
    let newer = desk.alice(&[&args[..], &[&ids[1]], &place].concat());
    let newer = id_of(&newer.expect(0).json());
    let old = desk.bob(&["memory", "get", &ids[1]]).expect(0).json();
    assert_eq!(old["memory"]["supersededBy"], newer.as_str());
    let found = desk.bob(&["recall", "fact 2 of the atlas", "--namespace", "project/p2"]);
    assert_eq!(
        found.expect(0).json()["results"][0]["memoryId"],
        newer.as_str()
    );

    let forgotten = desk.bob(&["memory", "forget", &ids[2]]).expect(0).json();
    assert_keys(&forgotten, &["memoryId", "position"]);
    for args in [["memory", "get", &ids[2]], ["memory", "forget", &ids[2]]] {
        assert_refused(desk.bob(&args), 3, "not_found", Some("memoryId"));
    }
    let gone = desk.bob(&["recall", "fact 3", "--namespace", "project/p3"]);
    assert_eq!(gone.expect(0).json()["results"], json!([]));
}

#[tokio::test]
async fn the_operator_publishes_to_a_library_that_every_tenant_reads_and_none_writes() {
    let desk = Desk::set();
    let operator = |args: &[&str]| desk.deployment.run(&[&["--json"][..], args].concat());
    let args = ["remember", "--shared", "Times are in milliseconds."];
    let id = id_of(&operator(&args).expect(0).json());
    let found = desk.bob(&["recall", "milliseconds"]).expect(0).json();
    assert_eq!(found["results"][0]["memoryId"], id.as_str());
    assert_eq!(found["results"][0]["shared"], true);
    assert_eq!(found["results"][0]["createdBy"], "_operator");
    for args in [
        ["memory", "forget", &id, "--json"],
        ["memory", "update", &id, "mine"],
    ] {
        let ran = desk.bob(&args);
        assert!([3, 4].contains(&ran.code), "{ran:?}");
    }
    let shared = ["remember", "--shared", "not for agents"];
    assert_refused(desk.bob(&shared), 4, "permission_denied", None);
    operator(&["memory", "update", &id, "Times are in ms.", "--shared"]).expect(0);
    let one = operator(&["memory", "get", &id, "--shared"]).expect(0);
    assert_eq!(one.json()["memory"]["content"], "Times are in ms.");
    desk.alice(&["remember", "Alice's own milliseconds."])
        .expect(0);
    let all = operator(&["memory", "list", "--all-tenants"])
        .expect(0)
        .json();
    assert_eq!(
        contents(&all["memories"]),
        ["Times are in ms.", "Alice's own milliseconds."]
    );
    let one = operator(&["recall", "milliseconds", "--tenant", "default"]);
    let one = one.expect(0).json();
    assert_eq!(contents(&one["results"]), ["Alice's own milliseconds."]);
    assert_eq!(one["results"][0]["tenantId"], "default");
    operator(&["memory", "forget", "--shared", &id]).expect(0);
    let gone = desk.bob(&["memory", "get", &id]);
    assert_refused(gone, 3, "not_found", Some("memoryId"));
    // Whoever says neither tenant nor agent is told how.
    assert_refused(operator(&["recall", "x"]), 4, "unauthenticated", None);
    let carol = issue(&desk.deployment, "carol", None);
    let ran = desk.speak(&carol, &["recall", "x", "--tenant", "default"], "");
    assert_refused(ran, 4, "permission_denied", None);
}
