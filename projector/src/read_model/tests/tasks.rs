//! Tasks and missions, told as events and what is read after them.

use crate::apply::{Applied, Durability, Incoming, Outcome, apply};
use crate::read_model::keys::Prefix;
use crate::read_model::table::Table;
use crate::read_model::tasks::read::TasksWanted;
use crate::store::{DumpedRow, Room};
use crate::testing::{Road, checkpoint, incoming, reader, role, scope, time};
use postroad_protocol::channel::Channel;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    Actor, Asked, EventKey, MessageSent, MissionChange, MissionChanged, TaskChange, TaskChanged,
    TenantErased,
};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::service::{Finding, TaskStanding, task_ready_id};
use postroad_protocol::task::{
    Assignee, Claim, Lease, MissionId, MissionState, MissionStatus, Project, TaskId, TaskPriority,
    TaskState, TaskStatus,
};
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::tenancy::replay::StoredFor;
use std::collections::BTreeMap;

pub(super) fn task_id(number: u64) -> TaskId {
    let id = CommandId::derived(&[b"task", &number.to_be_bytes()]);
    TaskId::from_bytes(*id.as_bytes())
}

/// A task that nobody is named for and that waits for nothing.
pub(super) fn todo() -> TaskState {
    TaskState {
        version: 1,
        title: "Pave".into(),
        description: String::new(),
        project: Project::Studio,
        priority: TaskPriority::Medium,
        status: TaskStatus::Todo,
        assigned_to: None,
        claim: None,
        depends_on: Vec::new(),
        mission: None,
        tags: Vec::new(),
        due_at: None,
        notes: Vec::new(),
        created_by: Actor::Agent(reader("bob/mac")),
        created_at: TimeMs(1),
        ended_at: None,
    }
}

pub(super) fn given_to(name: &str) -> Assignee {
    let instance = None;
    let role = role(name);
    Assignee { role, instance }
}

pub(super) fn changed(task: u64, state: TaskState) -> TaskChanged {
    TaskChanged {
        task_id: task_id(task),
        change: TaskChange::Updated,
        asked: Asked::of(&state.version),
        state,
    }
}

pub(super) fn put(road: &mut Road, task: u64, state: TaskState) -> Applied {
    let applied = road.put(Actor::Agent(reader("bob/mac")), changed(task, state));
    assert_eq!((applied.folded, applied.quarantined), (1, 0));
    applied
}

pub(super) fn after(tasks: &[u64]) -> TaskState {
    TaskState {
        depends_on: tasks.iter().copied().map(task_id).collect(),
        assigned_to: Some(given_to("tau")),
        ..todo()
    }
}

fn ended(status: TaskStatus) -> TaskState {
    TaskState { status, ..todo() }
}

fn under_lease(version: u64, until: u64) -> TaskState {
    let until = TimeMs(until);
    let claim = Claim {
        by: reader("tau/pi"),
        at: TimeMs(2),
        lease: Some(Lease { ms: 5, until }),
    };
    TaskState {
        version,
        status: TaskStatus::InProgress,
        claim: Some(claim),
        ..todo()
    }
}

/// Whether the task is ready, and what it waits for.
pub(super) fn waits(road: &Road, task: u64) -> (bool, Vec<TaskId>) {
    let snapshot = road.snapshot();
    let task = snapshot.tenant(&road.scope).task(task_id(task)).unwrap();
    let task = task.unwrap();
    (task.ready, task.waiting_on)
}

/// The tasks for which a message is owed, and where its cause is stored.
fn owed(road: &Road) -> Vec<(TaskId, EventKey, u64)> {
    let owed = road.snapshot().owed_by(&Prefix::of(&road.scope), 10);
    let owed = owed.unwrap().into_iter();
    owed.map(|owed| (owed.task, owed.cause, owed.sequence))
        .collect()
}

fn last_key(road: &Road) -> EventKey {
    match &road.log.last().unwrap().outcome {
        Outcome::Event { record, .. } => record.key,
        other => panic!("{other:?}"),
    }
}

fn tell(road: &mut Road, by: Actor, from: Reader, task: u64, cause: EventKey) -> Applied {
    let sent = MessageSent {
        from,
        channel: Channel::parse("tau").unwrap(),
        instance: None,
        content: "Task ready".into(),
        reply_to: None,
        priority: TaskPriority::Medium.of_message(),
        metadata: BTreeMap::from([("taskId".to_owned(), task_id(task).to_string())]),
    };
    let applied = road.put_as(by, task_ready_id(task_id(task), cause), sent);
    assert_eq!(applied.quarantined, 0);
    applied
}

