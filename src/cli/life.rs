//! `tenant suspend`, `tenant resume`: shutting a tenant's agents out, and letting them in again.

use super::failure::Failure;
use super::session::Session;
use super::text::one_line;
use clap::Args;
use postroad_protocol::TenantId;

/// Which tenant is meant, by its name alone or behind `--tenant`.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// Its name
    #[arg(value_name = "TENANT", required_unless_present = "named")]
    tenant: Option<TenantId>,
    /// Its name, the other way to say it
    #[arg(
        id = "named",
        long = "tenant",
        value_name = "TENANT",
        conflicts_with = "tenant"
    )]
    named: Option<TenantId>,
}

impl Named {
    /// The tenant.
    pub(crate) fn tenant(&self) -> Result<&TenantId, Failure> {
        let named = self.tenant.as_ref().or(self.named.as_ref());
        named.ok_or_else(|| Failure::usage("tenant", "no tenant is named", "add --tenant TENANT"))
    }
}

/// Shut the agents of a tenant out, for now: everything that is stored stays.
///
/// Commands and queries of its agents are refused from then on, checks that wait end, and nobody is
/// rung. You can still look at the tenant, replay its log and change its roster. `tenant resume` lets
/// its agents in again; they find everything, also what they had not read. A tenant that is
/// suspended already stays so, for the reason that was given first.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postroad tenant suspend --tenant acme-corp --reason \"invoice 112 is open\""
)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    named: Named,
    /// Why, for whoever looks at it later; its agents are not told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let the agents of a suspended tenant in again.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant resume --tenant acme-corp")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    named: Named,
}

pub(crate) async fn suspend(session: &Session, args: &SuspendArgs) -> Result<(), Failure> {
    let tenant = args.named.tenant()?;
    let client = session.operator().await?;
    let operator = client.operator()?;
    let reason = args.reason.as_deref();
    let changed = operator.suspend_tenant(tenant, reason).await?;
    session.out.show(&changed, |style| {
        let name = style.strong(&one_line(tenant.as_str()));
        if changed.already {
            format!("tenant {name} is suspended already")
        } else {
            format!("suspended tenant {name}: its agents are refused from now on")
        }
    })?;
    let resume = format!("postroad tenant resume --tenant {tenant}");
    session.out.note(&format!("to let them in again: {resume}"));
    Ok(())
}

pub(crate) async fn resume(session: &Session, args: &ResumeArgs) -> Result<(), Failure> {
    let tenant = args.named.tenant()?;
    let client = session.operator().await?;
    let changed = client.operator()?.resume_tenant(tenant).await?;
    session.out.show(&changed, |style| {
        let name = style.strong(&one_line(tenant.as_str()));
        if changed.already {
            format!("tenant {name} is not suspended")
        } else {
            format!("resumed tenant {name}: its agents are served again")
        }
    })
}
