//! JSON-RPC over this process's own streams, one message a line.
//!
//! Owns reading, writing, and ending in time. Each stream has a thread of its own: neither a client that says
//! nothing nor one that does not read keeps the process when it is asked to end.

use crate::caller::Caller;
use crate::server::Server;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorData, GetMeta as _, ProtocolVersion, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::service::{
    RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server_with_ct,
};
use rmcp::transport::Transport;
use serde_json::Value;
use std::io::{self, BufRead, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Longest line that is read, in bytes. The largest message that can be sent takes a fifth of it, however its
/// letters are escaped.
const LINE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Lines read ahead.
const READ_AHEAD: usize = 4;
/// Messages that wait to be written.
const WRITES_WAITING: usize = 64;
/// How long the last messages may take to go out.
const FLUSH_PATIENCE: Duration = Duration::from_millis(300);
/// How long everything may take to end.
const END_PATIENCE: Duration = Duration::from_millis(600);
/// How long nothing must have happened before the end of the stream counts: what was begun is then on its way. The
/// library waits for seconds for whatever it had not heard of until then.
const LULL: Duration = Duration::from_millis(20);

/// How to serve over stdio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Push news of mail into the session; see [`crate::channel`].
    pub channel: bool,
}

/// Serves `caller` until the client closes its stream, or `stopped` comes.
///
/// # Errors
/// What went wrong before the session began, in words.
pub async fn serve(
    caller: Arc<Caller>,
    options: Options,
    stopped: impl Future<Output = ()>,
) -> Result<(), ErrorData> {
    let ending = CancellationToken::new();
    let cut = CancellationToken::new();
    let mut server = Server::new(caller).ending_with(ending.clone());
    if options.channel {
        server = server.with_channel();
    }
    let transport = Stdio::open(ending.clone());
    let mut session = pin!(session(server, transport, cut.clone()));
    tokio::select! {
        ended = &mut session => return ended,
        // The client has gone.
        () = ending.cancelled() => {}
        () = stopped => {
            ending.cancel();
            cut.cancel();
        }
    }
    // Whatever is under way gets its last moment. What does not end in that time ends with the process.
    let ended = tokio::time::timeout(END_PATIENCE, session).await;
    ended.unwrap_or(Ok(()))
}

async fn session(
    server: Server,
    transport: Stdio,
    cut: CancellationToken,
) -> Result<(), ErrorData> {
    match serve_server_with_ct(server, transport, cut).await {
        Ok(running) => {
            // How it ended concerns nobody: the client has gone.
            let _ = running.waiting().await;
            Ok(())
        }
        Err(ServerInitializeError::InitializeFailed(error)) => Err(error),
        Err(_) => Ok(()),
    }
}

/// A line as it was read.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The two streams.
struct Stdio {
    lines: mpsc::Receiver<Line>,
    out: Option<mpsc::Sender<Vec<u8>>>,
    written: Option<oneshot::Receiver<()>>,
    ending: CancellationToken,
    /// Whether a session has begun: before, only requests concern a server.
    has_begun: bool,
}

impl Stdio {
    fn open(ending: CancellationToken) -> Self {
        Self::over(io::stdin(), io::stdout(), ending)
    }

    fn over(
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        ending: CancellationToken,
    ) -> Self {
        let (sender, lines) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || read(io::BufReader::new(input), &sender));
        let (out, waiting) = mpsc::channel(WRITES_WAITING);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            write(output, waiting);
            // Nobody may be there to hear it.
            let _ = done.send(());
        });
        Self {
            lines,
            out: Some(out),
            written: Some(written),
            ending,
            has_begun: false,
        }
    }

    /// Answers what could not be read. Where the client does not read, either, it goes without.
    fn refuse(&self, error: ErrorData, id: Option<RequestId>) {
        let refusal = ServerJsonRpcMessage::error(error, id);
        if let (Some(out), Some(line)) = (&self.out, line_of(&refusal)) {
            let _ = out.try_send(line);
        }
    }

    /// The message in a line, if it is one that concerns a server now.
    fn taken(&mut self, line: Line) -> Option<ClientJsonRpcMessage> {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                let message = format!("a message has at most {LINE_MAX_BYTES} bytes");
                self.refuse(ErrorData::invalid_request(message, None), None);
                return None;
            }
        };
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line);
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(line) else {
            self.refuse_malformed(line);
            return None;
        };
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        self.has_begun |= begins_session(&message);
        (self.has_begun || is_request).then_some(message)
    }

    fn refuse_malformed(&self, line: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            let error =
                ErrorData::parse_error("this line is no JSON: send one message a line", None);
            return self.refuse(error, None);
        };
        let is_notification =
            value.get("id").is_none() && value.get("method").is_some_and(Value::is_string);
        if is_notification {
            return;
        }
        let id = value.get("id").cloned();
        let id = id.and_then(|id| serde_json::from_value::<RequestId>(id).ok());
        let error =
            ErrorData::invalid_request("this is no JSON-RPC 2.0 message of the protocol", None);
        self.refuse(error, id);
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let out = self.out.clone();
        let line = line_of(&message);
        async move {
            let (Some(out), Some(line)) = (out, line) else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let sent = out.send(line).await;
            sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let out = self.out.clone()?;
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line,
                // Whoever does not take answers is not there.
                () = out.closed() => None,
            };
            let Some(line) = line else {
                self.ending.cancel();
                tokio::time::sleep(LULL).await;
                return None;
            };
            if let Some(message) = self.taken(line) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        drop(self.out.take());
        if let Some(written) = self.written.take() {
            // A client that does not read what is left is not waited for.
            let _ = tokio::time::timeout(FLUSH_PATIENCE, written).await;
        }
        Ok(())
    }
}

