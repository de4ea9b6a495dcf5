//! Two tenants with agents of the same names, all of them programs that use the Python package `mcp`: what they send
//! and read, what they wait for, and what they are refused.

use super::kit::Kit;
use super::python::{Pending, Python};
use super::stage::{Stage, Transport, Way};
use serde_json::{Value, json};

/// The tools that messages need, as the seeds name them.
const MESSAGING: [&str; 11] = [
    "check_messages",
    "get_message",
    "list_messages",
    "list_peers",
    "mark_as_read",
    "message_status",
    "search_messages",
    "send_message",
    "set_summary",
    "wait_for_messages",
    "whoami",
];

/// Those of them that somebody without the scope `messages` has.
const OWN: [&str; 3] = ["list_peers", "set_summary", "whoami"];

/// The revisions of the protocol with a handshake and without.
const HANDSHAKE: &str = "2025-11-25";
const STATELESS: &str = "2026-07-28";

const MISSION: &str = "New mission created: landing-page-phase-2. Check your tasks.";

#[test]
fn agents_of_two_tenants_work_over_stdio_with_handshake() {
    two_tenants_work(Transport::Stdio, HANDSHAKE);
}

#[test]
fn agents_of_two_tenants_work_over_stdio_without_handshake() {
    two_tenants_work(Transport::Stdio, STATELESS);
}

#[test]
fn agents_of_two_tenants_work_over_http_with_handshake() {
    two_tenants_work(Transport::Http, HANDSHAKE);
}

#[test]
fn agents_of_two_tenants_work_over_http_without_handshake() {
    two_tenants_work(Transport::Http, STATELESS);
}

#[test]
fn whoever_shows_no_good_token_is_told_what_to_do() {
    let stage = Stage::set(Transport::Http);
    let Way::Endpoint { url, mut token } = stage.issue("acme", "alice", &[]) else {
        panic!("over HTTP an agent has a token");
    };
    let slip = if token.ends_with('a') { "b" } else { "a" };
    token.replace_range(token.len() - 1.., slip);
    let mut python = Python::start(&Kit::prepared());
    for revision in [HANDSHAKE, STATELESS] {
        for token in [None, Some(token.as_str())] {
            let request = json!({
                "do": "connect", "agent": "nobody", "revision": revision,
                "http": {"url": url, "token": token},
            });
            let error = python.ask(request).outcome().expect_err("a refusal");
            let message = word(&error["message"]);
            assert!(message.starts_with("unauthenticated: "), "{message}");
            assert!(message.contains("token"), "{message}");
        }
    }
    python.finish();
}

fn two_tenants_work(transport: Transport, revision: &'static str) {
    let mut world = World {
        stage: Stage::set(transport),
        python: Python::start(&Kit::prepared()),
        revision,
    };
    for tenant in ["acme", "globex"] {
        for role in ["alice", "bob"] {
            world.connect(tenant, role, &[]);
        }
    }
    world.connect("acme", "carol", &["memory"]);

    world.lists_what_one_may_use();
    let (message, receipt) = world.waits_and_is_rung();
    world.shows_each_inbox_to_its_reader();
    world.keeps_to_its_tenant(&message, &receipt);
    world.reads_and_is_seen_to(&message, &receipt);
    world.refuses_what_is_not_the_callers();
    world.remembers_and_finds(&message);
    world.python.finish();
}

/// Agents that are connected.
struct World {
    stage: Stage,
    python: Python,
    revision: &'static str,
}

