//! MCP over HTTP: bearer tokens in, one NATS connection for each caller out.

mod exchange;

pub use exchange::{ExchangeError, Exchanger};
