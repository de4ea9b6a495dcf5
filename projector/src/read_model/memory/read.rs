//! One memory, lists of them, and how a memory stands: of a tenant, or of the shared library.

use super::behind::{Behind, behind};
use super::reach::Reach;
use super::rows::{LaneEntry, LaneKey, MemoryLane, MemoryRow, TextRow, VersionAt};
use crate::read_model::keys::RowKey as _;
use crate::read_model::overview::Room;
use crate::read_model::table::{Table, TenantReader, unreadable};
use crate::store::StoreError;
use postroad_protocol::event::Actor;
use postroad_protocol::id::{Role, TenantId, TimeMs};
use postroad_protocol::memory::{MemoryId, Relation};
use postroad_protocol::query::{self, AsOf, GetMemory, ListMemories};
use postroad_protocol::service::{Finding, MemoryStanding};

/// The memories of one owner at one moment.
#[derive(Debug)]
pub struct MemoryReader<'r, 's> {
    pub(super) rows: &'r TenantReader<'s>,
    /// Whose they are; none for the shared library.
    pub(super) tenant: Option<TenantId>,
}

impl<'s> TenantReader<'s> {
    /// The tenant's memories.
    pub fn memories(&self) -> MemoryReader<'_, 's> {
        MemoryReader::new(self)
    }
}

/// A page of memories.
#[derive(Debug, Default)]
pub struct MemoryPage {
    /// The newest first.
    pub memories: Vec<query::Memory>,
    /// The next page lies before this sequence; none when this is the last. A page may hold fewer memories than were asked for,
    /// or none, and not be the last.
    pub next_before: Option<u64>,
}

/// At what time somebody asks, and as of when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) now: TimeMs,
    /// Another state than the newest.
    pub(super) as_of: Option<AsOf>,
}

impl Asking {
    /// About the newest state.
    fn now(now: TimeMs) -> Self {
        Self { now, as_of: None }
    }

    /// Whether what an event at `sequence` and `time` made was there.
    fn includes(self, sequence: u64, time: TimeMs) -> bool {
        match self.as_of {
            None => true,
            Some(AsOf::Time(at)) => time <= at,
            Some(AsOf::Sequence(at)) => sequence <= at,
        }
    }

    fn has_expired(self, text: &TextRow) -> bool {
        let at = match self.as_of {
            Some(AsOf::Time(at)) => at,
            _ => self.now,
        };
        text.expires.is_some_and(|end| end <= at)
    }
}

/// A list walked from its end.
struct Walk<'r> {
    entries: Box<dyn Iterator<Item = Result<(LaneKey, LaneEntry), StoreError>> + 'r>,
    head: Option<(u64, MemoryId)>,
}

impl<'r> Walk<'r> {
    fn open(
        rows: &'r TenantReader<'_>,
        lane: &MemoryLane,
        before: Option<u64>,
    ) -> Result<Self, StoreError> {
        let place = before.map(|before| LaneKey(Some(lane.clone()), before).bytes());
        let entries = rows.list_back::<LaneEntry>(lane, place.as_deref())?;
        let mut walk = Self {
            entries,
            head: None,
        };
        walk.pass()?;
        Ok(walk)
    }

    fn pass(&mut self) -> Result<(), StoreError> {
        let next = self.entries.next().transpose()?;
        self.head = next.map(|(key, entry)| (key.1, MemoryId::from_bytes(entry.0.into_array())));
        Ok(())
    }
}

impl<'r, 's> MemoryReader<'r, 's> {
    pub(crate) fn new(rows: &'r TenantReader<'s>) -> Self {
        // The deployment's own name is no tenant's.
        let tenant = TenantId::parse(rows.owner()).ok();
        Self { rows, tenant }
    }

    /// One memory, as agents of `role` see it; without a role, as the operator does. Nothing for one that is not there, was not
    /// there then, has ended, or is not theirs to read.
    pub fn get(
        &self,
        wanted: &GetMemory,
        role: Option<&Role>,
        now: TimeMs,
    ) -> Result<Option<query::Memory>, StoreError> {
        let Some(row) = self.rows.get::<MemoryRow>(&wanted.memory)? else {
            return Ok(None);
        };
        if !row.namespace.is_open_to(role) {
            return Ok(None);
        }
        let asking = Asking {
            now,
            as_of: wanted.as_of,
        };
        for version in row.versions.iter().rev() {
            let text = self.text(*version)?;
            if asking.includes(version.sequence, text.time) {
                if asking.has_expired(&text) {
                    return Ok(None);
                }
                return self.shown(wanted.memory, &row, text, asking).map(Some);
            }
        }
        Ok(None)
    }

