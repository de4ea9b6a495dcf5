//! What comes of every act on every state.

use super::super::roster::given::{instance, reader, role};
use super::given::{creation, made, task_id, tenant};
use super::*;
use postroad_protocol::command::TaskPatch;
use postroad_protocol::event::{Asked, Event, EventKey, TaskChanged};
use postroad_protocol::id::CommandId;
use postroad_protocol::portable::PortableEvent;

pub(super) const NOW: TimeMs = TimeMs(1_000_000);

/// A task that phi made and, where its state has one, tau/mac has claimed.
pub(super) fn standing(name: &str) -> TaskState {
    let mut state = made(&creation());
    let (status, has_claim) = match name {
        "todo" => (TaskStatus::Todo, false),
        "in_progress" => (TaskStatus::InProgress, true),
        "review" => (TaskStatus::Review, true),
        "blocked" => (TaskStatus::Blocked, true),
        "blocked_free" => (TaskStatus::Blocked, false),
        "done" => (TaskStatus::Done, true),
        "failed" => (TaskStatus::Failed, true),
        "cancelled" => (TaskStatus::Cancelled, true),
        other => panic!("no such state: {other}"),
    };
    state.status = status;
    state.claim = has_claim.then(|| Claim {
        by: reader("tau", "mac"),
        at: TimeMs(400_000),
        lease: None,
    });
    state.ended_at = status.has_ended().then_some(TimeMs(500_000));
    state.version = 7;
    state
}

pub(super) fn patch(patch: TaskPatch) -> TaskAct {
    TaskAct::Update(Box::new(patch))
}

fn set_status(status: TaskStatus) -> TaskAct {
    patch(TaskPatch {
        status: Some(status),
        ..TaskPatch::default()
    })
}

pub(super) fn assign_to(to: Option<Assignee>) -> TaskAct {
    patch(TaskPatch {
        assigned_to: Some(to),
        ..TaskPatch::default()
    })
}

pub(super) fn given(role_name: &str, only: Option<&str>) -> Assignee {
    Assignee {
        role: role(role_name),
        instance: only.map(instance),
    }
}

pub(super) fn act(verb: &str) -> TaskAct {
    let note = || Some("said".to_owned());
    let reason = || "because".to_owned();
    match verb {
        "claim" => TaskAct::Claim { lease_ms: None },
        "claim_lease" => TaskAct::Claim {
            lease_ms: Some(60_000),
        },
        "release" => TaskAct::Release { note: note() },
        "block" => TaskAct::Block { reason: reason() },
        "complete" => TaskAct::Complete { note: note() },
        "fail" => TaskAct::Fail { reason: reason() },
        "cancel" => TaskAct::Cancel { reason: reason() },
        "to_todo" => set_status(TaskStatus::Todo),
        "to_in_progress" => set_status(TaskStatus::InProgress),
        "to_review" => set_status(TaskStatus::Review),
        "title" => patch(TaskPatch {
            title: Some("Pave the road".into()),
            ..TaskPatch::default()
        }),
        "note" => patch(TaskPatch {
            note: note(),
            ..TaskPatch::default()
        }),
        "assign" => assign_to(Some(given("zed", None))),
        "depend" => TaskAct::AddDependency { on: task_id(9) },
        "depends_on" => patch(TaskPatch {
            depends_on: Some(vec![task_id(9)]),
            ..TaskPatch::default()
        }),
        other => panic!("no such verb: {other}"),
    }
}

pub(super) fn on(act: TaskAct) -> ChangeTask {
    ChangeTask {
        task: task_id(1),
        if_version: None,
        act,
    }
}

pub(super) fn decide(state: &TaskState, act: TaskAct, by: &Reader) -> Result<Decided, Refusal> {
    change(&tenant(), state, &on(act), by, NOW, &Found::default())
}

pub(super) fn changed(decided: Result<Decided, Refusal>) -> (TaskChange, TaskState) {
    match decided {
        Ok(Decided::Changed { change, state }) => (change, state),
        other => panic!("it did not change: {other:?}"),
    }
}

