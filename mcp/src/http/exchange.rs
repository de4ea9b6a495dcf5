//! Asks the issuer for a JWT of the bearer token that somebody presents. Owns the proof that goes along, and the
//! patience; whether the token is good is the issuer's to say.

use async_nats::{Client, Request, RequestErrorKind};
use postroad_protocol::body::{self, ERROR_CODE_HEADER, Encoding};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::possession::prove_exchange;
use postroad_protocol::service::{EXCHANGE_TOKEN, Exchange, Exchanged};
use postroad_protocol::subject::{Owner, Service};
use postroad_protocol::token::Token;
use postroad_protocol::{Subjects, TimeMs};
use std::time::Duration;

/// How often an issuer is asked that does not answer.
const ATTEMPTS: u32 = 3;
/// How long each time.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause where no issuer is there at all: one that starts again is back soon.
const PAUSE: Duration = Duration::from_millis(250);

/// Why there is no JWT.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The issuer does not let it in: unknown, expired, revoked, retired or no token, it does not say which.
    #[error("the token is not known, or has ended")]
    Unknown,
    /// It cannot be said now.
    #[error("{0}")]
    Unavailable(Refusal),
}

/// A gateway's connection to the issuer.
#[derive(Clone, Debug)]
pub struct Exchanger {
    nats: Client,
    subject: String,
    life: Option<Duration>,
}

impl Exchanger {
    /// Asks over a connection with the gateway's own credential, whose inbox prefix is the gateway's.
    pub fn new(nats: Client, subjects: &Subjects) -> Self {
        let subject = subjects.service(Service::Issuer, Owner::System, EXCHANGE_TOKEN);
        Self {
            nats,
            subject,
            life: None,
        }
    }

    /// Has JWTs end sooner than usual.
    #[must_use]
    pub fn brief(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }

    /// A JWT for the key of `token`, which ends within minutes.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn exchange(&self, token: &Token) -> Result<String, ExchangeError> {
        let mut refusal = Refusal::unavailable("no issuer answers");
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.ask(token).await {
                Ok(jwt) => return Ok(jwt),
                Err(refused) if refused.code == ErrorCode::Unauthenticated => {
                    return Err(ExchangeError::Unknown);
                }
                Err(refused) => refusal = refused,
            }
        }
        Err(ExchangeError::Unavailable(refusal))
    }

    async fn ask(&self, token: &Token) -> Result<String, Refusal> {
        let key = token.key();
        let (reply, at) = (self.nats.new_inbox(), TimeMs::now());
        let proof = prove_exchange(&key, &reply, at)
            .ok_or_else(|| Refusal::unavailable("the token's key cannot sign"))?;
        let asked = Exchange {
            public_key: key.public_key(),
            at,
            life_ms: self
                .life
                .map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX)),
            proof,
        };
        let request = Request::new()
            .payload(Encoding::MessagePack.encode(&asked).into())
            .inbox(reply)
            .timeout(Some(PATIENCE));
        let answer = self.nats.send_request(self.subject.clone(), request).await;
        let message = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Refusal::unavailable("no issuer is there"),
            _ => Refusal::unavailable("no issuer answers"),
        })?;
        let headers = message.headers.as_ref();
        let is_refusal = headers.is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
        let answer = body::decode_answer(Encoding::MessagePack, &message.payload, is_refusal);
        answer.map(|answer: Exchanged| answer.jwt)
    }
}
