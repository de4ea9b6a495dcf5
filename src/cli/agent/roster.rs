//! `agent list`, `agent revoke`, `agent retire`: who is on a tenant's roster, and who no longer.

use crate::cli::failure::Failure;
use crate::cli::output::{Style, table};
use crate::cli::session::{Session, roster};
use crate::cli::text::{count, relative};
use clap::Args;
use postroad_client::Revoke;
use postroad_protocol::query::{Agent, AgentKind};
use postroad_protocol::{InstanceId, Role, TenantId, TimeMs};
use serde::Serialize;

/// List the credentials and readers of a tenant. A reader is an instance that has its own receipts.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad agent list --tenant default")]
pub(crate) struct ListArgs {
    /// Which tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
}

/// Take a role off the roster, or one instance of it.
///
/// From now on its commands and queries are refused, its readers get no new receipts and keep the old
/// ones, and a role without credentials refuses messages. Its credentials are revoked: connections
/// are cut before this returns.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad agent retire --tenant acme --role tau
  postroad agent retire --tenant acme --role tau --instance tau-laptop")]
pub(crate) struct RetireArgs {
    /// Its tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Its role
    #[arg(long)]
    role: Role,
    /// Only this instance
    #[arg(long)]
    instance: Option<InstanceId>,
}

/// End credentials before their time.
///
/// Connections are cut and refused before this returns. The role stays on the roster and its mail keeps
/// coming, so that a new credential can take its place. A role that is to go is retired instead.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad agent revoke --tenant acme --role tau
  postroad agent revoke --tenant acme --role tau --instance tau-laptop
  postroad agent revoke --tenant acme --public-key UDX…")]
pub(crate) struct RevokeArgs {
    /// Its tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Every credential of this role
    #[arg(long, required_unless_present = "public_key")]
    role: Option<Role>,
    /// Only those bound to this instance
    #[arg(long, requires = "role")]
    instance: Option<InstanceId>,
    /// Only the credential for this key, which `agent list --json` shows
    #[arg(long, value_name = "KEY", conflicts_with = "role")]
    public_key: Option<String>,
}

/// Answer of `agent list`, for programs.
#[derive(Serialize)]
struct AgentsDocument<'a> {
    agents: &'a [Agent],
}

pub(super) async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let client = session.anyone().await?;
    let agents = roster(&client, args.tenant.as_ref()).await?;
    let document = AgentsDocument { agents: &agents };
    session.out.show(&document, |style| {
        agents_table(style, &agents, TimeMs::now())
    })
}

/// How a row of the roster stands.
pub(in crate::cli) fn state(agent: &Agent, now: TimeMs) -> &'static str {
    match (agent.retired, agent.revoked, agent.expires_at) {
        (true, ..) => "retired",
        (_, true, _) => "revoked",
        (.., Some(end)) if end <= now => "expired",
        _ => "active",
    }
}

fn agents_table(style: Style, agents: &[Agent], now: TimeMs) -> String {
    let row = |agent: &Agent| {
        let scopes: Vec<&str> = agent.scopes.iter().map(|scope| scope.token()).collect();
        let instance = agent.instance_id.as_ref();
        [
            agent.role.to_string(),
            instance.map_or("any".to_owned(), ToString::to_string),
            match agent.kind {
                AgentKind::Credential if agent.token => "token".to_owned(),
                AgentKind::Credential => "credential".to_owned(),
                AgentKind::Reader => "reader".to_owned(),
            },
            state(agent, now).to_owned(),
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

pub(super) async fn retire(session: &Session, args: &RetireArgs) -> Result<(), Failure> {
    let client = session.anyone().await?;
    let roster = client.roster(args.tenant.as_ref())?;
    let done = roster.retire(&args.role, args.instance.as_ref()).await?;
    let tenant = roster.tenant();
    session.out.show(&done, |_| match &args.instance {
        Some(instance) => format!("retired {}/{instance} of tenant {tenant}", args.role),
        None => format!("retired {} of tenant {tenant}", args.role),
    })
}

pub(super) async fn revoke(session: &Session, args: RevokeArgs) -> Result<(), Failure> {
    let whose = match (args.public_key, args.role, args.instance) {
        (Some(key), ..) => Revoke::Key(key),
        (None, Some(role), Some(instance)) => Revoke::Instance(role, instance),
        (None, Some(role), None) => Revoke::Role(role),
        (None, None, _) => {
            let remedy = "give --role, --role and --instance, or --public-key";
            return Err(Failure::usage(
                "role",
                "it is not said which credential ends",
                remedy,
            ));
        }
    };
    let client = session.anyone().await?;
    let roster = client.roster(args.tenant.as_ref())?;
    let revoked = roster.revoke(&whose).await?;
    session.out.show(&revoked, |_| {
        let ended = count(revoked.public_keys.len() as u64, "credential");
        let keys = revoked.public_keys.join("\n  ");
        format!("revoked {ended} of tenant {}:\n  {keys}", roster.tenant())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::tenancy::Scope;

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
            revoked: false,
            token: false,
        };
        let later = Some(TimeMs(1_714_262_400_000));
        let agents = [
            agent(AgentKind::Credential, None, later, false),
            agent(AgentKind::Credential, Some("pi"), Some(TimeMs(5)), false),
            Agent {
                token: true,
                ..agent(AgentKind::Credential, Some("mcp"), later, false)
            },
            agent(AgentKind::Reader, Some("pi"), None, true),
        ];
        let shown = agents_table(Style::PLAIN, &agents, TimeMs(1_711_670_460_000));
        insta::assert_snapshot!(shown, @r"
        ROLE  INSTANCE  KIND        STATE    SINCE   EXPIRES     SCOPES
        tau   any       credential  active   1m ago  in 30d      self,messages
        tau   pi        credential  expired  1m ago  19811d ago  self,messages
        tau   mcp       token       active   1m ago  in 30d      self,messages
        tau   pi        reader      retired  1m ago  –
        ");
    }
}