#[test]
fn a_task_is_ready_when_the_last_that_it_waits_for_is_done_and_whose_it_is_is_told_once() {
    let mut road = Road::new();
    road.issue("tau/pi");
    for first in [1, 2] {
        put(&mut road, first, todo());
    }
    assert!(put(&mut road, 3, after(&[1, 2])).stirred.is_empty());
    assert_eq!(waits(&road, 3), (false, vec![task_id(1), task_id(2)]));
    put(&mut road, 2, ended(TaskStatus::Done));
    // What came to nothing is not done: the one that waits for it goes on waiting.
    put(&mut road, 1, ended(TaskStatus::Failed));
    assert_eq!(waits(&road, 3), (false, vec![task_id(1)]));
    assert_eq!(owed(&road), []);
    let applied = put(&mut road, 1, ended(TaskStatus::Done));
    assert!(applied.stirred.contains(&Prefix::of(&road.scope)));
    assert_eq!(waits(&road, 3), (true, vec![]));
    let (cause, sequence) = (last_key(&road), road.end());
    assert_eq!(owed(&road), [(task_id(3), cause, sequence)]);

    // Another's word for it, or word of another cause, changes nothing.
    let by = Actor::Agent(reader("tau/pi"));
    tell(&mut road, by, Reader::postroad(), 3, cause);
    let other = EventKey::from_bytes([9; 16]);
    tell(&mut road, Actor::System, Reader::postroad(), 3, other);
    assert_eq!(owed(&road).len(), 1);
    let applied = tell(&mut road, Actor::System, Reader::postroad(), 3, cause);
    assert_eq!(applied.stirred.len(), 1);
    assert_eq!(owed(&road), []);
    assert_eq!(road.snapshot().owners_with_reactions().unwrap(), []);
    // A later change of it owes nothing anew.
    put(&mut road, 3, after(&[1, 2]));
    assert_eq!(owed(&road), []);
}

#[test]
fn nothing_is_owed_for_a_task_that_is_under_way_nobodys_or_waits_again() {
    let claimed = TaskState {
        status: TaskStatus::InProgress,
        ..after(&[1])
    };
    let nobodys = TaskState {
        assigned_to: None,
        ..after(&[1])
    };
    let blocked = TaskState {
        status: TaskStatus::Blocked,
        ..after(&[1])
    };
    for (next, stays) in [
        (claimed, false),
        (nobodys, false),
        (blocked, true),
        (after(&[1, 9]), false),
        (after(&[]), true),
    ] {
        let mut road = Road::new();
        road.issue("tau/pi");
        put(&mut road, 1, todo());
        put(&mut road, 2, after(&[1]));
        put(&mut road, 1, ended(TaskStatus::Done));
        assert_eq!(owed(&road).len(), 1);
        put(&mut road, 2, next.clone());
        assert_eq!(!owed(&road).is_empty(), stays, "{next:?}");
    }
    // Taking the last dependency away completes nothing, and a role of no roster cannot be sent to.
    let mut road = Road::new();
    put(&mut road, 1, todo());
    put(&mut road, 3, after(&[1]));
    put(&mut road, 1, ended(TaskStatus::Done));
    assert_eq!((waits(&road, 3), owed(&road)), ((true, vec![]), vec![]));
    road.issue("tau/pi");
    put(&mut road, 2, after(&[9]));
    put(&mut road, 2, after(&[]));
    assert_eq!((waits(&road, 2), owed(&road)), ((true, vec![]), vec![]));
}

#[test]
fn two_edits_at_once_cannot_lock_each_other() {
    let mut road = Road::new();
    put(&mut road, 1, todo());
    put(&mut road, 2, after(&[1]));
    put(&mut road, 3, after(&[2]));
    // Decided before the others were known: it would wait for itself.
    put(&mut road, 1, after(&[3, 4]));
    assert_eq!(waits(&road, 1), (false, vec![task_id(4)]));
    // It stays left out while it is named, and counts when it is named anew and closes no circle any more.
    put(&mut road, 2, after(&[]));
    put(&mut road, 1, after(&[3]));
    assert_eq!(waits(&road, 1), (true, vec![]));
    put(&mut road, 1, after(&[]));
    put(&mut road, 1, after(&[3, 1]));
    assert_eq!(waits(&road, 1), (false, vec![task_id(3)]));
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let named = [1, 2, 3].map(task_id);
    let found = rows.task_standings(Some(task_id(3)), &named).unwrap();
    let standing = |dependents, is_behind| {
        let status = TaskStatus::Todo;
        Some(TaskStanding {
            status,
            dependents,
            is_behind,
        })
    };
    let expected = Finding::Tasks {
        counted: vec![task_id(2)],
        named: vec![standing(0, true), standing(1, false), standing(1, true)],
    };
    assert_eq!(found, expected);
}

