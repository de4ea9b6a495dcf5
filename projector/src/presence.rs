//! Who was heard of lately: heartbeats and queries, in memory only. Rows come from the log alone,
//! so this is lost with the process and never part of a fold. Each tenant has room of its own.

use postroad_gate::Subscription;
use postroad_protocol::id::{Reader, TenantId, TimeMs};
use postroad_protocol::limits::{HEARTBEAT_MAX_BYTES, PRESENCE_ONLINE_MS, PRESENCE_PER_TENANT};
use postroad_protocol::push::Heartbeat;
use postroad_protocol::subject::Subjects;
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: TimeMs,
    gone: bool,
    /// When a program that wakes the agent was last heard of; none once it has left.
    watched: Option<TimeMs>,
    wake_asked: Option<TimeMs>,
    wake_confirmed: Option<TimeMs>,
}

/// What is known of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// When it was last heard of.
    pub at: TimeMs,
    /// Whether that makes it online.
    pub online: bool,
    /// Whether a program is there that wakes it.
    pub watching: bool,
    /// When it was last woken.
    pub wake_asked_at: Option<TimeMs>,
    /// When, woken, it was first seen to deal with its mail.
    pub wake_confirmed_at: Option<TimeMs>,
}

impl Presence {
    /// An agent was heard of.
    pub fn heard(&self, tenant: TenantId, reader: Reader, at: TimeMs) {
        self.beat(tenant, reader, at, Heartbeat::default());
    }

    /// An agent said that it is there or going, and how it is woken. What it says of times later than
    /// `at` counts as said of `at`.
    pub fn beat(&self, tenant: TenantId, reader: Reader, at: TimeMs, heartbeat: Heartbeat) {
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
        let seen = room.seen.entry(reader).or_default();
        (seen.at, seen.gone) = (at, heartbeat.leaving);
        if heartbeat.watching {
            seen.watched = (!heartbeat.leaving).then_some(at);
        }
        // Heartbeats may be late, and only the latest wake counts.
        let told = |time: Option<TimeMs>| time.map(|time| time.min(at));
        seen.wake_asked = seen.wake_asked.max(told(heartbeat.wake_asked_at));
        seen.wake_confirmed = seen.wake_confirmed.max(told(heartbeat.wake_confirmed_at));
    }

    /// Forgets a tenant's agents.
    pub fn forget(&self, tenant: &TenantId) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.remove(tenant);
    }

    /// What is known at `now` of an agent of the tenant.
    pub fn of(&self, scope: &TenantScope, reader: &Reader, now: TimeMs) -> Option<Known> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *tenants.get(scope.tenant())?.seen.get(reader)?;
        Some(Known {
            at: seen.at,
            online: is_online(seen, now),
            watching: seen.watched.is_some_and(|at| is_recent(at, now)),
            wake_asked_at: seen.wake_asked,
            wake_confirmed_at: seen.wake_confirmed,
        })
    }
}

fn is_online(seen: Seen, now: TimeMs) -> bool {
    !seen.gone && is_recent(seen.at, now)
}

fn is_recent(at: TimeMs, now: TimeMs) -> bool {
    now.0.saturating_sub(at.0) <= PRESENCE_ONLINE_MS
}

/// Remembers heartbeats, for ever.
pub(crate) async fn hear(
    mut heartbeats: Subscription,
    presence: Arc<Presence>,
    subjects: Subjects,
) {
    while let Some(message) = heartbeats.next().await {
        let Some((tenant, reader)) = subjects.parse_presence(&message.subject) else {
            continue;
        };
        if message.payload.len() > HEARTBEAT_MAX_BYTES {
            continue;
        }
        let heartbeat: Heartbeat = serde_json::from_slice(&message.payload).unwrap_or_default();
        presence.beat(tenant, reader, TimeMs::now(), heartbeat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::{InstanceId, Role};

    #[test]
    fn a_wake_is_remembered_whatever_is_heard_after_it_and_never_lies_in_the_future() {
        let presence = Presence::default();
        let tenant = TenantId::parse("acme").unwrap();
        let reader = Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse("pi").unwrap(),
        };
        let seen = || presence.tenants.lock().unwrap()[&tenant].seen[&reader];
        let beat = |at, heartbeat| {
            presence.beat(tenant.clone(), reader.clone(), TimeMs(at), heartbeat);
            seen()
        };
        let asked = |asked| Heartbeat {
            watching: true,
            wake_asked_at: Some(TimeMs(asked)),
            ..Heartbeat::default()
        };
        assert_eq!(beat(10, asked(9)).wake_asked, Some(TimeMs(9)));
        presence.heard(tenant.clone(), reader.clone(), TimeMs(11));
        assert_eq!(
            (seen().watched, seen().wake_asked),
            (Some(TimeMs(10)), Some(TimeMs(9)))
        );
        // One that was late, and one from a clock that is ahead.
        assert_eq!(beat(12, asked(5)).wake_asked, Some(TimeMs(9)));
        assert_eq!(beat(13, asked(1_000)).wake_asked, Some(TimeMs(13)));
        let confirmed = Heartbeat {
            wake_confirmed_at: Some(TimeMs(14)),
            ..Heartbeat::default()
        };
        assert_eq!(beat(14, confirmed).wake_confirmed, Some(TimeMs(14)));
        // Whoever else leaves, the watcher stays, until it leaves itself.
        let leaving = Heartbeat {
            leaving: true,
            ..Heartbeat::default()
        };
        assert!(beat(15, leaving).watched.is_some());
        let gone = beat(
            16,
            Heartbeat {
                watching: true,
                ..leaving
            },
        );
        assert!(gone.watched.is_none() && gone.gone && gone.wake_asked.is_some());
    }

    #[test]
    fn a_full_room_keeps_no_other_tenant_out_and_prunes_at_most_once_a_second() {
        let presence = Presence::default();
        let [noisy, quiet] = ["noisy", "quiet"].map(|name| TenantId::parse(name).unwrap());
        let reader = |number: usize| Reader {
            role: Role::parse("tau").unwrap(),
            instance: InstanceId::parse(&format!("i{number}")).unwrap(),
        };
        for number in 0..PRESENCE_PER_TENANT + 10 {
            presence.heard(noisy.clone(), reader(number), TimeMs(5_000));
        }
        presence.heard(quiet.clone(), reader(0), TimeMs(5_001));
        let rooms = presence.tenants.lock().unwrap();
        assert_eq!(rooms[&noisy].seen.len(), PRESENCE_PER_TENANT);
        assert_eq!(rooms[&quiet].seen.len(), 1);
    }
}
