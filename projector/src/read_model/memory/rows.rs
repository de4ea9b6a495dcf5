//! The rows of memories. A version of a memory is named by the sequence of the event that made it, and in its namespace's index
//! by a number.

use crate::read_model::keys::{ListedKey, RowKey, read_name, write_name};
use crate::read_model::table::{Row, Table};
use postroad_protocol::event::{Actor, MemoryOrigin};
use postroad_protocol::id::{MemoryType, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace, Relation, RelationKind};
use postroad_protocol::subject::OPERATOR_ROLE;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

impl RowKey for MemoryId {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl RowKey for Namespace {
    fn write(&self, key: &mut Vec<u8>) {
        write_name(&self.stored(), key);
    }
}

impl ListedKey for Namespace {
    fn read(key: &mut &[u8]) -> Option<Self> {
        Self::parse_stored(read_name(key)?)
    }
}

/// Where in a namespace's index a version stands, and which event made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionAt {
    /// Its number in the index.
    pub(crate) number: u32,
    /// The event's sequence: what its text is found by.
    pub(crate) sequence: u64,
}

/// A memory, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemoryRow {
    pub(crate) namespace: Namespace,
    /// The event that stored it.
    pub(crate) sequence: u64,
    pub(crate) created: TimeMs,
    pub(crate) by: Actor,
    pub(crate) origin: Option<Box<MemoryOrigin>>,
    /// How many versions there were.
    pub(crate) version: u64,
    /// Those that are kept, the newest last.
    pub(crate) versions: Vec<VersionAt>,
    /// Memories that took its place, the last of them last.
    pub(crate) superseders: Vec<ByteArray<16>>,
}

impl Row for MemoryRow {
    type Key = MemoryId;
    const TABLE: Table = Table::Memories;
}

impl MemoryRow {
    /// Its author's name: a role, `_operator`, or the author of an imported one.
    pub(crate) fn author(&self) -> &str {
        let imported = self.origin.as_ref();
        match (
            imported.and_then(|origin| origin.author.as_deref()),
            &self.by,
        ) {
            (Some(author), _) => author,
            (None, Actor::Agent(reader)) => reader.role.as_str(),
            (None, Actor::Operator(_) | Actor::System) => OPERATOR_ROLE,
        }
    }

    /// From which instance it was stored; none for an imported one.
    pub(crate) fn author_instance(&self) -> Option<&str> {
        match (&self.origin, &self.by) {
            (None, Actor::Agent(reader)) => Some(reader.instance.as_str()),
            (None, Actor::Operator(instance)) => Some(instance.as_str()),
            _ => None,
        }
    }

    /// The memory that took its place, where one did.
    pub(crate) fn superseded_by(&self) -> Option<MemoryId> {
        let last = self.superseders.last()?;
        Some(MemoryId::from_bytes(last.into_array()))
    }

    /// Its newest version.
    pub(crate) fn newest(&self) -> Option<VersionAt> {
        self.versions.last().copied()
    }
}

/// What a memory says in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TextRow {
    pub(crate) memory: ByteArray<16>,
    pub(crate) version: u64,
    /// When it was made.
    pub(crate) time: TimeMs,
    pub(crate) kind: MemoryType,
    pub(crate) tags: Vec<String>,
    pub(crate) relates_to: Vec<StoredRelation>,
    pub(crate) episode: Option<String>,
    pub(crate) occurred: Option<TimeMs>,
    pub(crate) expires: Option<TimeMs>,
    pub(crate) content: String,
}

impl Row for TextRow {
    type Key = u64;
    const TABLE: Table = Table::MemoryTexts;
}

impl TextRow {
    /// The memory that says it.
    pub(crate) fn memory(&self) -> MemoryId {
        MemoryId::from_bytes(self.memory.into_array())
    }

    /// The memories whose place it takes.
    pub(crate) fn updates(&self) -> impl Iterator<Item = MemoryId> + '_ {
        self.relates_to
            .iter()
            .filter(|relation| relation.kind == RelationKind::Updates)
            .map(|relation| MemoryId::from_bytes(relation.memory.into_array()))
    }
}

/// A relation: its id's own form is text, which takes twice as many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRelation {
    pub(crate) kind: RelationKind,
    pub(crate) memory: ByteArray<16>,
}

impl From<&Relation> for StoredRelation {
    fn from(relation: &Relation) -> Self {
        Self {
            kind: relation.kind,
            memory: ByteArray::new(*relation.memory_id.as_bytes()),
        }
    }
}

impl From<&StoredRelation> for Relation {
    fn from(relation: &StoredRelation) -> Self {
        Self {
            kind: relation.kind,
            memory_id: MemoryId::from_bytes(relation.memory.into_array()),
        }
    }
}

/// A list in which memories stand, in order of the events that stored them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLane {
    /// Every one of the owner's.
    All,
    /// Those of every project.
    Projects,
    /// Those of one namespace.
    Of(Namespace),
}

impl RowKey for MemoryLane {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            // No namespace is called so.
            Self::All => write_name("*", key),
            Self::Projects => write_name("project", key),
            Self::Of(namespace) => namespace.write(key),
        }
    }
}

impl MemoryLane {
    /// The lists in which a memory of `namespace` stands.
    pub(crate) fn of(namespace: &Namespace) -> impl Iterator<Item = Self> {
        let projects = matches!(namespace, Namespace::Project(_)).then_some(Self::Projects);
        [Self::All, Self::Of(namespace.clone())]
            .into_iter()
            .chain(projects)
    }
}

/// That a memory stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneEntry(pub(crate) ByteArray<16>);

impl Row for LaneEntry {
    type Key = LaneKey;
    const TABLE: Table = Table::MemoryLanes;
}

/// A place in a list. Read back as the sequence alone: the list is what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaneKey(pub(crate) Option<MemoryLane>, pub(crate) u64);

impl RowKey for LaneKey {
    fn write(&self, key: &mut Vec<u8>) {
        if let Some(lane) = &self.0 {
            lane.write(key);
        }
        self.1.write(key);
    }
}

impl ListedKey for LaneKey {
    fn read(key: &mut &[u8]) -> Option<Self> {
        read_name(key)?;
        Some(Self(None, u64::read(key)?))
    }
}

/// A namespace that memories were ever stored in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceRow {
    /// The number that the next version gets; none is given twice.
    pub(crate) next_number: u32,
    /// Memories that it holds.
    pub(crate) memories: u64,
}

impl Row for NamespaceRow {
    type Key = Namespace;
    const TABLE: Table = Table::Namespaces;
}
