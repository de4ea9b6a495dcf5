//! Mail as a stream: every unread message once, in order, over crashes and reconnects.
//!
//! The queue is the reader's unread receipts, not the stream: one waiting check is kept open behind
//! the last message yielded, and push only shortens the wait. So nothing is lost when a hint is, when
//! a broker or projector dies, or when this process does: what was not marked as read comes again
//! to the next subscription, and to this one never twice. Never marks anything by itself.

use crate::bell::{Bell, furthest};
use crate::client::{Client, is_at};
use crate::error::{Advice, ClientError};
use crate::queries::Check;
use crate::retry::Backoff;
use futures_util::Stream;
use postroad_protocol::query::{Message, Messages};
use postroad_protocol::{ErrorCode, Position, Refusal};
use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that are fetched ahead of the consumer.
const FETCHED_AHEAD: usize = 32;
/// Messages asked for at once.
const PAGE: u32 = 100;
/// How long one check is kept open. Long enough to cost little, short enough that a check lost
/// together with its hint is soon asked again.
const WAIT: Duration = Duration::from_secs(30);
/// How long the open check may take to answer after a hint. Then it counts as lost: whoever held it
/// has died.
const HINT_PATIENCE: Duration = Duration::from_millis(500);
/// Receipts remembered for the one case in which the cursor cannot tell what was yielded: a log
/// restored from a backup makes every cursor void.
const YIELDED_REMEMBERED: usize = 8_192;

/// The unread messages of one reader, as they come.
///
/// A stream of results: an error is yielded only where retrying does not help, and ends the stream.
/// Mark messages as read once they are dealt with, with [`Subscription::ack`] or
/// [`Client::mark_as_read`].
#[derive(Debug)]
#[must_use = "a subscription yields nothing unless it is polled"]
pub struct Subscription {
    client: Client,
    messages: mpsc::Receiver<Result<Message, ClientError>>,
    pump: JoinHandle<()>,
}

impl Client {
    /// Yields every unread message of this agent once, oldest first, and then each new one.
    ///
    /// # Errors
    /// `permission_denied` for an operator, [`ClientError::Closed`] after [`Client::close`].
    pub async fn subscribe(&self) -> Result<Subscription, ClientError> {
        // The bell hangs before the first check, so that nothing falls between the two.
        let bell = Bell::hang(self).await?;
        let (sender, messages) = mpsc::channel(FETCHED_AHEAD);
        let pump = Pump {
            client: self.clone(),
            bell,
            cursor: None,
            answered: None,
            drained: false,
            yielded: Remembered::default(),
        };
        Ok(Subscription {
            client: self.clone(),
            messages,
            pump: tokio::spawn(pump.run(sender)),
        })
    }
}

impl Subscription {
    /// The next message; none after an error that ended the stream. Cancelling this loses nothing.
    pub async fn next(&mut self) -> Option<Result<Message, ClientError>> {
        self.messages.recv().await
    }

    /// Marks one of its messages as read.
    ///
    /// # Errors
    /// [`ClientError`]; doing it again is harmless. `not_found` when the message has no receipt of
    /// this reader's.
    pub async fn ack(&self, message: &Message) -> Result<(), ClientError> {
        let gone = || ClientError::Refused(Refusal::not_found("receiptIds", "receipt"));
        let receipt = message.receipt_id.as_ref().ok_or_else(gone)?;
        let marked = self.client.mark_as_read([receipt]).await?;
        if marked.not_found.is_empty() {
            return Ok(());
        }
        Err(gone())
    }
}

