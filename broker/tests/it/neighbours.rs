//! What a tenant sends, however much, keeps neither its neighbours nor the operator waiting.

use crate::harness::{Caller, Town, read, sequence};
use async_nats::Subscriber;
use futures_util::StreamExt;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::Event;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{
    BODY_INLINE_MAX_BYTES, TENANT_COMMAND_BYTES_IN_FLIGHT, TENANT_COMMANDS_WAITING,
};
use postroad_protocol::subject::Service;
use serde_json::{Value, json};

const SEND: &str = "messages.send_message";

/// An id that was made long ago, so that it is looked up before it is stored.
fn old_id(n: usize) -> CommandId {
    CommandId::parse(&format!("01890a5d-ac96-774b-bcce-{n:012x}")).unwrap()
}

/// A town in which whatever has to be looked up waits: the projector hears and says nothing.
async fn town_of_waiting() -> (Town, Caller, Subscriber) {
    let mut town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "registers").await;
    town.parts.silence_projector();
    let silent = town.server.connect("_INBOX._sys.projector").await;
    let asked = silent.subscribe(town.subjects.services(Service::Projector));
    let asked = asked.await.unwrap();
    silent.flush().await.unwrap();
    (town, tau, asked)
}

/// Sends one command after another, each with its own inbox, until one is refused at once.
async fn until_refused(caller: &Caller, count: usize, body: impl Fn(usize) -> Value) -> Refusal {
    let subject = caller.subject("acme", SEND);
    let inbox = caller.client.new_inbox();
    let mut answers = caller.client.subscribe(inbox.clone()).await.unwrap();
    for n in 0..=count {
        let body = body(n).to_string().into();
        let sent = caller
            .client
            .publish_with_reply(subject.clone(), inbox.clone(), body);
        sent.await.unwrap();
    }
    read(&answers.next().await.unwrap()).unwrap_err()
}

#[tokio::test]
async fn a_tenant_that_has_filled_its_places_keeps_neither_operator_nor_neighbour_out() {
    let (town, tau, _asked) = town_of_waiting().await;
    town.tenant("globex", &["bob"]).await;
    let refusal = until_refused(
        &tau,
        TENANT_COMMANDS_WAITING,
        |n| json!({"channel": "bob", "content": "x", "messageId": old_id(n).to_string()}),
    )
    .await;
    assert_eq!(refusal.code, ErrorCode::RateLimited, "{refusal:?}");
    let body = json!({"role": "bob"});
    let retired = town
        .operator
        .command("acme", "admin.retire_agent", &body)
        .await;
    let place = sequence(&retired.unwrap());
    let record = town.log().await.at(place).await.1;
    assert!(matches!(record.event, Event::AgentRetired(_)));
    let bob = town.agent("globex", "bob", "mac").await;
    bob.say("bob", "as ever").await;
}

#[tokio::test]
async fn bytes_that_one_tenant_has_under_way_are_bounded() {
    let (town, tau, _asked) = town_of_waiting().await;
    let large = "x".repeat(200 * 1024);
    let refusal = until_refused(
        &tau,
        TENANT_COMMAND_BYTES_IN_FLIGHT / large.len(),
        |n| json!({"channel": "bob", "content": large, "messageId": old_id(n).to_string()}),
    )
    .await;
    assert_eq!(refusal.code, ErrorCode::RateLimited, "{refusal:?}");
    assert!(refusal.retry_after_ms.is_some());
    assert!(town.broker.ready());
}

#[tokio::test]
async fn large_bodies_do_not_hold_up_what_comes_behind_them() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    town.tenant("globex", &["bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let bob = town.agent("globex", "bob", "mac").await;
    bob.say("bob", "registers").await;
    // One connection, so that everything arrives in this order and is answered on one.
    let client = town.server.connect("_INBOX.test").await;
    let mut answers = client.subscribe("_INBOX.*.*.*.order").await.unwrap();
    let too_large = json!({"channel": "bob", "content": "x".repeat(700 * 1024)}).to_string();
    for _ in 0..20 {
        let (subject, inbox) = (tau.subject("acme", SEND), "_INBOX.acme.tau.pi.order");
        let sent = client.publish_with_reply(subject, inbox, too_large.clone().into());
        sent.await.unwrap();
    }
    let (subject, inbox) = (bob.subject("globex", SEND), "_INBOX.globex.bob.mac.order");
    let small = json!({"channel": "bob", "content": "x"}).to_string();
    let sent = client.publish_with_reply(subject, inbox, small.into());
    sent.await.unwrap();
    let mut order = Vec::new();
    for _ in 0..21 {
        let answer = answers.next().await.unwrap();
        order.push(read(&answer).map_err(|refusal| refusal.code));
    }
    let stored = order.iter().position(Result::is_ok).unwrap();
    let refused = order
        .iter()
        .filter(|answer| **answer == Err(ErrorCode::TooLarge));
    assert_eq!(refused.count(), 20);
    assert!(stored < 20, "it waited for everything that is large");
}

#[tokio::test]
async fn large_and_small_messages_of_one_sender_are_stored_in_the_order_they_were_sent() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "registers").await;
    let contents: Vec<String> = (0..60)
        .map(|n| {
            let size = if n % 7 == 0 { BODY_INLINE_MAX_BYTES } else { 1 };
            format!("{n} {}", "x".repeat(size))
        })
        .collect();
    let answers = tau.send_all_in_order("bob", &contents).await;
    let places: Vec<u64> = answers
        .into_iter()
        .map(|answer| sequence(&answer.unwrap()))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}
