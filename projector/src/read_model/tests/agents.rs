//! Who is there: the roster, retirement and return, peers, counts.

use crate::store::{PageOf, ReaderState};
use crate::testing::{Road, reader, time};
use postroad_protocol::event::{Actor, SummarySet};
use postroad_protocol::query::{AgentKind, Peer};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const WHOLE: PageOf<'static> = PageOf {
    limit: 200,
    after: None,
};

fn state(road: &Road, name: &str) -> ReaderState {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let state = rows.reader_state(&reader(name)).unwrap();
    assert_eq!(
        rows.is_registered(&reader(name)).unwrap(),
        state == ReaderState::Registered
    );
    state
}

fn peers(road: &Road) -> Vec<String> {
    let snapshot = road.snapshot();
    let peers = snapshot.tenant(&road.scope).peers(WHOLE).unwrap();
    assert_eq!(peers.next, None);
    peers.rows.into_iter().map(name).collect()
}

fn name(peer: Peer) -> String {
    let instance = peer.instance_id.map_or(String::new(), |i| format!("/{i}"));
    format!("{}{instance}", peer.id)
}

/// Every page of `limit`, joined.
fn peers_by_the_page(road: &Road, limit: usize) -> Vec<String> {
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (mut after, mut names) = (None::<Box<[u8]>>, Vec::new());
    loop {
        let place = after.take();
        let page = PageOf {
            limit,
            after: place.as_deref(),
        };
        let listed = rows.peers(page).unwrap();
        assert!(listed.rows.len() <= limit);
        names.extend(listed.rows.into_iter().map(name));
        match listed.next {
            None => return names,
            next => {
                assert_ne!(next, place, "a page goes on");
                after = next;
            }
        }
    }
}

fn counts(road: &Road) -> (u64, u64, u64) {
    let snapshot = road.snapshot();
    let tenant = snapshot.tenant(&road.scope).tenant(3).unwrap().unwrap();
    assert_eq!((tenant.tenant.as_str(), tenant.shard), ("acme", 3));
    assert_eq!((tenant.generation, tenant.created_at), (1, time(1)));
    (tenant.roles, tenant.readers, tenant.messages)
}

#[test]
fn a_credential_with_an_instance_registers_and_one_without_does_not() {
    let mut road = Road::new();
    road.issue("tau/pi");
    road.issue("phi");
    assert_eq!(state(&road, "tau/pi"), ReaderState::Registered);
    assert_eq!(state(&road, "tau/mac"), ReaderState::Unknown);
    assert_eq!(state(&road, "phi/first"), ReaderState::Unknown);
    road.register("phi/first");
    assert_eq!(state(&road, "phi/first"), ReaderState::Registered);
    assert_eq!(counts(&road), (2, 2, 0));
}

#[test]
fn a_retired_instance_keeps_what_it_got_and_gets_no_more() {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop"] {
        road.issue(name);
    }
    let first = road.send("bob/mac", "tau", "first");
    road.retire("tau/laptop");
    let second = road.send("bob/mac", "tau", "second");
    road.send("bob/mac", "broadcast", "third");
    assert_eq!(state(&road, "tau/laptop"), ReaderState::Retired);
    assert_eq!(road.check("tau/laptop"), ["first"]);
    assert_eq!(road.check("tau/pi"), ["first", "second", "third"]);
    assert_eq!(road.status(first), ["tau/laptop", "tau/pi"]);
    assert_eq!(road.status(second), ["tau/pi"]);
    road.read("tau/laptop", &[first]);
    assert_eq!(road.status(first)[0], "tau/laptop d9 r9");
    assert_eq!(counts(&road), (2, 2, 3));
    assert_eq!(peers(&road), ["bob/mac", "tau/pi"]);
}

#[test]
fn an_instance_that_comes_back_gets_what_nobody_read_meanwhile() {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop"] {
        road.issue(name);
    }
    let kept = road.send("bob/mac", "tau", "kept");
    let settled = road.send("bob/mac", "tau", "settled by pi");
    road.retire("tau/laptop");
    let missed = road.send("bob/mac", "tau", "missed and read");
    road.send("bob/mac", "tau", "missed");
    road.read("tau/pi", &[missed, settled]);
    road.issue("tau/laptop");
    assert_eq!(road.check("tau/laptop"), ["kept", "missed"]);
    // The receipt of its first life stays; what it missed and pi had read is no receipt of its own.
    assert_eq!(road.status(settled), ["tau/laptop", "tau/pi d10 r10"]);
    assert_eq!(road.status(missed), ["tau/pi d10 r10"]);
    road.read("tau/laptop", &[kept]);
    assert_eq!(road.check("tau/laptop"), ["missed"]);
    assert_eq!(road.check("tau/pi"), ["kept", "missed"]);
}

