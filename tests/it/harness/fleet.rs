//! A deployment whose parts are separate processes: nats-server, brokers, projectors.

use super::process::{self, Process, Said};
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
    variables: Vec<(&'static str, &'static str)>,
    /// What every part so far has said that was waited for.
    pub said: Vec<Said>,
}

impl Fleet {
    /// Starts nats-server, `brokers` brokers over `shards` shards, and `projectors` projectors.
    pub fn start(shards: u16, brokers: usize, projectors: usize) -> Self {
        Self::start_in(shards, brokers, projectors, &[])
    }

    /// The same, with these variables in the environment of every broker and projector.
    pub fn start_in(
        shards: u16,
        brokers: usize,
        projectors: usize,
        variables: &[(&'static str, &'static str)],
    ) -> Self {
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
            variables: variables.to_vec(),
            said: Vec::new(),
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
        let mut process = Process::start_unheard(self.nats_command());
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
        self.said.push(process.said());
        self.nats = Some(process);
    }

    /// Brokers started from now on make so many shards.
    pub fn set_shards(&mut self, shards: u16) {
        self.shards = shards;
    }

    /// Starts broker `index`.
    pub fn start_broker(&mut self, index: usize) {
        let broker = Process::start_until_line(self.broker_command()).0;
        self.said.push(broker.said());
        self.brokers[index] = Some(broker);
    }

    /// Starts whatever does not run, each after what it needs, and waits until it serves. A part that
    /// found no nats-server when it started has ended, as it should, and is started again.
    pub fn revive(&mut self) {
        let ended = |part: &mut Option<Process>| part.as_mut().is_none_or(Process::has_ended);
        if ended(&mut self.nats) {
            self.start_nats();
        }
        for index in 0..self.brokers.len() {
            if ended(&mut self.brokers[index]) {
                self.start_broker(index);
            }
        }
        for index in 0..self.projectors.len() {
            if ended(&mut self.projectors[index]) {
                self.start_projector(index);
            }
        }
    }

    /// Kills every part but nats-server and starts it again, so that none is left that ended unseen.
    pub fn restart_parts(&mut self) {
        for part in self.brokers.iter_mut().chain(&mut self.projectors) {
            drop(part.take());
        }
        self.revive();
    }

    /// Starts what was killed, all at once, and waits for none of it.
    pub fn revive_without_waiting(&mut self) {
        if self.nats.is_none() {
            self.nats = Some(Process::start_unheard(self.nats_command()));
        }
        for index in 0..self.brokers.len() {
            if self.brokers[index].is_none() {
                let command = self.broker_command();
                self.brokers[index] = Some(Process::start_unheard(command));
            }
        }
        for index in 0..self.projectors.len() {
            if self.projectors[index].is_none() {
                let command = self.projector_command(index);
                self.projectors[index] = Some(Process::start_unheard(command));
            }
        }
    }

    /// Starts projector `index`, with rows of its own.
    pub fn start_projector(&mut self, index: usize) {
        let projector = Process::start_until_line(self.projector_command(index)).0;
        self.said.push(projector.said());
        self.projectors[index] = Some(projector);
    }

    /// Where projector `index` keeps its rows.
    pub fn rows(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("rows-{index}"))
    }

    fn nats_command(&self) -> Command {
        let mut command = Command::new(nats_server());
        let config = self.path().join("nats/nats-server.conf");
        command.arg("-c").arg(config);
        command
    }

    fn broker_command(&self) -> Command {
        self.part(&["broker", "--shards", &self.shards.to_string()])
    }

    fn projector_command(&self, index: usize) -> Command {
        let rows = self.rows(index).display().to_string();
        self.part(&["projector", "--rows", &rows])
    }

    fn part(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("--dir")
            .arg(self.path())
            .args(["--server", &self.url, "--json"])
            .args(args)
            .envs(self.variables.iter().copied());
        command
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
