//! What a nats-server writes → operations. Owns the frames: where one ends, and what of it an agent may have
//! chosen. Whatever agents can choose ends nothing: a message of theirs that cannot be read is passed over.

use crate::Incoming;
use bytes::{Buf, Bytes, BytesMut};
use postroad_protocol::envelope::TRACEPARENT;
use postroad_protocol::limits::MAX_PAYLOAD_BYTES;
use serde::Deserialize;

/// Longest line of a server, in bytes. The line of a message is little longer than the one it was published with, of
/// which nats-server takes 4 KiB unless it is told otherwise; what it says of itself may list a whole cluster.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// Largest message, headers included, in bytes; larger ones, of a server with a laxer limit, are passed over.
const MESSAGE_MAX_BYTES: usize = MAX_PAYLOAD_BYTES + LINE_MAX_BYTES;
/// Longest trace context that is taken along, in bytes. Those of W3C have 55.
const TRACE_MAX_BYTES: usize = 256;

/// The server does not speak NATS. No agent can make it so: the server frames what they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server does not speak NATS: {0}")]
pub struct NotNats(&'static str);

/// What the server says of itself, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pub(crate) nonce: String,
    pub(crate) tls_required: bool,
    pub(crate) connect_urls: Vec<String>,
}

/// One thing that the server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Info(Info),
    Ping,
    Pong,
    Ok,
    /// What it complains about; may quote a subject.
    Error(String),
    /// A message for the subscription of this number.
    Message(u64, Incoming),
    /// A message whose subject or reply-to is no text, or that is too large.
    Unreadable,
}

/// Reads operations out of bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The message whose body is awaited.
    head: Option<Head>,
    /// Bytes still to come of a message that is passed over.
    skip: usize,
}

/// The line ahead of a message.
#[derive(Debug)]
struct Head {
    subscription: u64,
    /// Subject and reply-to, if both are text.
    route: Option<(String, Option<String>)>,
    header_bytes: usize,
    total_bytes: usize,
}

impl Parser {
    /// The next operation in `buffer`, which loses its bytes; none while it is incomplete.
    ///
    /// # Errors
    /// [`NotNats`]: nothing that follows can be told apart any more.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Op>, NotNats> {
        if self.skip > 0 {
            let now = self.skip.min(buffer.len());
            buffer.advance(now);
            self.skip -= now;
            if self.skip > 0 {
                return Ok(None);
            }
        }
        if self.head.is_none() {
            let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
                if buffer.len() > LINE_MAX_BYTES {
                    return Err(NotNats("a line does not end"));
                }
                return Ok(None);
            };
            let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
            let read = read_line(line);
            buffer.advance(end + 1);
            match read? {
                Line::Said(op) => return Ok(Some(op)),
                Line::Message(head) if head.total_bytes > MESSAGE_MAX_BYTES => {
                    self.skip = head.total_bytes.saturating_add(2);
                    return Ok(Some(Op::Unreadable));
                }
                Line::Message(head) => self.head = Some(head),
            }
        }
        self.body(buffer)
    }

    fn body(&mut self, buffer: &mut BytesMut) -> Result<Option<Op>, NotNats> {
        let Some(head) = &self.head else {
            return Ok(None);
        };
        let whole = head.total_bytes + 2;
        if buffer.len() < whole {
            buffer.reserve(whole - buffer.len());
            return Ok(None);
        }
        if &buffer[head.total_bytes..whole] != b"\r\n" {
            return Err(NotNats("a message is longer than announced"));
        }
        let op = match self.head.take() {
            Some(Head {
                subscription,
                route: Some((subject, reply)),
                header_bytes,
                total_bytes,
            }) => {
                let (headers, body) = buffer[..total_bytes].split_at(header_bytes);
                let incoming = Incoming {
                    subject,
                    reply,
                    traceparent: traceparent(headers),
                    // Its own memory, exactly: what waits must not hold on to the whole buffer.
                    payload: Bytes::copy_from_slice(body),
                };
                Op::Message(subscription, incoming)
            }
            _ => Op::Unreadable,
        };
        buffer.advance(whole);
        Ok(Some(op))
    }
}

enum Line {
    Said(Op),
    Message(Head),
}

fn read_line(line: &[u8]) -> Result<Line, NotNats> {
    // As nats-server writes them and reads its clients': only these two stand between arguments.
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut words = line.split(is_gap).filter(|word| !word.is_empty());
    let verb = words.next().unwrap_or_default();
    let rest = || line[verb.len()..].trim_ascii();
    Ok(Line::Said(match verb {
        b"MSG" => return read_head(words, false).map(Line::Message),
        b"HMSG" => return read_head(words, true).map(Line::Message),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"+OK" => Op::Ok,
        b"-ERR" => Op::Error(String::from_utf8_lossy(rest()).into_owned()),
        b"INFO" => {
            let info = serde_json::from_slice(rest());
            Op::Info(info.map_err(|_| NotNats("what it says of itself is no JSON"))?)
        }
        _ => return Err(NotNats("it says something unknown")),
    }))
}

/// `subject number [reply-to] [header bytes] total bytes`.
fn read_head<'a>(
    words: impl Iterator<Item = &'a [u8]>,
    has_headers: bool,
) -> Result<Head, NotNats> {
    let bad = NotNats("a message is announced by other words than these");
    let mut words = words.fuse();
    let mut place = [(); 5].map(|()| words.next());
    let count = place.iter().flatten().count();
    let sizes = if has_headers { 2 } else { 1 };
    if words.next().is_some() || !(2..=3).contains(&(count.saturating_sub(sizes))) {
        return Err(bad);
    }
    let mut at = |index: usize| place[index].take().unwrap_or_default();
    let total_bytes = number(at(count - 1)).ok_or(bad)?;
    let header_bytes = if has_headers {
        number(at(count - 2)).ok_or(bad)?
    } else {
        0
    };
    if header_bytes > total_bytes {
        return Err(bad);
    }
    let reply = (count - sizes == 3).then(|| at(2));
    let (subscription, subject) = (at(1), text(at(0)));
    let route = match (subject, reply.map(text)) {
        (Some(subject), None) => Some((subject, None)),
        (Some(subject), Some(Some(reply))) => Some((subject, Some(reply))),
        _ => None,
    };
    let subscription = number(subscription).ok_or(bad)?;
    Ok(Head {
        subscription: u64::try_from(subscription).map_err(|_| bad)?,
        route,
        header_bytes,
        total_bytes,
    })
}

/// A number of at most nine digits.
fn number(word: &[u8]) -> Option<usize> {
    if word.is_empty() || word.len() > 9 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A subject that is text, without anything in it that other readers might take for its end.
fn text(subject: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(subject).ok()?;
    let is_plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    is_plain.then(|| text.to_owned())
}

/// The trace context of a well-formed block of headers; of any other, none. It goes back into a header, so it must be
/// plain text of one line.
fn traceparent(block: &[u8]) -> Option<String> {
    let mut rest = block.strip_prefix(b"NATS/1.0\r\n")?;
    let mut found = None;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            return if rest.is_empty() { found } else { None };
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        if found.is_none() && name == TRACEPARENT.as_bytes() {
            let is_plain = value.len() <= TRACE_MAX_BYTES && value.iter().all(u8::is_ascii_graphic);
            found = is_plain.then(|| String::from_utf8_lossy(value).into_owned());
        }
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
