//! Random lives of tasks and missions, nonsense among them: rows against a model that finds everything anew, and rows against
//! themselves however the log is cut.

use super::task_model::World;
use crate::apply::{Durability, Incoming, Outcome, apply};
use crate::read_model::keys::Prefix;
use crate::read_model::tasks::missions::{MissionPage, MissionsWanted};
use crate::read_model::tasks::read::{TaskPage, TaskPlace, TasksWanted};
use crate::store::{Room, Snapshot, Store, TenantReader};
use crate::testing::{checkpoint, fold_one_by_one, incoming, instance, role, scope};
use postroad_protocol::channel::Channel;
use postroad_protocol::event::{
    Actor, Asked, CredentialIssued, Event, EventKey, MessageSent, MissionChange, MissionChanged,
    TaskChange, TaskChanged,
};
use postroad_protocol::id::{CommandId, ProjectName, Reader, TimeMs};
use postroad_protocol::service::task_ready_id;
use postroad_protocol::task::{
    Assignee, Claim, Lease, MissionId, MissionState, MissionStatus, Note, Project, TaskId,
    TaskPriority, TaskState, TaskStatus,
};
use postroad_protocol::tenancy::TenantScope;
use proptest::prelude::*;
use std::collections::BTreeMap;

const TENANTS: [&str; 2] = ["acme", "acme-two"];
const TASKS: u8 = 7;
const MISSIONS: u8 = 3;
const ROLES: u8 = 2;
const INSTANCES: u8 = 2;

#[derive(Clone, Debug)]
enum Step {
    Task(u8, Box<TaskState>),
    Mission(u8, Box<MissionState>),
    /// A task only gets another status, and a claim with it or none.
    Move(u8, TaskStatus, Option<Claim>),
    /// Whoever a task is given to is told that it is ready; by Postroad, or by somebody who says so.
    Told(u8, bool),
    /// An earlier event is stored once more, with another state where it has one.
    Again(u8),
}

fn task_id(number: u8) -> TaskId {
    TaskId::from_bytes(*CommandId::derived(&[b"task", &[number]]).as_bytes())
}

fn mission_id(number: u8) -> MissionId {
    MissionId::from_bytes(*CommandId::derived(&[b"mission", &[number]]).as_bytes())
}

fn reader(r: u8, i: u8) -> Reader {
    Reader {
        role: role(&format!("r{r}")),
        instance: instance(&format!("i{i}")),
    }
}

fn readers() -> impl Strategy<Value = Reader> {
    (0..ROLES, 0..INSTANCES).prop_map(|(r, i)| reader(r, i))
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        4 => readers().prop_map(Actor::Agent),
        1 => Just(Actor::Operator(instance("cli"))),
        1 => Just(Actor::System),
    ]
}

fn projects() -> impl Strategy<Value = Project> {
    let named = |name: &str| Project::Named(ProjectName::parse(name).unwrap());
    prop_oneof![
        Just(Project::Studio),
        Just(named("land")),
        Just(named("landing"))
    ]
}

fn assignee() -> impl Strategy<Value = Assignee> {
    // The last role is on no roster.
    let readers = (0..=ROLES, 0..INSTANCES).prop_map(|(r, i)| reader(r, i));
    (readers, any::<bool>()).prop_map(|(reader, only)| Assignee {
        role: reader.role,
        instance: only.then_some(reader.instance),
    })
}

fn claim() -> impl Strategy<Value = Claim> {
    let lease = (1..50_u64).prop_map(|until| Lease {
        ms: 1_000,
        until: TimeMs(until),
    });
    (readers(), proptest::option::of(lease)).prop_map(|(by, lease)| Claim {
        by,
        at: TimeMs(5),
        lease,
    })
}

fn statuses() -> impl Strategy<Value = TaskStatus> {
    prop_oneof![
        4 => Just(TaskStatus::Todo),
        3 => Just(TaskStatus::Done),
        2 => proptest::sample::select(TaskStatus::ALL),
    ]
}

