//! What goes to the log next, and how: alone under its own id, or with others as one atomic batch.
//! Pure: knows ids, payers and sizes; never publishes and never reads a clock.
//!
//! Every event that waits or is on its way is known here by its id, so a second one with the same id
//! meets the first instead of sinking a batch. A payer whose repeat did sink one is *suspected* for a
//! while: its events go alone, a few at a time, so that its neighbours' batches hold.
//!
//! While a batch is on its way the next one is *staged*: its members go to the server ahead of their
//! commit, which follows when the batch before it is settled. A part of the room in a batch is left for
//! those who come later, so that nobody fills it before its neighbours' turn.
//!
//! One payer's events depart in the order in which they arrived: at any time they all wait in one queue,
//! with the others or apart, and none departs alone past one that travels in a batch, which may still fail.

use super::fair::FairQueue;
use super::recent::DedupId;
use postroad_protocol::limits;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Plain publishes on their way at once where they are as fast as batches.
const FAST_WINDOW: usize = 1_024;
/// Members of a failed batch that are resolved at once.
const RESOLVE_WINDOW: usize = 64;
/// Events of suspected payers, and of those that must go alone, on their way at once.
const WATCHED_WINDOW: usize = 4;
/// First suspicion; each further one doubles, up to [`SUSPICION_MAX`].
const SUSPICION: Duration = Duration::from_secs(10);
const SUSPICION_MAX: Duration = Duration::from_mins(10);
/// For so long after its start a broker has not seen what was stored before, and honest repeats of that
/// sink batches: they cost their payer only [`SUSPICION_EARLY`], and no strike.
const EARLY: Duration = Duration::from_mins(1);
const SUSPICION_EARLY: Duration = Duration::from_secs(1);
/// Payers under suspicion at once; beyond it batches may be sunk again, and nothing else happens.
const SUSPECTS_MAX: usize = 4_096;

/// Members that are staged ahead of a commit, and their bytes: half of what a batch takes.
const STAGED_MAX_EVENTS: usize = limits::BATCH_MAX_EVENTS / 2;
const STAGED_MAX_BYTES: usize = limits::BATCH_MAX_BYTES / 2;

/// When batches pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Every plain publish costs an `fsync`: batch what waits together.
    Batching,
    /// Plain publishes are the fastest.
    Plain,
}

/// What to send next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// One event.
    Plain(DedupId),
    /// These, in order, as one atomic batch.
    Batch(Vec<DedupId>),
}

/// Why an event was not taken in; it is handed back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken<T> {
    /// One with its id waits or is on its way: see [`Planner::get_mut`].
    Known(T),
    /// Its payer has too many waiting.
    Full(T),
}

/// Everything that is about an event but the event itself.
#[derive(Clone, Debug)]
pub(crate) struct Ticket<P> {
    /// Under which it is deduplicated.
    pub(crate) id: DedupId,
    /// Who waits for its own turn.
    pub(crate) payer: P,
    /// About what it takes in a batch.
    pub(crate) bytes: usize,
    /// Whether it must not travel in a batch, where its expectation could fail others.
    pub(crate) alone: bool,
}

/// How an event travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Watched,
    Again,
    Batch,
    /// It does not travel: it is compared with what is stored already.
    Compared,
}

#[derive(Debug)]
struct Slot<P, T> {
    payer: P,
    bytes: usize,
    /// Its place in the order of arrival.
    arrived: u64,
    /// `None` while it waits.
    way: Option<Way>,
    item: T,
}

#[derive(Debug)]
struct Suspicion {
    until: Instant,
    strikes: u32,
}

impl Suspicion {
    /// How long it lasts after so many strikes.
    fn length(&self) -> Duration {
        let doubled = self.strikes.saturating_sub(1).min(6);
        SUSPICION.saturating_mul(1 << doubled).min(SUSPICION_MAX)
    }

