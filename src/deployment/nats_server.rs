//! The supervised nats-server: started, watched, restarted, stopped.
//!
//! Owns the child process. Never writes its configuration, never connects as a client.

use super::layout::Layout;
use super::nats_binary::NatsBinary;
use super::server_log::LogTail;
use super::staging::Staging;
use async_nats::rustls::Error as TlsError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postroad_client::Trust;
use serde::Deserialize;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// The option ahead of the configuration's path; [`super::leftover`] recognises a server by both.
pub(crate) const CONFIG_OPTION: &str = "--config";

/// How long a server may take to accept connections. Milliseconds as a rule; after a crash it may
/// have to read a large log whole, and killing it in the middle would only make it begin again.
const READY_WAIT: Duration = Duration::from_mins(10);
/// How often to say that it is still at it.
const PATIENCE_EVERY: Duration = Duration::from_secs(10);
/// How often to try whether it accepts connections.
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// How long one try may take.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// Longest greeting of a server that is believed.
const GREETING_MAX_BYTES: u64 = 16 * 1024;
/// How long it may take to flush and end before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// The pause before the first restart; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Restarts in a row before it is given up; about half a minute.
const MAX_RESTARTS: u32 = 12;
/// How often to look whether batches are staged where they should be.
const PLACE_EVERY: Duration = Duration::from_secs(5);
/// A server that ran this long begins a new row.
const SOUND_AFTER: Duration = Duration::from_secs(30);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServerError {
    /// Something else listens there.
    #[error("port {} is in use on {}: stop what listens there, or choose another with --listen", listen.port(), listen.ip())]
    PortInUse {
        /// Where the server was to listen.
        listen: SocketAddr,
    },
    /// The system does not let anybody listen there.
    #[error(
        "cannot listen on {listen}: choose an address of this machine and a port you may use with --listen"
    )]
    CannotListen {
        /// Where the server was to listen.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The binary or its files could not be used.
    #[error("{} could not be started", binary.display())]
    Spawn {
        /// What was to run.
        binary: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It ended before it accepted a connection.
    #[error("nats-server ended at once ({status}); its last words:\n  {}", words.join("\n  "))]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        words: Vec<String>,
    },
    /// It lives but accepts no connection.
    #[error("nats-server accepted no connection within {} s; its last words:\n  {}", READY_WAIT.as_secs(), words.join("\n  "))]
    NotReady {
        /// The end of its log.
        words: Vec<String>,
    },
    /// It keeps dying.
    #[error("nats-server was restarted {restarts} times in a row and does not stay up")]
    GaveUp {
        /// How often it was tried.
        restarts: u32,
        /// What happened last, where it did not even start.
        source: Option<Arc<ServerError>>,
    },
    /// The system lost track of the process.
    #[error("nats-server could not be waited for")]
    Lost(#[source] io::Error),
}

/// What the supervisor says about the server.
#[derive(Clone, Debug)]
pub(crate) enum ServerState {
    /// It accepts connections.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It died and is being started again.
    Restarting {
        /// Which try this is, from 1.
        attempt: u32,
    },
    /// It was given up; nothing more is tried.
    Failed(Arc<ServerError>),
    /// It was stopped as asked.
    Stopped,
}

/// What to run. The configuration lies in place already.
#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    /// Which server.
    pub(crate) binary: NatsBinary,
    /// Where its configuration and its logs lie.
    pub(crate) layout: Layout,
    /// Where it listens, as the configuration says too. The port is not 0.
    pub(crate) listen: SocketAddr,
    /// What it calls itself, as the configuration says too: so that another server on the same
    /// port is not taken for it.
    pub(crate) server_name: String,
    /// By what it is known: over TLS, by its certificate.
    pub(crate) trust: Trust,
    /// Where batches wait for their commit; on disk without one.
    pub(crate) staging: Option<Arc<Staging>>,
}

/// A running server. Dropping it stops the server without waiting.
#[derive(Debug)]
pub(crate) struct NatsServer {
    state: watch::Receiver<ServerState>,
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<()>,
    listen: SocketAddr,
    trust: Trust,
    staging: Option<Arc<Staging>>,
}

