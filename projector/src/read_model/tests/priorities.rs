//! The highest priority of what is unread, as each reader has it.

use crate::store::Store;
use crate::testing::{Road, reader};
use postroad_protocol::event::Priority::{self, High, Low, Normal, Urgent};

/// What a check and a plain count say; they agree.
fn highest(road: &Road, name: &str) -> Option<Priority> {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let unread = rows.unread(&reader(name)).unwrap();
    let page = rows.check(&reader(name), 1, None, usize::MAX).unwrap();
    assert_eq!(page.highest_priority, unread.highest(), "{name}");
    unread.highest()
}

fn town() -> Road {
    town_of("acme")
}

fn town_of(tenant: &str) -> Road {
    let mut road = Road::of(tenant);
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi"] {
        road.issue(name);
    }
    road
}

#[test]
fn it_is_the_highest_of_all_lanes_and_falls_as_mail_is_read() {
    let mut road = town();
    assert_eq!(highest(&road, "tau/pi"), None);
    let mut sent = Vec::new();
    for (to, priority) in [
        ("tau", Low),
        ("broadcast", Normal),
        ("tau/pi", High),
        ("tau,phi", Urgent),
    ] {
        sent.push(road.send_of("bob/mac", to, priority));
        assert_eq!(highest(&road, "tau/pi"), Some(priority));
    }
    assert_eq!(highest(&road, "bob/mac"), None);
    for (read, left) in [
        (3, Some(High)),
        (2, Some(Normal)),
        (1, Some(Low)),
        (0, None),
    ] {
        road.read("tau/pi", &[sent[read]]);
        assert_eq!(highest(&road, "tau/pi"), left);
        // Once more changes nothing.
        road.read("tau/pi", &[sent[read]]);
        assert_eq!(highest(&road, "tau/pi"), left);
    }
    assert_eq!(highest(&road, "tau/laptop"), Some(Urgent));
}

#[test]
fn it_tells_of_what_lies_behind_the_page_and_before_the_cursor() {
    let mut road = town();
    let urgent = road.send_of("bob/mac", "tau", Urgent);
    for _ in 0..30 {
        road.send_of("bob/mac", "tau", Low);
    }
    road.send_of("bob/mac", "tau/pi", High);
    let check = |road: &Road, limit, after| {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let page = rows.check(&reader("tau/pi"), limit, after, usize::MAX);
        let page = page.unwrap();
        let shown = page.messages.iter().map(|message| message.priority).min();
        (shown, page.highest_priority)
    };
    let at = |road: &Road, message| {
        let snapshot = road.snapshot();
        let found = snapshot
            .tenant(&road.scope)
            .event_sequence(road.key(message));
        found.unwrap()
    };
    let behind = at(&road, urgent);
    assert_eq!(check(&road, 5, behind), (Some(Low), Some(Urgent)));
    let end = Some(road.end());
    assert_eq!(check(&road, 5, end), (None, Some(Urgent)));
    road.read("tau/pi", &[urgent]);
    assert_eq!(check(&road, 5, None), (Some(Low), Some(High)));
}

#[test]
fn a_later_machine_inherits_only_the_priority_that_nobody_has_dealt_with() {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi"] {
        road.issue(name);
    }
    let urgent = road.send_of("bob/mac", "tau", Urgent);
    let high = road.send_of("bob/mac", "broadcast", High);
    road.send_of("bob/mac", "broadcast", Low);
    road.send_of("bob/mac", "tau/pi", Urgent);
    road.read("tau/pi", &[urgent]);
    road.register("tau/laptop");
    assert_eq!(highest(&road, "tau/laptop"), Some(High));
    road.read("tau/laptop", &[high]);
    assert_eq!(highest(&road, "tau/laptop"), Some(Low));
    assert_eq!(highest(&road, "tau/pi"), Some(Urgent));
    road.register("tau/third");
    assert_eq!(highest(&road, "tau/third"), Some(Low));
}

#[test]
fn broadcasts_from_before_a_role_do_not_count_for_it() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.send_of("bob/mac", "broadcast", Urgent);
    road.send_of("bob/mac", "broadcast", Normal);
    road.issue("phi/first");
    assert_eq!(highest(&road, "phi/first"), None);
    road.send_of("bob/mac", "broadcast", Low);
    assert_eq!(highest(&road, "phi/first"), Some(Low));
}

#[test]
fn a_retired_instance_keeps_what_it_had_and_gets_the_rest_when_it_is_back() {
    let mut road = town();
    let low = road.send_of("bob/mac", "tau", Low);
    road.retire("tau/laptop");
    let urgent = road.send_of("bob/mac", "tau", Urgent);
    let high = road.send_of("bob/mac", "broadcast", High);
    assert_eq!(highest(&road, "tau/laptop"), Some(Low));
    road.read("tau/pi", &[urgent]);
    road.issue("tau/laptop");
    assert_eq!(highest(&road, "tau/laptop"), Some(High));
    road.read("tau/laptop", &[high]);
    assert_eq!(highest(&road, "tau/laptop"), Some(Low));
    road.read("tau/laptop", &[low]);
    assert_eq!(highest(&road, "tau/laptop"), None);
}

#[test]
fn what_an_instance_sent_itself_is_urgent_to_the_others_alone() {
    let mut road = Road::new();
    road.issue("tau");
    road.send_of("tau/pi", "tau", Urgent);
    road.register("tau/pi");
    road.send_of("tau/pi", "broadcast", High);
    road.send_of("tau/pi", "tau/pi", Urgent);
    assert_eq!(highest(&road, "tau/pi"), None);
    road.register("tau/mac");
    assert_eq!(highest(&road, "tau/mac"), Some(Urgent));
}

#[test]
fn another_tenants_urgent_mail_moves_nothing() {
    let mut road = town();
    road.send_of("bob/mac", "tau", Low);
    let mut foreign = town_of("acme-two");
    for to in ["tau", "tau/pi", "broadcast"] {
        foreign.send_of("bob/mac", to, Urgent);
    }
    let store = Store::in_memory();
    let mut log = road.log.clone();
    for mut event in foreign.log.clone() {
        event.sequence += road.end();
        log.push(event);
    }
    crate::testing::fold_one_by_one(&store, &log);
    road.store = store;
    assert_eq!(highest(&road, "tau/pi"), Some(Low));
    road.scope = foreign.scope;
    assert_eq!(highest(&road, "tau/pi"), Some(Urgent));
}
