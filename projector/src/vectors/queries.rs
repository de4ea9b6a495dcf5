//! What queries mean: embedded off the async threads, a few at once, and kept for a while, since the same is asked again for its
//! next page, or by the next agent of the tenant. Each tenure keeps its own: what one tenant asks is no faster for another.

use super::model::Model;
use crate::read_model::keys::Prefix;
use crate::side::{IsOver, Tenure};
use postroad_protocol::limits::{QUERIES_EMBEDDED, QUERY_VECTORS_KEPT, QUERY_VECTORS_TENANTS};
use postroad_recall::facts::ContentHash;
use postroad_recall::vector::Vector;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Embeds queries.
pub(super) struct Queries {
    model: Arc<Model>,
    is_over: IsOver,
    turns: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queries")
    }
}

#[derive(Default)]
struct Kept {
    /// Counts uses.
    clock: u64,
    by_tenure: HashMap<Tenure, Own>,
}

#[derive(Default)]
struct Own {
    used: u64,
    /// The last that was used is the last.
    vectors: VecDeque<(ContentHash, Vector)>,
}

impl Queries {
    pub(super) fn new(model: Arc<Model>, is_over: IsOver) -> Self {
        Self {
            model,
            is_over,
            turns: Arc::new(Semaphore::new(QUERIES_EMBEDDED)),
            kept: Mutex::default(),
        }
    }

    /// See [`super::Meaning::embed_query`].
    pub(super) async fn embed(&self, tenure: &Tenure, text: &str) -> Option<Vector> {
        let hash = ContentHash::of(text);
        if let Some(vector) = self.kept().take_from(tenure, hash) {
            return Some(vector);
        }
        // Never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let (model, text) = (Arc::clone(&self.model), text.to_owned());
        let work = move || {
            let _turn = turn;
            let embedder = model.get().ok()?;
            let _asking = model.ask();
            let made = embedder.embed_query(&text);
            made.inspect_err(|error| tracing::warn!(%error, "a query is searched by words alone"))
                .ok()
        };
        let vector = tokio::task::spawn_blocking(work).await.ok()??;
        let mut kept = self.kept();
        // Whoever drops what is kept of an ended one does so after it ended, under the same lock.
        if !(self.is_over)(tenure) {
            kept.put(tenure, hash, vector.clone());
        }
        Some(vector)
    }

    pub(super) fn forget(&self, owner: &Prefix) {
        self.kept()
            .by_tenure
            .retain(|tenure, _| tenure.owner() != owner);
    }

    #[cfg(test)]
    pub(super) fn keeps_nothing_of(&self, tenure: &Tenure) -> bool {
        !self.kept().by_tenure.contains_key(tenure)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn own(&mut self, tenure: &Tenure) -> Option<&mut Own> {
        self.clock += 1;
        let own = self.by_tenure.get_mut(tenure)?;
        own.used = self.clock;
        Some(own)
    }

    fn take_from(&mut self, tenure: &Tenure, hash: ContentHash) -> Option<Vector> {
        let own = self.own(tenure)?;
        let at = own.vectors.iter().position(|(kept, _)| *kept == hash)?;
        let found = own.vectors.remove(at)?;
        let vector = found.1.clone();
        own.vectors.push_back(found);
        Some(vector)
    }

    fn put(&mut self, tenure: &Tenure, hash: ContentHash, vector: Vector) {
        if self.own(tenure).is_none() {
            if self.by_tenure.len() >= QUERY_VECTORS_TENANTS {
                let longest_ago = self.by_tenure.iter().min_by_key(|(_, own)| own.used);
                let unused = longest_ago.map(|(tenure, _)| tenure.clone());
                unused.map(|unused| self.by_tenure.remove(&unused));
            }
            let own = Own {
                used: self.clock,
                ..Own::default()
            };
            self.by_tenure.insert(tenure.clone(), own);
        }
        let Some(own) = self.own(tenure) else { return };
        // Another may have asked the same meanwhile.
        own.vectors.retain(|(kept, _)| *kept != hash);
        if own.vectors.len() >= QUERY_VECTORS_KEPT {
            own.vectors.pop_front();
        }
        own.vectors.push_back((hash, vector));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_recall::vector::DIMENSIONS;

    fn vector(seed: u8) -> Vector {
        Vector::quantize(&std::array::from_fn::<f32, DIMENSIONS, _>(|at| {
            f32::from(u8::try_from(at % 7).unwrap()) - f32::from(seed)
        }))
    }

    fn hash(text: &str) -> ContentHash {
        ContentHash::of(text)
    }

    #[test]
    fn each_tenure_keeps_its_own_and_the_last_used_of_them() {
        let mut kept = Kept::default();
        let [acme, other] = ["acme", "other"].map(crate::side::tests::tenure_of);
        kept.put(&acme, hash("a"), vector(1));
        assert_eq!(kept.take_from(&acme, hash("a")), Some(vector(1)));
        assert_eq!(kept.take_from(&other, hash("a")), None);
        for at in 0..QUERY_VECTORS_KEPT {
            kept.put(&acme, hash(&format!("q{at}")), vector(2));
            // Used again each time, it stays.
            assert_eq!(kept.take_from(&acme, hash("a")), Some(vector(1)));
        }
        assert_eq!(kept.take_from(&acme, hash("q0")), None);
        assert_eq!(kept.by_tenure[&acme].vectors.len(), QUERY_VECTORS_KEPT);
        kept.put(&acme, hash("a"), vector(3));
        assert_eq!(kept.take_from(&acme, hash("a")), Some(vector(3)));
        assert_eq!(kept.by_tenure[&acme].vectors.len(), QUERY_VECTORS_KEPT);
    }

    #[test]
    fn whoever_asked_longest_ago_gives_way_where_many_ask() {
        let mut kept = Kept::default();
        let tenure = |at: usize| crate::side::tests::tenure_of(&format!("t{at}"));
        for at in 0..QUERY_VECTORS_TENANTS {
            kept.put(&tenure(at), hash("a"), vector(1));
        }
        assert!(kept.take_from(&tenure(0), hash("a")).is_some());
        kept.put(&tenure(QUERY_VECTORS_TENANTS), hash("a"), vector(1));
        assert_eq!(kept.by_tenure.len(), QUERY_VECTORS_TENANTS);
        assert!(kept.take_from(&tenure(0), hash("a")).is_some());
        assert!(kept.take_from(&tenure(1), hash("a")).is_none());
    }
}
