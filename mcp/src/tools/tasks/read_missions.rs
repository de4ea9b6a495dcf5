//! `list_missions` and `get_mission`.

use super::{Page, project, query};
use crate::answer::{Answer, ROWS_MAX_BYTES, fitting, row_cost};
use crate::args;
use crate::caller::Caller;
use crate::missions::{Shown, each_mission, line, part, whole_mission};
use crate::parts;
use crate::registry::{Effect, Tool};
use crate::tasks::NOTICE;
use crate::tools::STALE;
use postroad_client::{ClientError, MissionList};
use postroad_protocol::Refusal;
use postroad_protocol::command::read_mission_id;
use postroad_protocol::query::{Mission, Missions, Query};
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `list_missions`.
pub(crate) struct ListMissions;

/// Its arguments.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListArgs {
    project: Option<String>,
    #[schemars(extend("enum" = ["brainstorm", "plan", "execute", "validate", "complete", "cancelled"]))]
    status: Option<String>,
    /// A role
    pilot: Option<String>,
    /// 1 to 200, by default 20
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    #[schemars(schema_with = "each_mission")]
    missions: Vec<Mission>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for ListMissions {
    const NAME: &'static str = "list_missions";
    const TITLE: &'static str = "List missions";
    const ABOUT: &'static str = "Missions of your tenant, the newest first, and how far each is.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Reads;
    type Args = ListArgs;
    type Output = Listed;

    async fn call(caller: &Caller, args: ListArgs) -> Result<Answer<Listed>, ClientError> {
        let mut wanted = wanted(caller, &args)?;
        loop {
            let answer = caller.client().list_missions(&wanted).await?;
            let rows = answer.missions.iter();
            let costs = rows.map(|mission| row_cost(mission, &line(mission)));
            let fits = fitting(costs, ROWS_MAX_BYTES);
            if fits == answer.missions.len() {
                return Ok(told(answer));
            }
            // Once more with as many as fit, so that the cursor is the one behind the last that is shown.
            wanted = wanted.limit(u32::try_from(fits).unwrap_or(1));
        }
    }
}

fn wanted(caller: &Caller, args: &ListArgs) -> Result<MissionList, Refusal> {
    let limit = args::limit(args.limit)?;
    let Query::ListMissions(read) = query(ListMissions::NAME, args)? else {
        unreachable!("the body of a list reads as a list")
    };
    let mut wanted = MissionList::default();
    if let Some(limit) = limit {
        wanted = wanted.limit(limit);
    }
    if let Some(of) = &read.project {
        wanted = wanted.project(project(caller, of)?);
    }
    if let Some(status) = read.status {
        wanted = wanted.status(status);
    }
    if let Some(pilot) = read.pilot {
        wanted = wanted.pilot(pilot);
    }
    Ok(match &args.cursor {
        Some(cursor) => wanted.after(cursor),
        None => wanted,
    })
}

fn told(answer: Missions) -> Answer<Listed> {
    let page = Page {
        what: "Missions",
        tool: ListMissions::NAME,
        count: answer.missions.len(),
        truncated: answer.truncated,
        next_cursor: answer.next_cursor.as_deref(),
        stale: answer.stale,
    };
    let text = page.text(answer.missions.iter().map(line));
    let listed = Listed {
        notice: (!answer.missions.is_empty()).then_some(NOTICE),
        missions: answer.missions,
        truncated: answer.truncated,
        next_cursor: answer.next_cursor,
        stale: answer.stale,
    };
    Answer::new(listed, text)
}

/// `get_mission`.
pub(crate) struct GetMission;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetArgs {
    mission_id: String,
    /// nextContentOffset of an earlier answer
    content_offset: Option<i64>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct One {
    notice: &'static str,
    #[schemars(schema_with = "whole_mission")]
    mission: Shown,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl Tool for GetMission {
    const NAME: &'static str = "get_mission";
    const TITLE: &'static str = "Get a mission";
    const ABOUT: &'static str = "One mission, its brief and how far its tasks are. list_tasks with its missionId shows those.";
    const SCOPE: Scope = Scope::Tasks;
    const EFFECT: Effect = Effect::Reads;
    type Args = GetArgs;
    type Output = One;

    async fn call(caller: &Caller, args: GetArgs) -> Result<Answer<One>, ClientError> {
        let id = read_mission_id(&args.mission_id)?;
        let one = caller.client().get_mission(id).await?;
        let brief = one.mission.brief.as_deref().unwrap_or_default();
        let offset = parts::offset(args.content_offset, brief)?;
        let (mission, mut text) = part(&one.mission, offset);
        if one.stale {
            text.push_str(STALE);
        }
        let one = One {
            notice: NOTICE,
            mission,
            stale: one.stale,
        };
        Ok(Answer::new(one, text))
    }
}