/// Whether a session begins with this message: with a handshake, or with a request that needs none. Asking what
/// the server is begins nothing.
fn begins_session(message: &ClientJsonRpcMessage) -> bool {
    let ClientJsonRpcMessage::Request(request) = message else {
        return false;
    };
    let request = &request.request;
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_) => false,
        _ => {
            let (meta, newest) = (request.get_meta(), ProtocolVersion::LATEST);
            let is_known = |version| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
            meta.missing_required_keys(&newest).is_empty()
                && meta.protocol_version().is_some_and(is_known)
        }
    }
}

fn line_of(message: &ServerJsonRpcMessage) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(message).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Hands lines on until the stream ends, or nobody takes them any more.
fn read(mut input: impl BufRead, lines: &mpsc::Sender<Line>) {
    while let Ok(Some(line)) = next_line(&mut input) {
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// The next line, whole or known to be too long; nothing at the end. A last line without its end was cut off.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        is_too_long |= line.len() + taken > LINE_MAX_BYTES;
        if is_too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(&chunk[..taken]);
        }
        input.consume(taken);
        match end {
            Some(_) if is_too_long => return Ok(Some(Line::TooLong)),
            Some(_) => return Ok(Some(Line::Whole(line))),
            None => {}
        }
    }
}

fn write(mut output: impl Write, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = waiting.blocking_recv() {
        if output
            .write_all(&line)
            .and_then(|()| output.flush())
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The methods that were taken of `input`, and what was written meanwhile.
    async fn spoken(input: Vec<u8>) -> (Vec<String>, Vec<Value>) {
        let written = Written::default();
        let ending = CancellationToken::new();
        let mut stdio = Stdio::over(io::Cursor::new(input), written.clone(), ending.clone());
        let mut methods = Vec::new();
        while let Some(message) = stdio.receive().await {
            let message = serde_json::to_value(&message).unwrap();
            methods.push(message["method"].as_str().unwrap().to_owned());
        }
        assert!(
            ending.is_cancelled(),
            "the end of the stream ends what waits"
        );
        stdio.close().await.unwrap();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (methods, lines.collect())
    }

    #[tokio::test]
    async fn what_is_no_message_is_answered_and_what_follows_is_served() {
        let lines = [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "{",
            "",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"{"id":7,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":"$/unheard-of","params":7}"#,
            r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",
                "capabilities":{},"clientInfo":{"name":"a","version":"1"}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#,
        ];
        let lines = lines.map(|line| line.replace('\n', ""));
        let (methods, written) = spoken((lines.join("\n") + "\n{\"cut").into_bytes()).await;
        let served = ["ping", "initialize", "notifications/initialized", "ping"];
        assert_eq!(methods, served);
        let codes: Vec<i64> = written
            .iter()
            .map(|line| line["error"]["code"].as_i64().unwrap())
            .collect();
        assert_eq!(codes, [-32700, -32600, -32600]);
        assert_eq!(written[2]["id"], 7);
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_kept_in_memory() {
        let mut input = vec![b'a'; LINE_MAX_BYTES + 1];
        input.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
        let (methods, written) = spoken(input).await;
        assert_eq!(methods, ["ping"]);
        assert_eq!(written[0]["error"]["code"], -32600);
        assert!(
            written[0]["error"]["message"]
                .as_str()
                .unwrap()
                .contains("at most")
        );
    }
}
