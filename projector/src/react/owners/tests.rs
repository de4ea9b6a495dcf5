use super::*;
use crate::testing::scope;
use postroad_protocol::event::Actor;
use postroad_protocol::id::CommandId;
use std::collections::BTreeMap;

fn owner(name: &str) -> Prefix {
    Prefix::of(&scope(name))
}

fn reaction(number: u64) -> Reaction {
    let id = CommandId::derived(&[&number.to_be_bytes()]);
    let what = Consequence::LeaseExpired {
        task: TaskId::of(EventKey::of(&Actor::System, id)),
        version: number,
    };
    Reaction {
        what,
        sequence: number,
    }
}

/// What is in the rows of each owner, due at once, as a look reads it.
#[derive(Default)]
struct Rows(BTreeMap<Prefix, Vec<Reaction>>);

impl Rows {
    fn put(&mut self, name: &str, numbers: std::ops::Range<u64>) {
        let reactions = numbers.map(reaction);
        self.0.entry(owner(name)).or_default().extend(reactions);
    }

    fn remove(&mut self, owner: &Prefix, reaction: Reaction) {
        let rows = self.0.get_mut(owner).unwrap();
        rows.retain(|row| *row != reaction);
    }

    fn look(&self, owners: &mut Owners, now: Instant) -> usize {
        let looks = owners.take_looks(now);
        let count = looks.len();
        for look in looks {
            let rows = self.0.get(&look.owner).cloned().unwrap_or_default();
            let mut looked = Looked {
                whole: true,
                ..Looked::default()
            };
            looked.take(rows, &look);
            owners.looked(&look.owner, looked, now);
        }
        count
    }
}

fn asks(owners: &mut Owners, now: Instant) -> Vec<(Prefix, Reaction)> {
    std::iter::from_fn(|| owners.next_ask(now)).collect()
}

fn stirred(names: &[&str], now: Instant) -> Owners {
    let mut owners = Owners::default();
    owners.stir_all(names.iter().map(|name| owner(name)), now);
    owners
}

#[test]
fn owners_take_turns_and_none_has_more_than_its_share_on_the_way() {
    let now = Instant::now();
    let mut rows = Rows::default();
    rows.put("busy", 0..500);
    rows.put("acme", 500..503);
    rows.put("globex", 600..601);
    let mut owners = stirred(&["busy", "acme", "globex"], now);
    rows.look(&mut owners, now);
    let asked = asks(&mut owners, now);
    let first: HashSet<Prefix> = asked[..3].iter().map(|(who, _)| who.clone()).collect();
    assert_eq!(first.len(), 3, "each has one before any has two");
    let of = |name: &str| asked.iter().filter(|(who, _)| *who == owner(name)).count();
    assert_eq!((of("busy"), of("acme"), of("globex")), (PER_OWNER, 3, 1));
    // An answer makes room for one more of it.
    let (who, done) = asked.iter().find(|(who, _)| *who == owner("busy")).unwrap();
    rows.remove(who, *done);
    owners.answered(who, *done, Outcome::Done, now);
    assert_eq!(asks(&mut owners, now).len(), 1);
}

