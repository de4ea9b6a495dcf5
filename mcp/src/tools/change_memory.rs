//! `update_memory` and `forget_memory`: having a memory say something else, and nothing any more.

use super::store_memory::{Saved, relations, told};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::memories::Related;
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, MemoryUpdate};
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{Command, Identified, read_memory_id, wire};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{Refusal, TimeMs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `update_memory`.
pub(crate) struct UpdateMemory;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateArgs {
    memory_id: String,
    content: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// All of them; [] for none
    tags: Option<Vec<String>>,
    /// All of them; [] for none
    relates_to: Option<Vec<Related>>,
    /// "" takes it out of its episode
    episode: Option<String>,
    /// 0: when it was stored
    occurred_at: Option<i64>,
    /// 0: never
    expires_at: Option<i64>,
}

impl Tool for UpdateMemory {
    const NAME: &'static str = "update_memory";
    const TITLE: &'static str = "Update a memory";
    const ABOUT: &'static str = "Changes what a memory says or is called by: what you name is set, the \
        rest stays. get_memory with asOf shows what it said before.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Sets;
    type Args = UpdateArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: UpdateArgs) -> Result<Answer<Saved>, ClientError> {
        let update = update(args)?;
        let saved = caller.client().update_memory(&update).await?;
        Ok(told("Updated", &saved))
    }
}

/// Reads the fields as a broker will, so that a call is refused for the same reasons in the same words.
fn update(args: UpdateArgs) -> Result<MemoryUpdate, Refusal> {
    let body = wire::UpdateMemory {
        memory_id: args.memory_id,
        content: args.content,
        kind: args.kind,
        tags: args.tags,
        relates_to: args.relates_to.map(relations),
        episode: args.episode,
        occurred_at: args.occurred_at,
        expires_at: args.expires_at,
        command_id: None,
    };
    let encoding = Encoding::MessagePack;
    let bytes = encoding.encode(&body);
    let Identified {
        id,
        command: Command::UpdateMemory(read),
    } = Command::read(Scope::Memory, "update_memory", encoding, &bytes)?
    else {
        unreachable!("the body of an update reads as an update")
    };
    let mut update = MemoryUpdate::new(read.memory).with_id(id);
    let change = read.change;
    if let Some(content) = change.content {
        update = update.content(content);
    }
    if let Some(kind) = change.kind {
        update = update.kind(kind.as_str());
    }
    if let Some(tags) = change.tags {
        update = update.tags(tags);
    }
    if let Some(related) = change.relates_to {
        let related = related.iter().map(|older| (older.kind, older.memory_id));
        update = update.relations(related);
    }
    if let Some(episode) = change.episode {
        update = update.episode(episode);
    }
    let moment = |time: TimeMs| (time.0 > 0).then_some(time);
    if let Some(time) = change.occurred_at {
        update = update.occurred_at(moment(time));
    }
    if let Some(time) = change.expires_at {
        update = update.expires_at(moment(time));
    }
    Ok(update)
}

/// `forget_memory`.
pub(crate) struct ForgetMemory;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForgetArgs {
    memory_id: String,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Gone {
    forgotten: String,
}

impl Tool for ForgetMemory {
    const NAME: &'static str = "forget_memory";
    const TITLE: &'static str = "Forget a memory";
    const ABOUT: &'static str = "Forgets a memory and all that it ever said, for everybody and for good. \
        To replace it, store the new one with relatesTo updates.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Destroys;
    type Args = ForgetArgs;
    type Output = Gone;

    async fn call(caller: &Caller, args: ForgetArgs) -> Result<Answer<Gone>, ClientError> {
        let id = read_memory_id(&args.memory_id)?;
        let forgotten = caller.client().forget_memory(id).await?;
        let forgotten = forgotten.memory_id.to_string();
        let text = format!("Forgotten: memoryId {forgotten}");
        Ok(Answer::new(Gone { forgotten }, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "01890000-0000-7000-8000-000000000001";

    fn read(args: Value) -> Result<MemoryUpdate, Refusal> {
        update(serde_json::from_value(args).unwrap())
    }

    #[test]
    fn an_update_says_what_it_changes_and_takes_away() {
        let args = json!({
            "memoryId": ID, "content": "y", "type": "feedback", "tags": [], "relatesTo": [], "episode": "",
            "occurredAt": 0, "expiresAt": 5
        });
        let written = format!("{:?}", read(args).unwrap());
        for part in [
            "content: Some(\"y\")",
            "kind: Some(\"feedback\")",
            "tags: Some([])",
            "relates_to: Some([])",
            "episode: Some(\"\")",
            "occurred_at: Some(0)",
            "expires_at: Some(5)",
        ] {
            assert!(written.contains(part), "{part}: {written}");
        }
    }

    #[test]
    fn an_update_of_nothing_and_one_of_no_memory_are_refused() {
        let nothing = read(json!({"memoryId": ID})).unwrap_err();
        assert_eq!(nothing.field.as_deref(), Some("content"));
        let nobodys = read(json!({"memoryId": "mine", "content": "y"})).unwrap_err();
        assert_eq!(nobodys.field.as_deref(), Some("memoryId"));
    }
}
