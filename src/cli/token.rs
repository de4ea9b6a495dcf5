//! `token …`: bearer tokens for agents that speak HTTP. Owns how one is shown, once; a token is a credential
//! of the roster, and issuing, listing and ending it is asked as for every other.

use super::failure::Failure;
use super::output::table;
use super::session::{Session, roster};
use super::text::{count, relative};
use super::time;
use clap::{Args, Subcommand};
use postroad_client::{NewAgent, Revoke};
use postroad_protocol::query::{Agent, AgentKind};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::token::{TEXT_BYTES, Token};
use postroad_protocol::{ErrorCode, InstanceId, Position, Refusal, Role, TenantId, TimeMs};
use serde::Serialize;
use std::io::Read as _;
use std::time::Duration;
use zeroize::Zeroizing;

/// Issue bearer tokens to agents that speak HTTP, list and revoke them.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    Issue(IssueArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Issue a token, which puts the role on the tenant's roster. It is printed once, and kept nowhere.
///
/// Whoever presents it to `postroad mcp --http` or `up --http` speaks as that role and instance and as nobody
/// else; treat it like a password, and never put it into a URL. A token serves one instance, which gets its
/// mail from this moment on: several programs that present the same token share that instance's mail. It is
/// not renewed: issue another before it ends. For the operator, and for agents with the scope admin in their
/// own tenant.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad token issue --tenant acme --role tau
  postroad token issue --tenant acme --role tau --instance tau-laptop --scope messages --ttl 90d
  POSTROAD_TOKEN=$(postroad token issue --tenant acme --role tau)
  curl -H \"Authorization: Bearer $POSTROAD_TOKEN\" …")]
pub(crate) struct IssueArgs {
    /// Its tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Its role: what messages are addressed to
    #[arg(long)]
    role: Role,
    /// The instance of the role that it serves
    #[arg(long, default_value = "mcp")]
    instance: InstanceId,
    /// What it may touch: messages, memory, tasks, audit, admin; may be given several times.
    /// By default messages, memory and tasks
    #[arg(long = "scope", value_name = "SCOPE", value_parser = super::agent::scope)]
    scopes: Vec<Scope>,
    /// How long it is valid, at most 365d; by default 30d
    #[arg(long, value_name = "DURATION", value_parser = time::timeout)]
    ttl: Option<Duration>,
}

/// List a tenant's tokens: whose they are and until when, with the key that names each. Not the tokens
/// themselves, which nobody has kept.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad token list --tenant acme")]
pub(crate) struct ListArgs {
    /// Which tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
}

/// End tokens before their time.
///
/// Connections that were made with them are cut before this returns. The role stays on the roster and its
/// mail keeps coming. Other credentials of the role stay.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad token revoke --tenant acme --role tau
  postroad token revoke --tenant acme --role tau --instance tau-laptop
  postroad token revoke --tenant acme --public-key UDX…
  postroad token revoke --tenant acme --stdin < leaked-token")]
pub(crate) struct RevokeArgs {
    /// Its tenant; a tenant's administrator need not name its own
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    which: Which,
    /// Only those of this instance
    #[arg(long, requires = "role")]
    instance: Option<InstanceId>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// Every token of this role
    #[arg(long)]
    role: Option<Role>,
    /// The token with this key, which `token list` shows
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// The token that is read from stdin, so that it stands in no shell history
    #[arg(long)]
    stdin: bool,
}

pub(crate) async fn run(session: &Session, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Issue(args) => issue(session, args).await,
        TokenCommand::List(args) => list(session, &args).await,
        TokenCommand::Revoke(args) => revoke(session, args).await,
    }
}

/// Answer of `token issue`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedDocument<'a> {
    token: &'a str,
    tenant: &'a TenantId,
    role: &'a Role,
    instance_id: &'a InstanceId,
    public_key: &'a str,
    expires_at: TimeMs,
    position: Position,
}

async fn issue(session: &Session, args: IssueArgs) -> Result<(), Failure> {
    let mut agent = NewAgent::token(args.role.clone(), args.instance.clone());
    if !args.scopes.is_empty() {
        agent = agent.scopes(args.scopes);
    }
    if let Some(ttl) = args.ttl {
        agent = agent.ttl(ttl);
    }
    let client = session.anyone().await?;
    let roster = client.roster(args.tenant.as_ref())?;
    // The token is made here, and only its public key is sent.
    let token = Token::generate();
    let public_key = token.key().public_key();
    let issued = roster.issue(&agent, &public_key).await?;
    let text = token.text();
    let (role, instance, tenant) = (&args.role, &args.instance, roster.tenant());
    let document = IssuedDocument {
        token: &text,
        tenant,
        role,
        instance_id: instance,
        public_key: &public_key,
        expires_at: issued.expires_at,
        position: issued.position,
    };
    let expires = relative(issued.expires_at, TimeMs::now());
    session.out.note(&format!(
        "token of {role}/{instance} of tenant {tenant}, expires {expires}; it is not shown again:"
    ));
    session.out.show(&document, |_| text.to_string())
}

/// Answer of `token list`, for programs.
#[derive(Serialize)]
struct TokensDocument<'a> {
    tokens: &'a [Agent],
}

