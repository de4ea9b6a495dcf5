//! Missions: made, and changed.

use super::stated::{Change, Settled, Writer};
use super::{Handler, Request};
use crate::aggregate::address::Place;
use crate::aggregate::mission::{MissionDecided, NewRoles, change, create, new_roles};
use crate::answer::Answer;
use postroad_protocol::command::{CreateMission, MissionCommand, MissionSaved, UpdateMission};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{Asked, Event, MissionChange, MissionChanged};
use postroad_protocol::id::TimeMs;
use postroad_protocol::subject::AggregateKey;
use postroad_protocol::task::{MissionId, MissionState};

/// A change of one mission.
struct ChangeOf<'a> {
    writer: &'a Writer<'a>,
    command: &'a UpdateMission,
    asked: Asked,
    time: TimeMs,
}

impl ChangeOf<'_> {
    fn event(&self, state: MissionState) -> Event {
        Event::from(MissionChanged {
            mission_id: self.command.mission,
            change: MissionChange::Updated,
            asked: self.asked,
            state,
        })
    }
}

impl Change for ChangeOf<'_> {
    fn aggregate(&self) -> AggregateKey {
        AggregateKey::Mission(self.command.mission)
    }

    fn absent(&self) -> Refusal {
        no_mission()
    }

    fn attempt(&self, last: &Event) -> Option<Event> {
        Some(self.event(changed(last)?.state.clone()))
    }

    async fn decide(&self, handler: &Handler, last: &Event) -> Result<Option<Event>, Refusal> {
        let Some(MissionChanged { state, .. }) = changed(last) else {
            return Err(no_mission());
        };
        let tenant = self.writer.scope.tenant();
        match change(tenant, state, self.command, self.time)? {
            MissionDecided::Changed(after) => {
                let roles = new_roles(Some(state), &after);
                handler.expect_roles(self.writer, &roles).await?;
                Ok(Some(self.event(after)))
            }
            MissionDecided::Already => Ok(None),
        }
    }
}

impl Handler {
    /// Makes or changes a mission.
    pub(super) async fn mission(
        &self,
        request: &Request,
        command: MissionCommand,
    ) -> Result<Answer, Refusal> {
        let asked = command.asked();
        let writer = self.agent_writer(request).await?;
        let settled = match command {
            MissionCommand::Create(command) => {
                self.create_mission(request, &writer, &command, asked)
                    .await?
            }
            MissionCommand::Update(command) => {
                let change = ChangeOf {
                    writer: &writer,
                    command: &command,
                    asked,
                    time: request.time,
                };
                self.change(request, &writer, &change).await?
            }
        };
        let saved = changed(&settled.event).ok_or_else(no_mission)?;
        Ok(Answer::MissionSaved(MissionSaved {
            mission_id: saved.mission_id,
            status: saved.state.status,
            version: saved.state.version,
            position: settled.position,
            already: settled.already,
        }))
    }

    async fn create_mission(
        &self,
        request: &Request,
        writer: &Writer<'_>,
        command: &CreateMission,
        asked: Asked,
    ) -> Result<Settled, Refusal> {
        let state = create(writer.scope.tenant(), command, &writer.by, request.time)?;
        let roles = new_roles(None, &state);
        let event = MissionChanged {
            mission_id: MissionId::of(writer.key(request)),
            change: MissionChange::Created,
            asked,
            state,
        };
        let draft = writer.draft(request, event);
        let event = draft.event.clone();
        let decided = Box::pin(async {
            self.expect_roles(writer, &roles).await?;
            self.expect_room(writer.scope, &writer.by, &event).await
        });
        let appended = self.store_decided(draft, "commandId", decided).await?;
        Ok(appended.into())
    }

    /// Refuses who cannot lead a mission, or take part in it, for not being there.
    async fn expect_roles(&self, writer: &Writer<'_>, roles: &NewRoles) -> Result<(), Refusal> {
        let pilot = roles.pilot.iter().map(|role| (Place::Pilot, role));
        let agents = roles.agents.iter().map(|role| (Place::Agents, role));
        for (place, role) in pilot.chain(agents) {
            self.expect_served(writer.scope, writer.shard, place, role, None)
                .await?;
        }
        Ok(())
    }
}

fn changed(event: &Event) -> Option<&MissionChanged> {
    match event {
        Event::MissionChanged(changed) => Some(changed),
        _ => None,
    }
}

fn no_mission() -> Refusal {
    Refusal::not_found("missionId", "mission")
}
