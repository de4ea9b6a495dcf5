//! What lists of tasks and counts of them cost, in rows read: what they return, however many tasks there are.

use super::tasks::{after, changed, given_to, put, task_id, todo, waits};
use crate::apply::{Durability, apply};
use crate::read_model::tasks::missions::MissionsWanted;
use crate::read_model::tasks::read::TasksWanted;
use crate::store::Room;
use crate::testing::{Road, checkpoint, incoming, reader, role, time};
use postroad_protocol::event::{Actor, Asked, MissionChange, MissionChanged};
use postroad_protocol::id::{CommandId, ProjectName, TimeMs};
use postroad_protocol::limits::{DUE_COUNTED_MAX, TASK_WALK_MAX};
use postroad_protocol::query::TaskCounts;
use postroad_protocol::service::Finding;
use postroad_protocol::task::{
    Assignee, Claim, MissionId, MissionState, MissionStatus, Project, TaskPriority, TaskState,
    TaskStatus,
};

/// As many tasks as the road is to have.
const FEW: u64 = 10;
const MANY: u64 = 20_000;

fn fold(road: &mut Road, tasks: impl Iterator<Item = (u64, TaskState)>) {
    for (task, state) in tasks {
        let at = road.end() + 1;
        let by = Actor::Agent(reader("bob/mac"));
        let id = CommandId::derived(&[b"folded", &at.to_be_bytes()]);
        let event = changed(task, state).into();
        road.log.push(incoming(&road.scope, at, by, id, event));
    }
    for part in road.log.chunks(8_192) {
        let end = part.last().map_or(0, |last| last.sequence);
        apply(&road.store, part, checkpoint(end), Durability::Visible).unwrap();
    }
}

fn land() -> Project {
    Project::Named(ProjectName::parse("land").unwrap())
}

fn done(task: u64) -> (u64, TaskState) {
    let state = TaskState {
        status: TaskStatus::Done,
        assigned_to: Some(given_to("tau")),
        project: land(),
        title: task.to_string(),
        ..todo()
    };
    (task, state)
}

/// How many tasks of `wanted` are in the first page of ten, and the rows read for them.
fn listed(road: &Road, wanted: &TasksWanted) -> (usize, u64) {
    let snapshot = road.snapshot();
    let page = snapshot
        .tenant(&road.scope)
        .tasks(wanted, None, &mut Room::of(10));
    (page.unwrap().tasks.len(), snapshot.rows_read())
}

fn of_tau() -> TasksWanted {
    TasksWanted {
        assigned_to: Some(given_to("tau")),
        ..TasksWanted::default()
    }
}

fn open_of_tau() -> TasksWanted {
    use TaskStatus::{Blocked, InProgress, Review, Todo};
    TasksWanted {
        statuses: vec![Todo, InProgress, Review, Blocked],
        ..of_tau()
    }
}

#[test]
fn a_list_costs_what_it_returns_however_many_tasks_there_are() {
    let mut costs = Vec::new();
    for count in [FEW, MANY] {
        let mut road = Road::new();
        fold(&mut road, (0..count).map(done));
        let (shown, cost) = listed(&road, &TasksWanted::default());
        assert_eq!(shown, 10);
        // A place and a task each, one more to know of the next page, and blocks.
        assert!(cost <= 11 * 2 + 8, "{cost} rows of {count}");
        costs.push(cost);
        assert_eq!(listed(&road, &open_of_tau()).0, 0);
        let none = TasksWanted {
            ready: true,
            ..of_tau()
        };
        let (shown, cost) = listed(&road, &none);
        assert_eq!(shown, 0);
        assert!(cost <= 10, "{cost} rows for none of {count}");
    }
    assert!(costs[1] <= costs[0] + 8, "{costs:?}");
}

