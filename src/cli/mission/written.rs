//! `mission create`, `mission update`: what a mission says.

use crate::cli::failure::Failure;
use crate::cli::memory::command_id;
use crate::cli::session::Session;
use crate::cli::task::{long_text, priority, words};
use crate::cli::time;
use clap::{Args, ValueEnum};
use postroad_client::{MissionUpdate, NewMission};
use postroad_protocol::command::{MissionSaved, read_mission_id};
use postroad_protocol::task::{MissionStatus, TaskPriority};
use postroad_protocol::{Role, TimeMs};

/// Create a mission: something larger, which tasks then name as theirs.
///
/// It begins as `brainstorm`, where what it is to be is found out; in `plan` its tasks are laid out, in `execute`
/// they are done, and in `validate` what was done is looked at. Tasks join it with
/// `postroad task create --mission MISSION`. After exit code 6 run it again with the same --command-id.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad mission create 'Relaunch the landing page' --pilot tau --agent tau --agent phi --project landing-page
  postroad mission create 'Move to the new host' --status plan --due 2026-12-24 --brief - < brief.md
  MISSION=$(postroad mission create 'Spring cleaning' --json | jq -r .missionId)")]
pub(crate) struct CreateArgs {
    /// What it is, in one line of at most 256 bytes
    #[arg(value_name = "TITLE", allow_hyphen_values = true)]
    title: String,
    /// What it is for, at most 16 KiB; `-` reads it from stdin as it is
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    brief: Option<String>,
    /// The role that leads it
    #[arg(long, value_name = "ROLE")]
    pilot: Option<Role>,
    /// A role that takes part; may be given several times
    #[arg(long = "agent", value_name = "ROLE")]
    agents: Vec<Role>,
    /// Where it belongs: a name such as landing-page; by default studio/TENANT
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// How urgent it is; by default medium
    #[arg(long, value_name = "PRIORITY", value_parser = priority())]
    priority: Option<TaskPriority>,
    /// How it begins; by default brainstorm
    #[arg(long, value_name = "STATUS", value_parser = words(FIRST, MissionStatus::word))]
    status: Option<MissionStatus>,
    /// When it is to begin (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    starts: Option<TimeMs>,
    /// By when it is to be complete (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    due: Option<TimeMs>,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
}

/// States in which a mission can begin.
const FIRST: &[MissionStatus] = &[
    MissionStatus::Brainstorm,
    MissionStatus::Plan,
    MissionStatus::Execute,
];

/// Have a mission say, or stand, otherwise from now on; what you do not name stays.
///
/// While it is open it goes from any state to any other, and from `execute` or `validate` to `complete`. One that
/// is complete or cancelled takes no change any more. Agents that you give are all that take part from then on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad mission update 01890000-0000-8000-8000-000000000009 --status execute
  postroad mission update 01890000-0000-8000-8000-000000000009 --pilot phi --clear due --if-version 3")]
pub(crate) struct UpdateArgs {
    /// The mission
    #[arg(value_name = "MISSION")]
    mission: String,
    /// Another title
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    title: Option<String>,
    /// Another brief, at most 16 KiB; `-` reads it from stdin as it is
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    brief: Option<String>,
    /// Another role that leads it
    #[arg(long, value_name = "ROLE")]
    pilot: Option<Role>,
    /// A role that takes part, in place of those that do; may be given several times
    #[arg(long = "agent", value_name = "ROLE")]
    agents: Vec<Role>,
    /// Another project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Another priority
    #[arg(long, value_name = "PRIORITY", value_parser = priority())]
    priority: Option<TaskPriority>,
    /// Another state
    #[arg(long, value_name = "STATUS", value_parser = words(MissionStatus::ALL, MissionStatus::word))]
    status: Option<MissionStatus>,
    /// Another time at which it is to begin (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    starts: Option<TimeMs>,
    /// Another time by which it is to be complete (RFC 3339, a date, or `2d` from now)
    #[arg(long, value_name = "WHEN", value_parser = time::coming)]
    due: Option<TimeMs>,
    /// What to take away; may be given several times
    #[arg(long, value_enum, value_name = "FIELD")]
    clear: Vec<Cleared>,
    /// Only while the mission has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Id of the command, a UUID; a retry with the same id, and the same times, is stored once
    #[arg(long, value_name = "UUID")]
    command_id: Option<String>,
}

/// What an update can take away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cleared {
    /// What it is for
    Brief,
    /// Who leads it
    Pilot,
    /// Who takes part
    Agents,
    /// When it is to begin
    Starts,
    /// By when it is to be complete
    Due,
}

pub(super) async fn create(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let mission = mission_of(args)?;
    let saved = session.agent().await?.create_mission(&mission).await?;
    session.out.show(&saved, |style| {
        format!("{}  created", style.strong(&saved.mission_id.to_string()))
    })
}

fn mission_of(args: CreateArgs) -> Result<NewMission, Failure> {
    let mut mission = NewMission::new(args.title);
    if let Some(text) = args.brief {
        mission = mission.brief(long_text(text, "brief")?);
    }
    if let Some(pilot) = &args.pilot {
        mission = mission.pilot(pilot);
    }
    for role in &args.agents {
        mission = mission.agent(role);
    }
    if let Some(project) = args.project {
        mission = mission.project(project);
    }
    if let Some(priority) = args.priority {
        mission = mission.priority(priority);
    }
    if let Some(status) = args.status {
        mission = mission.status(status);
    }
    if let Some(time) = args.starts {
        mission = mission.starts_at(time);
    }
    if let Some(time) = args.due {
        mission = mission.due_at(time);
    }
    if let Some(text) = &args.command_id {
        mission = mission.with_id(command_id(text)?);
    }
    Ok(mission)
}

pub(super) async fn update(session: &Session, args: UpdateArgs) -> Result<(), Failure> {
    let update = update_of(args)?;
    let saved = session.agent().await?.update_mission(&update).await?;
    session.out.show(&saved, |style| {
        let id = style.strong(&saved.mission_id.to_string());
        format!("{id}  {}", told(&saved))
    })
}

fn told(saved: &MissionSaved) -> String {
    let done = if saved.already {
        "was so already; nothing changed"
    } else {
        "updated"
    };
    format!("{done}, {}, version {}", saved.status, saved.version)
}

fn update_of(args: UpdateArgs) -> Result<MissionUpdate, Failure> {
    let mut update = MissionUpdate::new(read_mission_id(&args.mission)?);
    for field in &args.clear {
        update = match field {
            Cleared::Brief => update.brief(""),
            Cleared::Pilot => update.pilot(None),
            Cleared::Agents => update.agents([]),
            Cleared::Starts => update.starts_at(None),
            Cleared::Due => update.due_at(None),
        };
    }
    if let Some(title) = args.title {
        update = update.title(title);
    }
    if let Some(text) = args.brief {
        update = update.brief(long_text(text, "brief")?);
    }
    if let Some(pilot) = &args.pilot {
        update = update.pilot(Some(pilot));
    }
    if !args.agents.is_empty() {
        update = update.agents(&args.agents);
    }
    if let Some(project) = args.project {
        update = update.project(project);
    }
    if let Some(priority) = args.priority {
        update = update.priority(priority);
    }
    if let Some(status) = args.status {
        update = update.status(status);
    }
    if let Some(time) = args.starts {
        update = update.starts_at(Some(time));
    }
    if let Some(time) = args.due {
        update = update.due_at(Some(time));
    }
    if let Some(version) = args.if_version {
        update = update.if_version(version);
    }
    if let Some(text) = &args.command_id {
        update = update.with_id(command_id(text)?);
    }
    Ok(update)
}
