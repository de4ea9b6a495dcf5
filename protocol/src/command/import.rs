//! `import_events`: the one command that stores several events, each under the id it always had.

use super::read::identify;
use super::{Command, Identified, wire};
use crate::envelope::Record;
use crate::error::{ErrorCode, Refusal};
use crate::event::Event;
use crate::limits;

/// A checked `import_events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportEvents {
    /// Up to this sequence the tenant holds nothing but what was imported; 0 where nothing was.
    pub after: u64,
    /// In the order in which they are to be stored; never empty.
    pub events: Vec<Record>,
}

pub(super) fn read_import(wire: &wire::ImportEvents) -> Result<Identified, Refusal> {
    let count = wire.events.len();
    if count == 0 {
        return Err(Refusal::invalid(
            "events",
            "there is nothing to import",
            "name at least one event",
        ));
    }
    if count > limits::IMPORT_MAX_EVENTS {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "{count} events are named; {} is the limit",
                limits::IMPORT_MAX_EVENTS
            ),
            "import them in several calls, one behind the other",
        )
        .at("events"));
    }
    let mut events = Vec::with_capacity(count);
    for (index, event) in wire.events.iter().enumerate() {
        let at = |refusal: Refusal| {
            let field = refusal.field.clone().unwrap_or_default();
            refusal.at(&format!("events[{index}].{field}"))
        };
        let record = event.record().map_err(at)?;
        if matches!(record.event, Event::TenantCreated(_)) {
            let refusal = Refusal::invalid(
                "type",
                "a tenant is created by `create_tenant`, not by an import",
                "leave the event out: the tenant here has one of its own",
            );
            return Err(at(refusal));
        }
        events.push(record);
    }
    let command = Command::ImportEvents(ImportEvents {
        after: wire.after.unwrap_or(0),
        events,
    });
    identify(wire.command_id.as_deref(), "commandId", command)
}