#[test]
fn a_role_is_retired_with_all_of_it_or_with_its_last_credential() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.issue("tau/pi");
    road.register("tau/laptop");
    road.retire("tau");
    for name in ["tau/pi", "tau/laptop"] {
        assert_eq!(state(&road, name), ReaderState::Retired);
    }
    assert_eq!(counts(&road), (1, 1, 0));
    road.issue("tau/pi");
    assert_eq!(state(&road, "tau/pi"), ReaderState::Registered);
    assert_eq!(state(&road, "tau/laptop"), ReaderState::Retired);
    road.register("tau/laptop");
    assert_eq!(counts(&road), (2, 3, 0));
    road.retire("tau/pi");
    assert_eq!(state(&road, "tau/laptop"), ReaderState::Retired);
    assert_eq!(peers(&road), ["bob/mac"]);
    // Nobody retired the laptop: it takes part again as soon as its role does.
    road.issue("tau");
    assert_eq!(state(&road, "tau/laptop"), ReaderState::Registered);
    assert_eq!(peers(&road), ["bob/mac", "tau/laptop"]);
}

#[test]
fn a_message_that_raced_a_retirement_waits_for_the_role() {
    let mut road = Road::new();
    road.issue("bob/mac");
    road.issue("tau/pi");
    road.retire("tau");
    let late = road.send("bob/mac", "tau", "late");
    assert_eq!(road.snapshot().quarantined().unwrap(), 0);
    assert_eq!(road.status(late), ["tau"]);
    road.issue("tau/laptop");
    assert_eq!(road.check("tau/laptop"), ["late"]);
    assert_eq!(road.status(late), ["tau/laptop"]);
}

#[test]
fn retiring_twice_and_registering_twice_change_nothing() {
    let mut road = Road::new();
    road.issue("tau/pi");
    road.register("tau/pi");
    assert_eq!(counts(&road), (1, 1, 0));
    road.retire("tau/pi");
    road.retire("tau/pi");
    road.retire("tau/never");
    road.retire("tau");
    assert_eq!(counts(&road), (0, 0, 0));
    assert_eq!(road.snapshot().quarantined().unwrap(), 0);
    assert_eq!(road.retire("phi").quarantined, 1);
    assert_eq!(road.register("phi/x").quarantined, 1);
}

#[test]
fn peers_show_summaries_and_when_an_agent_was_last_heard_of() {
    let mut road = Road::new();
    road.issue("tau/pi");
    road.issue("phi");
    road.issue("bob/mac");
    let pi = reader("tau/pi");
    let said = |summary: &str| SummarySet {
        reader: pi.clone(),
        summary: summary.into(),
    };
    road.put(Actor::Agent(pi.clone()), said("Reviewing PR #47"));
    let snapshot = road.snapshot();
    let found = snapshot.tenant(&road.scope).peers(WHOLE).unwrap().rows;
    assert_eq!(peers(&road), ["bob/mac", "phi", "tau/pi"]);
    assert_eq!(found[2].summary.as_deref(), Some("Reviewing PR #47"));
    assert_eq!(found[2].last_seen, Some(time(5)));
    assert_eq!((&found[0].summary, found[0].last_seen), (&None, None));
    // Events are a second apart, and an agent's last sign is kept to within ten.
    for _ in 0..11 {
        road.send("tau/pi", "bob", "hello");
    }
    road.put(Actor::Agent(pi.clone()), said(""));
    let snapshot = road.snapshot();
    let found = snapshot.tenant(&road.scope).peers(WHOLE).unwrap().rows;
    assert_eq!(
        (&found[2].summary, found[2].last_seen),
        (&None, Some(time(15)))
    );
}

