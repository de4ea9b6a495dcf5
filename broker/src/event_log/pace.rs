//! When the next round may go. After a batch its senders' next commands are on their way: waiting a
//! moment for them fills the next batch, where going at once would publish the first few plainly, each
//! with an `fsync` of its own, or pay what a batch costs whatever it holds for a part of them. Pure; the
//! time is handed in.
//!
//! How many are waited for follows from what was measured last. Where a batch takes longer than its
//! senders take to come back, all go together. Where it is the faster of the two, half is waited for:
//! the disk then stores one half while the other is answered and comes back, and neither stands still.

use postroad_protocol::limits::BATCH_MAX_EVENTS;
use std::time::{Duration, Instant};

/// Longest wait for a batch to fill; never longer than the last batch itself took, so that waiting at
/// most doubles what an append takes.
const GATHER_MAX: Duration = Duration::from_millis(20);
/// Nobody is on the way any more when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(2);
/// Pause after the log refused or could not be reached.
const PAUSE: Duration = Duration::from_millis(100);

/// When to go on.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sent: Option<Instant>,
    hold: Option<Hold>,
    arrivals: Arrivals,
}

/// A wait for others.
#[derive(Debug)]
struct Hold {
    /// It ends then at the latest.
    until: Instant,
    /// It ends with so many gathered.
    enough: usize,
    /// It ends when nothing comes for so long.
    quiet: Duration,
    /// Nothing that came earlier counts.
    since: Instant,
}

/// Who has come since the last batch was stored, and how fast they come.
#[derive(Debug, Default)]
struct Arrivals {
    gathered: usize,
    /// Since the last batch was stored.
    count: usize,
    last: Option<Instant>,
    stored: Option<Instant>,
    /// What one sender takes to come back, averaged; nothing before the first has.
    each: Duration,
}

impl Arrivals {
    /// So many wait now.
    fn see(&mut self, gathered: usize, now: Instant) {
        if gathered > self.gathered {
            self.count += gathered - self.gathered;
            self.last = Some(now);
        }
        self.gathered = gathered;
    }

    /// Another batch is stored; whoever comes from now on comes after it.
    fn next(&mut self, now: Instant) {
        if let (Some(stored), Some(last), Ok(count @ 1..)) =
            (self.stored, self.last, u32::try_from(self.count))
        {
            let each = last.saturating_duration_since(stored) / count;
            self.each = (self.each * 3 + each) / 4;
        }
        self.stored = Some(now);
        self.count = 0;
    }

    /// How long so many take to come back.
    fn time_of(&self, senders: usize) -> Duration {
        self.each
            .saturating_mul(u32::try_from(senders).unwrap_or(u32::MAX))
    }
}

impl Pace {
    /// A batch goes out, and so many stay.
    pub(super) fn batch_sent(&mut self, left: usize, now: Instant) {
        self.sent = Some(now);
        self.arrivals.gathered = left;
    }

    /// A batch of `count` is stored while `waiting` have gathered: all of its senders may be back soon.
    pub(super) fn batch_stored(&mut self, count: usize, waiting: usize, now: Instant) {
        let took = self.sent.take().map_or(Duration::ZERO, |sent| now - sent);
        self.arrivals.see(waiting, now);
        self.arrivals.next(now);
        let senders = count + waiting;
        let together = if self.arrivals.time_of(senders) <= took {
            senders
        } else {
            senders / 2
        };
        self.hold = Some(Hold {
            until: now + took.min(GATHER_MAX),
            enough: together.min(BATCH_MAX_EVENTS),
            quiet: QUIET,
            since: now,
        });
    }

    /// Something did not work: whatever is gathered waits a moment.
    pub(super) fn stumbled(&mut self, now: Instant) {
        self.hold = Some(Hold {
            until: now + PAUSE,
            enough: usize::MAX,
            quiet: PAUSE,
            since: now,
        });
    }

