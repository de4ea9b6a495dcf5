//! What nats-server carries and a client library may not be able to read: headers that are none, and
//! subjects and reply-tos that hold white space or no text at all. An agent that sends them harms nobody:
//! its neighbours are served, over the same connections of the same parts.

use crate::harness::witness::Witness;
use crate::harness::{DEADLINE, Deployment, eventually};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use postroad_client::Client;
use postroad_protocol::subject::inbox_prefix;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// NATS by hand: an attacker is bound by no library, which would refuse to send some of this.
struct Socket(BufReader<TcpStream>);

impl Socket {
    /// Connects with the text of a `.creds` file.
    async fn connect(url: &str, creds: &str) -> Self {
        let below = |title: &str| {
            let mut lines = creds.lines().skip_while(|line| !line.contains(title));
            lines.nth(1).expect("it stands below").trim()
        };
        let address = url.trim_start_matches("nats://");
        let mut stream = BufReader::new(TcpStream::connect(address).await.expect("NATS listens"));
        let mut info = String::new();
        stream.read_line(&mut info).await.expect("it greets");
        let info: Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("in JSON");
        let key = KeyPair::from_seed(below("USER NKEY SEED")).expect("a seed");
        let nonce = info["nonce"].as_str().expect("it asks for a signature");
        let signed = key.sign(nonce.as_bytes()).expect("it signs");
        let connect = json!({
            "verbose": false, "pedantic": false, "headers": true, "protocol": 1, "name": "by-hand",
            "jwt": below("USER JWT"), "sig": BASE64_URL_SAFE_NO_PAD.encode(signed),
        });
        let mut socket = Self(stream);
        socket.write(format!("CONNECT {connect}\r\n")).await;
        socket.settle().await;
        socket
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = tokio::time::timeout(DEADLINE, self.0.get_mut().write_all(bytes.as_ref()));
        written.await.expect("in time").expect("it is connected");
    }

    async fn publish(&mut self, subject: &[u8], reply: &[u8], body: &[u8]) {
        let size = format!(" {}\r\n", body.len());
        let parts = [
            b"PUB ",
            subject,
            b" ",
            reply,
            size.as_bytes(),
            body,
            b"\r\n",
        ];
        self.write(parts.concat()).await;
    }

    async fn publish_with_headers(&mut self, subject: &str, reply: &str, block: &[u8], body: &str) {
        let (block_bytes, total) = (block.len(), block.len() + body.len());
        let line = format!("HPUB {subject} {reply} {block_bytes} {total}\r\n");
        let parts = [line.as_bytes(), block, body.as_bytes(), b"\r\n"];
        self.write(parts.concat()).await;
    }

    /// Waits until the server has taken everything; it must not have complained. The bodies of the
    /// messages that came meanwhile.
    async fn settle(&mut self) -> Vec<String> {
        self.write("PING\r\n").await;
        let settled = async {
            let mut bodies = Vec::new();
            loop {
                let mut line = String::new();
                self.0.read_line(&mut line).await.expect("it stays");
                let words: Vec<&str> = line.split_whitespace().collect();
                match words[..] {
                    ["PONG"] => return bodies,
                    ["MSG" | "HMSG", .., size] => {
                        let mut body = vec![0; size.parse::<usize>().unwrap() + 2];
                        self.0.read_exact(&mut body).await.unwrap();
                        bodies.push(String::from_utf8_lossy(&body).into_owned());
                    }
                    ["INFO", ..] | ["PING"] => {}
                    _ => panic!("the server said {line:?}"),
                }
            }
        };
        tokio::time::timeout(DEADLINE, settled)
            .await
            .expect("in time")
    }
}

/// A tenant that attacks, and a neighbour that must not notice.
struct Stage {
    deployment: Deployment,
    witness: Witness,
    neighbour: Client,
    parts: BTreeSet<(u64, String)>,
}

impl Stage {
    async fn set() -> Self {
        let deployment = Deployment::start_with(&["--durability", "fast"]);
        deployment.tenant("acme").await;
        deployment.tenant("acme-two").await;
        let neighbour = deployment.agent("acme", "tau", "i1").await;
        let witness = Witness::connect(&deployment.path(), &deployment.url).await;
        let mut stage = Self {
            deployment,
            witness,
            neighbour,
            parts: BTreeSet::new(),
        };
        stage.parts = stage.parts().await;
        let has = |name: &str| stage.parts.iter().any(|(_, part)| part == name);
        for part in ["broker", "projector"] {
            assert!(has(&format!("postroad-{part}")), "{:?}", stage.parts);
            assert!(has(&format!("postroad-{part}-gate")), "{:?}", stage.parts);
        }
        stage
    }

