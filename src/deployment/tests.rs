//! The deployment against a real nats-server: what a credential may do, and what survives.

use super::accounts::Carried;
use super::embedded::{Deployment, DeploymentError, NatsOptions};
use super::grant::{Grant, Tag, TagKey};
use super::jwt::{self, Revocations};
use super::keys::CredentialKind;
use super::layout::Layout;
use super::lock::LockError;
use super::nats_binary::NatsBinary;
use super::nats_config::Durability;
use super::nats_server::{CONFIG_OPTION, NatsServer, ServerError, ServerPlan, ServerState};
use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nkeys::KeyPair;
use postroad_protocol::subject::{Service, service_inbox_prefix};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const ROOT: &str = "postroad";

/// A free port, and no fsync: these tests are about who may do what, not about the disk.
fn options() -> NatsOptions {
    NatsOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        durability: Durability::Fast,
        binary: None,
        certificate: None,
    }
}

/// Writes a shell script that can be run at once.
///
/// Another process writes it: one of ours that is being started by another test at that moment would
/// share the open file, and the system refuses to run what somebody writes ("text file busy").
pub(super) fn write_program(path: &Path, script: &str) {
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
    let written = std::process::Command::new("sh")
        .arg("-c")
        .arg(write)
        .arg(path)
        .arg(script)
        .status();
    assert!(written.unwrap().success());
}

async fn started(dir: &Path) -> (Deployment, NatsServer) {
    let deployment = Deployment::open(dir, ROOT, None).await.unwrap();
    // Shown, since its text tells how to get a nats-server where there is none.
    let started = deployment.start_nats(&options()).await;
    let (server, _) = started.unwrap_or_else(|error| panic!("{error}"));
    (deployment, server)
}

fn credential(
    deployment: &Deployment,
    kind: CredentialKind,
    tags: &[(TagKey, &str)],
) -> (KeyPair, String) {
    let user = KeyPair::new_user();
    let tags: Vec<Tag> = tags
        .iter()
        .map(|(key, value)| Tag::new(*key, value).unwrap())
        .collect();
    let public = user.public_key();
    let grant = Grant {
        kind,
        name: "test",
        user: &public,
        tags: &tags,
        expires_at_s: None,
    };
    let token = jwt::user_jwt(deployment.keys(), deployment.templates(), &grant).unwrap();
    let creds = jwt::creds_file(&token, &user).to_string();
    (user, creds)
}

fn agent_tags(tenant: &'static str) -> [(TagKey, &'static str); 5] {
    [
        (TagKey::Tenant, tenant),
        (TagKey::Role, "team-lead_2"),
        (TagKey::Instance, "mac-book_1"),
        (TagKey::Scope, "self"),
        (TagKey::Scope, "messages"),
    ]
}

/// A connection, and what NATS complains about on it.
async fn connect(server: &NatsServer, creds: &str) -> (Client, mpsc::UnboundedReceiver<String>) {
    connect_with(server, ConnectOptions::with_credentials(creds).unwrap()).await
}

async fn connect_broker(server: &NatsServer, deployment: &Deployment) -> Client {
    let (_, creds) = credential(deployment, CredentialKind::Broker, &[]);
    let inbox = service_inbox_prefix(Service::Broker);
    let options = ConnectOptions::with_credentials(&creds)
        .unwrap()
        .custom_inbox_prefix(inbox);
    connect_with(server, options).await.0
}

async fn connect_with(
    server: &NatsServer,
    options: ConnectOptions,
) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (complain, complaints) = mpsc::unbounded_channel();
    let client = options
        .event_callback(move |event| {
            let complain = complain.clone();
            async move {
                if !matches!(event, Event::Connected) {
                    let _ = complain.send(event.to_string().to_lowercase());
                }
            }
        })
        .connect(server.url())
        .await
        .unwrap();
    (client, complaints)
}

