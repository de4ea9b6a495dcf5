//! Whatever agents do in whatever order, a task keeps to the table of moves below, which is written apart from the code.

use super::super::roster::given::{reader, role};
use super::given::{creation, task_id, tenant};
use super::tests::travels;
use super::*;
use postroad_protocol::command::TaskPatch;
use postroad_protocol::error::ErrorCode;
use postroad_protocol::limits::TASK_DEPENDENCIES_MAX;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Claim,
    Release,
    Block,
    Complete,
    Fail,
    Cancel,
    Todo,
    InProgress,
    Review,
    Note,
    Retitle,
    Assign,
    Depend,
}

/// For whom a move is there.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// Anybody.
    All,
    /// The claimant.
    Claimant,
    /// The claimant; where there is none, anybody to whom it may be given.
    ClaimantOrFit,
    /// The claimant; where there is none, anybody.
    ClaimantOrFree,
    /// The claimant's role or the maker's; where there is no claimant, anybody.
    Sharers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Claimed {
    /// It is the caller's from now on.
    Taken,
    /// As before, without its lease.
    Kept,
    /// It is gone.
    Gone,
}

use Claimed::{Gone, Kept, Taken};
use TaskStatus::{Blocked, Cancelled, Done, Failed, InProgress, Review, Todo};
use Who::{All, Claimant, ClaimantOrFit, ClaimantOrFree, Sharers};

/// Every move from state to state that there is.
const MOVES: &[(TaskStatus, Verb, Who, TaskStatus, Claimed)] = &[
    (Todo, Verb::Claim, ClaimantOrFit, InProgress, Taken),
    (Review, Verb::Claim, Claimant, InProgress, Taken),
    (Blocked, Verb::Claim, ClaimantOrFit, InProgress, Taken),
    (InProgress, Verb::Release, Sharers, Todo, Gone),
    (Review, Verb::Release, Sharers, Todo, Gone),
    (Blocked, Verb::Release, Sharers, Todo, Gone),
    (InProgress, Verb::Todo, Sharers, Todo, Gone),
    (Review, Verb::Todo, Sharers, Todo, Gone),
    (Blocked, Verb::Todo, Sharers, Todo, Gone),
    (Failed, Verb::Todo, All, Todo, Gone),
    (Cancelled, Verb::Todo, All, Todo, Gone),
    (Todo, Verb::Block, All, Blocked, Kept),
    (InProgress, Verb::Block, Claimant, Blocked, Kept),
    (Review, Verb::Block, All, Blocked, Kept),
    (InProgress, Verb::Review, Claimant, Review, Kept),
    (Review, Verb::InProgress, All, InProgress, Kept),
    (InProgress, Verb::Complete, Claimant, Done, Kept),
    (Review, Verb::Complete, All, Done, Kept),
    (InProgress, Verb::Fail, Claimant, Failed, Kept),
    (Review, Verb::Fail, All, Failed, Kept),
    (Blocked, Verb::Fail, ClaimantOrFree, Failed, Kept),
    (Todo, Verb::Cancel, All, Cancelled, Kept),
    (InProgress, Verb::Cancel, All, Cancelled, Kept),
    (Review, Verb::Cancel, All, Cancelled, Kept),
    (Blocked, Verb::Cancel, All, Cancelled, Kept),
];

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    Act {
        who: usize,
        verb: Verb,
        lease_ms: Option<u64>,
        seen: Option<bool>,
        other: usize,
    },
    Wait(u64),
    Expire {
        behind: u64,
    },
    Settle(usize),
}

const READERS: [(&str, &str); 5] = [
    ("tau", "mac"),
    ("tau", "lab"),
    ("phi", "pi"),
    ("phi", "lab"),
    ("zed", "z"),
];

/// What the model knows of the task, besides its version.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    status: TaskStatus,
    claimant: Option<usize>,
    lease: Option<(u64, u64)>,
    assigned: Option<usize>,
    waits: Vec<usize>,
    title: Option<usize>,
    notes: usize,
}

/// The task, the model of it, and the clock and the other tasks around them.
struct World {
    state: TaskState,
    model: Model,
    now: u64,
    done: [bool; 3],
}

