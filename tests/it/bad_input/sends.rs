//! Sends that are wrong in one field, and those that repeat an id.

use super::{LIST, SEND, Stage};
use crate::harness::raw;
use postroad_protocol::limits::CONTENT_MAX_BYTES;
use serde_json::json;

#[tokio::test]
async fn a_bad_send_is_refused_with_its_field_and_nothing_is_stored() {
    let stage = Stage::set().await;
    let long = "n".repeat(65);
    let big = "x".repeat(CONTENT_MAX_BYTES + 1);
    let cases = [
        (
            json!({"channel":"pi","content":""}),
            "invalid_argument",
            "content",
        ),
        (
            json!({"channel":"pi","content":big}),
            "too_large",
            "content",
        ),
        (json!({"channel":"pi"}), "invalid_argument", "content"),
        (json!({"content":"x"}), "invalid_argument", "channel"),
        (
            json!({"channel":"","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi\u{7}","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":long,"content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi,broadcast","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi.>","content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"nobody","content":"x"}),
            "not_found",
            "channel",
        ),
        (
            json!({"channel":"foreigner","content":"x"}),
            "not_found",
            "channel",
        ),
        (
            json!({"channel":"pi","content":"x","instanceId":"elsewhere"}),
            "not_found",
            "instanceId",
        ),
        (
            json!({"channel":"pi","content":"x","instanceId":"g1"}),
            "not_found",
            "instanceId",
        ),
        (
            json!({"channel":"pi,phi","content":"x","instanceId":"p1"}),
            "invalid_argument",
            "instanceId",
        ),
        (
            json!({"channel":"pi","content":"x","from":"pi"}),
            "permission_denied",
            "from",
        ),
        (
            json!({"channel":"pi","content":"x","tenantId":"globex"}),
            "permission_denied",
            "tenantId",
        ),
        (
            json!({"channel":"pi","content":"x","messageId":"not-a-uuid"}),
            "invalid_argument",
            "messageId",
        ),
        (
            json!({"channel":"pi","content":"x","replyTo":"0190163d-8694-739b-aea5-966c26f8ad91"}),
            "not_found",
            "replyTo",
        ),
        (
            json!({"channel":"pi","content":"x","priority":"asap"}),
            "invalid_argument",
            "priority",
        ),
        (
            json!({"channel":"pi","content":7}),
            "invalid_argument",
            "content",
        ),
        (
            json!({"channel":["pi"],"content":"x"}),
            "invalid_argument",
            "channel",
        ),
        (
            json!({"channel":"pi","content":"x","metadata":{"k":"v".repeat(2000)}}),
            "too_large",
            "metadata",
        ),
    ];
    for (body, code, field) in &cases {
        stage
            .refuse(SEND, body.to_string(), code, Some(field))
            .await;
        // The same in MessagePack gives the same.
        stage
            .refuse(
                SEND,
                rmp_serde::to_vec_named(body).unwrap(),
                code,
                Some(field),
            )
            .await;
    }
    let near = stage
        .refuse(
            SEND,
            json!({"channel":"phy","content":"x"}).to_string(),
            "not_found",
            Some("channel"),
        )
        .await;
    assert!(
        near.to_string().contains("phi"),
        "the nearest known name is told: {near}"
    );
    assert!(
        !near.to_string().contains("foreigner"),
        "and no foreign one: {near}"
    );
}

#[tokio::test]
async fn the_same_message_id_with_other_content_is_a_conflict_and_a_retry_is_not() {
    let stage = Stage::set().await;
    for id in [
        uuid::Uuid::now_v7(),
        uuid::Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef),
    ] {
        let body = json!({"channel":"pi","content":"one","messageId":id.to_string()});
        let first = raw::request(&stage.agent, SEND, body.to_string()).await;
        stage.expect_stored(1).await;
        let retried = raw::request(&stage.agent, SEND, body.to_string()).await;
        assert_eq!(
            first["position"], retried["position"],
            "a retry returns its first position: {retried}"
        );
        stage.expect_nothing_stored("a retry").await;
        let other = json!({"channel":"pi","content":"two","messageId":id.to_string()});
        stage
            .refuse(SEND, other.to_string(), "conflict", Some("messageId"))
            .await;
    }
    let listed = raw::request(
        &stage.agent,
        LIST,
        json!({"channel":"pi","fresh":true}).to_string(),
    )
    .await;
    assert_eq!(listed["messages"].as_array().unwrap().len(), 2, "{listed}");
}
