//! Commands on missions as callers write them, field by field.

#![expect(
    clippy::option_option,
    reason = "a field is left out, taken away or set: three things"
)]

use super::read::identify;
use super::task::{
    check_count, read_end, read_long, read_mission_id, read_priority, read_project, read_title,
};
use super::text::read_time;
use super::{Command, Identified, wire};
use crate::error::Refusal;
use crate::event::Asked;
use crate::id::{Role, TimeMs};
use crate::limits;
use crate::task::{MissionId, MissionStatus, ProjectText, TaskPriority};
use serde::Serialize;

/// A checked command on a mission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissionCommand {
    /// Make one.
    Create(CreateMission),
    /// Change one.
    Update(UpdateMission),
}

/// A checked `create_mission`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateMission {
    /// 1 to 256 bytes, one line.
    pub title: String,
    /// At most 16 KiB.
    pub brief: String,
    /// Who leads it.
    pub pilot: Option<Role>,
    /// In order, each once.
    pub agents: Vec<Role>,
    /// None: the tenant's studio.
    pub project: Option<ProjectText>,
    /// How urgent.
    pub priority: TaskPriority,
    /// `brainstorm`, `plan` or `execute`.
    pub status: MissionStatus,
    /// When it is to begin.
    pub starts_at: Option<TimeMs>,
    /// By when it is to be complete.
    pub due_at: Option<TimeMs>,
}

/// A checked `update_mission`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpdateMission {
    /// Which.
    pub mission: MissionId,
    /// The version that it has to have.
    pub if_version: Option<u64>,
    /// What is to be different: something at least.
    pub patch: MissionPatch,
}

/// What `update_mission` changes: what is named is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MissionPatch {
    /// The title.
    pub title: Option<String>,
    /// The brief.
    pub brief: Option<String>,
    /// Who leads it; nobody.
    pub pilot: Option<Option<Role>>,
    /// All who take part, in order, each once.
    pub agents: Option<Vec<Role>>,
    /// The project.
    pub project: Option<ProjectText>,
    /// The priority.
    pub priority: Option<TaskPriority>,
    /// The state.
    pub status: Option<MissionStatus>,
    /// When it is to begin; no time.
    pub starts_at: Option<Option<TimeMs>>,
    /// By when it is to be complete; no time.
    pub due_at: Option<Option<TimeMs>>,
}

impl MissionCommand {
    /// What it asks for, as events keep it.
    pub fn asked(&self) -> Asked {
        match self {
            Self::Create(command) => Asked::of(command),
            Self::Update(command) => Asked::of(command),
        }
    }
}

pub(super) fn read_create(wire: wire::CreateMission) -> Result<Identified, Refusal> {
    let status = match read_mission_status(wire.status.as_deref())? {
        None => MissionStatus::Brainstorm,
        Some(
            status @ (MissionStatus::Brainstorm | MissionStatus::Plan | MissionStatus::Execute),
        ) => status,
        Some(_) => {
            return Err(Refusal::invalid(
                "status",
                "no mission begins like this",
                "begin with brainstorm, plan or execute",
            ));
        }
    };
    let command = CreateMission {
        title: read_title(&wire.title)?,
        brief: read_long(wire.brief, "brief")?.unwrap_or_default(),
        pilot: read_pilot(wire.pilot.as_deref())?.flatten(),
        agents: read_agents(&wire.agents.unwrap_or_default())?,
        project: read_project(wire.project.as_deref())?,
        priority: read_priority(wire.priority.as_deref())?.unwrap_or(TaskPriority::Medium),
        status,
        starts_at: read_time(wire.starts_at, "startsAt")?,
        due_at: read_time(wire.due_at, "dueAt")?,
    };
    let command = Command::Mission(MissionCommand::Create(command));
    identify(wire.command_id.as_deref(), "commandId", command)
}

pub(super) fn read_update(wire: wire::UpdateMission) -> Result<Identified, Refusal> {
    let patch = MissionPatch {
        title: wire.title.as_deref().map(read_title).transpose()?,
        brief: read_long(wire.brief, "brief")?,
        pilot: read_pilot(wire.pilot.as_deref())?,
        agents: wire.agents.as_deref().map(read_agents).transpose()?,
        project: read_project(wire.project.as_deref())?,
        priority: read_priority(wire.priority.as_deref())?,
        status: read_mission_status(wire.status.as_deref())?,
        starts_at: read_end(wire.starts_at, "startsAt")?,
        due_at: read_end(wire.due_at, "dueAt")?,
    };
    if patch == MissionPatch::default() {
        return Err(Refusal::invalid(
            "title",
            "nothing is named to change",
            "give title, brief, pilot, agents, project, priority, status, startsAt or dueAt",
        ));
    }
    let command = UpdateMission {
        mission: read_mission_id(&wire.mission_id)?,
        if_version: wire.if_version,
        patch,
    };
    let command = Command::Mission(MissionCommand::Update(command));
    identify(wire.command_id.as_deref(), "commandId", command)
}

pub(crate) fn read_mission_status(text: Option<&str>) -> Result<Option<MissionStatus>, Refusal> {
    text.map(|word| {
        MissionStatus::parse(word).ok_or_else(|| {
            Refusal::invalid(
                "status",
                "there is no such state",
                "use brainstorm, plan, execute, validate, complete or cancelled",
            )
        })
    })
    .transpose()
}

fn read_pilot(text: Option<&str>) -> Result<Option<Option<Role>>, Refusal> {
    match text {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => {
            let role = Role::parse(text).map_err(|error| error.at("pilot"))?;
            Ok(Some(Some(role)))
        }
    }
}

fn read_agents(names: &[String]) -> Result<Vec<Role>, Refusal> {
    check_count(names.len(), limits::MISSION_AGENTS_MAX, "agents")?;
    let read = |text: &String| Role::parse(text).map_err(|error| error.at("agents"));
    let mut roles = names.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}
