//! Promises of Postroad, tested end to end: the real binary, a real nats-server, one module a promise.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::default_trait_access,
    clippy::too_many_lines,
    reason = "a test binary exports nothing, says what it expects by panicking, and may list many cases"
)]

mod another_machine;
mod bad_input;
mod command_line;
mod credentials;
mod damage;
mod erase;
mod example;
mod fairness;
mod global_view;
mod harness;
mod isolation;
mod kill;
mod limits;
mod malformed;
mod master_key;
mod memories;
mod neighbours;
mod opaque_logs;
mod permissions;
mod portability;
mod presence;
mod push;
mod push_in_flight;
mod reactions;
mod rebuild;
mod remembering;
mod replay;
mod replay_range;
mod retirement;
mod rotate;
mod search;
mod seeds;
mod seeds_memories;
mod seeds_tasks;
mod suspension;
mod task_lists;
mod tasks;
mod tour;
mod up;
mod up_options;
mod usage;
mod waking;
