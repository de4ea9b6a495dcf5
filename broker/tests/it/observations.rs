//! What projectors report becomes events: once for one cause.

use crate::harness::{Town, sequence};
use async_nats::client::Client;
use postroad_broker::Durability;
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding, decode_answer};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Event, EventKey};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role, TenantId};
use postroad_protocol::service::{OBSERVE, Observation, Observed};
use postroad_protocol::subject::{Owner, Service};
use serde_json::json;

/// An agent.
pub(crate) fn reader(role: &str, instance: &str) -> Reader {
    Reader {
        role: Role::parse(role).unwrap(),
        instance: InstanceId::parse(instance).unwrap(),
    }
}

/// Reports what a projector saw; says where that is stored.
pub(crate) async fn observe(
    town: &Town,
    client: &Client,
    tenant: &str,
    observation: &Observation,
) -> Result<u64, Refusal> {
    let tenant = TenantId::parse(tenant).unwrap();
    let subject = town
        .subjects
        .service(Service::Broker, Owner::Tenant(&tenant), OBSERVE);
    let body = Encoding::MessagePack.encode(observation);
    let answer = client.request(subject, body.into()).await.unwrap();
    let refused = answer
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
    let observed: Observed = decode_answer(Encoding::MessagePack, &answer.payload, refused)?;
    Ok(observed.position.sequence)
}

#[tokio::test]
async fn one_cause_is_stored_once_however_often_it_is_reported() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let call = Observation::FirstCall {
        reader: reader("tau", "pi"),
    };
    let registered = observe(&town, &projector, "acme", &call).await.unwrap();
    assert_eq!(
        observe(&town, &projector, "acme", &call).await.unwrap(),
        registered
    );
    let record = town.log().await.at(registered).await.1;
    assert!(matches!(record.event, Event::ReaderRegistered(_)));
    let delivered = Observation::Delivered {
        reader: reader("tau", "pi"),
        messages: vec![EventKey::from_bytes([1; 16])],
    };
    let place = observe(&town, &projector, "acme", &delivered)
        .await
        .unwrap();
    assert_eq!(
        observe(&town, &projector, "acme", &delivered)
            .await
            .unwrap(),
        place
    );
    // What a query registered, a command need not register again.
    let tau = town.agent("acme", "tau", "pi").await;
    assert_eq!(tau.say("tau", "x").await, place + 1);
}

#[tokio::test]
async fn every_read_of_an_operator_is_in_the_audit_trail() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let read = Observation::OperatorRead {
        operator: InstanceId::parse("cli").unwrap(),
        verb: "replay".into(),
        what: "everything".into(),
    };
    let first = observe(&town, &projector, "acme", &read).await.unwrap();
    assert_ne!(
        observe(&town, &projector, "acme", &read).await.unwrap(),
        first
    );
    // The tenant's own subject has moved on, and creating it again is still a conflict.
    let again = town
        .operator
        .command("acme", "admin.create_tenant", &json!({}))
        .await
        .unwrap_err();
    assert_eq!(again.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn a_retired_readers_call_is_refused_and_only_projectors_are_heard() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let projector = town.server.connect("_INBOX._sys.projector").await;
    let call = Observation::FirstCall {
        reader: reader("tau", "pi"),
    };
    observe(&town, &projector, "acme", &call).await.unwrap();
    let body = json!({"role": "tau", "instanceId": "pi"});
    let retired = town
        .operator
        .command("acme", "admin.retire_agent", &body)
        .await
        .unwrap();
    let refusal = observe(&town, &projector, "acme", &call).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PermissionDenied);
    assert_eq!(
        observe(&town, &projector, "nobody", &call)
            .await
            .unwrap_err()
            .code,
        ErrorCode::NotFound
    );
    let stranger = town.server.connect("_INBOX.acme.bob.mac").await;
    let subject = "postroad._sys.broker.acme.observe";
    let body = Encoding::MessagePack.encode(&call);
    stranger
        .publish_with_reply(subject, "_INBOX.acme.bob.mac.1", body.into())
        .await
        .unwrap();
    let bob = town.agent("acme", "bob", "mac").await;
    bob.send(CommandId::generate(), "bob", "behind it")
        .await
        .unwrap();
    assert_eq!(town.broker.counters().dropped_requests, 1);
    assert_eq!(town.log().await.len().await, sequence(&retired) + 2);
}
