//! How tasks look to a person. Owns layout; never asks or prints anything.
//!
//! Everything that somebody else wrote goes through [`crate::cli::text`] first.

use crate::cli::output::Style;
use crate::cli::text::{absolute, count, lines, one_line, relative};
use postroad_protocol::TimeMs;
use postroad_protocol::query::{Task, TaskNote};
use postroad_protocol::task::{TaskPriority, TaskStatus};
use unicode_width::UnicodeWidthChar;

/// Columns of the longest word for a priority, and of the longest for a state, with what parts them.
const PRIORITY_WIDTH: usize = 8;
const STATE_WIDTH: usize = 13;

/// Columns of the terminal, where there is one.
pub(in crate::cli) fn width() -> Option<usize> {
    comfy_table::Table::new().width().map(usize::from)
}

/// Tasks, two lines each: how it stands and what it is; the id to go on with, where it belongs, whose it is.
pub(in crate::cli) fn list(
    style: Style,
    tasks: &[Task],
    now: TimeMs,
    width: Option<usize>,
) -> String {
    let blocks: Vec<String> = tasks
        .iter()
        .map(|task| entry(style, task, now, width))
        .collect();
    blocks.join("\n")
}

fn entry(style: Style, task: &Task, now: TimeMs, width: Option<usize>) -> String {
    let mut details = vec![project(task.tenant_id.as_ref(), &task.project)];
    details.extend(whose(task));
    if !task.waiting_on.is_empty() {
        let number = count(task.waiting_on.len() as u64, "task");
        details.push(format!("waits for {number}"));
    }
    let mut text = head(style, task.priority, state(task), &task.title, width);
    text.push_str(&format!("\n  {}  ", task.task_id));
    text.push_str(&style.faint(&details.join(", ")));
    if let Some(time) = task.due_at {
        let is_open = !task.status.has_ended();
        text.push_str(&format!(", {}", due(style, time, is_open, now)));
    }
    text
}

/// Priority, state and title, in columns, in one line that fits.
pub(in crate::cli) fn head(
    style: Style,
    priority: TaskPriority,
    state: &str,
    title: &str,
    width: Option<usize>,
) -> String {
    let word = format!("{priority:<PRIORITY_WIDTH$}", priority = priority.word());
    let word = match priority {
        TaskPriority::Urgent => style.alarm(&word),
        TaskPriority::High => style.strong(&word),
        TaskPriority::Medium => word,
        TaskPriority::Low => style.faint(&word),
    };
    let room = width.map(|width| width.saturating_sub(PRIORITY_WIDTH + STATE_WIDTH));
    let title = fitted(&one_line(title), room);
    format!("{word}{state:<STATE_WIDTH$}{}", style.strong(&title))
}

/// A text that is cut where it is wider than `room` columns, of which some characters take two.
fn fitted(text: &str, room: Option<usize>) -> String {
    let columns = |character: char| character.width().unwrap_or(0);
    let room = room.map_or(usize::MAX, |room| room.max(8));
    if text.chars().map(columns).sum::<usize>() <= room {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = text.chars().take_while(|character| {
        taken += columns(*character);
        taken < room
    });
    format!("{}…", fits.collect::<String>().trim_end())
}

/// How a task stands: what is `todo` is ready, or waits.
fn state(task: &Task) -> &'static str {
    match task.status {
        TaskStatus::Todo if task.ready => "ready",
        TaskStatus::Todo => "waiting",
        status => status.word(),
    }
}

fn project(tenant: Option<&postroad_protocol::TenantId>, project: &str) -> String {
    match tenant {
        Some(tenant) => format!("{tenant}: {}", one_line(project)),
        None => one_line(project),
    }
}

/// Who works on it, or did; else to whom it is given.
fn whose(task: &Task) -> Option<String> {
    if let (Some(role), Some(instance)) = (&task.claimed_by, &task.claimed_by_instance_id) {
        return Some(format!("{role}/{instance}"));
    }
    given(task).map(|to| format!("for {to}"))
}

fn given(task: &Task) -> Option<String> {
    let role = task.assigned_to.as_ref()?;
    Some(match &task.assigned_to_instance_id {
        Some(instance) => format!("{role}/{instance}"),
        None => role.to_string(),
    })
}

