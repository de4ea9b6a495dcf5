//! The client's promises, kept over a real nats-server. What stands behind it here is a stand-in
//! for broker and projector that can be told to lose answers; the real ones are tested with the whole.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking, its helpers too"
)]

mod asking;
mod leaving;
mod mailing;
mod service;
mod world;