impl World {
    /// Issues what the agent is known by, and connects. Where the revision has it, it listens to its own inbox.
    fn connect(&mut self, tenant: &str, role: &str, scopes: &[&str]) {
        let revision = self.revision;
        let way = self.stage.issue(tenant, role, scopes);
        let mut request = json!({
            "do": "connect", "agent": format!("{tenant}/{role}"), "revision": revision,
        });
        way.put_into(&mut request);
        if revision == STATELESS && scopes.is_empty() {
            request["listen"] = json!([inbox(tenant, role)]);
        }
        let told = self.ask(request.clone()).expect("a result");
        assert_eq!(told["protocolVersion"], revision, "{told}");
        assert_eq!(told["serverInfo"]["name"], "postroad", "{told}");
        assert!(told["capabilities"]["tools"].is_object(), "{told}");
        let instructions = told["instructions"].as_str().expect("instructions");
        assert!(instructions.contains("check_messages"), "{instructions}");
        assert_eq!(told["listens"], request["listen"], "{told}");
    }

    fn ask(&mut self, request: Value) -> Result<Value, Value> {
        self.python.ask(request).outcome()
    }

    fn start(&mut self, agent: &str, tool: &str, arguments: &Value) -> Pending {
        self.python
            .ask(json!({"do": "call", "agent": agent, "tool": tool, "arguments": arguments}))
    }

    /// What a tool answers that does what it is asked.
    #[track_caller]
    fn call(&mut self, agent: &str, tool: &str, arguments: &Value) -> Value {
        answer(self.start(agent, tool, arguments).outcome())
    }

    /// The error of a tool that does not, which says in its text what it says to programs.
    #[track_caller]
    fn refused(&mut self, agent: &str, tool: &str, arguments: &Value) -> Value {
        let result = self
            .start(agent, tool, arguments)
            .outcome()
            .expect("a result");
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        let error = &result["structuredContent"]["error"];
        let text = text(&result);
        for part in ["code", "field", "remedy"] {
            let part = error[part]
                .as_str()
                .unwrap_or_else(|| panic!("{part}: {result}"));
            assert!(text.contains(part), "{part}: {result}");
        }
        error.clone()
    }

    fn lists_what_one_may_use(&mut self) {
        let tools = self.tools("acme/alice");
        let names: Vec<&str> = tools.iter().map(name).collect();
        for expected in MESSAGING {
            assert!(names.contains(&expected), "{expected}: {names:?}");
        }
        for tool in &tools {
            assert!(tool["description"].is_string(), "{tool}");
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
            for hint in [
                "readOnlyHint",
                "destructiveHint",
                "idempotentHint",
                "openWorldHint",
            ] {
                assert!(tool["annotations"][hint].is_boolean(), "{hint}: {tool}");
            }
        }
        assert_eq!(self.tools("globex/alice"), tools);

        let few = self.tools("acme/carol");
        let names: Vec<&str> = few.iter().map(name).collect();
        for expected in OWN {
            assert!(names.contains(&expected), "{expected}: {names:?}");
        }
        for hidden in MESSAGING.iter().filter(|name| !OWN.contains(name)) {
            assert!(!names.contains(hidden), "{hidden}: {names:?}");
        }
    }

    fn tools(&mut self, agent: &str) -> Vec<Value> {
        let listed = self.ask(json!({"do": "tools", "agent": agent}));
        let listed = listed.expect("a result");
        listed["tools"]
            .as_array()
            .unwrap_or_else(|| panic!("{listed}"))
            .clone()
    }

    /// Bob waits, Alice sends; the message and Bob's receipt of it.
    fn waits_and_is_rung(&mut self) -> (String, String) {
        let news = self.listens("acme/bob");
        let waiting = self.start("acme/bob", "wait_for_messages", &json!({"waitMs": 50_000}));
        let sent = self.call(
            "acme/alice",
            "send_message",
            &json!({
                "from": "alice", "channel": "bob", "content": MISSION, "priority": "urgent",
                "tenantId": "acme",
            }),
        );
        assert_eq!(sent["recipients"], json!(["bob/bob-1"]), "{sent}");
        let result = waiting.outcome().expect("a result");
        let shown = text(&result);
        assert!(
            shown.contains(MISSION) && shown.contains("alice/alice-1"),
            "{shown}"
        );
        let got = &result["structuredContent"];
        let unread = json!({"count": 1, "highestPriority": "urgent"});
        assert_eq!(got["unread"], unread, "{got}");
        let message = &got["messages"][0];
        assert_eq!(message["content"], MISSION, "{got}");
        assert_eq!(message["from"], "alice", "{got}");
        assert_eq!(message["messageId"], sent["messageId"], "{got}");
        if let Some(news) = news {
            let heard = news.outcome().expect("news");
            assert_eq!(heard, inbox("acme", "bob"));
        }
        (word(&message["messageId"]), word(&message["receiptId"]))
    }

