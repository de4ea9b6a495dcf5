//! Signs credentials. It alone uses the signing keys while a deployment runs, and it signs nothing
//! but what an event in the log says was issued: a broker names the event, not the credential.

pub(crate) mod account;

use crate::deployment::grant::{Grant, GrantError, Tag, TagKey, Templates};
use crate::deployment::jwt::{self, JwtError};
use crate::deployment::keys::{CredentialKind, DeploymentKeys};
use async_nats::jetstream;
use futures_util::StreamExt;
use postroad_log::{Keyring, Opened, streams};
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding};
use postroad_protocol::command::unknown_verb;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{CredentialIssued, Event};
use postroad_protocol::service::{SIGN, Sign, Signed};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::replay::StoredFor;
use postroad_protocol::tenancy::{Admission, TenantScope};
use std::sync::Arc;

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
    /// Subscribes, and answers until the process stops.
    pub(crate) async fn start(self) -> Result<(), async_nats::SubscribeError> {
        let group = Service::Issuer.token().to_owned();
        let requests = self
            .client
            .queue_subscribe(self.subjects.services(Service::Issuer), group)
            .await?;
        tokio::spawn(self.serve(requests));
        Ok(())
    }

    /// One request at a time: issuing is rare, and the queue group spreads it over all issuers.
    async fn serve(self, mut requests: async_nats::Subscriber) {
        while let Some(message) = requests.next().await {
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
                (SIGN, Some(scope)) => self.sign(scope, &message.payload).await,
                _ => Err(unknown_verb()),
            };
            let sent = match answer {
                Ok(signed) => {
                    self.client
                        .publish(reply, Encoding::MessagePack.encode(&signed).into())
                        .await
                }
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
                tracing::debug!(%error, "a signature could not be sent; the broker asks again");
            }
        }
    }

    async fn sign(&self, scope: &TenantScope, body: &[u8]) -> Result<Signed, Refusal> {
        let sign: Sign = Encoding::MessagePack.decode(body)?;
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
