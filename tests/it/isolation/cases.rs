//! One case a verb: what the stranger tries, and that the owner is served all the same.

use super::{CANARY, Stage, credentials, memories, tasks};
use crate::harness::{eventually, raw};
use serde_json::json;

pub(super) async fn case(name: &str, stage: &Stage) {
    match name {
        "send_message" => send_message(stage).await,
        "mark_as_read" => mark_as_read(stage).await,
        "set_summary" | "list_peers" => summaries(stage, name == "set_summary").await,
        "check_messages" | "list_messages" => lists(stage, name).await,
        "message_status" | "get_message" => one_message(stage, name).await,
        "whoami" => {
            let told = stage
                .stranger
                .call("qry", "self", "whoami", json!({}))
                .await;
            assert_eq!(
                (&told["tenantId"], &told["role"]),
                (&json!("acme-two"), &json!("tau"))
            );
            highest_priority(stage, "self", name).await;
            wakes(stage, name).await;
        }
        "issue_credential" | "retire_agent" | "list_agents" | "revoke_credential" => {
            credentials::of_the_roster(stage, name).await;
        }
        "renew_credential" | "end_credential" => credentials::of_ones_own(stage, name).await,
        "usage" => usage(stage).await,
        "search_messages" => searches(stage).await,
        "store_memory" | "update_memory" | "forget_memory" | "import_memory" | "get_memory"
        | "list_memories" | "recall" => memories::case(stage, name).await,
        "create_task" | "claim_task" | "release_task" | "update_task" | "add_dependency"
        | "block_task" | "complete_task" | "fail_task" | "cancel_task" | "create_mission"
        | "update_mission" | "get_task" | "list_tasks" | "get_mission" | "list_missions" => {
            tasks::case(stage, name).await;
        }
        operators => operators_only(stage, operators).await,
    }
}

async fn send_message(stage: &Stage) {
    let attempts = [
        (json!({"channel":"only-acme","content":"x"}), "not_found"),
        (
            json!({"channel":"pi","content":"x","instanceId":"only-here"}),
            "not_found",
        ),
        (
            json!({"channel":"pi","content":"x","replyTo":stage.message}),
            "not_found",
        ),
        (
            json!({"channel":"pi","content":"x","from":"pi"}),
            "permission_denied",
        ),
    ];
    for (body, code) in attempts {
        let refused = stage
            .stranger
            .call("cmd", "messages", "send_message", body.clone())
            .await;
        assert_eq!(refused["code"], code, "{body}: {refused}");
        assert!(
            !refused.to_string().contains("acme\""),
            "a refusal says nothing of the other: {refused}"
        );
    }
    // Re-using the owner's message id is the stranger's own message, and disturbs nothing.
    let body = json!({"channel":"pi","content":"mine","messageId":stage.message});
    let sent = stage
        .stranger
        .call("cmd", "messages", "send_message", body)
        .await;
    assert_eq!(sent["messageId"], stage.message, "{sent}");
    let served = stage
        .owner
        .call(
            "cmd",
            "messages",
            "send_message",
            json!({"channel":"pi","content":"again","replyTo":stage.message}),
        )
        .await;
    assert!(served["messageId"].is_string(), "{served}");
}

async fn mark_as_read(stage: &Stage) {
    let body =
        json!({"receiptIds":[stage.receipt],"messageIds":["0190163d-8694-739b-aea5-966c26f8ad91"]});
    let missed = stage
        .stranger
        .call("cmd", "messages", "mark_as_read", body)
        .await;
    assert_eq!(missed["marked"], json!([]), "{missed}");
    assert_eq!(
        missed["notFound"].as_array().map(Vec::len),
        Some(2),
        "{missed}"
    );
    // Nor can another role of the same tenant mark it.
    let missed = stage
        .owner
        .call(
            "cmd",
            "messages",
            "mark_as_read",
            json!({"receiptIds":[stage.receipt]}),
        )
        .await;
    assert_eq!(missed["notFound"], json!([stage.receipt]), "{missed}");
    let marked = stage
        .peer
        .call(
            "cmd",
            "messages",
            "mark_as_read",
            json!({"receiptIds":[stage.receipt]}),
        )
        .await;
    assert_eq!(marked["marked"], json!([stage.receipt]), "{marked}");
}

