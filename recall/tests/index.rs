//! An index's rows depend on what is in them and on nothing else.

use postroad_recall::held::{Held, HoldError, NoVectors};
use postroad_recall::index::{
    Document, Succession, add, each_posting, facts_of, remove, set_successor,
};
use postroad_recall::rows::{MemoryRows, Rows, RowsMut};
use postroad_recall::{Damaged, IndexError};
use proptest::prelude::*;

/// Where all is changed by one event.
const REVISION: u64 = 9;

fn document(content: &str, sequence: u64) -> Document<'_> {
    Document {
        content,
        writer: "alice",
        kind: "project",
        episode: None,
        occurred_ms: 5,
        stored_ms: 5,
        expires_ms: None,
        sequence,
    }
}

fn indexed<'a>(documents: impl IntoIterator<Item = (u32, &'a str)>) -> MemoryRows {
    let mut rows = MemoryRows::new();
    for (number, content) in documents {
        add(
            &mut rows,
            number,
            &document(content, u64::from(number)),
            REVISION,
        )
        .expect("the rows are whole");
    }
    rows
}

#[test]
fn a_document_touches_only_rows_of_its_own_terms() {
    let before = indexed((0..2000).map(|number| (number, "road toll gate")));
    let mut after = before.clone();
    add(&mut after, 2000, &document("harbour", 1), REVISION).unwrap();
    assert_eq!(
        after.len(),
        before.len() + 1,
        "one block of postings; the facts share a block"
    );
    let mut holders = Vec::new();
    each_posting(&after, "harbour", |number, count| {
        holders.push((number, count));
    })
    .unwrap();
    assert_eq!(holders, [(2000, 1)]);
}

#[test]
fn what_was_forgotten_is_no_more_whatever_is_said_of_it() {
    let mut rows = indexed([(0, "road"), (1, "toll")]);
    remove(&mut rows, 0, "road", REVISION).unwrap();
    for succession in [Succession::Memory, Succession::Version] {
        set_successor(&mut rows, 0, succession, Some(1), REVISION).unwrap();
    }
    remove(&mut rows, 1, "toll", REVISION).unwrap();
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn a_successor_is_said_and_taken_back() {
    let before = indexed([(0, "road"), (1, "toll")]);
    let mut rows = before.clone();
    let mut set = |succession, successor| {
        set_successor(&mut rows, 0, succession, successor, REVISION).unwrap();
        let facts = facts_of(&rows, 0).unwrap().unwrap();
        (facts.successor, facts.newer)
    };
    assert_eq!(set(Succession::Memory, Some(1)), (Some(1), None));
    assert_eq!(set(Succession::Version, Some(2)), (Some(1), Some(2)));
    assert_eq!(set(Succession::Memory, None), (None, Some(2)));
    assert_eq!(set(Succession::Version, None), (None, None));
    assert_eq!(rows, before);
}

#[test]
fn damaged_rows_are_an_error_and_no_panic() {
    let mut rows = indexed([(0, "road")]);
    let mut keys = Vec::new();
    rows.scan(b"", &mut |key, _| keys.push(key.to_vec()))
        .unwrap();
    for key in keys {
        rows.put(&key, &[0xff; 3]).unwrap();
    }
    assert!(matches!(
        each_posting(&rows, "road", |_, _| ()),
        Err(IndexError::Damaged(Damaged::Postings))
    ));
    assert!(matches!(
        facts_of(&rows, 0),
        Err(IndexError::Damaged(Damaged::Facts))
    ));
    assert!(matches!(
        add(&mut rows, 1, &document("road", 1), REVISION),
        Err(IndexError::Damaged(_))
    ));
    assert!(matches!(
        Held::load(&rows, None::<&NoVectors>, 0),
        Err(HoldError::Index(IndexError::Damaged(Damaged::Revisions)))
    ));
}

fn contents() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        "(road|toll|gate|tenant_id|v1\\.2\\.3|the|Ünder| ){0,12}",
        1..40,
    )
}

proptest! {
    #[test]
    fn removing_documents_leaves_what_a_rebuild_without_them_gives(
        contents in contents(),
        gone in prop::collection::vec(any::<bool>(), 40),
    ) {
        // Numbers far apart, so that several blocks are touched.
        let numbered = || (0..).step_by(97).zip(contents.iter().map(String::as_str));
        let mut rows = indexed(numbered());
        for ((number, content), gone) in numbered().zip(&gone) {
            if *gone {
                remove(&mut rows, number, content, REVISION).unwrap();
            }
        }
        let kept = numbered().zip(&gone).filter(|(_, gone)| !**gone).map(|(document, _)| document);
        prop_assert_eq!(rows, indexed(kept));
    }

    #[test]
    fn any_order_of_documents_gives_the_same_bytes(
        (contents, order) in contents().prop_flat_map(|contents| {
            let order: Vec<usize> = (0..contents.len()).collect();
            (Just(contents), Just(order).prop_shuffle())
        }),
    ) {
        let number = |at: usize| u32::try_from(at * 31).unwrap();
        let straight = indexed(contents.iter().enumerate().map(|(at, content)| (number(at), content.as_str())));
        let shuffled = indexed(order.iter().map(|at| (number(*at), contents[*at].as_str())));
        prop_assert_eq!(straight, shuffled);
    }
}
