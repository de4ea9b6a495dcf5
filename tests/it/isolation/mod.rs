//! Every verb, in both poles: the stranger is refused, the owner is served. Two tenants with the
//! same role and instance names, canaries in everything, nothing written after a refusal. A verb
//! without a case here fails the coverage test.

use crate::harness::raw::{self, Watched};
use crate::harness::road::{Road, promised_by_both_kinds};
use postroad_protocol::catalogue::{VERBS, Verb};
use postroad_protocol::subject::inbox_prefix;
use postroad_protocol::walls::{Caller, Gets};
use serde_json::{Value, json};

mod cases;
mod credentials;
mod memories;
mod tasks;

promised_by_both_kinds!(the_stranger_is_refused_and_the_owner_is_served_for_every_verb);

/// Which cases there are; each is a branch of [`cases::case`].
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
    "suspend_tenant",
    "resume_tenant",
    "set_limits",
    "usage",
    "revoke_credential",
    "renew_credential",
    "import_events",
    "erase_tenant",
    "rotate_key",
    "search_messages",
    "store_memory",
    "update_memory",
    "forget_memory",
    "import_memory",
    "get_memory",
    "list_memories",
    "recall",
    "create_task",
    "claim_task",
    "release_task",
    "update_task",
    "add_dependency",
    "block_task",
    "complete_task",
    "fail_task",
    "cancel_task",
    "create_mission",
    "update_mission",
    "get_task",
    "list_tasks",
    "get_mission",
    "list_missions",
    // The last: the owner exchanges its key, and is cut off where it is connected with the former.
    "end_credential",
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
    road: Road,
    owner: Agent,
    peer: Agent,
    stranger: Agent,
    /// Two of the owner's tenant with one scope each beside `self`, so that one lacks any verb's.
    narrow: [(&'static str, Agent); 2],
    /// The operator, over plain NATS.
    operator: Watched,
    message: Value,
    receipt: Value,
}

const CANARY: &str = "canary-of-acme-7f3a";

impl Stage {
    async fn set(road: Road) -> Self {
        road.tenant("acme").await;
        road.tenant("acme-two").await;
        let owner = agent(&road, "acme", "tau").await;
        let peer = agent(&road, "acme", "pi").await;
        let stranger = agent(&road, "acme-two", "tau").await;
        agent(&road, "acme-two", "pi").await;
        let narrow = [
            (
                "memory",
                agent_with(&road, "acme", "narrow-1", &["memory"]).await,
            ),
            (
                "tasks",
                agent_with(&road, "acme", "narrow-2", &["tasks"]).await,
            ),
        ];
        let creds = std::fs::read_to_string(road.path().join("operator.creds"));
        let inbox = inbox_prefix("_all", "_operator", "local");
        let operator = Watched::connect(road.url(), &creds.expect("operator.creds"), &inbox).await;
        // A role and an instance that only the owner's tenant knows.
        road.creds("acme", "only-acme", Some("only-here")).await;
        let sent = owner
            .call(
                "cmd",
                "messages",
                "send_message",
                json!({"channel":"pi","content":CANARY,"priority":"urgent"}),
            )
            .await;
        // One that nobody marks: as long as it is unread, it is what is most urgent to its reader.
        let body = json!({"channel":"pi","instanceId":"i1","content":CANARY,"priority":"urgent"});
        let kept = owner.call("cmd", "messages", "send_message", body).await;
        assert!(kept["messageId"].is_string(), "{kept}");
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
            road,
            owner,
            peer,
            stranger,
            narrow,
            operator,
            message,
            receipt,
        }
    }

    /// What the table promises this caller is what it gets. That who is served is served, and only with
    /// what is its own, is shown by the verb's case.
    async fn expect(&self, verb: &Verb, caller: Caller) {
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        let told = match (caller, verb.gets(caller)) {
            (_, Gets::Served | Gets::Nobody) => return,
            (Caller::AgentAsAnother, Gets::Violation) => return self.expect_no_voice(verb).await,
            (Caller::AgentWithoutScope, Gets::Violation) => {
                let mut narrow = self.narrow.iter();
                let lacking = narrow.find(|(own, _)| *own != scope);
                let (_, agent) = lacking.expect("one of two lacks it");
                let subject = agent.subject_in("acme", kind, scope, name);
                let inbox = format!("{}.x", inbox_prefix("acme", agent.role, "i1"));
                return agent.watched.expect_publish_denied(&subject, &inbox).await;
            }
            // Even with the scope in its credential, and even in its own tenant, an agent is no operator.
            (Caller::Agent, Gets::Refused(_)) => {
                self.owner.call(kind, scope, name, json!({})).await
            }
            // A claimed tenant is compared with the credential, whatever else the body holds.
            (Caller::AgentClaimingAnother, Gets::Refused(_)) => {
                let claim = json!({"tenantId":"acme"});
                self.stranger.call(kind, scope, name, claim).await
            }
            (Caller::Operator, Gets::Refused(_)) => {
                let subject = format!("postroad.acme.{kind}._operator.local.{scope}.{name}");
                raw::request(&self.operator.client, &subject, "{}").await
            }
            (caller, gets) => panic!("{name}: nobody checks {gets:?} for {caller:?}"),
        };
        let promised = match verb.gets(caller) {
            Gets::Refused(code) => code.as_str(),
            other => panic!("{other:?} is no refusal"),
        };
        assert_eq!(told["code"], promised, "{name} by {caller:?}: {told}");
    }

    /// The stranger cannot speak on the owner's subjects, nor as its neighbour, everybody or the operator.
    async fn expect_no_voice(&self, verb: &Verb) {
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", "i1"));
        for subject in [
            self.stranger.subject_in("acme", kind, scope, name),
            self.stranger.subject_in("_all", kind, scope, name),
            format!("postroad.acme-two.{kind}.pi.i1.{scope}.{name}"),
            format!("postroad.acme.{kind}._operator.i1.{scope}.{name}"),
            format!("postroad.acme-two.{kind}._operator.local.{scope}.{name}"),
        ] {
            let watched = &self.stranger.watched;
            watched.expect_publish_denied(&subject, &inbox).await;
        }
    }

    /// How many events of the owner's tenant there are, operators' reads, delivered marks and counts left out.
    fn events_of_owner(&self) -> usize {
        let ran = self
            .road
            .run(&["--json", "replay", "--tenant", "acme"])
            .expect(0);
        let unasked = ["operator_read", "messages_delivered", "usage_counted"];
        let own = |line: &&str| !unasked.iter().any(|name| line.contains(name));
        ran.stdout.lines().filter(own).count()
    }
}

