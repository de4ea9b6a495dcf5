//! The cases of memories: another tenant's, another role's of the same tenant, and the library's, which nobody but the operator writes.

use super::{Agent, CANARY, Stage};
use crate::harness::raw;
use postroad_protocol::CommandId;
use serde_json::{Value, json};

/// An id that nobody has.
const NEVER: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
/// Stands in what the owner's role alone may read.
const PRIVATE: &str = "private-of-tau-51c0";
/// Stands in what the other tenant stores.
const THEIRS: &str = "canary-of-acme-two-88e1";

pub(super) async fn case(stage: &Stage, verb: &str) {
    match verb {
        "store_memory" => store(stage).await,
        "update_memory" | "forget_memory" => change(stage, verb).await,
        "import_memory" => import(stage).await,
        "get_memory" => get(stage).await,
        "list_memories" | "recall" => search(stage, verb).await,
        unknown => panic!("{unknown} has no case"),
    }
}

fn memory(namespace: &str, content: &str) -> Value {
    json!({"namespace": namespace, "type": "project", "content": content})
}

async fn save(agent: &Agent, namespace: &str, content: &str) -> Value {
    let saved = call(agent, "store_memory", memory(namespace, content)).await;
    assert!(saved["memoryId"].is_string(), "{saved}");
    saved["memoryId"].clone()
}

/// Calls a verb of memories.
async fn call(agent: &Agent, verb: &str, body: Value) -> Value {
    let kind = match verb {
        "get_memory" | "list_memories" | "recall" => "qry",
        _ => "cmd",
    };
    let scope = if verb == "import_memory" {
        "admin"
    } else {
        "memory"
    };
    agent.call(kind, scope, verb, body).await
}

async fn operator(stage: &Stage, kind: &str, verb: &str, body: Value) -> Value {
    let subject = format!("postroad._all.{kind}._operator.local.memory.{verb}");
    raw::request(&stage.operator.client, &subject, body.to_string()).await
}

/// One that the operator publishes to everybody.
async fn publish(stage: &Stage, content: &str) -> Value {
    let saved = operator(stage, "cmd", "store_memory", memory("global", content)).await;
    assert!(saved["memoryId"].is_string(), "{saved}");
    saved["memoryId"].clone()
}

fn refused(told: &Value, code: &str, field: &str) {
    assert_eq!(
        (&told["code"], &told["field"]),
        (&json!(code), &json!(field)),
        "{told}"
    );
    for secret in [CANARY, PRIVATE, "acme\""] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
}

/// Four events of the owner's tenant.
async fn store(stage: &Stage) {
    let shared = save(&stage.owner, "global", CANARY).await;
    let private = save(&stage.owner, "orchestrator/tau", PRIVATE).await;
    save(&stage.owner, "workspace/acme", CANARY).await;
    for (agent, namespace) in [
        (&stage.stranger, "workspace/acme"),
        (&stage.stranger, "orchestrator/pi"),
        (&stage.owner, "workspace/acme-two"),
        (&stage.owner, "orchestrator/pi"),
        (&stage.peer, "orchestrator/tau"),
    ] {
        let told = call(agent, "store_memory", memory(namespace, "x")).await;
        refused(&told, "permission_denied", "namespace");
    }
    for author in ["pi", "tau/i2", "_operator", "acme/tau", ""] {
        let mut body = memory("global", "x");
        body["createdBy"] = json!(author);
        let told = call(&stage.stranger, "store_memory", body).await;
        refused(&told, "permission_denied", "createdBy");
    }
    // What is another tenant's, or another role's, relates to nothing, and reads as what never was.
    for kind in ["updates", "extends", "derives"] {
        for (agent, id) in [
            (&stage.stranger, &shared),
            (&stage.stranger, &private),
            (&stage.peer, &private),
        ] {
            let of = |id: &Value| {
                let mut body = memory("global", "x");
                body["relatesTo"] = json!([{"type": kind, "memoryId": id}]);
                body
            };
            let told = call(agent, "store_memory", of(id)).await;
            refused(&told, "not_found", "relatesTo");
            let missing = call(agent, "store_memory", of(&json!(NEVER))).await;
            assert_eq!(told, missing, "foreign and missing answer alike");
        }
    }
    // The owner's command id is no obstacle to the stranger, whose memory is its own.
    let mut body = memory("global", THEIRS);
    body["commandId"] = json!(CommandId::generate().to_string());
    let mut owners = body.clone();
    owners["content"] = json!(CANARY);
    let first = call(&stage.owner, "store_memory", owners).await;
    let second = call(&stage.stranger, "store_memory", body).await;
    for (agent, saved, own) in [
        (&stage.owner, &first, CANARY),
        (&stage.stranger, &second, THEIRS),
    ] {
        // The id follows from role, instance and command: in each tenant it names that tenant's memory.
        assert_eq!(saved["memoryId"], first["memoryId"], "{saved}");
        let ask = json!({"memoryId": saved["memoryId"], "fresh": true});
        let told = call(agent, "get_memory", ask).await;
        assert_eq!(told["memory"]["content"], own, "{told}");
    }
    // An agent's `global` is its tenant's; the library is not open to it.
    let ask = json!({"memoryId": shared, "fresh": true});
    let told = call(&stage.stranger, "get_memory", ask).await;
    refused(&told, "not_found", "memoryId");
    // The operator publishes to all, and into nobody's tenant.
    publish(stage, "of the library").await;
    let subject = "postroad.acme.cmd._operator.local.memory.store_memory";
    let body = memory("global", "x").to_string();
    let told = raw::request(&stage.operator.client, subject, body).await;
    assert_eq!(told["code"], "invalid_argument", "{told}");
}

