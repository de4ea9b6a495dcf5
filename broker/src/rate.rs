//! How fast agents may send commands, where the operator has set that: one bucket for the tenant and
//! one for each of its agents, each a single point in time. Owns no limit; never waits.

use postroad_protocol::error::Refusal;
use postroad_protocol::id::Reader;
use postroad_protocol::limits::AGENTS_COUNTED;
use postroad_protocol::quota::{Limit, Limits, too_fast};
use postroad_protocol::tenancy::TenantScope;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tenants from which on those are forgotten whose buckets are full again.
const FORGET_FROM: usize = 1_024;

/// Every bucket of one broker.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    tenants: Mutex<HashMap<TenantScope, Buckets>>,
}

/// One tenant's buckets.
#[derive(Debug, Default)]
struct Buckets {
    own: Bucket,
    agents: HashMap<Reader, Bucket>,
    /// Of the agents that are too many to be counted apart.
    others: Bucket,
}

/// When a bucket that gets one token at a time would be full again; nothing of one that is full.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Option<Instant>);

/// A rate and what may come at once, and how many brokers share both.
#[derive(Clone, Copy, Debug)]
struct Rate {
    limit: Limit,
    per_s: u64,
    burst: u64,
    brokers: u32,
}

impl Rate {
    fn of(limits: &Limits, limit: Limit, burst: Limit, brokers: u32) -> Option<Self> {
        Some(Self {
            limit,
            per_s: limits.in_use(limit)?,
            burst: limits.in_use(burst)?,
            brokers: brokers.max(1),
        })
    }

    /// How long one token takes to come back here.
    fn interval(self) -> Duration {
        Duration::from_secs(1) * self.brokers / u32::try_from(self.per_s).unwrap_or(u32::MAX)
    }

    /// What may come at once here; one at least, or a broker would let nothing pass.
    fn share_of_burst(self) -> u32 {
        let share = self.burst.div_ceil(u64::from(self.brokers));
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

impl Bucket {
    fn is_full(self, now: Instant) -> bool {
        self.0.is_none_or(|full| full <= now)
    }

    /// The bucket with one token less.
    ///
    /// # Errors
    /// `rate_limited` when none is left, with the time until one is.
    fn taken(self, rate: Rate, now: Instant) -> Result<Self, Refusal> {
        let full = self.0.map_or(now, |full| full.max(now));
        let room = rate.interval() * rate.share_of_burst().saturating_sub(1);
        let wait = full.duration_since(now).saturating_sub(room);
        if wait > Duration::ZERO {
            let ms = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
            return Err(too_fast(rate.limit, rate.per_s, ms));
        }
        Ok(Self(Some(full + rate.interval())))
    }
}

impl Buckets {
    fn are_full(&self, now: Instant) -> bool {
        let mut all = self.agents.values().chain([&self.own, &self.others]);
        all.all(|bucket| bucket.is_full(now))
    }

    /// The bucket of one agent. Names cost nothing, so those beyond the bound share one.
    fn of(&mut self, agent: &Reader, now: Instant) -> &mut Bucket {
        if self.agents.len() >= AGENTS_COUNTED && !self.agents.contains_key(agent) {
            self.agents.retain(|_, bucket| !bucket.is_full(now));
            if self.agents.len() >= AGENTS_COUNTED {
                return &mut self.others;
            }
        }
        self.agents.entry(agent.clone()).or_default()
    }
}

impl Rates {
    /// Takes one command of `agent` within this broker's share of `limits`.
    ///
    /// # Errors
    /// `rate_limited`; then nothing was taken.
    pub(crate) fn take(
        &self,
        scope: &TenantScope,
        agent: &Reader,
        limits: &Limits,
        brokers: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let of_tenant = Rate::of(limits, Limit::CommandsPerS, Limit::Burst, brokers);
        let of_agent = Rate::of(limits, Limit::AgentCommandsPerS, Limit::AgentBurst, brokers);
        if of_tenant.is_none() && of_agent.is_none() {
            return Ok(());
        }
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= FORGET_FROM && !tenants.contains_key(scope) {
            tenants.retain(|_, buckets| !buckets.are_full(now));
        }
        let buckets = tenants.entry(scope.clone()).or_default();
        let own = of_tenant
            .map(|rate| buckets.own.taken(rate, now))
            .transpose()?;
        if let Some(rate) = of_agent {
            let bucket = buckets.of(agent, now);
            *bucket = bucket.taken(rate, now)?;
        }
        buckets.own = own.unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::roster::given::{reader, scope};
    use postroad_protocol::error::ErrorCode;
    use postroad_protocol::quota::LimitsChange;

    fn limits(set: &[(&str, u64)]) -> Limits {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), *value));
        Limits::default().with(&LimitsChange::read(&set.collect(), &[]).unwrap())
    }