async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let client = session.anyone().await?;
    let mut tokens = roster(&client, args.tenant.as_ref()).await?;
    tokens.retain(|row| row.token);
    let document = TokensDocument { tokens: &tokens };
    session.out.show(&document, |style| {
        let now = TimeMs::now();
        let header = [
            "ROLE", "INSTANCE", "STATE", "SINCE", "EXPIRES", "SCOPES", "KEY",
        ];
        let row = |token: &Agent| {
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.token()).collect();
            let instance = token.instance_id.as_ref();
            [
                token.role.to_string(),
                instance.map_or_else(String::new, ToString::to_string),
                super::agent::state(token, now).to_owned(),
                relative(token.since, now),
                token
                    .expires_at
                    .map_or_else(String::new, |end| relative(end, now)),
                scopes.join(","),
                token.public_key.clone().unwrap_or_default(),
            ]
        };
        table(style, header, tokens.iter().map(row))
    })
}

/// Answer of `token revoke`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevokedDocument<'a> {
    public_keys: &'a [String],
    position: Option<Position>,
}

async fn revoke(session: &Session, args: RevokeArgs) -> Result<(), Failure> {
    let key = match args.which.public_key {
        None if args.which.stdin => Some(key_from_stdin()?),
        key => key,
    };
    let client = session.anyone().await?;
    let rows = roster(&client, args.tenant.as_ref()).await?;
    let keys = meant(
        &rows,
        key.as_deref(),
        args.which.role.as_ref(),
        args.instance.as_ref(),
    );
    if keys.is_empty() {
        return Err(Refusal::new(
            ErrorCode::NotFound,
            "there is no such token that stands",
            "`postroad token list` shows the tokens and their keys",
        )
        .at("token")
        .into());
    }
    let roster = client.roster(args.tenant.as_ref())?;
    let mut position = None;
    for key in &keys {
        position = Some(roster.revoke(&Revoke::Key(key.clone())).await?.position);
    }
    let document = RevokedDocument {
        public_keys: &keys,
        position,
    };
    session.out.show(&document, |_| {
        let ended = count(keys.len() as u64, "token");
        let keys = keys.join("\n  ");
        format!("revoked {ended} of tenant {}:\n  {keys}", roster.tenant())
    })
}

/// Keys of the tokens that are to end; where all of them have ended before, those: a retry has to succeed.
fn meant(
    rows: &[Agent],
    key: Option<&str>,
    role: Option<&Role>,
    instance: Option<&InstanceId>,
) -> Vec<String> {
    let now = TimeMs::now();
    let is_meant = |row: &&Agent| {
        row.token
            && row.kind == AgentKind::Credential
            && !row.retired
            && row.expires_at.is_none_or(|end| end > now)
            && key.is_none_or(|key| row.public_key.as_deref() == Some(key))
            && role.is_none_or(|role| row.role == *role)
            && (instance.is_none() || row.instance_id.as_ref() == instance)
    };
    let (ended, standing): (Vec<&Agent>, Vec<&Agent>) =
        rows.iter().filter(is_meant).partition(|row| row.revoked);
    let named = if standing.is_empty() { ended } else { standing };
    let keys = named.into_iter().filter_map(|row| row.public_key.clone());
    keys.collect()
}

fn key_from_stdin() -> Result<String, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::usage(
            "stdin",
            error.to_string(),
            "give the whole token, in one line",
        )
    };
    let mut text = Zeroizing::new(String::new());
    // The token, and the end of its line.
    let mut line = std::io::stdin().take(TEXT_BYTES as u64 + 2);
    line.read_to_string(&mut text)
        .map_err(|error| unusable(&error))?;
    let token = Token::parse(text.trim()).map_err(|error| unusable(&error))?;
    Ok(token.key().public_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(role: &str, instance: &str, key: &str, token: bool, revoked: bool) -> Agent {
        Agent {
            role: role.parse().unwrap(),
            instance_id: Some(instance.parse().unwrap()),
            kind: AgentKind::Credential,
            public_key: Some(key.to_owned()),
            scopes: vec![Scope::Own],
            since: TimeMs(1),
            expires_at: Some(TimeMs(u64::MAX)),
            retired: false,
            revoked,
            token,
        }
    }

    #[test]
    fn only_tokens_end_and_only_those_that_are_meant() {
        let (tau, pi): (Role, InstanceId) = ("tau".parse().unwrap(), "pi".parse().unwrap());
        let rows = [
            row("tau", "mcp", "A", true, false),
            row("tau", "pi", "B", true, false),
            row("tau", "pi", "C", false, false),
            row("phi", "pi", "D", true, false),
            row("tau", "old", "E", true, true),
        ];
        assert_eq!(meant(&rows, None, Some(&tau), None), ["A", "B"]);
        assert_eq!(meant(&rows, None, Some(&tau), Some(&pi)), ["B"]);
        assert_eq!(meant(&rows, Some("D"), None, None), ["D"]);
        assert!(meant(&rows, Some("C"), None, None).is_empty());
        assert!(meant(&rows, Some("Z"), None, None).is_empty());
        let old: InstanceId = "old".parse().unwrap();
        assert_eq!(meant(&rows, None, Some(&tau), Some(&old)), ["E"], "again");
    }
}