fn task_state() -> impl Strategy<Value = TaskState> {
    let text = || prop_oneof![3 => Just(String::new()), 1 => "[a-z]{1,9}"];
    let maybe = proptest::option::of::<BoxedStrategy<u64>>;
    let dependencies = proptest::collection::vec((0..=TASKS).prop_map(task_id), 0..3);
    let first = (
        1..4_u64,
        text(),
        projects(),
        proptest::sample::select(TaskPriority::ALL),
        statuses(),
    );
    let second = (
        proptest::option::weighted(0.7, assignee()),
        proptest::option::weighted(0.3, claim()),
        dependencies,
        proptest::option::of((0..=MISSIONS).prop_map(mission_id)),
        maybe((0..40_u64).boxed()),
    );
    let note = (actor(), text()).prop_map(|(by, text)| Note {
        at: TimeMs(3),
        by,
        text,
    });
    let third = (
        proptest::collection::vec(note, 0..2),
        actor(),
        maybe((1..9_u64).boxed()),
    );
    (first, second, third).prop_map(|(first, second, third)| {
        let (version, description, project, priority, status) = first;
        let (assigned_to, claim, depends_on, mission, due) = second;
        let (notes, created_by, ended) = third;
        TaskState {
            version,
            title: format!("v{version}"),
            description,
            project,
            priority,
            status,
            assigned_to,
            claim,
            depends_on,
            mission,
            tags: vec!["a".into(); usize::from(version == 2)],
            due_at: due.map(TimeMs),
            notes,
            created_by,
            created_at: TimeMs(1),
            ended_at: ended.map(TimeMs),
        }
    })
}

fn mission_state() -> impl Strategy<Value = MissionState> {
    let status = proptest::sample::select(MissionStatus::ALL);
    let pilot = proptest::option::of(readers());
    let priority = proptest::sample::select(TaskPriority::ALL);
    let brief = prop_oneof![Just(String::new()), "[a-z]{1,9}"];
    (status, pilot, projects(), priority, brief, actor()).prop_map(
        |(status, pilot, project, priority, brief, created_by)| MissionState {
            version: 1,
            title: status.to_string(),
            brief,
            pilot: pilot.as_ref().map(|pilot| pilot.role.clone()),
            agents: pilot.into_iter().map(|pilot| pilot.role).collect(),
            project,
            priority,
            status,
            starts_at: None,
            due_at: Some(TimeMs(9)),
            created_by,
            created_at: TimeMs(1),
            ended_at: status.has_ended().then_some(TimeMs(2)),
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        6 => (0..TASKS, task_state()).prop_map(|(task, state)| Step::Task(task, state.into())),
        4 => (0..TASKS, statuses(), proptest::option::weighted(0.3, claim()))
            .prop_map(|(task, status, claim)| Step::Move(task, status, claim)),
        2 => (0..MISSIONS, mission_state()).prop_map(|(m, state)| Step::Mission(m, state.into())),
        2 => (0..TASKS, any::<bool>()).prop_map(|(task, own)| Step::Told(task, own)),
        1 => any::<u8>().prop_map(Step::Again),
    ];
    proptest::collection::vec((proptest::bool::weighted(0.8), step), 1..60)
}

/// A log of two tenants while it is written, and what it comes to.
struct Script {
    scopes: [TenantScope; 2],
    log: Vec<Incoming>,
    worlds: [World; 2],
}

impl Script {
    fn of(steps: &[(bool, Step)]) -> Self {
        let mut script = Self {
            scopes: TENANTS.map(scope),
            log: Vec::new(),
            worlds: Default::default(),
        };
        for tenant in 0..2 {
            for r in 0..ROLES {
                let event = CredentialIssued {
                    role: reader(r, 0).role,
                    instance: None,
                    scopes: Vec::new(),
                    public_key: format!("U{r}"),
                    expires_at: TimeMs(1),
                    token: false,
                };
                script.put(tenant, Actor::System, None, event);
            }
        }
        for (first, step) in steps {
            script.take(usize::from(!first), step);
        }
        script
    }

    fn put(&mut self, tenant: usize, by: Actor, id: Option<CommandId>, event: impl Into<Event>) {
        let sequence = self.log.len() as u64 + 1;
        let id = id.unwrap_or_else(|| CommandId::derived(&[&sequence.to_be_bytes()]));
        let event = incoming(&self.scopes[tenant], sequence, by, id, event.into());
        if let Outcome::Event { record, .. } = &event.outcome {
            self.worlds[tenant].apply(sequence, record);
        }
        self.log.push(event);
    }

    fn put_task(&mut self, tenant: usize, task: u8, state: &TaskState) {
        let asked = Asked::of(&self.log.len());
        let event = TaskChanged {
            task_id: task_id(task),
            change: TaskChange::Updated,
            asked,
            state: state.clone(),
        };
        self.put(tenant, Actor::Agent(reader(0, 0)), None, event);
    }

    fn take(&mut self, tenant: usize, step: &Step) {
        match step {
            Step::Task(task, state) => self.put_task(tenant, *task, state),
            Step::Move(task, status, claim) => {
                let known = self.worlds[tenant].tasks.get(&task_id(*task));
                if let Some(mut state) = known.map(|known| known.state.clone()) {
                    (state.status, state.claim) = (*status, claim.clone());
                    self.put_task(tenant, *task, &state);
                }
            }
            Step::Mission(mission, state) => {
                let event = MissionChanged {
                    mission_id: mission_id(*mission),
                    change: MissionChange::Created,
                    asked: Asked::of(&self.log.len()),
                    state: (**state).clone(),
                };
                self.put(tenant, Actor::Operator(instance("cli")), None, event);
            }
            Step::Told(task, own) => self.tell(tenant, task_id(*task), *own),
            Step::Again(which) => self.repeat(*which),
        }
    }

    fn tell(&mut self, tenant: usize, task: TaskId, own: bool) {
        let owed = self.worlds[tenant].owed.get(&task);
        let cause = owed.map_or(EventKey::from_bytes([7; 16]), |owed| owed.0);
        let (by, from) = if own {
            (Actor::System, Reader::postroad())
        } else {
            (Actor::Agent(reader(0, 0)), reader(0, 0))
        };
        let sent = MessageSent {
            from,
            channel: Channel::parse("r1").unwrap(),
            instance: None,
            content: "Task ready".into(),
            reply_to: None,
            priority: postroad_protocol::event::Priority::Normal,
            metadata: BTreeMap::from([("taskId".to_owned(), task.to_string())]),
        };
        self.put(tenant, by, Some(task_ready_id(task, cause)), sent);
    }

    fn repeat(&mut self, which: u8) {
        let mut again = self.log[self.log.len() * usize::from(which) / 256].clone();
        again.sequence = self.log.len() as u64 + 1;
        if let Outcome::Event { record, .. } = &mut again.outcome
            && let Event::TaskChanged(data) = &mut record.event
        {
            // Another attempt of the same command, which found another state before it.
            data.state.version += 1;
            data.state.status = TaskStatus::Done;
        }
        self.log.push(again);
    }
}

/// Every page of a list, `limit` tasks each.
fn all_tasks(
    rows: &TenantReader<'_>,
    wanted: &TasksWanted,
    limit: usize,
) -> Vec<postroad_protocol::query::Task> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let TaskPage { tasks, next } = rows.tasks(wanted, from, &mut Room::of(limit)).unwrap();
        assert!(
            tasks.len() == limit || next.is_none() || tasks.len() == 16,
            "{wanted:?}"
        );
        all.extend(tasks);
        match next {
            Some(next) => {
                assert!(from.is_none_or(|from| from < next));
                from = TaskPlace::from_bytes(&next.to_bytes());
                assert_eq!(from, Some(next));
            }
            None => return all,
        }
    }
}

