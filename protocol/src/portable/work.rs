//! What events of tasks and missions, and of Postroad as a sender, keep to when they are brought in.

use crate::command::{check_mission, check_task};
use crate::error::Refusal;
use crate::event::{Actor, Event, EventKey, MissionChange, TaskChange};
use crate::id::POSTROAD_ROLE;
use crate::task::{MissionId, TaskId};
use serde_json::Value;

const REMEDY: &str = "import what `postroad tenant export` wrote, unchanged";

/// What every stored event of tasks and missions keeps to.
pub(super) fn check_work(key: EventKey, by: &Actor, event: &Event) -> Result<(), Refusal> {
    // Of what came to be: whether it has the id and the maker that follow from the event.
    let (created, field, may_change) = match event {
        Event::TaskChanged(data) => {
            check_task(data)?;
            let is_new = data.change == TaskChange::Created;
            let created = (data.task_id == TaskId::of(key), &data.state.created_by);
            let may_change = match by {
                Actor::System => data.change == TaskChange::LeaseExpired,
                Actor::Agent(_) => data.change != TaskChange::LeaseExpired,
                Actor::Operator(_) => false,
            };
            (is_new.then_some(created), "taskId", may_change)
        }
        Event::MissionChanged(data) => {
            check_mission(data)?;
            let is_new = data.change == MissionChange::Created;
            let created = (
                data.mission_id == MissionId::of(key),
                &data.state.created_by,
            );
            let may_change = matches!(by, Actor::Agent(_));
            (is_new.then_some(created), "missionId", may_change)
        }
        _ => return Ok(()),
    };
    let is_makers = created.is_none_or(|(_, maker)| maker == by);
    if !may_change || !is_makers {
        let said = "it was made or changed by somebody who may not";
        return Err(Refusal::invalid("by", said, REMEDY));
    }
    if created.is_some_and(|(is_its_id, _)| !is_its_id) {
        let said = "what came to be has another id than the event gives it";
        return Err(Refusal::invalid(field, said, REMEDY));
    }
    Ok(())
}

/// Refuses Postroad's own role wherever it does not stand for Postroad itself, as the sender of a message.
/// It looks at what was read, not at what was written: a line may write the same in several ways.
pub(super) fn check_roles(event: &Event) -> Result<(), Refusal> {
    let from = matches!(event, Event::MessageSent(_)).then_some("from");
    let data = serde_json::to_value(event).expect("events are plain data and always encode");
    let fields = data.as_object().into_iter().flatten();
    let mut fields = fields.filter(|(name, _)| Some(name.as_str()) != from);
    if !fields.any(|(name, value)| names_postroad(name, value)) {
        return Ok(());
    }
    let said = format!("no agent has the role {POSTROAD_ROLE}");
    Err(Refusal::invalid("data", said, REMEDY))
}

/// Whether a field names Postroad's own role where a role stands.
fn names_postroad(name: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let is_role = matches!(name, "role" | "pilot" | "agents" | "channel");
            is_role && text.split(',').any(|one| one.trim() == POSTROAD_ROLE)
        }
        Value::Array(items) => items.iter().any(|item| names_postroad(name, item)),
        // What labels are called is their writer's choice.
        Value::Object(_) if name == "metadata" => false,
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| names_postroad(name, value)),
        _ => false,
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
