//! The parts as separate processes, against any nats-server: `init` makes the deployment, `broker`
//! and `projector` run one part each.

use crate::cli::output::say;
use crate::deployment::accounts;
use crate::deployment::certificate;
use crate::deployment::grant::Templates;
use crate::deployment::jwt::Revocations;
use crate::deployment::keys::DeploymentKeys;
use crate::deployment::layout::{Layout, write_private};
use crate::deployment::lock::DirLock;
use crate::deployment::master_source::{MasterKeyArgs, choose};
use crate::deployment::nats_config::{Durability, ServerConfig, TlsFiles};
use crate::deployment::{disk, jwt, leftover};
use crate::gateway::{self, Prepared};
use crate::issuer::account::Account;
use crate::link::{operator_creds, part_creds};
use crate::model::ModelArgs;
use crate::parts::{Shared, Writing, start_broker, start_issuer, start_projector};
use crate::reach::{self, Reach, ReachArgs};
use crate::stop::StopSignal;
use crate::up::{LOCAL_OPERATOR, STOPPING, STOPPING_NOW};
use anyhow::Context as _;
use postroad_client::{Context, Trust};
use postroad_protocol::Refusal;
use postroad_protocol::limits::SHARDS_MAX;
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Service, Subjects};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Make the keys and the nats-server configuration of a deployment whose parts run separately.
///
/// Writes DIR/nats/nats-server.conf, DIR/operator.creds, DIR/broker.creds, DIR/projector.creds and
/// DIR/gateway.creds.
/// Then run nats-server with that configuration, and `postroad broker` and `postroad projector` as
/// often as you like. A machine that runs only one part needs its .creds file and the master key.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  postroad --dir /etc/postroad init --listen 127.0.0.1:4222
  postroad --dir /etc/postroad init --listen 0.0.0.0:4222 --tls-cert cert.pem --tls-key key.pem

{}", reach::TLS_HELP))]
pub(crate) struct InitArgs {
    /// Where nats-server will listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4222")]
    pub(crate) listen: SocketAddr,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value = "power-safe")]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// How a separate part finds its deployment, and what it opens the log with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PartArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) master: MasterKeyArgs,
}

/// How a separate part finds its deployment.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The part's own .creds file; otherwise one is signed with the keys in DIR.
    #[arg(long = "part-creds", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// Authority to trust that vouches for the nats-server's certificate, in PEM; by default what DIR/context.json says.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// Run the command side alone: commands become events.
///
/// Makes the shards that are missing. Runs an issuer too where the deployment's keys are in DIR. Any
/// number of brokers share the work. SIGTERM drains.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  postroad --dir /etc/postroad --server nats://127.0.0.1:4222 broker"
)]
pub(crate) struct BrokerArgs {
    #[command(flatten)]
    pub(crate) part: PartArgs,
    /// What an acknowledgement of the nats-server promises: how it is configured to sync.
    #[arg(long, value_enum, default_value = "power-safe")]
    pub(crate) durability: Durability,
    /// Shards that there are to be at least; a tenant lives in one.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    pub(crate) shards: u16,
    /// Replicas of each stream that is made; by default 3 where the nats-server is one of a cluster, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: Option<u8>,
}

