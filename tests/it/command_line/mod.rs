//! The command line through the real binary: what a program reads from it, on literal wire names, and
//! the code it ends with.

mod exit_codes;
mod mail;
mod memories;
mod memory_files;
mod memory_stops;
mod operator_view;
mod people;
mod speaking_as;
mod task_lives;
mod tasks;

use crate::harness::Deployment;
use crate::harness::cli::Ran;
use serde_json::{Value, json};

/// What every message has, wherever it is shown.
const MESSAGE: &[&str] = &[
    "messageId",
    "receiptId",
    "from",
    "fromInstanceId",
    "channel",
    "instanceId",
    "content",
    "sentAt",
    "deliveredAt",
    "readAt",
    "replyTo",
    "priority",
    "metadata",
];
const PAGE: &[&str] = &[
    "messages",
    "unreadTotal",
    "truncated",
    "nextCursor",
    "position",
];
/// A page of one who has unread mail.
const UNREAD_PAGE: &[&str] = &[
    "messages",
    "unreadTotal",
    "highestPriority",
    "truncated",
    "nextCursor",
    "position",
];
const POSITION: &[&str] = &["shard", "epoch", "sequence"];

/// Two agents of `default`, each with a file of its own, as the README makes them.
struct Desk {
    deployment: Deployment,
    alice: String,
    bob: String,
}

impl Desk {
    fn set() -> Self {
        let deployment = Deployment::start();
        let alice = issue(&deployment, "alice", Some("laptop"));
        let bob = issue(&deployment, "bob", Some("server"));
        Self {
            deployment,
            alice,
            bob,
        }
    }

    fn alice(&self, args: &[&str]) -> Ran {
        self.speak(&self.alice, args, "")
    }

    fn bob(&self, args: &[&str]) -> Ran {
        self.speak(&self.bob, args, "")
    }

    fn speak(&self, creds: &str, args: &[&str], input: &str) -> Ran {
        let all = [&["--json", "--creds", creds][..], args].concat();
        self.deployment.run_with_input(&all, input)
    }
}

/// Issues a credential of `default` with the command for it; the file that it wrote.
fn issue(deployment: &Deployment, role: &str, instance: Option<&str>) -> String {
    let file = deployment.dir.path().join(format!("{role}.creds"));
    let out = file.display().to_string();
    let mut args = vec!["agent", "issue", "--tenant", "default", "--role", role];
    args.extend(instance.into_iter().flat_map(|name| ["--instance", name]));
    deployment
        .run(&[&args[..], &["--out", &out]].concat())
        .expect(0);
    out
}

/// The fields of an object are these, no more and no fewer.
#[track_caller]
fn assert_keys(object: &Value, keys: &[&str]) {
    let fields = object.as_object().unwrap_or_else(|| panic!("{object}"));
    let mut found: Vec<&str> = fields.keys().map(String::as_str).collect();
    let mut expected = keys.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{object}");
}

/// A refusal as programs read it on stderr.
#[track_caller]
fn assert_refused(ran: Ran, exit: i32, code: &str, field: Option<&str>) -> Value {
    let ran = ran.expect(exit);
    assert_eq!(ran.stdout, "", "data alone goes to stdout: {ran:?}");
    let refusal: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(refusal["code"], code, "{refusal}");
    assert_eq!(refusal["field"], json!(field), "{refusal}");
    let remedy = refusal["remedy"].as_str();
    assert!(remedy.is_some_and(|remedy| !remedy.is_empty()), "{refusal}");
    refusal
}
