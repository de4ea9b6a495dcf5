//! What follows from rows without anybody asking: a claim that was not renewed ends, and whose task waits for nothing any more
//! is told. One task a host: it finds in the rows what is due, and asks brokers, who store it once however often and by however
//! many projectors they are asked. Never writes itself, and keeps nothing that is not in the rows.

mod owners;

use crate::hosts::Host;
use crate::observe::Brokers;
use crate::progress::State;
use crate::read_model::keys::Prefix;
use crate::store::{Snapshot, Store, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use owners::{Consequence, Look, Looked, Outcome, Owners, PER_LOOK, Reaction};
use postroad_log::{Keyring, Opened, StoredEvent, Unreachable};
use postroad_protocol::envelope::Record;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{BROUGHT_IN_MS, BROUGHT_IN_REST_MS, REACTIONS_IN_FLIGHT};
use postroad_protocol::subject::Subjects;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::tenancy::replay::StoredFor;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause before rows that do not read are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whose rows have changed so that something may follow, since they were last looked at.
#[derive(Debug)]
pub(crate) struct Stirred {
    owners: Mutex<Whose>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Whose {
    these: HashSet<Prefix>,
    everybody: bool,
}

impl Default for Stirred {
    /// Everybody: what was due before this process was started is due still.
    fn default() -> Self {
        let everybody = Whose {
            everybody: true,
            ..Whose::default()
        };
        Self {
            owners: Mutex::new(everybody),
            some: Notify::new(),
        }
    }
}

impl Stirred {
    /// A batch has changed what follows from the rows of these.
    pub(crate) fn add<'a>(&self, owners: impl IntoIterator<Item = &'a Prefix>) {
        let mut owners = owners.into_iter().peekable();
        if owners.peek().is_some() {
            self.change(|whose| whose.these.extend(owners.cloned()));
        }
    }

    /// Other rows are served, or some are gone.
    pub(crate) fn add_everybody(&self) {
        self.change(|whose| whose.everybody = true);
    }

    fn change(&self, change: impl FnOnce(&mut Whose)) {
        change(&mut self.owners.lock().unwrap_or_else(PoisonError::into_inner));
        self.some.notify_one();
    }

    fn take(&self) -> Whose {
        std::mem::take(&mut self.owners.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way to the brokers, for every host of a projector.
#[derive(Debug)]
pub(crate) struct Asking {
    brokers: Brokers,
    keyring: Keyring,
    subjects: Subjects,
    places: Semaphore,
}

impl Asking {
    pub(crate) fn new(brokers: Brokers, keyring: Keyring, subjects: Subjects) -> Self {
        Self {
            brokers,
            keyring,
            subjects,
            places: Semaphore::new(REACTIONS_IN_FLIGHT),
        }
    }
}

/// Has follow what follows from the rows of `host`, until `stop`.
pub(crate) async fn react(host: Arc<Host>, asking: Arc<Asking>, stop: CancellationToken) {
    let reacting = Reactions { host, asking };
    stop.run_until_cancelled_owned(reacting.run()).await;
}

/// The reactions of one host.
struct Reactions {
    host: Arc<Host>,
    asking: Arc<Asking>,
}

impl Reactions {
    async fn run(self) {
        let mut owners = Owners::default();
        let mut asked = FuturesUnordered::new();
        let mut progress = self.host.watch().subscribe();
        // When everybody is to be looked for in the rows.
        let mut everybody: Option<Instant> = None;
        loop {
            // Rows that are not as far as the log, or stopped short of it, say nothing of what is due now.
            let follows = progress.borrow_and_update().state == State::Following;
            if follows {
                self.hear(&mut owners, &mut everybody).await;
                self.look(&mut owners).await;
                while let Some((owner, reaction)) = owners.next_ask(Instant::now()) {
                    let this = &self;
                    asked.push(async move {
                        let outcome = this.ask(&owner, reaction).await;
                        (owner, reaction, outcome)
                    });
                }
            }
            let next = [owners.next_look(), everybody].into_iter().flatten().min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as this host.
                _ = progress.changed(), if !follows => {}
                () = self.host.stirred().some.notified(), if follows => {}
                () = due, if follows => {}
                Some((owner, reaction, outcome)) = asked.next() => {
                    owners.answered(&owner, reaction, outcome, Instant::now());
                }
            }
        }
    }

    /// Takes in whose rows have changed.
    async fn hear(&self, owners: &mut Owners, everybody: &mut Option<Instant>) {
        let whose = self.host.stirred().take();
        let now = Instant::now();
        for owner in &whose.these {
            owners.stir(owner, now);
        }
        if whose.everybody {
            *everybody = Some(now);
        }
        if everybody.is_some_and(|at| at <= now) {
            match self.read(Snapshot::owners_with_reactions).await {
                Some(found) => {
                    owners.stir_all(found, now);
                    *everybody = None;
                }
                None => *everybody = Some(now + LOOK_AGAIN),
            }
        }
    }

    /// Reads what is due of those whose time has come.
    async fn look(&self, owners: &mut Owners) {
        let looks = owners.take_looks(Instant::now());
        if looks.is_empty() {
            return;
        }
        let whose: Vec<Prefix> = looks.iter().map(|look| look.owner.clone()).collect();
        let read = move |rows: &Snapshot| {
            let now = TimeMs::now();
            let each = looks.iter().map(|look| look_at(rows, look, now));
            each.collect::<Result<Vec<_>, _>>()
        };
        let found = self.read(read).await;
        let now = Instant::now();
        match found {
            Some(found) => {
                for (owner, looked) in whose.iter().zip(found) {
                    owners.looked(owner, looked, now);
                }
            }
            None => whose.iter().for_each(|owner| owners.not_looked(owner, now)),
        }
    }

    /// Reads the rows that are served, off the async threads; nothing where they do not read.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let store = self.host.store();
        let served = Store::clone(&store);
        let work = move || read(&store.snapshot()?);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::debug!(shard = self.host.shard().number(), %error, "what is due cannot be read");
                self.host.did_not_read(&served, &error);
                None
            }
            Err(_) => None,
        }
    }

    /// Asks a broker for one, and waits until what it says is applied.
    async fn ask(&self, owner: &Prefix, reaction: Reaction) -> Outcome {
        let (scope, rest) = match self.prove(owner, reaction).await {
            Ok(Some(proven)) => proven,
            Ok(None) => return Outcome::Refused,
            Err(error) => {
                tracing::debug!(%error, "what a reaction follows from cannot be read");
                return Outcome::Away;
            }
        };
        if let Some(rest) = rest {
            return Outcome::Rests(rest);
        }
        let observed = {
            let Ok(_place) = self.asking.places.acquire().await else {
                return Outcome::Away;
            };
            let observation = reaction.what.observation();
            self.asking.brokers.observe(&scope, &observation).await
        };
        match observed {
            Ok(position) => {
                // Whether it is applied in time does not matter: what is asked for twice is stored once.
                let _ = self.host.wait_for(position).await;
                Outcome::Done
            }
            Err(refusal) => {
                tracing::debug!(code = %refusal.code, "a reaction was not stored");
                if refusal.code.is_retryable() {
                    Outcome::Away
                } else {
                    Outcome::Refused
                }
            }
        }
    }

    /// Whose it is, as the log proves, and how long it rests; nothing where the log does not hold what the rows say.
    async fn prove(
        &self,
        owner: &Prefix,
        reaction: Reaction,
    ) -> Result<Option<(TenantScope, Option<Duration>)>, Unreachable> {
        let shard = self.host.shard();
        let Some(event) = shard.get(reaction.sequence).await? else {
            return Ok(None);
        };
        let Some((scope, is_brought_in)) = self.open(&event).await else {
            return Ok(None);
        };
        if Prefix::of(&scope) != *owner {
            return Ok(None);
        }
        if !is_brought_in {
            return Ok(Some((scope, None)));
        }
        let filter = self
            .asking
            .subjects
            .tenant_events(scope.owner(), shard.number());
        let mut last = event.stored_at;
        if let Some(newest) = shard.leader_last_on_subject(&filter).await?
            && let Some((_, true)) = self.open(&newest).await
        {
            last = last.max(newest.stored_at);
        }
        Ok(Some((scope, rest_after(last, TimeMs::now()))))
    }

    /// The tenant whose event it is, and whether it was brought in.
    async fn open(&self, event: &StoredEvent) -> Option<(TenantScope, bool)> {
        let keyring = &self.asking.keyring;
        let loaded = keyring.load_for(std::slice::from_ref(event)).await;
        loaded.ok()?;
        match keyring.open_event(self.host.shard().number(), event) {
            Opened::Event {
                stored_for: StoredFor::Tenant(scope),
                record,
            } => Some((scope, was_brought_in(&record, event.stored_at))),
            _ => None,
        }
    }
}

