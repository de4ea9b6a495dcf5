//! What the operator decided over a tenant as a whole, and deciding it. Pure.

use postroad_protocol::envelope::Record;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Event, EventKey, TenantLimited, TenantResumed, TenantSuspended};
use postroad_protocol::quota::{Limits, LimitsChange};
use std::sync::Arc;

/// How one tenant stands, as far as its log was folded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    generation: u32,
    suspended: Option<TenantSuspended>,
    /// What is set; none where nothing is, so that most commands have nothing to look at.
    limits: Option<Arc<Limits>>,
    /// The event that set them.
    limited: Option<Since>,
    /// The event that made it what it is.
    since: Option<Since>,
}

/// The event that made a tenant what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since {
    key: EventKey,
    sequence: u64,
}

/// What changing a tenant's life comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision, and most decisions change something"
)]
pub(crate) enum Changing {
    /// Store this.
    Store(Event),
    /// It is so already.
    Stands {
        /// Where that is stored.
        sequence: u64,
        /// Whether this very command made it so.
        by_this: bool,
    },
}

impl Life {
    /// Takes in what was stored at `sequence`. Events that are not about the tenant change nothing.
    pub(crate) fn apply(&mut self, sequence: u64, record: &Record) {
        let since = Since {
            key: record.key,
            sequence,
        };
        match &record.event {
            // A name that was created anew begins anew.
            Event::TenantCreated(data) if data.generation > self.generation => {
                *self = Self {
                    generation: data.generation,
                    since: Some(since),
                    ..Self::default()
                };
            }
            Event::TenantSuspended(data) => {
                self.suspended = Some(data.clone());
                self.since = Some(since);
            }
            Event::TenantResumed(_) => {
                self.suspended = None;
                self.since = Some(since);
            }
            Event::TenantLimited(data) => {
                self.limits = (!data.limits.is_empty()).then(|| Arc::new(data.limits.clone()));
                self.limited = Some(since);
            }
            _ => {}
        }
    }

    /// Whether the tenant's agents are shut out.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    /// The limits that are set, if any is.
    pub(crate) fn limits(&self) -> Option<Arc<Limits>> {
        self.limits.clone()
    }
}

/// Decides that the tenant's agents are shut out by the command whose event has `key`. One that is
/// suspended already stays so, for the reason that was given first.
///
/// # Errors
/// `conflict` when the same command gave another reason before.
pub(crate) fn suspend(
    life: &Life,
    reason: Option<&str>,
    key: EventKey,
) -> Result<Changing, Refusal> {
    let asked = TenantSuspended {
        reason: reason.map(str::to_owned),
    };
    match (&life.suspended, life.since) {
        (Some(stored), Some(since)) if since.key == key && *stored != asked => Err(Refusal::new(
            ErrorCode::Conflict,
            "this id was used to suspend the tenant for another reason",
            "make a new id for what is another command",
        )
        .at("commandId")),
        (Some(_), Some(since)) => Ok(stands(since, key)),
        _ => Ok(Changing::Store(asked.into())),
    }
}

/// Decides that the tenant's agents are let in again by the command whose event has `key`.
pub(crate) fn resume(life: &Life, key: EventKey) -> Changing {
    match life.since {
        Some(since) if !life.is_suspended() => stands(since, key),
        _ => Changing::Store(TenantResumed {}.into()),
    }
}

/// Decides that the tenant has other limits, by the command whose event has `key`.
pub(crate) fn limit(life: &Life, change: &LimitsChange, key: EventKey) -> Changing {
    let before = life.limits().unwrap_or_default();
    match life.limited.or(life.since) {
        Some(since) if before.include(change) => stands(since, key),
        _ => Changing::Store(
            TenantLimited {
                limits: before.with(change),
                change: change.clone(),
            }
            .into(),
        ),
    }
}

fn stands(since: Since, key: EventKey) -> Changing {
    Changing::Stands {
        sequence: since.sequence,
        by_this: since.key == key,
    }
}

#[cfg(test)]
pub(crate) mod given {
    //! Lives for tests, told as the events that made them.

    use super::*;
    use postroad_protocol::event::Actor;
    use postroad_protocol::id::{CommandId, TimeMs};

    /// The key of the event at `sequence`.
    pub(crate) fn key(sequence: u64) -> EventKey {
        EventKey::of(
            &Actor::System,
            CommandId::derived(&[&sequence.to_be_bytes()]),
        )
    }