fn flush(road: &mut Road) {
    let end = checkpoint(road.end());
    apply(&road.store, &road.log, end, Durability::Visible).unwrap();
}

#[test]
fn a_lease_stands_under_its_end_while_somebody_works_under_it() {
    let mut road = Road::new();
    let owner = Prefix::of(&road.scope);
    let leases = |road: &Road| {
        let leases = road.snapshot().leases_of(&owner, 2).unwrap().into_iter();
        leases
            .map(|lease| (lease.until.0, lease.version, lease.sequence))
            .collect::<Vec<_>>()
    };
    assert_eq!(put(&mut road, 1, under_lease(2, 70)).stirred.len(), 1);
    put(&mut road, 2, under_lease(2, 50));
    put(&mut road, 3, under_lease(2, 60));
    assert_eq!(leases(&road), [(50, 2, 3), (60, 2, 4)]);
    put(&mut road, 2, under_lease(3, 90));
    assert_eq!(leases(&road), [(60, 2, 4), (70, 2, 2)]);
    assert_eq!(put(&mut road, 3, todo()).stirred.len(), 1);
    assert!(
        put(&mut road, 3, ended(TaskStatus::Done))
            .stirred
            .is_empty()
    );
    assert_eq!(leases(&road), [(70, 2, 2), (90, 3, 5)]);
    assert_eq!(
        road.snapshot().owners_with_reactions().unwrap(),
        std::slice::from_ref(&owner)
    );
}

#[test]
fn a_page_goes_on_where_it_ended_though_it_shows_nothing() {
    let mut road = Road::new();
    put(&mut road, 1, todo());
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let all = TasksWanted::default();
    // Pages over tenants share their room: another's tasks have taken it.
    let ended = rows.tasks(&all, None, &mut Room::of(0)).unwrap();
    assert_eq!(ended.tasks.len(), 0);
    let page = rows.tasks(&all, ended.next, &mut Room::of(1)).unwrap();
    assert_eq!((page.tasks.len(), page.next), (1, None));
}

#[test]
fn a_description_that_was_taken_back_is_not_kept() {
    let mut road = Road::new();
    let described = TaskState {
        description: "secret".into(),
        ..todo()
    };
    let texts = |road: &Road| {
        let rows = road.store.dump().unwrap();
        rows.iter().filter(|row| row.0 == "task_texts").count()
    };
    put(&mut road, 1, described);
    assert_eq!(texts(&road), 1);
    put(&mut road, 1, todo());
    assert_eq!(texts(&road), 0);
    let snapshot = road.snapshot();
    let task = snapshot.tenant(&road.scope).task(task_id(1)).unwrap();
    assert_eq!(task.unwrap().description, None);
}

#[test]
fn progress_is_counted_whether_or_not_the_mission_is_known_yet() {
    let mission = MissionId::from_bytes([5; 16]);
    let of = |status| TaskState {
        mission: Some(mission),
        ..ended(status)
    };
    let mut road = Road::new();
    for (task, status) in TaskStatus::ALL.iter().enumerate() {
        put(&mut road, task as u64, of(*status));
    }
    let state = MissionState {
        version: 1,
        title: "The road north".into(),
        brief: "By winter".into(),
        pilot: None,
        agents: Vec::new(),
        project: Project::Studio,
        priority: TaskPriority::High,
        status: MissionStatus::Execute,
        starts_at: None,
        due_at: None,
        created_by: Actor::System,
        created_at: TimeMs(1),
        ended_at: None,
    };
    let snapshot = road.snapshot();
    assert!(!snapshot.tenant(&road.scope).has_mission(mission).unwrap());
    let event = MissionChanged {
        mission_id: mission,
        change: MissionChange::Created,
        asked: Asked::of(&1),
        state,
    };
    assert_eq!(road.put(Actor::System, event).folded, 1);
    let snapshot = road.snapshot();
    let shown = snapshot.tenant(&road.scope).mission(mission).unwrap();
    let shown = shown.unwrap();
    // One of six that are wanted.
    assert_eq!((shown.progress.total, shown.progress.percent), (7, 16));
    assert_eq!(shown.project, "studio/acme");
    assert_eq!(shown.created_by, "_postroad");
}

