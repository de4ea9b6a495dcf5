//! `import memories`, `export memories`, `recall --queries`: whole files, damaged ones too.

use super::{Desk, assert_keys, assert_refused};
use crate::harness::Deployment;
use crate::harness::cli::Ran;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Writes a file into the folder of a deployment.
pub(super) fn file(deployment: &Deployment, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = deployment.dir.path().join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path.display().to_string()
}

pub(super) fn import(deployment: &Deployment, file: &str, more: &[&str]) -> Ran {
    let args = ["--json", "import", "memories", file];
    deployment.run(&[&args[..], more].concat())
}

/// Memories with an id, an author and a time each.
pub(super) fn notes(count: usize) -> String {
    let mut text = String::new();
    for number in 1..=count {
        let note = json!({
            "id": format!("n/{number}"), "namespace": "notes", "type": "note",
            "created_by": format!("author,{}", number % 3), "occurredAt": 1_711_670_400_000_u64,
            "content": format!("Note {number} about item{number}."),
        });
        writeln!(text, "{note}").unwrap();
    }
    text
}

fn done(imported: u64, already: u64, bad: u64) -> Value {
    json!({"tenant": "default", "imported": imported, "already": already, "bad": bad})
}

/// The lines on stderr, each as JSON.
fn told(ran: &Ran) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{ran:?}"));
    ran.stderr.lines().map(read).collect()
}

#[tokio::test]
async fn bad_lines_are_told_by_number_and_counted_and_the_rest_is_stored_once() {
    let desk = Desk::set();
    let deployment = &desk.deployment;
    let good = json!({"id": "cran/1", "namespace": "cranfield", "type": "abstract",
        "created_by": "hess,t.e.", "content": "A wing in a slipstream.", "more": {"a": 1}});
    let mut bytes = format!("\u{feff}{good}\r\n").into_bytes();
    let mut expected = Vec::new();
    let mut number = 1;
    let mut bad = |line: &[u8], code: &'static str, field: Option<&'static str>| {
        number += 1;
        bytes.extend(line);
        bytes.push(b'\n');
        if !code.is_empty() {
            expected.push((number, code, field));
        }
    };
    let of = |content: &str| json!({"namespace": "cranfield", "content": content}).to_string();
    let invalid = "invalid_argument";
    bad(b"{\"namespace\":", invalid, Some("namespace"));
    bad(b"[1,2]", invalid, None);
    bad(b"", "", None);
    bad(of("").as_bytes(), invalid, Some("content"));
    bad(of(" \n").as_bytes(), invalid, Some("content"));
    bad(
        b"{\"content\":\"no namespace\"}",
        invalid,
        Some("namespace"),
    );
    bad(
        br#"{"namespace":"a b","content":"x"}"#,
        invalid,
        Some("namespace"),
    );
    let foreign = br#"{"namespace":"workspace/globex","content":"x"}"#;
    bad(foreign, "permission_denied", Some("namespace"));
    bad(
        br#"{"namespace":"a","content":7}"#,
        invalid,
        Some("content"),
    );
    bad(
        of(&"x".repeat(70 * 1024)).as_bytes(),
        "too_large",
        Some("content"),
    );
    bad(of(&"x".repeat(5_000_000)).as_bytes(), "too_large", None);
    bad(
        b"{\"namespace\":\"a\",\"content\":\"\xff\xfe\"}",
        invalid,
        None,
    );
    let late = br#"{"namespace":"a","content":"x","occurredAt":-5}"#;
    bad(late, invalid, Some("occurredAt"));
    // A line again, and one without an id: each is stored once.
    bad(good.to_string().as_bytes(), "", None);
    bad(of("Without an id.").as_bytes(), "", None);
    bad(of("Without an id.").as_bytes(), "", None);
    // The id of a line before, and another text.
    let other = good.to_string().replace("slipstream", "tunnel");
    bad(other.as_bytes(), "conflict", Some("id"));
    bytes.pop();

    let path = file(deployment, "bad.jsonl", &bytes);
    let ran = import(deployment, &path, &["--tenant", "default"]).expect(0);
    let count = expected.len() as u64;
    let mut lines = told(&ran);
    lines.sort_by_key(|line| line["line"].as_u64());
    let found: Vec<_> = lines
        .iter()
        .map(|line| {
            assert!(line["message"].is_string(), "{line}");
            (
                line["line"].as_u64().unwrap(),
                line["code"].as_str().unwrap(),
                line["field"].as_str(),
            )
        })
        .collect();
    // Which of two lines with one id comes first is the road's to say.
    let is_conflict = |line: &&(u64, &str, Option<&str>)| line.1 == "conflict";
    assert_eq!(found.iter().filter(is_conflict).count(), 1, "{found:?}");
    let rest = |all: &[(u64, &'static str, Option<&'static str>)]| {
        let rest = all.iter().filter(|line| line.1 != "conflict");
        rest.copied().collect::<Vec<_>>()
    };
    let found: Vec<_> = found
        .into_iter()
        .filter(|line| line.1 != "conflict")
        .collect();
    assert_eq!(found, rest(&expected));
    assert_eq!(ran.json(), done(2, 2, count));
    let again = import(deployment, &path, &["--tenant", "default"]).expect(0);
    assert_eq!(again.json(), done(0, 4, count));

    let person = deployment.run(&["import", "memories", &path, "--tenant", "default"]);
    let person = person.expect(0);
    assert!(
        person.stderr.contains("line 3: invalid_argument: "),
        "{person:?}"
    );
    assert!(
        person
            .stderr
            .contains("line 5: invalid_argument at content: "),
        "{person:?}"
    );
    let told = "imported 0 memories into tenant default; 4 were there already; 13 bad lines\n";
    assert_eq!(person.stdout, told);

    let list = ["memory", "list", "--namespace", "project/cranfield"];
    let list = desk.alice(&list).expect(0).json();
    let memories = list["memories"].as_array().unwrap();
    assert_eq!(memories.len(), 2, "{list}");
    let imported = memories
        .iter()
        .find(|memory| memory["importId"] == "cran/1")
        .unwrap();
    assert_eq!(
        (
            &imported["createdBy"],
            &imported["imported"],
            &imported["type"]
        ),
        (&json!("hess,t.e."), &json!(true), &json!("abstract"))
    );
    let by = ["recall", "slipstream tunnel", "--by", "hess,t.e."];
    let by = desk.bob(&by).expect(0).json();
    assert_eq!(by["results"][0]["importId"], "cran/1");
}

