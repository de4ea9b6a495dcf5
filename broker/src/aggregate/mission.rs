//! Deciding what becomes of a mission. Pure.

use super::task::refusal;
use postroad_protocol::command::{CreateMission, UpdateMission};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::Actor;
use postroad_protocol::id::{Role, TenantId, TimeMs};
use postroad_protocol::task::{MissionState, MissionStatus, Project};

/// What a change of a mission comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision, and most decisions change something"
)]
pub(crate) enum MissionDecided {
    /// Store this.
    Changed(MissionState),
    /// It is so already.
    Already,
}

/// Roles that have to be on the roster before a change can be decided, and are not in the mission yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewRoles {
    /// At `pilot`.
    pub(crate) pilot: Option<Role>,
    /// At `agents`.
    pub(crate) agents: Vec<Role>,
}

/// The first state of a mission.
///
/// # Errors
/// `permission_denied` at `project` for another tenant's studio; `invalid_argument` at `dueAt` for one that would be due before
/// it begins.
pub(crate) fn create(
    tenant: &TenantId,
    command: &CreateMission,
    by: &Actor,
    time: TimeMs,
) -> Result<MissionState, Refusal> {
    let project = command.project.as_ref();
    let project = project.map_or(Ok(Project::Studio), |text| text.resolve(tenant))?;
    let state = MissionState {
        version: 1,
        title: command.title.clone(),
        brief: command.brief.clone(),
        pilot: command.pilot.clone(),
        agents: command.agents.clone(),
        project,
        priority: command.priority,
        status: command.status,
        starts_at: command.starts_at,
        due_at: command.due_at,
        created_by: by.clone(),
        created_at: time,
        ended_at: None,
    };
    check_dates(&state)?;
    Ok(state)
}

/// Refuses a mission that is to be complete before it is to begin.
fn check_dates(state: &MissionState) -> Result<(), Refusal> {
    match (state.starts_at, state.due_at) {
        (Some(start), Some(due)) if due < start => Err(Refusal::invalid(
            "dueAt",
            "the mission would be due before it begins",
            "name a dueAt at or after startsAt, or leave one of them out",
        )),
        _ => Ok(()),
    }
}

/// Decides over a change of a mission that stands as `state`.
///
/// # Errors
/// `invalid_argument` at `dueAt` for one that would be due before it begins;
/// `conflict` at `ifVersion`, `missionId` or `status` where its state stands against it, naming that state;
/// `permission_denied` at `project` for another tenant's studio.
pub(crate) fn change(
    tenant: &TenantId,
    state: &MissionState,
    command: &UpdateMission,
    time: TimeMs,
) -> Result<MissionDecided, Refusal> {
    if let Some(version) = command.if_version
        && version != state.version
    {
        let status = state.status.word();
        return Err(refusal::version("mission", state.version, status));
    }
    if state.status.has_ended() {
        return Err(ended(state));
    }
    let patch = &command.patch;
    let mut after = state.clone();
    if let Some(status) = patch.status {
        check_step(state.status, status)?;
        after.status = status;
        after.ended_at = status.has_ended().then_some(time);
    }
    if let Some(project) = &patch.project {
        after.project = project.resolve(tenant)?;
    }
    set(&mut after.title, patch.title.as_ref());
    set(&mut after.brief, patch.brief.as_ref());
    set(&mut after.pilot, patch.pilot.as_ref());
    set(&mut after.agents, patch.agents.as_ref());
    set(&mut after.priority, patch.priority.as_ref());
    set(&mut after.starts_at, patch.starts_at.as_ref());
    set(&mut after.due_at, patch.due_at.as_ref());
    if patch.starts_at.is_some() || patch.due_at.is_some() {
        check_dates(&after)?;
    }
    if after == *state {
        return Ok(MissionDecided::Already);
    }
    after.version = state.version.saturating_add(1);
    Ok(MissionDecided::Changed(after))
}

/// Which roles of `after` are not in the mission as it stands `before`, where it is there already.
pub(crate) fn new_roles(before: Option<&MissionState>, after: &MissionState) -> NewRoles {
    let pilot = before.and_then(|before| before.pilot.as_ref());
    let agents = before.map_or(&[][..], |before| before.agents.as_slice());
    let is_new = |role: &&Role| !agents.contains(role);
    NewRoles {
        pilot: after.pilot.clone().filter(|role| pilot != Some(role)),
        agents: after.agents.iter().filter(is_new).cloned().collect(),
    }
}

/// Decides whether a task may become a part of a mission, as it stands.
///
/// # Errors
/// At `missionId`: `not_found` where there is none, `conflict` where it has ended.
pub(crate) fn check_open(mission: Option<&MissionState>) -> Result<(), Refusal> {
    let mission = mission.ok_or_else(|| Refusal::not_found("missionId", "mission"))?;
    if mission.status.has_ended() {
        return Err(ended(mission));
    }
    Ok(())
}

/// A mission moves freely until it ends; it is complete only when it was carried out.
fn check_step(from: MissionStatus, to: MissionStatus) -> Result<(), Refusal> {
    let is_carried_out = matches!(from, MissionStatus::Execute | MissionStatus::Validate);
    if to != MissionStatus::Complete || is_carried_out {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::Conflict,
        format!("the mission is {from}: it does not become {to} from there"),
        "set it to execute or validate first, or to cancelled if it is not wanted any more",
    )
    .at("status"))
}

fn ended(state: &MissionState) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("the mission is {}: it has ended", state.status),
        "begin another one with create_mission, and name that one",
    )
    .at("missionId")
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

#[cfg(test)]
#[path = "mission_tests.rs"]
mod tests;
