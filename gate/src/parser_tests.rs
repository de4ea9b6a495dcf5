use super::*;
use proptest::option::of as optional;
use proptest::prelude::*;

/// Everything that is said in `bytes`, which come in pieces that end at `cuts`.
fn read(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Op>, NotNats> {
    let (mut parser, mut buffer, mut ops) = (Parser::default(), BytesMut::new(), Vec::new());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        buffer.extend_from_slice(&bytes[start..end]);
        start = end;
        while let Some(op) = parser.next(&mut buffer)? {
            ops.push(op);
        }
    }
    assert!(parser.head.is_some() || parser.skip > 0 || !buffer.contains(&b'\n'));
    Ok(ops)
}

fn message(subject: &str, reply: Option<&str>, trace: Option<&str>, body: &str) -> Op {
    let incoming = Incoming {
        subject: subject.to_owned(),
        reply: reply.map(str::to_owned),
        payload: Bytes::copy_from_slice(body.as_bytes()),
        traceparent: trace.map(str::to_owned),
    };
    Op::Message(7, incoming)
}

#[test]
fn what_a_server_says_is_told_apart() {
    let said = "INFO {\"nonce\":\"n\",\"tls_required\":true,\"other\":[1]} \r\nPING\r\nPONG\r\n+OK\r\n\
                -ERR 'Slow Consumer'\r\nMSG a.b 7 3\r\nxyz\r\nMSG a.b 7 in.box 0\r\n\r\n\
                HMSG a.b 7 in.box 12 14\r\nNATS/1.0\r\n\r\nok\r\n\
                HMSG\ta.b  7 12 12\r\nNATS/1.0\r\n\r\n\r\n";
    let info = Info {
        nonce: "n".to_owned(),
        tls_required: true,
        connect_urls: Vec::new(),
    };
    let expected = vec![
        Op::Info(info),
        Op::Ping,
        Op::Pong,
        Op::Ok,
        Op::Error("'Slow Consumer'".to_owned()),
        message("a.b", None, None, "xyz"),
        message("a.b", Some("in.box"), None, ""),
        message("a.b", Some("in.box"), None, "ok"),
        message("a.b", None, None, ""),
    ];
    assert_eq!(read(said.as_bytes(), &[]).unwrap(), expected);
    let every: Vec<usize> = (0..said.len()).collect();
    assert_eq!(read(said.as_bytes(), &every).unwrap(), expected);
}

#[test]
fn only_a_well_formed_block_has_a_trace_context() {
    let trace = |block: &str| traceparent(block.as_bytes());
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(trace("NATS/1.0\r\ntraceparent: 00-a\r\n\r\n"), of("00-a"));
    let among = "NATS/1.0\r\nOther:  1 2 \r\ntraceparent:00-a\r\ntraceparent: 00-b\r\n\r\n";
    assert_eq!(trace(among), of("00-a"));
    let bad_value = b"NATS/1.0\r\nname: \xff\r\ntraceparent: 00-a\r\n\r\n";
    assert_eq!(
        traceparent(bad_value),
        of("00-a"),
        "others are not looked at"
    );
    let long = format!("NATS/1.0\r\ntraceparent: {}\r\n\r\n", "a".repeat(257));
    for block in [
        "",
        "NATS/1.0",
        "NATS/1.0\r\n\r\n",
        "NATS/1.0\r\ntraceparent: 00-a\r\n",
        "NATS/1.0\r\ntraceparent: 00-a\r\n\r\nmore",
        "NATS/1.0\r\ntraceparent: 00-a\r\nno colon\r\n\r\n",
        "NATS/1.0\r\ntraceparent: 00-a\r\n: no name\r\n\r\n",
        "NATS/1.0\r\ntraceparent: 0 0\r\n\r\n",
        "NATS/1.0\r\ntraceparent: 0\n0\r\n\r\n",
        "NATS/1.0 503\r\ntraceparent: 00-a\r\n\r\n",
        "NATS/9.9\r\ntraceparent: 00-a\r\n\r\n",
        "HTTP/1.1 200\r\ntraceparent: 00-a\r\n\r\n",
        &long,
    ] {
        assert_eq!(trace(block), None, "{block:?}");
    }
}

#[test]
fn what_no_server_says_ends_the_connection() {
    for said in [
        "\r\n",
        "HELLO\r\n",
        "INFO {\r\n",
        "MSG\r\n",
        "MSG a\r\n",
        "MSG a 7\r\n",
        "MSG a 7 b c 1\r\n",
        "MSG a 7 -1\r\n",
        "MSG a 7 9999999999\r\n",
        "MSG a x 1\r\n",
        "MSG a 7 1\r\nxyz",
        "HMSG a 7 1\r\n",
        "HMSG a 7 2 1\r\n",
        "HMSG a 7 b c 1 2\r\n",
    ] {
        assert!(read(said.as_bytes(), &[]).is_err(), "{said:?}");
    }
    let endless = vec![b'x'; LINE_MAX_BYTES + 1];
    assert!(read(&endless, &[]).is_err());
}

