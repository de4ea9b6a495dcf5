//! What of whom is due, what is asked for, and when it is asked for again. Pure: it is handed the time and what the rows say.
//! Owns the bounds and the fairness of reactions; knows neither rows nor brokers.

use crate::read_model::keys::Prefix;
use postroad_protocol::event::EventKey;
use postroad_protocol::limits::{
    REACTION_AGAIN_MAX_MS, REACTION_AGAIN_MIN_MS, REACTIONS_IN_FLIGHT,
};
use postroad_protocol::service::Observation;
use postroad_protocol::task::TaskId;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Reactions of one owner that are on their way at once: the others get what is left.
pub(super) const PER_OWNER: usize = REACTIONS_IN_FLIGHT / 8;
/// Reactions of each kind that one look at an owner's rows takes along.
pub(super) const PER_LOOK: usize = REACTIONS_IN_FLIGHT;
/// Reactions of one owner that are to be asked for again; while there are so many, no further ones are begun.
const PAUSED_MAX: usize = 1_024;
/// Owners that are looked at in one go.
const LOOKS_AT_ONCE: usize = 64;
const AGAIN_MIN: Duration = Duration::from_millis(REACTION_AGAIN_MIN_MS);
const AGAIN_MAX: Duration = Duration::from_millis(REACTION_AGAIN_MAX_MS);

/// What follows from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Consequence {
    /// A claim was not renewed in time.
    LeaseExpired {
        /// Of which task.
        task: TaskId,
        /// The version whose claim it is.
        version: u64,
    },
    /// The last task that a task waited for is done.
    TaskReady {
        /// The task that waited.
        task: TaskId,
        /// The event that completed the other.
        cause: EventKey,
    },
}

impl Consequence {
    /// As a broker is asked for it.
    pub(super) fn observation(self) -> Observation {
        match self {
            Self::LeaseExpired { task, version } => Observation::LeaseExpired { task, version },
            Self::TaskReady { task, cause } => Observation::TaskReady { task, cause },
        }
    }
}

/// One consequence, and the event that it follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reaction {
    pub(super) what: Consequence,
    pub(super) sequence: u64,
}

/// An owner that is to be looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) owner: Prefix,
    /// These are not due, whatever the rows say: they are on their way, or wait to be asked for again.
    pub(super) passing_over: HashSet<Reaction>,
}

/// What a look at an owner's rows has found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What is due now, the first of it.
    pub(super) due: Vec<Reaction>,
    /// What was passed over.
    pub(super) met: Vec<Reaction>,
    /// Whether that is all that is due.
    pub(super) whole: bool,
    /// In how long the next lease runs out.
    pub(super) next: Option<Duration>,
}

impl Looked {
    /// Takes in what of one kind is due, as far as one look goes.
    pub(super) fn take(&mut self, due: impl IntoIterator<Item = Reaction>, look: &Look) {
        let mut room = PER_LOOK;
        for reaction in due {
            if look.passing_over.contains(&reaction) {
                self.met.push(reaction);
            } else if room == 0 {
                self.whole = false;
                return;
            } else {
                room -= 1;
                self.due.push(reaction);
            }
        }
    }
}

/// What became of a reaction that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is stored and applied: the rows are rid of it, or else it is asked for again later.
    Done,
    /// It was refused on its own account.
    Refused,
    /// No broker, or not the log, was there for it: the owner's others would fare no better.
    Away,
    /// It is not to be asked for within that time.
    Rests(Duration),
}

/// Until when something waits, and how often in a row it has failed.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
    /// Whether a broker took it, so that the rows should be rid of it.
    taken: bool,
}

impl Pause {
    fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn longer(&mut self, now: Instant) {
        let pause = AGAIN_MIN * 2_u32.pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause.min(AGAIN_MAX));
    }
}

/// One owner of whom something is due, now or later.
#[derive(Debug, Default)]
struct Asleep {
    look_at: Option<Instant>,
    /// Due and not asked for yet, as the last look had it.
    waiting: VecDeque<Reaction>,
    asked: HashSet<Reaction>,
    /// Those that were asked for before.
    paused: HashMap<Reaction, Pause>,
    /// Of the owner as a whole.
    pause: Pause,
    has_turn: bool,
}

/// Every owner of whom something is due, now or later.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_owner: HashMap<Prefix, Asleep>,
    /// When each is looked at.
    agenda: BTreeSet<(Instant, Prefix)>,
    /// Whose turn it is to be asked for.
    turns: VecDeque<Prefix>,
    in_flight: usize,
}

impl Owners {
    /// The owner's rows have changed.
    pub(super) fn stir(&mut self, owner: &Prefix, now: Instant) {
        self.by_owner.entry(owner.clone()).or_default();
        self.look_by(owner, now);
    }

    /// Other rows are served: everybody is looked at, these and whoever was known.
    pub(super) fn stir_all(&mut self, owners: impl IntoIterator<Item = Prefix>, now: Instant) {
        let known: Vec<Prefix> = self.by_owner.keys().cloned().collect();
        for owner in owners.into_iter().chain(known) {
            self.stir(&owner, now);
        }
    }

    /// A known owner is looked at then, unless it is before.
    fn look_by(&mut self, owner: &Prefix, at: Instant) {
        let Some(one) = self.by_owner.get_mut(owner) else {
            return;
        };
        let at = one.pause.until.map_or(at, |until| until.max(at));
        match one.look_at {
            Some(known) if known <= at => return,
            Some(known) => {
                self.agenda.remove(&(known, owner.clone()));
            }
            None => {}
        }
        one.look_at = Some(at);
        self.agenda.insert((at, owner.clone()));
    }