    /// How many of `times` commands at `now` are taken.
    fn taken(rates: &Rates, agent: &str, limits: &Limits, now: Instant, times: usize) -> usize {
        let (scope, agent) = (scope("acme"), reader("tau", agent));
        let take = |_: &usize| rates.take(&scope, &agent, limits, 1, now).is_ok();
        (0..times).filter(take).count()
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate_counts() {
        let (rates, start) = (Rates::default(), Instant::now());
        let limits = limits(&[("commandsPerS", 10), ("burst", 3)]);
        assert_eq!(taken(&rates, "pi", &limits, start, 9), 3);
        let (scope, pi) = (scope("acme"), reader("tau", "pi"));
        let refusal = rates.take(&scope, &pi, &limits, 1, start).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert_eq!(refusal.retry_after_ms, Some(100));
        assert!(refusal.message.contains("commands-per-s"), "{refusal:?}");
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(taken(&rates, "pi", &limits, at(99), 9), 0);
        assert_eq!(taken(&rates, "pi", &limits, at(100), 9), 1);
        assert_eq!(taken(&rates, "pi", &limits, at(350), 9), 2);
        assert_eq!(
            taken(&rates, "pi", &limits, at(60_000), 9),
            3,
            "never more than a burst"
        );
    }

    #[test]
    fn over_time_exactly_the_rate_is_taken() {
        let (rates, start) = (Rates::default(), Instant::now());
        let limits = limits(&[("commandsPerS", 50)]);
        let total: usize = (0..10_000)
            .map(|ms| taken(&rates, "pi", &limits, start + Duration::from_millis(ms), 2))
            .sum();
        assert_eq!(total, 50 + 10 * 50 - 1);
    }

    #[test]
    fn brokers_share_a_rate() {
        let (scope, pi, start) = (scope("acme"), reader("tau", "pi"), Instant::now());
        let limits = limits(&[("commandsPerS", 10), ("burst", 4)]);
        let brokers = [Rates::default(), Rates::default()];
        let taken = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            let take = |rates: &Rates| {
                (0..9)
                    .filter(|_| rates.take(&scope, &pi, &limits, 2, now).is_ok())
                    .count()
            };
            brokers.iter().map(take).sum::<usize>()
        };
        assert_eq!(taken(0), 4);
        assert_eq!(taken(199), 0);
        assert_eq!(taken(200), 2);
        let slow = Rates::default();
        let one = self::limits(&[("commandsPerS", 1)]);
        assert!(
            slow.take(&scope, &pi, &one, 3, start).is_ok(),
            "one at least"
        );
    }

    #[test]
    fn an_agent_that_is_too_fast_takes_nothing_of_its_tenant() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limits = limits(&[("commandsPerS", 5), ("agentCommandsPerS", 2)]);
        assert_eq!(taken(&rates, "pi", &limits, now, 99), 2);
        assert_eq!(taken(&rates, "mac", &limits, now, 99), 2);
        assert_eq!(
            taken(&rates, "desk", &limits, now, 99),
            1,
            "the tenant's own is used up"
        );
        let (other, pi) = (scope("globex"), reader("tau", "pi"));
        assert!(rates.take(&other, &pi, &limits, 1, now).is_ok());
    }

    #[test]
    fn names_without_number_take_a_bounded_memory_and_share_one_rate() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limits = limits(&[("agentCommandsPerS", 1)]);
        let names = (0..AGENTS_COUNTED + 500).map(|n| format!("i{n}"));
        let total: usize = names
            .map(|name| taken(&rates, &name, &limits, now, 1))
            .sum();
        assert_eq!(total, AGENTS_COUNTED + 1);
        let held = |rates: &Rates| rates.tenants.lock().unwrap()[&scope("acme")].agents.len();
        assert_eq!(held(&rates), AGENTS_COUNTED);
        let later = now + Duration::from_secs(2);
        assert_eq!(taken(&rates, "new", &limits, later, 9), 1);
        assert_eq!(held(&rates), 1, "what is full again is forgotten");
    }
}
