//! The MCP face, tested end to end: the real binary, a real nats-server, and clients that speak MCP.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test binary exports nothing, says what it expects by panicking, and may list many cases"
)]

mod clients;

#[path = "../it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "shared with tests/it, which uses the rest of it"
)]
mod harness;
