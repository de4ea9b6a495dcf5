//! Every event takes effect once, however often and in whatever pieces the log is applied.

use crate::apply::{Applied, ApplyError, Durability, Incoming, Outcome, Touched, apply};
use crate::checkpoint::Checkpoint;
use crate::read_model::meta::EventTypes;
use crate::store::{PageOf, Store, StoreError};
use crate::testing::{Road, checkpoint, fold_one_by_one, incoming, reader, role, scope};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    Actor, DamageAccepted, Event, EventKey, ReaderRegistered, TenantCreated,
};
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::subject::Subjects;
use postroad_protocol::tenancy::{Admission, replay::StoredFor};

fn town() -> Road {
    let mut road = Road::new();
    for name in ["bob/mac", "tau/pi", "tau/laptop", "phi"] {
        road.issue(name);
    }
    road
}

fn at(sequence: u64, outcome: Outcome) -> Incoming {
    Incoming { sequence, outcome }
}

fn apply_all(store: &Store, batch: &[Incoming], end: u64) -> Result<Applied, ApplyError> {
    apply(store, batch, checkpoint(end), Durability::Visible)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process that would own the door is not part of this test"
)]
fn door() -> Admission {
    Admission::new(Subjects::default())
}

#[test]
fn a_batch_names_each_inbox_it_touched_once() {
    let mut road = town();
    for _ in 0..3 {
        road.send("bob/mac", "tau,phi", "hello");
        road.send("bob/mac", "tau/pi", "hello");
        road.send("bob/mac", "broadcast", "hello");
    }
    let store = Store::in_memory();
    let applied = apply_all(&store, &road.log, road.end()).unwrap();
    let acme = || road.scope.tenant().clone();
    let expected = [
        Touched::Role(acme(), role("tau")),
        Touched::Role(acme(), role("phi")),
        Touched::Instance(acme(), reader("tau/pi")),
        Touched::Broadcast(acme()),
    ];
    assert_eq!(applied.touched, expected);
    assert_eq!(applied.folded, road.end());
    let again = apply_all(&store, &road.log, road.end()).unwrap();
    assert_eq!(again, Applied::default());
}

#[test]
fn an_event_that_was_stored_twice_is_folded_once() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau", "hello");
    let rows = |road: &Road| {
        let rows = road.store.dump().unwrap();
        let of_tenant = rows.into_iter().filter(|(table, ..)| *table != "meta");
        of_tenant.collect::<Vec<_>>()
    };
    let before = rows(&road);
    let again = road.send_as("bob/mac", "tau", "hello", hello);
    assert_eq!((again.repeated, again.touched.len()), (1, 0));
    assert_eq!(rows(&road), before);
    assert_eq!(road.check("tau/pi"), ["hello"]);
}

#[test]
fn another_event_under_the_same_key_is_set_aside() {
    let mut road = town();
    let hello = road.send("bob/mac", "tau", "hello");
    let other = road.send_as("bob/mac", "tau", "other", hello);
    assert_eq!(other.quarantined, 1);
    assert_eq!(road.check("tau/pi"), ["hello"]);
    let snapshot = road.snapshot();
    let found = snapshot.tenant(&road.scope).event_sequence(road.key(hello));
    assert_eq!(found.unwrap(), Some(6));
    // Another sender's message with the same id is another event.
    assert_eq!(road.send_as("tau/pi", "bob", "mine", hello).folded, 1);
}

#[test]
fn what_a_broker_adds_from_its_clock_makes_no_other_event() {
    let mut road = town();
    let id = CommandId::generate();
    let issued = |expires_at| postroad_protocol::event::CredentialIssued {
        role: role("tau"),
        instance: None,
        scopes: Vec::new(),
        public_key: "U1".into(),
        expires_at: TimeMs(expires_at),
        token: false,
    };
    assert_eq!(road.put_as(Actor::System, id, issued(1)).folded, 1);
    assert_eq!(road.put_as(Actor::System, id, issued(2)).repeated, 1);
}

