//! Tasks and missions, end to end: who gets a task, what it waits for, and that the log tells how it came to be as it is.

mod history;
mod race;

use crate::harness::raw;
use crate::harness::road::Road;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};

/// An agent with the scope `tasks` over plain NATS.
pub(crate) struct Worker {
    client: async_nats::Client,
    tenant: String,
    who: String,
}

impl Worker {
    /// One of `tenant`, whose instance is `i1`.
    pub(crate) async fn of(road: &Road, tenant: &str, role: &str) -> Self {
        let creds = road.creds(tenant, role, Some("i1")).await;
        Self {
            client: raw::connect(road.url(), &creds, &inbox_prefix(tenant, role, "i1")).await,
            tenant: tenant.to_owned(),
            who: format!("{role}.i1"),
        }
    }

    /// Calls a verb of tasks or missions; a question is answered from everything that is stored.
    pub(crate) async fn call(&self, verb: &str, mut body: Value) -> Value {
        let is_question = verb.starts_with("get_") || verb.starts_with("list_");
        let kind = if is_question { "qry" } else { "cmd" };
        if is_question {
            body["fresh"] = json!(true);
        }
        let (tenant, who) = (&self.tenant, &self.who);
        let subject = format!("postroad.{tenant}.{kind}.{who}.tasks.{verb}");
        raw::request(&self.client, &subject, body.to_string()).await
    }

    /// Makes a task or a mission; its id.
    pub(crate) async fn make(&self, verb: &str, body: Value) -> Value {
        let saved = self.call(verb, body).await;
        let id = saved.get("taskId").or(saved.get("missionId"));
        id.unwrap_or_else(|| panic!("{saved}")).clone()
    }
}

/// The titles of tasks or missions, in their order.
pub(crate) fn titles(listed: &Value) -> Vec<&str> {
    let listed = listed.as_array().unwrap_or_else(|| panic!("{listed}"));
    let titles = listed.iter().map(|one| &one["title"]);
    titles
        .map(|title| title.as_str().expect("a text"))
        .collect()
}
