//! Raw redb writes: the ceiling of folding the log. Owns one file that means nothing.

use super::plan::CONTENT_BYTES;
use postroad_protocol::event::{Actor, Event, EventKey, MessageSent, Priority};
use postroad_protocol::limits::{APPLY_MAX_EVENTS, ROW_CACHE_BYTES};
use postroad_protocol::{Channel, CommandId, InstanceId, Reader, Role};
use redb::{Database, Durability, TableDefinition};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");
const INDEX: TableDefinition<'static, [u8; 16], u64> = TableDefinition::new("index");
const CHECKPOINT: TableDefinition<'static, (), u64> = TableDefinition::new("checkpoint");

/// When what was committed is durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Durable {
    /// With every transaction.
    Always,
    /// Every second, as the projector allows; until then it is only visible.
    EverySecond,
}

/// Writes `count` events of a message's size into a new file, in the batches of a projector that
/// catches up; events in a second.
pub(super) fn write(path: &Path, count: usize, when: Durable) -> anyhow::Result<f64> {
    let (by, event) = event()?;
    let (event, keys) = (event.encode(&by), keys(count)?);
    let begun = Instant::now();
    let database = Database::builder()
        .set_cache_size(ROW_CACHE_BYTES)
        .create(path)?;
    let mut durable = Instant::now();
    let mut number = 0;
    for batch in keys.chunks(APPLY_MAX_EVENTS) {
        let mut transaction = database.begin_write()?;
        let is_durable = match when {
            Durable::Always => true,
            Durable::EverySecond => durable.elapsed() >= Duration::from_secs(1),
        };
        if is_durable {
            transaction.set_quick_repair(true);
            durable = Instant::now();
        } else {
            transaction.set_durability(Durability::None)?;
        }
        {
            let mut events = transaction.open_table(EVENTS)?;
            let mut index = transaction.open_table(INDEX)?;
            let mut checkpoint = transaction.open_table(CHECKPOINT)?;
            for key in batch {
                events.insert(number, event.as_slice())?;
                index.insert(key.as_bytes(), number)?;
                number += 1;
            }
            checkpoint.insert((), number)?;
        }
        transaction.commit()?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(f64::from(u32::try_from(count)?) / seconds)
}

/// The keys of so many events that one agent caused one after the other.
fn keys(count: usize) -> anyhow::Result<Vec<EventKey>> {
    let agent = Actor::Agent(sender()?);
    let keys = (0..count).map(|_| EventKey::of(&agent, CommandId::generate()));
    Ok(keys.collect())
}

fn sender() -> anyhow::Result<Reader> {
    Ok(Reader {
        role: Role::parse("sender-0")?,
        instance: InstanceId::parse("one")?,
    })
}

/// What one of the bench's own messages is in the log, and who sent it.
pub(super) fn event() -> anyhow::Result<(Actor, Event)> {
    let from = sender()?;
    let event = Event::from(MessageSent {
        from: from.clone(),
        channel: Channel::Roles(vec![Role::parse("backlog")?]),
        instance: None,
        content: "x".repeat(CONTENT_BYTES),
        reply_to: None,
        priority: Priority::Normal,
        metadata: BTreeMap::new(),
    });
    Ok((Actor::Agent(from), event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_written_across_batches() {
        let dir = tempfile::tempdir().unwrap();
        let count = APPLY_MAX_EVENTS + 10;
        for (name, when) in [("a", Durable::Always), ("s", Durable::EverySecond)] {
            let path = dir.path().join(name);
            assert!(write(&path, count, when).unwrap() > 0.0);
            let database = Database::open(&path).unwrap();
            let read = redb::ReadableDatabase::begin_read(&database).unwrap();
            let events = read.open_table(EVENTS).unwrap();
            let written = redb::ReadableTableMetadata::len(&events).unwrap();
            // What is only visible is gone with the process, up to the last durable commit.
            let is_whole = written == count as u64;
            assert!(
                is_whole || matches!(when, Durable::EverySecond),
                "{written}"
            );
        }
    }
}