#[test]
fn lists_of_agents_come_in_pages_without_a_gap_or_a_repeat() {
    let mut road = Road::new();
    for name in ["bob/mac", "bob", "phi", "tau", "tau/a", "tau-2/a"] {
        road.issue(name);
    }
    for n in 0..5 {
        road.register(&format!("tau/i{n}"));
    }
    road.retire("tau/i2");
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    for limit in 1..=20 {
        let (mut after, mut agents, mut peers) = (None::<Box<[u8]>>, Vec::new(), Vec::new());
        loop {
            let after_now = after.take();
            let page = PageOf {
                limit,
                after: after_now.as_deref(),
            };
            let listed = rows.roster(page).unwrap();
            agents.extend(listed.rows);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(agents, rows.roster(WHOLE).unwrap().rows, "limit {limit}");
        loop {
            let after_now = after.take();
            let page = PageOf {
                limit,
                after: after_now.as_deref(),
            };
            let listed = rows.peers(page).unwrap();
            peers.extend(listed.rows);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(peers, rows.peers(WHOLE).unwrap().rows, "limit {limit}");
    }
    let agents = rows.roster(WHOLE).unwrap().rows;
    let shown = |kind| agents.iter().filter(|agent| agent.kind == kind).count();
    assert_eq!(
        (shown(AgentKind::Credential), shown(AgentKind::Reader)),
        (6, 8)
    );
    assert_eq!(agents.iter().filter(|agent| agent.retired).count(), 1);
    assert_eq!(rows.peers(WHOLE).unwrap().rows.len(), 8);
}

#[test]
fn a_renewed_credential_replaces_the_old_one() {
    let mut road = Road::new();
    road.issue_key("tau", "U1");
    road.issue_key("tau", "U1");
    road.retire("tau");
    assert_eq!(counts(&road), (0, 0, 0));
    road.issue_key("tau", "U1");
    let snapshot = road.snapshot();
    let agents = snapshot.tenant(&road.scope).roster(WHOLE).unwrap().rows;
    assert_eq!(agents.len(), 1);
    assert!(!agents[0].retired && agents[0].since == time(5));
}

#[test]
fn one_key_for_two_instances_is_two_credentials() {
    let mut road = Road::new();
    road.issue_key("tau", "U1");
    road.issue_key("tau/pi", "U1");
    road.retire("tau/pi");
    assert_eq!(state(&road, "tau/pi"), ReaderState::Retired);
    assert_eq!(counts(&road), (1, 0, 0));
    road.register("tau/laptop");
    assert_eq!(state(&road, "tau/laptop"), ReaderState::Registered);
}

#[test]
fn the_longest_names_fit_a_place_in_the_roster() {
    let mut road = Road::new();
    let longest = format!("{}/{}", "r".repeat(64), "i".repeat(64));
    for number in 10..20 {
        road.issue_key(&longest, &format!("U{}{number}", "K".repeat(53)));
        road.issue_key(&longest, &format!("U{number}{}", "K".repeat(53)));
    }
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let whole = rows.roster(WHOLE).unwrap().rows;
    assert_eq!(whole.len(), 21);
    // Keys that differ behind their fortieth character stand for none that is ever issued.
    let alike = PageOf {
        limit: 10,
        after: None,
    };
    let first = rows.roster(alike).unwrap();
    let place = first.next.unwrap();
    let cursor = crate::cursor::Cursor::at(crate::cursor::Kind::Roster, u64::MAX, &place)
        .encode(&road.scope, &reader("tau/pi"));
    assert!(cursor.len() <= postroad_protocol::limits::CURSOR_MAX_CHARS);
    let rest = PageOf {
        limit: 200,
        after: Some(&place),
    };
    assert_eq!(rows.roster(rest).unwrap().rows, whole[10..]);
}

#[test]
fn a_page_of_peers_is_not_filled_by_those_who_left() {
    let mut road = Road::new();
    road.issue("tau");
    road.issue("zeta/z");
    for n in 0..6 {
        road.register(&format!("tau/i{n}"));
    }
    for n in 0..4 {
        road.retire(&format!("tau/i{n}"));
    }
    for limit in 1..=4 {
        let found = peers_by_the_page(&road, limit);
        assert_eq!(found, ["tau/i4", "tau/i5", "zeta/z"], "limit {limit}");
    }
}

#[test]
fn peers_behind_more_retired_ones_than_a_page_looks_at_are_reached() {
    let mut road = Road::new();
    road.issue("tau");
    for n in 10..60 {
        road.register(&format!("tau/i{n}"));
    }
    for n in 10..59 {
        road.retire(&format!("tau/i{n}"));
    }
    assert_eq!(peers_by_the_page(&road, 200), ["tau/i59"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pages_of_peers_joined_are_all_who_are_live(
        agents in prop::collection::vec((0..4_u8, 0..12_u8, any::<bool>()), 0..40),
        waiting in 0..4_u8,
        limit in 1..12_usize,
    ) {
        let mut road = Road::new();
        let mut live: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
        for role in 0..=waiting {
            road.issue(&format!("r{role}"));
            live.entry(role).or_default();
        }
        for (role, instance, leaves) in agents {
            let name = format!("r{role}/i{instance:02}");
            if let std::collections::btree_map::Entry::Vacant(entry) = live.entry(role) {
                road.issue(&format!("r{role}"));
                entry.insert(BTreeSet::new());
            }
            road.register(&name);
            live.entry(role).or_default().insert(name.clone());
            if leaves {
                road.retire(&name);
                live.entry(role).or_default().remove(&name);
            }
        }
        let expected: Vec<String> = live
            .into_iter()
            .flat_map(|(role, names)| {
                let waits = names.is_empty().then(|| format!("r{role}"));
                names.into_iter().chain(waits)
            })
            .collect();
        prop_assert_eq!(peers_by_the_page(&road, limit), expected);
    }
}