async fn refused(server: &NatsServer, creds: &str) -> bool {
    ConnectOptions::with_credentials(creds)
        .unwrap()
        .connect(server.url())
        .await
        .is_err()
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(PATIENCE, receiver.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_agent_reaches_its_own_subjects_and_no_others() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let broker = connect_broker(&server, &deployment).await;
    let mut commands = broker.subscribe("postroad.*.cmd.>").await.unwrap();
    broker.flush().await.unwrap();

    let (_, creds) = credential(&deployment, CredentialKind::Agent, &agent_tags("acme"));
    let (agent, mut complaints) = connect(&server, &creds).await;
    for verb in ["messages.send_message", "self.whoami"] {
        let own = format!("postroad.acme.cmd.team-lead_2.mac-book_1.{verb}");
        agent.publish(own.clone(), "hello".into()).await.unwrap();
        let arrived = timeout(PATIENCE, commands.next()).await.unwrap().unwrap();
        assert_eq!(arrived.subject.as_str(), own);
    }
    for foreign in [
        "postroad.beta.cmd.team-lead_2.mac-book_1.messages.send_message",
        "postroad.acme.cmd.somebody.mac-book_1.messages.send_message",
        "postroad.acme.cmd.team-lead_2.elsewhere.messages.send_message",
        "postroad.acme.cmd.team-lead_2.mac-book_1.tasks.create_task",
        "postroad.acme.evt.0.thread.x",
        "postroad.acme.push.broadcast",
        "_INBOX.acme.team-lead_2.mac-book_1.x",
        "$JS.API.INFO",
        "$SYS.REQ.CLAIMS.UPDATE",
    ] {
        agent.publish(foreign, "x".into()).await.unwrap();
        let complaint = next(&mut complaints).await;
        assert!(
            complaint.contains("publish") && complaint.contains(&foreign.to_lowercase()),
            "{complaint}"
        );
    }
    for foreign in [
        ">",
        "_INBOX.>",
        "_INBOX.beta.>",
        "postroad.beta.push.broadcast",
        "postroad.acme.push.*",
        "postroad.acme.evt.>",
    ] {
        let _refused = agent.subscribe(foreign).await.unwrap();
        let complaint = next(&mut complaints).await;
        assert!(
            complaint.contains("subscription") && complaint.contains(&foreign.to_lowercase()),
            "{complaint}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_credential_cannot_bring_its_own_permissions() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let user = KeyPair::new_user();
    let mut claims = nats_jwt_rs::user::User::new_claims("wide".to_owned(), user.public_key());
    claims.nats.issuer_account = Some(deployment.keys().account().public_key());
    claims
        .nats
        .permissions
        .permissions
        .publish
        .allow
        .push(">".to_owned());
    let token = claims
        .encode(deployment.keys().signing(CredentialKind::Agent))
        .unwrap();
    assert!(refused(&server, &jwt::creds_file(&token, &user)).await);
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_credential_is_cut_off_and_stays_out_over_restarts() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let (user, creds) = credential(&deployment, CredentialKind::Agent, &agent_tags("acme"));
    let (_agent, mut complaints) = connect(&server, &creds).await;

    let keys = deployment.keys();
    let system = jwt::creds_file(&jwt::system_user_jwt(keys).unwrap(), keys.system_user());
    let (system, _) = connect(&server, &system).await;
    let revocations = Revocations::from([(user.public_key(), u64::from(u32::MAX))]);
    let account = jwt::account_jwt(keys, deployment.templates(), &revocations).unwrap();
    system
        .request("$SYS.REQ.CLAIMS.UPDATE", account.clone().into())
        .await
        .unwrap();
    assert!(next(&mut complaints).await.contains("revoked"));
    let lookup = format!(
        "$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP",
        keys.account().public_key()
    );
    let stored = system.request(lookup, "".into()).await.unwrap();
    assert!(jwt::same_account(
        std::str::from_utf8(&stored.payload).unwrap(),
        &account
    ));
    server.stop().await;
    drop(deployment);

    let deployment = Deployment::open(temp.path(), ROOT, None).await.unwrap();
    assert!(!deployment.is_new());
    let (server, carried) = deployment.start_nats(&options()).await.unwrap();
    assert_eq!(carried, Carried::Revocations);
    assert!(refused(&server, &creds).await);
    let (_, other) = credential(&deployment, CredentialKind::Agent, &agent_tags("acme"));
    assert!(!refused(&server, &other).await);
    server.stop().await;
}

#[tokio::test]
async fn a_damaged_account_locks_agents_out_but_not_the_deployments_own_parts() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let mut claims =
        nats_jwt_rs::user::User::new_claims("agent".to_owned(), KeyPair::new_user().public_key());
    claims.iat = 1;
    let (_, agent) = credential(&deployment, CredentialKind::Agent, &agent_tags("acme"));
    let issued = SystemTime::now();
    server.stop().await;
    let account = deployment.keys().account().public_key();
    std::fs::write(
        deployment
            .layout()
            .resolver_dir()
            .join(format!("{account}.jwt")),
        "garbage",
    )
    .unwrap();

    // What was issued up to the second before this start counts as revoked, so that second has to pass.
    while issued.elapsed().unwrap() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (server, carried) = deployment.start_nats(&options()).await.unwrap();
    assert_eq!(carried, Carried::EverybodyLockedOut);
    assert!(refused(&server, &agent).await);
    let (_, broker) = credential(&deployment, CredentialKind::Broker, &[]);
    assert!(!refused(&server, &broker).await);
    server.stop().await;
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let url = server.url();
    let mut state = server.state();
    let ServerState::Running { pid } = *state.borrow_and_update() else {
        panic!("it has just started")
    };
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let again = timeout(
        PATIENCE,
        state.wait_for(|state| matches!(state, ServerState::Running { pid: now } if *now != pid)),
    );
    drop(again.await.unwrap().unwrap());
    assert_eq!(server.url(), url);
    let (_, broker) = credential(&deployment, CredentialKind::Broker, &[]);
    assert!(!refused(&server, &broker).await);
    server.stop().await;
    assert!(matches!(*state.borrow(), ServerState::Stopped));
}

#[tokio::test]
async fn what_a_killed_up_left_running_is_stopped_by_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let (deployment, server) = started(temp.path()).await;
    let port = server.url().rsplit(':').next().unwrap().parse().unwrap();
    server.stop().await;
    let config = deployment.layout().nats_config();
    drop(deployment);
    // As `kill -9` of Postroad leaves it: the same command line, and nobody who waits for it.
    let binary = NatsBinary::find(None).await.unwrap();
    let mut orphan = std::process::Command::new(binary.path)
        .arg(CONFIG_OPTION)
        .arg(config)
        .spawn()
        .unwrap();
    let reaped = tokio::task::spawn_blocking(move || orphan.wait().unwrap());

    let deployment = Deployment::open(temp.path(), ROOT, None).await.unwrap();
    timeout(PATIENCE, reaped).await.unwrap().unwrap();
    let same_port = NatsOptions {
        listen: ([127, 0, 0, 1], port).into(),
        ..options()
    };
    let (server, _) = deployment.start_nats(&same_port).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_second_up_is_refused_and_names_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let _first = Deployment::open(temp.path(), ROOT, None).await.unwrap();
    let refused = Deployment::open(temp.path(), ROOT, None).await.unwrap_err();
    assert!(
        matches!(refused, DeploymentError::Lock(LockError::Held { holder: Some(pid), .. }) if pid == std::process::id())
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let deployment = Deployment::open(temp.path(), ROOT, None).await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let refused = deployment
        .start_nats(&NatsOptions {
            listen,
            ..options()
        })
        .await
        .unwrap_err();
    assert!(matches!(
        refused,
        DeploymentError::Server(ServerError::PortInUse { .. })
    ));
    assert!(refused.to_string().contains(&listen.port().to_string()));
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let temp = tempfile::tempdir().unwrap();
    let layout = Layout::create(temp.path()).unwrap();
    std::fs::write(
        layout.nats_config(),
        "listen: \"127.0.0.1:1\"\nno_such_option: 7\n",
    )
    .unwrap();
    let plan = ServerPlan {
        binary: NatsBinary::find(None).await.unwrap(),
        layout,
        listen: "127.0.0.1:0".parse().unwrap(),
        server_name: "nobody".to_owned(),
        trust: postroad_client::Trust::System,
        staging: None,
    };
    let refused = NatsServer::start(plan).await.unwrap_err();
    assert!(
        matches!(&refused, ServerError::Exited { words, .. } if words.iter().any(|line| line.contains("no_such_option"))),
        "{refused}"
    );
}

#[tokio::test]
async fn the_log_is_still_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    // A name that the server's configuration has to carry unchanged.
    let (deployment, server) = started(&temp.path().join(r#"it's "odd" \n $HOME #{1}"#)).await;
    let broker = connect_broker(&server, &deployment).await;
    let log = async_nats::jetstream::new(broker);
    let stream = async_nats::jetstream::stream::Config {
        name: "POSTROAD_0".to_owned(),
        subjects: vec!["postroad.*.evt.0.>".to_owned()],
        ..Default::default()
    };
    log.create_stream(stream).await.unwrap();
    let stored = log
        .publish("postroad.acme.evt.0.thread.tau", "event".into())
        .await
        .unwrap()
        .await
        .unwrap();
    server.stop().await;

    let power_safe = NatsOptions {
        durability: Durability::PowerSafe,
        ..options()
    };
    let (server, _) = deployment.start_nats(&power_safe).await.unwrap();
    let broker = connect_broker(&server, &deployment).await;
    let stream = async_nats::jetstream::new(broker)
        .get_stream("POSTROAD_0")
        .await
        .unwrap();
    assert_eq!(stream.cached_info().state.last_sequence, stored.sequence);
    server.stop().await;
}
