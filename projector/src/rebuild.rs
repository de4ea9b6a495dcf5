//! Folds a shard's log anew into a file beside the old one, while the old one is served, and hands
//! the new rows to the pipeline. A projector that dies meanwhile starts with the old rows.

use crate::apply::ApplyError;
use crate::hosts::Host;
use crate::intake::Intake;
use crate::pipeline::{Swap, given_up};
use crate::store::{Store, StoreError};
use crate::writer::{Writer, passable_until};
use postroad_log::{Anchor, Broken, Keyring, KeyringError, LogError, Unreachable};
use postroad_protocol::subject::Subjects;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a rebuild was given up; the old rows are served as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The keys could not be loaded.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The new file could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new rows could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The file system refused.
    #[error("the file of the rebuilt rows could not be put in place")]
    Files(#[from] std::io::Error),
    /// An event is not what was written.
    #[error("event {0} of the log is damaged; `postroad status` says what to do")]
    Damaged(u64),
    /// A rebuild of this shard runs already.
    #[error("the rows of this shard are being folded anew already")]
    Running,
    /// The projector is stopping.
    #[error("the projector is stopping")]
    Stopping,
}

/// Where the new rows grow: beside the old file.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Rebuilds the rows of `host`, if no rebuild of it is running.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    host: Arc<Host>,
    keyring: Keyring,
    subjects: Subjects,
    cache_bytes: usize,
) -> Result<(), RebuildError> {
    let _turn = host.try_rebuild().ok_or(RebuildError::Running)?;
    let path = beside(host.path());
    let target = path.clone();
    let store = tokio::task::spawn_blocking(move || -> Result<Store, RebuildError> {
        remove_if_there(&target)?;
        Ok(Store::open(&target, cache_bytes)?)
    })
    .await
    .map_err(|_| RebuildError::Stopping)??;
    let shard = host.shard().clone();
    // The log may have been replaced since this process opened it: fold what is there now.
    let extent = shard.extent().await.map_err(LogError::from)?;
    let ranges = given_up(&shard, &keyring, &subjects).await?;
    let writer = Writer::start(shard.number(), keyring.clone())?;
    let mut anchor = Anchor::start(extent.epoch);
    let mut intake = Intake::new(shard.clone(), anchor);
    while anchor.sequence < extent.last {
        let events = match intake.next().await {
            Ok(events) => events,
            Err(LogError::Broken(Broken::Gap { from, to })) => {
                let last = passable_until(&ranges, from, to)
                    .ok_or_else(|| LogError::from(Broken::Gap { from, to }))?;
                anchor = Anchor::given_up(anchor.epoch, last);
                anchor = writer
                    .write(&store, Arc::default(), &ranges, anchor)
                    .await?
                    .anchor;
                intake.skip_to(anchor);
                continue;
            }
            Err(LogError::Unreachable(error)) => {
                tracing::debug!(shard = shard.number(), %error, "the log is not reachable");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if events.is_empty() {
            continue;
        }
        load_keys(&keyring, &events).await?;
        let written = intake
            .meanwhile(writer.write(&store, Arc::new(events), &ranges, anchor))
            .await?;
        anchor = written.anchor;
        if let Some(sequence) = written.damaged {
            return Err(RebuildError::Damaged(sequence));
        }
    }
    // Ending the writer makes its commits durable before the file takes the old one's place.
    tokio::task::spawn_blocking(move || drop(writer))
        .await
        .map_err(|_| RebuildError::Stopping)?;
    std::fs::rename(&path, host.path())?;
    host.swaps()
        .send(Swap { store, anchor })
        .await
        .map_err(|_| RebuildError::Stopping)
}

async fn load_keys(
    keyring: &Keyring,
    events: &[postroad_log::StoredEvent],
) -> Result<(), RebuildError> {
    match keyring.load_for(events).await {
        Err(KeyringError::Unreachable(error)) => {
            Err(LogError::from(Unreachable::at("loading data keys")(error)).into())
        }
        other => Ok(other?),
    }
}

/// Removes a file that may not be there.
///
/// # Errors
/// What the file system says.
pub fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
