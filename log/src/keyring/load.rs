//! Reads the keys stream: every record once, in order, unwrapped as it comes. Owns how far that has come;
//! writes nothing there.

use super::{Held, Inner, Keyring, KeyringError, OwnerKeys, Owners};
use crate::error::Unreachable;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::Context;
use futures_util::StreamExt;
use postroad_protocol::id::TenantId;
use postroad_protocol::seal::{KeyRecord, MasterKey, Stage};
use postroad_protocol::subject::{KEYS_STREAM, Subjects};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// How long one look for new keys may take.
const REFRESH_WAIT: Duration = Duration::from_secs(10);
/// How long one fetch of records waits.
const FETCH_WAIT: Duration = Duration::from_secs(2);

impl Owners {
    /// The first record that does not open, where none at all does: that is no damage to a record.
    fn all_unreadable(&self) -> Option<u64> {
        let keys = || self.by_name.values().flat_map(|owner| owner.keys.values());
        let unreadable = keys().filter_map(|held| match held {
            Held::Unreadable(sequence) => Some(*sequence),
            _ => None,
        });
        let first = unreadable.chain(self.garbled.values().copied()).min()?;
        keys()
            .all(|held| matches!(held, Held::Unreadable(_)))
            .then_some(first)
    }
}

impl Keyring {
    /// Loads every key that the deployment has. A record that does not open is passed over, and told
    /// of when an event needs it.
    ///
    /// # Errors
    /// [`KeyringError`]; [`KeyringError::WrongMaster`] when there are records and none opens.
    pub async fn open(
        context: &Context,
        subjects: Subjects,
        master: MasterKey,
    ) -> Result<Self, KeyringError> {
        let stream = context
            .get_stream_no_info(KEYS_STREAM)
            .await
            .map_err(Unreachable::at("opening the keys stream"))?;
        let inner = Inner {
            context: context.clone(),
            stream,
            subjects,
            master,
            owners: RwLock::default(),
            loaded: tokio::sync::Mutex::new(0),
        };
        let keyring = Self {
            inner: Arc::new(inner),
        };
        keyring.refresh().await?;
        let unreadable = keyring.read_owners().all_unreadable();
        match unreadable {
            Some(sequence) => Err(KeyringError::WrongMaster { sequence }),
            None => Ok(keyring),
        }
    }

    /// Loads what was added since the last time.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn refresh(&self) -> Result<(), KeyringError> {
        // A lost packet must not hold the lock for ever: everybody's keys are behind it.
        let late = |_| Unreachable::at("loading data keys")("it took too long");
        tokio::time::timeout(REFRESH_WAIT, self.load_new())
            .await
            .map_err(late)?
    }

    async fn load_new(&self) -> Result<(), KeyringError> {
        let mut loaded = self.inner.loaded.lock().await;
        let doing = "loading data keys";
        let info = self
            .inner
            .stream
            .get_info()
            .await
            .map_err(Unreachable::at(doing))?;
        if info.state.last_sequence <= *loaded {
            return Ok(());
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: *loaded + 1,
            },
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .inner
            .stream
            .create_consumer(config)
            .await
            .map_err(Unreachable::at(doing))?;
        while *loaded < info.state.last_sequence {
            let mut batch = consumer
                .fetch()
                .max_messages(1_000)
                .expires(FETCH_WAIT)
                .messages()
                .await
                .map_err(Unreachable::at(doing))?;
            let before = *loaded;
            while let Some(message) = batch.next().await {
                let message = message.map_err(Unreachable::at(doing))?;
                let sequence = message
                    .info()
                    .map_err(Unreachable::at(doing))?
                    .stream_sequence;
                self.take_record(sequence, &message.subject, &message.payload);
                *loaded = sequence;
            }
            if *loaded == before {
                // What is missing is only late: taking it for lost would take its events for damaged.
                return Err(
                    Unreachable::at(doing)("the records that were announced did not come").into(),
                );
            }
        }
        Ok(())
    }

    /// Takes one record. A bad one must not hide those behind it: they are other tenants' keys.
    fn take_record(&self, sequence: u64, subject: &str, payload: &[u8]) {
        let Some(owner) = self.inner.subjects.parse_data_key(subject) else {
            return;
        };
        let record = rmp_serde::from_slice::<KeyRecord>(payload);
        let held = record.as_ref().ok().map(|record| {
            if record.wrapped.is_empty() {
                return Held::Destroyed;
            }
            let key = self.inner.master.unwrap(owner, record);
            key.map_or(Held::Unreadable(sequence), Held::Key)
        });
        if matches!(held, None | Some(Held::Unreadable(_))) {
            tracing::error!(
                sequence,
                "a data key's record does not open; what it sealed cannot be read"
            );
        }
        let mut owners = self.write_owners();
        let (Ok(record), Some(held)) = (record, held) else {
            owners.garbled.insert(owner.to_owned(), sequence);
            return;
        };
        if let Ok(tenant) = TenantId::parse(owner) {
            owners.tenants.insert(tenant);
        }
        let name = owners.by_name.entry(owner.to_owned());
        let keys = name.or_insert_with(|| OwnerKeys::new(&record));
        keys.last = sequence;
        match record.stage {
            Stage::Live => {}
            Stage::Closing => {
                keys.stage = Stage::Closing;
                return;
            }
            ended @ (Stage::Destroyed | Stage::Erased) => {
                keys.stage = ended;
                return keys.destroy(record.key.generation);
            }
        }
        // A key that is known is not lost to a bad copy of its record.
        if matches!(held, Held::Unreadable(_)) && keys.keys.contains_key(&record.key) {
            return;
        }
        keys.keys.insert(record.key, held);
        if record.key >= keys.current {
            keys.current = record.key;
            keys.shard = record.shard;
            keys.stage = Stage::Live;
        }
    }
}