impl Stream for Subscription {
    type Item = Result<Message, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Fetches pages and hands their messages out, never more than the channel takes.
struct Pump {
    client: Client,
    bell: Bell,
    /// Behind the last message handed out.
    cursor: Option<String>,
    /// How far the last answer had read: hints up to here are old news.
    answered: Option<Position>,
    /// Whether the last answer held all that was unread. Only then is the next check kept open: what
    /// comes after that is hinted at, so a check that is lost while it waits is noticed, whereas one
    /// that is lost with mail at hand would be missed only when its wait is over.
    drained: bool,
    yielded: Remembered,
}

impl Pump {
    async fn run(mut self, sender: mpsc::Sender<Result<Message, ClientError>>) {
        let mut backoff = Backoff::new();
        loop {
            let page = match self.page().await {
                Ok(page) => page,
                Err(error) => match self.recover(error, &mut backoff).await {
                    Ok(()) => continue,
                    Err(error) => {
                        // Whoever no longer listens does not miss it.
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                },
            };
            if page.stale && page.messages.is_empty() {
                // There may be mail that cannot be shown until the log is mended; asking at once again
                // would only keep everybody busy.
                tokio::time::sleep(backoff.pause(None)).await;
            } else {
                backoff.reset();
            }
            self.answered = Some(page.position);
            self.drained = !page.truncated;
            for message in page.messages {
                if self.yielded.is_new(message.receipt_id.as_deref())
                    && sender.send(Ok(message)).await.is_err()
                {
                    return;
                }
            }
            self.cursor = page.next_cursor.or(self.cursor.take());
        }
    }

    /// The next page, waiting for it where there is none yet.
    async fn page(&mut self) -> Result<Messages, ClientError> {
        let page = self.answer().await?;
        if !page.messages.is_empty() && page.next_cursor.is_none() {
            return Err(ClientError::BadAnswer {
                reason: "a check had messages and no cursor to go on from".to_owned(),
            });
        }
        Ok(page)
    }

    async fn answer(&mut self) -> Result<Messages, ClientError> {
        let mut patience = HINT_PATIENCE;
        loop {
            // A hint that is known already goes along, so that the answer includes its message.
            let known = furthest(self.answered, self.bell.latest());
            if let Some(position) = known {
                let (tenant, _) = self.client.agent()?;
                self.client.note(tenant.as_str(), position);
            }
            let check = self.check();
            let answer = self.client.check(&check);
            tokio::pin!(answer);
            tokio::select! {
                page = &mut answer => return page,
                () = self.bell.rung(known) => {}
            }
            if let Ok(page) = tokio::time::timeout(patience, &mut answer).await {
                return page;
            }
            // Whoever is only slow must not be asked ever more often.
            patience = (patience * 2).min(WAIT);
        }
    }

    fn check(&self) -> Check {
        let wait = if self.drained { WAIT } else { Duration::ZERO };
        let mut check = Check::default().limit(PAGE).wait(wait);
        // What came before the first answer is included from then on, by its position.
        check.known_fresh = Some(self.answered.is_some());
        match &self.cursor {
            Some(cursor) => check.after(cursor.clone()),
            None => check,
        }
    }

    /// Waits, or begins anew, where that helps; gives the error back where it does not.
    async fn recover(
        &mut self,
        error: ClientError,
        backoff: &mut Backoff,
    ) -> Result<(), ClientError> {
        let code = error.code();
        if code == ErrorCode::InvalidArgument && is_at(&error, "cursor") && self.cursor.is_some() {
            tracing::warn!("the log was replaced: reading unread messages from the oldest again");
            self.cursor = None;
            self.answered = None;
            self.drained = false;
            return Ok(());
        }
        let Advice::Retry { after } = error.advice() else {
            return Err(error);
        };
        tracing::debug!(%error, "a subscription waits to be served again");
        let asked_ms = u64::try_from(after.as_millis()).ok();
        let pause = backoff.pause(asked_ms);
        let known = furthest(self.answered, self.bell.latest());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Whoever pushes is there again; so, it may be hoped, is whoever answers.
            () = self.bell.rung(known) => tokio::time::sleep(pause / 4).await,
        }
        Ok(())
    }
}

/// The last receipts that were handed out.
#[derive(Debug, Default)]
struct Remembered {
    known: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Remembered {
    fn is_new(&mut self, receipt: Option<&str>) -> bool {
        // A message without a receipt is no unread one, so it has no place in this stream.
        let Some(receipt) = receipt else { return false };
        if !self.known.insert(receipt.into()) {
            return false;
        }
        self.order.push_back(receipt.into());
        if self.order.len() > YIELDED_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_handed_out_once_and_memory_is_bounded() {
        let mut remembered = Remembered::default();
        assert!(remembered.is_new(Some("a")));
        assert!(!remembered.is_new(Some("a")));
        assert!(!remembered.is_new(None));
        for number in 0..3 * YIELDED_REMEMBERED {
            remembered.is_new(Some(&number.to_string()));
        }
        assert_eq!(remembered.known.len(), YIELDED_REMEMBERED);
        assert_eq!(remembered.order.len(), YIELDED_REMEMBERED);
    }
}