    /// Memories within `reach` before the sequence `before`, the newest first, as far as `wanted` narrows them and `room` allows.
    pub fn list(
        &self,
        reach: &Reach,
        wanted: &ListMemories,
        before: Option<u64>,
        now: TimeMs,
        room: &mut Room,
    ) -> Result<MemoryPage, StoreError> {
        let open = |lane: &MemoryLane| Walk::open(self.rows, lane, before);
        let mut walks = reach
            .lanes()
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        let mut page = MemoryPage::default();
        let mut passed = before.unwrap_or(u64::MAX);
        while let Some(walk) = walks
            .iter_mut()
            .max_by_key(|walk| walk.head.map(|head| head.0))
        {
            let Some((sequence, id)) = walk.head else {
                break;
            };
            if room.is_spent() {
                page.next_before = Some(passed);
                break;
            }
            let (row, text) = self.newest(id)?;
            let is_wanted = reach.holds(&row.namespace)
                && !Asking::now(now).has_expired(&text)
                && fits(wanted, &row, &text);
            if is_wanted && !room.holds(text.content.len()) {
                page.next_before = Some(passed);
                break;
            }
            room.look(text.content.len(), is_wanted);
            if is_wanted {
                page.memories
                    .push(self.shown(id, &row, text, Asking::now(now))?);
            }
            passed = sequence;
            walk.pass()?;
        }
        Ok(page)
    }

    /// How memories stand for agents of `role`, for a broker; without a role, for the operator.
    pub fn standing(
        &self,
        role: Option<&Role>,
        changed: Option<MemoryId>,
        named: &[MemoryId],
    ) -> Result<Finding, StoreError> {
        let open = |id: &MemoryId| -> Result<Option<MemoryRow>, StoreError> {
            let row = self.rows.get::<MemoryRow>(id)?;
            Ok(row.filter(|row| row.namespace.is_open_to(role)))
        };
        let behind = match changed {
            Some(changed) if !named.is_empty() => {
                behind(changed, |at| self.rows.get::<MemoryRow>(&at))?
            }
            _ => Behind::default(),
        };
        let stands = |id: &MemoryId| {
            Ok(open(id)?.map(|row| MemoryStanding {
                namespace: row.namespace,
                is_behind: behind.holds(*id),
            }))
        };
        Ok(Finding::Memories {
            changed: match changed {
                Some(id) => open(&id)?.map(|row| row.namespace),
                None => None,
            },
            named: named
                .iter()
                .map(stands)
                .collect::<Result<_, StoreError>>()?,
        })
    }

    fn newest(&self, id: MemoryId) -> Result<(MemoryRow, TextRow), StoreError> {
        let row = self.memory(id)?;
        let newest = row.newest().ok_or_else(|| unreadable(Table::Memories))?;
        let text = self.text(newest)?;
        Ok((row, text))
    }

    /// The memory that a text or a list names.
    pub(super) fn memory(&self, id: MemoryId) -> Result<MemoryRow, StoreError> {
        self.rows
            .get(&id)?
            .ok_or_else(|| unreadable(Table::Memories))
    }

    pub(super) fn text(&self, version: VersionAt) -> Result<TextRow, StoreError> {
        let text = self.rows.get(&version.sequence)?;
        text.ok_or_else(|| unreadable(Table::MemoryTexts))
    }

    /// A version of a memory as callers see it.
    pub(super) fn shown(
        &self,
        id: MemoryId,
        row: &MemoryRow,
        text: TextRow,
        asking: Asking,
    ) -> Result<query::Memory, StoreError> {
        let relates_to = text.relates_to.iter().map(Relation::from).collect();
        Ok(query::Memory {
            tenant_id: None,
            memory_id: id,
            namespace: row.namespace.shown(self.tenant.as_ref()),
            shared: self.tenant.is_none(),
            kind: text.kind,
            content: text.content,
            tags: text.tags,
            relates_to,
            superseded_by: self.superseded_by(row, asking)?,
            episode: text.episode,
            occurred_at: text.occurred.unwrap_or(row.created),
            expires_at: text.expires,
            created_by: row.author().to_owned(),
            created_by_instance_id: row.author_instance().map(str::to_owned),
            imported: row.origin.is_some(),
            import_id: row.origin.as_ref().and_then(|origin| origin.id.clone()),
            created_at: row.created,
            updated_at: (text.version > 1).then_some(text.time),
            version: text.version,
            score: None,
            why: None,
        })
    }

    /// The memory that had taken its place then.
    fn superseded_by(
        &self,
        row: &MemoryRow,
        asking: Asking,
    ) -> Result<Option<MemoryId>, StoreError> {
        if asking.as_of.is_none() {
            return Ok(row.superseded_by());
        }
        for superseder in row.superseders.iter().rev() {
            let id = MemoryId::from_bytes(superseder.into_array());
            let other = self.rows.get::<MemoryRow>(&id)?;
            if other.is_some_and(|other| asking.includes(other.sequence, other.created)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

fn fits(wanted: &ListMemories, row: &MemoryRow, text: &TextRow) -> bool {
    wanted.kind.as_ref().is_none_or(|kind| text.kind == *kind)
        && wanted
            .tag
            .as_ref()
            .is_none_or(|tag| text.tags.contains(tag))
        && wanted
            .created_by
            .as_ref()
            .is_none_or(|author| is_by(row, author))
}

/// Whether a memory is by `author`: a role, a reader, or whoever an imported one is by.
fn is_by(row: &MemoryRow, author: &str) -> bool {
    let by_reader = || match &row.by {
        Actor::Agent(reader) => row.origin.is_none() && reader.to_string() == author,
        _ => false,
    };
    row.author() == author || by_reader()
}
