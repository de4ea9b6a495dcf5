//! What a projector saw that has to become an event: it asks a broker and never writes itself.
//! Ids derive from cause and kind at the broker, so asking twice is harmless.

use crate::hosts::Hosts;
use postroad_protocol::body::{self, Encoding};
use postroad_protocol::error::Refusal;
use postroad_protocol::event::EventKey;
use postroad_protocol::id::Reader;
use postroad_protocol::limits::DELIVERED_MAX_IDS;
use postroad_protocol::position::Position;
use postroad_protocol::service::{OBSERVE, Observation, Observed};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::TenantScope;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// How long delivered marks are gathered before they are reported.
const GATHER: Duration = Duration::from_millis(100);
/// Readers whose delivered marks wait at once; beyond that a mark is left to the next check.
const READERS_WAITING: usize = 50_000;

/// The way to the brokers.
#[derive(Clone, Debug)]
pub struct Brokers {
    client: async_nats::Client,
    subjects: Subjects,
}

impl Brokers {
    /// Over a connection with the projector's credential.
    pub fn new(client: async_nats::Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Asks a broker to store an observation; answers where it is stored.
    ///
    /// # Errors
    /// The broker's refusal, or `unavailable` when none answers.
    pub async fn observe(
        &self,
        scope: &TenantScope,
        observation: &Observation,
    ) -> Result<Position, Refusal> {
        let subject = self
            .subjects
            .service(Service::Broker, scope.owner(), OBSERVE);
        let payload = Encoding::MessagePack.encode(observation);
        let answer = self
            .client
            .request(subject, payload.into())
            .await
            .map_err(|_| Refusal::unavailable("no broker answers"))?;
        let refused = answer
            .headers
            .as_ref()
            .is_some_and(|headers| headers.get(body::ERROR_CODE_HEADER).is_some());
        let observed: Observed =
            body::decode_answer(Encoding::MessagePack, &answer.payload, refused)?;
        Ok(observed.position)
    }
}

/// Readers whose marks are on their way at once.
const READERS_AT_ONCE: usize = 256;

type Waiting = HashMap<(TenantScope, Reader), BTreeSet<EventKey>>;

/// Delivered marks on their way to a broker, gathered by reader.
#[derive(Debug, Default)]
pub struct Deliveries {
    waiting: Mutex<Waiting>,
    /// Reported and not yet applied: a check in between must not report them again.
    reported: Mutex<Waiting>,
    some: Notify,
}

impl Deliveries {
    /// An answer with these messages went out to `reader`.
    pub fn add(&self, scope: &TenantScope, reader: &Reader, messages: Vec<EventKey>) {
        let place = (scope.clone(), reader.clone());
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reported.get(&place);
        let fresh = messages
            .into_iter()
            .filter(|key| !known.is_some_and(|known| known.contains(key)));
        let fresh: Vec<EventKey> = fresh.collect();
        drop(reported);
        if fresh.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < READERS_WAITING || waiting.contains_key(&place) {
            waiting.entry(place).or_default().extend(fresh);
            self.some.notify_one();
        }
    }

    /// Reports what was gathered, for ever. A mark that cannot be stored now is dropped: the
    /// message is still unread, so the next check reports it again. Nobody's marks wait for another's.
    pub async fn report(self: Arc<Self>, brokers: Brokers, hosts: Arc<Hosts>) {
        let places = Arc::new(Semaphore::new(READERS_AT_ONCE));
        loop {
            self.some.notified().await;
            tokio::time::sleep(GATHER).await;
            let gathered =
                std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            for (reader, keys) in gathered {
                // The semaphore is never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let (this, brokers, hosts) =
                    (Arc::clone(&self), brokers.clone(), Arc::clone(&hosts));
                tokio::spawn(async move {
                    this.report_one(&brokers, &hosts, reader, keys).await;
                    drop(place);
                });
            }
        }
    }

    async fn report_one(
        &self,
        brokers: &Brokers,
        hosts: &Hosts,
        place: (TenantScope, Reader),
        keys: BTreeSet<EventKey>,
    ) {
        self.reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place.clone(), keys.clone());
        let keys: Vec<EventKey> = keys.into_iter().collect();
        let mut last = None;
        for messages in keys.chunks(DELIVERED_MAX_IDS) {
            let observation = Observation::Delivered {
                reader: place.1.clone(),
                messages: messages.to_vec(),
            };
            match brokers.observe(&place.0, &observation).await {
                Ok(position) => last = Some(position),
                Err(refusal) => {
                    tracing::debug!(code = %refusal.code, "a delivered mark was not stored");
                }
            }
        }
        if let Some(position) = last {
            // Whether it is applied in time does not matter: a mark reported twice is ignored.
            let _ = hosts.wait_for(position).await;
        }
        self.reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&place);
    }
}
