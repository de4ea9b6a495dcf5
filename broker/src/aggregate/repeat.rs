//! Whether an event that is stored under a command's id is what that command asks for. Pure.
//!
//! Mostly that means equal events. What a broker adds from its clock or from the rows may differ
//! between two attempts of one command, and must not make a retry a conflict.

use super::tenant::covers;
use postroad_protocol::event::{CredentialIssued, Event};
use postroad_protocol::id::TimeMs;

/// An event with the time at which ingress took its command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'a> {
    /// What happened.
    pub(crate) event: &'a Event,
    /// When its command came.
    pub(crate) time: TimeMs,
}

/// Whether `stored` answers a command that would now store `asked`; both under one event key.
pub(crate) fn is_repeat(stored: Taken<'_>, asked: Taken<'_>) -> bool {
    match (stored.event, asked.event) {
        // The end follows from the time of the attempt; the life is what was asked for.
        (Event::CredentialIssued(first), Event::CredentialIssued(second)) => {
            life(first, stored.time) == life(second, asked.time)
                && CredentialIssued {
                    expires_at: first.expires_at,
                    ..second.clone()
                } == *first
        }
        // Only what is still unread is marked, and the first attempt may have marked some of it.
        (Event::MessagesRead(first), Event::MessagesRead(second)) => {
            first.reader == second.reader
                && second
                    .messages
                    .iter()
                    .all(|message| first.messages.contains(message))
        }
        // Ranges accumulate, so a later attempt may name more than the first stored.
        (Event::DamageAccepted(first), Event::DamageAccepted(second)) => {
            covers(&second.ranges, &first.ranges)
        }
        // Which credentials stood is for the roster to say, and the first attempt has ended them.
        (Event::CredentialRevoked(first), Event::CredentialRevoked(second)) => {
            first.role == second.role
        }
        // Which number comes next follows from the keys that there are.
        (Event::DataKeyRotated(first), Event::DataKeyRotated(second)) => {
            first.generation == second.generation
        }
        // Which limits result depends on what was set before; what was asked for does not.
        (Event::TenantLimited(first), Event::TenantLimited(second)) => {
            first.change == second.change
        }
        // A state follows from what was there before as well; what was asked for does not.
        (Event::TaskChanged(first), Event::TaskChanged(second)) => {
            (first.task_id, first.asked) == (second.task_id, second.asked)
        }
        (Event::MissionChanged(first), Event::MissionChanged(second)) => {
            (first.mission_id, first.asked) == (second.mission_id, second.asked)
        }
        (first, second) => first == second,
    }
}

