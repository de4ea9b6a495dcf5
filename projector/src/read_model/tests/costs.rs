//! What answers cost, in rows read: counted, since a clock would tell of the machine.

use crate::apply::{Durability, Incoming, apply};
use crate::store::{Counts, Store};
use crate::testing::{Road, checkpoint, incoming, reader};
use postroad_protocol::event::{Actor, Event, MessagesRead, Priority};
use postroad_protocol::id::CommandId;

const MANY: u64 = 100_000;

/// `MANY` messages to tau, all of one priority, a third each to the role, the instance and all.
fn busy_road(priority: Priority) -> (Road, Vec<postroad_protocol::event::EventKey>) {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop"] {
        road.issue(name);
    }
    let from = reader("bob/mac");
    let mut keys = Vec::new();
    let mut batch: Vec<Incoming> = Vec::new();
    for number in 0..MANY {
        let sequence = road.end() + 1 + number;
        let to = ["tau", "tau", "broadcast"][usize::try_from(number % 3).unwrap()];
        let sent = postroad_protocol::event::MessageSent {
            from: from.clone(),
            channel: postroad_protocol::Channel::parse(to).unwrap(),
            instance: (number % 3 == 1).then(|| reader("tau/pi").instance),
            content: number.to_string(),
            reply_to: None,
            priority,
            metadata: std::collections::BTreeMap::new(),
        };
        let (by, id) = (
            Actor::Agent(from.clone()),
            CommandId::derived(&[&number.to_be_bytes()]),
        );
        keys.push(postroad_protocol::event::EventKey::of(&by, id));
        batch.push(incoming(&road.scope, sequence, by, id, Event::from(sent)));
    }
    apply_log(&road.store, &batch);
    road.log.extend(batch);
    (road, keys)
}

fn apply_log(store: &Store, batch: &[Incoming]) {
    for part in batch.chunks(8_192) {
        let end = part.last().map_or(0, |last| last.sequence);
        apply(store, part, checkpoint(end), Durability::Visible).unwrap();
    }
}

fn read_all(road: &mut Road, name: &str, keys: &[postroad_protocol::event::EventKey]) {
    for messages in keys.chunks(500) {
        let reader = reader(name);
        let by = Actor::Agent(reader.clone());
        let messages = messages.to_vec();
        road.put(by, MessagesRead { reader, messages });
    }
}

/// Contents, total and rows read of a check of `limit`.
fn check(road: &Road, name: &str, limit: usize, after: Option<u64>) -> (Vec<String>, u64, u64) {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let page = rows.check(&reader(name), limit, after, usize::MAX).unwrap();
    let contents = page.messages.into_iter().map(|m| m.content).collect();
    (contents, page.unread_total, snapshot.rows_read())
}

/// What is unread, and the rows read for it.
fn counted(road: &Road, name: &str) -> (Counts, u64) {
    let snapshot = road.snapshot();
    let unread = snapshot.tenant(&road.scope).unread(&reader(name));
    (unread.unwrap(), snapshot.rows_read())
}

#[test]
fn a_check_costs_what_it_returns_however_much_lies_behind_it() {
    let (mut road, keys) = busy_road(Priority::Normal);
    assert_history_comes_by_the_page(&road);
    let (shown, unread, cost) = check(&road, "tau/pi", 20, None);
    assert_eq!((shown.len(), unread), (20, MANY));
    // A message and its receipt each; the reader, three lanes, their first blocks and marks.
    assert!(cost <= 20 * 2 + 10, "{cost} rows");
    // From the middle: the place is found by halving.
    let middle = road.log[50_000].sequence;
    let (shown, _, cost) = check(&road, "tau/pi", 20, Some(middle));
    assert_eq!(shown.len(), 20);
    assert!(cost <= 20 * 2 + 10 + 3 * 10, "{cost} rows");
    let total_cost = |road: &Road| {
        let (unread, cost) = counted(road, "tau/pi");
        (unread.total(), cost)
    };
    assert_eq!(total_cost(&road), (MANY, 4));

    // Everything read but the oldest: that one is found, and nothing behind it is looked at.
    read_all(&mut road, "tau/pi", &keys[1..]);
    let (shown, unread, cost) = check(&road, "tau/pi", 20, None);
    assert_eq!((shown, unread), (vec!["0".to_owned()], 1));
    assert!(cost <= 12, "{cost} rows");
    let last = road.end();
    let late = road.send("bob/mac", "tau", "late");
    let (shown, _, cost) = check(&road, "tau/pi", 20, None);
    assert_eq!(shown, ["0", "late"]);
    assert!(cost <= 15, "{cost} rows");
    let (shown, ..) = check(&road, "tau/pi", 20, Some(last));
    assert_eq!(shown, ["late"]);
    let oldest = &[keys[0], road.key(late)];
    read_all(&mut road, "tau/pi", oldest);
    assert_eq!(check(&road, "tau/pi", 20, None), (vec![], 0, 4));
    assert_eq!(total_cost(&road), (0, 4));

    // A second machine inherits it all as read, at the price of marks and not of messages.
    road.issue("tau/new");
    assert_eq!(check(&road, "tau/new", 20, None), (vec![], 0, 4));
    assert_eq!(check(&road, "tau/laptop", 200, None).0.len(), 200);
}

/// Of the same long life, since writing it takes a while.
fn assert_history_comes_by_the_page(road: &Road) {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let wanted = postroad_protocol::query::ListMessages {
        page: postroad_protocol::query::Page {
            limit: 20,
            cursor: None,
        },
        sender: None,
        channel: None,
        since: None,
        until: None,
    };
    let page = rows
        .list_messages(&reader("tau/pi"), &wanted, Some(road.end() / 2))
        .unwrap();
    assert_eq!(page.messages.len(), 20);
    let cost = snapshot.rows_read();
    assert!(cost <= 20 * 4 + 50, "{cost} rows");
}

#[test]
fn the_highest_priority_costs_nothing_however_much_urgent_mail_was_read() {
    let (mut road, keys) = busy_road(Priority::Urgent);
    let highest = |road: &Road, name: &str| {
        let (unread, cost) = counted(road, name);
        (unread.highest(), cost)
    };
    assert_eq!(highest(&road, "tau/pi"), (Some(Priority::Urgent), 4));
    read_all(&mut road, "tau/pi", &keys);
    assert_eq!(highest(&road, "tau/pi"), (None, 4));
    assert_eq!(check(&road, "tau/pi", 20, None), (vec![], 0, 4));
    road.send_of("bob/mac", "broadcast", Priority::Low);
    assert_eq!(highest(&road, "tau/pi"), (Some(Priority::Low), 4));
    let (shown, _, cost) = check(&road, "tau/pi", 20, None);
    assert_eq!(shown, ["Low"]);
    // The reader, three lanes, the marks of one block, the message and its receipt.
    assert!(cost <= 7, "{cost} rows");
    // Other readers have their own, and a later one inherits no priority that was dealt with.
    assert_eq!(highest(&road, "tau/laptop"), (Some(Priority::Urgent), 4));
    road.issue("tau/new");
    assert_eq!(highest(&road, "tau/new"), (Some(Priority::Low), 4));
}
