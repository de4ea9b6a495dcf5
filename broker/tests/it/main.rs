//! A broker against a real nats-server: one module for each family of promises.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

mod admin;
mod appends;
mod batches;
mod harness;
mod imports;
mod library;
mod memories;
mod messages;
mod missions;
mod neighbours;
mod observations;
mod reactions;
mod repeats;
mod tasks;
mod trouble;
