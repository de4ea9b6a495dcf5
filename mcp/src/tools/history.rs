//! `list_messages`: what the caller sent and received.

use super::inbox::{Mail, shown};
use crate::answer::{Answer, Unread};
use crate::args;
use crate::caller::Caller;
use crate::registry::{Effect, Tool, UnreadFrom};
use postroad_client::{ClientError, History};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{Refusal, Role};
use schemars::JsonSchema;
use serde::Deserialize;

/// `list_messages`.
pub(crate) struct ListMessages;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// Only from this role
    sender: Option<String>,
    /// Only to this role, or broadcast
    channel: Option<String>,
    /// Not before, in milliseconds since 1970
    since: Option<i64>,
    /// Before, in milliseconds since 1970
    until: Option<i64>,
    /// 1 to 200, by default 20
    limit: Option<i64>,
    /// nextCursor of an earlier answer
    cursor: Option<String>,
}

impl Tool for ListMessages {
    const NAME: &'static str = "list_messages";
    const TITLE: &'static str = "List messages";
    const ABOUT: &'static str =
        "Messages that you sent or received, read ones too, newest first. It changes nothing.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    const UNREAD: UnreadFrom = UnreadFrom::Answer;
    type Args = Args;
    type Output = Mail;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Mail>, ClientError> {
        let history = history(args)?;
        let first = caller.client().list_messages(&history).await?;
        let again = |limit| {
            let history = history.clone().limit(limit);
            async move { caller.client().list_messages(&history).await }
        };
        let (answer, told) = shown(first, again).await?;
        let unread = Unread::told_by(&answer);
        let mail = Mail::of(&answer, told.shown);
        let text = match mail.messages.len() {
            0 => "No such messages.".to_owned(),
            count => format!("Messages shown: {count}. {}", told.text),
        };
        let text = mail.and_more(text, "list_messages");
        Ok(Answer::new(mail, text).with_unread(unread))
    }
}

fn history(args: Args) -> Result<History, Refusal> {
    let mut history = History::default();
    if let Some(limit) = args::limit(args.limit)? {
        history = history.limit(limit);
    }
    if let Some(sender) = args.sender {
        let sender = Role::parse_stored(&sender).map_err(|error| error.at("sender"))?;
        history = history.sender(sender);
    }
    if let Some(channel) = args.channel {
        history = history.channel(channel);
    }
    if let Some(since) = args.since {
        history = history.since(args::moment("since", since)?);
    }
    if let Some(until) = args.until {
        history = history.until(args::moment("until", until)?);
    }
    Ok(match args.cursor {
        Some(cursor) => history.after(cursor),
        None => history,
    })
}