/// The operator is shown what a tenant has, and that tenant's log says so; another one's is not touched.
pub(super) fn operator_sees(stage: &Stage, verb: &str, args: &[&str]) {
    let shown = |tenant: &[&str]| {
        let args = [&["--json"][..], args, tenant].concat();
        stage.road.run(&args).expect(0).stdout
    };
    let reads = |tenant: &str| {
        let ran = stage.road.run(&["--json", "replay", "--tenant", tenant]);
        let lines = ran.expect(0).stdout;
        let is_read = |line: &&str| line.contains("operator_read") && line.contains(verb);
        lines.lines().filter(is_read).count()
    };
    let before = (reads("acme"), reads("acme-two"));
    let own = shown(&["--tenant", "acme"]);
    assert!(own.contains(CANARY) && !own.contains("acme-two"), "{own}");
    assert!(!own.contains("rcpt-"), "nobody's receipt: {own}");
    assert_eq!((reads("acme"), reads("acme-two")), (before.0 + 1, before.1));
    assert!(!shown(&["--tenant", "acme-two"]).contains(CANARY));
    let all = shown(&["--all-tenants"]);
    assert!(all.contains(CANARY) && all.contains("acme-two"), "{all}");
    assert!(reads("acme") > before.0 + 1 && reads("acme-two") > before.1 + 1);
}

async fn summaries(stage: &Stage, set: bool) {
    if set {
        let done = stage
            .owner
            .call("cmd", "self", "set_summary", json!({"summary":CANARY}))
            .await;
        assert!(done["position"].is_object(), "{done}");
    }
    let own = stage
        .peer
        .call("qry", "self", "list_peers", json!({"fresh":true}))
        .await;
    assert!(own.to_string().contains(CANARY), "{own}");
    let foreign = stage
        .stranger
        .call("qry", "self", "list_peers", json!({"fresh":true}))
        .await;
    assert!(
        foreign["peers"]
            .as_array()
            .is_some_and(|peers| peers.len() == 2),
        "{foreign}"
    );
    assert!(
        !foreign.to_string().contains(CANARY) && !foreign.to_string().contains("only-"),
        "{foreign}"
    );
    if !set {
        wakes(stage, "list_peers").await;
        operator_sees(stage, "list_peers", &["peers"]);
    }
}

