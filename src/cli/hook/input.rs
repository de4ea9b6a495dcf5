//! What the client says on stdin. Owns reading it; believes nothing but what it needs.

use serde::Deserialize;
use std::io::Read as _;

/// Longest input that is read, in bytes. A tool's whole result may be in it, of which nothing is used.
const INPUT_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Longest session id that is kept as it is, in bytes: clients use UUIDs.
const SESSION_ID_MAX_BYTES: usize = 128;

/// When the client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A session starts, or goes on.
    SessionStart,
    /// The user has written something.
    UserPromptSubmit,
    /// A tool was called.
    PostToolUse,
    /// The turn is about to end.
    Stop,
}

impl Moment {
    /// As the clients call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "SessionStart",
            Self::UserPromptSubmit => "UserPromptSubmit",
            Self::PostToolUse => "PostToolUse",
            Self::Stop => "Stop",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [
            Self::SessionStart,
            Self::UserPromptSubmit,
            Self::PostToolUse,
            Self::Stop,
        ];
        all.into_iter().find(|moment| moment.name() == name)
    }
}

/// An event that is to be served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Which.
    pub(super) moment: Moment,
    /// In which session of the client.
    pub(super) session_id: String,
}

/// The fields that both clients document, and that are used here.
#[derive(Deserialize)]
struct Event {
    hook_event_name: String,
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    stop_hook_active: bool,
    /// Set where the hook fires inside a subagent.
    #[serde(default)]
    agent_id: Option<String>,
}

/// Reads stdin to its end.
///
/// On a thread of its own: a client that never closes the pipe must not keep the process from ending, as a
/// blocking task of the runtime would.
pub(super) async fn stdin() -> Result<Vec<u8>, String> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut input = Vec::new();
        let read = std::io::stdin()
            .lock()
            .take(INPUT_MAX_BYTES + 1)
            .read_to_end(&mut input);
        // Nobody waits any more once the time is up.
        let _ = sender.send(read.map(|_| input));
    });
    let read = receiver
        .await
        .map_err(|_| "stdin cannot be read".to_owned())?;
    read.map_err(|error| format!("stdin cannot be read: {error}"))
}

/// The event in `input`. None where there is nothing to do: a turn that a hook has already held up, or a
/// subagent, whose context is not the one that the mail is for.
pub(super) fn heard(input: &[u8]) -> Result<Option<Heard>, String> {
    if u64::try_from(input.len()).is_ok_and(|length| length > INPUT_MAX_BYTES) {
        return Err(format!("the event has more than {INPUT_MAX_BYTES} bytes"));
    }
    let event: Event = serde_json::from_slice(input)
        .map_err(|error| format!("stdin holds no hook event as JSON: {error}"))?;
    let Some(moment) = Moment::of(&event.hook_event_name) else {
        let name: String = event.hook_event_name.chars().take(64).collect();
        return Err(format!("`{name}` is none of the events that are served"));
    };
    if event.agent_id.is_some() || (moment == Moment::Stop && event.stop_hook_active) {
        return Ok(None);
    }
    let mut session_id = event.session_id;
    if session_id.len() > SESSION_ID_MAX_BYTES {
        session_id = blake3::hash(session_id.as_bytes()).to_hex().to_string();
    }
    Ok(Some(Heard { moment, session_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_events_are_heard_whatever_else_the_client_says() {
        for moment in [
            Moment::SessionStart,
            Moment::UserPromptSubmit,
            Moment::PostToolUse,
            Moment::Stop,
        ] {
            let event = serde_json::json!({
                "hook_event_name": moment.name(), "session_id": "s1", "cwd": "/x", "tool_response": {"a": [1]},
                "stop_hook_active": false,
            });
            let found = heard(event.to_string().as_bytes()).unwrap().unwrap();
            assert_eq!((found.moment, found.session_id.as_str()), (moment, "s1"));
        }
        let long = format!(
            r#"{{"hook_event_name":"Stop","session_id":"{}"}}"#,
            "s".repeat(5_000)
        );
        assert_eq!(
            heard(long.as_bytes()).unwrap().unwrap().session_id.len(),
            64
        );
    }

    #[test]
    fn garbage_and_strange_events_are_errors_and_nothing_more() {
        for garbage in [
            "",
            "{",
            "[]",
            "null",
            "\u{0}",
            r#"{"session_id":"s"}"#,
            r#"{"hook_event_name":5}"#,
        ] {
            assert!(heard(garbage.as_bytes()).is_err(), "{garbage:?}");
        }
        let strange = heard(br#"{"hook_event_name":"SubagentStop","session_id":"s"}"#);
        assert!(strange.unwrap_err().contains("SubagentStop"));
        assert!(heard(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_turn_that_was_held_up_and_a_subagent_are_left_alone() {
        let held = br#"{"hook_event_name":"Stop","session_id":"s","stop_hook_active":true}"#;
        assert_eq!(heard(held).unwrap(), None);
        let subagent = br#"{"hook_event_name":"PostToolUse","session_id":"s","agent_id":"a1"}"#;
        assert_eq!(heard(subagent).unwrap(), None);
    }
}
