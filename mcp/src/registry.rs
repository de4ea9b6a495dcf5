//! Every tool, in the order in which they are listed, and whom each is shown to. Owns carrying a call
//! out: arguments, the tool itself, and the unread mail that every result tells of.

use crate::answer::{Answer, done, refused, soon, unread_of};
use crate::args;
use crate::caller::Caller;
use crate::schema;
use crate::tools;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use postroad_client::ClientError;
use postroad_protocol::ErrorCode;
use postroad_protocol::tenancy::Scope;
use rmcp::model::{self, CallToolResult, JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, LazyLock};
use tokio_util::task::AbortOnDropHandle;

/// What a tool is, and does.
pub(crate) trait Tool: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// What it does, for a model.
    const ABOUT: &'static str;
    /// Who may use it.
    const SCOPE: Scope;
    /// What it changes.
    const EFFECT: Effect;
    /// Whence its results know what is unread.
    const UNREAD: UnreadFrom = UnreadFrom::Beside;
    /// By which fields a caller may say who it is.
    const CLAIMS: &'static [(&'static str, &'static str)] = &[args::TENANT];
    /// What it takes.
    type Args: DeserializeOwned + JsonSchema + Send;
    /// What it answers.
    type Output: Serialize + JsonSchema + Send;

    /// Carries it out.
    fn call(
        caller: &Caller,
        args: Self::Args,
    ) -> impl Future<Output = Result<Answer<Self::Output>, ClientError>> + Send;
}

/// What a tool changes, as clients are told it. Nothing lies outside of Postroad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Reads,
    /// The same again changes nothing more.
    Sets,
    /// Each call adds something.
    Adds,
    /// What it takes away nobody gets back.
    Destroys,
}

/// Whence a result knows what is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadFrom {
    /// The answer tells it.
    Answer,
    /// It is asked meanwhile, since the call does not change it.
    Beside,
    /// It is asked when the call is done.
    Afterwards,
}

/// A tool as it is listed and called.
pub(crate) struct Entry {
    scope: Scope,
    listed: model::Tool,
    run: fn(Arc<Caller>, JsonObject) -> BoxFuture<'static, CallToolResult>,
}

/// All of them.
static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    vec![
        entry::<tools::CheckMessages>(),
        entry::<tools::WaitForMessages>(),
        entry::<tools::MarkAsRead>(),
        entry::<tools::SendMessage>(),
        entry::<tools::MessageStatus>(),
        entry::<tools::ListMessages>(),
        entry::<tools::GetMessage>(),
        entry::<tools::SearchMessages>(),
        entry::<tools::ListPeers>(),
        entry::<tools::SetSummary>(),
        entry::<tools::Whoami>(),
        entry::<tools::Recall>(),
        entry::<tools::StoreMemory>(),
        entry::<tools::UpdateMemory>(),
        entry::<tools::ForgetMemory>(),
        entry::<tools::GetMemory>(),
        entry::<tools::ListMemories>(),
        entry::<tools::ListTasks>(),
        entry::<tools::GetTask>(),
        entry::<tools::CreateTask>(),
        entry::<tools::ClaimTask>(),
        entry::<tools::UpdateTask>(),
        entry::<tools::ReleaseTask>(),
        entry::<tools::BlockTask>(),
        entry::<tools::CompleteTask>(),
        entry::<tools::FailTask>(),
        entry::<tools::CancelTask>(),
        entry::<tools::AddDependency>(),
        entry::<tools::CreateMission>(),
        entry::<tools::GetMission>(),
        entry::<tools::ListMissions>(),
        entry::<tools::UpdateMission>(),
    ]
});

fn entry<T: Tool>() -> Entry {
    let annotations = ToolAnnotations::with_title(T::TITLE)
        .read_only(T::EFFECT == Effect::Reads)
        .destructive(T::EFFECT == Effect::Destroys)
        .idempotent(T::EFFECT != Effect::Adds)
        .open_world(false);
    let listed = model::Tool::new(T::NAME, T::ABOUT, schema::input::<T::Args>(T::CLAIMS))
        .with_raw_output_schema(Arc::new(schema::output::<T::Output>(T::UNREAD)))
        .with_annotations(annotations);
    Entry {
        scope: T::SCOPE,
        listed,
        run: |caller, arguments| run::<T>(caller, arguments).boxed(),
    }
}

/// The tools that `caller` may use.
pub(crate) fn listed(caller: &Caller) -> Vec<model::Tool> {
    let own = ALL.iter().filter(|entry| caller.has(entry.scope));
    own.map(|entry| entry.listed.clone()).collect()
}

