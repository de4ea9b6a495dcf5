//! `peers`, `summary`, `whoami`, `completions`.

use super::{Desk, POSITION, assert_keys};
use serde_json::{Value, json};

#[tokio::test]
async fn peers_summary_and_whoami_have_the_shapes_that_are_promised() {
    let desk = Desk::set();
    let set = desk
        .alice(&["summary", "Reviewing PR #47"])
        .expect(0)
        .json();
    assert_keys(&set, &["position"]);
    assert_keys(&set["position"], POSITION);
    let answer = desk.bob(&["peers"]).expect(0).json();
    assert_keys(&answer, &["peers"]);
    let peers = answer["peers"].as_array().unwrap();
    for peer in peers {
        assert_keys(peer, &["id", "instanceId", "summary", "lastSeen", "online"]);
    }
    let alice = &peers[0];
    assert_eq!(
        (&alice["id"], &alice["instanceId"], &alice["summary"]),
        (
            &json!("alice"),
            &json!("laptop"),
            &json!("Reviewing PR #47")
        )
    );
    assert!(alice["lastSeen"].is_u64(), "{alice}");
    let bob = &peers[1];
    assert_eq!(
        (&bob["id"], &bob["summary"], &bob["online"]),
        (&json!("bob"), &Value::Null, &json!(true))
    );
    desk.alice(&["send", "bob", "x"]).expect(0);
    let who = desk.bob(&["whoami"]).expect(0).json();
    assert_keys(
        &who,
        &[
            "tenantId",
            "role",
            "instanceId",
            "unreadTotal",
            "highestPriority",
            "position",
        ],
    );
    assert_eq!(who["highestPriority"], "normal");
    assert_eq!(
        (
            &who["tenantId"],
            &who["role"],
            &who["instanceId"],
            &who["unreadTotal"]
        ),
        (
            &json!("default"),
            &json!("bob"),
            &json!("server"),
            &json!(1)
        )
    );
    let operator = desk.deployment.run(&["--json", "whoami"]).expect(0).json();
    assert_eq!(
        (&operator["tenantId"], &operator["role"]),
        (&Value::Null, &json!("_operator"))
    );
}

#[tokio::test]
async fn completions_name_every_command_for_each_shell() {
    // No deployment is needed for it, and none is looked for.
    let nowhere = tempfile::tempdir().unwrap();
    for (shell, opening) in [
        ("bash", "_postroad()"),
        ("zsh", "#compdef postroad"),
        ("fish", "complete -c postroad"),
    ] {
        let ran =
            crate::harness::cli::run_in(nowhere.path(), &["completions", shell], "").expect(0);
        assert!(ran.stdout.contains(opening), "{shell}: {}", ran.stdout);
        for command in ["send", "check", "read", "watch", "replay", "reply-to"] {
            assert!(ran.stdout.contains(command), "{shell}: {command}");
        }
    }
}
