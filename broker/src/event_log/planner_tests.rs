//! The planner's promises.

use super::*;
use proptest::prelude::*;

#[path = "planner_stage_tests.rs"]
mod staged;

fn id(n: usize) -> DedupId {
    DedupId::of(&format!("{n:032x}"))
}

fn ticket(payer: u8, n: usize) -> Ticket<u8> {
    Ticket {
        id: id(n),
        payer,
        bytes: 800,
        alone: false,
    }
}

fn filled(policy: Policy, count: usize) -> Planner<u8, usize> {
    let mut planner = Planner::new(policy, Instant::now());
    for n in 0..count {
        planner.offer(ticket(0, n), n, Instant::now()).unwrap();
    }
    planner
}

/// A planner whose broker has run for a while, and the time.
fn settled(policy: Policy) -> (Planner<u8, usize>, Instant) {
    let start = Instant::now();
    (Planner::new(policy, start), start + EARLY)
}

#[test]
fn few_events_go_plainly_and_many_as_one_batch_at_a_time() {
    let mut few = filled(Policy::Batching, limits::BATCH_MIN_EVENTS - 1);
    for n in 0..limits::BATCH_MIN_EVENTS - 1 {
        assert_eq!(few.next_round(), Some(Round::Plain(id(n))));
    }
    assert_eq!(few.next_round(), None);

    let mut many = filled(Policy::Batching, 1_500);
    let Some(Round::Batch(first)) = many.next_round() else {
        panic!("a batch is due")
    };
    assert_eq!(first.len(), limits::BATCH_MAX_EVENTS);
    assert_eq!(many.next_round(), None, "one batch at a time");
    for member in first {
        many.finish(member);
    }
    assert!(matches!(many.next_round(), Some(Round::Batch(second)) if second.len() == 500));
}

#[test]
fn where_plain_publishes_are_fastest_nothing_is_batched() {
    let mut planner = filled(Policy::Plain, 2_000);
    for _ in 0..FAST_WINDOW {
        assert!(matches!(planner.next_round(), Some(Round::Plain(_))));
    }
    assert_eq!(planner.next_round(), None);
}

#[test]
fn an_id_that_waits_or_travels_is_not_taken_twice() {
    let mut planner = filled(Policy::Batching, 1);
    let again = |planner: &mut Planner<u8, usize>| planner.offer(ticket(0, 0), 9, Instant::now());
    assert_eq!(again(&mut planner), Err(NotTaken::Known(9)));
    planner.next_round().unwrap();
    assert_eq!(again(&mut planner), Err(NotTaken::Known(9)));
    assert_eq!(planner.finish(id(0)), Some(0));
    assert_eq!(again(&mut planner), Ok(()));
}

#[test]
fn one_payer_cannot_fill_the_queue_for_others() {
    let mut planner = filled(Policy::Batching, limits::TENANT_COMMANDS_WAITING);
    let now = Instant::now();
    let next = limits::TENANT_COMMANDS_WAITING;
    assert_eq!(
        planner.offer(ticket(0, next), 7, now),
        Err(NotTaken::Full(7))
    );
    assert_eq!(planner.offer(ticket(1, next), 7, now), Ok(()));
}

#[test]
fn a_failed_batch_is_resolved_one_by_one_before_anything_newer() {
    let mut planner = filled(Policy::Batching, 20);
    let Some(Round::Batch(members)) = planner.next_round() else {
        panic!("a batch is due")
    };
    planner.offer(ticket(0, 100), 100, Instant::now()).unwrap();
    for member in &members {
        planner.send_again(*member);
    }
    for member in &members {
        assert_eq!(planner.next_round(), Some(Round::Plain(*member)));
    }
    assert_eq!(planner.next_round(), Some(Round::Plain(id(100))));
}

