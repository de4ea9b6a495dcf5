//! Tasks and missions as their last events left them, and all that follows from those: what waits for what, what can be claimed,
//! whose work it is, how far a mission is, and what is to be reacted to.
//!
//! | module | owns |
//! |---|---|
//! | [`rows`] | the rows of tasks and their keys |
//! | [`fold`] | what an event changes |
//! | [`waits`] | which dependencies count, and who waits for whom |
//! | [`bits`] | the sets that tasks and missions are in, by what they are asked for |
//! | [`walk`] | what is in several sets at once |
//! | [`loads`] | whose work a task is, counted |
//! | [`due`] | claims that end, and messages that are owed |
//! | [`missions`] | missions, and how far they are |
//! | [`read`] | one task, lists, how tasks stand |

pub(crate) mod bits;
pub(crate) mod due;
mod fold;
pub(crate) mod loads;
pub(crate) mod missions;
pub(crate) mod read;
pub(crate) mod rows;
mod waits;
mod walk;