#[test]
fn a_refused_event_changes_nothing_and_is_seen_by_count_and_list() {
    let mut road = town();
    let before = road.check("tau/pi");
    let lost = road.send("bob/mac", "tau,never", "hello");
    assert_eq!(road.check("tau/pi"), before);
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    assert!(!rows.visible(&reader("bob/mac"), lost).unwrap());
    assert_eq!(rows.event_sequence(road.key(lost)).unwrap(), Some(6));
    assert_eq!(road.store.quarantined().unwrap(), 1);
    let admission = door();
    let admit = |subject, inbox| {
        let kind = postroad_protocol::subject::RequestKind::Query;
        let admitted = admission.admit(kind, subject, Some(inbox), None);
        admitted.unwrap().context
    };
    let operator = admit(
        "postroad._all.qry._operator.cli.admin.status",
        "_INBOX._all._operator.cli.x",
    );
    let page = PageOf {
        limit: 10,
        after: None,
    };
    let listed = snapshot.operator(&operator).unwrap().quarantine(page);
    let listed = listed.unwrap().rows;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].owner.as_str(), listed[0].sequence), ("acme", 6));
    assert!(listed[0].reason.contains("never"), "{listed:?}");
    let agent = admit(
        "postroad.acme.qry.tau.pi.self.whoami",
        "_INBOX.acme.tau.pi.x",
    );
    assert!(snapshot.operator(&agent).is_err());
}

#[test]
fn erased_and_undecodable_events_keep_their_numbers() {
    let mut road = town();
    let end = road.end();
    let undecodable = |scope| Outcome::Undecodable {
        scope,
        reason: "of a later build".into(),
    };
    let batch = [
        at(end + 1, Outcome::Erased),
        at(end + 2, undecodable(Some(road.scope.clone()))),
        at(end + 3, undecodable(None)),
    ];
    let applied = apply_all(&road.store, &batch, end + 3).unwrap();
    assert_eq!((applied.folded, applied.quarantined), (0, 2));
    let stands = road.snapshot().checkpoint().unwrap().unwrap();
    assert_eq!(stands.sequence, end + 3);
    road.log.extend(batch);
    road.send("bob/mac", "tau", "after");
    assert_eq!(road.check("tau/pi"), ["after"]);
}

#[test]
fn events_of_the_wrong_owner_are_set_aside() {
    let mut road = town();
    let tenant = scope("globex").tenant().clone();
    let created = |generation| TenantCreated {
        tenant: road.scope.tenant().clone(),
        generation,
    };
    let again = created(2);
    let foreign = TenantCreated {
        tenant,
        generation: 1,
    };
    assert_eq!(road.put(Actor::System, foreign).quarantined, 1);
    assert_eq!(road.put(Actor::System, again).quarantined, 1);
    let damage = DamageAccepted {
        ranges: vec![(1, 2)],
    };
    assert_eq!(road.put(Actor::System, damage).quarantined, 1);
    assert_eq!(road.snapshot().accepted_damage().unwrap(), []);
}

#[test]
fn accepted_damage_is_the_shards_own() {
    let store = Store::in_memory();
    let id = CommandId::generate();
    let key = EventKey::of(&Actor::System, id);
    let record = |ranges: &[(u64, u64)]| Record {
        id,
        key,
        time: TimeMs(1),
        by: Actor::System,
        event: DamageAccepted {
            ranges: ranges.to_vec(),
        }
        .into(),
    };
    let stored_for = StoredFor::System;
    let event = |record| Outcome::Event {
        stored_for: stored_for.clone(),
        record,
    };
    let batch = [
        at(3, event(record(&[(1, 2)]))),
        at(4, event(record(&[(1, 2)]))),
    ];
    let applied = apply_all(&store, &batch, 4).unwrap();
    assert_eq!((applied.folded, applied.repeated), (1, 1));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.accepted_damage().unwrap(), [(1, 2)]);
    assert_eq!(snapshot.system_event_sequence(key).unwrap(), Some(3));
}

#[test]
fn a_batch_out_of_order_or_of_another_log_is_refused_whole() {
    let road = town();
    let store = Store::in_memory();
    let mut backwards = road.log.clone();
    backwards.swap(1, 2);
    let refused = apply_all(&store, &backwards, road.end());
    assert!(matches!(refused, Err(ApplyError::OutOfOrder { .. })));
    let refused = apply_all(&store, &road.log, road.end() - 1);
    assert!(matches!(refused, Err(ApplyError::OutOfOrder { .. })));
    assert_eq!(store.snapshot().unwrap().checkpoint().unwrap(), None);
    fold_one_by_one(&store, &road.log);
    let other = Checkpoint {
        epoch: 8,
        ..checkpoint(road.end())
    };
    let refused = apply(&store, &road.log, other, Durability::Visible);
    assert!(matches!(
        refused,
        Err(ApplyError::OtherLog { rows: 7, log: 8 })
    ));
}