#[test]
fn who_sank_a_batch_goes_alone_for_a_while_and_in_order() {
    let (mut planner, now) = settled(Policy::Batching);
    planner.offer(ticket(1, 0), 0, now).unwrap();
    let Some(Round::Plain(culprit)) = planner.next_round() else {
        panic!("one goes plainly")
    };
    for n in 1..100 {
        planner.offer(ticket(1, n), n, now).unwrap();
        planner.offer(ticket(2, 1_000 + n), n, now).unwrap();
    }
    planner.suspect(culprit, now);
    planner.offer(ticket(1, 500), 500, now).unwrap();
    let alone: Vec<_> = (0..WATCHED_WINDOW)
        .map(|_| planner.next_round().unwrap())
        .collect();
    assert_eq!(
        alone,
        (1..=WATCHED_WINDOW)
            .map(|n| Round::Plain(id(n)))
            .collect::<Vec<_>>()
    );
    let Some(Round::Batch(batch)) = planner.next_round() else {
        panic!("the neighbour's batch is due")
    };
    assert_eq!(batch.len(), 99);
    // After the time, and once nothing of it waits apart, it travels with the others again.
    let later = now + SUSPICION + Duration::from_secs(1);
    let (mut calm, now) = settled(Policy::Batching);
    let later = later.max(now + SUSPICION + Duration::from_secs(1));
    calm.offer(ticket(1, 0), 0, now).unwrap();
    calm.suspect(id(0), now);
    calm.finish(id(0));
    while calm.next_round().is_some() {}
    calm.offer(ticket(1, 1), 1, later).unwrap();
    assert_eq!(calm.gathered(), 1);
}

/// Until when `payer` is suspected, from `now` on.
fn suspected_for(planner: &Planner<u8, usize>, payer: u8, now: Instant) -> Duration {
    planner.suspects[&payer].until - now
}

#[test]
fn what_one_incident_sinks_is_one_strike_and_a_further_one_doubles_it() {
    let (mut planner, now) = settled(Policy::Batching);
    for n in 0..200 {
        planner.offer(ticket(1, n), n, now).unwrap();
    }
    let ms = Duration::from_millis(1);
    for n in 0..200 {
        planner.suspect(id(n), now + ms * u32::try_from(n).unwrap());
    }
    assert_eq!(suspected_for(&planner, 1, now), SUSPICION + ms * 199);
    let again = now + SUSPICION * 2;
    planner.suspect(id(0), again);
    planner.suspect(id(1), again);
    assert_eq!(suspected_for(&planner, 1, again), SUSPICION * 2);
    let mut at = again;
    for _ in 0..20 {
        at += SUSPICION_MAX;
        planner.suspect(id(0), at);
    }
    assert_eq!(suspected_for(&planner, 1, at), SUSPICION_MAX);
}

#[test]
fn repeats_of_what_was_stored_before_the_start_are_forgiven_soon() {
    let start = Instant::now();
    let mut planner = Planner::new(Policy::Batching, start);
    planner.offer(ticket(1, 0), 0, start).unwrap();
    for second in 0..59 {
        planner.suspect(id(0), start + Duration::from_secs(second));
    }
    let now = start + Duration::from_secs(58);
    assert_eq!(suspected_for(&planner, 1, now), SUSPICION_EARLY);
    planner.suspect(id(0), start + EARLY);
    assert_eq!(suspected_for(&planner, 1, start + EARLY), SUSPICION);
}

#[test]
fn what_goes_alone_keeps_its_payers_order_and_costs_no_neighbour_its_batch() {
    let (mut planner, now) = settled(Policy::Batching);
    for n in 0..100 {
        planner.offer(ticket(2, 1_000 + n), n, now).unwrap();
    }
    planner.offer(ticket(1, 0), 0, now).unwrap();
    let alone = Ticket {
        alone: true,
        ..ticket(1, 1)
    };
    planner.offer(alone, 1, now).unwrap();
    planner.offer(ticket(1, 2), 2, now).unwrap();
    for n in 0..3 {
        assert_eq!(planner.next_round(), Some(Round::Plain(id(n))));
    }
    assert!(matches!(planner.next_round(), Some(Round::Batch(batch)) if batch.len() == 100));
}

