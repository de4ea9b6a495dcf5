//! Postroad's log as its readers see it. Brokers and projectors never import each other; they meet
//! at the stream, and this crate is what both need of it.
//!
//! | module | owns |
//! |---|---|
//! | [`streams`] | how a shard and the keys stream are configured; which shards exist |
//! | [`shard`] | one shard: its incarnation, its end, single events |
//! | [`stored`] | one stored event, its digest, and the anchor that must still be there |
//! | [`follow`] | an own consumer from a place on, that notices what is missing |
//! | [`fold`] | events as they come, taken into memory |
//! | [`keyring`] | data keys and homes of tenants; opens seals |
//! | `register` | what brokers write to the keys stream |
//! | [`error`] | unreachable (try again) or broken (stop and say so) |

pub mod error;
pub mod fold;
pub mod follow;
pub mod keyring;
mod register;
pub mod shard;
pub mod stored;
pub mod streams;

pub use error::{Broken, LogError, Unreachable};
pub use fold::{Fold, FoldError};
pub use follow::Follower;
pub use keyring::{Home, Keyring, KeyringError, Opened, OwnerKey, Registered};
pub use shard::{Extent, Shard};
pub use stored::{Anchor, StoredEvent, digest};
