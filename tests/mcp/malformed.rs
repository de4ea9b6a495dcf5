//! What is no message, no request or no call is told so, and the session goes on.

use crate::client::{Mcp, NEW, OLD, agent, creds};
use crate::harness::Deployment;
use postroad_protocol::tenancy::Scope;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_and_the_session_goes_on() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let path = creds(&deployment, "acme", "alice", "desk", &[Scope::Messages]).await;
    for revision in [OLD, NEW] {
        let mut alice = Mcp::start_silent(&deployment, &path, revision, &[]);
        // Before the session as well as in it.
        expect_garbage_answered(&alice);
        alice.open();
        expect_garbage_answered(&alice);
        for (params, code) in [
            (json!({"name": "whoami", "arguments": [1]}), -32602),
            (json!({"name": 7}), -32602),
            (json!({"arguments": {}}), -32602),
            (json!({"name": "", "arguments": {}}), -32602),
            (
                json!({"name": "x".repeat(100_000), "arguments": {}}),
                -32602,
            ),
        ] {
            let answer = alice.request("tools/call", params);
            assert_eq!(answer["error"]["code"], code, "{answer}");
            assert!(answer.to_string().len() < 1_000);
        }
        for method in [
            "tools/nothing",
            "prompts/list",
            "completion/complete",
            "resources/subscribe",
        ] {
            let answer = alice.request(method, json!({"uri": "inbox://acme/alice/desk"}));
            assert!(
                answer["error"]["code"]
                    .as_i64()
                    .is_some_and(|code| code < -32_600),
                "{answer}"
            );
        }
        let answer = alice.request("tools/list", json!({"cursor": "x"}));
        assert_eq!(answer["error"]["code"], -32602);
        assert_eq!(alice.call("whoami", json!({})).0["role"], "alice");
        alice.close().expect_prompt();
    }
}

fn expect_garbage_answered(mcp: &Mcp) {
    for (line, code, id) in [
        ("{", -32700, Value::Null),
        ("\u{0}\u{1}", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        (r#"{"id":41,"method":"tools/list"}"#, -32600, json!(41)),
        (
            r#"{"jsonrpc":"1.0","id":"a","method":"tools/list"}"#,
            -32600,
            json!("a"),
        ),
        ("7", -32600, Value::Null),
    ] {
        mcp.write(line);
        let answer = mcp.next();
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        assert_eq!(
            answer.get("id").cloned().unwrap_or_default(),
            id,
            "{line}: {answer}"
        );
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{}1{}}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    mcp.write(&deep);
    assert!(mcp.next()["error"]["code"].is_i64());
    // Notifications that nobody knows are nobody's concern.
    mcp.notify("notifications/unheard-of", json!({}));
    mcp.notify("$/progress", json!(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_arguments_are_refused_and_change_nothing() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, OLD, "acme", "bob", "pi").await;
    let mb = "x".repeat(1 << 20);
    for (tool, arguments) in [
        ("send_message", json!({"channel": "bob", "content": mb})),
        ("send_message", json!({"channel": mb, "content": "x"})),
        (
            "send_message",
            json!({"channel": "bob", "content": "x", "metadata": {mb.as_str(): "v"}}),
        ),
        (
            "send_message",
            json!({"channel": "bob", "content": "x", "messageId": mb}),
        ),
        (
            "send_message",
            json!({"channel": "bob", "content": "x", mb.as_str(): 1}),
        ),
        (
            "send_message",
            json!({"channel": "bob", "content": "x", "priority": [mb]}),
        ),
        ("check_messages", json!({"cursor": mb})),
        ("mark_as_read", json!({"receiptIds": vec!["rcpt-1"; 201]})),
        ("mark_as_read", json!({"receiptIds": [mb]})),
        ("get_message", json!({"messageId": mb})),
        ("list_messages", json!({"channel": mb})),
        ("search_messages", json!({"query": mb})),
        ("set_summary", json!({"summary": mb})),
        ("whoami", json!({"tenantId": mb})),
    ] {
        let refusal = alice.refusal(tool, arguments);
        assert!(refusal.to_string().len() < 5_000, "{tool}");
    }
    // A line that nobody could mean is passed over.
    alice.write(&"x".repeat(9 << 20));
    assert_eq!(alice.next()["error"]["code"], -32600);
    assert_eq!(bob.unread(), Vec::<String>::new());
    assert_eq!(alice.call("whoami", json!({})).0["role"], "alice");
}
