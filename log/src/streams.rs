//! The streams themselves: how a shard and the keys stream are configured, and which shards exist.

use crate::error::Unreachable;
use crate::shard::{Shard, epoch_of};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use futures_util::TryStreamExt;
use postroad_protocol::limits::DEDUP_WINDOW_S;
use postroad_protocol::subject::{KEYS_STREAM, Subjects, parse_shard_stream, shard_stream};
use std::time::Duration;

/// Makes the stream of shard `number` where there is none; an existing one stays as it is.
pub async fn ensure_shard(
    context: &Context,
    subjects: &Subjects,
    number: u16,
    replicas: usize,
) -> Result<Shard, Unreachable> {
    let config = Config {
        name: shard_stream(number),
        description: Some(
            "Postroad's log: events of the tenants that live in this shard".to_owned(),
        ),
        subjects: vec![subjects.shard_events(number)],
        // Nothing is ever deleted: sequences stay contiguous, so a gap is damage.
        deny_delete: true,
        deny_purge: true,
        duplicate_window: Duration::from_secs(DEDUP_WINDOW_S),
        allow_atomic_publish: true,
        ..log_config(replicas)
    };
    let info = context
        .get_or_create_stream(config)
        .await
        .map_err(Unreachable::at("making a shard"))?;
    Shard::open(context, number, epoch_of(info.cached_info())).await
}

/// Makes the stream of wrapped data keys where there is none. It allows deletion, since erasing a
/// tenant is overwriting its keys.
pub async fn ensure_keys_stream(
    context: &Context,
    subjects: &Subjects,
    replicas: usize,
) -> Result<(), Unreachable> {
    let config = Config {
        name: KEYS_STREAM.to_owned(),
        description: Some("Postroad's wrapped data keys".to_owned()),
        subjects: vec![subjects.data_keys()],
        ..log_config(replicas)
    };
    context
        .get_or_create_stream(config)
        .await
        .map_err(Unreachable::at("making the keys stream"))?;
    Ok(())
}

fn log_config(replicas: usize) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        // A full disk refuses new events; it never drops old ones.
        discard: DiscardPolicy::New,
        num_replicas: replicas,
        allow_direct: true,
        ..Config::default()
    }
}

/// Every shard that exists, by number.
pub async fn list_shards(context: &Context) -> Result<Vec<Shard>, Unreachable> {
    let mut shards = Vec::new();
    let infos: Vec<_> = context
        .streams()
        .try_collect()
        .await
        .map_err(Unreachable::at("listing shards"))?;
    for info in infos {
        if let Some(number) = parse_shard_stream(&info.config.name) {
            shards.push(Shard::open(context, number, epoch_of(&info)).await?);
        }
    }
    shards.sort_by_key(Shard::number);
    Ok(shards)
}
