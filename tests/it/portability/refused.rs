//! What is not imported: damaged files, tenants with a history of their own, and callers who are not the
//! operator.

use super::{Told, export, file, history, import, lines};
use crate::harness::{Deployment, raw};
use postroad_client::Draft;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

fn with_line(text: &str, number: usize, change: impl Fn(&str) -> String) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[number - 1] = change(&lines[number - 1]);
    lines.join("\n") + "\n"
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_its_line_and_nothing_of_it_is_stored() {
    let deployment = Deployment::start();
    let text = Told::with_messages(20).end();
    let cut: String = text.split_inclusive('\n').take(12).collect();
    let cases = [
        (cut, "after line 12"),
        (text[..text.len() / 2].to_owned(), "it is not JSON"),
        (
            with_line(&text, 9, |line| line.replace("message 5", "massage 5")),
            "line 24:",
        ),
        (
            with_line(&text, 9, |_| "\u{1}garbage".to_owned()),
            "line 9: it is not JSON",
        ),
        (
            with_line(&text, 9, |line| line.replace("message_sent", "sung")),
            "line 9: this build",
        ),
        (
            with_line(&text, 9, |line| {
                line.replace("\"schema\":1", "\"schema\":7")
            }),
            "line 9: this",
        ),
        (
            with_line(&text, 9, |line| line.replace("alice/a\"", "bob/b\"")),
            "line 9: what an agent",
        ),
        (
            with_line(&text, 9, |line| line.replace(":24,", ":3,")),
            "line 9: event 3 stands behind",
        ),
        (
            with_line(&text, 1, |line| line.replace("tenant-export", "x")),
            "line 1: this is no",
        ),
        (String::new(), "cut"),
        (text.clone() + "{}\n", "line 25:"),
    ];
    for (text, told) in cases {
        let path = file(&deployment, "bad.ndjson", &text);
        let ran = import(&deployment, &path, &[]).expect(2);
        let refusal: Value = serde_json::from_str(ran.stderr.trim()).expect("a refusal");
        let message = refusal["message"].as_str().unwrap();
        assert!(message.contains(told), "{told}: {message}");
        assert_eq!(refusal["field"], "file");
    }
    deployment.run(&["tenant", "show", "acme"]).expect(3);
    import(&deployment, &deployment.dir.path().join("none"), &[]).expect(3);
}

#[tokio::test]
async fn what_came_before_the_damage_of_a_stream_stays_and_the_mended_file_goes_on_behind_it() {
    let deployment = Deployment::start();
    let text = Told::with_messages(700).end();
    let bad = with_line(&text, 650, |_| "garbage".to_owned());
    let ran = deployment.run_with_input(&["--json", "tenant", "import", "-"], &bad);
    let ran = ran.expect(2);
    assert!(ran.stderr.contains("line 650"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("647 events of it are in tenant acme"),
        "{}",
        ran.stderr
    );
    let path = file(&deployment, "acme.ndjson", &text);
    let ran = import(&deployment, &path, &[]).expect(0).json();
    assert_eq!(
        (&ran["skipped"], &ran["imported"]),
        (&647.into(), &54.into())
    );
    assert_eq!(
        history(&lines(&export(&deployment, "acme"))),
        history(&lines(&text))
    );
}

#[tokio::test]
async fn a_tenant_that_holds_anything_else_keeps_it_and_the_import_is_a_conflict() {
    let deployment = Deployment::start();
    let text = Told::with_messages(3).end();
    let path = file(&deployment, "acme.ndjson", &text);
    deployment.tenant("acme").await;
    let alice = deployment.agent("acme", "alice", "a").await;
    alice.send(&Draft::new("alice", "mine")).await.unwrap();
    let before = history(&lines(&export(&deployment, "acme")));
    let ran = import(&deployment, &path, &[]).expect(5);
    assert!(
        ran.stderr.contains("holds something else"),
        "{}",
        ran.stderr
    );
    assert_eq!(history(&lines(&export(&deployment, "acme"))), before);
    // A tenant that was only created, and looked at, holds nothing.
    deployment.tenant("empty").await;
    deployment.run(&["tenant", "show", "empty"]).expect(0);
    import(&deployment, &path, &["--tenant", "empty"]).expect(0);
    // The same history with another word in it is another.
    let mut other = text.replace("message 2", "massage 2");
    other.truncate(other.trim_end().rfind('\n').unwrap() + 1);
    let args = ["--json", "tenant", "import", "-", "--tenant", "empty"];
    let ran = deployment.run_with_input(&args, &other).expect(5);
    assert!(ran.stderr.contains("line 6: event"), "{}", ran.stderr);
    // What comes behind it is not imported any more either.
    let agent = deployment.agent("empty", "alice", "a").await;
    agent.send(&Draft::new("alice", "live")).await.unwrap();
    let mut longer = Told::with_messages(0);
    longer.text = text.split_inclusive('\n').take(6).collect();
    longer.sequence = 100;
    longer.message("too late");
    let ran = deployment.run_with_input(&args, &longer.text).expect(5);
    assert!(
        ran.stderr.contains("holds something else"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn only_the_operator_exports_and_imports() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    deployment.tenant("acme-two").await;
    for tenant in ["acme", "acme-two"] {
        let out = deployment
            .dir
            .path()
            .join(format!("{tenant}.creds"))
            .display()
            .to_string();
        let issue = [
            "agent",
            "issue",
            "--tenant",
            tenant,
            "--role",
            "tau",
            "--instance",
            "i1",
        ];
        let scopes = ["--scope", "admin", "--scope", "audit", "--out", &out];
        deployment.run(&[&issue[..], &scopes].concat()).expect(0);
        let text = Told::with_messages(1).end();
        let path = file(&deployment, "acme.ndjson", &text)
            .display()
            .to_string();
        let export = ["--creds", &out, "tenant", "export", "--tenant", "acme"];
        deployment.run(&export).expect(4);
        let import = [
            "--creds", &out, "tenant", "import", &path, "--tenant", "new",
        ];
        deployment.run(&import).expect(4);
        // Nor by hand, in a tenant of one's own.
        let creds = std::fs::read_to_string(&out).unwrap();
        let inbox = inbox_prefix(tenant, "tau", "i1");
        let client = raw::connect(&deployment.url, &creds, &inbox).await;
        let event = lines(&text)[3].clone();
        let subject = format!("postroad.{tenant}.cmd.tau.i1.admin.import_events");
        let body = json!({"events": [event]}).to_string();
        let refused = raw::request(&client, &subject, body).await;
        assert_eq!(refused["code"], "permission_denied", "{refused}");
        let subject = format!("postroad.{tenant}.qry.tau.i1.audit.replay");
        let refused = raw::request(&client, &subject, "{}").await;
        assert_eq!(refused["code"], "permission_denied", "{refused}");
    }
    deployment.run(&["tenant", "show", "new"]).expect(3);
}
