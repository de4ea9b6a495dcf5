//! Names and ids, checked once where they enter. A value of these types is well formed;
//! it is a claim, not a proof: what proves a tenant is [`crate::tenancy::TenantScope`].

use crate::error::Refusal;
use crate::limits::NAME_MAX_CHARS;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Nothing but white space, or nothing at all.
    #[error("a {kind} must not be empty")]
    Empty {
        /// What was being named.
        kind: &'static str,
    },
    /// More than 64 characters.
    #[error("a {kind} has at most {NAME_MAX_CHARS} characters, this one has {chars}")]
    TooLong {
        /// What was being named.
        kind: &'static str,
        /// Characters found.
        chars: usize,
    },
    /// A character outside `[a-z0-9_-]`, or a first one that is neither letter nor digit.
    #[error("a {kind} is made of a-z, 0-9, '_' and '-' and begins with a letter or digit")]
    Alphabet {
        /// What was being named.
        kind: &'static str,
    },
    /// A word that Postroad keeps for itself.
    #[error("'{word}' is reserved and cannot name a {kind}")]
    Reserved {
        /// What was being named.
        kind: &'static str,
        /// The reserved word.
        word: &'static str,
    },
}

impl InvalidName {
    /// The refusal that tells a caller which field to mend.
    pub fn at(&self, field: &str) -> Refusal {
        Refusal::invalid(
            field,
            self.to_string(),
            "use 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit",
        )
    }
}

/// NFC, lower case, then the alphabet: one way to write a name, so look-alikes cannot coexist.
fn canonical(kind: &'static str, text: &str) -> Result<Arc<str>, InvalidName> {
    // Bounded before it is normalised, so that a huge input costs nothing.
    if text.len() > NAME_MAX_CHARS * 8 {
        return Err(InvalidName::TooLong {
            kind,
            chars: text.chars().count(),
        });
    }
    let well = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let name: Cow<'_, str> = if text.bytes().all(well) {
        // Already canonical, as every name in the log is.
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().flat_map(char::to_lowercase).collect())
    };
    if name.is_empty() {
        return Err(InvalidName::Empty { kind });
    }
    let chars = name.chars().count();
    if chars > NAME_MAX_CHARS {
        return Err(InvalidName::TooLong { kind, chars });
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts_well || !name.bytes().all(well) {
        return Err(InvalidName::Alphabet { kind });
    }
    Ok((*name).into())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, reserved: [$($word:literal),*] $(, own: $own:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name: NFC-normalised and lower-cased first, refused when it still is not one.
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let name = canonical($kind, text)?;
                $(if &*name == $word {
                    return Err(InvalidName::Reserved { kind: $kind, word: $word });
                })*
                Ok(Self(name))
            }

            /// Reads what was stored or answered: a name, or one that Postroad goes by itself and nobody may choose.
            ///
            /// # Errors
            /// As [`Self::parse`].
            pub fn parse_stored(text: &str) -> Result<Self, InvalidName> {
                $(if text == $own {
                    return Ok(Self($own.into()));
                })?
                Self::parse(text)
            }

            /// The canonical text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse_stored(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The role under which Postroad itself sends messages. No credential bears it, and nothing can be sent to it.
pub const POSTROAD_ROLE: &str = "_postroad";

name_type!(
    /// The name of a tenant, as somebody wrote it. A claim: rows are reached only with a
    /// [`crate::tenancy::TenantScope`].
    TenantId, "tenant", reserved: []
);
name_type!(
    /// The role of an agent inside its tenant: what messages are addressed to.
    Role, "role", reserved: ["broadcast"], own: "_postroad"
);
name_type!(
    /// One machine or process that serves a role. An address, not a wall.
    InstanceId, "instance", reserved: []
);
name_type!(
    /// The name of a project: a repository, a feature, an initiative.
    ProjectName, "project", reserved: []
);
name_type!(
    /// The type of a memory.
    MemoryType, "type", reserved: []
);

/// A reader: one instance of one role, with its own receipts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reader {
    /// The role it serves.
    pub role: Role,
    /// Which instance of it.
    pub instance: InstanceId,
}