/// By when something is to be done; it stands out where that time has passed.
pub(in crate::cli) fn due(style: Style, time: TimeMs, is_open: bool, now: TimeMs) -> String {
    let told = format!("due {}", relative(time, now));
    if is_open && time <= now {
        return style.alarm(&told);
    }
    style.faint(&told)
}

/// A text behind a margin, which keeps it from passing for something that this program says.
pub(in crate::cli) fn margin(text: &str) -> String {
    let mut block = String::new();
    for line in lines(text) {
        block.push_str("\n  │ ");
        block.push_str(&line);
    }
    block
}

/// One task, with all that it says, and its times to the millisecond.
pub(super) fn full(style: Style, task: &Task, now: TimeMs) -> String {
    let mut text = head(style, task.priority, state(task), &task.title, None);
    if let Some(description) = &task.description {
        text.push_str(&margin(description));
    }
    for detail in details(task, now) {
        text.push_str(&format!("\n  {}", style.faint(&detail)));
    }
    if let Some(time) = task.due_at {
        let is_open = !task.status.has_ended();
        let told = due(style, time, is_open, now);
        text.push_str(&format!(
            "\n  {told} {}",
            style.faint(&format!("({})", absolute(time)))
        ));
    }
    let by = |role: &str, instance: &str| format!("{}/{}", one_line(role), one_line(instance));
    let author = by(&task.created_by, &task.created_by_instance_id);
    let mut times = vec![
        format!("created {} by {author}", absolute(task.created_at)),
        format!(
            "changed {}, version {}",
            absolute(task.updated_at),
            task.version
        ),
    ];
    if let Some(ended) = task.ended_at {
        times.push(format!("ended {}", absolute(ended)));
    }
    for line in times {
        text.push_str(&format!("\n  {}", style.faint(&line)));
    }
    for note in &task.notes {
        text.push_str(&noted(style, note, now));
    }
    text
}

fn noted(style: Style, note: &TaskNote, now: TimeMs) -> String {
    let author = style.strong(&one_line(&note.by));
    let when = style.faint(&relative(note.at, now));
    format!("\n\n{author}  {when}{}", margin(&note.text))
}

fn details(task: &Task, now: TimeMs) -> Vec<String> {
    let tenant = task.tenant_id.as_ref();
    let mut details = vec![
        format!("task {}", task.task_id),
        format!("project {}", project(tenant, &task.project)),
    ];
    if let Some(to) = given(task) {
        details.push(format!("assigned to {to}"));
    }
    if let (Some(role), Some(instance)) = (&task.claimed_by, &task.claimed_by_instance_id) {
        let since = task.claimed_at.map(|at| format!(" {}", relative(at, now)));
        let mut claim = format!("claimed by {role}/{instance}{}", since.unwrap_or_default());
        if let Some(until) = task.lease_until {
            let ends = if until > now { "ends" } else { "ended" };
            claim.push_str(&format!("; the lease {ends} {}", relative(until, now)));
        }
        details.push(claim);
    }
    for dependency in &task.depends_on {
        // Of the others nothing is known: one that has ended waits for none, done or not.
        let waits = if task.waiting_on.contains(dependency) {
            " (not done yet)"
        } else {
            ""
        };
        details.push(format!("depends on {dependency}{waits}"));
    }
    if let Some(mission) = task.mission_id {
        details.push(format!("mission {mission}"));
    }
    if !task.tags.is_empty() {
        let tags: Vec<String> = task.tags.iter().map(|tag| one_line(tag)).collect();
        details.push(format!("tags {}", tags.join(", ")));
    }
    details
}

