//! Who was heard of lately: heartbeats and queries, in memory only. Rows come from the log alone,
//! so this is lost with the process and never part of a fold. Each tenant has room of its own.

use postroad_protocol::id::{Reader, TenantId, TimeMs};
use postroad_protocol::limits::{PRESENCE_ONLINE_MS, PRESENCE_PER_TENANT};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Longest pause between two looks for agents that have gone, when a tenant's room is full.
const PRUNE_EVERY_MS: u64 = 1_000;

/// When each agent was last heard of.
#[derive(Debug, Default)]
pub struct Presence {
    tenants: Mutex<HashMap<TenantId, Room>>,
}

#[derive(Debug, Default)]
struct Room {
    seen: HashMap<Reader, Seen>,
    pruned: TimeMs,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: TimeMs,
    gone: bool,
}

impl Presence {
    /// An agent was heard of, or said that it is going.
    pub fn heard(&self, tenant: TenantId, reader: Reader, at: TimeMs, gone: bool) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let room = tenants.entry(tenant).or_default();
        if room.seen.len() >= PRESENCE_PER_TENANT && !room.seen.contains_key(&reader) {
            // Those who are offline anyway make room; if nobody is, the newcomer waits its turn.
            if at.0.saturating_sub(room.pruned.0) < PRUNE_EVERY_MS {
                return;
            }
            room.pruned = at;
            room.seen.retain(|_, seen| is_online(*seen, at));
            if room.seen.len() >= PRESENCE_PER_TENANT {
                return;
            }
        }
        room.seen.insert(reader, Seen { at, gone });
    }

    /// Forgets a tenant's agents.
    pub fn forget(&self, tenant: &TenantId) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.remove(tenant);
    }

    /// When an agent was last heard of, and whether that makes it online at `now`.
    pub fn of(&self, scope: &TenantScope, reader: &Reader, now: TimeMs) -> Option<(TimeMs, bool)> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *tenants.get(scope.tenant())?.seen.get(reader)?;
        Some((seen.at, is_online(seen, now)))
    }
}

fn is_online(seen: Seen, now: TimeMs) -> bool {
    !seen.gone && now.0.saturating_sub(seen.at.0) <= PRESENCE_ONLINE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::{InstanceId, Role};

    #[test]
    fn a_full_room_keeps_no_other_tenant_out_and_prunes_at_most_once_a_second() {
        let presence = Presence::default();
        let [noisy, quiet] = ["noisy", "quiet"].map(|name| TenantId::parse(name).unwrap());
        let reader = |number: usize| Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse(&format!("i{number}")).unwrap(),
        };
        for number in 0..PRESENCE_PER_TENANT + 10 {
            presence.heard(noisy.clone(), reader(number), TimeMs(5_000), false);
        }
        presence.heard(quiet.clone(), reader(0), TimeMs(5_001), false);
        let rooms = presence.tenants.lock().unwrap();
        assert_eq!(rooms[&noisy].seen.len(), PRESENCE_PER_TENANT);
        assert_eq!(rooms[&quiet].seen.len(), 1);
    }
}
