//! The one thread that embeds memories, behind everything else: of low priority, on one core, and never while a query is
//! embedded. Owners take turns of a bounded time, so a memory waits for as many of them as there are owners with something to do, and
//! for the longest text. What is made is committed with how far it has come, so a process that dies goes on there.

use super::model::Model;
use super::queue::{Due, Next, Queue};
use super::{VECTORS, Vectors, key_of, model_tag};
use crate::apply::Durability;
use crate::pipeline::with_causes;
use crate::read_model::keys::Prefix;
use crate::side::{IsOver, SideBatch, SideError, SideFile, Tenure};
use crate::store::StoreError;
use postroad_protocol::limits::{AWAITING_COUNTED_MAX, EMBED_TURN_MEMORIES, EMBED_TURN_MS};
use postroad_recall::facts::ContentHash;
use postroad_recall::model::{Embedder, Threads};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a turn gathers vectors before it commits them.
const TURN: Duration = Duration::from_millis(EMBED_TURN_MS);
/// Pause after rows or vectors could not be read or written.
const RETRY: Duration = Duration::from_secs(1);
/// How long a visible commit may wait to become durable.
const DURABLE_EVERY: Duration = Duration::from_secs(1);
/// Vectors of another model that are dropped in one transaction.
const DROPPED_AT_ONCE: usize = 1_000;
/// How far behind the others the thread stands, of 0 to 19.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// A content in the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingDocument {
    /// Of the event that brought it: one brings one content at most.
    pub(crate) sequence: u64,
    pub(crate) content: String,
}

/// The contents in one shard's rows, as they stand now. Called by one thread, which may block.
pub(crate) trait Pending: Send + Sync {
    /// Whoever has some.
    fn owners(&self) -> Result<Vec<Prefix>, StoreError>;

    /// Which creation of the owner's name the rows are of; none when it does not live any more.
    fn tenure(&self, owner: &Prefix) -> Option<Tenure>;

    /// The next `limit` of the owner's from behind a sequence, in order of theirs.
    fn after(
        &self,
        owner: &Prefix,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<PendingDocument>, StoreError>;

    /// How many lie behind a sequence, or `at_most` of more.
    fn count_after(
        &self,
        owner: &Prefix,
        sequence: u64,
        at_most: usize,
    ) -> Result<usize, StoreError>;
}

/// The thread, and what it is told.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    model: Arc<Model>,
    is_over: IsOver,
    queue: Queue,
    shards: Mutex<BTreeMap<u16, Shard>>,
    embedded: AtomicU64,
    skipped: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

#[derive(Clone)]
struct Shard {
    file: Arc<SideFile>,
    pending: Arc<dyn Pending>,
}

impl Worker {
    /// Starts the thread. Where there is no model, it ends when it first needs one.
    pub(super) fn start(model: Arc<Model>, is_over: IsOver) -> Self {
        let shared = Arc::new(Shared {
            model,
            is_over,
            queue: Queue::default(),
            shards: Mutex::default(),
            embedded: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let working = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("embedder".to_owned())
            .spawn(move || run(&working));
        let thread = thread.inspect_err(|error| {
            shared.queue.close();
            tracing::error!(%error, "no thread that embeds memories: they are recalled by words alone");
        });
        Self {
            shared,
            thread: Mutex::new(thread.ok()),
        }
    }

    pub(super) fn add(&self, shard: u16, file: Arc<SideFile>, pending: Arc<dyn Pending>) {
        let added = Shard { file, pending };
        self.shared.shards().insert(shard, added);
    }

    pub(super) fn wake_all(&self, shard: u16) {
        self.shared.queue.add(Due::Shard(shard));
    }

    pub(super) fn wake(&self, shard: u16, owner: &Prefix) {
        self.shared.queue.add(Due::Owner(shard, owner.clone()));
    }

    pub(super) fn works_for(&self, owner: &Prefix) -> bool {
        self.shared.queue.works_for(owner)
    }

    /// Contents that were embedded since this process started.
    pub(super) fn embedded(&self) -> u64 {
        self.shared.embedded.load(Ordering::Relaxed)
    }

    /// Contents that could not be embedded since this process started.
    pub(super) fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }

    /// Memories that are to be embedded, up to a bound. Blocks.
    pub(super) fn awaiting(&self) -> u64 {
        let mut awaiting = 0;
        for due in self.shared.queue.open() {
            let Due::Owner(shard, owner) = due else {
                continue;
            };
            let counted = self.shared.shard(shard).map_or(Ok(0), |shard| {
                shard.awaiting(&owner, AWAITING_COUNTED_MAX - awaiting)
            });
            awaiting += counted.unwrap_or_else(|error| {
                tracing::debug!(%error, "what awaits its vectors cannot be counted now");
                0
            });
        }
        awaiting as u64
    }

    /// Why the vectors of a shard cannot be read or written, if that is so.
    pub(super) fn problem(&self) -> Option<String> {
        let shards = self.shared.shards();
        let mut problems = shards.iter().filter_map(|(number, shard)| {
            let problem = shard.file.problem()?;
            Some(format!(
                "the vectors of shard {number} cannot be used now: {problem}"
            ))
        });
        problems.next()
    }

    pub(super) fn stop(&self) {
        self.shared.queue.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that embeds memories ended in a panic");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Shared {
    fn shards(&self) -> MutexGuard<'_, BTreeMap<u16, Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, number: u16) -> Option<Shard> {
        self.shards().get(&number).cloned()
    }
}

impl Shard {
    fn reached(&self, tenure: &Tenure) -> Result<u64, SideError> {
        Ok(Vectors::of(&self.file, tenure.clone())?.embedded_to()?)
    }

