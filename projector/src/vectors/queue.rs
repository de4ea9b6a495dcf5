//! Whose memories are looked at next: owners take turns, so that one with very many stays behind itself, and each stands in the
//! queue once, however often it is named.

use crate::read_model::keys::Prefix;
use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Due {
    /// Which owners a shard has.
    Shard(u16),
    /// One owner's memories in its shard.
    Owner(u16, Prefix),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Due(Due),
    /// Nothing did in time.
    Nothing,
    /// The process stops.
    Stop,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: VecDeque<Due>,
    /// All that is due or put off.
    known: HashSet<Due>,
    put_off: Vec<(Instant, Due)>,
    working: Option<Due>,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it at the end, unless it stands there.
    pub(super) fn add(&self, due: Due) {
        let mut state = self.state();
        if !state.closed && state.known.insert(due.clone()) {
            state.due.push_back(due);
            self.changed.notify_all();
        }
    }

    /// Puts it at the end after `pause`, unless it stands there.
    pub(super) fn add_later(&self, due: Due, pause: Duration) {
        let mut state = self.state();
        if !state.closed && state.known.insert(due.clone()) {
            state.put_off.push((Instant::now() + pause, due));
        }
    }

    /// What comes next, within `wait` if there is a bound. Until it is asked again, that is being worked on.
    pub(super) fn next(&self, wait: Option<Duration>) -> Next {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut state = self.state();
        state.working = None;
        loop {
            if state.closed {
                return Next::Stop;
            }
            let now = Instant::now();
            state.take_back(now);
            if let Some(due) = state.due.pop_front() {
                state.known.remove(&due);
                state.working = Some(due.clone());
                return Next::Due(due);
            }
            if until.is_some_and(|until| until <= now) {
                return Next::Nothing;
            }
            let put_off = state.put_off.iter().map(|(when, _)| *when);
            state = match put_off.chain(until).min() {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(first) => {
                    let waited = self
                        .changed
                        .wait_timeout(state, first.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = State {
            closed: true,
            working: state.working.take(),
            ..State::default()
        };
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Whether something of `owner` is being worked on.
    pub(super) fn works_for(&self, owner: &Prefix) -> bool {
        matches!(&self.state().working, Some(Due::Owner(_, its)) if its == owner)
    }

    /// Everything that is due, put off or being worked on.
    pub(super) fn open(&self) -> Vec<Due> {
        let state = self.state();
        let known = state.known.iter().chain(&state.working);
        known.cloned().collect::<HashSet<_>>().into_iter().collect()
    }
}

impl State {
    fn take_back(&mut self, now: Instant) {
        let has_come = |at: &mut (Instant, Due)| at.0 <= now;
        let come = self.put_off.extract_if(.., has_come);
        self.due.extend(come.map(|(_, due)| due));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;

    fn owner(name: &str) -> Due {
        Due::Owner(0, Prefix::of(&scope(name)))
    }

    #[test]
    fn owners_take_turns_and_stand_there_once() {
        let queue = Queue::default();
        for name in ["acme", "bolt", "acme", "acme"] {
            queue.add(owner(name));
        }
        assert_eq!(queue.next(None), Next::Due(owner("acme")));
        assert!(queue.works_for(&Prefix::of(&scope("acme"))));
        // Named again while it is worked on, it comes again, behind the others.
        queue.add(owner("acme"));
        assert_eq!(queue.open().len(), 2);
        assert_eq!(queue.next(None), Next::Due(owner("bolt")));
        assert!(!queue.works_for(&Prefix::of(&scope("acme"))));
        assert_eq!(queue.next(None), Next::Due(owner("acme")));
        assert_eq!(queue.next(Some(Duration::ZERO)), Next::Nothing);
        assert!(!queue.works_for(&Prefix::of(&scope("acme"))));
    }

    #[test]
    fn what_is_put_off_comes_when_its_time_has_come() {
        let queue = Queue::default();
        queue.add_later(owner("acme"), Duration::from_millis(30));
        queue.add(owner("acme"));
        queue.add(Due::Shard(1));
        let start = Instant::now();
        assert_eq!(queue.next(None), Next::Due(Due::Shard(1)));
        assert_eq!(queue.next(None), Next::Due(owner("acme")));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn a_closed_queue_ends_whoever_waits() {
        let queue = Queue::default();
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| queue.next(None));
            queue.close();
            assert_eq!(waiting.join().unwrap(), Next::Stop);
        });
        queue.add(owner("acme"));
        assert_eq!((queue.next(None), queue.open()), (Next::Stop, Vec::new()));
    }
}
