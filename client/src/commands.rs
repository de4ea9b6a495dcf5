//! What an agent can ask to change: send, mark as read, say what it is doing.
//!
//! Owns how commands are written and their ids. Retrying them is the exchange's.

use crate::client::Client;
use crate::error::ClientError;
use postroad_protocol::command::{Done, Marked, Sent, wire};
use postroad_protocol::event::Priority;
use postroad_protocol::limits::MARK_MAX_IDS;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, InstanceId, MessageId, Position};
use serde::Serialize;

/// A message that is still to be sent.
///
/// Its id is made here, so sending the same draft again, even after
/// [`ClientError::OutcomeUnknown`] or from another process, sends one message.
///
/// ```
/// use postroad_client::Draft;
/// use postroad_client::protocol::event::Priority;
///
/// let draft = Draft::new("bob,carol", "The nav is migrated.")
///     .priority(Priority::High)
///     .label("task", "landing-page");
/// assert_eq!(draft.id(), draft.clone().id());
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    id: MessageId,
    body: wire::SendMessage,
}

impl Draft {
    /// A message to a role, to `broadcast`, or to several roles separated by commas.
    pub fn new(channel: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            id: MessageId::generate(),
            body: wire::SendMessage {
                channel: channel.into(),
                content: content.into(),
                ..wire::SendMessage::default()
            },
        }
    }

    /// Only to this instance of the channel's one role.
    #[must_use]
    pub fn instance(mut self, instance: &InstanceId) -> Self {
        self.body.instance_id = Some(instance.to_string());
        self
    }

    /// How urgent it is; normal by default.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.body.priority = Some(priority.word().to_owned());
        self
    }

    /// The message that it answers.
    #[must_use]
    pub fn reply_to(mut self, message: MessageId) -> Self {
        self.body.reply_to = Some(message.to_string());
        self
    }

    /// One small label more.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.body
            .metadata
            .get_or_insert_default()
            .insert(key.into(), value.into());
        self
    }

    /// Sends it under this id, for instance one that an earlier process kept.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is sent.
    pub fn id(&self) -> MessageId {
        self.id
    }
}

/// `mark_as_read` with the position that the caller has seen: a receipt that it was shown must be found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MarkBody<'a> {
    receipt_ids: &'a [String],
    message_ids: &'a [String],
    command_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

impl Client {
    /// Sends a message. When this returns, it is stored as durably as the deployment promises.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::OutcomeUnknown`] send the same draft again.
    pub async fn send(&self, draft: &Draft) -> Result<Sent, ClientError> {
        let verb = self.own(Scope::Messages, "send_message")?;
        let body = wire::SendMessage {
            message_id: Some(draft.id.to_string()),
            ..draft.body.clone()
        };
        let sent: Sent = self.command(verb, draft.id, &body).await?;
        if sent.message_id != draft.id {
            return Err(ClientError::BadAnswer {
                reason: format!("{} was sent, {} answered", draft.id, sent.message_id),
            });
        }
        Ok(sent)
    }

    /// Marks the messages of these receipts as read. More than 500 go in several commands.
    ///
    /// # Errors
    /// [`ClientError`]; marking again is harmless.
    pub async fn mark_as_read<I>(&self, receipt_ids: I) -> Result<Marked, ClientError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let ids: Vec<String> = receipt_ids.into_iter().map(Into::into).collect();
        self.mark(&ids, |chunk| (chunk, &[])).await
    }

    /// Marks messages as read by their own ids, for this reader. More than 500 go in several commands.
    ///
    /// # Errors
    /// [`ClientError`]; marking again is harmless.
    pub async fn mark_messages_as_read<I>(&self, message_ids: I) -> Result<Marked, ClientError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let ids: Vec<String> = message_ids.into_iter().map(Into::into).collect();
        self.mark(&ids, |chunk| (&[], chunk)).await
    }

    async fn mark<'a>(
        &self,
        ids: &'a [String],
        place: impl Fn(&'a [String]) -> (&'a [String], &'a [String]),
    ) -> Result<Marked, ClientError> {
        let verb = self.own(Scope::Messages, "mark_as_read")?;
        let mut all = Marked::default();
        for chunk in ids.chunks(MARK_MAX_IDS) {
            let id = CommandId::generate();
            let (receipt_ids, message_ids) = place(chunk);
            let body = MarkBody {
                receipt_ids,
                message_ids,
                command_id: id.to_string(),
                position: self.seen(verb.tenant),
            };
            let marked: Marked = self.command(verb, id, &body).await?;
            all.marked.extend(marked.marked);
            all.already_read.extend(marked.already_read);
            all.not_found.extend(marked.not_found);
            all.position = marked.position.or(all.position);
            self.confirm_wake().await;
        }
        Ok(all)
    }

    /// Says what this agent is doing, for `list_peers`; an empty text clears it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_summary(&self, summary: &str) -> Result<Done, ClientError> {
        let verb = self.own(Scope::Own, "set_summary")?;
        let id = CommandId::generate();
        let body = wire::SetSummary {
            summary: summary.to_owned(),
            command_id: Some(id.to_string()),
        };
        self.command(verb, id, &body).await
    }
}
