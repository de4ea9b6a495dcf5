//! Missions: as their last events left them, and how far they are. That is counted from their tasks, whether or not the mission's
//! own event is known.

use super::bits::{Dim, mission_dims_of, mission_place};
use super::read::{author_of, shown_project};
use super::rows::{TaskRow, named};
use super::walk::Walk;
use crate::read_model::batch::TenantWriter;
use crate::read_model::hot::{Hot, HotCache, HotRow};
use crate::read_model::overview::Room;
use crate::read_model::table::{Row, Table, TenantReader, unreadable};
use crate::store::StoreError;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::MissionChanged;
use postroad_protocol::id::{Role, TimeMs};
use postroad_protocol::query::{self, Progress};
use postroad_protocol::task::{MissionId, MissionState, MissionStatus, Project, TaskStatus};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

/// A mission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MissionRow {
    /// How many missions were created before it.
    ordinal: u64,
    /// When its last event happened.
    updated: TimeMs,
    #[serde(with = "named")]
    state: MissionState,
}

impl Row for MissionRow {
    type Key = MissionId;
    const TABLE: Table = Table::Missions;
}

/// The mission with an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MissionOrder(ByteArray<16>);

impl Row for MissionOrder {
    type Key = u64;
    const TABLE: Table = Table::MissionOrder;
}

/// How many tasks of a mission are in each state, in order of the states. No row where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProgressRow([u64; TaskStatus::ALL.len()]);

impl Row for ProgressRow {
    type Key = MissionId;
    const TABLE: Table = Table::MissionProgress;
}

impl HotRow for ProgressRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.progress
    }
}

impl ProgressRow {
    fn shown(self) -> Progress {
        let Self([todo, in_progress, review, blocked, done, failed, cancelled]) = self;
        let total = self.0.iter().sum();
        Progress {
            total,
            todo,
            in_progress,
            review,
            blocked,
            done,
            failed,
            cancelled,
            percent: (done * 100).checked_div(total - cancelled).unwrap_or(0),
        }
    }
}

/// Which missions are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissionsWanted {
    /// Only of this project.
    pub project: Option<Project>,
    /// Only in this state.
    pub status: Option<MissionStatus>,
    /// Only led by this role.
    pub pilot: Option<Role>,
}

impl MissionsWanted {
    fn dims(&self) -> Vec<Vec<Dim>> {
        let status = self.status.map(Dim::MissionStatus);
        let project = self.project.clone().map(Dim::MissionProject);
        let pilot = self.pilot.clone().map(Dim::Pilot);
        let dims: Vec<_> = [status, project, pilot].into_iter().flatten().collect();
        if dims.is_empty() {
            return vec![vec![Dim::Missions]];
        }
        dims.into_iter().map(|dim| vec![dim]).collect()
    }
}

/// A page of missions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissionPage {
    /// The newest first, without their briefs.
    pub missions: Vec<query::Mission>,
    /// The next page lies before this; none when this is the last.
    pub next_before: Option<u64>,
}

impl TenantWriter<'_, '_> {
    /// A mission came to be, or is another.
    pub(in crate::read_model) fn mission_changed(
        &mut self,
        record: &Record,
        data: &MissionChanged,
    ) -> Result<(), StoreError> {
        let id = data.mission_id;
        let before = self.get::<MissionRow>(&id)?;
        let ordinal = if let Some(before) = &before {
            before.ordinal
        } else {
            let tenant = self.tenant_row()?;
            let ordinal = tenant.missions;
            tenant.missions += 1;
            let named = MissionOrder(ByteArray::new(*id.as_bytes()));
            self.append_row(&ordinal, &named);
            ordinal
        };
        let was = before.map_or_else(Vec::new, |before| mission_dims_of(&before.state));
        self.move_between(mission_place(ordinal), &was, &mission_dims_of(&data.state))?;
        let row = MissionRow {
            ordinal,
            updated: record.time,
            state: data.state.clone(),
        };
        self.put(&id, &row)
    }

