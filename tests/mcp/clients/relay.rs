//! A relay on the loopback that adds a bearer token to each HTTP request. Owns nothing else of a request: the
//! conformance suite has no option for a token, and everything else that it sends is meant as it is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Longest head of a request.
const HEAD_MAX_BYTES: u64 = 64 * 1024;

/// A place for one, not yet taken by anything that is carried.
pub struct Relay(TcpListener);

impl Relay {
    pub fn bind() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).expect("a free port"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    /// Carries everything that comes to `server`, until the process of the test ends.
    pub fn carry_to(self, server: SocketAddr, token: &str) {
        let added = format!("Authorization: Bearer {token}\r\nConnection: close\r\n");
        let added = Arc::<str>::from(added);
        std::thread::spawn(move || {
            for client in self.0.incoming().map_while(Result::ok) {
                let added = Arc::clone(&added);
                // Either side may leave at any time; the other one sees that its connection ends.
                std::thread::spawn(move || drop(carry(&client, server, &added)));
            }
        });
    }
}

/// Carries one request and its answer. A connection has one: what follows a head is then carried unread.
fn carry(client: &TcpStream, server: SocketAddr, added: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        (&mut reader)
            .take(HEAD_MAX_BYTES)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() || head.len() as u64 > HEAD_MAX_BYTES {
            return Ok(());
        }
        if line.to_ascii_lowercase().starts_with(b"connection:") {
            continue;
        }
        let is_first = head.is_empty();
        head.extend_from_slice(&line);
        if is_first {
            head.extend_from_slice(added.as_bytes());
        }
        if line == b"\r\n" {
            break;
        }
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&head)?;
    std::thread::scope(|both| {
        both.spawn(|| {
            // The end of what the client sends is no end of the answer.
            let _ = std::io::copy(&mut reader, &mut &upstream);
            let _ = upstream.shutdown(Shutdown::Write);
        });
        let carried = std::io::copy(&mut &upstream, &mut &*client);
        let _ = client.shutdown(Shutdown::Both);
        carried.map(drop)
    })
}
