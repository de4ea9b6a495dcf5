//! One nats-server on a loopback port and a directory of its own, killed by its id.

use async_nats::ConnectOptions;
use async_nats::client::Client;
use postroad_broker::Durability;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running server.
pub(crate) struct Server {
    directory: TempDir,
    durability: Durability,
    pub(crate) port: u16,
    pub(crate) child: Child,
}

impl Server {
    /// Starts one on an empty store.
    pub(crate) async fn start(durability: Durability) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = spawn(directory.path(), port, durability);
        let server = Self {
            directory,
            durability,
            port,
            child,
        };
        server.connect("_INBOX.test").await;
        server
    }

    /// Kills it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and store.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.directory.path(), self.port, self.durability);
        self.connect("_INBOX.test").await;
    }

    /// Deletes everything that it stored; it must be down.
    pub(crate) fn forget_everything(&self) {
        std::fs::remove_dir_all(self.directory.path().join("store")).unwrap();
    }

    /// A copy of everything that it stored; it must be down.
    pub(crate) fn copy_store(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_all(
            &self.directory.path().join("store"),
            &copy.path().join("store"),
        );
        copy
    }

    /// Replaces everything that it stored by a copy; it must be down.
    pub(crate) fn put_store(&self, copy: &TempDir) {
        self.forget_everything();
        copy_all(
            &copy.path().join("store"),
            &self.directory.path().join("store"),
        );
    }

    /// A connection with its own inbox prefix. Waits until JetStream answers.
    pub(crate) async fn connect(&self, inbox: &str) -> Client {
        self.connect_with(ConnectOptions::new().custom_inbox_prefix(inbox))
            .await
    }

    /// A connection with `options`. Waits until JetStream answers.
    pub(crate) async fn connect_with(&self, options: ConnectOptions) -> Client {
        let started = Instant::now();
        let options = options.connection_timeout(Duration::from_secs(2));
        loop {
            let options = options.clone();
            if let Ok(client) = options.connect(format!("127.0.0.1:{}", self.port)).await {
                let context = async_nats::jetstream::new(client.clone());
                if context.query_account().await.is_ok() {
                    return client;
                }
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "nats-server does not answer"
            );
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

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn spawn(directory: &Path, port: u16, durability: Durability) -> Child {
    let sync = match durability {
        Durability::PowerSafe => "sync_interval: always",
        Durability::Fast => "",
    };
    let store = directory.join("store");
    let config = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\"\n {sync} }}\n",
        store.display()
    );
    let file = directory.join("nats.conf");
    std::fs::write(&file, config).unwrap();
    let binary = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    Command::new(&binary)
        .arg("-c")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            let binary = binary.display();
            panic!("{binary} does not start ({error}): set NATS_SERVER, or use `make test`")
        })
}