fn reader_at(index: usize) -> Reader {
    let (role, instance) = READERS[index];
    reader(role, instance)
}

const ROLES: [&str; 3] = ["tau", "phi", "zed"];

/// To whom a task may be given: 0 to 4 are one reader each, 5 to 7 a role.
fn assignee(index: usize) -> Assignee {
    if index < READERS.len() {
        let Reader { role, instance } = reader_at(index);
        let instance = Some(instance);
        return Assignee { role, instance };
    }
    Assignee {
        role: role(ROLES[index - READERS.len()]),
        instance: None,
    }
}

fn fits(assigned: Option<usize>, who: usize) -> bool {
    match assigned {
        None => true,
        Some(index) if index < READERS.len() => index == who,
        Some(index) => ROLES[index - READERS.len()] == READERS[who].0,
    }
}

impl Model {
    fn allows(&self, who: usize, for_whom: Who) -> bool {
        let is_own = self.claimant == Some(who);
        match for_whom {
            All => true,
            Claimant => is_own,
            ClaimantOrFit => is_own || (self.claimant.is_none() && fits(self.assigned, who)),
            ClaimantOrFree => is_own || self.claimant.is_none(),
            Sharers => self.claimant.is_none_or(|claimant| {
                let role = READERS[who].0;
                READERS[claimant].0 == role || role == "phi"
            }),
        }
    }

    /// What comes of an act: itself where nothing does, nothing where it is refused.
    fn after(&self, step: &Step, now: u64, done: [bool; 3]) -> Option<Self> {
        let &Step::Act {
            who,
            verb,
            lease_ms,
            other,
            ..
        } = step
        else {
            unreachable!("only acts");
        };
        let mut after = self.clone();
        let lease = |ms: u64| (ms, now + ms);
        let is_open = !matches!(self.status, Done | Failed | Cancelled);
        match verb {
            Verb::Claim if self.status == InProgress && self.claimant == Some(who) => {
                let ms = lease_ms.or(self.lease.map(|(ms, _)| ms));
                after.lease = ms.map(lease).or(self.lease);
                return Some(after);
            }
            Verb::Todo if self.status == Todo => return Some(after),
            Verb::InProgress if self.status == InProgress => return Some(after),
            Verb::Review if self.status == Review => return Some(after),
            Verb::Note => {
                after.notes = (self.notes + 1).min(TASK_NOTES_KEPT);
                return Some(after);
            }
            Verb::Retitle => {
                after.title = Some(other);
                return is_open.then_some(after);
            }
            Verb::Assign => {
                after.assigned = Some(other);
                let passes_over = self.claimant.is_some_and(|who| !fits(Some(other), who));
                let is_same = self.assigned == Some(other);
                return (is_open && (is_same || !passes_over)).then_some(after);
            }
            Verb::Depend => {
                let on = other % 3;
                if self.waits.contains(&on) {
                    return Some(after);
                }
                after.waits.push(on);
                return matches!(self.status, Todo | Blocked).then_some(after);
            }
            _ => {}
        }
        let mut moves = MOVES.iter();
        let (.., for_whom, to, claimed) =
            *moves.find(|(from, by, ..)| *from == self.status && *by == verb)?;
        let is_ready = self.waits.iter().all(|on| done[*on]);
        let begins = verb == Verb::Claim && self.status != Review;
        if !self.allows(who, for_whom) || (begins && !is_ready) {
            return None;
        }
        after.status = to;
        after.lease = None;
        match claimed {
            Taken => {
                after.claimant = Some(who);
                after.lease = lease_ms.map(lease);
            }
            Kept => {}
            Gone => after.claimant = None,
        }
        let says = matches!(
            verb,
            Verb::Release | Verb::Block | Verb::Complete | Verb::Fail | Verb::Cancel
        );
        after.notes = (self.notes + usize::from(says)).min(TASK_NOTES_KEPT);
        Some(after)
    }
}

