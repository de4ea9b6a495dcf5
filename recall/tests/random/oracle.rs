//! What a search should answer, computed from the documents alone, each anew, without an index.

use std::collections::BTreeMap;

use postroad_recall::analyze::{QueryTerms, analyze};
use postroad_recall::facts::Tag;
use postroad_recall::score::weights::{
    AUTHOR_ALONE, AUTHOR_FACTOR, EPISODE_WEIGHT, Kind, MEANING_FLOOR, NEIGHBOUR_WEIGHTS,
    RARE_DOCUMENTS, RARE_SHARE, Saturation, Weights,
};
use postroad_recall::search::AsOf;
use postroad_recall::vector::{Embedding, Vector};

/// A document as a test knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) number: u32,
    pub(crate) content: String,
    pub(crate) writer: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) episode: Option<&'static str>,
    pub(crate) occurred_ms: i64,
    pub(crate) stored_ms: i64,
    pub(crate) expires_ms: Option<i64>,
    pub(crate) sequence: u64,
    pub(crate) successor: Option<u32>,
    pub(crate) newer: Option<u32>,
    /// What the model made of it, if it came by already and did not fail.
    pub(crate) vectors: Option<Embedding>,
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) query: &'a QueryTerms,
    pub(crate) vector: Option<&'a Vector>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) now_ms: i64,
    pub(crate) as_of: Option<AsOf>,
}

/// What should be answered: numbers and scores, best first, and how many await their vectors.
pub(crate) struct Expected {
    pub(crate) hits: Vec<(u32, f64)>,
    pub(crate) awaiting: usize,
}

pub(crate) fn expected(all: &[Known], question: &Question<'_>) -> Expected {
    let seen = seen(all, question);
    let episodes = episodes(&seen);
    let analysed: Vec<_> = seen.iter().map(|one| analyze(&one.content)).collect();
    let lengths: Vec<f64> = analysed.iter().map(|one| f64::from(one.length)).collect();
    let weights = Weights::of(Kind {
        documents: seen.len() as u64,
        in_episodes: episodes.iter().map(Vec::len).sum::<usize>() as u64,
        words: analysed.iter().map(|one| u64::from(one.length)).sum(),
        identifiers: analysed.iter().map(|one| u64::from(one.identifiers)).sum(),
    });
    let count =
        |at: usize, term: &str| f64::from(analysed[at].terms.get(term).copied().unwrap_or(0));
    let words = bm25(question.query, weights.saturation, &lengths, count);
    let together: Vec<f64> = episodes
        .iter()
        .map(|episode| episode.iter().map(|at| lengths[*at]).sum())
        .collect();
    let of_episodes = bm25(question.query, Saturation::LONG, &together, |at, term| {
        episodes[at].iter().map(|at| count(*at, term)).sum()
    });
    let cosines: Vec<Option<f64>> = seen
        .iter()
        .map(|one| Some(likeness(question.vector?, one.vectors.as_ref()?)))
        .collect();

    let best = |scores: &[f64]| scores.iter().copied().fold(0.0, f64::max);
    let share = |one: f64, best: f64| if best > 0.0 { one / best } else { 0.0 };
    let nearest = best(&cosines.iter().flatten().copied().collect::<Vec<_>>());
    let exact = exact(question.query, seen.len(), count);
    let bases: Vec<f64> = (0..seen.len())
        .map(|at| {
            let of_words = share(words[at], best(&words));
            let Some(cosine) = cosines[at] else {
                return of_words;
            };
            let weight = if exact[at] { 0.0 } else { weights.meaning };
            let cosine = if cosine < f64::from(MEANING_FLOOR) {
                0.0
            } else {
                cosine
            };
            (1.0 - weight) * of_words + weights.meaning * share(cosine, nearest)
        })
        .collect();
    let mut scores = bases.clone();
    for (episode, of_episode) in episodes.iter().zip(&of_episodes) {
        for (at, place) in episode.iter().enumerate() {
            for (weight, distance) in NEIGHBOUR_WEIGHTS.iter().zip(1..) {
                let beside = [at.checked_sub(distance), Some(at + distance)];
                let gains = beside
                    .into_iter()
                    .flatten()
                    .filter_map(|at| episode.get(at));
                scores[*place] += gains.map(|other| weight * bases[*other]).sum::<f64>();
            }
            scores[*place] += EPISODE_WEIGHT * share(*of_episode, best(&of_episodes));
        }
    }
    if let Some(named) = named(&seen, &question.query.words) {
        for (score, one) in scores.iter_mut().zip(&seen) {
            if one.writer == named {
                *score = *score * AUTHOR_FACTOR + AUTHOR_ALONE;
            }
        }
    }
    let taken = |one: &Known| question.kind.is_none_or(|kind| one.kind == kind);
    let scores = settled(all, &seen, &scores, &taken);
    let mut hits: Vec<_> = seen
        .iter()
        .zip(scores)
        .filter(|(one, score)| *score > 0.0 && taken(one))
        .collect();
    hits.sort_by(|(a, a_score), (b, b_score)| {
        b_score
            .total_cmp(a_score)
            .then((b.occurred_ms, b.sequence).cmp(&(a.occurred_ms, a.sequence)))
    });
    Expected {
        hits: hits
            .into_iter()
            .map(|(one, score)| (one.number, score))
            .collect(),
        awaiting: question
            .vector
            .map_or(0, |_| cosines.iter().filter(|one| one.is_none()).count()),
    }
}

