//! Times as bodies write them.

use postroad_protocol::TimeMs;

/// Milliseconds since 1970.
pub(crate) fn wire_ms(time: TimeMs) -> i64 {
    // What is beyond the year 292 million is refused, as the year 10000 is.
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// The time that a change sets; 0 takes away what was there.
pub(crate) fn wire_end(time: Option<TimeMs>) -> i64 {
    time.map_or(0, wire_ms)
}
