//! MCP over HTTP as a part of this process: its options, its certificate, its own credential. Owns what they
//! come to; the serving itself is `postroad-mcp`'s.

use crate::cli::output::say;
use crate::deployment::certificate::ServerCertificate;
use crate::link::connect_part;
use anyhow::Context as _;
use async_nats::rustls::ServerConfig;
use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::pki_types::UnixTime;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use postroad_client::Trust;
use postroad_mcp::http::{Exchanger, HttpServer, Road, Settings};
use postroad_protocol::Refusal;
use postroad_protocol::subject::{Service, Subjects};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Requests and streams of one caller at once.
const REQUESTS_PER_CALLER: usize = 64;

/// How MCP is served over HTTP.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "MCP over HTTP")]
#[group(id = "HttpArgs")]
pub(crate) struct HttpArgs {
    /// Serve MCP over HTTP there, at /mcp, to whoever presents a token of `postroad token issue`.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Serve it over TLS: the certificate in PEM, its intermediates behind it.
    #[arg(long, value_name = "FILE", requires = "http", requires = "http_key")]
    pub(crate) http_cert: Option<PathBuf>,
    /// The certificate's private key in PEM, not encrypted.
    #[arg(long, value_name = "FILE", requires = "http_cert")]
    pub(crate) http_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS, as behind a proxy that has it: who can hear the network can read
    /// every token.
    #[arg(long, requires = "http", conflicts_with = "http_cert")]
    pub(crate) http_insecure: bool,
    /// Where clients find it, where that is not what --http says: scheme and host, as a proxy in front of it has
    /// them.
    #[arg(long, value_name = "URL", requires = "http", value_parser = base_url)]
    pub(crate) http_url: Option<http::Uri>,
    /// Another name that it may be called by, beside its own; may be given several times.
    #[arg(long, value_name = "HOST", requires = "http")]
    pub(crate) allow_host: Vec<String>,
    /// Origin of web pages that may call it, such as <https://app.example.com>; may be given several times.
    #[arg(long, value_name = "ORIGIN", requires = "http", value_parser = base_url)]
    pub(crate) allow_origin: Vec<http::Uri>,
    /// Callers at once: each that is active has a NATS connection.
    #[arg(long, value_name = "N", requires = "http", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) http_callers: u32,
    /// How long a caller that asks nothing keeps its connection and its sessions.
    #[arg(long, value_name = "DURATION", requires = "http", default_value = "30m", value_parser = crate::cli::duration)]
    pub(crate) http_idle: Duration,
    /// Tell there how many connections, requests, callers and sessions there are, at /counts; on this machine
    /// only.
    #[arg(long, value_name = "ADDR", requires = "http")]
    pub(crate) http_counts: Option<SocketAddr>,
}

/// A scheme and a host, and nothing behind.
fn base_url(text: &str) -> Result<http::Uri, String> {
    let wrong = || "write it as https://HOST or https://HOST:PORT".to_owned();
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let is_base = matches!(url.scheme_str(), Some("http" | "https"))
        && url.host().is_some_and(|host| !host.is_empty())
        && !text.contains('@')
        && url.path_and_query().is_none_or(|rest| rest.as_str() == "/");
    if is_base { Ok(url) } else { Err(wrong()) }
}

/// What is checked before anything starts.
pub(crate) struct Prepared {
    args: HttpArgs,
    listen: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
}

