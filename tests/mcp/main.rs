//! `postroad mcp` as a client meets it: the real binary, raw JSON-RPC over its streams, a real deployment
//! behind it. One module a promise; `clients` has programs of others as its clients.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "a test binary exports nothing, says what it expects by panicking, may list many cases, and writes arguments \
              where they are passed"
)]

mod client;
mod clients;
mod frames;
mod http;
mod http_ends;
mod http_many;
mod listing;
mod long;
mod malformed;
mod memories;
mod memories_long;
mod news;
mod outage;
mod searching;
mod seeds;
mod tasks;
mod tasks_apart;
mod tasks_long;
mod tenants;
mod tools;
mod traces;
mod waiting;
mod web;

#[path = "../it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "shared with tests/it, which uses the rest of it"
)]
mod harness;
