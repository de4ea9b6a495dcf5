//! Agents on other machines: over TLS and never without, with two files and one command.

use crate::harness::cli::{self, Ran};
use crate::harness::process::Process;
use crate::harness::{DEADLINE, Deployment, binary, eventually, nats_server};
use postroad_client::{Client, ClientError, ConnectOptions, Context, Credential};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files with a certificate and its key.
struct Shown {
    dir: tempfile::TempDir,
}

impl Shown {
    /// One that vouches for itself, for these names and addresses.
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let this = Self { dir };
        this.renew(&params(names));
        this
    }

    /// Replaces both.
    fn renew(&self, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(self.cert(), certificate.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// The options that name them.
    fn args(&self) -> Vec<String> {
        let (cert, key) = (self.cert(), self.key());
        ["--tls-cert", &text(&cert), "--tls-key", &text(&key)]
            .map(str::to_owned)
            .to_vec()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "road");
    params
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Starts `up` with this certificate and more arguments.
fn start(shown: &Shown, more: &[&str]) -> Deployment {
    let args = shown.args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Deployment::start_with(&[&args, more].concat())
}

/// A folder on another machine.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has a credential written here for a role that serves one instance.
    fn issue(&self, deployment: &Deployment, role: &str) -> Ran {
        let file = self.path(&format!("{role}.creds"));
        let (to, out) = (["--instance", "pi", "--force", "--out"], text(&file));
        let issue = ["agent", "issue", "--tenant", "default", "--role", role];
        deployment.run(&[&issue[..], &to, &[&out]].concat())
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name();
        let mut names: Vec<String> = files.map(|file| text(Path::new(&name(file)))).collect();
        names.sort_unstable();
        names
    }

    /// Runs `postroad` here, where nothing is known but what lies here.
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command.current_dir(self.dir.path()).args(args);
        cli::run(command, "")
    }

    fn context(&self) -> Context {
        Context::in_dir(self.dir.path()).unwrap().unwrap()
    }
}

#[tokio::test]
async fn two_files_and_one_command_are_all_that_another_machine_needs() {
    let shown = Shown::new(&["postroad.test", "127.0.0.1"]);
    let deployment = start(&shown, &["--advertise", "127.0.0.1"]);
    assert!(
        deployment.url.starts_with("tls://127.0.0.1:"),
        "{}",
        deployment.url
    );
    let (alice, bob) = (Machine::new(), Machine::new());
    alice.issue(&deployment, "alice").expect(0);
    bob.issue(&deployment, "bob").expect(0);
    assert_eq!(alice.files(), ["alice.creds", "context.json"]);
    let context = alice.context();
    assert_eq!(context.url, deployment.url);
    assert!(context.ca_pem.is_some() && context.pin_pem.is_none() && context.ca.is_none());

    alice
        .run(&["--creds", "alice.creds", "send", "bob", "over the wire"])
        .expect(0);
    let unread = bob
        .run(&["--creds", "bob.creds", "--json", "check"])
        .expect(0)
        .json();
    assert_eq!(unread["messages"][0]["content"], "over the wire");
    let receipt = unread["messages"][0]["receiptId"]
        .as_str()
        .unwrap()
        .to_owned();
    bob.run(&["--creds", "bob.creds", "read", &receipt])
        .expect(0);
    assert_eq!(
        bob.files(),
        ["bob.creds", "context.json"],
        "nothing else was needed"
    );

    // A program likewise.
    let options = ConnectOptions::from_creds_file(bob.path("bob.creds")).unwrap();
    let client = Client::connect(options).await.unwrap();
    assert_eq!(client.whoami().await.unwrap().role.as_str(), "bob");
    client.close().await.unwrap();
}

#[tokio::test]
async fn this_machine_knows_its_server_by_the_certificate_whatever_name_stands_in_it() {
    let shown = Shown::new(&["postroad.test"]);
    let mut deployment = start(&shown, &[]);
    deployment.run(&["status"]).expect(0);
    let (port, machine) = (
        deployment.url.rsplit(':').next().unwrap().to_owned(),
        Machine::new(),
    );
    machine.issue(&deployment, "alice").expect(0);
    // Without a word, others are told the name that clients take the certificate for.
    assert_eq!(machine.context().url, format!("tls://postroad.test:{port}"));
    deployment
        .run(&["--as", "default/alice/pi", "send", "alice", "hi"])
        .expect(0);

    // A server that is started again shows what it showed, whatever has become of the files.
    std::fs::remove_file(shown.cert()).unwrap();
    std::fs::write(shown.key(), "gone").unwrap();
    let before = deployment.nats_pid();
    assert_eq!(deployment.kill_nats(), 1);
    eventually("everything works again", async || {
        deployment.nats_pid() != before && deployment.run(&["--timeout", "1s", "status"]).code == 0
    })
    .await;
    deployment
        .run(&["--as", "default/alice/pi", "send", "alice", "again"])
        .expect(0);

    // The next start takes the files as they are then.
    assert_eq!(deployment.stop(), 0);
    shown.renew(&params(&["postroad.test"]));
    deployment.restart();
    deployment.run(&["status"]).expect(0);
    let noted = machine.issue(&deployment, "alice").expect(0);
    assert!(
        noted.stderr.contains("trusts another certificate"),
        "{noted:?}"
    );
    std::fs::remove_file(machine.path(Context::FILE)).unwrap();
    let silent = machine.issue(&deployment, "alice").expect(0);
    assert!(!silent.stderr.contains("note:"), "{silent:?}");
}

