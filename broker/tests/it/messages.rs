//! Sends, summaries and marks: who may, whom they reach, and what is refused.

use crate::harness::{Town, sequence};
use futures_util::StreamExt;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::command::receipt_id;
use postroad_protocol::event::{Actor, Event};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role};
use postroad_protocol::push::Hint;
use serde_json::json;
use std::time::Duration;

fn reader(role: &str, instance: &str) -> Reader {
    Reader {
        role: Role::parse(role).unwrap(),
        instance: InstanceId::parse(instance).unwrap(),
    }
}

#[tokio::test]
async fn a_readers_first_command_registers_it_before_the_command() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let place = tau.say("bob", "first").await;
    tau.say("bob", "second").await;
    let log = town.log().await;
    let (_, registration) = log.at(place - 1).await;
    assert_eq!(registration.by, Actor::System);
    assert!(
        matches!(&registration.event, Event::ReaderRegistered(data) if data.reader == reader("tau", "pi"))
    );
    let registrations = log.all().await.into_iter();
    let registrations =
        registrations.filter(|(_, record)| matches!(record.event, Event::ReaderRegistered(_)));
    assert_eq!(registrations.count(), 1);
}

#[tokio::test]
async fn a_send_names_those_it_reaches() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "phi"]).await;
    town.issue("acme", "bob", Some("mac")).await;
    town.issue("acme", "bob", Some("pi")).await;
    let bob = town.agent("acme", "bob", "mac").await;
    let id = CommandId::generate();
    let answer = bob.send(id, "bob, tau,,TAU", "hello").await.unwrap();
    assert_eq!(answer["messageId"], id.to_string());
    assert_eq!(answer["recipientCount"], 2);
    assert_eq!(answer["recipients"], json!(["bob/pi", "tau"]));
    let all = bob
        .send(CommandId::generate(), "broadcast", "hello")
        .await
        .unwrap();
    assert_eq!(all["recipientCount"], 3);
    assert!(all.get("recipients").is_none());
    let narrowed = json!({"channel": "bob", "instanceId": "pi", "content": "you"});
    let one = bob.own("messages.send_message", &narrowed).await.unwrap();
    assert_eq!(one["recipients"], json!(["bob/pi"]));
}

#[tokio::test]
async fn an_unknown_name_refuses_the_whole_send_and_stores_nothing() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    town.tenant("globex", &["secret"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "registers").await;
    let length = town.log().await.len().await;
    for channel in ["bob,bbo", "secret"] {
        let refusal = tau
            .send(CommandId::generate(), channel, "x")
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::NotFound, Some("channel"))
        );
        assert!(refusal.message.contains("bob"), "{refusal:?}");
        assert!(!refusal.remedy.contains("secret"), "{refusal:?}");
    }
    let body = json!({"channel": "bob", "content": "x", "instanceId": "nowhere"});
    let refusal = tau.own("messages.send_message", &body).await.unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("instanceId"));
    let body =
        json!({"channel": "bob", "content": "x", "replyTo": CommandId::generate().to_string()});
    let refusal = tau.own("messages.send_message", &body).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::NotFound, Some("replyTo"))
    );
    assert_eq!(town.log().await.len().await, length);
}

#[tokio::test]
async fn a_role_issued_at_another_broker_is_known_before_it_is_refused() {
    let town = Town::new(Durability::PowerSafe).await;
    let second = crate::harness::start_broker(&town.server, Durability::PowerSafe, 1).await;
    town.tenant("acme", &["tau"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    for n in 0..20 {
        let role = format!("role-{n}");
        town.issue("acme", &role, None).await;
        tau.say(&role, "welcome").await;
    }
    assert!(
        second.counters().appended > 0,
        "the queue group shares the work"
    );
}

#[tokio::test]
async fn a_retired_agent_may_not_act_and_its_role_takes_no_mail() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "here").await;
    let retire = json!({"role": "tau", "instanceId": "pi"});
    town.operator
        .command("acme", "admin.retire_agent", &retire)
        .await
        .unwrap();
    let refusal = tau
        .send(CommandId::generate(), "bob", "still here?")
        .await
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PermissionDenied);
    town.operator
        .command("acme", "admin.retire_agent", &json!({"role": "bob"}))
        .await
        .unwrap();
    let other = town.agent("acme", "tau", "laptop").await;
    let refusal = other
        .send(CommandId::generate(), "bob", "gone?")
        .await
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotFound);
    assert!(refusal.remedy.contains("issue"), "{refusal:?}");
    // A later credential brings the same instance back, with a registration of its own.
    town.issue("acme", "tau", None).await;
    town.issue("acme", "bob", None).await;
    tau.say("bob", "back").await;
}

