//! Postroad's command side. A command comes in over NATS, is admitted, decided against what the log
//! says, and becomes one event; the answer says where. A broker keeps no durable state, so any number
//! of them run side by side in one queue group.
//!
//! | module | owns |
//! |---|---|
//! | `ingress` | requests in, in order; bounds |
//! | `arrival` | a command's body, read at once or beside |
//! | `dropped` | requests that get no answer, counted |
//! | `lane`, `in_flight` | order of what waits; how much is taken on |
//! | `handle` | COMMAND BECOMES EVENT |
//! | `aggregate` | pure decide and fold |
//! | `directory` | the fold of every roster, in memory |
//! | `ask` | look-ups at projectors, signatures from the issuer |
//! | `event_log` | the only JetStream writer: plain and batched appends |
//! | `parts` | which brokers and projectors are there, and asking all of them |
//! | `rate`, `quota` | limits that the operator has set |
//! | `usage` | hints, counted and stored now and then |
//! | `push`, `answer` | bells and replies |
//! | `error` | what can go wrong |
//!
//! Absent on purpose: rows (they are the projector's), keys that sign (the issuer's), and any publish
//! to a command's or query's subject.

mod aggregate;
mod answer;
mod arrival;
mod ask;
mod directory;
mod dropped;
mod error;
mod event_log;
mod handle;
mod in_flight;
mod ingress;
mod lane;
mod parts;
mod push;
mod quota;
mod rate;
mod usage;

// Tests of the inside share the server that tests of the outside run on.
#[cfg(test)]
extern crate self as postroad_broker;

pub use error::StartError;

use crate::arrival::Bodies;
use crate::ask::Ask;
use crate::directory::Directory;
use crate::dropped::Dropped;
use crate::event_log::EventLog;
use crate::handle::{Handler, Turns};
use crate::in_flight::InFlight;
use crate::ingress::{Arrivals, Ingress};
use crate::lane::Lanes;
use crate::parts::Parts;
use crate::push::Push;
use crate::quota::Quotas;
use crate::rate::Rates;
use async_nats::client::Client;
use async_nats::connection::State;
use postroad_gate::Gate;
use postroad_log::Keyring;
use postroad_log::streams::{ensure_keys_stream, ensure_shard, list_shards};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Owner, RequestKind, Service, Subjects};
use postroad_protocol::tenancy::{Admission, Tagger};
use postroad_protocol::usage::Counts;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long draining waits for what is in flight. Longer than an append waits for its outcome.
const DRAIN_WAIT: Duration = Duration::from_secs(20);

/// What an acknowledgement of the deployment's nats-server promises, and so how to append fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Stored through a loss of power (`sync_interval: always`): batches save an `fsync` per event.
    PowerSafe,
    /// Stored through a crash of the process: plain publishes are fastest.
    Fast,
}

/// What a broker needs.
#[derive(Debug)]
pub struct BrokerConfig {
    /// Connected with a broker's credential and with [`Service::Broker`]'s inbox prefix.
    pub client: Client,
    /// Connected with the same credential: what agents and operators send comes in through it.
    pub gate: Gate,
    /// The deployment's subjects.
    pub subjects: Subjects,
    /// The door, built once by the process.
    pub admission: Admission,
    /// The deployment's master key.
    pub master: MasterKey,
    /// What the server's acknowledgement promises.
    pub durability: Durability,
    /// Replicas of streams that have to be made.
    pub replicas: usize,
    /// Shards 0 to this, exclusive, are made where they are missing; others that exist are served too.
    pub shards: u16,
    /// Tags tenants in logs.
    pub tagger: Tagger,
}

/// What a broker has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerCounters {
    /// Requests that wanted their answer elsewhere than at their caller's inbox, or cannot be read.
    pub dropped_requests: u64,
    /// Events stored.
    pub appended: u64,
    /// Those of them that were stored in an atomic batch.
    pub batched: u64,
    /// Batches stored.
    pub batches: u64,
    /// Batches that failed and were resolved member by member.
    pub failed_batches: u64,
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    client: Client,
    gate: Gate,
    ingress: Arc<Ingress>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    /// What is done besides serving, as long as the broker is there.
    beside: Vec<AbortOnDrop>,
}

