//! Imports of memories that are stopped, whose road fails, that are slowed down or meet a full tenant; and go on.

use super::memory_files::{admin, file, import, notes};
use super::{Desk, assert_refused};
use crate::harness::cli::Ran;
use crate::harness::{Deployment, binary, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// An import from a pipe that stays open.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Piped {
    fn start(deployment: &Deployment, timeout: &str) -> Self {
        let mut child = Command::new(binary())
            .arg("--dir")
            .arg(deployment.path())
            .args(["--json", "--timeout", timeout])
            .args(["import", "memories", "-", "--tenant", "default"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(text.as_bytes()).expect("it is read");
    }

    /// Waits for its end; what it came to.
    fn end(self) -> Ran {
        let output = self.child.wait_with_output().expect("it ends");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

async fn until_stored(desk: &Desk, count: usize) {
    eventually("the memories are stored", async || {
        let list = desk
            .alice(&["memory", "list", "--limit", "200"])
            .expect(0)
            .json();
        list["memories"].as_array().map(Vec::len) == Some(count)
    })
    .await;
}

/// All lines are there, those of before as such. One whose answer was lost and that was sent again counts as
/// one that was there.
#[track_caller]
fn assert_goes_on(ran: &Ran, total: u64, before: u64) {
    let done = ran.json();
    let count = |name: &str| done[name].as_u64().unwrap();
    assert_eq!(count("imported") + count("already"), total, "{done}");
    assert!(count("already") >= before && count("bad") == 0, "{done}");
}

#[tokio::test]
async fn an_import_that_is_stopped_says_how_far_it_came_and_goes_on_there() {
    let desk = Desk::set();
    let all = notes(150);
    let cut = all.match_indices('\n').nth(99).unwrap().0 + 1;
    let mut piped = Piped::start(&desk.deployment, "1m");
    piped.write(&all[..cut]);
    until_stored(&desk, 100).await;
    let pid = Pid::from_raw(i32::try_from(piped.child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let refusal = assert_refused(piped.end(), 6, "unavailable", None);
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.starts_with("the import was stopped (imported "),
        "{message}"
    );
    let path = file(&desk.deployment, "notes.jsonl", all.as_bytes());
    let ran = import(&desk.deployment, &path, &["--tenant", "default"]).expect(0);
    assert_goes_on(&ran, 150, 100);
    until_stored(&desk, 150).await;
}

#[tokio::test]
async fn an_import_whose_road_fails_ends_with_an_error_and_is_repeated_when_it_is_back() {
    let mut desk = Desk::set();
    let all = notes(120);
    let cut = all.match_indices('\n').nth(79).unwrap().0 + 1;
    let mut piped = Piped::start(&desk.deployment, "500ms");
    piped.write(&all[..cut]);
    until_stored(&desk, 80).await;
    desk.deployment.kill_tree();
    piped.write(&all[cut..]);
    drop(piped.stdin.take());
    let ran = piped.end().expect(6);
    assert!(ran.stdout.is_empty(), "{ran:?}");
    let refusal: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{ran:?}"));
    let (message, remedy) = (refusal["message"].as_str(), refusal["remedy"].as_str());
    assert!(
        message.unwrap().contains(" memories into tenant default"),
        "{refusal}"
    );
    assert!(remedy.unwrap().contains("run the same again"), "{refusal}");
    desk.deployment.restart();
    let path = file(&desk.deployment, "notes.jsonl", all.as_bytes());
    let ran = import(&desk.deployment, &path, &["--tenant", "default"]).expect(0);
    assert_goes_on(&ran, 120, 80);
    until_stored(&desk, 120).await;
}

#[tokio::test]
async fn a_rate_slows_an_import_down_and_a_full_tenant_ends_it() {
    let desk = Desk::set();
    let deployment = &desk.deployment;
    let admin = admin(deployment);
    let path = file(deployment, "notes.jsonl", notes(40).as_bytes());
    let limits = ["tenant", "limits", "default", "--commands-per-s", "40"];
    let burst = ["--burst", "5", "--memories", "30"];
    deployment.run(&[&limits[..], &burst].concat()).expect(0);
    let full = desk.speak(&admin, &["import", "memories", &path], "");
    let refusal = assert_refused(full, 1, "quota_exceeded", None);
    let message = refusal["message"].as_str().unwrap();
    assert!(message.starts_with("line "), "{message}");
    assert!(
        message.contains(" memories into tenant default"),
        "{message}"
    );
    let reset = ["tenant", "limits", "default", "--reset", "memories"];
    deployment.run(&reset).expect(0);
    let ran = desk.speak(&admin, &["import", "memories", &path], "");
    assert_goes_on(&ran.expect(0), 40, 20);
}
