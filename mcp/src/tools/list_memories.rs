//! `list_memories`: what there is to remember, the newest first.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::memories::{NOTICE, Shown, Telling, each_as_in_recall, numbered, shown};
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, MemoryFilter};
use postroad_protocol::Refusal;
use postroad_protocol::query::Memories;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `list_memories`.
pub(crate) struct ListMemories;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// One, or all of a prefix, such as project/
    namespace: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    tag: Option<String>,
    /// Role, role/instance, or author of an imported one
    created_by: Option<String>,
    /// 1 to 200, by default 20
    limit: Option<i64>,
    /// nextCursor of an earlier answer
    cursor: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    #[schemars(schema_with = "each_as_in_recall")]
    memories: Vec<Shown>,
    /// More follow behind nextCursor
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for ListMemories {
    const NAME: &'static str = "list_memories";
    const TITLE: &'static str = "List memories";
    const ABOUT: &'static str =
        "Memories that you may read, newest first. To find something, recall it.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = Listed;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Listed>, ClientError> {
        let mut filter = filter(args)?;
        loop {
            let answer = caller.client().list_memories(&filter).await?;
            let telling = Telling::of(&answer.memories);
            let rows = shown(&answer.memories, &telling);
            if rows.len() == answer.memories.len() {
                return Ok(told(answer, rows, &telling));
            }
            // Once more with as many as fit, so that the cursor is the one behind the last that is shown.
            filter = filter.limit(u32::try_from(rows.len()).unwrap_or(1));
        }
    }
}

fn filter(args: Args) -> Result<MemoryFilter, Refusal> {
    let mut filter = MemoryFilter::default();
    if let Some(limit) = args::limit(args.limit)? {
        filter = filter.limit(limit);
    }
    if let Some(namespace) = args.namespace {
        filter = filter.namespace(namespace);
    }
    if let Some(kind) = args.kind {
        filter = filter.kind(kind);
    }
    if let Some(tag) = args.tag {
        filter = filter.tag(tag);
    }
    if let Some(author) = args.created_by {
        filter = filter.created_by(author);
    }
    Ok(match args.cursor {
        Some(cursor) => filter.after(cursor),
        None => filter,
    })
}

fn told(answer: Memories, rows: Vec<Shown>, telling: &Telling) -> Answer<Listed> {
    let mut text = match (rows.len(), answer.truncated) {
        (0, false) => "No such memories among those that you may read.".to_owned(),
        (0, true) => "None so far.".to_owned(),
        (count, _) => format!("Memories shown: {count}. {}", numbered(&rows, telling)),
    };
    if let (true, Some(cursor)) = (answer.truncated, &answer.next_cursor) {
        text.push_str(&format!(
            "\n\nMore may follow: list_memories with cursor {cursor}"
        ));
    }
    if answer.stale {
        text.push_str(STALE);
    }
    let listed = Listed {
        notice: (!rows.is_empty()).then_some(NOTICE),
        memories: rows,
        truncated: answer.truncated,
        next_cursor: answer.next_cursor,
        stale: answer.stale,
    };
    Answer::new(listed, text)
}
