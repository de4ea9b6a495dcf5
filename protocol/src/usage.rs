//! What is counted and is no event by itself: queries and pushes, by tenant and day. Bounded; whoever counts
//! has it stored now and then, as an observation.

use crate::error::Refusal;
use crate::id::{CommandId, TimeMs};
use crate::service::Observation;
use crate::tenancy::TenantScope;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A day of UTC, counted from 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Day(pub u64);

impl Day {
    /// The day in which `time` lies.
    pub const fn of(time: TimeMs) -> Self {
        Self(time.0 / DAY_MS)
    }

    /// When it begins.
    pub const fn begins(self) -> TimeMs {
        TimeMs(self.0.saturating_mul(DAY_MS))
    }

    /// The first of `days` that end with this one.
    #[must_use]
    pub const fn first_of(self, days: u64) -> Self {
        Self((self.0 + 1).saturating_sub(days))
    }
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Queries of agents that were served.
    pub queries: u64,
    /// Push hints that were published.
    pub pushes: u64,
}

/// What is to be stored of one tenant and day. It stays the same until it is settled, so that it may be
/// reported again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Counts up in one process.
    pub number: u64,
    /// Which day.
    pub day: Day,
    /// What was counted.
    pub counted: Counted,
}

/// Counts of one process that are not stored yet: two rows at most a tenant and day.
#[derive(Debug, Default)]
pub struct Tally {
    reports: u64,
    counting: HashMap<TenantScope, BTreeMap<Day, Counted>>,
    reported: HashMap<TenantScope, BTreeMap<Day, Report>>,
}

impl Tally {
    /// Counts something of the tenant in `scope`.
    pub fn count(&mut self, scope: &TenantScope, day: Day, more: Counted) {
        let days = match self.counting.get_mut(scope) {
            Some(days) => days,
            None => self.counting.entry(scope.clone()).or_default(),
        };
        let counted = days.entry(day).or_default();
        counted.queries += more.queries;
        counted.pushes += more.pushes;
    }

    /// What is to be reported now: earlier reports that were not settled, and what was counted since,
    /// where none of that day is under way.
    pub fn due(&mut self) -> Vec<(TenantScope, Report)> {
        for (scope, mut days) in std::mem::take(&mut self.counting) {
            let reported = self.reported.entry(scope.clone()).or_default();
            days.retain(|day, counted| {
                if reported.contains_key(day) {
                    return true;
                }
                self.reports += 1;
                let report = Report {
                    number: self.reports,
                    day: *day,
                    counted: *counted,
                };
                reported.insert(*day, report);
                false
            });
            if !days.is_empty() {
                self.counting.insert(scope, days);
            }
        }
        let reports = self.reported.iter();
        let reports = reports
            .flat_map(|(scope, days)| days.values().map(move |report| (scope.clone(), *report)));
        reports.collect()
    }

    /// The report is stored, or never will be.
    pub fn settle(&mut self, scope: &TenantScope, report: &Report) {
        let Some(days) = self.reported.get_mut(scope) else {
            return;
        };
        if days.get(&report.day) == Some(report) {
            days.remove(&report.day);
        }
        if days.is_empty() {
            self.reported.remove(scope);
        }
    }
}

/// What one process counts, and under whose name it has that stored.
#[derive(Debug)]
pub struct Counts {
    tally: Mutex<Tally>,
    /// Which process: made at random when it starts.
    by: CommandId,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            tally: Mutex::default(),
            by: CommandId::generate(),
        }
    }
}

impl Counts {
    /// Counts something of the tenant in `scope`, today.
    pub fn count(&self, scope: &TenantScope, more: Counted) {
        self.tally().count(scope, Day::of(TimeMs::now()), more);
    }

    /// What is to be stored now; each is settled afterwards.
    pub fn due(&self) -> Vec<(TenantScope, Report)> {
        self.tally().due()
    }

    /// How a report is stored.
    pub fn observation(&self, report: &Report) -> Observation {
        Observation::Usage {
            report: *report,
            by: self.by,
        }
    }

    /// Notes what became of a report. One that may yet be stored is due again.
    pub fn settle<T>(&self, scope: &TenantScope, report: &Report, stored: &Result<T, Refusal>) {
        if !matches!(stored, Err(refusal) if refusal.code.is_retryable()) {
            self.tally().settle(scope, report);
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::subject::{RequestKind, Subjects};
    use crate::tenancy::Admission;

    fn scope(tenant: &str) -> TenantScope {
        let subject = format!("postroad.{tenant}.cmd.tau.pi.self.x");
        let reply = format!("_INBOX.{tenant}.tau.pi.1");
        #[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
        let door = Admission::new(Subjects::default());
        let admitted = door.admit(RequestKind::Command, &subject, Some(&reply), None);
        admitted.unwrap().context.scope().unwrap().clone()
    }

    const QUERY: Counted = Counted {
        queries: 1,
        pushes: 0,
    };

    #[test]
    fn a_day_begins_and_ends_at_midnight_of_utc() {
        let day = Day::of(TimeMs(1_711_670_400_000));
        assert_eq!(day.begins(), TimeMs(1_711_670_400_000));
        assert_eq!(Day::of(TimeMs(1_711_670_399_999)), Day(day.0 - 1));
        assert_eq!(day.first_of(1), day);
        assert_eq!(day.first_of(7), Day(day.0 - 6));
        assert_eq!(Day(3).first_of(30), Day(0));
    }

    #[test]
    fn a_report_stays_the_same_until_it_is_settled_and_nothing_is_counted_twice() {
        let (mut tally, acme) = (Tally::default(), scope("acme"));
        let total = |reports: &[(TenantScope, Report)]| -> u64 {
            reports
                .iter()
                .map(|(_, report)| report.counted.queries)
                .sum()
        };
        tally.count(&acme, Day(1), QUERY);
        tally.count(&scope("globex"), Day(1), QUERY);
        let first = tally.due();
        assert_eq!((first.len(), total(&first)), (2, 2));
        tally.count(&acme, Day(1), QUERY);
        tally.count(&acme, Day(2), QUERY);
        let again = tally.due();
        assert_eq!((again.len(), total(&again)), (3, 3), "one of each day");
        assert!(first.iter().all(|report| again.contains(report)));
        for (scope, report) in &again {
            tally.settle(scope, report);
        }
        let late = tally.due();
        assert_eq!((late.len(), total(&late)), (1, 1));
        assert!(late[0].1.number > again.iter().map(|(_, r)| r.number).max().unwrap());
        tally.settle(&acme, &first[0].1);
        assert_eq!(tally.due(), late, "an old report settles nothing new");
        tally.settle(&acme, &late[0].1);
        assert!(tally.due().is_empty());
        assert!(tally.counting.is_empty() && tally.reported.is_empty());
    }

    #[test]
    fn a_report_that_may_yet_be_stored_is_due_again_and_one_that_never_will_be_is_not() {
        let (counts, acme) = (Counts::default(), scope("acme"));
        counts.count(&acme, QUERY);
        let due = counts.due();
        let report = due[0].1;
        let refused = |code| Err::<(), _>(Refusal::new(code, "m", "r"));
        for code in [ErrorCode::Unavailable, ErrorCode::OutcomeUnknown] {
            counts.settle(&acme, &report, &refused(code));
            assert_eq!(counts.due(), due, "{code}");
        }
        counts.settle(&acme, &report, &refused(ErrorCode::InvalidArgument));
        assert!(counts.due().is_empty());
        counts.count(&acme, QUERY);
        let report = counts.due()[0].1;
        counts.settle(&acme, &report, &Ok(()));
        assert!(counts.due().is_empty());
    }
}