    fn awaiting(&self, owner: &Prefix, at_most: usize) -> Result<usize, SideError> {
        let Some(tenure) = self.pending.tenure(owner) else {
            return Ok(0);
        };
        let reached = self.reached(&tenure)?;
        Ok(self.pending.count_after(owner, reached, at_most)?)
    }
}

fn run(shared: &Shared) {
    lower_priority();
    // Made here, so that it is of this thread's priority.
    let mut threads = None;
    // Since when a shard's last commits are not durable.
    let mut visible: BTreeMap<u16, Instant> = BTreeMap::new();
    loop {
        let oldest = visible.values().min();
        let wait = oldest.map(|since| DURABLE_EVERY.saturating_sub(since.elapsed()));
        match shared.queue.next(wait) {
            Next::Stop => break,
            Next::Nothing => {}
            Next::Due(Due::Shard(number)) => name_owners(shared, number),
            Next::Due(Due::Owner(number, owner)) => {
                let Ok(embedder) = shared.model.get() else {
                    shared.queue.close();
                    break;
                };
                let threads = threads.get_or_insert_with(|| Threads::new(1));
                if take_turn(shared, embedder, threads, number, &owner) {
                    visible.entry(number).or_insert_with(Instant::now);
                }
            }
        }
        visible.retain(|number, since| {
            since.elapsed() < DURABLE_EVERY || !make_durable(shared, *number)
        });
    }
    for number in visible.into_keys() {
        make_durable(shared, number);
    }
}

/// A thread of its own on Linux can stand behind the others; elsewhere that would be the process.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "the thread that embeds memories stands beside the others");
    }
}

fn name_owners(shared: &Shared, number: u16) {
    let Some(place) = shared.shard(number) else {
        return;
    };
    match place.pending.owners() {
        Ok(owners) => {
            for owner in owners {
                shared.queue.add(Due::Owner(number, owner));
            }
        }
        Err(error) => {
            tracing::debug!(%error, "rows do not read");
            shared.queue.add_later(Due::Shard(number), RETRY);
        }
    }
}

/// Whether something was committed.
fn take_turn(
    shared: &Shared,
    embedder: &Embedder,
    threads: &Threads,
    number: u16,
    owner: &Prefix,
) -> bool {
    let Some(place) = shared.shard(number) else {
        return false;
    };
    let Some(tenure) = place.pending.tenure(owner) else {
        return false;
    };
    let turn = Turn {
        shared,
        embedder,
        threads,
        shard: &place,
        tenure: &tenure,
    };
    match turn.take() {
        Ok(Taken { more, committed }) => {
            if more {
                shared.queue.add(Due::Owner(number, owner.clone()));
            }
            committed
        }
        Err(error) => {
            let problem = with_causes(&error);
            tracing::debug!(shard = number, problem, "memories await their vectors");
            shared
                .queue
                .add_later(Due::Owner(number, owner.clone()), RETRY);
            false
        }
    }
}