#[test]
fn few_of_many_cost_blocks_of_the_sparsest_set() {
    let mut road = Road::new();
    fold(&mut road, (0..MANY).map(done));
    let todo = |task: u64, priority| {
        let project = if task.is_multiple_of(2) {
            land()
        } else {
            Project::Studio
        };
        let (title, assigned_to) = (task.to_string(), Some(given_to("tau")));
        let state = TaskState {
            priority,
            project,
            title,
            assigned_to,
            ..todo()
        };
        (task, state)
    };
    // Five of them were done at the beginning and are to be done again, whatever brokers would say to that.
    let again = (0..5).map(|task| todo(task * 1_000, TaskPriority::Low));
    fold(&mut road, again);
    let new = (MANY..MANY + 5).map(|task| todo(task, TaskPriority::High));
    fold(&mut road, new);
    let ready = TasksWanted {
        ready: true,
        ..TasksWanted::default()
    };
    let of_land = TasksWanted {
        project: Some(land()),
        ..open_of_tau()
    };
    for (wanted, found, blocks) in [(open_of_tau(), 10, 20), (ready, 10, 12), (of_land, 8, 24)] {
        let (shown, cost) = listed(&road, &wanted);
        assert_eq!(shown, found, "{wanted:?}");
        assert!(
            cost <= found as u64 * 2 + blocks,
            "{cost} rows for {wanted:?}"
        );
    }
    // The most urgent first, and of those the oldest, in pages.
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (mut titles, mut from) = (Vec::new(), None);
    loop {
        let page = rows.tasks(&open_of_tau(), from, &mut Room::of(3)).unwrap();
        titles.extend(page.tasks.into_iter().map(|task| task.title));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let expected = (MANY..MANY + 5).chain((0..5).map(|task| task * 1_000));
    assert_eq!(
        titles,
        expected.map(|task| task.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn counts_cost_the_same_however_many_tasks_there_are() {
    let of = |task: u64| {
        let (status, claim) = match task % 4 {
            0 => (TaskStatus::Todo, None),
            1 => (TaskStatus::Blocked, None),
            2 => (
                TaskStatus::InProgress,
                Some(Claim {
                    by: reader("tau/pi"),
                    at: TimeMs(1),
                    lease: None,
                }),
            ),
            _ => (TaskStatus::Done, None),
        };
        let instance = (task % 8 < 4).then(|| reader("tau/pi").instance);
        let assigned_to = Some(Assignee {
            role: role("tau"),
            instance,
        });
        let due_at = Some(TimeMs(if task < 4 { 1 } else { 100 }));
        (
            task,
            TaskState {
                status,
                claim,
                assigned_to,
                due_at,
                ..todo()
            },
        )
    };
    for count in [8, MANY] {
        let mut road = Road::new();
        fold(&mut road, (0..count).map(of));
        let snapshot = road.snapshot();
        let rows = snapshot.tenant(&road.scope);
        let counts = rows.task_counts(&reader("tau/pi"), TimeMs(50)).unwrap();
        let (ready, waiting, claimed) = (count / 4, count / 4, count / 4);
        let due = 3;
        assert_eq!(
            counts,
            TaskCounts {
                ready,
                waiting,
                claimed,
                due
            }
        );
        // Two counts, what is due, and the first that is not for each of them.
        assert!(snapshot.rows_read() <= 7, "{} rows", snapshot.rows_read());
        let other = rows.task_counts(&reader("tau/laptop"), TimeMs(50)).unwrap();
        assert_eq!((other.ready, other.claimed, other.due), (count / 8, 0, 0));
    }
}

#[test]
fn missions_come_newest_first_at_the_cost_of_the_page() {
    let mut road = Road::new();
    for number in 0..5_000_u64 {
        let at = road.end() + 1;
        let status = if number == 7 {
            MissionStatus::Execute
        } else {
            MissionStatus::Complete
        };
        let id = CommandId::derived(&[&at.to_be_bytes()]);
        let state = MissionState {
            version: 1,
            title: number.to_string(),
            brief: String::new(),
            pilot: Some(role("tau")),
            agents: Vec::new(),
            project: land(),
            priority: TaskPriority::Low,
            status,
            starts_at: None,
            due_at: None,
            created_by: Actor::System,
            created_at: TimeMs(1),
            ended_at: None,
        };
        let mission_id = MissionId::from_bytes(*id.as_bytes());
        let (change, asked) = (MissionChange::Created, Asked::of(&number));
        let event = MissionChanged {
            mission_id,
            change,
            asked,
            state,
        };
        road.log
            .push(incoming(&road.scope, at, Actor::System, id, event.into()));
    }
    fold(&mut road, std::iter::empty());
    let listed = |wanted: &MissionsWanted, before| {
        let snapshot = road.snapshot();
        let page = snapshot
            .tenant(&road.scope)
            .missions(wanted, before, &mut Room::of(3));
        let page = page.unwrap();
        assert!(
            snapshot.rows_read() <= 4 * 3 + 6,
            "{} rows",
            snapshot.rows_read()
        );
        let titles: Vec<_> = page
            .missions
            .into_iter()
            .map(|mission| mission.title)
            .collect();
        (titles, page.next_before)
    };
    let every = MissionsWanted::default();
    let (titles, next) = listed(&every, None);
    assert_eq!(titles, ["4999", "4998", "4997"]);
    assert_eq!(listed(&every, next).0, ["4996", "4995", "4994"]);
    assert_eq!(
        listed(&every, Some(2)),
        (vec!["1".to_owned(), "0".to_owned()], None)
    );
    let running = MissionsWanted {
        status: Some(MissionStatus::Execute),
        pilot: Some(role("tau")),
        project: Some(land()),
    };
    assert_eq!(listed(&running, None), (vec!["7".to_owned()], None));
    assert_eq!(listed(&running, Some(7)), (vec![], None));
}

#[test]
fn a_walk_over_very_many_tasks_ends_and_takes_it_for_a_circle() {
    let most = TASK_WALK_MAX as u64;
    let mut road = Road::new();
    // Every one waits for the one before it.
    let chain = |to: u64| (1..=to).map(|task| (task, after(&[task - 1])));
    fold(&mut road, chain(most - 1));
    put(&mut road, 0, after(&[most + 7]));
    assert_eq!(waits(&road, 0).1, [task_id(most + 7)]);
    // One more, and whatever the first is to wait for may wait for it.
    put(&mut road, most, after(&[most - 1]));
    put(&mut road, 0, after(&[most + 8]));
    assert_eq!(waits(&road, 0), (true, vec![]));
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (changed, named) = (Some(task_id(0)), [task_id(most)]);
    match rows.task_standings(changed, &named).unwrap() {
        Finding::Tasks { named, .. } => assert!(named[0].unwrap().is_behind),
        other => panic!("{other:?}"),
    }
    assert!(snapshot.rows_read() < 2 * most + 10);
}

#[test]
fn a_walk_over_very_many_ways_ends_too() {
    const WIDE: u64 = 64;
    let mut road = Road::new();
    // Each of a layer waits for every one of the layer before it.
    let layered = |layer: u64| {
        let before: Vec<u64> = (0..WIDE).map(|task| (layer - 1) * WIDE + task).collect();
        (0..WIDE).map(move |task| (layer * WIDE + task, after(&before)))
    };
    fold(&mut road, (1..=9).flat_map(layered));
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let is_behind = |changed: u64, named: u64| match rows
        .task_standings(Some(task_id(changed)), &[task_id(named)])
        .unwrap()
    {
        Finding::Tasks { named, .. } => named[0].unwrap().is_behind,
        other => panic!("{other:?}"),
    };
    assert!(is_behind(2 * WIDE, 3 * WIDE) && !is_behind(2 * WIDE, 2 * WIDE + 1));
    let before = snapshot.rows_read();
    assert!(is_behind(0, 9 * WIDE));
    let cost = snapshot.rows_read() - before;
    assert!(cost <= 8 * TASK_WALK_MAX as u64 + 10, "{cost} rows");
}

#[test]
fn a_claim_of_what_very_many_wait_for_walks_over_none_of_them() {
    let mut road = Road::new();
    put(&mut road, 0, todo());
    fold(&mut road, (1..1_000).map(|task| (task, after(&[task - 1]))));
    let snapshot = road.snapshot();
    let rows = snapshot.tenant(&road.scope);
    let (claimed, waits_for) = (Some(task_id(1)), [task_id(0)]);
    match rows.task_standings(claimed, &waits_for).unwrap() {
        Finding::Tasks { counted, named } => {
            assert_eq!(counted, waits_for);
            assert!(!named[0].unwrap().is_behind);
        }
        other => panic!("{other:?}"),
    }
    let cost = snapshot.rows_read();
    assert!(cost <= 2, "{cost} rows");
}

#[test]
fn what_is_due_is_counted_up_to_a_bound() {
    let mut road = Road::new();
    let due = |at| TaskState {
        due_at: Some(TimeMs(at)),
        ..after(&[])
    };
    let tasks = 0..DUE_COUNTED_MAX as u64 + 5;
    fold(&mut road, tasks.map(|task| (task, due(10))));
    let snapshot = road.snapshot();
    let counts = snapshot
        .tenant(&road.scope)
        .task_counts(&reader("tau/pi"), time(1));
    let counts = counts.unwrap();
    assert_eq!(counts.ready, DUE_COUNTED_MAX as u64 + 5);
    assert_eq!(counts.due, DUE_COUNTED_MAX as u64);
    assert!(snapshot.rows_read() <= DUE_COUNTED_MAX as u64 + 3);
}
