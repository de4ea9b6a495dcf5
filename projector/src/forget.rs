//! A tenant that is being erased: this projector drops its keys, turns its agents away, and says when
//! nothing of it is left in its memory and files. What is deleted is the fold's; this only waits.

use crate::bells::Bells;
use crate::hosts::Hosts;
use crate::ingress::refused;
use crate::presence::Presence;
use crate::recall::Keep;
use crate::store::StoreError;
use crate::vectors::Meaning;
use futures_util::StreamExt;
use postroad_protocol::body::Encoding;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::ERASE_WAIT_MS;
use postroad_protocol::position::Position;
use postroad_protocol::service::{Forget, Forgotten};
use postroad_protocol::subject::Service;
use postroad_protocol::tenancy::{Admission, TenantScope};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether a file is rid of what was deleted.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WAIT: Duration = Duration::from_millis(ERASE_WAIT_MS);

/// Forgets what it is told to.
#[derive(Clone)]
pub struct Forgetting {
    /// The connection with the projector's credential.
    pub client: async_nats::Client,
    /// The door.
    pub admission: Arc<Admission>,
    /// The shards.
    pub hosts: Arc<Hosts>,
    /// Who was heard of.
    pub presence: Arc<Presence>,
    /// Who waits for mail.
    pub bells: Arc<Bells>,
    /// What searches keep of tenants.
    pub(crate) keep: Arc<Keep>,
    /// What it knows of what texts mean.
    pub(crate) meaning: Arc<Meaning>,
    /// Which process this is.
    pub instance: CommandId,
}

impl Forgetting {
    /// Does what arrives on `told`, for ever.
    pub async fn serve(self, mut told: async_nats::Subscriber) {
        while let Some(message) = told.next().await {
            let this = self.clone();
            tokio::spawn(async move { this.take(message).await });
        }
    }

    async fn take(&self, message: async_nats::Message) {
        let request = self.admission.admit_service(
            Service::Projector,
            Service::Broker,
            &message.subject,
            message.reply.as_deref(),
        );
        let scope = request.and_then(|request| request.scope);
        let (Some(scope), Some(reply)) = (scope, message.reply.clone()) else {
            return;
        };
        let forgotten = match Encoding::MessagePack.decode::<Forget>(&message.payload) {
            Ok(forget) => self.forget(&scope, &forget).await,
            Err(refusal) => Err(refusal),
        };
        let sent = match forgotten {
            Ok(forgotten) => {
                let body = Encoding::MessagePack.encode(&forgotten);
                self.client.publish(reply, body.into()).await
            }
            Err(refusal) => {
                let (headers, body) = refused(&refusal, Encoding::MessagePack);
                let body = body.into();
                self.client.publish_with_headers(reply, headers, body).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a confirmation could not be sent; the broker asks again");
        }
    }

    async fn forget(&self, scope: &TenantScope, forget: &Forget) -> Result<Forgotten, Refusal> {
        let keyring = self.hosts.keyring();
        let loaded = keyring.refresh().await;
        loaded.map_err(|_| Refusal::unavailable("the log is not reachable"))?;
        if keyring.home(scope.owner()).is_none() {
            self.presence.forget(scope.tenant());
            // Checks that wait find that nobody is served any more.
            self.bells.ring_everybody();
        }
        if let Some(position) = forget.through {
            self.wait_until_erased(scope, position).await?;
            // From rows that are gone nothing can be kept anew.
            self.keep.forget(scope.tenant());
            self.meaning.forget(scope);
        }
        let instance = self.instance;
        Ok(Forgotten { instance })
    }

    async fn wait_until_erased(
        &self,
        scope: &TenantScope,
        position: Position,
    ) -> Result<(), Refusal> {
        // A shard that was added since this projector started is not hosted before it is asked for.
        let Ok(host) = self.hosts.shard(position.shard) else {
            return Ok(());
        };
        let gone = async {
            loop {
                let (asked, meaning) = (Arc::clone(&host), Arc::clone(&self.meaning));
                let scope = scope.clone();
                let look = move || {
                    let erased = asked.has_erased(&scope, position)?;
                    Ok::<_, StoreError>(erased && meaning.is_rid_of(&scope))
                };
                match tokio::task::spawn_blocking(look).await {
                    Ok(Ok(true)) => return Ok(()),
                    Ok(Ok(false)) => tokio::time::sleep(LOOK_EVERY).await,
                    _ => return Err(Refusal::unavailable("the rows do not read")),
                }
            }
        };
        let late = |_| Refusal::unavailable("the rows of an erased tenant are not gone yet");
        tokio::time::timeout(WAIT, gone).await.map_err(late)?
    }
}
