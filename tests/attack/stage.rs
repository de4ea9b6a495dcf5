//! Two tenants alike to the letter, one name the beginning of the other's, and a witness of all that
//! is said and stored.

use crate::harness::raw::{self, Watched};
use crate::harness::witness::Witness;
use crate::harness::{Deployment, eventually, log};
use postroad_client::{NewAgent, ReplayOf, UserKey};
use postroad_protocol::catalogue::{VERBS, Verb};
use postroad_protocol::subject::inbox_prefix;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{InstanceId, Role, TenantId};
use serde_json::Value;

/// Stands in everything that the attacked tenant says.
pub const CANARY: &str = "canary-9c41e7";
/// The instance of every agent here.
pub const INSTANCE: &str = "i1";

/// The two tenants, and what attacks and is attacked.
pub struct Stage {
    pub deployment: Deployment,
    pub witness: Witness,
    pub owner: Agent,
    pub peer: Agent,
    pub stranger: Agent,
    pub double: Agent,
}

impl Stage {
    /// The tenant with the longer name attacks the one with the shorter.
    pub async fn set() -> Self {
        Self::between("acme", "acme-two").await
    }

    /// `hostile` attacks `attacked`; each has the roles `tau` and `pi` with the instance `i1`.
    pub async fn between(attacked: &'static str, hostile: &'static str) -> Self {
        let deployment = Deployment::start_with(&["--durability", "fast"]);
        deployment.tenant(attacked).await;
        deployment.tenant(hostile).await;
        let owner = Agent::connect(&deployment, attacked, "tau").await;
        let peer = Agent::connect(&deployment, attacked, "pi").await;
        let stranger = Agent::connect(&deployment, hostile, "tau").await;
        let double = Agent::connect(&deployment, hostile, "pi").await;
        let witness = Witness::connect(&deployment.path(), &deployment.url).await;
        Self {
            deployment,
            witness,
            owner,
            peer,
            stranger,
            double,
        }
    }

    /// Last place of the log.
    pub async fn log_end(&self) -> u64 {
        self.witness.log_end(0).await
    }

    /// Events that somebody asked for, leaving out what the parts store on their own account: that something
    /// was delivered, or that the operator looked.
    pub async fn changes(&self) -> usize {
        let events = log::events(&self.deployment.operator().await, ReplayOf::Shard(0), 1).await;
        let own = ["messages_delivered", "operator_read", "usage_counted"];
        let asked = events
            .iter()
            .filter(|event| !own.contains(&event.type_name.as_str()));
        asked.count()
    }

    /// Requests that were dropped without an answer since the start.
    pub async fn dropped(&self) -> u64 {
        let operator = self.deployment.operator().await;
        let status = operator.operator().unwrap().status().await;
        status.expect("the status").dropped_requests
    }

    /// Everybody who was served before the attack is served after it, and by the same connections of
    /// the same parts: none of them was thrown off its feet.
    pub async fn expect_unharmed(&self, before: &[(u64, String)], after: &str) {
        for agent in [&self.owner, &self.peer, &self.stranger, &self.double] {
            let who = agent.call("whoami", serde_json::json!({})).await;
            assert_eq!(who["tenantId"], agent.tenant, "after {after}: {who}");
            let summary = serde_json::json!({"summary": agent.role});
            let set = agent.call("set_summary", summary).await;
            assert!(set["position"].is_object(), "after {after}: {set}");
        }
        assert_eq!(self.parts().await, before, "after {after}");
    }

    /// The connections of Postroad's own parts: number and name of each.
    pub async fn parts(&self) -> Vec<(u64, String)> {
        let mut parts = self.connections("postroad-").await;
        // Agents with the library, and the operator, come and go.
        parts.retain(|(_, name)| name != "postroad-client");
        parts
    }

    /// The connections whose name begins so.
    pub async fn connections(&self, prefix: &str) -> Vec<(u64, String)> {
        let mut parts = Vec::new();
        eventually("the server tells its connections", async || {
            let body = r#"{"limit":4096}"#;
            let told = self
                .witness
                .client
                .request("$SYS.REQ.ACCOUNT.PING.CONNZ", body.into());
            let Ok(told) = told.await else { return false };
            let told: Value = serde_json::from_slice(&told.payload).expect("in JSON");
            parts = told["data"]["connections"]
                .as_array()
                .unwrap_or_else(|| panic!("{told}"))
                .iter()
                .filter_map(|one| Some((one["cid"].as_u64()?, one["name"].as_str()?.to_owned())))
                .filter(|(_, name)| name.starts_with(prefix))
                .collect();
            true
        })
        .await;
        parts.sort();
        parts
    }
}

/// One agent over plain NATS.
pub struct Agent {
    pub watched: Watched,
    pub creds: String,
    pub tenant: &'static str,
    pub role: &'static str,
}

impl Agent {
    /// With every scope there is, bound to [`INSTANCE`].
    pub async fn connect(
        deployment: &Deployment,
        tenant: &'static str,
        role: &'static str,
    ) -> Self {
        let creds = issue(deployment, tenant, role, Some(INSTANCE), &Scope::ALL).await;
        let inbox = inbox_prefix(tenant, role, INSTANCE);
        Self {
            watched: Watched::connect(&deployment.url, &creds, &inbox).await,
            creds,
            tenant,
            role,
        }
    }

    /// The subject of its own `verb`.
    pub fn subject(&self, verb: &str) -> String {
        let verb = find(verb);
        let (kind, scope, name) = (verb.kind.token(), verb.scope.token(), verb.name);
        let (tenant, role) = (self.tenant, self.role);
        format!("postroad.{tenant}.{kind}.{role}.{INSTANCE}.{scope}.{name}")
    }

    /// Asks for a verb on its own subject.
    pub async fn call(&self, verb: &str, body: Value) -> Value {
        raw::request(&self.watched.client, &self.subject(verb), body.to_string()).await
    }
}

/// A verb of the catalogue.
pub fn find(name: &str) -> &'static Verb {
    let found = VERBS.iter().find(|verb| verb.name == name);
    found.unwrap_or_else(|| panic!("{name} is no verb"))
}

/// Issues a credential with exactly these scopes, and `self`; the text of its `.creds` file.
pub async fn issue(
    deployment: &Deployment,
    tenant: &str,
    role: &str,
    instance: Option<&str>,
    scopes: &[Scope],
) -> String {
    let user = UserKey::generate();
    let mut agent = NewAgent::new(Role::parse(role).unwrap()).scopes(scopes.to_vec());
    if let Some(instance) = instance {
        agent = agent.instance(InstanceId::parse(instance).unwrap());
    }
    let operator = deployment.operator().await;
    let operator = operator.operator().unwrap();
    let tenant = TenantId::parse(tenant).unwrap();
    let public_key = user.public_key();
    let issued = operator
        .issue_credential(&tenant, &agent, &public_key)
        .await;
    user.creds(&issued.expect("it is issued").jwt).to_string()
}

/// Whether these bytes hold the canary.
pub fn has_canary(bytes: &[u8]) -> bool {
    bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes())
}
