//! A real nats-server, a broker on it, and callers that speak to it as agents and operators do.

mod parts;
mod server;
mod tasks;

pub(crate) use parts::Parts;
pub(crate) use server::Server;

use async_nats::Message;
use async_nats::client::{Client, RequestErrorKind};
use futures_util::StreamExt;
use postroad_broker::{Broker, BrokerConfig, Durability};
use postroad_gate::{Gate, GateOptions};
use postroad_log::streams::list_shards;
use postroad_log::{Keyring, Opened, Shard};
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding, decode_answer};
use postroad_protocol::envelope::Record;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{CommandId, TenantId};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{
    RequestKind, Service, Subjects, inbox_prefix, service_inbox_prefix,
};
use postroad_protocol::tenancy::replay::StoredFor;
use postroad_protocol::tenancy::{Admission, Tagger};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A public user nkey, well formed and nobody's.
pub(crate) fn public_key() -> String {
    nkeys::KeyPair::new_user().public_key()
}

/// A deployment: server, one broker, and stand-ins for the parts that a broker asks.
pub(crate) struct Town {
    pub(crate) server: Server,
    pub(crate) subjects: Subjects,
    pub(crate) broker: Broker,
    pub(crate) operator: Caller,
    pub(crate) parts: Parts,
}

/// The master key of every test deployment.
pub(crate) fn master() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

impl Town {
    /// A town with one shard on an empty server.
    pub(crate) async fn new(durability: Durability) -> Self {
        Self::with_shards(durability, 1).await
    }

    /// A town with `shards` shards.
    pub(crate) async fn with_shards(durability: Durability, shards: u16) -> Self {
        let server = Server::start(durability).await;
        let broker = start_broker(&server, durability, shards).await;
        let parts = Parts::start(&server).await;
        let operator = Caller::operator(&server, "cli").await;
        Self {
            server,
            subjects: Subjects::default(),
            broker,
            operator,
            parts,
        }
    }

    /// Creates a tenant with these roles, each with a credential for any instance.
    pub(crate) async fn tenant(&self, name: &str, roles: &[&str]) {
        self.operator
            .command(name, "admin.create_tenant", &json!({}))
            .await
            .unwrap();
        for role in roles {
            self.issue(name, role, None).await;
        }
    }

    /// Issues a credential.
    pub(crate) async fn issue(&self, tenant: &str, role: &str, instance: Option<&str>) -> Value {
        let body = json!({"role": role, "instanceId": instance, "publicKey": public_key()});
        self.operator
            .command(tenant, "admin.issue_credential", &body)
            .await
            .unwrap()
    }

    /// An agent of `tenant`.
    pub(crate) async fn agent(&self, tenant: &str, role: &str, instance: &str) -> Caller {
        Caller::agent(&self.server, tenant, role, instance).await
    }

    /// Reads what is stored in shard 0.
    pub(crate) async fn log(&self) -> Log {
        Log::open(&self.server).await
    }
}

/// Starts a broker on `server`.
#[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
pub(crate) async fn start_broker(server: &Server, durability: Durability, shards: u16) -> Broker {
    let subjects = Subjects::default();
    let gate = GateOptions::new(format!("127.0.0.1:{}", server.port));
    let config = BrokerConfig {
        client: server.connect(&service_inbox_prefix(Service::Broker)).await,
        gate: Gate::connect(gate).await.unwrap(),
        admission: Admission::new(subjects.clone()),
        subjects,
        master: master(),
        durability,
        replicas: 1,
        shards,
        tagger: Tagger::new(&master()),
    };
    Broker::start(config).await.unwrap()
}

/// Somebody with a credential.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    tenant: String,
    role: String,
    instance: String,
}

impl Caller {
    /// An agent.
    pub(crate) async fn agent(server: &Server, tenant: &str, role: &str, instance: &str) -> Self {
        Self {
            client: server.connect(&inbox_prefix(tenant, role, instance)).await,
            tenant: tenant.into(),
            role: role.into(),
            instance: instance.into(),
        }
    }

    /// An operator.
    pub(crate) async fn operator(server: &Server, instance: &str) -> Self {
        Self::agent(server, "_all", "_operator", instance).await
    }

    /// The subject of `scope.verb` about `tenant`.
    pub(crate) fn subject(&self, tenant: &str, scope_and_verb: &str) -> String {
        let (scope, verb) = scope_and_verb.split_once('.').unwrap();
        Subjects::default().request(
            RequestKind::Command,
            tenant,
            &self.role,
            &self.instance,
            scope,
            verb,
        )
    }

