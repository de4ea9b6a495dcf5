//! Ids of things that an event made: the key of that event, written as a UUID. Such an id follows from who made the thing
//! and from the command's id, so two agents that choose the same id make two things.

/// Makes the id type of one kind of thing.
macro_rules! keyed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($crate::id::CommandId);

        impl $name {
            /// The id of what the event with this key made.
            pub fn of(key: $crate::event::EventKey) -> Self {
                Self($crate::id::CommandId::from_bytes(*key.as_bytes()))
            }

            /// Reads a UUID.
            pub fn parse(text: &str) -> Option<Self> {
                $crate::id::CommandId::parse(text).map(Self)
            }

            /// The 16 bytes, for row keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the 16 bytes of a row key.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self($crate::id::CommandId::from_bytes(bytes))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(crate) use keyed_id;