/// Sees to it that what was decided can be exported and brought in again.
pub(super) fn travels(change: TaskChange, state: &TaskState, by: &Actor) {
    let id = CommandId::derived(&[b"travels"]);
    let task_id = match change {
        TaskChange::Created => TaskId::of(EventKey::of(by, id)),
        _ => task_id(1),
    };
    let event = Event::from(TaskChanged {
        task_id,
        change,
        asked: Asked::of(&"anything"),
        state: state.clone(),
    });
    let line = PortableEvent {
        sequence: 1,
        id: id.to_string(),
        time: NOW,
        by: by.to_string(),
        type_name: event.type_name().to_owned(),
        schema: event.schema(),
        data: serde_json::to_value(&event).unwrap(),
    };
    let record = line
        .record()
        .unwrap_or_else(|refusal| panic!("{change:?}: {refusal:?}"));
    assert_eq!(record.event, event);
}

pub(super) fn fault(refusal: &Refusal) -> String {
    let field = refusal.field.as_deref().unwrap_or_default();
    format!("{}@{field}", refusal.code)
}

/// Every state and act, and what comes of it for: the claimant, another instance of its role, another instance of the
/// maker's role, and somebody else. `=` is as for the one before.
const TABLE: &str = "
    todo          claim           in_progress         =                   =  =
    todo          claim_lease     in_progress         =                   =  =
    todo          release         conflict@taskId     =                   =  =
    todo          block           blocked             =                   =  =
    todo          complete        conflict@taskId     =                   =  =
    todo          fail            conflict@taskId     =                   =  =
    todo          cancel          cancelled           =                   =  =
    todo          to_todo         already             =                   =  =
    todo          to_in_progress  conflict@status     =                   =  =
    todo          to_review       conflict@status     =                   =  =
    todo          title           todo                =                   =  =
    todo          note            todo                =                   =  =
    todo          assign          todo                =                   =  =
    todo          depend          todo                =                   =  =
    todo          depends_on      todo                =                   =  =
    in_progress   claim           already             conflict@taskId     =  =
    in_progress   claim_lease     in_progress         conflict@taskId     =  =
    in_progress   release         todo                =                   =  permission_denied@taskId
    in_progress   block           blocked             conflict@taskId     =  =
    in_progress   complete        done                conflict@taskId     =  =
    in_progress   fail            failed              conflict@taskId     =  =
    in_progress   cancel          cancelled           =                   =  =
    in_progress   to_todo         todo                =                   =  permission_denied@taskId
    in_progress   to_in_progress  already             =                   =  =
    in_progress   to_review       review              conflict@taskId     =  =
    in_progress   title           in_progress         =                   =  =
    in_progress   note            in_progress         =                   =  =
    in_progress   assign          conflict@assignedTo =                   =  =
    in_progress   depend          conflict@dependsOn  =                   =  =
    in_progress   depends_on      conflict@dependsOn  =                   =  =
    review        claim           in_progress         conflict@taskId     =  =
    review        claim_lease     in_progress         conflict@taskId     =  =
    review        release         todo                =                   =  permission_denied@taskId
    review        block           blocked             =                   =  =
    review        complete        done                =                   =  =
    review        fail            failed              =                   =  =
    review        cancel          cancelled           =                   =  =
    review        to_todo         todo                =                   =  permission_denied@taskId
    review        to_in_progress  in_progress         =                   =  =
    review        to_review       already             =                   =  =
    review        title           review              =                   =  =
    review        note            review              =                   =  =
    review        assign          conflict@assignedTo =                   =  =
    review        depend          conflict@dependsOn  =                   =  =
    review        depends_on      conflict@dependsOn  =                   =  =
    blocked       claim           in_progress         conflict@taskId     =  =
    blocked       claim_lease     in_progress         conflict@taskId     =  =
    blocked       release         todo                =                   =  permission_denied@taskId
    blocked       block           conflict@taskId     =                   =  =
    blocked       complete        conflict@taskId     =                   =  =
    blocked       fail            failed              conflict@taskId     =  =
    blocked       cancel          cancelled           =                   =  =
    blocked       to_todo         todo                =                   =  permission_denied@taskId
    blocked       to_in_progress  conflict@status     =                   =  =
    blocked       to_review       conflict@status     =                   =  =
    blocked       title           blocked             =                   =  =
    blocked       note            blocked             =                   =  =
    blocked       assign          conflict@assignedTo =                   =  =
    blocked       depend          blocked             =                   =  =
    blocked       depends_on      blocked             =                   =  =
    blocked_free  claim           in_progress         =                   =  =
    blocked_free  claim_lease     in_progress         =                   =  =
    blocked_free  release         todo                =                   =  =
    blocked_free  block           conflict@taskId     =                   =  =
    blocked_free  complete        conflict@taskId     =                   =  =
    blocked_free  fail            failed              =                   =  =
    blocked_free  cancel          cancelled           =                   =  =
    blocked_free  to_todo         todo                =                   =  =
    blocked_free  to_in_progress  conflict@status     =                   =  =
    blocked_free  to_review       conflict@status     =                   =  =
    blocked_free  title           blocked             =                   =  =
    blocked_free  note            blocked             =                   =  =
    blocked_free  assign          blocked             =                   =  =
    blocked_free  depend          blocked             =                   =  =
    blocked_free  depends_on      blocked             =                   =  =
    done          to_todo         conflict@taskId     =                   =  =
    done          note            done                =                   =  =
    failed        to_todo         todo                =                   =  =
    failed        note            failed              =                   =  =
    cancelled     to_todo         todo                =                   =  =
    cancelled     note            cancelled           =                   =  =
