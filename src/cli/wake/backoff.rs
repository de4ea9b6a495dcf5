//! How long a command that read nothing is not started again. Owns that, on plain values.

use std::time::Duration;

/// Longest pause: a command that is mended is then soon noticed.
const PAUSE_MAX: Duration = Duration::from_mins(10);

/// Pauses that double until something is read.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    /// With this first pause.
    pub(super) fn new(first: Duration) -> Self {
        let first = first.min(PAUSE_MAX);
        Self { first, next: first }
    }

    /// The pause after a command that read nothing.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// Something was read.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_when_something_was_read() {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        let pauses: Vec<u64> = (0..9).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        backoff.reset();
        assert_eq!(backoff.pause(), Duration::from_secs(5));
        let mut longest = Backoff::new(Duration::MAX);
        assert_eq!([longest.pause(), longest.pause()], [PAUSE_MAX; 2]);
    }
}