#[test]
fn nothing_goes_alone_past_a_batch_that_may_still_fail() {
    let (mut planner, now) = settled(Policy::Batching);
    for n in 0..20 {
        planner.offer(ticket(1, n), n, now).unwrap();
    }
    let Some(Round::Batch(batch)) = planner.next_round() else {
        panic!("a batch is due")
    };
    let alone = |payer, n| Ticket {
        alone: true,
        ..ticket(payer, n)
    };
    planner.offer(alone(1, 20), 20, now).unwrap();
    planner.offer(alone(2, 30), 30, now).unwrap();
    assert_eq!(planner.next_round(), Some(Round::Plain(id(30))));
    assert_eq!(planner.next_round(), None);
    for member in &batch {
        planner.send_again(*member);
    }
    for n in 0..=20 {
        assert_eq!(planner.next_round(), Some(Round::Plain(id(n))));
    }
}

#[test]
fn what_must_go_alone_never_travels_in_a_batch() {
    let mut planner = filled(Policy::Batching, 50);
    let lonely = Ticket {
        alone: true,
        ..ticket(3, 900)
    };
    planner.offer(lonely, 900, Instant::now()).unwrap();
    assert_eq!(planner.next_round(), Some(Round::Plain(id(900))));
    assert!(matches!(planner.next_round(), Some(Round::Batch(batch)) if batch.len() == 50));
}

#[test]
fn what_was_given_up_while_it_waited_is_not_sent() {
    let mut planner = filled(Policy::Batching, 3);
    let over = planner.waiting_where(|n| *n == 1);
    assert_eq!(over, [id(1)]);
    assert_eq!(planner.finish(id(1)), Some(1));
    assert_eq!(planner.next_round(), Some(Round::Plain(id(0))));
    assert_eq!(planner.next_round(), Some(Round::Plain(id(2))));
    assert_eq!(planner.next_round(), None);
    assert!(planner.waiting_where(|_| true).is_empty());
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Offer { payer: u8, n: usize },
    Send,
    Stage,
    Unstage,
    Succeed,
    Fail,
    Sink,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..4, 0_usize..400).prop_map(|(payer, n)| Step::Offer { payer, n }),
        2 => Just(Step::Send),
        2 => Just(Step::Stage),
        1 => Just(Step::Unstage),
        2 => Just(Step::Succeed),
        1 => Just(Step::Fail),
        1 => Just(Step::Sink),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn every_event_taken_in_is_settled_once_and_none_travels_twice_at_once(
        steps in steps(),
        batching in any::<bool>(),
    ) {
        let policy = if batching { Policy::Batching } else { Policy::Plain };
        let (mut planner, now) = settled(policy);
        let mut open = std::collections::HashSet::new();
        let mut travelling: Vec<DedupId> = Vec::new();
        let send = |planner: &mut Planner<u8, usize>, travelling: &mut Vec<DedupId>| {
            let Some(round) = planner.next_round() else { return Ok(false) };
            let ids = match round {
                Round::Plain(id) => vec![id],
                Round::Batch(ids) => ids,
            };
            prop_assert!(ids.len() <= limits::BATCH_MAX_EVENTS);
            for id in ids {
                prop_assert!(!travelling.contains(&id), "on its way twice");
                travelling.push(id);
            }
            Ok(true)
        };
        for step in steps {
            match step {
                Step::Offer { payer, n } => {
                    let taken = planner.offer(ticket(payer, n), n, now).is_ok();
                    prop_assert_eq!(taken, open.insert(id(n)));
                }
                Step::Send => { send(&mut planner, &mut travelling)?; }
                Step::Stage => { planner.stage(); }
                Step::Unstage => planner.unstage(),
                Step::Succeed => for id in travelling.drain(..) {
                    prop_assert!(planner.finish(id).is_some());
                    open.remove(&id);
                },
                Step::Fail => for id in travelling.drain(..) {
                    planner.send_again(id);
                },
                Step::Sink => if let Some(id) = travelling.first() {
                    planner.suspect(*id, now);
                },
            }
        }
        // Once everything succeeds, everything that was taken in is settled.
        loop {
            while send(&mut planner, &mut travelling)? {}
            if travelling.is_empty() {
                break;
            }
            for id in travelling.drain(..) {
                prop_assert!(planner.finish(id).is_some());
                open.remove(&id);
            }
        }
        prop_assert!(open.is_empty() && planner.is_empty());
    }

    #[test]
    fn a_payers_events_are_stored_in_the_order_in_which_they_arrived(
        history in proptest::collection::vec(
            prop_oneof![
                40 => (0_u8..3, 0_u8..30).prop_map(|(payer, n)| Move::Offer { payer, alone: n == 0 }),
                2 => any::<bool>().prop_map(|sinks| Move::Send { sinks }),
                1 => Just(Move::Settle),
                3 => Just(Move::Stage),
                1 => Just(Move::Unstage),
                1 => (0_u8..3).prop_map(|payer| Move::Suspect { payer }),
                1 => Just(Move::Later),
            ],
            0..600,
        ),
        batching in any::<bool>(),
    ) {
        let policy = if batching { Policy::Batching } else { Policy::Plain };
        let mut shard = Shard::new(policy);
        for step in history {
            match step {
                Move::Offer { payer, alone } => shard.offer(payer, alone),
                Move::Send { sinks } => { shard.send(sinks); }
                Move::Settle => shard.settle(),
                Move::Stage => { shard.planner.stage(); }
                Move::Unstage => shard.planner.unstage(),
                Move::Suspect { payer } => shard.suspect(payer),
                Move::Later => shard.now += SUSPICION * 3,
            }
        }
        loop {
            while shard.send(false) {}
            if shard.planner.is_empty() {
                break;
            }
            shard.settle();
        }
        prop_assert_eq!(shard.stored.len(), shard.offered);
        for payer in 0..3 {
            let order: Vec<_> = shard.stored.iter().filter(|(p, _)| *p == payer).collect();
            prop_assert!(order.is_sorted(), "payer {}: {:?}", payer, order);
        }
    }
}

