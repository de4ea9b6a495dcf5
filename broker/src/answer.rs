//! What callers are told: answers in the encoding of their request, refusals with the headers that
//! NATS tools show. Owns writing them; never decides one.

use async_nats::client::Client;
use async_nats::{HeaderMap, Subject};
use postroad_protocol::body::{ERROR_CODE_HEADER, ERROR_HEADER, Encoding};
use postroad_protocol::command::{
    Done, Erased, Forgotten, Imported, Issued, LifeChanged, LimitsSet, Marked, MemoryImported,
    MemorySaved, MissionSaved, Revoked, Rotated, Sent, TaskSaved, TenantMade,
};
use postroad_protocol::error::Refusal;
use serde::Serialize;

/// The answer to a command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// To `send_message`.
    Sent(Sent),
    /// To `mark_as_read`.
    Marked(Marked),
    /// To what only needs to say where it landed.
    Done(Done),
    /// To `create_tenant`.
    TenantMade(TenantMade),
    /// To `issue_credential` and `renew_credential`.
    Issued(Issued),
    /// To `revoke_credential` and `end_credential`.
    Revoked(Revoked),
    /// To `import_events`.
    Imported(Imported),
    /// To `erase_tenant`.
    Erased(Erased),
    /// To `rotate_key`.
    Rotated(Rotated),
    /// To `suspend_tenant` and `resume_tenant`.
    LifeChanged(LifeChanged),
    /// To `set_limits`.
    LimitsSet(LimitsSet),
    /// To `store_memory` and `update_memory`.
    MemorySaved(MemorySaved),
    /// To `import_memory`.
    MemoryImported(MemoryImported),
    /// To `forget_memory`.
    Forgotten(Forgotten),
    /// To every command on a task.
    TaskSaved(TaskSaved),
    /// To every command on a mission.
    MissionSaved(MissionSaved),
}

/// Where one request is answered, and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct Replier {
    client: Client,
    to: Subject,
    encoding: Encoding,
}

impl Replier {
    /// Answers at `to`, which the door has found to be the caller's own inbox.
    pub(crate) fn new(client: Client, to: Subject, encoding: Encoding) -> Self {
        Self {
            client,
            to,
            encoding,
        }
    }

    /// Sends an answer or a refusal.
    pub(crate) async fn send<T: Serialize>(self, outcome: Result<T, Refusal>) {
        match outcome {
            Ok(answer) => self.answer(&answer).await,
            Err(refusal) => self.refuse(&refusal).await,
        }
    }

    async fn answer(self, answer: &impl Serialize) {
        let body = self.encoding.encode(answer).into();
        let sent = self.client.publish(self.to, body).await;
        note_lost(sent);
    }

    /// Sends a refusal.
    pub(crate) async fn refuse(self, refusal: &Refusal) {
        let mut headers = HeaderMap::new();
        headers.insert(ERROR_CODE_HEADER, refusal.code.as_str());
        headers.insert(ERROR_HEADER, one_line(&refusal.message));
        let body = self.encoding.encode(refusal).into();
        let sent = self
            .client
            .publish_with_headers(self.to, headers, body)
            .await;
        note_lost(sent);
    }
}

fn note_lost(sent: Result<(), async_nats::PublishError>) {
    if let Err(error) = sent {
        // The caller asks again with the same id.
        tracing::debug!(%error, "an answer could not be sent");
    }
}

/// A header holds one line of ASCII.
fn one_line(text: &str) -> String {
    let plain = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_be_broken_out_of() {
        assert_eq!(one_line("a\r\nX-Evil: 1\u{e9}"), "a??X-Evil: 1?");
    }
}
