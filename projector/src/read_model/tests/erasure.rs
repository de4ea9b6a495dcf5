//! Rows from which a tenant was erased are those of a log in which it never could be read.

use crate::apply::{Applied, Durability, Incoming, Outcome, apply};
use crate::store::Store;
use crate::testing::{Road, checkpoint, incoming, scope};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Actor, EventKey, TenantCreated, TenantErased};
use postroad_protocol::id::{CommandId, TenantId};
use postroad_protocol::tenancy::replay::StoredFor;
use proptest::prelude::*;

fn erased(sequence: u64, generation: u32, key_destroyed: bool) -> Incoming {
    let (by, id) = (
        Actor::System,
        CommandId::derived(&[&sequence.to_be_bytes()]),
    );
    let event = TenantErased {
        tenant: TenantId::parse("acme").unwrap(),
        generation,
        through_sequence: sequence - 1,
        key_destroyed,
        credentials: Vec::new(),
    };
    let record = Record {
        id,
        key: EventKey::of(&by, id),
        time: crate::testing::time(sequence),
        by,
        event: event.into(),
    };
    let stored_for = StoredFor::System;
    let outcome = Outcome::Event { stored_for, record };
    Incoming { sequence, outcome }
}

/// A busy tenant, of whom something was set aside for either reason.
fn busy(messages: usize) -> Road {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi"] {
        road.issue(name);
    }
    let mut sent = Vec::new();
    for number in 0..messages {
        let to = ["tau", "tau/pi", "broadcast", "tau,phi"][number % 4];
        sent.push(road.send("bob/mac", to, &format!("secret {number}")));
        if number % 3 == 0 {
            road.deliver("tau/pi", &sent[number..]);
            road.read("tau/pi", &sent[number..]);
        }
    }
    road.send("bob/mac", "never", "refused");
    let scope = Some(road.scope.clone());
    road.log.push(Incoming {
        sequence: road.end() + 1,
        outcome: Outcome::Undecodable {
            scope,
            reason: "unknown to this build".into(),
        },
    });
    road
}

/// What a rebuild meets where the keys of `acme` are gone.
fn unreadable(log: &[Incoming]) -> Vec<Incoming> {
    let acme = |scope: &postroad_protocol::tenancy::TenantScope| scope.tenant().as_str() == "acme";
    let is_gone = |outcome: &Outcome| match outcome {
        Outcome::Event {
            stored_for: StoredFor::Tenant(scope),
            ..
        } => acme(scope),
        Outcome::Undecodable { scope, .. } => scope.as_ref().is_some_and(acme),
        _ => false,
    };
    let outcome = |event: &Incoming| {
        if is_gone(&event.outcome) {
            Outcome::Erased
        } else {
            event.outcome.clone()
        }
    };
    let unread = log.iter().map(|event| Incoming {
        sequence: event.sequence,
        outcome: outcome(event),
    });
    unread.collect()
}

fn fold(log: &[Incoming], cuts: &[usize]) -> (Store, Applied) {
    let store = Store::in_memory();
    let mut all = Applied::default();
    let mut rest = log;
    for cut in cuts.iter().chain([&usize::MAX]) {
        let (batch, later) = rest.split_at((*cut).min(rest.len()));
        if let Some(last) = batch.last() {
            let applied = apply(
                &store,
                batch,
                checkpoint(last.sequence),
                Durability::Visible,
            );
            all.erased += applied.unwrap().erased;
        }
        rest = later;
    }
    (store, all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_rebuild_gives_the_same_rows_however_the_log_was_cut(
        messages in 0..60_usize,
        stragglers in 0..5_usize,
        cuts in proptest::collection::vec(1..40_usize, 0..6),
        other_cuts in proptest::collection::vec(1..40_usize, 0..6),
    ) {
        let mut road = busy(messages);
        // A neighbour whose name begins alike stays.
        let neighbour = scope("acme-two");
        let created = TenantCreated { tenant: neighbour.tenant().clone(), generation: 1 };
        let id = CommandId::derived(&[b"neighbour"]);
        let at = road.end() + 1;
        road.log.push(incoming(&neighbour, at, Actor::System, id, created.into()));
        let begun = erased(road.end() + 1, 1, false);
        road.log.push(begun);
        for _ in 0..stragglers {
            road.send("bob/mac", "tau", "late");
        }
        let end = erased(road.end() + 1, 1, true);
        road.log.push(end);
        let (store, applied) = fold(&road.log, &cuts);
        prop_assert_eq!(applied.erased, 1);
        prop_assert!(store.holds_deleted().unwrap());
        let (anew, _) = fold(&unreadable(&road.log), &other_cuts);
        prop_assert_eq!(store.dump().unwrap(), anew.dump().unwrap());
        prop_assert!(!anew.holds_deleted().unwrap());
        prop_assert_eq!(store.quarantined().unwrap(), 0);
        let rows = store.dump().unwrap();
        prop_assert!(!rows.iter().any(|(_, key, _)| key.starts_with(b"acme\0")));
        prop_assert!(rows.iter().any(|(_, key, _)| key.starts_with(b"acme-two\0")));
    }
}

#[test]
fn who_bears_the_name_next_has_rows_of_its_own() {
    let mut road = busy(10);
    road.log.push(erased(road.end() + 1, 1, true));
    let (store, _) = fold(&road.log, &[]);
    let created = TenantCreated {
        tenant: road.scope.tenant().clone(),
        generation: 2,
    };
    let at = road.end() + 1;
    let id = CommandId::derived(&[b"again"]);
    let event = incoming(&road.scope, at, Actor::System, id, created.into());
    let applied = apply(&store, &[event], checkpoint(at), Durability::Visible).unwrap();
    assert_eq!((applied.folded, applied.quarantined), (1, 0));
    let snapshot = store.snapshot().unwrap();
    let tenant = snapshot.tenant(&road.scope).tenant(0).unwrap().unwrap();
    assert_eq!(
        (tenant.generation, tenant.roles, tenant.messages),
        (2, 0, 0)
    );
}
