//! What a sender learns, and what a broker looks up before it marks.

use crate::store::PageOf;
use crate::testing::{Road, reader, role};
use postroad_protocol::command::{MarkTarget, receipt_id};
use postroad_protocol::id::MessageId;
use postroad_protocol::service::MarkState;

fn town() -> Road {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi"] {
        road.issue(name);
    }
    road
}

#[test]
fn a_status_has_one_receipt_for_each_reader_and_one_for_a_role_without() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau,phi", "hello");
    assert_eq!(road.status(hello), ["phi", "tau/laptop", "tau/pi"]);
    road.deliver("tau/pi", &[hello]);
    road.read("tau/laptop", &[hello]);
    assert_eq!(road.status(hello), ["phi", "tau/laptop d8 r8", "tau/pi d7"]);
    road.register("phi/first");
    road.register("phi/second");
    assert_eq!(
        road.status(hello)[..2],
        ["phi/first".to_owned(), "phi/second".to_owned()]
    );
}

#[test]
fn a_broadcast_counts_every_reader_but_the_sender() {
    let mut road = town();
    let all = road.send("tau/pi", "broadcast", "all");
    road.issue("late/one");
    assert_eq!(road.status(all), ["bob/mac", "phi", "tau/laptop"]);
    road.retire("phi");
    let later = road.send("tau/pi", "broadcast", "later");
    assert_eq!(road.status(all), ["bob/mac", "phi", "tau/laptop"]);
    assert_eq!(road.status(later), ["bob/mac", "late/one", "tau/laptop"]);
}

#[test]
fn the_first_time_stands_and_nothing_goes_backwards() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau", "hello");
    road.read("tau/pi", &[hello]);
    road.deliver("tau/pi", &[hello]);
    road.read("tau/pi", &[hello]);
    assert_eq!(road.status(hello), ["tau/laptop", "tau/pi d7 r7"]);
    road.deliver("tau/laptop", &[hello]);
    road.deliver("tau/laptop", &[hello]);
    road.read("tau/laptop", &[hello]);
    assert_eq!(road.status(hello)[0], "tau/laptop d10 r12");
    assert_eq!(road.snapshot().quarantined().unwrap(), 0);
}

#[test]
fn delivery_never_hides_a_message() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau", "hello");
    road.deliver("tau/pi", &[hello]);
    assert_eq!(road.check("tau/pi"), ["hello"]);
    let snapshot = road.snapshot();
    let page = snapshot.tenant(&road.scope);
    let page = page.check(&reader("tau/pi"), 20, None, 1_000).unwrap();
    assert!(page.undelivered.is_empty());
    let message = &page.messages[0];
    assert!(message.delivered_at.is_some() && message.read_at.is_none());
    let expected = receipt_id(road.key(hello), &reader("tau/pi"));
    assert_eq!(message.receipt_id.as_ref(), Some(&expected));
}

#[test]
fn ids_without_a_receipt_are_passed_over_and_only_they_refuse_an_event() {
    let mut road = town();
    let (mine, others) = (
        road.send("bob/mac", "tau/pi", "mine"),
        road.send("bob/mac", "tau/laptop", "others"),
    );
    road.read("tau/pi", &[others, mine]);
    assert_eq!(road.check("tau/pi"), [""; 0]);
    assert_eq!(road.check("tau/laptop"), ["others"]);
    assert_eq!(road.status(others), ["tau/laptop"]);
    assert_eq!(road.read("tau/pi", &[others]).quarantined, 1);
    assert_eq!(road.deliver("tau/pi", &[others]).quarantined, 1);
    assert_eq!(road.read("nobody/here", &[mine]).quarantined, 1);
    assert_eq!(road.snapshot().quarantined().unwrap(), 3);
}

#[test]
fn a_message_to_an_instance_has_one_receipt() {
    let mut road = town();
    let one = road.send("bob/mac", "tau/pi", "one");
    assert_eq!(road.status(one), ["tau/pi"]);
    let own = road.send("tau/pi", "tau/pi", "to myself");
    assert_eq!(road.status(own), [""; 0]);
    assert_eq!(road.check("tau/pi"), ["one"]);
    // The instance was named while it was there and left before the message came.
    road.retire("tau/laptop");
    let late = road.send("bob/mac", "tau/laptop", "too late");
    assert_eq!(road.status(late), ["tau/laptop"]);
    assert_eq!(road.check("tau/laptop"), [""; 0]);
    road.issue("tau/laptop");
    assert_eq!(road.check("tau/laptop"), ["too late"]);
}

#[test]
fn a_status_is_the_senders_alone_and_comes_in_pages() {
    let mut road = town();
    for n in 0..5 {
        road.register(&format!("phi/i{n}"));
    }
    let hello = road.send("bob/mac", "tau,phi", "hello");
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let page = |after: Option<&[u8]>| {
        let page = PageOf { limit: 3, after };
        rows.message_status(&role("bob"), hello, page)
            .unwrap()
            .unwrap()
    };
    let (mut next, mut seen): (Option<Box<[u8]>>, Vec<String>) = (None, Vec::new());
    loop {
        let status = page(next.as_deref());
        assert_eq!(status.recipient_count, 7);
        let names = status.receipts.iter().map(|r| {
            let instance = r.recipient_instance_id.as_ref().unwrap();
            format!("{}/{instance}", r.recipient)
        });
        seen.extend(names);
        next = status.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted());
    let whole = PageOf {
        limit: 200,
        after: None,
    };
    for (other, id) in [("tau", hello), ("bob", MessageId::generate())] {
        assert_eq!(rows.message_status(&role(other), id, whole).unwrap(), None);
    }
}

