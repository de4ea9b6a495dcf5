//! How missions look to a person. Owns layout; never asks or prints anything.
//!
//! Everything that somebody else wrote goes through [`crate::cli::text`] first.

use crate::cli::output::Style;
use crate::cli::task::{due, head, margin};
use crate::cli::text::{absolute, one_line, relative};
use postroad_protocol::query::{Mission, Progress};
use postroad_protocol::{Role, TimeMs};

/// Missions, two lines each: how it stands and what it is; the id to go on with, and how far it is.
pub(super) fn list(
    style: Style,
    missions: &[Mission],
    now: TimeMs,
    width: Option<usize>,
) -> String {
    let blocks: Vec<String> = missions
        .iter()
        .map(|mission| entry(style, mission, now, width))
        .collect();
    blocks.join("\n")
}

fn entry(style: Style, mission: &Mission, now: TimeMs, width: Option<usize>) -> String {
    let status = mission.status.word();
    let mut text = head(style, mission.priority, status, &mission.title, width);
    let mut details = vec![project(mission)];
    if let Some(pilot) = &mission.pilot {
        details.push(format!("led by {pilot}"));
    }
    details.push(far(&mission.progress));
    text.push_str(&format!("\n  {}  ", mission.mission_id));
    text.push_str(&style.faint(&details.join(", ")));
    if let Some(time) = mission.due_at {
        let is_open = !mission.status.has_ended();
        text.push_str(&format!(", {}", due(style, time, is_open, now)));
    }
    text
}

fn project(mission: &Mission) -> String {
    let project = one_line(&mission.project);
    match &mission.tenant_id {
        Some(tenant) => format!("{tenant}: {project}"),
        None => project,
    }
}

/// How far a mission is, in a few words.
fn far(progress: &Progress) -> String {
    let wanted = progress.total.saturating_sub(progress.cancelled);
    if wanted == 0 {
        return "no tasks".to_owned();
    }
    format!("{} of {wanted} done ({}%)", progress.done, progress.percent)
}

/// The same, and how the others stand.
fn progress(progress: &Progress) -> String {
    let counts = [
        (progress.in_progress, "in progress"),
        (progress.review, "in review"),
        (progress.blocked, "blocked"),
        (progress.todo, "to do"),
        (progress.failed, "failed"),
        (progress.cancelled, "cancelled"),
    ];
    let told = counts.iter().filter(|(number, _)| *number > 0);
    let told = told.map(|(number, what)| format!("{number} {what}"));
    let parts: Vec<String> = std::iter::once(far(progress)).chain(told).collect();
    parts.join(", ")
}

/// One mission, with what it is for, and its times to the millisecond.
pub(super) fn full(style: Style, mission: &Mission, now: TimeMs) -> String {
    let status = mission.status.word();
    let mut text = head(style, mission.priority, status, &mission.title, None);
    if let Some(brief) = &mission.brief {
        text.push_str(&margin(brief));
    }
    let done = style.strong(&progress(&mission.progress));
    text.push_str(&format!("\n  progress: {done}"));
    let mut details = vec![
        format!("mission {}", mission.mission_id),
        format!("project {}", project(mission)),
    ];
    if let Some(pilot) = &mission.pilot {
        details.push(format!("led by {pilot}"));
    }
    if !mission.agents.is_empty() {
        let agents: Vec<&str> = mission.agents.iter().map(Role::as_str).collect();
        details.push(format!("agents {}", agents.join(", ")));
    }
    if let Some(time) = mission.starts_at {
        let told = if time > now { "starts" } else { "started" };
        let when = relative(time, now);
        details.push(format!("{told} {when} ({})", absolute(time)));
    }
    for detail in details {
        text.push_str(&format!("\n  {}", style.faint(&detail)));
    }
    if let Some(time) = mission.due_at {
        let is_open = !mission.status.has_ended();
        let exact = style.faint(&format!("({})", absolute(time)));
        text.push_str(&format!("\n  {} {exact}", due(style, time, is_open, now)));
    }
    for line in times(mission) {
        text.push_str(&format!("\n  {}", style.faint(&line)));
    }
    text
}

fn times(mission: &Mission) -> Vec<String> {
    let role = one_line(&mission.created_by);
    let instance = one_line(&mission.created_by_instance_id);
    let created = absolute(mission.created_at);
    let changed = absolute(mission.updated_at);
    let mut times = vec![
        format!("created {created} by {role}/{instance}"),
        format!("changed {changed}, version {}", mission.version),
    ];
    if let Some(ended) = mission.ended_at {
        times.push(format!("ended {}", absolute(ended)));
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_711_670_520_000);

    fn sample() -> Mission {
        serde_json::from_value(serde_json::json!({
            "missionId": "01890000-0000-8000-8000-000000000009", "title": "Relaunch\u{1b}[2J the page",
            "brief": "Faster.\nerror: not ours", "pilot": "tau", "agents": ["phi", "tau"],
            "project": "landing-page", "priority": "high", "status": "execute",
            "startsAt": 1_711_670_400_000_u64, "dueAt": 1_711_843_320_000_u64,
            "progress": {"total": 6, "todo": 1, "inProgress": 1, "done": 3, "cancelled": 1, "percent": 60},
            "createdBy": "bob", "createdByInstanceId": "pi", "createdAt": 1_711_670_400_000_u64,
            "updatedAt": 1_711_670_460_000_u64, "version": 2,
        }))
        .unwrap()
    }

    #[test]
    fn a_list_tells_how_far_missions_are() {
        let mut empty = sample();
        (empty.progress, empty.pilot, empty.due_at) = (Progress::default(), None, None);
        empty.tenant_id = Some("acme".parse().unwrap());
        insta::assert_snapshot!(list(Style::PLAIN, &[sample(), empty], NOW, None), @r"
        high    execute      Relaunch\x1b[2J the page
          01890000-0000-8000-8000-000000000009  landing-page, led by tau, 3 of 5 done (60%), due in 2d
        high    execute      Relaunch\x1b[2J the page
          01890000-0000-8000-8000-000000000009  acme: landing-page, no tasks
        ");
    }

    #[test]
    fn one_mission_shows_all_that_it_says() {
        insta::assert_snapshot!(full(Style::PLAIN, &sample(), NOW), @r"
        high    execute      Relaunch\x1b[2J the page
          │ Faster.
          │ error: not ours
          progress: 3 of 5 done (60%), 1 in progress, 1 to do, 1 cancelled
          mission 01890000-0000-8000-8000-000000000009
          project landing-page
          led by tau
          agents phi, tau
          started 2m ago (2024-03-29T00:00:00.000Z)
          due in 2d (2024-03-31T00:02:00.000Z)
          created 2024-03-29T00:00:00.000Z by bob/pi
          changed 2024-03-29T00:01:00.000Z, version 2
        ");
    }
}
