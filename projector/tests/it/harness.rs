//! A real nats-server, a log that is written by hand as a broker would, projectors on it, and agents
//! that ask them.

use async_nats::ConnectOptions;
use async_nats::client::Client;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::PublishMessage;
use postroad_gate::{Gate, GateOptions};
use postroad_log::{Keyring, streams};
use postroad_projector::hosts::Host;
use postroad_projector::{Projector, ProjectorConfig};
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding, decode_answer};
use postroad_protocol::channel::Channel;
use postroad_protocol::envelope::Sealing;
use postroad_protocol::error::Refusal;
use postroad_protocol::event::{
    Actor, CredentialIssued, Event, EventKey, MessageSent, Priority, TenantCreated,
};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role, TenantId, TimeMs};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{
    ALL_TENANTS, OPERATOR_ROLE, Owner, RequestKind, Service, Subjects, inbox_prefix,
    service_inbox_prefix,
};
use postroad_protocol::tenancy::{Admission, Scope};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for anything that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until `condition` holds; panics with `what` at the deadline.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running nats-server, killed by its id.
struct Server {
    _directory: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let store = directory.path().join("store");
        let binary = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let child = Command::new(&binary)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                let binary = binary.display();
                panic!("{binary} does not start ({error}): set NATS_SERVER, or use `make test`")
            });
        let server = Self {
            _directory: directory,
            port,
            child,
        };
        server.connect("_INBOX.test").await;
        server
    }

    /// A connection with its own inbox prefix. Waits until JetStream answers.
    async fn connect(&self, inbox: &str) -> Client {
        let started = Instant::now();
        loop {
            let options = ConnectOptions::new()
                .custom_inbox_prefix(inbox)
                .connection_timeout(Duration::from_secs(2));
            if let Ok(client) = options.connect(format!("127.0.0.1:{}", self.port)).await {
                let context = async_nats::jetstream::new(client.clone());
                if context.query_account().await.is_ok() {
                    return client;
                }
            }
            assert!(started.elapsed() < DEADLINE, "nats-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

fn master() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

/// A server with one shard, and the hand that writes it.
pub(crate) struct Town {
    server: Server,
    pub(crate) context: Context,
    pub(crate) keyring: Keyring,
    pub(crate) subjects: Subjects,
    pub(crate) folder: TempDir,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let server = Server::start().await;
        let context = async_nats::jetstream::new(server.connect("_INBOX.test").await);
        let subjects = Subjects::default();
        streams::ensure_keys_stream(&context, &subjects, 1)
            .await
            .unwrap();
        streams::ensure_shard(&context, &subjects, 0, 1)
            .await
            .unwrap();
        let keyring = Keyring::open(&context, subjects.clone(), master())
            .await
            .unwrap();
        keyring.create(Owner::System, 0).await.unwrap();
        Self {
            server,
            context,
            keyring,
            subjects,
            folder: TempDir::new().unwrap(),
        }
    }

    /// A town with tenant `acme`, whose agents `bob/mac` and `tau/pi` are registered.
    pub(crate) async fn with_acme() -> Self {
        let town = Self::new().await;
        town.tenant("acme").await;
        for agent in ["bob/mac", "tau/pi"] {
            town.issue("acme", agent).await;
        }
        town
    }

    /// Creates a tenant; says where.
    pub(crate) async fn tenant(&self, name: &str) -> u64 {
        let tenant = TenantId::parse(name).unwrap();
        self.keyring
            .create(Owner::Tenant(&tenant), 0)
            .await
            .unwrap();
        let created = TenantCreated {
            tenant: tenant.clone(),
            generation: 1,
        };
        self.append(Owner::Tenant(&tenant), &Actor::System, created)
            .await
    }

    /// Issues a credential for `role/instance`, which registers it.
    pub(crate) async fn issue(&self, tenant: &str, agent: &str) -> u64 {
        let Reader { role, instance } = reader(agent);
        let issued = CredentialIssued {
            role,
            instance: Some(instance),
            scopes: vec![Scope::Own, Scope::Messages],
            public_key: format!("U-{}", agent.replace('/', "-")),
            expires_at: TimeMs(u64::MAX),
            token: false,
        };
        let tenant = TenantId::parse(tenant).unwrap();
        self.append(Owner::Tenant(&tenant), &Actor::System, issued)
            .await
    }

    /// `bob/mac` of `tenant` says something to everybody; says where it is stored.
    pub(crate) async fn say(&self, tenant: &str, content: &str) -> u64 {
        let from = reader("bob/mac");
        let sent = MessageSent {
            from: from.clone(),
            channel: Channel::parse("broadcast").unwrap(),
            instance: None,
            content: content.to_owned(),
            reply_to: None,
            priority: Priority::Normal,
            metadata: std::collections::BTreeMap::new(),
        };
        let tenant = TenantId::parse(tenant).unwrap();
        self.append(Owner::Tenant(&tenant), &Actor::Agent(from), sent)
            .await
    }

    /// Seals an event and stores it; says where.
    pub(crate) async fn append(
        &self,
        owner: Owner<'_>,
        by: &Actor,
        event: impl Into<Event>,
    ) -> u64 {
        let event = event.into();
        let key = self.keyring.current(owner).unwrap();
        let sealed = Sealing {
            owner,
            subject: self.subjects.event(owner, 0, &event.aggregate()),
            key_id: key.home.key_id,
            key: &key.key,
            id: CommandId::generate(),
            time: TimeMs::now(),
            by,
            traceparent: None,
        }
        .seal(&event);
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in sealed.headers() {
            headers.insert(name, value.as_str());
        }
        self.store(&sealed.subject, headers, sealed.payload).await
    }

    /// Stores bytes that nobody sealed under a subject of `tenant`'s; says where.
    pub(crate) async fn damage(&self, tenant: &str) -> u64 {
        let tenant = TenantId::parse(tenant).unwrap();
        let role = Role::parse("bob").unwrap();
        let key = postroad_protocol::subject::AggregateKey::Message(role);
        let subject = self.subjects.event(Owner::Tenant(&tenant), 0, &key);
        let nothing = async_nats::HeaderMap::new();
        self.store(&subject, nothing, b"not what was written".to_vec())
            .await
    }

    pub(crate) async fn store(
        &self,
        subject: &str,
        headers: async_nats::HeaderMap,
        payload: Vec<u8>,
    ) -> u64 {
        let publish = PublishMessage::build()
            .payload(payload.into())
            .headers(headers);
        let stored = self
            .context
            .send_publish(subject.to_owned(), publish)
            .await
            .unwrap();
        stored.await.unwrap().sequence
    }

    /// A projector with rows in the folder of that name.
    pub(crate) async fn projector(&self, rows: &str) -> Projector {
        self.projector_with(rows, None).await
    }

    /// As [`Self::projector`], with the model in a folder.
    #[expect(clippy::disallowed_methods, reason = "tests enter by the real door")]
    pub(crate) async fn projector_with(
        &self,
        rows: &str,
        model: Option<std::path::PathBuf>,
    ) -> Projector {
        let client = self
            .server
            .connect(&service_inbox_prefix(Service::Projector))
            .await;
        let gate = GateOptions::new(format!("127.0.0.1:{}", self.server.port));
        let config = ProjectorConfig {
            client,
            gate: Gate::connect(gate).await.unwrap(),
            subjects: self.subjects.clone(),
            admission: Arc::new(Admission::new(self.subjects.clone())),
            master: master(),
            rows: self.folder.path().join(rows),
            model,
        };
        Projector::start(config).await.unwrap()
    }

    /// An agent of `acme`.
    pub(crate) async fn agent(&self, name: &str) -> Agent {
        self.caller("acme", name).await
    }

    /// The operator.
    pub(crate) async fn operator(&self) -> Agent {
        self.caller(ALL_TENANTS, &format!("{OPERATOR_ROLE}/cli"))
            .await
    }

    /// Whoever calls under these names.
    pub(crate) async fn caller(&self, tenant: &str, name: &str) -> Agent {
        let (role, instance) = name.split_once('/').unwrap();
        let inbox = inbox_prefix(tenant, role, instance);
        Agent {
            client: self.server.connect(&inbox).await,
            subjects: self.subjects.clone(),
            names: [tenant, role, instance].map(str::to_owned),
        }
    }
}

/// Reads `role/instance`.
pub(crate) fn reader(name: &str) -> Reader {
    let (role, instance) = name.split_once('/').unwrap();
    Reader {
        role: Role::parse(role).unwrap(),
        instance: InstanceId::parse(instance).unwrap(),
    }
}

/// The one shard of a projector.
pub(crate) fn host(projector: &Projector) -> Arc<Host> {
    projector.hosts().shard(0).unwrap()
}

/// Whether a file is there.
pub(crate) fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}

/// The key of nothing that was ever stored.
pub(crate) fn no_key() -> EventKey {
    EventKey::of(&Actor::System, CommandId::generate())
}

/// Who asks.
pub(crate) struct Agent {
    client: Client,
    subjects: Subjects,
    /// Tenant, role, instance.
    names: [String; 3],
}

impl Agent {
    /// Asks `scope.verb` and waits for the answer.
    pub(crate) async fn ask(&self, scope_and_verb: &str, body: &Value) -> Result<Value, Refusal> {
        let (scope, verb) = scope_and_verb.split_once('.').unwrap();
        let [tenant, role, instance] = &self.names;
        let subject =
            self.subjects
                .request(RequestKind::Query, tenant, role, instance, scope, verb);
        let request = async_nats::Request::new()
            .payload(body.to_string().into())
            .timeout(Some(DEADLINE));
        let answer = self
            .client
            .send_request(subject, request)
            .await
            .map_err(|error| Refusal::unavailable(error.to_string()))?;
        let headers = answer.headers.as_ref();
        let refused = headers.is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
        decode_answer(Encoding::Json, &answer.payload, refused)
    }

    /// What is unread, and whether that may not be all.
    pub(crate) async fn check(&self) -> (Vec<String>, bool) {
        let answer = self
            .ask("messages.check_messages", &json!({"limit": 200}))
            .await
            .unwrap();
        let messages = answer["messages"].as_array().unwrap().iter();
        let contents = messages.map(|message| message["content"].as_str().unwrap().to_owned());
        (contents.collect(), answer["stale"] == json!(true))
    }
}
