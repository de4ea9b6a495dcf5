//! Results of tools: text beside structure, refusals, unread mail, and how long all of that may be.
//!
//! Owns the form of every result. What a tool has to say is the tool's.

use crate::caller::Caller;
use crate::frame::quoted;
use postroad_client::{ClientError, Page};
use postroad_protocol::event::Priority;
use postroad_protocol::query::{Messages, WhoAmI};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{ErrorCode, Refusal};
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Largest result of a tool, in bytes as they are sent. More of it waits behind a cursor.
pub(crate) const RESULT_MAX_BYTES: usize = 40_000;
/// What of it the rows of a list, or one message, may take; the rest is for what stands around them.
pub(crate) const ROWS_MAX_BYTES: usize = RESULT_MAX_BYTES - 2_500;
/// Longest message or remedy of a refusal that is repeated, in characters.
const REFUSAL_MAX_CHARS: usize = 1_000;
/// How long a result waits for the unread count, once there is nothing else to wait for.
const UNREAD_PATIENCE: Duration = Duration::from_secs(1);

/// What a tool has to say.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// For programs.
    pub(crate) structured: T,
    /// For a model, and for clients that know no structure.
    pub(crate) text: String,
    /// What is unread, where the answer has told it.
    pub(crate) unread: Option<Unread>,
}

impl<T> Answer<T> {
    /// Without word of unread mail.
    pub(crate) fn new(structured: T, text: impl Into<String>) -> Self {
        Self {
            structured,
            text: text.into(),
            unread: None,
        }
    }

    /// With it.
    pub(crate) fn with_unread(mut self, unread: Unread) -> Self {
        self.unread = Some(unread);
        self
    }
}

/// Mail that waits for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unread {
    /// How many messages.
    pub(crate) count: u64,
    /// The most urgent of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) highest_priority: Option<Priority>,
}

impl Unread {
    /// As an answer with messages tells it.
    pub(crate) fn told_by(answer: &Messages) -> Self {
        Self {
            count: answer.unread_total,
            highest_priority: answer.highest_priority,
        }
    }

    /// As `whoami` tells it; nothing where it does not.
    pub(crate) fn known_to(who: &WhoAmI) -> Option<Self> {
        let highest_priority = who.highest_priority;
        who.unread_total.map(|count| Self {
            count,
            highest_priority,
        })
    }

    fn line(self) -> String {
        let most = self
            .highest_priority
            .map(|priority| format!(", highest priority {}", priority.word()))
            .unwrap_or_default();
        match self.count {
            0 => "Unread: 0".to_owned(),
            count => format!("Unread: {count}{most} (check_messages shows them)"),
        }
    }
}

/// Asks what is unread; nothing where that cannot be told now.
pub(crate) async fn unread_of(caller: &Caller) -> Option<Unread> {
    if !caller.has(Scope::Own) {
        return None;
    }
    Unread::known_to(&caller.client().whoami().await.ok()?)
}

/// Waits no longer for the count than a caller would like.
pub(crate) async fn soon(unread: impl Future<Output = Option<Unread>>) -> Option<Unread> {
    tokio::time::timeout(UNREAD_PATIENCE, unread).await.ok()?
}

/// The result of a tool that did what it was asked.
pub(crate) fn done<T: Serialize>(answer: &Answer<T>, unread: Option<Unread>) -> CallToolResult {
    let structured = match serde_json::to_value(&answer.structured) {
        Ok(Value::Object(structured)) => structured,
        // Every answer is a struct of plain data.
        _ => JsonObject::new(),
    };
    let result = put_together(structured, &answer.text, unread);
    if is_too_long(&result) {
        let refusal = Refusal::new(
            ErrorCode::TooLarge,
            format!("this answer has more than {RESULT_MAX_BYTES} bytes"),
            "ask for less at once, with limit",
        );
        return refused(&refusal, unread);
    }
    result
}

/// The result of a tool that did not: what is wrong, where, and what to do.
pub(crate) fn refused(refusal: &Refusal, unread: Option<Unread>) -> CallToolResult {
    let mut refusal = refusal.clone();
    for text in [&mut refusal.message, &mut refusal.remedy] {
        *text = bounded(text);
    }
    refusal.field = refusal.field.as_deref().map(bounded);
    let mut text = format!("{}: {}", refusal.code, refusal.message);
    if let Some(field) = &refusal.field {
        text.push_str(&format!("\nfield: {field}"));
    }
    text.push_str(&format!("\nremedy: {}", refusal.remedy));
    if let Some(after) = refusal.retry_after_ms {
        text.push_str(&format!("\nretry after: {after} ms"));
    }
    let mut structured = JsonObject::new();
    structured.insert("error".to_owned(), json!(refusal));
    let mut result = put_together(structured, &text, unread);
    result.is_error = Some(true);
    result
}

