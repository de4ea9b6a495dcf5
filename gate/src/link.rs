//! One attempt to connect to one server: TCP, what it says of itself, TLS, the credential's signature.

use crate::parser::{Info, NotNats, Op, Parser};
use async_nats::ServerAddr;
use async_nats::rustls::crypto;
use async_nats::rustls::pki_types::ServerName;
use async_nats::rustls::{ClientConfig, RootCertStore};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::BytesMut;
use nkeys::KeyPair;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one attempt may take.
const ATTEMPT_WAIT: Duration = Duration::from_secs(5);
/// Room that a read is given at least, in bytes.
const READ_ROOM: usize = 64 * 1024;

/// Why a gate cannot connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// No server is named, or one by something that is no address.
    #[error("the list of servers cannot be read")]
    Servers(#[source] io::Error),
    /// The text of the credential.
    #[error("the credential is malformed")]
    Credential,
    /// The network, or TLS.
    #[error("no connection")]
    Io(#[from] io::Error),
    /// What listens there is no nats-server.
    #[error(transparent)]
    NotNats(#[from] NotNats),
    /// The server does not take the credential.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
}

impl GateError {
    /// Whether a server that is only just starting can be why.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io(_) | Self::TimedOut)
    }
}

/// What a gate connects with.
#[derive(Clone)]
pub struct GateOptions {
    pub(crate) servers: String,
    name: String,
    creds: Option<Arc<Credential>>,
    tls: Option<Arc<ClientConfig>>,
}

/// Signs what the server asks to have signed.
struct Credential {
    jwt: String,
    key: KeyPair,
}

impl fmt::Debug for GateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateOptions")
            .field("servers", &self.servers)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl GateOptions {
    /// To connect to `servers`, addresses that commas separate, without a credential.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            name: "postroad-gate".to_owned(),
            creds: None,
            tls: None,
        }
    }

    /// How the connection calls itself.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// With the text of a `.creds` file.
    ///
    /// # Errors
    /// [`GateError::Credential`].
    pub fn creds(mut self, text: &str) -> Result<Self, GateError> {
        let below = |title: &str| {
            let mut lines = text.lines().map(str::trim);
            lines.find(|line| line.starts_with("-----BEGIN") && line.contains(title));
            lines.find(|line| !line.is_empty())
        };
        let jwt = below("USER JWT").ok_or(GateError::Credential)?.to_owned();
        let seed = below("USER NKEY SEED").ok_or(GateError::Credential)?;
        let key = KeyPair::from_seed(seed).map_err(|_| GateError::Credential)?;
        self.creds = Some(Arc::new(Credential { jwt, key }));
        Ok(self)
    }

    /// Over TLS only, with this configuration. Without one, and where a server or its address asks for TLS, the
    /// authorities are believed that the system trusts.
    #[must_use]
    pub fn tls(mut self, config: Option<ClientConfig>) -> Self {
        self.tls = config.map(Arc::new);
        self
    }

    /// The servers that are named.
    pub(crate) fn addresses(&self) -> Result<Vec<ServerAddr>, GateError> {
        let names = self.servers.split(',').map(str::trim);
        let read: Result<Vec<ServerAddr>, _> = names
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect();
        match read {
            Ok(read) if !read.is_empty() => Ok(read),
            Ok(_) => Err(GateError::Servers(io::ErrorKind::InvalidInput.into())),
            Err(error) => Err(GateError::Servers(error)),
        }
    }

    /// Where one of the addresses asks for TLS, it is demanded of all, also of those that servers tell of.
    fn demands_tls(&self) -> bool {
        self.tls.is_some() || self.servers.contains("tls://")
    }

    fn connect_line(&self, info: &Info) -> Result<String, GateError> {
        let mut said = serde_json::json!({
            "verbose": false, "pedantic": false, "headers": true, "protocol": 1,
            "tls_required": self.demands_tls(), "name": self.name,
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(credential) = &self.creds {
            let signed = credential.key.sign(info.nonce.as_bytes());
            let signed = signed.map_err(|_| GateError::Credential)?;
            said["jwt"] = credential.jwt.clone().into();
            said["sig"] = BASE64_URL_SAFE_NO_PAD.encode(signed).into();
        }
        Ok(format!("CONNECT {said}\r\nPING\r\n"))
    }
}

/// Bytes both ways, over TLS or not.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, and what of it is read already.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    buffer: BytesMut,
    parser: Parser,
    /// Other servers of the cluster.
    pub(crate) told: Vec<String>,
}

impl Wire {
    /// Connects to one server.
    pub(crate) async fn connect(
        options: &GateOptions,
        server: &ServerAddr,
    ) -> Result<Self, GateError> {
        tokio::time::timeout(ATTEMPT_WAIT, Self::shake_hands(options, server))
            .await
            .unwrap_or(Err(GateError::TimedOut))
    }

    async fn shake_hands(options: &GateOptions, server: &ServerAddr) -> Result<Self, GateError> {
        let stream = TcpStream::connect((server.host(), server.port())).await?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream: Box::new(stream),
            buffer: BytesMut::new(),
            parser: Parser::default(),
            told: Vec::new(),
        };
        let Op::Info(info) = wire.next().await? else {
            return Err(GateError::Refused("it does not greet".to_owned()));
        };
        if options.demands_tls() || info.tls_required || server.tls_required() {
            wire = wire.encrypt(options, server).await?;
        }
        wire.write(options.connect_line(&info)?.as_bytes()).await?;
        wire.told = info.connect_urls;
        loop {
            match wire.next().await? {
                Op::Pong => return Ok(wire),
                Op::Error(text) => return Err(GateError::Refused(without_quotes(&text))),
                Op::Ping => wire.write(b"PONG\r\n").await?,
                Op::Info(info) => wire.told = info.connect_urls,
                Op::Ok | Op::Message(..) | Op::Unreadable => {}
            }
        }
    }

    async fn encrypt(self, options: &GateOptions, server: &ServerAddr) -> Result<Self, GateError> {
        // Said in the clear behind the greeting, by whoever sits between: it must not count as the server's.
        if !self.buffer.is_empty() {
            return Err(GateError::Refused("it speaks before TLS".to_owned()));
        }
        let config = match &options.tls {
            Some(config) => Arc::clone(config),
            None => Arc::new(of_the_system().await?),
        };
        let name = ServerName::try_from(server.host().to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config)
            .connect(name, self.stream)
            .await?;
        Ok(Self {
            stream: Box::new(stream),
            ..self
        })
    }

    /// The next operation that is read already.
    pub(crate) fn parsed(&mut self) -> Result<Option<Op>, NotNats> {
        self.parser.next(&mut self.buffer)
    }

    /// Reads what comes. Nothing is lost where this is given up.
    pub(crate) async fn read(&mut self) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < READ_ROOM / 4 {
            self.buffer.reserve(READ_ROOM);
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes all of `bytes`, in bounded time.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = tokio::time::timeout(ATTEMPT_WAIT, write).await;
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn next(&mut self) -> Result<Op, GateError> {
        loop {
            if let Some(op) = self.parsed()? {
                return Ok(op);
            }
            self.read().await?;
        }
    }
}

/// What the server says, up to where it quotes a subject: that names a tenant.
pub(crate) fn without_quotes(text: &str) -> String {
    let told = text.trim_matches('\'').split('"').next();
    told.unwrap_or_default().trim_end().to_owned()
}

/// Believes the authorities that the system trusts.
async fn of_the_system() -> io::Result<ClientConfig> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    if let Some(error) = found.errors.into_iter().next() {
        return Err(io::Error::other(error));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
