//! Signs credentials, and has nats-server refuse those that ended. It alone uses the signing keys while a
//! deployment runs, and it does nothing but what the log says: a broker names the event, not the
//! credential.

pub(crate) mod account;
mod exchange;
pub(crate) mod follow;
mod ledger;
#[cfg(test)]
mod tests;

use self::account::{Account, AccountError};
use self::exchange::{ExchangeRequest, WAITING_MAX, is_exchange};
use self::follow::Following;
use crate::deployment::grant::{Grant, GrantError, Tag, TagKey, Templates};
use crate::deployment::jwt::{self, JwtError};
use crate::deployment::keys::{CredentialKind, DeploymentKeys};
use async_nats::jetstream;
use futures_util::{Stream, StreamExt};
use postroad_log::{Keyring, Opened, streams};
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding};
use postroad_protocol::command::unknown_verb;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{CredentialIssued, Event};
use postroad_protocol::id::TimeMs;
use postroad_protocol::service::{ENFORCE, Enforce, Enforced, SIGN, Sign, Signed};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::replay::StoredFor;
use postroad_protocol::tenancy::{Admission, TenantScope};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the server's account is compared with the log, whether or not anything was heard.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the connection to the server is still the same one.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Signs for one deployment.
pub(crate) struct Issuer {
    /// A connection with the issuer's credential.
    pub(crate) client: async_nats::Client,
    /// The deployment's subjects.
    pub(crate) subjects: Subjects,
    /// The door.
    pub(crate) admission: Arc<Admission>,
    /// Opens the events that say what was issued.
    pub(crate) keyring: Keyring,
    /// The signing keys.
    pub(crate) keys: Arc<DeploymentKeys>,
    /// What each kind of credential may do.
    pub(crate) templates: Arc<Templates>,
    /// The server's account.
    pub(crate) account: Account,
    /// What the log says of credentials.
    pub(crate) following: Following,
}

/// Why an issuer does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IssuerError {
    /// The server's account could not be brought up to date.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The client is closed.
    #[error("the issuer cannot subscribe")]
    Subscribe(#[from] async_nats::SubscribeError),
}

/// Why an event is not signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error(transparent)]
    Jwt(#[from] JwtError),
}

impl Issuer {
    /// Sees to it that nats-server refuses whom the log revokes, subscribes, and answers until the
    /// process stops.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub(crate) async fn start(self) -> Result<(), IssuerError> {
        let pushes = self.account.pushes().await?;
        self.enforce_all().await?;
        let group = Service::Issuer.token().to_owned();
        let requests = self
            .client
            .queue_subscribe(self.subjects.services(Service::Issuer), group)
            .await?;
        let issuer = Arc::new(self);
        tokio::spawn(Arc::clone(&issuer).keep_enforced(pushes));
        let (exchanges, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(Arc::clone(&issuer).exchange_all(waiting));
        tokio::spawn(issuer.serve(requests, exchanges));
        Ok(())
    }

    /// Compares the server's account with the log whenever the log revokes somebody, whenever anybody
    /// pushes an account, after every reconnect, and now and then.
    async fn keep_enforced(
        self: Arc<Self>,
        mut heard: impl Stream<Item = async_nats::Message> + Unpin,
    ) {
        let mut connects = self.account.connects();
        let mut compared = Instant::now();
        loop {
            let is_due = tokio::select! {
                () = self.following.changed() => true,
                pushed = heard.next() => {
                    if pushed.is_none() {
                        return;
                    }
                    true
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let before = std::mem::replace(&mut connects, self.account.connects());
                    connects != before || compared.elapsed() >= COMPARE_EVERY
                }
            };
            if !is_due {
                continue;
            }
            compared = Instant::now();
            if let Err(error) = self.following.follow_new().await {
                tracing::debug!(%error, "the issuer cannot look for new shards now");
            }
            if let Err(error) = self.enforce_all().await {
                tracing::warn!(%error, "nats-server's account could not be compared with the log; it is tried again");
            }
        }
    }

    /// Has nats-server refuse whom the log revokes; says how many keys that are.
    async fn enforce_all(&self) -> Result<u64, AccountError> {
        let revoked = self.following.ledger().revocations(TimeMs::now());
        let count = revoked.len() as u64;
        if self.account.enforce(revoked).await? {
            tracing::info!(
                revoked = count,
                "nats-server has the account that the log says"
            );
        }
        Ok(count)
    }

