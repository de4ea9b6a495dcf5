//! `recall`: what is remembered about something, the best first, and why each was found.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::memories::{NOTICE, Shown, Telling, numbered, shown};
use crate::registry::{Effect, Tool};
use postroad_client::{self as client, ClientError};
use postroad_protocol::Refusal;
use postroad_protocol::query::{RecallMode, Recalled};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `recall`.
pub(crate) struct Recall;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// A question, or words, at most 1 KiB
    query: String,
    /// One, or all of a prefix, such as project/; by default all that you may read
    namespace: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Role, or author of an imported one
    created_by: Option<String>,
    /// Not before, in milliseconds since 1970
    since: Option<i64>,
    /// Before, in milliseconds since 1970
    until: Option<i64>,
    /// 1 to 100, by default 10
    limit: Option<i64>,
    /// What was known then, in milliseconds since 1970
    as_of: Option<i64>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    /// Best first; scores compare within one answer only
    results: Vec<Shown>,
    matched: i64,
    /// Searched by words alone so far
    awaiting: i64,
    /// words, or `words_and_meaning`
    mode: &'static str,
    /// Some results did not fit: ask for something narrower
    truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for Recall {
    const NAME: &'static str = "recall";
    const TITLE: &'static str = "Recall";
    const ABOUT: &'static str = "Finds what you and others remembered, by words and meaning: best first, \
        each with author, time, score and why. Recall before you begin a task.";
    const SCOPE: Scope = Scope::Memory;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = Found;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Found>, ClientError> {
        let recall = wanted(args)?;
        let answer = caller.client().recall(&recall).await?;
        Ok(told(&answer))
    }
}

fn wanted(args: Args) -> Result<client::Recall, Refusal> {
    let mut recall = client::Recall::new(args.query);
    if let Some(limit) = args.limit {
        // What is no number of results is refused there, with those that are.
        recall = recall.limit(u32::try_from(limit).unwrap_or(0));
    }
    if let Some(namespace) = args.namespace {
        recall = recall.namespace(namespace);
    }
    if let Some(kind) = args.kind {
        recall = recall.kind(kind);
    }
    if let Some(author) = args.created_by {
        recall = recall.created_by(author);
    }
    if let Some(since) = args.since {
        recall = recall.since(args::moment("since", since)?);
    }
    if let Some(until) = args.until {
        recall = recall.until(args::moment("until", until)?);
    }
    Ok(match args::as_of(args.as_of)? {
        Some(as_of) => recall.as_of(as_of),
        None => recall,
    })
}

fn told(answer: &Recalled) -> Answer<Found> {
    let telling = Telling::of(&answer.results);
    let rows = shown(&answer.results, &telling);
    let left_out = answer.results.len() - rows.len();
    let truncated = answer.truncated || left_out > 0;
    let mut text = head(answer, rows.len());
    if !rows.is_empty() {
        text.push_str(&numbered(&rows, &telling));
    }
    if truncated {
        text.push_str(
            "\n\nMore results did not fit this answer: narrow it by namespace, type, createdBy, since or \
             until, or ask in other words.",
        );
    }
    if answer.stale {
        text.push_str(STALE);
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let found = Found {
        notice: (!rows.is_empty()).then_some(NOTICE),
        results: rows,
        matched: count(answer.matched),
        awaiting: count(answer.awaiting),
        mode: match answer.mode {
            RecallMode::Words => "words",
            RecallMode::WordsAndMeaning => "words_and_meaning",
        },
        truncated,
        stale: answer.stale,
    };
    Answer::new(found, text)
}

/// How many there are, and how they were searched for.
fn head(answer: &Recalled, shown: usize) -> String {
    let by = match answer.mode {
        RecallMode::Words => "by words alone",
        RecallMode::WordsAndMeaning => "by words and meaning",
    };
    let mut head = match shown {
        0 => {
            format!("Nothing found {by}, in what you may read. Try other words, or fewer filters. ")
        }
        _ => format!("Best {shown} of {} that matched {by}. ", answer.matched),
    };
    if answer.awaiting > 0 && answer.mode == RecallMode::WordsAndMeaning {
        let awaiting = answer.awaiting;
        head.push_str(&format!(
            "{awaiting} new ones are found by their words alone so far. "
        ));
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{RESULT_MAX_BYTES, done};
    use serde_json::json;

    fn recalled(content: &str, results: usize) -> Recalled {
        let memory = json!({
            "memoryId": "01890000-0000-7000-8000-000000000001", "namespace": "global", "type": "project",
            "content": content, "createdBy": "tau", "createdByInstanceId": "main", "occurredAt": 1_000,
            "createdAt": 1_000, "version": 1, "score": 0.5, "why": {"words": 0.5}
        });
        serde_json::from_value(json!({
            "results": vec![memory; results], "matched": 400, "awaiting": 3, "mode": "words_and_meaning"
        }))
        .unwrap()
    }

    #[test]
    fn the_most_results_are_cut_to_an_answer_that_says_so() {
        let answer = told(&recalled(&"é\n".repeat(20_000), 100));
        assert!(answer.structured.truncated);
        assert!(answer.text.contains("narrow it by namespace"));
        assert!(answer.text.contains("get_memory {\"memoryId\":"));
        let result = done(&answer, None);
        assert_ne!(result.is_error, Some(true));
        assert!(serde_json::to_vec(&result).unwrap().len() <= RESULT_MAX_BYTES);
    }

    #[test]
    fn an_answer_says_how_it_was_found() {
        let answer = told(&recalled("x", 2));
        assert!(!answer.structured.truncated);
        let head = "Best 2 of 400 that matched by words and meaning. 3 new ones are found";
        assert!(answer.text.starts_with(head), "{}", answer.text);
        assert!(
            answer
                .text
                .contains("\n\n2. In global, type project, by tau/main")
        );
        let mut nothing = recalled("x", 0);
        nothing.mode = RecallMode::Words;
        let text = told(&nothing).text;
        assert!(text.starts_with("Nothing found by words alone"), "{text}");
    }
}
