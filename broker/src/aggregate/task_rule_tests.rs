//! The rules beside the table of states and acts: leases, assignees, dependencies, versions, notes.

use super::super::roster::given::{instance, reader, role};
use super::given::{creation, made, mission_id, task_id, tenant};
use super::tests::{
    NOW, act, assign_to, changed, decide, fault, given, on, patch, standing, travels,
};
use super::*;
use postroad_protocol::command::TaskPatch;
use postroad_protocol::error::ErrorCode;
use postroad_protocol::limits::{TASK_DEPENDENCIES_MAX, TASK_DEPENDENTS_MAX};
use postroad_protocol::priority::Priority;
use postroad_protocol::service::TaskStanding;
use postroad_protocol::task::{ProjectText, TaskPriority};

#[test]
fn a_task_begins_as_it_was_asked_for() {
    let command = CreateTask {
        project: Some(ProjectText::parse("studio/acme").unwrap()),
        note: Some("as agreed".into()),
        assigned_to: Some(given("tau", None)),
        depends_on: vec![task_id(2)],
        mission: Some(mission_id()),
        due_at: Some(TimeMs(5)),
        ..creation()
    };
    let state = made(&command);
    assert_eq!((state.version, state.status), (1, TaskStatus::Todo));
    assert_eq!(state.project, Project::Studio);
    assert_eq!(state.created_by, Actor::Agent(reader("phi", "pi")));
    assert_eq!((state.created_at, state.ended_at), (TimeMs(1), None));
    assert_eq!(state.notes[0].text, "as agreed");
    travels(TaskChange::Created, &state, &state.created_by);
    assert_eq!(
        needs_of_creation(&command),
        Needs {
            done: false,
            edges: vec![task_id(2)],
            assignee: Some(given("tau", None)),
            mission: Some(mission_id()),
        }
    );
    let foreign = CreateTask {
        project: Some(ProjectText::parse("studio/globex").unwrap()),
        ..creation()
    };
    let by = Actor::Agent(reader("phi", "pi"));
    let refusal = create(&tenant(), &foreign, &by, NOW).unwrap_err();
    assert_eq!(fault(&refusal), "permission_denied@project");
}

#[test]
fn losers_are_told_who_has_it_and_since_when() {
    let refusal = decide(&standing("in_progress"), act("claim"), &reader("zed", "z")).unwrap_err();
    assert_eq!(
        refusal.message,
        "the task is in_progress: claimed by tau/mac 10 minutes ago"
    );
    assert_eq!(refusal.retry_after_ms, None);
}

#[test]
fn another_version_than_the_one_seen_is_refused_before_anything_else() {
    let stale = ChangeTask {
        if_version: Some(6),
        ..on(act("claim"))
    };
    let mac = reader("tau", "mac");
    for name in ["todo", "in_progress", "done"] {
        let refusal = needs_of_change(&tenant(), &standing(name), &stale, &mac, NOW).unwrap_err();
        assert_eq!(fault(&refusal), "conflict@ifVersion");
        assert!(refusal.message.contains("version 7"), "{refusal}");
        assert!(refusal.message.contains(name), "{refusal}");
        assert!(refusal.remedy.contains("get_task"), "{refusal}");
    }
    let seen = ChangeTask {
        if_version: Some(7),
        ..stale
    };
    assert!(needs_of_change(&tenant(), &standing("todo"), &seen, &mac, NOW).is_ok());
}

#[test]
fn a_claim_waits_for_what_is_not_done_and_names_it() {
    let mut state = standing("todo");
    state.depends_on = (1..=5).map(|n| task_id(10 + n)).collect();
    let command = on(act("claim"));
    let mac = reader("tau", "mac");
    for name in ["todo", "blocked", "blocked_free"] {
        state.status = standing(name).status;
        state.claim = standing(name).claim;
        let needs = needs_of_change(&tenant(), &state, &command, &mac, NOW).unwrap();
        assert!(needs.done, "{name}");
        let found = Found {
            waiting_on: state.depends_on.clone(),
        };
        let refusal = change(&tenant(), &state, &command, &mac, NOW, &found).unwrap_err();
        assert_eq!(fault(&refusal), "conflict@taskId");
        assert!(refusal.message.contains(&task_id(11).to_string()));
        assert!(refusal.message.ends_with("and 2 more"), "{refusal}");
    }
    // What goes on was ready when it began.
    for name in ["in_progress", "review"] {
        state.status = standing(name).status;
        state.claim = standing(name).claim;
        let command = on(act("claim_lease"));
        let needs = needs_of_change(&tenant(), &state, &command, &mac, NOW).unwrap();
        assert_eq!(needs, Needs::default(), "{name}");
    }
}

#[test]
fn only_whom_it_is_given_to_may_claim_it() {
    for name in ["todo", "blocked_free"] {
        let mut state = standing(name);
        state.assigned_to = Some(given("tau", Some("mac")));
        for by in [reader("tau", "lab"), reader("phi", "pi")] {
            let refusal = decide(&state, act("claim"), &by).unwrap_err();
            assert_eq!(fault(&refusal), "conflict@taskId");
            assert!(refusal.message.contains("tau/mac"), "{refusal}");
            assert!(refusal.message.contains(state.status.word()));
        }
        changed(decide(&state, act("claim"), &reader("tau", "mac")));
        state.assigned_to = Some(given("tau", None));
        changed(decide(&state, act("claim"), &reader("tau", "lab")));
    }
}

