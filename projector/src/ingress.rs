//! Takes queries from NATS: admits them, bounds how many run, answers in kind. Knows nothing of
//! what a query means: that is [`crate::answer`].

use crate::answer::{Answerer, Asked};
use crate::turns::{Ticket, Turns};
use async_nats::Subject;
use bytes::Bytes;
use postroad_gate::{Incoming, Source, Subscription};
use postroad_protocol::body::{ERROR_CODE_HEADER, ERROR_HEADER, Encoding};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::limits::QUERY_MAX_BYTES;
use postroad_protocol::subject::{ALL_TENANTS, RequestKind};
use postroad_protocol::tenancy::{Admission, Rejected, RequestContext, Scope};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Whose turn it is.
    pub turns: Arc<Turns>,
    /// Queries that are being answered.
    pub running: TaskTracker,
}

/// A query as it was admitted.
struct TakenOn {
    context: RequestContext,
    scope: Scope,
    verb: String,
    ticket: Ticket,
}

impl Ingress {
    /// Answers what arrives on `requests` until they are drained, once `leaving` is set; checks that wait
    /// are then answered at once.
    pub async fn serve(self, mut requests: Subscription, leaving: CancellationToken) {
        while let Some(message) = next_until(&mut requests, &leaving).await {
            let Some(reply) = message.reply.as_deref().map(Subject::from) else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let this = self.clone();
            match self.admit(&message) {
                Ok(taken) => {
                    let (body, leaving) = (message.payload, leaving.clone());
                    self.running
                        .spawn(async move { this.take(taken, body, reply, &leaving).await });
                }
                Err(Rejected::Refuse(refusal)) => {
                    this.refuse(&refusal, Encoding::of(&message.payload), reply)
                        .await;
                }
                Err(Rejected::Drop) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Admits a query and takes it on, or says at once that it is too much.
    fn admit(&self, message: &Incoming) -> Result<TakenOn, Rejected> {
        let admitted = self.admission.admit(
            RequestKind::Query,
            &message.subject,
            message.reply.as_deref(),
            message.traceparent.as_deref(),
        )?;
        let refuse = |refusal| Rejected::Refuse(Box::new(refusal));
        if message.payload.len() > QUERY_MAX_BYTES {
            let said = format!(
                "the query has {} bytes; {QUERY_MAX_BYTES} is the limit",
                message.payload.len()
            );
            return Err(refuse(Refusal::new(
                ErrorCode::TooLarge,
                said,
                "ask with fewer or shorter fields",
            )));
        }
        let tenant = admitted
            .context
            .scope_or_all()
            .map_or(ALL_TENANTS, |scope| scope.tenant().as_str());
        let ticket = self.turns.take_on(tenant).map_err(refuse)?;
        Ok(TakenOn {
            scope: admitted.scope,
            verb: admitted.verb.to_owned(),
            context: admitted.context,
            ticket,
        })
    }

    async fn take(&self, taken: TakenOn, body: Bytes, reply: Subject, leaving: &CancellationToken) {
        let encoding = Encoding::of(&body);
        let TakenOn {
            context,
            scope,
            verb,
            mut ticket,
        } = taken;
        let asked = Asked {
            context: &context,
            scope,
            verb: &verb,
            encoding,
        };
        match self
            .answerer
            .answer(&asked, body, &mut ticket, leaving)
            .await
        {
            Ok(answer) => match self.client.publish(reply, answer.body.into()).await {
                Ok(()) => self.answerer.sent(answer.delivered),
                Err(error) => {
                    tracing::warn!(%error, "an answer could not be sent; the caller asks again");
                }
            },
            Err(refusal) => self.refuse(&refusal, encoding, reply).await,
        }
    }

    async fn refuse(&self, refusal: &Refusal, encoding: Encoding, reply: Subject) {
        let (headers, body) = refused(refusal, encoding);
        if let Err(error) = self
            .client
            .publish_with_headers(reply, headers, body.into())
            .await
        {
            tracing::debug!(%error, "a refusal could not be sent; the caller asks again");
        }
    }
}

/// The next message; once `leaving`, only what has already been sent here, then nothing.
pub async fn next_until<S: Source>(
    requests: &mut S,
    leaving: &CancellationToken,
) -> Option<S::Message> {
    tokio::select! {
        biased;
        message = requests.next() => message,
        () = leaving.cancelled() => {
            // A connection that is gone has nothing left to drain.
            if !requests.drain().await {
                return None;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::limits::{CURSOR_MAX_CHARS, NAME_MAX_CHARS};
    use postroad_protocol::query::Query;

    /// Text as JSON writes it at its longest: six bytes a character.
    fn escaped(text: &str) -> String {
        let escaped: Vec<String> = text.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        format!("\"{}\"", escaped.concat())
    }

    #[test]
    fn the_longest_legal_query_fits() {
        let name = escaped(&"a".repeat(NAME_MAX_CHARS));
        let cursor = escaped(&"c".repeat(CURSOR_MAX_CHARS));
        let id = escaped("01890a5d-ac96-774b-bcce-b302099a8057");
        let number = u64::MAX;
        let names = [
            "tenantId",
            "from",
            "fromInstanceId",
            "recipient",
            "recipientInstanceId",
            "sender",
            "channel",
        ];
        // Every field of every query at once, each key escaped, too.
        let others = [
            ("messageId", id),
            ("cursor", cursor),
            ("fresh", "true".into()),
            ("limit", "200".into()),
            ("waitMs", "60000".into()),
            ("since", i64::MAX.to_string()),
            ("until", i64::MAX.to_string()),
            ("shard", "65535".into()),
            ("fromSequence", number.to_string()),
            ("toSequence", number.to_string()),
            ("fromTime", i64::MAX.to_string()),
            ("toTime", i64::MAX.to_string()),
        ];
        let (shard, epoch, sequence) = (escaped("shard"), escaped("epoch"), escaped("sequence"));
        let position = format!("{{{shard}:65535,{epoch}:{number},{sequence}:{number}}}");
        let mut fields = vec![format!("{}:{position}", escaped("position"))];
        fields.extend(names.map(|field| format!("{}:{name}", escaped(field))));
        fields.extend(others.map(|(field, value)| format!("{}:{value}", escaped(field))));
        let body = format!("{{{}}}", fields.join(","));
        for (scope, verb) in [
            (Scope::Messages, "list_messages"),
            (Scope::Messages, "check_messages"),
            (Scope::Messages, "message_status"),
            (Scope::Audit, "replay"),
        ] {
            Query::read(scope, verb, Encoding::Json, body.as_bytes()).unwrap();
        }
        assert!(body.len() <= QUERY_MAX_BYTES, "{} bytes", body.len());
    }
}