    /// What comes next of what an agent listens to, if it does.
    fn listens(&mut self, agent: &str) -> Option<Pending> {
        let listens = self.revision == STATELESS;
        listens.then(|| self.python.ask(json!({"do": "news", "agent": agent})))
    }

    /// An inbox tells that there is mail, only to its reader, and never what it says.
    fn shows_each_inbox_to_its_reader(&mut self) {
        let (own, foreign) = (inbox("acme", "bob"), inbox("globex", "bob"));
        let listed = self.ask(json!({"do": "resources", "agent": "acme/bob"}));
        let listed = listed.expect("a result");
        assert_eq!(
            listed["resources"].as_array().map(Vec::len),
            Some(1),
            "{listed}"
        );
        assert_eq!(listed["resources"][0]["uri"], own, "{listed}");
        let read = self.ask(json!({"do": "read", "agent": "acme/bob", "uri": own}));
        let read = word(&read.expect("a result")["contents"][0]["text"]);
        let told: Value = serde_json::from_str(&read).expect("JSON");
        assert_eq!(told["unread"], 1, "{read}");
        assert!(!read.contains(MISSION), "{read}");
        for uri in [foreign, inbox("acme", "alice"), inbox("nobody", "bob")] {
            let read = self.ask(json!({"do": "read", "agent": "acme/bob", "uri": uri}));
            let error = read.expect_err("a refusal").to_string();
            assert!(error.contains("no such resource"), "{uri}: {error}");
        }
    }

    /// The other tenant sees nothing of it, by whatever name.
    fn keeps_to_its_tenant(&mut self, message: &str, receipt: &str) {
        for agent in ["globex/alice", "globex/bob"] {
            let check = self.call(agent, "check_messages", &json!({}));
            assert_eq!(check["messages"], json!([]), "{agent}: {check}");
            for tool in ["get_message", "message_status"] {
                let error = self.refused(agent, tool, &json!({"messageId": message}));
                assert_eq!(error["code"], "not_found", "{agent} {tool}: {error}");
            }
            let marked = self.call(agent, "mark_as_read", &json!({"receiptIds": [receipt]}));
            assert_eq!(marked["marked"], json!([]), "{agent}: {marked}");
            assert_eq!(marked["notFound"], json!([receipt]), "{agent}: {marked}");
            let peers = self.call(agent, "list_peers", &json!({}));
            assert!(!peers.to_string().contains("carol"), "{agent}: {peers}");
        }
    }

    /// What Alice stores Carol finds, and whoever has Alice's name elsewhere does not. The client holds each result
    /// against its tool's schema.
    fn remembers_and_finds(&mut self, message: &str) {
        let stored = self.call(
            "acme/alice",
            "store_memory",
            &json!({
                "namespace": "workspace/acme", "type": "project", "createdBy": "alice", "tags": ["nav"],
                "content": "The quokka navigation is migrated.", "episode": "phase 2",
            }),
        );
        let id = &stored["memoryId"];
        let found = self.call("acme/carol", "recall", &json!({"query": "quokka"}));
        assert_eq!(found["results"][0]["memoryId"], *id, "{found}");
        let listed = self.call("acme/carol", "list_memories", &json!({"tag": "nav"}));
        assert_eq!(listed["memories"][0]["createdBy"], "alice", "{listed}");
        let update = json!({"memoryId": id, "tags": []});
        assert_eq!(
            self.call("acme/carol", "update_memory", &update)["memoryId"],
            *id
        );
        let one = self.call("acme/alice", "get_memory", &json!({"memoryId": id}));
        assert_eq!(one["memory"]["version"], 2, "{one}");
        let none = self.call("globex/alice", "recall", &json!({"query": "quokka"}));
        assert_eq!(none["results"], json!([]), "{none}");
        let error = self.refused("globex/alice", "forget_memory", &json!({"memoryId": id}));
        assert_eq!(error["code"], "not_found", "{error}");
        let gone = self.call("acme/carol", "forget_memory", &json!({"memoryId": id}));
        assert_eq!(gone["forgotten"], *id, "{gone}");
        let mail = self.call("acme/bob", "search_messages", &json!({"query": "mission"}));
        assert_eq!(mail["messages"][0]["messageId"], message, "{mail}");
    }

