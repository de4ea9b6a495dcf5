//! What was shown and what a turn's end was held up for; from that and the unread mail, what to say now.
//!
//! Owns those decisions, on plain values. Never asks, reads or writes anything.

use super::Mail;
use super::input::Moment;
use super::told;
use postroad_protocol::event::Priority;
use postroad_protocol::query::{Message, TaskCounts};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Messages that are remembered as shown, beyond those that lie before `shown_up_to`.
const SHOWN_REMEMBERED: usize = 1_000;
/// Sessions whose last count is remembered.
const SESSIONS_REMEMBERED: usize = 64;

/// What one agent's hooks remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ledger {
    /// Everything unread before this cursor was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shown_up_to: Option<String>,
    /// A turn's end was held up for everything unread before this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped_up_to: Option<String>,
    /// The last messages that were shown.
    shown: VecDeque<String>,
    /// How many unread messages each session was last told of, the latest last.
    told: VecDeque<(String, u64)>,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Messages that are shown now, the most urgent first.
    pub(super) shown: Vec<Message>,
    /// How many are unread in all.
    pub(super) unread: u64,
    /// The highest priority among all of those.
    pub(super) highest: Option<Priority>,
    /// How many of those nobody has been shown yet.
    pub(super) waiting: usize,
    /// Tasks that wait for the agent.
    pub(super) tasks: Option<TaskCounts>,
}

impl Ledger {
    /// Whether a message was not shown yet.
    pub(super) fn is_new(&self, message: &Message) -> bool {
        let id = message.message_id.to_string();
        !self.shown.contains(&id)
    }

    /// Decides what to say, and remembers it as said.
    pub(super) fn tell(&mut self, moment: Moment, session: &str, mail: &Mail) -> Option<Said> {
        if moment == Moment::Stop {
            if mail.messages.is_empty() {
                return None;
            }
            self.stopped_up_to.clone_from(&mail.end);
        }
        let mut new: Vec<&Message> = mail.messages.iter().filter(|m| self.is_new(m)).collect();
        // Stable, so that equals stay in the order in which they came.
        new.sort_by_key(|message| message.priority);
        let fitting = told::fitting(&new);
        let shown: Vec<Message> = new[..fitting].iter().map(|m| (*m).clone()).collect();
        let waiting = new.len() - fitting;
        for message in &shown {
            self.shown.push_back(message.message_id.to_string());
        }
        let excess = self.shown.len().saturating_sub(SHOWN_REMEMBERED);
        self.shown.drain(..excess);
        if waiting == 0 && moment != Moment::Stop && mail.end.is_some() {
            self.shown_up_to.clone_from(&mail.end);
        }
        let before = self.told_before(session, mail.unread);
        let is_worth_it = match moment {
            Moment::Stop => true,
            // Tasks can wait for a session, and never hold one up.
            Moment::SessionStart => mail.unread > 0 || mail.tasks.is_some(),
            Moment::UserPromptSubmit => mail.unread > 0,
            // After every tool call the same number would only fill the context.
            Moment::PostToolUse => {
                !shown.is_empty() || (mail.unread > 0 && before != Some(mail.unread))
            }
        };
        is_worth_it.then_some(Said {
            shown,
            unread: mail.unread,
            highest: mail.highest,
            waiting,
            tasks: mail.tasks,
        })
    }