#[test]
fn no_more_are_on_the_way_than_one_projector_may_have() {
    let now = Instant::now();
    let mut rows = Rows::default();
    let names: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    for (name, number) in names.iter().zip((0..).step_by(100)) {
        rows.put(name, number..number + 50);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut owners = stirred(&names, now);
    rows.look(&mut owners, now);
    let asked = asks(&mut owners, now);
    assert_eq!(asked.len(), REACTIONS_IN_FLIGHT);
    let (who, one) = &asked[0];
    owners.answered(who, *one, Outcome::Refused, now);
    assert_eq!(asks(&mut owners, now).len(), 1);
}

#[test]
fn everything_due_is_asked_for_once_and_nothing_is_kept_of_what_is_done() {
    let now = Instant::now();
    let mut rows = Rows::default();
    rows.put("acme", 0..5_000);
    let mut owners = stirred(&["acme"], now);
    let mut asked_for = HashSet::new();
    for _ in 0..5_000 {
        rows.look(&mut owners, now);
        for (who, one) in asks(&mut owners, now) {
            assert!(asked_for.insert(one), "asked for twice");
            rows.remove(&who, one);
            owners.answered(&who, one, Outcome::Done, now);
            owners.stir(&who, now);
        }
    }
    assert_eq!(asked_for.len(), 5_000);
    rows.look(&mut owners, now);
    assert!(owners.by_owner.is_empty() && owners.next_look().is_none());
    assert_eq!(owners.in_flight, 0);
}

#[test]
fn while_no_broker_is_there_an_owner_waits_longer_each_time_and_stirring_it_changes_nothing() {
    let mut now = Instant::now();
    let mut rows = Rows::default();
    rows.put("acme", 0..100);
    let mut owners = stirred(&["acme"], now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        rows.look(&mut owners, now);
        let asked = asks(&mut owners, now);
        assert_eq!(asked.len(), PER_OWNER);
        for (who, one) in asked {
            owners.answered(&who, one, Outcome::Away, now);
        }
        owners.stir(&owner("acme"), now);
        assert_eq!(rows.look(&mut owners, now), 0, "it is not looked at");
        assert!(asks(&mut owners, now).is_empty(), "nor asked for");
        let next = owners.next_look().unwrap();
        pauses.push(next - now);
        now = next;
    }
    assert_eq!(pauses[..3], [AGAIN_MIN, 2 * AGAIN_MIN, 4 * AGAIN_MIN]);
    assert_eq!(pauses[9], AGAIN_MAX);
    // Nobody else waits for it, and when a broker is there again, all of it is asked for.
    rows.put("globex", 200..201);
    owners.stir(&owner("globex"), now);
    let mut done = 0;
    while let Some(next) = owners.next_look() {
        now = now.max(next);
        rows.look(&mut owners, now);
        for (who, one) in asks(&mut owners, now) {
            rows.remove(&who, one);
            owners.answered(&who, one, Outcome::Done, now);
            done += 1;
        }
    }
    assert_eq!(done, 101);
    assert!(owners.by_owner.is_empty());
}

#[test]
fn what_is_refused_or_stays_in_the_rows_pauses_alone() {
    for outcome in [Outcome::Refused, Outcome::Done] {
        let mut now = Instant::now();
        let mut rows = Rows::default();
        rows.put("acme", 0..1);
        let mut owners = stirred(&["acme"], now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            rows.look(&mut owners, now);
            let [(who, one)] = <[_; 1]>::try_from(asks(&mut owners, now)).unwrap();
            owners.answered(&who, one, outcome, now);
            rows.look(&mut owners, now);
            assert!(asks(&mut owners, now).is_empty(), "not at once");
            let next = owners.next_look().unwrap();
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses[..2], [AGAIN_MIN, 2 * AGAIN_MIN]);
        assert_eq!(pauses[8], AGAIN_MAX);
        rows.look(&mut owners, now);
        let [(who, stuck)] = <[_; 1]>::try_from(asks(&mut owners, now)).unwrap();
        owners.answered(&who, stuck, outcome, now);
        // Another one of the same owner is asked for at once, and what left the rows is forgotten.
        rows.put("acme", 5..6);
        owners.stir(&who, now);
        rows.look(&mut owners, now);
        assert_eq!(asks(&mut owners, now), [(who.clone(), reaction(5))]);
        rows.remove(&who, stuck);
        rows.remove(&who, reaction(5));
        owners.answered(&who, reaction(5), Outcome::Done, now);
        rows.look(&mut owners, now);
        assert!(owners.by_owner.is_empty());
    }
}

#[test]
fn many_that_are_refused_keep_their_pauses_and_are_bounded() {
    let mut now = Instant::now();
    let mut rows = Rows::default();
    rows.put("acme", 0..3_000);
    let mut owners = stirred(&["acme"], now);
    let (start, mut asked_for) = (now, 0_u64);
    while now - start < 20 * AGAIN_MAX {
        rows.look(&mut owners, now);
        for (who, one) in asks(&mut owners, now) {
            asked_for += 1;
            owners.answered(&who, one, Outcome::Refused, now);
        }
        now = now.max(owners.next_look().unwrap());
        assert!(owners.by_owner[&owner("acme")].paused.len() <= PAUSED_MAX);
    }
    // Each doubles its pauses and is then asked for once in the longest.
    let each = 8 + 20;
    assert!(asked_for <= each * PAUSED_MAX as u64, "{asked_for}");
}

#[test]
fn a_lease_is_looked_at_when_it_runs_out_and_now_and_then_before() {
    let now = Instant::now();
    let (acme, hour) = (owner("acme"), Duration::from_hours(1));
    let mut owners = stirred(&["acme"], now);
    let mut looked_at = |next: Duration, now: Instant| {
        let looks = owners.take_looks(now);
        assert_eq!(looks.len(), 1);
        let looked = Looked {
            whole: true,
            next: Some(next),
            ..Looked::default()
        };
        owners.looked(&acme, looked, now);
        owners.next_look().unwrap() - now
    };
    assert_eq!(looked_at(hour, now), AGAIN_MAX);
    let second = Duration::from_secs(1);
    assert_eq!(looked_at(second, now + AGAIN_MAX), second);
}

#[test]
fn what_rests_is_not_asked_for_before() {
    let now = Instant::now();
    let rest = Duration::from_mins(5);
    let mut rows = Rows::default();
    rows.put("acme", 0..2);
    let mut owners = stirred(&["acme"], now);
    rows.look(&mut owners, now);
    let asked = asks(&mut owners, now);
    for (who, one) in &asked {
        owners.answered(who, *one, Outcome::Rests(rest), now);
    }
    rows.look(&mut owners, now);
    assert!(asks(&mut owners, now).is_empty());
    assert_eq!(owners.next_look(), Some(now + rest));
    rows.look(&mut owners, now + rest);
    assert_eq!(asks(&mut owners, now + rest).len(), 2);
}

#[test]
fn rows_that_do_not_read_are_looked_at_again() {
    let now = Instant::now();
    let mut owners = stirred(&["acme"], now);
    let looks = owners.take_looks(now);
    owners.not_looked(&looks[0].owner, now);
    assert_eq!(owners.next_look(), Some(now + AGAIN_MIN));
}
