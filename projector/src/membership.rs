//! Whether this projector belongs to the queue group that answers queries. Owns the decision and what it
//! follows from: how its own shards are doing, and who else is there and healthy. Reads no clock.

use crate::progress::{Progress, State};
use postroad_log::Extent;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{PROJECTOR_GONE_MS, PROJECTOR_UNHEALTHY_MS, PROJECTORS_HEARD_MAX};
use postroad_protocol::service::Announcement;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

const GONE: Duration = Duration::from_millis(PROJECTOR_GONE_MS);
const UNHEALTHY: Duration = Duration::from_millis(PROJECTOR_UNHEALTHY_MS);

/// Whether a shard's rows are whole and have applied what the log held at the look before; `before` is
/// none at the first look. A projector that is not reached by the log's news lags, whatever its state says.
pub fn is_healthy(progress: &Progress, before: Option<Extent>) -> bool {
    let stopped = matches!(progress.state, State::Damaged(_) | State::Disconnected);
    let is_abreast = |end: Extent| progress.epoch == end.epoch && progress.sequence >= end.last;
    !stopped && before.is_none_or(is_abreast)
}

/// The other projectors, as far as they were heard.
#[derive(Debug, Default)]
pub struct Peers(HashMap<CommandId, Peer>);

#[derive(Debug)]
struct Peer {
    heard: Instant,
    healthy: BTreeSet<u16>,
}

impl Peers {
    /// One announced itself.
    pub fn hear(&mut self, announcement: &Announcement, now: Instant) {
        if announcement.leaving {
            self.0.remove(&announcement.instance);
            return;
        }
        if self.0.len() >= PROJECTORS_HEARD_MAX && !self.0.contains_key(&announcement.instance) {
            // Who was heard longest ago is likeliest gone.
            let oldest = self.0.iter().min_by_key(|(_, peer)| peer.heard);
            if let Some(oldest) = oldest.map(|(instance, _)| *instance) {
                self.0.remove(&oldest);
            }
        }
        let healthy = announcement.shards.iter();
        let healthy = healthy.filter_map(|(shard, healthy)| healthy.then_some(*shard));
        let peer = Peer {
            heard: now,
            healthy: healthy.collect(),
        };
        self.0.insert(announcement.instance, peer);
    }

    /// Whether one of them is there that is healthy in all of these shards.
    fn cover(&self, shards: &BTreeMap<u16, bool>, now: Instant) -> bool {
        self.0.values().any(|peer| {
            let there = now.duration_since(peer.heard) < GONE;
            there && shards.keys().all(|shard| peer.healthy.contains(shard))
        })
    }
}

/// How this projector is doing, and whether it answers queries.
#[derive(Debug)]
pub struct Own {
    /// Every shard that it hosts, and whether it is healthy there.
    shards: BTreeMap<u16, bool>,
    unhealthy_since: Option<Instant>,
    is_member: bool,
}

impl Default for Own {
    /// It has just caught up, and takes queries.
    fn default() -> Self {
        Self {
            shards: BTreeMap::new(),
            unhealthy_since: None,
            is_member: true,
        }
    }
}

impl Own {
    /// Its shards were looked at.
    pub fn looked(&mut self, shards: BTreeMap<u16, bool>, now: Instant) {
        self.shards = shards;
        if self.shards.values().all(|healthy| *healthy) {
            self.unhealthy_since = None;
        } else {
            self.unhealthy_since.get_or_insert(now);
        }
    }

    /// What the others are told.
    pub fn announcement(&self, instance: CommandId, leaving: bool) -> Announcement {
        Announcement {
            instance,
            shards: self
                .shards
                .iter()
                .map(|(shard, ok)| (*shard, *ok))
                .collect(),
            leaving,
        }
    }

    /// Decides anew; whether it is to answer queries.
    pub fn decide(&mut self, peers: &Peers, now: Instant) -> bool {
        self.is_member = belongs(self, peers, now);
        self.is_member
    }
}

