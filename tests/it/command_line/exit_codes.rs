//! What each command ends with when it cannot do what it was asked, each code seen for what it stands for.

use super::{Desk, assert_refused};
use postroad_protocol::limits::CONTENT_MAX_BYTES;

#[tokio::test]
async fn two_is_usage_whoever_finds_it_out() {
    let desk = Desk::set();
    // Without a receipt it says how to see mail, and asks no server.
    let bare = desk.bob(&["read"]);
    let refusal = assert_refused(bare, 2, "invalid_argument", Some("receipt"));
    let remedy = refusal["remedy"].as_str().unwrap();
    assert!(remedy.contains("`postroad check`"), "{refusal}");
    let shown = desk
        .deployment
        .run(&["--creds", &desk.bob, "read"])
        .expect(2);
    assert!(shown.stderr.contains("postroad check"), "{shown:?}");
    let unknown = desk.bob(&["send", "alice", "x", "--priority", "asap"]);
    assert_refused(unknown, 2, "invalid_argument", Some("arguments"));
    // By the service's judgement.
    let empty = desk.alice(&["send", "bob", ""]);
    assert_refused(empty, 2, "invalid_argument", Some("content"));
    let limit = desk.bob(&["check", "--limit", "201"]);
    assert_refused(limit, 2, "invalid_argument", Some("limit"));
}

#[tokio::test]
async fn three_is_not_found() {
    let desk = Desk::set();
    let typo = desk.alice(&["send", "bbo", "x"]);
    let refusal = assert_refused(typo, 3, "not_found", Some("channel"));
    assert!(refusal.to_string().contains("bob"), "{refusal}");
    let id = uuid::Uuid::now_v7().to_string();
    for verb in ["get", "status"] {
        let missing = desk.alice(&["message", verb, &id]);
        assert_refused(missing, 3, "not_found", Some("messageId"));
        let nonsense = desk.alice(&["message", verb, "nonsense"]);
        assert_refused(nonsense, 3, "not_found", Some("messageId"));
    }
    let unanswered = desk.alice(&["send", "bob", "x", "--reply-to", &id]);
    assert_refused(unanswered, 3, "not_found", Some("replyTo"));
}

#[tokio::test]
async fn four_is_denied() {
    let desk = Desk::set();
    let dir = desk.deployment.path();
    let operator = dir.join("operator.creds").display().to_string();
    let as_operator = desk.speak(&operator, &["check"], "");
    assert_refused(as_operator, 4, "permission_denied", None);
    let as_agent = desk.alice(&["replay", "--tenant", "default"]);
    assert_refused(as_agent, 4, "permission_denied", None);
    let nobody = desk.deployment.run(&["--json", "check"]);
    assert_refused(nobody, 4, "unauthenticated", None);
}

#[tokio::test]
async fn five_is_conflict() {
    let desk = Desk::set();
    let id = uuid::Uuid::now_v7().to_string();
    desk.alice(&["send", "bob", "one", "--message-id", &id])
        .expect(0);
    let other = desk.alice(&["send", "bob", "two", "--message-id", &id]);
    assert_refused(other, 5, "conflict", Some("messageId"));
    let again = desk
        .deployment
        .run(&["--json", "tenant", "create", "default"]);
    assert_refused(again, 5, "conflict", Some("tenantId"));
}

#[tokio::test]
async fn six_is_unavailable_and_one_is_any_other_failure() {
    let mut desk = Desk::set();
    let too_large = "x".repeat(CONTENT_MAX_BYTES + 1);
    let refused = desk.speak(&desk.alice, &["send", "bob", "-"], &too_large);
    assert_refused(refused, 1, "too_large", Some("content"));
    let unread = desk.bob(&["check"]).expect(0).json();
    assert_eq!(unread["unreadTotal"], 0, "none of it was stored");
    assert_eq!(desk.deployment.stop(), 0);
    let stopped = desk.alice(&["--timeout", "300ms", "send", "bob", "x"]);
    assert_refused(stopped, 6, "unavailable", Some("server"));
}
