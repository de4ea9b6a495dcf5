//! Reads a tenant's rows off the async threads: one snapshot, whose answers and position agree.

use crate::hosts::Host;
use crate::store::{Library, StoreError, TenantReader};
use postroad_protocol::error::Refusal;
use postroad_protocol::id::CommandId;
use postroad_protocol::position::Position;
use postroad_protocol::tenancy::TenantScope;

/// What a read has seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// How far the rows were applied.
    pub position: Position,
    /// Whether the shard is damaged, so that this may not be all.
    pub stale: bool,
}

/// Reads rows of the tenant in `scope`.
///
/// # Errors
/// `internal` when the rows do not read; the cause goes to the log, and to the pipeline, which folds
/// them anew.
pub async fn read_rows<T, F>(
    host: &Host,
    scope: &TenantScope,
    read: F,
) -> Result<(T, Seen), Refusal>
where
    T: Send + 'static,
    F: FnOnce(&TenantReader<'_>, Seen) -> Result<T, StoreError> + Send + 'static,
{
    let (store, scope, progress, shard) = (
        host.store(),
        scope.clone(),
        host.progress(),
        host.shard().number(),
    );
    let served = store.clone();
    let work = move || -> Result<(T, Seen), StoreError> {
        let snapshot = store.snapshot()?;
        // The snapshot's own place, which may be ahead of the progress that was published.
        let position = snapshot.checkpoint()?.map_or_else(
            || progress.position(shard),
            |checkpoint| Position {
                shard,
                epoch: checkpoint.epoch,
                sequence: checkpoint.sequence,
            },
        );
        let seen = Seen {
            position,
            stale: progress.is_damaged(),
        };
        Ok((read(&snapshot.tenant(&scope), seen)?, seen))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            host.did_not_read(&served, &error);
            Err(failed(shard, &error))
        }
        Err(error) => Err(failed(shard, &error)),
    }
}

/// Reads the shared library, for a broker.
///
/// # Errors
/// As [`read_rows`].
pub(crate) async fn read_library<T, F>(host: &Host, read: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&Library<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (store, shard) = (host.store(), host.shard().number());
    let served = store.clone();
    let work = move || read(&store.snapshot()?.library_for_brokers());
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            host.did_not_read(&served, &error);
            Err(failed(shard, &error))
        }
        Err(error) => Err(failed(shard, &error)),
    }
}

pub(crate) fn failed(shard: u16, error: &(dyn std::error::Error + 'static)) -> Refusal {
    let id = CommandId::generate().to_string();
    tracing::error!(shard, id, error, "rows do not read");
    Refusal::internal(&id)
}