    /// When somebody is to be looked at next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Who is to be looked at now; [`Self::looked`] must follow for each.
    pub(super) fn take_looks(&mut self, now: Instant) -> Vec<Look> {
        let mut looks = Vec::new();
        while looks.len() < LOOKS_AT_ONCE
            && self.next_look().is_some_and(|at| at <= now)
            && let Some((_, owner)) = self.agenda.pop_first()
        {
            let Some(one) = self.by_owner.get_mut(&owner) else {
                continue;
            };
            one.look_at = None;
            let resting = one.paused.iter().filter(|(_, pause)| pause.lasts(now));
            let resting = resting.map(|(reaction, _)| *reaction);
            let passing_over = resting.chain(one.asked.iter().copied()).collect();
            looks.push(Look {
                owner,
                passing_over,
            });
        }
        looks
    }

    /// The rows of `owner` do not read now.
    pub(super) fn not_looked(&mut self, owner: &Prefix, now: Instant) {
        self.look_by(owner, now + AGAIN_MIN);
    }

    /// What the rows of `owner` hold.
    pub(super) fn looked(&mut self, owner: &Prefix, looked: Looked, now: Instant) {
        let Some(one) = self.by_owner.get_mut(owner) else {
            return;
        };
        let Looked {
            due,
            met,
            whole,
            next,
        } = looked;
        let there: HashSet<Reaction> = due.iter().chain(&met).copied().collect();
        // What was taken lay before what a look comes to, and is gone where it was not met; others may lie behind it.
        let may_be_behind = |pause: &Pause| !whole && !pause.taken;
        one.paused
            .retain(|reaction, pause| there.contains(reaction) || may_be_behind(pause));
        let mut room = PAUSED_MAX.saturating_sub(one.paused.len() + one.asked.len());
        let paused = &one.paused;
        let begins = |reaction: &Reaction| {
            paused.contains_key(reaction) || {
                let has_room = room > 0;
                room = room.saturating_sub(1);
                has_room
            }
        };
        one.waiting = due.into_iter().filter(begins).collect();
        let again = one.paused.values().filter_map(|pause| pause.until);
        let again = again.filter(|until| *until > now).min();
        // A lease is looked at once in a while before it runs out: clocks are set.
        let lease = next.map(|next| now + next.min(AGAIN_MAX));
        for at in [again, lease].into_iter().flatten() {
            self.look_by(owner, at);
        }
        self.give_turn(owner, now);
        self.drop_if_idle(owner);
    }

    /// Lets the owner's next reaction be asked for, where there is one; else it is looked at again once nothing is on its way.
    fn give_turn(&mut self, owner: &Prefix, now: Instant) {
        let Some(one) = self.by_owner.get_mut(owner) else {
            return;
        };
        if one.pause.lasts(now) {
            // What waits is found again.
            if !std::mem::take(&mut one.waiting).is_empty() {
                self.look_by(owner, now);
            }
        } else if !one.waiting.is_empty() && one.asked.len() < PER_OWNER && !one.has_turn {
            one.has_turn = true;
            self.turns.push_back(owner.clone());
        }
    }

    fn drop_if_idle(&mut self, owner: &Prefix) {
        let is_idle = |one: &Asleep| {
            one.look_at.is_none()
                && one.waiting.is_empty()
                && one.asked.is_empty()
                && one.paused.is_empty()
        };
        if self.by_owner.get(owner).is_some_and(is_idle) {
            self.by_owner.remove(owner);
        }
    }

    /// What is to be asked for now, where there is room for one more; [`Self::answered`] must follow.
    pub(super) fn next_ask(&mut self, now: Instant) -> Option<(Prefix, Reaction)> {
        if self.in_flight >= REACTIONS_IN_FLIGHT {
            return None;
        }
        while let Some(owner) = self.turns.pop_front() {
            let Some(one) = self.by_owner.get_mut(&owner) else {
                continue;
            };
            one.has_turn = false;
            if one.pause.lasts(now) {
                self.give_turn(&owner, now);
                continue;
            }
            let Some(reaction) = one.waiting.pop_front() else {
                continue;
            };
            one.asked.insert(reaction);
            self.in_flight += 1;
            self.give_turn(&owner, now);
            return Some((owner, reaction));
        }
        None
    }

    /// What became of one that was asked for.
    pub(super) fn answered(
        &mut self,
        owner: &Prefix,
        reaction: Reaction,
        outcome: Outcome,
        now: Instant,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(one) = self.by_owner.get_mut(owner) else {
            return;
        };
        one.asked.remove(&reaction);
        let own = one.paused.entry(reaction).or_default();
        match outcome {
            Outcome::Rests(time) => {
                *own = Pause {
                    until: Some(now + time),
                    ..Pause::default()
                };
            }
            Outcome::Done | Outcome::Refused | Outcome::Away => own.longer(now),
        }
        own.taken = outcome == Outcome::Done;
        let again = own.until.unwrap_or(now);
        match outcome {
            // Of those that were on their way at once, the first counts.
            Outcome::Away if !one.pause.lasts(now) => one.pause.longer(now),
            Outcome::Away | Outcome::Rests(_) => {}
            Outcome::Done | Outcome::Refused => one.pause = Pause::default(),
        }
        self.give_turn(owner, now);
        let is_done = |one: &Asleep| one.waiting.is_empty() && one.asked.is_empty();
        if self.by_owner.get(owner).is_some_and(is_done) {
            self.look_by(owner, now);
        }
        self.look_by(owner, again);
    }
}

#[cfg(test)]
mod tests;