    /// The connections of Postroad's own parts: number and name of each.
    async fn parts(&self) -> BTreeSet<(u64, String)> {
        let mut parts = BTreeSet::new();
        eventually("the server tells its connections", async || {
            let asked = self
                .witness
                .client
                .request("$SYS.REQ.ACCOUNT.PING.CONNZ", r#"{"limit":4096}"#.into());
            let Ok(told) = asked.await else { return false };
            let told: Value = serde_json::from_slice(&told.payload).expect("in JSON");
            let connections = told["data"]["connections"].as_array().expect("a list");
            let named = connections
                .iter()
                .filter_map(|one| Some((one["cid"].as_u64()?, one["name"].as_str()?.to_owned())));
            let is_part = |name: &str| name.starts_with("postroad-") && name != "postroad-client";
            parts = named.filter(|(_, name)| is_part(name)).collect();
            true
        })
        .await;
        parts
    }

    /// Both ways serve the neighbour, and no part has lost a connection since the start.
    async fn expect_unharmed(&self, after: &[u8]) {
        let after = String::from_utf8_lossy(&after[..after.len().min(40)]);
        let set = self.neighbour.set_summary("unharmed").await;
        assert!(set.is_ok(), "a command after {after:?}: {set:?}");
        let who = self.neighbour.whoami().await;
        assert!(who.is_ok(), "a query after {after:?}: {who:?}");
        assert_eq!(self.parts().await, self.parts, "after {after:?}");
    }
}

#[tokio::test]
async fn headers_that_are_none_harm_nobody_and_the_request_is_served() {
    let stage = Stage::set().await;
    let creds = stage.deployment.creds("acme-two", "tau", Some("i1")).await;
    let mut attacker = Socket::connect(&stage.deployment.url, &creds).await;
    let inbox = format!("{}.x", inbox_prefix("acme-two", "tau", "i1"));
    attacker.write(format!("SUB {inbox} 1\r\n")).await;
    attacker.settle().await;
    let blocks: [&[u8]; 16] = [
        b"\r\n\r\n",
        b"x",
        b"NATS/9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\n: no name\r\n\r\n",
        b"NATS/1.0\r\na b: c\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: \xff\r\n\r\n",
        b"NATS/1.0\r\nname: \xff\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 abc\r\n\r\n",
        b"NATS/1.0 99999 x\r\n\r\n",
        b"NATS/1.0\r\nName: value\r\n folded\r\n\r\n",
        b"NATS/1.0\r\nName: value",
        b"NATS/1.0\nName: value\n\n",
        b"NATS/1.0\r\n\0: \0\r\n\r\n",
    ];
    for block in blocks {
        let requests = [
            ("cmd", "set_summary", r#"{"summary":"x"}"#),
            ("qry", "whoami", "{}"),
        ];
        for (kind, verb, body) in requests {
            let subject = format!("postroad.acme-two.{kind}.tau.i1.self.{verb}");
            attacker
                .publish_with_headers(&subject, &inbox, block, body)
                .await;
        }
        let mut answers = Vec::new();
        eventually("both requests are answered", async || {
            answers.extend(attacker.settle().await);
            answers.len() >= 2
        })
        .await;
        for what in ["position", "acme-two"] {
            let is_there = answers.iter().any(|answer| answer.contains(what));
            assert!(is_there, "{what}: {answers:?}");
        }
        stage.expect_unharmed(block).await;
    }
}

#[tokio::test]
async fn subjects_and_replies_that_are_no_text_harm_nobody() {
    let stage = Stage::set().await;
    // For any instance: the more of a subject is its own to choose.
    let creds = stage.deployment.creds("acme-two", "tau", None).await;
    let mut attacker = Socket::connect(&stage.deployment.url, &creds).await;
    let tokens: [&[u8]; 17] = [
        b"\xff",
        b"\xc3\x28",
        b"a\x0bb",
        b"a\x0cb",
        "a\u{a0}b".as_bytes(),
        "a\u{2003}7".as_bytes(),
        "a\u{2028}b".as_bytes(),
        "a\u{3000}1".as_bytes(),
        "a\u{85}2".as_bytes(),
        b"*",
        b">",
        b"\0",
        "\u{feff}".as_bytes(),
        "i\u{200b}1".as_bytes(),
        b"\x1b[31m",
        b"a\rb",
        &[b'a'; 1900],
    ];
    for token in tokens {
        for kind in ["cmd", "qry"] {
            let own = format!("postroad.acme-two.{kind}.tau.");
            let inbox = b"_INBOX.acme-two.tau.";
            // In the place of the verb, of the instance with its inbox, and behind the inbox.
            let as_verb = [own.as_bytes(), b"i1.self.", token].concat();
            let as_instance = [own.as_bytes(), token, b".self.whoami"].concat();
            let plain = [own.as_bytes(), b"i1.self.whoami"].concat();
            let behind = [&inbox[..], b"i1.", token].concat();
            let other_inbox = [&inbox[..], token, b".x"].concat();
            attacker
                .publish(&as_verb, b"_INBOX.acme-two.tau.i1.x", b"{}")
                .await;
            attacker.publish(&as_instance, &other_inbox, b"{}").await;
            attacker.publish(&plain, &behind, b"{}").await;
            attacker.publish(&as_verb, b"", b"{}").await;
        }
        let heartbeat = [b"postroad.acme-two.presence.tau.", token].concat();
        attacker.publish(&heartbeat, b"", b"{}").await;
        attacker.settle().await;
        stage.expect_unharmed(token).await;
    }
    // They did reach the projector, which passed them over: at least the four white spaces in three places.
    let operator = stage.deployment.operator().await;
    let status = operator.operator().unwrap().status().await.unwrap();
    assert!(status.dropped_requests >= 12, "{status:?}");
}