    /// A task was `before`, and is `after`: its missions are as much further.
    pub(super) fn move_progress(
        &mut self,
        before: Option<&TaskRow>,
        after: &TaskRow,
    ) -> Result<(), StoreError> {
        let counted = |row: &TaskRow| Some((row.state.mission?, row.state.status));
        let (was, is) = (before.and_then(counted), counted(after));
        if was == is {
            return Ok(());
        }
        if let Some((mission, status)) = was {
            let row = self.edit::<ProgressRow>(&mission)?;
            let mut progress = row.unwrap_or_default();
            let count = &mut progress.0[status as usize];
            *count = count.saturating_sub(1);
            *row = Some(progress).filter(|progress| *progress != ProgressRow::default());
        }
        if let Some((mission, status)) = is {
            let row = self.edit::<ProgressRow>(&mission)?;
            row.get_or_insert_default().0[status as usize] += 1;
        }
        Ok(())
    }
}

impl TenantReader<'_> {
    /// One mission, whole.
    pub fn mission(&self, id: MissionId) -> Result<Option<query::Mission>, StoreError> {
        let Some(row) = self.get::<MissionRow>(&id)? else {
            return Ok(None);
        };
        let brief = Some(row.state.brief.clone()).filter(|brief| !brief.is_empty());
        let mission = self.shown_mission(id, row)?;
        Ok(Some(query::Mission { brief, ..mission }))
    }

    /// Whether the mission is the tenant's.
    pub fn has_mission(&self, id: MissionId) -> Result<bool, StoreError> {
        Ok(self.get::<MissionRow>(&id)?.is_some())
    }

    /// Missions before the place `before`, the newest first, as far as `wanted` narrows them and `room` allows.
    pub fn missions(
        &self,
        wanted: &MissionsWanted,
        before: Option<u64>,
        room: &mut Room,
    ) -> Result<MissionPage, StoreError> {
        let mut page = MissionPage::default();
        let mut passed = before.unwrap_or(u64::MAX);
        // The place of an ordinal is its own opposite, so what lies before one begins behind its place.
        let first = before.map_or(0, |before| mission_place(before).saturating_add(1));
        let mut walk = Walk::open(self, wanted.dims(), first);
        while let Some(place) = walk.next()? {
            let ordinal = mission_place(place);
            let MissionOrder(id) = self
                .get(&ordinal)?
                .ok_or_else(|| unreadable(Table::MissionOrder))?;
            let id = MissionId::from_bytes(id.into_array());
            let row = self
                .get::<MissionRow>(&id)?
                .ok_or_else(|| unreadable(Table::Missions))?;
            let bytes = row.state.title.len() + MISSION_BYTES + row.state.agents.len() * NAME_BYTES;
            if room.is_spent() || !room.holds(bytes) {
                page.next_before = Some(passed);
                break;
            }
            room.look(bytes, true);
            page.missions.push(self.shown_mission(id, row)?);
            passed = ordinal;
        }
        Ok(page)
    }

    /// The mission as callers see it, without its brief.
    fn shown_mission(&self, id: MissionId, row: MissionRow) -> Result<query::Mission, StoreError> {
        let progress = self.get::<ProgressRow>(&id)?.unwrap_or_default();
        let state = row.state;
        let (created_by, created_by_instance_id) = author_of(&state.created_by);
        Ok(query::Mission {
            tenant_id: None,
            mission_id: id,
            title: state.title,
            brief: None,
            pilot: state.pilot,
            agents: state.agents,
            project: shown_project(self, &state.project),
            priority: state.priority,
            status: state.status,
            starts_at: state.starts_at,
            due_at: state.due_at,
            progress: progress.shown(),
            created_by,
            created_by_instance_id,
            created_at: state.created_at,
            updated_at: row.updated,
            ended_at: state.ended_at,
            version: state.version,
        })
    }
}

/// About what a mission takes in an answer beside its texts.
const MISSION_BYTES: usize = 640;
/// About what a name takes there.
const NAME_BYTES: usize = 32;
