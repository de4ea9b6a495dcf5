//! The account's own JWT: the permissions of every kind of credential, and who is revoked. Pushed
//! to a running nats-server where the server's differs, as after an upgrade: a stale one would leave
//! credentials with yesterday's permissions.

use crate::deployment::grant::Templates;
use crate::deployment::jwt::{self, JwtError};
use crate::deployment::keys::DeploymentKeys;
use crate::link::servers;
use async_nats::ConnectOptions;
use postroad_client::{Trust, tls_refusal};
use postroad_protocol::Refusal;
use serde::Deserialize;
use std::time::Duration;

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

/// Compares the account that the server at `url` knows with today's permissions, and replaces it
/// where they differ. Whoever the server's revokes stays revoked. Says whether it was replaced.
pub(crate) async fn bring_up_to_date(
    url: &str,
    trust: &Trust,
    keys: &DeploymentKeys,
    templates: &Templates,
) -> Result<bool, AccountError> {
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
    let account = keys.account().public_key();
    let found = client
        .request(
            format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"),
            "".into(),
        )
        .await
        .map_err(|error| AccountError::Resolver(error.into()))?;
    let found = String::from_utf8_lossy(&found.payload).into_owned();
    let wanted = jwt::account_jwt(keys, templates, &jwt::revocations_of(keys, &found)?)?;
    if jwt::same_account(&found, &wanted) {
        return Ok(false);
    }
    let answer = client
        .request("$SYS.REQ.CLAIMS.UPDATE", wanted.into())
        .await
        .map_err(|error| AccountError::Resolver(error.into()))?;
    match serde_json::from_slice::<Updated>(&answer.payload) {
        Ok(Updated { error: None }) => Ok(true),
        Ok(Updated { error: Some(error) }) => Err(AccountError::Refused(error.description)),
        Err(error) => Err(AccountError::Refused(error.to_string())),
    }
}
