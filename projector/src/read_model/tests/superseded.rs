//! Memories that take each other's place, in the order that the log says.

use super::memories::{namespace, stored, updates};
use crate::testing::{Road, role};
use postroad_protocol::event::{MemoryChange, MemoryStored};
use postroad_protocol::limits::MEMORY_BEHIND_MAX;
use postroad_protocol::memory::MemoryId;
use postroad_protocol::memory::Namespace;
use postroad_protocol::service::{Finding, MemoryStanding};

#[test]
fn a_memory_that_was_superseded_steps_behind_and_comes_back_when_that_is_forgotten() {
    let mut road = Road::new();
    let old = road.remember(
        "tau/pi",
        stored(
            "global",
            "The port is 4222, the usual port of NATS, port port.",
        ),
    );
    let new = MemoryStored {
        relates_to: updates(old),
        ..stored("global", "The port is 4333 now.")
    };
    let new = road.remember("phi/mac", new);
    let order = |road: &Road| road.recalled(Some("tau"), None, "which port");
    assert_eq!(order(&road)[0], "The port is 4333 now.");
    assert_eq!(order(&road).len(), 2);
    assert_eq!(
        road.memory("tau", old, None).unwrap().superseded_by,
        Some(new)
    );
    // The older one's next version is superseded, too, and so is it by the newer one's next.
    road.update(
        "tau/pi",
        old,
        MemoryChange {
            content: Some("The port, the port, the port is 4222.".into()),
            ..MemoryChange::default()
        },
    );
    road.update(
        "phi/mac",
        new,
        MemoryChange {
            content: Some("The port is 4444.".into()),
            ..MemoryChange::default()
        },
    );
    assert_eq!(
        order(&road),
        ["The port is 4444.", "The port, the port, the port is 4222."]
    );
    road.forget("tau/pi", new);
    assert_eq!(order(&road), ["The port, the port, the port is 4222."]);
    assert_eq!(road.memory("tau", old, None).unwrap().superseded_by, None);
}

#[test]
fn two_updates_at_once_cannot_close_a_circle() {
    let mut road = Road::new();
    let one = road.remember("tau/pi", stored("global", "one"));
    let two = road.remember("tau/pi", stored("global", "two"));
    let to = |memory| MemoryChange {
        relates_to: Some(updates(memory)),
        ..MemoryChange::default()
    };
    road.update("tau/pi", one, to(two));
    road.update("phi/mac", two, to(one));
    assert_eq!(
        road.memory("tau", two, None).unwrap().superseded_by,
        Some(one)
    );
    let one = road.memory("tau", one, None).unwrap();
    assert_eq!((one.superseded_by, one.relates_to), (None, updates(two)));
    assert_eq!(road.memory("tau", two, None).unwrap().relates_to, []);
    // What took the place of a match is found by it.
    assert_eq!(road.recalled(Some("tau"), None, "two"), ["one", "two"]);
}

#[test]
fn a_broker_is_told_how_memories_stand_and_nothing_of_what_is_another_roles() {
    let mut road = Road::new();
    let old = road.remember("tau/pi", stored("global", "old"));
    let new = road.remember(
        "tau/pi",
        MemoryStored {
            relates_to: updates(old),
            ..stored("global", "new")
        },
    );
    let own = road.remember("pi/mac", stored("orchestrator/pi", "own"));
    let ask = |role_name: Option<&str>, changed, named: &[MemoryId]| {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let role = role_name.map(role);
        rows.memories()
            .standing(role.as_ref(), changed, named)
            .unwrap()
    };
    let global = |is_behind| {
        Some(MemoryStanding {
            namespace: Namespace::Global,
            is_behind,
        })
    };
    assert_eq!(
        ask(Some("tau"), Some(old), &[new, old, own]),
        Finding::Memories {
            changed: Some(Namespace::Global),
            named: vec![global(true), global(true), None]
        }
    );
    assert_eq!(
        ask(Some("tau"), Some(new), &[old]),
        Finding::Memories {
            changed: Some(Namespace::Global),
            named: vec![global(false)]
        }
    );
    assert_eq!(
        ask(Some("tau"), Some(own), &[]),
        Finding::Memories {
            changed: None,
            named: vec![]
        }
    );
    let Finding::Memories { changed, .. } = ask(Some("pi"), Some(own), &[]) else {
        panic!("another finding");
    };
    assert_eq!(changed, Some(namespace("orchestrator/pi")));
}

#[test]
fn who_is_behind_very_many_takes_no_further_place_and_is_changed_all_the_same() {
    let mut road = Road::new();
    let oldest = road.remember("tau/pi", stored("global", "fact"));
    let apart = road.remember("tau/pi", stored("global", "apart"));
    let mut newest = oldest;
    for _ in 0..=MEMORY_BEHIND_MAX {
        newest = road.remember(
            "tau/pi",
            MemoryStored {
                relates_to: updates(newest),
                ..stored("global", "fact")
            },
        );
    }
    let is_behind = |road: &Road, changed, named| {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let finding = rows.memories().standing(None, Some(changed), &[named]);
        let Finding::Memories { named, .. } = finding.unwrap() else {
            panic!("another finding");
        };
        named[0].as_ref().unwrap().is_behind
    };
    assert!(
        is_behind(&road, oldest, apart),
        "it is not walked to the end"
    );
    assert!(!is_behind(&road, newest, apart));
    let change = |content: &str, relates_to| MemoryChange {
        content: Some(content.into()),
        relates_to,
        ..MemoryChange::default()
    };
    road.update("tau/pi", oldest, change("other", Some(updates(apart))));
    let changed = road.memory("tau", oldest, None).unwrap();
    assert_eq!(
        (changed.content.as_str(), changed.relates_to),
        ("other", vec![])
    );
    // What it has is kept, whatever came before it meanwhile.
    road.update("tau/pi", newest, change("newest", Some(updates(apart))));
    let place = road.memory("tau", apart, None).unwrap().superseded_by;
    assert_eq!(place, Some(newest));
}
