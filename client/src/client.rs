//! The client itself: one identity over one connection. Owns what every call has in common:
//! subjects, scopes, freshness. What can be asked stands in the modules named for it.

use crate::connect::Identity;
use crate::error::ClientError;
use crate::exchange::{Ask, Asking, Exchange};
use crate::link::{Hold, Link};
use crate::seen::Seen;
use crate::wallet::Wallet;
use bytes::Bytes;
use postroad_protocol::body::Encoding;
use postroad_protocol::command::{
    Done, Erased, Forgotten, Imported, Issued, LifeChanged, LimitsSet, Marked, MemoryImported,
    MemorySaved, MissionSaved, Revoked, Rotated, Sent, TaskSaved, TenantMade,
};
use postroad_protocol::query::{
    Agents, FoundMessages, Memories, MessageStatus, Messages, Missions, OneMemory, OneMessage,
    OneMission, OneTask, Peers, Rebuilding, Recalled, Replayed, Status, Tasks, Tenant,
    TenantMessages, TenantPeers, Tenants, Usage, WhoAmI, wire,
};
use postroad_protocol::subject::{ALL_TENANTS, RequestKind};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, ErrorCode, Position, Reader, Refusal, Subjects, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A connected agent or operator. Cheap to clone; every clone shares the connection and what was seen.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) exchange: Exchange,
    pub(crate) identity: Identity,
    pub(crate) subjects: Subjects,
    pub(crate) timeout: Duration,
    pub(crate) fresh: bool,
    /// Whether it was woken and has not yet dealt with its mail.
    pub(crate) owes_confirmation: AtomicBool,
    pub(crate) seen: Seen,
    pub(crate) wallet: Arc<Wallet>,
}

impl From<Arc<Inner>> for Client {
    fn from(inner: Arc<Inner>) -> Self {
        Self { inner }
    }
}

impl From<Inner> for Client {
    fn from(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }
}

/// A verb, and about which tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verb<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) scope: Scope,
    pub(crate) name: &'static str,
}

impl Client {
    /// As whom this client speaks.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Ends the connection after what was sent has gone out. Calls still open, and later ones, fail
    /// with [`ClientError::Closed`]; so does every clone.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when it was closed before.
    pub async fn close(self) -> Result<(), ClientError> {
        let nats = self.inner.exchange.nats();
        let was_closed = self.link().is_closed();
        self.inner.exchange.leave();
        // What is buffered goes out first; a server that is gone must not keep the caller here.
        let _ = tokio::time::timeout(self.inner.timeout, nats.flush()).await;
        // A connection that was down has ended by now, and there is nothing to drain.
        match nats.drain().await {
            Err(_) if was_closed => Err(ClientError::Closed),
            _ => Ok(()),
        }
    }

    /// The agent that this client is.
    pub(crate) fn agent(&self) -> Result<(&TenantId, &Reader), ClientError> {
        match &self.inner.identity {
            Identity::Agent { tenant, reader, .. } => Ok((tenant, reader)),
            Identity::Operator { .. } => Err(ClientError::Refused(Refusal::new(
                ErrorCode::PermissionDenied,
                "an operator has no inbox and sends no messages",
                "use an agent's credential (CLI: --as tenant/role)",
            ))),
        }
    }

