use super::super::roster::given::{reader, role};
use super::*;
use postroad_protocol::command::MissionPatch;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::CommandId;
use postroad_protocol::task::{MissionId, ProjectText, TaskPriority};

const NOW: TimeMs = TimeMs(1_000);

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn by() -> Actor {
    Actor::Agent(reader("phi", "pi"))
}

fn creation() -> CreateMission {
    CreateMission {
        title: "Build the road".into(),
        brief: "From here to there".into(),
        pilot: Some(role("tau")),
        agents: vec![role("phi"), role("tau")],
        project: Some(ProjectText::parse("road").unwrap()),
        priority: TaskPriority::High,
        status: MissionStatus::Plan,
        starts_at: None,
        due_at: Some(TimeMs(9)),
    }
}

fn standing(status: MissionStatus) -> MissionState {
    let mut state = create(&tenant(), &creation(), &by(), TimeMs(1)).unwrap();
    state.status = status;
    state.ended_at = status.has_ended().then_some(TimeMs(2));
    state
}

fn update(patch: MissionPatch) -> UpdateMission {
    UpdateMission {
        mission: MissionId::of(EventKey::of(&by(), CommandId::derived(&[b"mission"]))),
        if_version: None,
        patch,
    }
}

fn to(status: MissionStatus) -> UpdateMission {
    update(MissionPatch {
        status: Some(status),
        ..MissionPatch::default()
    })
}

fn fault(refusal: &Refusal) -> (ErrorCode, &str) {
    (refusal.code, refusal.field.as_deref().unwrap_or_default())
}

#[test]
fn a_mission_moves_freely_until_it_ends_and_is_complete_only_when_carried_out() {
    use MissionStatus::{Brainstorm, Cancelled, Complete, Execute, Plan, Validate};
    for &from in MissionStatus::ALL {
        for &wanted in MissionStatus::ALL {
            let case = format!("{from} to {wanted}");
            let state = standing(from);
            let decided = change(&tenant(), &state, &to(wanted), NOW);
            match (from, wanted) {
                (Complete | Cancelled, _) => {
                    let refusal = decided.unwrap_err();
                    let expected = (ErrorCode::Conflict, "missionId");
                    assert_eq!(fault(&refusal), expected, "{case}");
                    assert!(refusal.message.contains(from.word()), "{case}");
                    assert!(refusal.remedy.contains("create_mission"), "{case}");
                }
                (Brainstorm | Plan, Complete) => {
                    let refusal = decided.unwrap_err();
                    assert_eq!(fault(&refusal), (ErrorCode::Conflict, "status"), "{case}");
                    assert!(refusal.message.contains(from.word()), "{case}");
                    assert!(refusal.remedy.contains("execute"), "{case}");
                }
                (Brainstorm | Plan | Execute | Validate, _) if from == wanted => {
                    assert_eq!(decided, Ok(MissionDecided::Already), "{case}");
                }
                _ => {
                    let Ok(MissionDecided::Changed(after)) = decided else {
                        panic!("{case}: {decided:?}");
                    };
                    assert_eq!((after.version, after.status), (2, wanted), "{case}");
                    let ended = wanted.has_ended().then_some(NOW);
                    assert_eq!(after.ended_at, ended, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_patch_sets_what_it_names_and_leaves_the_rest() {
    let state = standing(MissionStatus::Execute);
    let patch = MissionPatch {
        title: Some("Pave the road".into()),
        pilot: Some(None),
        agents: Some(vec![role("phi"), role("zed")]),
        project: Some(ProjectText::parse("studio/acme").unwrap()),
        starts_at: Some(Some(TimeMs(4))),
        due_at: Some(None),
        ..MissionPatch::default()
    };
    let decided = change(&tenant(), &state, &update(patch), NOW);
    let Ok(MissionDecided::Changed(after)) = decided else {
        panic!("{decided:?}");
    };
    let expected = MissionState {
        version: 2,
        title: "Pave the road".into(),
        pilot: None,
        agents: vec![role("phi"), role("zed")],
        project: Project::Studio,
        starts_at: Some(TimeMs(4)),
        due_at: None,
        ..state.clone()
    };
    assert_eq!(after, expected);
    let roles = new_roles(Some(&state), &after);
    assert_eq!((roles.pilot, roles.agents), (None, vec![role("zed")]));
    let first = new_roles(None, &state);
    assert_eq!(first.pilot, Some(role("tau")));
    assert_eq!(first.agents, vec![role("phi"), role("tau")]);
}

#[test]
fn another_version_or_another_tenants_studio_is_refused() {
    let state = standing(MissionStatus::Plan);
    let earlier = UpdateMission {
        if_version: Some(3),
        ..to(MissionStatus::Execute)
    };
    let refusal = change(&tenant(), &state, &earlier, NOW).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::Conflict, "ifVersion"));
    assert!(
        refusal.message.contains("plan and has version 1"),
        "{refusal}"
    );
    let foreign = Some(ProjectText::parse("studio/globex").unwrap());
    let elsewhere = update(MissionPatch {
        project: foreign.clone(),
        ..MissionPatch::default()
    });
    let refusal = change(&tenant(), &state, &elsewhere, NOW).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::PermissionDenied, "project"));
    let made = CreateMission {
        project: foreign,
        ..creation()
    };
    let refusal = create(&tenant(), &made, &by(), NOW).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::PermissionDenied, "project"));
}

#[test]
fn a_task_joins_a_mission_that_is_there_and_goes_on() {
    assert_eq!(check_open(Some(&standing(MissionStatus::Plan))), Ok(()));
    let refusal = check_open(None).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::NotFound, "missionId"));
    let refusal = check_open(Some(&standing(MissionStatus::Complete))).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::Conflict, "missionId"));
    assert!(refusal.message.contains("complete"), "{refusal}");
}

#[test]
fn a_mission_is_never_due_before_it_begins() {
    let dated = |starts: u64, due: u64| CreateMission {
        starts_at: Some(TimeMs(starts)),
        due_at: Some(TimeMs(due)),
        ..creation()
    };
    let created = |starts, due| create(&tenant(), &dated(starts, due), &by(), NOW);
    assert!(created(9, 9).is_ok());
    let refusal = created(10, 9).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::InvalidArgument, "dueAt"));
    let state = created(5, 9).unwrap();
    let later = update(MissionPatch {
        starts_at: Some(Some(TimeMs(10))),
        ..MissionPatch::default()
    });
    let refusal = change(&tenant(), &state, &later, NOW).unwrap_err();
    assert_eq!(fault(&refusal), (ErrorCode::InvalidArgument, "dueAt"));
    let moved = update(MissionPatch {
        starts_at: Some(Some(TimeMs(10))),
        due_at: Some(None),
        ..MissionPatch::default()
    });
    assert!(change(&tenant(), &state, &moved, NOW).is_ok());
}