    /// Sends a command about `tenant` and waits for the answer.
    pub(crate) async fn command(
        &self,
        tenant: &str,
        scope_and_verb: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let subject = self.subject(tenant, scope_and_verb);
        let request = async_nats::Request::new()
            .payload(body.to_string().into())
            .timeout(Some(Duration::from_secs(15)));
        match self.client.send_request(subject, request).await {
            Ok(answer) => read(&answer),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => Refusal::unavailable("no broker is there"),
                RequestErrorKind::TimedOut => {
                    Refusal::new(ErrorCode::OutcomeUnknown, "no answer", "try again")
                }
                _ => panic!("no answer: {error}"),
            }),
        }
    }

    /// Sends a command about the caller's own tenant.
    pub(crate) async fn own(&self, scope_and_verb: &str, body: &Value) -> Result<Value, Refusal> {
        self.command(&self.tenant, scope_and_verb, body).await
    }

    /// Sends a message under `id`.
    pub(crate) async fn send(
        &self,
        id: CommandId,
        channel: &str,
        content: &str,
    ) -> Result<Value, Refusal> {
        let body = json!({"channel": channel, "content": content, "messageId": id.to_string()});
        self.own("messages.send_message", &body).await
    }

    /// Sends a message until it is told that it is stored, as a client does; says where.
    pub(crate) async fn insist(&self, id: CommandId, channel: &str, content: &str) -> u64 {
        let started = Instant::now();
        loop {
            match self.send(id, channel, content).await {
                Ok(answer) => return sequence(&answer),
                Err(refusal) => assert!(refusal.code.is_retryable(), "{refusal:?}"),
            }
            assert!(started.elapsed() < Duration::from_mins(1), "never stored");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends messages under `ids` one behind the other without waiting; their answers, in that order.
    pub(crate) async fn send_in_order(
        &self,
        ids: &[CommandId],
        channel: &str,
    ) -> Vec<Result<Value, Refusal>> {
        let bodies = ids
            .iter()
            .map(|id| json!({"channel": channel, "content": "x", "messageId": id.to_string()}));
        self.send_bodies(bodies).await
    }

    /// Sends messages under new ids one behind the other without waiting; their answers, in that order.
    pub(crate) async fn send_all_in_order(
        &self,
        channel: &str,
        contents: &[String],
    ) -> Vec<Result<Value, Refusal>> {
        let bodies = contents
            .iter()
            .map(|content| json!({"channel": channel, "content": content}));
        self.send_bodies(bodies).await
    }

    async fn send_bodies(
        &self,
        bodies: impl Iterator<Item = Value>,
    ) -> Vec<Result<Value, Refusal>> {
        let subject = self.subject(&self.tenant, "messages.send_message");
        let mut waiting = Vec::new();
        for body in bodies {
            let inbox = self.client.new_inbox();
            waiting.push(self.client.subscribe(inbox.clone()).await.unwrap());
            let body = body.to_string().into();
            let sent = self.client.publish_with_reply(subject.clone(), inbox, body);
            sent.await.unwrap();
        }
        let mut answers = Vec::new();
        for mut inbox in waiting {
            answers.push(read(&inbox.next().await.unwrap()));
        }
        answers
    }

    /// Sends a message under a new id; says where it is stored.
    pub(crate) async fn say(&self, channel: &str, content: &str) -> u64 {
        sequence(
            &self
                .send(CommandId::generate(), channel, content)
                .await
                .unwrap(),
        )
    }
}

/// Reads a JSON answer.
pub(crate) fn read(answer: &Message) -> Result<Value, Refusal> {
    let headers = answer.headers.as_ref();
    let refused = headers.is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
    decode_answer(Encoding::Json, &answer.payload, refused)
}

/// The sequence of an answer's position.
pub(crate) fn sequence(answer: &Value) -> u64 {
    answer["position"]["sequence"].as_u64().unwrap()
}

/// The log as a test reads it.
pub(crate) struct Log {
    pub(crate) shard: Shard,
    keyring: Keyring,
}

impl Log {
    /// Opens shard 0 of `server`.
    pub(crate) async fn open(server: &Server) -> Self {
        let context = async_nats::jetstream::new(server.connect("_INBOX.test").await);
        let shard = list_shards(&context).await.unwrap().remove(0);
        let keyring = Keyring::open(&context, Subjects::default(), master())
            .await
            .unwrap();
        Self { shard, keyring }
    }

    /// How many events are stored.
    pub(crate) async fn len(&self) -> u64 {
        self.shard.extent().await.unwrap().last
    }

    /// What is stored at `sequence`, and for which tenant.
    pub(crate) async fn at(&self, sequence: u64) -> (Option<TenantId>, Record) {
        let stored = self.shard.get(sequence).await.unwrap().unwrap();
        let events = [stored];
        self.keyring.load_for(&events).await.unwrap();
        match self.keyring.open_event(self.shard.number(), &events[0]) {
            Opened::Event { stored_for, record } => {
                let tenant = match stored_for {
                    StoredFor::Tenant(scope) => Some(scope.tenant().clone()),
                    StoredFor::System => None,
                };
                (tenant, record)
            }
            other => panic!("event {sequence} is {other:?}"),
        }
    }

    /// Everything that is stored, in order.
    pub(crate) async fn all(&self) -> Vec<(Option<TenantId>, Record)> {
        let mut all = Vec::new();
        for sequence in 1..=self.len().await {
            all.push(self.at(sequence).await);
        }
        all
    }
}