async fn agent(road: &Road, tenant: &'static str, role: &'static str) -> Agent {
    let all = ["messages", "memory", "tasks", "audit", "admin"];
    agent_with(road, tenant, role, &all).await
}

async fn agent_with(
    road: &Road,
    tenant: &'static str,
    role: &'static str,
    scopes: &[&str],
) -> Agent {
    let out = road
        .folder()
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
    for scope in scopes {
        args.extend(["--scope", scope]);
    }
    road.run(&args).expect(0);
    let creds = std::fs::read_to_string(&out).expect("the credential was written");
    let watched = Watched::connect(road.url(), &creds, &inbox_prefix(tenant, role, "i1")).await;
    Agent {
        watched,
        tenant,
        role,
    }
}

async fn the_stranger_is_refused_and_the_owner_is_served_for_every_verb(road: Road) {
    let stage = Stage::set(road).await;
    for verb in VERBS {
        for caller in Caller::ALL {
            stage.expect(verb, caller).await;
        }
    }
    let before = stage.events_of_owner();
    for name in CASES {
        cases::case(name, &stage).await;
    }
    let after = stage.events_of_owner();
    // The owner's own calls in the cases: one send, one mark, one summary; three credentials, two
    // retirements, one revocation; one renewal, and one exchange of keys, which renews and ends. Of memories: four
    // stores, two of each that is changed and both changes, one import, two stores for each question. Of tasks: four
    // created; two for a claim and a cancellation, three for every other change; two for each change of missions; one
    // for a look at one, three tasks and missions and two missions for the lists.
    assert_eq!(
        after - before,
        12 + 4 + 2 * (2 + 2) + 1 + 3 * 2 + 4 + 2 * 2 + 6 * 3 + 2 * 2 + 2 + 3 + 2,
        "nothing but the owner's own commands was stored"
    );
}
