//! What a caller is told when something is refused: stable codes, the field, the remedy.
//! Never carries another tenant's data, and never a cause that only an operator should see.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The stable codes of the wire. A code is never renamed and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is malformed; `field` says where.
    InvalidArgument,
    /// No credential, or one that has expired.
    Unauthenticated,
    /// The credential does not allow this.
    PermissionDenied,
    /// There is no such thing that the caller may know of.
    NotFound,
    /// The state, or an earlier command with the same id, stands against it.
    Conflict,
    /// Larger than a limit.
    TooLarge,
    /// Too many at once; `retryAfterMs` says when to come back.
    RateLimited,
    /// A stored quantity has reached its limit.
    QuotaExceeded,
    /// A part of Postroad is not reachable; nothing was changed.
    Unavailable,
    /// Whether it was stored is not known; retry with the same id.
    OutcomeUnknown,
    /// A fault of Postroad's own.
    Internal,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request, with the same id, may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::OutcomeUnknown | Self::RateLimited
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused request, as the caller sees it: `{code, message, field?, remedy, retryAfterMs?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Stable code.
    pub code: ErrorCode,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The request's field that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do about it.
    pub remedy: String,
    /// When a retry makes sense, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal without field and retry time.
    pub fn new(code: ErrorCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            remedy: remedy.into(),
            retry_after_ms: None,
        }
    }

    /// A malformed field.
    pub fn invalid(field: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message, remedy).at(field)
    }

    /// A missing thing, or one that the caller may not know of: both read alike.
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::new(
            ErrorCode::NotFound,
            format!("there is no such {what}"),
            format!("check the {what}; only what belongs to the caller can be named"),
        )
        .at(field)
    }

    /// A part that cannot be reached now; nothing was changed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut refusal = Self::new(
            ErrorCode::Unavailable,
            message,
            "try again; if it lasts, `postroad status` tells which part is down",
        );
        refusal.retry_after_ms = Some(250);
        refusal
    }

    /// A fault of our own. The cause goes to the log, under the request id, never to the caller.
    pub fn internal(request_id: &str) -> Self {
        Self::new(
            ErrorCode::Internal,
            format!("Postroad failed at this request ({request_id})"),
            "try again with the same id; if it lasts, give the operator this request id",
        )
    }

    /// The tenant's agents are shut out. Why is the operator's to tell.
    pub fn suspended() -> Self {
        Self::new(
            ErrorCode::PermissionDenied,
            "this tenant is suspended",
            "ask the operator of this deployment to resume it; everything that was stored is kept",
        )
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
