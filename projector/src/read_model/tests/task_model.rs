//! What tasks and missions must come to, found the long way: from every state, each time anew.

use crate::read_model::tasks::missions::MissionsWanted;
use crate::read_model::tasks::read::TasksWanted;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Actor, Event, EventKey, MissionChanged, TaskChanged};
use postroad_protocol::id::{InstanceId, Reader, Role, TenantId, TimeMs};
use postroad_protocol::query::{Mission, Progress, Task, TaskCounts, TaskNote};
use postroad_protocol::service::{Finding, TaskStanding, task_ready_id};
use postroad_protocol::task::{Claim, MissionId, MissionState, TaskId, TaskState, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};

/// A task as its last event left it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: TaskState,
    updated: TimeMs,
    sequence: u64,
    /// Dependencies that would have closed a circle.
    left_out: BTreeSet<TaskId>,
}

/// One tenant's tasks and missions.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) tasks: BTreeMap<TaskId, Known>,
    order: Vec<TaskId>,
    missions: BTreeMap<MissionId, (MissionState, TimeMs)>,
    mission_order: Vec<MissionId>,
    pub(super) owed: BTreeMap<TaskId, (EventKey, u64)>,
    seen: BTreeSet<EventKey>,
    roster: BTreeSet<Role>,
}

impl World {
    /// Takes an event that the rows take.
    pub(super) fn apply(&mut self, sequence: u64, record: &Record) {
        if !self.seen.insert(record.key) {
            return;
        }
        match &record.event {
            Event::TaskChanged(data) => self.task(sequence, record, data),
            Event::MissionChanged(data) => self.mission(record.time, data),
            Event::CredentialIssued(data) => {
                self.roster.insert(data.role.clone());
            }
            Event::MessageSent(sent) if record.by == Actor::System && sent.from.is_postroad() => {
                let is_told = |(task, (cause, _)): (&TaskId, &(EventKey, u64))| {
                    sent.metadata.get("taskId") == Some(&task.to_string())
                        && record.id == task_ready_id(*task, *cause)
                };
                let told: Vec<_> = self
                    .owed
                    .iter()
                    .map(|(task, owed)| (*task, *owed))
                    .collect();
                for (task, owed) in told {
                    if is_told((&task, &owed)) {
                        self.owed.remove(&task);
                    }
                }
            }
            _ => {}
        }
    }

    fn mission(&mut self, time: TimeMs, data: &MissionChanged) {
        let known = self
            .missions
            .insert(data.mission_id, (data.state.clone(), time));
        if known.is_none() {
            self.mission_order.push(data.mission_id);
        }
    }

    fn task(&mut self, sequence: u64, record: &Record, data: &TaskChanged) {
        let id = data.task_id;
        let waited: BTreeSet<TaskId> = self
            .tasks
            .keys()
            .copied()
            .filter(|task| !self.unmet(*task).is_empty())
            .collect();
        let before = self.tasks.get(&id);
        let was_done = before.is_some_and(|before| before.state.status == TaskStatus::Done);
        let closes = |named: &&TaskId| match before {
            Some(before) if before.state.depends_on.contains(named) => {
                before.left_out.contains(named)
            }
            _ => self.waits_for(**named, id),
        };
        let left_out = data
            .state
            .depends_on
            .iter()
            .filter(closes)
            .copied()
            .collect();
        if before.is_none() {
            self.order.push(id);
        }
        let known = Known {
            state: data.state.clone(),
            updated: record.time,
            sequence,
            left_out,
        };
        self.tasks.insert(id, known);
        let completes = data.state.status == TaskStatus::Done && !was_done;
        for waits in waited.into_iter().filter(|waits| completes && *waits != id) {
            if self.unmet(waits).is_empty() {
                self.owed.insert(waits, (record.key, sequence));
            }
        }
        let is_owed = |task: &TaskId| {
            let state = &self.tasks[task].state;
            matches!(state.status, TaskStatus::Todo | TaskStatus::Blocked)
                && match (&state.assigned_to, &state.claim) {
                    (Some(given), _) => self.roster.contains(&given.role),
                    (None, Some(claim)) => self.roster.contains(&claim.by.role),
                    (None, None) => false,
                }
                && self.unmet(*task).is_empty()
        };
        let still: BTreeSet<TaskId> = self.owed.keys().copied().filter(is_owed).collect();
        self.owed.retain(|task, _| still.contains(task));
    }

    /// The dependencies that count, each once.
    pub(super) fn counted(&self, id: TaskId) -> Vec<TaskId> {
        let mut counted = Vec::new();
        if let Some(known) = self.tasks.get(&id) {
            for named in &known.state.depends_on {
                if !known.left_out.contains(named) && !counted.contains(named) {
                    counted.push(*named);
                }
            }
        }
        counted
    }

