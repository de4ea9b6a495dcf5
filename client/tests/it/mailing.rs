//! A subscription yields every unread message once and in order, whatever is lost on the way.

use crate::service::{Service, Whim};
use crate::world::{TIMEOUT, World};
use postroad_client::Subscription;
use postroad_protocol::query::{Message, bad_cursor};
use std::time::{Duration, Instant};

async fn take(mail: &mut Subscription, count: usize) -> Vec<Message> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(TIMEOUT * 2, mail.next()).await;
        taken.push(next.expect("mail comes in time").unwrap().unwrap());
    }
    taken
}

fn contents(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message.content.clone())
        .collect()
}

#[tokio::test]
async fn unread_messages_come_once_and_in_order_before_and_after_they_are_marked() {
    let world = World::start();
    let service = Service::start(&world).await;
    let mut expected = service.store(250);
    let tau = world.agent("tau", "pi").await;
    let mut mail = tau.subscribe().await.unwrap();
    let mut got = take(&mut mail, 250).await;
    for message in &got[..10] {
        mail.ack(message).await.unwrap();
    }
    expected.extend(service.store(5));
    got.extend(take(&mut mail, 5).await);
    assert_eq!(contents(&got), expected);
    drop(mail);

    // What was not marked as read comes again to the next subscription, what was does not.
    let mut mail = tau.subscribe().await.unwrap();
    assert_eq!(contents(&take(&mut mail, 245).await), expected[10..]);
}

#[tokio::test]
async fn lost_answers_and_a_killed_server_neither_lose_nor_double_mail() {
    let mut world = World::start();
    let service = Service::start(&world).await;
    let tau = world.agent("tau", "pi").await;
    let mut expected = service.store(150);
    service.bend("check_messages", [None, Some(Whim::LoseAnswer)]);
    let mut mail = tau.subscribe().await.unwrap();
    let mut got = take(&mut mail, 100).await;
    world.kill();
    expected.extend(service.store(20));
    world.restart();
    got.extend(take(&mut mail, 70).await);
    expected.extend(service.store(1));
    got.extend(take(&mut mail, 1).await);
    assert_eq!(contents(&got), expected);
}

#[tokio::test]
async fn a_check_that_died_with_its_projector_is_asked_again_when_a_hint_rings() {
    let world = World::start();
    let service = Service::start(&world).await;
    let tau = world.agent("tau", "pi").await;
    service.bend("check_messages", [None, Some(Whim::Lose)]);
    let mut mail = tau.subscribe().await.unwrap();
    while service.state().heard_of("check_messages") < 2 {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    service.store(1);
    service.push("tau").await;
    take(&mut mail, 1).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_consumer_that_does_not_take_holds_the_fetching_back() {
    let world = World::start();
    let service = Service::start(&world).await;
    let expected = service.store(1_000);
    let tau = world.agent("tau", "pi").await;
    let mut mail = tau.subscribe().await.unwrap();
    let mut got = take(&mut mail, 1).await;
    tau.check(&postroad_client::Check::default()).await.unwrap();
    // One page by the subscription and one question of ours, and nothing ahead of those.
    assert_eq!(service.state().heard_of("check_messages"), 2);
    got.extend(take(&mut mail, 999).await);
    assert_eq!(contents(&got), expected);
}

#[tokio::test]
async fn a_replaced_log_makes_the_cursor_void_and_still_nothing_comes_twice() {
    let world = World::start();
    let service = Service::start(&world).await;
    let mut expected = service.store(3);
    let tau = world.agent("tau", "pi").await;
    service.bend("check_messages", [None, Some(Whim::Refuse(bad_cursor()))]);
    let mut mail = tau.subscribe().await.unwrap();
    let mut got = take(&mut mail, 3).await;
    expected.extend(service.store(1));
    got.extend(take(&mut mail, 1).await);
    assert_eq!(contents(&got), expected);
}

#[tokio::test]
async fn an_error_that_does_not_pass_ends_the_subscription() {
    let world = World::start();
    let service = Service::start(&world).await;
    let tau = world.agent("tau", "pi").await;
    let refusal = postroad_protocol::Refusal::not_found("recipient", "reader");
    service.bend("check_messages", [Some(Whim::Refuse(refusal))]);
    let mut mail = tau.subscribe().await.unwrap();
    assert!(mail.next().await.unwrap().is_err());
    assert!(mail.next().await.is_none());
}
