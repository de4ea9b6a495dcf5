//! The account's own JWT: the permissions of every kind of credential, and who is revoked. Pushed
//! to a running nats-server where the server's differs, as after a revocation, after an upgrade, or when
//! somebody pushed another: a stale one would leave credentials with yesterday's permissions, and bring
//! revoked ones back.

use crate::deployment::grant::Templates;
use crate::deployment::jwt::{self, JwtError, Revocations};
use crate::deployment::keys::DeploymentKeys;
use crate::issuer::ledger;
use crate::link::servers;
use async_nats::{Client, ConnectOptions};
use futures_util::Stream;
use postroad_client::{Trust, tls_refusal};
use postroad_protocol::Refusal;
use postroad_protocol::id::TimeMs;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the server's resolver may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Why the server's account could not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AccountError {
    /// A JWT could not be made or read.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// The issuer's own credential is malformed: a bug of ours.
    #[error("the issuer's own credential is malformed")]
    Credential(#[source] std::io::Error),
    /// The server does not take the system user: it serves another deployment.
    #[error(
        "the issuer cannot connect to the system account: the server at {url} serves another deployment, or none"
    )]
    Connect {
        /// Where.
        url: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The server's certificate is not the one that is trusted, or the certificates to trust cannot be read.
    #[error("the issuer does not trust the server")]
    Untrusted(#[source] Refusal),
    /// The resolver did not answer.
    #[error("the server's resolver did not answer")]
    Resolver(#[source] async_nats::Error),
    /// The resolver did not take the update.
    #[error("the server refused the account's new JWT: {0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Updated {
    error: Option<UpdateError>,
}

#[derive(Deserialize)]
struct UpdateError {
    description: String,
}

/// The way to the server's account, in the system account.
pub(crate) struct Account {
    client: Client,
    keys: Arc<DeploymentKeys>,
    templates: Arc<Templates>,
    /// Two that compare and replace at once would undo each other's work.
    turn: Mutex<()>,
}

impl Account {
    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(crate) async fn connect(
        url: &str,
        trust: &Trust,
        keys: &Arc<DeploymentKeys>,
        templates: &Arc<Templates>,
    ) -> Result<Self, AccountError> {
        let creds = jwt::creds_file(&jwt::system_user_jwt(keys)?, keys.system_user());
        let options = ConnectOptions::with_credentials(&creds)
            .map_err(AccountError::Credential)?
            .name("postroad-issuer-account")
            .request_timeout(Some(ANSWER_WAIT));
        let connected = trust
            .apply(options, url)
            .map_err(AccountError::Untrusted)?
            .connect(servers(url))
            .await;
        let client = connected.map_err(|source| {
            tls_refusal(&source, url).map_or_else(
                || AccountError::Connect {
                    url: url.to_owned(),
                    source,
                },
                AccountError::Untrusted,
            )
        })?;
        Ok(Self {
            client,
            keys: Arc::clone(keys),
            templates: Arc::clone(templates),
            turn: Mutex::default(),
        })
    }

    /// Compares the account that the server knows with today's permissions and with whom the log
    /// revokes, and replaces it where they differ. Whoever the server's revokes stays revoked until
    /// its credential has expired: another issuer may have read on. Says whether it was replaced.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(crate) async fn enforce(&self, revoked: Revocations) -> Result<bool, AccountError> {
        let _turn = self.turn.lock().await;
        let found = self.stored().await?;
        let now_s = TimeMs::now().0 / 1_000;
        let known = jwt::revocations_of(&self.keys, &found)?;
        let mut wanted = ledger::unexpired(known, jwt::EVERYBODY, now_s);
        for (key, until) in revoked {
            let entry = wanted.entry(key).or_default();
            *entry = until.max(*entry);
        }
        let wanted = jwt::account_jwt(&self.keys, &self.templates, &wanted)?;
        if jwt::same_account(&found, &wanted) {
            return Ok(false);
        }
        self.push(&wanted).await?;
        Ok(true)
    }

    /// Puts an account JWT in the place of the server's.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(super) async fn push(&self, account_jwt: &str) -> Result<(), AccountError> {
        let pushed = account_jwt.to_owned().into();
        let answer = self.client.request("$SYS.REQ.CLAIMS.UPDATE", pushed).await;
        let answer = answer.map_err(|error| AccountError::Resolver(error.into()))?;
        match serde_json::from_slice::<Updated>(&answer.payload) {
            Ok(Updated { error: None }) => Ok(()),
            Ok(Updated { error: Some(error) }) => Err(AccountError::Refused(error.description)),
            Err(error) => Err(AccountError::Refused(error.to_string())),
        }
    }

    /// The account JWT that the server knows.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(super) async fn stored(&self) -> Result<String, AccountError> {
        let account = self.keys.account().public_key();
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        let found = self.client.request(subject, "".into()).await;
        let found = found.map_err(|error| AccountError::Resolver(error.into()))?;
        Ok(String::from_utf8_lossy(&found.payload).into_owned())
    }

    /// Hears whatever account JWT anybody pushes to the server.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(crate) async fn pushes(
        &self,
    ) -> Result<impl Stream<Item = async_nats::Message> + use<>, AccountError> {
        let mut heard = Vec::new();
        for subject in jwt::ACCOUNT_PUSHES {
            let heard_there = self.client.subscribe(subject).await;
            heard.push(heard_there.map_err(|error| AccountError::Resolver(error.into()))?);
        }
        Ok(futures_util::stream::select_all(heard))
    }

    /// How often the connection was made.
    pub(crate) fn connects(&self) -> u64 {
        let statistics = self.client.statistics();
        statistics.connects.load(Ordering::Relaxed)
    }
}