#[tokio::test]
async fn only_administrators_and_the_operator_import_and_only_into_a_tenant_that_is_theirs() {
    let desk = Desk::set();
    let deployment = &desk.deployment;
    let path = file(deployment, "notes.jsonl", notes(2).as_bytes());
    let plain = desk.alice(&["import", "memories", &path]);
    assert_refused(plain, 4, "permission_denied", None);
    assert_refused(
        import(deployment, &path, &[]),
        2,
        "invalid_argument",
        Some("tenant"),
    );
    let none = import(deployment, "/none.jsonl", &["--tenant", "default"]);
    assert_refused(none, 3, "not_found", Some("file"));
    let nowhere = import(deployment, &path, &["--tenant", "nowhere"]);
    assert_refused(nowhere, 3, "not_found", Some("tenantId"));

    let out = admin(deployment);
    let keeper = |args: &[&str]| desk.speak(&out, args, "");
    let foreign = keeper(&["import", "memories", &path, "--tenant", "globex"]);
    assert_refused(foreign, 4, "permission_denied", Some("tenant"));
    let ran = keeper(&["import", "memories", &path]).expect(0);
    assert_eq!(ran.json(), done(2, 0, 0));
    let input = notes(3);
    let piped = desk.speak(
        &out,
        &["import", "memories", "-", "--tenant", "default"],
        &input,
    );
    assert_eq!(piped.expect(0).json(), done(1, 2, 0));
}

