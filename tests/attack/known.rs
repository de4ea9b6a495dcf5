//! What each agent on the stage has, and what the attacker tries in the place of its own.

use crate::stage::{Agent, CANARY, INSTANCE, Stage};
use crate::verbs::Names;
use postroad_protocol::command::receipt_id;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{InstanceId, MessageId, Reader, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A role, and an instance of it, that only the attacked tenant has.
pub const ONLY_ROLE: &str = "only-theirs";
pub const ONLY_INSTANCE: &str = "only-here";

/// What one agent has.
#[derive(Debug)]
pub struct Has {
    pub message: Value,
    pub receipt: Value,
    /// One in the namespace of its own role, to which nobody else is let in.
    pub memory: Value,
    /// Another of its own, to be forgotten.
    pub spare: Value,
    /// Tasks of its own, by the verb for which each is kept.
    pub tasks: BTreeMap<&'static str, Value>,
    /// A mission of its own.
    pub mission: Value,
    /// Ids that it has made up itself: of a message, a summary, a memory and a change of one, a task and a claim.
    made_up: [Value; 6],
    cursors: Vec<(&'static str, Value)>,
}

/// What the attacker may know of by name: its own, another role's in its own tenant, and the other tenant's.
#[derive(Debug)]
pub struct Known {
    pub own: Has,
    double: Has,
    pub foreign: Has,
}

impl Has {
    /// `agent` gets mail from `from` and sends some itself, and looks at all of it a page at a time.
    async fn of(agent: &Agent, from: &Agent, content: &str) -> Self {
        for _ in 0..3 {
            send(from, json!({"channel": agent.role, "content": content})).await;
        }
        let made_up = [0; 6].map(|_| json!(MessageId::generate().to_string()));
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
        let tasks = tasks_of(agent, content, &made_up).await;
        let mission = make(
            agent,
            "create_mission",
            json!({"title": content, "pilot": "pi"}),
        )
        .await;
        make(agent, "create_mission", json!({"title": content})).await;
        let mut cursors = Vec::new();
        let mut receipt = Value::Null;
        for verb in [
            "check_messages",
            "list_messages",
            "list_peers",
            "message_status",
            "list_memories",
            "list_tasks",
            "list_missions",
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
            tasks,
            mission,
            made_up,
            cursors,
        }
    }

    pub fn cursor(&self, verb: &str) -> Value {
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

/// Makes a task or a mission; its id.
async fn make(agent: &Agent, verb: &str, body: Value) -> Value {
    let saved = agent.call(verb, body).await;
    let id = saved.get("taskId").or(saved.get("missionId"));
    id.unwrap_or_else(|| panic!("{verb}: {saved}")).clone()
}

/// A task for every verb that changes one, in a state in which it does.
async fn tasks_of(
    agent: &Agent,
    content: &str,
    made_up: &[Value; 6],
) -> BTreeMap<&'static str, Value> {
    let mut tasks = BTreeMap::new();
    for verb in [
        "claim_task",
        "release_task",
        "update_task",
        "add_dependency",
        "block_task",
        "complete_task",
        "fail_task",
        "cancel_task",
    ] {
        let task = make(agent, "create_task", json!({"title": content})).await;
        let is_worked_on = ["release_task", "block_task", "complete_task", "fail_task"];
        if is_worked_on.contains(&verb) {
            make(agent, "claim_task", json!({"taskId": task})).await;
        }
        tasks.insert(verb, task);
    }
    // What bears the ids that somebody else will try.
    let body = json!({"title": content, "commandId": made_up[4]});
    let task = make(agent, "create_task", body).await;
    let claim = json!({"taskId": task, "commandId": made_up[5]});
    make(agent, "claim_task", claim).await;
    tasks
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
    pub fn values(&self, names: Names, verb: &str) -> Vec<Value> {
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
                    "create_task" => 4,
                    "claim_task" => 5,
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
            // A task is everybody's in its tenant: only another tenant's is not there.
            Names::Task => self.tasks(fresh(), never),
            Names::Tasks => list(self.tasks(fresh(), never)),
            Names::Mission => vec![
                self.foreign.mission.clone(),
                self.foreign.tasks["claim_task"].clone(),
                fresh(),
                never,
            ],
            Names::Roles => list(self.values(Names::Role, verb)),
            Names::Nothing => Vec::new(),
        }
    }

    fn tasks(&self, fresh: Value, never: Value) -> Vec<Value> {
        vec![
            self.foreign.tasks["claim_task"].clone(),
            self.foreign.tasks["complete_task"].clone(),
            self.foreign.mission.clone(),
            fresh,
            never,
        ]
    }
}
