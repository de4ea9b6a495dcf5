//! Which memories took one memory's place, at once or over others: what closes no circle must not be among them. The walk is
//! bounded, so a memory at the end of a very long chain costs no more than others.

use super::rows::MemoryRow;
use crate::store::StoreError;
use postroad_protocol::limits::MEMORY_BEHIND_MAX;
use postroad_protocol::memory::MemoryId;
use std::collections::HashSet;

/// A memory, and those that took its place.
#[derive(Debug, Default)]
pub(super) struct Behind {
    seen: HashSet<MemoryId>,
    /// There are more than were walked through.
    more: bool,
}

impl Behind {
    /// Whether `id` is one of them, or may be.
    pub(super) fn holds(&self, id: MemoryId) -> bool {
        self.more || self.seen.contains(&id)
    }
}

/// `id`, and every memory that took its place; `row` reads one.
pub(super) fn behind(
    id: MemoryId,
    mut row: impl FnMut(MemoryId) -> Result<Option<MemoryRow>, StoreError>,
) -> Result<Behind, StoreError> {
    let mut behind = Behind::default();
    behind.seen.insert(id);
    let mut next = vec![id];
    while let Some(at) = next.pop() {
        let Some(row) = row(at)? else {
            continue;
        };
        for superseder in &row.superseders {
            let superseder = MemoryId::from_bytes(superseder.into_array());
            if !behind.seen.insert(superseder) {
                continue;
            }
            if behind.seen.len() > MEMORY_BEHIND_MAX {
                behind.more = true;
                return Ok(behind);
            }
            next.push(superseder);
        }
    }
    Ok(behind)
}
