//! What the operator sees of a tenant: every message once, newest first, narrowed as asked, and at a cost
//! that no history adds to.

use crate::store::Room;
use crate::testing::{Road, role, time};
use postroad_protocol::id::TimeMs;
use postroad_protocol::query::{ChannelFilter, ListMessages, Page};

fn all() -> ListMessages {
    ListMessages {
        page: Page {
            limit: 200,
            cursor: None,
        },
        sender: None,
        channel: None,
        since: None,
        until: None,
    }
}

/// Contents of all pages of `limit`, and rows read of the most expensive page.
fn listed(road: &Road, wanted: &ListMessages, limit: usize) -> (Vec<String>, u64) {
    let (mut contents, mut before, mut most) = (Vec::new(), None, 0);
    loop {
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let mut room = Room::of(limit);
        let page = rows.every_message(wanted, before, &mut room).unwrap();
        assert!(page.messages.len() <= limit);
        assert_eq!(room.rows(), limit - page.messages.len());
        assert!(
            page.next_before
                .is_none_or(|next| before.is_none_or(|was| next < was))
        );
        most = most.max(snapshot.rows_read());
        for message in page.messages {
            let receipt = (&message.receipt_id, message.delivered_at, message.read_at);
            assert_eq!(receipt, (&None, None, None), "nobody's receipt is shown");
            contents.push(message.content);
        }
        match page.next_before {
            Some(next) => before = Some(next),
            None => return (contents, most),
        }
    }
}

/// Roles tau (two instances) and bob, messages 0 to 5.
fn road() -> Road {
    let mut road = Road::new();
    for name in ["tau/pi", "tau/laptop", "bob/mac"] {
        road.issue(name);
    }
    let first = road.send("bob/mac", "tau", "0");
    road.send("tau/pi", "bob", "1");
    road.send("bob/mac", "broadcast", "2");
    road.send("bob/mac", "tau/pi", "3");
    road.send("tau/laptop", "tau,bob", "4");
    road.send("tau/pi", "broadcast", "5");
    road.read("tau/pi", &[first]);
    road
}

#[test]
fn every_message_is_shown_once_newest_first_in_pages_of_any_size() {
    let road = road();
    for limit in 1..8 {
        assert_eq!(
            listed(&road, &all(), limit).0,
            ["5", "4", "3", "2", "1", "0"]
        );
    }
}

#[test]
fn a_list_is_narrowed_as_an_agents_is() {
    let road = road();
    let sent = |content: &str| {
        let page = road.snapshot();
        let rows = page.tenant(&road.scope);
        let found = rows
            .every_message(&all(), None, &mut Room::of(200))
            .unwrap();
        let found = found.messages.into_iter().find(|m| m.content == content);
        found.unwrap().sent_at
    };
    let channel = |name: &str| Some(ChannelFilter::Role(role(name)));
    let cases: [(ListMessages, &[&str]); 8] = [
        (
            ListMessages {
                sender: Some(role("tau")),
                ..all()
            },
            &["5", "4", "1"],
        ),
        (
            ListMessages {
                channel: Some(ChannelFilter::Broadcast),
                ..all()
            },
            &["5", "2"],
        ),
        (
            ListMessages {
                channel: channel("tau"),
                ..all()
            },
            &["4", "3", "0"],
        ),
        (
            ListMessages {
                channel: channel("bob"),
                ..all()
            },
            &["4", "1"],
        ),
        (
            ListMessages {
                channel: channel("nobody"),
                ..all()
            },
            &[],
        ),
        (
            ListMessages {
                sender: Some(role("tau")),
                channel: channel("bob"),
                ..all()
            },
            &["4", "1"],
        ),
        (
            ListMessages {
                since: Some(sent("3")),
                ..all()
            },
            &["5", "4", "3"],
        ),
        (
            ListMessages {
                until: Some(sent("2")),
                ..all()
            },
            &["1", "0"],
        ),
    ];
    for (wanted, expected) in cases {
        for limit in [1, 2, 200] {
            assert_eq!(listed(&road, &wanted, limit).0, expected, "{wanted:?}");
        }
    }
}

#[test]
fn a_role_with_many_instances_is_listed_all_the_same() {
    let mut road = road();
    for number in 0..10 {
        road.issue(&format!("tau/i{number}"));
    }
    road.send("bob/mac", "tau/i3", "6");
    let wanted = ListMessages {
        channel: Some(ChannelFilter::Role(role("tau"))),
        ..all()
    };
    assert_eq!(listed(&road, &wanted, 2).0, ["6", "4", "3", "0"]);
}

#[test]
fn what_a_page_costs_does_not_grow_with_what_lies_behind_it() {
    let mut road = road();
    for number in 0..2_000 {
        road.send("bob/mac", "tau", &format!("old {number}"));
    }
    for _ in 0..2 {
        road.send("tau/pi", "bob", "rare");
    }
    for number in 0..200 {
        road.send("bob/mac", "tau", &format!("new {number}"));
    }
    let rare = ListMessages {
        sender: Some(role("tau")),
        ..all()
    };
    let (contents, most) = listed(&road, &rare, 2);
    assert_eq!(contents, ["rare", "rare", "5", "4", "1"]);
    assert!(most <= 12, "{most} rows read");
    // Nothing so new: one look says so, since clocks are not hours apart.
    let none = ListMessages {
        since: Some(TimeMs(time(road.end()).0 + 3_600_000)),
        ..all()
    };
    let (contents, most) = listed(&road, &none, 20);
    assert!(contents.is_empty() && most <= 2, "{most} rows read");
    // A filter that fits little looks at so many a page, and goes on.
    let old = ListMessages {
        until: Some(TimeMs(0)),
        ..all()
    };
    let (contents, most) = listed(&road, &old, 20);
    assert!(contents.is_empty() && most <= 18, "{most} rows read");
}

#[test]
fn a_page_carries_no_more_content_than_an_answer_may() {
    let mut road = road();
    let large = "x".repeat(200 * 1024);
    for _ in 0..5 {
        road.send("bob/mac", "tau", &large);
    }
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let mut room = Room::of(200);
    let page = rows.every_message(&all(), None, &mut room).unwrap();
    assert_eq!(page.messages.len(), 2);
    let rest = rows.every_message(&all(), page.next_before, &mut Room::of(200));
    assert_eq!(rest.unwrap().messages.len(), 2);
    // Nor does the next tenant add to it: it goes on there with the next page.
    let more = rows.every_message(&all(), None, &mut room).unwrap();
    assert!(more.messages.is_empty() && more.next_before == Some(u64::MAX));
    assert_eq!(listed(&road, &all(), 200).0.len(), 11);
}
