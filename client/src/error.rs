//! What can go wrong for a caller, and what to do about it. Owns the advice; never retries.

use crate::credential::CredentialError;
use postroad_protocol::{CommandId, ErrorCode, Refusal};
use std::time::Duration;

/// Why a call failed. [`ClientError::advice`] says whether to retry, to fix something, or to report it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Postroad refused, or the client knew beforehand that it would; the code tells the rest.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The credential cannot be used: fix it or have another one issued.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No nats-server was reached; nothing was asked. Retry.
    #[error("no nats-server can be reached at {servers}")]
    Unreachable {
        /// Where it was looked for.
        servers: String,
        /// Why a first connection failed; nothing for one that was lost later.
        source: Option<async_nats::ConnectError>,
    },
    /// The nats-server does not accept the credential: it was revoked, has expired, or belongs to
    /// another deployment. Fix.
    #[error("the nats-server at {servers} does not accept this credential")]
    Unauthorized {
        /// Which server.
        servers: String,
        /// Its answer to a first connection; nothing for one that was refused later.
        source: Option<async_nats::ConnectError>,
    },
    /// The nats-server's certificate is not trusted here, or no TLS was agreed on; nothing was asked. Fix.
    #[error("{}", .refusal.message)]
    Untrusted {
        /// What is wrong, and what to do about it.
        refusal: Box<Refusal>,
        /// Why the connection failed.
        source: Option<async_nats::ConnectError>,
    },
    /// A command may have been stored or not. Retry with the same id: it is stored once.
    #[error("whether command {id} was carried out is not known: its answer did not come in time")]
    OutcomeUnknown {
        /// The id to retry with.
        id: CommandId,
    },
    /// A question was not answered in time. Retry.
    #[error("no answer within {waited:?}")]
    NoAnswer {
        /// How long was waited.
        waited: Duration,
    },
    /// An answer that cannot belong to the question. Report it.
    #[error("an answer could not be believed: {reason}")]
    BadAnswer {
        /// What is wrong with it.
        reason: String,
    },
    /// The client was closed. Connect anew.
    #[error("this client is closed")]
    Closed,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Do the same again, with the same ids, not before this time has passed.
    Retry {
        /// How long to wait first.
        after: Duration,
    },
    /// Change the request, the credential or the settings; the same again fails again.
    Fix,
    /// Neither helps: tell whoever runs or develops this.
    Report,
}

/// Pause before a retry where the error names none.
const RETRY_AFTER: Duration = Duration::from_millis(250);

impl ClientError {
    /// Whether to retry, to fix something, or to report.
    ///
    /// ```
    /// use postroad_client::protocol::{ErrorCode, Refusal};
    /// use postroad_client::{Advice, ClientError};
    ///
    /// let refusal = Refusal::new(ErrorCode::RateLimited, "too many at once", "slow down");
    /// let busy = ClientError::Refused(refusal.retry_after_ms(40));
    /// assert!(matches!(busy.advice(), Advice::Retry { after } if after.as_millis() == 40));
    ///
    /// let typo = ClientError::Refused(Refusal::not_found("channel", "role"));
    /// assert_eq!(typo.advice(), Advice::Fix);
    /// ```
    pub fn advice(&self) -> Advice {
        let retry = Advice::Retry { after: RETRY_AFTER };
        match self {
            Self::Refused(refusal) if refusal.code.is_retryable() => Advice::Retry {
                after: refusal
                    .retry_after_ms
                    .map_or(RETRY_AFTER, Duration::from_millis),
            },
            Self::Refused(refusal) if refusal.code == ErrorCode::Internal => Advice::Report,
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::NoAnswer { .. } => retry,
            Self::Refused(_)
            | Self::Credential(_)
            | Self::Unauthorized { .. }
            | Self::Untrusted { .. }
            | Self::Closed => Advice::Fix,
            Self::BadAnswer { .. } => Advice::Report,
        }
    }

    /// The stable code, for every error: a refusal's own, or the one that fits.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Untrusted { refusal, .. } => refusal.code,
            Self::Credential(_) | Self::Unauthorized { .. } => ErrorCode::Unauthenticated,
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Closed => {
                ErrorCode::Unavailable
            }
            Self::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
            Self::BadAnswer { .. } => ErrorCode::Internal,
        }
    }

    /// The refusal, where Postroad or the client refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Any error in the form that the wire uses: code, message, field, remedy.
    pub fn to_refusal(&self) -> Refusal {
        let refusal = Refusal::new(self.code(), self.to_string(), self.remedy());
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Untrusted { refusal, .. } => Refusal::clone(refusal),
            Self::Credential(_) => refusal.at("creds"),
            Self::Unreachable { .. } => refusal.at("server"),
            _ => refusal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.remedy.clone(),
            Self::Untrusted { refusal, .. } => refusal.remedy.clone(),
            Self::Credential(error) => error.remedy().to_owned(),
            Self::Unreachable { .. } => {
                "check the address and that the deployment runs (`postroad up`), then try again"
                    .to_owned()
            }
            Self::Unauthorized { .. } => {
                "check that the credential belongs to this deployment; if it does, it was revoked \
                 or has expired: have a new one issued (`postroad agent issue`)"
                    .to_owned()
            }
            Self::OutcomeUnknown { id } => {
                format!(
                    "send it again with the id {id}: it is stored once, however often it is sent"
                )
            }
            Self::NoAnswer { .. } => {
                "try again; if it lasts, `postroad status` tells which part is down".to_owned()
            }
            Self::BadAnswer { .. } => {
                "use a client of the deployment's version; if it is, report this".to_owned()
            }
            Self::Closed => "connect again".to_owned(),
        }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_advice() {
        let advice = |code| ClientError::Refused(Refusal::new(code, "m", "r")).advice();
        for code in [
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::RateLimited,
        ] {
            assert!(matches!(advice(code), Advice::Retry { .. }), "{code}");
        }
        for code in [
            ErrorCode::InvalidArgument,
            ErrorCode::Unauthenticated,
            ErrorCode::PermissionDenied,
            ErrorCode::NotFound,
            ErrorCode::Conflict,
            ErrorCode::TooLarge,
            ErrorCode::QuotaExceeded,
        ] {
            assert_eq!(advice(code), Advice::Fix, "{code}");
        }
        assert_eq!(advice(ErrorCode::Internal), Advice::Report);
    }

    #[test]
    fn an_unknown_outcome_names_the_id_to_retry_with() {
        let id = CommandId::generate();
        let refusal = ClientError::OutcomeUnknown { id }.to_refusal();
        assert_eq!(refusal.code, ErrorCode::OutcomeUnknown);
        assert!(refusal.remedy.contains(&id.to_string()));
    }
}
