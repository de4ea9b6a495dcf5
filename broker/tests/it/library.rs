//! The operator's shared library: the deployment's own memories, which no tenant writes.

use crate::harness::{Caller, Server, Town, sequence, start_broker};
use crate::memories::{at, memory, old_id, told};
use async_nats::HeaderMap;
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::{Actor, Event, EventKey};
use postroad_protocol::id::{CommandId, InstanceId};
use postroad_protocol::limits::LIBRARY_SHARD;
use postroad_protocol::memory::{MemoryId, Namespace};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn what_the_operator_publishes_is_the_deployments_own_and_stored_once() {
    let town = Town::with_shards(Durability::PowerSafe, 2).await;
    let publish = async |body: &Value| {
        town.operator
            .command("_all", "memory.store_memory", body)
            .await
    };
    for command in [CommandId::generate(), old_id("publish")] {
        let body = memory(&json!({"commandId": command.to_string(), "createdBy": "_operator/cli"}));
        let first = publish(&body).await.unwrap();
        assert_eq!(first["position"]["shard"], LIBRARY_SHARD);
        let by = Actor::Operator(InstanceId::parse("cli").unwrap());
        let memory_id = MemoryId::of(EventKey::of(&by, command));
        assert_eq!(first["memoryId"], memory_id.to_string());
        let (tenant, record) = town.log().await.at(sequence(&first)).await;
        assert_eq!(tenant, None);
        assert_eq!((record.id, record.by), (command, by));
        assert!(
            matches!(&record.event, Event::MemoryStored(stored) if stored.namespace == Namespace::Global)
        );
        let length = town.log().await.len().await;
        assert_eq!(publish(&body).await.unwrap(), first);
        let mut other = body.clone();
        other["content"] = "something else".into();
        assert_eq!(
            told(publish(&other).await),
            at(ErrorCode::Conflict, "commandId")
        );
        assert_eq!(town.log().await.len().await, length);
    }
}

#[tokio::test]
async fn the_library_is_changed_and_forgotten_by_the_operator_alone() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let library = async |verb: &str, body: &Value| {
        town.operator
            .command("_all", &format!("memory.{verb}"), body)
            .await
    };
    let published = library("store_memory", &memory(&json!({}))).await.unwrap();
    let id = published["memoryId"].as_str().unwrap();
    let change = json!({"memoryId": id, "content": "we use Rust 1.90"});
    let forget = json!({"memoryId": id, "commandId": old_id("forget").to_string()});
    let not_found = at(ErrorCode::NotFound, "memoryId");
    for (verb, body) in [("update_memory", &change), ("forget_memory", &forget)] {
        let refused = tau.own(&format!("memory.{verb}"), body).await;
        assert_eq!(told(refused), not_found, "{verb}");
    }
    let updated = library("update_memory", &change).await.unwrap();
    let (tenant, record) = town.log().await.at(sequence(&updated)).await;
    assert_eq!(tenant, None);
    assert!(matches!(record.event, Event::MemoryUpdated(_)));
    let newer = memory(&json!({"relatesTo": [{"type": "updates", "memoryId": id}]}));
    library("store_memory", &newer).await.unwrap();
    let first = library("forget_memory", &forget).await.unwrap();
    assert_eq!(library("forget_memory", &forget).await.unwrap(), first);
    assert_eq!(told(library("update_memory", &change).await), not_found);
    assert_eq!(
        told(library("store_memory", &newer).await),
        at(ErrorCode::NotFound, "relatesTo")
    );
}