impl World {
    fn new() -> Self {
        let by = Actor::Agent(reader("phi", "pi"));
        Self {
            state: create(&tenant(), &creation(), &by, TimeMs(1)).unwrap(),
            model: Model {
                status: Todo,
                claimant: None,
                lease: None,
                assigned: None,
                waits: Vec::new(),
                title: None,
                notes: 0,
            },
            now: 1_000,
            done: [false; 3],
        }
    }

    fn command(&self, step: &Step) -> ChangeTask {
        let &Step::Act {
            verb,
            lease_ms,
            seen,
            other,
            ..
        } = step
        else {
            unreachable!("only acts");
        };
        let said = || "said".to_owned();
        let patch = |patch| TaskAct::Update(Box::new(patch));
        let status = |status| {
            patch(TaskPatch {
                status: Some(status),
                ..TaskPatch::default()
            })
        };
        let act = match verb {
            Verb::Claim => TaskAct::Claim { lease_ms },
            Verb::Release => TaskAct::Release { note: Some(said()) },
            Verb::Block => TaskAct::Block { reason: said() },
            Verb::Complete => TaskAct::Complete { note: Some(said()) },
            Verb::Fail => TaskAct::Fail { reason: said() },
            Verb::Cancel => TaskAct::Cancel { reason: said() },
            Verb::Todo => status(Todo),
            Verb::InProgress => status(InProgress),
            Verb::Review => status(Review),
            Verb::Note => patch(TaskPatch {
                note: Some(said()),
                ..TaskPatch::default()
            }),
            Verb::Retitle => patch(TaskPatch {
                title: Some(format!("Title {other}")),
                ..TaskPatch::default()
            }),
            Verb::Assign => patch(TaskPatch {
                assigned_to: Some(Some(assignee(other))),
                ..TaskPatch::default()
            }),
            Verb::Depend => TaskAct::AddDependency {
                on: on_task(other % 3),
            },
        };
        ChangeTask {
            task: task_id(1),
            if_version: seen.map(|right| self.state.version - u64::from(!right)),
            act,
        }
    }

