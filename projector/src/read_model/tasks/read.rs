//! One task, lists of them, and how tasks stand.

use super::bits::Dim;
use super::rows::{OrderRow, TaskRow, TaskText};
use super::waits::Behind;
use super::walk::Walk;
use crate::read_model::overview::Room;
use crate::read_model::table::{Table, TenantReader, unreadable};
use crate::store::StoreError;
use postroad_protocol::event::Actor;
use postroad_protocol::id::{Reader, TenantId};
use postroad_protocol::query::{self, TaskNote};
use postroad_protocol::service::{Finding, TaskStanding};
use postroad_protocol::subject::OPERATOR_ROLE;
use postroad_protocol::task::{
    Assignee, MissionId, Project, TaskId, TaskPriority, TaskState, TaskStatus,
};

/// About what a task takes in an answer beside its texts.
const TASK_BYTES: usize = 640;
/// About what an id takes there.
const ID_BYTES: usize = 39;

/// Which tasks are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksWanted {
    /// Only of this project.
    pub project: Option<Project>,
    /// Only given to this role, or to this instance of it alone.
    pub assigned_to: Option<Assignee>,
    /// Only in one of these states; of any where it is empty.
    pub statuses: Vec<TaskStatus>,
    /// Only of this mission.
    pub mission: Option<MissionId>,
    /// Only of this priority.
    pub priority: Option<TaskPriority>,
    /// Only those that can be claimed now.
    pub ready: bool,
}

impl TasksWanted {
    /// What to walk through for those of `priority`. There may be none of it, which costs one look; then what mostly has the fewest
    /// members leads past blocks of the rest.
    fn dims(&self, priority: TaskPriority) -> Vec<Vec<Dim>> {
        let given = self.assigned_to.clone().map(|given| match given.instance {
            None => Dim::Role(given.role),
            Some(instance) => Dim::Reader(Reader {
                role: given.role,
                instance,
            }),
        });
        let one = [
            Some(Dim::Priority(priority)),
            self.mission.map(Dim::Mission),
            given,
            self.project.clone().map(Dim::Project),
            self.ready.then_some(Dim::Ready),
        ];
        let mut dims: Vec<_> = one.into_iter().flatten().map(|dim| vec![dim]).collect();
        if !self.statuses.is_empty() {
            dims.push(self.statuses.iter().copied().map(Dim::Status).collect());
        }
        dims
    }
}

/// Where a list goes on: lists are in order of this, the most urgent first, and of those the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskPlace {
    priority: TaskPriority,
    ordinal: u64,
}

impl TaskPlace {
    /// For a cursor.
    pub fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[0] = self.priority as u8;
        bytes[1..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (priority, ordinal) = bytes.split_first()?;
        Some(Self {
            priority: *TaskPriority::ALL.get(usize::from(*priority))?,
            ordinal: u64::from_be_bytes(ordinal.try_into().ok()?),
        })
    }
}

/// A page of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The most urgent first, and of those the oldest; without their descriptions and notes.
    pub tasks: Vec<query::Task>,
    /// The next page begins here; none when this is the last.
    pub next: Option<TaskPlace>,
}