/// How the owner is woken is shown in its tenant, and not where another tenant has an agent of its name.
async fn wakes(stage: &Stage, verb: &str) {
    let beat = json!({"leaving":false,"watching":true,"wakeAskedAt":11,"wakeConfirmedAt":12});
    let subject = "postroad.acme.presence.tau.i1";
    let owner = &stage.owner.watched.client;
    let sent = owner.publish(subject, beat.to_string().into()).await;
    sent.expect("the heartbeat is sent");
    let ask = json!({"fresh":true});
    eventually("the wake is shown to its tenant", async || {
        let told = stage.owner.call("qry", "self", verb, ask.clone()).await;
        told.to_string()
            .contains(r#""wakeAskedAt":11,"wakeConfirmedAt":12,"watching":true"#)
    })
    .await;
    let foreign = stage.stranger.call("qry", "self", verb, ask).await;
    for field in ["watching", "wakeAskedAt", "wakeConfirmedAt"] {
        assert!(!foreign.to_string().contains(field), "{foreign}");
    }
}

async fn lists(stage: &Stage, verb: &str) {
    let own = stage
        .owner
        .call("qry", "messages", "list_messages", json!({"fresh":true}))
        .await;
    assert!(own.to_string().contains(CANARY), "{own}");
    let foreign = stage
        .stranger
        .call("qry", "messages", verb, json!({"fresh":true}))
        .await;
    assert!(
        foreign["messages"].is_array() && !foreign.to_string().contains(CANARY),
        "{foreign}"
    );
    assert_eq!(foreign["unreadTotal"], 0, "counts are one's own: {foreign}");
    let page = stage
        .peer
        .call("qry", "messages", verb, json!({"limit":1,"fresh":true}))
        .await;
    if let Some(cursor) = page["nextCursor"].as_str() {
        let refused = stage
            .stranger
            .call("qry", "messages", verb, json!({"cursor":cursor}))
            .await;
        assert_eq!(refused["field"], "cursor", "{refused}");
    }
    highest_priority(stage, "messages", verb).await;
    if verb == "list_messages" {
        operator_sees(stage, verb, &["message", "list"]);
    }
}

/// The urgent mail of one role shows in that role's highest priority: neither in another role's of its
/// tenant, nor in another tenant's.
async fn highest_priority(stage: &Stage, scope: &str, verb: &str) {
    let ask = json!({"fresh":true});
    let own = stage.peer.call("qry", scope, verb, ask.clone()).await;
    assert_eq!(own["highestPriority"], "urgent", "{own}");
    for other in [&stage.owner, &stage.stranger] {
        let told = other.call("qry", scope, verb, ask.clone()).await;
        assert_eq!(told["unreadTotal"], 0, "{told}");
        assert!(told.get("highestPriority").is_none(), "{told}");
    }
}

async fn one_message(stage: &Stage, verb: &str) {
    // The stranger has sent a message under the same id: it gets its own, never the owner's.
    let own = stage
        .stranger
        .call(
            "qry",
            "messages",
            verb,
            json!({"messageId":stage.message,"fresh":true}),
        )
        .await;
    assert!(!own.to_string().contains(CANARY), "{own}");
    let missing = stage
        .stranger
        .call(
            "qry",
            "messages",
            verb,
            json!({"messageId":"0190163d-8694-739b-aea5-966c26f8ad91"}),
        )
        .await;
    // The other owner's other message exists; to the stranger that reads just as missing.
    let again = stage
        .owner
        .call("qry", "messages", "list_messages", json!({"fresh":true}))
        .await;
    let foreign_id = again["messages"][0]["messageId"].clone();
    let foreign = stage
        .stranger
        .call("qry", "messages", verb, json!({"messageId":foreign_id}))
        .await;
    assert_eq!(foreign, missing, "foreign and missing answer alike");
    assert_eq!(missing["code"], "not_found", "{missing}");
    let served = stage
        .owner
        .call("qry", "messages", verb, json!({"messageId":stage.message}))
        .await;
    assert!(served["code"].is_null(), "{served}");
}

async fn usage(stage: &Stage) {
    let ask = json!({"fresh":true});
    let own = stage.owner.call("qry", "self", "usage", ask.clone()).await;
    let foreign = stage.stranger.call("qry", "self", "usage", ask).await;
    for (used, tenant) in [(&own, "acme"), (&foreign, "acme-two")] {
        let days = used["days"].as_array().expect("days");
        assert!(!days.is_empty(), "{used}");
        assert!(days.iter().all(|day| day["tenant"] == tenant), "{used}");
    }
    assert!(!foreign.to_string().contains(CANARY), "{foreign}");
    let road = &stage.road;
    road.run(&["--json", "usage", "--tenant", "acme"]).expect(0);
    let trail = road.run(&["--json", "replay", "--tenant", "acme"]);
    let is_read = |line: &str| line.contains("operator_read") && line.contains("usage");
    assert!(trail.expect(0).stdout.lines().any(is_read));
}

/// The stranger finds nothing of what the owner finds, and is not even told how much there is.
async fn searches(stage: &Stage) {
    let ask = json!({"query":CANARY,"limit":100,"fresh":true});
    let call = async |agent: &super::Agent| {
        agent
            .call("qry", "messages", "search_messages", ask.clone())
            .await
    };
    for own in [&stage.owner, &stage.peer] {
        let found = call(own).await;
        assert!(found["messages"].to_string().contains(CANARY), "{found}");
        assert!(found["messages"][0]["score"].is_number(), "{found}");
    }
    let foreign = call(&stage.stranger).await;
    assert!(
        foreign["messages"].is_array() && !foreign.to_string().contains(CANARY),
        "{foreign}"
    );
    assert_eq!(foreign["matched"], 0, "counts are one's own: {foreign}");
    assert!(foreign.get("indexing").is_none(), "{foreign}");
    // Another role of the owner's tenant was not written to.
    let words = json!({"query":CANARY.rsplit('-').next(),"fresh":true});
    let aside = &stage.narrow[0].1;
    let subject = aside.subject_in("acme", "qry", "messages", "search_messages");
    let sent = aside
        .watched
        .client
        .publish(subject, words.to_string().into());
    sent.await.expect("it is sent, and goes no further");
    // The operator has no history of its own.
    let subject = "postroad.acme.qry._operator.local.messages.search_messages";
    let refused = raw::request(&stage.operator.client, subject, ask.to_string()).await;
    assert_eq!(refused["code"], "permission_denied", "{refused}");
}

async fn operators_only(stage: &Stage, verb: &str) {
    let road = &stage.road;
    let ran = match verb {
        "create_tenant" => road
            .run(&["--json", "tenant", "create", "acme-three"])
            .expect(0),
        "accept_damage" => {
            // Nothing is damaged: what can be read cannot be given up, nor what is not there yet.
            let args = ["shard", "accept-damage", "--shard", "0", "--from", "1"];
            road.run(&[&args[..], &["--to", "3"]].concat()).expect(5);
            road.run(&[&args[..], &["--to", "18446744073709551615"]].concat())
                .expect(2);
            return;
        }
        "suspend_tenant" => road
            .run(&["--json", "tenant", "suspend", "--tenant", "acme-three"])
            .expect(0),
        "resume_tenant" => road
            .run(&["--json", "tenant", "resume", "--tenant", "acme-three"])
            .expect(0),
        "set_limits" => {
            let limits = ["--json", "tenant", "limits", "--tenant", "acme-three"];
            road.run(&[&limits[..], &["--waits", "5"]].concat())
                .expect(0)
        }
        "list_tenants" => road.run(&["--json", "tenant", "list"]).expect(0),
        "get_tenant" => road.run(&["--json", "tenant", "show", "acme"]).expect(0),
        "status" => road.run(&["--json", "status"]).expect(0),
        "rebuild" => {
            road.run(&["--json", "rebuild"]).expect(0);
            let operator = road.operator().await;
            eventually("the rows are followed again", async || {
                let status = operator.operator().unwrap().status().await;
                status.is_ok_and(|status| {
                    status.shards.iter().all(|shard| shard.state == "following")
                })
            })
            .await;
            return;
        }
        "erase_tenant" => {
            // What is not confirmed changes nothing; one tenant's end leaves its namesake alone.
            let erase = [
                "--json",
                "tenant",
                "erase",
                "--tenant",
                "acme-three",
                "--confirm",
            ];
            road.run(&[&erase[..], &["acme"]].concat()).expect(2);
            road.run(&["tenant", "show", "acme-three"]).expect(0);
            road.run(&[&erase[..], &["acme-three"]].concat()).expect(0);
            road.run(&["tenant", "show", "acme-three"]).expect(3);
            let served = stage.owner.call("qry", "self", "whoami", json!({})).await;
            assert_eq!(served["tenantId"], "acme", "{served}");
            return;
        }
        "rotate_key" => {
            road.run(&["--json", "tenant", "rotate-key", "--tenant", "acme-two"])
                .expect(0);
            return;
        }
        "replay" => road
            .run(&["--json", "replay", "--tenant", "acme-two"])
            .expect(0),
        "import_events" => {
            let file = road.folder().join("acme-two.ndjson").display().to_string();
            let export = ["tenant", "export", "--tenant", "acme-two", "--out", &file];
            road.run(&export).expect(0);
            let exported = std::fs::read_to_string(&file).expect("the export was written");
            assert!(!exported.contains(CANARY), "{exported}");
            // Into the owner's tenant it does not go, whatever the operator asks.
            road.run(&["tenant", "import", &file, "--tenant", "acme"])
                .expect(5);
            road.run(&["tenant", "import", &file, "--tenant", "acme-four"])
                .expect(0)
        }
        unknown => panic!("{unknown} has no case"),
    };
    if verb == "replay" {
        assert!(
            !ran.stdout.contains(CANARY),
            "one tenant's replay shows one tenant: {}",
            ran.stdout
        );
    }
    if verb == "get_tenant" {
        expect_in_the_trail(stage, verb);
    }
}

/// An operator's read of tenant data is an event in that tenant's own log.
pub(super) fn expect_in_the_trail(stage: &Stage, verb: &str) {
    let trail = stage
        .road
        .run(&["--json", "replay", "--tenant", "acme"])
        .expect(0);
    let mut lines = trail.stdout.lines();
    assert!(
        lines.any(|line| line.contains("operator_read") && line.contains(verb)),
        "{}",
        trail.stdout
    );
}
