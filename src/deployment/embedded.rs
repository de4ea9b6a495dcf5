//! A deployment that carries its own nats-server: what `up` opens and starts first.
//!
//! Owns the order: lock, keys, leftover, accounts, configuration, server. Never runs a broker or
//! a projector, never issues a credential.

use super::accounts::{self, AccountsError, Carried};
use super::certificate::ServerCertificate;
use super::disk;
use super::grant::Templates;
use super::jwt::{self, JwtError};
use super::keys::{DeploymentKeys, KeysError};
use super::layout::{Layout, LayoutError, remove_private, write_private};
use super::leftover::{self, LeftoverError};
use super::lock::{DirLock, LockError};
use super::master_key::MasterKey;
use super::nats_binary::{BinaryError, NatsBinary};
use super::nats_config::{Durability, ServerConfig, TlsFiles};
use super::nats_server::{NatsServer, ServerError, ServerPlan};
use super::staging::Staging;
use postroad_client::Trust;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a deployment could not be opened or its server not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeploymentError {
    /// DIR cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Another `up` runs on it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The server of a killed `up` cannot be cleared away.
    #[error(transparent)]
    Leftover(#[from] LeftoverError),
    /// The account JWTs cannot be put in place.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A JWT cannot be made.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// There is no nats-server that would do.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The server does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A task of ours panicked.
    #[error("an internal task failed: this is a bug of Postroad's, please report it")]
    Internal(#[from] tokio::task::JoinError),
}

/// How the server is to run.
#[derive(Clone, Debug)]
pub(crate) struct NatsOptions {
    /// Where clients connect; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
    /// Which binary, where one was named.
    pub(crate) binary: Option<PathBuf>,
    /// What it shows over TLS; without, it serves in the clear.
    pub(crate) certificate: Option<Arc<ServerCertificate>>,
}

/// A deployment that this process has to itself.
#[derive(Debug)]
pub(crate) struct Deployment {
    layout: Layout,
    keys: Arc<DeploymentKeys>,
    templates: Arc<Templates>,
    new: bool,
    // Held until the deployment is dropped, which is after its server has stopped.
    _lock: DirLock,
}

impl Deployment {
    /// Opens DIR, making it and its keys at the first start, and clears away what a killed `up` left.
    /// A master key that is `given` from elsewhere is not kept there.
    pub(crate) async fn open(
        dir: &Path,
        subject_root: &str,
        given: Option<&MasterKey>,
    ) -> Result<Self, DeploymentError> {
        let (dir, given) = (dir.to_owned(), given.cloned());
        let templates = Arc::new(Templates::for_root(subject_root));
        tokio::task::spawn_blocking(move || {
            let layout = Layout::create(&dir)?;
            let lock = DirLock::acquire(&layout)?;
            let (keys, new) = DeploymentKeys::load_or_create(&layout, &lock, given.as_ref())?;
            for pid in leftover::stop(&layout)? {
                tracing::warn!(
                    pid,
                    "stopped the nats-server that a killed `postroad up` had left running"
                );
            }
            Ok(Self {
                layout,
                keys: Arc::new(keys),
                templates,
                new,
                _lock: lock,
            })
        })
        .await?
    }

    /// Its paths.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its secrets.
    pub(crate) fn keys(&self) -> &Arc<DeploymentKeys> {
        &self.keys
    }

    /// The permissions of its credentials.
    pub(crate) fn templates(&self) -> &Arc<Templates> {
        &self.templates
    }

    /// Whether this is its first start.
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// Starts the server, and says whom the stored account JWT kept out.
    pub(crate) async fn start_nats(
        &self,
        options: &NatsOptions,
    ) -> Result<(NatsServer, Carried), DeploymentError> {
        let binary = NatsBinary::find(options.binary.as_deref()).await?;
        let server_name = self.server_name();
        let (layout, keys, templates) = (
            self.layout.clone(),
            self.keys.clone(),
            self.templates.clone(),
        );
        let (durability, wanted, name) = (options.durability, options.listen, server_name.clone());
        let certificate = options.certificate.clone();
        let trust = match &certificate {
            Some(certificate) => Trust::Exactly(certificate.own_pem()),
            None => Trust::System,
        };
        let (listen, carried, staging) =
            tokio::task::spawn_blocking(move || -> Result<_, DeploymentError> {
                let listen = with_port(wanted)?;
                let carried = accounts::place(&layout, &keys, &templates)?;
                let config = ServerConfig {
                    layout: &layout,
                    listen,
                    tls: place_certificate(&layout, certificate.as_deref())?,
                    server_name: &name,
                    durability,
                    max_file_store_bytes: disk::log_bytes_available(&layout.jetstream_dir())?,
                    operator_jwt: &jwt::operator_jwt(&keys)?,
                    system_account: &keys.system_account().public_key(),
                };
                write_private(&layout.nats_config(), config.render().as_bytes())?;
                let staging = Staging::find(&layout).map(Arc::new);
                Ok((listen, carried, staging))
            })
            .await??;
        tracing::info!(version = %binary.version, path = %binary.path.display(), "starting nats-server");
        let server = NatsServer::start(ServerPlan {
            binary,
            layout: self.layout.clone(),
            listen,
            server_name,
            trust,
            staging,
        })
        .await?;
        Ok((server, carried))
    }

    /// Different for every deployment and the same at every start, so that a server is recognised.
    fn server_name(&self) -> String {
        format!(
            "postroad-{}",
            &self.keys.account().public_key()[..16].to_lowercase()
        )
    }
}

/// Puts copies of certificate and key beside the configuration, or removes those of an earlier start. A server that
/// is started again while `up` runs thus shows what the parts know it by, whatever has become of the originals.
fn place_certificate(
    layout: &Layout,
    certificate: Option<&ServerCertificate>,
) -> Result<Option<TlsFiles>, LayoutError> {
    let (cert, key) = (layout.nats_certificate(), layout.nats_certificate_key());
    let Some(certificate) = certificate else {
        remove_private(&cert)?;
        remove_private(&key)?;
        return Ok(None);
    };
    write_private(&cert, certificate.chain_pem().as_bytes())?;
    write_private(&key, certificate.key_pem().as_bytes())?;
    Ok(Some(TlsFiles { cert, key }))
}

/// Chooses the port where none was named, so that a restarted server keeps it.
fn with_port(listen: SocketAddr) -> Result<SocketAddr, ServerError> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = || -> io::Result<SocketAddr> { TcpListener::bind(listen)?.local_addr() };
    free().map_err(|source| ServerError::CannotListen { listen, source })
}
