//! A real deployment on a folder: `postroad up` as a child process, and clients of it. Owns nothing
//! that a user could not do: it goes in by the front door, with credentials that were issued.

use super::child::{Child, program};
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use clap::ValueEnum as _;
use postroad_client::{Client, ConnectOptions, Credential, NewAgent, Operator, Roster, UserKey};
use postroad_protocol::{InstanceId, Role, TenantId};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;
use zeroize::Zeroizing;

/// How long a call goes on. A busy machine is slow; one that is stuck must not hang a run for ever.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// DIR below the folder that a deployment is started in.
pub(crate) const DIR: &str = ".postroad";
/// What `up` prints before its address, once it serves.
const READY: &str = "postroad ready ";

/// A deployment that runs. Dropped, it is killed with its nats-server.
#[derive(Debug)]
pub(crate) struct Deployment {
    dir: PathBuf,
    url: String,
    operator: Client,
    up: Child,
}

/// An agent that was issued a credential and has connected with it.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// Its connection.
    pub(crate) client: Client,
    /// The text of its `.creds` file.
    pub(crate) creds: Zeroizing<String>,
}

impl Deployment {
    /// Starts `postroad up` in the folder `home`, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come to serve; with its last words.
    pub(crate) async fn start(home: &Path, up: Command) -> anyhow::Result<Self> {
        let (up, url) = start_up(home, up).await?;
        let dir = home.join(DIR);
        let creds = Credential::from_file(dir.join("operator.creds"))?;
        let operator = connect(&url, creds).await?;
        Ok(Self {
            dir,
            url,
            operator,
            up,
        })
    }

    /// What `up` says next.
    ///
    /// # Errors
    /// When it says nothing.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        self.up.line().await
    }

    /// DIR.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its nats-server listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What only its operator can do.
    ///
    /// # Errors
    /// When its `operator.creds` is not an operator's.
    pub(crate) fn operator(&self) -> anyhow::Result<Operator<'_>> {
        Ok(self.operator.operator()?)
    }

    /// A tenant's roster, as its operator has it.
    ///
    /// # Errors
    /// When its `operator.creds` is not an operator's.
    pub(crate) fn roster<'a>(&'a self, tenant: &'a TenantId) -> anyhow::Result<Roster<'a>> {
        Ok(self.operator.roster(Some(tenant))?)
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn tenant(&self, name: &str) -> anyhow::Result<TenantId> {
        let tenant = TenantId::parse(name)?;
        self.operator()?.create_tenant(&tenant, None).await?;
        Ok(tenant)
    }

    /// Issues a credential bound to an instance, and connects with it.
    ///
    /// # Errors
    /// When either is refused.
    pub(crate) async fn agent(
        &self,
        tenant: &TenantId,
        role: &str,
        instance: &str,
    ) -> anyhow::Result<Agent> {
        let user = UserKey::generate();
        let agent = NewAgent::new(Role::parse(role)?).instance(InstanceId::parse(instance)?);
        let operator = self.operator()?;
        let issued = operator
            .issue_credential(tenant, &agent, &user.public_key())
            .await?;
        let creds = user.creds(&issued.jwt);
        let client = connect(&self.url, Credential::parse(&creds)?).await?;
        Ok(Agent { client, creds })
    }

    /// Bytes of memory that its processes but nats-server have.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub(crate) async fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.up.resident_bytes().await
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    /// When it does not stop, or not with code 0.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.up.stop().await
    }
}

/// The command that starts a deployment in the folder `home`, on a free port of the loopback.
///
/// # Errors
/// When the system does not say where this program is.
pub(crate) fn up_command(
    home: &Path,
    server: &Path,
    durability: Durability,
) -> anyhow::Result<Command> {
    let mut command = program(home)?;
    let value = durability.to_possible_value();
    let durability = value.context("every durability has a name")?;
    // DIR is named, since one that is merely found could be somebody's own.
    command
        .args(["--dir", DIR, "up", "--listen", "127.0.0.1:0"])
        .args(["--durability", durability.get_name()])
        .env("NATS_SERVER", server);
    Ok(command)
}

/// Starts `up`, and waits for the line that says where it serves.
///
/// # Errors
/// When that line does not come.
pub(crate) async fn start_up(home: &Path, command: Command) -> anyhow::Result<(Child, String)> {
    let nats = home.join(DIR).join("nats/nats-server.pid");
    let mut up = Child::start("up", command, home)?.with(nats);
    let line = up.line().await?;
    let url = line.strip_prefix(READY);
    let url = url.with_context(|| format!("`up` should say that it is ready, and said: {line}"))?;
    Ok((up, url.to_owned()))
}

async fn connect(url: &str, credential: Credential) -> anyhow::Result<Client> {
    let options = ConnectOptions::new(url, credential).timeout(CALL_TIMEOUT);
    Ok(Client::connect(options).await?)
}
