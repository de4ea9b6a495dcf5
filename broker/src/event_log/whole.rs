//! Appends several events of one tenant, all or none, behind everything that the tenant holds.
//!
//! This is for imports. Each of their events keeps the id that it always had, and all of them their order:
//! so they go past the planner, which resolves a batch that failed member by member, as one atomic batch
//! whose first member expects where the tenant's events end. Whoever else appended to the tenant in
//! between, another import included, fails the whole of it.

use super::publish::{Failure, OpenBatch, Outgoing, acknowledged, member_sequence, send_plain};
use super::{Draft, EventLog, Writer, stored};
use crate::error::AppendError;
use postroad_log::Shard;
use postroad_protocol::envelope::Record;
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl EventLog {
    /// Appends `drafts`, which are of one tenant and at most what one batch takes, if the tenant's events
    /// end at `last`. Says where the last of them is stored.
    ///
    /// # Errors
    /// `Superseded` and `Unavailable` when nothing was stored; `Unknown` when all may be, or none.
    pub(crate) async fn append_whole(
        &self,
        scope: &TenantScope,
        shard: u16,
        drafts: &[Draft],
        last: u64,
    ) -> Result<Position, AppendError> {
        let key = self.keyring.current(scope.owner());
        let key = key.ok_or(AppendError::NoOwner)?;
        let handle = self.writable(shard)?;
        let filter = self.subjects.tenant_events(scope.owner(), shard);
        let outgoing: Vec<Outgoing> = drafts
            .iter()
            .enumerate()
            .map(|(index, draft)| match index {
                0 => Outgoing::expecting(self.seal(draft, &key), last, filter.clone()),
                _ => Outgoing::new(self.seal(draft, &key), None),
            })
            .collect();
        let turn = self.whole.lock().await;
        let sent = match outgoing.as_slice() {
            [] => return Ok(handle.position(last)),
            [only] => send_plain(handle.context(), only).await,
            [ahead @ .., committing] => {
                let mut batch = OpenBatch::new();
                match batch.add(handle.context(), ahead.iter()).await {
                    Ok(()) => batch.commit(handle.context(), committing).await,
                    Err(failure) => Err(failure),
                }
            }
        };
        let acked = match sent {
            Ok(future) => acknowledged(future).await,
            Err(failure) => Err(failure),
        };
        drop(turn);
        let count = outgoing.len();
        match acked {
            Ok(ack) if ack.duplicate => Err(AppendError::Superseded),
            Ok(ack) if count == 1 || ack.batch_size == Some(count as u64) => {
                let counters = self.counters();
                counters.appended.fetch_add(count as u64, Ordering::Relaxed);
                let sequence = member_sequence(ack.sequence, count, count - 1);
                Ok(handle.position(sequence))
            }
            Ok(_) | Err(Failure::Unknown) => Err(AppendError::Unknown { shard }),
            Err(Failure::Superseded) => Err(AppendError::Superseded),
            Err(Failure::NotStored { cause }) => {
                tracing::debug!(shard, count, cause, "a whole batch was refused");
                Err(AppendError::Unavailable { shard })
            }
        }
    }

    /// The event that is stored at `sequence` of a shard.
    ///
    /// # Errors
    /// `Unknown` when it cannot be read now.
    pub(crate) async fn read(&self, shard: u16, sequence: u64) -> Result<Record, AppendError> {
        let handle = self.shard(shard);
        let handle = handle.ok_or(AppendError::Unavailable { shard })?;
        stored::read(&handle, &self.keyring, sequence).await
    }

    /// A shard that is open and not refused for being another log than the one that was written to.
    fn writable(&self, shard: u16) -> Result<Shard, AppendError> {
        let in_place = |writer: &&Writer| !writer.refused.load(Ordering::Relaxed);
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let writer = shards.get(&shard).filter(in_place);
        let writer = writer.ok_or(AppendError::Unavailable { shard })?;
        Ok(writer.shard.clone())
    }
}
