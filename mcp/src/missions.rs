//! Missions as a model is shown them: a line each in a list, and one whole, with how far its tasks are.
//!
//! Owns the form of a mission in answers. Never asks for any.

use crate::answer::{ROWS_MAX_BYTES, json_len};
use crate::frame::{Frame, quoted};
use crate::messages::{ms, time};
use crate::parts::{self, count};
use crate::tasks::number;
use postroad_protocol::Role;
use postroad_protocol::command::MissionSaved;
use postroad_protocol::query::{Mission, Progress};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// What is kept free for the words and numbers that say where an answer was cut.
const CUT_WORDS_BYTES: usize = 600;

/// What a command on a mission answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    mission_id: String,
    status: &'static str,
    version: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
}

impl Saved {
    /// What was saved, in both forms.
    pub(crate) fn told(what: &str, saved: &MissionSaved) -> (Self, String) {
        let (id, status, version) = (saved.mission_id, saved.status, saved.version);
        let so = if saved.already { " (so before)" } else { "" };
        let text = format!("{what}{so}: missionId {id}, {status}, version {version}");
        let saved = Self {
            mission_id: id.to_string(),
            status: status.word(),
            version: number(version),
            already: saved.already,
        };
        (saved, text)
    }
}

/// The fields of a mission in a list.
pub(crate) fn each_mission(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "object"}, "description":
        "missionId, title, pilot, agents, project, priority, status, progress {total, todo, inProgress, done …, percent}, startsAt, dueAt, createdBy, version …"
    })
}

/// The schema of a mission where that of `list_missions` has said what it holds.
pub(crate) fn whole_mission(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "description": "As in list_missions, with brief"})
}

/// A mission in one line of a list.
pub(crate) fn line(mission: &Mission) -> String {
    let mut line = format!(
        "\n{} {}, {}, {}",
        mission.mission_id,
        mission.status,
        mission.priority,
        quoted(&mission.title)
    );
    if let Some(pilot) = &mission.pilot {
        line.push_str(&format!(", led by {pilot}"));
    }
    let Progress {
        total,
        done,
        percent,
        ..
    } = mission.progress;
    line.push_str(&format!(", {done} of {total} tasks done ({percent} %)"));
    if let Some(due) = mission.due_at {
        line.push_str(&format!(", due {}", time(ms(due))));
    }
    line
}

/// A mission in an answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    #[serde(flatten)]
    mission: Mission,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_content_offset: Option<i64>,
    /// Of the whole brief.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_bytes: Option<i64>,
}

/// A mission, with as much of its brief, from byte `offset` on, as one answer holds; in both forms.
pub(crate) fn part(mission: &Mission, offset: usize) -> (Shown, String) {
    let brief = mission.brief.as_deref().unwrap_or_default();
    let rest = &brief[offset..];
    let frame = Frame::around(&[brief]);
    let mut shown = Shown {
        mission: Mission {
            brief: None,
            ..mission.clone()
        },
        content_offset: (offset > 0).then(|| count(offset)),
        next_content_offset: None,
        content_bytes: None,
    };
    let mut text = head(mission);
    if rest.is_empty() {
        return (shown, text);
    }
    text.push_str(&format!("\n\n{}", frame.legend_for("agent")));
    let bare = serde_json::to_vec(&shown).map_or(0, |json| json.len());
    let room = ROWS_MAX_BYTES.saturating_sub(bare + json_len(&text) + CUT_WORDS_BYTES);
    let cut = parts::cut(rest, room);
    let rest = &rest[..cut.unwrap_or(rest.len())];
    let by = format!("{}/{}", mission.created_by, mission.created_by_instance_id);
    let by = match mission.version {
        1 => by,
        _ => format!("{by}, or whoever changed it"),
    };
    text.push_str(&format!("\n\nBrief:\n{}", frame.put(&by, rest)));
    shown.next_content_offset = cut.map(|cut| count(offset + cut));
    if cut.is_some() || offset > 0 {
        let whole = count(brief.len());
        let id = mission.mission_id.to_string();
        let call = ["get_mission", "missionId", &id];
        let next = shown.next_content_offset;
        text.push_str(&parts::told(count(offset), next, whole, call));
        shown.content_bytes = Some(whole);
    }
    shown.mission.brief = Some(rest.to_owned());
    (shown, text)
}

/// All of a mission but its brief, in words.
fn head(mission: &Mission) -> String {
    let mut head = format!(
        "Mission {}, version {}\n{}\n{}, priority {}, project {}",
        mission.mission_id,
        mission.version,
        quoted(&mission.title),
        mission.status,
        mission.priority,
        mission.project
    );
    if let Some(pilot) = &mission.pilot {
        head.push_str(&format!(", led by {pilot}"));
    }
    if !mission.agents.is_empty() {
        let agents: Vec<&str> = mission.agents.iter().map(Role::as_str).collect();
        head.push_str(&format!("\nwith {}", agents.join(", ")));
    }
    head.push_str(&progress(&mission.progress));
    for (what, at) in [("starts", mission.starts_at), ("due", mission.due_at)] {
        if let Some(at) = at {
            head.push_str(&format!("\n{what} {}", time(ms(at))));
        }
    }
    let (created, updated) = (time(ms(mission.created_at)), time(ms(mission.updated_at)));
    let (role, instance) = (&mission.created_by, &mission.created_by_instance_id);
    head.push_str(&format!(
        "\ncreated by {role}/{instance} {created}, updated {updated}"
    ));
    if let Some(ended) = mission.ended_at {
        head.push_str(&format!(", ended {}", time(ms(ended))));
    }
    head
}

/// Its tasks by their state, those states alone in which there are any.
fn progress(progress: &Progress) -> String {
    let Progress {
        total,
        todo,
        in_progress,
        review,
        blocked,
        done,
        failed,
        cancelled,
        percent,
    } = *progress;
    let states = [
        ("todo", todo),
        ("in_progress", in_progress),
        ("review", review),
        ("blocked", blocked),
        ("done", done),
        ("failed", failed),
        ("cancelled", cancelled),
    ];
    let counted = states.iter().filter(|(_, count)| *count > 0);
    let counted: Vec<String> = counted
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    match total {
        0 => "\nno tasks yet".to_owned(),
        _ => format!("\ntasks: {} ({percent} % done)", counted.join(", ")),
    }
}
