//! `agent …`: who is on a tenant's roster. For the operator.
//!
//! The seed of a credential is made here and stays here: only its public half is sent to be signed.

use super::failure::Failure;
use super::output::{Style, table};
use super::session::{Session, roster};
use super::text::{one_line, relative};
use super::time;
use crate::deployment::layout::create_private;
use clap::{Args, Subcommand};
use postroad_client::{NewAgent, UserKey};
use postroad_protocol::query::{Agent, AgentKind};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{ErrorCode, InstanceId, Position, Refusal, Role, TenantId, TimeMs};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Issue credentials to agents, list them, and retire them.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    Issue(IssueArgs),
    List(ListArgs),
    Retire(RetireArgs),
}

/// Issue a credential, which puts the role on the tenant's roster.
///
/// The file lets its holder speak as that role and as nobody else; treat it like a password. Beside it
/// goes a context.json that says where the deployment is, unless there is one: on another machine, these
/// two files are all that is needed (`postroad up --help` shows how others reach it). With
/// --instance it serves that one machine, which gets its mail from this moment on; without, it
/// serves any machine, which gets the role's mail from its first call.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad agent issue --tenant default --role alice
  postroad agent issue --tenant acme --role tau --instance tau-laptop --ttl 90d --out tau.creds
  postroad agent issue --tenant acme --role auditor --scope audit")]
pub(crate) struct IssueArgs {
    /// Its tenant
    #[arg(long)]
    tenant: TenantId,
    /// Its role: what messages are addressed to
    #[arg(long)]
    role: Role,
    /// Only this instance of the role
    #[arg(long)]
    instance: Option<InstanceId>,
    /// What it may touch: messages, memory, tasks, audit, admin; may be given several times.
    /// By default messages, memory and tasks
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// How long it is valid, at most 365d; by default 30d
    #[arg(long, value_name = "DURATION", value_parser = time::timeout)]
    ttl: Option<Duration>,
    /// Where to write it; by default ROLE.creds or ROLE-INSTANCE.creds, here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// List the credentials and readers of a tenant. A reader is an instance that has its own receipts.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad agent list --tenant default")]
pub(crate) struct ListArgs {
    /// Which tenant
    #[arg(long)]
    tenant: TenantId,
}

/// Take a role off the roster, or one instance of it.
///
/// From now on its commands and queries are refused, its readers get no new receipts and keep the old
/// ones, and a role without credentials refuses messages. A connection that stands, and the hints it
/// hears, last until its credential expires.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad agent retire --tenant acme --role tau
  postroad agent retire --tenant acme --role tau --instance tau-laptop")]
pub(crate) struct RetireArgs {
    /// Its tenant
    #[arg(long)]
    tenant: TenantId,
    /// Its role
    #[arg(long)]
    role: Role,
    /// Only this instance
    #[arg(long)]
    instance: Option<InstanceId>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::token).join(", ");
    Scope::parse(text).ok_or_else(|| format!("use one of {}", known()))
}

pub(crate) async fn run(session: &Session, command: AgentCommand) -> Result<(), Failure> {
    match command {
        AgentCommand::Issue(args) => issue(session, args).await,
        AgentCommand::List(args) => list(session, &args).await,
        AgentCommand::Retire(args) => retire(session, &args).await,
    }
}

/// Answer of `agent issue`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedDocument<'a> {
    tenant: &'a TenantId,
    role: &'a Role,
    instance_id: Option<&'a InstanceId>,
    public_key: &'a str,
    expires_at: TimeMs,
    file: &'a Path,
    position: Position,
}

async fn issue(session: &Session, args: IssueArgs) -> Result<(), Failure> {
    let file = args.out.unwrap_or_else(|| match &args.instance {
        Some(instance) => PathBuf::from(format!("{}-{instance}.creds", args.role)),
        None => PathBuf::from(format!("{}.creds", args.role)),
    });
    // The place is taken first: a credential that cannot be kept must not be issued.
    let place = Place::take(&file, args.force)?;
    let mut agent = NewAgent::new(args.role.clone());
    if let Some(instance) = &args.instance {
        agent = agent.instance(instance.clone());
    }
    if !args.scopes.is_empty() {
        agent = agent.scopes(args.scopes);
    }
    if let Some(ttl) = args.ttl {
        agent = agent.ttl(ttl);
    }
    let key = UserKey::generate();
    let public_key = key.public_key();
    let client = session.operator().await?;
    let operator = client.operator()?;
    let issued = operator
        .issue_credential(&args.tenant, &agent, &public_key)
        .await?;
    place.fill(key.creds(&issued.jwt).as_bytes())?;
    session.place_context(&file)?;
    let document = IssuedDocument {
        tenant: &args.tenant,
        role: &args.role,
        instance_id: args.instance.as_ref(),
        public_key: &public_key,
        expires_at: issued.expires_at,
        file: &file,
        position: issued.position,
    };
    session.out.show(&document, |style| {
        let expires = relative(issued.expires_at, TimeMs::now());
        let file = style.strong(&one_line(&file.to_string_lossy()));
        format!(
            "wrote {file}: {} of tenant {}, expires {expires}",
            args.role, args.tenant
        )
    })
}

/// A file about to be written, readable by its owner only.
struct Place {
    temporary: PathBuf,
    target: PathBuf,
    force: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Moved to its target it is gone, which is as good.
        let _ = fs::remove_file(&self.temporary);
    }
}

const OUT_REMEDY: &str = "name a file in a directory that is yours to write, with --out";

