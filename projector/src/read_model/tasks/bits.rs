//! The sets that tasks and missions are in: one for each state, project, role and so on, in blocks of 4096. A list is what several
//! of them share, so it costs blocks, however many tasks there are.

use super::rows::TaskRow;
use crate::read_model::batch::TenantWriter;
use crate::read_model::bits::{Bits, split};
use crate::read_model::hot::{Hot, HotCache, HotRow};
use crate::read_model::keys::{ListedKey, RowKey, write_name};
use crate::read_model::table::{Row, Table};
use crate::store::StoreError;
use postroad_protocol::id::{Reader, Role};
use postroad_protocol::task::{
    MissionId, MissionState, MissionStatus, Project, TaskPriority, TaskStatus,
};
use serde::{Deserialize, Serialize};

/// A set of tasks, or of missions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dim {
    /// Tasks of a priority. Each task is in one of these.
    Priority(TaskPriority),
    /// Tasks in a state.
    Status(TaskStatus),
    /// Tasks that can be claimed now.
    Ready,
    /// Tasks of a project.
    Project(Project),
    /// Tasks given to a role, or to an instance of it, or claimed by one.
    Role(Role),
    /// Tasks given to one instance, or claimed by it.
    Reader(Reader),
    /// Tasks of a mission.
    Mission(MissionId),
    /// Every mission.
    Missions,
    /// Missions in a state.
    MissionStatus(MissionStatus),
    /// Missions of a project.
    MissionProject(Project),
    /// Missions that a role leads.
    Pilot(Role),
}

impl RowKey for Dim {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            Self::Priority(priority) => {
                key.push(b'p');
                write_name(priority.word(), key);
            }
            Self::Status(status) => {
                key.push(b's');
                write_name(status.word(), key);
            }
            Self::Ready => key.push(b'r'),
            Self::Project(project) => {
                key.push(b'j');
                write_name(project.stored(), key);
            }
            Self::Role(role) => {
                key.push(b'a');
                role.write(key);
            }
            Self::Reader(reader) => {
                key.push(b'i');
                reader.write(key);
            }
            Self::Mission(mission) => {
                key.push(b'm');
                mission.write(key);
            }
            Self::Missions => key.push(b'M'),
            Self::MissionStatus(status) => {
                key.push(b'S');
                write_name(status.word(), key);
            }
            Self::MissionProject(project) => {
                key.push(b'J');
                write_name(project.stored(), key);
            }
            Self::Pilot(role) => {
                key.push(b'P');
                role.write(key);
            }
        }
    }
}

/// One block of a set. Read back as the block's number alone: the set is what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BitsKey(pub(super) Option<Dim>, pub(super) u64);

impl RowKey for BitsKey {
    fn write(&self, key: &mut Vec<u8>) {
        if let Some(dim) = &self.0 {
            dim.write(key);
        }
        self.1.write(key);
    }
}

impl ListedKey for BitsKey {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (_, block) = key.split_last_chunk()?;
        *key = &[];
        Some(Self(None, u64::from_be_bytes(*block)))
    }
}

/// The members of a set in one block. No row where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskBits(pub(super) Bits);

impl Row for TaskBits {
    type Key = BitsKey;
    const TABLE: Table = Table::TaskBits;
}

impl HotRow for TaskBits {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.task_bits
    }
}

/// The sets that a task is in.
pub(super) fn dims_of(row: &TaskRow) -> Vec<Dim> {
    let state = &row.state;
    let mut dims = vec![
        Dim::Priority(state.priority),
        Dim::Status(state.status),
        Dim::Project(state.project.clone()),
    ];
    dims.extend(row.is_ready().then_some(Dim::Ready));
    dims.extend(state.mission.map(Dim::Mission));
    let given = state.assigned_to.iter();
    let given = given.map(|given| (&given.role, given.instance.as_ref()));
    let claims = state.claim.iter().map(|claim| &claim.by);
    let claimed = claims.map(|by| (&by.role, Some(&by.instance)));
    for (role, instance) in given.chain(claimed) {
        add(&mut dims, Dim::Role(role.clone()));
        if let Some(instance) = instance.cloned() {
            let role = role.clone();
            add(&mut dims, Dim::Reader(Reader { role, instance }));
        }
    }
    dims
}

/// Adds a set once.
fn add(dims: &mut Vec<Dim>, dim: Dim) {
    if !dims.contains(&dim) {
        dims.push(dim);
    }
}

/// The sets that a mission is in.
pub(super) fn mission_dims_of(state: &MissionState) -> Vec<Dim> {
    let mut dims = vec![
        Dim::Missions,
        Dim::MissionStatus(state.status),
        Dim::MissionProject(state.project.clone()),
    ];
    dims.extend(state.pilot.clone().map(Dim::Pilot));
    dims
}

/// The place in its sets of the mission with this ordinal: from behind, so that the newest come first.
pub(super) fn mission_place(ordinal: u64) -> u64 {
    u64::MAX - ordinal
}

impl TenantWriter<'_, '_> {
    /// Moves `place` from the sets `before` to the sets `after`.
    pub(super) fn move_between(
        &mut self,
        place: u64,
        before: &[Dim],
        after: &[Dim],
    ) -> Result<(), StoreError> {
        let (block, place) = split(place);
        for gone in before.iter().filter(|dim| !after.contains(dim)) {
            let row = self.edit::<TaskBits>(&BitsKey(Some(gone.clone()), block))?;
            if let Some(TaskBits(bits)) = row {
                bits.remove(place);
                if bits.is_empty() {
                    *row = None;
                }
            }
        }
        for new in after.iter().filter(|dim| !before.contains(dim)) {
            let key = BitsKey(Some(new.clone()), block);
            let row = self.edit::<TaskBits>(&key)?.get_or_insert_default();
            row.0.insert(place);
        }
        Ok(())
    }
}
