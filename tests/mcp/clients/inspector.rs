//! The MCP inspector's command line: what it lists, what it calls, and what it thinks of the tools' schemas.

use super::kit::Kit;
use super::stage::{Stage, Transport, Way};
use serde_json::{Value, json};
use std::process::Command;

/// How the inspector names the revisions of the protocol with a handshake and without.
const ERAS: [&str; 2] = ["legacy", "modern"];

#[test]
fn the_inspector_lists_and_calls_over_stdio() {
    lists_and_calls(Transport::Stdio);
}

#[test]
fn the_inspector_lists_and_calls_over_http() {
    lists_and_calls(Transport::Http);
}

fn lists_and_calls(transport: Transport) {
    let kit = Kit::prepared();
    if kit.inspector().is_none() {
        return;
    }
    let stage = Stage::set(transport);
    let way = stage.issue("acme", "alice", &[]);
    stage.issue("acme", "bob", &[]);
    let home = tempfile::tempdir().expect("a temporary folder");
    let inspect = |era: &str, args: &[&str]| {
        let mut command = kit.inspector().expect("it was there before");
        command.args([
            "--format",
            "json",
            "--protocol-era",
            era,
            "--stored-auth-only",
        ]);
        command.args(args);
        // What it stores of its own stays out of the user's home.
        command.env("HOME", home.path());
        reach(&mut command, &way);
        Inspected::of(command)
    };
    for era in ERAS {
        // It ends with an error where a schema is not portable.
        let listed = inspect(era, &["--method", "tools/list", "--strict"]).result();
        let tools = listed["tools"].as_array().expect("tools");
        assert!(
            tools.iter().any(|tool| tool["name"] == "send_message"),
            "{era}: {listed}"
        );

        let content = format!("sent in the {era} era");
        let arguments = json!({"channel": "bob", "content": content}).to_string();
        let call = [
            "--method",
            "tools/call",
            "--tool-name",
            "send_message",
            "--tool-args-json",
        ];
        let sent = inspect(era, &[&call[..], &[&arguments]].concat()).result();
        assert_eq!(
            sent["structuredContent"]["recipients"],
            json!(["bob/bob-1"]),
            "{era}: {sent}"
        );

        let arguments =
            json!({"channel": "bob", "content": content, "tenantId": "globex"}).to_string();
        let refused = inspect(era, &[&call[..], &[&arguments]].concat()).told();
        assert_eq!(refused["isError"], true, "{era}: {refused}");
        let code = &refused["structuredContent"]["error"]["code"];
        assert_eq!(code, "permission_denied", "{era}: {refused}");
    }
}

/// Tells the inspector where the server is; comes last.
fn reach(command: &mut Command, way: &Way) {
    match way {
        Way::Command(words) => command.args(["--transport", "stdio", "--"]).args(words),
        Way::Endpoint { url, token } => command
            .args(["--transport", "http", "--server-url", url])
            .args(["--header", &format!("Authorization: Bearer {token}")]),
    };
}

/// What one run came to.
struct Inspected {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Inspected {
    fn of(mut command: Command) -> Self {
        let output = command.output().expect("the inspector runs");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What the server answered; panics where the inspector found fault with anything.
    #[track_caller]
    fn result(self) -> Value {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.told()
    }

    /// What the server answered, a refusal of a tool included.
    #[track_caller]
    fn told(self) -> Value {
        let told: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr));
        told["result"].clone()
    }
}
