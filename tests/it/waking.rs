//! Waking agents: hooks show a running model its mail, a watch starts one that does not run, and both
//! leave the mail unread.

use crate::harness::cli::{Ran, run_with};
use crate::harness::process::{Lines, Process, wait_until_gone};
use crate::harness::{DEADLINE, Deployment, binary, eventually};
use postroad_client::{Client, Draft};
use postroad_protocol::event::Priority;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const CLIENTS: [&str; 2] = ["claude-code", "codex"];

/// A deployment with an agent that writes, and one that is to be woken.
struct Desk {
    deployment: Deployment,
    alice: Client,
    bob: Client,
    creds: PathBuf,
}

impl Desk {
    async fn set() -> Self {
        let deployment = Deployment::start();
        let alice = deployment.agent("default", "alice", "laptop").await;
        let creds = deployment.creds("default", "bob", Some("server")).await;
        let bob = crate::harness::connect(&deployment.url, &creds, None).await;
        let file = deployment.dir.path().join("bob.creds");
        std::fs::write(&file, creds).unwrap();
        Self {
            deployment,
            alice,
            bob,
            creds: file,
        }
    }

    async fn send(&self, content: &str) {
        self.alice.send(&Draft::new("bob", content)).await.unwrap();
    }

    /// `postroad` as bob.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--dir").arg(self.deployment.path());
        command.arg("--creds").arg(&self.creds).args(args);
        command
    }

    /// One call of a hook; `memory` is where it remembers.
    fn hook_with(&self, memory: &str, client: &str, event: &str) -> Ran {
        let state = self.deployment.dir.path().join(memory);
        let command = self.command(&["hook", "--client", client]);
        run_with(
            command,
            event,
            &[("XDG_STATE_HOME", state.to_str().unwrap())],
        )
        .expect(0)
    }

    /// What a hook says about an event; nothing where it says nothing.
    fn hook(&self, client: &str, event: &Value) -> Value {
        let ran = self.hook_with(client, client, &event.to_string());
        assert_eq!(ran.stderr, "", "{ran:?}");
        if ran.stdout.is_empty() {
            return Value::Null;
        }
        ran.json()
    }

    async fn unread(&self) -> u64 {
        self.bob.whoami().await.unwrap().unread_total.unwrap()
    }
}

fn event(name: &str, session: &str) -> Value {
    json!({"session_id": session, "transcript_path": "/x", "cwd": "/", "hook_event_name": name})
}

/// What a hook puts into the context at an event.
fn context<'a>(said: &'a Value, event: &str) -> &'a str {
    let output = &said["hookSpecificOutput"];
    assert_eq!(output["hookEventName"], event, "{said}");
    output["additionalContext"].as_str().unwrap()
}

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
    let unread = desk
        .bob
        .check(&postroad_client::Check::default())
        .await
        .unwrap();
    let receipts = unread
        .messages
        .into_iter()
        .filter_map(|message| message.receipt_id);
    desk.bob.mark_as_read(receipts).await.unwrap();
    let ran = desk.hook_with("fresh", "codex", &event("Stop", "s").to_string());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
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

