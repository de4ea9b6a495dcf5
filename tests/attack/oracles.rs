//! Whether an answer tells that something of somebody else's exists: what is foreign, what is another
//! role's and what never was must read alike, to the letter.

use crate::stage::{Agent, CANARY, INSTANCE, Stage, find};
use crate::verbs::{ENTRIES, Entry, Names};
use postroad_client::UserKey;
use postroad_protocol::catalogue::Who;
use postroad_protocol::command::receipt_id;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{InstanceId, MessageId, Reader, Role};
use serde_json::{Value, json};

/// A role, and an instance of it, that only the attacked tenant has.
const ONLY_ROLE: &str = "only-theirs";
const ONLY_INSTANCE: &str = "only-here";

/// What one agent has.
#[derive(Debug)]
pub struct Has {
    pub message: Value,
    pub receipt: Value,
    /// One in the namespace of its own role, to which nobody else is let in.
    pub memory: Value,
    /// Another of its own, to be forgotten.
    pub spare: Value,
    /// Ids that it has made up itself: of a message, a summary, a memory and a change of one.
    made_up: [Value; 4],
    cursors: Vec<(&'static str, Value)>,
}

/// What the attacker may know of by name: its own, another role's in its own tenant, and the other tenant's.
#[derive(Debug)]
pub struct Known {
    pub own: Has,
    double: Has,
    foreign: Has,
}

impl Has {
    /// `agent` gets mail from `from` and sends some itself, and looks at all of it a page at a time.
    async fn of(agent: &Agent, from: &Agent, content: &str) -> Self {
        for _ in 0..3 {
            send(from, json!({"channel": agent.role, "content": content})).await;
        }
        let made_up = [0; 4].map(|_| json!(MessageId::generate().to_string()));
        let first = json!({"channel": "phi", "content": content, "messageId": made_up[0]});
        send(agent, first).await;
        let message = send(agent, json!({"channel": "broadcast", "content": content})).await;
        let set = agent
            .call(
                "set_summary",
                json!({"summary": content, "commandId": made_up[1]}),
            )
            .await;
        assert!(set["position"].is_object(), "{set}");
        let private = format!("orchestrator/{}", agent.role);
        let memory = json!(MessageId::generate().to_string());
        let memory = save(agent, &private, content, &memory).await;
        let spare = save(agent, &private, content, &made_up[2]).await;
        let changed = json!({"memoryId": spare, "tags": ["changed"], "commandId": made_up[3]});
        let changed = agent.call("update_memory", changed).await;
        assert!(changed["position"].is_object(), "{changed}");
        let mut cursors = Vec::new();
        let mut receipt = Value::Null;
        for verb in [
            "check_messages",
            "list_messages",
            "list_peers",
            "message_status",
            "list_memories",
        ] {
            let mut body = json!({"limit": 1, "fresh": true});
            if verb == "message_status" {
                body["messageId"] = message.clone();
            }
            let page = agent.call(verb, body).await;
            if verb == "check_messages" {
                receipt = page["messages"][0]["receiptId"].clone();
            }
            if page["nextCursor"].is_string() {
                cursors.push((verb, page["nextCursor"].clone()));
            }
        }
        assert!(
            cursors.len() >= 3 && receipt.is_string(),
            "{cursors:?} {receipt}"
        );
        Self {
            message,
            receipt,
            memory,
            spare,
            made_up,
            cursors,
        }
    }

    fn cursor(&self, verb: &str) -> Value {
        let found = self.cursors.iter().find(|(of, _)| *of == verb);
        found
            .or(self.cursors.first())
            .map(|(_, cursor)| cursor.clone())
            .unwrap()
    }
}

async fn send(from: &Agent, body: Value) -> Value {
    let sent = from.call("send_message", body).await;
    assert!(sent["messageId"].is_string(), "{sent}");
    sent["messageId"].clone()
}

async fn save(agent: &Agent, namespace: &str, content: &str, id: &Value) -> Value {
    let body = json!({"namespace": namespace, "type": "note", "content": content, "commandId": id});
    let saved = agent.call("store_memory", body).await;
    assert!(saved["memoryId"].is_string(), "{saved}");
    saved["memoryId"].clone()
}

impl Known {
    /// Fills the stage.
    pub async fn fill(stage: &Stage) -> Self {
        let tenant = stage.owner.tenant;
        stage
            .deployment
            .creds(tenant, ONLY_ROLE, Some(ONLY_INSTANCE))
            .await;
        stage
            .deployment
            .creds(tenant, "pi", Some(ONLY_INSTANCE))
            .await;
        // Each of them has more than one reader to a broadcast.
        for tenant in [tenant, stage.stranger.tenant] {
            stage.deployment.creds(tenant, "phi", Some(INSTANCE)).await;
        }
        Self {
            foreign: Has::of(&stage.owner, &stage.peer, CANARY).await,
            own: Has::of(&stage.stranger, &stage.double, "its own").await,
            // The other role's mail is from itself: the attacker has no part in it.
            double: {
                send(&stage.double, json!({"channel": "phi", "content": CANARY})).await;
                let hidden =
                    send(&stage.double, json!({"channel": "phi", "content": CANARY})).await;
                let mut has = Has::of(&stage.double, &stage.stranger, "its own").await;
                has.message = hidden;
                has
            },
        }
    }

