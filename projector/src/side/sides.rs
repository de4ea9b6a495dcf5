//! Every file beside one shard's rows: what concerns them alike.

use super::{IsOver, SideFile};
use crate::read_model::keys::Prefix;
use crate::vectors::LAYOUT as VECTORS;
use crate::words::{LAYOUT as WORDS, Words};
use postroad_log::Keyring;
use postroad_protocol::tenancy::TenantScope;
use std::path::Path;
use std::sync::Arc;

/// How many there are of each shard.
const FILES: usize = 2;

/// What lies beside one shard's rows.
#[derive(Debug)]
pub(crate) struct Sides {
    /// What the model made of contents.
    pub(crate) vectors: Arc<SideFile>,
    /// The index of messages' words.
    pub(crate) words: Arc<Words>,
}

impl Sides {
    /// Opens them in `folder`, with `cache_bytes` of pages for all of them, for rows of the log that began at
    /// `epoch`. Blocks.
    pub(crate) fn open(
        folder: &Path,
        shard: u16,
        cache_bytes: usize,
        epoch: u64,
        is_over: &IsOver,
        keyring: Keyring,
    ) -> Self {
        let open = |layout| {
            SideFile::open(
                folder,
                shard,
                layout,
                cache_bytes / FILES,
                epoch,
                Arc::clone(is_over),
            )
        };
        Self {
            vectors: open(VECTORS),
            words: Arc::new(Words::new(open(WORDS), shard, keyring)),
        }
    }

    /// Each of them.
    pub(crate) fn all(&self) -> [&Arc<SideFile>; FILES] {
        [&self.vectors, self.words.file()]
    }

    /// An owner was erased: they are to be rid of it.
    pub(crate) fn tidy(&self) {
        for file in self.all() {
            file.tidy();
        }
    }

    /// The rows follow from another log than the one that was known.
    pub(crate) fn begin_anew(&self, epoch: u64) {
        for file in self.all() {
            file.begin_anew(epoch);
        }
    }

    /// Whether it is certain that nothing of the erased tenant in `scope` is left in any. Blocks.
    pub(crate) fn are_rid_of(&self, scope: &TenantScope) -> bool {
        let owner = Prefix::of(scope);
        self.all().iter().all(|file| {
            let rid = file.is_rid_of(&owner);
            rid.unwrap_or_else(|error| {
                tracing::debug!(%error, "a file beside the rows cannot be looked into now");
                false
            })
        })
    }
}
