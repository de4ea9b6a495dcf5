//! `get_message`: one message, or the next part of a long one.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::frame::NOTICE;
use crate::messages::{Shown, as_checked, frame_for};
use crate::parts;
use crate::registry::{Effect, Tool};
use postroad_client::ClientError;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `get_message`.
pub(crate) struct GetMessage;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    message_id: String,
    /// The nextContentOffset of an earlier answer, for the rest of a long content
    content_offset: Option<i64>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct One {
    notice: &'static str,
    #[schemars(schema_with = "as_checked")]
    message: Shown,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for GetMessage {
    const NAME: &'static str = "get_message";
    const TITLE: &'static str = "Get a message";
    const ABOUT: &'static str = "One message that you sent or received. A content that is too long for \
        one answer comes in parts: go on with contentOffset.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = One;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<One>, ClientError> {
        let id = args::message(&args.message_id)?;
        let one = caller.client().get_message(id).await?;
        let offset = parts::offset(args.content_offset, &one.message.content)?;
        let frame = frame_for(std::slice::from_ref(&one.message));
        let message = Shown::part_of(&one.message, offset, &frame);
        let mut text = format!("{}\n\n{}", frame.legend(), message.told(&frame));
        if one.stale {
            text.push_str(STALE);
        }
        let stale = one.stale;
        let one = One {
            notice: NOTICE,
            message,
            stale,
        };
        Ok(Answer::new(one, text))
    }
}
