//! Memory commands as callers write them, field by field.

use super::read::identify;
use super::text::{check_time, line_of, read_tags, read_time};
use super::{Command, Identified, wire};
use crate::error::{ErrorCode, Refusal};
use crate::event::{MemoryChange, MemoryOrigin, MemoryStored};
use crate::id::{CommandId, MemoryType, TimeMs};
use crate::limits;
use crate::memory::{MemoryId, NamespaceName, Relation, RelationKind};

/// A checked `store_memory` or `import_memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMemory {
    /// Where it belongs, as the caller wrote it.
    pub namespace: NamespaceName,
    /// What kind of memory.
    pub kind: MemoryType,
    /// 1 byte to 64 KiB.
    pub content: String,
    /// In order, each once.
    pub tags: Vec<String>,
    /// In order, each once.
    pub relates_to: Vec<Relation>,
    /// The episode.
    pub episode: Option<String>,
    /// When what it tells happened.
    pub occurred_at: Option<TimeMs>,
    /// When it ends.
    pub expires_at: Option<TimeMs>,
    /// What the caller says of its own name; only compared with the credential.
    pub claimed_author: Option<String>,
    /// What it was elsewhere; of an import only.
    pub imported: Option<MemoryOrigin>,
}

impl StoreMemory {
    /// The id under which an import of it is stored, where the command names none: of its id elsewhere, or, without
    /// one, of all that it says. So the same line, however often the same importer brings it in, is the same memory.
    pub fn import_id(&self) -> CommandId {
        let namespace = self.namespace.to_string();
        let origin = self.imported.as_ref();
        if let Some(id) = origin.and_then(|origin| origin.id.as_deref()) {
            return CommandId::derived(&[
                b"import memory by id",
                namespace.as_bytes(),
                id.as_bytes(),
            ]);
        }
        let author = origin.and_then(|origin| origin.author.as_deref());
        let bytes = |time: Option<TimeMs>| time.map(|time| time.0.to_be_bytes());
        let (occurred, expires) = (bytes(self.occurred_at), bytes(self.expires_at));
        CommandId::derived(&[
            b"import memory by content",
            namespace.as_bytes(),
            self.kind.as_str().as_bytes(),
            self.content.as_bytes(),
            author.unwrap_or_default().as_bytes(),
            self.episode.as_deref().unwrap_or_default().as_bytes(),
            occurred.as_ref().map_or(&[], <[u8; 8]>::as_slice),
            expires.as_ref().map_or(&[], <[u8; 8]>::as_slice),
            // No tag holds the separator.
            self.tags.join("\0").as_bytes(),
        ])
    }
}

/// A checked `update_memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateMemory {
    /// Which.
    pub memory: MemoryId,
    /// What is to be different: something at least.
    pub change: MemoryChange,
}

pub(super) fn read_store(wire: wire::StoreMemory) -> Result<Identified, Refusal> {
    let claimed_author = wire.created_by.clone();
    let command = StoreMemory {
        namespace: NamespaceName::parse(&wire.namespace)?,
        kind: read_kind(&wire.kind)?,
        tags: read_tags(wire.tags.unwrap_or_default())?,
        relates_to: read_relations(&wire.relates_to.unwrap_or_default())?,
        episode: wire
            .episode
            .as_deref()
            .map(read_episode)
            .transpose()?
            .filter(|name| !name.is_empty()),
        occurred_at: read_time(wire.occurred_at, "occurredAt")?,
        expires_at: read_time(wire.expires_at, "expiresAt")?,
        content: read_content(wire.content)?,
        claimed_author,
        imported: None,
    };
    let id = wire.command_id.as_deref();
    identify(id, "commandId", Command::StoreMemory(command))
}