#[tokio::test]
async fn an_installed_client_finds_the_server_and_its_hooks_show_mail() {
    let desk = Desk::set().await;
    let folder = desk.deployment.dir.path().join("my project");
    std::fs::create_dir(&folder).unwrap();
    let home = desk.deployment.dir.path().join("home");
    let variables = [
        ("HOME", home.to_str().unwrap()),
        ("XDG_CONFIG_HOME", ""),
        ("CODEX_HOME", ""),
        ("XDG_STATE_HOME", ""),
    ];
    let install = |more: &[&str]| {
        let mut command = Command::new(binary());
        command
            .current_dir(&folder)
            .arg("--json")
            .arg("--creds")
            .arg(&desk.creds);
        command.args(["mcp", "install"]).args(more);
        run_with(command, "", &variables)
    };
    let printed = install(&["--client", "claude-code", "--print"])
        .expect(0)
        .json();
    assert_eq!(
        printed["files"].as_array().map(Vec::len),
        Some(2),
        "{printed}"
    );
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        0,
        "nothing is written"
    );
    for client in ["claude-code", "codex", "cursor", "vscode"] {
        let first = install(&["--client", client]).expect(0).json();
        assert_eq!(first["files"][0]["outcome"], "written", "{first}");
        let again = install(&["--client", client]).expect(0).json();
        assert_eq!(again["files"][0]["outcome"], "unchanged", "{again}");
    }
    assert!(folder.join(".vscode/mcp.json").exists() && home.join(".codex/config.toml").exists());
    // The hooks as a client runs them: by a shell, from anywhere.
    desk.send("Found you.").await;
    for (hooks, client) in [
        (folder.join(".claude/settings.local.json"), "claude-code"),
        (home.join(".codex/hooks.json"), "codex"),
    ] {
        let hooks: Value = serde_json::from_str(&std::fs::read_to_string(hooks).unwrap()).unwrap();
        let command = hooks["hooks"]["Stop"][0]["hooks"][0]["command"]
            .as_str()
            .unwrap();
        let state = desk
            .deployment
            .dir
            .path()
            .join(format!("state of {client}"));
        let mut shell = Command::new("sh");
        shell
            .current_dir("/")
            .args(["-c", &format!("{command} --server {}", desk.deployment.url)]);
        let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
        let said = run_with(shell, &event("Stop", "s").to_string(), &variables).expect(0);
        assert!(
            said.json()["reason"]
                .as_str()
                .unwrap()
                .contains("Found you."),
            "{said:?}"
        );
    }
    // A broken file is left alone, and a token is never taken for its variable's name.
    std::fs::write(folder.join(".mcp.json"), "{").unwrap();
    install(&["--client", "claude-code"]).expect(2);
    assert_eq!(
        std::fs::read_to_string(folder.join(".mcp.json")).unwrap(),
        "{"
    );
    install(&[
        "--client",
        "cursor",
        "--url",
        "https://h/mcp",
        "--token-env",
        "ey.x",
    ])
    .expect(2);
}

/// Lines that a watch and the commands that it starts print, and what the commands wait for.
struct Watch {
    process: Process,
    lines: Lines,
    gates: Vec<PathBuf>,
}

impl Watch {
    /// `watch --exec` of a shell that prints `start`, waits for the first gate, checks its mail, prints
    /// `checked`, waits for the second, and prints `end`.
    fn start(desk: &Desk) -> Self {
        let gates = ["check", "end"].map(|name| {
            let gate = desk.deployment.dir.path().join(name);
            nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
            gate
        });
        let script = "echo start $POSTROAD_UNREAD $POSTROAD_HIGHEST_PRIORITY $POSTROAD_MESSAGE_IDS $$; \
             read go < $0; $2 --dir $3 --creds $4 --json check > /dev/null; echo checked; \
             read go < $1; echo end";
        let mut command = desk.command(&["watch", "--exec", "sh", "-c", script]);
        command.args(&gates).arg(binary());
        command.arg(desk.deployment.path()).arg(&desk.creds);
        let (process, stdout) = Process::start(command);
        Self {
            process,
            lines: Lines::of(stdout),
            gates: gates.into(),
        }
    }

    /// Lets the running command go on.
    fn open(&self, gate: usize) {
        std::fs::write(&self.gates[gate], "go\n").unwrap();
    }

    /// What the command that begins now was told, and its process id.
    fn begun(&self) -> (Vec<String>, i32) {
        let line = self.lines.next();
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let pid = words.pop().unwrap().parse().unwrap();
        assert_eq!(words.remove(0), "start", "{line}");
        (words, pid)
    }
}

fn status(desk: &Desk) -> Value {
    run_with(desk.command(&["--json", "status"]), "", &[])
        .expect(0)
        .json()
}

async fn until_status(desk: &Desk, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || holds(&status(desk))).await;
    status(desk)
}

