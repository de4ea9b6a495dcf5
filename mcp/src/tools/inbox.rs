//! `check_messages` and `wait_for_messages`: what is unread, now or as soon as there is something.

use super::STALE;
use crate::answer::{Answer, Unread};
use crate::args;
use crate::caller::Caller;
use crate::frame::NOTICE;
use crate::messages::{Shown, frame_for, how_many_fit};
use crate::registry::{Effect, Tool, UnreadFrom};
use crate::tasks::{some_object, waiting_work};
use postroad_client::{Check, ClientError};
use postroad_protocol::Refusal;
use postroad_protocol::query::{Messages, TaskCounts};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait, in milliseconds: clients give a call a minute.
const WAIT_MAX_MS: i64 = 50_000;
/// Longest that one question of a wait is kept open.
const ONE_QUESTION: Duration = Duration::from_secs(10);
const CLAIMS: [(&str, &str); 3] = [args::RECIPIENT, args::RECIPIENT_INSTANCE, args::TENANT];

/// Messages, and where to go on.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mail {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    pub(crate) messages: Vec<Shown>,
    /// More follow behind nextCursor
    pub(crate) truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "some_object")]
    tasks: Option<TaskCounts>,
    /// The log is damaged: this may not be all
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stale: bool,
}

/// `check_messages`.
pub(crate) struct CheckMessages;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckArgs {
    /// 1 to 200, by default 20
    limit: Option<i64>,
    /// nextCursor of an earlier answer: go on behind it
    cursor: Option<String>,
}

impl Tool for CheckMessages {
    const NAME: &'static str = "check_messages";
    const TITLE: &'static str = "Check messages";
    const ABOUT: &'static str = "Your unread messages, oldest first. They stay unread until \
        mark_as_read. Call it when a session begins, and whenever a result says that mail is unread.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    const CLAIMS: &'static [(&'static str, &'static str)] = &CLAIMS;
    const UNREAD: UnreadFrom = UnreadFrom::Answer;
    type Args = CheckArgs;
    type Output = Mail;

    async fn call(caller: &Caller, args: CheckArgs) -> Result<Answer<Mail>, ClientError> {
        let check = check(args.limit, args.cursor)?;
        let first = caller.client().check(&check).await?;
        unread(caller, &check, first, "No unread messages.").await
    }
}

/// `wait_for_messages`.
pub(crate) struct WaitForMessages;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitArgs {
    /// Milliseconds, at most and by default 50000
    wait_ms: Option<i64>,
    /// 1 to 200, by default 20
    limit: Option<i64>,
    /// nextCursor of an earlier answer: only what comes behind it
    cursor: Option<String>,
}

impl Tool for WaitForMessages {
    const NAME: &'static str = "wait_for_messages";
    const TITLE: &'static str = "Wait for messages";
    const ABOUT: &'static str = "As check_messages, but where nothing is unread it waits until a \
        message comes, at most 50 s. With the nextCursor of an earlier answer it waits for what is newer \
        than that.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    const CLAIMS: &'static [(&'static str, &'static str)] = &CLAIMS;
    const UNREAD: UnreadFrom = UnreadFrom::Answer;
    type Args = WaitArgs;
    type Output = Mail;

    async fn call(caller: &Caller, args: WaitArgs) -> Result<Answer<Mail>, ClientError> {
        let wait_ms = args.wait_ms.unwrap_or(WAIT_MAX_MS);
        let wait = u64::try_from(wait_ms)
            .ok()
            .filter(|_| wait_ms <= WAIT_MAX_MS);
        let wait = wait.ok_or_else(|| {
            Refusal::invalid(
                "waitMs",
                format!("waitMs lies between 0 and {WAIT_MAX_MS}"),
                "wait in several calls",
            )
        })?;
        let check = check(args.limit, args.cursor)?;
        let first = waited(caller, &check, Duration::from_millis(wait)).await?;
        unread(caller, &check, first, "No message came in that time.").await
    }
}

/// Waits in several questions: whoever goes away in the middle of one leaves it behind, open, for its length.
async fn waited(caller: &Caller, check: &Check, wait: Duration) -> Result<Messages, ClientError> {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let asked = check.clone().wait(left.min(ONE_QUESTION));
        let answer = caller.client().check(&asked).await?;
        if !answer.messages.is_empty() || answer.stale || Instant::now() >= end {
            return Ok(answer);
        }
    }
}

fn check(limit: Option<i64>, cursor: Option<String>) -> Result<Check, Refusal> {
    let mut check = Check::default();
    if let Some(limit) = args::limit(limit)? {
        check = check.limit(limit);
    }
    Ok(match cursor {
        Some(cursor) => check.after(cursor),
        None => check,
    })
}

async fn unread(
    caller: &Caller,
    check: &Check,
    first: Messages,
    none: &str,
) -> Result<Answer<Mail>, ClientError> {
    let again = |limit| {
        let check = check.clone().limit(limit);
        async move { caller.client().check(&check).await }
    };
    let (answer, told) = shown(first, again).await?;
    let unread = Unread::told_by(&answer);
    let mail = Mail::of(&answer, told.shown);
    let text = match (mail.messages.len(), answer.unread_total) {
        (0, 0) => none.to_owned(),
        (0, _) => "Nothing more behind this cursor.".to_owned(),
        (1, _) => format!("1 unread message. {}", told.text),
        (count, _) => format!("{count} unread messages. {}", told.text),
    };
    let text = mail.and_more(text, "the same call");
    Ok(Answer::new(mail, text).with_unread(unread))
}

/// Messages of one answer, in both forms.
pub(crate) struct Told {
    pub(crate) shown: Vec<Shown>,
    pub(crate) text: String,
}

/// As many of the messages as one result holds. Where that is fewer, they are asked for once more, so that the
/// cursor is the one behind the last that is shown: nothing is left out, and nothing comes twice.
pub(crate) async fn shown<F>(
    first: Messages,
    again: impl Fn(u32) -> F,
) -> Result<(Messages, Told), ClientError>
where
    F: Future<Output = Result<Messages, ClientError>>,
{
    let mut answer = first;
    loop {
        let frame = frame_for(&answer.messages);
        let fits = how_many_fit(&answer.messages, &frame);
        let shown: Vec<Shown> = match answer.messages.as_slice() {
            [only] => vec![Shown::part_of(only, 0, &frame)],
            all if fits == all.len() => all.iter().map(Shown::of).collect(),
            _ => {
                answer = again(u32::try_from(fits.max(1)).unwrap_or(1)).await?;
                continue;
            }
        };
        let told = shown.iter().map(|shown| shown.told(&frame));
        let told: Vec<String> = told.collect();
        let text = format!("{}\n\n{}", frame.legend(), told.join("\n\n"));
        return Ok((answer, Told { shown, text }));
    }
}

impl Mail {
    /// With how to go on.
    pub(crate) fn of(answer: &Messages, shown: Vec<Shown>) -> Self {
        Self {
            notice: (!shown.is_empty()).then_some(NOTICE),
            messages: shown,
            truncated: answer.truncated,
            next_cursor: answer.next_cursor.clone(),
            tasks: answer.tasks,
            stale: answer.stale,
        }
    }

    /// `text`, what else waits, and how to get the rest.
    pub(crate) fn and_more(&self, mut text: String, call: &str) -> String {
        text.push_str(&waiting_work(self.tasks.as_ref()));
        if let (true, Some(cursor)) = (self.truncated, &self.next_cursor) {
            text.push_str(&format!("\n\nMore follow: {call} with cursor {cursor}"));
        }
        if self.stale {
            text.push_str(STALE);
        }
        text
    }
}
