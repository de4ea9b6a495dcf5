//! A command that was admitted: whose it is and what it asks is known from its subject, its body is
//! not read yet. Owns reading it, and where: a small body at once, a large one beside everything else,
//! so that nobody waits for the bodies of another. Never decides.

use crate::handle::Request;
use bytes::Bytes;
use postroad_protocol::body::Encoding;
use postroad_protocol::catalogue::Verb;
use postroad_protocol::command::{Command, read_claims, unknown_verb};
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::limits::{BODIES_READ_AT_ONCE, BODY_INLINE_MAX_BYTES, ID_AHEAD_MAX_MS};
use postroad_protocol::query::wire::Reading;
use postroad_protocol::subject::RequestKind;
use postroad_protocol::tenancy::{Admitted, Claims, Principal, RequestContext};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A command whose body is not read yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) context: RequestContext,
    verb: &'static Verb,
    encoding: Encoding,
    body: Bytes,
    time: TimeMs,
}

impl Arrival {
    /// What was admitted, if there is such a command and its caller may give it.
    ///
    /// # Errors
    /// `not_found` for an unknown verb, `permission_denied` for one of others.
    pub(crate) fn new(
        admitted: Admitted<'_>,
        encoding: Encoding,
        body: Bytes,
        time: TimeMs,
    ) -> Result<Self, Refusal> {
        let Admitted {
            context,
            scope,
            verb,
            ..
        } = admitted;
        let known = Verb::find(RequestKind::Command, scope, verb);
        let verb = known.ok_or_else(unknown_verb)?;
        verb.check_caller(&context)?;
        Ok(Self {
            context,
            verb,
            encoding,
            body,
            time,
        })
    }

    /// Whether reading it takes so little that others may wait for it.
    pub(crate) fn is_small(&self) -> bool {
        self.body.len() <= BODY_INLINE_MAX_BYTES
    }

    /// Reads it, here and now.
    ///
    /// # Errors
    /// The refusal of a body that is not such a command.
    pub(crate) fn read(self) -> Result<Request, Refusal> {
        let Self {
            context,
            verb,
            encoding,
            body,
            time,
        } = self;
        context.check_claims(&claims_of(&context, encoding, &body)?)?;
        let identified = Command::read(verb.scope, verb.name, encoding, &body)?;
        let id_field = match identified.command {
            Command::SendMessage(_) => "messageId",
            _ => "commandId",
        };
        check_stamp(identified.id, time, id_field)?;
        let position = match identified.command {
            Command::MarkAsRead(_) => encoding.decode::<Reading>(&body)?.position,
            _ => None,
        };
        Ok(Request {
            context,
            id: identified.id,
            asked: verb.scope,
            command: identified.command,
            time,
            position,
        })
    }
}

/// Refuses an id that is stamped far ahead of now.
///
/// Looking such an id up would not do: once its time comes it looks fresh, a retry then is not looked up
/// any more, and JetStream has forgotten the first attempt, so it would be stored twice. No broker
/// remembers which ids came early; but when none takes them in, none of them is ever stored, or
/// acknowledged, before its time. A clock that is wrong by less is an honest client's: its ids
/// are taken in, and looked up unless they are fresh. One that is slow makes ids that are
/// only ever looked up.
///
/// # Errors
/// `invalid_argument` at `id_field`.
pub(crate) fn check_stamp(id: CommandId, now: TimeMs, id_field: &str) -> Result<(), Refusal> {
    let ahead = id.stamp_ms().map_or(0, |stamp| stamp.saturating_sub(now.0));
    if ahead <= ID_AHEAD_MAX_MS {
        return Ok(());
    }
    Err(Refusal::invalid(
        id_field,
        format!(
            "{id_field} is stamped {} s ahead of this deployment's clock; {} s is the limit",
            ahead / 1_000,
            ID_AHEAD_MAX_MS / 1_000
        ),
        "set the clock of the machine that makes the ids right, and make a new one",
    ))
}

/// Reads large bodies, a bounded number at once and none of them on the threads that everything
/// else runs on. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    slots: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(BODIES_READ_AT_ONCE)),
        }
    }
}

impl Bodies {
    /// Reads `arrival` when its turn comes.
    ///
    /// # Errors
    /// As [`Arrival::read`].
    pub(crate) async fn read(&self, arrival: Arrival) -> Result<Request, Refusal> {
        if arrival.is_small() {
            return arrival.read();
        }
        let request = arrival.context.request_id();
        let _slot = self.slots.acquire().await;
        let read = tokio::task::spawn_blocking(move || arrival.read()).await;
        read.unwrap_or_else(|panic| {
            // What it panicked with may quote the body, which is not for the log.
            tracing::error!(%request, panicked = panic.is_panic(), "reading a command failed");
            Err(Refusal::internal(&request.to_string()))
        })
    }
}

/// What a request says of its caller. Of an operator that is the tenant alone: it has no role to
/// claim, and its verbs use the other names for something else.
fn claims_of(context: &RequestContext, encoding: Encoding, body: &[u8]) -> Result<Claims, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OperatorClaims {
        #[serde(default)]
        tenant_id: Option<String>,
    }
    match context.principal() {
        Principal::Agent(_) => read_claims(encoding, body),
        Principal::Operator(_) => {
            let OperatorClaims { tenant_id } = encoding.decode(body)?;
            Ok(Claims {
                tenant_id,
                ..Claims::default()
            })
        }
    }
}

#[cfg(test)]
#[path = "arrival_tests.rs"]
mod tests;
