//! What a projector saw that has to become an event: it asks a broker and never writes itself.
//! Ids derive from cause and kind at the broker, so asking twice is harmless.

use crate::hosts::Hosts;
use postroad_protocol::body::{self, Encoding};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::Reader;
use postroad_protocol::limits::{DELIVERED_MAX_IDS, DELIVERED_WAITING_MAX};
use postroad_protocol::position::Position;
use postroad_protocol::service::{OBSERVE, Observation, Observed};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::TenantScope;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// How long delivered marks are gathered before they are reported.
const GATHER: Duration = Duration::from_millis(100);
/// Pause before marks that a broker did not take are reported again; doubled each time.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);

/// The way to the brokers.
#[derive(Clone, Debug)]
pub struct Brokers {
    client: async_nats::Client,
    subjects: Subjects,
}

impl Brokers {
    /// Over a connection with the projector's credential.
    pub fn new(client: async_nats::Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Asks a broker to store an observation; answers where it is stored.
    ///
    /// # Errors
    /// The broker's refusal, or `unavailable` when none answers.
    pub async fn observe(
        &self,
        scope: &TenantScope,
        observation: &Observation,
    ) -> Result<Position, Refusal> {
        let subject = self
            .subjects
            .service(Service::Broker, scope.owner(), OBSERVE);
        let payload = Encoding::MessagePack.encode(observation);
        let answer = self
            .client
            .request(subject, payload.into())
            .await
            .map_err(|_| Refusal::unavailable("no broker answers"))?;
        let refused = answer
            .headers
            .as_ref()
            .is_some_and(|headers| headers.get(body::ERROR_CODE_HEADER).is_some());
        let observed: Observed =
            body::decode_answer(Encoding::MessagePack, &answer.payload, refused)?;
        Ok(observed.position)
    }
}

/// Readers whose marks are on their way at once.
const READERS_AT_ONCE: usize = 256;

/// Whose marks.
type Place = (TenantScope, Reader);

/// Delivered marks on their way to a broker, gathered by reader.
#[derive(Debug, Default)]
pub struct Deliveries {
    marks: Mutex<Marks>,
    some: Notify,
}

/// Where every mark stands. A mark is in one of the two at most.
#[derive(Debug, Default)]
struct Marks {
    waiting: HashMap<Place, Waiting>,
    /// Marks in `waiting`, of all readers.
    count: usize,
    /// Reported and not yet applied: a check in between must not report them again.
    reported: HashMap<Place, BTreeSet<EventKey>>,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: BTreeSet<EventKey>,
    /// How often in a row a broker did not take them.
    failures: u32,
    /// Not to be reported before.
    not_before: Option<Instant>,
}

/// One reader's marks that are being reported.
#[derive(Debug)]
struct Report {
    place: Place,
    keys: BTreeSet<EventKey>,
    failures: u32,
}

impl Marks {
    /// Marks beyond the bound are left to the next check.
    fn add(&mut self, place: Place, keys: impl IntoIterator<Item = EventKey>) {
        let known = self.reported.get(&place);
        let fresh = keys
            .into_iter()
            .filter(|key| !known.is_some_and(|known| known.contains(key)));
        let fresh: Vec<EventKey> = fresh.collect();
        if fresh.is_empty() || self.count >= DELIVERED_WAITING_MAX {
            return;
        }
        let waiting = self.waiting.entry(place).or_default();
        for key in fresh {
            if self.count < DELIVERED_WAITING_MAX && waiting.keys.insert(key) {
                self.count += 1;
            }
        }
    }

    /// What is to be reported now, and when there will be more of what waits already.
    fn take_due(&mut self, now: Instant) -> (Vec<Report>, Option<Instant>) {
        let mut next: Option<Instant> = None;
        let due: Vec<(Place, Waiting)> = self
            .waiting
            .extract_if(|_, waiting| match waiting.not_before {
                Some(at) if at > now => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    false
                }
                _ => true,
            })
            .collect();
        let reports = due.into_iter().map(|(place, waiting)| {
            self.count -= waiting.keys.len();
            let reported = self.reported.entry(place.clone()).or_default();
            reported.extend(&waiting.keys);
            Report {
                place,
                keys: waiting.keys,
                failures: waiting.failures,
            }
        });
        (reports.collect(), next)
    }

    /// These are applied, or never will be.
    fn settle(&mut self, report: &Report) {
        let Some(reported) = self.reported.get_mut(&report.place) else {
            return;
        };
        // Another report of the same reader may be under way: its marks are not these.
        reported.retain(|key| !report.keys.contains(key));
        if reported.is_empty() {
            self.reported.remove(&report.place);
        }
    }

    /// `failed` of a report were not taken now: they wait for another attempt. A subscription checks
    /// behind its cursor, so no later check would find them again.
    fn put_back(&mut self, report: &Report, failed: Vec<EventKey>, now: Instant) {
        self.settle(report);
        if failed.is_empty() {
            return;
        }
        self.add(report.place.clone(), failed);
        if let Some(waiting) = self.waiting.get_mut(&report.place) {
            waiting.failures = waiting.failures.max(report.failures.saturating_add(1));
            let pause = AGAIN_MIN * 2_u32.pow((waiting.failures - 1).min(8));
            waiting.not_before = Some(now + pause.min(AGAIN_MAX));
        }
    }
}

