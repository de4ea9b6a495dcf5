//! A relay on the loopback that adds a bearer token to each HTTP request. Owns nothing else of a request: the
//! conformance suite has no option for a token, and everything else that it sends is meant as it is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Longest head of a request.
const HEAD_MAX_BYTES: u64 = 64 * 1024;

/// Starts one in front of `server`; where it listens. It ends with the process of the test.
pub fn start(server: SocketAddr, token: &str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let added = Arc::<str>::from(format!(
        "Authorization: Bearer {token}\r\nConnection: close\r\n"
    ));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let added = Arc::clone(&added);
            // Either side may leave at any time; the other one sees that its connection ends.
            std::thread::spawn(move || drop(carry(&client, server, &added)));
        }
    });
    address
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
