//! What is to be stored in a memory, with the id of its command from the start. Sends nothing.

use crate::times::{wire_end, wire_ms};
use postroad_protocol::command::wire as command;
use postroad_protocol::memory::{MemoryId, RelationKind};
use postroad_protocol::{CommandId, TimeMs};

/// The type of a memory that is given none.
const USUAL_TYPE: &str = "reference";

/// A memory that is still to be stored.
///
/// The id of its command is made here, so storing the same one again, even after
/// [`crate::ClientError::OutcomeUnknown`] or from another process, stores one memory.
///
/// ```
/// use postroad_client::NewMemory;
///
/// let memory = NewMemory::new("project/landing-page", "The hero image must stay below 200 KB.")
///     .kind("feedback")
///     .tag("performance")
///     .episode("review of PR 47");
/// assert_eq!(memory.id(), memory.clone().id());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewMemory {
    id: CommandId,
    body: command::StoreMemory,
}

impl NewMemory {
    /// One of the type `reference` in `global`, `project/{x}`, `workspace/{tenant}` or the own
    /// `orchestrator/{role}`.
    pub fn new(namespace: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            id: CommandId::generate(),
            body: command::StoreMemory {
                namespace: namespace.into(),
                kind: USUAL_TYPE.to_owned(),
                content: content.into(),
                ..command::StoreMemory::default()
            },
        }
    }

    /// Another type: `user`, `feedback`, `project`, `episode`, or a slug of one's own.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.body.kind = kind.into();
        self
    }

    /// One label more.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.body.tags.get_or_insert_default().push(tag.into());
        self
    }

    /// How it stands to an older memory; one that it updates steps behind it.
    pub fn relates_to(mut self, kind: RelationKind, memory: MemoryId) -> Self {
        let relations = self.body.relates_to.get_or_insert_default();
        relations.push(relation(kind, memory));
        self
    }

    /// The episode that it is a part of: a conversation, a session, a review.
    pub fn episode(mut self, episode: impl Into<String>) -> Self {
        self.body.episode = Some(episode.into());
        self
    }

    /// When what it tells happened; by default when it is stored.
    pub fn occurred_at(mut self, time: TimeMs) -> Self {
        self.body.occurred_at = Some(wire_ms(time));
        self
    }

    /// From when on it is not found any more; by default never.
    pub fn expires_at(mut self, time: TimeMs) -> Self {
        self.body.expires_at = Some(wire_ms(time));
        self
    }

    /// Stores it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is stored. The memory's own id follows from it and from who stores it.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub(super) fn wire(&self) -> command::StoreMemory {
        command::StoreMemory {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

/// What a memory is to say from now on: what is named is set, the rest stays.
///
/// Like [`NewMemory`] it has the id of its command from the start.
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryUpdate {
    pub(super) memory: MemoryId,
    id: CommandId,
    body: command::UpdateMemory,
}

impl MemoryUpdate {
    /// Nothing yet, of this memory.
    pub fn new(memory: MemoryId) -> Self {
        Self {
            memory,
            id: CommandId::generate(),
            body: command::UpdateMemory {
                memory_id: memory.to_string(),
                ..command::UpdateMemory::default()
            },
        }
    }

    /// Another text.
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.body.content = Some(content.into());
        self
    }

    /// Another type.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.body.kind = Some(kind.into());
        self
    }

    /// All its labels from now on; none takes them away.
    pub fn tags<I: IntoIterator<Item: Into<String>>>(mut self, tags: I) -> Self {
        self.body.tags = Some(tags.into_iter().map(Into::into).collect());
        self
    }

    /// All its relations from now on; none takes them away.
    pub fn relations(mut self, all: impl IntoIterator<Item = (RelationKind, MemoryId)>) -> Self {
        let all = all.into_iter().map(|(kind, memory)| relation(kind, memory));
        self.body.relates_to = Some(all.collect());
        self
    }

    /// Another episode; an empty text takes it out of its episode.
    pub fn episode(mut self, episode: impl Into<String>) -> Self {
        self.body.episode = Some(episode.into());
        self
    }

    /// Another time of what it tells; `None`: when it was stored.
    pub fn occurred_at(mut self, time: Option<TimeMs>) -> Self {
        self.body.occurred_at = Some(wire_end(time));
        self
    }

    /// Another end; `None`: never.
    pub fn expires_at(mut self, time: Option<TimeMs>) -> Self {
        self.body.expires_at = Some(wire_end(time));
        self
    }

    /// Sends it under this id, for instance one that an earlier process kept.
    pub fn with_id(mut self, id: CommandId) -> Self {
        self.id = id;
        self
    }

    /// The id under which it is sent.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub(super) fn wire(&self) -> command::UpdateMemory {
        command::UpdateMemory {
            command_id: Some(self.id.to_string()),
            ..self.body.clone()
        }
    }
}

fn relation(kind: RelationKind, memory: MemoryId) -> command::Relation {
    let kind = match kind {
        RelationKind::Updates => "updates",
        RelationKind::Extends => "extends",
        RelationKind::Derives => "derives",
    };
    command::Relation {
        kind: kind.to_owned(),
        memory_id: memory.to_string(),
    }
}
