//! Deciding over events that an operator brings in: which of them are there, which are to be stored.
//! Pure.

use postroad_protocol::envelope::Record;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Event, EventKey, TaskChange};
use std::collections::HashMap;

/// What has to be looked at, and what is left to store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Events that are there, each with its sequence: what lies there has to be the same.
    pub(crate) there: Vec<There>,
    /// Events to be stored, in order, by their place in the command.
    pub(crate) missing: Vec<usize>,
    /// Behind this sequence they are to be stored.
    pub(crate) behind: u64,
}

/// An event that is stored under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct There {
    /// Its place in the command.
    pub(crate) index: usize,
    /// Where it is stored.
    pub(crate) sequence: u64,
    /// Whether its time may be another: it repeats an event that stands before it in the history, or the tenant came to it by
    /// itself before the import did.
    pub(crate) has_own_time: bool,
}

/// Decides what becomes of `events`, of which each lies at its place in `found`, if anywhere; they come
/// after the event at `after`.
///
/// # Errors
/// `conflict` when they are there in another order, or two of them share a key and nothing else.
pub(crate) fn plan(events: &[Record], found: &[Option<u64>], after: u64) -> Result<Plan, Refusal> {
    let mut plan = Plan {
        behind: after,
        ..Plan::default()
    };
    let mut planned: HashMap<EventKey, usize> = HashMap::new();
    for (index, (event, found)) in events.iter().zip(found).enumerate() {
        match *found {
            Some(sequence) if sequence <= plan.behind || follows_by_itself(&event.event) => {
                plan.there.push(There {
                    index,
                    sequence,
                    has_own_time: true,
                });
            }
            Some(sequence) if plan.missing.is_empty() => {
                plan.behind = sequence;
                plan.there.push(There {
                    index,
                    sequence,
                    has_own_time: false,
                });
            }
            Some(sequence) => {
                let said = format!(
                    "it is stored as event {sequence}, and events that come before it are not"
                );
                return Err(other(index, &said));
            }
            None => match planned.get(&event.key) {
                None => {
                    planned.insert(event.key, index);
                    plan.missing.push(index);
                }
                Some(&first) if is_same(&events[first], event) => {}
                Some(_) => return Err(other(index, "another event has its id")),
            },
        }
    }
    Ok(plan)
}

/// Whether two records of one key say the same. What Postroad sends follows from its id, but for what the task was called
/// just then.
fn is_same(first: &Record, second: &Record) -> bool {
    let says_same = match (&first.event, &second.event) {
        (Event::MessageSent(one), Event::MessageSent(other)) if one.from.is_postroad() => {
            other.from.is_postroad()
        }
        (one, other) => one == other,
    };
    first.by == second.by && says_same
}

/// Compares what is to be imported with what is stored under its key.
///
/// # Errors
/// `conflict` when that is something else.
pub(crate) fn compare(event: &Record, there: There, stored: &Record) -> Result<(), Refusal> {
    let same_time = there.has_own_time || stored.time == event.time;
    if is_same(stored, event) && same_time {
        return Ok(());
    }
    let said = format!("event {} has its id and is another", there.sequence);
    Err(other(there.index, &said))
}

/// Whether a tenant into which a history is brought may hold `event` besides: it tells of the tenant's own
/// creation, of what operators did with it as a whole, or of what was counted; or it follows from tasks that were brought in
/// before, by itself.
pub(crate) fn may_lie_between(event: &Event) -> bool {
    follows_by_itself(event) || is_of_operators(event)
}

/// Whether a tenant comes to `event` by itself: then it may have done so between two parts of an import, and holds at another
/// time and place what the history goes on to tell.
fn follows_by_itself(event: &Event) -> bool {
    match event {
        Event::TaskChanged(data) => data.change == TaskChange::LeaseExpired,
        Event::MessageSent(data) => data.from.is_postroad(),
        _ => false,
    }
}

fn is_of_operators(event: &Event) -> bool {
    matches!(
        event,
        Event::TenantCreated(_)
            | Event::OperatorRead(_)
            | Event::DataKeyRotated(_)
            | Event::TenantLimited(_)
            | Event::TenantSuspended(_)
            | Event::TenantResumed(_)
            | Event::UsageCounted(_)
    )
}

/// The refusal of a tenant that has a history of its own.
pub(crate) fn holds_else(sequence: u64) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("the tenant holds something else: event {sequence} is not of this import"),
        "import into a tenant that is not there yet: name it with --tenant",
    )
    .at("tenantId")
}

