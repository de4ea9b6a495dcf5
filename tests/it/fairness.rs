//! One tenant's burst, bulk or malice neither mutes nor starves anybody: what is stored can be
//! answered, and what a neighbour does costs the neighbour.

use crate::harness::fleet::Fleet;
use crate::harness::{Deployment, eventually, raw};
use postroad_client::{Check, Draft};
use postroad_protocol::limits::CONTENT_MAX_BYTES;
use postroad_protocol::subject::inbox_prefix;
use serde_json::json;

#[tokio::test]
async fn large_messages_and_labels_never_make_a_page_that_cannot_be_answered() {
    let deployment = Deployment::start();
    let alice = deployment.agent("default", "alice", "a").await;
    let creds = deployment.creds("default", "bob", Some("b")).await;
    let bob = raw::connect(
        &deployment.url,
        &creds,
        &inbox_prefix("default", "bob", "b"),
    )
    .await;
    for number in 0..40 {
        let mut draft = Draft::new("bob", format!("small {number}"));
        for label in 0..32 {
            draft = draft.label(format!("label-{label}"), "\u{1}".repeat(1024));
        }
        alice.send(&draft).await.unwrap();
    }
    for _ in 0..3 {
        alice
            .send(&Draft::new("bob", "\"".repeat(CONTENT_MAX_BYTES)))
            .await
            .unwrap();
    }
    let refused = alice
        .send(&Draft::new("bob", "\u{1}".repeat(CONTENT_MAX_BYTES)))
        .await;
    assert!(
        refused.is_err(),
        "what JSON could never carry back is not taken in: {refused:?}"
    );
    for verb in ["check_messages", "list_messages"] {
        let (mut seen, mut cursor) = (0, json!(null));
        while seen < 43 {
            let body = json!({"limit":200,"cursor":cursor,"fresh":true}).to_string();
            let page = raw::request(
                &bob,
                &format!("postroad.default.qry.bob.b.messages.{verb}"),
                body,
            )
            .await;
            let count = page["messages"]
                .as_array()
                .unwrap_or_else(|| panic!("{page}"))
                .len();
            assert!(count > 0, "every page goes on");
            seen += count;
            cursor = page["nextCursor"].clone();
        }
        assert_eq!(seen, 43, "{verb}");
    }
}

#[tokio::test]
async fn a_burst_of_queries_is_bounded_for_its_tenant_and_leaves_others_served() {
    let deployment = Deployment::start();
    deployment.tenant("noisy").await;
    let creds = deployment.creds("noisy", "tau", Some("t")).await;
    let noisy = raw::connect(&deployment.url, &creds, &inbox_prefix("noisy", "tau", "t")).await;
    let quiet = deployment.agent("default", "alice", "a").await;
    quiet.check(&Check::default()).await.unwrap();
    let mut answers = noisy.subscribe("_INBOX.noisy.tau.t.burst").await.unwrap();
    for _ in 0..6_000 {
        let subject = "postroad.noisy.qry.tau.t.messages.check_messages";
        noisy
            .publish_with_reply(
                subject,
                "_INBOX.noisy.tau.t.burst",
                "{\"waitMs\":60000}".into(),
            )
            .await
            .unwrap();
    }
    noisy.flush().await.unwrap();
    // Those beyond the bounds are told so at once, while the others wait for mail.
    let refused = futures_util::StreamExt::next(&mut answers)
        .await
        .expect("an answer");
    assert_eq!(raw::read(&refused)["code"], "rate_limited");
    quiet
        .check(&Check::default())
        .await
        .expect("a neighbour is served meanwhile");
    quiet
        .send(&Draft::new("alice", "still here"))
        .await
        .expect("and can send");
}

#[tokio::test]
async fn a_shard_that_is_added_is_served_without_a_restart() {
    let mut fleet = Fleet::start(1, 1, 1);
    fleet.brokers[0].take().unwrap().terminate();
    fleet.set_shards(3);
    fleet.start_broker(0);
    fleet.tenant("late", 2).await;
    let alice = fleet.agent("late", "alice", "a").await;
    let bob = fleet.agent("late", "bob", "b").await;
    alice
        .send(&Draft::new("bob", "in a new shard"))
        .await
        .unwrap();
    eventually("the new shard is served", async || {
        bob.check(&Check::default())
            .await
            .is_ok_and(|unread| unread.unread_total == 1)
    })
    .await;
}
