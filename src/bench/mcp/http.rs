//! A client of MCP over HTTP: one token, and as many connections as calls were in flight at once, each kept.
//! Owns the connections.

use super::rpc::{Call, METHOD, REVISION};
use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Who asks.
pub(super) struct HttpClient {
    authority: String,
    path: String,
    bearer: Zeroizing<String>,
    asked: AtomicU64,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl HttpClient {
    /// Of the server at `url`, with this token.
    ///
    /// # Errors
    /// When that is no URL of a server.
    pub(super) fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().context("a URL names its server")?;
        Ok(Self {
            authority: authority.to_string(),
            path: uri.path().to_owned(),
            bearer: Zeroizing::new(format!("Bearer {token}")),
            asked: AtomicU64::new(1),
            idle: Mutex::default(),
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none comes, or another than is expected.
    pub(super) async fn call(&self, call: Call) -> anyhow::Result<()> {
        let asked = tokio::time::timeout(ANSWER_WAIT, self.ask(call)).await;
        asked.context("MCP over HTTP does not answer")?
    }

    async fn ask(&self, call: Call) -> anyhow::Result<()> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, self.bearer.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header("MCP-Protocol-Version", REVISION)
            .header("Mcp-Method", METHOD)
            .header("Mcp-Name", call.tool())
            .body(Full::from(call.request(id).to_string()))?;
        let kept = self.idle().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        // The answer before may still be on its way out of the connection's task.
        connection.ready().await?;
        let answer = connection.send_request(request).await?;
        let (status, body) = (answer.status(), answer.into_body().collect().await?);
        let body = body.to_bytes();
        anyhow::ensure!(
            status == StatusCode::OK,
            "a {call} was answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        call.judge(id, &body)?;
        self.idle().push(connection);
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, and what went wrong is told to whoever asks.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