impl Place {
    fn take(target: &Path, force: bool) -> Result<Self, Failure> {
        if !force && target.symlink_metadata().is_ok() {
            return Err(exists(target));
        }
        let named = |path: &Path| Some((path.parent()?.to_owned(), path.file_name()?.to_owned()));
        let (dir, name) = named(target).ok_or_else(|| {
            Failure::usage(
                "out",
                format!("{} names no file", target.display()),
                OUT_REMEDY,
            )
        })?;
        let name = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let temporary = dir.join(name);
        create_private(&temporary, b"")
            .map_err(|error| Failure::file("write", target, &error, OUT_REMEDY))?;
        Ok(Self {
            temporary,
            target: target.to_owned(),
            force,
        })
    }

    fn fill(self, creds: &[u8]) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.temporary)?;
            file.write_all(creds)?;
            file.sync_all()
        };
        let lost = |error: io::Error| {
            let remedy =
                "the credential was issued and is lost with this; mend that and issue another";
            Failure::file("write", &self.target, &error, remedy)
        };
        write().map_err(lost)?;
        if self.force {
            return fs::rename(&self.temporary, &self.target).map_err(lost);
        }
        // Unlike a rename, a link never replaces what appeared there in the meantime.
        fs::hard_link(&self.temporary, &self.target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.target),
            _ => lost(error),
        })
    }
}

fn exists(target: &Path) -> Failure {
    Refusal::new(
        ErrorCode::Conflict,
        format!("{} is there already", target.display()),
        "name another file with --out, or replace it with --force",
    )
    .at("out")
    .into()
}

/// Answer of `agent list`, for programs.
#[derive(Serialize)]
struct AgentsDocument<'a> {
    agents: &'a [Agent],
}

async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let client = session.operator().await?;
    let agents = roster(&client, &args.tenant).await?;
    let document = AgentsDocument { agents: &agents };
    session.out.show(&document, |style| {
        agents_table(style, &agents, TimeMs::now())
    })
}

fn agents_table(style: Style, agents: &[Agent], now: TimeMs) -> String {
    let row = |agent: &Agent| {
        let state = match (agent.retired, agent.expires_at) {
            (true, _) => "retired",
            (false, Some(end)) if end <= now => "expired",
            _ => "active",
        };
        let scopes: Vec<&str> = agent.scopes.iter().map(|scope| scope.token()).collect();
        let instance = agent.instance_id.as_ref();
        [
            agent.role.to_string(),
            instance.map_or("any".to_owned(), ToString::to_string),
            match agent.kind {
                AgentKind::Credential => "credential".to_owned(),
                AgentKind::Reader => "reader".to_owned(),
            },
            state.to_owned(),
            relative(agent.since, now),
            agent
                .expires_at
                .map_or("–".to_owned(), |end| relative(end, now)),
            scopes.join(","),
        ]
    };
    let header = [
        "ROLE", "INSTANCE", "KIND", "STATE", "SINCE", "EXPIRES", "SCOPES",
    ];
    table(style, header, agents.iter().map(row))
}

async fn retire(session: &Session, args: &RetireArgs) -> Result<(), Failure> {
    let client = session.operator().await?;
    let operator = client.operator()?;
    let done = operator
        .retire_agent(&args.tenant, &args.role, args.instance.as_ref())
        .await?;
    session.out.show(&done, |_| match &args.instance {
        Some(instance) => format!("retired {}/{instance} of tenant {}", args.role, args.tenant),
        None => format!("retired {} of tenant {}", args.role, args.tenant),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_credential_is_private_and_replaces_nothing_unless_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tau.creds");
        Place::take(&target, false).unwrap().fill(b"one").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let Err(refused) = Place::take(&target, false) else {
            panic!("it is refused");
        };
        assert_eq!(refused.exit_code(), 5);
        Place::take(&target, true).unwrap().fill(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_while_one_is_issued_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tau.creds");
        let place = Place::take(&target, false).unwrap();
        fs::write(&target, "theirs").unwrap();
        assert_eq!(place.fill(b"ours").unwrap_err().exit_code(), 5);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_issued_where_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Place::take(&dir.path().join("gone/tau.creds"), false).is_err());
        assert!(Place::take(Path::new("/"), true).is_err());
    }

    #[test]
    fn a_roster_tells_credentials_from_readers() {
        let agent = |kind, instance: Option<&str>, expires_at, retired| Agent {
            role: "tau".parse().unwrap(),
            instance_id: instance.map(|name| name.parse().unwrap()),
            kind,
            public_key: None,
            scopes: match kind {
                AgentKind::Credential => vec![Scope::Own, Scope::Messages],
                AgentKind::Reader => Vec::new(),
            },
            since: TimeMs(1_711_670_400_000),
            expires_at,
            retired,
        };
        let later = Some(TimeMs(1_714_262_400_000));
        let agents = [
            agent(AgentKind::Credential, None, later, false),
            agent(AgentKind::Credential, Some("pi"), Some(TimeMs(5)), false),
            agent(AgentKind::Reader, Some("pi"), None, true),
        ];
        let shown = agents_table(Style::PLAIN, &agents, TimeMs(1_711_670_460_000));
        insta::assert_snapshot!(shown, @r"
        ROLE  INSTANCE  KIND        STATE    SINCE   EXPIRES     SCOPES
        tau   any       credential  active   1m ago  in 30d      self,messages
        tau   pi        credential  expired  1m ago  19811d ago  self,messages
        tau   pi        reader      retired  1m ago  –
        ");
    }
}
