//! The face that Postroad shows to MCP clients.
