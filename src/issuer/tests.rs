//! The issuer against a real nats-server: whom it refuses, and that nobody comes back.

mod tokens;

use super::account::Account;
use crate::deployment::embedded::{Deployment, NatsOptions};
use crate::deployment::jwt::{self, Revocations};
use crate::deployment::nats_config::Durability;
use crate::deployment::nats_server::NatsServer;
use crate::link::{operator_creds, part_creds};
use crate::parts::{Shared, Writing, start_broker, start_issuer};
use crate::up::LOCAL_OPERATOR;
use postroad_broker::Broker;
use postroad_client::{
    Client, ClientError, ConnectOptions, Credential, NewAgent, Revoke, Trust, UserKey,
};
use postroad_protocol::seal::MasterKey;
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::{TenantId, TimeMs};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A deployment that can issue and revoke; nobody asks it anything, so it has no projector.
struct Stage {
    deployment: Deployment,
    shared: Shared,
    nats: NatsServer,
    _broker: Broker,
    operator: Client,
    tenant: TenantId,
}

impl Stage {
    async fn set(dir: &Path) -> Self {
        let deployment = Deployment::open(dir, "postroad", None).await.unwrap();
        let options = NatsOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            durability: Durability::Fast,
            binary: None,
            certificate: None,
        };
        let started = deployment.start_nats(&options).await;
        let (nats, _) = started.unwrap_or_else(|error| panic!("{error}"));
        let (keys, templates) = (deployment.keys(), deployment.templates());
        let master = MasterKey::from_bytes(*keys.master().unwrap().expose());
        let shared = Shared::new(nats.url(), Trust::System, Subjects::default(), master);
        let writing = Writing {
            durability: Durability::Fast,
            shards: 2,
            replicas: Some(1),
        };
        let creds = part_creds(keys, templates, Service::Broker).unwrap();
        let broker = start_broker(&shared, &creds, writing).await.unwrap();
        start_issuer(&shared, keys, templates).await.unwrap();
        let creds = operator_creds(keys, templates, LOCAL_OPERATOR).unwrap();
        let operator = connect(&nats.url(), &creds).await.unwrap();
        let tenant = TenantId::parse("acme").unwrap();
        // It is there already when the deployment starts again.
        let _created = operator
            .operator()
            .unwrap()
            .create_tenant(&tenant, None)
            .await;
        Self {
            deployment,
            shared,
            nats,
            _broker: broker,
            operator,
            tenant,
        }
    }

    async fn issue(&self, role: &str, ttl: Duration) -> (String, String) {
        let key = UserKey::generate();
        let agent = NewAgent::new(role.parse().unwrap()).instance("pi".parse().unwrap());
        let roster = self.operator.roster(Some(&self.tenant)).unwrap();
        let issued = roster
            .issue(&agent.ttl(ttl), &key.public_key())
            .await
            .unwrap();
        (key.public_key(), key.creds(&issued.jwt).to_string())
    }

    async fn revoke(&self, key: &str) {
        let roster = self.operator.roster(Some(&self.tenant)).unwrap();
        roster.revoke(&Revoke::Key(key.to_owned())).await.unwrap();
    }

    async fn account(&self) -> Account {
        let (keys, templates) = (self.deployment.keys(), self.deployment.templates());
        Account::connect(&self.nats.url(), &Trust::System, keys, templates)
            .await
            .unwrap()
    }

    async fn is_refused(&self, creds: &str) -> bool {
        matches!(
            connect(&self.nats.url(), creds).await,
            Err(ClientError::Unauthorized { .. })
        )
    }

    fn revocations(&self, account_jwt: &str) -> Revocations {
        jwt::revocations_of(self.deployment.keys(), account_jwt).unwrap()
    }
}

async fn connect(url: &str, creds: &str) -> Result<Client, ClientError> {
    let credential = Credential::parse(creds)?;
    Client::connect(ConnectOptions::new(url, credential)).await
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn an_older_account_that_is_pushed_again_brings_nobody_back() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let (key, creds) = stage.issue("tau", DAY).await;
    let (_, other) = stage.issue("phi", DAY).await;
    let account = stage.account().await;
    let older = account.stored().await.unwrap();
    assert!(!stage.is_refused(&creds).await);
    stage.revoke(&key).await;
    // Refused from the answer on, and nobody else is.
    assert!(stage.is_refused(&creds).await);
    assert!(!stage.is_refused(&other).await);
    assert!(
        stage
            .revocations(&account.stored().await.unwrap())
            .contains_key(&key)
    );

    account.push(&older).await.unwrap();
    eventually("the revocation is in force again", async || {
        let stored = account.stored().await.unwrap();
        stage.revocations(&stored).contains_key(&key) && stage.is_refused(&creds).await
    })
    .await;
    assert!(!stage.is_refused(&other).await);

    // A server that finds an older account when it starts learns better before anybody is served.
    drop(account);
    let file = stage.deployment.layout().resolver_dir();
    let file = file.join(format!(
        "{}.jwt",
        stage.deployment.keys().account().public_key()
    ));
    let Stage {
        deployment,
        nats,
        _broker: broker,
        ..
    } = stage;
    broker.drain().await;
    nats.stop().await;
    std::fs::write(&file, &older).unwrap();
    drop(deployment);
    let stage = Stage::set(dir.path()).await;
    assert!(stage.is_refused(&creds).await);
    assert!(!stage.is_refused(&other).await);
    stage.nats.stop().await;
}

#[tokio::test]
async fn a_revocation_is_forgotten_when_its_credential_has_expired_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let life = Duration::from_secs(2);
    let (short, creds) = stage.issue("tau", life).await;
    let ends = TimeMs(TimeMs::now().0 + 2_000);
    let (long, other) = stage.issue("phi", DAY).await;
    stage.revoke(&short).await;
    stage.revoke(&long).await;
    let account = stage.account().await;
    let keys = async || stage.revocations(&account.stored().await.unwrap());
    let refused = keys().await;
    assert!(refused.contains_key(&long));
    assert!(refused.contains_key(&short) || TimeMs::now() >= ends);
    eventually("the expired one is forgotten", async || {
        !keys().await.contains_key(&short)
    })
    .await;
    assert!(
        TimeMs::now() >= ends,
        "it was forgotten before it had expired"
    );
    assert!(keys().await.contains_key(&long));
    // Neither comes back: one has expired, the other is still revoked.
    assert!(connect(&stage.nats.url(), &creds).await.is_err());
    assert!(stage.is_refused(&other).await);
    stage.nats.stop().await;
}

#[tokio::test]
async fn whoever_another_issuer_revoked_stays_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path()).await;
    let (_, creds) = stage.issue("tau", DAY).await;
    let elsewhere = Credential::parse(&creds).unwrap().public_key().unwrap();
    let account = stage.account().await;
    // As an issuer that has read further in the log would have it.
    let revoked = Revocations::from([(elsewhere.clone(), TimeMs::now().0 / 1_000 + 1_000)]);
    account.enforce(revoked).await.unwrap();
    assert!(stage.is_refused(&creds).await);
    let (key, _) = stage.issue("phi", DAY).await;
    stage.revoke(&key).await;
    let stored = stage.revocations(&account.stored().await.unwrap());
    assert!(stored.contains_key(&elsewhere) && stored.contains_key(&key));
    stage.nats.stop().await;
}
