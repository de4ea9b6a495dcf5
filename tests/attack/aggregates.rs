//! Counts, lists and waits: another tenant's mail moves none of them.

use crate::stage::{Agent, CANARY, INSTANCE, Stage};
use serde_json::{Value, json};

async fn send(from: &Agent, to: &str, instance: Option<&str>) -> Value {
    send_of(from, to, instance, "urgent").await
}

async fn send_of(from: &Agent, to: &str, instance: Option<&str>, priority: &str) -> Value {
    let body = json!({
        "channel": to, "instanceId": instance, "content": CANARY, "priority": priority
    });
    let sent = from.call("send_message", body).await;
    assert!(sent["messageId"].is_string(), "{sent}");
    sent
}

async fn remember(agent: &Agent) {
    let body = json!({"namespace": "global", "type": "note", "content": CANARY});
    let saved = agent.call("store_memory", body).await;
    assert!(saved["memoryId"].is_string(), "{saved}");
}

/// A task and a mission; what is given to the agent's own role is counted in its checks.
async fn plan(agent: &Agent) {
    let mission = json!({"title": CANARY, "pilot": "tau"});
    let mission = agent.call("create_mission", mission).await;
    let task = json!({
        "title": CANARY, "assignedTo": agent.role, "priority": "urgent", "dueAt": 1,
        "missionId": mission["missionId"]
    });
    let saved = agent.call("create_task", task).await;
    assert!(saved["taskId"].is_string(), "{saved}");
}

/// Everything that an agent can count or list, without positions and the times of calls.
async fn counted(agent: &Agent, message: &Value) -> Value {
    let mut told = Vec::new();
    for (verb, body) in [
        ("whoami", json!({"fresh": true})),
        ("check_messages", json!({"fresh": true, "limit": 200})),
        ("list_messages", json!({"fresh": true, "limit": 200})),
        ("list_messages", json!({"fresh": true, "sender": "pi"})),
        (
            "list_messages",
            json!({"fresh": true, "channel": "broadcast"}),
        ),
        ("list_peers", json!({"fresh": true})),
        (
            "message_status",
            json!({"fresh": true, "messageId": message}),
        ),
        ("get_message", json!({"fresh": true, "messageId": message})),
        ("list_memories", json!({"fresh": true, "limit": 200})),
        (
            "recall",
            json!({"fresh": true, "limit": 100, "query": CANARY}),
        ),
        (
            "recall",
            json!({"fresh": true, "query": "tau", "createdBy": "pi"}),
        ),
        ("search_messages", json!({"fresh": true, "query": CANARY})),
        ("list_tasks", json!({"fresh": true, "limit": 200})),
        ("list_tasks", json!({"fresh": true, "assignedTo": "tau"})),
        ("list_tasks", json!({"fresh": true, "ready": true})),
        ("list_missions", json!({"fresh": true, "limit": 200})),
    ] {
        let mut answer = agent.call(verb, body).await;
        assert!(answer["code"].is_null(), "{verb}: {answer}");
        let fields = answer.as_object_mut().unwrap();
        fields.remove("position");
        for peer in fields
            .get_mut("peers")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for changing in ["lastSeen", "online"] {
                peer.as_object_mut().unwrap().remove(changing);
            }
        }
        told.push(json!({verb: answer}));
    }
    json!(told)
}

#[tokio::test]
async fn nothing_that_an_agent_can_count_moves_with_another_tenants_mail() {
    let stage = Stage::set().await;
    let sent = send(&stage.stranger, "broadcast", None).await;
    assert_eq!(
        sent["recipientCount"], 1,
        "the other role of its own tenant: {sent}"
    );
    let message = &sent["messageId"];
    // Whoever gets it has got it, so that nothing of its own changes any more.
    stage
        .double
        .call("check_messages", json!({"fresh": true}))
        .await;
    let receipt = async || {
        let status = stage
            .stranger
            .call(
                "message_status",
                json!({"messageId": message, "fresh": true}),
            )
            .await;
        status["deliveredCount"] == 1
    };
    crate::harness::eventually("it is delivered", receipt).await;
    remember(&stage.stranger).await;
    remember(&stage.double).await;
    plan(&stage.stranger).await;
    plan(&stage.double).await;
    let awaits_nothing = async || {
        let body = json!({"fresh": true, "query": CANARY});
        let told = stage.stranger.call("recall", body).await;
        assert_eq!(told["matched"], 2, "{told}");
        told["awaiting"] == 0
    };
    crate::harness::eventually("its memories have their vectors", awaits_nothing).await;
    let before = counted(&stage.stranger, message).await;
    stage.deployment.creds("acme", "phi", Some(INSTANCE)).await;
    stage.deployment.creds("acme", "tau", Some("i2")).await;
    for _ in 0..5 {
        for (to, instance) in [
            ("tau", None),
            ("tau", Some(INSTANCE)),
            ("broadcast", None),
            ("pi,phi", None),
        ] {
            send(&stage.peer, to, instance).await;
            send(&stage.owner, to, instance).await;
        }
        remember(&stage.peer).await;
        remember(&stage.owner).await;
        plan(&stage.peer).await;
        plan(&stage.owner).await;
    }
    let page = stage
        .owner
        .call("check_messages", json!({"fresh": true, "limit": 200}))
        .await;
    assert!(
        page["unreadTotal"]
            .as_u64()
            .is_some_and(|count| count >= 15),
        "{page}"
    );
    let receipts: Vec<Value> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["receiptId"].clone())
        .collect();
    let marked = stage
        .owner
        .call("mark_as_read", json!({"receiptIds": receipts}))
        .await;
    assert_eq!(
        marked["marked"].as_array().map(Vec::len),
        Some(receipts.len()),
        "{marked}"
    );
    let after = counted(&stage.stranger, message).await;
    assert_eq!(before, after, "nothing moved");
    // Its own does move it.
    send(&stage.double, "tau", None).await;
    let own = stage
        .stranger
        .call("check_messages", json!({"fresh": true}))
        .await;
    assert_eq!(own["unreadTotal"], 1, "{own}");
}

