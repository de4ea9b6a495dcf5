//! Connecting: where, as whom, and what a client of that identity may ask.
//!
//! Owns the settings of a connection and the identity behind it. Never asks anything.

use crate::client::{Client, Inner};
use crate::context::{Context, NatsContext};
use crate::credential::{Credential, CredentialError, Holder};
use crate::error::ClientError;
use crate::exchange::Exchange;
use crate::link::Link;
use crate::reconnect;
use crate::seen::Seen;
use crate::trust::{Trust, tls_refusal};
use crate::wallet::Wallet;
use async_nats::{ConnectError, ConnectErrorKind, ServerAddr};
use postroad_protocol::subject::{ALL_TENANTS, OPERATOR_ROLE, inbox_prefix};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{ErrorCode, InstanceId, Reader, Refusal, Subjects, TenantId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a call goes on by default, retries included.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than anybody waits; the clock could not count what is much longer.
pub(crate) const WAIT_LONGEST: Duration = Duration::from_hours(24 * 365);
/// Longest time for one attempt to connect to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that one NATS subscription buffers. Fewer than the library's own default: a reply that
/// is dropped is asked for again, and a hint that is dropped costs only time.
const SUBSCRIPTION_BUFFER: usize = 8_192;

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    servers: Vec<String>,
    credential: Credential,
    instance: Option<InstanceId>,
    subjects: Subjects,
    timeout: Duration,
    fresh: bool,
    woken: bool,
    name: String,
    trust: Trust,
    keeps_itself: bool,
}

impl ConnectOptions {
    /// Connects to `servers` (one URL, or several separated by commas) with this credential.
    pub fn new(servers: &str, credential: Credential) -> Self {
        Self {
            servers: servers
                .split(',')
                .map(str::trim)
                .filter(|server| !server.is_empty())
                .map(str::to_owned)
                .collect(),
            credential,
            instance: None,
            subjects: Subjects::default(),
            timeout: DEFAULT_TIMEOUT,
            fresh: false,
            woken: false,
            name: "postroad-client".to_owned(),
            trust: Trust::System,
            keeps_itself: true,
        }
    }

    /// Connects with a `.creds` file to the server that the `context.json` beside it names.
    ///
    /// # Errors
    /// [`ClientError`] when either file is missing or cannot be used.
    pub fn from_creds_file(creds: impl AsRef<Path>) -> Result<Self, ClientError> {
        let creds = creds.as_ref();
        let credential = Credential::from_file(creds)?;
        let context = Context::beside(creds)?.ok_or_else(|| {
            Refusal::new(
                ErrorCode::InvalidArgument,
                format!("no {} lies beside {}", Context::FILE, creds.display()),
                "name the server, or put the context.json beside it that `postroad agent issue` writes",
            )
            .at("server")
        })?;
        let mut options = Self::new(&context.url, credential);
        options.trust = context.trust();
        Ok(options)
    }

    /// Connects as a context of the `nats` CLI says: its server, credential and certificates.
    ///
    /// # Errors
    /// [`ClientError`] when the context names no server or no credential, or that cannot be used.
    pub fn from_nats_context(context: &NatsContext) -> Result<Self, ClientError> {
        let lacks = |what: &str, field: &str| {
            Refusal::invalid(
                field,
                format!("the NATS context `{}` names no {what}", context.name),
                "add it with `nats context edit`, or name it here",
            )
        };
        let creds = context
            .creds
            .as_ref()
            .ok_or_else(|| lacks("credential", "creds"))?;
        let url = context
            .url
            .as_ref()
            .ok_or_else(|| lacks("server", "server"))?;
        let mut options = Self::new(url, Credential::from_file(creds)?);
        options.trust = context.ca.clone().map_or(Trust::System, Trust::File);
        Ok(options)
    }

    /// The instance that this process is. Needed where the credential names none; it should be the
    /// same whenever the same agent comes back, because its receipts are kept under it.
    #[must_use]
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// The subjects of a deployment that was given a root of its own.
    #[must_use]
    pub fn subjects(mut self, subjects: Subjects) -> Self {
        self.subjects = subjects;
        self
    }