    /// Decides as a broker does: nothing is looked up but what is needed.
    fn decide(&self, command: &ChangeTask, by: &Reader) -> Result<Decided, Refusal> {
        let (tenant, time) = (tenant(), TimeMs(self.now));
        let needs = needs_of_change(&tenant, &self.state, command, by, time)?;
        let mut found = Found::default();
        if needs.done {
            let on = self.state.depends_on.iter().copied();
            let is_done = |id: &TaskId| (0..3).any(|n| self.done[n] && *id == on_task(n));
            found.waiting_on = on.filter(|id| !is_done(id)).collect();
        }
        change(&tenant, &self.state, command, by, time, &found)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Wait(ms) => self.now += ms,
            Step::Settle(on) => self.done[*on] = true,
            Step::Expire { behind } => self.expire(*behind),
            Step::Act { who, seen, .. } => {
                let command = self.command(step);
                let expected = match seen {
                    Some(false) => None,
                    _ => self.model.after(step, self.now, self.done),
                };
                let decided = self.decide(&command, &reader_at(*who));
                self.compare(step, expected, decided);
            }
        }
    }

    fn expire(&mut self, behind: u64) {
        let version = self.state.version - behind;
        let is_due = matches!(self.model.lease, Some((_, until)) if until <= self.now);
        let after = expire(&self.state, version, TimeMs(self.now));
        assert_eq!(after.is_some(), is_due && behind == 0);
        if let Some(after) = after {
            self.model.status = Todo;
            self.model.claimant = None;
            self.model.lease = None;
            self.follow(after);
        }
    }

    fn compare(&mut self, step: &Step, expected: Option<Model>, decided: Result<Decided, Refusal>) {
        match (expected, decided) {
            (None, Err(refusal)) => {
                let coded = [ErrorCode::Conflict, ErrorCode::PermissionDenied];
                assert!(coded.contains(&refusal.code), "{step:?}: {refusal}");
                assert!(
                    refusal.message.contains(self.state.status.word()),
                    "{refusal}"
                );
                assert!(refusal.remedy.contains("_task"), "{}", refusal.remedy);
            }
            (Some(after), Ok(Decided::Already)) => {
                assert_eq!(after, self.model, "{step:?}");
            }
            (Some(after), Ok(Decided::Changed { change, state })) => {
                let Step::Act { who, .. } = step else {
                    unreachable!("only acts");
                };
                travels(change, &state, &Actor::Agent(reader_at(*who)));
                let is_same = after == self.model && after.notes < TASK_NOTES_KEPT;
                assert!(!is_same, "{step:?}: nothing changed");
                self.model = after;
                self.follow(state);
            }
            (expected, decided) => panic!("{step:?}: {expected:?}, and {decided:?}"),
        }
    }

    /// Goes on from `after`, which has to be what the model says and to follow from what was.
    fn follow(&mut self, after: TaskState) {
        let (before, model) = (&self.state, &self.model);
        assert_eq!(after.version, before.version + 1);
        assert_eq!(after.status, model.status);
        let by = after.claim.as_ref().map(|claim| claim.by.clone());
        assert_eq!(by, model.claimant.map(reader_at));
        let lease = after.claim.as_ref().and_then(|claim| claim.lease);
        assert_eq!(lease.map(|lease| (lease.ms, lease.until.0)), model.lease);
        assert_eq!(after.assigned_to, model.assigned.map(assignee));
        assert_eq!(after.notes.len(), model.notes);
        let title = model.title.map(|other| format!("Title {other}"));
        assert_eq!(after.title, title.unwrap_or(creation().title));
        let mut waits: Vec<_> = model.waits.iter().map(|on| on_task(*on)).collect();
        waits.sort_unstable();
        assert_eq!(after.depends_on, waits);

        assert!(after.claim.is_some() || after.status != InProgress);
        assert!(after.claim.is_none() || after.status != Todo);
        assert!(lease.is_none() || after.status == InProgress);
        assert_eq!(after.ended_at.is_some(), after.status.has_ended());
        assert!(after.notes.len() <= TASK_NOTES_KEPT);
        assert!(after.depends_on.len() <= TASK_DEPENDENCIES_MAX);
        assert_eq!(
            (&after.created_by, after.created_at),
            (&before.created_by, before.created_at)
        );
        if before.status.has_ended() && after.status.has_ended() {
            let noted = TaskState {
                version: after.version,
                notes: after.notes.clone(),
                ..before.clone()
            };
            assert_eq!(after, noted, "an ended task takes notes alone");
        }
        assert!(before.status != Done || after.status == Done);
        self.state = after;
    }
}

fn on_task(index: usize) -> TaskId {
    task_id(u8::try_from(index).unwrap() + 100)
}

fn verbs() -> impl Strategy<Value = Verb> {
    prop_oneof![
        6 => Just(Verb::Claim),
        2 => Just(Verb::Release),
        2 => Just(Verb::Block),
        2 => Just(Verb::Complete),
        1 => Just(Verb::Fail),
        1 => Just(Verb::Cancel),
        3 => Just(Verb::Todo),
        2 => Just(Verb::InProgress),
        3 => Just(Verb::Review),
        1 => Just(Verb::Note),
        1 => Just(Verb::Retitle),
        1 => Just(Verb::Assign),
        1 => Just(Verb::Depend),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let seen = prop_oneof![4 => Just(None), 2 => Just(Some(true)), 1 => Just(Some(false))];
    let act = (
        0..READERS.len(),
        verbs(),
        proptest::option::of(1_000..5_000_u64),
        seen,
        0..READERS.len() + ROLES.len(),
    )
        .prop_map(|(who, verb, lease_ms, seen, other)| Step::Act {
            who,
            verb,
            lease_ms,
            seen,
            other,
        });
    prop_oneof![
        12 => act,
        2 => (1..4_000_u64).prop_map(Step::Wait),
        2 => (0..2_u64).prop_map(|behind| Step::Expire { behind }),
        1 => (0..3_usize).prop_map(Step::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_history_of_a_task_is_the_one_that_the_table_of_moves_allows(
        steps in proptest::collection::vec(steps(), 1..80)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
    }
}

#[test]
fn the_table_of_moves_reaches_every_state() {
    for status in TaskStatus::ALL {
        let is_reached = MOVES.iter().any(|(.., to, _)| to == status);
        assert!(is_reached, "{status}");
    }
}