impl Deliveries {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer with these messages went out to `reader`.
    pub fn add(&self, scope: &TenantScope, reader: &Reader, messages: Vec<EventKey>) {
        self.marks().add((scope.clone(), reader.clone()), messages);
        self.some.notify_one();
    }

    /// Reports what was gathered, for ever. Nobody's marks wait for another's.
    pub async fn report(self: Arc<Self>, brokers: Brokers, hosts: Arc<Hosts>) {
        let places = Arc::new(Semaphore::new(READERS_AT_ONCE));
        let mut next: Option<Instant> = None;
        loop {
            let again = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.some.notified() => {}
                () = again => {}
            }
            tokio::time::sleep(GATHER).await;
            let (due, later) = self.marks().take_due(Instant::now());
            next = later;
            for report in due {
                // The semaphore is never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let (this, brokers, hosts) =
                    (Arc::clone(&self), brokers.clone(), Arc::clone(&hosts));
                tokio::spawn(async move {
                    this.report_one(&brokers, &hosts, report).await;
                    drop(place);
                });
            }
        }
    }

    async fn report_one(&self, brokers: &Brokers, hosts: &Hosts, report: Report) {
        let keys: Vec<EventKey> = report.keys.iter().copied().collect();
        let (mut last, mut failed) = (None, Vec::new());
        for messages in keys.chunks(DELIVERED_MAX_IDS) {
            let observation = Observation::Delivered {
                reader: report.place.1.clone(),
                messages: messages.to_vec(),
            };
            match brokers.observe(&report.place.0, &observation).await {
                Ok(position) => last = Some(position),
                Err(refusal) => {
                    tracing::debug!(code = %refusal.code, "a delivered mark was not stored");
                    if refusal.code.is_retryable() {
                        failed.extend_from_slice(messages);
                    }
                }
            }
        }
        if let Some(position) = last {
            // Whether it is applied in time does not matter: a mark reported twice is ignored.
            let _ = hosts.wait_for(position).await;
        }
        let must_wake = !failed.is_empty();
        self.marks().put_back(&report, failed, Instant::now());
        if must_wake {
            // The reporter does not know yet when these are due.
            self.some.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reader, scope};
    use postroad_protocol::event::Actor;
    use postroad_protocol::id::CommandId;

    fn place(who: &str) -> Place {
        (scope("acme"), reader(who))
    }

    fn keys<const N: usize>() -> [EventKey; N] {
        std::array::from_fn(|n| {
            EventKey::of(&Actor::System, CommandId::derived(&[&n.to_be_bytes()]))
        })
    }

    fn only(due: Vec<Report>) -> Report {
        let [report] = <[Report; 1]>::try_from(due).unwrap();
        report
    }

    #[test]
    fn marks_that_no_broker_took_wait_longer_each_time_and_are_reported_again() {
        let mut marks = Marks::default();
        let [one, two, three] = keys();
        let mut now = Instant::now();
        marks.add(place("tau/pi"), [one, two]);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let (due, next) = marks.take_due(now);
            assert_eq!(next, None);
            let report = only(due);
            assert_eq!(report.keys, BTreeSet::from([one, two]));
            marks.put_back(&report, vec![one, two], now);
            let (due, next) = marks.take_due(now);
            assert!(due.is_empty(), "not at once");
            pauses.push(next.unwrap() - now);
            now = next.unwrap();
        }
        assert_eq!(pauses[..3], [AGAIN_MIN, 2 * AGAIN_MIN, 4 * AGAIN_MIN]);
        assert_eq!(pauses[8], AGAIN_MAX);
        // Nobody else waits for them, and what succeeds is not reported again.
        let report = only(marks.take_due(now).0);
        marks.put_back(&report, vec![two], now);
        marks.add(place("bob/mac"), [three]);
        assert_eq!(only(marks.take_due(now).0).keys, BTreeSet::from([three]));
        let late = only(marks.take_due(now + AGAIN_MAX).0);
        assert_eq!(late.keys, BTreeSet::from([two]));
        marks.put_back(&late, Vec::new(), now);
        assert_eq!((marks.count, marks.waiting.len()), (0, 0));
    }

    #[test]
    fn reports_of_one_reader_that_overlap_leave_each_other_alone() {
        let mut marks = Marks::default();
        let [one, two] = keys();
        let now = Instant::now();
        marks.add(place("tau/pi"), [one]);
        let first = only(marks.take_due(now).0);
        marks.add(place("tau/pi"), [one, two]);
        let second = only(marks.take_due(now).0);
        assert_eq!(second.keys, BTreeSet::from([two]), "one is on its way");
        marks.put_back(&first, Vec::new(), now);
        marks.add(place("tau/pi"), [two]);
        assert!(marks.take_due(now).0.is_empty(), "two still is");
        marks.put_back(&second, Vec::new(), now);
        assert!(marks.reported.is_empty());
    }

    #[test]
    fn marks_that_wait_are_bounded() {
        let mut marks = Marks {
            count: DELIVERED_WAITING_MAX - 1,
            ..Marks::default()
        };
        marks.add(place("tau/pi"), keys::<3>());
        assert_eq!(marks.count, DELIVERED_WAITING_MAX);
        assert_eq!(marks.waiting[&place("tau/pi")].keys.len(), 1);
    }
}
