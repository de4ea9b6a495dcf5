//! Postroad's vocabulary: everything that two parts must agree on, and nothing that does IO.
//!
//! | module | owns |
//! |---|---|
//! | [`id`] | names and ids, checked once |
//! | [`limits`] | every bound, with its unit |
//! | [`tenancy`] | proof of who calls and for which tenant; the only module that mints it |
//! | [`subject`] | building and parsing subjects |
//! | [`permission`] | what each kind of credential may publish and subscribe |
//! | [`catalogue`] | every verb in one table: the source of `subjects.md` |
//! | [`body`] | MessagePack and JSON, with the field at fault |
//! | [`command`], [`query`] | what may be asked, and the answers |
//! | [`channel`] | to whom a message goes |
//! | [`event`] | what happened, with stored names and versions |
//! | [`memory`] | what names a memory, and where it belongs |
//! | [`task`] | what names tasks and missions, and how they stand |
//! | `keyed` | ids of things that an event made |
//! | [`envelope`], [`seal`] | an event as it lies in the log |
//! | [`position`] | where an append landed |
//! | [`priority`] | how urgent a message is |
//! | [`portable`] | a tenant's history as lines that another deployment takes in |
//! | [`quota`] | limits that the operator sets for a tenant |
//! | [`push`] | hints and heartbeats |
//! | [`service`] | what Postroad's parts say to each other |
//! | [`possession`] | proof that a caller holds the seed of a key |
//! | [`walls`] | who may use what, and what a stranger gets |
//! | [`usage`] | what is counted and is no event by itself |
//! | [`token`] | a bearer token, and the key that derives from it |
//! | [`error`] | stable codes |

pub mod body;
pub mod catalogue;
pub mod channel;
pub mod command;
pub mod envelope;
pub mod error;
pub mod event;
pub mod id;
mod keyed;
pub mod limits;
pub mod memory;
pub mod permission;
pub mod portable;
pub mod position;
pub mod possession;
pub mod priority;
pub mod push;
pub mod query;
pub mod quota;
pub mod seal;
pub mod service;
pub mod subject;
pub mod task;
pub mod tenancy;
pub mod token;
pub mod usage;
pub mod walls;

pub use channel::Channel;
pub use error::{ErrorCode, Refusal};
pub use id::{CommandId, InstanceId, MessageId, Reader, Role, TenantId, TimeMs};
pub use position::Position;
pub use subject::Subjects;