/// The file of an administrator's credential.
pub(super) fn admin(deployment: &Deployment) -> String {
    let out = deployment
        .dir
        .path()
        .join("admin.creds")
        .display()
        .to_string();
    let issue = [
        "agent",
        "issue",
        "--tenant",
        "default",
        "--role",
        "keeper",
        "--instance",
        "i",
    ];
    let scopes = ["--scope", "admin", "--scope", "memory", "--out", &out];
    deployment.run(&[&issue[..], &scopes].concat()).expect(0);
    out
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere_and_known_where_it_is() {
    let desk = Desk::set();
    let deployment = &desk.deployment;
    let path = file(deployment, "notes.jsonl", notes(250).as_bytes());
    import(deployment, &path, &["--tenant", "default"]).expect(0);
    desk.alice(&[
        "remember",
        "Stored here.",
        "--tag",
        "b",
        "--tag",
        "a",
        "--episode",
        "e",
    ])
    .expect(0);
    let old = desk.alice(&["remember", "Out of date."]).expect(0).json();
    let old = old["memoryId"].as_str().unwrap();
    desk.alice(&["remember", "Up to date.", "--updates", old])
        .expect(0);
    deployment
        .run(&["remember", "--shared", "Of the library."])
        .expect(0);

    let out = deployment
        .dir
        .path()
        .join("out.jsonl")
        .display()
        .to_string();
    let export = ["--json", "export", "memories", &out, "--tenant", "default"];
    let exported = deployment.run(&export).expect(0).json();
    assert_eq!(
        exported,
        json!({"tenant": "default", "file": out, "memories": 252, "superseded": 1})
    );
    assert_refused(deployment.run(&export), 5, "conflict", Some("out"));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(!text.contains("Out of date.") && !text.contains("Of the library."));
    let narrowed = ["export", "memories", "--namespace", "global", "--tag", "a"];
    let narrowed = desk.bob(&narrowed).expect(0);
    let line: Value = serde_json::from_str(&narrowed.stdout).unwrap();
    let fields = [
        "id",
        "namespace",
        "type",
        "content",
        "createdBy",
        "episode",
        "occurredAt",
        "tags",
    ];
    assert_keys(&line, &fields);
    assert_eq!(
        (&line["content"], &line["createdBy"]),
        (&json!("Stored here."), &json!("alice"))
    );
    let known = import(deployment, &out, &["--tenant", "default"])
        .expect(0)
        .json();
    assert_eq!((&known["already"], &known["bad"]), (&json!(250), &json!(0)));

    deployment.tenant("acme").await;
    let moved = import(deployment, &out, &["--tenant", "acme"])
        .expect(0)
        .json();
    assert_eq!(
        moved,
        json!({"tenant": "acme", "imported": 252, "already": 0, "bad": 0})
    );
    let again = deployment
        .run(&["export", "memories", "--tenant", "acme"])
        .expect(0);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&again.stdout), sorted(&text));
}

#[tokio::test]
async fn a_file_of_questions_is_answered_in_its_order_and_bad_ones_are_told() {
    let desk = Desk::set();
    let deployment = &desk.deployment;
    let path = file(deployment, "notes.jsonl", notes(60).as_bytes());
    import(deployment, &path, &["--tenant", "default"]).expect(0);
    desk.alice(&["remember", "A decoy about item7."]).expect(0);
    let mut questions = String::from("\u{feff}");
    for number in 1..=60 {
        let question = json!({"id": format!("q{number}"), "query": format!("what about item{number}?"),
            "namespace": "notes", "relevant": {format!("n/{number}"): 1}});
        writeln!(questions, "{question}\r").unwrap();
    }
    questions.push_str("\n{\"id\": 61, \"query\": \"decoy\"}\nnonsense\n{\"query\": \"no id\"}\n");
    writeln!(
        questions,
        "{}",
        json!({"id": "long", "query": "x ".repeat(600)})
    )
    .unwrap();
    writeln!(questions, "{}", json!({"id": "empty", "query": ""})).unwrap();
    let place = "{\"id\": \"place\", \"query\": \"x\", \"namespace\": \"workspace/globex\"}";
    questions.push_str(place);
    let questions = file(deployment, "questions.jsonl", questions.as_bytes());

    let args = ["recall", "--queries", &questions, "--limit", "3"];
    let ran = desk.bob(&args).expect(0);
    let answers: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 61, "{ran:?}");
    for (number, answer) in (1..).zip(&answers[..60]) {
        assert_eq!(answer["id"], format!("q{number}"));
        let results = answer["results"].as_array().unwrap();
        assert!(results.len() <= 3, "{answer}");
        assert_eq!(results[0]["importId"], format!("n/{number}"), "{answer}");
        assert!(
            results
                .iter()
                .all(|result| result["namespace"] == "project/notes"),
            "{answer}"
        );
        assert!(
            results[0]["score"].is_f64() && results[0]["memoryId"].is_string(),
            "{answer}"
        );
    }
    assert_eq!(answers[60]["id"], 61);
    assert_eq!(answers[60]["results"][0]["content"], "A decoy about item7.");
    let bad: Vec<_> = told(&ran)
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(bad, [63, 64, 65, 66, 67], "{ran:?}");
    // The same from a pipe, for the operator; a failure of the road is one of the command.
    let piped = "{\"id\":1,\"query\":\"item9\",\"namespace\":\"notes\"}\n";
    let args = [
        "recall",
        "--queries",
        "-",
        "--tenant",
        "default",
        "--wait",
        "0s",
    ];
    let ran = deployment.run_with_input(&args, piped).expect(0);
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(line["results"][0]["importId"], "n/9");
    assert!(ran.stderr.contains("1 question answered"), "{ran:?}");
    let none = deployment.run_with_input(&["recall", "--queries", "-", "--tenant", "none"], piped);
    none.expect(3);
}
