//! A real nats-server with JWT credentials, and clients that hold them.

use nats_jwt_rs::account::Account;
use nats_jwt_rs::operator::Operator;
use nats_jwt_rs::types::Permission;
use nats_jwt_rs::user::User;
use nkeys::KeyPair;
use postroad_client::{Client, ConnectOptions, Credential, UserKey};
use postroad_protocol::permission::{PermissionTemplate, agent};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const TENANT: &str = "acme";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; panics with `what` at the deadline.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A nats-server that trusts one operator, and the account that signs everybody here.
pub(crate) struct World {
    dir: tempfile::TempDir,
    account: KeyPair,
    server: Child,
    port: u16,
}

impl Drop for World {
    fn drop(&mut self) {
        // Both fail only where the server is gone already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl World {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let operator_claims = Operator::new_claims("road".to_owned(), operator.public_key());
        let account_claims = Account::new_claims("ROAD".to_owned(), account.public_key());
        let config = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{}\"\noperator: \"{}\"\nresolver: MEMORY\n\
             resolver_preload {{ {}: \"{}\" }}\n",
            dir.path().display(),
            operator_claims.encode(&operator).unwrap(),
            account.public_key(),
            account_claims.encode(&operator).unwrap(),
        );
        std::fs::write(dir.path().join("nats.conf"), config).unwrap();
        let (server, port) = serve(dir.path(), None);
        Self {
            dir,
            account,
            server,
            port,
        }
    }

    /// Where its server listens, or did.
    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server; what it was about to deliver is lost.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        (self.server, self.port) = serve(self.dir.path(), Some(self.port));
    }

    /// The credential of a service, which may do anything.
    pub(crate) fn service_creds(&self) -> String {
        self.creds(&[], &PermissionTemplate::default())
    }

    /// The credential of an agent's instance with these scopes, as the issuer would sign it.
    pub(crate) fn agent_creds(&self, role: &str, instance: &str, scopes: &[&str]) -> String {
        let may = filled(agent("postroad"), role, instance, scopes);
        self.creds(&tags(role, instance, scopes), &may)
    }

    /// One that ends after `life`.
    pub(crate) fn creds_for(&self, role: &str, instance: &str, life: Duration) -> String {
        let scopes = ["self", "messages"];
        let may = filled(agent("postroad"), role, instance, &scopes);
        let ends = SystemTime::now() + life;
        let ends = ends.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ends = i64::try_from(ends).unwrap();
        self.signed(&tags(role, instance, &scopes), &may, Some(ends))
    }

    pub(crate) fn creds(&self, tags: &[String], may: &PermissionTemplate) -> String {
        self.signed(tags, may, None)
    }

    fn signed(&self, tags: &[String], may: &PermissionTemplate, ends: Option<i64>) -> String {
        let key = UserKey::generate();
        let mut claims = User::new_claims("tester".to_owned(), key.public_key());
        claims.exp = ends;
        let permissions = &mut claims.nats.permissions.permissions;
        permissions.publish = Permission {
            allow: may.publish_allow.clone(),
            deny: Vec::new(),
        };
        permissions.subscribe = Permission {
            allow: may.subscribe_allow.clone(),
            deny: Vec::new(),
        };
        claims.nats.generic_fields.tags = Some(tags.to_vec());
        key.creds(&claims.encode(&self.account).unwrap())
            .to_string()
    }

    pub(crate) fn options(&self, creds: &str) -> ConnectOptions {
        ConnectOptions::new(&self.url(), Credential::parse(creds).unwrap()).timeout(TIMEOUT)
    }

    pub(crate) async fn agent(&self, role: &str, instance: &str) -> Client {
        let creds = self.agent_creds(role, instance, &["self", "messages"]);
        Client::connect(self.options(&creds)).await.unwrap()
    }
}

fn tags(role: &str, instance: &str, scopes: &[&str]) -> Vec<String> {
    let mut tags = vec![
        format!("tenant:{TENANT}"),
        format!("role:{role}"),
        format!("instance:{instance}"),
    ];
    tags.extend(scopes.iter().map(|scope| format!("scope:{scope}")));
    tags
}

/// The template with the tags in their places, as nats-server fills it in.
fn filled(
    template: PermissionTemplate,
    role: &str,
    instance: &str,
    scopes: &[&str],
) -> PermissionTemplate {
    let fill = |subjects: Vec<String>| {
        let one = |subject: &String, scope: &str| {
            subject
                .replace("{{tag(tenant)}}", TENANT)
                .replace("{{tag(role)}}", role)
                .replace("{{tag(instance)}}", instance)
                .replace("{{tag(scope)}}", scope)
        };
        let all = |scope: &&str| subjects.iter().map(|s| one(s, scope)).collect::<Vec<_>>();
        scopes.iter().flat_map(all).collect()
    };
    PermissionTemplate {
        publish_allow: fill(template.publish_allow),
        subscribe_allow: fill(template.subscribe_allow),
        ..PermissionTemplate::default()
    }
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/nats-server");
    if own.exists() {
        return own;
    }
    "nats-server".into()
}

fn serve(dir: &Path, port: Option<u16>) -> (Child, u16) {
    let mut command = Command::new(binary());
    command.arg("-c").arg(dir.join("nats.conf"));
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child =
        child.expect("nats-server runs (`scripts/nats-server.sh` finds or installs one)");
    let file = dir.join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let ports = std::fs::read(&file).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports) {
            let url = ports["nats"][0].as_str().unwrap();
            let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
            return (child, port);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("nats-server did not start");
}
