//! Tasks for tests.

use super::super::roster::given::reader;
use super::*;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::CommandId;
use postroad_protocol::task::TaskPriority;

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn task_id(number: u8) -> TaskId {
    let id = CommandId::derived(&[&[number]]);
    TaskId::of(EventKey::of(&Actor::System, id))
}

pub(crate) fn mission_id() -> MissionId {
    let id = CommandId::derived(&[b"mission"]);
    MissionId::of(EventKey::of(&Actor::System, id))
}

pub(crate) fn creation() -> CreateTask {
    CreateTask {
        title: "Lay the road".into(),
        description: String::new(),
        project: None,
        priority: TaskPriority::Medium,
        assigned_to: None,
        depends_on: Vec::new(),
        mission: None,
        tags: Vec::new(),
        due_at: None,
        note: None,
    }
}

pub(crate) fn made(command: &CreateTask) -> TaskState {
    let by = Actor::Agent(reader("phi", "pi"));
    create(&tenant(), command, &by, TimeMs(1)).unwrap()
}
