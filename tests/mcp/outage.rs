//! What a session is told while nats-server is away, and that it goes on afterwards by itself.

use crate::client::{OLD, agent, creds};
use crate::harness::{Deployment, binary, cli, eventually};
use postroad_protocol::tenancy::Scope;
use serde_json::json;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_an_outage_say_so_and_the_session_outlives_it() {
    let mut deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    alice.send("bob", "before");
    deployment.kill_tree();
    for (tool, arguments) in [
        ("check_messages", json!({})),
        (
            "send_message",
            json!({"channel": "alice", "content": "lost?"}),
        ),
        ("whoami", json!({})),
    ] {
        let refusal = bob.refusal(tool, arguments);
        assert_eq!(refusal["code"], "unavailable", "{refusal}");
        assert!(!refusal["remedy"].as_str().unwrap().is_empty());
    }
    // What needs no server is served as ever.
    assert!(bob.request("tools/list", json!({}))["result"]["tools"].is_array());
    deployment.restart();
    eventually("the session is served again", async || {
        bob.result("check_messages", json!({}))["isError"] != true
    })
    .await;
    assert_eq!(bob.unread(), ["before"]);
    deployment.kill_tree();
    bob.close().expect_prompt();
    alice.terminate().expect_prompt();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_begin_says_why_on_stderr_alone() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    let path = creds(&deployment, "default", "bob", "pi", &[Scope::Messages]).await;
    let run = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args);
        cli::run(command, "")
    };
    let creds = path.to_str().unwrap();
    let away = run(&["--creds", creds, "--server", "nats://127.0.0.1:9", "mcp"]).expect(6);
    assert!(away.stderr.contains("remedy: "));
    let operator = deployment.path().join("operator.creds");
    let operator = operator.to_str().unwrap();
    let denied = run(&["--creds", operator, "--server", &deployment.url, "mcp"]).expect(4);
    for ran in [away, denied] {
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.starts_with("error: "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_may_be_named_where_the_deployment_is_at_hand() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    creds(&deployment, "default", "bob", "pi", &[Scope::Messages]).await;
    let mut command = Command::new(binary());
    command
        .arg("--dir")
        .arg(deployment.path())
        .args(["--as", "default/bob/pi", "mcp"]);
    let mut bob = crate::client::Mcp::of(command, OLD);
    bob.open();
    assert_eq!(bob.call("whoami", json!({})).0["instanceId"], "pi");
    bob.close().expect_prompt();
}
