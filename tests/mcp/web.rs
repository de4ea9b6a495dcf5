//! An MCP client over HTTP by hand, and the gateway that it calls: one connection for each request, headers as the
//! test writes them.

use crate::client::NEW;
use crate::harness::process::Process;
use crate::harness::{Deployment, binary, eventually};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use postroad_client::{Client, NewAgent};
use postroad_mcp::http::Counts;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::token::Token;
use postroad_protocol::{InstanceId, Role, TenantId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A running `postroad mcp --http`.
pub struct Gateway {
    pub process: Process,
    /// HOST:PORT.
    pub address: String,
    counts: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The body as one JSON document, or the last one of a stream.
    #[track_caller]
    pub fn json(&self) -> Value {
        let of_stream = self.body.lines().rev();
        let data = of_stream
            .filter_map(|line| line.strip_prefix("data:"))
            .find(|data| data.trim_start().starts_with('{'));
        let text = data.unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Gateway {
    /// Starts one beside the deployment, in the clear on this machine.
    pub fn start(deployment: &Deployment, args: &[&str]) -> Self {
        let mut command = std::process::Command::new(binary());
        command
            .args(["--dir".as_ref(), deployment.path().as_os_str()])
            .args(["--json", "mcp", "--http", "127.0.0.1:0"])
            .args(["--http-counts", "127.0.0.1:0"])
            .args(args);
        let (process, ready) = Process::start_until_line(command);
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let url = ready["url"].as_str().unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        Self {
            process,
            address: rest.strip_suffix("/mcp").unwrap().to_owned(),
            counts: ready["counts"].as_str().unwrap().to_owned(),
        }
    }

    pub async fn counts(&self) -> Counts {
        let (_, rest) = self.counts.split_once("://").unwrap();
        let address = rest.strip_suffix("/counts").unwrap();
        let answer = send(address, get("/counts", address)).await;
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Waits until nobody is there any more.
    pub async fn expect_nobody(&self) {
        eventually("everybody is gone", async || {
            self.counts().await == Counts::default()
        })
        .await;
    }

    /// A client of the revision without sessions.
    pub fn caller(&self, token: &Token) -> Web {
        Web::new(&self.address, &token.text())
    }
}

/// A request without a body.
pub fn get(path: &str, host: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", host)
        .body(Full::default())
        .unwrap()
}

/// Sends a request, and gives its answer as it begins.
pub async fn open(address: &str, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    over(stream, request).await
}

async fn over<I>(stream: I, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// Sends a request, and reads its answer to the end.
pub async fn send(address: &str, request: Request<Full<Bytes>>) -> Answer {
    read(open(address, request).await).await
}

/// The same over TLS, trusting this certificate.
pub async fn send_tls(
    address: &str,
    name: &str,
    ca_pem: &str,
    request: Request<Full<Bytes>>,
) -> Answer {
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    read(over(stream, request).await).await
}

/// Reads an answer to its end, or to where it is cut.
pub async fn read(response: Response<Incoming>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(bytes).unwrap(),
    }
}

/// One MCP client.
#[derive(Clone, Debug)]
pub struct Web {
    pub address: String,
    pub token: String,
    /// Of the revision with sessions.
    pub session: Option<String>,
}

impl Web {
    pub fn new(address: &str, token: &str) -> Self {
        Self {
            address: address.to_owned(),
            token: token.to_owned(),
            session: None,
        }
    }

    /// Opens a session of the revision that has them.
    pub async fn with_session(mut self, revision: &str) -> Self {
        let hello = json!({
            "protocolVersion": revision, "capabilities": {},
            "clientInfo": {"name": "by-hand", "version": "1"}
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello});
        let opened = send(&self.address, self.post(&body)).await;
        assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
        self.session = Some(opened.header("mcp-session-id").to_owned());
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let told = send(&self.address, self.post(&body)).await;
        assert_eq!(told.status, StatusCode::ACCEPTED, "{told:?}");
        self
    }

    /// A request of a method, in the form of this client's revision.
    pub fn asking(&self, method: &str, mut params: Value) -> Request<Full<Bytes>> {
        if self.session.is_none() {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": NEW,
                "io.modelcontextprotocol/clientInfo": {"name": "by-hand", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {}
            });
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(&body)
    }

    /// A POST with this body, and all the headers that it wants.
    pub fn post(&self, body: &Value) -> Request<Full<Bytes>> {
        let mut request = Request::post("/mcp")
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        } else if body["params"].get("_meta").is_some() {
            request = request
                .header("mcp-protocol-version", NEW)
                .header("mcp-method", body["method"].as_str().unwrap());
            let named = body["params"].get("name").or(body["params"].get("uri"));
            if let Some(name) = named {
                request = request.header("mcp-name", name.as_str().unwrap());
            }
        }
        request.body(Full::from(body.to_string())).unwrap()
    }

    /// The answer to a call of a tool.
    pub async fn try_call(&self, tool: &str, arguments: &Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        send(&self.address, self.asking("tools/call", params)).await
    }

    /// What a tool answers. Where the server has no room it is asked again, as clients are told to.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.try_call(tool, &arguments).await;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE
                && start.elapsed() < crate::harness::DEADLINE
            {
                assert_eq!(answer.header("retry-after"), "1");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let told = answer.json();
            assert_eq!(told["result"]["isError"], json!(false), "{told}");
            return told["result"]["structuredContent"].clone();
        }
    }

    /// Contents of the unread messages.
    pub async fn unread(&self) -> Vec<String> {
        let checked = self.call("check_messages", json!({})).await;
        let messages = checked["messages"].as_array().unwrap().iter();
        messages
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Puts a token on a roster, with the scopes that messaging needs.
pub async fn token(
    operator: &Client,
    tenant: &str,
    role: &str,
    instance: &str,
    ttl: Option<Duration>,
) -> Token {
    token_of(operator, tenant, role, instance, ttl, &[Scope::Messages]).await
}

/// The same for these scopes besides `self`.
pub async fn token_of(
    operator: &Client,
    tenant: &str,
    role: &str,
    instance: &str,
    ttl: Option<Duration>,
    scopes: &[Scope],
) -> Token {
    let token = Token::generate();
    let mut agent = NewAgent::token(
        Role::parse(role).unwrap(),
        InstanceId::parse(instance).unwrap(),
    )
    .scopes(scopes.to_vec());
    if let Some(ttl) = ttl {
        agent = agent.ttl(ttl);
    }
    let tenant = TenantId::parse(tenant).unwrap();
    let roster = operator.roster(Some(&tenant)).unwrap();
    let key = token.key().public_key();
    roster.issue(&agent, &key).await.expect("it is issued");
    token
}

/// Ends a token.
pub async fn revoke(operator: &Client, tenant: &str, token: &Token) {
    let tenant = TenantId::parse(tenant).unwrap();
    let roster = operator.roster(Some(&tenant)).unwrap();
    let key = postroad_client::Revoke::Key(token.key().public_key());
    roster.revoke(&key).await.expect("it is revoked");
}