";

/// What an ended task takes nothing of.
const ENDED_TAKE_NOT: &[&str] = &[
    "claim",
    "claim_lease",
    "release",
    "block",
    "complete",
    "fail",
    "cancel",
    "to_in_progress",
    "to_review",
    "title",
    "assign",
    "depend",
    "depends_on",
];

fn callers() -> [Reader; 4] {
    [("tau", "mac"), ("tau", "lab"), ("phi", "lab"), ("zed", "z")].map(|(r, i)| reader(r, i))
}

fn meets(name: &str, verb: &str, by: &Reader, expected: &str) {
    let state = standing(name);
    let case = format!("{by}: {verb} on {name}");
    let outcome = match decide(&state, act(verb), by) {
        Ok(Decided::Already) => "already".to_owned(),
        Ok(Decided::Changed {
            change,
            state: after,
        }) => {
            assert_eq!(after.version, 8, "{case}");
            travels(change, &after, &Actor::Agent(by.clone()));
            after.status.to_string()
        }
        Err(refusal) => {
            let (said, remedy) = (&refusal.message, &refusal.remedy);
            assert!(said.contains(state.status.word()), "{case}: {said}");
            assert!(remedy.contains("_task"), "{case}: {remedy}");
            fault(&refusal)
        }
    };
    assert_eq!(outcome, expected, "{case}");
}

#[test]
fn every_act_on_every_state_comes_out_as_the_table_says() {
    let mut rows = 0;
    for line in TABLE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let &[name, verb, first, ref rest @ ..] = cells.as_slice() else {
            panic!("{line}");
        };
        let mut expected = first;
        for (index, by) in callers().iter().enumerate() {
            if let Some(&next) = index.checked_sub(1).and_then(|index| rest.get(index))
                && next != "="
            {
                expected = next;
            }
            meets(name, verb, by, expected);
        }
        rows += 1;
    }
    assert_eq!(rows, 5 * 15 + 3 * 2);
    for name in ["done", "failed", "cancelled"] {
        for verb in ENDED_TAKE_NOT {
            for by in &callers() {
                meets(name, verb, by, "conflict@taskId");
            }
        }
    }
}
