//! `import_events`: the one command that stores several events, each once, all or none, and only where
//! the tenant holds nothing else.

use crate::harness::{Town, public_key, sequence, start_broker};
use postroad_broker::Durability;
use postroad_protocol::ErrorCode;
use postroad_protocol::event::{Actor, Event, EventKey, SummarySet};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role, TimeMs};
use postroad_protocol::limits::IMPORT_MAX_EVENTS;
use postroad_protocol::memory::MemoryId;
use postroad_protocol::portable::PortableEvent;
use serde_json::{Value, json};

fn tau() -> Reader {
    Reader {
        role: Role::parse("tau").unwrap(),
        instance: InstanceId::parse("pi").unwrap(),
    }
}

/// So many events of one agent, of long ago.
fn events(count: usize) -> Vec<Value> {
    let event = |number: usize| {
        let event = Event::from(SummarySet {
            reader: tau(),
            summary: format!("{number}"),
        });
        let event = PortableEvent {
            sequence: number as u64,
            id: CommandId::derived(&[&number.to_be_bytes()]).to_string(),
            time: TimeMs(1_711_670_400_000 + number as u64),
            by: Actor::Agent(tau()).to_string(),
            type_name: event.type_name().to_owned(),
            schema: event.schema(),
            data: serde_json::to_value(&event).unwrap(),
        };
        serde_json::to_value(event).unwrap()
    };
    (0..count).map(event).collect()
}

/// The summaries of a tenant in the order of the log, and how many imports it tells of.
async fn stored(town: &Town, tenant: &str) -> (Vec<String>, usize) {
    let (mut summaries, mut told) = (Vec::new(), 0);
    for (owner, record) in town.log().await.all().await {
        if owner.is_none_or(|owner| owner.as_str() != tenant) {
            continue;
        }
        match record.event {
            Event::SummarySet(data) => {
                assert_eq!(record.by, Actor::Agent(tau()));
                assert_eq!(
                    record.time.0 - 1_711_670_400_000,
                    data.summary.parse::<u64>().unwrap()
                );
                summaries.push(data.summary);
            }
            Event::OperatorRead(data) if data.verb == "import_events" => told += 1,
            _ => {}
        }
    }
    (summaries, told)
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn parts_of_an_import_are_stored_in_order_and_a_repeat_stores_nothing() {
    for durability in [Durability::PowerSafe, Durability::Fast] {
        let town = Town::new(durability).await;
        town.tenant("acme", &[]).await;
        let events = events(60);
        let id = CommandId::generate().to_string();
        let part = async |id: &str, range: std::ops::Range<usize>, after: Option<u64>| {
            let body = json!({"events": events[range], "after": after, "commandId": id});
            let imported = town
                .operator
                .command("acme", "admin.import_events", &body)
                .await;
            imported.unwrap()
        };
        let first = part(&id, 0..40, None).await;
        assert_eq!(
            (&first["imported"], &first["skipped"]),
            (&40.into(), &0.into())
        );
        let again = part(&id, 0..40, None).await;
        assert_eq!(
            (&again["imported"], &again["skipped"]),
            (&0.into(), &40.into())
        );
        assert_eq!(sequence(&again), sequence(&first));
        // One event alone, then a part of which some is there.
        let one = part(&id, 40..41, Some(sequence(&first))).await;
        assert_eq!(sequence(&one), sequence(&first) + 1);
        // Somebody else goes on with it, from its beginning.
        let other = CommandId::generate().to_string();
        let last = part(&other, 0..60, None).await;
        assert_eq!(
            (&last["imported"], &last["skipped"]),
            (&19.into(), &41.into())
        );
        assert_eq!(stored(&town, "acme").await, (numbers(60), 2));
    }
}

#[tokio::test]
async fn what_is_no_part_of_a_history_stores_nothing() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &[]).await;
    let before = town.log().await.len().await;
    let refused = async |tenant: &str, body: Value| {
        let refused = town
            .operator
            .command(tenant, "admin.import_events", &body)
            .await
            .unwrap_err();
        (refused.code, refused.field.unwrap_or_default())
    };
    let changed = |field: &str, value: Value| {
        let mut events = events(3);
        events[1][field] = value;
        json!({ "events": events })
    };
    let invalid = |field: &str| (ErrorCode::InvalidArgument, field.to_owned());
    assert_eq!(refused("acme", json!({})).await, invalid("events"));
    assert_eq!(
        refused("acme", json!({"events": []})).await,
        invalid("events")
    );
    assert_eq!(
        refused("acme", json!({"events": events(IMPORT_MAX_EVENTS + 1)})).await,
        (ErrorCode::TooLarge, "events".to_owned())
    );
    for (field, value) in [
        ("id", json!("7")),
        ("by", json!("tau/other")),
        ("type", json!("sung")),
        ("schema", json!(9)),
        ("data", json!({"reader": 7})),
    ] {
        let at = match field {
            "schema" => "type",
            field => field,
        };
        let expected = invalid(&format!("events[1].{at}"));
        assert_eq!(
            refused("acme", changed(field, value)).await,
            expected,
            "{field}"
        );
    }
    let mut created = changed("type", json!("tenant_created"));
    created["events"][1]["data"] = json!({"tenant": "acme", "generation": 1});
    assert_eq!(refused("acme", created).await, invalid("events[1].type"));
    let good = json!({ "events": events(3) });
    let nobody = (ErrorCode::NotFound, "tenantId".to_owned());
    assert_eq!(refused("nobody", good.clone()).await, nobody);
    assert_eq!(town.log().await.len().await, before);
    // The same id with other content, once it is there.
    let import = town.operator.command("acme", "admin.import_events", &good);
    import.await.unwrap();
    let conflict = (ErrorCode::Conflict, "events[1]".to_owned());
    assert_eq!(refused("acme", changed("time", json!(5))).await, conflict);
    let agent = town.agent("acme", "tau", "pi").await;
    let refusal = agent.own("admin.import_events", &good).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PermissionDenied);
    assert_eq!(stored(&town, "acme").await, (numbers(3), 1));
}

