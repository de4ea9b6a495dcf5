//! `search_messages`: what the caller sent and received, by its words.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::frame::NOTICE;
use crate::messages::{Shown, as_checked, beginnings, frame_for};
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, Search};
use postroad_protocol::query::{FoundMessages, Message};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{Refusal, Role};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `search_messages`.
pub(crate) struct SearchMessages;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// Words, at most 1 KiB
    query: String,
    /// Only from this role
    sender: Option<String>,
    /// Only to this role, or broadcast
    channel: Option<String>,
    /// Not before, in milliseconds since 1970
    since: Option<i64>,
    /// Before, in milliseconds since 1970
    until: Option<i64>,
    /// 1 to 100, by default 10
    limit: Option<i64>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    /// Best first
    #[schemars(schema_with = "each_with_score")]
    messages: Vec<Hit>,
    matched: i64,
    /// Some did not fit: ask for something narrower
    truncated: bool,
    /// Newest ones that are not searched yet
    #[serde(skip_serializing_if = "is_zero")]
    indexing: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// A message that was found.
#[derive(Serialize)]
pub(crate) struct Hit {
    #[serde(flatten)]
    message: Shown,
    score: f64,
}

fn each_with_score(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": as_checked(generator)})
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

impl Tool for SearchMessages {
    const NAME: &'static str = "search_messages";
    const TITLE: &'static str = "Search messages";
    const ABOUT: &'static str =
        "Finds messages that you sent or received by their words, best first, read ones too.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = Found;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Found>, ClientError> {
        let search = search(args)?;
        let answer = caller.client().search_messages(&search).await?;
        Ok(told(answer))
    }
}

fn search(args: Args) -> Result<Search, Refusal> {
    let mut search = Search::of(args.query);
    if let Some(limit) = args.limit {
        // What is no number of results is refused there, with those that are.
        search = search.limit(u32::try_from(limit).unwrap_or(0));
    }
    if let Some(sender) = args.sender {
        search = search.sender(Role::parse_stored(&sender).map_err(|error| error.at("sender"))?);
    }
    if let Some(channel) = args.channel {
        search = search.channel(channel);
    }
    if let Some(since) = args.since {
        search = search.since(args::moment("since", since)?);
    }
    Ok(match args.until {
        Some(until) => search.until(args::moment("until", until)?),
        None => search,
    })
}

fn told(answer: FoundMessages) -> Answer<Found> {
    let scores: Vec<f64> = answer.messages.iter().map(|found| found.score).collect();
    let messages: Vec<Message> = answer
        .messages
        .into_iter()
        .map(|found| found.message)
        .collect();
    let frame = frame_for(&messages);
    let shown = beginnings(&messages, &frame);
    let truncated = answer.truncated || shown.len() < messages.len();
    let mut text = match shown.len() {
        0 => "No message that you sent or received has these words.".to_owned(),
        count => format!(
            "Best {count} of {} that have any of the words. {}",
            answer.matched,
            frame.legend()
        ),
    };
    let mut hits = Vec::with_capacity(shown.len());
    for (message, score) in shown.into_iter().zip(scores) {
        let score = (score * 1_000.0).round() / 1_000.0;
        let number = hits.len() + 1;
        text.push_str(&format!(
            "\n\n{number}. Score {score}. {}",
            message.told(&frame)
        ));
        hits.push(Hit { message, score });
    }
    if truncated {
        text.push_str(
            "\n\nMore did not fit this answer: narrow it by sender, channel, since or until, or use rarer words.",
        );
    }
    if answer.indexing > 0 {
        let indexing = answer.indexing;
        text.push_str(&format!(
            "\n\n{indexing} messages are not searched yet: ask again soon."
        ));
    }
    if answer.stale {
        text.push_str(STALE);
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let found = Found {
        notice: (!hits.is_empty()).then_some(NOTICE),
        messages: hits,
        matched: count(answer.matched),
        truncated,
        indexing: count(answer.indexing),
        stale: answer.stale,
    };
    Answer::new(found, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{RESULT_MAX_BYTES, done};
    use serde_json::json;

    fn found(content: &str, count: usize) -> FoundMessages {
        let label = "\u{1}".repeat(1_024);
        let message = json!({
            "messageId": "01890000-0000-7000-8000-000000000001", "from": "r".repeat(64),
            "fromInstanceId": "i".repeat(64), "channel": "bob", "content": content, "sentAt": 1_000,
            "readAt": null, "priority": "normal", "metadata": {"a": label, "b": label}, "score": 12.345_67
        });
        serde_json::from_value(json!({
            "messages": vec![message; count], "matched": 700, "indexing": 2,
            "position": {"shard": 0, "epoch": 1, "sequence": 1}
        }))
        .unwrap()
    }

    #[test]
    fn the_longest_findings_are_cut_to_an_answer_that_says_so() {
        for content in ["é\n".repeat(50_000), "short".to_owned()] {
            let answer = told(found(&content, 100));
            assert!(answer.structured.truncated && !answer.structured.messages.is_empty());
            assert!(answer.text.contains("narrow it by sender"));
            let result = done(&answer, None);
            assert_ne!(result.is_error, Some(true));
            assert!(serde_json::to_vec(&result).unwrap().len() <= RESULT_MAX_BYTES);
        }
    }

    #[test]
    fn a_finding_says_its_score_and_what_is_not_searched_yet() {
        let answer = told(found("x", 2));
        assert!(answer.text.starts_with("Best 2 of 700 that have any"));
        assert!(answer.text.contains("\n\n2. Score 12.346. From rrrr"));
        assert!(answer.text.contains("2 messages are not searched yet"));
        let json = serde_json::to_value(&answer.structured).unwrap();
        assert_eq!(json["messages"][0]["score"], 12.346);
        assert_eq!(json["messages"][0]["content"], "x");
    }
}