/// In one line, and not longer than anybody reads.
fn bounded(text: &str) -> String {
    let short: String = text.chars().take(REFUSAL_MAX_CHARS).collect();
    if short.chars().any(char::is_control) {
        return quoted(&short);
    }
    short
}

fn put_together(mut structured: JsonObject, text: &str, unread: Option<Unread>) -> CallToolResult {
    let mut text = text.to_owned();
    if let Some(unread) = unread {
        structured.insert("unread".to_owned(), json!(unread));
        text.push_str("\n\n");
        text.push_str(&unread.line());
    }
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(Value::Object(structured));
    result
}

fn is_too_long(result: &CallToolResult) -> bool {
    let sent = serde_json::to_vec(result);
    sent.map_or(0, |sent| sent.len()) > RESULT_MAX_BYTES
}

/// Bytes that a text takes inside a JSON string.
pub(crate) fn json_len(text: &str) -> usize {
    text.chars().map(json_len_of).sum()
}

/// Bytes that one letter takes inside a JSON string.
pub(crate) fn json_len_of(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => letter.len_utf8(),
    }
}

/// How many of `costs`, from the first, fit into `room` bytes.
pub(crate) fn fitting(costs: impl IntoIterator<Item = usize>, room: usize) -> usize {
    let mut left = room;
    costs
        .into_iter()
        .take_while(|cost| match left.checked_sub(*cost) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .count()
}

/// Bytes that a row of a list takes in a result, as structure and as `line` of the text.
pub(crate) fn row_cost(row: &impl Serialize, line: &str) -> usize {
    let structured = serde_json::to_vec(row).map_or(0, |json| json.len());
    structured + 1 + json_len(line)
}

/// The answer to `page`, with as many rows as one result holds; `costs` are theirs. Where that is fewer than came,
/// they are asked for once more, so that the cursor is the one behind the last that is shown.
pub(crate) async fn fitted<A, F>(
    mut page: Page,
    ask: impl Fn(Page) -> F,
    costs: impl Fn(&A) -> Vec<usize>,
) -> Result<A, ClientError>
where
    F: Future<Output = Result<A, ClientError>>,
{
    loop {
        let answer = ask(page.clone()).await?;
        let costs = costs(&answer);
        let count = costs.len();
        let fits = fitting(costs, ROWS_MAX_BYTES);
        if fits == count {
            return Ok(answer);
        }
        page = page.limit(u32::try_from(fits).unwrap_or(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_length_of_a_text_in_json_is_foretold(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(json_len(&text) + 2, written.len());
        }
    }

    #[test]
    fn a_refusal_says_code_field_and_remedy_in_text_and_structure() {
        let refusal = Refusal::invalid("limit", "the limit lies between 1 and 200", "ask for less");
        let unread = Unread {
            count: 2,
            highest_priority: Some(Priority::Urgent),
        };
        let result = serde_json::to_value(refused(&refusal, Some(unread))).unwrap();
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        let told = "invalid_argument: the limit lies between 1 and 200\nfield: limit\nremedy: ask for less\n\n\
                    Unread: 2, highest priority urgent (check_messages shows them)";
        assert_eq!(text, told);
        let structured = &result["structuredContent"];
        assert_eq!(structured["error"]["code"], "invalid_argument");
        assert_eq!(
            structured["unread"],
            json!({"count": 2, "highestPriority": "urgent"})
        );
    }

    #[test]
    fn a_refusal_that_repeats_a_callers_words_stays_short_and_in_its_lines() {
        let long = "x\n".repeat(50_000);
        let result = refused(&Refusal::invalid(&long, &long, &long), None);
        assert!(!is_too_long(&result));
        let result = serde_json::to_value(result).unwrap();
        assert_eq!(
            result["content"][0]["text"]
                .as_str()
                .unwrap()
                .lines()
                .count(),
            3
        );
    }

    #[test]
    fn an_answer_that_is_too_long_after_all_is_refused_instead() {
        #[derive(Serialize)]
        struct Long {
            text: String,
        }
        let text = "é".repeat(RESULT_MAX_BYTES / 2);
        let result = done(&Answer::new(Long { text }, ""), None);
        assert_eq!(result.is_error, Some(true));
        assert!(!is_too_long(&result));
    }
}