/// One move of a random history of one shard.
#[derive(Clone, Debug)]
enum Move {
    Offer { payer: u8, alone: bool },
    Send { sinks: bool },
    Settle,
    Stage,
    Unstage,
    Suspect { payer: u8 },
    Later,
}

/// A planner, and a log that stores what is sent in the order in which it is sent, unless a batch fails.
struct Shard {
    planner: Planner<u8, usize>,
    now: Instant,
    offered: usize,
    payers: Vec<u8>,
    /// On their way, and whether they are stored.
    travelling: Vec<(DedupId, bool)>,
    stored: Vec<(u8, usize)>,
}

impl Shard {
    fn new(policy: Policy) -> Self {
        let (planner, now) = settled(policy);
        Self {
            planner,
            now,
            offered: 0,
            payers: Vec::new(),
            travelling: Vec::new(),
            stored: Vec::new(),
        }
    }

    fn offer(&mut self, payer: u8, alone: bool) {
        let n = self.offered;
        let ticket = Ticket {
            alone,
            ..ticket(payer, n)
        };
        self.planner.offer(ticket, n, self.now).unwrap();
        self.payers.push(payer);
        self.offered += 1;
    }

    fn send(&mut self, sinks: bool) -> bool {
        let (ids, stores) = match self.planner.next_round() {
            None => return false,
            Some(Round::Plain(id)) => (vec![id], true),
            Some(Round::Batch(ids)) => (ids, !sinks),
        };
        for id in ids {
            if stores {
                let n = *self.planner.get_mut(id).unwrap();
                self.stored.push((self.payers[n], n));
            }
            self.travelling.push((id, stores));
        }
        true
    }

    fn settle(&mut self) {
        for (id, stores) in self.travelling.drain(..) {
            if stores {
                self.planner.finish(id).unwrap();
            } else {
                self.planner.send_again(id);
            }
        }
    }

    /// As a repeat does that is noticed; what is known of a payer then may be anything of it.
    fn suspect(&mut self, payer: u8) {
        let known = (0..self.offered)
            .find(|n| self.payers[*n] == payer && self.planner.get_mut(id(*n)).is_some());
        if let Some(n) = known {
            self.planner.suspect(id(n), self.now);
        }
    }
}
