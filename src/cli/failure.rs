//! How a command fails: what is said on stderr, and with which exit code. Owns that mapping alone.
//!
//! | exit code | when |
//! |---|---|
//! | 0 | it worked |
//! | 1 | anything else: `too_large`, `quota_exceeded`, `internal` |
//! | 2 | usage: a wrong argument, here or by the service's judgement (`invalid_argument`) |
//! | 3 | `not_found` |
//! | 4 | denied: `permission_denied`, `unauthenticated` |
//! | 5 | `conflict` |
//! | 6 | `unavailable` (timed out included), `rate_limited`, `outcome_unknown`: try again |

use super::output::say;
use super::text;
use postroad_client::ClientError;
use postroad_protocol::{ErrorCode, Refusal};
use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 denied, 5 conflict, 6 unavailable or timed out.";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This is to be told.
    Told {
        /// Code, message, field and remedy.
        refusal: Box<Refusal>,
        /// What lies behind it, for a person.
        causes: Vec<String>,
    },
    /// It was told by the command's own output; only the code is left to say.
    Shown(ErrorCode),
    /// Whoever read the output has gone, as `head` does: nobody is left to tell.
    ReaderGone,
}

impl Failure {
    /// A wrong or missing argument.
    pub(crate) fn usage(
        field: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Refusal::invalid(field, message, remedy).into()
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(action: &str, path: &Path, error: &io::Error, remedy: &str) -> Self {
        let message = format!("cannot {action} {}", path.display());
        Self::Told {
            refusal: Box::new(Refusal::new(ErrorCode::Internal, message, remedy)),
            causes: vec![error.to_string()],
        }
    }

    /// An error of another part, under the code that fits.
    pub(crate) fn of(code: ErrorCode, error: &dyn Error, remedy: &str) -> Self {
        Self::Told {
            refusal: Box::new(Refusal::new(code, error.to_string(), remedy)),
            causes: causes(error),
        }
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Told { refusal, .. } => exit_code(refusal.code),
            Self::Shown(code) => exit_code(*code),
            Self::ReaderGone => 0,
        }
    }

    /// What is said on stderr: one JSON document, or lines for a person.
    pub(crate) fn report(&self, json: bool) -> Option<String> {
        let Self::Told { refusal, causes } = self else {
            return None;
        };
        if json {
            // A refusal is plain data and always encodes.
            return serde_json::to_string(refusal).ok();
        }
        let mut report = format!("error: {}", text::one_line(&refusal.message));
        for cause in causes {
            report.push_str(&format!("\n  cause:  {}", text::one_line(cause)));
        }
        if let Some(field) = &refusal.field {
            report.push_str(&format!("\n  field:  {}", text::one_line(field)));
        }
        report.push_str(&format!("\n  remedy: {}", text::one_line(&refusal.remedy)));
        Some(report)
    }

    /// Tells it, and ends with its code.
    pub(crate) fn exit(&self, json: bool) -> ExitCode {
        if let Some(report) = self.report(json) {
            say(&report);
        }
        ExitCode::from(self.exit_code())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Told {
            refusal: Box::new(refusal),
            causes: Vec::new(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Told {
            refusal: Box::new(error.to_refusal()),
            causes: causes(&error),
        }
    }
}

/// Writing to stdout failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::of(ErrorCode::Internal, &error, "check where the output goes")
    }
}

fn causes(error: &dyn Error) -> Vec<String> {
    let chain = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| {
        (*error).source()
    });
    let mut causes: Vec<String> = chain.map(ToString::to_string).collect();
    // Some errors repeat their cause in their own text.
    causes.dedup_by(|next, before| before.ends_with(next.as_str()));
    causes
}

fn exit_code(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::InvalidArgument => 2,
        ErrorCode::NotFound => 3,
        ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => 4,
        ErrorCode::Conflict => 5,
        ErrorCode::Unavailable | ErrorCode::RateLimited | ErrorCode::OutcomeUnknown => 6,
        ErrorCode::TooLarge | ErrorCode::QuotaExceeded | ErrorCode::Internal => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_exit_code() {
        let codes = [
            (ErrorCode::InvalidArgument, 2),
            (ErrorCode::Unauthenticated, 4),
            (ErrorCode::PermissionDenied, 4),
            (ErrorCode::NotFound, 3),
            (ErrorCode::Conflict, 5),
            (ErrorCode::TooLarge, 1),
            (ErrorCode::RateLimited, 6),
            (ErrorCode::QuotaExceeded, 1),
            (ErrorCode::Unavailable, 6),
            (ErrorCode::OutcomeUnknown, 6),
            (ErrorCode::Internal, 1),
        ];
        for (code, exit) in codes {
            let failure = Failure::from(Refusal::new(code, "m", "r"));
            assert_eq!(failure.exit_code(), exit, "{code}");
        }
        let pipe = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.exit_code(), pipe.report(false)), (0, None));
    }

    #[test]
    fn a_failure_names_field_and_remedy_to_people_and_programs() {
        let failure = Failure::usage("content", "no \u{1b}content", "send some");
        assert_eq!(
            failure.report(false).unwrap(),
            "error: no \\x1bcontent\n  field:  content\n  remedy: send some"
        );
        let json: serde_json::Value = serde_json::from_str(&failure.report(true).unwrap()).unwrap();
        assert_eq!(json["code"], "invalid_argument");
        assert_eq!(json["field"], "content");
        assert_eq!(json["remedy"], "send some");
    }
}
