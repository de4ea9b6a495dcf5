//! Who was heard of lately: heartbeats and queries, in memory only. Rows come from the log alone,
//! so this is lost with the process and never part of a fold.

use postroad_protocol::id::{Reader, TenantId, TimeMs};
use postroad_protocol::limits::{PRESENCE_MAX, PRESENCE_ONLINE_MS};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// When each agent was last heard of.
#[derive(Debug, Default)]
pub struct Presence {
    seen: Mutex<HashMap<(TenantId, Reader), Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: TimeMs,
    gone: bool,
}

impl Presence {
    /// An agent was heard of, or said that it is going.
    pub fn heard(&self, tenant: TenantId, reader: Reader, at: TimeMs, gone: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= PRESENCE_MAX && !seen.contains_key(&(tenant.clone(), reader.clone())) {
            // Those who are offline anyway make room; if nobody is, the newcomer waits its turn.
            seen.retain(|_, seen| is_online(*seen, at));
            if seen.len() >= PRESENCE_MAX {
                return;
            }
        }
        seen.insert((tenant, reader), Seen { at, gone });
    }

    /// When an agent was last heard of, and whether that makes it online at `now`.
    pub fn of(&self, scope: &TenantScope, reader: &Reader, now: TimeMs) -> Option<(TimeMs, bool)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *seen.get(&(scope.tenant().clone(), reader.clone()))?;
        Some((seen.at, is_online(seen, now)))
    }
}

fn is_online(seen: Seen, now: TimeMs) -> bool {
    !seen.gone && now.0.saturating_sub(seen.at.0) <= PRESENCE_ONLINE_MS
}