impl TenantReader<'_> {
    /// One task, whole.
    pub fn task(&self, id: TaskId) -> Result<Option<query::Task>, StoreError> {
        let Some(row) = self.get::<TaskRow>(&id)? else {
            return Ok(None);
        };
        let mut task = self.shown_task(id, row.clone());
        if row.has_text {
            let text = self.get::<TaskText>(&id)?;
            let text = text.ok_or_else(|| unreadable(Table::TaskTexts))?;
            task.description = Some(text.description).filter(|text| !text.is_empty());
            let note = |note: postroad_protocol::task::Note| TaskNote {
                at: note.at,
                by: shown_actor(&note.by),
                text: note.text,
            };
            task.notes = text.notes.into_iter().map(note).collect();
        }
        Ok(Some(task))
    }

    /// Tasks from the place `from` on, as far as `wanted` narrows them and `room` allows.
    pub fn tasks(
        &self,
        wanted: &TasksWanted,
        from: Option<TaskPlace>,
        room: &mut Room,
    ) -> Result<TaskPage, StoreError> {
        let mut page = TaskPage::default();
        for priority in TaskPriority::ALL.iter().copied() {
            let is_wanted = wanted.priority.is_none_or(|only| only == priority);
            let first = match from {
                Some(from) if from.priority > priority => continue,
                Some(from) if from.priority == priority => from.ordinal,
                _ => 0,
            };
            if !is_wanted {
                continue;
            }
            let mut walk = Walk::open(self, wanted.dims(priority), first);
            while let Some(ordinal) = walk.next()? {
                let (id, row) = self.task_at(ordinal)?;
                let bytes = shown_bytes(&row.state);
                if room.is_spent() || !room.holds(bytes) {
                    page.next = Some(TaskPlace { priority, ordinal });
                    return Ok(page);
                }
                room.look(bytes, true);
                page.tasks.push(self.shown_task(id, row));
            }
        }
        Ok(page)
    }

    /// How tasks stand, for a broker: those that are `named`, to be dependencies of `changed`.
    pub fn task_standings(
        &self,
        changed: Option<TaskId>,
        named: &[TaskId],
    ) -> Result<Finding, StoreError> {
        let counted = match changed {
            Some(changed) => self.get::<TaskRow>(&changed)?.map(|row| row.counted),
            None => None,
        };
        let counted = counted.unwrap_or_default().into_iter().map(TaskId::from);
        let counted: Vec<TaskId> = counted.collect();
        // What counts is not behind, or it would not count: a claim walks over nothing.
        let behind = match changed {
            Some(changed) if named.iter().any(|id| !counted.contains(id)) => {
                self.behind(changed)?
            }
            _ => Behind::default(),
        };
        let stands = |id: &TaskId| {
            Ok(self.get::<TaskRow>(id)?.map(|row| TaskStanding {
                status: row.state.status,
                dependents: row.dependents,
                is_behind: behind.holds(*id),
            }))
        };
        let named = named.iter().map(stands);
        let named = named.collect::<Result<_, StoreError>>()?;
        Ok(Finding::Tasks { counted, named })
    }

    fn task_at(&self, ordinal: u64) -> Result<(TaskId, TaskRow), StoreError> {
        let OrderRow(id) = self
            .get(&ordinal)?
            .ok_or_else(|| unreadable(Table::TaskOrder))?;
        let id = TaskId::from(id);
        let row = self.get(&id)?.ok_or_else(|| unreadable(Table::Tasks))?;
        Ok((id, row))
    }

    /// The task as callers see it, without its description and notes.
    fn shown_task(&self, id: TaskId, row: TaskRow) -> query::Task {
        let (ready, lease_until) = (row.is_ready(), row.state.lease_until());
        let state = row.state;
        let (created_by, created_by_instance_id) = author_of(&state.created_by);
        let (assigned_to, assigned_to_instance_id) = match state.assigned_to {
            Some(given) => (Some(given.role), given.instance),
            None => (None, None),
        };
        // One that has ended waits for nothing.
        let waits = !state.status.has_ended();
        let waiting_on = row.unmet.into_iter().filter(|_| waits);
        let claim = state.claim;
        query::Task {
            tenant_id: None,
            task_id: id,
            title: state.title,
            description: None,
            project: shown_project(self, &state.project),
            priority: state.priority,
            status: state.status,
            ready,
            waiting_on: waiting_on.map(TaskId::from).collect(),
            assigned_to,
            assigned_to_instance_id,
            claimed_by: claim.as_ref().map(|claim| claim.by.role.clone()),
            claimed_at: claim.as_ref().map(|claim| claim.at),
            claimed_by_instance_id: claim.map(|claim| claim.by.instance),
            lease_until,
            depends_on: state.depends_on,
            mission_id: state.mission,
            tags: state.tags,
            due_at: state.due_at,
            notes: Vec::new(),
            created_by,
            created_by_instance_id,
            created_at: state.created_at,
            updated_at: row.updated,
            ended_at: state.ended_at,
            version: state.version,
        }
    }
}

/// About how many bytes a task takes in a list.
fn shown_bytes(state: &TaskState) -> usize {
    let tags: usize = state.tags.iter().map(|tag| tag.len() + 3).sum();
    TASK_BYTES + state.title.len() + tags + 2 * ID_BYTES * state.depends_on.len()
}

/// A project as the tenant's callers write it.
pub(super) fn shown_project(rows: &TenantReader<'_>, project: &Project) -> String {
    // Only tenants have tasks, and their names read back.
    TenantId::parse(rows.owner()).map_or_else(
        |_| project.stored().to_owned(),
        |tenant| project.shown(&tenant),
    )
}

/// The role and instance of whoever did something.
pub(super) fn author_of(actor: &Actor) -> (String, String) {
    let of = |reader: &Reader| (reader.role.to_string(), reader.instance.to_string());
    match actor {
        Actor::Agent(reader) => of(reader),
        Actor::Operator(instance) => (OPERATOR_ROLE.to_owned(), instance.to_string()),
        Actor::System => of(&Reader::postroad()),
    }
}

fn shown_actor(actor: &Actor) -> String {
    let (role, instance) = author_of(actor);
    format!("{role}/{instance}")
}
