//! News of mail, for clients that listen: a mailbox as a resource, and pushes into a session.

use crate::client::{Mcp, NEW, OLD, agent, creds};
use crate::harness::Deployment;
use postroad_protocol::tenancy::Scope;
use serde_json::{Value, json};

const BOX: &str = "inbox://acme/bob/pi";

fn listen(uris: &[&str]) -> Value {
    json!({"notifications": {"resourceSubscriptions": uris}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_tells_how_much_is_unread_and_never_what_it_says() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    for revision in [OLD, NEW] {
        let bob = agent(&deployment, revision, "acme", "bob", "pi").await;
        let listed = bob.request("resources/list", json!({}));
        assert_eq!(listed["result"]["resources"][0]["uri"], BOX);
        let read = || {
            let read = bob.request("resources/read", json!({"uri": BOX}));
            let text = read["result"]["contents"][0]["text"]
                .as_str()
                .unwrap()
                .to_owned();
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert_eq!(read(), json!({"unread": 0, "messages": []}));
        let id = alice.call(
            "send_message",
            json!({"channel": "bob", "content": "a secret", "priority": "urgent"}),
        );
        let told = read();
        assert_eq!(
            (&told["unread"], &told["highestPriority"]),
            (&json!(1), &json!("urgent"))
        );
        assert_eq!(told["messages"][0]["messageId"], id.0["messageId"]);
        assert_eq!(told["messages"][0]["from"], "alice");
        assert!(!told.to_string().contains("a secret"));
        // Looking at the box is no delivery.
        let (status, _) = alice.call("message_status", json!({"messageId": id.0["messageId"]}));
        assert_eq!(status["deliveredCount"], 0);
        bob.call("mark_as_read", json!({"messageIds": [id.0["messageId"]]}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_told_of_every_message_and_ends_with_the_client() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let bob = agent(&deployment, NEW, "acme", "bob", "pi").await;
    let id = bob.begin(
        "subscriptions/listen",
        listen(&[BOX, "inbox://acme/alice/desk", "file:///x"]),
    );
    let begun = bob.notification();
    assert_eq!(begun["method"], "notifications/subscriptions/acknowledged");
    let accepted = &begun["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*accepted, json!([BOX]), "only one's own: {begun}");
    for content in ["one", "two"] {
        alice.send("bob", content);
        let told = bob.notification();
        assert_eq!(told["method"], "notifications/resources/updated", "{told}");
        assert_eq!(told["params"]["uri"], BOX);
        assert!(!told.to_string().contains(content));
        assert!(
            bob.unread().contains(&content.to_owned()),
            "what is told of is there"
        );
    }
    bob.notify("notifications/cancelled", json!({"requestId": id}));
    let id = bob.begin("subscriptions/listen", listen(&[BOX]));
    loop {
        let told = bob.notification();
        if told["method"] == "notifications/subscriptions/acknowledged" {
            break;
        }
        // News of the subscription before it may still be under way; nothing of this one is.
        let of = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert!(of.is_i64() && *of != json!(id), "{told}");
    }
    // With a subscription open it ends as promptly as without.
    bob.close().expect_prompt();
    let bob = agent(&deployment, NEW, "acme", "bob", "pi").await;
    bob.begin("subscriptions/listen", listen(&[BOX]));
    assert_eq!(
        bob.notification()["method"],
        "notifications/subscriptions/acknowledged"
    );
    bob.terminate().expect_prompt();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_pushes_who_wrote_and_how_urgent_it_is_and_never_what() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let path = creds(&deployment, "acme", "bob", "pi", &[Scope::Messages]).await;
    alice.send("bob", "canary of before");
    let bob = Mcp::start(&deployment, &path, OLD, &["--channel"]);
    assert_eq!(bob.opened["result"]["protocolVersion"], OLD);
    assert!(bob.opened["result"]["capabilities"]["experimental"]["claude/channel"].is_object());
    let waiting = bob.notification();
    assert_eq!(waiting["method"], "notifications/claude/channel");
    assert_eq!(waiting["params"]["meta"]["sender"], "alice/desk");

    let urgent = json!({"channel": "bob", "content": "canary", "priority": "urgent"});
    let (sent, _) = alice.call("send_message", urgent);
    let told = bob.notification();
    let meta = &told["params"]["meta"];
    assert_eq!(meta["priority"], "urgent");
    assert_eq!(meta["message_id"], sent["messageId"]);
    assert!(
        told["params"]["content"]
            .as_str()
            .unwrap()
            .contains("alice/desk")
    );
    for told in [&waiting, &told] {
        assert!(!told.to_string().contains("canary"), "{told}");
    }
    assert_eq!(bob.unread().len(), 2, "a push marks nothing as read");
    bob.close().expect_prompt();

    // A client of the later revision is offered the one that carries pushes.
    let late = Mcp::start_silent(&deployment, &path, NEW, &["--channel"]);
    let refused = late.request("tools/list", json!({}));
    assert_eq!(refused["error"]["code"], -32022, "{refused}");
    assert!(
        refused["error"]["data"]["supported"]
            .to_string()
            .contains(OLD),
        "{refused}"
    );
}