    /// Checking hides nothing; reading does, and the sender sees it.
    fn reads_and_is_seen_to(&mut self, message: &str, receipt: &str) {
        let check = self.call("acme/bob", "check_messages", &json!({"recipient": "bob"}));
        assert_eq!(check["messages"][0]["messageId"], message, "{check}");
        let before = self.call(
            "acme/alice",
            "message_status",
            &json!({"messageId": message}),
        );
        assert_eq!(before["readCount"], 0, "{before}");
        let marked = self.call(
            "acme/bob",
            "mark_as_read",
            &json!({"receiptIds": [receipt]}),
        );
        assert_eq!(marked["marked"], json!([receipt]), "{marked}");
        assert_eq!(marked["unread"]["count"], 0, "{marked}");
        let check = self.call("acme/bob", "check_messages", &json!({}));
        assert_eq!(check["messages"], json!([]), "{check}");
        let after = self.call(
            "acme/alice",
            "message_status",
            &json!({"messageId": message}),
        );
        assert_eq!(after["readCount"], 1, "{after}");
        assert_eq!(after["deliveredCount"], 1, "{after}");
    }

    fn refuses_what_is_not_the_callers(&mut self) {
        let message = json!({"channel": "bob", "content": "from nobody"});
        for (field, value) in [
            ("tenantId", "globex"),
            ("tenantId", "nobody"),
            ("from", "bob"),
        ] {
            let mut claimed = message.clone();
            claimed[field] = json!(value);
            let error = self.refused("acme/alice", "send_message", &claimed);
            assert_eq!(error["code"], "permission_denied", "{error}");
            assert_eq!(error["field"], field, "{error}");
        }
        let error = self.refused("acme/bob", "check_messages", &json!({"recipient": "alice"}));
        assert_eq!(error["code"], "permission_denied", "{error}");

        let hidden = self
            .start("acme/carol", "send_message", &message)
            .outcome()
            .expect_err("a refusal");
        let unknown = self
            .start("acme/carol", "send_letter", &message)
            .outcome()
            .expect_err("a refusal");
        assert_eq!(hidden["code"], -32602, "{hidden}");
        assert_eq!(unknown["code"], -32602, "{unknown}");
        let hidden = hidden.to_string().replace("send_message", "send_letter");
        assert_eq!(
            hidden,
            unknown.to_string(),
            "a hidden tool is an unknown one"
        );

        for agent in ["acme/bob", "globex/bob"] {
            let check = self.call(agent, "check_messages", &json!({}));
            assert_eq!(check["messages"], json!([]), "{agent}: {check}");
        }
    }
}

/// What a tool that succeeded says to programs; it says something to people, too.
#[track_caller]
fn answer(outcome: Result<Value, Value>) -> Value {
    let mut result = outcome.expect("a result");
    assert_ne!(result["isError"], true, "{result}");
    assert!(!text(&result).is_empty(), "{result}");
    result["structuredContent"].take()
}

fn text(result: &Value) -> String {
    word(&result["content"][0]["text"])
}

#[track_caller]
fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().expect("a tool has a name")
}

/// Where the agent `role` of `tenant` has its mail.
fn inbox(tenant: &str, role: &str) -> String {
    format!("inbox://{tenant}/{role}/{role}-1")
}
