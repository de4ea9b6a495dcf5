//! The sum of it all: from what words and meaning say of each document to its score.

use std::collections::BTreeMap;

use crate::facts::Tag;
use crate::score::field::Field;
use crate::score::lexical::{SideWords, Words};
use crate::score::meaning::Meaning;
use crate::score::weights::{AUTHOR_ALONE, AUTHOR_FACTOR, EPISODE_WEIGHT, MEANING_FLOOR, Weights};
use crate::search::Parts;

/// What all scores of one search are computed from.
pub(crate) struct Total<'a> {
    pub(crate) field: &'a Field<'a>,
    pub(crate) words: &'a Words,
    pub(crate) meaning: Option<&'a Meaning>,
    pub(crate) weights: &'a Weights,
    /// The one writer whom the query names.
    pub(crate) named: Option<Tag>,
}

/// Scores in one partition.
pub(crate) struct SideScores {
    /// The documents that have a score, each once.
    pub(crate) candidates: Vec<u32>,
    /// Words and meaning of each document of the partition.
    bases: Vec<f64>,
    /// The score of each; 0 of those that are no candidates.
    pub(crate) scores: Vec<f64>,
}

impl SideScores {
    /// Takes over what supersession makes of some scores.
    pub(crate) fn settle(&mut self, settled: BTreeMap<u32, f64>) {
        for (place, score) in settled {
            let before = std::mem::replace(&mut self.scores[place as usize], score);
            // The newest may have matched nothing by itself.
            if before == 0.0 && score > 0.0 {
                self.candidates.push(place);
            }
        }
    }
}

impl Total<'_> {
    /// The scores in each partition, supersession aside.
    pub(crate) fn scores(&self) -> Vec<SideScores> {
        (0..self.field.sides.len())
            .map(|side| self.side(side))
            .collect()
    }

    fn side(&self, side: usize) -> SideScores {
        let view = &self.field.sides[side].view;
        let words = &self.words.sides[side];
        let mut scores = SideScores {
            candidates: if self.meaning.is_some() || self.named.is_some() {
                (0..).zip(&view.lengths).map(|(place, _)| place).collect()
            } else {
                touched(
                    words,
                    |place| view.episodes.of_document(place),
                    |episode| view.episodes.members(episode),
                )
            },
            bases: vec![0.0; view.len()],
            scores: vec![0.0; view.len()],
        };
        for place in &scores.candidates {
            let (words, meaning) = self.base(side, *place);
            scores.bases[*place as usize] = words + meaning;
        }
        for place in &scores.candidates {
            scores.scores[*place as usize] = self.score(side, *place, &scores.bases);
        }
        let SideScores {
            candidates,
            scores: of,
            ..
        } = &mut scores;
        candidates.retain(|place| of[*place as usize] > 0.0);
        scores
    }

    /// A document's score: the sum of its parts, without telling them.
    fn score(&self, side: usize, place: u32, bases: &[f64]) -> f64 {
        let score = bases[place as usize] + self.neighbours(side, place, bases);
        let score = score + self.in_episode(side, place);
        score + self.author(side, place, score)
    }

    /// What a document's score is made of, supersession aside.
    pub(crate) fn parts(&self, side: usize, place: u32, scores: &SideScores) -> Parts {
        let (words, meaning) = self.base(side, place);
        let mut parts = Parts {
            words,
            meaning,
            neighbours: self.neighbours(side, place, &scores.bases),
            episode: self.in_episode(side, place),
            ..Parts::default()
        };
        parts.author = self.author(side, place, parts.sum());
        parts
    }

    fn neighbours(&self, side: usize, place: u32, bases: &[f64]) -> f64 {
        self.field.sides[side].view.episodes.beside(place, bases)
    }

    fn in_episode(&self, side: usize, place: u32) -> f64 {
        let episode = self.field.sides[side].view.episodes.of_document(place);
        let of_episode = episode.map_or(0.0, |episode| {
            self.words.sides[side].episodes.scores[episode as usize]
        });
        EPISODE_WEIGHT * share(of_episode, self.words.best_episode)
    }

    /// What a document with such a score gains if the query names its writer.
    fn author(&self, side: usize, place: u32, score: f64) -> f64 {
        let writer = || self.field.sides[side].facts(place).writer;
        if self.named.is_some_and(|named| named == writer()) {
            (AUTHOR_FACTOR - 1.0) * score + AUTHOR_ALONE
        } else {
            0.0
        }
    }

    /// Words and meaning, each as a share of its best match, weighted. A document that still awaits its vector is judged by words
    /// alone, at their full weight; so are the words of one that holds a rare code of the query, of which a model knows nothing.
    fn base(&self, side: usize, place: u32) -> (f64, f64) {
        let of = &self.words.sides[side];
        let words = share(
            of.documents.scores[place as usize],
            self.words.best_document,
        );
        let cosine = self
            .meaning
            .and_then(|meaning| Some((meaning.sides[side][place as usize]?, meaning.best)));
        let Some((cosine, best)) = cosine else {
            return (words, 0.0);
        };
        let weight = self.weights.meaning;
        let of_words = if of.is_exact(place) {
            1.0
        } else {
            1.0 - weight
        };
        let meaning = if cosine >= MEANING_FLOOR {
            share(f64::from(cosine), f64::from(best))
        } else {
            0.0
        };
        (of_words * words, weight * meaning)
    }
}

/// The documents that have one of the words, or are in one episode with one that has.
fn touched<'a>(
    words: &SideWords,
    episode_of: impl Fn(u32) -> Option<u32>,
    members: impl Fn(u32) -> &'a [u32],
) -> Vec<u32> {
    let documents = words.documents.touched.iter().copied();
    let mut touched: Vec<u32> = documents
        .filter(|place| episode_of(*place).is_none())
        .collect();
    for episode in &words.episodes.touched {
        touched.extend(members(*episode));
    }
    touched
}

fn share(value: f64, best: f64) -> f64 {
    if best > 0.0 { value / best } else { 0.0 }
}
