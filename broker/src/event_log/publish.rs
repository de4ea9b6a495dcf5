//! Puts sealed events on the wire: one alone, or several as an atomic batch. Owns the JetStream
//! headers and what an answer means; never decides what is sent.

use async_nats::header::{HeaderMap, HeaderName};
use async_nats::jetstream::context::{Context, PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use postroad_protocol::envelope::Sealed;
use postroad_protocol::id::CommandId;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long handing one event, or one batch, to the client may take. Its queue is full only when the
/// connection takes nothing; then whoever waits here keeps everybody's deadlines waiting.
const SEND_WAIT: Duration = Duration::from_secs(1);
const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");
const EXPECTED_LAST: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
const EXPECTED_LAST_OF: HeaderName =
    HeaderName::from_static("Nats-Expected-Last-Subject-Sequence-Subject");

/// A sealed event with its payload ready for the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Subject and headers; its own payload is taken out.
    sealed: Sealed,
    payload: Bytes,
    size: usize,
    expected_last: Option<u64>,
    /// What `expected_last` is the end of, where that is not the event's own subject.
    expected_of: Option<String>,
}

impl Outgoing {
    /// Makes `sealed` ready. With `expected_last`, the last sequence on its subject must be that one.
    pub(crate) fn new(mut sealed: Sealed, expected_last: Option<u64>) -> Self {
        let size = sealed.size();
        let payload = Bytes::from(std::mem::take(&mut sealed.payload));
        Self {
            sealed,
            payload,
            size,
            expected_last,
            expected_of: None,
        }
    }

    /// As [`Self::new`], where `last` is the last sequence of all subjects under `filter`.
    pub(super) fn expecting(sealed: Sealed, last: u64, filter: String) -> Self {
        Self {
            expected_of: Some(filter),
            ..Self::new(sealed, Some(last))
        }
    }

    /// What it carries beside its payload.
    pub(crate) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// The sealed payload.
    pub(super) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// About how many bytes it takes in a batch.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether an expectation of it could fail a whole batch.
    pub(super) fn is_alone(&self) -> bool {
        self.expected_last.is_some()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.sealed.headers() {
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(expected) = self.expected_last {
            headers.insert(EXPECTED_LAST, expected.to_string());
        }
        if let Some(filter) = &self.expected_of {
            headers.insert(EXPECTED_LAST_OF, filter.as_str());
        }
        headers
    }
}

/// What a failed publish means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was not stored: nobody listened, or the server refused it for now.
    NotStored {
        /// What the server said.
        cause: String,
    },
    /// It was not stored: the subject has moved on.
    Superseded,
    /// Nobody knows.
    Unknown,
}

/// Sends one event. Returns once it is on its way; `Unknown` when the connection takes nothing.
pub(super) async fn send_plain(
    context: &Context,
    event: &Outgoing,
) -> Result<PublishAckFuture, Failure> {
    let deadline = Instant::now() + SEND_WAIT;
    let sent = timeout_at(deadline, put_plain(context, event)).await;
    sent.unwrap_or(Err(Failure::Unknown))
}

async fn put_plain(context: &Context, event: &Outgoing) -> Result<PublishAckFuture, Failure> {
    let message = PublishMessage::build()
        .headers(event.headers())
        .payload(event.payload.clone());
    context
        .send_publish(event.sealed.subject.clone(), message)
        .await
        .map_err(|error| meaning(&error))
}

/// An atomic batch on its way to the server, member by member. Nothing of it is stored before its last
/// member, and whoever drops it uncommitted has stored nothing.
#[derive(Debug)]
pub(super) struct OpenBatch {
    id: String,
    members: usize,
}

impl OpenBatch {
    /// One without members.
    pub(super) fn new() -> Self {
        Self {
            id: CommandId::generate().to_string(),
            members: 0,
        }
    }

    /// Members that were sent.
    pub(super) fn len(&self) -> usize {
        self.members
    }

    /// Sends `events` as the next members, without asking for an answer. `Unknown` when the connection
    /// takes nothing.
    pub(super) async fn add<'a>(
        &mut self,
        context: &Context,
        events: impl Iterator<Item = &'a Outgoing>,
    ) -> Result<(), Failure> {
        let (client, deadline) = (context.client(), Instant::now() + SEND_WAIT);
        for event in events {
            let (subject, headers) = self.next(event);
            let sent = client.publish_with_headers(subject, headers, event.payload.clone());
            match timeout_at(deadline, sent).await {
                Ok(Ok(())) => {}
                _ => return Err(Failure::Unknown),
            }
        }
        Ok(())
    }

    /// Sends `event` as the last member, whose answer counts for all. Returns once it is on its way;
    /// `Unknown` when the connection takes nothing.
    pub(super) async fn commit(
        mut self,
        context: &Context,
        event: &Outgoing,
    ) -> Result<PublishAckFuture, Failure> {
        let (subject, mut headers) = self.next(event);
        headers.insert(BATCH_COMMIT, "1");
        let message = PublishMessage::build()
            .headers(headers)
            .payload(event.payload.clone());
        let deadline = Instant::now() + SEND_WAIT;
        match timeout_at(deadline, context.send_publish(subject, message)).await {
            Ok(sent) => sent.map_err(|error| meaning(&error)),
            Err(_) => Err(Failure::Unknown),
        }
    }

    fn next(&mut self, event: &Outgoing) -> (String, HeaderMap) {
        self.members += 1;
        let mut headers = event.headers();
        headers.insert(BATCH_ID, self.id.as_str());
        headers.insert(BATCH_SEQUENCE, self.members.to_string());
        (event.sealed.subject.clone(), headers)
    }
}

/// Waits for the answer.
pub(super) async fn acknowledged(future: PublishAckFuture) -> Result<PublishAck, Failure> {
    future.await.map_err(|error| meaning(&error))
}

/// The sequence of member `index` (from 0) of a batch of `count` whose commit was acknowledged at
/// `committed`: members lie one behind the other, the commit last.
pub(super) fn member_sequence(committed: u64, count: usize, index: usize) -> u64 {
    committed + index as u64 + 1 - count as u64
}

fn meaning(error: &PublishError) -> Failure {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Failure::Unknown,
        PublishErrorKind::WrongLastSequence => Failure::Superseded,
        PublishErrorKind::Other => match error.source() {
            // An answer with an error code is the server's word that it stored nothing.
            Some(source) if source.is::<async_nats::jetstream::Error>() => Failure::NotStored {
                cause: source.to_string(),
            },
            _ => Failure::Unknown,
        },
        _ => Failure::NotStored {
            cause: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_batch_end_where_its_commit_was_acknowledged() {
        assert_eq!(member_sequence(10, 4, 0), 7);
        assert_eq!(member_sequence(10, 4, 3), 10);
        assert_eq!(member_sequence(1, 1, 0), 1);
    }
}