#[test]
fn a_lease_is_renewed_as_asked_or_as_it_was_and_ends_with_the_work() {
    let mac = reader("tau", "mac");
    let (change, state) = changed(decide(&standing("todo"), act("claim_lease"), &mac));
    assert_eq!(change, TaskChange::Claimed);
    let lease_of = |state: &TaskState| state.claim.as_ref().unwrap().lease;
    assert_eq!(lease_of(&state).unwrap().until, TimeMs(NOW.0 + 60_000));
    let claim = |lease_ms| on(TaskAct::Claim { lease_ms });
    let later = TimeMs(NOW.0 + 30_000);
    for (asked, ms) in [(None, 60_000), (Some(5_000), 5_000)] {
        let found = Found::default();
        let decided = super::change(&tenant(), &state, &claim(asked), &mac, later, &found);
        let (change, state) = changed(decided);
        assert_eq!(change, TaskChange::Renewed);
        let until = TimeMs(later.0 + ms);
        assert_eq!(lease_of(&state).unwrap(), Lease { ms, until });
        assert_eq!(state.claim.unwrap().at, NOW, "it began when it began");
    }
    for verb in ["block", "complete", "fail", "cancel", "to_review"] {
        let (_, after) = changed(decide(&state, act(verb), &mac));
        assert_eq!(lease_of(&after), None, "{verb}");
        assert_eq!(after.claim.unwrap().by, mac, "{verb}");
    }
}

#[test]
fn what_ran_out_is_taken_back_once_and_only_as_the_claim_that_it_was() {
    let mac = reader("tau", "mac");
    let (_, state) = changed(decide(&standing("todo"), act("claim_lease"), &mac));
    let until = TimeMs(NOW.0 + 60_000);
    assert_eq!(expire(&state, 8, TimeMs(until.0 - 1)), None);
    assert_eq!(expire(&state, 7, until), None, "that is not its claim");
    let after = expire(&state, 8, until).unwrap();
    assert_eq!((after.version, after.status), (9, TaskStatus::Todo));
    assert_eq!(after.claim, None);
    travels(TaskChange::LeaseExpired, &after, &Actor::System);
    assert_eq!(expire(&after, 8, until), None);
    assert_eq!(expire(&after, 9, until), None);
    assert_eq!(expire(&standing("in_progress"), 7, until), None, "no lease");
    // Nobody else has it before it is taken back, and they are told when to come again.
    let claim = on(act("claim"));
    let found = Found::default();
    let zed = reader("zed", "z");
    let refusal = change(&tenant(), &state, &claim, &zed, until, &found).unwrap_err();
    assert_eq!(fault(&refusal), "conflict@taskId");
    assert!(refusal.message.contains("lease has run out"), "{refusal}");
    assert!(refusal.retry_after_ms.is_some());
    // Until then it is its claimant's, who may still finish it.
    let late = TimeMs(until.0 + 1);
    let done = on(act("complete"));
    changed(change(&tenant(), &state, &done, &mac, late, &found));
}

#[test]
fn it_can_be_given_back_and_to_somebody_else_at_once() {
    let mac = reader("tau", "mac");
    let act = patch(TaskPatch {
        status: Some(TaskStatus::Todo),
        assigned_to: Some(Some(given("zed", None))),
        depends_on: Some(vec![task_id(9)]),
        ..TaskPatch::default()
    });
    let (change, state) = changed(decide(&standing("in_progress"), act.clone(), &mac));
    assert_eq!(change, TaskChange::Released);
    assert_eq!(state.assigned_to, Some(given("zed", None)));
    assert_eq!((state.claim, state.depends_on), (None, vec![task_id(9)]));
    let (change, state) = changed(decide(&standing("failed"), act, &mac));
    assert_eq!((change, state.ended_at), (TaskChange::Updated, None));
    assert_eq!(state.claim, None);
}

#[test]
fn a_claimed_task_is_given_to_its_claimant_or_to_nobody_in_particular() {
    let zed = reader("zed", "z");
    for to in [
        Some(given("tau", None)),
        Some(given("tau", Some("mac"))),
        None,
    ] {
        let mut state = standing("in_progress");
        state.assigned_to = Some(given("phi", None));
        let (_, after) = changed(decide(&state, assign_to(to.clone()), &zed));
        assert_eq!(after.assigned_to, to);
    }
    let other = assign_to(Some(given("tau", Some("lab"))));
    let refusal = decide(&standing("in_progress"), other, &zed).unwrap_err();
    assert_eq!(fault(&refusal), "conflict@assignedTo");
    assert!(refusal.message.contains("claimed by tau/mac"), "{refusal}");
}

