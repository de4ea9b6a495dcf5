//! Starts a projector: opens rows, catches up, and only then takes queries. Stops in the reverse order.

use crate::announce::{Announcer, Group, announce};
use crate::answer::Answerer;
use crate::bells::Bells;
use crate::forget::Forgetting;
use crate::hosts::{Host, Hosts};
use crate::ingress::Ingress;
use crate::lookup::Lookups;
use crate::observe::{Brokers, Deliveries};
use crate::open::Opener;
use crate::operate::Operations;
use crate::presence::{Presence, hear};
use crate::react::Asking;
use crate::side::over_by;
use crate::store::StoreError;
use crate::usage;
use crate::vectors::Meaning;
use postroad_gate::{Gate, GateError, Ground};
use postroad_log::{Keyring, KeyringError, Unreachable, streams};
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{MAX_PAYLOAD_BYTES, ROW_CACHE_BYTES, SIDE_CACHE_BYTES};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::service::Announcement;
use postroad_protocol::subject::{RequestKind, Service, Subjects};
use postroad_protocol::tenancy::Admission;
use postroad_protocol::usage::Counts;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stopping projector waits for queries that run.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a stopping projector tries to have its counts stored.
const REPORT: Duration = Duration::from_secs(2);

/// Bytes of an answer's payload that NATS may need for its headers.
const HEADER_ROOM: usize = 1_024;
/// How often a projector that is catching up says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What a projector is started with.
#[derive(Debug)]
pub struct ProjectorConfig {
    /// A connection with the projector's credential and inbox prefix.
    pub client: async_nats::Client,
    /// Connected with the same credential: what agents and operators send comes in through it.
    pub gate: Gate,
    /// The deployment's subjects.
    pub subjects: Subjects,
    /// The door, built once by the process.
    pub admission: Arc<Admission>,
    /// Opens data keys.
    pub master: MasterKey,
    /// Where the rows lie: one file a shard, with what is made of them beside it.
    pub rows: PathBuf,
    /// The folder of the model with which memories are found by meaning; without one they are found by their words.
    pub model: Option<PathBuf>,
}