pub(super) fn read_import(wire: wire::ImportMemory) -> Result<Identified, Refusal> {
    let author = wire
        .created_by
        .map(|text| line_of(&text, "createdBy", limits::AUTHOR_MAX_BYTES))
        .transpose()?
        .filter(|author| !author.is_empty());
    let import_id = wire
        .id
        .map(|text| line_of(&text, "id", limits::IMPORT_ID_MAX_BYTES))
        .transpose()?
        .filter(|id| !id.is_empty());
    let command = StoreMemory {
        namespace: NamespaceName::parse(&bare_is_project(wire.namespace))?,
        kind: read_kind(wire.kind.as_deref().unwrap_or(DEFAULT_TYPE))?,
        tags: read_tags(wire.tags.unwrap_or_default())?,
        relates_to: Vec::new(),
        episode: wire
            .episode
            .as_deref()
            .map(read_episode)
            .transpose()?
            .filter(|name| !name.is_empty()),
        occurred_at: read_time(wire.occurred_at, "occurredAt")?,
        expires_at: read_time(wire.expires_at, "expiresAt")?,
        content: read_content(wire.content)?,
        claimed_author: None,
        imported: Some(MemoryOrigin {
            id: import_id,
            author,
        }),
    };
    let derived = command.import_id();
    let id = wire.command_id.as_deref();
    let identified = identify(id, "commandId", Command::ImportMemory(command))?;
    Ok(match id {
        Some(_) => identified,
        None => Identified {
            id: derived,
            ..identified
        },
    })
}

/// The type of an imported memory that names none.
const DEFAULT_TYPE: &str = "reference";

/// A namespace of other systems is a mere name: it becomes a project's.
pub fn bare_is_project(namespace: String) -> String {
    if namespace.contains('/') || namespace == crate::memory::GLOBAL {
        namespace
    } else {
        format!("{}/{namespace}", crate::memory::PROJECT)
    }
}

pub(super) fn read_update(wire: wire::UpdateMemory) -> Result<Identified, Refusal> {
    let change = MemoryChange {
        content: wire.content.map(read_content).transpose()?,
        kind: wire.kind.as_deref().map(read_kind).transpose()?,
        tags: wire.tags.map(read_tags).transpose()?,
        relates_to: wire.relates_to.as_deref().map(read_relations).transpose()?,
        episode: wire.episode.as_deref().map(read_episode).transpose()?,
        occurred_at: read_time(wire.occurred_at, "occurredAt")?,
        expires_at: read_time(wire.expires_at, "expiresAt")?,
    };
    if change.is_empty() {
        return Err(Refusal::invalid(
            "content",
            "nothing is named to change",
            "give content, type, tags, relatesTo, episode, occurredAt or expiresAt",
        ));
    }
    let command = UpdateMemory {
        memory: read_memory_id(&wire.memory_id)?,
        change,
    };
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::UpdateMemory(command),
    )
}

pub(super) fn read_forget(wire: &wire::ForgetMemory) -> Result<Identified, Refusal> {
    let memory = read_memory_id(&wire.memory_id)?;
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::ForgetMemory { memory },
    )
}

/// Reads a memory's id. A text that cannot be one names nothing, just like an id of somebody else's.
///
/// # Errors
/// `not_found` at `memoryId`.
pub fn read_memory_id(text: &str) -> Result<MemoryId, Refusal> {
    MemoryId::parse(text).ok_or_else(|| Refusal::not_found("memoryId", "memory"))
}

fn read_kind(text: &str) -> Result<MemoryType, Refusal> {
    MemoryType::parse(text).map_err(|error| {
        Refusal::invalid(
            "type",
            error.to_string(),
            "use user, feedback, project, reference, episode, or a slug of your own",
        )
    })
}

fn read_content(content: String) -> Result<String, Refusal> {
    check_text(&content)?;
    Ok(content)
}

fn check_text(content: &str) -> Result<(), Refusal> {
    if content.trim().is_empty() {
        return Err(Refusal::invalid(
            "content",
            "a memory needs content",
            "say what is to be remembered",
        ));
    }
    if content.len() > limits::MEMORY_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the content has {} bytes; {} is the limit",
                content.len(),
                limits::MEMORY_MAX_BYTES
            ),
            "store it in parts that each say one thing, in one episode",
        )
        .at("content"));
    }
    Ok(())
}

