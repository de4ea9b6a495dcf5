//! Tasks as the stand-in projector knows them: the fold of one tenant's events.

use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;
use postroad_protocol::service::{Finding, TaskStanding};
use postroad_protocol::task::{TaskId, TaskStatus};
use std::collections::BTreeMap;

/// A task: how it stands, and the dependencies that count.
struct Known {
    status: TaskStatus,
    counted: Vec<TaskId>,
}

type Tasks = BTreeMap<TaskId, Known>;

/// How each of `named` stands, and which dependencies of `changed` count.
pub(super) fn standings(
    records: &[(u64, Record)],
    changed: Option<TaskId>,
    named: &[TaskId],
) -> Finding {
    let tasks = fold(records);
    let of_changed = changed.and_then(|changed| tasks.get(&changed));
    let standing = |id: &TaskId| {
        Some(TaskStanding {
            status: tasks.get(id)?.status,
            dependents: dependents(&tasks, *id),
            is_behind: changed.is_some_and(|changed| reaches(&tasks, *id, changed)),
        })
    };
    Finding::Tasks {
        counted: of_changed.map_or_else(Vec::new, |task| task.counted.clone()),
        named: named.iter().map(standing).collect(),
    }
}

fn fold(records: &[(u64, Record)]) -> Tasks {
    let mut tasks = Tasks::new();
    for (_, record) in records {
        let Event::TaskChanged(changed) = &record.event else {
            continue;
        };
        let id = changed.task_id;
        tasks.remove(&id);
        // What would close a circle does not count.
        let counts = |on: &&TaskId| **on != id && !reaches_any(&tasks, **on, id);
        let counted = changed.state.depends_on.iter().filter(counts);
        let known = Known {
            status: changed.state.status,
            counted: counted.copied().collect(),
        };
        tasks.insert(id, known);
    }
    tasks
}

fn dependents(tasks: &Tasks, on: TaskId) -> u64 {
    let depends = |task: &&Known| task.counted.contains(&on);
    tasks.values().filter(depends).count() as u64
}

/// Whether `from` is `to`, or depends on it, at once or over others.
fn reaches(tasks: &Tasks, from: TaskId, to: TaskId) -> bool {
    from == to || reaches_any(tasks, from, to)
}

fn reaches_any(tasks: &Tasks, from: TaskId, to: TaskId) -> bool {
    let (mut left, mut seen) = (vec![from], Vec::new());
    while let Some(at) = left.pop() {
        if seen.contains(&at) {
            continue;
        }
        seen.push(at);
        let counted = tasks.get(&at).into_iter().flat_map(|task| &task.counted);
        for on in counted {
            if *on == to {
                return true;
            }
            left.push(*on);
        }
    }
    false
}
