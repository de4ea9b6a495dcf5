//! A set of memories and judged queries, indexed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use postroad_recall::analyze::analyze;
use postroad_recall::facts::ContentHash;
use postroad_recall::held::Held;
use postroad_recall::index::{Document, add};
use postroad_recall::model::Embedder;
use postroad_recall::rows::MemoryRows;
use postroad_recall::vector::Embedding;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One line of `memories.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Memory {
    id: String,
    namespace: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(alias = "createdBy", default)]
    created_by: String,
    pub(crate) content: String,
    #[serde(default)]
    episode: Option<String>,
    #[serde(alias = "occurredAt", default)]
    occurred_at: Option<i64>,
}

/// One line of `queries.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Query {
    pub(crate) id: String,
    pub(crate) namespace: String,
    #[serde(rename = "query")]
    pub(crate) text: String,
    pub(crate) relevant: BTreeMap<String, u32>,
}

/// One namespace.
#[derive(Default)]
pub(crate) struct Namespace {
    pub(crate) rows: MemoryRows,
    pub(crate) held: Held,
    /// The id of each number.
    pub(crate) ids: Vec<String>,
}

/// All of it.
pub(crate) struct Set {
    pub(crate) memories: Vec<Memory>,
    pub(crate) queries: Vec<Query>,
    pub(crate) namespaces: BTreeMap<String, Namespace>,
}

impl Set {
    pub(crate) fn read(
        folder: &Path,
        embedder: Option<&Embedder>,
        cache: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let memories: Vec<Memory> = lines(&folder.join("memories.jsonl"))?;
        let queries = lines(&folder.join("queries.jsonl"))?;
        let mut namespaces: BTreeMap<String, Namespace> = BTreeMap::new();
        let mut vectors = BTreeMap::new();
        for (at, memory) in memories.iter().enumerate() {
            let namespace = namespaces.entry(memory.namespace.clone()).or_default();
            let number = u32::try_from(namespace.ids.len())?;
            namespace.ids.push(memory.id.clone());
            let document = memory.document(at);
            add(&mut namespace.rows, number, &document, document.sequence)?;
            if let Some(embedder) = embedder {
                let embedding = cached(embedder, cache, &memory.content)?;
                vectors.insert(ContentHash::of(&memory.content), embedding);
            }
            if at % 200 == 199 && embedder.is_some() {
                eprintln!("embedded {} of {}", at + 1, memories.len());
            }
        }
        for namespace in namespaces.values_mut() {
            namespace.held = Held::load(&namespace.rows, Some(&vectors), u64::MAX)?;
        }
        Ok(Self {
            memories,
            queries,
            namespaces,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "few memories")]
    pub(crate) fn describe(&self) -> String {
        let bytes: usize = self
            .namespaces
            .values()
            .map(|namespace| namespace.rows.bytes())
            .sum();
        let held: usize = self
            .namespaces
            .values()
            .map(|namespace| namespace.held.bytes())
            .sum();
        let content: usize = self
            .memories
            .iter()
            .map(|memory| memory.content.len())
            .sum();
        let analysed = self.memories.iter().map(|memory| analyze(&memory.content));
        let (words, identifiers) = analysed.fold((0, 0), |(words, identifiers), one| {
            (words + one.length, identifiers + one.identifiers)
        });
        format!(
            "{} memories ({} KB, {:.1} words each without stop words, {:.1} % of them identifiers) in {} namespaces, \
             {} queries; index {} KB, held in memory {} KB",
            self.memories.len(),
            content / 1000,
            f64::from(words) / self.memories.len().max(1) as f64,
            100.0 * f64::from(identifiers) / f64::from(words.max(1)),
            self.namespaces.len(),
            self.queries.len(),
            bytes / 1000,
            held / 1000,
        )
    }
}

impl Memory {
    /// As an import would store it: without a time of its own, all at one time, in order of lines.
    fn document(&self, line: usize) -> Document<'_> {
        Document {
            content: &self.content,
            writer: &self.created_by,
            kind: &self.kind,
            episode: self.episode.as_deref(),
            occurred_ms: self.occurred_at.unwrap_or(0),
            stored_ms: 0,
            expires_ms: None,
            sequence: line as u64 + 1,
        }
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(at, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: {error}", path.display(), at + 1).into())
        })
        .collect()
}

/// A text's vectors, made once for each content and model.
fn cached(
    embedder: &Embedder,
    cache: Option<&Path>,
    content: &str,
) -> Result<Embedding, Box<dyn Error>> {
    let Some(cache) = cache else {
        return Ok(embedder.embed(content)?);
    };
    let path = cache.join(format!(
        "{:x}-{}",
        Embedder::tag().0,
        blake3::hash(content.as_bytes())
    ));
    if let Some(embedding) = fs::read(&path)
        .ok()
        .and_then(|bytes| Embedding::from_bytes(&bytes).ok())
    {
        return Ok(embedding);
    }
    let embedding = embedder.embed(content)?;
    fs::create_dir_all(cache)?;
    fs::write(&path, embedding.to_bytes())?;
    Ok(embedding)
}