    fn unmet(&self, id: TaskId) -> Vec<TaskId> {
        let is_done = |named: &TaskId| {
            self.tasks
                .get(named)
                .is_some_and(|task| task.state.status == TaskStatus::Done)
        };
        self.counted(id)
            .into_iter()
            .filter(|named| !is_done(named))
            .collect()
    }

    /// Whether `id` is `other`, or waits for it, walking from the one to what it counts.
    fn waits_for(&self, id: TaskId, other: TaskId) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![id]);
        while let Some(at) = next.pop() {
            if at == other {
                return true;
            }
            if seen.insert(at) {
                next.extend(self.counted(at));
            }
        }
        false
    }

    fn is_ready(&self, id: TaskId) -> bool {
        self.tasks[&id].state.status == TaskStatus::Todo && self.unmet(id).is_empty()
    }

    pub(super) fn shown(&self, id: TaskId, tenant: &TenantId) -> Task {
        let known = &self.tasks[&id];
        let state = known.state.clone();
        let open = !state.status.has_ended();
        let (created_by, created_by_instance_id) = author(&state.created_by);
        let note = |note: &postroad_protocol::task::Note| {
            let (role, instance) = author(&note.by);
            TaskNote {
                at: note.at,
                by: format!("{role}/{instance}"),
                text: note.text.clone(),
            }
        };
        let given = state.assigned_to;
        // Whatever else a state says, a claim ends by itself only while it is worked on.
        let works = state.status == TaskStatus::InProgress;
        let claim: Option<Claim> = state.claim;
        Task {
            tenant_id: None,
            task_id: id,
            title: state.title,
            description: (!state.description.is_empty()).then_some(state.description),
            project: state.project.shown(tenant),
            priority: state.priority,
            status: state.status,
            ready: self.is_ready(id),
            waiting_on: if open { self.unmet(id) } else { Vec::new() },
            assigned_to: given.as_ref().map(|given| given.role.clone()),
            assigned_to_instance_id: given.and_then(|given| given.instance),
            claimed_by: claim.as_ref().map(|claim| claim.by.role.clone()),
            claimed_by_instance_id: claim.as_ref().map(|claim| claim.by.instance.clone()),
            claimed_at: claim.as_ref().map(|claim| claim.at),
            lease_until: claim
                .and_then(|claim| claim.lease)
                .filter(|_| state.status == TaskStatus::InProgress)
                .map(|lease| lease.until)
                .filter(|_| works),
            depends_on: state.depends_on,
            mission_id: state.mission,
            tags: state.tags,
            due_at: state.due_at,
            notes: state.notes.iter().map(note).collect(),
            created_by,
            created_by_instance_id,
            created_at: state.created_at,
            updated_at: known.updated,
            ended_at: state.ended_at,
            version: state.version,
        }
    }

    /// Every task that is wanted, in order.
    pub(super) fn listed(&self, wanted: &TasksWanted, tenant: &TenantId) -> Vec<Task> {
        let fits = |id: &&TaskId| {
            let state = &self.tasks[*id].state;
            wanted
                .project
                .as_ref()
                .is_none_or(|project| state.project == *project)
                && wanted.assigned_to.as_ref().is_none_or(|wanted| {
                    let is_its = |role: &Role, instance: Option<&InstanceId>| {
                        *role == wanted.role
                            && (wanted.instance.is_none() || instance == wanted.instance.as_ref())
                    };
                    let (given, claim) = (&state.assigned_to, &state.claim);
                    let is_given = given
                        .as_ref()
                        .is_some_and(|given| is_its(&given.role, given.instance.as_ref()));
                    let is_claimed = claim
                        .as_ref()
                        .is_some_and(|claim| is_its(&claim.by.role, Some(&claim.by.instance)));
                    is_given || is_claimed
                })
                && (wanted.statuses.is_empty() || wanted.statuses.contains(&state.status))
                && wanted
                    .mission
                    .is_none_or(|mission| state.mission == Some(mission))
                && wanted
                    .priority
                    .is_none_or(|priority| state.priority == priority)
                && (!wanted.ready || self.is_ready(**id))
        };
        let mut found: Vec<Task> = self
            .order
            .iter()
            .filter(fits)
            .map(|id| self.shown(*id, tenant))
            .collect();
        // Keeps those of one priority in the order in which they came.
        found.sort_by_key(|task| task.priority);
        for task in &mut found {
            task.description = None;
            task.notes.clear();
        }
        found
    }

    fn progress(&self, mission: MissionId) -> Progress {
        let of = |status: Option<TaskStatus>| {
            let is_in = |known: &&Known| {
                known.state.mission == Some(mission)
                    && status.is_none_or(|status| known.state.status == status)
            };
            self.tasks.values().filter(is_in).count() as u64
        };
        let (total, done, cancelled) = (
            of(None),
            of(Some(TaskStatus::Done)),
            of(Some(TaskStatus::Cancelled)),
        );
        Progress {
            total,
            todo: of(Some(TaskStatus::Todo)),
            in_progress: of(Some(TaskStatus::InProgress)),
            review: of(Some(TaskStatus::Review)),
            blocked: of(Some(TaskStatus::Blocked)),
            done,
            failed: of(Some(TaskStatus::Failed)),
            cancelled,
            percent: if total == cancelled {
                0
            } else {
                done * 100 / (total - cancelled)
            },
        }
    }

    /// Every mission that is wanted, the newest first, with its brief.
    pub(super) fn missions(&self, wanted: &MissionsWanted, tenant: &TenantId) -> Vec<Mission> {
        let shown = |id: &MissionId| {
            let (state, updated) = self.missions[id].clone();
            let (created_by, created_by_instance_id) = author(&state.created_by);
            Mission {
                tenant_id: None,
                mission_id: *id,
                title: state.title,
                brief: (!state.brief.is_empty()).then_some(state.brief),
                pilot: state.pilot,
                agents: state.agents,
                project: state.project.shown(tenant),
                priority: state.priority,
                status: state.status,
                starts_at: state.starts_at,
                due_at: state.due_at,
                progress: self.progress(*id),
                created_by,
                created_by_instance_id,
                created_at: state.created_at,
                updated_at: updated,
                ended_at: state.ended_at,
                version: state.version,
            }
        };
        let fits = |id: &&MissionId| {
            let (state, _) = &self.missions[*id];
            wanted
                .project
                .as_ref()
                .is_none_or(|project| state.project == *project)
                && wanted.status.is_none_or(|status| state.status == status)
                && wanted
                    .pilot
                    .as_ref()
                    .is_none_or(|pilot| state.pilot.as_ref() == Some(pilot))
        };
        self.mission_order
            .iter()
            .rev()
            .filter(fits)
            .map(shown)
            .collect()
    }

    pub(super) fn counts(&self, reader: &Reader, now: TimeMs) -> TaskCounts {
        let mut counts = TaskCounts::default();
        for (id, known) in &self.tasks {
            let state = &known.state;
            let is_given = state
                .assigned_to
                .as_ref()
                .is_some_and(|given| given.includes(reader));
            let count = match (&state.claim, state.status) {
                (_, status) if status.has_ended() => continue,
                (Some(claim), _) if claim.by == *reader => &mut counts.claimed,
                (None, TaskStatus::Todo) if is_given && self.unmet(*id).is_empty() => {
                    &mut counts.ready
                }
                (None, TaskStatus::Todo | TaskStatus::Blocked) if is_given => &mut counts.waiting,
                _ => continue,
            };
            *count += 1;
            counts.due += u64::from(state.due_at.is_some_and(|due| due <= now));
        }
        counts
    }

    pub(super) fn standings(&self, changed: Option<TaskId>, named: &[TaskId]) -> Finding {
        let stands = |id: &TaskId| {
            let known = self.tasks.get(id)?;
            let counts = |other: &&TaskId| self.counted(**other).contains(id);
            Some(TaskStanding {
                status: known.state.status,
                dependents: self.tasks.keys().filter(counts).count() as u64,
                is_behind: changed.is_some_and(|changed| self.waits_for(*id, changed)),
            })
        };
        Finding::Tasks {
            counted: changed.map_or_else(Vec::new, |changed| self.counted(changed)),
            named: named.iter().map(stands).collect(),
        }
    }

    /// Until when, which task, which version, and where it is stored, in that order.
    pub(super) fn leases(&self) -> Vec<(TimeMs, TaskId, u64, u64)> {
        let lease = |(id, known): (&TaskId, &Known)| {
            let until = known.state.claim.as_ref()?.lease?.until;
            let holds = known.state.status == TaskStatus::InProgress;
            holds.then_some((until, *id, known.state.version, known.sequence))
        };
        let mut leases: Vec<_> = self.tasks.iter().filter_map(lease).collect();
        leases.sort_unstable();
        leases
    }

    /// Where the cause is stored, which task, and the cause, in that order.
    pub(super) fn owed(&self) -> Vec<(u64, TaskId, EventKey)> {
        let mut owed: Vec<_> = self
            .owed
            .iter()
            .map(|(task, (cause, sequence))| (*sequence, *task, *cause))
            .collect();
        owed.sort_unstable();
        owed
    }
}

fn author(actor: &Actor) -> (String, String) {
    match actor {
        Actor::Agent(reader) => (reader.role.to_string(), reader.instance.to_string()),
        Actor::Operator(instance) => ("_operator".to_owned(), instance.to_string()),
        Actor::System => ("_postroad".to_owned(), "tasks".to_owned()),
    }
}