/// Whether the shard's commits are durable, or cannot be made so.
fn make_durable(shared: &Shared, number: u16) -> bool {
    if let Some(rows) = shared.shard(number)
        && let Err(error) = rows.file.write(Durability::Durable, |_| Ok(()))
    {
        // What is lost is made again.
        tracing::debug!(
            shard = number,
            problem = with_causes(&error),
            "vectors are not durable"
        );
    }
    true
}

/// One owner's turn.
struct Turn<'t> {
    shared: &'t Shared,
    embedder: &'t Embedder,
    threads: &'t Threads,
    shard: &'t Shard,
    tenure: &'t Tenure,
}

struct Taken {
    /// Whether there may be more to do.
    more: bool,
    committed: bool,
}

/// What a turn made.
#[derive(Default)]
struct Made {
    vectors: Vec<(ContentHash, Vec<u8>)>,
    /// Up to which sequence everything has vectors, or can have none.
    reached: u64,
}

impl Turn<'_> {
    fn take(&self) -> Result<Taken, SideError> {
        let owner = self.tenure.owner();
        let reached = self.shard.reached(self.tenure)?;
        let pending = self
            .shard
            .pending
            .after(owner, reached, EMBED_TURN_MEMORIES)?;
        if pending.is_empty() {
            return Ok(Taken {
                more: false,
                committed: false,
            });
        }
        if reached == 0 && self.drop_other_models()? {
            return Ok(Taken {
                more: true,
                committed: true,
            });
        }
        let made = self.embed(&pending)?;
        let committed = made.reached > 0 && self.commit(&made)?;
        Ok(Taken {
            more: committed,
            committed,
        })
    }

    /// Drops some of what another model made, where there is any; says whether there was.
    fn drop_other_models(&self) -> Result<bool, SideError> {
        self.shard
            .file
            .write(Durability::Visible, |batch: &mut SideBatch<'_>| {
                let Some(mut rows) = batch.writer(self.tenure) else {
                    return Ok(false);
                };
                let ours = model_tag().to_be_bytes();
                let mut others = Vec::new();
                rows.scan(VECTORS, &(), None, |key, _| {
                    if !key.starts_with(&ours) {
                        others.push(key.to_vec());
                    }
                    if others.len() < DROPPED_AT_ONCE {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
                for key in &others {
                    rows.remove(VECTORS, &&key[..])?;
                }
                Ok(!others.is_empty())
            })
    }

    /// Embeds what has no vectors yet, for as long as a turn lasts.
    fn embed(&self, pending: &[PendingDocument]) -> Result<Made, SideError> {
        let start = Instant::now();
        let known = self.known(pending)?;
        let mut made = Made::default();
        let mut seen = HashSet::new();
        for document in pending {
            let hash = ContentHash::of(&document.content);
            if !known.contains(&hash) && seen.insert(hash) {
                let go_on = || {
                    self.shared.model.give_way();
                    !self.shared.queue.is_closed() && !(self.shared.is_over)(self.tenure)
                };
                let embedded =
                    self.embedder
                        .embed_while(&document.content, Some(self.threads), go_on);
                match embedded {
                    Ok(Some(embedding)) => {
                        self.shared.embedded.fetch_add(1, Ordering::Relaxed);
                        made.vectors.push((hash, embedding.to_bytes()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        let sequence = document.sequence;
                        tracing::warn!(sequence, %error, "a memory is recalled by its words alone");
                        self.shared.skipped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            made.reached = document.sequence;
            if start.elapsed() >= TURN {
                break;
            }
        }
        Ok(made)
    }

    fn known(&self, pending: &[PendingDocument]) -> Result<HashSet<ContentHash>, SideError> {
        let vectors = Vectors::of(&self.shard.file, self.tenure.clone())?;
        let mut known = HashSet::new();
        for document in pending {
            let hash = ContentHash::of(&document.content);
            if vectors.has(hash)? {
                known.insert(hash);
            }
        }
        Ok(known)
    }

    /// Whether it was committed: not when the tenure has ended.
    fn commit(&self, made: &Made) -> Result<bool, SideError> {
        self.shard
            .file
            .write(Durability::Visible, |batch: &mut SideBatch<'_>| {
                let Some(mut rows) = batch.writer(self.tenure) else {
                    return Ok(false);
                };
                for (hash, bytes) in &made.vectors {
                    rows.put(VECTORS, &&key_of(*hash)[..], bytes)?;
                }
                rows.set_reached(&model_tag(), made.reached)?;
                Ok(true)
            })
    }
}