fn life(issued: &CredentialIssued, at: TimeMs) -> Option<u64> {
    issued.expires_at.0.checked_sub(at.0)
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::super::task::given::{creation, made, tenant};
    use super::*;
    use postroad_protocol::command::{CreateMission, CreateTask};
    use postroad_protocol::event::{
        Actor, Asked, DamageAccepted, EventKey, MessagesRead, MissionChange, MissionChanged,
        SummarySet, TaskChange, TaskChanged,
    };
    use postroad_protocol::id::CommandId;
    use postroad_protocol::task::{MissionId, MissionStatus, TaskId, TaskPriority};

    fn repeats(stored: &Event, then: u64, asked: &Event, now: u64) -> bool {
        is_repeat(
            Taken {
                event: stored,
                time: TimeMs(then),
            },
            Taken {
                event: asked,
                time: TimeMs(now),
            },
        )
    }

    #[test]
    fn other_content_under_one_id_is_no_repeat() {
        let summary = |text: &str| {
            Event::from(SummarySet {
                reader: reader("tau", "pi"),
                summary: text.into(),
            })
        };
        assert!(repeats(&summary("a"), 1, &summary("a"), 9));
        assert!(!repeats(&summary("a"), 1, &summary("b"), 9));
        assert!(!repeats(&summary("a"), 1, &retired("tau", None), 9));
    }

    #[test]
    fn a_credential_asked_for_again_later_is_the_same_credential() {
        let issue = |key: &str, expires: u64| {
            let Event::CredentialIssued(mut data) = issued("tau", None, key) else {
                unreachable!()
            };
            data.expires_at = TimeMs(expires);
            Event::from(data)
        };
        assert!(repeats(
            &issue("A", 1_060),
            1_000,
            &issue("A", 5_060),
            5_000
        ));
        assert!(!repeats(
            &issue("A", 1_060),
            1_000,
            &issue("A", 5_061),
            5_000
        ));
        assert!(!repeats(
            &issue("A", 1_060),
            1_000,
            &issue("B", 5_060),
            5_000
        ));
    }

    #[test]
    fn a_mark_may_come_again_with_less_and_not_with_other_messages() {
        let read = |keys: &[u8]| {
            Event::from(MessagesRead {
                reader: reader("tau", "pi"),
                messages: keys
                    .iter()
                    .map(|n| EventKey::from_bytes([*n; 16]))
                    .collect(),
            })
        };
        assert!(repeats(&read(&[1, 2]), 1, &read(&[2]), 2));
        assert!(!repeats(&read(&[1, 2]), 1, &read(&[2, 3]), 2));
    }

    #[test]
    fn damage_accepted_again_may_name_what_others_gave_up_since() {
        let damage = |ranges: &[(u64, u64)]| {
            Event::from(DamageAccepted {
                ranges: ranges.to_vec(),
            })
        };
        assert!(repeats(
            &damage(&[(5, 6)]),
            1,
            &damage(&[(1, 2), (4, 9)]),
            2
        ));
        assert!(!repeats(&damage(&[(5, 6)]), 1, &damage(&[(7, 8)]), 2));
    }

    #[test]
    fn a_task_or_mission_is_changed_again_by_whoever_asks_the_same_whatever_comes_of_it() {
        let by = Actor::Agent(reader("tau", "pi"));
        let key = |id: &[u8]| EventKey::of(&by, CommandId::derived(&[id]));
        let task = |id: &[u8], asked: &str, title: &str| {
            let command = CreateTask {
                title: title.to_owned(),
                ..creation()
            };
            Event::from(TaskChanged {
                task_id: TaskId::of(key(id)),
                change: TaskChange::Updated,
                asked: Asked::of(&asked),
                state: made(&command),
            })
        };
        let first = task(b"a", "pave", "Lay the road");
        assert!(repeats(&first, 1, &task(b"a", "pave", "Pave the road"), 9));
        assert!(!repeats(&first, 1, &task(b"b", "pave", "Lay the road"), 9));
        assert!(!repeats(&first, 1, &task(b"a", "mow", "Lay the road"), 9));
        let mission = |id: &[u8], asked: &str, title: &str| {
            let command = create_mission(title);
            Event::from(MissionChanged {
                mission_id: MissionId::of(key(id)),
                change: MissionChange::Updated,
                asked: Asked::of(&asked),
                state: super::super::mission::create(&tenant(), &command, &by, TimeMs(1)).unwrap(),
            })
        };
        let first = mission(b"a", "pave", "Lay the road");
        assert!(repeats(&first, 1, &mission(b"a", "pave", "Pave it"), 9));
        assert!(!repeats(&first, 1, &mission(b"b", "pave", "Pave it"), 9));
        assert!(!repeats(&first, 1, &mission(b"a", "mow", "Pave it"), 9));
        assert!(!repeats(&first, 1, &task(b"a", "pave", "Pave it"), 9));
    }

    fn create_mission(title: &str) -> CreateMission {
        CreateMission {
            title: title.to_owned(),
            brief: String::new(),
            pilot: None,
            agents: Vec::new(),
            project: None,
            priority: TaskPriority::Medium,
            status: MissionStatus::Plan,
            starts_at: None,
            due_at: None,
        }
    }
}
