//! What an answer of the log, or its absence, means for those who wait: success, a repeat, another
//! attempt, or a refusal. Never sends anything itself.

use super::{Appender, Done, Pending, Settling, answer};
use crate::error::AppendError;
use crate::event_log::Appended;
use crate::event_log::publish::{Failure, member_sequence};
use crate::event_log::recent::DedupId;
use crate::event_log::stored::{Stored, compare};
use async_nats::jetstream::publish::PublishAck;
use futures_util::FutureExt;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Appender {
    pub(super) fn settle(&mut self, done: Done) {
        match done {
            Done::Plain(id, Ok(ack)) if ack.duplicate => self.meet_duplicate(id, ack.sequence),
            Done::Plain(id, Ok(ack)) => {
                self.note(id, ack.sequence);
                self.succeed(id, ack.sequence);
            }
            Done::Plain(id, Err(failure)) => self.fall_back(id, &failure),
            Done::Batch(ids, result) => self.settle_batch(&ids, result),
            Done::Compared(id, sequence, Ok(stored)) => {
                self.recent.remember(id, sequence);
                self.repeat(id, sequence, &stored);
            }
            Done::Compared(id, sequence, Err(error)) => {
                if error == AppendError::Conflict {
                    self.recent.remember(id, sequence);
                }
                self.fail(id, &error);
            }
        }
    }

    fn settle_batch(&mut self, ids: &[DedupId], result: Result<PublishAck, Failure>) {
        let count = ids.len();
        match result {
            Ok(ack) if ack.batch_size == Some(count as u64) && ack.sequence >= count as u64 => {
                if let Some(last) = ids.last() {
                    self.note(*last, ack.sequence);
                }
                for (index, id) in ids.iter().enumerate() {
                    self.succeed(*id, member_sequence(ack.sequence, count, index));
                }
                self.counters.batches.fetch_add(1, Ordering::Relaxed);
                self.counters
                    .batched
                    .fetch_add(count as u64, Ordering::Relaxed);
                let waiting = self.planner.gathered();
                self.pace.batch_stored(count, waiting, Instant::now());
            }
            result => {
                let refused =
                    matches!(result, Err(Failure::NotStored { .. } | Failure::Superseded));
                if let Err(Failure::NotStored { cause }) = &result {
                    tracing::debug!(shard = self.shard.number(), count, cause, "batch refused");
                }
                self.counters.failed_batches.fetch_add(1, Ordering::Relaxed);
                for id in ids {
                    if let Some(pending) = self.planner.get_mut(*id) {
                        pending.maybe_stored |= !refused;
                        pending.sank |= refused;
                    }
                    self.planner.send_again(*id);
                }
            }
        }
    }

    /// Something is stored under this id already; whether it is the same has to be looked at.
    fn meet_duplicate(&mut self, id: DedupId, sequence: u64) {
        let Some(pending) = self.planner.get_mut(id) else {
            return;
        };
        if pending.sank && !pending.maybe_stored {
            self.planner.suspect(id, Instant::now());
        }
        self.planner.compare(id);
        self.compare_with(id, sequence);
    }

    pub(super) fn compare_with(&mut self, id: DedupId, sequence: u64) {
        let Some(pending) = self.planner.get_mut(id) else {
            return;
        };
        let (event, time) = (pending.append.event.clone(), pending.append.time);
        let (shard, keyring) = (self.shard.clone(), self.keyring.clone());
        let compared = async move {
            let stored = compare(&shard, &keyring, sequence, &event, time).await;
            Done::Compared(id, sequence, stored)
        };
        self.jobs.push(compared.boxed());
    }

    fn fall_back(&mut self, id: DedupId, failure: &Failure) {
        match failure {
            Failure::Superseded => self.fail(id, &AppendError::Superseded),
            Failure::NotStored { cause } => {
                tracing::debug!(shard = self.shard.number(), cause, "publish refused");
                self.planner.send_again(id);
            }
            Failure::Unknown => {
                if let Some(pending) = self.planner.get_mut(id) {
                    pending.maybe_stored = true;
                }
                self.planner.send_again(id);
            }
        }
        if *failure != Failure::Superseded {
            self.pace.stumbled(Instant::now());
        }
    }

    /// The last event that was stored is what has to be in its place after a reconnect.
    fn note(&mut self, id: DedupId, sequence: u64) {
        if let Some(pending) = self.planner.get_mut(id) {
            let outgoing = &pending.append.outgoing;
            self.guard
                .note(sequence, &outgoing.sealed().subject, outgoing.payload());
        }
    }

    fn succeed(&mut self, id: DedupId, sequence: u64) {
        let Some(pending) = self.planner.finish(id) else {
            return;
        };
        self.recent.remember(id, sequence);
        self.counters.appended.fetch_add(1, Ordering::Relaxed);
        let stored = Stored {
            event: pending.append.event.clone(),
            time: pending.append.time,
        };
        self.tell(pending, sequence, &stored, true);
    }

    fn repeat(&mut self, id: DedupId, sequence: u64, stored: &Stored) {
        if let Some(pending) = self.planner.finish(id) {
            // What an attempt of ours may have stored is new to everybody else.
            let first = pending.maybe_stored;
            self.tell(pending, sequence, stored, first);
        }
    }

    fn tell(&self, pending: Pending, sequence: u64, stored: &Stored, first: bool) {
        let appended = |first| Appended {
            position: self.shard.position(sequence),
            event: stored.event.clone(),
            time: stored.time,
            first,
        };
        answer(pending.append.answer, Ok(appended(first)));
        for follower in pending.followers {
            answer(follower, Ok(appended(false)));
        }
        for rival in pending.rivals {
            answer(rival.answer, Err(AppendError::Conflict));
        }
    }

    /// Tells those whose events, and all before them, are settled.
    pub(super) fn tell_settled(&mut self) {
        let planner = &self.planner;
        let is_settled =
            |settling: &mut Settling| settling.ids.iter().all(|id| planner.get(*id).is_none());
        for settled in self.settling.extract_if(.., is_settled) {
            // Whoever asked may have gone.
            let _gone = settled.done.send(());
        }
    }

    pub(super) fn fail(&mut self, id: DedupId, error: &AppendError) {
        if let Some(pending) = self.planner.finish(id) {
            answer(pending.append.answer, Err(error.clone()));
            for follower in pending.followers {
                answer(follower, Err(error.clone()));
            }
            for rival in pending.rivals {
                match error {
                    // It was the late one. What is stored is known by now, so each rival is compared with it.
                    AppendError::Conflict => self.offer(rival),
                    error => answer(rival.answer, Err(error.clone())),
                }
            }
        }
    }
}
