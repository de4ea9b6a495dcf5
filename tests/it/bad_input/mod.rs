//! Bad input of any kind: a stable code, the field, a remedy; nothing is stored and nothing panics.

mod bodies;
mod credentials;
mod cursors;
mod foreign_ids;
mod reply_to;
mod searches;
mod sends;
mod tasks;

use crate::harness::witness::Witness;
use crate::harness::{Deployment, raw};
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Two tenants with the same names, one agent under attack, and the raw subject to attack it on.
struct Stage {
    deployment: Deployment,
    witness: Witness,
    agent: async_nats::Client,
    /// The place in the log that the next event takes if nothing was stored unseen.
    next: AtomicU64,
}

const SEND: &str = "postroad.acme.cmd.tau.t1.messages.send_message";
const MARK: &str = "postroad.acme.cmd.tau.t1.messages.mark_as_read";
const CHECK: &str = "postroad.acme.qry.tau.t1.messages.check_messages";
const LIST: &str = "postroad.acme.qry.tau.t1.messages.list_messages";

impl Stage {
    async fn set() -> Self {
        let deployment = Deployment::start();
        deployment.tenant("acme").await;
        deployment.tenant("globex").await;
        let creds = deployment.creds("acme", "tau", Some("t1")).await;
        deployment.creds("acme", "pi", Some("p1")).await;
        deployment.creds("acme", "phi", Some("f1")).await;
        deployment.creds("globex", "foreigner", Some("g1")).await;
        let agent = raw::connect(&deployment.url, &creds, &inbox_prefix("acme", "tau", "t1")).await;
        let witness = Witness::connect(&deployment.path(), &deployment.url).await;
        let next = AtomicU64::new(witness.log_end(0).await + 1);
        Self {
            deployment,
            witness,
            agent,
            next,
        }
    }

    /// Another agent, over plain NATS.
    async fn other(&self, tenant: &str, role: &str, instance: &str) -> async_nats::Client {
        let creds = self.deployment.creds(tenant, role, Some(instance)).await;
        // Issuing the credential was an event.
        self.next.fetch_add(1, Ordering::Relaxed);
        let inbox = inbox_prefix(tenant, role, instance);
        raw::connect(&self.deployment.url, &creds, &inbox).await
    }

    /// Something was stored that is meant to be, by the broker or soon by what a projector saw.
    async fn expect_stored(&self, events: u64) {
        let next = self.next.fetch_add(events, Ordering::Relaxed) + events;
        self.witness.wait_for_end(0, next - 1).await;
    }

    /// Nothing was stored: a send behind it, taken by the same broker in the order of this
    /// connection, gets the very next place of the log.
    async fn expect_nothing_stored(&self, after: &str) {
        let body = json!({"channel":"phi","content":"a fence"}).to_string();
        let sent = raw::request(&self.agent, SEND, body).await;
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        assert_eq!(sent["position"]["sequence"], place, "after {after}: {sent}");
    }

    /// Sends `body` and expects a refusal with this code and field, and a remedy; and nothing stored.
    async fn refuse(
        &self,
        subject: &str,
        body: impl Into<Vec<u8>>,
        code: &str,
        field: Option<&str>,
    ) -> Value {
        let body = body.into();
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let refusal = raw::request(&self.agent, subject, body).await;
        assert_eq!(refusal["code"], code, "{shown}: {refusal}");
        if let Some(field) = field {
            assert_eq!(refusal["field"], field, "{shown}: {refusal}");
        }
        assert!(
            refusal["remedy"]
                .as_str()
                .is_some_and(|remedy| !remedy.is_empty()),
            "{shown}: {refusal}"
        );
        self.expect_nothing_stored(&shown).await;
        refusal
    }
}