impl NatsServer {
    /// Starts the server and returns when it accepts connections; from then on it is supervised.
    pub(crate) async fn start(plan: ServerPlan) -> Result<Self, ServerError> {
        let child = launch(&plan).await?;
        let (listen, trust, staging) = (plan.listen, plan.trust.clone(), plan.staging.clone());
        let (publish, state) = watch::channel(ServerState::Running {
            pid: child.id().unwrap_or_default(),
        });
        let (stop, stopped) = oneshot::channel();
        let supervisor = tokio::spawn(supervise(plan, child, publish, stopped));
        Ok(Self {
            state,
            stop,
            supervisor,
            listen,
            trust,
            staging,
        })
    }

    /// What happens to it; changes are seen as they come.
    pub(crate) fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// Where clients on this machine reach it.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.trust {
            Trust::System => "nats",
            _ => "tls",
        };
        format!("{scheme}://{}", reachable(self.listen))
    }

    /// By what clients on this machine know it.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The port on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Tells that shards may have been made: their batches are staged where those of the others are.
    pub(crate) async fn shards_made(&self) {
        with(self.staging.clone(), Staging::place).await;
    }

    /// Ends the server: asks first, kills after a while, and returns when it is gone.
    pub(crate) async fn stop(self) {
        // The supervisor may have given up already; then there is nothing to stop.
        let _ = self.stop.send(());
        let _ = self.supervisor.await;
    }
}

/// Where a server that listens on every address is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn supervise(
    plan: ServerPlan,
    mut child: Child,
    publish: watch::Sender<ServerState>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut restarts = 0;
    loop {
        let started = Instant::now();
        // A dropped handle counts as a wish to stop.
        let ended = tokio::select! {
            ended = child.wait() => ended,
            never = keep_placed(plan.staging.as_ref()) => match never {},
            _ = &mut stopped => {
                terminate(&mut child).await;
                publish.send_replace(ServerState::Stopped);
                return;
            }
        };
        if started.elapsed() >= SOUND_AFTER {
            restarts = 0;
        }
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(%how, "nats-server died and is started again");
        child = match tokio::select! {
            again = restart(&plan, &publish, &mut restarts) => again,
            _ = &mut stopped => {
                // A launch that was under way kills its own child when it is dropped.
                publish.send_replace(ServerState::Stopped);
                return;
            }
        } {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "nats-server is given up");
                publish.send_replace(ServerState::Failed(Arc::new(error)));
                return;
            }
        };
        publish.send_replace(ServerState::Running {
            pid: child.id().unwrap_or_default(),
        });
    }
}

/// Starts it again, with longer pauses the more often it fails in a row.
async fn restart(
    plan: &ServerPlan,
    publish: &watch::Sender<ServerState>,
    restarts: &mut u32,
) -> Result<Child, ServerError> {
    let mut last = None;
    while *restarts < MAX_RESTARTS {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (*restarts).min(16))
            .min(LONGEST_PAUSE);
        *restarts += 1;
        publish.send_replace(ServerState::Restarting { attempt: *restarts });
        sleep(pause).await;
        match launch(plan).await {
            Ok(child) => return Ok(child),
            Err(error) => {
                tracing::warn!(%error, attempt = *restarts, "nats-server does not start");
                last = Some(Arc::new(error));
            }
        }
    }
    Err(ServerError::GaveUp {
        restarts: *restarts,
        source: last,
    })
}

/// Starts the process and waits until it accepts connections.
async fn launch(plan: &ServerPlan) -> Result<Child, ServerError> {
    let spawn_error = |source| ServerError::Spawn {
        binary: plan.binary.path.clone(),
        source,
    };
    let (listen, layout) = (plan.listen, plan.layout.clone());
    let (log, stderr) = tokio::task::spawn_blocking(move || {
        port_is_free(listen)?;
        LogTail::begin(&layout).map_err(|source| ServerError::Spawn {
            binary: layout.nats_stderr(),
            source,
        })
    })
    .await
    .map_err(|panicked| spawn_error(io::Error::other(panicked)))??;
    let mut child = Command::new(&plan.binary.path)
        .arg(CONFIG_OPTION)
        .arg(plan.layout.nats_config())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        // Its own group, so that ctrl-c reaches Postroad alone, which drains before it stops the server.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(spawn_error)?;
    match wait_until_ready(plan, &mut child).await? {
        Ready::Yes => {
            with(plan.staging.clone(), Staging::renew).await;
            Ok(child)
        }
        Ready::Exited(status) => {
            let words = log.last_words().await;
            let in_use = words
                .iter()
                .any(|line| line.contains("address already in use"));
            Err(if in_use {
                ServerError::PortInUse { listen }
            } else {
                ServerError::Exited { status, words }
            })
        }
        Ready::Foreign => Err(ServerError::PortInUse { listen }),
        Ready::TooLate => Err(ServerError::NotReady {
            words: log.last_words().await,
        }),
    }
}

