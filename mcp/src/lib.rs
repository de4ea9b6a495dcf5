//! The face that Postroad shows to MCP clients: the tools of one agent, over whatever transport.
//!
//! Owns what a model sees: names, schemas, texts, and the size of all of them. Decides nothing: each
//! tool is one call of the client library, made with the caller's own credential, so whatever a model
//! asks, brokers and projectors judge it as they judge any agent.
//!
//! | module | owns |
//! |---|---|
//! | [`caller`] | whose connection a request is carried out with |
//! | [`server`] | the protocol's requests, in both of its revisions |
//! | `registry` | every tool, and whom it is shown to |
//! | `tools` | one tool a file |
//! | `args` | reading arguments, and saying what is wrong with them |
//! | `schema` | schemas of arguments and answers, kept small |
//! | `answer` | results: text beside structure, errors, unread mail, and how long they may be |
//! | `messages` | messages as a model is shown them, as much as one answer holds |
//! | `memories` | memories likewise, and why each was found |
//! | `tasks`, `missions` | what is to be done, as a model is shown it |
//! | `parts` | contents that are longer than one answer |
//! | [`frame`] | words of others, set apart from ours |
//! | `inbox` | the mailbox as a resource, and news of it |
//! | `channel` | pushing into a running session, where a client has that |
//! | [`stdio`] | JSON-RPC over this process's own streams |
//! | [`http`] | HTTP: tokens, callers, sessions |

mod answer;
mod args;
pub mod caller;
mod channel;
pub mod frame;
pub mod http;
mod inbox;
mod memories;
mod messages;
mod missions;
mod parts;
mod registry;
mod schema;
pub mod server;
pub mod stdio;
mod tasks;
mod tools;

pub use caller::Caller;
pub use server::Server;
