//! Takes queries from NATS: admits them, bounds how many run, answers in kind. Knows nothing of
//! what a query means: that is [`crate::answer`].

use crate::answer::Answerer;
use futures_util::StreamExt;
use postroad_protocol::body::{ERROR_CODE_HEADER, ERROR_HEADER, Encoding};
use postroad_protocol::envelope::TRACEPARENT;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::QUERIES_IN_FLIGHT;
use postroad_protocol::subject::RequestKind;
use postroad_protocol::tenancy::{Admission, Rejected};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every request is taken with.
#[derive(Clone)]
pub struct Ingress {
    /// The connection with the projector's credential.
    pub client: async_nats::Client,
    /// The door.
    pub admission: Arc<Admission>,
    /// Who knows the answers.
    pub answerer: Arc<Answerer>,
    /// Requests dropped because they wanted their answer elsewhere than at the caller's inbox.
    pub dropped: Arc<AtomicU64>,
    /// Queries that are being answered.
    pub running: TaskTracker,
    /// Set when the projector is leaving: waiting checks answer at once.
    pub leaving: CancellationToken,
}

impl Ingress {
    /// Answers what arrives on `requests` until it is drained.
    pub async fn serve(self, mut requests: async_nats::Subscriber) {
        let places = Arc::new(Semaphore::new(QUERIES_IN_FLIGHT));
        while let Some(message) = next_until(&mut requests, &self.leaving).await {
            let this = self.clone();
            // Waiting here, with the subscription's bounded buffer behind it, is the back-pressure.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            self.running
                .spawn(async move { this.take(message, place).await });
        }
    }

    async fn take(&self, message: async_nats::Message, place: tokio::sync::OwnedSemaphorePermit) {
        let header = |name| {
            message
                .headers
                .as_ref()?
                .get(name)
                .map(async_nats::HeaderValue::as_str)
        };
        let reply = message.reply.as_deref();
        let encoding = Encoding::of(&message.payload);
        let admitted = self.admission.admit(
            RequestKind::Query,
            &message.subject,
            reply,
            header(TRACEPARENT),
        );
        let answer = match admitted {
            Ok(admitted) => {
                self.answerer
                    .answer(&admitted, encoding, &message.payload, place, &self.leaving)
                    .await
            }
            Err(Rejected::Refuse(refusal)) => Err(*refusal),
            Err(Rejected::Drop) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let Some(reply) = message.reply else { return };
        let sent = match answer {
            Ok(answer) => {
                let sent = self.client.publish(reply, answer.body.into()).await;
                if sent.is_ok() {
                    self.answerer.sent(answer.delivered);
                }
                sent
            }
            Err(refusal) => {
                let (headers, body) = refused(&refusal, encoding);
                self.client
                    .publish_with_headers(reply, headers, body.into())
                    .await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer could not be sent; the caller asks again");
        }
    }
}

/// The next message; once `leaving`, only what has already been sent here, then nothing.
pub async fn next_until(
    requests: &mut async_nats::Subscriber,
    leaving: &CancellationToken,
) -> Option<async_nats::Message> {
    tokio::select! {
        biased;
        message = requests.next() => message,
        () = leaving.cancelled() => {
            // A connection that is gone has nothing left to drain.
            requests.drain().await.ok()?;
            requests.next().await
        }
    }
}

/// Headers and body of a refusal.
pub fn refused(refusal: &Refusal, encoding: Encoding) -> (async_nats::HeaderMap, Vec<u8>) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(ERROR_CODE_HEADER, refusal.code.as_str());
    // A header holds one line; messages never hold more, whatever a caller wrote.
    let line: String = refusal
        .message
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    headers.insert(ERROR_HEADER, line.as_str());
    if refusal.code == ErrorCode::Internal {
        tracing::error!(message = refusal.message, "a request failed");
    }
    (headers, encoding.encode(refusal))
}