    /// A batch was sunk. Whatever one incident sinks, repeats that were taken in before it was noticed
    /// included, is one strike.
    fn strike(&mut self, now: Instant, early: bool) {
        let length = if early {
            SUSPICION_EARLY
        } else {
            if self.until + SUSPICION_MAX < now {
                // Long ago is forgotten: honest repeats of a retry sink a batch now and then.
                self.strikes = 0;
            }
            if self.strikes == 0 || self.until <= now {
                self.strikes += 1;
            }
            self.length()
        };
        self.until = self.until.max(now + length);
    }
}

/// The plan of one shard.
#[derive(Debug)]
pub(crate) struct Planner<P, T> {
    policy: Policy,
    fair: FairQueue<P, DedupId>,
    watched: FairQueue<P, DedupId>,
    /// By arrival, however their attempts ended.
    again: BTreeMap<u64, DedupId>,
    arrivals: u64,
    slots: HashMap<DedupId, Slot<P, T>>,
    suspects: HashMap<P, Suspicion>,
    on_way: [usize; 5],
    /// Members of the next batch, in order; they count as on their way in it.
    staged: Vec<DedupId>,
    staged_bytes: usize,
    /// Events of each payer that travel in a batch.
    batched: HashMap<P, usize>,
    started: Instant,
}