fn read_episode(text: &str) -> Result<String, Refusal> {
    line_of(text, "episode", limits::EPISODE_MAX_BYTES)
}

fn check_relation_count(count: usize) -> Result<(), Refusal> {
    if count <= limits::MEMORY_RELATIONS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::TooLarge,
        format!(
            "{count} relations are given; {} is the limit",
            limits::MEMORY_RELATIONS_MAX
        ),
        "name the nearest",
    )
    .at("relatesTo"))
}

fn read_relations(relations: &[wire::Relation]) -> Result<Vec<Relation>, Refusal> {
    check_relation_count(relations.len())?;
    let mut read = relations
        .iter()
        .map(|relation| {
            let kind = match relation.kind.as_str() {
                "updates" => RelationKind::Updates,
                "extends" => RelationKind::Extends,
                "derives" => RelationKind::Derives,
                _ => {
                    return Err(Refusal::invalid(
                        "relatesTo",
                        "there is no such relation",
                        "use updates, extends or derives",
                    ));
                }
            };
            let memory_id = MemoryId::parse(&relation.memory_id)
                .ok_or_else(|| Refusal::not_found("relatesTo", "memory"))?;
            Ok(Relation { kind, memory_id })
        })
        .collect::<Result<Vec<_>, _>>()?;
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

/// Checks that a stored memory is what a broker of this version stores: what it would read is what it says.
///
/// # Errors
/// `invalid_argument`, `too_large` with the field.
pub(crate) fn check_stored(data: &MemoryStored) -> Result<(), Refusal> {
    let change = MemoryChange {
        content: Some(data.content.clone()),
        kind: None,
        tags: Some(data.tags.clone()),
        relates_to: Some(data.relates_to.clone()),
        episode: data.episode.clone(),
        occurred_at: data.occurred_at,
        expires_at: data.expires_at,
    };
    check_change(&change)?;
    let origin = data.imported.as_ref();
    let texts = [
        (
            "episode",
            data.episode.as_deref(),
            limits::EPISODE_MAX_BYTES,
        ),
        (
            "id",
            origin.and_then(|origin| origin.id.as_deref()),
            limits::IMPORT_ID_MAX_BYTES,
        ),
        (
            "createdBy",
            origin.and_then(|origin| origin.author.as_deref()),
            limits::AUTHOR_MAX_BYTES,
        ),
    ];
    for (field, text, max_bytes) in texts {
        if let Some(text) = text
            && (text.is_empty() || line_of(text, field, max_bytes)? != text)
        {
            return Err(not_as_stored(field));
        }
    }
    Ok(())
}

/// As [`check_stored`], of what an update changes.
///
/// # Errors
/// As [`check_stored`].
pub(crate) fn check_change(change: &MemoryChange) -> Result<(), Refusal> {
    if let Some(content) = &change.content {
        check_text(content)?;
    }
    if let Some(tags) = &change.tags
        && read_tags(tags.clone())? != *tags
    {
        return Err(not_as_stored("tags"));
    }
    if let Some(relations) = &change.relates_to {
        check_relation_count(relations.len())?;
        if !relations.is_sorted_by(|one, next| one < next) {
            return Err(not_as_stored("relatesTo"));
        }
    }
    if let Some(episode) = &change.episode
        && read_episode(episode)? != *episode
    {
        return Err(not_as_stored("episode"));
    }
    for (time, field) in [
        (change.occurred_at, "occurredAt"),
        (change.expires_at, "expiresAt"),
    ] {
        if let Some(time) = time {
            check_time(time, field)?;
        }
    }
    Ok(())
}

fn not_as_stored(field: &str) -> Refusal {
    Refusal::invalid(
        field,
        format!("{field} is not as it is stored: in order, in NFC, nothing twice"),
        "import what `postroad tenant export` wrote, unchanged",
    )
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "memory_kept_tests.rs"]
mod kept_tests;
