//! When the next round may go. After a batch its senders' next commands are on their way: waiting a
//! moment for them fills the next batch, where going at once would publish the first few plainly, each
//! with an `fsync` of its own, and split the rest over two batches. Pure; the time is handed in.

use postroad_protocol::limits::BATCH_MAX_EVENTS;
use std::time::{Duration, Instant};

/// Longest wait for a batch to fill.
const GATHER_MAX: Duration = Duration::from_millis(10);
/// The part of the last batch's own time that waiting may take: what it costs when nobody comes.
const GATHER_PART: u32 = 4;
/// Pause after the log refused or could not be reached.
const PAUSE: Duration = Duration::from_millis(100);

/// When to go on.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sent: Option<Instant>,
    /// Hold until then, or until `enough` events are gathered.
    hold: Option<(Instant, usize)>,
}

impl Pace {
    /// A batch goes out.
    pub(super) fn batch_sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    /// A batch of `count` is stored while `waiting` have gathered: all of its senders may be back soon.
    pub(super) fn batch_stored(&mut self, count: usize, waiting: usize, now: Instant) {
        let took = self.sent.take().map_or(Duration::ZERO, |sent| now - sent);
        let until = now + (took / GATHER_PART).min(GATHER_MAX);
        self.hold = Some((until, (count + waiting).min(BATCH_MAX_EVENTS)));
    }

    /// Something did not work: whatever is gathered waits a moment.
    pub(super) fn stumbled(&mut self, now: Instant) {
        self.hold = Some((now + PAUSE, usize::MAX));
    }

    /// Whether to hold still with `gathered` events at hand.
    pub(super) fn holds(&mut self, gathered: usize, now: Instant) -> bool {
        let holds = self
            .hold
            .is_some_and(|(until, enough)| now < until && gathered < enough);
        if !holds {
            self.hold = None;
        }
        holds
    }

    /// How long until holding ends by itself; nothing when nothing is held.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let (until, _) = self.hold?;
        Some(until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_batch_waits_for_those_who_were_in_the_last_one_but_not_for_long() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(!pace.holds(0, start));
        pace.batch_sent(start);
        pace.batch_stored(200, 50, start + ms(20));
        assert!(pace.holds(249, start + ms(24)));
        assert!(!pace.holds(250, start + ms(24)), "everybody is there");
        pace.batch_sent(start);
        pace.batch_stored(200, 50, start + ms(20));
        assert!(
            !pace.holds(100, start + ms(25)),
            "a quarter of its time is over"
        );
        assert_eq!(pace.remaining(start), None);
        pace.batch_sent(start);
        pace.batch_stored(900, 500, start + ms(1_000));
        assert!(pace.holds(999, start + ms(1_009)));
        assert!(!pace.holds(1_000, start + ms(1_009)), "more do not fit");
    }

    #[test]
    fn after_a_stumble_everything_waits() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.stumbled(start);
        assert_eq!(pace.remaining(start), Some(PAUSE));
        assert!(pace.holds(100_000, start + ms(99)));
        assert!(!pace.holds(0, start + ms(100)));
    }
}