#[tokio::test]
async fn the_operator_writes_no_tenants_memories_and_the_library_knows_none_of_them() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let own = tau
        .own("memory.store_memory", &memory(&json!({})))
        .await
        .unwrap();
    let id = own["memoryId"].as_str().unwrap();
    let length = town.log().await.len().await;
    let cases = [
        ("store_memory", memory(&json!({}))),
        ("update_memory", json!({"memoryId": id, "content": "x"})),
        ("forget_memory", json!({"memoryId": id})),
    ];
    for (verb, body) in &cases {
        let verb = format!("memory.{verb}");
        for tenant in ["acme", "nobody"] {
            let refused = town.operator.command(tenant, &verb, body).await;
            let refusal = refused.unwrap_err();
            assert!(refusal.remedy.contains("name no tenant"), "{refusal:?}");
            assert_eq!(
                told(Err(refusal)),
                at(ErrorCode::InvalidArgument, "tenantId")
            );
        }
    }
    for (verb, body) in &cases[1..] {
        let refused = town
            .operator
            .command("_all", &format!("memory.{verb}"), body)
            .await;
        assert_eq!(told(refused), at(ErrorCode::NotFound, "memoryId"));
    }
    let relation = json!({"relatesTo": [{"type": "extends", "memoryId": id}]});
    for (more, expected) in [
        (relation, at(ErrorCode::NotFound, "relatesTo")),
        (
            json!({"namespace": "workspace/acme"}),
            at(ErrorCode::InvalidArgument, "namespace"),
        ),
        (
            json!({"namespace": "project/web"}),
            at(ErrorCode::InvalidArgument, "namespace"),
        ),
        (
            json!({"createdBy": "tau"}),
            at(ErrorCode::PermissionDenied, "createdBy"),
        ),
        (
            json!({"expiresAt": 1}),
            at(ErrorCode::InvalidArgument, "expiresAt"),
        ),
    ] {
        let refused = town
            .operator
            .command("_all", "memory.store_memory", &memory(&more))
            .await;
        assert_eq!(told(refused), expected, "{more}");
    }
    assert_eq!(town.log().await.len().await, length);
}

/// Has JetStream forget every id that it was given until now.
pub(crate) async fn forget_ids(server: &Server) {
    let context = async_nats::jetstream::new(server.connect("_INBOX.test").await);
    let mut stream = context.get_stream("POSTROAD_0").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.duplicate_window = Duration::from_millis(100);
    context.update_stream(config).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "probe");
    let started = Instant::now();
    let mut news = 0;
    // The first probe is news, and so is another once the first is forgotten.
    while news < 2 {
        assert!(started.elapsed() < Duration::from_secs(30));
        let subject = "postroad.acme.evt.0.message.tau".to_owned();
        let sent = context.publish_with_headers(subject, headers.clone(), "torn".into());
        news += u32::from(!sent.await.unwrap().await.unwrap().duplicate);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stores and changes memories under ids that are looked up; what is answered, and whether the import was there.
async fn store_all(operator: &Caller, tau: &Caller) -> ([Value; 5], bool) {
    let operate = async |tenant: &str, verb: &str, body: &Value| {
        operator.command(tenant, verb, body).await.unwrap()
    };
    let named = |name: &str| memory(&json!({"commandId": old_id(name).to_string()}));
    let change = |stored: &Value| {
        let id = old_id("change").to_string();
        json!({"memoryId": stored["memoryId"], "content": "y", "commandId": id})
    };
    let published = operate("_all", "memory.store_memory", &named("library")).await;
    let edited = operate("_all", "memory.update_memory", &change(&published)).await;
    let stored = tau.own("memory.store_memory", &named("own")).await.unwrap();
    let changed = tau.own("memory.update_memory", &change(&stored)).await;
    let line = json!({"namespace": "web", "content": "the hero is blue"});
    let mut imported = operate("acme", "admin.import_memory", &line).await;
    let already = imported.as_object_mut().unwrap().remove("already");
    let answers = [published, edited, stored, changed.unwrap(), imported];
    (answers, already.unwrap().as_bool().unwrap())
}

#[tokio::test]
async fn what_is_repeated_when_nobody_remembers_its_id_is_stored_once() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    let (first, already) = store_all(&town.operator, &tau).await;
    assert!(!already);
    forget_ids(&town.server).await;
    // Neither does a broker that has seen none of them stored.
    let _other = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let Town {
        broker,
        operator,
        server: _server,
        parts: _parts,
        ..
    } = town;
    broker.drain().await;
    assert_eq!(store_all(&operator, &tau).await, (first, true));
}