#[test]
fn a_message_that_is_too_large_is_passed_over() {
    let body = "x".repeat(MESSAGE_MAX_BYTES + 1);
    let said = format!("MSG a 7 {}\r\n{body}\r\nPING\r\n", body.len());
    let cuts: Vec<usize> = (0..said.len()).step_by(10_000).collect();
    let ops = read(said.as_bytes(), &cuts).unwrap();
    assert_eq!(ops, [Op::Unreadable, Op::Ping]);
    let (mut parser, mut buffer) = (Parser::default(), BytesMut::from(said.as_bytes()));
    parser.next(&mut buffer).unwrap();
    parser.next(&mut buffer).unwrap();
    assert!(buffer.is_empty(), "nothing of it is kept");
}

/// One message as nats-server frames it, whatever its publisher chose.
#[derive(Clone, Debug)]
struct Sent {
    subject: Vec<u8>,
    reply: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl Sent {
    fn frame(&self) -> Vec<u8> {
        let headers = self.headers.clone().unwrap_or_default();
        let total = headers.len() + self.body.len();
        let sizes = match &self.headers {
            Some(headers) => format!("{} {total}\r\n", headers.len()),
            None => format!("{total}\r\n"),
        };
        let verb: &[u8] = if self.headers.is_some() {
            b"HMSG "
        } else {
            b"MSG "
        };
        let mut frame = [verb, &self.subject, b" 7 "].concat();
        if let Some(reply) = &self.reply {
            frame.extend_from_slice(reply);
            frame.push(b' ');
        }
        for part in [sizes.as_bytes(), &headers, &self.body, b"\r\n"] {
            frame.extend_from_slice(part);
        }
        frame
    }

    fn is_readable(&self) -> bool {
        let is_text = |bytes: &Vec<u8>| {
            let text = String::from_utf8(bytes.clone());
            text.is_ok_and(|text| text.chars().all(|c| !c.is_whitespace() && !c.is_control()))
        };
        is_text(&self.subject) && self.reply.as_ref().is_none_or(is_text)
    }
}

/// Subjects of every kind that nats-server takes: any bytes but those that end an argument or a line.
fn subject() -> impl Strategy<Value = Vec<u8>> {
    let any = proptest::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| {
        let is_free = |byte: &u8| !b" \t\n".contains(byte);
        let kept: Vec<u8> = bytes.into_iter().filter(is_free).collect();
        if kept.is_empty() { b"x".to_vec() } else { kept }
    });
    let space = prop_oneof![
        Just("a\u{a0}7"),
        Just("a\u{3000}1"),
        Just("a\u{85}2"),
        Just("a\u{b}b"),
        Just("a\rb"),
        Just("a\r"),
        Just("\0"),
    ];
    prop_oneof![
        "[a-z.*>]{1,30}".prop_map(String::into_bytes),
        any,
        space.prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..60);
    let lines = "(NATS/1.0)?(\r?\n)?(traceparent: ?[a-f0-9-]{0,9}\r\n|x:?y\r\n){0,3}(\r\n)?";
    let headers = prop_oneof![bytes(), lines.prop_map(String::into_bytes)];
    (subject(), optional(subject()), optional(headers), bytes()).prop_map(
        |(subject, reply, headers, body)| Sent {
            subject,
            reply,
            headers,
            body,
        },
    )
}

proptest! {
    #[test]
    fn whatever_agents_send_each_message_is_read_or_passed_over(
        sent in proptest::collection::vec(sent(), 1..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let mut bytes: Vec<u8> = sent.iter().flat_map(Sent::frame).collect();
        bytes.extend_from_slice(b"PING\r\n");
        let ops = read(&bytes, &cuts).unwrap();
        prop_assert_eq!(&ops, &read(&bytes, &[]).unwrap());
        prop_assert_eq!(ops.len(), sent.len() + 1);
        prop_assert_eq!(ops.last(), Some(&Op::Ping));
        for (sent, op) in sent.iter().zip(&ops) {
            match op {
                Op::Message(7, incoming) => {
                    prop_assert!(sent.is_readable());
                    prop_assert_eq!(incoming.subject.as_bytes(), &sent.subject);
                    let reply = incoming.reply.as_ref().map(|reply| reply.as_bytes().to_vec());
                    prop_assert_eq!(&reply, &sent.reply);
                    prop_assert_eq!(&incoming.payload[..], &sent.body);
                }
                other => {
                    prop_assert_eq!(other, &Op::Unreadable);
                    prop_assert!(!sent.is_readable());
                }
            }
        }
    }

    #[test]
    fn whatever_bytes_come_nothing_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let _either = read(&bytes, &cuts);
    }

    #[test]
    fn whatever_lines_come_nothing_panics(
        text in "((H?MSG|PING|INFO|-ERR|\\+OK)[ \t]?[a-z0-9{}\" ]{0,12}(\r?\n)?){0,12}",
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let whole = read(text.as_bytes(), &[]);
        prop_assert_eq!(read(text.as_bytes(), &cuts), whole);
    }
}