/// Four events of the owner's tenant.
async fn change(stage: &Stage, verb: &str) {
    let shared = save(&stage.owner, "global", CANARY).await;
    let private = save(&stage.owner, "orchestrator/tau", PRIVATE).await;
    let library = publish(stage, "everybody's").await;
    let body = |id: &Value| match verb {
        "update_memory" => json!({"memoryId": id, "content": "changed"}),
        _ => json!({"memoryId": id}),
    };
    for (agent, id) in [
        (&stage.stranger, &shared),
        (&stage.stranger, &private),
        (&stage.peer, &private),
        (&stage.owner, &library),
        (&stage.stranger, &library),
    ] {
        let told = call(agent, verb, body(id)).await;
        refused(&told, "not_found", "memoryId");
        let missing = call(agent, verb, body(&json!(NEVER))).await;
        assert_eq!(told, missing, "foreign and missing answer alike");
    }
    let operators = operator(stage, "cmd", verb, body(&shared)).await;
    assert_eq!(operators["code"], "not_found", "{operators}");
    if verb == "update_memory" {
        let own = save(&stage.stranger, "global", THEIRS).await;
        for foreign in [&shared, &private] {
            let relates = json!([{"type": "extends", "memoryId": foreign}]);
            let told = json!({"memoryId": own, "relatesTo": relates});
            let told = call(&stage.stranger, verb, told).await;
            refused(&told, "not_found", "relatesTo");
        }
    }
    for (id, content) in [
        (&shared, CANARY),
        (&private, PRIVATE),
        (&library, "everybody's"),
    ] {
        let ask = json!({"memoryId": id, "fresh": true});
        let kept = call(&stage.owner, "get_memory", ask).await;
        assert_eq!(kept["memory"]["content"], content, "{kept}");
        assert_eq!(kept["memory"]["version"], 1, "{kept}");
    }
    // Whoever may read it may change it.
    for (agent, id) in [(&stage.peer, &shared), (&stage.owner, &private)] {
        let served = call(agent, verb, body(id)).await;
        assert_eq!(served["memoryId"], *id, "{served}");
    }
    let served = operator(stage, "cmd", verb, body(&library)).await;
    assert_eq!(served["memoryId"], library, "{served}");
}

/// One event of the owner's tenant.
async fn import(stage: &Stage) {
    let line =
        json!({"id": "note-1", "namespace": "notes", "content": CANARY, "createdBy": "somebody"});
    let first = call(&stage.owner, "import_memory", line.clone()).await;
    assert_eq!(first["already"], false, "{first}");
    let again = call(&stage.owner, "import_memory", line.clone()).await;
    assert_eq!(
        (&again["already"], &again["memoryId"]),
        (&json!(true), &first["memoryId"]),
        "{again}"
    );
    // To the stranger the same line is new, and its own.
    let mut theirs = line.clone();
    theirs["content"] = json!(THEIRS);
    let theirs = call(&stage.stranger, "import_memory", theirs).await;
    assert_eq!(theirs["already"], false, "{theirs}");
    let mut into = line.clone();
    into["namespace"] = json!("workspace/acme");
    let told = call(&stage.stranger, "import_memory", into).await;
    refused(&told, "permission_denied", "namespace");
    for (agent, saved, own) in [
        (&stage.peer, &first, CANARY),
        (&stage.stranger, &theirs, THEIRS),
    ] {
        let ask = json!({"memoryId": saved["memoryId"], "fresh": true});
        let told = call(agent, "get_memory", ask).await;
        assert_eq!(told["memory"]["content"], own, "{told}");
    }
}

