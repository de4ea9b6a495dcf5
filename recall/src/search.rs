//! What is asked of an index, and the answer: ranked, with what each score is made of.
//!
//! Several partitions are searched as if they were one: statistics are counted over all of them. What filters cut is cut before the
//! best are chosen, so a filtered search gives as many results as there are.

use crate::IndexError;
use crate::analyze::QueryTerms;
use crate::facts::{Facts, Tag};
use crate::held::Held;
use crate::rows::Rows;
use crate::score::chain;
use crate::score::field::Field;
use crate::score::lexical;
use crate::score::meaning;
use crate::score::total::Total;
use crate::score::weights::Weights;
use crate::score::writer::named_writer;
use crate::vector::Vector;

/// A partition to search. What is held may be older than the rows, or newer: a document is found that is in both.
#[derive(Debug)]
pub struct Partition<'a, R> {
    /// Its rows: where words stand.
    pub rows: &'a R,
    /// What is held of it in memory: everything else.
    pub held: &'a Held,
}

/// As of when a search sees an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// What was stored up to a time and had not expired then, in milliseconds since 1970.
    Time(i64),
    /// What was stored up to a sequence of the log.
    Sequence(u64),
}

/// What a result must be. An empty filter takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these types ([`Tag::of`]), or any where there is none.
    pub kinds: Vec<Tag>,
    /// By one of these writers ([`Tag::of_writer`]), or by anybody where there is none.
    pub writers: Vec<Tag>,
    /// In one of the episodes that their writers called so ([`Tag::of`]), or anywhere where there is none.
    pub episodes: Vec<Tag>,
    /// It occurred then or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// It occurred before, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl Filter {
    fn takes(&self, facts: &Facts) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && (self.writers.is_empty() || self.writers.contains(&facts.writer))
            && (self.episodes.is_empty() || self.episodes.contains(&facts.episode))
            && self.since_ms.is_none_or(|since| facts.occurred_ms >= since)
            && self.until_ms.is_none_or(|until| facts.occurred_ms < until)
    }
}

/// A question to one or more partitions.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The query's words.
    pub query: &'a QueryTerms,
    /// What the query means; none searches by words alone.
    pub vector: Option<&'a Vector>,
    /// What results must be.
    pub filter: &'a Filter,
    /// The time of asking, in milliseconds since 1970: what has expired by then is not found.
    pub now_ms: i64,
    /// Another state than the newest.
    pub as_of: Option<AsOf>,
    /// At most how many results.
    pub limit: usize,
}

/// What a score is made of; it is the sum of these.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parts {
    /// The query's words in the memory: BM25, as a share of the best match; at full weight where it holds a rare code of the query.
    pub words: f64,
    /// What the memory means beside what the query means: cosine, as a share of the best match.
    pub meaning: f64,
    /// How well what stands beside it in its episode matches.
    pub neighbours: f64,
    /// How well its episode matches as a whole.
    pub episode: f64,
    /// The query names its writer, and nobody else's.
    pub author: f64,
    /// What it gained from memories that it superseded, or lost to the one that superseded it.
    pub chain: f64,
}

impl Parts {
    /// The score.
    pub fn sum(&self) -> f64 {
        self.words + self.meaning + self.neighbours + self.episode + self.author + self.chain
    }
}

/// One result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Which of the partitions asked.
    pub partition: usize,
    /// The document's number in it.
    pub number: u32,
    /// The document's facts.
    pub facts: Facts,
    /// The score; higher is better. Comparable within one answer only.
    pub score: f64,
    /// What it is made of.
    pub parts: Parts,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The results, best first; of equal ones the newest first.
    pub hits: Vec<Hit>,
    /// How many documents matched and passed the filter.
    pub matched: usize,
    /// How many documents were searched by words alone, since their vectors are not there yet. 0 for a query without a vector.
    pub awaiting: usize,
    /// The share of meaning in the score, 0 without a model.
    pub meaning_weight: f64,
}

/// Searches partitions as one.
pub fn search<R: Rows>(
    partitions: &[Partition<'_, R>],
    ask: &Ask<'_>,
) -> Result<Answer, IndexError<R::Error>> {
    let field = Field::of(partitions, ask.now_ms, ask.as_of);
    let meaning = ask.vector.map(|vector| meaning::score(&field, vector));
    let weights = Weights::of(field.kind());
    let words = lexical::score(partitions, &field, ask.query, &weights)?;
    let total = Total {
        field: &field,
        words: &words,
        meaning: meaning.as_ref(),
        weights: &weights,
        named: named_writer(&field, &ask.query.words),
    };
    let taken = |facts: &Facts| ask.filter.takes(facts);
    let mut sides = total.scores();
    let mut found = Vec::new();
    for ((at, side), of) in sides.iter_mut().enumerate().zip(&field.sides) {
        side.settle(chain::settle(of, &side.scores, taken));
        let scored = side.candidates.iter().map(|place| Found {
            score: side.scores[*place as usize],
            side: at,
            place: *place,
        });
        found.extend(scored.filter(|one| taken(of.facts(one.place))));
    }
    let matched = found.len();
    let order = |a: &Found, b: &Found| {
        let newness = |one: &Found| {
            let facts = field.sides[one.side].facts(one.place);
            (facts.occurred_ms, facts.sequence, one.side, one.place)
        };
        b.score
            .total_cmp(&a.score)
            .then_with(|| newness(b).cmp(&newness(a)))
    };
    if ask.limit < found.len() {
        found.select_nth_unstable_by(ask.limit, order);
        found.truncate(ask.limit);
    }
    found.sort_unstable_by(order);
    let hits = found.into_iter().map(|Found { score, side, place }| {
        let of = &field.sides[side];
        let mut parts = total.parts(side, place, &sides[side]);
        parts.chain = score - parts.sum();
        Hit {
            partition: side,
            number: of.view.number(place),
            facts: *of.facts(place),
            score,
            parts,
        }
    });
    Ok(Answer {
        hits: hits.collect(),
        matched,
        awaiting: meaning.as_ref().map_or(0, |meaning| meaning.awaiting),
        meaning_weight: if meaning.is_some() {
            weights.meaning
        } else {
            0.0
        },
    })
}

/// What matched.
#[derive(Clone, Copy)]
struct Found {
    score: f64,
    side: usize,
    place: u32,
}