#[test]
fn what_is_so_already_is_not_stored_again_and_looks_nothing_up() {
    let mut state = standing("todo");
    state.assigned_to = Some(given("tau", None));
    state.depends_on = vec![task_id(9)];
    state.mission = Some(mission_id());
    let same = TaskPatch {
        title: Some(state.title.clone()),
        assigned_to: Some(state.assigned_to.clone()),
        depends_on: Some(state.depends_on.clone()),
        mission: Some(state.mission),
        ..TaskPatch::default()
    };
    let by = reader("zed", "z");
    for act in [patch(same.clone()), act("depend")] {
        assert_eq!(decide(&state, act.clone(), &by), Ok(Decided::Already));
        let needs = needs_of_change(&tenant(), &state, &on(act), &by, NOW);
        assert_eq!(needs, Ok(Needs::default()));
    }
    // Beside what is new, what is there already is not looked up once more.
    let more = TaskPatch {
        depends_on: Some(vec![task_id(9), task_id(3)]),
        note: Some("more".into()),
        ..same
    };
    let needs = needs_of_change(&tenant(), &state, &on(patch(more)), &by, NOW).unwrap();
    let edges = vec![task_id(3)];
    assert_eq!(
        needs,
        Needs {
            edges,
            ..Needs::default()
        }
    );
}

#[test]
fn only_the_last_notes_stay() {
    let by = reader("zed", "z");
    let mut state = standing("todo");
    for number in 0..TASK_NOTES_KEPT + 3 {
        let act = patch(TaskPatch {
            note: Some(number.to_string()),
            ..TaskPatch::default()
        });
        (_, state) = changed(decide(&state, act, &by));
    }
    assert_eq!(state.notes.len(), TASK_NOTES_KEPT);
    assert_eq!(state.notes[0].text, "3");
    assert_eq!(state.notes[0].by, Actor::Agent(by));
}

#[test]
fn dependencies_are_refused_with_what_is_wrong_about_them() {
    let by = reader("zed", "z");
    let itself = TaskAct::AddDependency { on: task_id(1) };
    let refusal = decide(&standing("todo"), itself, &by).unwrap_err();
    assert_eq!(fault(&refusal), "invalid_argument@dependsOn");
    let mut full = standing("todo");
    full.depends_on = (0..TASK_DEPENDENCIES_MAX)
        .map(|n| task_id(u8::try_from(n).unwrap() + 10))
        .collect();
    full.depends_on.sort_unstable();
    let refusal = decide(&full, act("depend"), &by).unwrap_err();
    assert_eq!(fault(&refusal), "too_large@dependsOn");

    let fine = TaskStanding {
        status: TaskStatus::Cancelled,
        dependents: TASK_DEPENDENTS_MAX as u64 - 1,
        is_behind: false,
    };
    let circle = TaskStanding {
        is_behind: true,
        ..fine
    };
    let full = TaskStanding {
        dependents: TASK_DEPENDENTS_MAX as u64,
        ..fine
    };
    let (own, edges) = (Some(task_id(1)), [task_id(2), task_id(3)]);
    assert_eq!(check_edges(own, &edges, &[Some(fine), Some(fine)]), Ok(()));
    for (standings, expected) in [
        (vec![Some(fine), None], "not_found@dependsOn"),
        (vec![Some(fine)], "not_found@dependsOn"),
        (vec![Some(fine), Some(circle)], "conflict@dependsOn"),
        (vec![Some(full), Some(fine)], "too_large@dependsOn"),
    ] {
        let refusal = check_edges(own, &edges, &standings).unwrap_err();
        assert_eq!(fault(&refusal), expected, "{standings:?}");
    }
    let refusal = check_edges(own, &[task_id(1)], &[Some(fine)]).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
}

#[test]
fn who_waits_is_told_that_it_is_ready_and_nobody_else() {
    let mut state = standing("todo");
    assert_eq!(ready_message(task_id(1), &state), None);
    state.assigned_to = Some(given("tau", Some("mac")));
    state.mission = Some(mission_id());
    state.priority = TaskPriority::Urgent;
    let message = ready_message(task_id(1), &state).unwrap();
    assert_eq!(message.from, Reader::postroad());
    assert_eq!(message.channel, Channel::Roles(vec![role("tau")]));
    assert_eq!(message.instance, Some(instance("mac")));
    assert_eq!(message.priority, Priority::Urgent);
    assert!(message.content.starts_with("Task ready: Lay the road ("));
    assert_eq!(message.metadata["taskId"], task_id(1).to_string());
    assert_eq!(message.metadata["event"], "task_ready");
    assert_eq!(message.metadata["missionId"], mission_id().to_string());
    // Given to nobody, it is told to whoever has it and waits.
    let blocked = ready_message(task_id(1), &standing("blocked")).unwrap();
    assert_eq!(blocked.instance, Some(instance("mac")));
    assert!(!blocked.metadata.contains_key("missionId"));
    for status in TaskStatus::ALL {
        state.status = *status;
        let waits = matches!(status, TaskStatus::Todo | TaskStatus::Blocked);
        assert_eq!(ready_message(task_id(1), &state).is_some(), waits);
    }
}
