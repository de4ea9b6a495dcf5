//! Random histories: what is held in memory, refreshed whenever, is what loading gives, and a search over it answers what the
//! documents alone say.

mod oracle;
mod world;

use oracle::{Question, expected};
use postroad_recall::analyze::analyze_query;
use postroad_recall::facts::Tag;
use postroad_recall::held::{Held, NoVectors};
use postroad_recall::search::{AsOf, Ask, Filter, Partition, search};
use proptest::prelude::*;
use proptest::sample::Index;
use world::{Event, MINUTE, Text, World, embedding, time_of};

const NOW: i64 = 400 * MINUTE;

/// Asks in many ways, and holds each answer against what the documents say.
fn check(world: &World, held: &Held) -> Result<(), TestCaseError> {
    let query = analyze_query("alice opens the toll gate by openFile, toll of road");
    let vector = embedding("toll gate")
        .expect("the model takes it")
        .0
        .remove(0);
    let partitions = [Partition {
        rows: &world.rows,
        held,
    }];
    let sequence = world.sequence / 2;
    let time = time_of(sequence);
    for vector in [None, Some(&vector)] {
        for as_of in [None, Some(AsOf::Sequence(sequence)), Some(AsOf::Time(time))] {
            for kind in [None, Some("feedback")] {
                for now_ms in [NOW, time] {
                    let question = Question {
                        query: &query,
                        vector,
                        kind,
                        now_ms,
                        as_of,
                    };
                    let filter = Filter {
                        kinds: kind.into_iter().map(Tag::of).collect(),
                        ..Filter::default()
                    };
                    let ask = Ask {
                        query: &query,
                        vector,
                        filter: &filter,
                        now_ms,
                        as_of,
                        limit: usize::MAX,
                    };
                    let answer = search(&partitions, &ask).expect("the rows are whole");
                    let expected = expected(&world.known, &question);
                    let told: Vec<_> = answer
                        .hits
                        .iter()
                        .map(|hit| (hit.number, hit.score))
                        .collect();
                    prop_assert_eq!(answer.matched, told.len());
                    prop_assert_eq!(answer.awaiting, expected.awaiting);
                    same(&told, &expected.hits)?;
                    for hit in &answer.hits {
                        prop_assert!((hit.parts.sum() - hit.score).abs() < 1e-9);
                    }
                    let few =
                        search(&partitions, &Ask { limit: 3, ..ask }).expect("the rows are whole");
                    prop_assert_eq!(&few.hits[..], &answer.hits[..answer.hits.len().min(3)]);
                }
            }
        }
    }
    Ok(())
}

/// The same numbers with the same scores, in one order but for scores that are too near to each other to tell.
fn same(told: &[(u32, f64)], expected: &[(u32, f64)]) -> Result<(), TestCaseError> {
    let by_number = |hits: &[(u32, f64)]| {
        let mut hits = hits.to_vec();
        hits.sort_by_key(|(number, _)| *number);
        hits
    };
    prop_assert_eq!(told.len(), expected.len(), "{:?} {:?}", told, expected);
    for (one, other) in by_number(told).iter().zip(by_number(expected)) {
        prop_assert!(
            one.0 == other.0 && (one.1 - other.1).abs() < 1e-9,
            "{:?} {:?}",
            told,
            expected
        );
    }
    for (one, other) in told.iter().zip(expected) {
        prop_assert!((one.1 - other.1).abs() < 1e-9, "{:?} {:?}", told, expected);
    }
    prop_assert!(told.is_sorted_by(|a, b| a.1 >= b.1));
    Ok(())
}

fn text() -> impl Strategy<Value = Text> {
    (
        "(road |toll |gate |alice |the |openFile |harbour ){0,9}",
        prop::sample::select(vec!["alice", "bob", ""]),
        prop::sample::select(vec!["project", "feedback"]),
        prop::sample::select(vec![None, None, Some("a"), Some("b")]),
        0..90_i64,
        prop::option::weighted(0.2, 1..60_i64),
    )
        .prop_map(|(content, writer, kind, episode, minutes, lasts)| Text {
            content,
            writer,
            kind,
            episode,
            minutes,
            lasts,
        })
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => text().prop_map(Event::Stored),
        2 => (any::<Index>(), text()).prop_map(|(which, text)| Event::Updated(which, text)),
        2 => (any::<Index>(), text()).prop_map(|(which, text)| Event::Superseded(which, text)),
        1 => any::<Index>().prop_map(Event::Forgotten),
        2 => (0..12_u64).prop_map(Event::Embedded),
        2 => Just(Event::Refreshed),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    #[test]
    fn what_is_held_is_what_loading_gives_and_answers_what_the_documents_say(history in history()) {
        let mut world = World::default();
        let mut held = world.load();
        for event in &history {
            world.happen(event);
            if matches!(event, Event::Refreshed) {
                held = held.refreshed(&world.rows, Some(&world.vectors), world.embedded_to).unwrap();
                prop_assert_eq!(&held, &world.load());
            }
        }
        held = held.refreshed(&world.rows, Some(&world.vectors), world.embedded_to).unwrap();
        prop_assert_eq!(&held, &world.load());
        check(&world, &held)?;
        let bare = held.refreshed(&world.rows, None::<&NoVectors>, world.embedded_to).unwrap();
        prop_assert!(bare.bytes() <= held.bytes());
        prop_assert_eq!(bare, Held::load(&world.rows, None::<&NoVectors>, world.embedded_to).unwrap());
    }

    #[test]
    fn when_everything_was_forgotten_no_row_is_left(history in history()) {
        let mut world = World::default();
        for event in &history {
            world.happen(event);
        }
        let held = world.load();
    while let Some(last) = world.known.iter().position(|one| one.newer.is_none()) {
            world.sequence += 1;
            world.forget(last);
        }
        prop_assert!(world.rows.is_empty(), "{:?}", world.rows);
        let after = held.refreshed(&world.rows, Some(&world.vectors), world.embedded_to).unwrap();
        prop_assert_eq!(after.documents(), 0);
        prop_assert_eq!(after.bytes(), 0);
    }

    #[test]
    fn partitions_asked_together_rank_as_one(contents in prop::collection::vec("(road |toll |gate |the ){0,8}", 0..40), cut in 0..40_usize) {
        let world = |contents: &[String]| {
            let mut world = World::default();
            for content in contents {
                world.happen(&Event::Stored(Text {
                    content: content.clone(),
                    writer: "alice",
                    kind: "project",
                    episode: None,
                    minutes: 0,
                    lasts: None,
                }));
            }
            world
        };
        let (first, second) = contents.split_at(cut.min(contents.len()));
        let worlds = [world(first), world(second), world(&contents)];
        let held = [worlds[0].load(), worlds[1].load(), worlds[2].load()];
        let (query, filter) = (analyze_query("toll gate"), Filter::default());
        let scores = |asked: &[usize]| {
            let partitions: Vec<_> = asked.iter().map(|at| Partition { rows: &worlds[*at].rows, held: &held[*at] }).collect();
            let ask = Ask { query: &query, vector: None, filter: &filter, now_ms: NOW, as_of: None, limit: 50 };
            let answer = search(&partitions, &ask).unwrap();
            answer.hits.iter().map(|hit| hit.score.to_bits()).collect::<Vec<_>>()
        };
        prop_assert_eq!(scores(&[0, 1]), scores(&[2]));
    }
}