#[tokio::test]
async fn a_command_is_started_when_mail_waits_one_at_a_time_and_others_see_the_wake_confirmed() {
    let desk = Desk::set().await;
    assert_eq!(status(&desk).get("watching"), None);
    let watch = Watch::start(&desk);
    let asleep = until_status(&desk, "the watch is seen", |status| {
        status["watching"] == true
    })
    .await;
    assert_eq!(
        (&asleep["unreadTotal"], asleep.get("wakeAskedAt")),
        (&json!(0), None)
    );
    let urgent = Draft::new("bob", "Now!\nPOSTROAD=secret").priority(Priority::Urgent);
    let sent = desk.alice.send(&urgent).await.unwrap();
    let (told, _) = watch.begun();
    assert_eq!(told, ["1", "urgent", &sent.message_id.to_string()]);
    let asked = until_status(&desk, "the wake is asked", |s| s["wakeAskedAt"].is_u64()).await;
    assert_eq!(asked.get("wakeConfirmedAt"), None, "{asked}");
    // More mail starts no second one. What the woken one does confirms the wake.
    desk.send("while it runs").await;
    watch.open(0);
    assert_eq!(watch.lines.next(), "checked");
    let confirmed = until_status(&desk, "the wake is confirmed", |s| {
        s["wakeConfirmedAt"].is_u64()
    })
    .await;
    assert!(
        confirmed["wakeConfirmedAt"].as_u64() >= confirmed["wakeAskedAt"].as_u64(),
        "{confirmed}"
    );
    let peers = desk
        .alice
        .list_peers(&postroad_client::Page::default())
        .await
        .unwrap()
        .peers;
    let bob = peers.iter().find(|peer| peer.id.as_str() == "bob").unwrap();
    assert!(
        bob.watching && bob.wake_asked_at.is_some() && bob.wake_confirmed_at.is_some(),
        "{bob:?}"
    );
    let args = ["--json", "peers", "--tenant", "default"];
    let seen = desk.deployment.run(&args).expect(0).json();
    let seen = seen["peers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|peer| peer["id"] == "bob")
        .unwrap();
    assert_eq!(seen["wakeAskedAt"], confirmed["wakeAskedAt"], "{seen}");
    // All is read: the next one begins when there is new mail, and not before.
    let unread = desk
        .bob
        .check(&postroad_client::Check::default())
        .await
        .unwrap();
    assert_eq!(unread.unread_total, 2, "nothing was marked");
    let receipts = unread
        .messages
        .into_iter()
        .filter_map(|message| message.receipt_id);
    desk.bob.mark_as_read(receipts).await.unwrap();
    watch.open(1);
    assert_eq!(watch.lines.next(), "end");
    desk.send("later").await;
    let (told, pid) = watch.begun();
    assert_eq!(told[..2], ["1", "normal"]);
    // The end of the watch is the end of what it started.
    assert_eq!(watch.process.terminate(), 0);
    wait_until_gone(pid);
    until_status(&desk, "the watch has gone", |status| {
        status.get("watching").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_command_that_reads_nothing_is_started_again_ever_later() {
    let desk = Desk::set().await;
    desk.send("read me").await;
    let args = ["watch", "--pause", "1ms", "--exec", "sh", "-c", "echo run"];
    let (process, stdout) = Process::start(desk.command(&args));
    let lines = Lines::of(stdout);
    for _ in 0..4 {
        assert_eq!(lines.next(), "run");
    }
    let pauses = |process: &Process| -> Vec<String> {
        let stderr = process.stderr();
        let told = stderr
            .lines()
            .filter_map(|line| line.split_once("again for "));
        told.map(|(_, pause)| pause.to_owned()).collect()
    };
    assert_eq!(pauses(&process)[..3], ["1ms", "2ms", "4ms"]);
    // Somebody reads it, and the next mail is tried from the shortest pause on.
    let unread = desk
        .bob
        .check(&postroad_client::Check::default())
        .await
        .unwrap();
    let receipts = unread
        .messages
        .into_iter()
        .filter_map(|message| message.receipt_id);
    desk.bob.mark_as_read(receipts).await.unwrap();
    desk.send("read me, too").await;
    eventually("the pauses begin anew", async || {
        pauses(&process)[1..].contains(&"1ms".to_owned())
    })
    .await;
    assert_eq!(process.interrupt(), 0);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_ends_the_watch() {
    let desk = Desk::set().await;
    desk.send("hello").await;
    let args = ["--json", "watch", "--exec", "/nowhere/agent", "--json"];
    let ran = run_with(desk.command(&args), "", &[]).expect(2);
    let refusal: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(refusal["field"], "exec", "{refusal}");
    for args in [
        &["watch", "--exec"][..],
        &["watch", "--pause", "1s"],
        &["watch", "--ack", "--exec", "x"],
    ] {
        run_with(desk.command(args), "", &[]).expect(2);
    }
}