/// A task for tests.
#[cfg(test)]
pub(in crate::cli) fn sample() -> Task {
    serde_json::from_value(serde_json::json!({
        "taskId": "01890000-0000-8000-8000-000000000001", "title": "Shrink the\u{1b}[31m hero image",
        "description": "Below 200 KB.\nerror: not ours\n", "project": "landing-page", "priority": "high",
        "status": "todo", "ready": false, "waitingOn": ["01890000-0000-8000-8000-000000000003"],
        "assignedTo": "tau", "tags": ["a\nb", "c"], "missionId": "01890000-0000-8000-8000-000000000009",
        "dependsOn": ["01890000-0000-8000-8000-000000000002", "01890000-0000-8000-8000-000000000003"],
        "dueAt": 1_711_843_320_000_u64, "createdBy": "bob", "createdByInstanceId": "pi",
        "notes": [{"at": 1_711_670_400_000_u64, "by": "bob/pi", "text": "As said\u{202e}.\nTwice."}],
        "createdAt": 1_711_670_400_000_u64, "updatedAt": 1_711_670_460_000_u64, "version": 2,
    }))
    .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_711_670_520_000);

    /// Claimed under a lease, and late.
    fn claimed() -> Task {
        let mut task = sample();
        (task.status, task.priority) = (TaskStatus::InProgress, TaskPriority::Urgent);
        task.claimed_by = Some("tau".parse().unwrap());
        task.claimed_by_instance_id = Some("mac".parse().unwrap());
        task.claimed_at = Some(TimeMs(NOW.0 - 300_000));
        task.lease_until = Some(TimeMs(NOW.0 + 300_000));
        task.due_at = Some(TimeMs(NOW.0 - 7_200_000));
        task.waiting_on.clear();
        task
    }

    #[test]
    fn a_list_tells_how_tasks_stand_and_names_them_whole() {
        let mut ready = sample();
        (ready.ready, ready.assigned_to, ready.due_at) = (true, None, None);
        ready.waiting_on.clear();
        ready.tenant_id = Some("acme".parse().unwrap());
        insta::assert_snapshot!(list(Style::PLAIN, &[claimed(), sample(), ready], NOW, None), @r"
        urgent  in_progress  Shrink the\x1b[31m hero image
          01890000-0000-8000-8000-000000000001  landing-page, tau/mac, due 2h ago
        high    waiting      Shrink the\x1b[31m hero image
          01890000-0000-8000-8000-000000000001  landing-page, for tau, waits for 1 task, due in 2d
        high    ready        Shrink the\x1b[31m hero image
          01890000-0000-8000-8000-000000000001  acme: landing-page
        ");
        let narrow = list(Style::PLAIN, &[sample()], NOW, Some(36));
        assert!(
            narrow.starts_with("high    waiting      Shrink the\\x1b…\n"),
            "{narrow}"
        );
    }

    #[test]
    fn one_task_shows_all_that_it_says() {
        insta::assert_snapshot!(full(Style::PLAIN, &claimed(), NOW), @r"
        urgent  in_progress  Shrink the\x1b[31m hero image
          │ Below 200 KB.
          │ error: not ours
          task 01890000-0000-8000-8000-000000000001
          project landing-page
          assigned to tau
          claimed by tau/mac 5m ago; the lease ends in 5m
          depends on 01890000-0000-8000-8000-000000000002
          depends on 01890000-0000-8000-8000-000000000003
          mission 01890000-0000-8000-8000-000000000009
          tags a\nb, c
          due 2h ago (2024-03-28T22:02:00.000Z)
          created 2024-03-29T00:00:00.000Z by bob/pi
          changed 2024-03-29T00:01:00.000Z, version 2

        bob/pi  2m ago
          │ As said\u{202e}.
          │ Twice.
        ");
        let waiting = full(Style::PLAIN, &sample(), NOW);
        assert!(
            waiting.contains("000000000003 (not done yet)\n"),
            "{waiting}"
        );
        let cancelled = Task {
            status: TaskStatus::Cancelled,
            waiting_on: Vec::new(),
            ..sample()
        };
        let cancelled = full(Style::PLAIN, &cancelled, NOW);
        assert!(!cancelled.contains("done"), "{cancelled}");
    }

    #[test]
    fn a_title_is_cut_between_characters_and_only_where_it_does_not_fit() {
        assert_eq!(fitted("äöüäöüäöü", Some(9)), "äöüäöüäöü");
        assert_eq!(fitted("äöüäöüäöüä", Some(9)), "äöüäöüäö…");
        assert_eq!(fitted("a long title", None), "a long title");
        assert_eq!(fitted("a long title", Some(0)), "a long…");
        assert_eq!(fitted("修复登录页面", Some(12)), "修复登录页面");
        assert_eq!(fitted("修复登录页面", Some(11)), "修复登录页…");
        assert_eq!(fitted("修复登录页面", Some(10)), "修复登录…");
        let marked = "e\u{301}".repeat(9);
        assert_eq!(fitted(&marked, Some(9)), marked);
    }
}