    /// How long a call goes on before it fails, retries included; 10 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(WAIT_LONGEST);
        self
    }

    /// Lets every query include all that the log holds when it arrives. For processes that have
    /// no memory of what they did before; others get the same from the positions they have seen.
    #[must_use]
    pub fn always_fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Says that this process was started because mail waits ([`Client::keep_watch`]). The first time that it
    /// checks or marks its mail, that is told, so that others see the wake confirmed.
    #[must_use]
    pub fn woken(mut self) -> Self {
        self.woken = true;
        self
    }

    /// What the nats-server's list of connections shows.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// File of the certificates to trust instead of the system's, in PEM.
    #[must_use]
    pub fn root_certificates(self, pem: PathBuf) -> Self {
        self.trust(Trust::File(pem))
    }

    /// Which nats-server to believe; by default one that the system's authorities vouch for.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Leaves it to the caller to have the credential signed anew: [`Client::adopt_credential`]. For whoever
    /// has its credentials from elsewhere than the roster.
    #[must_use]
    pub fn credential_kept_by_caller(mut self) -> Self {
        self.keeps_itself = false;
        self
    }

    fn identity(&self) -> Result<Identity, ClientError> {
        let choose = |bound: &InstanceId| match &self.instance {
            Some(wanted) if wanted != bound => Err(CredentialError::OtherInstance {
                bound: bound.clone(),
                wanted: wanted.clone(),
            }),
            _ => Ok(bound.clone()),
        };
        Ok(match self.credential.holder() {
            Holder::Operator { instance } => Identity::Operator {
                instance: choose(instance)?,
            },
            Holder::Agent {
                tenant,
                role,
                instance,
                scopes,
            } => {
                let instance = match (instance, &self.instance) {
                    (Some(bound), _) => choose(bound)?,
                    (None, Some(named)) => named.clone(),
                    (None, None) => {
                        let role = role.clone();
                        return Err(CredentialError::InstanceNeeded { role }.into());
                    }
                };
                let reader = Reader {
                    role: role.clone(),
                    instance,
                };
                Identity::Agent {
                    tenant: tenant.clone(),
                    reader,
                    scopes: scopes.clone(),
                }
            }
        })
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, ClientError> {
        let bad = |server: &str| {
            Refusal::invalid(
                "server",
                format!("`{}` is no server address", server.escape_debug()),
                "write it as nats://HOST:PORT or tls://HOST:PORT",
            )
        };
        if self.servers.is_empty() {
            return Err(bad("").into());
        }
        let parse = |server: &String| {
            let address: Result<ServerAddr, _> = server.parse();
            let address = address.ok().filter(|address| !address.host().is_empty());
            address.ok_or_else(|| bad(server).into())
        };
        self.servers.iter().map(parse).collect()
    }
}

/// The addresses as messages show them: a URL may hold a password.
fn shown(addresses: &[ServerAddr]) -> String {
    let shown = addresses.iter().map(|address| {
        let (scheme, host, port) = (address.scheme(), address.host(), address.port());
        if host.contains(':') {
            return format!("{scheme}://[{host}]:{port}");
        }
        format!("{scheme}://{host}:{port}")
    });
    shown.collect::<Vec<_>>().join(",")
}

/// As whom a client speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// As an agent.
    Agent {
        /// Of this tenant.
        tenant: TenantId,
        /// Its role and instance.
        reader: Reader,
        /// What it may touch.
        scopes: Vec<Scope>,
    },
    /// As the deployment's operator.
    Operator {
        /// From this machine.
        instance: InstanceId,
    },
}

impl Identity {
    /// The tenant, role and instance tokens of this identity's own subjects.
    pub(crate) fn tokens(&self) -> (&str, &str, &str) {
        match self {
            Self::Agent { tenant, reader, .. } => (
                tenant.as_str(),
                reader.role.as_str(),
                reader.instance.as_str(),
            ),
            Self::Operator { instance } => (ALL_TENANTS, OPERATOR_ROLE, instance.as_str()),
        }
    }
}

