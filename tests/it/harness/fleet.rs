//! A deployment whose parts are separate processes: nats-server, brokers, projectors.

use super::process::{self, Process};
use super::{binary, connect, connect_by_position, issue, nats_server};
use postroad_client::Client;
use postroad_protocol::TenantId;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// The parts.
pub struct Fleet {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub nats: Option<Process>,
    pub brokers: Vec<Option<Process>>,
    pub projectors: Vec<Option<Process>>,
    shards: u16,
}

impl Fleet {
    /// Starts nats-server, `brokers` brokers over `shards` shards, and `projectors` projectors.
    pub fn start(shards: u16, brokers: usize, projectors: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = free.local_addr().expect("its address").to_string();
        drop(free);
        let path = dir.path().join("deployment");
        let init = Command::new(binary())
            .arg("--dir")
            .arg(&path)
            .args(["init", "--listen", &listen])
            .output()
            .expect("init runs");
        assert!(
            init.status.success(),
            "{}",
            String::from_utf8_lossy(&init.stderr)
        );
        let url = format!("nats://{listen}");
        let mut fleet = Self {
            dir,
            url,
            nats: None,
            brokers: Vec::new(),
            projectors: Vec::new(),
            shards,
        };
        fleet.start_nats();
        for index in 0..brokers {
            fleet.brokers.push(None);
            fleet.start_broker(index);
        }
        for index in 0..projectors {
            fleet.projectors.push(None);
            fleet.start_projector(index);
        }
        fleet
    }

    /// DIR of the deployment.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("deployment")
    }

    /// Starts nats-server and waits until it accepts connections.
    pub fn start_nats(&mut self) {
        let mut command = Command::new(nats_server());
        command
            .arg("-c")
            .arg(self.path().join("nats/nats-server.conf"));
        let (mut process, _) = Process::start(command);
        let address = self.url.trim_start_matches("nats://").to_owned();
        let start = std::time::Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(
                !process.has_ended(),
                "nats-server ended: {}",
                process.stderr()
            );
            assert!(
                start.elapsed() < super::DEADLINE,
                "nats-server does not listen"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.nats = Some(process);
    }

    /// Brokers started from now on make so many shards.
    pub fn set_shards(&mut self, shards: u16) {
        self.shards = shards;
    }

    /// Starts broker `index`.
    pub fn start_broker(&mut self, index: usize) {
        let shards = self.shards.to_string();
        self.brokers[index] = Some(self.part(&["broker", "--shards", &shards]));
    }

    /// Starts projector `index`, with rows of its own.
    pub fn start_projector(&mut self, index: usize) {
        let rows = self.rows(index).display().to_string();
        self.projectors[index] = Some(self.part(&["projector", "--rows", &rows]));
    }

    /// Where projector `index` keeps its rows.
    pub fn rows(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("rows-{index}"))
    }

    fn part(&self, args: &[&str]) -> Process {
        let mut command = Command::new(binary());
        command
            .arg("--dir")
            .arg(self.path())
            .args(["--server", &self.url, "--json"])
            .args(args);
        Process::start_until_line(command).0
    }

    /// The operator's client.
    pub async fn operator(&self) -> Client {
        let creds =
            std::fs::read_to_string(self.path().join("operator.creds")).expect("operator.creds");
        connect(&self.url, &creds, None).await
    }

    /// Creates a tenant in a shard.
    pub async fn tenant(&self, name: &str, shard: u16) -> TenantId {
        let tenant = TenantId::parse(name).expect("a tenant's name");
        self.operator()
            .await
            .operator()
            .expect("an operator")
            .create_tenant(&tenant, Some(shard))
            .await
            .expect("the tenant is created");
        tenant
    }

    /// Like [`agent`](Self::agent), as agents in the field connect: what it reads is as new as what
    /// it has seen, no newer.
    pub async fn agent_by_position(&self, tenant: &str, role: &str, instance: &str) -> Client {
        let creds = issue(&self.operator().await, tenant, role, Some(instance)).await;
        connect_by_position(&self.url, &creds).await
    }

    /// Issues a credential bound to an instance, and connects with it. What it reads is fresh.
    pub async fn agent(&self, tenant: &str, role: &str, instance: &str) -> Client {
        let creds = issue(&self.operator().await, tenant, role, Some(instance)).await;
        connect(&self.url, &creds, None).await
    }

    /// Stops nats-server at once.
    pub fn kill_nats(&mut self) {
        let nats = self.nats.take().expect("nats-server is running");
        let pid = nats.pid();
        nats.kill();
        process::wait_until_gone(pid);
    }
}
