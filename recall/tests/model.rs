//! The model as it is fetched. What needs its files runs where `POSTROAD_MODEL` names their folder; without them Postroad recalls by
//! words alone, and so do its tests.

use std::fs;
use std::path::PathBuf;

use postroad_recall::analyze::analyze_query;
use postroad_recall::facts::ContentHash;
use postroad_recall::held::{Held, VectorSource};
use postroad_recall::index::{Document, add};
use postroad_recall::model::{CHUNK_TOKENS, EmbedError, Embedder, MAX_CHUNKS, ModelError, Threads};
use postroad_recall::rows::MemoryRows;
use postroad_recall::search::{Ask, Filter, Partition, search};
use postroad_recall::vector::Embedding;

/// The model, where it can be had.
fn embedder() -> Option<Embedder> {
    let Some(folder) = std::env::var_os("POSTROAD_MODEL") else {
        eprintln!("POSTROAD_MODEL is not set: recall is tested by words alone");
        return None;
    };
    Some(Embedder::load(&PathBuf::from(folder)).expect("POSTROAD_MODEL names the model's folder"))
}

/// Makes the vectors when they are asked for.
struct Made<'a>(&'a Embedder);

impl VectorSource for Made<'_> {
    type Error = EmbedError;

    fn vectors(&self, content: ContentHash) -> Result<Option<Embedding>, EmbedError> {
        let known = MEMORIES
            .iter()
            .find(|text| ContentHash::of(text) == content);
        known.map(|text| self.0.embed(text)).transpose()
    }
}

const MEMORIES: [&str; 4] = [
    "The automobile's engine was dead this morning.",
    "Tenants are kept apart by the first part of every key.",
    "The bakery closes at six on Saturdays.",
    "Levy of the harbour: two coins an hour.",
];

#[test]
fn other_bytes_than_the_models_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), b"{}").unwrap();
    let error = Embedder::load(folder.path())
        .err()
        .expect("these are not the model's bytes");
    assert!(matches!(error, ModelError::Corrupt { .. }), "{error:?}");
    assert!(
        error.to_string().contains("scripts/recall-model.sh"),
        "{error}"
    );
}

#[test]
fn what_means_the_same_is_alike_and_any_text_has_vectors() {
    let Some(embedder) = embedder() else { return };
    let cosine = |a: &str, b: &str| {
        embedder
            .embed_query(a)
            .unwrap()
            .cosine(&embedder.embed_query(b).unwrap())
    };
    assert!(
        cosine(
            "The car would not start.",
            "the automobile's engine was dead"
        ) > 0.5
    );
    assert!(cosine("The car would not start.", "tenants are kept apart by keys") < 0.2);
    let texts = [
        "",
        " ",
        "xqzjkvw",
        "\u{0}\u{fffd}",
        "日本語",
        "\u{1f468}\u{200d}\u{1f469}",
        &"x".repeat(65_536),
    ];
    for text in texts {
        assert_eq!(embedder.embed(text).unwrap().0.len(), 1, "{text:?}");
    }
    let (one, two) = (
        "road ".repeat(CHUNK_TOKENS - 2),
        "road ".repeat(CHUNK_TOKENS - 1),
    );
    assert_eq!(
        (
            embedder.embed(&one).unwrap().0.len(),
            embedder.embed(&two).unwrap().0.len()
        ),
        (1, 2)
    );
    let mut chunks = 0;
    let first_only = embedder.embed_while(&two, Some(&Threads::new(1)), || {
        chunks += 1;
        chunks < 2
    });
    assert_eq!((first_only.unwrap(), chunks), (None, 2));
    let same = embedder.embed_while(&two, Some(&Threads::new(1)), || true);
    assert_eq!(same.unwrap().unwrap(), embedder.embed(&two).unwrap());
    const {
        assert!(
            MAX_CHUNKS * CHUNK_TOKENS > 65_536 / 5,
            "the longest prose has vectors to its end"
        );
    };
}

#[test]
fn a_query_and_a_memory_of_the_same_words_have_the_same_vector() {
    let Some(embedder) = embedder() else { return };
    for text in MEMORIES {
        let (memory, query) = (embedder.embed(text), embedder.embed_query(text));
        let (memory, query) = (memory.unwrap().0.remove(0), query.unwrap());
        assert!(
            memory.cosine(&query) > 0.9999,
            "on one core and on all: {text}"
        );
    }
}

#[test]
fn a_memory_is_found_by_what_it_means_once_the_model_has_been_through() {
    let Some(embedder) = embedder() else { return };
    let mut rows = MemoryRows::new();
    for (number, content) in (0..).zip(MEMORIES) {
        let document = Document {
            content,
            writer: "ann",
            kind: "note",
            episode: None,
            occurred_ms: 0,
            stored_ms: 0,
            expires_ms: None,
            sequence: u64::from(number) + 1,
        };
        add(&mut rows, number, &document, document.sequence).unwrap();
    }
    let made = Made(&embedder);
    let begun = Held::load(&rows, Some(&made), 0).unwrap();
    let done = begun.refreshed(&rows, Some(&made), 4).unwrap();
    let text = "the vehicle refused to run";
    let (query, vector) = (analyze_query(text), embedder.embed_query(text).unwrap());
    let filter = Filter::default();
    let first = |held: &Held, vector| {
        let ask = Ask {
            query: &query,
            vector,
            filter: &filter,
            now_ms: 0,
            as_of: None,
            limit: 10,
        };
        let answer = search(&[Partition { rows: &rows, held }], &ask).unwrap();
        let first = answer.hits.first().map(|hit| hit.number);
        (first, answer.awaiting)
    };
    assert_eq!(first(&begun, Some(&vector)), (None, 4), "by words alone");
    assert_eq!(first(&done, None), (None, 0), "by words alone");
    assert_eq!(first(&done, Some(&vector)), (Some(0), 0));
}
