//! `send`: one message, stored when the command ends.

use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use super::text::{count, one_line};
use clap::Args;
use postroad_client::Draft;
use postroad_protocol::command::Sent;
use postroad_protocol::event::Priority;
use postroad_protocol::limits::CONTENT_MAX_BYTES;
use postroad_protocol::{ErrorCode, InstanceId, MessageId, Refusal};
use std::io::Read as _;

/// Send a message to a role, to several, or to everyone in your tenant.
///
/// When the command ends well, the message is stored, whether or not anybody is there to read it. A
/// role need not be online; a name that is not on the roster refuses the whole send, so a slip never
/// goes to nobody. After exit code 6 run it again with the same --message-id: it is stored once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad send bob 'Phase 1 complete.'
  postroad send tau,phi 'Check your tasks.' --priority high
  postroad send alice 'For the laptop.' --instance tau-laptop
  git diff | postroad send broadcast - --meta kind=diff")]
pub(crate) struct SendArgs {
    /// A role, several separated by commas, or `broadcast`
    channel: String,
    /// The text, at most 256 KiB; `-` reads it from stdin as it is
    #[arg(allow_hyphen_values = true)]
    content: String,
    /// Only to this instance of the channel's one role
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<InstanceId>,
    /// How urgent it is
    #[arg(long, value_enum)]
    priority: Option<PriorityArg>,
    /// The message that it answers
    #[arg(long, value_name = "MESSAGE")]
    reply_to: Option<String>,
    /// Id to store it under, a UUID; a retry with the same id is stored once
    #[arg(long, value_name = "UUID")]
    message_id: Option<String>,
    /// A small label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    meta: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PriorityArg {
    Urgent,
    High,
    Normal,
    Low,
}

impl From<PriorityArg> for Priority {
    fn from(priority: PriorityArg) -> Self {
        match priority {
            PriorityArg::Urgent => Self::Urgent,
            PriorityArg::High => Self::High,
            PriorityArg::Normal => Self::Normal,
            PriorityArg::Low => Self::Low,
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a label as KEY=VALUE".to_owned()),
    }
}

pub(crate) async fn send(session: &Session, args: SendArgs) -> Result<(), Failure> {
    let draft = draft(args, || {
        read_content(std::io::stdin().lock(), CONTENT_MAX_BYTES)
    })?;
    let sent = session.agent().await?.send(&draft).await?;
    show(session.out, &sent)
}

fn draft(
    args: SendArgs,
    stdin: impl FnOnce() -> Result<String, Failure>,
) -> Result<Draft, Failure> {
    let content = match args.content.as_str() {
        "-" => stdin()?,
        _ => args.content,
    };
    let mut draft = Draft::new(args.channel, content);
    if let Some(instance) = &args.instance {
        draft = draft.instance(instance);
    }
    if let Some(priority) = args.priority {
        draft = draft.priority(priority.into());
    }
    if let Some(text) = &args.reply_to {
        // As the service would answer: what cannot be an id names no message.
        let unknown = || Refusal::not_found("replyTo", "message");
        draft = draft.reply_to(MessageId::parse(text).ok_or_else(unknown)?);
    }
    if let Some(text) = &args.message_id {
        let remedy = "make a UUIDv7, or leave it out";
        let wrong = || Refusal::invalid("messageId", "the message id is not a UUID", remedy);
        draft = draft.with_id(MessageId::parse(text).ok_or_else(wrong)?);
    }
    for (key, value) in args.meta {
        draft = draft.label(key, value);
    }
    Ok(draft)
}

/// Reads no more than shows that it is more than `most` bytes; the service then says so.
pub(super) fn read_content(stdin: impl std::io::Read, most: usize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let bound = most as u64 + 1;
    stdin.take(bound).read_to_end(&mut bytes).map_err(|error| {
        Failure::of(
            ErrorCode::Internal,
            &error,
            "check what is piped into this command",
        )
    })?;
    let is_cut = bytes.len() as u64 == bound;
    String::from_utf8(bytes).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        // A character that the bound has cut is no fault of the sender's.
        if is_cut && error.utf8_error().error_len().is_none() {
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            let filler = usize::try_from(bound).unwrap_or(usize::MAX);
            bytes.resize(filler, b' ');
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        Err(Failure::usage(
            "content",
            format!("the content is not UTF-8: byte {valid} begins no character"),
            "send text; put other data where the recipient can fetch it, and send the reference",
        ))
    })
}

fn show(out: Output, sent: &Sent) -> Result<(), Failure> {
    out.show(sent, |style| {
        let to = match &sent.recipients {
            Some(names) if !names.is_empty() => {
                let names: Vec<String> = names.iter().map(|name| one_line(name)).collect();
                format!(": {}", names.join(", "))
            }
            _ => String::new(),
        };
        let readers = count(sent.recipient_count, "reader");
        format!(
            "{}  stored for {readers}{to}",
            style.strong(&sent.message_id.to_string())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_from_stdin_is_taken_as_it_is_and_bounded() {
        assert_eq!(
            read_content(&b"a\nb\n"[..], CONTENT_MAX_BYTES).unwrap(),
            "a\nb\n"
        );
        let large = "é".repeat(CONTENT_MAX_BYTES);
        let read = read_content(large.as_bytes(), CONTENT_MAX_BYTES).unwrap();
        assert_eq!(read.len(), CONTENT_MAX_BYTES + 1);
        let Err(Failure::Told { refusal, .. }) = read_content(&b"ab\xff"[..], CONTENT_MAX_BYTES)
        else {
            panic!("it is refused");
        };
        assert_eq!(refusal.field.as_deref(), Some("content"));
        assert!(refusal.message.contains("byte 2"));
    }

    #[test]
    fn a_label_is_split_at_its_first_sign() {
        assert_eq!(label("k=v=w").unwrap(), ("k".to_owned(), "v=w".to_owned()));
        assert_eq!(label("k=").unwrap(), ("k".to_owned(), String::new()));
        assert!(label("k").is_err() && label("=v").is_err());
    }
}
