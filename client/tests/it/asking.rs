//! One question, one answer: what a caller is told when answers are lost, late, refused or denied.

use crate::service::{Service, Whim, position};
use crate::world::World;
use futures_util::StreamExt as _;
use postroad_client::{Check, Client, ClientError, ConnectOptions, Credential, Draft};
use postroad_protocol::permission::PermissionTemplate;
use postroad_protocol::{ErrorCode, Refusal};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_send_whose_answer_was_lost_is_sent_again_under_its_id_and_stored_once() {
    let world = World::start();
    let service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    service.bend("send_message", [Some(Whim::LoseAnswer)]);
    let draft = Draft::new("tau", "hello");
    let sent = alice.send(&draft).await.unwrap();
    assert_eq!(sent.message_id, draft.id());
    let state = service.state();
    assert_eq!(state.messages.len(), 1);
    assert_eq!(state.heard.len(), 2);
    assert!(state.heard.iter().all(|heard| heard.1 == Some(draft.id())));
}

#[tokio::test]
async fn a_command_that_is_never_answered_has_an_unknown_outcome() {
    let world = World::start();
    let service = Service::start(&world).await;
    let creds = world.agent_creds("alice", "desk", &["self", "messages"]);
    let options = world.options(&creds).timeout(Duration::from_millis(200));
    let alice = Client::connect(options).await.unwrap();
    service.bend("send_message", [Some(Whim::LoseAnswer)]);
    let draft = Draft::new("tau", "hello");
    let error = alice.send(&draft).await.unwrap_err();
    assert!(
        matches!(error, ClientError::OutcomeUnknown { id } if id == draft.id()),
        "{error:?}"
    );
    // The advice is to send the same draft again; it is the same message.
    alice.send(&draft).await.unwrap();
    assert_eq!(service.state().messages.len(), 1);
}

