//! The face that Postroad shows to MCP clients.

pub mod http;
