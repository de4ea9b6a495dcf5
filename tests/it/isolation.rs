//! Every verb, in both poles: the stranger is refused, the owner is served. Two tenants with the
//! same role and instance names, canaries in everything, nothing written after a refusal. A verb
//! without a case here fails the coverage test.

use crate::harness::raw::{self, Watched};
use crate::harness::{Deployment, eventually};
use postroad_protocol::catalogue::{VERBS, Who};
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

/// Which cases there are; each is a branch of [`case`].
const CASES: &[&str] = &[
    "send_message",
    "mark_as_read",
    "set_summary",
    "create_tenant",
    "issue_credential",
    "retire_agent",
    "accept_damage",
    "check_messages",
    "message_status",
    "get_message",
    "list_messages",
    "list_peers",
    "whoami",
    "list_tenants",
    "get_tenant",
    "list_agents",
    "status",
    "rebuild",
    "replay",
];

#[test]
fn every_verb_of_the_catalogue_has_an_isolation_case() {
    let mut verbs: Vec<_> = VERBS.iter().map(|verb| verb.name).collect();
    let mut cases = CASES.to_vec();
    verbs.sort_unstable();
    cases.sort_unstable();
    assert_eq!(verbs, cases);
}

/// One agent of a tenant, with every scope there is, over plain NATS.
struct Agent {
    watched: Watched,
    tenant: &'static str,
    role: &'static str,
}

impl Agent {
    fn subject_in(&self, tenant: &str, kind: &str, scope: &str, verb: &str) -> String {
        format!("postroad.{tenant}.{kind}.{}.i1.{scope}.{verb}", self.role)
    }

    async fn call(&self, kind: &str, scope: &str, verb: &str, body: Value) -> Value {
        let subject = self.subject_in(self.tenant, kind, scope, verb);
        raw::request(&self.watched.client, &subject, body.to_string()).await
    }
}

/// Two tenants alike to the letter, and what the owner has.
struct Stage {
    deployment: Deployment,
    owner: Agent,
    peer: Agent,
    stranger: Agent,
    message: Value,
    receipt: Value,
}

const CANARY: &str = "canary-of-acme-7f3a";

impl Stage {
    async fn set() -> Self {
        let deployment = Deployment::start();
        deployment.tenant("acme").await;
        deployment.tenant("acme-two").await;
        let owner = agent(&deployment, "acme", "tau").await;
        let peer = agent(&deployment, "acme", "pi").await;
        let stranger = agent(&deployment, "acme-two", "tau").await;
        agent(&deployment, "acme-two", "pi").await;
        // A role and an instance that only the owner's tenant knows.
        deployment
            .creds("acme", "only-acme", Some("only-here"))
            .await;
        let sent = owner
            .call(
                "cmd",
                "messages",
                "send_message",
                json!({"channel":"pi","content":CANARY}),
            )
            .await;
        let unread = peer
            .call("qry", "messages", "check_messages", json!({"fresh":true}))
            .await;
        let (message, receipt) = (
            sent["messageId"].clone(),
            unread["messages"][0]["receiptId"].clone(),
        );
        assert!(
            message.is_string() && receipt.is_string(),
            "{sent} {unread}"
        );
        Self {
            deployment,
            owner,
            peer,
            stranger,
            message,
            receipt,
        }
    }

    /// How many events of the owner's tenant there are, operators' reads and delivered marks left out.
    fn events_of_owner(&self) -> usize {
        let ran = self
            .deployment
            .run(&["--json", "replay", "--tenant", "acme"])
            .expect(0);
        let own =
            |line: &&str| !line.contains("operator_read") && !line.contains("messages_delivered");
        ran.stdout.lines().filter(own).count()
    }
}

async fn agent(deployment: &Deployment, tenant: &'static str, role: &'static str) -> Agent {
    let out = deployment
        .dir
        .path()
        .join(format!("{tenant}-{role}.creds"))
        .display()
        .to_string();
    let mut args = vec![
        "agent",
        "issue",
        "--tenant",
        tenant,
        "--role",
        role,
        "--instance",
        "i1",
        "--out",
        &out,
    ];
    for scope in ["messages", "memory", "tasks", "audit", "admin"] {
        args.extend(["--scope", scope]);
    }
    deployment.run(&args).expect(0);
    let creds = std::fs::read_to_string(&out).expect("the credential was written");
    let watched =
        Watched::connect(&deployment.url, &creds, &inbox_prefix(tenant, role, "i1")).await;
    Agent {
        watched,
        tenant,
        role,
    }
}