/// The documents that are there and of which no newer version is.
fn seen<'a>(all: &'a [Known], question: &Question<'_>) -> Vec<&'a Known> {
    let stored = |one: &Known| match question.as_of {
        None => true,
        Some(AsOf::Time(at)) => one.stored_ms <= at,
        Some(AsOf::Sequence(sequence)) => one.sequence <= sequence,
    };
    let at = match question.as_of {
        Some(AsOf::Time(at)) => at,
        _ => question.now_ms,
    };
    let there: Vec<_> = all.iter().filter(|one| stored(one)).collect();
    let lasts = |one: &Known| one.expires_ms.is_none_or(|end| end > at);
    let newest = |one: &Known| !there.iter().any(|other| Some(other.number) == one.newer);
    let shown = there.iter().filter(|one| lasts(one) && newest(one));
    shown.copied().collect()
}

fn episodes(seen: &[&Known]) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut loose = Vec::new();
    for (at, one) in seen.iter().enumerate() {
        match one.episode {
            Some(name) => named.entry(name).or_default().push(at),
            None => loose.push(at),
        }
    }
    let occurred = |at: &usize| seen[*at].occurred_ms;
    let mut episodes: Vec<_> = named.into_values().collect();
    loose.sort_by_key(occurred);
    for run in loose.chunk_by(|a, b| occurred(b) - occurred(a) < 30 * 60_000) {
        let mut writers: Vec<_> = run.iter().map(|at| seen[*at].writer).collect();
        writers.sort_unstable();
        writers.dedup();
        writers.retain(|writer| !writer.is_empty());
        if (2..=8).contains(&writers.len()) && run.len() >= 2 * writers.len() {
            episodes.push(run.to_vec());
        }
    }
    for episode in &mut episodes {
        episode.sort_by_key(occurred);
    }
    episodes
}

#[expect(clippy::cast_precision_loss, reason = "few documents")]
fn bm25(
    query: &QueryTerms,
    Saturation { k1, b }: Saturation,
    lengths: &[f64],
    count: impl Fn(usize, &str) -> f64,
) -> Vec<f64> {
    let all = lengths.len() as f64;
    let words: f64 = lengths.iter().sum();
    let mean = if words > 0.0 { words / all } else { 1.0 };
    let score = |(at, length): (usize, &f64)| {
        let terms = query.terms.iter().map(|(term, said)| {
            let with = (0..lengths.len())
                .filter(|at| count(*at, term) > 0.0)
                .count() as f64;
            let rarity = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            let count = count(at, term);
            f64::from(*said) * rarity * count * (k1 + 1.0)
                / (count + k1 * (1.0 - b + b * length / mean))
        });
        terms.sum()
    };
    lengths.iter().enumerate().map(score).collect()
}

/// Which documents hold a code of the query that few hold.
#[expect(clippy::cast_precision_loss, reason = "few documents")]
fn exact(query: &QueryTerms, documents: usize, count: impl Fn(usize, &str) -> f64) -> Vec<bool> {
    let mut exact = vec![false; documents];
    for code in &query.codes {
        let with: Vec<_> = (0..documents).filter(|at| count(*at, code) > 0.0).collect();
        if with.len() as f64 <= RARE_DOCUMENTS.max(documents as f64 * RARE_SHARE) {
            for at in with {
                exact[at] = true;
            }
        }
    }
    exact
}

fn likeness(query: &Vector, vectors: &Embedding) -> f64 {
    let chunks = vectors.0.iter().enumerate();
    let like = chunks.map(|(at, chunk)| chunk.cosine(query) * if at == 0 { 1.0 } else { 0.9 });
    f64::from(like.fold(f32::MIN, f32::max))
}

/// The only writer whose name is among the words; the test's names are one word each.
fn named<'a>(seen: &[&'a Known], words: &[String]) -> Option<&'a str> {
    let mut named = words.iter().filter_map(|word| {
        seen.iter()
            .find(|one| Tag::of_writer(one.writer) == Tag::of_words(std::slice::from_ref(word)))
    });
    let first = named.next()?.writer;
    named.all(|other| other.writer == first).then_some(first)
}

/// Scores with the newest of each chain first.
fn settled(
    all: &[Known],
    seen: &[&Known],
    scores: &[f64],
    taken: &impl Fn(&Known) -> bool,
) -> Vec<f64> {
    let place = |number: u32| seen.iter().position(|one| one.number == number);
    let shown = |number: u32| {
        let mut number = Some(number);
        while let Some(at) = number {
            if let Some(place) = place(at) {
                return Some(place);
            }
            number = all
                .iter()
                .find(|one| one.number == at)
                .and_then(|one| one.newer);
        }
        None
    };
    let next = |at: usize| {
        let next = seen[at].successor.and_then(shown);
        next.filter(|next| taken(seen[*next]))
    };
    let way = |at: usize| std::iter::successors(Some(at), |at| next(*at)).collect::<Vec<_>>();
    let mut best = scores.to_vec();
    for (at, score) in scores.iter().enumerate().filter(|(at, _)| taken(seen[*at])) {
        let newest = *way(at).last().expect("it begins with itself");
        best[newest] = best[newest].max(*score);
    }
    let settled = |at: usize| {
        let mut bound = f64::INFINITY;
        let mut own = 0.0;
        for at in way(at).into_iter().rev() {
            own = best[at].min(bound);
            if own > 0.0 {
                bound = own * 0.999;
            }
        }
        own
    };
    (0..seen.len())
        .map(|at| if taken(seen[at]) { settled(at) } else { 0.0 })
        .collect()
}
