//! Push rings, subscriptions are gapless: over a projector's and a broker's death, a NATS restart
//! and a client that comes back.

use crate::harness::fleet::Fleet;
use crate::harness::{DEADLINE, Deployment, raw};
use futures_util::StreamExt;
use postroad_client::{Draft, Subscription};
use postroad_protocol::push::Hint;
use postroad_protocol::subject::inbox_prefix;
use tokio::time::timeout;

async fn next(mail: &mut Subscription) -> String {
    let message = timeout(DEADLINE, mail.next())
        .await
        .expect("mail in time")
        .expect("the stream goes on");
    message.expect("a message").content
}

#[tokio::test]
async fn a_hint_rings_on_the_subject_of_whom_the_message_is_for() {
    let deployment = Deployment::start();
    let alice = deployment.agent_by_position("default", "alice", "a").await;
    let creds = deployment.creds("default", "bob", Some("b")).await;
    let bob = raw::connect(
        &deployment.url,
        &creds,
        &inbox_prefix("default", "bob", "b"),
    )
    .await;
    let mut role = bob.subscribe("postroad.default.push.bob").await.unwrap();
    let mut instance = bob.subscribe("postroad.default.push.bob.b").await.unwrap();
    let mut broadcast = bob
        .subscribe("postroad.default.push.broadcast")
        .await
        .unwrap();
    bob.flush().await.unwrap();
    let instance_of_bob = "b".parse().unwrap();
    let drafts = [
        (Draft::new("bob", "role"), &mut role),
        (
            Draft::new("bob", "instance").instance(&instance_of_bob),
            &mut instance,
        ),
        (Draft::new("broadcast", "all"), &mut broadcast),
    ];
    for (draft, heard) in drafts {
        let sent = alice.send(&draft).await.unwrap();
        let hint = timeout(DEADLINE, heard.next())
            .await
            .expect("a hint in time")
            .expect("a hint");
        let hint: Hint = serde_json::from_slice(&hint.payload).unwrap();
        assert_eq!(
            (hint.message_id, hint.position),
            (sent.message_id, sent.position)
        );
        assert!(!hint.truncated);
    }
    alice
        .send(&Draft::new("bob", "x".repeat(16 * 1024 + 1)))
        .await
        .unwrap();
    let hint = timeout(DEADLINE, role.next()).await.unwrap().unwrap();
    let hint: Hint = serde_json::from_slice(&hint.payload).unwrap();
    assert!(
        hint.truncated && hint.content.is_none(),
        "long content stays behind"
    );
}

#[tokio::test]
async fn a_subscription_yields_everything_once_over_restarts_of_every_part() {
    let mut fleet = Fleet::start(2, 1, 1);
    fleet.tenant("acme", 1).await;
    let alice = fleet.agent_by_position("acme", "alice", "a").await;
    let bob = fleet.agent_by_position("acme", "bob", "b").await;
    let mut mail = bob.subscribe().await.unwrap();
    let mut expected = Vec::new();
    let mut sent = 0;
    for disturbance in ["nothing", "broker", "projector", "nats", "nothing"] {
        match disturbance {
            "broker" => {
                fleet.brokers[0].take().unwrap().kill();
                fleet.start_broker(0);
            }
            "projector" => {
                fleet.projectors[0].take().unwrap().kill();
                fleet.start_projector(0);
            }
            "nats" => {
                fleet.kill_nats();
                fleet.start_nats();
            }
            _ => {}
        }
        for _ in 0..5 {
            let content = format!("{sent} after {disturbance}");
            alice.send(&Draft::new("bob", &content)).await.unwrap();
            expected.push(content);
            sent += 1;
        }
        for content in expected.drain(..) {
            assert_eq!(next(&mut mail).await, content);
        }
    }
}

#[tokio::test]
async fn a_message_stored_but_never_pushed_is_yielded_all_the_same() {
    // A broker that dies between append and push leaves an event and no hint. Here the hint is
    // withheld by withholding the subscriber: it comes after the push is long gone.
    let deployment = Deployment::start();
    let alice = deployment.agent_by_position("default", "alice", "a").await;
    let bob = deployment.agent_by_position("default", "bob", "b").await;
    for number in 0..300 {
        alice
            .send(&Draft::new("bob", number.to_string()))
            .await
            .unwrap();
    }
    let mut mail = bob.subscribe().await.unwrap();
    for number in 0..300 {
        assert_eq!(next(&mut mail).await, number.to_string());
    }
    // A client that restarts begins with what it had not marked.
    drop(mail);
    let mut again = bob.subscribe().await.unwrap();
    assert_eq!(next(&mut again).await, "0");
}

#[tokio::test]
async fn an_agent_reads_what_it_wrote_on_whichever_projector_answers() {
    let fleet = Fleet::start(1, 1, 2);
    fleet.tenant("acme", 0).await;
    let alice = fleet.agent_by_position("acme", "alice", "a").await;
    fleet.agent("acme", "bob", "b").await;
    for number in 0..100 {
        let content = number.to_string();
        let sent = alice.send(&Draft::new("bob", &content)).await.unwrap();
        let read = alice.get_message(sent.message_id).await.unwrap();
        assert_eq!(read.message.content, content);
    }
}
