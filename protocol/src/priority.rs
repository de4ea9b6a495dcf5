//! How urgent a message is. Owns the words for it.

use serde::{Deserialize, Serialize};

/// How urgent a message is to its sender.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Now.
    Urgent,
    /// Soon.
    High,
    /// The default.
    #[default]
    Normal,
    /// Whenever.
    Low,
}

impl Priority {
    /// The word for it, as it stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_one_on_the_wire() {
        for priority in [
            Priority::Urgent,
            Priority::High,
            Priority::Normal,
            Priority::Low,
        ] {
            let wire = serde_json::to_value(priority).unwrap();
            assert_eq!(wire, priority.word());
        }
    }
}