    /// The life after these events, stored at sequences from 1.
    pub(crate) fn life(events: &[Event]) -> Life {
        let mut life = Life::default();
        for (sequence, event) in (1_u64..).zip(events) {
            let record = Record {
                id: CommandId::derived(&[&sequence.to_be_bytes()]),
                key: key(sequence),
                time: TimeMs(sequence),
                by: Actor::System,
                event: event.clone(),
            };
            life.apply(sequence, &record);
        }
        life
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::created;
    use super::given::*;
    use super::*;
    use postroad_protocol::event::TenantCreated;
    use postroad_protocol::id::TenantId;
    use postroad_protocol::quota::Limit;

    fn suspended(reason: Option<&str>) -> Event {
        let reason = reason.map(str::to_owned);
        TenantSuspended { reason }.into()
    }

    fn resumed() -> Event {
        TenantResumed {}.into()
    }

    #[test]
    fn suspending_and_resuming_alternate_however_often_they_are_asked_for() {
        let open = life(&[created()]);
        assert!(!open.is_suspended());
        let asked = suspend(&open, Some("invoice"), key(9));
        assert_eq!(asked, Ok(Changing::Store(suspended(Some("invoice")))));
        let stands = |sequence, by_this| Changing::Stands { sequence, by_this };
        assert_eq!(resume(&open, key(9)), stands(1, false));

        let shut = life(&[created(), suspended(None)]);
        assert!(shut.is_suspended());
        assert_eq!(suspend(&shut, None, key(2)), Ok(stands(2, true)));
        assert_eq!(suspend(&shut, Some("other"), key(9)), Ok(stands(2, false)));
        let other = suspend(&shut, Some("other"), key(2)).unwrap_err();
        assert_eq!(other.code, ErrorCode::Conflict);
        assert_eq!(resume(&shut, key(9)), Changing::Store(resumed()));

        let again = life(&[created(), suspended(None), resumed()]);
        assert!(!again.is_suspended());
        assert_eq!(resume(&again, key(3)), stands(3, true));
        assert_eq!(resume(&again, key(9)), stands(3, false));
    }

    #[test]
    fn limits_add_up_and_what_is_so_already_is_not_stored_again() {
        let change = |set: &[(&str, u64)], reset: &[&str]| {
            let set = set.iter().map(|(name, value)| ((*name).to_owned(), *value));
            let reset: Vec<String> = reset.iter().map(|name| (*name).to_owned()).collect();
            LimitsChange::read(&set.collect(), &reset).unwrap()
        };
        let store = |life: &Life, change: &LimitsChange| match limit(life, change, key(9)) {
            Changing::Store(event) => event,
            Changing::Stands { .. } => panic!("it is to be stored"),
        };
        let (rate, size) = (
            change(&[("commandsPerS", 5)], &[]),
            change(&[("messageBytes", 9)], &[]),
        );
        let mut log = vec![created()];
        assert!(life(&log).limits().is_none());
        for change in [&rate, &size] {
            log.push(store(&life(&log), change));
        }
        let both = life(&log);
        let limits = both.limits().unwrap();
        assert_eq!(limits.set(Limit::CommandsPerS), Some(5));
        assert_eq!(limits.set(Limit::MessageBytes), Some(9));
        let stands = |sequence, by_this| Changing::Stands { sequence, by_this };
        assert_eq!(limit(&both, &rate, key(9)), stands(3, false));
        assert_eq!(limit(&both, &size, key(3)), stands(3, true));
        log.push(store(
            &both,
            &change(&[], &["messageBytes", "commandsPerS"]),
        ));
        assert!(life(&log).limits().is_none());
        let nothing = change(&[], &["waits"]);
        assert_eq!(
            limit(&life(&[created()]), &nothing, key(9)),
            stands(1, false)
        );
    }

    #[test]
    fn a_name_that_is_created_anew_is_not_suspended() {
        let again = TenantCreated {
            tenant: TenantId::parse("acme").unwrap(),
            generation: 2,
        };
        let anew = life(&[created(), suspended(None), again.into()]);
        assert!(!anew.is_suspended());
        let repeated = life(&[created(), suspended(None), created()]);
        assert!(repeated.is_suspended(), "the same creation changes nothing");
    }
}
