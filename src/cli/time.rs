//! Durations and times as people write them. Owns reading them; never compares or shows any.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use postroad_protocol::TimeMs;
use std::time::Duration;

/// A place in a log: a sequence, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A sequence.
    Sequence(u64),
    /// A time.
    Time(TimeMs),
}

/// Reads `500ms`, `5s`, `2m`, `1h30m`, `30d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    signed(text)
        .filter(|duration| !duration.is_negative())
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "write a duration such as 500ms, 5s, 2m, 1h30m or 30d".to_owned())
}

/// Reads a duration that is not nothing.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a time: RFC 3339, a date, how long ago, or milliseconds since 1970.
pub(crate) fn time(text: &str) -> Result<TimeMs, String> {
    time_at(text, Timestamp::now(), &TimeZone::system())
}

/// Reads a time to come: as [`time`] does, but a span such as `30d` or `in 2h` lies ahead.
pub(crate) fn coming(text: &str) -> Result<TimeMs, String> {
    coming_at(text, Timestamp::now(), &TimeZone::system())
}

fn coming_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<TimeMs, String> {
    let span = text.trim();
    let span = signed(span.strip_prefix("in ").unwrap_or(span));
    let Some(ahead) = span.filter(|span| !span.is_negative()) else {
        return time_at(text, now, zone).map_err(|_| {
            "write a time such as 2026-11-22T10:00:00Z, 2026-11-22, `2d` or `in 2d`, or \
             milliseconds since 1970"
                .to_owned()
        });
    };
    let time = now.checked_add(ahead).ok();
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(TimeMs)
        .ok_or_else(|| "that is beyond the year 9999".to_owned())
}

/// Reads a sequence (digits alone), or a time as [`time`] does.
pub(crate) fn bound(text: &str) -> Result<Bound, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(sequence @ 1..) => Ok(Bound::Sequence(sequence)),
            _ => Err("a sequence is a number from 1 on".to_owned()),
        };
    }
    time(text).map(Bound::Time)
}

fn time_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<TimeMs, String> {
    let text = text.trim();
    let wrong = || {
        "write a time such as 2026-11-22T10:00:00Z, 2026-11-22, `2h ago`, now, \
         or milliseconds since 1970"
            .to_owned()
    };
    let timestamp = if text == "now" {
        now
    } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let ms = text.parse().map_err(|_| wrong())?;
        Timestamp::from_millisecond(ms).map_err(|_| wrong())?
    } else if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else if let Ok(civil) = text.parse::<DateTime>() {
        let zoned = civil.to_zoned(zone.clone()).map_err(|_| wrong())?;
        zoned.timestamp()
    } else {
        // `2h` and `2h ago` both lie in the past: a log holds nothing else.
        let ago = signed(text).ok_or_else(wrong)?.abs();
        now.checked_sub(ago).map_err(|_| wrong())?
    };
    u64::try_from(timestamp.as_millisecond())
        .map(TimeMs)
        .map_err(|_| "a time before 1970 cannot be named".to_owned())
}

fn signed(text: &str) -> Option<SignedDuration> {
    let span: Span = text.trim().parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = |text: &str| duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("5s"), Ok(5_000));
        assert_eq!(read("2 minutes"), Ok(120_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("30d"), Ok(2_592_000_000));
        assert_eq!(read("0s"), Ok(0));
        for bad in ["", "5", "-5s", "5s ago", "five", "1y", "99999999999999d"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(timeout("0s").is_err());
    }

    #[test]
    fn times_are_absolute_or_seen_from_now() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let read = |text: &str| time_at(text, now, &zone).map(|time| time.0);
        let noon = u64::try_from(now.as_millisecond()).unwrap();
        assert_eq!(read("now"), Ok(noon));
        assert_eq!(read("2026-11-22T11:00:00Z"), Ok(noon - 3_600_000));
        assert_eq!(read("2026-11-22T13:00:00+01:00"), Ok(noon));
        // Without an offset it is the time on the caller's wall.
        assert_eq!(read("2026-11-22T13:00"), Ok(noon));
        assert_eq!(read("2026-11-22"), Ok(noon - 13 * 3_600_000));
        assert_eq!(read("2h ago"), Ok(noon - 7_200_000));
        assert_eq!(read("2h"), Ok(noon - 7_200_000));
        assert_eq!(read("1711670400000"), Ok(1_711_670_400_000));
        for bad in ["", "soon", "-1", "2026-13-01", "99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_span_lies_ahead_where_something_is_to_end() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let read = |text: &str| coming_at(text, now, &TimeZone::UTC).map(|time| time.0);
        let noon = u64::try_from(now.as_millisecond()).unwrap();
        assert_eq!(read("2h"), Ok(noon + 7_200_000));
        assert_eq!(read("in 2h"), Ok(noon + 7_200_000));
        assert_eq!(read("2h ago"), Ok(noon - 7_200_000));
        assert_eq!(read("2026-11-22T13:00:00Z"), Ok(noon + 3_600_000));
        assert_eq!(read("1711670400000"), Ok(1_711_670_400_000));
        for bad in ["", "soon", "99999999d"] {
            let told = read(bad).unwrap_err();
            assert!(!told.contains("ago"), "{bad}: {told}");
        }
    }

    #[test]
    fn digits_alone_are_a_sequence_of_the_log() {
        assert_eq!(bound("42"), Ok(Bound::Sequence(42)));
        assert!(matches!(bound("1h"), Ok(Bound::Time(_))));
        for bad in ["", "0", "99999999999999999999999"] {
            assert!(bound(bad).is_err(), "{bad}");
        }
    }
}
