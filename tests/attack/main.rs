//! What a hostile agent can do with a valid credential and a NATS client of its own making, and that it
//! reaches nothing of another tenant's. One module a line of attack; the deployment, the witness and
//! the plain NATS client are those of `tests/it`.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test binary exports nothing, says what it expects by panicking, and may list many cases"
)]

mod aggregates;
mod claims;
mod credentials;
mod fuzz;
mod headers;
mod known;
mod load;
mod oracles;
mod reply_to;
mod socket;
mod stage;
mod subjects;
mod task_verbs;
mod verbs;

#[path = "../it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "shared with tests/it, which uses the rest of it"
)]
mod harness;

// Cargo-fuzz has it as a crate of its own.
#[path = "../../fuzz/entries.rs"]
mod entries;
