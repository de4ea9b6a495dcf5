//! MCP over HTTP: bearer tokens in, one NATS connection for each caller out.
//!
//! A caller presents a token. The issuer says what it is good for, by a JWT that soon ends; with that the caller
//! gets a connection of its own, which NATS confines as it does every agent's. The gateway's own credential can
//! ask the issuer and nothing else, so there is nothing here that could speak for a caller who is not there.
//!
//! | module | owns |
//! |---|---|
//! | `serve` | listening, TLS, connections, stopping |
//! | `routes` | paths, and the order in which a request is judged |
//! | `site` | names this server is called by, and pages that may call it |
//! | `bearer` | the token that a request presents |
//! | `exchange` | asking the issuer |
//! | `callers`, `seat`, `keeper` | who is let in, how much of each is under way, and until when |
//! | `body`, `refusal` | bodies with bounds; what HTTP answers by itself |

mod bearer;
mod body;
mod callers;
mod exchange;
mod keeper;
mod refusal;
mod routes;
mod seat;
mod serve;
mod site;

pub use callers::Road;
pub use exchange::{ExchangeError, Exchanger};
pub use serve::{HttpServer, Settings};

use serde::{Deserialize, Serialize};

/// What is under way at a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections of clients.
    pub connections: usize,
    /// Requests, and answers that are still being sent.
    pub requests: usize,
    /// Callers, each with a NATS connection.
    pub callers: usize,
    /// Sessions of all callers.
    pub sessions: usize,
}
