//! `get_message`: one message, or the next part of a long one.

use super::STALE;
use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::frame::NOTICE;
use crate::messages::{Shown, frame_for};
use crate::registry::{Effect, Tool};
use postroad_client::ClientError;
use postroad_protocol::Refusal;
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
        let offset = offset(args.content_offset.unwrap_or(0), &one.message.content)?;
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

fn offset(wanted: i64, content: &str) -> Result<usize, Refusal> {
    let offset = usize::try_from(wanted).ok();
    offset
        .filter(|offset| content.is_char_boundary(*offset))
        .ok_or_else(|| {
            let length = content.len();
            Refusal::invalid(
                "contentOffset",
                format!(
                    "no part of this content, which has {length} bytes, begins at byte {wanted}"
                ),
                "give the nextContentOffset of the answer before, or leave it out to begin anew",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_begins_where_a_letter_does() {
        assert_eq!(
            offset(2, "né").unwrap_err().field.as_deref(),
            Some("contentOffset")
        );
        for wanted in [-1, 4, i64::MAX] {
            assert!(offset(wanted, "né").is_err(), "{wanted}");
        }
        assert_eq!(offset(1, "né").unwrap(), 1);
        assert_eq!(offset(3, "né").unwrap(), 3);
    }
}
