//! Which event keys were applied, where, and along which lanes a message went. This is what makes
//! applying twice the same as once, and what a receipt id leads to.

use super::batch::{BatchTables, FoldError, Refused, TenantWriter};
use super::keys::Prefix;
use super::lanes::Lane;
use super::marks::Via;
use super::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    CredentialIssued, CredentialRevoked, DamageAccepted, DataKeyRotated, Event, EventKey,
    MessagesRead, TenantLimited,
};
use postroad_protocol::id::{Reader, TimeMs};
use postroad_protocol::quota::Limits;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// An event that was met in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRow {
    /// Where it is stored.
    pub(super) sequence: u64,
    /// Of what it says, to tell a repeat from another event under the same key.
    content: u64,
    /// A message's lanes; empty for every other event, and for a message that was refused.
    pub(crate) route: Route,
}

impl Row for EventRow {
    type Key = EventKey;
    const TABLE: Table = Table::Events;
}

/// The lanes that a message went along, with its ordinal in each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route(pub(super) Vec<(Lane, u64)>);

impl Route {
    /// The lane in which it reaches `reader`. There is one at most: a message goes to all, to
    /// roles, or to an instance.
    pub(super) fn to(&self, reader: &Reader) -> Option<(Via, u64)> {
        self.0.iter().find_map(|(lane, ordinal)| match lane {
            Lane::Broadcast => Some((Via::Broadcast, *ordinal)),
            Lane::Role(role) if *role == reader.role => Some((Via::Role, *ordinal)),
            Lane::Instance(only) if only == reader => Some((Via::Instance, *ordinal)),
            _ => None,
        })
    }
}

/// What an event says, in eight bytes. What a broker adds from its clock or from the rows is left
/// out: it differs between two attempts of one command, which are the same event all the same.
/// `scratch` is any buffer, so that not each event allocates one.
pub(crate) fn content_of(record: &Record, scratch: &mut Vec<u8>) -> u64 {
    let asked: Option<Event> = match &record.event {
        Event::CredentialIssued(data) => Some(
            CredentialIssued {
                expires_at: TimeMs(0),
                ..data.clone()
            }
            .into(),
        ),
        Event::MessagesRead(data) => Some(
            MessagesRead {
                reader: data.reader.clone(),
                messages: Vec::new(),
            }
            .into(),
        ),
        Event::CredentialRevoked(data) => Some(
            CredentialRevoked {
                role: data.role.clone(),
                public_keys: Vec::new(),
            }
            .into(),
        ),
        Event::TenantLimited(data) => Some(
            TenantLimited {
                limits: Limits::default(),
                change: data.change.clone(),
            }
            .into(),
        ),
        Event::DamageAccepted(_) => Some(DamageAccepted { ranges: Vec::new() }.into()),
        Event::DataKeyRotated(data) => {
            let generation = data.generation;
            let number = 0;
            Some(DataKeyRotated { generation, number }.into())
        }
        _ => None,
    };
    let event = asked.as_ref().unwrap_or(&record.event);
    let (name, by) = (event.type_name(), &record.by);
    scratch.clear();
    // A state follows from what was there before as well as from what was asked for.
    let written = match event {
        Event::TaskChanged(data) => {
            rmp_serde::encode::write_named(scratch, &(name, by, data.task_id, data.asked))
        }
        Event::MissionChanged(data) => {
            rmp_serde::encode::write_named(scratch, &(name, by, data.mission_id, data.asked))
        }
        _ => rmp_serde::encode::write_named(scratch, &(name, by, event)),
    };
    written.expect("events are plain data");
    // No secret: whoever finds two events of one hash has a repeat of its own taken for the first.
    XxHash3_64::oneshot(scratch)
}

/// Whether an event is to be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    New,
    Repeat,
}

impl EventRow {
    pub(crate) fn new(sequence: u64, content: u64, route: Route) -> Self {
        Self {
            sequence,
            content,
            route,
        }
    }
}

/// Remembers an event of `owner`, before it is folded and even if it then is refused: a later
/// retry finds where it is stored. One look-up tells whether it was met before, and then nothing
/// is changed.
///
/// # Errors
/// [`Refused::KeyTaken`] when another event was met under its key.
pub(crate) fn remember(
    tables: &mut BatchTables<'_>,
    owner: &Prefix,
    key: EventKey,
    event: &EventRow,
) -> Result<Sighting, FoldError> {
    let Some(before) = tables.replace(owner, &key, event)? else {
        return Ok(Sighting::New);
    };
    tables.put(owner, &key, &before)?;
    if before.content == event.content {
        Ok(Sighting::Repeat)
    } else {
        Err(Refused::KeyTaken.into())
    }
}

impl TenantWriter<'_, '_> {
    /// As [`remember`], for the tenant's own.
    pub(crate) fn remember(
        &mut self,
        key: EventKey,
        event: &EventRow,
    ) -> Result<Sighting, FoldError> {
        let (tables, owner) = self.tables();
        remember(tables, owner, key, event)
    }
}

impl TenantReader<'_> {
    /// Where the event with this key is stored.
    pub fn event_sequence(&self, key: EventKey) -> Result<Option<u64>, StoreError> {
        Ok(self.get::<EventRow>(&key)?.map(|row| row.sequence))
    }

    /// The lanes of the message with this key; none for what is no message.
    pub(super) fn route(&self, key: EventKey) -> Result<Option<EventRow>, StoreError> {
        let row = self.get::<EventRow>(&key)?;
        Ok(row.filter(|row| !row.route.0.is_empty()))
    }
}
