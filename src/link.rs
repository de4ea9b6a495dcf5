//! How Postroad's own parts connect to NATS: each with its own credential and inbox prefix, for
//! ever, since a part without its connection has nothing to do but to get it back.

use crate::deployment::grant::{Grant, GrantError, Tag, TagKey, Templates};
use crate::deployment::jwt::{self, JwtError};
use crate::deployment::keys::{CredentialKind, DeploymentKeys};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use nkeys::KeyPair;
use postroad_client::{Trust, tls_refusal};
use postroad_gate::{Gate, GateError, GateOptions};
use postroad_protocol::Refusal;
use postroad_protocol::limits::APPLY_MAX_EVENTS;
use postroad_protocol::subject::{Service, service_inbox_prefix};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Oldest nats-server that does what the log needs: atomic batches.
const NATS_AT_LEAST: (u64, u64) = (2, 12);
/// Pause between attempts to reconnect: a restarted server is back within a moment.
const RECONNECT_EVERY: Duration = Duration::from_millis(100);
/// Messages that one subscription of a part buffers, in front of its own bounds. A follower of the log
/// asks for [`APPLY_MAX_EVENTS`] at once; with less room some would be dropped and asked for again.
const SUBSCRIPTION_BUFFER: usize = 2 * APPLY_MAX_EVENTS;
/// How long a part tries to reach a server at its start.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a part waits for an answer of NATS or of another part.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a part cannot connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkError {
    /// Its credential could not be made.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its credential could not be described.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The `.creds` text is malformed.
    #[error("the credential of the {part} is malformed")]
    Malformed {
        /// Whose.
        part: &'static str,
        /// What the client said.
        #[source]
        source: std::io::Error,
    },
    /// The server's certificate is not the one that is trusted, or the certificates to trust cannot be read.
    #[error("the {part} does not trust the server")]
    Untrusted {
        /// Who.
        part: &'static str,
        /// What is wrong, and what to do about it.
        #[source]
        refusal: Refusal,
    },
    /// NATS does not take it.
    #[error("the {part} cannot connect to {url}: {source}")]
    Connect {
        /// Who.
        part: &'static str,
        /// Where.
        url: String,
        /// What the client said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// NATS does not take the connection that requests come in by.
    #[error("the {part} cannot receive from {url}: {source}")]
    Gate {
        /// Who.
        part: &'static str,
        /// Where.
        url: String,
        /// What the gate said.
        #[source]
        source: GateError,
    },
    /// The server ignores what the log is built on.
    #[error(
        "nats-server {found} at {url} is too old: it ignores atomic batches without a word. Install 2.12 or newer"
    )]
    TooOld {
        /// Where.
        url: String,
        /// Its version.
        found: String,
    },
}

/// The `.creds` text of a part, signed here and now.
pub(crate) fn part_creds(
    keys: &DeploymentKeys,
    templates: &Templates,
    service: Service,
) -> Result<Zeroizing<String>, LinkError> {
    let kind = match service {
        Service::Broker => CredentialKind::Broker,
        Service::Projector => CredentialKind::Projector,
        Service::Issuer => CredentialKind::Issuer,
        Service::Gateway => CredentialKind::Gateway,
    };
    sign_creds(keys, templates, kind, service.token(), &[], None)
}

/// The `.creds` text of an operator at `instance`. It does not end: whoever can read it can read
/// the operator keys beside it.
pub(crate) fn operator_creds(
    keys: &DeploymentKeys,
    templates: &Templates,
    instance: &str,
) -> Result<Zeroizing<String>, LinkError> {
    let tags = [
        Tag::new(TagKey::Role, postroad_protocol::subject::OPERATOR_ROLE)?,
        Tag::new(TagKey::Instance, instance)?,
    ];
    sign_creds(
        keys,
        templates,
        CredentialKind::Operator,
        "operator",
        &tags,
        None,
    )
}

/// Signs a credential for a key pair made here.
pub(crate) fn sign_creds(
    keys: &DeploymentKeys,
    templates: &Templates,
    kind: CredentialKind,
    name: &str,
    tags: &[Tag],
    expires_at_s: Option<u64>,
) -> Result<Zeroizing<String>, LinkError> {
    let user = KeyPair::new_user();
    let grant = Grant {
        kind,
        name,
        user: &user.public_key(),
        tags,
        expires_at_s,
    };
    let token = jwt::user_jwt(keys, templates, &grant)?;
    Ok(jwt::creds_file(&token, &user))
}

