//! What an event changes: the memory, its texts, its lists and its namespace's index, all in the batch's transaction.

use super::behind::behind;
use super::index::IndexWriter;
use super::rows::{
    LaneEntry, LaneKey, MemoryLane, MemoryRow, NamespaceRow, StoredRelation, TextRow, VersionAt,
};
use crate::read_model::batch::{BatchTables, TenantWriter};
use crate::read_model::keys::Prefix;
use crate::read_model::table::{Row, Table, unreadable};
use crate::store::StoreError;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{Event, MemoryChange, MemoryForgotten, MemoryStored, MemoryUpdated};
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{MEMORY_SUPERSEDERS_MAX, MEMORY_VERSIONS_KEPT};
use postroad_protocol::memory::{MemoryId, Namespace, RelationKind};
use postroad_recall::index::{Document, Succession, add, facts_of, remove, set_successor};
use serde_bytes::ByteArray;
use std::collections::HashSet;

/// By how much the number of an owner's memories changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    OneMore,
    TheSame,
    OneLess,
}

/// The memories of one owner in an open batch.
pub(crate) struct MemoryWriter<'b, 't> {
    tables: &'b mut BatchTables<'t>,
    owner: &'b Prefix,
}

impl TenantWriter<'_, '_> {
    /// Folds an event of memories.
    pub(in crate::read_model) fn memory_event(
        &mut self,
        sequence: u64,
        record: &Record,
    ) -> Result<(), StoreError> {
        let (tables, owner) = self.tables();
        let counted = MemoryWriter::new(tables, owner).fold(sequence, record)?;
        let tenant = self.tenant_row()?;
        match counted {
            Counted::OneMore => tenant.memories += 1,
            Counted::OneLess => tenant.memories = tenant.memories.saturating_sub(1),
            Counted::TheSame => {}
        }
        Ok(())
    }
}

impl<'b, 't> MemoryWriter<'b, 't> {
    pub(crate) fn new(tables: &'b mut BatchTables<'t>, owner: &'b Prefix) -> Self {
        Self { tables, owner }
    }

    /// Folds an event of memories; any other changes nothing. An update of what was forgotten meanwhile changes nothing.
    pub(crate) fn fold(&mut self, sequence: u64, record: &Record) -> Result<Counted, StoreError> {
        match &record.event {
            Event::MemoryStored(data) => self.stored(sequence, record, data),
            Event::MemoryUpdated(data) => self.updated(sequence, record.time, data),
            Event::MemoryForgotten(data) => self.forgotten(sequence, data),
            _ => Ok(Counted::TheSame),
        }
    }

    fn stored(
        &mut self,
        sequence: u64,
        record: &Record,
        data: &MemoryStored,
    ) -> Result<Counted, StoreError> {
        let id = MemoryId::of(record.key);
        let mut space = self.namespace(&data.namespace)?;
        space.memories += 1;
        self.tables.put(self.owner, &data.namespace, &space)?;
        let row = MemoryRow {
            namespace: data.namespace.clone(),
            sequence,
            created: record.time,
            by: record.by.clone(),
            origin: data.imported.clone(),
            version: 0,
            versions: Vec::new(),
            superseders: Vec::new(),
        };
        let text = TextRow {
            memory: ByteArray::new(*id.as_bytes()),
            version: 0,
            time: record.time,
            kind: data.kind.clone(),
            tags: data.tags.clone(),
            relates_to: data.relates_to.iter().map(StoredRelation::from).collect(),
            episode: data.episode.clone(),
            occurred: data.occurred_at,
            expires: data.expires_at,
            content: data.content.clone(),
        };
        for lane in MemoryLane::of(&data.namespace) {
            let entry = LaneEntry(ByteArray::new(*id.as_bytes()));
            self.tables
                .put(self.owner, &LaneKey(Some(lane), sequence), &entry)?;
        }
        self.add_version(id, row, text, &HashSet::new(), sequence)?;
        Ok(Counted::OneMore)
    }

    fn updated(
        &mut self,
        sequence: u64,
        time: TimeMs,
        data: &MemoryUpdated,
    ) -> Result<Counted, StoreError> {
        let id = data.memory_id;
        let Some(row) = self.memory(id)? else {
            return Ok(Counted::TheSame);
        };
        let before = self.newest_text(&row)?;
        let text = changed(&before, &data.change, time);
        if (TextRow {
            time,
            ..before.clone()
        }) == text
        {
            return Ok(Counted::TheSame);
        }
        let superseded: HashSet<MemoryId> = before.updates().collect();
        let still: HashSet<MemoryId> = text.updates().collect();
        for dropped in superseded.difference(&still) {
            self.restore(*dropped, id, sequence)?;
        }
        self.add_version(id, row, text, &superseded, sequence)?;
        Ok(Counted::TheSame)
    }

