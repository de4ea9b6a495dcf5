//! Questions about memories, and what they are answered.

use super::{Page, read_limit, read_page, read_time, wire};
use crate::error::{ErrorCode, Refusal};
use crate::id::{MemoryType, TenantId, TimeMs};
use crate::limits;
use crate::memory::{MemoryId, NamespaceFilter, Relation};
use crate::position::Position;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// As of when a question sees memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// What was stored up to this time.
    Time(TimeMs),
    /// What was stored up to this sequence of the tenant's log.
    Sequence(u64),
}

/// A checked `get_memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMemory {
    /// Which.
    pub memory: MemoryId,
    /// Another state than the newest.
    pub as_of: Option<AsOf>,
}

/// A checked `list_memories`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMemories {
    /// Which page.
    pub page: Page,
    /// Only these namespaces; without one, all that the caller may read.
    pub namespace: Option<NamespaceFilter>,
    /// Only of this type.
    pub kind: Option<MemoryType>,
    /// Only with this label.
    pub tag: Option<String>,
    /// Only by this author: a role, `role/instance`, or the author of an imported memory.
    pub created_by: Option<String>,
}

/// A checked `recall`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// What is looked for, in words.
    pub query: String,
    /// Only these namespaces; without one, all that the caller may read.
    pub namespace: Option<NamespaceFilter>,
    /// Only of this type.
    pub kind: Option<MemoryType>,
    /// Only by this author: a role, whichever instance, or the author of an imported memory. However the name is written.
    pub created_by: Option<String>,
    /// Only what happened at this time or later.
    pub since: Option<TimeMs>,
    /// Only what happened before this time.
    pub until: Option<TimeMs>,
    /// Results at most.
    pub limit: usize,
    /// Another state than the newest.
    pub as_of: Option<AsOf>,
}

/// A memory as a caller sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Whose it is, in the operator's view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Its id.
    pub memory_id: MemoryId,
    /// Where it belongs.
    pub namespace: String,
    /// Whether it is of the operator's shared library.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: MemoryType,
    /// The text.
    pub content: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Older memories that it relates to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relates_to: Vec<Relation>,
    /// The memory that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<MemoryId>,
    /// Its episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// When what it tells happened.
    pub occurred_at: TimeMs,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<TimeMs>,
    /// Who stored it: a role, `_operator`, or the author of an imported one.
    pub created_by: String,
    /// From which instance; none for an imported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_instance_id: Option<String>,
    /// Whether it was brought in from elsewhere: its author is what somebody said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Its id there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_id: Option<String>,
    /// When it was stored.
    pub created_at: TimeMs,
    /// When it was last updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<TimeMs>,
    /// Which version this is, from 1.
    pub version: u64,
    /// How well it answers; comparable within one recall only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What the score is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// The parts of a score; their sum is the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Why {
    /// The query's words in it.
    pub words: f64,
    /// What it means beside what the query means.
    pub meaning: f64,
    /// How well what stands beside it in its episode matches.
    pub neighbours: f64,
    /// How well its episode matches.
    pub episode: f64,
    /// The query names its author, and nobody else's.
    pub author: f64,
    /// What it gained from memories that it took the place of, or lost to the one that took its own.
    pub chain: f64,
}

/// Answer of `get_memory`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneMemory {
    /// The memory.
    pub memory: Memory,
    /// How far the answer has read, where one tenant was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// True where the shard is damaged: this may not be all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Answer of `list_memories`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memories {
    /// The newest first; in the operator's view of all tenants, within each.
    pub memories: Vec<Memory>,
    /// Whether more may follow behind `nextCursor`.
    pub truncated: bool,
    /// Where to go on. A page may hold fewer memories than were asked for, or none, and not be the last.
    pub next_cursor: Option<String>,
    /// See [`OneMemory::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`OneMemory::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// How a recall was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecallMode {
    /// By words alone: the projector that answered has no model.
    Words,
    /// By words and by meaning.
    WordsAndMeaning,
}

/// Answer of `recall`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recalled {
    /// The best first.
    pub results: Vec<Memory>,
    /// Memories that matched, shown or not.
    pub matched: u64,
    /// Memories that were searched by words alone, since their vectors are not there yet.
    pub awaiting: u64,
    /// How.
    pub mode: RecallMode,
    /// Whether results were left out for their size: get more by a narrower question or a smaller limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// See [`OneMemory::position`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// See [`OneMemory::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

