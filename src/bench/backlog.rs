//! A deployment whose one reader has been away for long: many messages lie unread. Made once, for
//! both groups that need it; owns what lies there, measures nothing.

use super::Bench;
use super::plan::CHECK_LIMIT;
use super::samples::{Until, keep_in_flight, together};
use super::sends::{send_one, senders};
use super::stage::{Agent, Deployment};
use crate::deployment::nats_config::Durability;
use postroad_protocol::MessageId;
use std::sync::{Arc, Mutex, PoisonError};

/// Sends that are open at once while it is filled.
const FILL_IN_FLIGHT: usize = 256;

/// The deployment and who lives there.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Where.
    pub(super) deployment: Deployment,
    /// Whoever sends more.
    pub(super) senders: Vec<Agent>,
    /// The reader that was away.
    pub(super) away: Agent,
    /// A reader with little mail.
    pub(super) few: Agent,
    /// What lies unread for the first.
    pub(super) ids: Vec<MessageId>,
}

impl Backlog {
    /// Starts a deployment without waiting for the disk, and fills it.
    pub(super) async fn fill(bench: &Bench) -> anyhow::Result<Self> {
        let count = bench.plan.backlog;
        bench.progress.count("backlog", count);
        let deployment = bench.deployment(Durability::Fast, "backlog").await?;
        let tenant = deployment.tenant("bench").await?;
        let senders = senders(&deployment, &tenant).await?;
        let away = deployment.agent(&tenant, "away", "one").await?;
        let few = deployment.agent(&tenant, "few", "one").await?;
        let ids = Arc::new(Mutex::new(Vec::with_capacity(count)));
        let each = count.div_ceil(senders.len());
        let filling = senders.iter().cloned().map(|sender| {
            let (ids, bar) = (Arc::clone(&ids), bench.progress.clone());
            let in_flight = FILL_IN_FLIGHT / senders.len();
            async move {
                keep_in_flight(in_flight, Until::Calls(each), || async {
                    let id = send_one(&sender, "away").await?;
                    ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                    bar.step();
                    Ok(())
                })
                .await
            }
        });
        together(filling).await?;
        for _ in 0..CHECK_LIMIT {
            send_one(&senders[0], "few").await?;
        }
        let ids = std::mem::take(&mut *ids.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self {
            deployment,
            senders,
            away,
            few,
            ids,
        })
    }
}