/// Two events of the owner's tenant.
async fn get(stage: &Stage) {
    let shared = save(&stage.owner, "project/road", CANARY).await;
    let private = save(&stage.owner, "orchestrator/tau", PRIVATE).await;
    let ask = |id: &Value| json!({"memoryId": id, "fresh": true});
    for (agent, id) in [
        (&stage.stranger, &shared),
        (&stage.stranger, &private),
        (&stage.peer, &private),
    ] {
        let told = call(agent, "get_memory", ask(id)).await;
        refused(&told, "not_found", "memoryId");
        let missing = call(agent, "get_memory", ask(&json!(NEVER))).await;
        assert_eq!(told, missing, "foreign and missing answer alike");
    }
    for (agent, id) in [
        (&stage.peer, &shared),
        (&stage.owner, &shared),
        (&stage.owner, &private),
    ] {
        let served = call(agent, "get_memory", ask(id)).await;
        assert_eq!(served["memory"]["memoryId"], *id, "{served}");
    }
    let seen = ["--json", "memory", "get", "--tenant", "acme"];
    let id = shared.as_str().expect("an id");
    let seen = stage.road.run(&[&seen[..], &[id]].concat()).expect(0);
    assert!(seen.stdout.contains(CANARY), "{}", seen.stdout);
    super::cases::expect_in_the_trail(stage, "get_memory");
}

/// Two events of the owner's tenant.
async fn search(stage: &Stage, verb: &str) {
    save(&stage.owner, "workspace/acme", CANARY).await;
    save(&stage.owner, "orchestrator/tau", PRIVATE).await;
    save(&stage.stranger, "workspace/acme-two", THEIRS).await;
    let ask = |more: Value| {
        let mut body = more;
        body["fresh"] = json!(true);
        body["limit"] = json!(50);
        if verb == "recall" {
            body["query"] = json!(format!("{CANARY} {PRIVATE}"));
        }
        body
    };
    let own = call(&stage.owner, verb, ask(json!({}))).await.to_string();
    assert!(own.contains(CANARY) && own.contains(PRIVATE), "{own}");
    let peers = call(&stage.peer, verb, ask(json!({}))).await.to_string();
    assert!(
        peers.contains(CANARY) && !peers.contains(PRIVATE),
        "{peers}"
    );
    for more in [
        json!({}),
        json!({"namespace": "global"}),
        json!({"namespace": "project/"}),
        json!({"namespace": "project/road"}),
        json!({"namespace": "workspace/"}),
        json!({"namespace": "orchestrator/"}),
        json!({"namespace": "orchestrator/tau"}),
        json!({"createdBy": "tau"}),
        json!({"createdBy": "tau/i1"}),
    ] {
        let told = call(&stage.stranger, verb, ask(more.clone())).await;
        assert!(told["code"].is_null(), "{more}: {told}");
        for secret in [CANARY, PRIVATE] {
            assert!(!told.to_string().contains(secret), "{told}");
        }
    }
    for (agent, namespace) in [
        (&stage.stranger, "workspace/acme"),
        (&stage.stranger, "orchestrator/pi"),
        (&stage.peer, "orchestrator/tau"),
        (&stage.owner, "workspace/acme-two"),
    ] {
        let told = call(agent, verb, ask(json!({"namespace": namespace}))).await;
        refused(&told, "permission_denied", "namespace");
    }
    if verb == "recall" {
        // Counts are one's own: by words, what only the owner stored matches nothing.
        let words = json!({"query": "51c0", "fresh": true});
        let told = call(&stage.stranger, verb, words).await;
        let results = told["results"].as_array().expect("results");
        for result in results {
            assert_eq!(result["why"]["words"], 0.0, "{told}");
        }
        let own = json!({"query": "51c0", "fresh": true});
        let own = call(&stage.owner, verb, own).await;
        assert!(
            own["results"][0]["why"]["words"].as_f64() > Some(0.0),
            "{own}"
        );
        let seen = ["--json", "recall", CANARY, "--tenant", "acme"];
        let seen = stage.road.run(&seen).expect(0);
        assert!(seen.stdout.contains(CANARY), "{}", seen.stdout);
        assert!(!seen.stdout.contains(THEIRS), "{}", seen.stdout);
        return super::cases::expect_in_the_trail(stage, verb);
    }
    let page = json!({"limit": 1, "fresh": true});
    let page = call(&stage.owner, verb, page).await;
    let cursor = page["nextCursor"].as_str().expect("there is more");
    for agent in [&stage.stranger, &stage.peer] {
        let told = call(agent, verb, json!({"cursor": cursor})).await;
        refused(&told, "invalid_argument", "cursor");
    }
    let next = call(&stage.owner, verb, json!({"cursor": cursor})).await;
    assert!(next["memories"].is_array(), "{next}");
    super::cases::operator_sees(stage, verb, &["memory", "list"]);
}
