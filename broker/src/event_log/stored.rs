//! Looks at what is stored under an id that comes a second time: the same, or something else.
//! Reads only.

use crate::aggregate::repeat::{Taken, is_repeat};
use crate::error::AppendError;
use postroad_log::{Keyring, Opened, Shard};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::Event;
use postroad_protocol::id::TimeMs;
use std::sync::Arc;
use std::time::Duration;

const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// What was found under an id.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The event.
    pub(crate) event: Arc<Event>,
    /// When its command was taken in.
    pub(crate) time: TimeMs,
}

/// Compares the event at `sequence` with what a command now asks for under the same id.
///
/// # Errors
/// `Conflict` when it is something else; `Unknown` when it cannot be read now.
pub(crate) async fn compare(
    shard: &Shard,
    keyring: &Keyring,
    sequence: u64,
    asked: &Event,
    time: TimeMs,
) -> Result<Stored, AppendError> {
    let record = read(shard, keyring, sequence).await?;
    let first = Taken {
        event: &record.event,
        time: record.time,
    };
    if !is_repeat(first, Taken { event: asked, time }) {
        return Err(AppendError::Conflict);
    }
    Ok(Stored {
        event: Arc::new(record.event),
        time: record.time,
    })
}

/// The event at `sequence`, which is known to be there.
///
/// # Errors
/// `Unknown` when it cannot be read now, `Unavailable` when it is not what was stored.
pub(super) async fn read(
    shard: &Shard,
    keyring: &Keyring,
    sequence: u64,
) -> Result<Record, AppendError> {
    let number = shard.number();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // A replica may not have it yet.
        let Ok(Some(found)) = shard.get(sequence).await else {
            continue;
        };
        let event = [found];
        if keyring.load_for(&event).await.is_err() {
            continue;
        }
        let [found] = event;
        return match keyring.open_event(number, &found) {
            Opened::Event { record, .. } => Ok(record),
            Opened::Erased => Err(AppendError::NoOwner),
            _ => {
                tracing::error!(shard = number, sequence, "a stored event cannot be read");
                Err(AppendError::Unavailable { shard: number })
            }
        };
    }
    Err(AppendError::Unknown { shard: number })
}