    /// A verb about this agent's own tenant.
    pub(crate) fn own(&self, scope: Scope, name: &'static str) -> Result<Verb<'_>, ClientError> {
        let (tenant, _) = self.agent()?;
        Ok(Verb {
            tenant: tenant.as_str(),
            scope,
            name,
        })
    }

    /// The credential that it signs in with.
    pub(crate) fn wallet(&self) -> &Wallet {
        &self.inner.wallet
    }

    /// What it is, without keeping it alive.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// How the connection is doing.
    pub(crate) fn link(&self) -> &Link {
        self.inner.exchange.link()
    }

    /// Whether it was woken, and this is the first time that it deals with its mail.
    pub(crate) fn first_deals_with_mail(&self) -> bool {
        self.inner.owes_confirmation.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn nats(&self) -> &async_nats::Client {
        self.inner.exchange.nats()
    }

    /// Keeps the connection for somebody who outlives the client.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        self.inner.exchange.hold()
    }

    pub(crate) fn subjects(&self) -> &Subjects {
        &self.inner.subjects
    }

    /// Remembers how far an answer, or a hint, says that the log has come.
    pub(crate) fn note(&self, tenant: &str, position: Position) {
        self.inner.seen.note(tenant, position);
    }

    /// The position to send along with a question about `tenant`.
    pub(crate) fn seen(&self, tenant: &str) -> Option<Position> {
        self.inner.seen.of(tenant)
    }

    /// Sends a command until it is answered or time is up, always under the same id.
    pub(crate) async fn command<T>(
        &self,
        verb: Verb<'_>,
        id: CommandId,
        body: &impl Serialize,
    ) -> Result<T, ClientError>
    where
        T: DeserializeOwned + Positioned,
    {
        let ask = self.ask(RequestKind::Command, verb, Asking::Command(id), body)?;
        let answer: T = self.inner.exchange.ask(&ask).await?;
        self.note_answer(verb, &answer);
        Ok(answer)
    }

    /// Asks a question whose answer may take `waits` longer than others. `body` is given what every
    /// question says: how far the caller has seen, and whether only everything will do.
    pub(crate) async fn query<T, B>(
        &self,
        verb: Verb<'_>,
        waits: Duration,
        body: impl Fn(wire::Reading) -> B,
    ) -> Result<T, ClientError>
    where
        T: DeserializeOwned + Positioned,
        B: Serialize,
    {
        let reading = || wire::Reading {
            position: self.seen(verb.tenant),
            fresh: self.inner.fresh.then_some(true),
        };
        let kind = Asking::Query { waits };
        let ask = self.ask(RequestKind::Query, verb, kind, &body(reading()))?;
        let answer: Result<T, ClientError> = self.inner.exchange.ask(&ask).await;
        let answer = match answer {
            // The log was restored from before this position: what was seen there is void.
            Err(error) if is_at(&error, "position") => {
                self.inner.seen.forget(verb.tenant);
                let ask = self.ask(RequestKind::Query, verb, kind, &body(reading()))?;
                self.inner.exchange.ask(&ask).await?
            }
            answer => answer?,
        };
        self.note_answer(verb, &answer);
        Ok(answer)
    }

    fn note_answer(&self, verb: Verb<'_>, answer: &impl Positioned) {
        let Some(position) = answer.position() else {
            return;
        };
        self.note(verb.tenant, position);
        if let Identity::Operator { .. } = self.inner.identity {
            // A tenant that was just created must be in the list of all tenants.
            self.note(ALL_TENANTS, position);
        }
    }

    fn ask(
        &self,
        request: RequestKind,
        verb: Verb<'_>,
        kind: Asking,
        body: &impl Serialize,
    ) -> Result<Ask, ClientError> {
        let (_, role, instance) = self.inner.identity.tokens();
        if let Identity::Agent { scopes, .. } = &self.inner.identity
            && !scopes.contains(&verb.scope)
        {
            let scope = verb.scope.token();
            return Err(ClientError::Refused(Refusal::new(
                ErrorCode::PermissionDenied,
                format!("this credential does not have the scope `{scope}`"),
                format!("have one issued that does: `postroad agent issue --scope {scope} …`"),
            )));
        }
        let token = verb.scope.token();
        Ok(Ask {
            subject: self.inner.subjects.request(
                request,
                verb.tenant,
                role,
                instance,
                token,
                verb.name,
            ),
            body: Bytes::from(Encoding::MessagePack.encode(body)),
            kind,
            timeout: self.inner.timeout,
        })
    }
}

/// Whether an error is a refusal of this field.
pub(crate) fn is_at(error: &ClientError, field: &str) -> bool {
    error
        .refusal()
        .is_some_and(|refusal| refusal.field.as_deref() == Some(field))
}

/// An answer that may say how far it has read, or where it landed.
pub(crate) trait Positioned {
    fn position(&self) -> Option<Position>;
}

macro_rules! positioned {
    ($($answer:ident: $this:ident => $position:expr),* $(,)?) => {
        $(impl Positioned for $answer {
            fn position(&self) -> Option<Position> {
                let $this = self;
                $position
            }
        })*
    };
}

positioned! {
    Sent: this => Some(this.position),
    Marked: this => this.position,
    Done: this => Some(this.position),
    TenantMade: this => Some(this.position),
    Issued: this => Some(this.position),
    Revoked: this => Some(this.position),
    LifeChanged: this => Some(this.position),
    LimitsSet: this => Some(this.position),
    Messages: this => Some(this.position),
    OneMessage: this => Some(this.position),
    MessageStatus: this => Some(this.position),
    Peers: this => Some(this.position),
    WhoAmI: this => this.position,
    Agents: this => Some(this.position),
    // A replay names no position: its end is the end of a log that the projector may still be folding.
    Replayed: _this => None,
    Usage: this => this.position,
    Tenants: _this => None,
    Tenant: _this => None,
    Status: _this => None,
    Rebuilding: _this => None,
    Imported: this => Some(this.position),
    TenantMessages: this => this.position,
    TenantPeers: this => this.position,
    FoundMessages: this => Some(this.position),
    Erased: this => Some(this.position),
    Rotated: this => Some(this.position),
    MemorySaved: this => Some(this.position),
    MemoryImported: this => Some(this.position),
    Forgotten: this => Some(this.position),
    OneMemory: this => this.position,
    Memories: this => this.position,
    Recalled: this => this.position,
    TaskSaved: this => Some(this.position),
    MissionSaved: this => Some(this.position),
    OneTask: this => Some(this.position),
    Tasks: this => this.position,
    OneMission: this => Some(this.position),
    Missions: this => this.position,
}