    /// Whether to hold still with `gathered` events at hand.
    pub(super) fn holds(&mut self, gathered: usize, now: Instant) -> bool {
        let holds = self.ends().is_some_and(|ends| now < ends)
            && self
                .hold
                .as_ref()
                .is_some_and(|hold| gathered < hold.enough);
        self.arrivals.see(gathered, now);
        if !holds {
            self.hold = None;
        }
        holds
    }

    /// How long until holding ends by itself; nothing when nothing is held.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        Some(self.ends()?.saturating_duration_since(now))
    }

    fn ends(&self) -> Option<Instant> {
        let hold = self.hold.as_ref()?;
        let came = self
            .arrivals
            .last
            .map_or(hold.since, |last| last.max(hold.since));
        Some(hold.until.min(came + hold.quiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A pace whose last batch of `count` took so long, with `waiting` gathered when it was stored; its
    /// senders are known to take a tenth of a millisecond each.
    fn stored(count: usize, waiting: usize, took: Duration) -> (Pace, Instant) {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(!pace.holds(0, start));
        pace.arrivals.each = ms(1) / 10;
        pace.batch_sent(0, start);
        pace.batch_stored(count, waiting, start + took);
        (pace, start + took)
    }

    #[test]
    fn where_batches_are_slow_all_go_together() {
        let (mut pace, now) = stored(100, 50, ms(16));
        assert!(pace.holds(149, now + ms(1)));
        assert!(!pace.holds(150, now + ms(1)), "everybody is there");
        assert_eq!(pace.remaining(now), None);
        let (mut pace, now) = stored(1_000, 4_000, ms(2_000));
        assert!(pace.holds(999, now + ms(1)));
        assert!(!pace.holds(1_000, now + ms(1)), "more do not fit");
    }

    #[test]
    fn where_batches_are_fast_the_halves_take_turns() {
        let (mut pace, now) = stored(256, 0, ms(6));
        assert!(pace.holds(127, now + ms(1)));
        assert!(!pace.holds(128, now + ms(1)), "the others follow");
        let (mut pace, now) = stored(128, 128, ms(6));
        assert!(!pace.holds(128, now), "the other half is here already");
    }

    #[test]
    fn how_fast_senders_come_back_is_learnt_from_their_coming() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut now = start;
        for _ in 0..40 {
            pace.batch_sent(0, now);
            pace.batch_stored(100, 0, now + ms(5));
            now += ms(5);
            // A hundred come within ten milliseconds, then nobody for twenty.
            for come in 1..=100 {
                now += ms(1) / 10;
                pace.holds(come, now);
            }
            now += ms(20);
        }
        let (each, near) = (pace.arrivals.each, ms(1) / 10);
        assert!(each > near * 9 / 10 && each <= near, "{each:?}");
    }

    #[test]
    fn it_waits_while_they_come_but_never_longer_than_the_last_one_took() {
        let (mut pace, now) = stored(900, 50, ms(5));
        for more in 1..5 {
            assert!(pace.holds(50 + more, now + ms(more as u64)));
            assert_eq!(
                pace.remaining(now + ms(more as u64)),
                Some(QUIET.min(ms(5 - more as u64)))
            );
        }
        assert!(!pace.holds(60, now + ms(5)));
        let (mut pace, now) = stored(900, 50, ms(1_000));
        for more in 1..20 {
            assert!(pace.holds(50 + more, now + ms(more as u64)));
        }
        assert!(!pace.holds(70, now + GATHER_MAX));
    }

    #[test]
    fn it_goes_when_nobody_comes_any_more() {
        let (mut pace, now) = stored(900, 50, ms(20));
        assert!(pace.holds(50, now));
        assert_eq!(pace.remaining(now), Some(QUIET));
        assert!(pace.holds(60, now + ms(1)));
        assert!(pace.holds(60, now + ms(2)));
        assert!(!pace.holds(60, now + ms(3)));
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