    /// Puts a memory's next version: `text`, made by the event at `sequence`. What is `known` is superseded already, and stays with the version
    /// that did so first: from there a search goes on to the one of its time.
    fn add_version(
        &mut self,
        id: MemoryId,
        mut row: MemoryRow,
        mut text: TextRow,
        known: &HashSet<MemoryId>,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let is_new = |updated: &MemoryId| !known.contains(updated);
        if text.updates().any(|updated| is_new(&updated)) {
            // Two updates that were decided at once could close a circle that neither of them did.
            let behind = behind(id, |at| self.memory(at))?;
            text.relates_to.retain(|relation| {
                let memory = MemoryId::from_bytes(relation.memory.into_array());
                relation.kind != RelationKind::Updates || !is_new(&memory) || !behind.holds(memory)
            });
        }
        row.version += 1;
        text.version = row.version;
        let number = self.next_number(&row.namespace)?;
        let superseder = match row.superseded_by() {
            Some(superseder) => self.newest_number(superseder)?,
            None => None,
        };
        let document = document_of(&row, &text, sequence);
        let older = row.newest();
        let mut index = self.index(&row.namespace)?;
        add(&mut index, number, &document, sequence)?;
        if superseder.is_some() {
            set_successor(&mut index, number, Succession::Memory, superseder, sequence)?;
        }
        if let Some(older) = older {
            let newer = Some(number);
            set_successor(
                &mut index,
                older.number,
                Succession::Version,
                newer,
                sequence,
            )?;
        }
        row.versions.push(VersionAt { number, sequence });
        let updates: Vec<_> = text.updates().collect();
        for updated in &updates {
            if !known.contains(updated) {
                self.supersede(*updated, id, number, &row.namespace, sequence)?;
            }
        }
        if row.versions.len() > MEMORY_VERSIONS_KEPT {
            let oldest = row.versions.remove(0);
            self.drop_version(&row.namespace, oldest, sequence)?;
            for updated in updates {
                self.repoint(updated, oldest.number, row.versions[0].number, sequence)?;
            }
        }
        self.tables.put(self.owner, &sequence, &text)?;
        self.tables.put(self.owner, &id, &row)
    }

    fn forgotten(&mut self, sequence: u64, data: &MemoryForgotten) -> Result<Counted, StoreError> {
        let id = data.memory_id;
        let Some(row) = self.memory(id)? else {
            return Ok(Counted::TheSame);
        };
        let text = self.newest_text(&row)?;
        for version in &row.versions {
            self.drop_version(&row.namespace, *version, sequence)?;
        }
        self.delete::<MemoryRow>(&id)?;
        for lane in MemoryLane::of(&row.namespace) {
            self.delete::<LaneEntry>(&LaneKey(Some(lane), row.sequence))?;
        }
        for superseded in text.updates() {
            self.restore(superseded, id, sequence)?;
        }
        let mut space = self.namespace(&row.namespace)?;
        space.memories = space.memories.saturating_sub(1);
        self.tables.put(self.owner, &row.namespace, &space)?;
        Ok(Counted::OneLess)
    }

    /// Takes a version's text away, and it out of the index.
    fn drop_version(
        &mut self,
        namespace: &Namespace,
        version: VersionAt,
        revision: u64,
    ) -> Result<(), StoreError> {
        let text = self.text(version.sequence)?;
        remove(
            &mut self.index(namespace)?,
            version.number,
            &text.content,
            revision,
        )?;
        self.delete::<TextRow>(&version.sequence)
    }

    /// `by`, whose newest version has this number, takes the place of `superseded`, where that is of the same namespace.
    fn supersede(
        &mut self,
        superseded: MemoryId,
        by: MemoryId,
        number: u32,
        namespace: &Namespace,
        revision: u64,
    ) -> Result<(), StoreError> {
        let Some(mut row) = self.memory(superseded)? else {
            return Ok(());
        };
        if row.namespace != *namespace {
            return Ok(());
        }
        let entry = ByteArray::new(*by.as_bytes());
        // The last that says so is the one that stands before it.
        row.superseders.retain(|known| *known != entry);
        row.superseders.push(entry);
        if row.superseders.len() > MEMORY_SUPERSEDERS_MAX {
            row.superseders.remove(0);
        }
        self.point_to(&row, Some(number), revision)?;
        self.tables.put(self.owner, &superseded, &row)
    }

    /// `by` takes the place of `superseded` no more.
    fn restore(
        &mut self,
        superseded: MemoryId,
        by: MemoryId,
        revision: u64,
    ) -> Result<(), StoreError> {
        let Some(mut row) = self.memory(superseded)? else {
            return Ok(());
        };
        row.superseders
            .retain(|known| known.as_slice() != by.as_bytes());
        let successor = match row.superseded_by() {
            Some(other) => self.newest_number(other)?,
            None => None,
        };
        self.point_to(&row, successor, revision)?;
        self.tables.put(self.owner, &superseded, &row)
    }