    /// Values for a field, the first two of which name something that exists and is not the attacker's, the
    /// others nothing at all.
    fn values(&self, names: Names, verb: &str) -> Vec<Value> {
        let fresh = || json!(MessageId::generate().to_string());
        let never = json!("5f0c7a52-1f0b-4b39-9a2b-6d6ad2a0c3de");
        let reader = Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse(INSTANCE).unwrap(),
        };
        let unknown = json!(receipt_id(EventKey::from_bytes([7; 16]), &reader));
        let mut garbled = self.own.cursor(verb).as_str().unwrap().to_owned();
        garbled.replace_range(
            4..5,
            if garbled[4..].starts_with('A') {
                "B"
            } else {
                "A"
            },
        );
        let list = |values: Vec<Value>| values.into_iter().map(|value| json!([value])).collect();
        match names {
            Names::Message => vec![
                self.foreign.message.clone(),
                self.double.message.clone(),
                fresh(),
                never,
            ],
            Names::Messages => list(vec![
                self.foreign.message.clone(),
                self.double.message.clone(),
                fresh(),
                never,
                json!("nonsense"),
            ]),
            Names::Receipts => list(vec![
                self.foreign.receipt.clone(),
                self.double.receipt.clone(),
                unknown,
                json!("rcpt-xyz"),
                json!("\u{e9}"),
            ]),
            Names::Role => vec![json!(ONLY_ROLE), json!("only-theirz"), json!("only-aheirs")],
            Names::Instance => vec![
                json!(ONLY_INSTANCE),
                json!("only-herx"),
                json!("nobody-here"),
            ],
            Names::Cursor => vec![
                self.foreign.cursor(verb),
                self.double.cursor(verb),
                json!(garbled),
                json!("AAAA"),
                json!("not base64!"),
            ],
            // Each is tried once: then it is one that the attacker itself has made up.
            Names::OwnId => {
                let place = match verb {
                    "send_message" => 0,
                    "store_memory" => 2,
                    "update_memory" => 3,
                    _ => 1,
                };
                let known = [&self.foreign, &self.double].map(|has| has.made_up[place].clone());
                known.into_iter().chain([fresh()]).collect()
            }
            Names::Memory => vec![
                self.foreign.memory.clone(),
                self.double.memory.clone(),
                fresh(),
                never,
            ],
            Names::Relations => {
                let ids = [
                    self.foreign.memory.clone(),
                    self.double.memory.clone(),
                    fresh(),
                ];
                let relation = |id| json!([{"type": "extends", "memoryId": id}]);
                ids.into_iter().map(relation).collect()
            }
            Names::Author => vec![json!("pi"), json!(ONLY_ROLE), json!("nobody-here")],
            Names::Nothing => Vec::new(),
        }
    }
}

/// An answer without what the caller gave itself or follows from that, and without where something was stored.
fn shape(mut answer: Value, given: &Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        for changing in ["position", "expiresAt", "jwt", "memoryId"] {
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
const REFUSES_NAMES: &[&str] = &["send_message", "retire_agent", "revoke_credential"];
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
        Names::Message | Names::Memory | Names::Relations => Some("not_found"),
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
    for entry in ENTRIES {
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
    for entry in ENTRIES {
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
    // administrator: one credential issued, one role retired, one revoked, one memory brought along.
    assert_eq!(stage.changes().await, before + 10);
    let key = UserKey::generate().public_key();
    let wider = json!({"role": "_operator", "publicKey": key, "scopes": ["admin"], "tenantId": stage.stranger.tenant});
    let refused = stage.stranger.call("issue_credential", wider).await;
    assert!(refused["code"].is_string(), "{refused}");
}