impl<P: Clone + Eq + Hash, T> Planner<P, T> {
    /// An empty plan of a broker that starts now.
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            fair: FairQueue::default(),
            watched: FairQueue::default(),
            again: BTreeMap::new(),
            arrivals: 0,
            slots: HashMap::new(),
            suspects: HashMap::new(),
            on_way: [0; 5],
            staged: Vec::new(),
            staged_bytes: 0,
            batched: HashMap::new(),
            started: now,
        }
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// [`NotTaken`], with the event.
    pub(crate) fn offer(
        &mut self,
        ticket: Ticket<P>,
        item: T,
        now: Instant,
    ) -> Result<(), NotTaken<T>> {
        if self.slots.contains_key(&ticket.id) {
            return Err(NotTaken::Known(item));
        }
        let watched = self.watched.len_of(&ticket.payer);
        let waiting = watched + self.fair.len_of(&ticket.payer);
        if waiting >= limits::TENANT_COMMANDS_WAITING {
            return Err(NotTaken::Full(item));
        }
        let suspected = self.suspects.get(&ticket.payer);
        // What waits apart keeps its successors behind it, and takes its predecessors along.
        let apart = ticket.alone || watched > 0 || suspected.is_some_and(|s| s.until > now);
        let queue = if apart {
            self.set_apart(&ticket.payer);
            &mut self.watched
        } else {
            &mut self.fair
        };
        queue.push(ticket.payer.clone(), ticket.bytes, ticket.id);
        self.arrivals += 1;
        let slot = Slot {
            payer: ticket.payer,
            bytes: ticket.bytes,
            arrived: self.arrivals,
            way: None,
            item,
        };
        self.slots.insert(ticket.id, slot);
        Ok(())
    }

    /// Takes in an event that is known to be stored and only has to be compared.
    ///
    /// # Errors
    /// [`NotTaken::Known`].
    pub(crate) fn adopt(&mut self, ticket: Ticket<P>, item: T) -> Result<(), NotTaken<T>> {
        if self.slots.contains_key(&ticket.id) {
            return Err(NotTaken::Known(item));
        }
        self.on_way[Way::Compared as usize] += 1;
        self.arrivals += 1;
        let slot = Slot {
            payer: ticket.payer,
            bytes: ticket.bytes,
            arrived: self.arrivals,
            way: Some(Way::Compared),
            item,
        };
        self.slots.insert(ticket.id, slot);
        Ok(())
    }

    /// What to send now; nothing when it is right to wait.
    pub(crate) fn next_round(&mut self) -> Option<Round> {
        while let Some((arrived, id)) = self.again.first_key_value().map(|(at, id)| (*at, *id)) {
            if self.on_way[Way::Again as usize] >= RESOLVE_WINDOW {
                // Newer events stay behind those that were to be stored before them.
                return None;
            }
            self.again.remove(&arrived);
            if self.depart(id, Way::Again) {
                return Some(Round::Plain(id));
            }
        }
        while self.on_way[Way::Watched as usize] < WATCHED_WINDOW {
            let batched = &self.batched;
            let Some(id) = self.watched.take_one(|payer| !batched.contains_key(payer)) else {
                break;
            };
            if self.depart(id, Way::Watched) {
                return Some(Round::Plain(id));
            }
        }
        let window = match self.policy {
            Policy::Plain => FAST_WINDOW,
            Policy::Batching => {
                if self.is_batch_on_way() {
                    return None;
                }
                if self.gathered() >= limits::BATCH_MIN_EVENTS {
                    return self.batch();
                }
                limits::BATCH_MIN_EVENTS - 1
            }
        };
        while self.fair.len() > 0 && self.on_way[Way::Plain as usize] < window {
            if let Some(id) = self.fair.take(1, usize::MAX).0.pop()
                && self.depart(id, Way::Plain)
            {
                return Some(Round::Plain(id));
            }
        }
        None
    }

    fn batch(&mut self) -> Option<Round> {
        let mut ids = std::mem::take(&mut self.staged);
        let staged_bytes = std::mem::take(&mut self.staged_bytes);
        let bytes = limits::BATCH_MAX_BYTES.saturating_sub(staged_bytes);
        // One event is always taken, whatever its size, so there has to be room for the largest.
        if ids.is_empty() || bytes >= limits::MAX_PAYLOAD_BYTES {
            let room = limits::BATCH_MAX_EVENTS - ids.len();
            ids.extend(self.depart_together(room, bytes).0);
        }
        (!ids.is_empty()).then_some(Round::Batch(ids))
    }

    /// Marks the next events in turn as members of a batch; with their bytes.
    fn depart_together(&mut self, max_events: usize, max_bytes: usize) -> (Vec<DedupId>, usize) {
        while self.fair.len() > 0 {
            let (mut ids, bytes) = self.fair.take(max_events, max_bytes);
            ids.retain(|id| self.depart(*id, Way::Batch));
            if !ids.is_empty() {
                return (ids, bytes);
            }
        }
        (Vec::new(), 0)
    }

    /// Whether a batch travels that is to be committed before the next.
    fn is_batch_on_way(&self) -> bool {
        self.on_way[Way::Batch as usize] > self.staged.len()
    }

    /// Adds what waits to the next batch, where one is worth it; every member that it then has, in order.
    pub(crate) fn stage(&mut self) -> &[DedupId] {
        let is_worth_it = self.policy == Policy::Batching
            && self.again.is_empty()
            && self.gathered() >= limits::BATCH_MIN_EVENTS;
        let room = STAGED_MAX_EVENTS.saturating_sub(self.staged.len());
        let bytes = STAGED_MAX_BYTES.saturating_sub(self.staged_bytes);
        if is_worth_it && room > 0 && bytes > 0 {
            let (more, bytes) = self.depart_together(room, bytes);
            self.staged.extend(more);
            self.staged_bytes += bytes;
        }
        &self.staged
    }

    /// Gives the next batch up. It was never committed, so nothing of it is stored: its members wait
    /// again, ahead of what came after them.
    pub(crate) fn unstage(&mut self) {
        self.staged_bytes = 0;
        for id in std::mem::take(&mut self.staged).into_iter().rev() {
            self.arrive(id);
            let Some(slot) = self.slots.get(&id) else {
                continue;
            };
            let queue = if self.watched.len_of(&slot.payer) > 0 {
                &mut self.watched
            } else {
                &mut self.fair
            };
            queue.push_front(slot.payer.clone(), slot.bytes, id);
        }
    }

    /// Events whose publishes have no answer yet.
    pub(crate) fn travelling(&self) -> usize {
        let compared = self.on_way[Way::Compared as usize];
        self.on_way.iter().sum::<usize>() - compared
    }

    /// Takes out of the queues what was given up, so that it counts for nobody any more.
    pub(crate) fn forget_given_up(&mut self) {
        let slots = &self.slots;
        self.fair.retain(|id| slots.contains_key(id));
        self.watched.retain(|id| slots.contains_key(id));
    }

    /// Marks a waiting event as on its way; false for one that was given up meanwhile.
    fn depart(&mut self, id: DedupId, way: Way) -> bool {
        match self.slots.get_mut(&id) {
            Some(slot) if slot.way.is_none() => {
                slot.way = Some(way);
                self.on_way[way as usize] += 1;
                if way == Way::Batch {
                    *self.batched.entry(slot.payer.clone()).or_default() += 1;
                }
                true
            }
            _ => false,
        }
    }

    fn arrive(&mut self, id: DedupId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Some(way) = slot.way.take() else {
            return;
        };
        self.on_way[way as usize] -= 1;
        if way == Way::Batch
            && let Some(count) = self.batched.get_mut(&slot.payer)
        {
            *count -= 1;
            if *count == 0 {
                self.batched.remove(&slot.payer);
            }
        }
    }

    /// The event known under `id`.
    pub(crate) fn get(&self, id: DedupId) -> Option<&T> {
        self.slots.get(&id).map(|slot| &slot.item)
    }

    /// The event known under `id`, to change it.
    pub(crate) fn get_mut(&mut self, id: DedupId) -> Option<&mut T> {
        self.slots.get_mut(&id).map(|slot| &mut slot.item)
    }

    /// Forgets the event under `id` and hands it back: it is settled.
    pub(crate) fn finish(&mut self, id: DedupId) -> Option<T> {
        self.arrive(id);
        self.slots.remove(&id).map(|slot| slot.item)
    }

    /// Sends the event under `id` once more, alone and ahead of everything that is newer.
    pub(crate) fn send_again(&mut self, id: DedupId) {
        self.arrive(id);
        if let Some(slot) = self.slots.get(&id) {
            self.again.insert(slot.arrived, id);
        }
    }

    /// From now on the event under `id` is being compared and takes no room on the way.
    pub(crate) fn compare(&mut self, id: DedupId) {
        self.arrive(id);
        self.depart(id, Way::Compared);
    }

    /// Suspects whoever paid for the event under `id`: its repeat sank a batch.
    pub(crate) fn suspect(&mut self, id: DedupId, now: Instant) {
        let Some(payer) = self.slots.get(&id).map(|slot| slot.payer.clone()) else {
            return;
        };
        if self.suspects.len() >= SUSPECTS_MAX {
            self.suspects
                .retain(|_, suspicion| suspicion.until + SUSPICION_MAX > now);
        }
        if self.suspects.len() < SUSPECTS_MAX || self.suspects.contains_key(&payer) {
            let first = Suspicion {
                until: now,
                strikes: 0,
            };
            let suspicion = self.suspects.entry(payer.clone()).or_insert(first);
            suspicion.strike(now, now < self.started + EARLY);
        }
        self.set_apart(&payer);
    }

    /// Lets everything of `payer` that waits go alone. What already does is older than the rest of it.
    fn set_apart(&mut self, payer: &P) {
        for (bytes, waiting) in self.fair.take_all_of(payer) {
            self.watched.push(payer.clone(), bytes, waiting);
        }
    }

    /// Ids of events that wait and of which `is_over` holds.
    pub(crate) fn waiting_where(&self, is_over: impl Fn(&T) -> bool) -> Vec<DedupId> {
        let over = |(_, slot): &(&DedupId, &Slot<P, T>)| slot.way.is_none() && is_over(&slot.item);
        self.slots.iter().filter(over).map(|(id, _)| *id).collect()
    }

    /// Ids of events, waiting or on their way, of which `holds` is true.
    pub(crate) fn ids_where(&self, holds: impl Fn(&T) -> bool) -> Vec<DedupId> {
        self.slots
            .iter()
            .filter(|(_, slot)| holds(&slot.item))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether nothing waits and nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Events that could travel in the next batch, staged or not.
    pub(crate) fn gathered(&self) -> usize {
        self.fair.len() + self.staged.len()
    }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
