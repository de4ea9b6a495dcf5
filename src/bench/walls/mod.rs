//! What the walls between tenants cost, and whether they hold in time: how soon a revoked credential
//! is cut off, what sealing costs, whether a refusal's time tells what exists, what a tenant feels of
//! another's flood. Owns the order of these.
//!
//! | module | owns |
//! |---|---|
//! | [`revocation`], [`raw`] | from a revocation to the refusal; seen by hand |
//! | [`oracle`] | asking for what is another tenant's, beside what is nobody's |
//! | [`flood`] | checks of one tenant while another sends ten times what it may |
//! | [`sealing`] | the seal's part of a durable send |
//! | [`opening`], [`log`] | the seal's part of folding a log |

mod flood;
mod log;
mod opening;
mod oracle;
mod raw;
mod revocation;
mod sealing;

use super::Bench;
use super::backlog::Backlog;
use crate::deployment::nats_config::Durability;

/// Measures the group, but for what needs a long log.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let deployment = bench.deployment(Durability::PowerSafe, "walls").await?;
    revocation::measure(bench, &deployment).await?;
    oracle::measure(bench, &deployment).await?;
    sealing::measure(bench, &deployment).await?;
    flood::measure(bench, &deployment).await?;
    deployment.stop().await
}

/// Measures what needs a long log.
pub(super) async fn measure_opening(bench: &mut Bench, backlog: &Backlog) -> anyhow::Result<()> {
    opening::measure(bench, backlog).await
}
