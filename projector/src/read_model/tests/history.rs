//! What an agent finds of its own past, and nobody else's.

use crate::testing::{Road, reader, role, scope};
use postroad_protocol::id::{MessageId, TimeMs};
use postroad_protocol::query::{ChannelFilter, ListMessages, Page};

fn everything(limit: usize) -> ListMessages {
    ListMessages {
        page: Page {
            limit,
            cursor: None,
        },
        sender: None,
        channel: None,
        since: None,
        until: None,
    }
}

fn list(road: &Road, name: &str, wanted: &ListMessages) -> Vec<String> {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = rows.list_messages(&reader(name), wanted, before).unwrap();
        assert!(page.messages.len() <= wanted.page.limit);
        seen.extend(page.messages.into_iter().map(|message| message.content));
        before = page.next_before;
        if before.is_none() {
            return seen;
        }
    }
}

fn town() -> (Road, Vec<MessageId>) {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi/x"] {
        road.issue(name);
    }
    let sent = [
        ("bob/mac", "tau", "0 to tau"),
        ("bob/mac", "tau/pi", "1 to pi"),
        ("tau/laptop", "bob", "2 from tau"),
        ("tau/pi", "tau", "3 from tau to tau"),
        ("phi/x", "broadcast", "4 to all"),
        ("bob/mac", "phi", "5 not tau's"),
        ("bob/mac", "tau,phi", "6 to two"),
    ];
    let ids = sent.map(|(from, to, content)| road.send(from, to, content));
    (road, ids.to_vec())
}

#[test]
fn a_list_shows_ones_own_history_newest_first() {
    let (road, _) = town();
    let pi = [
        "6 to two",
        "4 to all",
        "3 from tau to tau",
        "2 from tau",
        "1 to pi",
        "0 to tau",
    ];
    for limit in 1..8 {
        assert_eq!(list(&road, "tau/pi", &everything(limit)), pi, "{limit}");
    }
    let laptop: Vec<&str> = pi.into_iter().filter(|text| *text != "1 to pi").collect();
    assert_eq!(list(&road, "tau/laptop", &everything(20)), laptop);
    assert_eq!(
        list(&road, "phi/x", &everything(20)),
        ["6 to two", "5 not tau's", "4 to all"]
    );
}

#[test]
fn filters_narrow_a_list_by_sender_channel_and_time() {
    let (road, _) = town();
    let with = |change: &dyn Fn(&mut ListMessages)| {
        let mut wanted = everything(2);
        change(&mut wanted);
        list(&road, "tau/pi", &wanted)
    };
    assert_eq!(
        with(&|w| w.sender = Some(role("bob"))),
        ["6 to two", "1 to pi", "0 to tau"]
    );
    assert_eq!(
        with(&|w| w.sender = Some(role("tau"))),
        ["3 from tau to tau", "2 from tau"]
    );
    assert_eq!(
        with(&|w| w.channel = Some(ChannelFilter::Broadcast)),
        ["4 to all"]
    );
    assert_eq!(
        with(&|w| w.channel = Some(ChannelFilter::Role(role("bob")))),
        ["2 from tau"]
    );
    assert_eq!(
        with(&|w| w.channel = Some(ChannelFilter::Role(role("phi")))),
        ["6 to two"]
    );
    // The first message is the log's sixth event, and each event is a second after the other.
    assert_eq!(
        with(&|w| (w.since, w.until) = (Some(TimeMs(7_000)), Some(TimeMs(9_000)))),
        ["2 from tau", "1 to pi"]
    );
}

#[test]
fn a_message_shows_the_callers_receipt_and_only_that() {
    let (mut road, ids) = town();
    road.read("tau/pi", &[ids[0], ids[3]]);
    road.read("tau/laptop", &[ids[0], ids[3]]);
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let get = |name, id| rows.get_message(&reader(name), id).unwrap();
    let got = get("tau/pi", ids[0]).unwrap();
    assert_eq!(got.read_at, Some(TimeMs(13_000)));
    assert_eq!(
        get("tau/laptop", ids[0]).unwrap().read_at,
        Some(TimeMs(14_000))
    );
    // Sent by itself: shown, without a receipt. Its other instance has one.
    assert_eq!(get("tau/pi", ids[3]).unwrap().receipt_id, None);
    assert!(get("tau/laptop", ids[3]).unwrap().receipt_id.is_some());
    let listed = rows
        .list_messages(&reader("tau/pi"), &everything(20), None)
        .unwrap();
    for message in listed.messages {
        assert_eq!(get("tau/pi", message.message_id).as_ref(), Some(&message));
    }
}

#[test]
fn foreign_and_missing_messages_are_alike_not_there() {
    let (mut road, ids) = town();
    road.register("tau/third");
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    for (name, id, expected) in [
        ("tau/pi", ids[1], true),
        ("tau/laptop", ids[1], false),
        ("bob/mac", ids[1], true),
        ("tau/pi", ids[5], false),
        ("tau/third", ids[0], true),
        ("tau/unregistered", ids[0], false),
        ("tau/unregistered", ids[2], true),
        ("tau/pi", MessageId::generate(), false),
    ] {
        assert_eq!(
            rows.visible(&reader(name), id).unwrap(),
            expected,
            "{name} {id}"
        );
        let got = rows.get_message(&reader(name), id).unwrap();
        assert_eq!(got.is_some(), expected, "{name} {id}");
    }
    let other = scope("globex");
    let foreign = snapshot.tenant(&other);
    assert!(!foreign.visible(&reader("tau/pi"), ids[0]).unwrap());
    assert_eq!(foreign.event_sequence(road.key(ids[0])).unwrap(), None);
    assert_eq!(foreign.tenant(0).unwrap(), None);
}

#[test]
fn of_two_messages_with_one_id_the_first_that_is_visible_is_meant() {
    let (mut road, _) = town();
    let id = MessageId::generate();
    road.send_as("bob/mac", "phi", "for phi", id);
    road.send_as("tau/laptop", "tau/pi", "for pi", id);
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let content = |name| {
        rows.get_message(&reader(name), id)
            .unwrap()
            .unwrap()
            .content
    };
    assert_eq!(content("phi/x"), "for phi");
    assert_eq!(content("tau/pi"), "for pi");
    assert_eq!(content("bob/mac"), "for phi");
}

#[test]
fn a_filter_that_fits_few_answers_in_parts() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.issue("phi/x");
    road.issue("tau/pi");
    road.send("phi/x", "tau", "the one");
    for _ in 0..2_500 {
        road.send("bob/mac", "tau", "many");
    }
    let mut wanted = everything(20);
    wanted.sender = Some(role("phi"));
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let page = rows
        .list_messages(&reader("tau/pi"), &wanted, None)
        .unwrap();
    assert!(page.messages.is_empty() && page.next_before.is_some());
    assert_eq!(list(&road, "tau/pi", &wanted), ["the one"]);
}
