//! Postroad's query side: tails the log into redb, answers queries. Any number run.
//!
//! | module | owns |
//! |---|---|
//! | [`pipeline`] | one shard from log to rows; what happens when the log is damaged |
//! | [`intake`] | reading the log ahead of the writer |
//! | [`writer`] | the one thread that writes a shard's rows |
//! | [`apply`] | EVENT BECOMES ROWS: one transaction, rows and checkpoint |
//! | [`read_model`] | each table: keys, apply, reads |
//! | [`store`], [`checkpoint`] | the redb file; tenants' rows only through a scope |
//! | [`ingress`], [`answer`], [`check`], [`operate`], [`global`], [`rows`], [`cursor`] | QUERY READS ROWS |
//! | `recall` | memories: one, lists, and what answers a question |
//! | `side`, `vectors` | files beside the rows; what memories and queries mean |
//! | `search`, `words` | messages by their words, and the index that finds them |
//! | [`lookup`] | what brokers ask |
//! | [`audit`] | replay |
//! | [`hosts`], [`progress`], [`bells`] | how far each shard is, and who waits for it |
//! | [`announce`], [`membership`] | whether queries come here, or to a healthier projector |
//! | [`turns`] | whose query is worked on next |
//! | `usage` | what tenants use |
//! | [`life`] | which tenants are suspended, for the operator |
//! | [`observe`] | what was seen here and has to become an event |
//! | [`presence`] | who was heard of lately |
//! | [`forget`], [`purge`] | a tenant that is erased leaves nothing here |
//! | `react` | what follows from rows without anybody asking: leases that run out, tasks that wait for nothing any more |
//! | `open` | opening a shard's files and its pipeline |
//! | [`rebuild`], [`renew`] | folding the log anew: how, and when rows that failed are |

pub mod ahead;
pub mod announce;
pub mod answer;
pub mod apply;
pub mod audit;
pub mod bells;
pub mod check;
pub mod checkpoint;
pub mod cursor;
pub mod forget;
pub mod global;
pub mod hosts;
pub mod ingress;
pub mod intake;
pub mod life;
pub mod lookup;
pub mod membership;
pub mod observe;
mod open;
pub mod operate;
pub mod pipeline;
pub mod presence;
pub mod progress;
pub mod purge;
mod react;
pub mod read_model;
pub mod rebuild;
mod recall;
pub mod renew;
pub mod rows;
mod search;
mod side;
mod start;
pub mod store;
mod tasks;
pub mod turns;
mod usage;
mod vectors;
mod words;
pub mod writer;

pub use start::{Projector, ProjectorConfig, StartError};

#[cfg(test)]
mod testing;
