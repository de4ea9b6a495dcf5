//! Waking agents: hooks show a running model its mail, a watch starts one that does not run, and both
//! leave the mail unread.

mod hooks;
mod install;
mod watch;

use crate::harness::cli::{Ran, run_with};
use crate::harness::{Deployment, binary, connect};
use postroad_client::{Check, Client, Draft};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

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
        let bob = connect(&deployment.url, &creds, None).await;
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

    /// Reads everything, as bob; how much that was.
    async fn read_all(&self) -> u64 {
        let unread = self.bob.check(&Check::default()).await.unwrap();
        let receipts = unread
            .messages
            .into_iter()
            .filter_map(|message| message.receipt_id);
        self.bob.mark_as_read(receipts).await.unwrap();
        unread.unread_total
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
