//! What happened to tasks and missions. Each event carries the whole new state, so the last one on the subject of a task or
//! mission says all that deciding over it takes.

use crate::task::{MissionId, MissionState, TaskId, TaskState};
use serde::{Deserialize, Serialize};

/// What a command asked for, in sixteen bytes: a state follows from what was there before as well, so two attempts of one
/// command may lead to two states and are one thing all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked([u8; 16]);

impl Asked {
    /// Of a command, encoded.
    pub fn of(command: &impl Serialize) -> Self {
        let bytes =
            rmp_serde::to_vec_named(command).expect("commands are plain data and always encode");
        let mut asked = [0; 16];
        let hash = blake3::derive_key("postroad 2026 what a command asks for", &bytes);
        asked.copy_from_slice(&hash[..16]);
        Self(asked)
    }
}

impl Serialize for Asked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::event::EventKey::from_bytes(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = crate::event::EventKey::deserialize(deserializer)?;
        Ok(Self(*key.as_bytes()))
    }
}

/// How a task changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskChange {
    /// It came to be.
    Created,
    /// Somebody works on it from now on.
    Claimed,
    /// Its claimant asked for more time.
    Renewed,
    /// Nobody works on it any more.
    Released,
    /// Its claim was not renewed in time, so nobody works on it any more.
    LeaseExpired,
    /// What it says, or how it stands, is different.
    Updated,
    /// It depends on one more task.
    DependencyAdded,
    /// Something keeps it from going on.
    Blocked,
    /// It is done.
    Completed,
    /// It came to nothing.
    Failed,
    /// It is not wanted any more.
    Cancelled,
}

/// A task changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskChanged {
    /// Which.
    pub task_id: TaskId,
    /// How.
    pub change: TaskChange,
    /// What was asked for.
    pub asked: Asked,
    /// How it stands from now on.
    pub state: TaskState,
}

/// How a mission changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissionChange {
    /// It came to be.
    Created,
    /// What it says, or how it stands, is different.
    Updated,
}

/// A mission changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissionChanged {
    /// Which.
    pub mission_id: MissionId,
    /// How.
    pub change: MissionChange,
    /// What was asked for.
    pub asked: Asked,
    /// How it stands from now on.
    pub state: MissionState,
}
