//! The data keys of every tenant, as far as they were needed: unwrapped in memory, kept wrapped in
//! the keys stream, which is also the register of which tenant lives in which shard.
//! Opens stored events; sealing is done by whoever appends.

use crate::error::Unreachable;
use crate::stored::StoredEvent;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use postroad_protocol::envelope::{Record, Unreadable};
use postroad_protocol::id::TenantId;
use postroad_protocol::seal::{DataKey, KeyId, KeyRecord, MasterKey};
use postroad_protocol::subject::{KEYS_STREAM, Owner, SYSTEM, Subjects};
use postroad_protocol::tenancy::replay::{StoredFor, stored_for};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long one look for new keys may take.
const REFRESH_WAIT: Duration = Duration::from_secs(10);
/// How long one fetch of records waits.
const FETCH_WAIT: Duration = Duration::from_secs(2);

/// Where a tenant lives, and which creation of its name this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its shard.
    pub shard: u16,
    /// Its current data key; the generation counts creations of the name.
    pub key_id: KeyId,
}

/// The key with which an owner's next event is sealed.
#[derive(Clone, Debug)]
pub struct OwnerKey {
    /// Where the owner lives.
    pub home: Home,
    /// The key.
    pub key: DataKey,
}

/// What opening a stored event gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The event.
    Event {
        /// Whose.
        stored_for: StoredFor,
        /// What happened.
        record: Record,
    },
    /// Its key was destroyed with its tenant.
    Erased,
    /// It is not what was written there.
    Damaged,
    /// The seal is good, but this build does not know the type or version.
    Undecodable {
        /// Whose.
        stored_for: StoredFor,
        /// The stored name and version.
        what: String,
    },
}

/// Why a data key could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Try again.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The master key is not the one under which this deployment's keys were wrapped.
    #[error(
        "the master key does not open the key of record {sequence}: this is another deployment's master key, or the record is damaged"
    )]
    WrongMaster {
        /// Sequence in the keys stream.
        sequence: u64,
    },
}

/// Keys by owner. Cheap to clone; clones share what they have loaded.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

struct Inner {
    context: Context,
    stream: Stream<()>,
    subjects: Subjects,
    master: MasterKey,
    owners: RwLock<HashMap<String, OwnerKeys>>,
    /// Last sequence of the keys stream that is loaded; the lock also makes loads take turns.
    loaded: tokio::sync::Mutex<u64>,
}

struct OwnerKeys {
    shard: u16,
    current: KeyId,
    /// `None` for a key that was destroyed.
    keys: BTreeMap<KeyId, Option<DataKey>>,
}

impl Keyring {
    /// Loads every key that the deployment has.
    ///
    /// # Errors
    /// [`KeyringError`].
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
        Ok(keyring)
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
                self.take_record(sequence, &message.subject, &message.payload)?;
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

    fn take_record(
        &self,
        sequence: u64,
        subject: &str,
        payload: &[u8],
    ) -> Result<(), KeyringError> {
        let wrong = KeyringError::WrongMaster { sequence };
        let Some(owner) = self.inner.subjects.parse_data_key(subject) else {
            return Ok(());
        };
        let Ok(record) = rmp_serde::from_slice::<KeyRecord>(payload) else {
            return Err(wrong);
        };
        let key = match record.wrapped.as_slice() {
            [] => None,
            _ => Some(
                self.inner
                    .master
                    .unwrap(owner, &record)
                    .map_err(|_| wrong)?,
            ),
        };
        let mut owners = self
            .inner
            .owners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let keys = owners.entry(owner.to_owned()).or_insert_with(|| OwnerKeys {
            shard: record.shard,
            current: record.key,
            keys: BTreeMap::new(),
        });
        keys.keys.insert(record.key, key);
        if record.key >= keys.current {
            keys.current = record.key;
            keys.shard = record.shard;
        }
        Ok(())
    }

    /// The key with which the next event of `owner` is sealed; nothing when it is not loaded.
    pub fn current(&self, owner: Owner<'_>) -> Option<OwnerKey> {
        let owners = self
            .inner
            .owners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let found = owners.get(owner.token())?;
        let key = found.keys.get(&found.current)?.clone()?;
        Some(OwnerKey {
            home: Home {
                shard: found.shard,
                key_id: found.current,
            },
            key,
        })
    }