#[tokio::test]
async fn a_deployment_that_turns_to_tls_and_back_is_found_each_time() {
    let shown = Shown::new(&["127.0.0.1"]);
    let mut deployment = start(&shown, &[]);
    let dir = deployment.path();
    assert!(dir.join("nats/tls-key.pem").exists());
    assert_eq!(deployment.stop(), 0);
    let plain = |args: &[&str]| {
        let mut command = Command::new(binary());
        command
            .arg("--dir")
            .arg(&dir)
            .args(["--json", "up", "--listen", "127.0.0.1:0"]);
        command.args(args);
        Process::start_until_line(command)
    };
    // On this machine nobody can listen in: --insecure changes nothing, and nothing is to be warned of.
    let (up, ready) = plain(&["--insecure"]);
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert!(
        ready["url"].as_str().unwrap().starts_with("nats://"),
        "{ready}"
    );
    deployment.run(&["status"]).expect(0);
    assert!(
        !dir.join("nats/tls-key.pem").exists(),
        "a key was left lying about"
    );
    assert!(!up.stderr().contains("warning"), "{}", up.stderr());
    assert_eq!(up.terminate(), 0);
    deployment.restart();
    deployment.run(&["status"]).expect(0);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_told_what_to_do() {
    let shown = Shown::new(&["127.0.0.1"]);
    let deployment = start(&shown, &[]);
    let machine = Machine::new();
    machine.issue(&deployment, "alice").expect(0);
    let creds = machine.path("alice.creds");
    std::fs::rename(machine.path(Context::FILE), machine.path("kept")).unwrap();
    let plain = deployment.url.replace("tls://", "nats://");
    for url in [&deployment.url, &plain] {
        let args = [
            "--json",
            "--creds",
            "alice.creds",
            "--server",
            url,
            "whoami",
        ];
        let refused = machine.run(&args).expect(4);
        let refusal: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
        assert_eq!(refusal["code"], "unauthenticated", "{refused:?}");
        assert_eq!(refusal["field"], "server", "{refused:?}");
        assert!(
            refusal["remedy"].as_str().unwrap().contains("context.json"),
            "{refused:?}"
        );
    }
    // Nor is another certificate of the same name believed, on this machine and elsewhere.
    let other = Shown::new(&["127.0.0.1"]);
    let other = std::fs::read_to_string(other.cert()).unwrap();
    for field in ["caPem", "pinPem"] {
        let context = json!({ "url": plain, (field): other });
        std::fs::write(machine.path(Context::FILE), context.to_string()).unwrap();
        let options = ConnectOptions::from_creds_file(&creds).unwrap();
        let error = Client::connect(options).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Untrusted { .. }),
            "{field}: {error:?}"
        );
    }
    // One that cannot be read is named, and nothing is sent.
    let context = json!({ "url": plain, "caPem": "nothing" });
    std::fs::write(machine.path(Context::FILE), context.to_string()).unwrap();
    let refused = machine
        .run(&["--json", "--creds", "alice.creds", "whoami"])
        .expect(2);
    assert!(refused.stderr.contains("\"field\":\"ca\""), "{refused:?}");
    // With the right one it works, so it was not for anything else.
    std::fs::rename(machine.path("kept"), machine.path(Context::FILE)).unwrap();
    machine.run(&["--creds", "alice.creds", "whoami"]).expect(0);
}

#[tokio::test]
async fn nothing_is_served_in_the_clear_where_there_is_tls() {
    let deployment = start(&Shown::new(&["127.0.0.1"]), &[]);
    let (_, address) = deployment.url.split_once("://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut info = String::new();
    reader.read_line(&mut info).unwrap();
    let info: serde_json::Value =
        serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    assert_eq!(info["tls_required"], true, "{info}");
    assert_ne!(info["tls_available"], true, "{info}");
    // Whoever goes on in the clear is cut off, unanswered.
    stream
        .write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // A reset connection has ended, too.
    let _ = reader.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        !answer.contains("PONG") && !answer.contains("+OK"),
        "{answer}"
    );

    // And a client that wants TLS does not do without where a server has none.
    let plain = Deployment::start();
    let creds = plain.creds("default", "alice", Some("pi")).await;
    let url = plain.url.replace("nats://", "tls://");
    let options = ConnectOptions::new(&url, Credential::parse(&creds).unwrap());
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, ClientError::Untrusted { .. }), "{error:?}");
    assert!(error.to_refusal().remedy.contains("nats://"), "{error:?}");
}

