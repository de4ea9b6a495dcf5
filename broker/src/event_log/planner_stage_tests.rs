//! Batches whose members go ahead of their commit.

use super::*;

#[test]
fn the_next_batch_is_staged_behind_the_one_on_its_way_and_leaves_room() {
    let mut planner = filled(Policy::Batching, 20);
    let Some(Round::Batch(first)) = planner.next_round() else {
        panic!("a batch is due")
    };
    let offer = |planner: &mut Planner<u8, usize>, payer, range: std::ops::Range<usize>| {
        for n in range {
            planner.offer(ticket(payer, n), n, Instant::now()).unwrap();
        }
    };
    offer(&mut planner, 0, 20..25);
    assert!(planner.stage().is_empty(), "so few are not worth a batch");
    offer(&mut planner, 0, 25..1_900);
    assert_eq!(planner.stage().len(), STAGED_MAX_EVENTS);
    assert_eq!(planner.stage().len(), STAGED_MAX_EVENTS, "it is full");
    offer(&mut planner, 1, 2_000..2_005);
    assert_eq!(planner.gathered(), 1_885);
    assert_eq!(planner.next_round(), None, "one commit at a time");
    for member in first {
        planner.finish(member);
    }
    let Some(Round::Batch(second)) = planner.next_round() else {
        panic!("the next batch is due")
    };
    assert_eq!(second.len(), limits::BATCH_MAX_EVENTS);
    assert!(second.starts_with(&(20..30).map(id).collect::<Vec<_>>()));
    let late = (2_000..2_005).filter(|n| second.contains(&id(*n))).count();
    assert_eq!(late, 5, "whoever came late has a turn in it");
}

#[test]
fn a_staged_batch_that_is_given_up_goes_in_its_old_order() {
    let mut planner = filled(Policy::Batching, 20);
    let Some(Round::Batch(first)) = planner.next_round() else {
        panic!("a batch is due")
    };
    for n in 20..60 {
        planner.offer(ticket(0, n), n, Instant::now()).unwrap();
    }
    assert_eq!(planner.stage().len(), 40);
    planner.offer(ticket(0, 60), 60, Instant::now()).unwrap();
    planner.unstage();
    assert_eq!(planner.next_round(), None);
    for member in first {
        planner.finish(member);
    }
    let expected: Vec<_> = (20..61).map(id).collect();
    assert_eq!(planner.next_round(), Some(Round::Batch(expected)));
}