/// Run the query side alone: events become rows, queries read rows.
///
/// Keeps its rows in --rows; they are folded from the log, so the folder may be lost. Any number of
/// projectors share the queries. SIGTERM drains.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  postroad --dir /etc/postroad projector --rows /var/lib/postroad/rows"
)]
pub(crate) struct ProjectorArgs {
    #[command(flatten)]
    pub(crate) part: PartArgs,
    /// Where the rows lie; by default DIR/rows. Each projector needs a folder of its own.
    #[arg(long, value_name = "DIR")]
    pub(crate) rows: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Makes a deployment whose parts run separately.
pub(crate) fn init(
    args: &InitArgs,
    dir: &Path,
    subjects: &Subjects,
    json: bool,
) -> anyhow::Result<()> {
    let reach = Reach::decide(&args.reach, args.listen)?;
    let layout = Layout::create(dir)?;
    let lock = DirLock::acquire(&layout)?;
    // What is written below is for a server that starts after it.
    leftover::refuse_foreign(&layout)?;
    let (keys, _) = DeploymentKeys::load_or_create(&layout, &lock, None)?;
    let templates = Templates::for_root(subjects.root());
    accounts::place(&layout, &keys, &templates)?;
    let config = ServerConfig {
        layout: &layout,
        listen: args.listen,
        tls: certificate_files(&args.reach)?,
        server_name: "postroad",
        durability: args.durability,
        max_file_store_bytes: disk::log_bytes_available(&layout.jetstream_dir())?,
        operator_jwt: &jwt::operator_jwt(&keys)?,
        system_account: &keys.system_account().public_key(),
    };
    write_private(&layout.nats_config(), config.render().as_bytes())?;
    let creds = |name: &str| layout.root().join(format!("{name}.creds"));
    write_private(
        &layout.operator_creds(),
        operator_creds(&keys, &templates, LOCAL_OPERATOR)?.as_bytes(),
    )?;
    for service in [Service::Broker, Service::Projector, Service::Gateway] {
        write_private(
            &creds(service.token()),
            part_creds(&keys, &templates, service)?.as_bytes(),
        )?;
    }
    // Over TLS, the parts and whoever works here are like everybody else: the certificate may be renewed, and
    // nats-server told so, without this DIR knowing.
    let context = match reach.certificate() {
        Some(_) => reach.elsewhere(args.listen.port()),
        None => reach.here(&format!("nats://{}", args.listen), args.listen.port()),
    };
    write_private(&layout.context(), &reach::written(&context)?)?;
    let url = context.url;
    if json {
        let document = serde_json::json!({
            "dir": layout.root(),
            "url": url,
            "natsConfig": layout.nats_config(),
            "operatorCreds": layout.operator_creds(),
            "brokerCreds": creds(Service::Broker.token()),
            "projectorCreds": creds(Service::Projector.token()),
            "gatewayCreds": creds(Service::Gateway.token()),
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "{document}")?;
        out.flush()?;
        return Ok(());
    }
    say(&format!(
        "made {dir}. Next, each in its own terminal:\n\n  nats-server -c {config}\n  postroad --dir {dir} --server {url} broker\n  \
         postroad --dir {dir} --server {url} projector\n",
        dir = layout.root().display(),
        config = layout.nats_config().display(),
    ));
    Ok(())
}

/// The files that were named, which nats-server reads where they are, at every start and reload of its own.
fn certificate_files(args: &ReachArgs) -> std::io::Result<Option<TlsFiles>> {
    Ok(match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles {
            cert: std::path::absolute(cert)?,
            key: std::path::absolute(key)?,
        }),
        _ => None,
    })
}

/// What a separate part is started with.
struct Part {
    shared: Shared,
    place: Place,
}

/// Where a separate part's deployment is, and who the part is there.
struct Place {
    url: String,
    trust: Trust,
    creds: zeroize::Zeroizing<String>,
    /// The deployment's keys, where they are in DIR.
    keys: Option<(Arc<DeploymentKeys>, Arc<Templates>)>,
    layout: Option<Layout>,
}

fn part(
    args: &PartArgs,
    service: Service,
    dir: Option<&Path>,
    url: Option<&str>,
    subjects: Subjects,
) -> anyhow::Result<Part> {
    let place = place(&args.place, service, dir, url, &subjects)?;
    let kept = place.keys.as_ref().and_then(|(keys, _)| keys.master());
    let master = choose(args.master.given()?, kept)?;
    let master = MasterKey::from_bytes(*master.expose());
    let (url, trust) = (place.url.clone(), place.trust.clone());
    Ok(Part {
        shared: Shared::new(url, trust, subjects, master),
        place,
    })
}

fn place(
    args: &PlaceArgs,
    service: Service,
    dir: Option<&Path>,
    url: Option<&str>,
    subjects: &Subjects,
) -> anyhow::Result<Place> {
    let layout = dir.map(Layout::open).transpose()?;
    let keys = match &layout {
        Some(layout) if layout.keys_dir().exists() => {
            let templates = Arc::new(Templates::for_root(subjects.root()));
            Some((Arc::new(DeploymentKeys::load(layout)?), templates))
        }
        _ => None,
    };
    let creds = match (&args.creds, &keys) {
        (Some(path), _) => zeroize::Zeroizing::new(
            std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?,
        ),
        (None, Some((keys, templates))) => part_creds(keys, templates, service)?,
        (None, None) => anyhow::bail!(Refusal::invalid(
            "part-creds",
            format!("there is no credential for the {}", service.token()),
            "give --part-creds FILE, or --dir with the deployment's keys; `postroad init` makes both",
        )),
    };
    let context = match &layout {
        Some(layout) => Context::in_dir(layout.root())?,
        None => None,
    };
    let trust = match (&args.tls_ca, &context) {
        (Some(path), _) => Trust::Pem(certificate::inlined(path, "tls-ca")?),
        (None, Some(context)) => context.trust(),
        (None, None) => Trust::System,
    };
    let url = url
        .map(str::to_owned)
        .or_else(|| Some(context?.url))
        .unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    Ok(Place {
        url,
        trust,
        creds,
        keys,
        layout,
    })
}