/// The call of a tool, where `caller` may use one of that name.
pub(crate) fn call(
    caller: Arc<Caller>,
    name: &str,
    arguments: JsonObject,
) -> Option<BoxFuture<'static, CallToolResult>> {
    let entry = ALL.iter().find(|entry| entry.listed.name == name)?;
    caller
        .has(entry.scope)
        .then(|| (entry.run)(caller, arguments))
}

async fn run<T: Tool>(caller: Arc<Caller>, arguments: JsonObject) -> CallToolResult {
    let listed = ALL.iter().find(|entry| entry.listed.name == T::NAME);
    let schema = listed.expect("a tool that runs is listed");
    let schema = &schema.listed.input_schema;
    let args = match args::read::<T::Args>(T::NAME, schema, T::CLAIMS, &caller, arguments) {
        Ok(args) => args,
        Err(refusal) => return refused(&refusal, soon(unread_of(&caller)).await),
    };
    let beside = (T::UNREAD == UnreadFrom::Beside).then(|| {
        let caller = Arc::clone(&caller);
        // Its own task, so that it is on its way while the call is; it ends with the call.
        AbortOnDropHandle::new(tokio::spawn(async move { unread_of(&caller).await }))
    });
    let outcome = T::call(&caller, args).await;
    let told = outcome.as_ref().ok().and_then(|answer| answer.unread);
    let unread = match (told, beside) {
        (Some(told), _) => Some(told),
        // Nothing could be asked now anyway.
        _ if outcome.as_ref().is_err_and(is_of_the_road) => None,
        (None, Some(beside)) => soon(async { beside.await.ok()? }).await,
        (None, None) => soon(unread_of(&caller)).await,
    };
    match outcome {
        Ok(answer) => done(&answer, unread),
        Err(error) => refused(&error.to_refusal(), unread),
    }
}

/// Whether it is the way to Postroad that failed, rather than the call.
fn is_of_the_road(error: &ClientError) -> bool {
    matches!(
        error.code(),
        ErrorCode::Unavailable | ErrorCode::OutcomeUnknown | ErrorCode::Unauthenticated
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Largest answer to `tools/list`, in bytes, of a caller that has messaging alone.
    const MESSAGING_MAX_BYTES: usize = 16_000;
    /// Largest that the tools of memory add to it.
    const MEMORY_MAX_BYTES: usize = 9_000;
    /// Largest that those of tasks add: the whole list stays below 40,000.
    const TASKS_MAX_BYTES: usize = 15_500;

    fn list_bytes(scopes: &[Scope]) -> usize {
        let own = ALL.iter().filter(|entry| scopes.contains(&entry.scope));
        let listed = own.map(|entry| entry.listed.clone()).collect();
        let result = model::ListToolsResult::with_all_items(listed);
        serde_json::to_vec(&result).unwrap().len()
    }

    #[test]
    fn the_whole_list_of_tools_is_small() {
        let messaging = list_bytes(&[Scope::Own, Scope::Messages]);
        assert!(messaging <= MESSAGING_MAX_BYTES, "{messaging} bytes");
        let all = list_bytes(&[Scope::Own, Scope::Messages, Scope::Memory]);
        assert!(
            all <= messaging + MEMORY_MAX_BYTES,
            "{messaging} of {all} bytes"
        );
        let scopes = [Scope::Own, Scope::Messages, Scope::Memory, Scope::Tasks];
        let with_tasks = list_bytes(&scopes);
        assert!(
            with_tasks <= all + TASKS_MAX_BYTES,
            "{with_tasks} bytes, {all} without tasks"
        );
    }

    #[test]
    fn every_tool_says_all_that_clients_ask_of_one() {
        for entry in ALL.iter() {
            let tool = serde_json::to_value(&entry.listed).unwrap();
            let name = tool["name"].as_str().unwrap();
            assert!(tool["description"].as_str().unwrap().len() > 20, "{name}");
            for hint in [
                "readOnlyHint",
                "destructiveHint",
                "idempotentHint",
                "openWorldHint",
            ] {
                assert!(tool["annotations"][hint].is_boolean(), "{name} {hint}");
            }
            assert_eq!(tool["inputSchema"]["type"], "object", "{name}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
            assert_eq!(
                tool["outputSchema"]["properties"]["unread"]["type"],
                "object"
            );
            assert!(no_format(&tool), "{name}: {tool}");
        }
    }

    fn no_format(value: &Value) -> bool {
        match value {
            Value::Object(object) => {
                !object.contains_key("format")
                    && !object.contains_key("$ref")
                    && object.values().all(no_format)
            }
            Value::Array(parts) => parts.iter().all(no_format),
            _ => true,
        }
    }
}
