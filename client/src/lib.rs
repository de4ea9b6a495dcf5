//! The agent's library for Postroad: send, check, mark as read, subscribe.
//!
//! Owns the client's side of the road: identity from a credential, retries under one id, answers
//! that include what the caller has already seen. It never touches the log and holds no message back.
//!
//! Two agents, from `examples/two_agents.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/two_agents.rs")]
//! ```
//!
//! What a caller should know:
//!
//! - **The credential says who calls.** Nothing that is sent can name another tenant or sender.
//! - **Retries are safe.** A [`Draft`] has its id from the start. A call retries by itself, always
//!   under the same id, until [`ConnectOptions::timeout`]; [`ClientError::advice`] tells what is left
//!   to do afterwards.
//! - **One reads what one wrote.** Every question carries the highest position that the client has
//!   seen, and whoever answers waits until it has come so far.
//! - **Unread receipts are the queue.** [`Client::subscribe`] yields each unread message once;
//!   whatever is not marked as read comes again to the next subscription.
//!
//! | module | owns |
//! |---|---|
//! | `connect`, `client` | settings and identity; what all calls have in common |
//! | `credential`, `context` | `.creds` files; files that say where a deployment is |
//! | `trust` | which nats-server is believed, over TLS |
//! | `user_key`, `wallet`, `renew` | a key pair; the credential of now, and the next |
//! | `commands`, `queries`, `roster`, `operator`, `replay`, `memories`, `tasks` | what can be asked |
//! | `subscribe`, `bell` | mail as a stream, and the push that shortens its wait |
//! | `presence` | heartbeats |
//! | `exchange`, `link`, `retry`, `seen`, `trace`, `times` | one question, one answer |
//! | `reconnect` | whether a lost connection is made again |
//! | `error` | what went wrong and what to do |

mod bell;
mod client;
mod commands;
mod connect;
mod context;
mod credential;
mod error;
mod exchange;
mod link;
mod memories;
mod operator;
mod presence;
mod private;
mod queries;
mod reconnect;
mod renew;
mod replay;
mod retry;
mod roster;
mod seen;
mod subscribe;
mod tasks;
mod times;
mod trace;
mod trust;
mod user_key;
mod wallet;

pub use bell::MailBell;
pub use client::Client;
pub use commands::Draft;
pub use connect::{ConnectOptions, DEFAULT_TIMEOUT, Identity};
pub use context::{Context, NatsContext};
pub use credential::{Credential, CredentialError, Holder};
pub use error::{Advice, ClientError};
pub use memories::{MemoryFilter, MemoryUpdate, NewMemory, Recall};
pub use operator::{NewAgent, Operator};
pub use presence::Presence;
pub use queries::{Check, History, Page, Search};
pub use replay::{Replay, ReplayOf, ReplayRange};
pub use roster::{Revoke, Roster};
pub use subscribe::Subscription;
pub use tasks::{MissionList, MissionUpdate, NewMission, NewTask, TaskList, TaskStep, TaskUpdate};
pub use trace::traced;
pub use trust::{Trust, tls_refusal};
pub use user_key::UserKey;

/// The vocabulary that requests and answers are made of.
pub use postroad_protocol as protocol;
