//! A real deployment for a test: the real binary, a real nats-server, a temporary folder, a free
//! loopback port. Everything that it starts is stopped by process id when it is dropped.

pub mod cli;
pub mod fleet;
pub mod log;
pub mod process;
pub mod raw;
pub mod road;
pub mod scan;
pub mod witness;

use postroad_client::{Client, ConnectOptions, Credential, NewAgent, UserKey};
use postroad_protocol::{InstanceId, Role, TenantId};
use process::Process;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_postroad")
}

/// A deployment that `postroad up` carries.
pub struct Deployment {
    pub dir: tempfile::TempDir,
    pub url: String,
    listen: String,
    args: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
    pub up: Option<Process>,
    /// What the last `up` said when it was ready.
    pub ready: serde_json::Value,
    /// What every `up` so far has said.
    pub said: Vec<process::Said>,
}

impl Deployment {
    /// Starts one with the defaults of `up`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments for `up`.
    pub fn start_with(args: &[&str]) -> Self {
        Self::start_in(args, &[])
    }

    /// Starts one with more arguments for `up`, and these variables in its environment.
    pub fn start_in(args: &[&str], variables: &[(&'static str, &'static str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut this = Self {
            dir,
            url: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            args,
            variables: variables.to_vec(),
            up: None,
            ready: serde_json::Value::Null,
            said: Vec::new(),
        };
        this.restart();
        // The port stays the same from now on, as it does for agents in the field.
        let (_, listen) = this.url.split_once("://").expect("a URL");
        this.listen = listen.to_owned();
        this
    }

    /// DIR.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(".postroad")
    }

    /// Starts `up` again on the same DIR; it must not be running.
    pub fn restart(&mut self) {
        assert!(self.up.is_none(), "up is still running");
        let (process, ready) = Process::start_until_line(self.command());
        self.ready = serde_json::from_str(&ready).expect("the ready line is JSON");
        let url = self.ready["url"].as_str();
        self.url = url.map(str::to_owned).expect("a url");
        self.said.push(process.said());
        self.up = Some(process);
    }

    /// Starts `up` again, and does not wait until it serves.
    pub fn restart_without_waiting(&mut self) {
        assert!(self.up.is_none(), "up is still running");
        self.up = Some(Process::start_unheard(self.command()));
    }

    /// Makes sure that it serves. An `up` that lost its server before it served has said so and ended;
    /// it is started again.
    pub async fn revive(&mut self) {
        let creds = std::fs::read_to_string(self.path().join("operator.creds"));
        let options = options(&self.url, &creds.expect("operator.creds"));
        let start = Instant::now();
        loop {
            if let Some(mut up) = self.up.take()
                && !up.has_ended()
            {
                self.up = Some(up);
            } else {
                return self.restart();
            }
            let quick = options.clone().timeout(Duration::from_secs(1));
            if let Ok(client) = Client::connect(quick).await
                && client
                    .operator()
                    .expect("an operator")
                    .status()
                    .await
                    .is_ok()
            {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "it neither serves nor ends");
        }
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(binary());
        command
            .arg("--dir")
            .arg(self.path())
            .arg("--json")
            .arg("up")
            .arg("--listen")
            .arg(&self.listen)
            .args(&self.args)
            .envs(self.variables.iter().copied());
        command
    }

    /// Asks `up` to stop, and says with which code it did.
    pub fn stop(&mut self) -> i32 {
        self.up.take().expect("up is running").terminate()
    }

    /// Kills `up` and its nats-server at once, as a power cut of the machine's processes would.
    pub fn kill_tree(&mut self) {
        self.up.take().expect("up is running").kill();
        self.kill_nats();
    }

    /// Kills the supervised nats-server at once, if it lives; how many that hit.
    pub fn kill_nats(&self) -> usize {
        kill_nats_of(&self.path())
    }

    /// The process id of the supervised nats-server.
    pub fn nats_pid(&self) -> Option<i32> {
        nats_pid_of(&self.path())
    }

    /// Where nats-server keeps the first shard's batches until they are committed: a link, when that is in
    /// memory.
    pub fn batches(&self) -> PathBuf {
        let store = self.path().join("nats/store/jetstream");
        let mut accounts = std::fs::read_dir(store).into_iter().flatten();
        let shard = accounts.find_map(|account| {
            let shard = account.ok()?.path().join("streams/POSTROAD_0");
            shard.is_dir().then_some(shard)
        });
        shard.unwrap_or_default().join("batches")
    }

    /// The operator's client.
    pub async fn operator(&self) -> Client {
        let creds =
            std::fs::read_to_string(self.path().join("operator.creds")).expect("operator.creds");
        connect(&self.url, &creds, None).await
    }

    /// Creates a tenant.
    pub async fn tenant(&self, name: &str) -> TenantId {
        let tenant = TenantId::parse(name).expect("a tenant's name");
        self.operator()
            .await
            .operator()
            .expect("an operator")
            .create_tenant(&tenant, None)
            .await
            .expect("the tenant is created");
        tenant
    }

    /// Issues a credential bound to an instance, and connects with it. What it reads is fresh, since
    /// tests read with one client what they did with another.
    pub async fn agent(&self, tenant: &str, role: &str, instance: &str) -> Client {
        let creds = self.creds(tenant, role, Some(instance)).await;
        connect(&self.url, &creds, None).await
    }

    /// Like [`agent`](Self::agent), as agents in the field connect: what it reads is as new as what
    /// it has seen, no newer.
    pub async fn agent_by_position(&self, tenant: &str, role: &str, instance: &str) -> Client {
        let creds = self.creds(tenant, role, Some(instance)).await;
        connect_by_position(&self.url, &creds).await
    }

    /// Issues a credential; the text of its `.creds` file.
    pub async fn creds(&self, tenant: &str, role: &str, instance: Option<&str>) -> String {
        issue(&self.operator().await, tenant, role, instance).await
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // A server may outlive a supervisor that was killed alone.
        drop(self.up.take());
        self.kill_nats();
        // What a killed supervisor could not remove.
        if let Ok(staging) = std::fs::read_link(self.batches()) {
            let _gone = std::fs::remove_dir_all(staging);
        }
    }
}

fn nats_pid_of(dir: &Path) -> Option<i32> {
    let pid = std::fs::read_to_string(dir.join("nats/nats-server.pid")).ok()?;
    pid.trim().parse().ok()
}

/// Kills the nats-server of the deployment in `dir` at once, if it lives; how many that hit.
pub fn kill_nats_of(dir: &Path) -> usize {
    let Some(pid) = nats_pid_of(dir) else {
        return 0;
    };
    // The file outlives its server, whose number may by now be somebody else's.
    if !process::is_running(pid) || !process::was_started_with(pid, &dir.join("nats")) {
        return 0;
    }
    process::kill(pid);
    process::wait_until_gone(pid);
    1
}

/// Issues a credential through `operator`; the text of its `.creds` file.
pub async fn issue(operator: &Client, tenant: &str, role: &str, instance: Option<&str>) -> String {
    let tenant = TenantId::parse(tenant).expect("a tenant's name");
    let user = UserKey::generate();
    let mut agent = NewAgent::new(Role::parse(role).expect("a role"));
    if let Some(instance) = instance {
        agent = agent.instance(InstanceId::parse(instance).expect("an instance's name"));
    }
    let operator = operator.operator().expect("an operator");
    let issued = operator
        .issue_credential(&tenant, &agent, &user.public_key())
        .await
        .expect("the credential is issued");
    user.creds(&issued.jwt).to_string()
}

/// Connects with the text of a `.creds` file; what it reads is fresh.
pub async fn connect(url: &str, creds: &str, instance: Option<&str>) -> Client {
    let mut options = options(url, creds).always_fresh();
    if let Some(instance) = instance {
        options = options.instance(InstanceId::parse(instance).expect("an instance's name"));
    }
    Client::connect(options).await.expect("the client connects")
}

/// Connects as agents in the field do: what it reads is as new as what it has seen, no newer.
pub async fn connect_by_position(url: &str, creds: &str) -> Client {
    let connected = Client::connect(options(url, creds)).await;
    connected.expect("the client connects")
}

/// How tests connect with the text of a `.creds` file.
pub fn options(url: &str, creds: &str) -> ConnectOptions {
    let credential = Credential::parse(creds).expect("the credential reads");
    ConnectOptions::new(url, credential).timeout(Duration::from_secs(30))
}

/// Waits until `condition` holds; panics with `what` at the deadline.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A seed for a random test: from `POSTROAD_SEED`, or fresh. Printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("POSTROAD_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("POSTROAD_SEED={seed}");
    seed
}

/// The nats-server that tests run on: what `make test` found, else what is on PATH.
pub fn nats_server() -> PathBuf {
    std::env::var_os("NATS_SERVER")
        .map_or_else(|| Path::new("nats-server").to_owned(), PathBuf::from)
}
