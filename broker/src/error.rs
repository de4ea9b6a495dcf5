//! What can go wrong in a broker: at start, and with one append. Appends know what their caller can
//! do about it; causes stay in `source` and in the log of the process.

use postroad_log::{Broken, FoldError, KeyringError, LogError, Unreachable};
use postroad_protocol::error::{ErrorCode, Refusal};

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log could not be reached: try again.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The data keys could not be loaded.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The log changed under the broker's hands while it was reading it.
    #[error("shard {shard}: the log cannot be followed")]
    Log {
        /// Which shard.
        shard: u16,
        /// What is wrong.
        #[source]
        source: LogError,
    },
    /// This nats-server does not know atomic batches and would silently ignore them.
    #[error("nats-server {found} is too old: Postroad needs 2.12 or newer")]
    OldServer {
        /// Its version.
        found: String,
    },
    /// NATS did not take a subscription.
    #[error("subscribing to requests failed")]
    Subscribe {
        /// What the client said.
        #[source]
        source: async_nats::Error,
    },
}

impl StartError {
    /// What a fold of `shard` ended with.
    pub(crate) fn fold(shard: u16, error: FoldError) -> Self {
        match error {
            FoldError::Log(LogError::Unreachable(error)) => Self::Unreachable(error),
            FoldError::Log(source) => Self::Log { shard, source },
            FoldError::Keys(error) => Self::Keys(error),
        }
    }
}

/// Why an event was not appended, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppendError {
    /// The owner has no data key: it does not exist, or was erased.
    #[error("the tenant does not exist")]
    NoOwner,
    /// Too many events of this tenant wait already.
    #[error("too many events of this tenant are waiting")]
    Full,
    /// Another content is stored, or waits, under this id.
    #[error("this id was used with other content")]
    Conflict,
    /// The aggregate is not where the decision saw it.
    #[error("the aggregate has changed since it was read")]
    Superseded,
    /// It was not stored.
    #[error("shard {shard} takes no events now")]
    Unavailable {
        /// Which shard.
        shard: u16,
    },
    /// Whether it was stored is not known.
    #[error("shard {shard} did not say in time whether it stored the event")]
    Unknown {
        /// Which shard.
        shard: u16,
    },
    /// The log is not the one that this broker wrote to, so it writes nothing there.
    #[error("shard {shard} is refused: {broken}")]
    Broken {
        /// Which shard.
        shard: u16,
        /// What is wrong with it.
        broken: Broken,
    },
}

impl AppendError {
    /// What the caller is told; `id_field` names the field that carried the command's id.
    pub(crate) fn refusal(&self, id_field: &str) -> Refusal {
        match self {
            Self::NoOwner => no_tenant(),
            Self::Full => Refusal::new(
                ErrorCode::RateLimited,
                "too many commands of this tenant are waiting",
                "send fewer at once, and this one again with the same id",
            )
            .retry_after_ms(200),
            Self::Conflict => Refusal::new(
                ErrorCode::Conflict,
                format!("{id_field} was used before with other content"),
                "make a new id for what is new, and repeat an id only with what it was made for",
            )
            .at(id_field),
            Self::Superseded => Refusal::new(
                ErrorCode::Conflict,
                "somebody else changed this at the same time",
                "look at it again, then repeat the command if it still makes sense",
            )
            .retry_after_ms(50),
            Self::Unavailable { shard } => {
                Refusal::unavailable(format!("shard {shard} takes no commands now"))
            }
            Self::Unknown { shard } => Refusal::new(
                ErrorCode::OutcomeUnknown,
                format!("shard {shard} did not confirm in time; the command may be stored or not"),
                "repeat it with the same id: it is stored once",
            )
            .retry_after_ms(500),
            Self::Broken { shard, broken } => Refusal::new(
                ErrorCode::Unavailable,
                format!("shard {shard} is not the log that this broker wrote to: {broken}"),
                format!(
                    "the operator has to look at stream {}: restore it, or restart the brokers \
                     once its content is accepted",
                    postroad_protocol::subject::shard_stream(*shard)
                ),
            )
            .retry_after_ms(5_000),
        }
    }
}

/// The refusal of a tenant that does not exist, or no longer. An agent's credential for one is void.
pub(crate) fn no_tenant() -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        "there is no such tenant",
        "check the tenant; `postroad tenant list` shows the operator every one",
    )
    .at("tenantId")
}
