//! `mark_as_read`: saying that messages were dealt with.

use crate::answer::Answer;
use crate::args;
use crate::caller::Caller;
use crate::registry::{Effect, Tool, UnreadFrom};
use postroad_client::ClientError;
use postroad_protocol::Refusal;
use postroad_protocol::command::Marked;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ids of one call: as many as one check shows, and their answer fits a result.
const IDS_MAX: usize = 200;
/// Longest id, in characters.
const ID_MAX_CHARS: usize = 64;
/// Ids that the text names; the structure has all of them.
const NAMED_MAX: usize = 20;

/// `mark_as_read`.
pub(crate) struct MarkAsRead;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// receiptId of each message, from `check_messages`
    receipt_ids: Option<Vec<String>>,
    /// Or their messageId
    message_ids: Option<Vec<String>>,
}

/// Its answer: every id, in one of the three.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    marked: Vec<String>,
    already_read: Vec<String>,
    not_found: Vec<String>,
}

impl Tool for MarkAsRead {
    const NAME: &'static str = "mark_as_read";
    const TITLE: &'static str = "Mark as read";
    const ABOUT: &'static str = "Marks messages as read once you have dealt with them, so that \
        check_messages no longer shows them. Their senders see it.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Sets;
    const UNREAD: UnreadFrom = UnreadFrom::Afterwards;
    type Args = Args;
    type Output = Output;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Output>, ClientError> {
        let receipts = args.receipt_ids.unwrap_or_default();
        let messages = args.message_ids.unwrap_or_default();
        check(&receipts, &messages)?;
        let mut marked = Marked::default();
        if !receipts.is_empty() {
            marked = caller.client().mark_as_read(receipts).await?;
        }
        if !messages.is_empty() {
            let by_message = caller.client().mark_messages_as_read(messages).await?;
            marked.marked.extend(by_message.marked);
            marked.already_read.extend(by_message.already_read);
            marked.not_found.extend(by_message.not_found);
        }
        let text = told(&marked);
        let output = Output {
            marked: marked.marked,
            already_read: marked.already_read,
            not_found: marked.not_found,
        };
        Ok(Answer::new(output, text))
    }
}

fn check(receipts: &[String], messages: &[String]) -> Result<(), Refusal> {
    let count = receipts.len() + messages.len();
    if count == 0 {
        return Err(Refusal::invalid(
            "receiptIds",
            "nothing is named to mark",
            "give the receiptIds that check_messages answered",
        ));
    }
    if count > IDS_MAX {
        return Err(args::too_many("receiptIds", count, IDS_MAX));
    }
    for (field, ids) in [("receiptIds", receipts), ("messageIds", messages)] {
        if let Some(at) = ids.iter().position(|id| !may_be_id(id)) {
            return Err(Refusal::invalid(
                &format!("{field}[{at}]"),
                "this cannot be an id",
                "give the ids as check_messages answered them",
            ));
        }
    }
    Ok(())
}

fn may_be_id(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=ID_MAX_CHARS).contains(&text.len()) && text.chars().all(is_plain)
}

fn told(marked: &Marked) -> String {
    let mut told = format!("Marked as read: {}", marked.marked.len());
    if !marked.already_read.is_empty() {
        told.push_str(&format!("\nRead before: {}", marked.already_read.len()));
    }
    if !marked.not_found.is_empty() {
        let named: Vec<&str> = marked
            .not_found
            .iter()
            .take(NAMED_MAX)
            .map(String::as_str)
            .collect();
        let more = if named.len() < marked.not_found.len() {
            ", …"
        } else {
            ""
        };
        let (count, named) = (marked.not_found.len(), named.join(", "));
        told.push_str(&format!(
            "\nNot found among your mail: {count} ({named}{more})"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{RESULT_MAX_BYTES, done};

    #[test]
    fn the_answer_to_the_longest_call_fits_a_result() {
        let ids: Vec<String> = (0..IDS_MAX).map(|n| format!("{n:064}")).collect();
        assert!(check(&ids, &[]).is_ok());
        let marked = Marked {
            not_found: ids,
            ..Marked::default()
        };
        let text = told(&marked);
        let output = Output {
            marked: Vec::new(),
            already_read: Vec::new(),
            not_found: marked.not_found,
        };
        let result = done(&Answer::new(output, text), None);
        assert_ne!(result.is_error, Some(true));
        assert!(serde_json::to_vec(&result).unwrap().len() <= RESULT_MAX_BYTES);
    }

    #[test]
    fn what_cannot_be_an_id_is_named_by_its_place() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let refusal = check(&[], &ids(&["fine", "not \n fine"])).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("messageIds[1]"));
        assert_eq!(
            check(&[], &[]).unwrap_err().field.as_deref(),
            Some("receiptIds")
        );
        assert!(check(&vec!["a".to_owned(); IDS_MAX + 1], &[]).is_err());
    }
}