/// Sees to it that batches are staged where they should be, as long as it is waited for.
async fn keep_placed(staging: Option<&Arc<Staging>>) -> Infallible {
    loop {
        sleep(PLACE_EVERY).await;
        with(staging.cloned(), Staging::place).await;
    }
}

/// Does something with the staging, where there is one.
async fn with(staging: Option<Arc<Staging>>, what: fn(&Staging)) {
    let Some(staging) = staging else { return };
    if let Err(error) = tokio::task::spawn_blocking(move || what(&staging)).await {
        tracing::warn!(%error, "batches could not be staged in memory");
    }
}

enum Ready {
    Yes,
    Exited(ExitStatus),
    Foreign,
    TooLate,
}

async fn wait_until_ready(plan: &ServerPlan, child: &mut Child) -> Result<Ready, ServerError> {
    let greeted = async {
        let mut said = Instant::now();
        loop {
            if said.elapsed() >= PATIENCE_EVERY {
                tracing::warn!("nats-server accepts no connection yet: it is reading its log");
                said = Instant::now();
            }
            match timeout(PROBE_WAIT, greeting(plan)).await {
                Ok(Ok(Greeting::Own)) => return Ready::Yes,
                Ok(Ok(Greeting::Foreign)) => return Ready::Foreign,
                // Not there yet, or there and silent: it reads its log.
                Ok(Err(_)) | Err(_) => sleep(PROBE_EVERY).await,
            }
        }
    };
    tokio::select! {
        status = child.wait() => Ok(Ready::Exited(status.map_err(ServerError::Lost)?)),
        ready = timeout(READY_WAIT, greeted) => Ok(ready.unwrap_or(Ready::TooLate)),
    }
}

/// The part of a server's first line that tells who it is.
#[derive(Deserialize)]
struct Info {
    server_name: String,
}

/// Who answers on the port.
enum Greeting {
    Own,
    Foreign,
}

/// Asks who is there. The name comes in the clear, ahead of TLS; over TLS the server also proves to have the key.
async fn greeting(plan: &ServerPlan) -> io::Result<Greeting> {
    let address = reachable(plan.listen);
    let mut stream = TcpStream::connect(address).await?;
    let mut line = String::new();
    BufReader::new((&mut stream).take(GREETING_MAX_BYTES))
        .read_line(&mut line)
        .await?;
    let json = line
        .strip_prefix("INFO ")
        .ok_or(io::ErrorKind::InvalidData)?;
    let info: Info = serde_json::from_str(json)?;
    if info.server_name != plan.server_name {
        return Ok(Greeting::Foreign);
    }
    let config = plan.trust.client_config();
    let Some(config) = config.map_err(io::Error::other)? else {
        return Ok(Greeting::Own);
    };
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(address.ip().into(), stream).await {
        Ok(_) => Ok(Greeting::Own),
        Err(error) if is_of_tls(&error) => Ok(Greeting::Foreign),
        Err(error) => Err(error),
    }
}

/// Whether the server was heard out and not believed, rather than cut off.
fn is_of_tls(error: &io::Error) -> bool {
    let cause = error.get_ref();
    cause.is_some_and(|cause| cause.downcast_ref::<TlsError>().is_some())
}

/// Tries the port before the server does, for a clear answer instead of a line in a log.
fn port_is_free(listen: SocketAddr) -> Result<(), ServerError> {
    match std::net::TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(ServerError::PortInUse { listen })
        }
        Err(source) => Err(ServerError::CannotListen { listen, source }),
    }
}

async fn terminate(child: &mut Child) {
    let asked = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
    if matches!(asked, Some(Ok(()))) && timeout(STOP_WAIT, child.wait()).await.is_ok() {
        return;
    }
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "nats-server could not be killed");
    }
}
