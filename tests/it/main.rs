//! Promises of Postroad, tested end to end: the real binary, a real nats-server, one module a promise.

#![allow(
    unreachable_pub,
    missing_docs,
    reason = "a test binary exports nothing; names say what is promised"
)]

mod bad_input;
mod damage;
mod example;
mod harness;
mod isolation;
mod kill;
mod neighbours;
mod push;
mod replay;
mod seeds;
mod up;
