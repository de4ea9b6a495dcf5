//! Whether an answer tells that something of somebody else's exists: what is foreign, what is another
//! role's and what never was must read alike, to the letter.

use crate::known::{Known, ONLY_INSTANCE, ONLY_ROLE};
use crate::stage::{CANARY, Stage, find};
use crate::verbs::{Entry, Names, entries};
use postroad_client::UserKey;
use postroad_protocol::catalogue::Who;
use serde_json::{Value, json};

/// An answer without what the caller gave itself or follows from that, and without where something was stored.
fn shape(mut answer: Value, given: &Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        for changing in [
            "position",
            "expiresAt",
            "jwt",
            "memoryId",
            "taskId",
            "version",
            "already",
        ] {
            fields.remove(changing);
        }
    }
    let given = given.get(0).unwrap_or(given);
    let given = given
        .get("memoryId")
        .unwrap_or(given)
        .as_str()
        .expect("a text is given");
    let text = answer.to_string().replace(given, "<given>");
    serde_json::from_str(&text).unwrap()
}

/// Verbs that refuse a role or an instance that is not on the caller's roster; others only filter by it.
const REFUSES_NAMES: &[&str] = &[
    "send_message",
    "retire_agent",
    "revoke_credential",
    "create_task",
    "update_task",
    "create_mission",
    "update_mission",
];
/// Verbs that want a proof, which nobody here has.
const WANT_PROOF: &[&str] = &["renew_credential", "end_credential"];

async fn probe(stage: &Stage, known: &Known, entry: &Entry, field: &str, names: Names) {
    let mut shapes = Vec::new();
    for value in known.values(names, entry.verb) {
        let mut body = match names {
            // Alone: what else is named would be marked by the first.
            Names::Receipts | Names::Messages => json!({}),
            _ => (entry.body)(known),
        };
        body[field] = value.clone();
        let answer = stage.stranger.call(entry.verb, body).await;
        let text = answer.to_string();
        for secret in [CANARY, ONLY_ROLE, ONLY_INSTANCE] {
            let is_given = value.to_string().contains(secret);
            assert!(
                is_given || !text.contains(secret),
                "{}: {answer}",
                entry.verb
            );
        }
        shapes.push((value.clone(), shape(answer, &value)));
    }
    let Some((_, first)) = shapes.first() else {
        return;
    };
    for (value, answer) in &shapes {
        assert_eq!(
            answer, first,
            "{} tells what {field}={value} is",
            entry.verb
        );
    }
    let is_operators = find(entry.verb).who == Who::Operator;
    let code = match names {
        _ if is_operators => Some("permission_denied"),
        Names::Message
        | Names::Memory
        | Names::Relations
        | Names::Task
        | Names::Tasks
        | Names::Mission
        | Names::Roles => Some("not_found"),
        Names::Author => Some("permission_denied"),
        Names::Role | Names::Instance if REFUSES_NAMES.contains(&entry.verb) => Some("not_found"),
        Names::Cursor => Some("invalid_argument"),
        _ => None,
    };
    assert_eq!(first["code"].as_str(), code, "{}: {first}", entry.verb);
    match names {
        Names::Receipts | Names::Messages => {
            assert_eq!(first["notFound"], json!(["<given>"]), "{first}");
            assert_eq!(first["marked"], json!([]), "{first}");
        }
        Names::OwnId if !is_operators => {
            // What somebody else calls so is no obstacle, and the caller's own is done.
            assert!(first["code"].is_null(), "{first}");
        }
        _ => {}
    }
}

