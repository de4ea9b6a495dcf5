//! `watch --exec`: a command is started when mail waits, and others see that.

use super::Desk;
use crate::harness::cli::run_with;
use crate::harness::process::{Lines, Process, wait_until_gone};
use crate::harness::{binary, eventually};
use postroad_client::{Draft, Page};
use postroad_protocol::event::Priority;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    let peers = desk.alice.list_peers(&Page::default()).await.unwrap().peers;
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
    assert_eq!(desk.read_all().await, 2, "nothing was marked");
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
    desk.read_all().await;
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

#[tokio::test]
async fn where_the_watch_ends_so_does_what_the_command_started_and_would_not() {
    let desk = Desk::set().await;
    desk.send("hello").await;
    // The command obeys; what it started does not.
    let script = "(trap '' TERM; echo started; exec sleep 600) & echo $!; wait";
    let (process, stdout) = Process::start(desk.command(&["watch", "--exec", "sh", "-c", script]));
    let lines = Lines::of(stdout);
    let mut told = [lines.next(), lines.next()];
    // The number is before the word.
    told.sort();
    assert_eq!(told[1], "started");
    assert_eq!(process.interrupt(), 0);
    wait_until_gone(told[0].parse().unwrap());
}
