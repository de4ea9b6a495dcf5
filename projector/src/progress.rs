//! How far each shard is applied and how it is doing. Owns the state that waiting queries watch.

use postroad_log::Broken;
use postroad_protocol::error::Refusal;
use postroad_protocol::limits::POSITION_WAIT_MS;
use postroad_protocol::position::Position;
use postroad_protocol::query::Damage;
use std::time::Duration;
use tokio::sync::watch;

/// What a shard's pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Behind the log's end as it was at the start.
    CatchingUp,
    /// At the log's end, or a moment behind it.
    Following,
    /// The log cannot be reached; what is shown is as old as the connection.
    Disconnected,
    /// Stopped before events that are not what was written.
    Damaged(Damage),
}

impl State {
    /// The word that `status` shows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CatchingUp => "catching_up",
            Self::Following => "following",
            Self::Disconnected => "disconnected",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// How far a shard is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Incarnation of the stream.
    pub epoch: u64,
    /// Last sequence applied.
    pub sequence: u64,
    /// What the pipeline is doing.
    pub state: State,
}

impl Progress {
    /// As a place in shard `shard`.
    pub fn position(&self, shard: u16) -> Position {
        Position {
            shard,
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }

    /// Whether answers must be marked stale.
    pub fn is_damaged(&self) -> bool {
        matches!(self.state, State::Damaged(_))
    }
}

/// The damage that a broken log is shown as.
pub fn damage_of(shard: u16, broken: &Broken) -> Damage {
    let (from, to) = broken.range();
    let remedy = match broken {
        Broken::Gap { .. } => format!(
            "put the shard's files back from a backup, or give these events up: \
             postroad shard accept-damage --shard {shard} --from {from} --to {to}"
        ),
        _ => "put the log back from a backup; if it is meant to be as it is, fold what it holds: postroad rebuild"
            .to_owned(),
    };
    Damage {
        message: broken.to_string(),
        from,
        to,
        remedy,
    }
}

/// Waits until `wanted` is applied.
///
/// # Errors
/// `invalid_argument` for a place in another incarnation of the log; `unavailable` when it takes
/// longer than the bound. A damaged shard does not wait: it answers what it has, marked stale.
pub async fn wait_until(
    progress: &watch::Sender<Progress>,
    wanted: Position,
) -> Result<(), Refusal> {
    let mut watching = progress.subscribe();
    let reached = watching.wait_for(|now| {
        now.epoch != wanted.epoch || now.sequence >= wanted.sequence || now.is_damaged()
    });
    match tokio::time::timeout(Duration::from_millis(POSITION_WAIT_MS), reached).await {
        Ok(Ok(now)) if now.epoch != wanted.epoch => Err(another_log()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Refusal::unavailable(
            "the rows are not yet as far as this request asks for",
        )),
    }
}

/// Waits until the log's end, as it was just seen, is applied. Rows of another incarnation of the log do
/// not answer for it: they are damaged, and the pipeline is about to find out.
///
/// # Errors
/// `unavailable` when it takes longer than the bound. A damaged shard does not wait.
pub async fn wait_until_end(
    progress: &watch::Sender<Progress>,
    end: Position,
) -> Result<(), Refusal> {
    let mut watching = progress.subscribe();
    let reached = watching.wait_for(|now| {
        now.is_damaged() || (now.epoch == end.epoch && now.sequence >= end.sequence)
    });
    match tokio::time::timeout(Duration::from_millis(POSITION_WAIT_MS), reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Refusal::unavailable(
            "the rows are not yet as far as the log",
        )),
    }
}

/// The refusal of a position that the log does not have (any more).
pub fn another_log() -> Refusal {
    Refusal::invalid(
        "position",
        "this position is of a log that has been replaced or cut",
        "call again without a position",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::error::ErrorCode;

    fn at(sequence: u64) -> Progress {
        Progress {
            epoch: 7,
            sequence,
            state: State::Following,
        }
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_position_is_applied() {
        let progress = watch::Sender::new(at(1));
        let wanted = Position {
            shard: 0,
            epoch: 7,
            sequence: 3,
        };
        let (reached, ()) = tokio::join!(wait_until(&progress, wanted), async {
            tokio::task::yield_now().await;
            progress.send_replace(at(3));
        });
        assert_eq!(reached, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn rows_of_a_log_that_was_replaced_answer_nothing_as_fresh() {
        let progress = watch::Sender::new(at(9));
        let end = Position {
            shard: 0,
            epoch: 8,
            sequence: 3,
        };
        let refused = wait_until_end(&progress, end).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unavailable);
        // Once it is known to be damaged, they are served and marked.
        let (told, ()) = tokio::join!(wait_until_end(&progress, end), async {
            tokio::task::yield_now().await;
            let damage = damage_of(0, &Broken::Rewritten { sequence: 9 });
            progress.send_modify(|now| now.state = State::Damaged(damage));
        });
        assert_eq!(told, Ok(()));
        let folded_anew = Progress { epoch: 8, ..at(3) };
        let progress = watch::Sender::new(at(9));
        let (reached, ()) = tokio::join!(wait_until_end(&progress, end), async {
            tokio::task::yield_now().await;
            progress.send_replace(folded_anew);
        });
        assert_eq!(reached, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_bounded_and_another_log_is_refused() {
        let progress = watch::Sender::new(at(1));
        let wanted = Position {
            shard: 0,
            epoch: 7,
            sequence: 3,
        };
        assert_eq!(
            wait_until(&progress, wanted).await.unwrap_err().code,
            ErrorCode::Unavailable
        );
        let other = Position { epoch: 8, ..wanted };
        assert_eq!(
            wait_until(&progress, other)
                .await
                .unwrap_err()
                .field
                .as_deref(),
            Some("position")
        );
    }
}
