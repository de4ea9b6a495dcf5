//! The events of a deployment as they lie in its log, read with a credential of its own projector.
//! Owns no event; folds none.

use super::super::stage::Deployment;
use crate::deployment::grant::Templates;
use crate::deployment::keys::DeploymentKeys;
use crate::deployment::layout::Layout;
use crate::deployment::master_source::{MasterKeyArgs, choose};
use crate::link::{connect_part, part_creds};
use anyhow::Context as _;
use async_nats::jetstream;
use postroad_client::Trust;
use postroad_log::{Anchor, Follower, Keyring, StoredEvent, streams};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Service, Subjects};
use std::path::PathBuf;
use std::time::Duration;

/// How long the log may take to give the next events.
const NEXT_WAIT: Duration = Duration::from_secs(20);

/// The beginning of a log.
pub(super) struct Log {
    /// Of which shard.
    pub(super) shard: u16,
    /// Its incarnation.
    pub(super) epoch: u64,
    /// What opens its events; every key that they need is loaded.
    pub(super) keyring: Keyring,
    /// In their order, sealed.
    pub(super) events: Vec<StoredEvent>,
}

/// Reads the first `count` events of a deployment's one shard.
pub(super) async fn read(deployment: &Deployment, count: usize) -> anyhow::Result<Log> {
    let keys = DeploymentKeys::load(&Layout::open(deployment.dir())?)?;
    let subjects = Subjects::default();
    let templates = Templates::for_root(subjects.root());
    let creds = part_creds(&keys, &templates, Service::Projector)?;
    let url = deployment.url();
    let client = connect_part(url, &Trust::System, Service::Projector, &creds).await?;
    let context = jetstream::new(client);
    // What the deployment was given by its surroundings, this process was given, too.
    let given = MasterKeyArgs {
        master_key: std::env::var_os("POSTROAD_MASTER_KEY_FILE").map(PathBuf::from),
    };
    let master = choose(given.given()?, keys.master())?;
    let master = MasterKey::from_bytes(*master.expose());
    let keyring = Keyring::open(&context, subjects, master).await?;
    let shards = streams::list_shards(&context).await?;
    let shard = shards.into_iter().next().context("there is no shard")?;
    let (number, epoch) = (shard.number(), shard.epoch());
    let mut follower = Follower::new(shard, Anchor::start(epoch));
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        let next = tokio::time::timeout(NEXT_WAIT, follower.next()).await;
        events.extend(next.context("the log is shorter than what was sent")??);
    }
    events.truncate(count);
    keyring.load_for(&events).await?;
    Ok(Log {
        shard: number,
        epoch,
        keyring,
        events,
    })
}