/// Runs a broker until it is told to stop.
pub(crate) async fn broker(
    args: BrokerArgs,
    dir: Option<&Path>,
    url: Option<&str>,
    subjects: Subjects,
    json: bool,
) -> anyhow::Result<()> {
    // Installed first: a broker takes commands before it says that it is ready.
    let mut stop = StopSignal::listen()?;
    let part = part(&args.part, Service::Broker, dir, url, subjects)?;
    let writing = Writing {
        durability: args.durability,
        shards: args.shards,
        replicas: args.replicas.map(usize::from),
    };
    let started = async {
        // First the account: a broker that connects on yesterday's permissions is refused without a word.
        if let Some((keys, templates)) = &part.place.keys {
            let account =
                Account::connect(&part.shared.url, &part.shared.trust, keys, templates).await?;
            if account.enforce(Revocations::new()).await? {
                tracing::info!("the server's account has today's permissions now");
            }
        }
        start_broker(&part.shared, &part.place.creds, writing).await
    };
    let broker = tokio::select! {
        broker = started => broker?,
        () = stop.asked() => return Ok(()),
    };
    // From here on it has commands to finish.
    let served = async {
        if let Some((keys, templates)) = &part.place.keys {
            start_issuer(&part.shared, keys, templates).await?;
        }
        say_ready(Service::Broker, &part.shared.url, json)?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let ended = tokio::select! {
        failed = served => failed,
        () = stop.asked() => Ok(()),
    };
    drain(broker.drain(), &mut stop).await;
    ended
}

/// Finishes what is in flight, unless somebody asks a second time.
async fn drain(drained: impl Future<Output = ()>, stop: &mut StopSignal) {
    say(STOPPING);
    tokio::select! {
        () = drained => {}
        () = stop.asked() => say(STOPPING_NOW),
    }
}

/// Runs a projector until it is told to stop.
pub(crate) async fn projector(
    args: ProjectorArgs,
    dir: Option<&Path>,
    url: Option<&str>,
    subjects: Subjects,
    json: bool,
) -> anyhow::Result<()> {
    let mut stop = StopSignal::listen()?;
    let part = part(&args.part, Service::Projector, dir, url, subjects)?;
    let model = args.model.folder();
    let rows = args
        .rows
        .or_else(|| part.place.layout.as_ref().map(Layout::rows_dir));
    let rows = rows.ok_or_else(|| {
        Refusal::invalid(
            "rows",
            "it is not said where the rows are to lie",
            "name a folder of this projector's own with --rows DIR",
        )
    })?;
    let projector = tokio::select! {
        projector = start_projector(&part.shared, &part.place.creds, rows, model) => projector?,
        () = stop.asked() => return Ok(()),
    };
    say_ready(Service::Projector, &part.shared.url, json)?;
    stop.asked().await;
    drain(projector.drain(), &mut stop).await;
    Ok(())
}

/// Serves MCP over HTTP until it is told to stop.
pub(crate) async fn gateway(
    prepared: Prepared,
    args: &PlaceArgs,
    dir: Option<&Path>,
    url: Option<&str>,
    subjects: Subjects,
    json: bool,
) -> anyhow::Result<()> {
    let mut stop = StopSignal::listen()?;
    let place = place(args, Service::Gateway, dir, url, &subjects)?;
    let started = gateway::start(prepared, &place.url, &place.trust, &subjects, &place.creds);
    let server = tokio::select! {
        server = started => server?,
        () = stop.asked() => return Ok(()),
    };
    gateway::say_ready(&server, json)?;
    stop.asked().await;
    drain(server.drain(), &mut stop).await;
    Ok(())
}

fn say_ready(service: Service, url: &str, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "ready": true, "part": service.token(), "url": url, "pid": std::process::id() })
        )?;
    } else {
        writeln!(out, "postroad {} ready {url}", service.token())?;
    }
    out.flush()
}