impl Reader {
    /// Postroad itself, as the sender of messages about tasks.
    pub fn postroad() -> Self {
        Self {
            role: Role(POSTROAD_ROLE.into()),
            instance: InstanceId("tasks".into()),
        }
    }

    /// Whether this is Postroad itself, and no agent.
    pub fn is_postroad(&self) -> bool {
        self.role.as_str() == POSTROAD_ROLE
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.instance)
    }
}

/// The id of a command, of the event it becomes and, for a message, of the message.
/// Made by the client (UUIDv7), so that a retry names the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(Uuid);

/// Text in every encoding: an id that an answer names is sent back as it came.
impl Serialize for CommandId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommandId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a UUID"))
    }
}

/// The id of a message: its command's id.
pub type MessageId = CommandId;

impl CommandId {
    /// A fresh UUIDv7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads a hyphenated or plain UUID; the nil UUID is refused.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text)
            .ok()
            .filter(|uuid| !uuid.is_nil())
            .map(Self)
    }

    /// An id that follows from its cause, so that repeating the cause makes no second thing.
    pub fn derived(cause: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("postroad 2026 derived command id");
        for part in cause {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the 16 bytes of a stored row.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// When a UUIDv7 says that it was made, in milliseconds since 1970; nothing for other versions.
    pub fn stamp_ms(&self) -> Option<u64> {
        let (seconds, nanos) = (self.0.get_version_num() == 7)
            .then(|| self.0.get_timestamp())??
            .to_unix();
        Some(seconds * 1000 + u64::from(nanos) / 1_000_000)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Milliseconds since 1970, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TimeMs(pub u64);

impl TimeMs {
    /// The clock of this machine. Only ingress reads it; decide and fold get the time handed in.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_lowered_and_normalised_before_they_are_checked() {
        assert_eq!(Role::parse("Tau").unwrap().as_str(), "tau");
        // The Kelvin sign lower-cases to an ordinary k: one name, not two.
        assert_eq!(TenantId::parse("\u{212A}elvin").unwrap().as_str(), "kelvin");
        assert!(matches!(
            Role::parse("t\u{0430}u"),
            Err(InvalidName::Alphabet { .. })
        ));
    }

    #[test]
    fn postroads_own_role_is_read_back_and_never_chosen() {
        let own = Reader::postroad();
        assert!(own.is_postroad() && Role::parse(POSTROAD_ROLE).is_err());
        let json = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Reader>(&json).unwrap(), own);
        assert!(serde_json::from_str::<TenantId>("\"_postroad\"").is_err());
    }

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        assert!(matches!(
            Role::parse("Broadcast"),
            Err(InvalidName::Reserved { .. })
        ));
        assert!(TenantId::parse("broadcast").is_ok());
        for bad in [
            "", " ", "_sys", "-a", "a.b", "a*", ">", "a b", "a\u{0}b", "a\nb", "é",
        ] {
            assert!(Role::parse(bad).is_err(), "{bad:?} must be refused");
        }
        assert!(Role::parse(&"a".repeat(64)).is_ok());
        assert!(matches!(
            Role::parse(&"a".repeat(65)),
            Err(InvalidName::TooLong { chars: 65, .. })
        ));
        assert!(Role::parse(&"a".repeat(1_000_000)).is_err());
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in "\\PC{0,80}") {
            if let Ok(name) = InstanceId::parse(&text) {
                prop_assert_eq!(InstanceId::parse(name.as_str()).unwrap(), name);
            }
        }
    }

    #[test]
    fn derived_ids_separate_their_parts() {
        assert_ne!(
            CommandId::derived(&[b"ab", b"c"]),
            CommandId::derived(&[b"a", b"bc"])
        );
        assert_eq!(CommandId::derived(&[b"a"]), CommandId::derived(&[b"a"]));
        assert_eq!(CommandId::derived(&[b"a"]).stamp_ms(), None);
        assert!(CommandId::generate().stamp_ms().is_some());
    }
}
