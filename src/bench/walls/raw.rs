//! NATS spoken by hand: a connection that never comes back by itself, so that its end and a refusal are
//! seen when they come. Owns one socket.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A connection that the server has taken.
#[derive(Debug)]
pub(super) struct Raw(BufReader<TcpStream>);

/// What of a server's greeting is needed.
#[derive(Debug, Deserialize)]
struct Greeting {
    nonce: String,
}

/// What a server says to a connection that asks to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Taken,
    Refused,
    Other,
}

impl Raw {
    /// Connects as the user of `key`; nothing when the server refuses.
    ///
    /// # Errors
    /// When the server cannot be reached, or says something else.
    pub(super) async fn connect(
        url: &str,
        jwt: &str,
        key: &KeyPair,
    ) -> anyhow::Result<Option<Self>> {
        let address = url.strip_prefix("nats://").unwrap_or(url);
        let mut server = BufReader::new(TcpStream::connect(address).await?);
        let mut line = String::new();
        server.read_line(&mut line).await?;
        let signature = key.sign(greeting(&line)?.nonce.as_bytes())?;
        let connect = json!({
            "verbose": false, "pedantic": false, "protocol": 1, "lang": "raw", "version": "0",
            "jwt": jwt, "sig": URL_SAFE_NO_PAD.encode(signature),
        });
        let connect = format!("CONNECT {connect}\r\nPING\r\n");
        server.get_mut().write_all(connect.as_bytes()).await?;
        line.clear();
        server.read_line(&mut line).await?;
        match word(&line) {
            Word::Taken => Ok(Some(Self(server))),
            Word::Refused => Ok(None),
            Word::Other => anyhow::bail!("the server neither takes nor refuses: {}", line.trim()),
        }
    }

    /// Waits until the server has closed it.
    pub(super) async fn cut(mut self) {
        let mut line = String::new();
        // A reset is an end, too.
        while matches!(self.0.read_line(&mut line).await, Ok(bytes) if bytes > 0) {
            line.clear();
        }
    }
}

fn greeting(line: &str) -> anyhow::Result<Greeting> {
    let json = line
        .strip_prefix("INFO ")
        .context("no nats-server greets")?;
    serde_json::from_str(json).context("the server asks for no signature")
}

fn word(line: &str) -> Word {
    if line.starts_with("PONG") {
        return Word::Taken;
    }
    let error = line.strip_prefix("-ERR").map(str::to_ascii_lowercase);
    match error {
        Some(error) if error.contains("authorization violation") => Word::Refused,
        Some(error) if error.contains("authentication revoked") => Word::Refused,
        _ => Word::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_counts_as_one() {
        assert_eq!(word("PONG\r\n"), Word::Taken);
        assert_eq!(word("-ERR 'Authorization Violation'\r\n"), Word::Refused);
        let revoked = "-ERR 'User Authentication Revoked'\r\n";
        assert_eq!(word(revoked), Word::Refused);
        for other in ["", "-ERR 'Secure Connection - TLS Required'\r\n", "+OK\r\n"] {
            assert_eq!(word(other), Word::Other, "{other}");
        }
        let info = "INFO {\"server_id\":\"N\",\"nonce\":\"abc\"}\r\n";
        assert_eq!(greeting(info).unwrap().nonce, "abc");
        assert!(greeting("INFO {}").is_err() && greeting("HELLO").is_err());
    }
}
