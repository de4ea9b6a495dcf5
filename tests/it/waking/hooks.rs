//! Hooks: what a client is told at each of its moments.

use super::{Desk, context, event};
use crate::harness::DEADLINE;
use crate::harness::cli::{Ran, run_with};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const CLIENTS: [&str; 2] = ["claude-code", "codex"];

#[tokio::test]
async fn a_message_is_shown_once_and_then_counted_and_stays_unread() {
    let desk = Desk::set().await;
    desk.send("Phase 1 complete.").await;
    for client in CLIENTS {
        let said = desk.hook(client, &event("SessionStart", "s1"));
        let text = context(&said, "SessionStart");
        assert!(
            text.contains("1 unread message") && text.contains("Phase 1 complete."),
            "{text}"
        );
        assert!(text.contains("from alice/laptop to bob"), "{text}");
        for (name, session) in [("UserPromptSubmit", "s1"), ("SessionStart", "s2")] {
            let said = desk.hook(client, &event(name, session));
            let text = context(&said, name);
            assert!(
                text.contains("1 unread message") && !text.contains("Phase"),
                "{text}"
            );
        }
        // The number is known by now.
        assert_eq!(desk.hook(client, &event("PostToolUse", "s1")), Value::Null);
    }
    desk.send("Phase 2, too.").await;
    for client in CLIENTS {
        let said = desk.hook(client, &event("PostToolUse", "s1"));
        let text = context(&said, "PostToolUse");
        assert!(
            text.contains("2 unread messages") && text.contains("Phase 2, too."),
            "{text}"
        );
        assert!(!text.contains("Phase 1"), "{text}");
    }
    assert_eq!(desk.unread().await, 2);
}

#[tokio::test]
async fn a_turns_end_is_held_up_once_for_the_same_mail() {
    let desk = Desk::set().await;
    for client in CLIENTS {
        let stop = event("Stop", "s1");
        let mut active = stop.clone();
        active["stop_hook_active"] = json!(true);
        desk.send("Before you go").await;
        assert_eq!(desk.hook(client, &active), Value::Null);
        let said = desk.hook(client, &stop);
        assert_eq!(said["decision"], "block", "{said}");
        assert!(
            said["reason"].as_str().unwrap().contains("Before you go"),
            "{said}"
        );
        for (name, session) in [("Stop", "s1"), ("Stop", "s2"), ("PostToolUse", "s1")] {
            assert_eq!(
                desk.hook(client, &event(name, session)),
                Value::Null,
                "{name}"
            );
        }
        // What was shown before is held up for once as well, without its text.
        desk.send("And another").await;
        let shown = desk.hook(client, &event("PostToolUse", "s1"));
        assert!(
            context(&shown, "PostToolUse").contains("And another"),
            "{shown}"
        );
        let said = desk.hook(client, &stop);
        assert_eq!(said["decision"], "block", "{said}");
        assert!(
            !said["reason"].as_str().unwrap().contains("And another"),
            "{said}"
        );
        assert_eq!(desk.hook(client, &stop), Value::Null);
    }
    assert_eq!(desk.unread().await, 4);
    // Read mail holds nothing up, even where its memory is new.
    desk.read_all().await;
    let ran = desk.hook_with("fresh", "codex", &event("Stop", "s").to_string());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

/// Puts cursors of another log into the only memory below `state`, as a restored backup makes them.
fn void_cursors(state: &Path) {
    let files = std::fs::read_dir(state.join("postroad/hooks")).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|ending| ending == "json"));
    let file = file.expect("a memory");
    let mut memory: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for cursor in ["shownUpTo", "stoppedUpTo"] {
        assert!(memory[cursor].is_string(), "{memory}");
        memory[cursor] = json!("of-another-log");
    }
    std::fs::write(file, memory.to_string()).unwrap();
}

#[tokio::test]
async fn after_the_log_was_replaced_what_was_shown_is_still_known() {
    let desk = Desk::set().await;
    let state = desk.deployment.dir.path().join("codex");
    desk.send("first").await;
    desk.hook("codex", &event("UserPromptSubmit", "s"));
    desk.hook("codex", &event("Stop", "s"));
    void_cursors(&state);
    assert_eq!(desk.hook("codex", &event("Stop", "s")), Value::Null);
    desk.send("second").await;
    let said = desk.hook("codex", &event("PostToolUse", "s"));
    let text = context(&said, "PostToolUse");
    assert!(text.contains("second") && !text.contains("first"), "{text}");
}

#[tokio::test]
async fn sessions_that_run_at_once_show_each_message_to_one_of_them() {
    let desk = Desk::set().await;
    for number in 0..8 {
        desk.send(&format!("<number {number}>")).await;
    }
    let desk = &desk;
    let said: Vec<Value> = std::thread::scope(|scope| {
        let hooks: Vec<_> = (0..6)
            .map(|session| {
                scope.spawn(move || {
                    let event = event("UserPromptSubmit", &format!("s{session}"));
                    desk.hook("codex", &event)
                })
            })
            .collect();
        hooks.into_iter().map(|hook| hook.join().unwrap()).collect()
    });
    let texts: Vec<&str> = said
        .iter()
        .map(|said| context(said, "UserPromptSubmit"))
        .collect();
    for number in 0..8 {
        let shown = texts
            .iter()
            .filter(|text| text.contains(&format!("<number {number}>")));
        assert_eq!(shown.count(), 1, "{number}: {texts:?}");
    }
}

#[tokio::test]
async fn a_hook_is_never_in_the_way_of_a_session() {
    let mut desk = Desk::set().await;
    desk.send("hello").await;
    let quiet = |ran: Ran| {
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.starts_with("postroad hook: "), "{ran:?}");
    };
    let huge = format!(
        "{{\"hook_event_name\":\"Stop\",\"x\":\"{}\"",
        "y".repeat(1 << 20)
    );
    for garbage in [
        "",
        "{",
        "null",
        "\u{0}\u{1b}[2J",
        &huge,
        r#"{"hook_event_name":"Elicitation"}"#,
    ] {
        quiet(desk.hook_with("m", "claude-code", garbage));
    }
    let event = event("UserPromptSubmit", "s").to_string();
    // Somewhere to remember in that is none, then a memory that is damaged.
    std::fs::write(desk.deployment.dir.path().join("file"), "x").unwrap();
    quiet(desk.hook_with("file", "codex", &event));
    let nobody = std::fs::read_to_string(&desk.creds).unwrap();
    std::fs::write(&desk.creds, "no credential").unwrap();
    quiet(desk.hook_with("m", "codex", &event));
    std::fs::write(&desk.creds, nobody).unwrap();
    // A client takes the 2 of a wrong argument for a refusal of the prompt.
    for args in [
        &["hook", "--client", "emacs"][..],
        &["hook"],
        &["hook", "--json", "--huh"],
    ] {
        assert_eq!(run_with(desk.command(args), &event, &[]).code, 1);
    }
    assert_eq!(desk.deployment.stop(), 0);
    let started = Instant::now();
    quiet(desk.hook_with("m", "claude-code", &event));
    assert!(started.elapsed() < DEADLINE / 6, "{:?}", started.elapsed());
}
