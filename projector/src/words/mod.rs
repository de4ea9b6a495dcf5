//! The index of words of a shard's messages: derived from the rows, behind them, in a file of its own, so that
//! folding a message costs what it cost without. What the index does not hold yet a search reads from the rows.
//!
//! | module | owns |
//! |---|---|
//! | `mod` | whose messages wait to be indexed, and who waits for that |
//! | [`indexer`] | the work behind the rows: what is next, in which steps, when it waits |
//! | [`fill`] | messages come into the file |
//! | [`find`] | words are looked for in it |
//! | [`layout`] | keys and values |

mod fill;
pub(crate) mod find;
mod indexer;
mod layout;

#[cfg(test)]
mod tests;

pub(crate) use layout::LAYOUT;

use crate::apply::Touched;
use crate::read_model::keys::Prefix;
use crate::side::{SideFile, SideSnapshot};
use postroad_log::Keyring;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How long the index leaves the machine to the rows after a large batch of theirs.
const PRESSED_FOR: Duration = Duration::from_millis(100);

/// The index of one shard.
pub(crate) struct Words {
    file: Arc<SideFile>,
    shard: u16,
    keyring: Keyring,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Until when the rows go first.
    pressed: Mutex<Option<Instant>>,
    /// Steps done.
    steps: watch::Sender<u64>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

/// Whose messages wait, each owner once.
#[derive(Default)]
struct Waiting {
    order: VecDeque<Prefix>,
    owners: HashSet<Prefix>,
    at_work: Option<Prefix>,
    /// Everybody is to be looked at: at the start, and where rows or file are others than before.
    everybody: bool,
}

/// What is done next.
enum Work {
    /// Look at everybody.
    Everybody,
    /// Index some of an owner's messages.
    Of(Prefix),
}

impl Waiting {
    fn add(&mut self, owner: Prefix) {
        if self.owners.insert(owner.clone()) {
            self.order.push_back(owner);
        }
    }

    fn next(&mut self) -> Option<Work> {
        if std::mem::take(&mut self.everybody) {
            return Some(Work::Everybody);
        }
        let owner = self.order.pop_front()?;
        self.owners.remove(&owner);
        self.at_work = Some(owner.clone());
        Some(Work::Of(owner))
    }

    fn holds(&self, owner: &Prefix) -> bool {
        self.everybody || self.owners.contains(owner) || self.at_work.as_ref() == Some(owner)
    }
}

impl Words {
    /// The index of shard `shard` in `file`.
    pub(crate) fn new(file: Arc<SideFile>, shard: u16, keyring: Keyring) -> Self {
        Self {
            file,
            shard,
            keyring,
            waiting: Mutex::default(),
            wake: Notify::new(),
            pressed: Mutex::default(),
            steps: watch::Sender::new(0),
        }
    }

    /// The file, to be kept.
    pub(crate) fn file(&self) -> &Arc<SideFile> {
        &self.file
    }

    /// As it stands now; none while it cannot be read.
    pub(crate) fn snapshot(&self) -> Option<SideSnapshot> {
        let snapshot = self.file.snapshot();
        snapshot
            .inspect_err(|error| tracing::debug!(%error, "the index of words is not open"))
            .ok()
    }

    /// A batch of events was applied, which touched these. `is_large` where more of them are about to come.
    pub(crate) fn applied(&self, touched: &[Touched], is_large: bool) {
        if is_large {
            *lock(&self.pressed) = Some(Instant::now() + PRESSED_FOR);
        }
        if touched.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let owners: HashSet<Prefix> = touched.iter().map(Prefix::of_touched).collect();
        for owner in owners {
            waiting.add(owner);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Other rows are served: what is here is compared with them.
    pub(crate) fn rows_replaced(&self) {
        self.look_at_everybody();
    }

    /// What is here does not read, or does not agree with the rows.
    pub(crate) fn did_not_read(&self) {
        tracing::warn!(shard = self.shard, "the index of words is made anew");
        self.file.make_anew();
    }

    fn look_at_everybody(&self) {
        lock(&self.waiting).everybody = true;
        self.wake.notify_one();
    }

    /// Waits until nothing of `owner` waits to be indexed, at most so long.
    pub(crate) async fn wait_for(&self, owner: &Prefix, longest: Duration) {
        let mut steps = self.steps.subscribe();
        let indexed = async {
            while lock(&self.waiting).holds(owner) {
                // The sender lives as long as this.
                let _ = steps.changed().await;
            }
        };
        let _ = tokio::time::timeout(longest, indexed).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