fn all_missions(
    rows: &TenantReader<'_>,
    wanted: &MissionsWanted,
    limit: usize,
) -> Vec<postroad_protocol::query::Mission> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = rows.missions(wanted, before, &mut Room::of(limit)).unwrap();
        let MissionPage {
            missions,
            next_before,
        } = page;
        assert!(missions.len() == limit || next_before.is_none());
        all.extend(missions);
        match next_before {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}

fn wanted() -> impl Strategy<Value = TasksWanted> {
    use proptest::option::weighted;
    (
        weighted(0.3, projects()),
        weighted(0.3, assignee()),
        proptest::collection::vec(statuses(), 0..3),
        weighted(0.3, (0..=MISSIONS).prop_map(mission_id)),
        weighted(0.3, proptest::sample::select(TaskPriority::ALL)),
        proptest::bool::weighted(0.3),
    )
        .prop_map(
            |(project, assigned_to, statuses, mission, priority, ready)| TasksWanted {
                project,
                assigned_to,
                statuses,
                mission,
                priority,
                ready,
            },
        )
}

fn missions_wanted() -> impl Strategy<Value = MissionsWanted> {
    use proptest::option::weighted;
    (
        weighted(0.4, projects()),
        weighted(0.4, proptest::sample::select(MissionStatus::ALL)),
        weighted(0.4, readers()),
    )
        .prop_map(|(project, status, pilot)| MissionsWanted {
            project,
            status,
            pilot: pilot.map(|pilot| pilot.role),
        })
}

