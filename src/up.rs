//! `postroad up`: one process that carries a whole deployment. Owns the order of starting, the words
//! that say so, and the order of stopping.

use crate::cli::output::say;
use crate::cli::text::typed;
use crate::deployment::accounts::Carried;
use crate::deployment::embedded::{Deployment, NatsOptions};
use crate::deployment::layout::write_private;
use crate::deployment::master_source::{MasterKeyArgs, choose};
use crate::deployment::nats_config::Durability;
use crate::deployment::nats_server::{NatsServer, ServerState};
use crate::gateway::{self, HttpArgs, Prepared};
use crate::link::{operator_creds, part_creds};
use crate::model::ModelArgs;
use crate::parts::{Shared, Writing, start_broker, start_issuer, start_projector};
use crate::reach::{self, Reach, ReachArgs};
use crate::stop::StopSignal;
use anyhow::Context as _;
use postroad_broker::Broker;
use postroad_client::{Client, ClientError, ConnectOptions, Credential};
use postroad_mcp::http::HttpServer;
use postroad_projector::Projector;
use postroad_protocol::limits::SHARDS_MAX;
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::{ErrorCode, TenantId};
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The tenant that a new deployment begins with.
pub(crate) const FIRST_TENANT: &str = "default";
/// The operator's instance name on the deployment's own host.
pub(crate) const LOCAL_OPERATOR: &str = "local";

/// Start Postroad with its own nats-server, ready to use.
///
/// The first start makes DIR with keys, the tenant `default` and `operator.creds`; later starts find
/// everything again. Prints one line when it serves; ctrl-c or SIGTERM drains and stops it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  postroad up --listen 127.0.0.1:4222
  postroad up --http 127.0.0.1:8808
  postroad up --listen 0.0.0.0:4222 --tls-cert cert.pem --tls-key key.pem --advertise road.example.com

{}", reach::TLS_HELP))]
pub(crate) struct UpArgs {
    /// Where agents connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4222")]
    pub(crate) listen: SocketAddr,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value = "power-safe")]
    pub(crate) durability: Durability,
    /// The nats-server to run; otherwise the first new enough one on PATH or in .tools [env: NATS_SERVER]
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Shards that there are to be at least; a tenant lives in one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    pub(crate) shards: u16,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) master: MasterKeyArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// What is said when the stored account JWT could not be read, and with it whom it kept out.
const LOCKED_OUT: &str = "\
the server's record of revoked credentials was damaged, so every credential issued before now is refused. \
operator.creds is new; issue each agent another credential with `postroad agent issue --force`.";

/// What is said when a part is asked to end.
pub(crate) const STOPPING: &str = "postroad is stopping: finishing what is in flight";
/// And when it is asked again.
pub(crate) const STOPPING_NOW: &str = "asked twice: stopping now";

/// The parts that run.
struct Running {
    nats: NatsServer,
    broker: Broker,
    projector: Projector,
    http: Option<HttpServer>,
}

/// Runs until it is told to stop.
pub(crate) async fn run(
    args: UpArgs,
    dir: &Path,
    subjects: Subjects,
    json: bool,
) -> anyhow::Result<()> {
    // Installed first: a signal during the start must not leave a server behind.
    let mut stop = StopSignal::listen()?;
    let reach = Reach::decide(&args.reach, args.listen)?;
    let http = args.http.prepare()?;
    let given = args.master.given()?;
    let deployment = Deployment::open(dir, subjects.root(), given.as_ref()).await?;
    let master = choose(given, deployment.keys().master())?;
    let master = MasterKey::from_bytes(*master.expose());
    let root = subjects.clone();
    let started = tokio::select! {
        started = start(&deployment, &args, (&reach, http), subjects, master) => started?,
        () = stop.asked() => return Ok(()),
    };
    let elsewhere = reach.elsewhere(started.nats.port()).url;
    announce(&deployment, &started, &args, &elsewhere, &root, json)?;
    tokio::spawn(tell_of(started.nats.state()));
    let mut server = started.nats.state();
    let failed = tokio::select! {
        () = stop.asked() => None,
        failed = server.wait_for(|state| matches!(state, ServerState::Failed(_))) => match failed {
            Ok(state) => match &*state {
                ServerState::Failed(error) => Some(error.to_string()),
                _ => None,
            },
            Err(_) => Some("the supervisor of nats-server ended".to_owned()),
        },
    };
    say(STOPPING);
    let drained = async {
        // Its callers ask the others.
        if let Some(http) = started.http {
            http.drain().await;
        }
        started.projector.report_usage().await;
        started.broker.drain().await;
        started.projector.drain().await;
    };
    tokio::select! {
        () = drained => {}
        () = stop.asked() => say(STOPPING_NOW),
    }
    started.nats.stop().await;
    match failed {
        None => Ok(()),
        Some(error) => Err(anyhow::anyhow!(
            "nats-server could not be kept running: {error}"
        )),
    }
}