impl HttpArgs {
    /// Reads the certificate, and refuses what would let others listen in. Nothing where no HTTP is wanted.
    ///
    /// # Errors
    /// `invalid_argument` at the option that cannot be followed.
    pub(crate) fn prepare(&self) -> Result<Option<Prepared>, Refusal> {
        let Some(listen) = self.http else {
            return Ok(None);
        };
        let tls = match (&self.http_cert, &self.http_key) {
            (Some(cert), Some(key)) => {
                let loaded = ServerCertificate::load(cert, key, None, UnixTime::now());
                let certificate = loaded.map_err(at_http)?;
                Some(Arc::new(tls_config(&certificate)?))
            }
            _ => None,
        };
        if tls.is_none() && !is_loopback(listen) {
            if !self.http_insecure {
                return Err(Refusal::invalid(
                    "http",
                    format!("{listen} is open to the network, and there is no TLS"),
                    "give --http-cert and --http-key; or listen on 127.0.0.1; or, behind a proxy that has TLS, say \
                     --http-insecure",
                ));
            }
            say(&format!(
                "warning: MCP at {listen} is open to the network without TLS (--http-insecure): whoever can hear \
                 it can read every token. --http-cert ends that."
            ));
        }
        if let Some(counts) = self.http_counts.filter(|counts| !is_loopback(*counts)) {
            return Err(Refusal::invalid(
                "http-counts",
                format!("{counts} is open to the network"),
                "name an address of this machine alone, such as 127.0.0.1:9090",
            ));
        }
        Ok(Some(Prepared {
            args: self.clone(),
            listen,
            tls,
        }))
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What is wrong with a certificate, at the options that this one comes by.
fn at_http(refusal: Refusal) -> Refusal {
    let field = refusal.field.as_deref().unwrap_or_default();
    let field = field.replace("tls-", "http-");
    refusal.at(&field)
}

fn tls_config(certificate: &ServerCertificate) -> Result<ServerConfig, Refusal> {
    let (chain, key) = certificate.for_rustls();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for the default versions")
        .with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let message = format!("the certificate cannot be served: {error}");
        Refusal::invalid("http-cert", message, "name another, made for a server")
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Starts serving, with the gateway's own credential, which may ask the issuer and nothing else.
pub(crate) async fn start(
    prepared: Prepared,
    url: &str,
    trust: &Trust,
    subjects: &Subjects,
    creds: &str,
) -> anyhow::Result<HttpServer> {
    let Prepared { args, listen, tls } = prepared;
    make_room();
    let nats = connect_part(url, trust, Service::Gateway, creds).await?;
    let exchanger = Exchanger::new(nats, subjects);
    let settings = Settings {
        road: Road {
            servers: url.to_owned(),
            trust: trust.clone(),
            subjects: subjects.clone(),
            callers_max: args.http_callers as usize,
            requests_per_caller: REQUESTS_PER_CALLER,
            idle: args.http_idle,
        },
        listen,
        tls,
        hosts: args.allow_host,
        origins: args.allow_origin,
        public_url: args.http_url,
        counts: args.http_counts,
    };
    HttpServer::start(settings, exchanger)
        .await
        .with_context(|| format!("MCP cannot be served at {listen}"))
}

/// Says where it serves.
pub(crate) fn say_ready(server: &HttpServer, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (url, counts) = (server.url(), server.counts_url());
    if json {
        let mut document = serde_json::json!({
            "ready": true, "part": "mcp", "url": url, "pid": std::process::id(),
        });
        if let Some(counts) = counts {
            document["counts"] = counts.into();
        }
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "postroad mcp ready {url}")?;
        if let Some(counts) = counts {
            writeln!(out, "postroad mcp counts {counts}")?;
        }
    }
    out.flush()
}

/// Each caller takes two connections, and systems let a process have a thousand unless it asks for more.
fn make_room() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        http: HttpArgs,
    }

    fn prepare(options: &[&str]) -> Result<Option<Prepared>, Option<String>> {
        let words = std::iter::once("x").chain(options.iter().copied());
        let line = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        line.http.prepare().map_err(|refusal| refusal.field)
    }

    #[test]
    fn without_tls_only_this_machine_is_served_unless_somebody_insists() {
        assert!(prepare(&[]).unwrap().is_none());
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            assert!(prepare(&["--http", listen]).unwrap().is_some());
        }
        for listen in ["0.0.0.0:0", "10.0.0.1:80", "[::]:0"] {
            let refused = prepare(&["--http", listen]).err();
            assert_eq!(refused, Some(Some("http".to_owned())), "{listen}");
            assert!(prepare(&["--http", listen, "--http-insecure"]).is_ok());
        }
        let open = ["--http", "127.0.0.1:0", "--http-counts", "0.0.0.0:1"];
        assert_eq!(prepare(&open).err(), Some(Some("http-counts".to_owned())));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_told_at_its_own_option() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.pem");
        let path = path.to_str().unwrap();
        let options = [
            "--http",
            "127.0.0.1:0",
            "--http-cert",
            path,
            "--http-key",
            path,
        ];
        assert_eq!(prepare(&options).err(), Some(Some("http-cert".to_owned())));
    }

    #[test]
    fn options_of_http_want_http_and_urls_are_a_scheme_and_a_host() {
        let is_taken = |options: &[&str]| {
            let words = std::iter::once("x").chain(options.iter().copied());
            Line::try_parse_from(words).is_ok()
        };
        for alone in [
            &["--allow-host", "h"][..],
            &["--http-insecure"],
            &["--http-counts", "127.0.0.1:1"],
        ] {
            assert!(!is_taken(alone), "{alone:?}");
        }
        for good in ["https://h", "http://h:80", "https://[::1]:8443/"] {
            assert!(
                is_taken(&["--http", "127.0.0.1:0", "--http-url", good]),
                "{good}"
            );
        }
        for bad in [
            "h",
            "https://",
            "https://h/x",
            "https://h?x",
            "ftp://h",
            "https://u@h",
            "null",
        ] {
            assert!(
                !is_taken(&["--http", "127.0.0.1:0", "--allow-origin", bad]),
                "{bad}"
            );
        }
    }
}
