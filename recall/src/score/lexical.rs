//! Words: BM25 over documents, and over episodes as if each were one long document.

use crate::IndexError;
use crate::analyze::QueryTerms;
use crate::index::each_posting;
use crate::rows::Rows;
use crate::score::field::{Field, Side};
use crate::score::weights::{RARE_DOCUMENTS, RARE_SHARE, Saturation, Weights};
use crate::search::Partition;

/// How well the query's words match.
pub(crate) struct Words {
    /// In each partition.
    pub(crate) sides: Vec<SideWords>,
    /// The best document's match, 0 where there is none.
    pub(crate) best_document: f64,
    /// The best episode's match, 0 where there is none.
    pub(crate) best_episode: f64,
}

/// How well they match in one partition.
pub(crate) struct SideWords {
    /// BM25 of each document.
    pub(crate) documents: Matches,
    /// BM25 of each episode.
    pub(crate) episodes: Matches,
    /// The documents that hold a code of the query which few hold, in order.
    exact: Vec<u32>,
}

/// Scores of things by index, and which of them have one.
pub(crate) struct Matches {
    pub(crate) scores: Vec<f64>,
    pub(crate) touched: Vec<u32>,
}

pub(crate) fn score<R: Rows>(
    partitions: &[Partition<'_, R>],
    field: &Field<'_>,
    query: &QueryTerms,
    weights: &Weights,
) -> Result<Words, IndexError<R::Error>> {
    let documents = Collection::new(
        field.len(),
        field.sum(|view| view.words),
        weights.saturation,
    );
    let episodes = Collection::new(
        field.sum(|view| view.episodes.count() as u64),
        field.sum(|view| view.episodes.lengths.iter().copied().map(u64::from).sum()),
        Saturation::LONG,
    );
    let mut words = Words {
        sides: field.sides.iter().map(SideWords::new).collect(),
        best_document: 0.0,
        best_episode: 0.0,
    };
    let mut hits: Vec<SideHits> = field.sides.iter().map(SideHits::new).collect();
    for (term, said) in &query.terms {
        for ((partition, side), hits) in partitions.iter().zip(&field.sides).zip(&mut hits) {
            hits.read(partition.rows, side, term)?;
        }
        let with = hits.iter().map(|hits| hits.documents.len());
        let exact =
            documents.is_rare(with.clone().sum()) && query.codes.binary_search(term).is_ok();
        let of_documents = documents.weight(*said, with);
        let of_episodes = episodes.weight(*said, hits.iter().map(|hits| hits.episodes.len()));
        for ((side, words), hits) in field.sides.iter().zip(&mut words.sides).zip(&mut hits) {
            if exact {
                words
                    .exact
                    .extend(hits.documents.iter().map(|(place, _)| *place));
            }
            for (place, count) in hits.documents.drain(..) {
                let length = side.view.lengths[place as usize];
                words
                    .documents
                    .add(place, documents.gain(of_documents, count, length));
            }
            for episode in hits.episodes.drain(..) {
                let count = std::mem::take(&mut hits.in_episode[episode as usize]);
                let length = side.view.episodes.lengths[episode as usize];
                words
                    .episodes
                    .add(episode, episodes.gain(of_episodes, count, length));
            }
        }
    }
    for side in &mut words.sides {
        side.exact.sort_unstable();
        words.best_document = words.best_document.max(side.documents.best());
        words.best_episode = words.best_episode.max(side.episodes.best());
    }
    Ok(words)
}

impl SideWords {
    fn new(side: &Side<'_>) -> Self {
        Self {
            documents: Matches::none(side.view.len()),
            episodes: Matches::none(side.view.episodes.count()),
            exact: Vec::new(),
        }
    }

    /// Whether a document holds a code of the query which few hold.
    pub(crate) fn is_exact(&self, place: u32) -> bool {
        self.exact.binary_search(&place).is_ok()
    }
}

impl Matches {
    fn none(things: usize) -> Self {
        Self {
            scores: vec![0.0; things],
            touched: Vec::new(),
        }
    }

    fn add(&mut self, at: u32, gain: f64) {
        let score = &mut self.scores[at as usize];
        // A gain is more than nothing, so only what was never touched has none.
        if *score == 0.0 {
            self.touched.push(at);
        }
        *score += gain;
    }

    fn best(&self) -> f64 {
        let touched = self.touched.iter().map(|at| self.scores[*at as usize]);
        touched.fold(0.0, f64::max)
    }
}

/// Where one term occurs in a partition, how often.
struct SideHits {
    documents: Vec<(u32, u32)>,
    episodes: Vec<u32>,
    /// How often in each episode.
    in_episode: Vec<u32>,
}

impl SideHits {
    fn new(side: &Side<'_>) -> Self {
        Self {
            documents: Vec::new(),
            episodes: Vec::new(),
            in_episode: vec![0; side.view.episodes.count()],
        }
    }

    fn read<R: Rows>(
        &mut self,
        rows: &R,
        side: &Side<'_>,
        term: &str,
    ) -> Result<(), IndexError<R::Error>> {
        each_posting(rows, term, |number, count| {
            let Some(place) = side.view.place(number) else {
                return;
            };
            self.documents.push((place, count));
            if let Some(episode) = side.view.episodes.of_document(place) {
                let together = &mut self.in_episode[episode as usize];
                if *together == 0 {
                    self.episodes.push(episode);
                }
                *together = together.saturating_add(count);
            }
        })
    }
}

/// What is scored, documents or episodes, over all partitions.
struct Collection {
    saturation: Saturation,
    count: f64,
    /// Words of one, on average.
    mean: f64,
}

impl Collection {
    #[expect(clippy::cast_precision_loss, reason = "no partition has so many words")]
    fn new(count: u64, words: u64, saturation: Saturation) -> Self {
        Self {
            saturation,
            count: count as f64,
            // Nothing but stop words everywhere: then length says nothing.
            mean: if words > 0 {
                words as f64 / count as f64
            } else {
                1.0
            },
        }
    }

    /// The weight of a term, which the query says `said` times, and which occurs in `with` of them in each partition.
    #[expect(clippy::cast_precision_loss, reason = "fewer documents than numbers")]
    fn weight(&self, said: u32, with: impl Iterator<Item = usize>) -> f64 {
        let with = with.sum::<usize>() as f64;
        let rarity = (1.0 + (self.count - with + 0.5) / (with + 0.5)).ln();
        f64::from(said) * rarity * (self.saturation.k1 + 1.0)
    }

    /// Whether what so many of them hold is rare.
    #[expect(clippy::cast_precision_loss, reason = "fewer documents than numbers")]
    fn is_rare(&self, with: usize) -> bool {
        with as f64 <= RARE_DOCUMENTS.max(self.count * RARE_SHARE)
    }

    /// What a term of this weight, so many times in so many words, is worth.
    fn gain(&self, weight: f64, count: u32, length: u32) -> f64 {
        let Saturation { k1, b } = self.saturation;
        let count = f64::from(count);
        let norm = k1 * (1.0 - b + b * f64::from(length) / self.mean);
        weight * count / (count + norm)
    }
}