    /// Where `owner` lives; nothing when it is not loaded.
    pub fn home(&self, owner: Owner<'_>) -> Option<Home> {
        let owners = self
            .inner
            .owners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        owners.get(owner.token()).map(|found| Home {
            shard: found.shard,
            key_id: found.current,
        })
    }

    /// Every tenant that is loaded, by name.
    pub fn homes(&self) -> Vec<(TenantId, Home)> {
        let owners = self
            .inner
            .owners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut homes: Vec<_> = owners
            .iter()
            .filter(|(name, _)| *name != SYSTEM)
            .filter_map(|(name, found)| {
                Some((
                    TenantId::parse(name).ok()?,
                    Home {
                        shard: found.shard,
                        key_id: found.current,
                    },
                ))
            })
            .collect();
        homes.sort_by(|left, right| left.0.cmp(&right.0));
        homes
    }

    /// Registers `owner` in `shard` with a fresh data key. Of several creators exactly one wins;
    /// the others get the winner's home. The flag says whether this call made it.
    ///
    /// # Errors
    /// [`KeyringError`]; after a time-out, calling again tells what happened.
    pub async fn create(&self, owner: Owner<'_>, shard: u16) -> Result<(Home, bool), KeyringError> {
        self.refresh().await?;
        if let Some(home) = self.home(owner) {
            return Ok((home, false));
        }
        let key_id = KeyId {
            generation: 1,
            number: 1,
        };
        let record = self
            .inner
            .master
            .wrap(owner.token(), key_id, shard, &DataKey::generate());
        let payload =
            rmp_serde::to_vec_named(&record).map_err(Unreachable::at("encoding a key record"))?;
        let publish = PublishMessage::build()
            .payload(payload.into())
            .expected_last_subject_sequence(0);
        let subject = self.inner.subjects.data_key(owner);
        let doing = "registering a tenant";
        let made = match self
            .inner
            .context
            .send_publish(subject, publish)
            .await
            .map_err(Unreachable::at(doing))?
            .await
        {
            Ok(_) => true,
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => false,
            Err(error) => return Err(Unreachable::at(doing)(error).into()),
        };
        self.refresh().await?;
        let missing = || Unreachable::at(doing)("the key that was just registered is not there");
        Ok((self.home(owner).ok_or_else(missing)?, made))
    }

    /// Loads the keys that `events` need, where they are not loaded yet.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn load_for(&self, events: &[StoredEvent]) -> Result<(), KeyringError> {
        let missing = {
            let owners = self
                .inner
                .owners
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            events.iter().any(|event| {
                let (Ok(head), Some(raw)) =
                    (&event.head, self.inner.subjects.parse_event(&event.subject))
                else {
                    return false;
                };
                !owners
                    .get(raw.tenant)
                    .is_some_and(|found| found.keys.contains_key(&head.key))
            })
        };
        if missing {
            self.refresh().await
        } else {
            Ok(())
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a stored event says whose it is, and its seal proves it"
    )]
    /// Opens an event of shard `shard`. Its key must have been looked for ([`Self::load_for`]).
    pub fn open_event(&self, shard: u16, event: &StoredEvent) -> Opened {
        let Some(stored_for) = stored_for(&self.inner.subjects, shard, &event.subject) else {
            return Opened::Damaged;
        };
        let Ok(head) = &event.head else {
            return Opened::Damaged;
        };
        let owner = match &stored_for {
            StoredFor::Tenant(scope) => scope.tenant().as_str(),
            StoredFor::System => SYSTEM,
        };
        let key = {
            let owners = self
                .inner
                .owners
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            match owners
                .get(owner)
                .and_then(|found| found.keys.get(&head.key))
            {
                // No record at all is not an erasure: that leaves a record of itself.
                None => return Opened::Damaged,
                Some(None) => return Opened::Erased,
                Some(Some(key)) => key.clone(),
            }
        };
        match head.open(&event.subject, &key, &event.payload) {
            Ok(record) => Opened::Event { stored_for, record },
            Err(Unreadable::Undecodable) => Opened::Undecodable {
                stored_for,
                what: format!("{} v{}", head.type_name, head.schema),
            },
            Err(_) => Opened::Damaged,
        }
    }
}