/// A task that ends with whoever holds this.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Broker {
    /// Makes what is missing of the log, rebuilds the directory, and takes requests once it is whole.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        let (client, subjects) = (&config.client, &config.subjects);
        if !client.is_server_compatible(2, 12, 0) {
            let found = client.server_info().version;
            return Err(StartError::OldServer { found });
        }
        let context = event_log::context_of(client.clone());
        ensure_keys_stream(&context, subjects, config.replicas).await?;
        for number in 0..config.shards {
            ensure_shard(&context, subjects, number, config.replicas).await?;
        }
        let keyring = Keyring::open(&context, subjects.clone(), config.master).await?;
        if keyring.current(Owner::System).is_none() {
            keyring.create(Owner::System, 0).await?;
        }
        let log = EventLog::new(subjects.clone(), keyring.clone(), config.durability);
        let directory = Directory::new(subjects.clone(), keyring.clone());
        let open = list_shards(&context).await?.into_iter().map(async |shard| {
            log.open(shard.clone()).await?;
            directory.follow(shard).await
        });
        futures_util::future::try_join_all(open).await?;
        let handler = Arc::new(Handler {
            log,
            directory,
            keyring,
            ask: Ask::new(client.clone(), subjects.clone()),
            push: Push::new(client.clone(), subjects.clone()),
            context,
            opening: tokio::sync::Mutex::default(),
            parts: Arc::new(Parts::new(client.clone(), subjects.clone())),
            erasing: tokio::sync::Mutex::default(),
            turns: Turns::default(),
            rates: Rates::default(),
            quotas: Quotas::default(),
            counts: Counts::default(),
        });
        let ingress = Arc::new(Ingress {
            client: client.clone(),
            admission: config.admission,
            handler,
            tagger: config.tagger,
            lanes: Lanes::default(),
            bodies: Bodies::default(),
            commands: InFlight::default(),
            operators: InFlight::default(),
            observations: InFlight::default(),
            dropped: Dropped::default(),
        });
        let beside = beside(client, subjects, &ingress).await?;
        let (stop, mut serving) = serve(client, &config.gate, subjects, &ingress).await?;
        let usage = ingress.handler.clone().keep_usage(stop.subscribe());
        serving.push(tokio::spawn(usage));
        Ok(Self {
            client: config.client,
            gate: config.gate,
            ingress,
            stop,
            serving,
            beside,
        })
    }

    /// Whether commands can be stored now: connected, and every shard in place.
    pub fn ready(&self) -> bool {
        let is_connected = self.client.connection_state() == State::Connected;
        is_connected && self.gate.is_connected() && self.ingress.handler.log.in_place()
    }

    /// What it has done so far.
    pub fn counters(&self) -> BrokerCounters {
        let log = self.ingress.handler.log.counters();
        BrokerCounters {
            dropped_requests: self.ingress.dropped.total() + self.gate.unreadable(),
            appended: log.appended.load(Ordering::Relaxed),
            batched: log.batched.load(Ordering::Relaxed),
            batches: log.batches.load(Ordering::Relaxed),
            failed_batches: log.failed_batches.load(Ordering::Relaxed),
        }
    }

    /// Takes no more requests, answers those that are here, and settles what is on its way to the
    /// log. Bounded: what takes longer is left to its sender's retry.
    pub async fn drain(self) {
        self.stop.send_replace(true);
        drop(self.beside);
        self.ingress.handler.parts.leave().await;
        let settle = async {
            for serving in self.serving {
                // A loop that panicked has taken nothing more.
                let _panicked = serving.await;
            }
            self.ingress.commands.idle().await;
            self.ingress.operators.idle().await;
            self.ingress.observations.idle().await;
            self.ingress.handler.store_usage().await;
            self.ingress.handler.log.close().await;
            self.client.flush().await
        };
        match tokio::time::timeout(DRAIN_WAIT, settle).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last answers may be lost"),
            Err(_) => tracing::warn!("not everything was settled in time; senders will retry"),
        }
    }
}

/// Hears the other parts, says that this one is there, and does what brokers are told to forget.
async fn beside(
    client: &Client,
    subjects: &Subjects,
    ingress: &Arc<Ingress>,
) -> Result<Vec<AbortOnDrop>, StartError> {
    let subscribe = async |subject: String| {
        let refused = |error: async_nats::SubscribeError| StartError::Subscribe {
            source: error.into(),
        };
        client.subscribe(subject).await.map_err(refused)
    };
    let told = subscribe(subjects.forgettings(Service::Broker)).await?;
    let brokers = subscribe(subjects.broker_announcements()).await?;
    let projectors = subscribe(subjects.announcements()).await?;
    let parts = &ingress.handler.parts;
    let tasks = [
        tokio::spawn(ingress.clone().serve_forgettings(told)),
        tokio::spawn(parts.clone().hear(brokers)),
        tokio::spawn(parts.clone().hear(projectors)),
        tokio::spawn(parts.clone().announce()),
    ];
    Ok(tasks.map(AbortOnDrop).into())
}

type Serving = (watch::Sender<bool>, Vec<JoinHandle<()>>);

/// Subscribes, and returns once the server knows.
async fn serve(
    client: &Client,
    gate: &Gate,
    subjects: &Subjects,
    ingress: &Arc<Ingress>,
) -> Result<Serving, StartError> {
    let group = Service::Broker.token();
    let refused = |error: async_nats::SubscribeError| StartError::Subscribe {
        source: error.into(),
    };
    let observations = client
        .queue_subscribe(subjects.services(Service::Broker), group.to_owned())
        .await
        .map_err(refused)?;
    let commands = gate.subscribe(
        subjects.requests(RequestKind::Command),
        Some(group.to_owned()),
    );
    gate.flush().await.map_err(|error| StartError::Subscribe {
        source: error.into(),
    })?;
    client
        .flush()
        .await
        .map_err(|error| StartError::Subscribe {
            source: error.into(),
        })?;
    let (stop, stopped) = watch::channel(false);
    let observations = Arrivals::new(observations, stopped.clone());
    let commands = Arrivals::new(commands, stopped);
    let serving = vec![
        tokio::spawn(ingress.clone().serve_observations(observations)),
        tokio::spawn(ingress.clone().serve_commands(commands)),
    ];
    Ok((stop, serving))
}
