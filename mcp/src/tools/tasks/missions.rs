//! `create_mission` and `update_mission`.

use super::{command, project};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::missions::Saved;
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, MissionUpdate, NewMission};
use postroad_protocol::Refusal;
use postroad_protocol::command::{Command, MissionCommand};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `create_mission`.
pub(crate) struct CreateMission;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateArgs {
    title: String,
    /// What it is for, at most 16 KiB
    brief: Option<String>,
    /// The role that leads it
    pilot: Option<String>,
    /// Roles that take part
    agents: Option<Vec<String>>,
    /// studio/{your tenant} (the default), or a slug
    project: Option<String>,
    #[schemars(extend("enum" = ["urgent", "high", "medium", "low"]))]
    priority: Option<String>,
    #[schemars(extend("enum" = ["brainstorm", "plan", "execute"]))]
    status: Option<String>,
    /// Milliseconds since 1970
    starts_at: Option<i64>,
    due_at: Option<i64>,
    command_id: Option<String>,
}

impl Tool for CreateMission {
    const NAME: &'static str = "create_mission";
    const TITLE: &'static str = "Create a mission";
    const ABOUT: &'static str = "Begins something larger; create_task with its missionId makes its parts. \
        It goes brainstorm, plan, execute, validate, complete.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Adds;
    type Args = CreateArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: CreateArgs) -> Result<Answer<Saved>, ClientError> {
        let mission = new_mission(caller, &args)?;
        let saved = caller.client().create_mission(&mission).await?;
        let (saved, text) = Saved::told("Created", &saved);
        Ok(Answer::new(saved, text))
    }
}

fn new_mission(caller: &Caller, args: &CreateArgs) -> Result<NewMission, Refusal> {
    let read = command(CreateMission::NAME, args)?;
    let Command::Mission(MissionCommand::Create(wanted)) = read.command else {
        unreachable!("the body of a mission reads as a mission")
    };
    let mut mission = NewMission::new(wanted.title)
        .brief(wanted.brief)
        .priority(wanted.priority)
        .status(wanted.status)
        .with_id(read.id);
    if let Some(pilot) = &wanted.pilot {
        mission = mission.pilot(pilot);
    }
    for role in &wanted.agents {
        mission = mission.agent(role);
    }
    if let Some(wanted) = &wanted.project {
        mission = mission.project(project(caller, wanted)?);
    }
    if let Some(time) = wanted.starts_at {
        mission = mission.starts_at(time);
    }
    if let Some(time) = wanted.due_at {
        mission = mission.due_at(time);
    }
    Ok(mission)
}

/// `update_mission`.
pub(crate) struct UpdateMission;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateArgs {
    mission_id: String,
    title: Option<String>,
    brief: Option<String>,
    /// "" for none
    pilot: Option<String>,
    /// All of them; [] for none
    agents: Option<Vec<String>>,
    project: Option<String>,
    #[schemars(extend("enum" = ["urgent", "high", "medium", "low"]))]
    priority: Option<String>,
    #[schemars(extend("enum" = ["brainstorm", "plan", "execute", "validate", "complete", "cancelled"]))]
    status: Option<String>,
    /// 0: no time
    starts_at: Option<i64>,
    /// 0: no time
    due_at: Option<i64>,
    if_version: Option<u64>,
}

impl Tool for UpdateMission {
    const NAME: &'static str = "update_mission";
    const TITLE: &'static str = "Update a mission";
    const ABOUT: &'static str = "Changes what a mission says or how it stands: what you name is set, the \
        rest stays. complete (from execute or validate) and cancelled are for good.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Sets;
    type Args = UpdateArgs;
    type Output = Saved;

    async fn call(caller: &Caller, args: UpdateArgs) -> Result<Answer<Saved>, ClientError> {
        let update = update(caller, &args)?;
        let saved = caller.client().update_mission(&update).await?;
        let (saved, text) = Saved::told("Updated", &saved);
        Ok(Answer::new(saved, text))
    }
}

fn update(caller: &Caller, args: &UpdateArgs) -> Result<MissionUpdate, Refusal> {
    let read = command(UpdateMission::NAME, args)?;
    let Command::Mission(MissionCommand::Update(wanted)) = read.command else {
        unreachable!("the body of an update reads as an update")
    };
    let mut update = MissionUpdate::new(wanted.mission).with_id(read.id);
    if let Some(version) = wanted.if_version {
        update = update.if_version(version);
    }
    let patch = wanted.patch;
    if let Some(title) = patch.title {
        update = update.title(title);
    }
    if let Some(brief) = patch.brief {
        update = update.brief(brief);
    }
    if let Some(pilot) = &patch.pilot {
        update = update.pilot(pilot.as_ref());
    }
    if let Some(agents) = &patch.agents {
        update = update.agents(agents);
    }
    if let Some(wanted) = &patch.project {
        update = update.project(project(caller, wanted)?);
    }
    if let Some(priority) = patch.priority {
        update = update.priority(priority);
    }
    if let Some(status) = patch.status {
        update = update.status(status);
    }
    if let Some(time) = patch.starts_at {
        update = update.starts_at(time);
    }
    if let Some(time) = patch.due_at {
        update = update.due_at(time);
    }
    Ok(update)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_broker_would_refuse_is_refused_with_the_same_field() {
        for (args, field) in [
            (json!({"title": ""}), "title"),
            (json!({"title": "x", "pilot": "a b"}), "pilot"),
            (json!({"title": "x", "agents": ["a b"]}), "agents"),
            (json!({"title": "x", "status": "validate"}), "status"),
            (json!({"title": "x", "startsAt": -1}), "startsAt"),
        ] {
            let args: CreateArgs = serde_json::from_value(args).unwrap();
            let refusal = command("create_mission", &args).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field));
        }
        let id = "01890000-0000-7000-8000-000000000001";
        for (args, field) in [
            (json!({"missionId": "mine", "title": "x"}), "missionId"),
            (json!({"missionId": id}), "title"),
            (json!({"missionId": id, "status": "done"}), "status"),
        ] {
            let args: UpdateArgs = serde_json::from_value(args).unwrap();
            let refusal = command("update_mission", &args).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field));
        }
    }
}