/// What is due of an owner `now`, as the rows have it.
fn look_at(rows: &Snapshot, look: &Look, now: TimeMs) -> Result<Looked, StoreError> {
    // Whatever is passed over, one more than is taken shows that there is more.
    let limit = PER_LOOK + look.passing_over.len() + 1;
    let mut looked = Looked {
        whole: true,
        ..Looked::default()
    };
    let mut due = Vec::new();
    for lease in rows.leases_of(&look.owner, limit)? {
        if lease.until > now {
            looked.next = Some(Duration::from_millis(lease.until.0 - now.0));
            break;
        }
        let what = Consequence::LeaseExpired {
            task: lease.task,
            version: lease.version,
        };
        due.push(Reaction {
            what,
            sequence: lease.sequence,
        });
    }
    looked.take(due, look);
    let owed = rows.owed_by(&look.owner, limit)?.into_iter();
    let owed = owed.map(|owed| Reaction {
        what: Consequence::TaskReady {
            task: owed.task,
            cause: owed.cause,
        },
        sequence: owed.sequence,
    });
    looked.take(owed, look);
    Ok(looked)
}

/// Whether an event is of a history that was brought in: its command is much older than where it is stored.
fn was_brought_in(record: &Record, stored_at: TimeMs) -> bool {
    stored_at.0.saturating_sub(record.time.0) > BROUGHT_IN_MS
}