fn other(index: usize, said: &str) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        said.to_owned(),
        "import the same history, or import this one into a tenant that is not there yet",
    )
    .at(&format!("events[{index}]"))
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::super::task::given::{creation, made, task_id};
    use super::*;
    use postroad_protocol::Channel;
    use postroad_protocol::event::{
        Actor, Asked, MessageSent, OperatorRead, Priority, SummarySet, TaskChanged, TenantSuspended,
    };
    use postroad_protocol::id::{CommandId, Reader, TimeMs};

    fn record(id: u8, summary: &str) -> Record {
        let by = Actor::Agent(reader("tau", "pi"));
        let id = CommandId::derived(&[&[id]]);
        let event = SummarySet {
            reader: reader("tau", "pi"),
            summary: summary.into(),
        };
        Record {
            id,
            key: EventKey::of(&by, id),
            time: TimeMs(7),
            by,
            event: event.into(),
        }
    }

    fn records(ids: &[u8]) -> Vec<Record> {
        ids.iter().map(|id| record(*id, "busy")).collect()
    }

    #[test]
    fn what_is_there_is_passed_over_and_the_rest_goes_behind_it() {
        let plan = plan(&records(&[1, 2, 3]), &[Some(5), Some(9), None], 4).unwrap();
        assert_eq!((plan.behind, plan.missing), (9, vec![2]));
        assert!(plan.there.iter().all(|there| !there.has_own_time));
    }

    #[test]
    fn a_history_that_repeats_an_event_is_stored_with_it_once() {
        let found = [None, None, None];
        let once = plan(&records(&[1, 2, 1]), &found, 4).unwrap();
        assert_eq!(once.missing, [0, 1]);
        let again = plan(&records(&[1, 2, 1]), &[Some(5), Some(6), Some(5)], 4).unwrap();
        assert_eq!((again.missing.len(), again.behind), (0, 6));
        assert!(again.there[2].has_own_time);
        let mut two = records(&[1, 2, 1]);
        two[2] = record(1, "idle");
        assert_eq!(
            plan(&two, &found, 4).unwrap_err().field.as_deref(),
            Some("events[2]")
        );
    }

    #[test]
    fn what_is_there_in_another_order_is_a_conflict() {
        let refusal = plan(&records(&[1, 2]), &[None, Some(9)], 4).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Conflict);
        assert_eq!(refusal.field.as_deref(), Some("events[1]"));
    }

    #[test]
    fn what_lies_there_has_to_be_the_same_to_the_millisecond() {
        let there = |has_own_time| There {
            index: 0,
            sequence: 5,
            has_own_time,
        };
        let (event, mut stored) = (record(1, "busy"), record(1, "busy"));
        assert!(compare(&event, there(false), &stored).is_ok());
        stored.time = TimeMs(8);
        assert!(compare(&event, there(false), &stored).is_err());
        assert!(compare(&event, there(true), &stored).is_ok());
        assert!(compare(&event, there(true), &record(1, "idle")).is_err());
    }

    #[test]
    fn operators_reads_may_lie_between_and_nothing_of_agents_may() {
        let read = OperatorRead {
            operator: instance("cli"),
            verb: "replay".into(),
            what: "events 1 to 2".into(),
        };
        assert!(may_lie_between(&read.into()));
        assert!(may_lie_between(&created()));
        assert!(may_lie_between(&TenantSuspended { reason: None }.into()));
        assert!(!may_lie_between(&revoked("tau", &["A"])));
        assert!(!may_lie_between(&issued("tau", None, "A")));
        assert!(!may_lie_between(&record(1, "busy").event));
        assert!(may_lie_between(&sent(Reader::postroad(), "Task ready")));
        assert!(!may_lie_between(&sent(reader("tau", "pi"), "Task ready")));
        assert!(may_lie_between(&task(TaskChange::LeaseExpired)));
        assert!(!may_lie_between(&task(TaskChange::Released)));
    }

    fn sent(from: Reader, content: &str) -> Event {
        Event::from(MessageSent {
            from,
            channel: Channel::Roles(vec![role("tau")]),
            instance: None,
            content: content.into(),
            reply_to: None,
            priority: Priority::Normal,
            metadata: std::collections::BTreeMap::new(),
        })
    }

    fn task(change: TaskChange) -> Event {
        Event::from(TaskChanged {
            task_id: task_id(1),
            change,
            asked: Asked::of(&"back"),
            state: made(&creation()),
        })
    }

    fn of_itself(id: u8, event: Event) -> Record {
        let (by, id) = (Actor::System, CommandId::derived(&[&[id]]));
        Record {
            id,
            key: EventKey::of(&by, id),
            time: TimeMs(7),
            by,
            event,
        }
    }

    #[test]
    fn what_the_tenant_came_to_by_itself_between_two_parts_is_what_the_history_goes_on_to_tell() {
        let (expired, told) = (
            task(TaskChange::LeaseExpired),
            sent(Reader::postroad(), "Task ready"),
        );
        let mut events = records(&[1, 2, 5, 6]);
        events[1] = of_itself(2, expired.clone());
        events[2] = of_itself(5, told);
        let plan = plan(&events, &[None, Some(9), Some(8), None], 4).unwrap();
        assert_eq!((plan.behind, plan.missing.as_slice()), (4, &[0, 3][..]));
        let [back, tale] = plan.there[..] else {
            panic!("two are there");
        };
        let mut stored = of_itself(2, expired);
        stored.time = TimeMs(8);
        assert!(compare(&events[1], back, &stored).is_ok());
        let otherwise = of_itself(2, task(TaskChange::Released));
        assert!(compare(&events[1], back, &otherwise).is_err());
        // It was called otherwise when it was told of.
        let renamed = of_itself(5, sent(Reader::postroad(), "Task called otherwise"));
        assert!(compare(&events[2], tale, &renamed).is_ok());
        let anybodys = of_itself(5, sent(reader("tau", "pi"), "Task ready"));
        assert!(compare(&events[2], tale, &anybodys).is_err());
    }
}
