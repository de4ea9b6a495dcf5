//! Counts requests that were dropped because they wanted their answer elsewhere than at their
//! caller's inbox, and says when the count is worth a line in the log. Never says whose they were.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line in this time, however many requests are dropped.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// The count.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: u64,
    /// When the count was said last, and what it was.
    said: Option<(Instant, u64)>,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Dropped since the last report.
    pub(crate) new: u64,
    /// Dropped since the start.
    pub(crate) total: u64,
}

impl Dropped {
    /// Counts one; gives a report when one is due.
    pub(crate) fn add(&self, now: Instant) -> Option<Report> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.count += 1;
        let before = match inner.said {
            Some((at, _)) if now < at + SAY_EVERY => return None,
            Some((_, before)) => before,
            None => 0,
        };
        inner.said = Some((now, inner.count));
        Some(Report {
            new: inner.count - before,
            total: inner.count,
        })
    }

    /// Dropped since the start.
    pub(crate) fn total(&self) -> u64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_dropped_requests_is_one_line_a_minute_that_counts_them_all() {
        let (dropped, start) = (Dropped::default(), Instant::now());
        assert_eq!(dropped.add(start), Some(Report { new: 1, total: 1 }));
        for n in 0..1_000 {
            assert_eq!(dropped.add(start + Duration::from_millis(n)), None);
        }
        let later = start + SAY_EVERY;
        let report = Report {
            new: 1_001,
            total: 1_002,
        };
        assert_eq!(dropped.add(later), Some(report));
        assert_eq!(dropped.add(later), None);
        assert_eq!(dropped.total(), 1_003);
    }
}