    /// One request at a time: issuing is rare, and the queue group spreads it over all issuers. What gateways
    /// ask is answered beside it, so that no number of tokens keeps anybody from being issued or revoked.
    async fn serve(
        self: Arc<Self>,
        mut requests: async_nats::Subscriber,
        exchanges: mpsc::Sender<ExchangeRequest>,
    ) {
        while let Some(message) = requests.next().await {
            if is_exchange(&self.subjects, &message.subject) {
                if let Some(request) = self.admit_exchange(&message)
                    && exchanges.try_send(request).is_err()
                {
                    tracing::debug!("too many tokens are presented at once; gateways ask again");
                }
                continue;
            }
            let reply = message.reply.as_deref();
            let request = self.admission.admit_service(
                Service::Issuer,
                Service::Broker,
                &message.subject,
                reply,
            );
            let (Some(request), Some(reply)) = (request, message.reply.clone()) else {
                continue;
            };
            let answer = match (request.verb, &request.scope) {
                (SIGN, Some(scope)) => {
                    let signed = self.sign(scope, &message.payload).await;
                    signed.map(|signed| Encoding::MessagePack.encode(&signed))
                }
                (ENFORCE, _) => {
                    let enforced = self.enforce(&message.payload).await;
                    enforced.map(|enforced| Encoding::MessagePack.encode(&enforced))
                }
                _ => Err(unknown_verb()),
            };
            self.answer(reply, answer).await;
        }
    }

    async fn answer(&self, reply: async_nats::Subject, answer: Result<Vec<u8>, Refusal>) {
        let sent = match answer {
            Ok(body) => self.client.publish(reply, body.into()).await,
            Err(refusal) => {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert(ERROR_CODE_HEADER, refusal.code.as_str());
                let body = Encoding::MessagePack.encode(&refusal);
                self.client
                    .publish_with_headers(reply, headers, body.into())
                    .await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer could not be sent; whoever asked asks again");
        }
    }

    async fn enforce(&self, body: &[u8]) -> Result<Enforced, Refusal> {
        let enforce: Enforce = Encoding::MessagePack.decode(body)?;
        self.following.wait_for(enforce.position).await?;
        let revoked = self.enforce_all().await.map_err(|error| {
            tracing::error!(%error, "nats-server could not be told whom to refuse; it is tried again");
            Refusal::unavailable("nats-server cannot be told whom to refuse now")
        })?;
        Ok(Enforced { revoked })
    }

    async fn sign(&self, scope: &TenantScope, body: &[u8]) -> Result<Signed, Refusal> {
        let sign: Sign = Encoding::MessagePack.decode(body)?;
        self.following.wait_for(sign.position).await?;
        let unreachable = |_| Refusal::unavailable("the log is not reachable");
        let context = jetstream::new(self.client.clone());
        let shards = streams::list_shards(&context).await.map_err(unreachable)?;
        let missing = || Refusal::not_found("position", "issued credential");
        let shard = shards
            .iter()
            .find(|shard| {
                shard.number() == sign.position.shard && shard.epoch() == sign.position.epoch
            })
            .ok_or_else(missing)?;
        let stored = shard
            .get(sign.position.sequence)
            .await
            .map_err(unreachable)?
            .ok_or_else(missing)?;
        // Always, and not only for keys that are missing: they may have been destroyed.
        let loaded = self.keyring.refresh().await;
        loaded.map_err(|_| Refusal::unavailable("the data keys are not reachable"))?;
        match self.keyring.open_event(shard.number(), &stored) {
            Opened::Event { stored_for: StoredFor::Tenant(owner), record } if owner == *scope => match record.event {
                // Ended since, or another's: a JWT of it would be refused, and must not be made.
                Event::CredentialIssued(issued)
                    if !self.following.ledger().may_sign(scope, &issued.public_key) =>
                {
                    Err(missing())
                }
                Event::CredentialIssued(issued) => self.sign_issued(scope, &issued).map_err(|error| {
                    tracing::error!(%error, "a credential that the log says was issued could not be signed");
                    Refusal::internal(&record.id.to_string())
                }),
                _ => Err(missing()),
            },
            _ => Err(missing()),
        }
    }

    fn sign_issued(
        &self,
        scope: &TenantScope,
        issued: &CredentialIssued,
    ) -> Result<Signed, SignError> {
        let mut tags = vec![
            Tag::new(TagKey::Tenant, scope.tenant().as_str())?,
            Tag::new(TagKey::Role, issued.role.as_str())?,
        ];
        let kind = match &issued.instance {
            Some(instance) => {
                tags.push(Tag::new(TagKey::Instance, instance.as_str())?);
                CredentialKind::Agent
            }
            None => CredentialKind::AgentAnyInstance,
        };
        for scope in &issued.scopes {
            tags.push(Tag::new(TagKey::Scope, scope.token())?);
        }
        let grant = Grant {
            kind,
            name: issued.role.as_str(),
            user: &issued.public_key,
            tags: &tags,
            expires_at_s: Some(issued.expires_at.0 / 1000),
        };
        Ok(Signed {
            jwt: jwt::user_jwt(&self.keys, &self.templates, &grant)?,
        })
    }
}
