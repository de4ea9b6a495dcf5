//! NATS by hand over a TCP socket: an attacker is bound by no library, which would refuse to send
//! some of this, and would always read what it is sent.

use crate::harness::DEADLINE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::future::Future;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// How these connections call themselves.
pub const NAME: &str = "by-hand";

/// What the server sent.
#[derive(Clone, Debug)]
pub enum Frame {
    /// `-ERR`, without its quotes.
    Error(String),
    /// A message, as it came.
    Message(Delivered),
    /// The answer to a `PING`.
    Pong,
    /// The server closed the connection.
    End,
}

/// A message that was delivered.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub subject: String,
    pub payload: Vec<u8>,
}

/// One connection.
pub struct Socket {
    stream: BufReader<TcpStream>,
    /// Number of the last subscription.
    subscriptions: u32,
}

impl Socket {
    /// Connects with the text of a `.creds` file; what the server says where it refuses.
    pub async fn connect(url: &str, creds: &str) -> Result<Self, String> {
        let (jwt, seed) = parts(creds);
        Self::connect_as(url, jwt, seed).await
    }

    /// Connects with this JWT, whatever it says, and the signature of this seed.
    pub async fn connect_as(url: &str, jwt: &str, seed: &str) -> Result<Self, String> {
        let address = url.trim_start_matches("nats://");
        let stream = TcpStream::connect(address).await.expect("NATS listens");
        let mut stream = BufReader::new(stream);
        let mut info = String::new();
        stream.read_line(&mut info).await.expect("it greets");
        let info = info.strip_prefix("INFO ").expect("with INFO");
        let info: Value = serde_json::from_str(info).expect("in JSON");
        let nonce = info["nonce"].as_str().expect("it asks for a signature");
        let key = KeyPair::from_seed(seed).expect("a seed");
        let signature = key.sign(nonce.as_bytes()).expect("it signs");
        let connect = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1,
            "name": NAME, "lang": "by hand", "version": "0", "jwt": jwt, "sig": BASE64_URL_SAFE_NO_PAD.encode(signature),
        });
        let mut socket = Self {
            stream,
            subscriptions: 0,
        };
        socket.write(format!("CONNECT {connect}\r\nPING\r\n")).await;
        match socket.next().await {
            Frame::Pong => Ok(socket),
            Frame::Error(error) => Err(error),
            other => Err(format!("{other:?}")),
        }
    }

    /// Writes these bytes, whatever they are. A connection that the server has closed takes none.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within(self.stream.get_mut().write_all(bytes.as_ref())).await;
        // What follows finds the end of the connection, if that is why.
        drop(written);
    }

    /// Publishes.
    pub async fn publish(&mut self, subject: &[u8], reply: &[u8], body: &[u8]) {
        let size = format!(" {}\r\n", body.len());
        let parts: [&[u8]; 7] = [
            b"PUB ",
            subject,
            if reply.is_empty() { b"" } else { b" " },
            reply,
            size.as_bytes(),
            body,
            b"\r\n",
        ];
        self.write(parts.concat()).await;
    }

    /// Publishes with a block of headers, which is sent as it stands.
    pub async fn publish_with_headers(
        &mut self,
        subject: &[u8],
        reply: &str,
        headers: &[u8],
        body: &[u8],
    ) {
        let sizes = format!(
            " {reply} {} {}\r\n",
            headers.len(),
            headers.len() + body.len()
        );
        let parts: [&[u8]; 6] = [b"HPUB ", subject, sizes.as_bytes(), headers, body, b"\r\n"];
        self.write(parts.concat()).await;
    }

    /// Subscribes.
    pub async fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.write(format!("SUB {subject} {}\r\n", self.subscriptions))
            .await;
    }

    /// The next thing that the server says, no later than a test may wait for it.
    pub async fn next(&mut self) -> Frame {
        within(self.read()).await
    }

    async fn read(&mut self) -> Frame {
        loop {
            let mut line = Vec::new();
            if let Ok(0) | Err(_) = self.stream.read_until(b'\n', &mut line).await {
                return Frame::End;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let mut words = line.split(' ');
            match words.next() {
                Some("PING") => self.write("PONG\r\n").await,
                Some("PONG") => return Frame::Pong,
                Some("-ERR") => {
                    let error = line.trim_start_matches("-ERR ").trim_matches('\'');
                    return Frame::Error(error.to_owned());
                }
                Some("MSG") => return self.message(&line, false).await,
                Some("HMSG") => return self.message(&line, true).await,
                _ => {}
            }
        }
    }

    async fn message(&mut self, line: &str, has_headers: bool) -> Frame {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| -> usize { words[words.len() - place].parse().unwrap() };
        let (size, headers) = (number(1), if has_headers { number(2) } else { 0 });
        let mut body = vec![0; size + 2];
        if self.stream.read_exact(&mut body).await.is_err() {
            return Frame::End;
        }
        Frame::Message(Delivered {
            subject: words[1].to_owned(),
            payload: body[headers..size].to_vec(),
        })
    }

    /// Waits until the server has closed the connection.
    pub async fn expect_cut(&mut self) {
        while !matches!(self.next().await, Frame::End) {}
    }

    /// Everything that the server says until it has taken all that was written; ends with
    /// [`Frame::End`] when it has closed the connection.
    pub async fn settle(&mut self) -> Vec<Frame> {
        self.write("PING\r\n").await;
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Frame::Pong => return frames,
                Frame::End => {
                    frames.push(Frame::End);
                    return frames;
                }
                frame => frames.push(frame),
            }
        }
    }

    /// Sends a request by hand and gives the answer's JSON. The inbox is subscribed to already.
    pub async fn request(&mut self, subject: &[u8], reply: &str, body: &[u8]) -> Value {
        self.publish(subject, reply.as_bytes(), body).await;
        self.answer(reply).await
    }

    /// The next message on `reply`.
    pub async fn answer(&mut self, reply: &str) -> Value {
        loop {
            match self.next().await {
                Frame::Message(message) if message.subject == reply => {
                    return serde_json::from_slice(&message.payload)
                        .unwrap_or_else(|error| panic!("{error}: {message:?}"));
                }
                Frame::End => panic!("the connection ended before the answer"),
                _ => {}
            }
        }
    }
}

/// The JWT and the seed in the text of a `.creds` file.
pub fn parts(creds: &str) -> (&str, &str) {
    let mut lines = creds.lines().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['-', '*', 'W'])
    });
    (
        lines.next().expect("a JWT").trim(),
        lines.next().expect("a seed").trim(),
    )
}

async fn within<T>(done: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, done)
        .await
        .expect("the server goes on")
}