fn read_as_of(time: Option<i64>, sequence: Option<u64>) -> Result<Option<AsOf>, Refusal> {
    match (read_time(time, "asOf")?, sequence) {
        (Some(_), Some(_)) => Err(Refusal::invalid(
            "asOfSequence",
            "a time and a sequence are both given",
            "give one of asOf and asOfSequence",
        )),
        (Some(time), None) => Ok(Some(AsOf::Time(time))),
        (None, sequence) => Ok(sequence.map(AsOf::Sequence)),
    }
}

fn read_filter(text: Option<&str>) -> Result<Option<NamespaceFilter>, Refusal> {
    text.map(NamespaceFilter::parse).transpose()
}

fn read_kind(text: Option<&str>) -> Result<Option<MemoryType>, Refusal> {
    text.map(|text| MemoryType::parse(text).map_err(|error| error.at("type")))
        .transpose()
}

/// A short text that is compared with what is stored, in NFC as that is.
fn read_short(
    text: Option<String>,
    field: &str,
    max_bytes: usize,
) -> Result<Option<String>, Refusal> {
    let too_large = |bytes: usize| {
        Refusal::new(
            ErrorCode::TooLarge,
            format!("{field} has {bytes} bytes; {max_bytes} is the limit"),
            "give it as the memory has it",
        )
        .at(field)
    };
    let Some(text) = text else { return Ok(None) };
    // Bounded before it is normalised, and after.
    if text.len() > max_bytes * 4 {
        return Err(too_large(text.len()));
    }
    let text: String = text.trim().nfc().collect();
    if text.len() > max_bytes {
        return Err(too_large(text.len()));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(super) fn read_get(wire: &wire::GetMemory) -> Result<GetMemory, Refusal> {
    Ok(GetMemory {
        memory: crate::command::read_memory_id(&wire.memory_id)?,
        as_of: read_as_of(wire.as_of, wire.as_of_sequence)?,
    })
}

pub(super) fn read_list(wire: wire::ListMemories) -> Result<ListMemories, Refusal> {
    Ok(ListMemories {
        page: read_page(wire.limit, wire.cursor, limits::PAGE_DEFAULT)?,
        namespace: read_filter(wire.namespace.as_deref())?,
        kind: read_kind(wire.kind.as_deref())?,
        tag: read_short(wire.tag, "tag", limits::MEMORY_TAG_MAX_BYTES)?,
        created_by: read_short(wire.created_by, "createdBy", limits::AUTHOR_MAX_BYTES)?,
    })
}

pub(super) fn read_recall(wire: wire::Recall) -> Result<Recall, Refusal> {
    if wire.query.len() > limits::RECALL_QUERY_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the query has {} bytes; {} is the limit",
                wire.query.len(),
                limits::RECALL_QUERY_MAX_BYTES
            ),
            "ask in fewer words",
        )
        .at("query"));
    }
    if wire.query.trim().is_empty() {
        return Err(Refusal::invalid(
            "query",
            "nothing is asked",
            "say what to look for in a few words; list_memories shows what there is",
        ));
    }
    Ok(Recall {
        query: wire.query,
        namespace: read_filter(wire.namespace.as_deref())?,
        kind: read_kind(wire.kind.as_deref())?,
        created_by: read_short(wire.created_by, "createdBy", limits::AUTHOR_MAX_BYTES)?,
        since: read_time(wire.since, "since")?,
        until: read_time(wire.until, "until")?,
        limit: read_limit(wire.limit, limits::RECALL_DEFAULT, limits::RECALL_MAX)?,
        as_of: read_as_of(wire.as_of, wire.as_of_sequence)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_looked_for_as_it_is_stored_however_it_is_written() {
        let decomposed = "  cafe\u{301} ";
        let wire = wire::ListMemories {
            tag: Some(decomposed.to_owned()),
            created_by: Some(decomposed.to_owned()),
            ..wire::ListMemories::default()
        };
        let read = read_list(wire).unwrap();
        let composed = Some("caf\u{e9}".to_owned());
        assert_eq!((read.tag, read.created_by), (composed.clone(), composed));
    }
}
