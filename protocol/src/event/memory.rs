//! What happened to memories. A memory is named by the key of the event that stored it.

use crate::id::{MemoryType, TimeMs};
use crate::memory::{MemoryId, Namespace, Relation};
use serde::{Deserialize, Serialize};

/// A memory was stored. Who stored it is the event's `by`; when is its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStored {
    /// Where it belongs.
    pub namespace: Namespace,
    /// What kind of memory it is.
    #[serde(rename = "type")]
    pub kind: MemoryType,
    /// The text.
    pub content: String,
    /// Labels, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Older memories, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relates_to: Vec<Relation>,
    /// The episode that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// When what it tells happened; without one, when it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<TimeMs>,
    /// From when on it is not found any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<TimeMs>,
    /// Where it was brought in from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<MemoryOrigin>>,
}

/// What an imported memory was elsewhere: free text that somebody else vouches for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryOrigin {
    /// Its id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its author there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// A memory says something else from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryUpdated {
    /// Which.
    pub memory_id: MemoryId,
    /// What is different. The rest stays.
    pub change: MemoryChange,
}

/// What an update changes: what is named is set, what is in no list stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryChange {
    /// Another text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemoryType>,
    /// All its labels; an empty list takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// All its relations; an empty list takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relates_to: Option<Vec<Relation>>,
    /// Another episode; an empty text takes it out of its episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// Another time of what it tells; 0 gives it the time at which it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<TimeMs>,
    /// Another end; 0 takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<TimeMs>,
}

impl MemoryChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A memory was forgotten, with all that it ever said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryForgotten {
    /// Which.
    pub memory_id: MemoryId,
}