    /// What this session was last told; from now on it is `unread`.
    fn told_before(&mut self, session: &str, unread: u64) -> Option<u64> {
        let place = self.told.iter().position(|(known, _)| known == session);
        let before = place.and_then(|place| self.told.remove(place));
        self.told.push_back((session.to_owned(), unread));
        if self.told.len() > SESSIONS_REMEMBERED {
            self.told.pop_front();
        }
        before.map(|(_, unread)| unread)
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::sample;
    use super::*;

    fn mail(messages: &[Message], end: &str) -> Mail {
        Mail {
            messages: messages.to_vec(),
            unread: messages.len() as u64,
            highest: None,
            end: Some(end.to_owned()),
            tasks: None,
        }
    }

    fn ids(said: &Said) -> Vec<String> {
        said.shown
            .iter()
            .map(|m| m.message_id.to_string())
            .collect()
    }

    #[test]
    fn a_message_is_shown_once_and_then_counted() {
        let mut ledger = Ledger::default();
        let one = sample(1, "hello");
        let said = ledger.tell(
            Moment::UserPromptSubmit,
            "s",
            &mail(std::slice::from_ref(&one), "c1"),
        );
        assert_eq!(ids(&said.unwrap()).len(), 1);
        assert_eq!(ledger.shown_up_to.as_deref(), Some("c1"));
        // Behind the cursor there is nothing; it is still unread.
        let nothing_new = Mail {
            unread: 1,
            ..Mail::default()
        };
        let said = ledger
            .tell(Moment::UserPromptSubmit, "s", &nothing_new)
            .unwrap();
        assert_eq!((said.shown.len(), said.unread), (0, 1));
        assert_eq!(ledger.shown_up_to.as_deref(), Some("c1"));
        // In another session, too, and where the cursor was lost.
        let said = ledger
            .tell(Moment::SessionStart, "other", &mail(&[one], "c1"))
            .unwrap();
        assert_eq!((said.shown.len(), said.unread, said.waiting), (0, 1, 0));
    }

    #[test]
    fn after_a_tool_call_a_count_is_said_when_it_changed() {
        let mut ledger = Ledger::default();
        let count = |unread| Mail {
            unread,
            ..Mail::default()
        };
        let mut told = |session, unread| {
            ledger
                .tell(Moment::PostToolUse, session, &count(unread))
                .is_some()
        };
        let said = [("a", 2), ("a", 2), ("b", 2), ("a", 1), ("a", 0), ("a", 1)];
        let said: Vec<bool> = said.map(|(session, unread)| told(session, unread)).into();
        assert_eq!(said, [true, false, true, true, false, true]);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_unread() {
        let nothing = Mail::default();
        for moment in [
            Moment::SessionStart,
            Moment::UserPromptSubmit,
            Moment::PostToolUse,
            Moment::Stop,
        ] {
            assert_eq!(Ledger::default().tell(moment, "s", &nothing), None);
        }
    }

    #[test]
    fn tasks_alone_are_told_when_a_session_starts_and_hold_nothing_up() {
        let tasks = Mail {
            tasks: Some(TaskCounts {
                ready: 2,
                ..TaskCounts::default()
            }),
            ..Mail::default()
        };
        let mut ledger = Ledger::default();
        let mut tell = |moment| ledger.tell(moment, "s", &tasks);
        for moment in [Moment::UserPromptSubmit, Moment::PostToolUse, Moment::Stop] {
            assert_eq!(tell(moment), None);
        }
        let said = tell(Moment::SessionStart).unwrap();
        assert_eq!((said.unread, said.tasks), (0, tasks.tasks));
    }

    #[test]
    fn a_turns_end_is_held_up_once_for_a_message_shown_before_or_not() {
        let mut ledger = Ledger::default();
        let (old, new) = (sample(1, "old"), sample(2, "new"));
        ledger.tell(
            Moment::PostToolUse,
            "s",
            &mail(std::slice::from_ref(&old), "c1"),
        );
        let said = ledger
            .tell(Moment::Stop, "s", &mail(&[old, new.clone()], "c2"))
            .unwrap();
        assert_eq!(ids(&said), [new.message_id.to_string()]);
        assert_eq!(ledger.stopped_up_to.as_deref(), Some("c2"));
        // What a turn's end has shown is not shown again, though the other cursor lies before it.
        assert_eq!(ledger.shown_up_to.as_deref(), Some("c1"));
        assert_eq!(
            ledger
                .tell(Moment::PostToolUse, "s", &mail(&[new], "c2"))
                .map(|said| said.shown.len()),
            Some(0)
        );
        let none_since = Mail {
            unread: 2,
            ..Mail::default()
        };
        assert_eq!(ledger.tell(Moment::Stop, "s", &none_since), None);
        assert_eq!(ledger.stopped_up_to.as_deref(), Some("c2"));
    }

    #[test]
    fn what_does_not_fit_comes_next_time_and_the_urgent_comes_first() {
        let mut ledger = Ledger::default();
        let long = "x".repeat(3_000);
        let mut all: Vec<Message> = (1..=4).map(|number| sample(number, &long)).collect();
        all[3].priority = Priority::Urgent;
        let first = ledger
            .tell(Moment::SessionStart, "s", &mail(&all, "c"))
            .unwrap();
        let wanted = [&all[3], &all[0]].map(|m| m.message_id.to_string());
        assert_eq!((ids(&first), first.waiting), (wanted.to_vec(), 2));
        assert_eq!(
            ledger.shown_up_to, None,
            "the page was not shown to its end"
        );
        let second = ledger
            .tell(Moment::PostToolUse, "s", &mail(&all, "c"))
            .unwrap();
        let wanted = [&all[1], &all[2]].map(|m| m.message_id.to_string());
        assert_eq!((ids(&second), second.waiting), (wanted.to_vec(), 0));
        assert_eq!(ledger.shown_up_to.as_deref(), Some("c"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger = Ledger::default();
        for number in 0..3_000_u32 {
            let mail = mail(&[sample(number, "x")], "c");
            ledger.tell(Moment::PostToolUse, &format!("s{number}"), &mail);
        }
        assert_eq!(ledger.shown.len(), SHOWN_REMEMBERED);
        assert_eq!(ledger.told.len(), SESSIONS_REMEMBERED);
    }
}
