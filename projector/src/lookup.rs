//! Answers brokers, which keep no rows: where an event is, in what state receipts are, whether a
//! message is visible. Only service credentials reach this subject, and only a broker's inbox is answered.

use crate::hosts::Hosts;
use crate::ingress::{next_until, refused};
use crate::rows::{read_library, read_rows};
use crate::store::Library;
use crate::turns::{Ticket, Turns};
use postroad_protocol::body::Encoding;
use postroad_protocol::command::unknown_verb;
use postroad_protocol::error::Refusal;
use postroad_protocol::limits::LIBRARY_SHARD;
use postroad_protocol::service::{Finding, LOOK_UP, Lookup, Question, is_for_everyone};
use postroad_protocol::subject::{SYSTEM, Service};
use postroad_protocol::tenancy::{Admission, TenantScope};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What look-ups are answered with.
#[derive(Clone)]
pub struct Lookups {
    /// The connection with the projector's credential.
    pub client: async_nats::Client,
    /// The door.
    pub admission: Arc<Admission>,
    /// The shards.
    pub hosts: Arc<Hosts>,
    /// Whose turn it is.
    pub turns: Arc<Turns>,
    /// Look-ups that are being answered.
    pub running: TaskTracker,
}

impl Lookups {
    /// Answers what arrives on `requests` until they are drained, once `leaving` is set.
    pub async fn serve(self, mut requests: async_nats::Subscriber, leaving: CancellationToken) {
        while let Some(message) = next_until(&mut requests, &leaving).await {
            let this = self.clone();
            self.running.spawn(async move { this.take(message).await });
        }
    }

    async fn take(&self, message: async_nats::Message) {
        if is_for_everyone(&message.subject) {
            return;
        }
        let request = self.admission.admit_service(
            Service::Projector,
            Service::Broker,
            &message.subject,
            message.reply.as_deref(),
        );
        let (Some(request), Some(reply)) = (request, message.reply.clone()) else {
            return;
        };
        let answer = match (request.verb, &request.scope) {
            (LOOK_UP, Some(scope)) => match self.turns.take_on(scope.tenant().as_str()) {
                Ok(mut ticket) => self.look_up(scope, &message.payload, &mut ticket).await,
                Err(refusal) => Err(refusal),
            },
            (LOOK_UP, None) => match self.turns.take_on(SYSTEM) {
                Ok(mut ticket) => self.look_up_library(&message.payload, &mut ticket).await,
                Err(refusal) => Err(refusal),
            },
            _ => Err(unknown_verb()),
        };
        let sent = match answer {
            Ok(finding) => {
                self.client
                    .publish(reply, Encoding::MessagePack.encode(&finding).into())
                    .await
            }
            Err(refusal) => {
                let (headers, body) = refused(&refusal, Encoding::MessagePack);
                self.client
                    .publish_with_headers(reply, headers, body.into())
                    .await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a look-up could not be answered; the broker asks again");
        }
    }

    async fn look_up(
        &self,
        scope: &TenantScope,
        body: &[u8],
        ticket: &mut Ticket,
    ) -> Result<Finding, Refusal> {
        let lookup: Lookup = Encoding::MessagePack.decode(body)?;
        let (_, host) = self.hosts.of(scope).await?;
        if let Some(position) = lookup.position {
            host.wait_for(position).await?;
        }
        if lookup.fresh {
            host.wait_for_end().await?;
        }
        ticket.work().await;
        let question = lookup.question;
        let (finding, _) = read_rows(&host, scope, move |rows, _| {
            Ok(match question {
                Question::Event(key) => Finding::Event(rows.event_sequence(key)?),
                Question::Marks { reader, targets } => {
                    Finding::Marks(rows.marks(&reader, &targets)?)
                }
                Question::Tenant => Finding::Tenant(rows.tenant_standing()?),
                Question::Visible { reader, message } => {
                    Finding::Visible(rows.visible(&reader, message)?)
                }
                Question::Memories {
                    role,
                    changed,
                    named,
                } => rows.memories().standing(role.as_ref(), changed, &named)?,
                Question::Tasks { changed, named } => rows.task_standings(changed, &named)?,
                Question::Events(keys) => {
                    let found = keys.into_iter().map(|key| rows.event_sequence(key));
                    Finding::Events(found.collect::<Result<_, _>>()?)
                }
            })
        })
        .await?;
        Ok(finding)
    }

    /// What is asked of the deployment itself: how memories of the shared library stand, and where its events are.
    async fn look_up_library(&self, body: &[u8], ticket: &mut Ticket) -> Result<Finding, Refusal> {
        let lookup: Lookup = Encoding::MessagePack.decode(body)?;
        let host = self.hosts.shard(LIBRARY_SHARD)?;
        if let Some(position) = lookup.position {
            host.wait_for(position).await?;
        }
        if lookup.fresh {
            host.wait_for_end().await?;
        }
        ticket.work().await;
        let question = lookup.question;
        let read = move |library: &Library<'_>| match question {
            Question::Event(key) => library.event_sequence(key).map(Finding::Event).map(Some),
            Question::Memories { changed, named, .. } => {
                let standing = library.memories().standing(None, changed, &named);
                standing.map(Some)
            }
            _ => Ok(None),
        };
        read_library(&host, read).await?.ok_or_else(unknown_verb)
    }
}
