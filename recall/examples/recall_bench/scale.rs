//! How long a search takes among many memories: the set's own, repeated with other words among them until there are enough, with
//! their rows in a redb file.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use postroad_recall::analyze::analyze_query;
use postroad_recall::facts::ContentHash;
use postroad_recall::held::Held;
use postroad_recall::index::{Document, add};
use postroad_recall::model::Embedder;
use postroad_recall::search::{Ask, Filter, Partition, search};
use postroad_recall::vector::Embedding;
use redb::Database;

use crate::measure::percentile_ms;
use crate::set::Set;
use crate::store::{self, Reading, Writing};

/// How many different texts get vectors of their own; the others have one of theirs.
const EMBEDDED: usize = 200;
/// How many queries are timed.
const QUERIES: usize = 500;
/// Memories of one episode.
const EPISODE: u32 = 20;
/// Memories of one transaction.
const BATCH: usize = 1000;

/// A namespace of many memories.
struct Crowd<'a> {
    texts: &'a [&'a str],
    embeddings: Vec<Embedding>,
    vectors: BTreeMap<ContentHash, Embedding>,
    database: Database,
    _folder: tempfile::TempDir,
}

impl<'a> Crowd<'a> {
    fn of(texts: &'a [&'a str], embedder: Option<&Embedder>) -> Result<Self, Box<dyn Error>> {
        let mut embeddings = Vec::new();
        if let Some(embedder) = embedder {
            for text in texts.iter().take(EMBEDDED) {
                embeddings.push(embedder.embed(text)?);
            }
        }
        let folder = tempfile::tempdir()?;
        Ok(Self {
            texts,
            embeddings,
            vectors: BTreeMap::new(),
            database: Database::create(folder.path().join("rows.redb"))?,
            _folder: folder,
        })
    }

    fn fill(&mut self, memories: u32) -> Result<(), Box<dyn Error>> {
        let numbers: Vec<u32> = (0..memories).collect();
        for batch in numbers.chunks(BATCH) {
            let contents: Vec<_> = batch.iter().map(|number| self.content(*number)).collect();
            store::write(&self.database, |rows| {
                for (number, content) in batch.iter().zip(&contents) {
                    store_one(rows, *number, content)?;
                }
                Ok(())
            })?;
            for (content, number) in contents.iter().zip(batch) {
                self.embed(*number, content);
            }
        }
        Ok(())
    }

    fn content(&self, number: u32) -> String {
        let (texts, at) = (self.texts, number as usize);
        let other = texts[(at * 7 + 3) % texts.len()].split_whitespace();
        let other = other.take(8).collect::<Vec<_>>().join(" ");
        format!("{} {other} memory{number}", texts[at % texts.len()])
    }

    fn embed(&mut self, number: u32, content: &str) {
        if let Some(embedding) = self.embeddings.get(number as usize % EMBEDDED) {
            self.vectors
                .insert(ContentHash::of(content), embedding.clone());
        }
    }
}

fn store_one(rows: &mut Writing<'_>, number: u32, content: &str) -> Result<(), Box<dyn Error>> {
    let episode = format!("episode {}", number / EPISODE);
    let document = Document {
        content,
        writer: ["alice", "bob", "carol"][number as usize % 3],
        kind: "project",
        episode: Some(&episode),
        occurred_ms: i64::from(number) * 1000,
        stored_ms: 0,
        expires_ms: None,
        sequence: u64::from(number) + 1,
    };
    Ok(add(rows, number, &document, document.sequence)?)
}

/// Times the set's queries among `memories` memories, and tells what came of it.
pub(crate) fn measure(
    set: &Set,
    memories: u32,
    embedder: Option<&Embedder>,
) -> Result<String, Box<dyn Error>> {
    let contents = set.memories.iter().map(|memory| memory.content.as_str());
    let texts: Vec<&str> = contents.filter(|text| !text.is_empty()).collect();
    if texts.is_empty() {
        return Err("the set has no text to repeat".into());
    }
    let mut crowd = Crowd::of(&texts, embedder)?;
    let begun = Instant::now();
    crowd.fill(memories)?;
    let each_us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(memories.max(1));
    let rows = store::read(&crowd.database)?;
    let begun = Instant::now();
    let held = Held::load(&rows, Some(&crowd.vectors), u64::MAX)?;
    let loading = begun.elapsed();

    let words = texts.iter().map(|text| text.split_whitespace().count());
    let mut told = format!(
        "among {memories} memories of {} words, rows in redb: indexed in {each_us:.0} µs each, \
         held in {} KB, loaded in {:.1} ms",
        words.sum::<usize>() / texts.len(),
        held.bytes() / 1000,
        loading.as_secs_f64() * 1e3,
    );
    told += &Times::of(set, &rows, &held, embedder)?.told();

    // One more memory, as a writer between two searches leaves it.
    let content = crowd.content(memories);
    store::write(&crowd.database, |rows| store_one(rows, memories, &content))?;
    crowd.embed(memories, &content);
    let rows = store::read(&crowd.database)?;
    let begun = Instant::now();
    let held = held.refreshed(&rows, Some(&crowd.vectors), u64::MAX)?;
    let refreshing = begun.elapsed();
    let first = Times::of(set, &rows, &held, None)?.words[0];
    told += &format!(
        "\n  after one more memory: refreshed in {:.2} ms, first search in {:.2} ms",
        refreshing.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3
    );
    Ok(told)
}

/// What each query took.
#[derive(Default)]
struct Times {
    analysis: Vec<Duration>,
    words: Vec<Duration>,
    fused: Vec<Duration>,
    embedding: Vec<Duration>,
    whole: Vec<Duration>,
}

impl Times {
    fn of(
        set: &Set,
        rows: &Reading,
        held: &Held,
        embedder: Option<&Embedder>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut times = Self::default();
        let filter = Filter::default();
        for query in set.queries.iter().take(QUERIES) {
            let begun = Instant::now();
            let terms = analyze_query(&query.text);
            times.analysis.push(begun.elapsed());
            let ask = Ask {
                query: &terms,
                vector: None,
                filter: &filter,
                now_ms: 0,
                as_of: None,
                limit: 10,
            };
            let partition = [Partition { rows, held }];
            search(&partition, &ask)?;
            times.words.push(begun.elapsed());
            let Some(embedder) = embedder else { continue };
            let begun = Instant::now();
            let vector = embedder.embed_query(&query.text)?;
            times.embedding.push(begun.elapsed());
            let ready = Instant::now();
            let vector = Some(&vector);
            search(&partition, &Ask { vector, ..ask })?;
            times.fused.push(ready.elapsed());
            times.whole.push(begun.elapsed());
        }
        Ok(times)
    }

    fn told(&self) -> String {
        let lines = [
            ("by words", &self.words),
            ("of that, the query's analysis", &self.analysis),
            ("fused, the query's vector at hand", &self.fused),
            ("the query's vector", &self.embedding),
            ("fused with it", &self.whole),
        ];
        let line = |(what, times): &(&str, &Vec<Duration>)| {
            let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile_ms(times, percent));
            format!("\n  {what}: p50 {p50:.3} ms, p95 {p95:.3} ms, p99 {p99:.3} ms")
        };
        lines
            .iter()
            .filter(|(_, times)| !times.is_empty())
            .map(line)
            .collect()
    }
}
