//! Text that came from somebody else, made safe and short for a terminal. Owns the rules; prints nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use postroad_protocol::TimeMs;
use std::ffi::OsStr;
use std::fmt::Write as _;

/// Shows control characters instead of obeying them, in one line.
///
/// A message is written by somebody else, often a model: an escape sequence in it could otherwise
/// rewrite the screen, and a bidirectional mark could make it read as something that it is not.
pub(crate) fn one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        push_safe(&mut safe, character);
    }
    safe
}

/// The same, line by line: a line feed in the text ends a line of the output.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let line = |line: &str| one_line(line.strip_suffix('\r').unwrap_or(line));
    text.split('\n').map(line).collect()
}

fn push_safe(safe: &mut String, character: char) {
    let misleads = matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    match character {
        '\t' => safe.push_str("    "),
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        // Writing to a string cannot fail.
        _ if character.is_control() && character.is_ascii() => {
            let _ = write!(safe, "\\x{:02x}", u32::from(character));
        }
        _ if character.is_control() || misleads => {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        }
        _ => safe.push(character),
    }
}

/// How long ago, or in how long: `now`, `5s ago`, `3m ago`, `2h ago`, `4d ago`, `in 30d`.
pub(crate) fn relative(time: TimeMs, now: TimeMs) -> String {
    // To the nearest unit: a credential issued this instant for 30 days ends in 30d, not in 29d.
    let distance = |ms: u64| match (ms + 500) / 1_000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_570 => format!("{}m", (seconds + 30) / 60),
        seconds @ 3_570..84_600 => format!("{}h", (seconds + 1_800) / 3_600),
        seconds => format!("{}d", (seconds + 43_200) / 86_400),
    };
    if time.0.abs_diff(now.0) < 1_000 {
        return "now".to_owned();
    }
    if time.0 > now.0 {
        return format!("in {}", distance(time.0 - now.0));
    }
    format!("{} ago", distance(now.0 - time.0))
}

/// Date and time as in RFC 3339, in UTC, to the millisecond.
pub(crate) fn absolute(time: TimeMs) -> String {
    let timestamp = i64::try_from(time.0)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match timestamp {
        Some(timestamp) => {
            let utc = timestamp.to_zoned(TimeZone::UTC);
            utc.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
        }
        // Beyond the year 9999: nobody's clock, but no reason to fail.
        None => format!("{}ms", time.0),
    }
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A command as somebody would type it.
pub(crate) fn typed<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@".contains(c);
    let quoted = words.into_iter().map(|word| {
        let word = word.to_string_lossy();
        if !word.is_empty() && word.chars().all(is_plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_reaches_the_terminal_as_a_command() {
        let hostile = "a\u{1b}[2Jb\u{7}\u{9b}31mc\u{202e}d\r\ne\u{0}\u{7f}";
        let shown = one_line(hostile);
        assert_eq!(
            shown,
            "a\\x1b[2Jb\\x07\\u{9b}31mc\\u{202e}d\\r\\ne\\x00\\x7f"
        );
        assert!(
            lines(hostile)
                .iter()
                .all(|line| !line.chars().any(char::is_control))
        );
        assert_eq!(one_line("Grüße, 世界 👋🏽"), "Grüße, 世界 👋🏽");
    }

    #[test]
    fn lines_keep_their_order_and_lose_their_ends() {
        assert_eq!(lines("a\n\nb\r\n"), ["a", "", "b"]);
        assert_eq!(lines(""), [""]);
    }

    #[test]
    fn a_time_is_told_as_a_person_would() {
        let now = TimeMs(1_800_000_000_000);
        let ago = |ms: u64| relative(TimeMs(now.0 - ms), now);
        let told = [0, 5_000, 200_000, 7_300_000, 400_000_000].map(ago);
        assert_eq!(told, ["now", "5s ago", "3m ago", "2h ago", "5d ago"]);
        let told = [59_400, 59_600, 3_569_000, 3_570_000, 86_399_000].map(ago);
        assert_eq!(told, ["59s ago", "1m ago", "59m ago", "1h ago", "1d ago"]);
        assert_eq!(relative(TimeMs(now.0 + 2_592_000_000), now), "in 30d");
        assert_eq!(
            absolute(TimeMs(1_711_670_400_123)),
            "2024-03-29T00:00:00.123Z"
        );
        assert_eq!(absolute(TimeMs(u64::MAX)), "18446744073709551615ms");
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = ["postroad", "send", "tau,pi", "it's done", ""].map(OsStr::new);
        assert_eq!(typed(words), r"postroad send tau,pi 'it'\''s done' ''");
    }
}