#[tokio::test]
async fn the_stranger_is_refused_and_the_owner_is_served_for_every_verb() {
    let stage = Stage::set().await;
    for verb in VERBS {
        let (kind, scope) = (verb.kind.token(), verb.scope.token());
        // NATS: the stranger cannot speak on the owner's subjects, nor as its neighbour role.
        let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", "i1"));
        let foreign = stage.stranger.subject_in("acme", kind, scope, verb.name);
        stage
            .stranger
            .watched
            .expect_publish_denied(&foreign, &inbox)
            .await;
        let neighbour = format!("postroad.acme-two.{kind}.pi.i1.{scope}.{}", verb.name);
        stage
            .stranger
            .watched
            .expect_publish_denied(&neighbour, &inbox)
            .await;
        let operator = format!("postroad.acme.{kind}._operator.i1.{scope}.{}", verb.name);
        stage
            .stranger
            .watched
            .expect_publish_denied(&operator, &inbox)
            .await;
        if verb.who == Who::Operator {
            // Even with the scope in its credential, and even in its own tenant, an agent is no operator.
            let refused = stage.owner.call(kind, scope, verb.name, json!({})).await;
            let code = refused["code"].as_str().unwrap_or_default();
            assert!(
                ["permission_denied", "invalid_argument"].contains(&code),
                "{}: {refused}",
                verb.name
            );
        }
        // A claimed tenant is compared with the credential, whatever else the body holds.
        let claimed = stage
            .stranger
            .call(kind, scope, verb.name, json!({"tenantId":"acme"}))
            .await;
        assert_eq!(
            claimed["code"], "permission_denied",
            "{}: {claimed}",
            verb.name
        );
    }
    let before = stage.events_of_owner();
    for name in CASES {
        case(name, &stage).await;
    }
    let after = stage.events_of_owner();
    // The owner's own calls in the cases: one send, one mark, one summary, one credential, one retirement.
    assert_eq!(
        after - before,
        5,
        "nothing but the owner's own commands was stored"
    );
}

async fn case(name: &str, stage: &Stage) {
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

async fn operators_only(stage: &Stage, verb: &str) {
    let deployment = &stage.deployment;
    let ran = match verb {
        "create_tenant" => deployment
            .run(&["--json", "tenant", "create", "acme-three"])
            .expect(0),
        "issue_credential" => {
            let out = deployment
                .dir
                .path()
                .join("new.creds")
                .display()
                .to_string();
            deployment
                .run(&[
                    "--json", "agent", "issue", "--tenant", "acme", "--role", "temp", "--out", &out,
                ])
                .expect(0)
        }
        "retire_agent" => deployment
            .run(&[
                "--json", "agent", "retire", "--tenant", "acme", "--role", "temp",
            ])
            .expect(0),
        "accept_damage" => {
            // Nothing is damaged: what can be read cannot be given up, nor what is not there yet.
            let args = ["shard", "accept-damage", "--shard", "0", "--from", "1"];
            deployment
                .run(&[&args[..], &["--to", "3"]].concat())
                .expect(5);
            deployment
                .run(&[&args[..], &["--to", "18446744073709551615"]].concat())
                .expect(2);
            return;
        }
        "list_tenants" => deployment.run(&["--json", "tenant", "list"]).expect(0),
        "get_tenant" => deployment
            .run(&["--json", "tenant", "show", "acme"])
            .expect(0),
        "list_agents" => deployment
            .run(&["--json", "agent", "list", "--tenant", "acme"])
            .expect(0),
        "status" => deployment.run(&["--json", "status"]).expect(0),
        "rebuild" => {
            deployment.run(&["--json", "rebuild"]).expect(0);
            let operator = deployment.operator().await;
            eventually("the rows are followed again", async || {
                let status = operator.operator().unwrap().status().await;
                status.is_ok_and(|status| {
                    status.shards.iter().all(|shard| shard.state == "following")
                })
            })
            .await;
            return;
        }
        "replay" => deployment
            .run(&["--json", "replay", "--tenant", "acme-two"])
            .expect(0),
        unknown => panic!("{unknown} has no case"),
    };
    if verb == "replay" {
        assert!(
            !ran.stdout.contains(CANARY),
            "one tenant's replay shows one tenant: {}",
            ran.stdout
        );
    }
    // An operator's read of tenant data is an event in that tenant's own log.
    if verb == "get_tenant" || verb == "list_agents" {
        let trail = deployment
            .run(&["--json", "replay", "--tenant", "acme"])
            .expect(0);
        assert!(
            trail
                .stdout
                .lines()
                .any(|line| line.contains("operator_read") && line.contains(verb)),
            "{}",
            trail.stdout
        );
    }
}
