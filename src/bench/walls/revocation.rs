//! From the call that revokes a credential until nothing can be done with it: it is answered, the
//! standing connection is cut, a new one is refused. Owns these rounds.

use super::super::Bench;
use super::super::figure::{Figure, Must};
use super::super::stage::Deployment;
use super::raw::Raw;
use anyhow::Context as _;
use nkeys::KeyPair;
use postroad_client::{NewAgent, Revoke};
use postroad_protocol::{InstanceId, Role, TenantId};
use std::time::{Duration, Instant};

/// Longest time from the call until the last of the three, in milliseconds.
const REFUSED_MOST_MS: f64 = 1000.0;
/// How long a round is waited for.
const ROUND_WAIT: Duration = Duration::from_secs(20);
/// Pause between attempts to connect.
const TRY_EVERY: Duration = Duration::from_millis(5);
const ROLE: &str = "leaver";

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    let rounds = bench.plan.revocations;
    bench.progress.group("revocation", rounds);
    let tenant = deployment.tenant("leaving").await?;
    let mut worst = Round::default();
    for number in 0..rounds {
        let instance = format!("number-{number}");
        bench.progress.says(format!("revoking {instance}"));
        let round = tokio::time::timeout(ROUND_WAIT, round(deployment, &tenant, &instance));
        let round = round.await.context("a revoked credential still works")??;
        worst = worst.max(round);
        bench.progress.step();
    }
    let name = format!("revocation to refusal, worst of {rounds}");
    let figure = Figure::new(name, worst.whole_ms(), "ms");
    bench.add(figure.must(&Must::AtMost(REFUSED_MOST_MS)));
    for (part, took) in [
        ("its answer", worst.answered),
        ("the cut of its connection", worst.cut),
        ("a refused reconnect", worst.refused),
    ] {
        bench.add(Figure::new(
            format!("revocation to {part}, worst of {rounds}"),
            ms(took),
            "ms",
        ));
    }
    Ok(())
}

/// How long after the call each came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round {
    answered: Duration,
    cut: Duration,
    refused: Duration,
}

impl Round {
    /// The slower of two, each part for itself.
    fn max(self, other: Self) -> Self {
        Self {
            answered: self.answered.max(other.answered),
            cut: self.cut.max(other.cut),
            refused: self.refused.max(other.refused),
        }
    }

    fn whole_ms(self) -> f64 {
        ms(self.answered.max(self.cut).max(self.refused))
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

async fn round(
    deployment: &Deployment,
    tenant: &TenantId,
    instance: &str,
) -> anyhow::Result<Round> {
    let key = KeyPair::new_user();
    let agent = NewAgent::new(Role::parse(ROLE)?).instance(InstanceId::parse(instance)?);
    let roster = deployment.roster(tenant)?;
    let jwt = roster.issue(&agent, &key.public_key()).await?.jwt;
    let connect = || Raw::connect(deployment.url(), &jwt, &key);
    let standing = connect().await?.context("a new credential is refused")?;
    let whose = Revoke::Key(key.public_key());
    let begun = Instant::now();
    let answered = async {
        roster.revoke(&whose).await?;
        anyhow::Ok(begun.elapsed())
    };
    let cut = async {
        standing.cut().await;
        Ok(begun.elapsed())
    };
    let refused = async {
        while connect().await?.is_some() {
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(begun.elapsed())
    };
    let (answered, cut, refused) = tokio::try_join!(answered, cut, refused)?;
    anyhow::ensure!(
        connect().await?.is_none(),
        "a credential that was refused was taken again"
    );
    Ok(Round {
        answered,
        cut,
        refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_round_keeps_the_worst_of_each_part() {
        let round = |answered, cut, refused| Round {
            answered: Duration::from_millis(answered),
            cut: Duration::from_millis(cut),
            refused: Duration::from_millis(refused),
        };
        let worst = round(3, 9, 1).max(round(5, 2, 8));
        assert_eq!(worst, round(5, 9, 8));
        assert!((worst.whole_ms() - 9.0).abs() < 1e-9);
    }
}
