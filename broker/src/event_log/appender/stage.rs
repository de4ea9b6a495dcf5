//! Sends the next batch ahead of its commit. Most of what a batch costs the server is opening it and
//! taking its members in; while the batch before it is on its way that costs nobody any time. Only the
//! commit waits for that one's outcome, so there is one commit at a time, and order is kept.

use super::{Appender, Done};
use crate::event_log::publish::{Failure, OpenBatch, Outgoing};
use crate::event_log::recent::DedupId;
use futures_util::FutureExt;
use std::time::Instant;

impl Appender {
    /// Sends what waits as members of the next batch, all but the last: some member has to carry the
    /// commit.
    pub(super) async fn stage(&mut self) {
        if self.reconnected || !self.is_in_place() {
            return;
        }
        let members = self.planner.stage();
        let sent = self.open.as_ref().map_or(0, OpenBatch::len);
        let ahead = match members.get(sent..) {
            Some([ahead @ .., _last]) if !ahead.is_empty() => ahead.to_vec(),
            _ => return,
        };
        let mut open = self.open.take().unwrap_or_else(OpenBatch::new);
        let added = match self.events(&ahead) {
            Some(events) => open.add(self.shard.context(), events.into_iter()).await,
            None => Err(Failure::Unknown),
        };
        self.open = Some(open);
        if added.is_err() {
            self.unstage();
        }
    }

    /// Gives the open batch up: nothing of it was committed, so nothing of it is stored.
    pub(super) fn unstage(&mut self) {
        self.open = None;
        self.planner.unstage();
    }

    /// Sends what is left of the batch of `ids`, and its commit.
    pub(super) async fn send_batch(&mut self, ids: Vec<DedupId>) -> Result<(), Failure> {
        self.pace
            .batch_sent(self.planner.gathered(), Instant::now());
        let mut open = self.open.take().unwrap_or_else(OpenBatch::new);
        let left = ids.get(open.len()..).unwrap_or_default();
        let sent = match self.events(left).as_deref() {
            Some([ahead @ .., last]) => {
                let added = open.add(self.shard.context(), ahead.iter().copied()).await;
                match added {
                    Ok(()) => open.commit(self.shard.context(), last).await,
                    Err(failure) => Err(failure),
                }
            }
            // A member was given up meanwhile; the others are not committed with it.
            _ => Err(Failure::Unknown),
        };
        let outcome = sent.as_ref().map(|_| ()).map_err(Clone::clone);
        let answered = self.answered(sent);
        self.jobs
            .push(async move { Done::Batch(ids, answered.await) }.boxed());
        outcome
    }

    /// The events under `ids`, where none of them was given up.
    fn events(&self, ids: &[DedupId]) -> Option<Vec<&Outgoing>> {
        let event = |id: &DedupId| Some(&self.planner.get(*id)?.append.outgoing);
        ids.iter().map(event).collect()
    }
}
