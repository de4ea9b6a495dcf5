//! Listening, TLS, connections, and stopping. Owns how many connections there are and how long one may say
//! nothing; never reads a request.

use super::Counts;
use super::callers::{Callers, Road};
use super::exchange::Exchanger;
use super::refusal::json;
use super::routes::{Front, MCP_PATH, router};
use super::seat::Ending;
use super::site::Site;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// Connections at once. Those beyond wait in the system's own queue.
const CONNECTIONS_MAX: usize = 8_192;
/// Requests under way at once, of all callers, streams included.
const REQUESTS_MAX: usize = 8_192;
/// How long a connection may take for a handshake, and for the head of a request; so long, too, it may be idle.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long requests that are under way may take when this server stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// Pause after a connection that could not be taken: there are no file handles left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// What a server is started with.
pub struct Settings {
    /// Where callers' connections lead, and the bounds of each caller.
    pub road: Road,
    /// Where to listen.
    pub listen: SocketAddr,
    /// With which certificate; in the clear without.
    pub tls: Option<Arc<ServerConfig>>,
    /// Names beside its own that it may be called by.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call it.
    pub origins: Vec<Uri>,
    /// As others call it, where that is not what their requests say: scheme and host.
    pub public_url: Option<Uri>,
    /// Where to tell what is under way, to whoever watches this machine.
    pub counts: Option<SocketAddr>,
}

/// A server of MCP over HTTP that runs.
pub struct HttpServer {
    url: String,
    counts_url: Option<String>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl HttpServer {
    /// Listens, and serves until it is drained.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start(settings: Settings, exchanger: Exchanger) -> std::io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let local = listener.local_addr()?;
        let is_tls = settings.tls.is_some();
        let site = Site::new(
            local.ip(),
            &settings.hosts,
            &settings.origins,
            settings.public_url.as_ref(),
            is_tls,
        );
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(site.hosts().iter().cloned())
            .with_allowed_origins(site.origins())
            .enforce_origin_validation()
            .with_json_response(true)
            .with_max_request_body_bytes(super::body::BODY_MAX_BYTES);
        let stop = CancellationToken::new();
        let ending = Ending::default();
        let callers = Callers::new(settings.road, exchanger, config, ending.clone());
        let front = Arc::new(Front {
            site,
            callers,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            ending: ending.clone(),
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let counts_url = match settings.counts {
            Some(address) => {
                let watched = Watched {
                    front: Arc::clone(&front),
                    connections: Arc::clone(&connections),
                };
                Some(serve_counts(address, watched, stop.clone()).await?)
            }
            None => None,
        };
        let public = settings.public_url.map(|url| url.to_string());
        let scheme = if is_tls { "https" } else { "http" };
        let base = public.unwrap_or_else(|| format!("{scheme}://{local}"));
        let door = Door {
            router: router(front),
            tls: settings.tls.map(TlsAcceptor::from),
            connections,
        };
        let running = tokio::spawn(door.open(listener, stop.clone(), ending));
        Ok(Self {
            url: format!("{}{MCP_PATH}", base.trim_end_matches('/')),
            counts_url,
            stop,
            running,
        })
    }

    /// Where MCP is served.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is told what is under way, if anywhere.
    pub fn counts_url(&self) -> Option<&str> {
        self.counts_url.as_deref()
    }

    /// Takes no more connections, lets what is under way finish, and ends every caller.
    pub async fn drain(self) {
        self.stop.cancel();
        // It has a bound of its own; a panic in it leaves nothing to wait for.
        let _ = self.running.await;
    }
}

/// Takes connections.
struct Door {
    router: Router,
    tls: Option<TlsAcceptor>,
    connections: Arc<AtomicUsize>,
}

/// A connection that counts.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    async fn open(self, listener: TcpListener, stop: CancellationToken, ending: Ending) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            let place = Arc::clone(&room).acquire_owned();
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async { (place.await, listener.accept().await) } => accepted,
            };
            let (Ok(place), Ok((stream, _))) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            self.connections.fetch_add(1, Ordering::Relaxed);
            let counted = Counted(Arc::clone(&self.connections));
            let (router, tls, watcher) =
                (self.router.clone(), self.tls.clone(), graceful.watcher());
            tokio::spawn(async move {
                let _held = (place, counted);
                let _ = stream.set_nodelay(true);
                let Some(tls) = tls else {
                    return converse(stream, router, watcher).await;
                };
                let shaken = tokio::time::timeout(HEAD_PATIENCE, tls.accept(stream)).await;
                if let Ok(Ok(stream)) = shaken {
                    converse(stream, router, watcher).await;
                }
            });
        }
        drop(listener);
        // What waits ends now, what is being answered is finished, and streams, which would go on for ever, are
        // cut after that.
        ending.stopping.cancel();
        let mut done = std::pin::pin!(graceful.shutdown());
        if tokio::time::timeout(DRAIN_PATIENCE, &mut done)
            .await
            .is_err()
        {
            ending.over.cancel();
            let _ = tokio::time::timeout(DRAIN_PATIENCE, done).await;
        }
        ending.over.cancel();
    }
}

/// Serves one connection until it ends, or is to end.
async fn converse<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: I,
    router: Router,
    watcher: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How a connection ends is its client's affair.
    let _ = watcher.watch(connection).await;
}

/// What is counted.
#[derive(Clone)]
struct Watched {
    front: Arc<Front>,
    connections: Arc<AtomicUsize>,
}

async fn serve_counts(
    address: SocketAddr,
    watched: Watched,
    stop: CancellationToken,
) -> std::io::Result<String> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let router = Router::new()
        .route("/counts", get(counts))
        .with_state(watched);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(served.into_future());
    Ok(format!("http://{local}/counts"))
}

async fn counts(State(watched): State<Watched>) -> Response {
    let front = &watched.front;
    let counts = Counts {
        connections: watched.connections.load(Ordering::Relaxed),
        requests: REQUESTS_MAX - front.requests.available_permits(),
        callers: front.callers.count(),
        sessions: front.callers.sessions().await,
    };
    json(StatusCode::OK, &counts)
}