#[test]
fn a_snapshot_stays_at_its_moment() {
    let mut road = town();
    let snapshot = road.snapshot();
    road.send("bob/mac", "tau", "hello");
    let rows = snapshot.tenant(&road.scope);
    assert_eq!(rows.unread(&reader("tau/pi")).unwrap().total(), 0);
    assert_eq!(snapshot.checkpoint().unwrap(), Some(checkpoint(5)));
    assert_eq!(road.snapshot().checkpoint().unwrap(), Some(checkpoint(6)));
}

#[test]
fn rows_survive_a_restart_and_those_of_another_layout_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard-0.redb");
    let road = town();
    let store = Store::open(&path, 1024 * 1024).unwrap();
    apply(
        &store,
        &road.log,
        checkpoint(road.end()),
        Durability::Visible,
    )
    .unwrap();
    // An empty batch makes what was only visible durable.
    apply(&store, &[], checkpoint(road.end()), Durability::Durable).unwrap();
    let dump = store.dump().unwrap();
    assert!(matches!(
        Store::open(&path, 1024 * 1024),
        Err(StoreError::InUse)
    ));
    drop(store);
    let store = Store::open(&path, 1024 * 1024).unwrap();
    assert_eq!(store.dump().unwrap(), dump);
    drop(store);
    let other = redb::Database::open(&path).unwrap();
    let transaction = other.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let version = rmp_serde::to_vec(&99_u32).unwrap();
    let mut table = transaction.open_table(meta).unwrap();
    table.insert("schema", version.as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(other);
    assert!(matches!(
        Store::open(&path, 1024 * 1024),
        Err(StoreError::OtherSchema { found: 99 })
    ));
}

#[test]
fn a_file_that_is_not_what_was_written_calls_for_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard-0.redb");
    for bytes in [b"not rows at all".repeat(1_000), vec![0; 8_192]] {
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(&path, 1024 * 1024).unwrap_err();
        assert!(error.calls_for_rebuild(), "{error:?}");
    }
    // A full disk or a file in use is no reason to throw rows away.
    std::fs::remove_file(&path).unwrap();
    let store = Store::open(&path, 1024 * 1024).unwrap();
    let in_use = Store::open(&path, 1024 * 1024).unwrap_err();
    assert!(!in_use.calls_for_rebuild() && !in_use.is_lasting());
    drop(store);
    // An open file that failed once is of no use any more; a full one may do after a restart.
    let failed = StoreError::from(redb::Error::PreviousIo);
    assert!(failed.is_lasting() && !failed.calls_for_rebuild());
}

#[test]
fn events_that_an_older_build_set_aside_are_folded_by_one_that_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard-0.redb");
    let older = EventTypes::of(&Event::TYPES[..2]);
    let open = |known| Store::open_knowing(&path, 1024 * 1024, known);
    let put = |store: &Store, sequence, outcome| {
        let batch = [Incoming { sequence, outcome }];
        apply(store, &batch, checkpoint(sequence), Durability::Durable).unwrap();
    };
    let refused = || {
        // A reader of a role that was never on the roster.
        let event = ReaderRegistered {
            reader: reader("phi/x"),
        };
        let id = CommandId::generate();
        incoming(&scope("acme"), 1, Actor::System, id, event.into()).outcome
    };
    // What the fold refuses, every build refuses: nothing is folded anew for it.
    let store = open(older).unwrap();
    put(&store, 1, refused());
    assert_eq!(store.quarantined().unwrap(), 1);
    drop(store);
    let store = open(EventTypes::known()).unwrap();
    assert_eq!(store.quarantined().unwrap(), 1);
    let unknown = Outcome::Undecodable {
        scope: None,
        reason: "unknown to this build: dream v1".into(),
    };
    put(&store, 2, unknown);
    drop(store);
    // The build that did not know it still does not; the next one does, and folds it.
    drop(open(EventTypes::known()).unwrap());
    let newer = [Event::TYPES, &[("dream", 1)]].concat();
    let error = open(EventTypes::of(&newer)).unwrap_err();
    assert!(error.calls_for_rebuild(), "{error:?}");
}
