//! Missions: what is to become of them, how they are asked for, and the operator's view of them.

use crate::client::{Client, Verb};
use crate::error::ClientError;
use crate::operator::{Operator, over};
use crate::queries::Page;
use crate::times::{wire_end, wire_ms};
use postroad_protocol::command::{MissionSaved, wire as command};
use postroad_protocol::query::{Missions, OneMission, wire as query};
use postroad_protocol::task::{MissionId, MissionStatus, TaskPriority};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, Role, TenantId, TimeMs};
use std::time::Duration;

/// A mission that is still to be created. Like [`crate::NewTask`] it has the id of its command from the start.
#[derive(Clone, Debug)]
#[must_use]
pub struct NewMission {
    id: CommandId,
    body: command::CreateMission,
}

impl NewMission {
    /// One of the tenant's studio, of medium priority, that begins with a brainstorm.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            id: CommandId::generate(),
            body: command::CreateMission {
                title: title.into(),
                ..command::CreateMission::default()
            },
        }
    }

    /// What it is for.
    pub fn brief(mut self, brief: impl Into<String>) -> Self {
        self.body.brief = Some(brief.into());
        self
    }

    /// The role that leads it.
    pub fn pilot(mut self, pilot: &Role) -> Self {
        self.body.pilot = Some(pilot.to_string());
        self
    }

    /// One role more that takes part.
    pub fn agent(mut self, role: &Role) -> Self {
        let agents = self.body.agents.get_or_insert_default();
        agents.push(role.to_string());
        self
    }

    /// Another project: a slug, or `studio/{tenant}`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.body.project = Some(project.into());
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: TaskPriority) -> Self {
        self.body.priority = Some(priority.word().to_owned());
        self
    }

    /// How it begins: `brainstorm`, `plan` or `execute`.
    pub fn status(mut self, status: MissionStatus) -> Self {
        self.body.status = Some(status.word().to_owned());
        self
    }

    /// When it is to begin.
    pub fn starts_at(mut self, time: TimeMs) -> Self {
        self.body.starts_at = Some(wire_ms(time));
        self
    }

    /// By when it is to be complete.
    pub fn due_at(mut self, time: TimeMs) -> Self {
        self.body.due_at = Some(wire_ms(time));
        self
    }

    /// Creates it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is created. The mission's own id follows from it and from who creates it.
    pub fn id(&self) -> CommandId {
        self.id
    }

    fn wire(&self) -> command::CreateMission {
        command::CreateMission {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

/// What a mission is to say from now on: what is named is set, the rest stays.
#[derive(Clone, Debug)]
#[must_use]
pub struct MissionUpdate {
    mission: MissionId,
    id: CommandId,
    body: command::UpdateMission,
}

impl MissionUpdate {
    /// Nothing yet, of this mission.
    pub fn new(mission: MissionId) -> Self {
        Self {
            mission,
            id: CommandId::generate(),
            body: command::UpdateMission {
                mission_id: mission.to_string(),
                ..command::UpdateMission::default()
            },
        }
    }

    /// Another title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.body.title = Some(title.into());
        self
    }

    /// Another brief; an empty text takes it away.
    pub fn brief(mut self, brief: impl Into<String>) -> Self {
        self.body.brief = Some(brief.into());
        self
    }

    /// Another pilot; `None`: it has none.
    pub fn pilot(mut self, pilot: Option<&Role>) -> Self {
        self.body.pilot = Some(pilot.map(ToString::to_string).unwrap_or_default());
        self
    }

    /// All who take part from now on; none takes them away.
    pub fn agents<'a>(mut self, all: impl IntoIterator<Item = &'a Role>) -> Self {
        self.body.agents = Some(all.into_iter().map(ToString::to_string).collect());
        self
    }

    /// Another project.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.body.project = Some(project.into());
        self
    }

    /// Another priority.
    pub fn priority(mut self, priority: TaskPriority) -> Self {
        self.body.priority = Some(priority.word().to_owned());
        self
    }

    /// Another state.
    pub fn status(mut self, status: MissionStatus) -> Self {
        self.body.status = Some(status.word().to_owned());
        self
    }

    /// Another time at which it is to begin; `None`: no time.
    pub fn starts_at(mut self, time: Option<TimeMs>) -> Self {
        self.body.starts_at = Some(wire_end(time));
        self
    }

    /// Another time by which it is to be complete; `None`: no time.
    pub fn due_at(mut self, time: Option<TimeMs>) -> Self {
        self.body.due_at = Some(wire_end(time));
        self
    }

    /// Only while the mission has this version.
    pub fn if_version(mut self, version: u64) -> Self {
        self.body.if_version = Some(version);
        self
    }

    /// Sends it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is sent.
    pub fn id(&self) -> CommandId {
        self.id
    }

    fn wire(&self) -> command::UpdateMission {
        command::UpdateMission {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

/// Which missions to list, the newest first.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MissionList {
    page: Page,
    project: Option<String>,
    status: Option<MissionStatus>,
    pilot: Option<Role>,
}

impl MissionList {
    /// At most so many missions: 1 to 200, 20 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.page = self.page.limit(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.page = self.page.after(cursor);
        self
    }

    /// Only of this project.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Only in this state.
    pub fn status(mut self, status: MissionStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Only led by this role.
    pub fn pilot(mut self, pilot: Role) -> Self {
        self.pilot = Some(pilot);
        self
    }

    fn wire(&self, reading: &query::Reading) -> query::ListMissions {
        let page = self.page.wire(reading);
        query::ListMissions {
            limit: page.limit,
            cursor: page.cursor,
            project: self.project.clone(),
            status: self.status.map(|status| status.word().to_owned()),
            pilot: self.pilot.as_ref().map(ToString::to_string),
            position: page.position,
            fresh: page.fresh,
        }
    }
}

impl Client {
    /// Creates a mission: something larger, of which tasks may be a part.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::OutcomeUnknown`] create the same one again.
    pub async fn create_mission(&self, mission: &NewMission) -> Result<MissionSaved, ClientError> {
        let verb = self.own(Scope::Tasks, "create_mission")?;
        self.command(verb, mission.id, &mission.wire()).await
    }

    /// Has a mission say, or stand, otherwise from now on.
    ///
    /// # Errors
    /// [`ClientError`]; `conflict` when it has ended or has another version.
    pub async fn update_mission(
        &self,
        update: &MissionUpdate,
    ) -> Result<MissionSaved, ClientError> {
        let verb = self.own(Scope::Tasks, "update_mission")?;
        let saved: MissionSaved = self.command(verb, update.id, &update.wire()).await?;
        super::expect(update.mission, saved.mission_id)?;
        Ok(saved)
    }

    /// One mission, with how far it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_mission(&self, mission: MissionId) -> Result<OneMission, ClientError> {
        let verb = self.own(Scope::Tasks, "get_mission")?;
        self.ask_mission(verb, mission).await
    }

    /// Missions, the newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_missions(&self, wanted: &MissionList) -> Result<Missions, ClientError> {
        let verb = self.own(Scope::Tasks, "list_missions")?;
        self.query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }

    async fn ask_mission(
        &self,
        verb: Verb<'_>,
        mission: MissionId,
    ) -> Result<OneMission, ClientError> {
        let asked = self.query(verb, Duration::ZERO, |reading| query::GetMission {
            mission_id: mission.to_string(),
            position: reading.position,
            fresh: reading.fresh,
        });
        let one: OneMission = asked.await?;
        super::expect(mission, one.mission.mission_id)?;
        Ok(one)
    }
}

impl Operator<'_> {
    /// One mission of a tenant, which is told so in its own log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_mission(
        &self,
        tenant: &TenantId,
        mission: MissionId,
    ) -> Result<OneMission, ClientError> {
        let verb = over(Some(tenant), Scope::Tasks, "get_mission");
        self.client.ask_mission(verb, mission).await
    }

    /// Missions of one tenant, or of all in order of name; told and paged as
    /// [`list_messages`](Self::list_messages) is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_missions(
        &self,
        tenant: Option<&TenantId>,
        wanted: &MissionList,
    ) -> Result<Missions, ClientError> {
        let verb = over(tenant, Scope::Tasks, "list_missions");
        self.client
            .query(verb, Duration::ZERO, |reading| wanted.wire(&reading))
            .await
    }
}
