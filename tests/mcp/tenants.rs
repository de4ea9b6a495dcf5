//! Two tenants with the same names on one deployment: each session is served its own, and refused whatever it
//! says of somebody else.

use crate::client::{Mcp, NEW, OLD, agent};
use crate::harness::Deployment;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn equal_names_in_two_tenants_are_two_worlds() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let mut worlds: Vec<(&str, Mcp, Mcp)> = Vec::new();
    for (tenant, revision) in [("acme", OLD), ("globex", NEW)] {
        let tau = agent(&deployment, revision, tenant, "tau", "main").await;
        let pi = agent(&deployment, revision, tenant, "pi", "main").await;
        worlds.push((tenant, tau, pi));
    }
    let mut sent = Vec::new();
    for (tenant, tau, _) in &worlds {
        sent.push(tau.send("pi", &format!("of {tenant}")));
        tau.call(
            "set_summary",
            json!({"summary": format!("busy at {tenant}")}),
        );
    }
    for (at, (tenant, tau, pi)) in worlds.iter().enumerate() {
        let foreign = &sent[1 - at];
        assert_eq!(pi.unread(), [format!("of {tenant}")]);
        let (peers, text) = pi.call("list_peers", json!({}));
        assert_eq!(peers["peers"].as_array().unwrap().len(), 2);
        assert!(text.contains(&format!("busy at {tenant}")));
        // What is another tenant's reads like what is not there.
        let absent = "01890000-0000-7000-8000-0000000000ff";
        for tool in ["get_message", "message_status"] {
            let theirs = tau.refusal(tool, json!({"messageId": foreign}));
            assert_eq!(theirs, tau.refusal(tool, json!({"messageId": absent})));
            assert_eq!(theirs["code"], "not_found");
        }
        let (marked, _) = pi.call("mark_as_read", json!({"messageIds": [foreign, absent]}));
        assert_eq!(marked["notFound"], json!([foreign, absent]));
        let uri = |tenant: &str| json!({"uri": format!("inbox://{tenant}/pi/main")});
        let other = worlds[1 - at].0;
        let theirs = pi.request("resources/read", uri(other));
        let nobodys = pi.request("resources/read", uri("nobody"));
        // Alike but for the name that was asked for, where that is repeated.
        let told = theirs["error"].to_string().replace(other, "nobody");
        assert_eq!(told, nobodys["error"].to_string());
        assert!(pi.request("resources/read", uri(tenant))["result"].is_object());
    }
    // Nobody was hurt by it.
    for (tenant, _, pi) in &worlds {
        assert_eq!(pi.unread(), [format!("of {tenant}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_argument_makes_a_caller_somebody_else() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    deployment.tenant("globex").await;
    let tau = agent(&deployment, NEW, "acme", "tau", "main").await;
    let pi = agent(&deployment, NEW, "acme", "pi", "main").await;
    let twin = agent(&deployment, NEW, "globex", "pi", "main").await;
    let all = [
        (
            "send_message",
            json!({"channel": "pi", "content": "forged"}),
            &["from", "tenantId"][..],
        ),
        (
            "check_messages",
            json!({}),
            &["recipient", "recipientInstanceId", "tenantId"],
        ),
        (
            "wait_for_messages",
            json!({"waitMs": 0}),
            &["recipient", "recipientInstanceId", "tenantId"],
        ),
        (
            "mark_as_read",
            json!({"receiptIds": ["rcpt-1"]}),
            &["tenantId"],
        ),
        ("message_status", json!({"messageId": "x"}), &["tenantId"]),
        ("list_messages", json!({}), &["tenantId"]),
        ("get_message", json!({"messageId": "x"}), &["tenantId"]),
        ("search_messages", json!({"query": "x"}), &["tenantId"]),
        ("list_peers", json!({}), &["tenantId"]),
        ("set_summary", json!({"summary": "forged"}), &["tenantId"]),
        ("whoami", json!({}), &["tenantId"]),
    ];
    for (tool, arguments, claims) in &all {
        for claim in *claims {
            for name in ["globex", "pi", "nobody", "", "*", "acme.>"] {
                let mut arguments = arguments.clone();
                arguments[claim] = json!(name);
                let refusal = tau.refusal(tool, arguments);
                assert_eq!(
                    refusal["code"], "permission_denied",
                    "{tool} {claim}={name}"
                );
                assert_eq!(refusal["field"], *claim);
            }
            let mut arguments = arguments.clone();
            arguments[claim] = json!({"is": "acme"});
            assert_eq!(
                tau.refusal(tool, arguments)["code"],
                "invalid_argument",
                "{tool} {claim}"
            );
        }
    }
    assert_eq!(pi.unread(), Vec::<String>::new());
    assert_eq!(twin.unread(), Vec::<String>::new());
    let (peers, _) = pi.call("list_peers", json!({}));
    assert!(!peers.to_string().contains("forged"));
}
