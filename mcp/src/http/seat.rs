//! How much of a caller is under way, and since when nothing is. Owns the count and the caller's end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A caller's seat.
#[derive(Debug)]
pub(super) struct Seat {
    places: usize,
    taken: AtomicUsize,
    last_used: Mutex<Instant>,
    waits_end: CancellationToken,
    ended: CancellationToken,
}

/// How everybody ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// First whatever waits, so that the rest can finish.
    pub(super) stopping: CancellationToken,
    /// Then everything.
    pub(super) over: CancellationToken,
}

/// One request or stream under way.
#[derive(Debug)]
pub(super) struct Place(Arc<Seat>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.touch();
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Seat {
    /// One with so many places, which ends with everybody at the latest.
    pub(super) fn new(places: usize, ending: &Ending) -> Arc<Self> {
        Arc::new(Self {
            places,
            taken: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
            waits_end: ending.stopping.child_token(),
            ended: ending.over.child_token(),
        })
    }

    /// A place, while there is one.
    pub(super) fn take_place(self: &Arc<Self>) -> Option<Place> {
        let more = |taken: usize| (taken < self.places).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        self.touch();
        Some(Place(Arc::clone(self)))
    }

    /// Whether nothing is under way.
    pub(super) fn is_free(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 0
    }

    /// Whether nothing has been under way for so long.
    pub(super) fn is_idle_for(&self, idle: Duration) -> bool {
        self.is_free() && self.last_used().elapsed() >= idle
    }

    /// When something last began or ended.
    pub(super) fn last_used(&self) -> Instant {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires at the caller's end.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Fires when whatever waits for mail is to end: a while before the end, where there is time.
    pub(super) fn waits_end(&self) -> &CancellationToken {
        &self.waits_end
    }

    /// Ends whatever is under way, and the connection.
    pub(super) fn end(&self) {
        self.waits_end.cancel();
        self.ended.cancel();
    }

    fn touch(&self) {
        let mut last_used = self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last_used = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let seat = Seat::new(2, &Ending::default());
        let (first, second) = (seat.take_place(), seat.take_place());
        assert!(first.is_some() && second.is_some() && seat.take_place().is_none());
        assert!(!seat.is_idle_for(Duration::ZERO));
        drop(first);
        assert!(seat.take_place().is_some());
        drop(second);
        assert!(seat.is_idle_for(Duration::ZERO));
        assert!(!seat.is_idle_for(Duration::from_hours(1)));
    }

    #[test]
    fn a_seat_ends_with_everybody_or_alone() {
        let everybody = Ending::default();
        let (one, other) = (Seat::new(1, &everybody), Seat::new(1, &everybody));
        one.end();
        assert!(one.ended().is_cancelled() && !other.ended().is_cancelled());
        everybody.stopping.cancel();
        assert!(other.waits_end().is_cancelled() && !other.ended().is_cancelled());
        everybody.over.cancel();
        assert!(other.ended().is_cancelled());
    }
}
