//! Limits, waits and cursors out of bounds.

use super::{CHECK, LIST, SEND, Stage};
use crate::harness::fleet::Fleet;
use crate::harness::witness::Witness;
use crate::harness::{eventually, raw};
use postroad_client::{Check, Client, Draft, History};
use postroad_protocol::ErrorCode;
use serde_json::json;

#[tokio::test]
async fn limits_waits_and_cursors_out_of_bounds_are_refused() {
    let stage = Stage::set().await;
    for limit in [
        json!(-1),
        json!(0),
        json!(201),
        json!(1_000_000_000_000_i64),
        json!(1.5),
        json!("ten"),
    ] {
        stage
            .refuse(
                CHECK,
                json!({"limit":limit}).to_string(),
                "invalid_argument",
                Some("limit"),
            )
            .await;
        stage
            .refuse(
                LIST,
                json!({"limit":limit}).to_string(),
                "invalid_argument",
                Some("limit"),
            )
            .await;
    }
    for wait in [json!(-1), json!(60_001), json!("long")] {
        stage
            .refuse(
                CHECK,
                json!({"waitMs":wait}).to_string(),
                "invalid_argument",
                Some("waitMs"),
            )
            .await;
    }
    for who in [
        json!({"recipient":"pi"}),
        json!({"recipientInstanceId":"t2"}),
        json!({"tenantId":"globex"}),
    ] {
        stage
            .refuse(CHECK, who.to_string(), "permission_denied", None)
            .await;
    }
    for cursor in ["", "garbage", "AAAA", &"A".repeat(5000)] {
        stage
            .refuse(
                CHECK,
                json!({"cursor":cursor}).to_string(),
                "invalid_argument",
                Some("cursor"),
            )
            .await;
    }
    for field in ["cursor", "limit"] {
        let subject = "postroad.acme.qry.tau.t1.messages.message_status";
        let mut body = json!({"messageId":"0190163d-8694-739b-aea5-966c26f8ad91"});
        body[field] = json!("garbage");
        stage
            .refuse(subject, body.to_string(), "invalid_argument", Some(field))
            .await;
    }
    // A cursor that another agent was given, and one of another list, are none of this one's.
    for content in ["1", "2", "3"] {
        raw::request(
            &stage.agent,
            SEND,
            json!({"channel":"pi","content":content}).to_string(),
        )
        .await;
    }
    stage.expect_stored(3).await;
    let pi = stage.other("acme", "pi", "p1").await;
    let page = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.check_messages",
        json!({"limit":1,"fresh":true}).to_string(),
    )
    .await;
    // One message of three was shown, and marked as delivered.
    stage.expect_stored(1).await;
    let cursor = page["nextCursor"]
        .as_str()
        .unwrap_or_else(|| panic!("{page}"));
    stage
        .refuse(
            CHECK,
            json!({"cursor":cursor}).to_string(),
            "invalid_argument",
            Some("cursor"),
        )
        .await;
    let other_list = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.list_messages",
        json!({"cursor":cursor}).to_string(),
    )
    .await;
    assert_eq!(other_list["field"], "cursor", "{other_list}");
    stage.expect_nothing_stored("a foreign cursor").await;
    // Its own goes on where the page ended.
    let next = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.check_messages",
        json!({"cursor":cursor}).to_string(),
    )
    .await;
    assert_eq!(next["messages"][0]["content"], "2", "{next}");
}

/// Has every row folded anew, and waits until they are followed.
async fn rebuild(operator: &Client) {
    let operator = operator.operator().unwrap();
    operator.rebuild().await.unwrap();
    eventually("the new rows are followed", async || {
        operator.status().await.is_ok_and(|status| {
            let shard = &status.shards[0];
            shard.state == "following" && shard.applied == shard.end
        })
    })
    .await;
}

#[tokio::test]
async fn a_cursor_outlives_marks_and_a_rebuild_and_is_refused_when_its_log_was_replaced() {
    let mut fleet = Fleet::start(1, 1, 1);
    fleet.tenant("acme", 0).await;
    let alice = fleet.agent("acme", "alice", "a").await;
    let bob = fleet.agent("acme", "bob", "b").await;
    for content in ["one", "two", "three"] {
        alice.send(&Draft::new("bob", content)).await.unwrap();
    }
    let page = bob.check(&Check::default().limit(1)).await.unwrap();
    let cursor = page.next_cursor.expect("there is more");
    let behind = async |client: &Client| client.check(&Check::default().after(&cursor)).await;
    let contents = |page: &postroad_protocol::query::Messages| -> Vec<String> {
        page.messages
            .iter()
            .map(|message| message.content.clone())
            .collect()
    };
    let rest = behind(&bob).await.unwrap();
    assert_eq!(contents(&rest), ["two", "three"]);
    // The place that it names may be read meanwhile, and what follows it, and all rows be new.
    let read = [&page.messages[0], &rest.messages[0]].map(|message| message.message_id.to_string());
    bob.mark_messages_as_read(read).await.unwrap();
    assert_eq!(contents(&behind(&bob).await.unwrap()), ["three"]);
    let operator = fleet.operator().await;
    rebuild(&operator).await;
    assert_eq!(contents(&behind(&bob).await.unwrap()), ["three"]);
    let overview = async |wanted: History| {
        operator
            .operator()
            .unwrap()
            .list_messages(None, &wanted)
            .await
    };
    let seen = overview(History::default().limit(1)).await.unwrap();
    let of_operator = seen.next_cursor.expect("there is more");

    fleet.projectors[0].take().unwrap().terminate();
    fleet.brokers[0].take().unwrap().terminate();
    let witness = Witness::connect(&fleet.path(), &fleet.url).await;
    let jetstream = async_nats::jetstream::new(witness.client.clone());
    jetstream.delete_stream("POSTROAD_0").await.unwrap();
    fleet.start_broker(0);
    fleet.start_projector(0);
    rebuild(&operator).await;
    let bob = fleet.agent("acme", "bob", "b").await;
    let alice = fleet.agent("acme", "alice", "a").await;
    alice
        .send(&Draft::new("bob", "in the new log"))
        .await
        .unwrap();
    let end = witness.log_end(0).await;
    let refused = behind(&bob).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{refused:?}");
    assert_eq!(refused.refusal().unwrap().field.as_deref(), Some("cursor"));
    let refused = overview(History::default().after(&of_operator)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.refusal().unwrap().field.as_deref(), Some("cursor"));
    let fence = alice.send(&Draft::new("bob", "a fence")).await.unwrap();
    assert_eq!(fence.position.sequence, end + 1, "nothing was stored");
    let page = bob.check(&Check::default()).await.unwrap();
    assert_eq!(contents(&page), ["in the new log", "a fence"]);
}
