//! How long to wait before asking again. Owns the arithmetic; never sleeps.

use std::time::Duration;

/// First pause.
const FIRST: Duration = Duration::from_millis(50);
/// Longest pause that the client chooses itself.
const LONGEST: Duration = Duration::from_secs(2);
/// Longest pause that a service may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(10);

/// Doubling pauses with jitter, so that clients which failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause before the next attempt, at least as long as the service asked for.
    pub(crate) fn pause(&mut self, asked_ms: Option<u64>) -> Duration {
        let pause = jittered(self.next, random_fraction());
        self.next = (self.next * 2).min(LONGEST);
        let asked = Duration::from_millis(asked_ms.unwrap_or(0)).min(LONGEST_ASKED);
        // Jitter comes on top: whoever was told the same time would return at the same time.
        pause.max(asked + pause / 4)
    }

    /// Begins anew after something went well.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Between half of `full` and `full`.
fn jittered(full: Duration, fraction: f64) -> Duration {
    full.mul_f64(0.5 + fraction / 2.0)
}

/// At least 0, below 1. Where the system has no randomness, pauses lose their jitter, nothing else.
fn random_fraction() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(random) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_never_vanish() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause(None)).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(
            pauses
                .iter()
                .all(|pause| *pause >= FIRST / 2 && *pause <= LONGEST)
        );
        assert!(pauses[19] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.pause(None) <= FIRST);
    }

    #[test]
    fn what_a_service_asks_for_is_honoured_within_a_bound() {
        let mut backoff = Backoff::new();
        assert!(backoff.pause(Some(700)) >= Duration::from_millis(700));
        assert!(backoff.pause(Some(u64::MAX)) <= LONGEST_ASKED + LONGEST);
    }
}
