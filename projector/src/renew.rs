//! Rows that failed: folds them anew beside the file that failed, until that succeeds, and not so
//! often that a full disk is kept busy. Owns when; how is [`crate::rebuild`]'s.

use crate::pipeline::{Pipeline, Swap};
use crate::rebuild::rebuild;
use crate::store::Store;
use postroad_protocol::limits::{ROWS_RENEW_MAX_MS, ROWS_RENEW_MIN_MS};
use postroad_protocol::query::Damage;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE_MIN: Duration = Duration::from_millis(ROWS_RENEW_MIN_MS);
const PAUSE_MAX: Duration = Duration::from_millis(ROWS_RENEW_MAX_MS);

/// Rows that cannot be read or written any more, and why.
#[derive(Debug)]
pub struct Failure {
    /// Which.
    pub store: Store,
    /// In one sentence.
    pub message: String,
}

/// How long the next attempt is put off: not at all when the last one lies far back, else twice as
/// long as the time before.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    ended: Option<Instant>,
    pause: Duration,
}

impl Attempts {
    fn pause(&mut self, now: Instant) -> Duration {
        let is_quiet = |ended: Instant| now.duration_since(ended) > 2 * PAUSE_MAX;
        self.pause = if self.ended.is_none_or(is_quiet) {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
        };
        self.pause
    }

    fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Pipeline {
    /// Serves what is there, marked stale, until rows that were folded anew are handed over: a file that
    /// has failed once takes no more. Dropped at any moment, it leaves nothing behind.
    pub(crate) async fn renew(&mut self, message: &str) {
        let next = self.anchor.sequence + 1;
        let shard = self.shard.number();
        tracing::error!(shard, message, "the rows failed");
        self.tell(Damage {
            message: format!("the rows failed before event {next}: {message}"),
            from: next,
            to: next,
            remedy: "free space on the disk of the rows, or mend it; the rows are then folded anew by themselves, \
                     or at once: postroad rebuild"
                .to_owned(),
        });
        if let Err(error) = self.replace_writer() {
            tracing::error!(shard, %error, "no thread for the writer of a shard");
        }
        loop {
            let pause = self.attempts.pause(Instant::now());
            tokio::select! {
                biased;
                Some(swap) = self.swaps.recv() => return self.take(swap),
                () = tokio::time::sleep(pause) => {}
            }
            let swap = self.fold_anew().await;
            // Rows that fail again as soon as they were renewed are put off, too.
            self.attempts.ended(Instant::now());
            if let Some(swap) = swap {
                return self.take(swap);
            }
        }
    }

    /// One attempt; what it, or an operator's rebuild meanwhile, hands over.
    async fn fold_anew(&mut self) -> Option<Swap> {
        let parts = self.parts.clone();
        let rebuilding = rebuild(
            Arc::clone(&self.host),
            parts.keyring,
            parts.subjects,
            parts.cache_bytes,
        );
        let rebuilt = tokio::select! {
            biased;
            rebuilt = rebuilding => rebuilt,
            Some(swap) = self.swaps.recv() => return Some(swap),
        };
        if let Err(error) = rebuilt {
            tracing::error!(
                shard = self.shard.number(),
                error = &error as &dyn std::error::Error,
                "the rows could not be folded anew"
            );
        }
        self.swaps.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_put_off_longer_each_time_and_again_at_once_after_a_quiet_while() {
        let mut attempts = Attempts::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = attempts.pause(now);
            pauses.push(pause);
            // Filling a disk takes a while, and that is no quiet one.
            now += pause + 3 * PAUSE_MAX;
            attempts.ended(now);
        }
        assert_eq!(pauses[..3], [Duration::ZERO, PAUSE_MIN, 2 * PAUSE_MIN]);
        assert_eq!(pauses[11], PAUSE_MAX);
        assert!(pauses.is_sorted());
        assert_eq!(
            attempts.pause(now + 3 * PAUSE_MAX),
            Duration::ZERO,
            "a new failure is no repetition"
        );
    }
}
