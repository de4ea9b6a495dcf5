//! `tenant …`: the tenants of a deployment. For the operator.

use super::erase::{EraseArgs, RotateKeyArgs, erase, rotate_key};
use super::failure::Failure;
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
            ]
        };
        table(
            style,
            ["TENANT", "SHARD", "GENERATION"],
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
    format!(
        "{}\n  created {}, in shard {}, generation {}\n  {}, {}, {}",
        style.strong(&one_line(&tenant.tenant)),
        relative(tenant.created_at, now),
        tenant.shard,
        tenant.generation,
        count(tenant.roles, "role"),
        count(tenant.readers, "reader"),
        count(tenant.messages, "message"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        };
        let shown = described(Style::PLAIN, &tenant, TimeMs(1_711_670_460_000));
        insta::assert_snapshot!(shown, @r"
        acme
          created 1m ago, in shard 2, generation 1
          2 roles, 1 reader, 0 messages
        ");
    }
}
