//! What a tenant may still store, where the operator has limited that. A broker has no rows: it asks a
//! projector now and then, and counts on from what it was told. Never decides anything else.

use crate::ask::{Ask, Currency};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Actor, Event, TaskChange};
use postroad_protocol::limits::QUOTA_KNOWN_MS;
use postroad_protocol::quota::{Limit, Limits, no_room};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long knowledge is good, and how long asking for it may hold a tenant's commands up.
const KNOWN_FOR: Duration = Duration::from_millis(QUOTA_KNOWN_MS);

/// What tenants with such a limit have stored, as far as this broker knows.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    tenants: Mutex<HashMap<TenantScope, Arc<tokio::sync::Mutex<Use>>>>,
}

/// What one tenant has stored.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// When a projector was asked last.
    asked: Option<Instant>,
    /// Whether one ever answered.
    is_known: bool,
    stored: Amount,
}

/// How much is stored, or is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Messages.
    pub(crate) messages: u64,
    /// Bytes of events.
    pub(crate) bytes: u64,
    /// Memories.
    pub(crate) memories: u64,
    /// Tasks.
    pub(crate) tasks: u64,
}

impl Amount {
    /// What `event` adds.
    pub(crate) fn of(event: &Event, by: &Actor) -> Self {
        Self {
            messages: u64::from(matches!(event, Event::MessageSent(_))),
            bytes: event.encoded_len(by),
            memories: u64::from(matches!(event, Event::MemoryStored(_))),
            tasks: u64::from(is_new_task(event)),
        }
    }
}

fn is_new_task(event: &Event) -> bool {
    matches!(event, Event::TaskChanged(changed) if changed.change == TaskChange::Created)
}

impl Use {
    /// Counts `more` where there is room for it.
    fn take(&mut self, limits: &Limits, more: Amount) -> Result<(), Refusal> {
        let after = Amount {
            messages: self.stored.messages.saturating_add(more.messages),
            bytes: self.stored.bytes.saturating_add(more.bytes),
            memories: self.stored.memories.saturating_add(more.memories),
            tasks: self.stored.tasks.saturating_add(more.tasks),
        };
        let quotas = [
            (Limit::Messages, self.stored.messages, after.messages),
            (Limit::StoredBytes, self.stored.bytes, after.bytes),
            (Limit::Memories, self.stored.memories, after.memories),
            (Limit::Tasks, self.stored.tasks, after.tasks),
        ];
        for (limit, used, after) in quotas {
            if let Some(value) = limits.set(limit)
                && after > value
                && after > used
                && self.is_known
            {
                return Err(no_room(limit, value, used));
            }
        }
        self.stored = after;
        Ok(())
    }
}

impl Quotas {
    /// Takes room for `more` of the tenant in `scope`. While no projector answers it counts on from
    /// what it knew, and a broker that never knew anything lets everything pass: storing must not
    /// depend on projectors.
    ///
    /// # Errors
    /// `quota_exceeded`; then nothing was taken.
    pub(crate) async fn take(
        &self,
        ask: &Ask,
        scope: &TenantScope,
        limits: &Limits,
        more: Amount,
    ) -> Result<(), Refusal> {
        let used = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tenants.entry(scope.clone()).or_default())
        };
        // Whoever comes while one asks waits for that answer.
        let mut used = used.lock().await;
        if used.asked.is_none_or(|asked| asked.elapsed() >= KNOWN_FOR) {
            let asking = ask.standing(scope, Currency::Fresh);
            match tokio::time::timeout(KNOWN_FOR, asking).await {
                Ok(Ok(standing)) => {
                    used.is_known = true;
                    used.stored = Amount {
                        messages: standing.messages,
                        bytes: standing.stored_bytes,
                        memories: standing.memories,
                        tasks: standing.tasks,
                    };
                }
                Ok(Err(refusal)) => {
                    tracing::debug!(code = %refusal.code, "what a tenant has stored is not known now");
                }
                Err(_) => tracing::debug!("what a tenant has stored was not told in time"),
            }
            used.asked = Some(Instant::now());
        }
        used.take(limits, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::instance;
    use postroad_protocol::error::ErrorCode;
    use postroad_protocol::event::{MemoryChange, MemoryStored, MemoryUpdated};
    use postroad_protocol::id::MemoryType;
    use postroad_protocol::memory::{MemoryId, Namespace};
    use postroad_protocol::quota::LimitsChange;

    fn limits(set: &[(&str, u64)]) -> Limits {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), *value));
        Limits::default().with(&LimitsChange::read(&set.collect(), &[]).unwrap())
    }

    fn amount(messages: u64, bytes: u64) -> Amount {
        Amount {
            messages,
            bytes,
            memories: 0,
            tasks: 0,
        }
    }

    #[test]
    fn what_fits_is_counted_and_what_does_not_changes_nothing() {
        let limits = limits(&[("messages", 3), ("storedBytes", 100)]);
        let mut used = Use {
            is_known: true,
            stored: amount(1, 50),
            ..Use::default()
        };
        used.take(&limits, amount(1, 40)).unwrap();
        let refusal = used.take(&limits, amount(1, 11)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::QuotaExceeded);
        assert!(refusal.message.contains("stored-bytes") && refusal.message.contains("90"));
        used.take(&limits, amount(1, 10)).unwrap();
        let refusal = used.take(&limits, amount(1, 0)).unwrap_err();
        assert!(refusal.message.contains("messages") && refusal.message.contains('3'));
        assert_eq!(used.stored, amount(3, 100));
    }

    #[test]
    fn memories_have_a_limit_of_their_own_and_changing_one_adds_none() {
        let by = Actor::Operator(instance("cli"));
        let memory = MemoryStored {
            namespace: Namespace::Global,
            kind: MemoryType::parse("user").unwrap(),
            content: "x".into(),
            tags: Vec::new(),
            relates_to: Vec::new(),
            episode: None,
            occurred_at: None,
            expires_at: None,
            imported: None,
        };
        let store = Amount::of(&memory.into(), &by);
        assert_eq!((store.messages, store.memories), (0, 1));
        let updated = MemoryUpdated {
            memory_id: MemoryId::from_bytes([1; 16]),
            change: MemoryChange::default(),
        };
        let update = Amount::of(&updated.into(), &by);
        assert_eq!((update.messages, update.memories), (0, 0));
        assert!(store.bytes > 0 && update.bytes > 0);
        let mut used = Use {
            is_known: true,
            ..Use::default()
        };
        let limits = limits(&[("memories", 1)]);
        used.take(&limits, store).unwrap();
        let refusal = used.take(&limits, store).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::QuotaExceeded);
        assert!(refusal.message.contains("memories"), "{refusal:?}");
        used.take(&limits, update).unwrap();
        used.take(&limits, amount(9, 9)).unwrap();
        assert_eq!(used.stored.memories, 1);
    }

    #[test]
    fn who_knows_nothing_refuses_nothing() {
        let mut used = Use::default();
        used.take(&limits(&[("messages", 1)]), amount(9, 9))
            .unwrap();
        assert_eq!(used.stored, amount(9, 9));
    }
}