#[test]
fn pages_of_a_status_joined_are_the_whole_for_any_limit() {
    let mut road = town();
    for role in ["alone", "phi", "tau-2"] {
        road.issue(role);
    }
    for n in 0..5 {
        road.register(&format!("phi/i{n}"));
        road.register(&format!("tau-2/i{n}"));
        road.register(&format!("bob/i{n}"));
    }
    road.retire("phi/i3");
    let several = road.send("bob/mac", "tau,alone,phi,bob,tau-2", "several");
    let everybody = road.send("bob/i2", "broadcast", "everybody");
    let one = road.send("bob/mac", "tau/pi", "one");
    road.deliver("phi/i1", &[several]);
    road.read("phi/i1", &[everybody]);
    road.read("tau-2/i4", &[several, everybody]);
    // What its role had read before it came is no receipt of its own.
    road.issue("phi/late");
    for (message, count) in [(several, 18), (everybody, 17), (one, 1)] {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let page = |limit, after: Option<&[u8]>| {
            let page = PageOf { limit, after };
            let status = rows.message_status(&role("bob"), message, page).unwrap();
            status.unwrap()
        };
        let whole = page(200, None);
        assert_eq!(whole.next, None);
        assert_eq!(whole.receipts.len(), count);
        for limit in 1..=count {
            let (mut next, mut shown) = (None::<Box<[u8]>>, Vec::new());
            loop {
                let status = page(limit, next.as_deref());
                let counts = |page: &crate::store::StatusPage| {
                    (page.recipient_count, page.delivered_count, page.read_count)
                };
                assert_eq!(counts(&status), counts(&whole), "limit {limit}");
                shown.extend(status.receipts);
                next = status.next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(shown, whole.receipts, "limit {limit}");
        }
    }
}

#[test]
fn a_later_page_of_a_status_costs_what_it_shows() {
    let mut road = town();
    for role in 10..40 {
        road.issue(&format!("r{role}"));
        for n in 0..10 {
            road.register(&format!("r{role}/i{n}"));
        }
    }
    let hello = road.send("bob/mac", "broadcast", "hello");
    for role in 10..40 {
        road.deliver(&format!("r{role}/i0"), &[hello]);
    }
    let page = |after: Option<&[u8]>| {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let page = PageOf { limit: 20, after };
        let status = rows.message_status(&role("bob"), hello, page).unwrap();
        (status.unwrap(), snapshot.rows_read())
    };
    let (first, whole_cost) = page(None);
    assert!(whole_cost > 300, "the first counts everybody");
    let mut next = first.next;
    let mut pages = 1;
    while let Some(place) = next {
        let (status, cost) = page(Some(&place));
        assert!(cost <= 20 * 3 + 10, "{cost} rows");
        assert_eq!(status.recipient_count, first.recipient_count);
        next = status.next;
        pages += 1;
    }
    assert_eq!(pages, first.recipient_count.div_ceil(20));
}

#[test]
fn a_look_up_tells_unread_read_and_foreign_apart() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.issue("tau/pi");
    let handled = road.send("bob/mac", "tau", "handled");
    road.read("tau/pi", &[handled]);
    road.issue("tau/laptop");
    let open = road.send("bob/mac", "tau", "open");
    let own = road.send("tau/laptop", "tau", "own");
    let foreign = road.send("tau/pi", "bob", "foreign");
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let me = reader("tau/laptop");
    let by_receipt = |message| MarkTarget::Receipt(receipt_id(road.key(message), &me));
    let by_message = |message: MessageId| MarkTarget::Message(message.to_string());
    let unread = MarkState::Unread(road.key(open));
    for (target, expected) in [
        (by_receipt(open), unread),
        (by_message(open), unread),
        (by_message(handled), MarkState::Read),
        (by_receipt(handled), MarkState::Read),
        (by_message(own), MarkState::NotFound),
        (by_message(foreign), MarkState::NotFound),
        (by_receipt(foreign), MarkState::NotFound),
        (by_message(MessageId::generate()), MarkState::NotFound),
        (MarkTarget::Message("7".into()), MarkState::NotFound),
        (MarkTarget::Receipt("rcpt-xyz".into()), MarkState::NotFound),
    ] {
        let found = rows.marks(&me, std::slice::from_ref(&target)).unwrap();
        assert_eq!(found, [expected], "{target:?}");
    }
    let not_mine = receipt_id(road.key(open), &reader("tau/pi"));
    let found = rows.marks(&me, &[MarkTarget::Receipt(not_mine)]).unwrap();
    assert_eq!(found, [MarkState::NotFound]);
}

#[test]
fn an_id_that_two_senders_chose_marks_one_after_the_other() {
    let mut road = town();
    let id = MessageId::generate();
    road.send_as("bob/mac", "tau/pi", "bob's", id);
    let bobs = road.key(id);
    road.send_as("tau/laptop", "tau/pi", "laptop's", id);
    let laptops = road.key(id);
    let target = [MarkTarget::Message(id.to_string())];
    for expected in [
        MarkState::Unread(bobs),
        MarkState::Unread(laptops),
        MarkState::Read,
    ] {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        assert_eq!(rows.marks(&reader("tau/pi"), &target).unwrap(), [expected]);
        if let MarkState::Unread(key) = expected {
            let reader = reader("tau/pi");
            let by = postroad_protocol::event::Actor::Agent(reader.clone());
            let messages = vec![key];
            road.put(
                by,
                postroad_protocol::event::MessagesRead { reader, messages },
            );
        }
    }
}