/// Expects that `args` are refused at `field`, and that no DIR is made.
#[track_caller]
fn refused(args: &[&str], field: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("d");
    let ran = cli::run_in(&dir, &[&["--json"], args].concat(), "").expect(2);
    let refusal: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(refusal["code"], "invalid_argument", "{ran:?}");
    assert_eq!(refusal["field"], field, "{ran:?}");
    assert!(!refusal["remedy"].as_str().unwrap().is_empty(), "{ran:?}");
    assert!(!dir.exists(), "a refused start changes nothing");
    refusal["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_that_clients_would_not_take_is_refused_before_anything_starts() {
    let shown = Shown::new(&["postroad.test"]);
    let other = Shown::new(&["postroad.test"]);
    let (cert, key, other) = (text(&shown.cert()), text(&shown.key()), text(&other.key()));
    let garbage = text(&shown.dir.path().join("garbage"));
    std::fs::write(&garbage, [0xff, 0x00, 0x0a, 0xfe].repeat(100)).unwrap();
    let start = |command: &'static str, cert: &str, key: &str, more: &[&str], field: &str| {
        let tls = ["--tls-cert", cert, "--tls-key", key];
        refused(
            &[&[command, "--listen", "127.0.0.1:0"], &tls[..], more].concat(),
            field,
        )
    };
    for command in ["up", "init"] {
        start(command, &cert, &other, &[], "tls-key");
        start(command, &cert, &garbage, &[], "tls-key");
        start(command, &garbage, &key, &[], "tls-cert");
        start(command, "/nowhere/cert.pem", &key, &[], "tls-cert");
        start(command, &cert, &key, &["--tls-ca", &garbage], "tls-ca");
        let told = start(
            command,
            &cert,
            &key,
            &["--advertise", "other.test"],
            "advertise",
        );
        assert!(told.contains("other.test"), "{told}");
    }
    let mut expired = params(&["postroad.test"]);
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    shown.renew(&expired);
    let told = start("up", &cert, &key, &[], "tls-cert");
    assert!(told.contains("expired"), "{told}");
    // Half of what TLS needs, or both ways at once, is no way.
    refused(&["up", "--tls-cert", &cert], "arguments");
    refused(&["up", "--tls-key", &key], "arguments");
    refused(&["up", "--tls-ca", &cert], "arguments");
    refused(&["up", "--advertise", "tls://a:1"], "arguments");
    refused(
        &["up", "--insecure", "--tls-cert", &cert, "--tls-key", &key],
        "arguments",
    );
}

#[test]
fn a_door_to_the_network_without_tls_is_opened_only_by_who_means_it() {
    for command in ["up", "init"] {
        for listen in ["0.0.0.0:4222", "[::]:4222", "192.0.2.7:4222"] {
            let told = refused(&[command, "--listen", listen], "listen");
            assert!(told.contains("no TLS"), "{told}");
        }
    }
    // `init` opens no door itself, so what it writes can be looked at.
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("d");
    let init = [
        "init",
        "--listen",
        "0.0.0.0:4222",
        "--advertise",
        "road.test",
        "--insecure",
    ];
    let ran = cli::run_in(&dir, &init, "").expect(0);
    assert!(
        ran.stderr.contains("warning:") && ran.stderr.contains("TLS"),
        "{ran:?}"
    );
    let context = Context::in_dir(&dir).unwrap().unwrap();
    assert_eq!(context.elsewhere.unwrap().url, "nats://road.test:4222");
}

#[tokio::test]
async fn separate_parts_trust_what_they_are_told_to_and_no_other_server() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deployment");
    let shown = Shown::new(&["127.0.0.1"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let tls = shown.args();
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let init = [&["--json", "init", "--listen", &listen], tls.as_slice()].concat();
    let made = cli::run_in(&dir, &init, "").expect(0).json();
    assert_eq!(made["url"], format!("tls://{listen}"));
    let mut nats = Command::new(nats_server());
    nats.arg("-c").arg(dir.join("nats/nats-server.conf"));
    let _nats = Process::start_unheard(nats);
    eventually("nats-server listens", async || {
        TcpStream::connect(&listen).is_ok()
    })
    .await;

    let (cert, other) = (text(&shown.cert()), Shown::new(&["127.0.0.1"]));
    let garbage = text(&other.key());
    for part in ["broker", "projector"] {
        let stranger = ["--json", part, "--tls-ca", &text(&other.cert())];
        let ran = cli::run_in(&dir, &stranger, "").expect(4);
        assert!(ran.stderr.contains("--tls-ca"), "{ran:?}");
        let ran = cli::run_in(&dir, &["--json", part, "--tls-ca", &garbage], "").expect(2);
        assert!(ran.stderr.contains("\"field\":\"tls-ca\""), "{ran:?}");
    }
    // One is told by an option, the other finds it in DIR.
    let part = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("--dir").arg(&dir).args(args);
        Process::start_until_line(command)
    };
    let url = format!("tls://{listen}");
    let (broker, _) = part(&[
        "--server", &url, "broker", "--shards", "1", "--tls-ca", &cert,
    ]);
    let (projector, _) = part(&["projector"]);
    cli::run_in(&dir, &["tenant", "create", "acme"], "").expect(0);
    cli::run_in(&dir, &["status"], "").expect(0);
    assert_eq!((broker.terminate(), projector.terminate()), (0, 0));
}