/// Why a projector does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// NATS, or a stream, is not there.
    #[error(transparent)]
    Log(#[from] Unreachable),
    /// The data keys do not open.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The rows do not open.
    #[error("the rows at {path} do not open")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The file system refused.
    #[error("the folder of the rows cannot be used")]
    Files(#[from] std::io::Error),
    /// The process is stopping.
    #[error("the projector is stopping")]
    Stopping,
    /// No broker has made a shard yet.
    #[error("there is no shard yet: start a broker first, which makes them")]
    NoShard,
    /// NATS did not take a subscription.
    #[error("a subscription was refused")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// NATS did not say that it took the subscriptions.
    #[error("the subscriptions were not confirmed")]
    Gate(#[from] GateError),
}

/// A running projector.
#[derive(Debug)]
pub struct Projector {
    client: async_nats::Client,
    subjects: Subjects,
    /// Which process this is, to the other projectors.
    instance: CommandId,
    hosts: Arc<Hosts>,
    leaving: CancellationToken,
    stop: CancellationToken,
    queries: TaskTracker,
    pipelines: TaskTracker,
    counts: Arc<Counts>,
    meaning: Arc<Meaning>,
}

impl Projector {
    /// Starts one over every shard that exists now, and returns once it has caught up and answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: ProjectorConfig) -> Result<Self, StartError> {
        let context = async_nats::jetstream::new(config.client.clone());
        let shards = streams::list_shards(&context).await?;
        if shards.is_empty() {
            return Err(StartError::NoShard);
        }
        let keyring =
            Keyring::open(&context, config.subjects.clone(), config.master.clone()).await?;
        std::fs::create_dir_all(&config.rows)?;
        let (stop, pipelines) = (CancellationToken::new(), TaskTracker::new());
        let bells = Arc::new(Bells::default());
        let is_over = over_by(keyring.clone());
        let meaning = Arc::new(Meaning::new(config.model.clone(), Arc::clone(&is_over)));
        let brokers = Brokers::new(config.client.clone(), config.subjects.clone());
        let asking = Asking::new(brokers, keyring.clone(), config.subjects.clone());
        let opener = Opener {
            context,
            subjects: config.subjects.clone(),
            rows: config.rows.clone(),
            keyring: keyring.clone(),
            bells: Arc::clone(&bells),
            cache_bytes: ROW_CACHE_BYTES / shards.len(),
            side_cache_bytes: SIDE_CACHE_BYTES / shards.len(),
            is_over,
            meaning: Arc::clone(&meaning),
            asking: Arc::new(asking),
            pipelines: pipelines.clone(),
            stop: stop.clone(),
        };
        let mut hosts = Vec::with_capacity(shards.len());
        for shard in shards {
            hosts.push(opener.open_shard(shard).await?);
        }
        for host in &hosts {
            tell_until_caught_up(host).await?;
        }
        let cache_bytes = opener.cache_bytes;
        let hosts = Arc::new(Hosts::new(hosts, keyring, opener));
        let projector = Self {
            client: config.client.clone(),
            subjects: config.subjects.clone(),
            instance: CommandId::generate(),
            hosts,
            leaving: CancellationToken::new(),
            stop,
            queries: TaskTracker::new(),
            pipelines,
            counts: Arc::default(),
            meaning,
        };
        projector.serve(config, bells, cache_bytes).await?;
        Ok(projector)
    }

    async fn serve(
        &self,
        config: ProjectorConfig,
        bells: Arc<Bells>,
        cache_bytes: usize,
    ) -> Result<(), StartError> {
        let (client, gate, subjects) = (config.client, config.gate, config.subjects);
        let member = watch::Sender::new(true);
        let asked_of = subjects.requests(RequestKind::Query);
        let queries = self.group(gate.clone(), asked_of, &member);
        let services = subjects.services(Service::Projector);
        let lookups = self.group(client.clone(), services, &member);
        let (asked, looked_up) = (queries.join().await?, lookups.join().await?);
        let heartbeats = gate.subscribe(subjects.presences(), None);
        let announcements = client.subscribe(subjects.announcements()).await?;
        let told = client
            .subscribe(subjects.forgettings(Service::Projector))
            .await?;
        let announcer = Announcer {
            client: client.clone(),
            subjects: subjects.clone(),
            hosts: Arc::clone(&self.hosts),
            instance: self.instance,
            member,
        };
        let answerer = Arc::new(self.answerer(&client, &gate, &subjects, bells, cache_bytes));
        let report = Arc::clone(&answerer.deliveries)
            .report(answerer.brokers.clone(), Arc::clone(&self.hosts));
        self.until_stopped(report);
        let counts = Arc::clone(&self.counts);
        self.until_leaving(usage::keep(counts, answerer.brokers.clone()));
        self.until_leaving(announcer.run(announcements));
        let forgetting = Forgetting {
            client: client.clone(),
            admission: Arc::clone(&config.admission),
            hosts: Arc::clone(&self.hosts),
            presence: Arc::clone(&answerer.presence),
            bells: Arc::clone(&answerer.bells),
            keep: Arc::clone(&answerer.keep),
            meaning: Arc::clone(&self.meaning),
            instance: self.instance,
        };
        self.until_stopped(forgetting.serve(told));
        self.until_stopped(hear(heartbeats, Arc::clone(&answerer.presence), subjects));
        let running = self.queries.clone();
        let lookups_of = Lookups {
            client: client.clone(),
            admission: Arc::clone(&config.admission),
            hosts: Arc::clone(&self.hosts),
            turns: Arc::default(),
            running: running.clone(),
        };
        self.queries
            .spawn(lookups.serve(looked_up, move |requests, leaving| {
                lookups_of.clone().serve(requests, leaving)
            }));
        let admission = config.admission;
        let ingress = Ingress {
            client: client.clone(),
            admission,
            dropped: Arc::clone(&answerer.operations.dropped),
            answerer,
            turns: Arc::default(),
            running,
        };
        self.queries
            .spawn(queries.serve(asked, move |requests, leaving| {
                ingress.clone().serve(requests, leaving)
            }));
        // A server answers in the order in which it was spoken to: it has the subscriptions before
        // anybody is told that this projector serves.
        async_nats::jetstream::new(client)
            .query_account()
            .await
            .map_err(Unreachable::at("subscribing"))?;
        Ok(gate.flush().await?)
    }

    /// A subject that is served while this projector belongs to the queue group.
    fn group<G: Ground>(
        &self,
        ground: G,
        subject: String,
        member: &watch::Sender<bool>,
    ) -> Group<G> {
        Group {
            ground,
            subject,
            member: member.subscribe(),
            leaving: self.leaving.clone(),
        }
    }

    /// Who knows the answers.
    fn answerer(
        &self,
        client: &async_nats::Client,
        gate: &Gate,
        subjects: &Subjects,
        bells: Arc<Bells>,
        cache_bytes: usize,
    ) -> Answerer {
        Answerer {
            hosts: Arc::clone(&self.hosts),
            presence: Arc::new(Presence::default()),
            bells,
            max_body: client
                .server_info()
                .max_payload
                .clamp(HEADER_ROOM, MAX_PAYLOAD_BYTES)
                - HEADER_ROOM,
            brokers: Brokers::new(client.clone(), subjects.clone()),
            deliveries: Arc::new(Deliveries::default()),
            subjects: subjects.clone(),
            counts: Arc::clone(&self.counts),
            operations: Operations {
                dropped: Arc::default(),
                gate: gate.clone(),
                rebuilds: self.pipelines.clone(),
                stop: self.stop.clone(),
                cache_bytes,
                nats_version: client.server_info().version,
            },
            keep: Arc::default(),
            meaning: Arc::clone(&self.meaning),
        }
    }

    fn until_leaving(&self, work: impl Future<Output = ()> + Send + 'static) {
        let leaving = self.leaving.clone();
        self.pipelines
            .spawn(async move { leaving.run_until_cancelled_owned(work).await });
    }

    fn until_stopped(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.pipelines.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// The shards that it serves.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Has what it counted until now stored; for when the brokers are about to end.
    pub async fn report_usage(&self) {
        let brokers = Brokers::new(self.client.clone(), self.subjects.clone());
        let report = usage::report(&self.counts, &brokers);
        if tokio::time::timeout(REPORT, report).await.is_err() {
            tracing::warn!("the last queries were not counted: no broker took the count in time");
        }
    }

    /// Takes no more queries, answers those that run or wait, and makes the rows durable.
    pub async fn drain(self) {
        self.leaving.cancel();
        // Whoever left its queries to this one takes them back at once.
        let last = Announcement {
            instance: self.instance,
            shards: Vec::new(),
            leaving: true,
        };
        announce(&self.client, &self.subjects, &last).await;
        self.queries.close();
        if tokio::time::timeout(DRAIN, self.queries.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "queries were still running when the projector stopped; their callers ask again"
            );
        }
        self.report_usage().await;
        // What was answered is on its way before anybody closes the connection.
        let flushed = tokio::time::timeout(DRAIN, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last answers may not have been sent; their callers ask again");
        }
        self.stop.cancel();
        // Waits for its thread, which an async one must not.
        let meaning = Arc::clone(&self.meaning);
        self.pipelines.spawn_blocking(move || meaning.stop());
        self.pipelines.close();
        if tokio::time::timeout(DRAIN, self.pipelines.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "rows were still being written when the projector stopped; they are folded again"
            );
        }
    }
}

/// Waits until a shard has caught up with the log as it is now, and says how far it is.
async fn tell_until_caught_up(host: &Host) -> Result<(), StartError> {
    let end = host.shard().extent().await?.last;
    while tokio::time::timeout(TELL_EVERY, host.caught_up(end))
        .await
        .is_err()
    {
        let (shard, applied) = (host.shard().number(), host.progress().sequence);
        tracing::warn!(
            shard,
            applied,
            end,
            "folding the log before queries are taken"
        );
    }
    Ok(())
}
