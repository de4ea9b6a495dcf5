//! `store_memory`: remembering something, for oneself, a project or everybody in the tenant.

use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::memories::Related;
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, NewMemory};
use postroad_protocol::Refusal;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{Command, Identified, MemorySaved, wire};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `store_memory`.
pub(crate) struct StoreMemory;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// global, project/{name}, workspace/{your tenant} or orchestrator/{your role}, which nobody else reads
    namespace: String,
    /// user, feedback, project, reference, episode, or a slug of your own
    #[serde(rename = "type")]
    kind: String,
    /// At most 64 KiB; one thing a memory
    content: String,
    tags: Option<Vec<String>>,
    /// Older memories; updates takes its place
    relates_to: Option<Vec<Related>>,
    /// Name of the conversation or session that it belongs to
    episode: Option<String>,
    /// Milliseconds since 1970, by default now
    occurred_at: Option<i64>,
    /// From when on it is not found, in milliseconds since 1970
    expires_at: Option<i64>,
    /// Your role; may be left out
    created_by: Option<String>,
    /// A UUID of your own: sent again with the same one it is stored once
    command_id: Option<String>,
}

/// Its answer, and that of an update.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    memory_id: String,
}

impl Tool for StoreMemory {
    const NAME: &'static str = "store_memory";
    const TITLE: &'static str = "Store a memory";
    const ABOUT: &'static str = "Remembers something for later sessions and other agents, stored durably \
        when this returns. Where it replaces an older memory, relate it with updates. Try again after \
        outcome_unknown only with the commandId that the error names.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Adds;
    type Args = Args;
    type Output = Saved;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Saved>, ClientError> {
        args::author(caller, args.created_by.as_deref())?;
        let memory = new_memory(args)?;
        let saved = caller.client().store_memory(&memory).await?;
        Ok(told("Stored", &saved))
    }
}

/// What was saved, in both forms.
pub(super) fn told(what: &str, saved: &MemorySaved) -> Answer<Saved> {
    let memory_id = saved.memory_id.to_string();
    let text = format!("{what}: memoryId {memory_id}");
    Answer::new(Saved { memory_id }, text)
}

/// Relations as the wire has them.
pub(super) fn relations(related: Vec<Related>) -> Vec<wire::Relation> {
    let wire = |related: Related| wire::Relation {
        kind: related.kind,
        memory_id: related.memory_id,
    };
    related.into_iter().map(wire).collect()
}

/// Reads the fields as a broker will, so that a call is refused for the same reasons in the same words.
fn new_memory(args: Args) -> Result<NewMemory, Refusal> {
    let body = wire::StoreMemory {
        namespace: args.namespace,
        kind: args.kind,
        content: args.content,
        tags: args.tags,
        relates_to: args.relates_to.map(relations),
        episode: args.episode,
        occurred_at: args.occurred_at,
        expires_at: args.expires_at,
        created_by: None,
        command_id: args.command_id,
    };
    let encoding = Encoding::MessagePack;
    let bytes = encoding.encode(&body);
    let Identified {
        id,
        command: Command::StoreMemory(read),
    } = Command::read(Scope::Memory, "store_memory", encoding, &bytes)?
    else {
        unreachable!("the body of a memory reads as a memory")
    };
    let mut memory = NewMemory::new(body.namespace, read.content)
        .kind(read.kind.as_str())
        .with_id(id);
    for tag in read.tags {
        memory = memory.tag(tag);
    }
    for related in read.relates_to {
        memory = memory.relates_to(related.kind, related.memory_id);
    }
    if let Some(episode) = read.episode {
        memory = memory.episode(episode);
    }
    if let Some(time) = read.occurred_at {
        memory = memory.occurred_at(time);
    }
    if let Some(time) = read.expires_at {
        memory = memory.expires_at(time);
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::ErrorCode;
    use serde_json::{Value, json};

    fn refusal(change: &Value) -> Refusal {
        let mut args = json!({"namespace": "global", "type": "project", "content": "x"});
        for (field, value) in change.as_object().unwrap() {
            args[field] = value.clone();
        }
        new_memory(serde_json::from_value(args).unwrap()).unwrap_err()
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused_with_the_same_field() {
        let id = "01890000-0000-7000-8000-000000000001";
        for (change, field) in [
            (json!({"namespace": "team/a"}), "namespace"),
            (json!({"type": "no slug"}), "type"),
            (json!({"content": " "}), "content"),
            (json!({"content": "x".repeat(64 * 1024 + 1)}), "content"),
            (json!({"tags": [""]}), "tags"),
            (json!({"episode": "a\nb"}), "episode"),
            (json!({"occurredAt": -1}), "occurredAt"),
            (json!({"expiresAt": i64::MAX}), "expiresAt"),
            (json!({"commandId": "mine"}), "commandId"),
            (
                json!({"relatesTo": [{"type": "is", "memoryId": id}]}),
                "relatesTo",
            ),
        ] {
            assert_eq!(refusal(&change).field.as_deref(), Some(field), "{change}");
        }
        let unknown = json!({"relatesTo": [{"type": "updates", "memoryId": "mine"}]});
        assert_eq!(refusal(&unknown).code, ErrorCode::NotFound);
    }

    #[test]
    fn what_is_named_is_what_is_stored_under_the_callers_id() {
        let id = "01890000-0000-7000-8000-000000000001";
        let args = json!({
            "namespace": "project/nav", "type": "Feedback", "content": "x", "tags": ["b", "a", "b"],
            "relatesTo": [{"type": "updates", "memoryId": id}], "commandId": id
        });
        let memory = new_memory(serde_json::from_value(args).unwrap()).unwrap();
        assert_eq!(memory.id().to_string(), id);
        let written = format!("{memory:?}");
        for part in [
            "project/nav",
            "\"feedback\"",
            "[\"a\", \"b\"]",
            "\"updates\"",
        ] {
            assert!(written.contains(part), "{written}");
        }
    }
}