/// Connects a part, and refuses a server that is too old.
pub(crate) async fn connect_part(
    url: &str,
    trust: &Trust,
    service: Service,
    creds: &str,
) -> Result<Client, LinkError> {
    let part = service.token();
    let options = ConnectOptions::with_credentials(creds)
        .map_err(|source| LinkError::Malformed { part, source })?;
    let options = options
        .name(format!("postroad-{part}"))
        .custom_inbox_prefix(service_inbox_prefix(service))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_BUFFER)
        .reconnect_delay_callback(|_| RECONNECT_EVERY)
        .event_callback(move |event| async move {
            let event = event.to_string();
            tracing::debug!(part, event = without_quotes(&event), "connection");
        });
    let untrusted = |refusal| LinkError::Untrusted { part, refusal };
    let options = trust.apply(options, url).map_err(untrusted)?;
    let client = connect_patiently(options, url).await.map_err(|source| {
        tls_refusal(&source, url).map_or_else(
            || LinkError::Connect {
                part,
                url: url.to_owned(),
                source,
            },
            untrusted,
        )
    })?;
    let found = client.server_info().version;
    if !is_new_enough(&found) {
        return Err(LinkError::TooOld {
            url: url.to_owned(),
            found,
        });
    }
    Ok(client)
}

/// Connects a part's gate, with the same credential and trust, and as patiently.
pub(crate) async fn connect_gate(
    url: &str,
    trust: &Trust,
    service: Service,
    creds: &str,
) -> Result<Gate, LinkError> {
    let part = service.token();
    let config = trust
        .client_config()
        .map_err(|refusal| LinkError::Untrusted { part, refusal })?;
    let failed = |source| LinkError::Gate {
        part,
        url: url.to_owned(),
        source,
    };
    let options = GateOptions::new(url)
        .name(format!("postroad-{part}-gate"))
        .tls(config)
        .creds(creds)
        .map_err(failed)?;
    let deadline = Instant::now() + CONNECT_WAIT;
    loop {
        match Gate::connect(options.clone()).await {
            Ok(gate) => return Ok(gate),
            Err(error) if error.may_pass() && Instant::now() < deadline => {}
            Err(error) => return Err(failed(error)),
        }
        tokio::time::sleep(RECONNECT_EVERY).await;
    }
}

/// What the server says, up to where it quotes a subject: that names a tenant.
fn without_quotes(event: &str) -> &str {
    event.split('"').next().unwrap_or_default().trim_end()
}

/// Connects, and waits a little for a server that is only just starting, or starting again.
async fn connect_patiently(
    options: ConnectOptions,
    url: &str,
) -> Result<Client, async_nats::ConnectError> {
    let deadline = Instant::now() + CONNECT_WAIT;
    loop {
        let error = match options.clone().connect(servers(url)).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let may_come = matches!(
            error.kind(),
            ConnectErrorKind::Io | ConnectErrorKind::TimedOut
        );
        let is_untrusted = tls_refusal(&error, url).is_some();
        if !may_come || is_untrusted || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(RECONNECT_EVERY).await;
    }
}

/// The addresses in a list that commas separate.
pub(crate) fn servers(url: &str) -> Vec<&str> {
    url.split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .collect()
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches('v')
        .split(['.', '-'])
        .map(|part| part.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= NATS_AT_LEAST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_new_enough, without_quotes};

    #[test]
    fn an_event_is_told_without_the_subject_that_it_quotes() {
        let event = "server error: Permissions Violation for Publish to \"postroad.acme.cmd.x\"";
        let told = "server error: Permissions Violation for Publish to";
        assert_eq!(without_quotes(event), told);
        assert_eq!(without_quotes("connected"), "connected");
    }

    #[test]
    fn servers_without_atomic_batches_are_too_old() {
        for (version, good) in [
            ("2.9.10", false),
            ("2.11.9", false),
            ("2.12.0", true),
            ("2.15.1", true),
            ("3.0.0-beta", true),
            ("", false),
            ("new", false),
        ] {
            assert_eq!(is_new_enough(version), good, "{version}");
        }
    }
}
