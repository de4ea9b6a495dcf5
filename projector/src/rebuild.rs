//! Folds a shard's log anew into a file beside the old one, while the old one is served, and hands
//! the new rows to the pipeline. A projector that dies meanwhile starts with the old rows.

use crate::apply::{ApplyError, Durability, apply};
use crate::checkpoint::Checkpoint;
use crate::hosts::{Host, RebuildTurn};
use crate::intake::Intake;
use crate::pipeline::{Swap, given_up};
use crate::store::{Store, StoreError};
use crate::writer::{Writer, passable_until};
use postroad_log::{Anchor, Broken, Keyring, KeyringError, LogError};
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
/// [`RebuildError`]; then nothing is left of the new file.
pub async fn rebuild(
    host: Arc<Host>,
    keyring: Keyring,
    subjects: Subjects,
    cache_bytes: usize,
) -> Result<(), RebuildError> {
    let turn = host.try_rebuild().ok_or(RebuildError::Running)?;
    let growing = Growing::begin(&host, turn, &keyring, cache_bytes).await?;
    let anchor = growing.fold(&host, &keyring, &subjects).await?;
    let (store, _turn) = growing.put_in_place(host.path().clone(), anchor).await?;
    host.swap(Swap { store, anchor })
        .await
        .map_err(|_| RebuildError::Stopping)
}

/// Rows that grow beside those that are served. Dropped before they are in place, for whatever reason,
/// they take their file with them: a disk that was full is not filled and left full.
pub(crate) struct Growing(Option<Grown>);

struct Grown {
    path: PathBuf,
    store: Store,
    writer: Writer,
    /// Given back once the file is gone: whoever rebuilds next uses the same name.
    turn: RebuildTurn,
}

impl Drop for Growing {
    fn drop(&mut self) {
        let Some(grown) = self.0.take() else {
            return;
        };
        let clear = move || {
            let Grown {
                path,
                store,
                writer,
                turn,
            } = grown;
            writer.end();
            drop(store);
            remove_or_tell(&path);
            drop(turn);
        };
        // Ending a writer and closing its file wait for the disk, which no async thread may.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clear)),
            Err(_) => clear(),
        }
    }
}

impl Growing {
    pub(crate) async fn begin(
        host: &Host,
        turn: RebuildTurn,
        keyring: &Keyring,
        cache_bytes: usize,
    ) -> Result<Self, RebuildError> {
        let (path, shard, keyring) = (beside(host.path()), host.shard().number(), keyring.clone());
        let begin = move || -> Result<Self, RebuildError> {
            remove_if_there(&path)?;
            let opened = Store::open(&path, cache_bytes);
            let started = opened
                .map_err(RebuildError::from)
                .and_then(|store| Ok((store, Writer::start(shard, keyring)?)));
            match started {
                Ok((store, writer)) => Ok(Self(Some(Grown {
                    path,
                    store,
                    writer,
                    turn,
                }))),
                Err(error) => {
                    remove_or_tell(&path);
                    Err(error)
                }
            }
        };
        tokio::task::spawn_blocking(begin)
            .await
            .map_err(|_| RebuildError::Stopping)?
    }

    /// Folds what the log holds now.
    async fn fold(
        &self,
        host: &Host,
        keyring: &Keyring,
        subjects: &Subjects,
    ) -> Result<Anchor, RebuildError> {
        let Self(Some(Grown { store, writer, .. })) = self else {
            return Err(RebuildError::Stopping);
        };
        let shard = host.shard().clone();
        // The log may have been replaced since this process opened it: fold what is there now.
        let extent = shard.extent().await.map_err(LogError::from)?;
        let ranges = given_up(&shard, keyring, subjects).await;
        let ranges = ranges.map_err(LogError::from)?;
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
                        .write(store, Arc::default(), &ranges, anchor)
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
            keyring.load_for(&events).await?;
            let written = intake
                .meanwhile(writer.write(store, Arc::new(events), &ranges, anchor))
                .await?;
            anchor = written.anchor;
            if let Some(sequence) = written.damaged {
                return Err(RebuildError::Damaged(sequence));
            }
        }
        Ok(anchor)
    }

    /// The rows that grow.
    pub(crate) fn store(&self) -> Result<Store, RebuildError> {
        let grown = self.0.as_ref().ok_or(RebuildError::Stopping)?;
        Ok(grown.store.clone())
    }

    /// Makes the rows durable and gives their file the old one's place.
    pub(crate) async fn put_in_place(
        mut self,
        target: PathBuf,
        anchor: Anchor,
    ) -> Result<(Store, RebuildTurn), RebuildError> {
        let Some(grown) = self.0.take() else {
            return Err(RebuildError::Stopping);
        };
        let place = move || -> Result<(Store, RebuildTurn), RebuildError> {
            let Grown {
                path,
                store,
                writer,
                turn,
            } = grown;
            writer.end();
            let checkpoint = Checkpoint::from(anchor);
            let placed = apply(&store, &[], checkpoint, Durability::Durable)
                .map_err(RebuildError::from)
                .and_then(|_| Ok(std::fs::rename(&path, target)?));
            if let Err(error) = placed {
                drop(store);
                remove_or_tell(&path);
                return Err(error);
            }
            Ok((store, turn))
        };
        tokio::task::spawn_blocking(place)
            .await
            .map_err(|_| RebuildError::Stopping)?
    }
}

fn remove_or_tell(path: &Path) {
    if let Err(error) = remove_if_there(path) {
        tracing::error!(path = %path.display(), %error, "a file of rows that were given up cannot be removed");
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
