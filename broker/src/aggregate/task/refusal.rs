//! What a caller is told of a task that does not move: how it stands, who has it, and what to do instead.

use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::Actor;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{TASK_DEPENDENCIES_MAX, TASK_DEPENDENTS_MAX, TASK_WALK_MAX};
use postroad_protocol::task::{Assignee, Claim, TaskId, TaskState, TaskStatus};

/// Tasks that a refusal names.
const NAMED: usize = 3;
/// When a lease that ran out is taken back at the latest, if all is well, in milliseconds.
const EXPIRY_RETRY_MS: u64 = 1_000;

fn conflict(
    state: &TaskState,
    said: impl std::fmt::Display,
    remedy: impl Into<String>,
    field: &str,
) -> Refusal {
    let message = format!("the task is {}: {said}", state.status);
    Refusal::new(ErrorCode::Conflict, message, remedy).at(field)
}

/// It is not the version that the caller has seen.
pub(in crate::aggregate) fn version(what: &str, version: u64, status: &str) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("the {what} has changed: it is {status} and has version {version}"),
        format!("look at it with get_{what}, then repeat the command if it still makes sense"),
    )
    .at("ifVersion")
}

/// It has ended.
pub(super) fn ended(state: &TaskState) -> Refusal {
    let remedy = match state.status {
        TaskStatus::Done => {
            "what is done stays done: create_task makes what is left to do, update_task adds a note"
        }
        _ => "update_task with status todo opens it again",
    };
    let who = state.claim.as_ref();
    let who = who.map_or_else(String::new, |claim| {
        format!(" in the hands of {}", claim.by)
    });
    conflict(state, format_args!("it has ended{who}"), remedy, "taskId")
}

/// Somebody else has it.
pub(super) fn taken(state: &TaskState, now: TimeMs) -> Refusal {
    let Some(claim) = &state.claim else {
        let remedy = "update_task with status todo gives it back, then it can be claimed";
        return conflict(state, "nobody has claimed it", remedy, "taskId");
    };
    let since = ago(now.0.saturating_sub(claim.at.0));
    let run_out = claim.lease.filter(|lease| lease.until <= now);
    if run_out.is_some() && state.status == TaskStatus::InProgress {
        let said = format!(
            "claimed by {} {since}; its lease has run out, and it returns to todo in a moment",
            claim.by
        );
        return conflict(
            state,
            said,
            "claim it again with claim_task in a moment",
            "taskId",
        )
        .retry_after_ms(EXPIRY_RETRY_MS);
    }
    let remedy = match state.status {
        TaskStatus::Review => {
            "complete_task or fail_task ends it, update_task with status in_progress sends it back"
        }
        _ => {
            "list_tasks with ready shows what can be claimed; its claimant, or who created it, can release it"
        }
    };
    conflict(
        state,
        format_args!("claimed by {} {since}", claim.by),
        remedy,
        "taskId",
    )
}

/// It is given to somebody else.
pub(super) fn given_to(state: &TaskState, to: &Assignee) -> Refusal {
    conflict(
        state,
        format_args!("it is given to {to}"),
        "leave it to them, or have update_task give it to you: assignedTo",
        "taskId",
    )
}

/// It depends on what is not done.
pub(super) fn waiting(state: &TaskState, on: &[TaskId]) -> Refusal {
    let named: Vec<String> = on.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match on.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let said = format!("it waits for {}{more}", named.join(", "));
    let remedy = "claim it when they are done, or take them out of its dependsOn with update_task";
    conflict(state, said, remedy, "taskId")
}

/// Nobody has claimed it.
pub(super) fn unclaimed(state: &TaskState, to_do: &str) -> Refusal {
    let remedy = match to_do {
        "give it back" => "claim_task takes it; update_task changes what it says",
        _ => "claim it first with claim_task; cancel_task ends what is not wanted any more",
    };
    let said = format!("nobody has claimed it, so nobody can {to_do}");
    conflict(state, said, remedy, "taskId")
}

/// It is somebody else's to give back.
pub(super) fn not_yours(state: &TaskState, claim: &Claim) -> Refusal {
    let makers = match &state.created_by {
        Actor::Agent(maker) => format!(" and {}", maker.role),
        Actor::Operator(_) | Actor::System => String::new(),
    };
    Refusal::new(
        ErrorCode::PermissionDenied,
        format!(
            "the task is {} and claimed by {}: only {}{makers} can release it",
            state.status, claim.by, claim.by.role
        ),
        "ask one of them to release it with release_task",
    )
    .at("taskId")
}

/// It is blocked already.
pub(super) fn blocked_already(state: &TaskState) -> Refusal {
    conflict(
        state,
        "something keeps it from going on already",
        "update_task adds a note of what else does; claim_task goes on with it",
        "taskId",
    )
}

/// It is blocked, so it cannot be done.
pub(super) fn blocked(state: &TaskState, now: TimeMs) -> Refusal {
    let said = match &state.claim {
        Some(claim) => {
            let since = ago(now.0.saturating_sub(claim.at.0));
            format!(
                "claimed by {} {since}, and something keeps it from going on",
                claim.by
            )
        }
        None => "something keeps it from going on".to_owned(),
    };
    conflict(state, said, "claim it with claim_task to go on", "taskId")
}

/// No patch leads there from here.
pub(super) fn no_way(state: &TaskState, status: TaskStatus) -> Refusal {
    let remedy = match (state.status, status) {
        (_, TaskStatus::Review) => "claim it with claim_task, then set it to review",
        (TaskStatus::Review, _) => {
            "nobody has claimed it: update_task with status todo gives it back"
        }
        _ => "claim_task brings it to in_progress",
    };
    let said = format!("it does not become {status} from there");
    conflict(state, said, remedy, "status")
}

/// It would be given to somebody else than its claimant.
pub(super) fn has_claimant(state: &TaskState, claim: &Claim) -> Refusal {
    conflict(
        state,
        format_args!("it is claimed by {}", claim.by),
        "release it first with release_task, or with status todo in the same update_task",
        "assignedTo",
    )
}

/// Somebody works on it, so it waits for nothing more.
pub(super) fn waits_for_nothing(state: &TaskState) -> Refusal {
    conflict(
        state,
        "what it depends on is settled while it is todo or blocked",
        "block or release it first, with block_task or release_task",
        "dependsOn",
    )
}

/// It would depend on itself.
pub(super) fn itself() -> Refusal {
    Refusal::invalid(
        "dependsOn",
        "a task cannot depend on itself",
        "name another task, or none",
    )
}

/// It would depend on too many.
pub(super) fn too_many_dependencies() -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        format!("a task depends on at most {TASK_DEPENDENCIES_MAX} others"),
        "have one task stand for several: let it depend on them, and this one on it",
    )
    .at("dependsOn")
}

/// They would wait for each other.
pub(super) fn circle(edge: TaskId) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("task {edge} depends on this one already, at once or over others: they would wait for each other"),
        format!(
            "take one of the dependencies between them away with update_task, or leave this one out; a task that over \
             {TASK_WALK_MAX} others wait for depends on no further one"
        ),
    )
    .at("dependsOn")
}

/// Too many would depend on one.
pub(super) fn too_many_dependents(edge: TaskId) -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        format!("{TASK_DEPENDENTS_MAX} tasks depend on task {edge} already"),
        "have a task that depends on it stand for it, and depend on that one",
    )
    .at("dependsOn")
}

/// How long ago something was, in the largest unit that tells it.
fn ago(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (count, unit) = match seconds {
        0 => return "just now".to_owned(),
        1..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{many} ago")
}