/// How long what follows from a history rests whose last event was stored then: an import that is still running would find
/// events between its own.
fn rest_after(last: TimeMs, now: TimeMs) -> Option<Duration> {
    let rest = (last.0 + BROUGHT_IN_REST_MS).saturating_sub(now.0);
    (rest > 0).then(|| Duration::from_millis(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;
    use postroad_protocol::event::{Actor, Event, EventKey, TenantCreated};
    use postroad_protocol::id::CommandId;

    #[test]
    fn everybody_is_looked_at_first_and_then_whoever_was_stirred() {
        let stirred = Stirred::default();
        assert!(stirred.take().everybody, "what was due before is due still");
        let acme = Prefix::of(&scope("acme"));
        stirred.add([&acme]);
        stirred.add([]);
        let whose = stirred.take();
        assert_eq!(
            (whose.these, whose.everybody),
            (HashSet::from([acme]), false)
        );
        let whose = stirred.take();
        assert!(whose.these.is_empty() && !whose.everybody);
        stirred.add_everybody();
        assert!(stirred.take().everybody);
    }

    #[test]
    fn what_was_brought_in_rests_until_a_while_after_the_last_of_it() {
        let stored_at = TimeMs(10 * BROUGHT_IN_MS);
        let record = |time| Record {
            id: CommandId::generate(),
            key: EventKey::of(&Actor::System, CommandId::generate()),
            time: TimeMs(time),
            by: Actor::System,
            event: Event::TenantCreated(TenantCreated {
                tenant: scope("acme").tenant().clone(),
                generation: 1,
            }),
        };
        let was = |time| was_brought_in(&record(time), stored_at);
        assert!(was(stored_at.0 - BROUGHT_IN_MS - 1));
        assert!(!was(stored_at.0 - BROUGHT_IN_MS) && !was(stored_at.0));
        assert!(!was(stored_at.0 + 5), "the server's clock may be behind");
        let rest = |after| rest_after(stored_at, TimeMs(stored_at.0 + after));
        assert_eq!(rest(0), Some(Duration::from_millis(BROUGHT_IN_REST_MS)));
        assert_eq!(rest(BROUGHT_IN_REST_MS), None);
    }
}
