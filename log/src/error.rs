//! What can go wrong between Postroad and the log, by what the caller can do about it.

/// NATS did not answer as it should. Trying again is right.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: the log is not reachable")]
pub struct Unreachable {
    /// What was being done.
    pub doing: &'static str,
    /// What the client said.
    #[source]
    pub source: async_nats::Error,
}

impl Unreachable {
    /// While doing `doing`.
    pub fn at<E: Into<async_nats::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self {
            doing,
            source: source.into(),
        }
    }
}

/// The log is not the one that the reader or writer knows. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The stream was deleted and made anew.
    #[error("the stream was created at {found}, not at {expected}: it is another log")]
    Replaced {
        /// Creation time known.
        expected: u64,
        /// Creation time found.
        found: u64,
    },
    /// The log ends before an event that is known.
    #[error("the log ends at {last}, but event {known} was already seen: its tail was cut")]
    Truncated {
        /// Last sequence of the stream.
        last: u64,
        /// Sequence known.
        known: u64,
    },
    /// Another event lies where a known one lay.
    #[error(
        "event {sequence} is not the one that was seen there: the tail was cut and filled again"
    )]
    Rewritten {
        /// Where.
        sequence: u64,
    },
    /// Events are missing between others.
    #[error("events {from} to {to} are missing")]
    Gap {
        /// First missing.
        from: u64,
        /// Last missing, as far as is known.
        to: u64,
    },
}

impl Broken {
    /// First and last sequence concerned.
    pub fn range(&self) -> (u64, u64) {
        match *self {
            Self::Replaced { .. } => (1, u64::MAX),
            Self::Truncated { last, known } => (last.saturating_add(1), known),
            Self::Rewritten { sequence } => (sequence, sequence),
            Self::Gap { from, to } => (from, to),
        }
    }
}

/// Why a reader of the log cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Try again.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Stop and say so.
    #[error(transparent)]
    Broken(#[from] Broken),
}
