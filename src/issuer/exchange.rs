//! Signs a JWT that soon ends for a bearer token that stands, when a gateway asks. Owns what of a request is
//! believed; what the token may do is what the log says, as for every credential.

use super::Issuer;
use postroad_protocol::body::Encoding;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::CredentialIssued;
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::limits::TOKEN_JWT_MS;
use postroad_protocol::possession::is_exchange_proved;
use postroad_protocol::service::{EXCHANGE_TOKEN, Exchange, Exchanged};
use postroad_protocol::subject::{Owner, Service, Subjects};
use tokio::sync::mpsc;

/// Requests that wait for their turn. With more, gateways get no answer and ask again.
pub(super) const WAITING_MAX: usize = 512;

/// A request that came from a gateway's own inbox.
pub(super) struct ExchangeRequest {
    reply: async_nats::Subject,
    body: bytes::Bytes,
}

/// Whether a request is for this module.
pub(super) fn is_exchange(subjects: &Subjects, subject: &str) -> bool {
    *subjects.service(Service::Issuer, Owner::System, EXCHANGE_TOKEN) == *subject
}

impl Issuer {
    /// The request, when it wants its answer where gateways are answered.
    pub(super) fn admit_exchange(&self, message: &async_nats::Message) -> Option<ExchangeRequest> {
        let reply = message.reply.clone()?;
        self.admission.admit_service(
            Service::Issuer,
            Service::Gateway,
            &message.subject,
            Some(&reply),
        )?;
        Some(ExchangeRequest {
            reply,
            body: message.payload.clone(),
        })
    }

    /// Answers one after the other, beside everything else that the issuer does.
    pub(super) async fn exchange_all(
        self: std::sync::Arc<Self>,
        mut waiting: mpsc::Receiver<ExchangeRequest>,
    ) {
        while let Some(request) = waiting.recv().await {
            let answer = self.exchange(&request, TimeMs::now());
            let answer = answer.map(|exchanged| Encoding::MessagePack.encode(&exchanged));
            self.answer(request.reply, answer).await;
            // Signing takes time of the processor alone; others have theirs in between.
            tokio::task::yield_now().await;
        }
    }

    fn exchange(&self, request: &ExchangeRequest, now: TimeMs) -> Result<Exchanged, Refusal> {
        let asked: Exchange = Encoding::MessagePack.decode(&request.body)?;
        let (key, reply) = (&asked.public_key, &request.reply);
        if !is_exchange_proved(&asked.proof, key, reply, asked.at, now) {
            return Err(unknown());
        }
        let found = self.following.ledger().token(key, now);
        let (owner, issued) = found.ok_or_else(unknown)?;
        let soon = {
            let life_ms = asked.life_ms.unwrap_or(TOKEN_JWT_MS).min(TOKEN_JWT_MS);
            TimeMs(now.0.saturating_add(life_ms))
        };
        let brief = CredentialIssued {
            expires_at: issued.expires_at.min(soon),
            ..issued
        };
        let signed = self.sign_issued(&owner, &brief).map_err(|error| {
            tracing::error!(%error, "a token that the log says was issued could not be exchanged");
            Refusal::internal(&CommandId::generate().to_string())
        })?;
        Ok(Exchanged { jwt: signed.jwt })
    }
}

/// Unknown, expired, revoked, retired, no token at all, or not proved: whoever asks learns no more.
fn unknown() -> Refusal {
    Refusal::new(
        ErrorCode::Unauthenticated,
        "this token is not known, or has ended",
        "have a new one issued: `postroad token issue`",
    )
}
