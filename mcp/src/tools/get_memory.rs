//! `get_memory`: one memory, now or as it was, or the next part of a long one.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::memories::{NOTICE, Shown, Telling, as_in_recall, part};
use crate::parts;
use crate::registry::{Effect, Tool};
use postroad_client::ClientError;
use postroad_protocol::command::read_memory_id;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `get_memory`.
pub(crate) struct GetMemory;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    memory_id: String,
    /// As it was then, in milliseconds since 1970
    as_of: Option<i64>,
    /// nextContentOffset of an earlier answer
    content_offset: Option<i64>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct One {
    notice: &'static str,
    #[schemars(schema_with = "as_in_recall")]
    memory: Shown,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for GetMemory {
    const NAME: &'static str = "get_memory";
    const TITLE: &'static str = "Get a memory";
    const ABOUT: &'static str = "One memory that you may read, as it is or as it was. A content that is \
        too long for one answer comes in parts: go on with contentOffset.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = One;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<One>, ClientError> {
        let id = read_memory_id(&args.memory_id)?;
        let as_of = args::as_of(args.as_of)?;
        let one = caller.client().get_memory(id, as_of).await?;
        let offset = parts::offset(args.content_offset, &one.memory.content)?;
        let telling = Telling::of(std::slice::from_ref(&one.memory));
        let memory = part(&one.memory, offset, &telling);
        let mut text = format!("{}\n\n{}", telling.legend(), memory.told(&telling));
        if one.stale {
            text.push_str(STALE);
        }
        let stale = one.stale;
        let one = One {
            notice: NOTICE,
            memory,
            stale,
        };
        Ok(Answer::new(one, text))
    }
}