#[tokio::test]
async fn marks_are_answered_one_by_one_and_stored_once() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let bob = town.agent("acme", "bob", "mac").await;
    let place = tau.say("bob", "read me").await;
    let message = town.log().await.at(place).await.1;
    let receipt = receipt_id(message.key, &reader("bob", "mac"));
    let foreign = receipt_id(message.key, &reader("bob", "other"));
    let body = json!({"receiptIds": [receipt, foreign], "messageIds": [message.id.to_string()]});
    let first = bob.own("messages.mark_as_read", &body).await.unwrap();
    assert_eq!(first["marked"], json!([receipt, message.id.to_string()]));
    assert_eq!(first["notFound"], json!([foreign]));
    let length = town.log().await.len().await;
    let stored = town.log().await.at(sequence(&first)).await.1;
    assert!(matches!(&stored.event, Event::MessagesRead(read) if read.messages == [message.key]));
    let second = bob.own("messages.mark_as_read", &body).await.unwrap();
    assert_eq!(
        second["alreadyRead"],
        json!([receipt, message.id.to_string()])
    );
    assert!(second.get("position").is_none());
    assert_eq!(town.log().await.len().await, length);
}

#[tokio::test]
async fn a_hint_rings_after_the_message_is_stored_and_not_for_a_repeat() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let mut hints = tau.client.subscribe("postroad.acme.push.>").await.unwrap();
    tau.client.flush().await.unwrap();
    let id = CommandId::generate();
    let place = sequence(&tau.send(id, "bob", "ding").await.unwrap());
    let hint = hints.next().await.unwrap();
    assert_eq!(hint.subject.as_str(), "postroad.acme.push.bob");
    let hint: Hint = serde_json::from_slice(&hint.payload).unwrap();
    assert_eq!((hint.message_id, hint.position.sequence), (id, place));
    assert_eq!(hint.content.as_deref(), Some("ding"));
    tau.send(id, "bob", "ding").await.unwrap();
    tau.say("broadcast", "next").await;
    let next = hints.next().await.unwrap();
    assert_eq!(next.subject.as_str(), "postroad.acme.push.broadcast");
}

#[tokio::test]
async fn a_request_that_wants_its_answer_elsewhere_is_dropped_and_counted() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    tau.say("bob", "registers").await;
    let (length, subject) = (
        town.log().await.len().await,
        tau.subject("acme", "messages.send_message"),
    );
    let mut victim = tau.client.subscribe("_INBOX.acme.bob.>").await.unwrap();
    let body = json!({"channel": "bob", "content": "x"}).to_string();
    for reply in ["_INBOX.acme.bob.mac.1", &subject, "postroad.acme.push.bob"] {
        let sent =
            tau.client
                .publish_with_reply(subject.clone(), reply.to_owned(), body.clone().into());
        sent.await.unwrap();
    }
    tau.client.publish(subject, body.into()).await.unwrap();
    tau.say("bob", "behind them").await;
    assert_eq!(town.broker.counters().dropped_requests, 4);
    assert_eq!(town.log().await.len().await, length + 1);
    let heard = tokio::time::timeout(Duration::from_millis(50), victim.next()).await;
    assert!(heard.is_err());
}

#[tokio::test]
async fn messagepack_and_json_are_answered_in_kind() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let subject = tau.subject("acme", "self.set_summary");
    let body = postroad_protocol::body::Encoding::MessagePack.encode(&json!({"summary": "busy"}));
    let answer = tau
        .client
        .request(subject.clone(), body.into())
        .await
        .unwrap();
    assert_ne!(answer.payload.first(), Some(&b'{'));
    let answer = tau.client.request(subject, "{".into()).await.unwrap();
    assert_eq!(answer.payload.first(), Some(&b'{'));
    let headers = answer.headers.unwrap();
    assert_eq!(
        headers.get("Nats-Service-Error-Code").unwrap().as_str(),
        "invalid_argument"
    );
}
