//! A projector against a real nats-server: what it does when the log, the keys or its rows are not
//! what they were, and beside another projector.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

mod damage;
mod harness;
mod membership;
mod rebuild;
mod vectors;
