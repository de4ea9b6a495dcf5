//! Numbers out of many: how long calls took, how many were made in a time. Owns counting; never calls.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::time::{Duration, Instant};

/// How long each of many calls took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// One more call.
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Whether no call was made.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of another round's.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    /// Milliseconds that half of the calls did not exceed.
    pub(crate) fn p50_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    /// Milliseconds that 95 of 100 calls did not exceed.
    pub(crate) fn p95_ms(&self) -> f64 {
        self.percentile_ms(95)
    }

    /// Milliseconds that 99 of 100 calls did not exceed.
    pub(crate) fn p99_ms(&self) -> f64 {
        self.percentile_ms(99)
    }

    /// The smallest sample that at least `percent` of 100 samples do not exceed; 0 without samples.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted
            .get(rank - 1)
            .map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}

/// The middle of some rounds; 0 without rounds.
pub(crate) fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The least of some rounds; 0 without rounds. For work that only a processor does: what else the machine
/// does meanwhile can but add to it.
pub(crate) fn least(rounds: &[f64]) -> f64 {
    rounds.iter().copied().reduce(f64::min).unwrap_or(0.0)
}

/// When to stop asking. What is open then is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After so many calls.
    Calls(usize),
    /// After so many calls, or after this time where that comes first.
    Within(usize, Duration),
}

/// What came of many calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Calls that were answered.
    pub(crate) calls: usize,
    /// From the first question to the last answer.
    pub(crate) took: Duration,
    /// How long each took.
    pub(crate) latencies: Latencies,
}

impl Load {
    /// Calls in a second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody makes 2^52 calls in one run"
    )]
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// With what ran at the same time.
    fn beside(mut self, other: &Self) -> Self {
        self.calls += other.calls;
        self.took = self.took.max(other.took);
        self.latencies.extend(&other.latencies);
        self
    }
}

/// The same in several rounds.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    rates: Vec<f64>,
    /// Of all rounds.
    pub(crate) latencies: Latencies,
}

impl Turns {
    /// One more round.
    pub(crate) fn add(&mut self, load: &Load) {
        self.rates.push(load.per_second());
        self.latencies.extend(&load.latencies);
    }

    /// Calls in a second, of the round in the middle.
    pub(crate) fn per_second(&self) -> f64 {
        median(&self.rates)
    }
}

/// Keeps `in_flight` calls of `call` open.
///
/// # Errors
/// The first call's that fails.
pub(crate) async fn keep_in_flight<F, Fut>(
    in_flight: usize,
    until: Until,
    call: F,
) -> anyhow::Result<Load>
where
    F: Fn() -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let begun = Instant::now();
    let timed = |_| {
        let calling = call();
        async move {
            let started = Instant::now();
            calling.await.map(|()| started.elapsed())
        }
    };
    let goes_on = |number: &usize| {
        std::future::ready(match until {
            Until::Elapsed(time) => begun.elapsed() < time,
            Until::Calls(calls) => *number < calls,
            Until::Within(calls, time) => *number < calls && begun.elapsed() < time,
        })
    };
    let latencies: Vec<Duration> = stream::iter(0_usize..)
        .take_while(goes_on)
        .map(timed)
        .buffer_unordered(in_flight)
        .try_collect()
        .await?;
    Ok(Load {
        calls: latencies.len(),
        took: begun.elapsed(),
        latencies: Latencies(latencies),
    })
}

/// Runs several loads at the same time, each on a task of its own.
///
/// # Errors
/// The first one's that fails.
pub(crate) async fn together<Fut>(loads: impl IntoIterator<Item = Fut>) -> anyhow::Result<Load>
where
    Fut: Future<Output = anyhow::Result<Load>> + Send + 'static,
{
    let mut running: tokio::task::JoinSet<_> = loads.into_iter().collect();
    let mut sum = Load::default();
    while let Some(load) = running.join_next().await {
        sum = sum.beside(&load??);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_the_median_is_the_middle() {
        let mut latencies = Latencies::default();
        assert!(latencies.p99_ms().abs() < f64::EPSILON);
        for ms in (1..=200).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        assert!((latencies.p50_ms() - 100.0).abs() < 1e-9);
        assert!((latencies.p95_ms() - 190.0).abs() < 1e-9);
        assert!((latencies.p99_ms() - 198.0).abs() < 1e-9);
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[9.0, 1.0, 2.0, 4.0]) - 3.0).abs() < 1e-9);
        assert!(median(&[]).abs() < f64::EPSILON);
        assert!((least(&[9.0, 1.0, 2.0]) - 1.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn as_many_calls_as_asked_for_are_made_and_a_failure_ends_them() {
        let load = keep_in_flight(8, Until::Calls(100), || async { Ok(()) });
        assert_eq!(load.await.unwrap().calls, 100);
        for (time, calls) in [(Duration::from_hours(1), 100), (Duration::ZERO, 0)] {
            let load = keep_in_flight(8, Until::Within(100, time), || async { Ok(()) });
            assert_eq!(load.await.unwrap().calls, calls);
        }
        let load = keep_in_flight(8, Until::Calls(100), || async { anyhow::bail!("no") });
        assert!(load.await.is_err());
    }
}
