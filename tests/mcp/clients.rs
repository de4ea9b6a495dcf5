//! Real clients of others, as their registries have them: the Python package `mcp` in both revisions of the protocol
//! over both transports, the MCP inspector's command line, and the official conformance suite.

mod agents;
mod conformance;
mod inspector;
mod kit;
mod python;
mod relay;
mod stage;
