//! The rows of tasks. Its last event says all that a task is; what follows from others is kept beside it.

use crate::read_model::hot::{Hot, HotCache, HotRow};
use crate::read_model::keys::{ListedKey, RowKey};
use crate::read_model::table::{Row, Table};
use postroad_protocol::event::EventKey;
use postroad_protocol::id::TimeMs;
use postroad_protocol::task::{MissionId, Note, TaskId, TaskState, TaskStatus};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

impl RowKey for TaskId {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

impl ListedKey for TaskId {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(Self::from_bytes(*bytes))
    }
}

impl RowKey for MissionId {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
}

/// A state leaves out what is empty, so it is stored with its fields' names, as in events.
pub(super) mod named {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer, ser::Error as _};
    use serde_bytes::ByteBuf;

    pub(in crate::read_model::tasks) fn serialize<T: Serialize, S: Serializer>(
        state: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = rmp_serde::to_vec_named(state).map_err(S::Error::custom)?;
        to.serialize_bytes(&bytes)
    }

    pub(in crate::read_model::tasks) fn deserialize<
        'de,
        T: DeserializeOwned,
        D: Deserializer<'de>,
    >(
        from: D,
    ) -> Result<T, D::Error> {
        let bytes = ByteBuf::deserialize(from)?;
        rmp_serde::from_slice(&bytes).map_err(D::Error::custom)
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskRow {
    /// How many tasks were created before it.
    pub(super) ordinal: u64,
    /// Where its last event is stored.
    pub(super) sequence: u64,
    /// When that happened.
    pub(super) updated: TimeMs,
    /// As its last event has it, but for description and notes, which lie in [`TaskText`].
    #[serde(with = "named")]
    pub(super) state: TaskState,
    /// Whether there is a [`TaskText`].
    pub(super) has_text: bool,
    /// Its dependencies that count, in their order: all but what would have closed a circle.
    pub(super) counted: Vec<TaskRef>,
    /// Those of them that are not done.
    pub(super) unmet: Vec<TaskRef>,
    /// Tasks that count it among their dependencies.
    pub(super) dependents: u64,
    /// That whoever it is given to is to be told that it waits for nothing any more.
    pub(super) owed: Option<Owing>,
}

impl Row for TaskRow {
    type Key = TaskId;
    const TABLE: Table = Table::Tasks;
}

impl HotRow for TaskRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.tasks
    }
}

impl TaskRow {
    /// Whether it can be claimed now.
    pub(super) fn is_ready(&self) -> bool {
        self.state.status == TaskStatus::Todo && self.unmet.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.status == TaskStatus::Done
    }
}

/// A task that another names: an id's own form is text, which takes twice as many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskRef(ByteArray<16>);

impl From<TaskId> for TaskRef {
    fn from(id: TaskId) -> Self {
        Self(ByteArray::new(*id.as_bytes()))
    }
}

impl From<TaskRef> for TaskId {
    fn from(named: TaskRef) -> Self {
        Self::from_bytes(named.0.into_array())
    }
}

/// The event that completed the last task that another waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owing {
    pub(super) cause: EventKey,
    pub(super) sequence: u64,
}

/// What a task says at length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskText {
    pub(super) description: String,
    pub(super) notes: Vec<Note>,
}

impl Row for TaskText {
    type Key = TaskId;
    const TABLE: Table = Table::TaskTexts;
}

/// The task with an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRow(pub(super) TaskRef);

impl Row for OrderRow {
    type Key = u64;
    const TABLE: Table = Table::TaskOrder;
}
