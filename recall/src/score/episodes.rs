//! Where a memory stands: in an episode, in order of what happened, with neighbours.
//!
//! An episode is what its writers call one. Memories that nobody put in one form an episode by themselves where they are
//! plainly a conversation: a few writers, each of whom comes back, never silent for half an hour. A list of notes by one
//! writer, or of papers by hundreds, is none, and everything here is neutral there.

use std::collections::HashMap;

use crate::facts::{Facts, Tag};
use crate::score::weights::NEIGHBOUR_WEIGHTS;

/// Silence that ends a conversation, in milliseconds.
pub(crate) const GAP_MS: i64 = 30 * 60 * 1000;
/// How many writers a conversation has.
const WRITERS: std::ops::RangeInclusive<usize> = 2..=8;
/// How many memories a writer has in a conversation, at least on average.
const MEMORIES_A_WRITER: usize = 2;
/// Stands for no episode.
const NONE: u32 = u32::MAX;

/// The episodes of a view.
#[derive(Debug, Default)]
pub(crate) struct Episodes {
    /// The episode of each document.
    of: Vec<u32>,
    /// Where each document stands in `order`.
    at: Vec<u32>,
    /// The documents of the first episode in order of what happened, then those of the second, and so on.
    order: Vec<u32>,
    /// Where each episode begins in `order`, and where the last ends.
    bounds: Vec<u32>,
    /// Words of each episode.
    pub(crate) lengths: Vec<u32>,
}

impl Episodes {
    /// Those of documents in order of their places.
    pub(crate) fn of(documents: &[&Facts]) -> Self {
        let mut named: Vec<Vec<u32>> = Vec::new();
        let mut loose = Vec::new();
        let mut known: HashMap<Tag, usize> = HashMap::new();
        let mut last = None;
        for (place, facts) in (0..).zip(documents) {
            if facts.episode == Tag::NONE {
                loose.push(place);
                continue;
            }
            // Most documents are of the same episode as the one before.
            let episode = match last {
                Some((same, episode)) if same == facts.episode => episode,
                _ => *known.entry(facts.episode).or_insert_with(|| {
                    named.push(Vec::new());
                    named.len() - 1
                }),
            };
            last = Some((facts.episode, episode));
            named[episode].push(place);
        }
        // Places are in order of number already; a stable sort keeps that among equal times.
        let occurred = |place: &u32| documents[*place as usize].occurred_ms;
        let mut episodes = Self {
            of: vec![NONE; documents.len()],
            at: vec![NONE; documents.len()],
            order: Vec::with_capacity(documents.len()),
            bounds: vec![0],
            lengths: Vec::new(),
        };
        for members in &mut named {
            members.sort_by_key(occurred);
            episodes.push(documents, members);
        }
        loose.sort_by_key(occurred);
        for run in loose.chunk_by(|a, b| occurred(b).saturating_sub(occurred(a)) < GAP_MS) {
            if is_conversation(documents, run) {
                episodes.push(documents, run);
            }
        }
        episodes
    }

    fn push(&mut self, documents: &[&Facts], members: &[u32]) {
        let episode = u32::try_from(self.lengths.len()).expect("fewer episodes than numbers");
        let mut length = 0_u32;
        for (at, place) in (self.end()..).zip(members) {
            self.of[*place as usize] = episode;
            self.at[*place as usize] = at;
            length = length.saturating_add(documents[*place as usize].length);
        }
        self.order.extend(members);
        self.bounds.push(self.end());
        self.lengths.push(length);
    }

    fn end(&self) -> u32 {
        u32::try_from(self.order.len()).expect("fewer documents than numbers")
    }

    pub(crate) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// The episode that a document is in.
    pub(crate) fn of_document(&self, place: u32) -> Option<u32> {
        let episode = self.of[place as usize];
        (episode != NONE).then_some(episode)
    }

    /// The documents of an episode, in order of what happened.
    pub(crate) fn members(&self, episode: u32) -> &[u32] {
        let at = episode as usize;
        &self.order[self.bounds[at] as usize..self.bounds[at + 1] as usize]
    }

    /// How many documents are in one.
    pub(crate) fn documents(&self) -> usize {
        self.order.len()
    }

    /// What a document gains by those that stand beside it, of which each has its base.
    pub(crate) fn beside(&self, place: u32, bases: &[f64]) -> f64 {
        let Some(episode) = self.of_document(place) else {
            return 0.0;
        };
        let members = self.members(episode);
        let at = (self.at[place as usize] - self.bounds[episode as usize]) as usize;
        let base = |index: Option<usize>| {
            index
                .and_then(|index| members.get(index))
                .map_or(0.0, |place| bases[*place as usize])
        };
        let beside = |(weight, distance): (&f64, usize)| {
            weight * (base(at.checked_sub(distance)) + base(at.checked_add(distance)))
        };
        NEIGHBOUR_WEIGHTS.iter().zip(1..).map(beside).sum()
    }
}

fn is_conversation(documents: &[&Facts], run: &[u32]) -> bool {
    let mut writers = Vec::new();
    for place in run {
        let writer = documents[*place as usize].writer;
        if writer != Tag::NONE && !writers.contains(&writer) {
            writers.push(writer);
            if writers.len() > *WRITERS.end() {
                return false;
            }
        }
    }
    WRITERS.contains(&writers.len()) && run.len() >= writers.len() * MEMORIES_A_WRITER
}
