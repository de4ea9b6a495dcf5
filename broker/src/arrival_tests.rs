//! What is read of a command, told without NATS.

use super::*;
use postroad_protocol::error::ErrorCode;
use postroad_protocol::subject::Subjects;
use postroad_protocol::tenancy::Admission;
use std::sync::LazyLock;

/// When everything here arrives.
static NOW: LazyLock<TimeMs> = LazyLock::new(TimeMs::now);

#[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
fn admit(subject: &str) -> Admitted<'_> {
    let reply = if subject.contains("_operator") {
        "_INBOX._all._operator.cli.1"
    } else {
        "_INBOX.acme.tau.pi.1"
    };
    Admission::new(Subjects::default())
        .admit(RequestKind::Command, subject, Some(reply), None)
        .unwrap()
}

fn arrive(subject: &str, body: &serde_json::Value) -> Result<Arrival, Refusal> {
    let body = Bytes::from(body.to_string());
    Arrival::new(admit(subject), Encoding::Json, body, *NOW)
}

fn read_json(subject: &str, body: &serde_json::Value) -> Result<Request, Refusal> {
    arrive(subject, body)?.read()
}

const SEND: &str = "postroad.acme.cmd.tau.pi.messages.send_message";

#[test]
fn a_claim_that_is_not_the_credentials_is_denied_before_anything_else() {
    for claim in ["from", "tenantId", "fromInstanceId"] {
        let body = serde_json::json!({claim: "mallory", "channel": "", "content": ""});
        let refusal = read_json(SEND, &body).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::PermissionDenied, Some(claim))
        );
    }
    let own = serde_json::json!({"from": "TAU", "channel": "bob", "content": "x"});
    assert!(read_json(SEND, &own).is_ok());
}

#[test]
fn agents_and_operators_have_their_own_verbs() {
    let body = serde_json::json!({});
    let refusal = read_json("postroad.acme.cmd.tau.pi.admin.create_tenant", &body).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PermissionDenied);
    let subject = "postroad.acme.cmd._operator.cli.messages.send_message";
    assert_eq!(
        read_json(subject, &body).unwrap_err().code,
        ErrorCode::PermissionDenied
    );
    assert!(read_json("postroad.acme.cmd._operator.cli.admin.create_tenant", &body).is_ok());
}

#[test]
fn an_unknown_verb_is_not_found() {
    for verb in [
        "messages.sing",
        "self.send_message",
        "messages.check_messages",
    ] {
        let subject = format!("postroad.acme.cmd.tau.pi.{verb}");
        let refusal = read_json(&subject, &serde_json::json!({})).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::NotFound, Some("verb"))
        );
    }
}

#[test]
fn a_mark_may_carry_the_position_its_caller_has_seen() {
    let subject = "postroad.acme.cmd.tau.pi.messages.mark_as_read";
    let body = serde_json::json!({
        "receiptIds": ["r"], "position": {"shard": 0, "epoch": 5, "sequence": 9}
    });
    let request = read_json(subject, &body).unwrap();
    assert_eq!(request.position.unwrap().sequence, 9);
}

#[test]
fn a_send_becomes_an_event_that_follows_from_the_command_alone() {
    let id = CommandId::generate().to_string();
    let body = serde_json::json!({"channel": "bob", "content": "x", "messageId": id});
    let first = read_json(SEND, &body).unwrap().ordered().unwrap().unwrap();
    let second = read_json(SEND, &body).unwrap().ordered().unwrap().unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn an_id_that_is_stamped_far_ahead_is_refused_and_says_so_of_the_clock() {
    let ahead = |ms: u64| {
        let stamp = NOW.0 + ms;
        format!(
            "{:08x}-{:04x}-7000-8000-000000000000",
            stamp >> 16,
            stamp & 0xffff
        )
    };
    let send = |id: &str| {
        let body = serde_json::json!({"channel": "bob", "content": "x", "messageId": id});
        read_json(SEND, &body)
    };
    assert!(send(&ahead(ID_AHEAD_MAX_MS)).is_ok());
    let refusal = send(&ahead(ID_AHEAD_MAX_MS + 60_000)).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
    assert_eq!(refusal.field.as_deref(), Some("messageId"));
    assert!(refusal.remedy.contains("clock"), "{refusal:?}");
    let body = serde_json::json!({"receiptIds": ["r"], "commandId": ahead(3_600_000)});
    let subject = "postroad.acme.cmd.tau.pi.messages.mark_as_read";
    let refusal = read_json(subject, &body).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("commandId"));
    // Any other UUID says nothing of a time, and is looked up.
    assert!(send("ffffffff-ffff-4fff-8fff-ffffffffffff").is_ok());
}
