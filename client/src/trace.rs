//! A caller's trace: the W3C `traceparent` that goes along with what is asked on its behalf. Owns whether a text may be
//! one; makes none, and samples nothing.

use async_nats::HeaderMap;
use postroad_protocol::envelope::TRACEPARENT;
use std::sync::Arc;

/// Longest that is carried, in characters, since services keep no longer one; version 00 has 55.
const TRACE_MAX_CHARS: usize = 64;

tokio::task_local! {
    static CARRIED: Arc<str>;
}

/// Does `work` so that whatever clients ask in it carries this `traceparent`, and the events that come of it have it.
/// A text that cannot be one is left out. Tasks that `work` spawns carry nothing.
pub async fn traced<T>(traceparent: &str, work: impl Future<Output = T>) -> T {
    if may_be_carried(traceparent) {
        CARRIED.scope(traceparent.into(), work).await
    } else {
        work.await
    }
}

/// The headers of a request that is published now; none without a trace.
pub(crate) fn headers() -> Option<HeaderMap> {
    let headers_of = |traceparent: &Arc<str>| {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.as_ref());
        headers
    };
    CARRIED.try_with(headers_of).ok()
}

/// Version, trace, parent and flags, in hexadecimal; a later version may have more.
fn may_be_carried(text: &str) -> bool {
    let is_hex = |part: &str| {
        part.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().take(4).map(|part| part.len()).collect();
    text.len() <= TRACE_MAX_CHARS
        && lengths == [2, 32, 16, 2]
        && parts.iter().all(|part| is_hex(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[tokio::test]
    async fn a_trace_is_carried_by_what_is_done_in_it_and_by_nothing_else() {
        assert!(headers().is_none());
        let carried = traced(TRACE, async { headers() }).await.unwrap();
        assert_eq!(carried.get(TRACEPARENT).unwrap().as_str(), TRACE);
        let outside = traced(TRACE, async { tokio::spawn(async { headers() }).await }).await;
        assert!(outside.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_no_trace_is_left_out() {
        let long = format!("{TRACE}-{}", "0".repeat(TRACE_MAX_CHARS));
        for text in [
            "",
            "00",
            "x\r\nNats-Msg-Id: 1",
            &TRACE.to_uppercase(),
            &TRACE[1..],
            &long,
        ] {
            assert!(traced(text, async { headers() }).await.is_none(), "{text}");
        }
    }
}