/// Whether a projector answers queries: while it is healthy; while it has not been unhealthy for long;
/// and, however unhealthy, while no other could answer instead. A stale answer that says so is better than
/// none, and worse than a whole one.
fn belongs(own: &Own, peers: &Peers, now: Instant) -> bool {
    let Some(since) = own.unhealthy_since else {
        return true;
    };
    // One that has left comes back when it is healthy, not because it was for a moment.
    let may_pass = own.is_member && now.duration_since(since) < UNHEALTHY;
    may_pass || !peers.cover(&own.shards, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::damage_of;
    use postroad_log::Broken;

    fn announced(instance: u8, shards: &[(u16, bool)]) -> Announcement {
        Announcement {
            instance: CommandId::derived(&[&[instance]]),
            shards: shards.to_vec(),
            leaving: false,
        }
    }

    fn own(shards: &[(u16, bool)], now: Instant) -> Own {
        let mut own = Own::default();
        own.looked(shards.iter().copied().collect(), now);
        own
    }

    #[test]
    fn an_unhealthy_projector_leaves_to_a_healthy_one_and_comes_back_when_it_is_healthy() {
        let start = Instant::now();
        let mut peers = Peers::default();
        let hear = |peers: &mut Peers, at| peers.hear(&announced(1, &[(0, true), (1, true)]), at);
        let mut own = own(&[(0, true), (1, false)], start);
        hear(&mut peers, start);
        assert!(own.decide(&peers, start), "it may pass");
        let late = start + UNHEALTHY;
        hear(&mut peers, late);
        assert!(!own.decide(&peers, late));
        // Unhealthy again a moment after it was healthy: it had not come back meanwhile.
        own.looked([(0, true), (1, true)].into(), late);
        own.looked([(0, false), (1, true)].into(), late);
        assert!(!own.decide(&peers, late));
        own.looked([(0, true), (1, true)].into(), late);
        assert!(own.decide(&peers, late));
        own.looked([(0, true), (1, false)].into(), late);
        assert!(own.decide(&peers, late), "and it may pass again");
    }

    #[test]
    fn nobody_leaves_queries_to_nobody() {
        let start = Instant::now();
        let late = start + 2 * UNHEALTHY;
        let decide = |peers: &Peers| own(&[(0, true), (1, false)], start).decide(peers, late);
        let mut peers = Peers::default();
        assert!(decide(&peers), "alone");
        peers.hear(&announced(1, &[(0, true), (1, false)]), late);
        peers.hear(&announced(2, &[(1, true)]), late);
        assert!(decide(&peers), "no other is healthy in all of its shards");
        let healthy = announced(3, &[(0, true), (1, true), (2, false)]);
        peers.hear(&healthy, late - GONE);
        assert!(decide(&peers), "the healthy one was not heard of lately");
        peers.hear(&healthy, late);
        assert!(!decide(&peers));
        let leaving = Announcement {
            leaving: true,
            ..healthy
        };
        peers.hear(&leaving, late);
        assert!(decide(&peers), "the healthy one is leaving");
        assert!(own(&[(0, true)], start).decide(&peers, late), "healthy");
    }

    #[test]
    fn the_others_remembered_are_bounded_and_the_longest_silent_makes_room() {
        let start = Instant::now();
        let mut peers = Peers::default();
        let heard_max = u8::try_from(PROJECTORS_HEARD_MAX).unwrap();
        for instance in 0..=heard_max {
            let at = start + Duration::from_millis(u64::from(instance));
            peers.hear(&announced(instance, &[(0, true)]), at);
        }
        assert_eq!(peers.0.len(), PROJECTORS_HEARD_MAX);
        assert!(!peers.0.contains_key(&announced(0, &[]).instance));
        assert!(peers.0.contains_key(&announced(heard_max, &[]).instance));
    }

    #[test]
    fn healthy_rows_are_whole_and_have_applied_what_the_log_held_a_look_ago() {
        let progress = |state| Progress {
            epoch: 7,
            sequence: 5,
            state,
        };
        let end = |epoch, last| Some(Extent { epoch, last });
        let following = progress(State::Following);
        assert!(is_healthy(&following, None) && is_healthy(&following, end(7, 5)));
        assert!(!is_healthy(&following, end(7, 6)), "it lags");
        assert!(!is_healthy(&following, end(8, 1)), "another log");
        assert!(is_healthy(&progress(State::CatchingUp), end(7, 5)));
        assert!(!is_healthy(&progress(State::Disconnected), end(7, 5)));
        let damage = damage_of(0, &Broken::Rewritten { sequence: 5 });
        assert!(!is_healthy(&progress(State::Damaged(damage)), None));
    }
}
