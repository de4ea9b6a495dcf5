//! What a check shows.

use crate::testing::{Road, reader};

fn town() -> Road {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi"] {
        road.issue(name);
    }
    road
}

#[test]
fn a_role_message_reaches_every_instance_and_each_reads_it_for_itself() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau", "hello");
    assert_eq!(road.check("tau/pi"), ["hello"]);
    assert_eq!(road.check("tau/laptop"), ["hello"]);
    road.read("tau/pi", &[hello]);
    assert_eq!(road.check("tau/pi"), [""; 0]);
    assert_eq!(road.check("tau/laptop"), ["hello"]);
    assert_eq!(road.check("bob/mac"), [""; 0]);
}

#[test]
fn an_instance_message_reaches_that_instance_alone() {
    let mut road = town();
    road.send("bob/mac", "tau/pi", "only you");
    assert_eq!(road.check("tau/pi"), ["only you"]);
    assert_eq!(road.check("tau/laptop"), [""; 0]);
    road.register("tau/third");
    assert_eq!(road.check("tau/third"), [""; 0]);
}

#[test]
fn a_broadcast_and_a_list_reach_everybody_named_but_the_sending_instance() {
    let mut road = town();
    road.send("tau/pi", "broadcast", "all");
    road.send("tau/pi", "tau,phi,bob", "three");
    road.register("phi/first");
    for name in ["tau/laptop", "bob/mac", "phi/first"] {
        assert_eq!(road.check(name), ["all", "three"], "{name}");
    }
    assert_eq!(road.check("tau/pi"), [""; 0]);
}

#[test]
fn mail_from_all_lanes_comes_in_the_order_of_the_log() {
    let mut road = town();
    for (index, to) in ["tau", "tau/pi", "broadcast", "tau", "broadcast", "tau/pi"]
        .iter()
        .enumerate()
    {
        road.send("bob/mac", to, &index.to_string());
    }
    assert_eq!(road.check("tau/pi"), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(road.check("tau/laptop"), ["0", "2", "3", "4"]);
}

#[test]
fn pages_follow_each_other_without_a_gap_or_a_repeat() {
    let mut road = town();
    for index in 0..300 {
        let to = ["tau", "tau/pi", "broadcast"][index % 3];
        road.send("bob/mac", to, &index.to_string());
    }
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = rows.check(&reader("tau/pi"), 7, after, usize::MAX).unwrap();
        assert_eq!(page.unread_total, 300);
        assert_eq!(page.undelivered.len(), page.messages.len());
        seen.extend(page.messages.into_iter().map(|message| message.content));
        assert_eq!(page.truncated, seen.len() < 300);
        after = page.next_after;
        if !page.truncated {
            break;
        }
    }
    assert_eq!(seen, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    let rest = rows.check(&reader("tau/pi"), 7, after, usize::MAX).unwrap();
    assert!(rest.messages.is_empty() && !rest.truncated && rest.next_after.is_none());
}

#[test]
fn an_answer_is_bounded_in_bytes_and_holds_one_message_at_least() {
    let mut road = town();
    for size in [600, 300, 300, 300] {
        road.send("bob/mac", "tau", &"x".repeat(size));
    }
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let sizes = |after| {
        let page = rows.check(&reader("tau/pi"), 20, after, 500).unwrap();
        let sizes: Vec<usize> = page.messages.iter().map(|m| m.content.len()).collect();
        (sizes, page.truncated, page.next_after)
    };
    let (first, truncated, after) = sizes(None);
    assert_eq!((first, truncated), (vec![600], true));
    let (second, truncated, after) = sizes(after);
    assert_eq!((second, truncated), (vec![300], true));
    let (last, truncated, after) = sizes(after);
    assert_eq!((last, truncated), (vec![300], true));
    assert!(!sizes(after).1);
}

#[test]
fn a_role_gets_its_mail_before_it_was_ever_online() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.send("bob/mac", "broadcast", "before the role");
    road.issue("phi");
    road.send("bob/mac", "phi", "direct");
    road.send("bob/mac", "broadcast", "to all");
    road.register("phi/first");
    assert_eq!(road.check("phi/first"), ["direct", "to all"]);
}

#[test]
fn a_second_machine_inherits_what_no_instance_has_read() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.issue("tau/pi");
    let handled = road.send("bob/mac", "tau", "handled");
    road.send("bob/mac", "tau", "open");
    let news = road.send("bob/mac", "broadcast", "old news");
    road.send("bob/mac", "broadcast", "news");
    road.read("tau/pi", &[handled, news]);
    road.issue("tau/laptop");
    assert_eq!(road.check("tau/laptop"), ["open", "news"]);
    assert_eq!(road.status(handled), ["tau/pi d8 r8"]);
    road.send("bob/mac", "tau", "next");
    assert_eq!(road.check("tau/laptop"), ["open", "news", "next"]);
    assert_eq!(road.check("tau/pi"), ["open", "news", "next"]);
}

#[test]
fn what_the_sending_instance_did_not_get_a_later_instance_does() {
    let mut road = Road::new();
    road.issue("tau/pi");
    let note = road.send("tau/pi", "tau", "note to my other self");
    road.send("tau/pi", "broadcast", "to all");
    assert_eq!(road.check("tau/pi"), [""; 0]);
    road.register("tau/laptop");
    assert_eq!(
        road.check("tau/laptop"),
        ["note to my other self", "to all"]
    );
    assert_eq!(road.status(note), ["tau/laptop"]);
}

#[test]
fn an_instance_that_sent_before_it_registered_gets_no_receipt_of_its_own() {
    let mut road = Road::new();
    road.issue("tau");
    road.send("tau/pi", "tau", "mine");
    road.send("tau/pi", "broadcast", "mine too");
    road.send("tau/mac", "tau", "another's");
    road.register("tau/pi");
    assert_eq!(road.check("tau/pi"), ["another's"]);
}

#[test]
fn an_unknown_reader_sees_nothing() {
    let mut road = town();
    road.send("bob/mac", "tau", "hello");
    assert_eq!(road.check("tau/never"), [""; 0]);
}

#[test]
fn mail_for_an_instance_waits_for_it_whatever_another_one_reads() {
    let mut road = town();
    let first = road.send("bob/mac", "tau/pi", "first of pi");
    road.send("bob/mac", "tau/later", "first of the later one");
    road.read("tau/pi", &[first]);
    road.register("tau/later");
    assert_eq!(road.check("tau/later"), ["first of the later one"]);
}