async fn start(
    deployment: &Deployment,
    args: &UpArgs,
    (reach, http): (&Reach, Option<Prepared>),
    subjects: Subjects,
    master: MasterKey,
) -> anyhow::Result<Running> {
    let options = NatsOptions {
        listen: args.listen,
        durability: args.durability,
        binary: args.nats_server.clone(),
        certificate: reach.certificate().cloned(),
    };
    let (nats, carried) = deployment.start_nats(&options).await?;
    let (keys, templates, layout) = (
        deployment.keys(),
        deployment.templates(),
        deployment.layout(),
    );
    let shared = Shared::new(nats.url(), nats.trust().clone(), subjects, master);
    let writing = Writing {
        durability: args.durability,
        shards: args.shards,
        replicas: Some(1),
    };
    let broker = start_broker(
        &shared,
        &part_creds(keys, templates, Service::Broker)?,
        writing,
    )
    .await?;
    nats.shards_made().await;
    start_issuer(&shared, keys, templates).await?;
    let projector_creds = part_creds(keys, templates, Service::Projector)?;
    let projector = start_projector(
        &shared,
        &projector_creds,
        layout.rows_dir(),
        args.model.folder(),
    )
    .await?;
    let creds = operator_creds(keys, templates, LOCAL_OPERATOR)?;
    let is_locked_out = carried == Carried::EverybodyLockedOut;
    if is_locked_out || !layout.operator_creds().exists() {
        write_private(&layout.operator_creds(), creds.as_bytes())?;
    }
    if is_locked_out {
        say(LOCKED_OUT);
    }
    let context = reach.here(&shared.url, nats.port());
    write_private(&layout.context(), &reach::written(&context)?)?;
    // Before the first tenant there is nobody; afterwards the operator alone decides who exists. Alone
    // on the register, it may be half made by a start that was killed, and is made again.
    let homes = projector.hosts().keyring().homes();
    if homes.is_empty() || matches!(homes.as_slice(), [(only, _)] if only.as_str() == FIRST_TENANT)
    {
        create_first_tenant(&shared, &creds).await?;
    }
    let http = match http {
        Some(prepared) => {
            let creds = part_creds(keys, templates, Service::Gateway)?;
            let Shared {
                url,
                trust,
                subjects,
                ..
            } = &shared;
            Some(gateway::start(prepared, url, trust, subjects, &creds).await?)
        }
        None => None,
    };
    Ok(Running {
        nats,
        broker,
        projector,
        http,
    })
}

async fn create_first_tenant(shared: &Shared, creds: &str) -> anyhow::Result<()> {
    let credential =
        Credential::parse(creds).context("the operator's own credential does not read")?;
    let options = ConnectOptions::new(&shared.url, credential)
        .trust(shared.trust.clone())
        .subjects(shared.subjects.clone());
    let client = Client::connect(options).await?;
    let tenant = TenantId::parse(FIRST_TENANT)?;
    match client.operator()?.create_tenant(&tenant, None).await {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Conflict => Ok(()),
        Err(error) => Err(error).context("the tenant `default` could not be created"),
    }
}

/// Says what happens to nats-server, until it is stopped.
async fn tell_of(mut server: watch::Receiver<ServerState>) {
    while server.changed().await.is_ok() {
        match &*server.borrow_and_update() {
            ServerState::Running { pid } => tracing::warn!(pid, "nats-server runs again"),
            ServerState::Restarting { attempt } => {
                tracing::warn!(attempt, "nats-server died and is started again");
            }
            ServerState::Failed(error) => tracing::error!(%error, "nats-server was given up"),
            ServerState::Stopped => return,
        }
    }
}

fn announce(
    deployment: &Deployment,
    running: &Running,
    args: &UpArgs,
    elsewhere: &str,
    subjects: &Subjects,
    json: bool,
) -> std::io::Result<()> {
    let url = running.nats.url();
    let dir = deployment.layout().root();
    let mut out = std::io::stdout().lock();
    if json {
        let document = serde_json::json!({
            "ready": true,
            "url": url,
            "advertised": elsewhere,
            "dir": dir,
            "pid": std::process::id(),
            "mcp": running.http.as_ref().map(HttpServer::url),
            "mcpCounts": running.http.as_ref().and_then(HttpServer::counts_url),
        });
        writeln!(out, "{document}")?;
        return out.flush();
    }
    writeln!(out, "postroad ready {url}")?;
    out.flush()?;
    drop(out);
    if let Some(http) = &running.http {
        gateway::say_ready(http, false)?;
    }
    let postroad = typed(
        program(deployment, subjects)
            .iter()
            .map(OsString::as_os_str),
    );
    if args.durability == Durability::Fast {
        say(
            "\nAcknowledged messages survive every crash, but for up to two minutes not a power loss (--durability fast).",
        );
    }
    if elsewhere != url {
        say(&format!("\nOther machines find it at {elsewhere}"));
    }
    if !deployment.is_new() {
        say(&format!(
            "\nIn another terminal:\n\n  \
             {postroad} agent list --tenant {FIRST_TENANT}\n  \
             {postroad} --as {FIRST_TENANT}/ROLE check\n  \
             {postroad} status\n"
        ));
        return Ok(());
    }
    say(&format!(
        "\nTry it in another terminal:\n\n  \
         {postroad} agent issue --tenant {FIRST_TENANT} --role alice && {postroad} agent issue --tenant {FIRST_TENANT} --role bob\n  \
         {postroad} --as {FIRST_TENANT}/alice send bob \"hello from alice\"\n  \
         {postroad} --as {FIRST_TENANT}/bob check\n"
    ));
    Ok(())
}

/// How this deployment is asked from any directory: whoever copies a command may stand anywhere.
fn program(deployment: &Deployment, subjects: &Subjects) -> Vec<OsString> {
    let typed = std::env::args_os().next().unwrap_or_default();
    let program = match std::env::current_exe() {
        Ok(path) if typed.to_string_lossy().contains('/') => path.into_os_string(),
        _ => "postroad".into(),
    };
    let mut words = vec![
        program,
        "--dir".into(),
        deployment.layout().root().as_os_str().to_owned(),
    ];
    let root = subjects.root();
    if root != Subjects::default().root() {
        words.extend(["--root".into(), root.into()]);
    }
    words
}