    /// The version that superseded a memory is not kept any more; the next one is.
    fn repoint(
        &mut self,
        superseded: MemoryId,
        from: u32,
        to: u32,
        revision: u64,
    ) -> Result<(), StoreError> {
        let Some(row) = self.memory(superseded)? else {
            return Ok(());
        };
        let Some(newest) = row.newest() else {
            return Ok(());
        };
        let facts = facts_of(&self.index(&row.namespace)?, newest.number)?;
        if facts.is_some_and(|facts| facts.successor == Some(from)) {
            self.point_to(&row, Some(to), revision)?;
        }
        Ok(())
    }

    fn point_to(
        &mut self,
        row: &MemoryRow,
        successor: Option<u32>,
        revision: u64,
    ) -> Result<(), StoreError> {
        let Some(newest) = row.newest() else {
            return Ok(());
        };
        let mut index = self.index(&row.namespace)?;
        set_successor(
            &mut index,
            newest.number,
            Succession::Memory,
            successor,
            revision,
        )?;
        Ok(())
    }

    fn memory(&mut self, id: MemoryId) -> Result<Option<MemoryRow>, StoreError> {
        self.tables.get(self.owner, &id)
    }

    fn newest_number(&mut self, id: MemoryId) -> Result<Option<u32>, StoreError> {
        let row = self.memory(id)?;
        Ok(row.and_then(|row| row.newest()).map(|newest| newest.number))
    }

    fn newest_text(&mut self, row: &MemoryRow) -> Result<TextRow, StoreError> {
        let newest = row.newest().ok_or_else(|| unreadable(Table::Memories))?;
        self.text(newest.sequence)
    }

    fn text(&mut self, sequence: u64) -> Result<TextRow, StoreError> {
        let text = self.tables.get(self.owner, &sequence)?;
        text.ok_or_else(|| unreadable(Table::MemoryTexts))
    }

    fn namespace(&mut self, namespace: &Namespace) -> Result<NamespaceRow, StoreError> {
        Ok(self.tables.get(self.owner, namespace)?.unwrap_or_default())
    }

    fn next_number(&mut self, namespace: &Namespace) -> Result<u32, StoreError> {
        let mut space = self.namespace(namespace)?;
        let number = space.next_number;
        // Sequences of a shard end long before; then the newest version would take another's place.
        space.next_number = number
            .checked_add(1)
            .ok_or_else(|| unreadable(Table::Namespaces))?;
        self.tables.put(self.owner, namespace, &space)?;
        Ok(number)
    }

    fn index(&mut self, namespace: &Namespace) -> Result<IndexWriter<'_, 't>, StoreError> {
        let (table, changed) = self.tables.index()?;
        Ok(IndexWriter::new(table, changed, self.owner, namespace))
    }

    fn delete<R: Row>(&mut self, key: &R::Key) -> Result<(), StoreError> {
        let key = self.owner.key(key);
        self.tables.table(R::TABLE)?.remove(key.as_slice())?;
        Ok(())
    }
}

/// What a text says once it is changed.
fn changed(before: &TextRow, change: &MemoryChange, time: TimeMs) -> TextRow {
    let mut text = TextRow {
        time,
        ..before.clone()
    };
    if let Some(content) = &change.content {
        text.content.clone_from(content);
    }
    if let Some(kind) = &change.kind {
        text.kind = kind.clone();
    }
    if let Some(tags) = &change.tags {
        text.tags.clone_from(tags);
    }
    if let Some(relations) = &change.relates_to {
        text.relates_to = relations.iter().map(StoredRelation::from).collect();
    }
    if let Some(episode) = &change.episode {
        text.episode = Some(episode.clone()).filter(|episode| !episode.is_empty());
    }
    if let Some(occurred) = change.occurred_at {
        text.occurred = Some(occurred).filter(|time| time.0 > 0);
    }
    if let Some(expires) = change.expires_at {
        text.expires = Some(expires).filter(|time| time.0 > 0);
    }
    text
}

/// A version as its index sees it.
fn document_of<'a>(row: &'a MemoryRow, text: &'a TextRow, sequence: u64) -> Document<'a> {
    let ms = |time: TimeMs| i64::try_from(time.0).unwrap_or(i64::MAX);
    Document {
        content: &text.content,
        writer: row.author(),
        kind: text.kind.as_str(),
        episode: text.episode.as_deref(),
        occurred_ms: ms(text.occurred.unwrap_or(row.created)),
        stored_ms: ms(text.time),
        expires_ms: text.expires.map(ms),
        sequence,
    }
}