#[test]
fn what_postroad_itself_sends_reads_back_and_makes_no_agent_of_it() {
    let mut road = Road::new();
    road.issue("tau/pi");
    let cause = EventKey::from_bytes([9; 16]);
    tell(&mut road, Actor::System, Reader::postroad(), 1, cause);
    assert_eq!(road.check("tau/pi"), ["Task ready"]);
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let page = rows.check(&reader("tau/pi"), 1, None, usize::MAX).unwrap();
    assert_eq!(page.messages[0].from, Reader::postroad().role);
    let tenant = rows.tenant(0).unwrap().unwrap();
    assert_eq!((tenant.roles, tenant.readers, tenant.messages), (1, 1, 1));
    let status = road.status(task_ready_id(task_id(1), cause));
    assert_eq!(status, ["tau/pi"]);
    let rows = road.store.dump().unwrap();
    let of_readers = |row: &&DumpedRow| row.0 == "readers" || row.0 == "roles";
    let is_postroads = |row: &DumpedRow| row.1.starts_with(b"acme\0_postroad");
    assert!(!rows.iter().filter(of_readers).any(is_postroads));
}

/// Events after which a tenant has a row in every table of tasks.
fn busy(from: u64) -> impl Iterator<Item = (CommandId, TaskChanged)> {
    let whole = TaskState {
        mission: Some(MissionId::from_bytes([5; 16])),
        description: "at length".into(),
        due_at: Some(TimeMs(4)),
        ..after(&[2])
    };
    let states = [whole, todo(), under_lease(1, 9), ended(TaskStatus::Done)];
    let events = [1, 2, 3, 2].into_iter().zip(states);
    (from..).zip(events).map(|(at, (task, state))| {
        let id = CommandId::derived(&[b"busy", &at.to_be_bytes()]);
        (id, changed(task, state))
    })
}

fn erase(road: &mut Road, tenant: &TenantScope) {
    let sequence = road.end() + 1;
    let erased = TenantErased {
        tenant: tenant.tenant().clone(),
        generation: 1,
        through_sequence: sequence - 1,
        key_destroyed: true,
        credentials: Vec::new(),
    };
    let (by, id) = (Actor::System, CommandId::derived(&[b"erase"]));
    let record = Record {
        id,
        key: EventKey::of(&by, id),
        time: time(sequence),
        by,
        event: erased.into(),
    };
    let stored_for = StoredFor::System;
    let outcome = Outcome::Event { stored_for, record };
    road.log.push(Incoming { sequence, outcome });
    flush(road);
}

#[test]
fn an_erased_tenants_tasks_are_gone_and_its_neighbours_stay() {
    let mut road = Road::new();
    road.issue("tau/pi");
    for (id, event) in busy(1) {
        road.put_as(Actor::System, id, event);
    }
    let before = road.store.dump().unwrap();
    let tables = Table::ALL.into_iter().map(Table::name);
    let of_tasks = tables.filter(|name| name.starts_with("task") || *name == "mission_progress");
    for table in of_tasks {
        assert!(before.iter().any(|row| row.0 == table), "{table}");
    }
    let neighbour = scope("acme-two");
    for (id, event) in busy(1) {
        let at = road.end() + 1;
        let event = incoming(&neighbour, at, Actor::System, id, event.into());
        road.log.push(event);
    }
    flush(&mut road);
    let listed = |scope| {
        let snapshot = road.snapshot();
        let room = &mut Room::of(9);
        let page = snapshot
            .tenant(scope)
            .tasks(&TasksWanted::default(), None, room);
        page.unwrap().tasks.len()
    };
    assert_eq!((listed(&road.scope), listed(&neighbour)), (3, 3));
    assert_eq!(road.snapshot().owners_with_reactions().unwrap().len(), 2);
    erase(&mut road, &neighbour);
    let rows = road.store.dump().unwrap();
    let of = |rows: &[DumpedRow], owner: &[u8]| {
        let its = rows.iter().filter(|row| row.1.starts_with(owner));
        its.cloned().collect::<Vec<_>>()
    };
    assert_eq!(of(&rows, b"acme-two\0"), []);
    assert_eq!(of(&rows, b"acme\0"), of(&before, b"acme\0"));
}