/// Compares all that is asked by id.
fn compare(snapshot: &Snapshot, scope: &TenantScope, world: &World) {
    let (rows, tenant) = (snapshot.tenant(scope), scope.tenant());
    for task in (0..=TASKS).map(task_id) {
        let known = world.tasks.contains_key(&task);
        assert_eq!(
            rows.task(task).unwrap(),
            known.then(|| world.shown(task, tenant))
        );
        let named: Vec<_> = (0..=TASKS).map(task_id).collect();
        for changed in [None, Some(task)] {
            let found = rows.task_standings(changed, &named).unwrap();
            assert_eq!(found, world.standings(changed, &named), "{changed:?}");
        }
    }
    let every = world.missions(&MissionsWanted::default(), tenant);
    for mission in (0..=MISSIONS).map(mission_id) {
        let known = every.iter().find(|known| known.mission_id == mission);
        assert_eq!(rows.mission(mission).unwrap().as_ref(), known);
        assert_eq!(rows.has_mission(mission).unwrap(), known.is_some());
    }
    for (r, i) in (0..ROLES).flat_map(|r| (0..=INSTANCES).map(move |i| (r, i))) {
        for now in [0, 20, 100].map(TimeMs) {
            let counts = rows.task_counts(&reader(r, i), now).unwrap();
            assert_eq!(
                counts,
                world.counts(&reader(r, i), now),
                "{r}/{i} at {now:?}"
            );
        }
    }
    assert_eq!(
        rows.tenant_standing().unwrap().tasks,
        world.tasks.len() as u64
    );
    let owner = Prefix::of(scope);
    let leases = snapshot.leases_of(&owner, 100).unwrap().into_iter();
    let leases: Vec<_> = leases
        .map(|lease| {
            assert_eq!(lease.owner, owner);
            (lease.until, lease.task, lease.version, lease.sequence)
        })
        .collect();
    assert_eq!(leases, world.leases());
    let owed = snapshot.owed_by(&owner, 100).unwrap().into_iter();
    let owed: Vec<_> = owed
        .map(|owed| {
            assert_eq!(owed.owner, owner);
            (owed.sequence, owed.task, owed.cause)
        })
        .collect();
    assert_eq!(owed, world.owed());
    let has_any = !leases.is_empty() || !owed.is_empty();
    let owners = snapshot.owners_with_reactions().unwrap();
    assert_eq!(
        owners.iter().filter(|one| **one == owner).count(),
        usize::from(has_any)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_of_tasks_are_what_the_states_come_to(
        steps in steps(),
        wanted in proptest::collection::vec(wanted(), 12),
        missions in proptest::collection::vec(missions_wanted(), 4),
        limit in 1..6_usize,
    ) {
        let script = Script::of(&steps);
        let store = Store::in_memory();
        fold_one_by_one(&store, &script.log);
        prop_assert_eq!(store.quarantined().unwrap(), 0);
        let snapshot = store.snapshot().unwrap();
        for (scope, world) in script.scopes.iter().zip(&script.worlds) {
            compare(&snapshot, scope, world);
            let (rows, tenant) = (snapshot.tenant(scope), scope.tenant());
            for wanted in wanted.iter().chain([&TasksWanted::default()]) {
                prop_assert_eq!(all_tasks(&rows, wanted, limit), world.listed(wanted, tenant), "{:?}", wanted);
            }
            for wanted in missions.iter().chain([&MissionsWanted::default()]) {
                let mut expected = world.missions(wanted, tenant);
                for mission in &mut expected {
                    mission.brief = None;
                }
                prop_assert_eq!(all_missions(&rows, wanted, limit), expected, "{:?}", wanted);
            }
        }
    }

    #[test]
    fn rows_of_tasks_are_the_same_however_the_log_is_cut(
        steps in steps(),
        cuts in proptest::collection::vec(1..30_usize, 1..20),
    ) {
        let script = Script::of(&steps);
        let whole = Store::in_memory();
        fold_one_by_one(&whole, &script.log);
        let pieces = Store::in_memory();
        let (mut rest, mut cut) = (&script.log[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(rest.len().min(*cut.next().unwrap()));
            let end = checkpoint(batch.last().unwrap().sequence);
            apply(&pieces, batch, end, Durability::Visible).unwrap();
            // What was applied before changes nothing.
            apply(&pieces, batch, end, Durability::Visible).unwrap();
            rest = behind;
        }
        prop_assert_eq!(whole.dump().unwrap(), pieces.dump().unwrap());
    }
}
