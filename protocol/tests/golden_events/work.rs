//! Samples of tasks and missions.

use super::reader;
use postroad_protocol::event::{
    Actor, Asked, Event, MessageSent, MissionChange, MissionChanged, Priority, TaskChange,
    TaskChanged,
};
use postroad_protocol::id::ProjectName;
use postroad_protocol::task::{
    Assignee, Claim, Lease, MissionId, MissionState, MissionStatus, Note, Project, TaskId,
    TaskPriority, TaskState, TaskStatus,
};
use postroad_protocol::{Channel, Reader, Role, TimeMs};
use std::collections::BTreeMap;

/// A task with everything that a task can have.
fn task_changed() -> TaskChanged {
    let at = TimeMs(1_714_262_400_000);
    TaskChanged {
        task_id: TaskId::from_bytes([0x44; 16]),
        change: TaskChange::Claimed,
        asked: Asked::of(&"claim it"),
        state: TaskState {
            version: 3,
            title: "Löse PR #112".into(),
            description: "Read it.\nThen merge it ✓".into(),
            project: Project::Named(ProjectName::parse("landing-page").unwrap()),
            priority: TaskPriority::Urgent,
            status: TaskStatus::InProgress,
            assigned_to: Some(Assignee {
                role: reader().role,
                instance: Some(reader().instance),
            }),
            claim: Some(Claim {
                by: reader(),
                at,
                lease: Some(Lease {
                    ms: 600_000,
                    until: TimeMs(at.0 + 600_000),
                }),
            }),
            depends_on: vec![
                TaskId::from_bytes([0x55; 16]),
                TaskId::from_bytes([0x66; 16]),
            ],
            mission: Some(MissionId::from_bytes([0x77; 16])),
            tags: vec!["design".into(), "hero".into()],
            due_at: Some(TimeMs(at.0 + 86_400_000)),
            notes: vec![Note {
                at,
                by: Actor::Agent(reader()),
                text: "as agreed".into(),
            }],
            created_by: Actor::Agent(reader()),
            created_at: TimeMs(at.0 - 1_000),
            ended_at: None,
        },
    }
}

/// A task with nothing that it need not have.
fn task_created() -> TaskChanged {
    TaskChanged {
        change: TaskChange::Created,
        asked: Asked::of(&"make it"),
        state: TaskState {
            version: 1,
            description: String::new(),
            project: Project::Studio,
            priority: TaskPriority::Medium,
            status: TaskStatus::Todo,
            assigned_to: None,
            claim: None,
            depends_on: Vec::new(),
            mission: None,
            tags: Vec::new(),
            due_at: None,
            notes: Vec::new(),
            ..task_changed().state
        },
        ..task_changed()
    }
}

fn mission_changed() -> MissionChanged {
    MissionChanged {
        mission_id: MissionId::from_bytes([0x77; 16]),
        change: MissionChange::Updated,
        asked: Asked::of(&"complete it"),
        state: MissionState {
            version: 4,
            title: "Launch the landing page".into(),
            brief: "Live by May ✓".into(),
            pilot: Some(reader().role),
            agents: vec![Role::parse("phi").unwrap(), reader().role],
            project: Project::Studio,
            priority: TaskPriority::High,
            status: MissionStatus::Complete,
            starts_at: Some(TimeMs(1_711_670_400_000)),
            due_at: Some(TimeMs(1_714_262_400_000)),
            created_by: Actor::Agent(reader()),
            created_at: TimeMs(1_711_670_300_000),
            ended_at: Some(TimeMs(1_714_262_300_000)),
        },
    }
}

pub(super) fn samples_of_tasks() -> Vec<(Actor, Event)> {
    let agent = Actor::Agent(reader());
    vec![
        (agent.clone(), task_changed().into()),
        (agent, mission_changed().into()),
    ]
}

pub(super) fn variants_of_tasks() -> Vec<(&'static str, Actor, Event)> {
    let agent = Actor::Agent(reader());
    let expired = TaskChanged {
        change: TaskChange::LeaseExpired,
        state: TaskState {
            version: 4,
            status: TaskStatus::Todo,
            claim: None,
            ..task_changed().state
        },
        ..task_changed()
    };
    let failed = TaskChanged {
        change: TaskChange::Failed,
        state: TaskState {
            version: 4,
            status: TaskStatus::Failed,
            ended_at: Some(TimeMs(1_714_262_500_000)),
            claim: Some(Claim {
                by: reader(),
                at: TimeMs(1_714_262_400_000),
                lease: None,
            }),
            ..task_changed().state
        },
        ..task_changed()
    };
    let mission = MissionChanged {
        change: MissionChange::Created,
        state: MissionState {
            version: 1,
            brief: String::new(),
            pilot: None,
            agents: Vec::new(),
            status: MissionStatus::Brainstorm,
            starts_at: None,
            due_at: None,
            ended_at: None,
            ..mission_changed().state
        },
        ..mission_changed()
    };
    let ready = MessageSent {
        from: Reader::postroad(),
        channel: Channel::parse("tau").unwrap(),
        instance: Some(reader().instance),
        content: "Task ready: Löse PR #112 (44444444-4444-4444-4444-444444444444). Everything it waited for is done."
            .into(),
        reply_to: None,
        priority: Priority::Urgent,
        metadata: BTreeMap::from([
            ("event".to_owned(), "task_ready".to_owned()),
            (
                "taskId".to_owned(),
                "44444444-4444-4444-4444-444444444444".to_owned(),
            ),
        ]),
    };
    vec![
        ("created", agent.clone(), task_created().into()),
        ("lease_expired", Actor::System, expired.into()),
        ("failed", agent.clone(), failed.into()),
        ("created", agent, mission.into()),
        ("postroad", Actor::System, ready.into()),
    ]
}
