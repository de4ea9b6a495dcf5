//! Rankings of a set's queries, and how good they are.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use postroad_recall::analyze::{QueryTerms, analyze_query};
use postroad_recall::model::Embedder;
use postroad_recall::search::{Ask, Filter, Partition, search};

use crate::set::{Query, Set};

/// How many results are asked for.
const LIMIT: usize = 20;

/// By what memories are searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Words and structure: what there is without a model.
    Words,
    /// The model and structure.
    Meaning,
    /// All of it.
    Both,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Words => "lexical",
            Self::Meaning => "semantic",
            Self::Both => "fused",
        }
    }
}

/// Sums over all queries.
#[derive(Default)]
pub(crate) struct Scores {
    sums: [f64; 6],
    times: Vec<Duration>,
    rankings: Vec<(String, Vec<String>)>,
}

/// Asks every query of the set.
pub(crate) fn measure(
    set: &Set,
    mode: Mode,
    embedder: Option<&Embedder>,
) -> Result<Scores, Box<dyn Error>> {
    let mut scores = Scores::default();
    for query in &set.queries {
        let Some(namespace) = set.namespaces.get(&query.namespace) else {
            scores.add(query, Vec::new());
            continue;
        };
        let begun = Instant::now();
        let terms = if mode == Mode::Meaning {
            QueryTerms::default()
        } else {
            analyze_query(&query.text)
        };
        let vector = match embedder.filter(|_| mode != Mode::Words) {
            Some(embedder) => Some(embedder.embed_query(&query.text)?),
            None => None,
        };
        let partition = Partition {
            rows: &namespace.rows,
            held: &namespace.held,
        };
        let filter = Filter::default();
        let ask = Ask {
            query: &terms,
            vector: vector.as_ref(),
            filter: &filter,
            now_ms: 0,
            as_of: None,
            limit: LIMIT,
        };
        let answer = search(&[partition], &ask)?;
        scores.times.push(begun.elapsed());
        scores.add(
            query,
            answer
                .hits
                .iter()
                .map(|hit| namespace.ids[hit.number as usize].clone())
                .collect(),
        );
    }
    Ok(scores)
}

impl Scores {
    pub(crate) const HEADER: [&str; 9] = [
        "by",
        "recall@5",
        "recall@10",
        "recall@20",
        "hit@10",
        "nDCG@10",
        "MRR",
        "p50 ms",
        "p95 ms",
    ];

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn add(&mut self, query: &Query, ranked: Vec<String>) {
        let mut seen = BTreeSet::new();
        let first_time = ranked.iter().filter(|id| seen.insert(*id));
        let hits: Vec<usize> = first_time
            .enumerate()
            .filter(|(_, id)| query.relevant.contains_key(*id))
            .map(|(at, _)| at)
            .collect();
        let all = query.relevant.len().max(1);
        let within = |depth: usize| hits.iter().filter(|at| **at < depth).count();
        let gain = |at: usize| 1.0 / (at as f64 + 2.0).log2();
        let ideal: f64 = (0..all.min(10)).map(gain).sum();
        let gained: f64 = hits.iter().filter(|at| **at < 10).map(|at| gain(*at)).sum();
        let one = [
            within(5) as f64 / all as f64,
            within(10) as f64 / all as f64,
            within(20) as f64 / all as f64,
            f64::from(u8::from(within(10) > 0)),
            gained / ideal,
            hits.first().map_or(0.0, |at| 1.0 / (*at as f64 + 1.0)),
        ];
        self.sums
            .iter_mut()
            .zip(one)
            .for_each(|(sum, one)| *sum += one);
        self.rankings.push((query.id.clone(), ranked));
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(crate) fn row(&self, name: &str) -> Vec<String> {
        let queries = self.rankings.len().max(1) as f64;
        let mut row = vec![name.to_owned()];
        row.extend(self.sums.map(|sum| format!("{:.4}", sum / queries)));
        row.extend([50, 95].map(|percent| format!("{:.2}", percentile_ms(&self.times, percent))));
        row
    }

    /// Writes the rankings as lines of `{id, ranked}`.
    pub(crate) fn write_run(&self, folder: &Path, mode: Mode) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(folder.join(format!("{}.jsonl", mode.name())))?;
        for (id, ranked) in &self.rankings {
            writeln!(
                file,
                "{}",
                serde_json::json!({ "id": id, "ranked": ranked })
            )?;
        }
        Ok(())
    }
}

/// A percentile in milliseconds; 0 of nothing.
pub(crate) fn percentile_ms(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
