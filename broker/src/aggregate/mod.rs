//! What may happen, and what follows from what happened: pure decide and fold. Nothing here awaits,
//! reads a clock or rolls dice; time and ids are handed in.
//!
//! | module | owns |
//! |---|---|
//! | [`roster`] | the fold: roles, credentials and readers of one tenant |
//! | [`agent`] | deciding who may act, registrations and retirements |
//! | [`credential`] | deciding what is issued, renewed and revoked |
//! | [`member`] | the fold of one role |
//! | [`message`] | deciding a send: whom it reaches, or why not |
//! | [`tenant`] | deciding a creation, and what damage is given up |
//! | [`nearest`] | known names that resemble an unknown one |
//! | [`import`] | which events of an exported history are there, and which are to be stored |
//! | [`life`] | a tenant as a whole: whether it is suspended, its limits |
//! | [`memory`] | deciding over memories: where one belongs, what it may relate to |
//! | [`address`] | roles and instances that a command names: whether somebody is there |
//! | [`repeat`] | whether a stored event is what a repeated command asks for |
//! | [`task`], [`mission`] | deciding what becomes of tasks and missions |

pub(crate) mod address;
pub(crate) mod agent;
pub(crate) mod credential;
pub(crate) mod import;
pub(crate) mod life;
pub(crate) mod member;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod mission;
pub(crate) mod nearest;
pub(crate) mod repeat;
pub(crate) mod roster;
pub(crate) mod task;
pub(crate) mod tenant;