impl Client {
    /// Connects. Afterwards the connection restores itself whenever it is lost, until the last clone of the
    /// client is dropped, or the server says that the credential has ended.
    ///
    /// # Errors
    /// [`ClientError::Credential`], [`ClientError::Unreachable`], [`ClientError::Unauthorized`],
    /// [`ClientError::Untrusted`], or [`ClientError::Refused`] for an address that is none or
    /// certificates that cannot be read.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        options.credential.check_alive()?;
        let identity = options.identity()?;
        let addresses = options.addresses()?;
        let servers = shown(&addresses);
        let (tenant, role, instance) = identity.tokens();
        let link = Arc::new(Link::new());
        let mut connects = link.connects();
        let events = link.clone();
        let wallet = Arc::new(Wallet::new(options.credential));
        let signing_in = Arc::clone(&wallet);
        let sign_in = move |nonce: Vec<u8>| std::future::ready(signing_in.sign_in(&nonce));
        let nats = async_nats::ConnectOptions::with_auth_callback(sign_in)
            .name(&options.name)
            .custom_inbox_prefix(inbox_prefix(tenant, role, instance))
            .connection_timeout(options.timeout.min(CONNECT_TIMEOUT))
            .subscription_capacity(SUBSCRIPTION_BUFFER)
            .event_callback(move |event| {
                events.note(&event);
                std::future::ready(())
            });
        let nats = reconnect::govern(nats, &link, &wallet, !options.keeps_itself);
        let nats = options.trust.apply(nats, &servers)?;
        // On the heap: it is large, and rare, and callers hold this future inside theirs.
        let nats = Box::pin(nats.connect(addresses))
            .await
            .map_err(|error| connect_error(error, &servers))?;
        // The first connection is no reconnection: questions asked from now on are not lost by it.
        let _ = tokio::time::timeout(options.timeout, connects.wait_for(|count| *count > 0)).await;
        let exchange = Exchange::open(nats, link, Arc::clone(&wallet), servers).await?;
        let client = Self::from(Inner {
            exchange,
            identity,
            subjects: options.subjects,
            timeout: options.timeout,
            fresh: options.fresh,
            owes_confirmation: AtomicBool::new(options.woken),
            seen: Seen::default(),
            wallet,
        });
        if options.keeps_itself {
            client.keep_credential();
        }
        Ok(client)
    }
}

fn connect_error(error: ConnectError, servers: &str) -> ClientError {
    if let Some(refusal) = tls_refusal(&error, servers) {
        let (refusal, source) = (Box::new(refusal), Some(error));
        return ClientError::Untrusted { refusal, source };
    }
    let servers = servers.to_owned();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let source = Some(error);
            ClientError::Unauthorized { servers, source }
        }
        _ => {
            let source = Some(error);
            ClientError::Unreachable { servers, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user_key::UserKey;
    use base64::Engine as _;

    fn credential(tags: &[&str]) -> Credential {
        let key = UserKey::generate();
        let claims = serde_json::json!({"sub": key.public_key(), "nats": {"tags": tags}});
        let body = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        Credential::parse(&key.creds(&format!("e30.{body}.c2ln"))).unwrap()
    }

    fn instance(name: &str) -> InstanceId {
        InstanceId::parse(name).unwrap()
    }

    #[test]
    fn an_instance_is_the_credentials_or_the_callers() {
        let any = ConnectOptions::new("x", credential(&["tenant:acme", "role:tau"]));
        let error = any.identity().unwrap_err();
        assert!(matches!(
            error,
            ClientError::Credential(CredentialError::InstanceNeeded { .. })
        ));
        let identity = any.instance(instance("pi")).identity().unwrap();
        assert_eq!(identity.tokens(), ("acme", "tau", "pi"));

        let tags = ["tenant:acme", "role:tau", "instance:desk"];
        let bound = ConnectOptions::new("x", credential(&tags));
        assert_eq!(bound.identity().unwrap().tokens(), ("acme", "tau", "desk"));
        let error = bound.instance(instance("pi")).identity().unwrap_err();
        assert!(matches!(
            error,
            ClientError::Credential(CredentialError::OtherInstance { .. })
        ));
    }

    #[test]
    fn an_operator_is_answered_in_an_inbox_of_no_tenant() {
        let options = ConnectOptions::new("x", credential(&["role:_operator", "instance:desk"]));
        let identity = options.identity().unwrap();
        let (tenant, role, instance) = identity.tokens();
        assert_eq!(
            inbox_prefix(tenant, role, instance),
            "_INBOX._all._operator.desk"
        );
    }

    #[test]
    fn an_address_that_is_none_names_the_field() {
        for servers in ["", " , ", "nats://", "nats://a:b:c"] {
            let options = ConnectOptions::new(servers, credential(&["tenant:a", "role:b"]));
            let error = options.addresses().unwrap_err();
            assert_eq!(
                error.to_refusal().field.as_deref(),
                Some("server"),
                "{servers}"
            );
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let options = ConnectOptions::new(
            "nats://me:secret@host, other:4333, nats://[::1]:4444",
            credential(&["tenant:a", "role:b"]),
        );
        let shown = shown(&options.addresses().unwrap());
        assert_eq!(
            shown,
            "nats://host:4222,nats://other:4333,nats://[::1]:4444"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        // Port 9 of the loopback is "discard": nothing listens there.
        let options = ConnectOptions::new(
            "nats://127.0.0.1:9",
            credential(&["tenant:a", "role:b", "instance:c"]),
        );
        let error = Client::connect(options).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Unreachable { .. }),
            "{error:?}"
        );
    }
}
