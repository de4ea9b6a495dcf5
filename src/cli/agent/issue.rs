//! `agent issue`: a credential is put on the roster and signed.

use super::place::Place;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::text::{one_line, relative};
use crate::cli::time;
use clap::Args;
use postroad_client::{NewAgent, UserKey};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{InstanceId, Position, Role, TenantId, TimeMs};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Issue a credential, which puts the role on the tenant's roster.
///
/// The file lets its holder speak as that role and as nobody else; treat it like a password. Beside it
/// goes a context.json that says where the deployment is, unless there is one: on another machine, these
/// two files are all that is needed (`postroad up --help` shows how others reach it). With
/// --instance it serves that one machine, which gets its mail from this moment on; without, it
/// serves any machine, which gets the role's mail from its first call. For the operator, and for agents
/// with the scope admin in their own tenant. The holder renews it by itself before it ends.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad agent issue --tenant default --role alice
  postroad agent issue --tenant acme --role tau --instance tau-laptop --ttl 90d --out tau.creds
  postroad agent issue --tenant acme --role boss --scope admin --scope messages
  postroad agent issue --tenant acme --role tau --public-key UDX…
  postroad --creds boss.creds agent issue --role newcomer")]
pub(crate) struct IssueArgs {
    /// Its tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
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
    /// Only sign: the public half of a key that the agent has made with `agent keygen`. Writes the
    /// JWT alone, which is no secret; the agent makes its credential from it with `agent creds`
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// How long it is valid, at most 365d; by default 30d
    #[arg(long, value_name = "DURATION", value_parser = time::timeout)]
    ttl: Option<Duration>,
    /// Where to write it; by default ROLE.creds or ROLE-INSTANCE.creds, here, and .jwt with --public-key
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Reads a scope that was typed.
pub(in crate::cli) fn scope(text: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::token).join(", ");
    Scope::parse(text).ok_or_else(|| format!("use one of {}", known()))
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

pub(super) async fn issue(session: &Session, args: IssueArgs) -> Result<(), Failure> {
    let extension = if args.public_key.is_some() {
        "jwt"
    } else {
        "creds"
    };
    let file = args.out.unwrap_or_else(|| match &args.instance {
        Some(instance) => PathBuf::from(format!("{}-{instance}.{extension}", args.role)),
        None => PathBuf::from(format!("{}.{extension}", args.role)),
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
    // Without one of the agent's own, the key is made here, and its seed stays here.
    let key = args.public_key.is_none().then(UserKey::generate);
    let public_key = match (&key, args.public_key) {
        (Some(key), _) => key.public_key(),
        (None, given) => given.unwrap_or_default(),
    };
    let client = session.anyone().await?;
    let roster = client.roster(args.tenant.as_ref())?;
    let issued = roster.issue(&agent, &public_key).await?;
    match &key {
        Some(key) => place.fill(key.creds(&issued.jwt).as_bytes())?,
        None => place.fill(issued.jwt.as_bytes())?,
    }
    session.place_context(&file)?;
    let document = IssuedDocument {
        tenant: roster.tenant(),
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
        let (role, tenant) = (&args.role, roster.tenant());
        let wrote = format!("wrote {file}: {role} of tenant {tenant}, expires {expires}");
        match key {
            Some(_) => wrote,
            None => format!("{wrote}\nthe agent makes its credential with `postroad agent creds`"),
        }
    })
}
