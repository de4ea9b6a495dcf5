//! Raw redb writes: the ceiling of folding the log. Owns one file that means nothing.

use super::plan::CONTENT_BYTES;
use anyhow::Context as _;
use postroad_protocol::event::{Actor, Event, MessageSent, Priority};
use postroad_protocol::limits::{APPLY_MAX_EVENTS, ROW_CACHE_BYTES};
use postroad_protocol::{Channel, InstanceId, Reader, Role};
use redb::{Database, Durability, TableDefinition};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");
const INDEX: TableDefinition<'static, [u8; 16], u64> = TableDefinition::new("index");
const CHECKPOINT: TableDefinition<'static, (), u64> = TableDefinition::new("checkpoint");

/// Writes `count` events of a message's size into a new file, in the batches of a projector that
/// catches up, each durable; events in a second.
pub(super) fn write(path: &Path, count: usize) -> anyhow::Result<f64> {
    let event = event_bytes()?;
    let begun = Instant::now();
    let database = Database::builder()
        .set_cache_size(ROW_CACHE_BYTES)
        .create(path)?;
    let count = u64::try_from(count)?;
    let batch = u64::try_from(APPLY_MAX_EVENTS)?;
    let mut next = 0;
    while next < count {
        let end = count.min(next + batch);
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        {
            let mut events = transaction.open_table(EVENTS)?;
            let mut index = transaction.open_table(INDEX)?;
            let mut checkpoint = transaction.open_table(CHECKPOINT)?;
            for number in next..end {
                events.insert(number, event.as_slice())?;
                index.insert(key_of(number)?, number)?;
            }
            checkpoint.insert((), end)?;
        }
        transaction.commit()?;
        next = end;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(f64::from(u32::try_from(count)?) / seconds)
}

/// As random as the keys of events, which are hashes.
fn key_of(number: u64) -> anyhow::Result<[u8; 16]> {
    let hash = blake3::hash(&number.to_be_bytes());
    let (key, _) = hash
        .as_bytes()
        .split_first_chunk()
        .context("a hash has 32 bytes")?;
    Ok(*key)
}

/// What one of the bench's own messages is in the log.
fn event_bytes() -> anyhow::Result<Vec<u8>> {
    let from = Reader {
        role: Role::parse("sender-0")?,
        instance: InstanceId::parse("one")?,
    };
    let event = Event::from(MessageSent {
        from: from.clone(),
        channel: Channel::Roles(vec![Role::parse("backlog")?]),
        instance: None,
        content: "x".repeat(CONTENT_BYTES),
        reply_to: None,
        priority: Priority::Normal,
        metadata: BTreeMap::new(),
    });
    Ok(event.encode(&Actor::Agent(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_written_across_batches() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raw.redb");
        let count = APPLY_MAX_EVENTS + 10;
        assert!(write(&path, count).unwrap() > 0.0);
        let database = Database::open(&path).unwrap();
        let read = redb::ReadableDatabase::begin_read(&database).unwrap();
        let events = read.open_table(EVENTS).unwrap();
        let written = redb::ReadableTableMetadata::len(&events).unwrap();
        assert_eq!(written, count as u64);
    }
}