#[tokio::test]
async fn where_nobody_serves_the_caller_learns_that_nothing_changed() {
    let world = World::start();
    let creds = world.agent_creds("alice", "desk", &["self", "messages"]);
    let options = world.options(&creds).timeout(Duration::from_millis(300));
    let alice = Client::connect(options).await.unwrap();
    for error in [
        alice.send(&Draft::new("tau", "hello")).await.unwrap_err(),
        alice.check(&Check::default()).await.unwrap_err(),
    ] {
        assert_eq!(
            error.refusal().unwrap().code,
            ErrorCode::Unavailable,
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_may_pass_is_waited_out_and_what_may_not_is_told_at_once() {
    let world = World::start();
    let service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    let refuse = |code| Some(Whim::Refuse(Refusal::new(code, "m", "r")));
    service.bend(
        "send_message",
        [
            refuse(ErrorCode::RateLimited),
            refuse(ErrorCode::Unavailable),
        ],
    );
    alice.send(&Draft::new("tau", "hello")).await.unwrap();
    assert_eq!(service.state().heard.len(), 3);

    service.bend("send_message", [refuse(ErrorCode::NotFound)]);
    let error = alice
        .send(&Draft::new("nobody", "hello"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(service.state().heard.len(), 4);
}

#[tokio::test]
async fn a_question_names_the_furthest_place_that_was_seen() {
    let world = World::start();
    let service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    alice.check(&Check::default()).await.unwrap();
    alice.send(&Draft::new("tau", "one")).await.unwrap();
    alice.send(&Draft::new("tau", "two")).await.unwrap();
    alice.check(&Check::default()).await.unwrap();
    alice.mark_as_read(["receipt-1"]).await.unwrap();
    let state = service.state();
    let named: Vec<_> = state.heard.iter().map(|heard| heard.2).collect();
    assert_eq!(named[3], Some(position(2)));
    assert_eq!(named[4], Some(position(2)));
}

#[tokio::test]
async fn a_position_of_a_replaced_log_is_forgotten() {
    let world = World::start();
    let service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    alice.send(&Draft::new("tau", "one")).await.unwrap();
    let refusal = Refusal::invalid("position", "of another log", "leave it out");
    service.bend("check_messages", [Some(Whim::Refuse(refusal))]);
    alice.check(&Check::default()).await.unwrap();
    assert_eq!(service.state().heard.last().unwrap().2, None);
}

#[tokio::test]
async fn what_the_server_denies_is_told_at_once() {
    let world = World::start();
    let _service = Service::start(&world).await;
    // The tags say that it may, the server says that it may not.
    let may = PermissionTemplate {
        publish_allow: vec!["nothing".to_owned()],
        subscribe_allow: vec!["_INBOX.acme.alice.desk.>".to_owned()],
        ..PermissionTemplate::default()
    };
    let tags = [
        "tenant:acme",
        "role:alice",
        "instance:desk",
        "scope:messages",
    ];
    let creds = world.creds(&tags.map(str::to_owned), &may);
    let alice = Client::connect(world.options(&creds)).await.unwrap();
    let started = Instant::now();
    let error = alice.send(&Draft::new("tau", "hello")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(started.elapsed() < Duration::from_secs(2));
    // A scope that the credential itself lacks is not even asked for.
    let error = alice.set_summary("busy").await.unwrap_err();
    assert!(error.to_refusal().message.contains("`self`"), "{error}");
}

#[tokio::test]
async fn a_credential_of_another_deployment_is_unauthorized() {
    let (world, other) = (World::start(), World::start());
    let creds = other.agent_creds("alice", "desk", &["messages"]);
    let error = Client::connect(world.options(&creds)).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unauthorized { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_call_made_while_the_server_is_down_is_served_when_it_is_back() {
    let mut world = World::start();
    let service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    world.kill();
    let draft = Draft::new("tau", "hello");
    let (sent, ()) = tokio::join!(alice.send(&draft), async { world.restart() });
    sent.unwrap();
    assert_eq!(service.state().messages.len(), 1);
}

#[tokio::test]
async fn a_server_that_stays_down_is_unreachable_and_nothing_was_sent() {
    let mut world = World::start();
    let creds = world.agent_creds("alice", "desk", &["messages"]);
    let options = world.options(&creds).timeout(Duration::from_millis(300));
    let alice = Client::connect(options).await.unwrap();
    world.kill();
    // The first call may still find the connection up and lose its question in it.
    let _ = alice.send(&Draft::new("tau", "lost")).await;
    let error = alice.send(&Draft::new("tau", "hello")).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn presence_says_that_one_is_there_and_that_one_leaves() {
    let world = World::start();
    let service = Service::start(&world).await;
    let heartbeats = service.nats().subscribe("postroad.*.presence.*.*").await;
    let mut heartbeats = heartbeats.unwrap();
    service.nats().flush().await.unwrap();
    let alice = world.agent("alice", "desk").await;
    let presence = alice.keep_present().unwrap();
    let first = heartbeats.next().await.unwrap();
    assert_eq!(first.subject.as_str(), "postroad.acme.presence.alice.desk");
    assert_eq!(&first.payload[..], br#"{"leaving":false}"#);
    presence.leave().await;
    let last = heartbeats.next().await.unwrap();
    assert_eq!(&last.payload[..], br#"{"leaving":true}"#);
    drop(alice.keep_present().unwrap());
    while &heartbeats.next().await.unwrap().payload[..] != br#"{"leaving":true}"# {}
}

#[tokio::test]
async fn a_closed_client_says_so() {
    let world = World::start();
    let _service = Service::start(&world).await;
    let alice = world.agent("alice", "desk").await;
    let other = alice.clone();
    alice.close().await.unwrap();
    let error = other.send(&Draft::new("tau", "hello")).await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::Closed | ClientError::OutcomeUnknown { .. }
    ));
}

#[tokio::test]
async fn an_operator_is_told_to_use_an_agents_credential() {
    let world = World::start();
    let tags = ["role:_operator", "instance:desk"].map(str::to_owned);
    let creds = world.creds(&tags, &PermissionTemplate::default());
    let options = ConnectOptions::new(&world.url(), Credential::parse(&creds).unwrap());
    let operator = Client::connect(options).await.unwrap();
    assert!(operator.operator().is_ok());
    let error = operator
        .send(&Draft::new("tau", "hello"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.to_refusal().remedy.contains("--as"));
}
