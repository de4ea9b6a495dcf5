//! Broker, projector and issuer as parts of one process: which are started, in which order, with
//! which credential, and how they are stopped. The same for `up` and for the separate commands.

use crate::deployment::grant::Templates;
use crate::deployment::keys::DeploymentKeys;
use crate::deployment::nats_config::Durability;
use crate::issuer::Issuer;
use crate::issuer::account::Account;
use crate::issuer::follow::Following;
use crate::link::{connect_gate, connect_part, part_creds};
use anyhow::Context as _;
use async_nats::jetstream;
use postroad_broker::{Broker, BrokerConfig};
use postroad_client::Trust;
use postroad_log::Keyring;
use postroad_projector::{Projector, ProjectorConfig};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::{Admission, Tagger};
use std::path::PathBuf;
use std::sync::Arc;

/// Copies of the log in a cluster.
const CLUSTER_REPLICAS: usize = 3;

/// What every part of a process shares.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Where NATS is.
    pub(crate) url: String,
    /// By what it is known.
    pub(crate) trust: Trust,
    /// The deployment's subjects.
    pub(crate) subjects: Subjects,
    /// The one door of this process.
    pub(crate) admission: Arc<Admission>,
    /// Opens data keys.
    pub(crate) master: MasterKey,
}

impl Shared {
    /// Builds the one [`Admission`] of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where a process that holds service credentials opens its door"
    )]
    pub(crate) fn new(url: String, trust: Trust, subjects: Subjects, master: MasterKey) -> Self {
        let admission = Arc::new(Admission::new(subjects.clone()));
        Self {
            url,
            trust,
            subjects,
            admission,
            master,
        }
    }
}

/// How a broker writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
    /// Shards that there are to be at least.
    pub(crate) shards: u16,
    /// Replicas of each stream that is made; by default as many as the server's surroundings allow.
    pub(crate) replicas: Option<usize>,
}

/// Starts a broker with `creds`; it makes the streams that are missing.
pub(crate) async fn start_broker(
    shared: &Shared,
    creds: &str,
    writing: Writing,
) -> anyhow::Result<Broker> {
    let client = connect_part(&shared.url, &shared.trust, Service::Broker, creds).await?;
    // A server alone can hold one copy only; a cluster must not lose its log with one of its servers.
    let is_in_cluster = client.server_info().cluster.is_some();
    let of_surroundings = if is_in_cluster { CLUSTER_REPLICAS } else { 1 };
    let replicas = writing.replicas.unwrap_or(of_surroundings);
    let gate = connect_gate(&shared.url, &shared.trust, Service::Broker, creds).await?;
    let config = BrokerConfig {
        client,
        gate,
        subjects: shared.subjects.clone(),
        admission: Admission::clone(&shared.admission),
        master: shared.master.clone(),
        durability: match writing.durability {
            Durability::PowerSafe => postroad_broker::Durability::PowerSafe,
            Durability::Fast => postroad_broker::Durability::Fast,
        },
        replicas,
        shards: writing.shards,
        tagger: Tagger::new(&shared.master),
    };
    Broker::start(config)
        .await
        .context("the broker did not start")
}

/// Starts a projector with `creds` whose rows lie in `rows`, and which finds memories by meaning where there is a `model`.
pub(crate) async fn start_projector(
    shared: &Shared,
    creds: &str,
    rows: PathBuf,
    model: Option<PathBuf>,
) -> anyhow::Result<Projector> {
    let client = connect_part(&shared.url, &shared.trust, Service::Projector, creds).await?;
    let gate = connect_gate(&shared.url, &shared.trust, Service::Projector, creds).await?;
    let config = ProjectorConfig {
        client,
        gate,
        subjects: shared.subjects.clone(),
        admission: Arc::clone(&shared.admission),
        master: shared.master.clone(),
        rows,
        model,
    };
    Projector::start(config)
        .await
        .context("the projector did not start")
}

/// Starts an issuer with the deployment's keys. It ends with the process: what it signs is decided
/// by the log, so nothing of it needs to be drained.
pub(crate) async fn start_issuer(
    shared: &Shared,
    keys: &Arc<DeploymentKeys>,
    templates: &Arc<Templates>,
) -> anyhow::Result<()> {
    let creds = part_creds(keys, templates, Service::Issuer)?;
    let client = connect_part(&shared.url, &shared.trust, Service::Issuer, &creds).await?;
    let context = jetstream::new(client.clone());
    let subjects = shared.subjects.clone();
    let keyring = Keyring::open(&context, subjects.clone(), shared.master.clone()).await?;
    let account = Account::connect(&shared.url, &shared.trust, keys, templates).await?;
    let following = Following::start(context, subjects, keyring.clone()).await?;
    let issuer = Issuer {
        client,
        subjects: shared.subjects.clone(),
        admission: Arc::clone(&shared.admission),
        keyring,
        keys: Arc::clone(keys),
        templates: Arc::clone(templates),
        account,
        following,
    };
    issuer.start().await.context("the issuer did not start")
}
