//! `tenant erase` and `tenant rotate-key`: what becomes of a tenant's data keys. For the operator.

use super::failure::Failure;
use super::session::Session;
use super::text::one_line;
use clap::Args;
use postroad_protocol::TenantId;
use std::time::Duration;

/// How long an erase is tried: every part of the deployment has to confirm it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Erase a tenant for good: agents, messages, receipts, all of it.
///
/// Its data keys are destroyed, so nobody can read what the log holds of it, and its rows are removed from
/// every projector's files. Ends when every broker and projector has confirmed; interrupted or refused, it
/// goes on where it stopped when it is repeated. The name may be created again, and starts empty.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant erase --tenant acme-corp --confirm acme-corp")]
pub(crate) struct EraseArgs {
    /// The tenant
    #[arg(long, value_name = "NAME")]
    tenant: TenantId,
    /// Its name once more: this cannot be undone
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// Seal a tenant's new events under a new data key.
///
/// What is stored already stays readable, under the keys before; nothing is rewritten.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad tenant rotate-key --tenant acme-corp")]
pub(crate) struct RotateKeyArgs {
    /// The tenant
    #[arg(long, value_name = "NAME")]
    tenant: TenantId,
}

pub(super) async fn erase(session: &Session, args: &EraseArgs) -> Result<(), Failure> {
    let client = session.patient_operator(PATIENCE).await?;
    let erased = client
        .operator()?
        .erase_tenant(&args.tenant, &args.confirm)
        .await?;
    session.out.show(&erased, |style| {
        let name = style.strong(&one_line(&erased.tenant));
        let generation = erased.generation;
        format!("erased tenant {name}, generation {generation}: nothing of it is left")
    })
}

pub(super) async fn rotate_key(session: &Session, args: &RotateKeyArgs) -> Result<(), Failure> {
    let client = session.patient_operator(PATIENCE).await?;
    let rotated = client.operator()?.rotate_key(&args.tenant).await?;
    session.out.show(&rotated, |style| {
        let name = style.strong(&one_line(args.tenant.as_str()));
        let (generation, number) = (rotated.generation, rotated.number);
        format!("new events of tenant {name} are sealed under key {generation}.{number}")
    })
}