async fn what_is_foreign_and_what_is_missing_read_alike(
    attacked: &'static str,
    hostile: &'static str,
) {
    let stage = Stage::between(attacked, hostile).await;
    let known = Known::fill(&stage).await;
    let trail = async || {
        let operator = stage.deployment.operator().await;
        let of = postroad_client::ReplayOf::Tenant(attacked.parse().unwrap());
        let events = crate::harness::log::events(&operator, of, 1).await;
        let own = ["operator_read", "messages_delivered", "usage_counted"];
        let asked = events
            .iter()
            .filter(|event| !own.contains(&event.type_name.as_str()));
        asked.count()
    };
    let own = json!({"receiptIds": [known.own.receipt]});
    let marked = stage.stranger.call("mark_as_read", own).await;
    assert_eq!(marked["marked"], json!([known.own.receipt]), "{marked}");
    let before = trail().await;
    for entry in entries() {
        for (field, names) in entry.fields {
            probe(&stage, &known, entry, field, *names).await;
        }
    }
    assert_eq!(
        trail().await,
        before,
        "nothing of the attacked tenant's changed"
    );
    // The other pole: whose it is is served, with the very ids that were refused.
    for (verb, body) in [
        ("get_message", json!({"messageId": known.foreign.message})),
        (
            "message_status",
            json!({"messageId": known.foreign.message}),
        ),
        (
            "send_message",
            json!({"channel": "pi", "content": "x", "replyTo": known.foreign.message}),
        ),
        (
            "send_message",
            json!({"channel": ONLY_ROLE, "content": "x"}),
        ),
        (
            "send_message",
            json!({"channel": "pi", "instanceId": ONLY_INSTANCE, "content": "x"}),
        ),
        (
            "check_messages",
            json!({"cursor": known.foreign.cursor("check_messages")}),
        ),
        (
            "list_messages",
            json!({"cursor": known.foreign.cursor("list_messages")}),
        ),
        (
            "list_peers",
            json!({"cursor": known.foreign.cursor("list_peers")}),
        ),
        (
            "list_memories",
            json!({"cursor": known.foreign.cursor("list_memories")}),
        ),
        ("get_memory", json!({"memoryId": known.foreign.memory})),
        (
            "update_memory",
            json!({"memoryId": known.foreign.spare, "relatesTo": [{"type": "updates", "memoryId": known.foreign.memory}]}),
        ),
        ("forget_memory", json!({"memoryId": known.foreign.spare})),
        (
            "list_tasks",
            json!({"cursor": known.foreign.cursor("list_tasks")}),
        ),
        (
            "list_missions",
            json!({"cursor": known.foreign.cursor("list_missions")}),
        ),
        ("list_tasks", json!({"missionId": known.foreign.mission})),
        ("get_mission", json!({"missionId": known.foreign.mission})),
        (
            "update_mission",
            json!({"missionId": known.foreign.mission, "agents": [ONLY_ROLE]}),
        ),
        (
            "create_task",
            json!({
                "title": "x", "assignedTo": "pi", "assignedToInstanceId": ONLY_INSTANCE,
                "dependsOn": [known.foreign.tasks["claim_task"]], "missionId": known.foreign.mission
            }),
        ),
        (
            "complete_task",
            json!({"taskId": known.foreign.tasks["complete_task"]}),
        ),
        (
            "mark_as_read",
            json!({"receiptIds": [known.foreign.receipt]}),
        ),
    ] {
        let served = stage.owner.call(verb, body).await;
        assert!(served["code"].is_null(), "{verb}: {served}");
        if verb == "mark_as_read" {
            assert_eq!(
                served["marked"],
                json!([known.foreign.receipt]),
                "nobody marked it before: {served}"
            );
        }
    }
}

#[tokio::test]
async fn of_a_tenant_with_a_shorter_name() {
    what_is_foreign_and_what_is_missing_read_alike("acme", "acme-two").await;
}

#[tokio::test]
async fn of_a_tenant_with_a_longer_name() {
    what_is_foreign_and_what_is_missing_read_alike("acme-two", "acme").await;
}

#[tokio::test]
async fn an_agent_is_refused_every_verb_of_the_operator_whatever_it_names() {
    let stage = Stage::set().await;
    let known = Known::fill(&stage).await;
    let before = stage.changes().await;
    for entry in entries() {
        let who = find(entry.verb).who;
        let answer = stage.stranger.call(entry.verb, (entry.body)(&known)).await;
        if who == Who::Operator {
            assert_eq!(
                answer["code"], "permission_denied",
                "{}: {answer}",
                entry.verb
            );
        } else if WANT_PROOF.contains(&entry.verb) {
            assert_eq!(answer["code"], "not_found", "{}: {answer}", entry.verb);
        } else {
            assert!(answer["code"].is_null(), "{}: {answer}", entry.verb);
        }
    }
    // Its own send, mark and summary, and a memory stored, one changed and one forgotten; what it did as its tenant's
    // administrator: one credential issued, one role retired, one revoked, one memory brought along. Of tasks: one created,
    // eight changed, a mission created and changed.
    assert_eq!(stage.changes().await, before + 10 + 11);
    let key = UserKey::generate().public_key();
    let wider = json!({"role": "_operator", "publicKey": key, "scopes": ["admin"], "tenantId": stage.stranger.tenant});
    let refused = stage.stranger.call("issue_credential", wider).await;
    assert!(refused["code"].is_string(), "{refused}");
}