/// What everything that tells a highest priority tells `agent`; they agree.
async fn highest(agent: &Agent) -> Value {
    let mut told = Vec::new();
    for verb in ["whoami", "check_messages", "list_messages"] {
        let answer = agent.call(verb, json!({"fresh": true})).await;
        assert!(answer["unreadTotal"].is_u64(), "{verb}: {answer}");
        told.push(answer["highestPriority"].clone());
    }
    assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
    told.swap_remove(0)
}

#[tokio::test]
async fn urgent_mail_shows_in_nobody_elses_highest_priority() {
    let stage = Stage::set().await;
    // Each `tau` has something unread of its own, so that a foreign priority would outrank it.
    send_of(&stage.peer, "tau", None, "low").await;
    send_of(&stage.double, "tau", None, "low").await;
    assert_eq!(highest(&stage.peer).await, Value::Null);
    for (to, instance) in [("pi", None), ("pi", Some(INSTANCE)), ("broadcast", None)] {
        send(&stage.owner, to, instance).await;
    }
    assert_eq!(highest(&stage.peer).await, "urgent", "it is its own");
    assert_eq!(highest(&stage.owner).await, "low", "another role's is not");
    assert_eq!(highest(&stage.stranger).await, "low", "nor a namesake's");
    assert_eq!(highest(&stage.double).await, Value::Null);
    // What others read takes nothing away either.
    for (agent, left) in [(&stage.owner, "low"), (&stage.peer, "urgent")] {
        let page = agent.call("check_messages", json!({"fresh": true})).await;
        let unread = page["messages"].as_array().unwrap().iter();
        let receipts: Vec<Value> = unread.map(|one| one["receiptId"].clone()).collect();
        assert_eq!(page["highestPriority"], left, "{page}");
        agent
            .call("mark_as_read", json!({"receiptIds": receipts}))
            .await;
        assert_eq!(highest(agent).await, Value::Null);
        assert_eq!(highest(&stage.stranger).await, "low");
    }
}

#[tokio::test]
async fn a_waiting_check_is_not_woken_by_another_tenants_mail() {
    let stage = Stage::set().await;
    let wait = json!({"fresh": true, "waitMs": 60_000});
    let waiting = stage.stranger.call("check_messages", wait);
    let others = async {
        for (to, instance) in [("tau", None), ("tau", Some(INSTANCE)), ("broadcast", None)] {
            for _ in 0..20 {
                send(&stage.peer, to, instance).await;
            }
        }
        let body = json!({"channel": "tau", "content": "its own"});
        stage.double.call("send_message", body).await
    };
    let (woken, sent) = tokio::join!(waiting, others);
    // Woken by the foreign mail it would have found nothing, or what is not its own.
    assert_eq!(
        woken["messages"].as_array().map(Vec::len),
        Some(1),
        "{woken}"
    );
    assert_eq!(
        woken["messages"][0]["messageId"], sent["messageId"],
        "{woken}"
    );
    assert_eq!(woken["unreadTotal"], 1, "{woken}");
}

#[tokio::test]
async fn a_broadcast_reaches_its_own_tenant_alone() {
    let stage = Stage::set().await;
    let sent = send(&stage.owner, "broadcast", None).await;
    assert_eq!(sent["recipientCount"], 1, "{sent}");
    let reached = stage
        .peer
        .call("check_messages", json!({"fresh": true}))
        .await;
    assert_eq!(
        reached["messages"][0]["messageId"], sent["messageId"],
        "{reached}"
    );
    for agent in [&stage.stranger, &stage.double] {
        for verb in ["check_messages", "list_messages"] {
            let page = agent.call(verb, json!({"fresh": true})).await;
            assert_eq!(
                (&page["messages"], &page["unreadTotal"]),
                (&json!([]), &json!(0)),
                "{page}"
            );
        }
    }
    let crossing = json!({"channel": "tau", "content": "x", "replyTo": sent["messageId"]});
    let refused = stage.double.call("send_message", crossing).await;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("not_found"), &json!("replyTo")),
        "{refused}"
    );
}
