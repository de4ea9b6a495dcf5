//! How far into the log this client has seen. Owns one position a tenant; never waits for any.
//!
//! Each question carries it, so an answer from any replica includes what the caller has already
//! seen or done (read-your-writes).

use postroad_protocol::Position;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tenants remembered at once. Only an operator's client sees more than one; when it has seen more,
/// it forgets them all, which costs freshness on the next question and nothing else.
const TENANTS_REMEMBERED: usize = 4_096;

/// The highest position seen of each tenant.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    by_tenant: Mutex<HashMap<Box<str>, Position>>,
}

impl Seen {
    /// The position to send with a question about `tenant`.
    pub(crate) fn of(&self, tenant: &str) -> Option<Position> {
        self.lock().get(tenant).copied()
    }

    /// Remembers a position that an answer or a hint named.
    pub(crate) fn note(&self, tenant: &str, position: Position) {
        let mut by_tenant = self.lock();
        if let Some(known) = by_tenant.get_mut(tenant) {
            if supersedes(position, *known) {
                *known = position;
            }
            return;
        }
        if by_tenant.len() >= TENANTS_REMEMBERED {
            by_tenant.clear();
        }
        by_tenant.insert(tenant.into(), position);
    }

    /// Forgets a tenant's position: its log was replaced by an older one.
    pub(crate) fn forget(&self, tenant: &str) {
        self.lock().remove(tenant);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Position>> {
        // A panic elsewhere leaves at worst an older position behind, which is safe to use.
        self.by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant lives in one shard. Another shard or a younger stream means that the tenant or the log
/// was made anew; what was known of the former one is void.
fn supersedes(new: Position, known: Position) -> bool {
    if new.shard != known.shard {
        return true;
    }
    (new.epoch, new.sequence) > (known.epoch, known.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(shard: u16, epoch: u64, sequence: u64) -> Position {
        Position {
            shard,
            epoch,
            sequence,
        }
    }

    #[test]
    fn only_a_later_place_of_the_same_log_is_remembered() {
        let seen = Seen::default();
        assert_eq!(seen.of("acme"), None);
        seen.note("acme", at(0, 1, 7));
        seen.note("acme", at(0, 1, 5));
        assert_eq!(seen.of("acme"), Some(at(0, 1, 7)));
        seen.note("acme", at(0, 2, 1));
        seen.note("acme", at(0, 1, 9));
        assert_eq!(seen.of("acme"), Some(at(0, 2, 1)));
        assert_eq!(seen.of("globex"), None);
        seen.forget("acme");
        assert_eq!(seen.of("acme"), None);
    }

    #[test]
    fn memory_stays_bounded_however_many_tenants_are_seen() {
        let seen = Seen::default();
        for tenant in 0..3 * TENANTS_REMEMBERED {
            seen.note(&format!("t{tenant}"), at(0, 1, 1));
        }
        assert!(seen.lock().len() <= TENANTS_REMEMBERED);
    }
}
