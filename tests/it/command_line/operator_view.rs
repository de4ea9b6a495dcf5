//! `message list` and `peers` as the operator: of one tenant, or of all.

use super::{Desk, MESSAGE, POSITION, assert_keys, assert_refused};
use serde_json::{Value, json};

#[tokio::test]
async fn the_operators_lists_have_the_shapes_that_are_promised() {
    let desk = Desk::set();
    desk.alice(&["send", "bob", "hello"]).expect(0);
    desk.alice(&["send", "broadcast", "to all"]).expect(0);
    let run = |args: &[&str]| desk.deployment.run(&[&["--json"][..], args].concat());

    let one = run(&["message", "list", "--tenant", "default"])
        .expect(0)
        .json();
    assert_keys(&one, &["messages", "truncated", "nextCursor", "position"]);
    assert_keys(&one["position"], POSITION);
    let all = run(&["message", "list", "--all-tenants"]).expect(0).json();
    assert_keys(&all, &["messages", "truncated", "nextCursor"]);
    assert_eq!(one["messages"], all["messages"]);
    for message in all["messages"].as_array().unwrap() {
        assert_keys(message, &[MESSAGE, &["tenantId"]].concat());
        let receipt = ["receiptId", "deliveredAt", "readAt"].map(|field| &message[field]);
        assert_eq!(receipt, [&Value::Null; 3], "{message}");
        assert_eq!(message["tenantId"], "default");
    }
    assert_eq!(all["messages"][0]["content"], "to all", "newest first");
    let args = ["message", "list", "--all-tenants", "--limit", "1"];
    let page = run(&args).expect(0).json();
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = run(&[&args[..], &["--cursor", cursor]].concat())
        .expect(0)
        .json();
    assert_eq!(rest["messages"][0]["content"], "hello");

    let peers = run(&["peers", "--all-tenants"]).expect(0).json();
    assert_keys(&peers, &["peers"]);
    let first = &peers["peers"][0];
    assert_keys(
        first,
        &[
            "tenantId",
            "id",
            "instanceId",
            "summary",
            "lastSeen",
            "online",
        ],
    );
    assert_eq!(
        (&first["tenantId"], &first["id"]),
        (&json!("default"), &json!("alice"))
    );
    let shown = desk
        .deployment
        .run(&["peers", "--tenant", "default"])
        .expect(0);
    assert!(shown.stdout.starts_with("TENANT"), "{shown:?}");

    // Who names no tenant is told how; an agent is no operator.
    let refused = assert_refused(run(&["message", "list"]), 4, "unauthenticated", None);
    assert!(
        refused["remedy"]
            .as_str()
            .unwrap()
            .contains("--all-tenants"),
        "{refused}"
    );
    for args in [&["peers"][..], &["message", "list"]] {
        let ran = desk.alice(&[args, &["--all-tenants"]].concat());
        assert_refused(ran, 4, "permission_denied", None);
    }
    let nobody = run(&["peers", "--tenant", "nobody"]);
    assert_refused(nobody, 3, "not_found", Some("tenantId"));
}
