//! Memories end to end: kept through rebuilds, kills and restarts, gone with their tenant, within their limits, and answered as they
//! were written, whatever that was.

mod gone;
mod kept;
mod models;
mod odd;
mod shared;

use crate::harness::{Deployment, eventually, raw};
use postroad_client::{Client, NewMemory, Recall};
use postroad_protocol::query::{Memory, RecallMode, RecallStatus, Recalled};
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

/// An agent that speaks JSON over plain NATS, with every scope that agents get by themselves.
pub(crate) struct Speaker {
    client: async_nats::Client,
    who: String,
    tenant: String,
}

impl Speaker {
    /// `creds` are those of `role/instance`.
    pub(crate) async fn new(url: &str, creds: &str, [tenant, role, instance]: [&str; 3]) -> Self {
        Self {
            client: raw::connect(url, creds, &inbox_prefix(tenant, role, instance)).await,
            who: format!("{role}.{instance}"),
            tenant: tenant.to_owned(),
        }
    }

    /// Calls a verb of the scope `memory`; a question is answered from everything that is stored.
    pub(crate) async fn call(&self, verb: &str, mut body: Value) -> Value {
        let is_command = ["store_memory", "update_memory", "forget_memory"].contains(&verb);
        let kind = if is_command { "cmd" } else { "qry" };
        if !is_command {
            body["fresh"] = json!(true);
        }
        let (tenant, who) = (&self.tenant, &self.who);
        let subject = format!("postroad.{tenant}.{kind}.{who}.memory.{verb}");
        raw::request(&self.client, &subject, body.to_string()).await
    }

    /// Stores one; its id.
    pub(crate) async fn save(&self, body: Value) -> Value {
        let saved = self.call("store_memory", body).await;
        assert!(saved["memoryId"].is_string(), "{saved}");
        saved["memoryId"].clone()
    }
}

/// What the contents of these memories are, in their order.
pub(crate) fn contents(memories: &Value) -> Vec<&str> {
    let memories = memories.as_array().unwrap_or_else(|| panic!("{memories}"));
    let texts = memories.iter().map(|memory| &memory["content"]);
    texts.map(|text| text.as_str().expect("a text")).collect()
}

async fn speaker(deployment: &Deployment, tenant: &str, role: &str) -> Speaker {
    let creds = deployment.creds(tenant, role, Some("i1")).await;
    Speaker::new(&deployment.url, &creds, [tenant, role, "i1"]).await
}

async fn recall_status(operator: &Client) -> RecallStatus {
    let status = operator.operator().unwrap().status().await.unwrap();
    status.recall.expect("this projector says how it recalls")
}

/// Waits until every memory of whoever asks has its vector, if there is a model. Whoever runs the tests with one gets one.
async fn until_embedded(operator: &Client, agent: &Client) {
    let is_named = std::env::var_os("POSTROAD_MODEL").is_some_and(|folder| !folder.is_empty());
    let status = recall_status(operator).await;
    if is_named {
        assert_eq!(status.mode, RecallMode::WordsAndMeaning, "{status:?}");
    }
    eventually("all have their vectors", async || {
        let told = agent.recall(&Recall::new("anything")).await;
        told.is_ok_and(|told| told.awaiting == 0)
    })
    .await;
}

/// Those that hold a word of the query.
fn by_words(found: &Recalled) -> Vec<&Memory> {
    let has_words = |memory: &&Memory| memory.why.is_some_and(|why| why.words > 0.0);
    found.results.iter().filter(has_words).collect()
}

async fn remember(
    agent: &Client,
    namespace: &str,
    content: &str,
) -> postroad_protocol::memory::MemoryId {
    let memory = NewMemory::new(namespace, content);
    agent.store_memory(&memory).await.unwrap().memory_id
}
