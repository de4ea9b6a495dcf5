//! What a search finds, and why: each signal pushes the way it should, and nothing that must not be seen is.

use postroad_recall::analyze::analyze_query;
use std::collections::BTreeMap;

use postroad_recall::facts::{ContentHash, Tag};
use postroad_recall::held::{Held, NoVectors};
use postroad_recall::index::{Document, Succession, add, set_successor};
use postroad_recall::rows::MemoryRows;
use postroad_recall::search::{Answer, AsOf, Ask, Filter, Partition, search};
use postroad_recall::vector::{DIMENSIONS, Embedding, Vector};

const NOW: i64 = 1_000_000_000;
const MINUTE: i64 = 60_000;

/// A memory of alice's, without an episode, stored at `minute`.
fn memory(content: &str, minute: i64) -> Document<'_> {
    Document {
        content,
        writer: "alice",
        kind: "project",
        episode: None,
        occurred_ms: minute * MINUTE,
        stored_ms: minute * MINUTE,
        expires_ms: None,
        sequence: minute.unsigned_abs() + 1,
    }
}

fn indexed(documents: &[Document<'_>]) -> MemoryRows {
    let mut rows = MemoryRows::new();
    for (document, number) in documents.iter().zip(0..) {
        add(&mut rows, number, document, document.sequence).expect("the rows are whole");
    }
    rows
}

fn succeed(rows: &mut MemoryRows, number: u32, succession: Succession, successor: Option<u32>) {
    set_successor(rows, number, succession, successor, 1 << 40).expect("the rows are whole");
}

fn held(rows: &MemoryRows) -> Held {
    Held::load(rows, None::<&NoVectors>, 0).expect("the rows are whole")
}

fn asked(rows: &MemoryRows, query: &str, change: impl FnOnce(&mut Ask<'_>)) -> Answer {
    asked_for(rows, query, &Filter::default(), change)
}

fn asked_for(
    rows: &MemoryRows,
    query: &str,
    filter: &Filter,
    change: impl FnOnce(&mut Ask<'_>),
) -> Answer {
    let query = analyze_query(query);
    let mut ask = Ask {
        query: &query,
        vector: None,
        filter,
        now_ms: NOW,
        as_of: None,
        limit: 10,
    };
    change(&mut ask);
    let held = &held(rows);
    search(&[Partition { rows, held }], &ask).expect("the rows are whole")
}

fn found(rows: &MemoryRows, query: &str) -> Vec<u32> {
    numbers(&asked(rows, query, |_| ()))
}

fn numbers(answer: &Answer) -> Vec<u32> {
    answer.hits.iter().map(|hit| hit.number).collect()
}

fn filtered(rows: &MemoryRows, query: &str, limit: usize, filter: &Filter) -> Vec<u32> {
    numbers(&asked_for(rows, query, filter, |ask| ask.limit = limit))
}

#[test]
fn rare_words_count_more_and_empty_memories_are_harmless() {
    let rows = indexed(&[
        memory("the road to the harbour", 0),
        memory("", 1),
        memory("the road", 2),
        memory("road toll", 3),
    ]);
    assert_eq!(found(&rows, "harbour road")[0], 0);
    assert_eq!(found(&rows, "nothing of it"), [0_u32; 0]);
    assert_eq!(found(&rows, ""), [0_u32; 0]);
    assert_eq!(
        found(&rows, "to the"),
        [0, 2],
        "stop words are looked for when there is nothing else"
    );
}

#[test]
fn code_is_found_by_any_spelling_of_its_names() {
    let rows = indexed(&[
        memory(
            "fn open_shard(dir: &Path) -> Result<ShardFile, StoreError> { ShardFile::open(dir.join(\"rows.redb\")) }",
            0,
        ),
        memory(
            "fn parse_tenant_id(text: &str) -> Result<TenantId, InvalidName> { TenantId::parse(text) }",
            1,
        ),
        memory(
            "borrow of moved value: error[E0382] in src/deployment/keys.rs line 12",
            2,
        ),
        memory("pin rten to 0.24.1 because 0.27 needs a newer compiler", 3),
    ]);
    for (query, expected) in [
        ("parseTenantId", 1),
        ("tenant-id", 1),
        ("where is the shard file opened", 0),
        ("E0382", 2),
        ("keys.rs", 2),
        ("src/deployment/keys.rs", 2),
        ("rten v0.24", 3),
    ] {
        assert_eq!(found(&rows, query).first(), Some(&expected), "{query}");
    }
}

#[test]
fn what_stands_beside_a_match_in_its_episode_comes_next() {
    let said = |content, minute, episode| Document {
        episode: Some(episode),
        ..memory(content, minute)
    };
    let rows = indexed(&[
        said("Which harbour did the ship reach?", 0, "a"),
        said("Rotterdam, on Tuesday.", 1, "a"),
        said("Good to hear.", 2, "a"),
        said("Lunch was fine.", 3, "b"),
    ]);
    let answer = asked(&rows, "harbour ship", |_| ());
    assert_eq!(
        numbers(&answer),
        [0, 1, 2],
        "the nearest neighbour first, and nothing of another episode"
    );
    assert!(
        answer.hits[1].parts.words == 0.0
            && answer.hits[1].parts.neighbours > 0.0
            && answer.hits[1].parts.episode > 0.0
    );
}

#[test]
fn a_conversation_is_an_episode_by_itself_and_notes_are_none() {
    let talk = |writers: &[&'static str]| {
        let texts = [
            "Which harbour did the ship reach?",
            "Rotterdam.",
            "Nice.",
            "Lunch?",
            "Yes.",
            "Noon.",
            "Fine.",
            "Bye.",
        ];
        let said = |(at, text): (usize, &'static str)| {
            let minute = i64::try_from(at).unwrap();
            Document {
                writer: writers[at % writers.len()],
                ..memory(text, minute)
            }
        };
        let documents: Vec<_> = texts.into_iter().enumerate().map(said).collect();
        indexed(&documents)
    };
    for writers in [&["ann", "bea"][..], &["ann", "bea", "cem", "dee"]] {
        let talk = found(&talk(writers), "harbour");
        assert_eq!(
            (&talk[..3], talk.len()),
            (&[0, 1, 2][..], 8),
            "the neighbours, then the rest of the talk"
        );
    }
    assert_eq!(found(&talk(&["ann"]), "harbour"), [0], "one writer's notes");
    assert_eq!(
        found(&talk(&["a", "b", "c", "d", "e", "f", "g", "h"]), "harbour"),
        [0],
        "a list of papers"
    );
}

#[test]
fn the_one_writer_whom_a_query_names_comes_first() {
    let by = |writer, minute| Document {
        writer,
        ..memory("the road is closed", minute)
    };
    let rows = indexed(&[by("frontend-dev", 0), by("frontend", 1), by("carol", 2)]);
    assert_eq!(found(&rows, "what did carol say about the road")[0], 2);
    assert_eq!(
        found(&rows, "frontend dev's road")[0],
        0,
        "the longest name counts"
    );
    assert_eq!(
        found(&rows, "road of carol or of frontend"),
        [2, 1, 0],
        "two names are none: newest first"
    );
    assert!(asked(&rows, "carol road", |_| ()).hits[0].parts.author > 0.0);
    assert_eq!(
        found(&rows, "what did carol say?"),
        [2],
        "nothing else of it matches"
    );
}

#[test]
fn a_replaced_memory_steps_behind_the_newest_of_its_chain() {
    let mut rows = indexed(&[
        memory("the toll is two coins, two coins", 0),
        memory("the toll is three", 1),
        memory("it costs four now", 2),
        memory("a toll gate", 3),
    ]);
    assert_eq!(found(&rows, "toll coins")[0], 0);
    succeed(&mut rows, 0, Succession::Memory, Some(1));
    succeed(&mut rows, 1, Succession::Memory, Some(2));
    let answer = asked(&rows, "toll coins", |_| ());
    let order = numbers(&answer);
    assert_eq!(
        order[0], 2,
        "it says nothing of tolls, and replaced what does"
    );
    let place = |number| order.iter().position(|found| *found == number).unwrap();
    assert!(place(1) < place(0), "{order:?}");
    let then = asked(&rows, "toll coins", |ask| ask.as_of = Some(AsOf::Time(0)));
    assert_eq!(numbers(&then), [0], "nothing had replaced it then");
}

#[test]
fn the_newest_of_a_very_long_chain_comes_first() {
    let length = 200;
    let mut documents = vec![memory("toll toll toll", 0)];
    documents.extend((1..length).map(|at| memory("the toll changed once more", at)));
    let mut rows = indexed(&documents);
    for at in 1..u32::try_from(length).unwrap() {
        succeed(&mut rows, at - 1, Succession::Memory, Some(at));
    }
    let newest_first: Vec<u32> = (0..u32::try_from(length).unwrap()).rev().collect();
    let answer = asked(&rows, "toll", |ask| ask.limit = documents.len());
    assert_eq!(numbers(&answer), newest_first);
}

#[test]
fn memories_that_replace_each_other_in_a_circle_are_ranked_as_if_they_did_not() {
    let mut rows = indexed(&[memory("toll", 0), memory("toll toll road", 1)]);
    let before = found(&rows, "toll");
    succeed(&mut rows, 0, Succession::Memory, Some(1));
    succeed(&mut rows, 1, Succession::Memory, Some(0));
    assert_eq!(found(&rows, "toll"), before);
    succeed(&mut rows, 0, Succession::Memory, Some(0));
    succeed(&mut rows, 1, Succession::Memory, Some(77));
    assert_eq!(
        found(&rows, "toll"),
        before,
        "nor does one that replaces itself, or was replaced by what is gone"
    );
}

#[test]
fn filters_cut_before_the_best_are_chosen() {
    let mut documents: Vec<_> = (0..50)
        .map(|minute| memory("toll toll toll", minute))
        .collect();
    documents.push(Document {
        writer: "bob",
        kind: "feedback",
        ..memory("one toll among many other words of the road", 50)
    });
    let rows = indexed(&documents);
    let filter = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filtered(&rows, "toll", 1, &filter)
    };
    assert_eq!(
        filter(|filter| filter.kinds = vec![Tag::of("feedback")]),
        [50]
    );
    assert_eq!(
        filter(|filter| filter.writers = vec![Tag::of_writer("Bob")]),
        [50]
    );
    assert_eq!(filter(|filter| filter.since_ms = Some(50 * MINUTE)), [50]);
    assert_eq!(filter(|filter| filter.until_ms = Some(MINUTE)), [0]);
    assert_eq!(
        filter(|filter| filter.kinds = vec![Tag::of("reference")]),
        [0_u32; 0]
    );
}

#[test]
fn what_expired_or_came_later_is_not_there() {
    let mut brief = memory("toll", 0);
    brief.expires_ms = Some(5 * MINUTE);
    let rows = indexed(&[brief, memory("toll", 3)]);
    assert_eq!(found(&rows, "toll"), [1], "expired by now");
    let at = |as_of| numbers(&asked(&rows, "toll", |ask| ask.as_of = Some(as_of)));
    assert_eq!(at(AsOf::Time(MINUTE)), [0]);
    assert_eq!(at(AsOf::Time(4 * MINUTE)), [1, 0]);
    assert_eq!(at(AsOf::Time(5 * MINUTE)), [1]);
    assert_eq!(at(AsOf::Sequence(3)), [0_u32; 0]);
}

fn direction(at: usize) -> Vector {
    let mut values = [0.01; DIMENSIONS];
    values[at] = 1.0;
    Vector::quantize(&values)
}

#[test]
fn meaning_finds_what_words_do_not_and_words_find_what_awaits_its_vector() {
    let rows = indexed(&[
        memory("automobile", 0),
        memory("horse", 1),
        memory("car", 2),
    ]);
    let vectors = BTreeMap::from([
        (
            ContentHash::of("automobile"),
            Embedding(vec![direction(9), direction(7)]),
        ),
        (ContentHash::of("horse"), Embedding(vec![direction(8)])),
        // Of a document that is gone: must not be found.
        (ContentHash::of("coach"), Embedding(vec![direction(7)])),
    ]);
    let held = Held::load(&rows, Some(&vectors), u64::MAX).unwrap();
    let (query, like, filter) = (analyze_query("car"), direction(7), Filter::default());
    let ask = Ask {
        query: &query,
        vector: Some(&like),
        filter: &filter,
        now_ms: NOW,
        as_of: None,
        limit: 10,
    };
    let partition = Partition {
        rows: &rows,
        held: &held,
    };
    let answer = search(&[partition], &ask).unwrap();
    assert_eq!(numbers(&answer), [2, 0], "a horse is nothing alike");
    assert_eq!(
        (answer.awaiting, answer.meaning_weight.to_bits()),
        (1, 0.5_f64.to_bits())
    );
    assert!(answer.hits[1].parts.meaning > 0.0 && answer.hits[1].parts.words == 0.0);
}

#[test]
fn a_rare_code_counts_more_than_what_is_alike() {
    let texts = [
        "the version REL-12 is out",
        "a release",
        "the release of the year",
    ];
    let rows = indexed(&[
        memory(texts[0], 0),
        memory(texts[1], 1),
        memory(texts[2], 2),
    ]);
    let mut near = [0.01; DIMENSIONS];
    (near[7], near[8]) = (1.0, 0.6);
    let vectors = BTreeMap::from([
        (ContentHash::of(texts[0]), Embedding(vec![direction(9)])),
        (ContentHash::of(texts[1]), Embedding(vec![direction(7)])),
        (
            ContentHash::of(texts[2]),
            Embedding(vec![Vector::quantize(&near)]),
        ),
    ]);
    let held = Held::load(&rows, Some(&vectors), u64::MAX).unwrap();
    let first = |query| {
        let (query, like, filter) = (analyze_query(query), direction(7), Filter::default());
        let ask = Ask {
            query: &query,
            vector: Some(&like),
            filter: &filter,
            now_ms: NOW,
            as_of: None,
            limit: 10,
        };
        let partition = Partition {
            rows: &rows,
            held: &held,
        };
        search(&[partition], &ask).unwrap().hits[0].number
    };
    assert_eq!(first("rel 12 release"), 1, "no code, but words");
    assert_eq!(first("REL-12 release"), 0);
}

#[test]
fn of_a_memorys_versions_the_one_that_was_newest_then_is_found() {
    let mut rows = indexed(&[
        memory("the toll is two coins", 0),
        memory("the road is closed", 1),
        memory("the toll is three coins", 2),
        memory("passage is free", 3),
    ]);
    succeed(&mut rows, 0, Succession::Version, Some(2));
    succeed(&mut rows, 2, Succession::Version, Some(3));
    let at = |as_of| asked(&rows, "toll coins", |ask| ask.as_of = as_of);
    let now = at(None);
    assert_eq!((numbers(&now), now.matched), (vec![], 0));
    for (as_of, expected) in [
        (AsOf::Time(MINUTE), 0),
        (AsOf::Time(2 * MINUTE), 2),
        (AsOf::Sequence(2), 0),
        (AsOf::Sequence(3), 2),
    ] {
        assert_eq!(numbers(&at(Some(as_of))), [expected], "{as_of:?}");
    }
    let alone = indexed(&[
        memory("the road is closed", 1),
        memory("passage is free", 3),
    ]);
    let score = |rows| asked(rows, "free road", |_| ()).hits[0].score.to_bits();
    assert_eq!(score(&rows), score(&alone), "older versions count nowhere");
}

#[test]
fn a_version_that_expired_brings_the_one_before_not_back() {
    let mut brief = memory("the toll is three coins", 1);
    brief.expires_ms = Some(5 * MINUTE);
    let mut rows = indexed(&[memory("the toll is two coins", 0), brief]);
    succeed(&mut rows, 0, Succession::Version, Some(1));
    let at = |minute| numbers(&asked(&rows, "toll", |ask| ask.now_ms = minute * MINUTE));
    assert_eq!((at(4), at(5)), (vec![1], vec![]));
}

#[test]
fn a_superseded_memory_steps_behind_whatever_version_the_other_is_in() {
    let mut rows = indexed(&[
        memory("the toll is two coins", 0),
        memory("the toll is three", 1),
        memory("passage costs four", 2),
        memory("a toll gate", 3),
    ]);
    succeed(&mut rows, 0, Succession::Memory, Some(1));
    succeed(&mut rows, 1, Succession::Version, Some(2));
    assert_eq!(found(&rows, "toll coins"), [2, 0, 3]);
    let then = asked(&rows, "toll coins", |ask| {
        ask.as_of = Some(AsOf::Time(MINUTE));
    });
    assert_eq!(numbers(&then), [1, 0]);
}

#[test]
fn what_expires_between_two_searches_is_found_by_the_first_alone() {
    let mut brief = memory("toll", 0);
    brief.expires_ms = Some(5 * MINUTE);
    let rows = indexed(&[brief, memory("toll", 3)]);
    let held = held(&rows);
    let partitions = [Partition {
        rows: &rows,
        held: &held,
    }];
    let (query, filter) = (analyze_query("toll"), Filter::default());
    let at = |now_ms| {
        let ask = Ask {
            query: &query,
            vector: None,
            filter: &filter,
            now_ms,
            as_of: None,
            limit: 10,
        };
        search(&partitions, &ask).unwrap().matched
    };
    assert_eq!(
        [4, 5, 4, 6].map(|minute| at(minute * MINUTE)),
        [2, 1, 2, 1],
        "on one and the same held state, forth and back"
    );
}
