//! A fold of some of a shard's events in memory: all that is stored, then whatever comes. Owns how far it has
//! come and trying again; what events mean is for whoever takes them.

use crate::error::{LogError, Unreachable};
use crate::follow::Follower;
use crate::keyring::{Keyring, KeyringError};
use crate::shard::Shard;
use crate::stored::StoredEvent;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Pause after a failure that the follower does not pause after by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a fold cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log cannot be read, or is not the log that was followed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The data keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeyringError),
}

/// A fold that goes on for as long as this lives.
#[derive(Debug)]
pub struct Fold {
    shard: Shard,
    /// Last sequence that was taken.
    reached: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fold {
    /// Follows what lies under `filter` in `shard`, and returns once everything is taken that was stored before.
    /// `take` is given events in order, with their keys loaded; `who` is how the log of this process calls it.
    ///
    /// # Errors
    /// [`FoldError`].
    pub async fn follow(
        shard: Shard,
        filter: Vec<String>,
        keyring: Keyring,
        who: &'static str,
        take: impl FnMut(&[StoredEvent]) + Send + 'static,
    ) -> Result<Self, FoldError> {
        let end = end_of(&shard, &filter).await.map_err(LogError::from)?;
        let (report, reached) = watch::channel(0);
        let mut folding = Folding {
            shard: shard.number(),
            follower: Follower::filtered(shard.clone(), filter),
            read: Vec::new(),
            keyring,
            who,
            take,
            report,
        };
        while *reached.borrow() < end {
            folding.step().await?;
        }
        let task = tokio::spawn(folding.run());
        Ok(Self {
            shard,
            reached,
            task,
        })
    }

    /// What is followed.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Watches the last sequence that was taken.
    pub fn reached(&self) -> watch::Receiver<u64> {
        self.reached.clone()
    }
}

/// Where what lies under `filter` ends, as the stream's leader has it.
async fn end_of(shard: &Shard, filter: &[String]) -> Result<u64, Unreachable> {
    let mut end = 0;
    for subject in filter {
        let last = shard.leader_last_on_subject(subject).await?;
        end = end.max(last.map_or(0, |event| event.sequence));
    }
    Ok(end)
}

/// The fold of one shard.
struct Folding<F> {
    shard: u16,
    follower: Follower,
    /// Read and not taken yet.
    read: Vec<StoredEvent>,
    keyring: Keyring,
    who: &'static str,
    take: F,
    report: watch::Sender<u64>,
}

impl<F: FnMut(&[StoredEvent])> Folding<F> {
    async fn run(mut self) {
        let (shard, who) = (self.shard, self.who);
        loop {
            match self.step().await {
                Ok(()) => {}
                // The follower pauses by itself before it tries again.
                Err(FoldError::Log(LogError::Unreachable(error))) => {
                    tracing::debug!(shard, %error, "{who} waits for the log");
                }
                Err(error) => {
                    tracing::error!(shard, %error, "{who} cannot follow the log");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), FoldError> {
        if self.read.is_empty() {
            self.read = self.follower.next().await?;
        }
        // The follower has moved on, so these events are kept until their keys are there.
        self.keyring.load_for(&self.read).await?;
        let events = std::mem::take(&mut self.read);
        (self.take)(&events);
        if let Some(last) = events.last() {
            self.report.send_replace(last.sequence);
        }
        Ok(())
    }
}
