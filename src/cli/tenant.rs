//! `tenant …`: the tenants of a deployment. For the operator.

use super::erase::{EraseArgs, RotateKeyArgs, erase, rotate_key};
use super::failure::Failure;
use super::life::{self, ResumeArgs, SuspendArgs};
use super::limits::{self, LimitsArgs};
use super::output::{Style, table};
use super::session::{PAGE_LIMIT, Session};
use super::tenant_export::{ExportArgs, export};
use super::tenant_import::{ImportArgs, import};
use super::text::{count, one_line, relative};
use clap::{Args, Subcommand};
use postroad_client::Page;
use postroad_protocol::query::{Tenant, TenantEntry};
use postroad_protocol::{TenantId, TimeMs};
use serde::Serialize;

/// Create and look at tenants. None can reach, or learn of, another.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Erase(EraseArgs),
    RotateKey(RotateKeyArgs),
    Suspend(SuspendArgs),
    Resume(ResumeArgs),
    Limits(LimitsArgs),
}

/// Create a tenant: a wall around agents, messages and costs of its own.
///
/// A name is 1 to 64 of a-z, 0-9, `_` and `-`, and begins with a letter or digit.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant create acme-corp")]
pub(crate) struct CreateArgs {
    /// Its name
    tenant: TenantId,
    /// Shard to live in, for good; by default the one with the fewest tenants
    #[arg(long, value_name = "N")]
    shard: Option<u16>,
}

/// List the tenants of this deployment.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant list")]
pub(crate) struct ListArgs {}

/// Show one tenant: where it lives and what it holds.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant show acme-corp")]
pub(crate) struct ShowArgs {
    /// Its name
    tenant: TenantId,
}

/// Answer of `tenant list`, for programs.
#[derive(Serialize)]
struct TenantsDocument<'a> {
    tenants: &'a [TenantEntry],
}

pub(crate) async fn run(session: &Session, command: TenantCommand) -> Result<(), Failure> {
    match command {
        TenantCommand::Create(args) => create(session, &args).await,
        TenantCommand::List(ListArgs {}) => list(session).await,
        TenantCommand::Show(args) => show(session, &args).await,
        TenantCommand::Export(args) => export(session, &args).await,
        TenantCommand::Import(args) => import(session, &args).await,
        TenantCommand::Erase(args) => erase(session, &args).await,
        TenantCommand::RotateKey(args) => rotate_key(session, &args).await,
        TenantCommand::Suspend(args) => life::suspend(session, &args).await,
        TenantCommand::Resume(args) => life::resume(session, &args).await,
        TenantCommand::Limits(args) => limits::run(session, &args).await,
    }
}

async fn create(session: &Session, args: &CreateArgs) -> Result<(), Failure> {
    let client = session.operator().await?;
    let made = client
        .operator()?
        .create_tenant(&args.tenant, args.shard)
        .await?;
    session.out.show(&made, |style| {
        let name = style.strong(&one_line(&made.tenant));
        format!("created tenant {name} in shard {}", made.shard)
    })?;
    let issue = format!("postroad agent issue --tenant {} --role ROLE", args.tenant);
    session.out.note(&format!("its first agent: {issue}"));
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let client = session.operator().await?;
    let mut tenants = Vec::new();
    let mut page = Page::default().limit(PAGE_LIMIT);
    loop {
        let answer = client.operator()?.list_tenants(&page).await?;
        tenants.extend(answer.tenants);
        match answer.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => break,
        }
    }
    let document = TenantsDocument { tenants: &tenants };
    session.out.show(&document, |style| {
        let row = |tenant: &TenantEntry| {
            let name = one_line(&tenant.tenant);
            [
                if tenant.erasing {
                    format!("{name} (being erased)")
                } else {
                    name
                },
                tenant.shard.to_string(),
                tenant.generation.to_string(),
                tenant.state.word().to_owned(),
            ]
        };
        table(
            style,
            ["TENANT", "SHARD", "GENERATION", "STATE"],
            tenants.iter().map(row),
        )
    })
}

async fn show(session: &Session, args: &ShowArgs) -> Result<(), Failure> {
    let client = session.operator().await?;
    let tenant = client.operator()?.get_tenant(&args.tenant).await?;
    session
        .out
        .show(&tenant, |style| described(style, &tenant, TimeMs::now()))
}

fn described(style: Style, tenant: &Tenant, now: TimeMs) -> String {
    let mut text = format!(
        "{}\n  created {}, in shard {}, generation {}\n  {}, {}, {}",
        style.strong(&one_line(&tenant.tenant)),
        relative(tenant.created_at, now),
        tenant.shard,
        tenant.generation,
        count(tenant.roles, "role"),
        count(tenant.readers, "reader"),
        count(tenant.messages, "message"),
    );
    if let Some(at) = tenant.suspended_at {
        let since = format!("suspended {}", relative(at, now));
        text.push_str(&format!("\n  {}", style.alarm(&since)));
        if let Some(reason) = &tenant.suspend_reason {
            text.push_str(&format!(": {}", one_line(reason)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::query::TenantState;
    use postroad_protocol::quota::Limits;

    #[test]
    fn a_tenant_is_described_in_a_few_lines() {
        let tenant = Tenant {
            tenant: "acme".to_owned(),
            shard: 2,
            generation: 1,
            created_at: TimeMs(1_711_670_400_000),
            roles: 2,
            readers: 1,
            messages: 0,
            state: TenantState::Active,
            suspended_at: None,
            suspend_reason: None,
            stored_bytes: 0,
            memories: 0,
            tasks: 0,
            limits: Limits::default(),
        };
        let now = TimeMs(1_711_670_460_000);
        insta::assert_snapshot!(described(Style::PLAIN, &tenant, now), @r"
        acme
          created 1m ago, in shard 2, generation 1
          2 roles, 1 reader, 0 messages
        ");
        let suspended = Tenant {
            state: TenantState::Suspended,
            suspended_at: Some(now),
            suspend_reason: Some("invoice 112\nis open".to_owned()),
            ..tenant
        };
        insta::assert_snapshot!(described(Style::PLAIN, &suspended, now), @r"
        acme
          created 1m ago, in shard 2, generation 1
          2 roles, 1 reader, 0 messages
          suspended now: invoice 112\nis open
        ");
    }
}