#[tokio::test]
async fn memories_of_a_history_keep_their_ids_and_go_on() {
    let town = Town::new(Durability::PowerSafe).await;
    town.tenant("acme", &[]).await;
    let by = Actor::Agent(tau());
    let id = |n: u8| CommandId::derived(&[&[n]]);
    let memory = |n: u8| MemoryId::of(EventKey::of(&by, id(n))).to_string();
    let event = |n: u8, name: &str, data: Value| {
        json!({
            "sequence": n, "id": id(n).to_string(), "time": 1_711_670_400_000_u64, "by": by.to_string(),
            "type": name, "schema": 1, "data": data,
        })
    };
    let stored = |more: Value| {
        let mut data = json!({"namespace": "workspace", "type": "user", "content": "x"});
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let relates = |kind: &str| json!([{"type": kind, "memoryId": memory(1)}]);
    let events = [
        event(1, "memory_stored", stored(json!({"expiresAt": 7}))),
        event(
            2,
            "memory_stored",
            stored(json!({"relatesTo": relates("updates")})),
        ),
        event(
            3,
            "memory_updated",
            json!({"memoryId": memory(1), "change": {"content": "y"}}),
        ),
        event(4, "memory_stored", stored(json!({"namespace": "global"}))),
        event(5, "memory_forgotten", json!({"memoryId": memory(4)})),
    ];
    let import = async |events: &[Value]| {
        let body = json!({"events": events});
        town.operator
            .command("acme", "admin.import_events", &body)
            .await
    };
    let mut bad = events.clone();
    bad[1]["data"]["tags"] = json!(["b", "a"]);
    let refusal = import(&bad).await.unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("events[1].tags"));
    assert_eq!(import(&events).await.unwrap()["imported"], 5);
    assert_eq!(import(&events).await.unwrap()["skipped"], 5);
    town.issue("acme", "tau", None).await;
    let agent = town.agent("acme", "tau", "pi").await;
    let change = async |n: u8| {
        let body = json!({"memoryId": memory(n), "content": "z"});
        agent.own("memory.update_memory", &body).await
    };
    assert!(change(1).await.is_ok() && change(2).await.is_ok());
    assert_eq!(change(4).await.unwrap_err().code, ErrorCode::NotFound);
    let circle =
        json!({"memoryId": memory(1), "relatesTo": [{"type": "updates", "memoryId": memory(2)}]});
    let refusal = agent
        .own("memory.update_memory", &circle)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Conflict);
    // The same command, repeated here, is the one that was brought in.
    let again = json!({
        "namespace": "workspace/acme", "type": "user", "content": "x", "relatesTo": relates("updates"),
        "commandId": id(2).to_string(),
    });
    let answer = agent.own("memory.store_memory", &again).await.unwrap();
    assert_eq!(answer["memoryId"], memory(2));
}

#[tokio::test]
async fn what_comes_to_the_tenant_meanwhile_fails_an_import_whole() {
    let town = Town::new(Durability::PowerSafe).await;
    // Two brokers, so that no lock in one of them helps.
    let _second = start_broker(&town.server, Durability::PowerSafe, 1).await;
    let body = json!({ "events": events(30) });
    for round in 0..8 {
        let tenant = format!("t{round}");
        town.tenant(&tenant, &[]).await;
        let issue = json!({"role": "tau", "publicKey": &public_key()});
        let (one, two, issued) = tokio::join!(
            town.operator.command(&tenant, "admin.import_events", &body),
            town.operator.command(&tenant, "admin.import_events", &body),
            town.operator
                .command(&tenant, "admin.issue_credential", &issue),
        );
        assert!(issued.is_ok(), "{issued:?}");
        let (summaries, told) = stored(&town, &tenant).await;
        let imported: Vec<_> = [&one, &two]
            .into_iter()
            .filter_map(|one| one.as_ref().ok())
            .collect();
        for refused in [&one, &two]
            .into_iter()
            .filter_map(|one| one.as_ref().err())
        {
            assert_eq!(refused.code, ErrorCode::Conflict, "{refused:?}");
        }
        if imported.is_empty() {
            assert_eq!((summaries.len(), told), (0, 0));
        } else {
            assert_eq!((summaries, told), (numbers(30), 1));
            let new: u64 = imported
                .iter()
                .filter_map(|one| one["imported"].as_u64())
                .sum();
            assert_eq!(new, 30);
        }
    }
}
