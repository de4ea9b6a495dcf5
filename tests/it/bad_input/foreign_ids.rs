//! Ids of receipts and messages that are unknown, or somebody else's: both read alike.

use super::{MARK, SEND, Stage};
use crate::harness::raw;
use serde_json::json;

#[tokio::test]
async fn unknown_and_foreign_receipts_and_messages_read_alike() {
    let stage = Stage::set().await;
    let sent = raw::request(
        &stage.agent,
        SEND,
        json!({"channel":"pi","content":"for pi"}).to_string(),
    )
    .await;
    stage.expect_stored(1).await;
    let pi = stage.other("acme", "pi", "p1").await;
    let page = raw::request(
        &pi,
        "postroad.acme.qry.pi.p1.messages.check_messages",
        json!({"fresh":true}).to_string(),
    )
    .await;
    stage.expect_stored(1).await;
    let receipt = page["messages"][0]["receiptId"].as_str().unwrap();
    let body = json!({"receiptIds":[receipt, "rcpt-xyz", "é"], "messageIds":[sent["messageId"], "nonsense"]});
    let marked = raw::request(&stage.agent, MARK, body.to_string()).await;
    assert_eq!(marked["marked"], json!([]), "{marked}");
    assert_eq!(marked["notFound"].as_array().unwrap().len(), 5, "{marked}");
    stage
        .expect_nothing_stored("marks of what is not there")
        .await;
    for body in [json!({}), json!({"receiptIds":[]})] {
        stage
            .refuse(
                MARK,
                body.to_string(),
                "invalid_argument",
                Some("receiptIds"),
            )
            .await;
    }
    stage
        .refuse(
            MARK,
            json!({"receiptIds": vec!["x"; 501]}).to_string(),
            "too_large",
            Some("receiptIds"),
        )
        .await;
    for verb in ["get_message", "message_status"] {
        let subject = format!("postroad.acme.qry.tau.t1.messages.{verb}");
        for id in ["0190163d-8694-739b-aea5-966c26f8ad91", "nonsense", ""] {
            stage
                .refuse(
                    &subject,
                    json!({"messageId":id}).to_string(),
                    "not_found",
                    Some("messageId"),
                )
                .await;
        }
    }
}

#[tokio::test]
async fn another_tenants_message_and_receipt_are_marked_by_nobody_here() {
    let stage = Stage::set().await;
    let foreigner = stage.other("globex", "tau", "t1").await;
    // In the other tenant the same role and instance, and a message to itself from another machine.
    let sender = stage.other("globex", "tau", "t2").await;
    let sent = raw::request(
        &sender,
        "postroad.globex.cmd.tau.t2.messages.send_message",
        json!({"channel":"tau","content":"theirs"}).to_string(),
    )
    .await;
    stage.expect_stored(1).await;
    let check = "postroad.globex.qry.tau.t1.messages.check_messages";
    let page = raw::request(&foreigner, check, json!({"fresh":true}).to_string()).await;
    stage.expect_stored(1).await;
    let (message, receipt) = (&sent["messageId"], &page["messages"][0]["receiptId"]);
    assert!(message.is_string() && receipt.is_string(), "{sent} {page}");
    for body in [
        json!({"receiptIds":[receipt]}),
        json!({"messageIds":[message]}),
        json!({"receiptIds":[receipt],"messageIds":[message]}),
    ] {
        let marked = raw::request(&stage.agent, MARK, body.to_string()).await;
        assert_eq!(
            (&marked["marked"], &marked["alreadyRead"]),
            (&json!([]), &json!([])),
            "{marked}"
        );
        let named = body.as_object().unwrap().len();
        assert_eq!(marked["notFound"].as_array().unwrap().len(), named);
        stage.expect_nothing_stored(&body.to_string()).await;
    }
    let after = raw::request(&foreigner, check, json!({"fresh":true}).to_string()).await;
    assert_eq!(after["unreadTotal"], 1, "{after}");
    assert_eq!(after["messages"][0]["readAt"], json!(null), "{after}");
    let mark = "postroad.globex.cmd.tau.t1.messages.mark_as_read";
    let body = json!({"receiptIds":[receipt]}).to_string();
    let own = raw::request(&foreigner, mark, body).await;
    assert_eq!(own["marked"], json!([receipt]), "whose it is can: {own}");
}
