//! Memories of a tenant: stored, changed, forgotten, brought in; who may, and what is refused.

use crate::harness::{Caller, Town, sequence};
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, EventKey};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn reader() -> Reader {
    Reader {
        role: Role::parse("tau").unwrap(),
        instance: InstanceId::parse("pi").unwrap(),
    }
}

/// A town where `acme` has the roles `tau` and `bob`; and `tau/pi`.
async fn acme() -> (Town, Caller) {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &["tau", "bob"]).await;
    let tau = town.agent("acme", "tau", "pi").await;
    (town, tau)
}

/// The body of a store with `more`.
pub(crate) fn memory(more: &Value) -> Value {
    let mut body = json!({"namespace": "global", "type": "project", "content": "we use Rust"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn store(caller: &Caller, more: Value) -> Result<Value, Refusal> {
    caller.own("memory.store_memory", &memory(&more)).await
}

/// Stores a memory; says its id.
async fn remember(caller: &Caller, more: Value) -> String {
    let answer = store(caller, more).await.unwrap();
    answer["memoryId"].as_str().unwrap().to_owned()
}

async fn update(caller: &Caller, id: &str, more: Value) -> Result<Value, Refusal> {
    let mut body = json!({"memoryId": id});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    caller.own("memory.update_memory", &body).await
}

async fn forget(caller: &Caller, id: &str, command: CommandId) -> Result<Value, Refusal> {
    let body = json!({"memoryId": id, "commandId": command.to_string()});
    caller.own("memory.forget_memory", &body).await
}

pub(crate) fn told(refused: Result<Value, Refusal>) -> (ErrorCode, String) {
    let refusal = refused.unwrap_err();
    (refusal.code, refusal.field.unwrap_or_default())
}

pub(crate) fn at(code: ErrorCode, field: &str) -> (ErrorCode, String) {
    (code, field.to_owned())
}

/// An id that no broker takes for a fresh one.
pub(crate) fn old_id(name: &str) -> CommandId {
    CommandId::derived(&[name.as_bytes()])
}

#[tokio::test]
async fn a_memory_is_stored_in_order_without_asking_anybody() {
    let (mut town, tau) = acme().await;
    tau.say("bob", "registers").await;
    // What is fresh and relates to nothing is decided by the broker alone, as a send is.
    town.parts.silence_projector();
    let id = CommandId::generate();
    let body = memory(&json!({
        "namespace": "workspace/Acme", "tags": ["b", "a", "b"], "episode": " planning ",
        "createdBy": "tau/pi", "commandId": id.to_string(),
    }));
    let answer = tau.own("memory.store_memory", &body).await.unwrap();
    let by = Actor::Agent(reader());
    let memory_id = MemoryId::of(EventKey::of(&by, id));
    assert_eq!(answer["memoryId"], memory_id.to_string());
    let (tenant, record) = town.log().await.at(sequence(&answer)).await;
    assert_eq!(tenant.unwrap().as_str(), "acme");
    assert_eq!((record.id, record.by), (id, by));
    let Event::MemoryStored(stored) = record.event else {
        panic!("{:?}", record.event)
    };
    assert_eq!(stored.namespace, Namespace::Workspace);
    assert_eq!(stored.tags, ["a", "b"]);
    assert_eq!(stored.episode.as_deref(), Some("planning"));
    // A repeat is the same memory, at the same place; another content under the id is refused.
    let again = tau.own("memory.store_memory", &body).await.unwrap();
    assert_eq!(again, answer);
    let mut other = body;
    other["content"] = "we use Go".into();
    let refused = tau.own("memory.store_memory", &other).await;
    assert_eq!(told(refused), at(ErrorCode::Conflict, "commandId"));
}

#[tokio::test]
async fn a_large_memory_and_those_behind_it_are_stored_in_the_order_in_which_they_came() {
    let (town, tau) = acme().await;
    let large = "x".repeat(64 * 1024);
    let contents = ["one", &large, "three", "four"];
    let subject = tau.subject("acme", "memory.store_memory");
    let mut waiting = Vec::new();
    for content in contents {
        let inbox = tau.client.new_inbox();
        waiting.push(tau.client.subscribe(inbox.clone()).await.unwrap());
        let body = memory(&json!({"content": content})).to_string();
        let sent = tau
            .client
            .publish_with_reply(subject.clone(), inbox, body.into());
        sent.await.unwrap();
    }
    for mut inbox in waiting {
        let answer = futures_util::StreamExt::next(&mut inbox).await.unwrap();
        crate::harness::read(&answer).unwrap();
    }
    let all = town.log().await.all().await.into_iter();
    let stored: Vec<String> = all
        .filter_map(|(_, record)| match record.event {
            Event::MemoryStored(stored) => Some(stored.content),
            _ => None,
        })
        .collect();
    assert_eq!(stored, contents);
}

#[tokio::test]
async fn what_is_anothers_or_ends_too_early_stores_nothing() {
    let (town, tau) = acme().await;
    tau.say("bob", "registers").await;
    let length = town.log().await.len().await;
    for (more, expected) in [
        (
            json!({"namespace": "workspace/globex"}),
            at(ErrorCode::PermissionDenied, "namespace"),
        ),
        (
            json!({"namespace": "orchestrator/bob"}),
            at(ErrorCode::PermissionDenied, "namespace"),
        ),
        (
            json!({"createdBy": "bob"}),
            at(ErrorCode::PermissionDenied, "createdBy"),
        ),
        (
            json!({"expiresAt": 1}),
            at(ErrorCode::InvalidArgument, "expiresAt"),
        ),
        (
            json!({"tenantId": "globex"}),
            at(ErrorCode::PermissionDenied, "tenantId"),
        ),
    ] {
        assert_eq!(told(store(&tau, more.clone()).await), expected, "{more}");
    }
    assert_eq!(town.log().await.len().await, length);
}

#[tokio::test]
async fn a_relation_needs_a_memory_that_the_caller_may_know_of() {
    let (town, tau) = acme().await;
    town.tenant("globex", &["tau"]).await;
    let bob = town.agent("acme", "bob", "mac").await;
    let globex = town.agent("globex", "tau", "pi").await;
    let foreign = remember(&globex, json!({})).await;
    let private = remember(&bob, json!({"namespace": "orchestrator/bob"})).await;
    let forgotten = remember(&bob, json!({})).await;
    forget(&bob, &forgotten, CommandId::generate())
        .await
        .unwrap();
    let library = town
        .operator
        .command("_all", "memory.store_memory", &memory(&json!({})))
        .await
        .unwrap()["memoryId"]
        .as_str()
        .unwrap()
        .to_owned();
    let length = town.log().await.len().await;
    let unknown = CommandId::generate().to_string();
    let not_found = at(ErrorCode::NotFound, "relatesTo");
    for id in [&foreign, &private, &forgotten, &library, &unknown] {
        for kind in ["updates", "extends", "derives"] {
            let relation = json!({"relatesTo": [{"type": kind, "memoryId": id}]});
            assert_eq!(told(store(&tau, relation).await), not_found, "{kind} {id}");
        }
    }
    let command = CommandId::generate();
    let own = MemoryId::of(EventKey::of(&Actor::Agent(reader()), command));
    let itself = json!({
        "commandId": command.to_string(),
        "relatesTo": [{"type": "extends", "memoryId": own.to_string()}],
    });
    let invalid = at(ErrorCode::InvalidArgument, "relatesTo");
    assert_eq!(told(store(&tau, itself).await), invalid);
    assert_eq!(town.log().await.len().await, length + 1, "tau registered");
    // Of what it may know of, it takes the place only within a namespace.
    let old = remember(&bob, json!({"namespace": "project/web"})).await;
    let relation = |kind: &str| json!({"relatesTo": [{"type": kind, "memoryId": old}]});
    let refusal = store(&tau, relation("updates")).await.unwrap_err();
    assert!(refusal.remedy.contains("extends or derives"), "{refusal:?}");
    assert_eq!(told(Err(refusal)), invalid);
    store(&tau, relation("derives")).await.unwrap();
    let mut newer = relation("updates");
    newer["namespace"] = "project/web".into();
    store(&tau, newer).await.unwrap();
}

#[tokio::test]
async fn memories_never_take_each_others_place_in_a_circle() {
    let (_town, tau) = acme().await;
    let updates = |id: &str| json!({"relatesTo": [{"type": "updates", "memoryId": id}]});
    let first = remember(&tau, json!({})).await;
    let second = remember(&tau, updates(&first)).await;
    let third = remember(&tau, updates(&second)).await;
    let circle = at(ErrorCode::Conflict, "relatesTo");
    for newer in [&second, &third] {
        assert_eq!(told(update(&tau, &first, updates(newer)).await), circle);
    }
    assert_eq!(
        told(update(&tau, &first, updates(&first)).await),
        at(ErrorCode::InvalidArgument, "relatesTo")
    );
    let extends = json!({"relatesTo": [{"type": "extends", "memoryId": third}]});
    update(&tau, &first, extends).await.unwrap();
    // Once the way is cut, it may run the other way round.
    update(&tau, &second, json!({"relatesTo": []}))
        .await
        .unwrap();
    update(&tau, &first, updates(&second)).await.unwrap();
    let refused = update(&tau, &second, updates(&first)).await;
    assert_eq!(told(refused), circle);
}

#[tokio::test]
async fn an_update_says_what_is_different_and_is_repeated_once() {
    let (town, tau) = acme().await;
    let id = remember(&tau, json!({"episode": "e"})).await;
    let bob = town.agent("acme", "bob", "mac").await;
    let command = old_id("update");
    let change = json!({
        "content": "we use Rust 1.90", "episode": "", "occurredAt": 0, "expiresAt": 0,
        "commandId": command.to_string(),
    });
    // What everybody may read, everybody may change.
    let answer = update(&bob, &id, change.clone()).await.unwrap();
    assert_eq!(answer["memoryId"], id);
    let (_, record) = town.log().await.at(sequence(&answer)).await;
    let Event::MemoryUpdated(updated) = record.event else {
        panic!("{:?}", record.event)
    };
    assert_eq!(updated.memory_id.to_string(), id);
    assert_eq!(updated.change.episode.as_deref(), Some(""));
    assert_eq!(updated.change.expires_at, Some(TimeMs(0)));
    assert_eq!(updated.change.tags, None);
    let past = update(&bob, &id, json!({"expiresAt": 1})).await;
    assert_eq!(told(past), at(ErrorCode::InvalidArgument, "expiresAt"));
    forget(&tau, &id, CommandId::generate()).await.unwrap();
    // It was stored before the memory was forgotten, so its retry is no refusal.
    assert_eq!(update(&bob, &id, change).await.unwrap(), answer);
    let refused = update(&bob, &id, json!({"content": "x"})).await;
    assert_eq!(told(refused), at(ErrorCode::NotFound, "memoryId"));
}

#[tokio::test]
async fn what_a_caller_may_not_know_of_is_not_found_alike() {
    let (town, tau) = acme().await;
    town.tenant("globex", &["tau"]).await;
    let bob = town.agent("acme", "bob", "mac").await;
    let globex = town.agent("globex", "tau", "pi").await;
    let foreign = remember(&globex, json!({})).await;
    let private = remember(&bob, json!({"namespace": "orchestrator/bob"})).await;
    let forgotten = remember(&bob, json!({})).await;
    forget(&bob, &forgotten, CommandId::generate())
        .await
        .unwrap();
    let unknown = CommandId::generate().to_string();
    tau.say("bob", "registers").await;
    let length = town.log().await.len().await;
    let mut refusals = Vec::new();
    for id in [&*foreign, &private, &forgotten, &unknown, "7", "_sys", ""] {
        refusals.push(update(&tau, id, json!({"content": "x"})).await.unwrap_err());
        refusals.push(forget(&tau, id, CommandId::generate()).await.unwrap_err());
    }
    assert!(refusals.iter().all(|refusal| refusal == &refusals[0]));
    assert_eq!(
        told(Err(refusals.remove(0))),
        at(ErrorCode::NotFound, "memoryId")
    );
    assert_eq!(town.log().await.len().await, length);
    update(&bob, &private, json!({"content": "x"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forget_repeated_under_its_id_is_answered_as_the_first() {
    let (town, tau) = acme().await;
    for command in [CommandId::generate(), old_id("forget")] {
        let id = remember(&tau, json!({})).await;
        let first = forget(&tau, &id, command).await.unwrap();
        assert_eq!(first["memoryId"], id);
        let length = town.log().await.len().await;
        assert_eq!(forget(&tau, &id, command).await.unwrap(), first);
        let another = forget(&tau, &id, CommandId::generate()).await;
        assert_eq!(told(another), at(ErrorCode::NotFound, "memoryId"));
        // The id was made for this memory.
        let other = remember(&tau, json!({"content": "other"})).await;
        let reused = forget(&tau, &other, command).await;
        assert_eq!(told(reused), at(ErrorCode::Conflict, "commandId"));
        assert_eq!(town.log().await.len().await, length + 1);
    }
}

#[tokio::test]
async fn a_store_is_repeated_after_its_end_and_after_it_was_forgotten() {
    let (town, tau) = acme().await;
    for command in [CommandId::generate(), old_id("store")] {
        let end = TimeMs::now().0 + 2_000;
        let body = json!({"expiresAt": end, "commandId": command.to_string()});
        let first = store(&tau, body.clone()).await.unwrap();
        let started = Instant::now();
        while TimeMs::now().0 <= end {
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(store(&tau, body.clone()).await.unwrap(), first);
        let id = first["memoryId"].as_str().unwrap();
        forget(&tau, id, CommandId::generate()).await.unwrap();
        let length = town.log().await.len().await;
        assert_eq!(store(&tau, body).await.unwrap(), first);
        assert_eq!(town.log().await.len().await, length);
    }
}

#[tokio::test]
async fn who_lacks_the_scope_or_was_shut_out_reaches_no_memory() {
    let (town, tau) = acme().await;
    let id = remember(&tau, json!({})).await;
    let body = json!({"role": "mail", "scopes": ["self", "messages"], "publicKey": crate::harness::public_key()});
    town.operator
        .command("acme", "admin.issue_credential", &body)
        .await
        .unwrap();
    let mail = town.agent("acme", "mail", "pi").await;
    let all = async |caller: &Caller| {
        [
            store(caller, json!({})).await,
            update(caller, &id, json!({"content": "x"})).await,
            forget(caller, &id, CommandId::generate()).await,
            caller.own("admin.import_memory", &memory(&json!({}))).await,
        ]
    };
    let denied = |refused: [Result<Value, Refusal>; 4]| {
        for refused in refused {
            let refusal = refused.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::PermissionDenied, "{refusal:?}");
        }
    };
    denied(all(&mail).await);
    let operate = async |verb: &str, body: Value| {
        let done = town.operator.command("acme", verb, &body).await;
        done.unwrap()
    };
    operate("admin.suspend_tenant", json!({})).await;
    denied(all(&tau).await);
    operate("admin.resume_tenant", json!({})).await;
    let retire = json!({"role": "tau", "instanceId": "pi"});
    operate("admin.retire_agent", retire).await;
    denied(all(&tau).await);
}

#[tokio::test]
async fn memories_meet_the_tenants_limits_and_a_forget_never_does() {
    let (town, tau) = acme().await;
    let limit = async |body: Value| {
        let set = town.operator.command("acme", "admin.set_limits", &body);
        set.await.unwrap();
    };
    let over = |refused: Result<Value, Refusal>, named: &str| {
        let refusal = refused.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::QuotaExceeded, "{refusal:?}");
        assert!(refusal.message.contains(named), "{refusal:?}");
    };
    let command = CommandId::generate().to_string();
    limit(json!({"set": {"memories": 2}})).await;
    let id = remember(&tau, json!({})).await;
    let second = json!({"content": "second", "commandId": command});
    let stored = store(&tau, second.clone()).await.unwrap();
    over(store(&tau, json!({})).await, "memories");
    let import = memory(&json!({"id": "7"}));
    let import = town
        .operator
        .command("acme", "admin.import_memory", &import);
    over(import.await, "memories");
    // What is stored is no news, and neither mail nor a change is a memory.
    assert_eq!(store(&tau, second).await.unwrap(), stored);
    update(&tau, &id, json!({"content": "x"})).await.unwrap();
    tau.say("bob", "x").await;
    limit(json!({"set": {"storedBytes": 1}, "reset": ["memories"]})).await;
    over(store(&tau, json!({})).await, "stored-bytes");
    over(
        update(&tau, &id, json!({"content": "y"})).await,
        "stored-bytes",
    );
    forget(&tau, &id, CommandId::generate()).await.unwrap();
}

#[tokio::test]
async fn a_line_is_brought_in_once_by_administrators_and_operators() {
    let (town, tau) = acme().await;
    let body = json!({"role": "admin", "scopes": ["self", "admin"], "publicKey": crate::harness::public_key()});
    let issued = town
        .operator
        .command("acme", "admin.issue_credential", &body);
    issued.await.unwrap();
    let admin = town.agent("acme", "admin", "pi").await;
    for caller in [&admin, &town.operator] {
        let import = async |line: &Value| caller.command("acme", "admin.import_memory", line).await;
        let line = json!({
            "id": "m-1", "namespace": "landing-page", "content": "the hero is blue",
            "created_by": "J\u{fc}rgen <j@example.com>", "occurredAt": 7,
        });
        let first = import(&line).await.unwrap();
        assert_eq!(first["already"], false);
        let again = import(&line).await.unwrap();
        assert_eq!(again["already"], true);
        for field in ["memoryId", "position"] {
            assert_eq!(again[field], first[field]);
        }
        let (tenant, record) = town.log().await.at(sequence(&first)).await;
        assert_eq!(tenant.unwrap().as_str(), "acme");
        let Event::MemoryStored(stored) = record.event else {
            panic!("{:?}", record.event)
        };
        assert_eq!(stored.namespace.stored(), "project/landing-page");
        let origin = stored.imported.unwrap();
        assert_eq!(origin.id.as_deref(), Some("m-1"));
        assert_eq!(
            origin.author.as_deref(),
            Some("J\u{fc}rgen <j@example.com>")
        );
        let mut other = line.clone();
        other["content"] = "the hero is red".into();
        assert_eq!(told(import(&other).await), at(ErrorCode::Conflict, "id"));
        other["commandId"] = CommandId::generate().to_string().into();
        assert_eq!(import(&other).await.unwrap()["already"], false);
        other["tags"] = json!(["x"]);
        assert_eq!(
            told(import(&other).await),
            at(ErrorCode::Conflict, "commandId")
        );
        // Without an id the whole line is its name.
        let plain = json!({"namespace": "orchestrator/bob", "content": "bob likes tea"});
        assert_eq!(import(&plain).await.unwrap()["already"], false);
        assert_eq!(import(&plain).await.unwrap()["already"], true);
        let mut tagged = plain.clone();
        tagged["tags"] = json!(["tea"]);
        assert_eq!(import(&tagged).await.unwrap()["already"], false);
        let foreign = json!({"namespace": "workspace/globex", "content": "x"});
        assert_eq!(
            told(import(&foreign).await),
            at(ErrorCode::PermissionDenied, "namespace")
        );
        let ended = json!({"namespace": "global", "content": "x", "expiresAt": 1});
        assert_eq!(
            told(import(&ended).await),
            at(ErrorCode::InvalidArgument, "expiresAt")
        );
    }
    let line = json!({"namespace": "global", "content": "x"});
    let nobody = town.operator.command("_all", "admin.import_memory", &line);
    assert_eq!(
        told(nobody.await),
        at(ErrorCode::InvalidArgument, "tenantId")
    );
    let unknown = town
        .operator
        .command("nobody", "admin.import_memory", &line);
    assert_eq!(told(unknown.await), at(ErrorCode::NotFound, "tenantId"));
    let agent = tau.own("admin.import_memory", &line).await.unwrap_err();
    assert_eq!(agent.code, ErrorCode::PermissionDenied);
}
