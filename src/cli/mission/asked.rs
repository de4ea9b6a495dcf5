//! `mission list`, `mission get`: which missions there are, and how far they are.

use super::shown;
use crate::cli::failure::Failure;
use crate::cli::memory::note_more;
use crate::cli::session::{Session, TenantsArg};
use crate::cli::task::{shown_list, width, words};
use crate::cli::text::one_line;
use clap::Args;
use postroad_client::{MissionList, TaskList};
use postroad_protocol::command::read_mission_id;
use postroad_protocol::query::{Mission, Task};
use postroad_protocol::task::MissionStatus;
use postroad_protocol::{Position, Role, TenantId, TimeMs};
use serde::Serialize;

/// List missions, the newest first, with how far each is; as the operator, a tenant's or everybody's.
///
/// How far it is are the hundredths of its tasks that are done, of all but those that were cancelled. With
/// --tenant or --all-tenants the operator sees every mission, tenant by tenant in order of name; each such read
/// is written into the log of every tenant that it touches.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad mission list
  postroad mission list --project landing-page --status execute
  postroad mission list --pilot tau --json
  postroad mission list --all-tenants")]
pub(crate) struct ListArgs {
    /// Only of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only in this state
    #[arg(long, value_name = "STATUS", value_parser = words(MissionStatus::ALL, MissionStatus::word))]
    status: Option<MissionStatus>,
    /// Only led by this role
    #[arg(long, value_name = "ROLE")]
    pilot: Option<Role>,
    /// Missions to show at most, 1 to 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what comes after the `nextCursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Whose missions, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

/// Show one mission: what it is for, who takes part, how far it is, and its tasks, those that have ended too.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad mission get 01890000-0000-8000-8000-000000000009
  postroad mission get 01890000-0000-8000-8000-000000000009 --json | jq .mission.progress")]
pub(crate) struct GetArgs {
    /// The mission
    #[arg(value_name = "MISSION")]
    mission: String,
    /// Tasks to show at most, 1 to 200
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// As the operator: of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
}

/// Answer of `mission get`, for programs: the mission, and the first of its tasks.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MissionDocument<'a> {
    mission: &'a Mission,
    tasks: &'a [Task],
    truncated: bool,
    next_cursor: Option<&'a str>,
    position: Position,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

pub(super) async fn get(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let mission = read_mission_id(&args.mission)?;
    let wanted = TaskList::default().mission(mission).limit(args.limit);
    let (one, tasks) = if let Some(tenant) = &args.tenant {
        let client = session.operator().await?;
        let operator = client.operator()?;
        let one = operator.get_mission(tenant, mission).await?;
        (one, operator.list_tasks(Some(tenant), &wanted).await?)
    } else {
        let client = session.agent().await?;
        let one = client.get_mission(mission).await?;
        (one, client.list_tasks(&wanted).await?)
    };
    let stale = one.stale || tasks.stale;
    let document = MissionDocument {
        mission: &one.mission,
        tasks: &tasks.tasks,
        truncated: tasks.truncated,
        next_cursor: tasks.next_cursor.as_deref(),
        position: one.position,
        stale,
    };
    session.out.show(&document, |style| {
        let now = TimeMs::now();
        let mut text = shown::full(style, &one.mission, now);
        if !tasks.tasks.is_empty() {
            text.push_str("\n\n");
            text.push_str(&shown_list(style, &tasks.tasks, now, width()));
        }
        text
    })?;
    if tasks.tasks.is_empty() {
        session.out.note(&format!(
            "\nno tasks yet; `postroad task create TITLE --mission {mission}` makes one"
        ));
    }
    if let Some(cursor) = &tasks.next_cursor {
        let cursor = one_line(cursor);
        session.out.note(&format!(
            "\nmore: postroad task list --all --mission {mission} --cursor {cursor}"
        ));
    }
    note_more(session, None, stale);
    Ok(())
}

pub(super) async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let wanted = wanted(args);
    let answer = if args.of.is_operators() {
        let client = session.operator().await?;
        let operator = client.operator()?;
        operator.list_missions(args.of.tenant(), &wanted).await?
    } else {
        session.agent().await?.list_missions(&wanted).await?
    };
    session.out.show(&answer, |style| {
        shown::list(style, &answer.missions, TimeMs::now(), width())
    })?;
    if answer.missions.is_empty() {
        session.out.note(match answer.next_cursor {
            // A page reads a bounded number of missions, whether they fit or not.
            Some(_) => "no such missions so far",
            None => "no such missions",
        });
    }
    note_more(session, answer.next_cursor.as_deref(), answer.stale);
    Ok(())
}

fn wanted(args: &ListArgs) -> MissionList {
    let mut wanted = MissionList::default();
    if let Some(project) = &args.project {
        wanted = wanted.project(project);
    }
    if let Some(status) = args.status {
        wanted = wanted.status(status);
    }
    if let Some(pilot) = &args.pilot {
        wanted = wanted.pilot(pilot.clone());
    }
    if let Some(limit) = args.limit {
        wanted = wanted.limit(limit);
    }
    if let Some(cursor) = &args.cursor {
        wanted = wanted.after(cursor);
    }
    wanted
}
