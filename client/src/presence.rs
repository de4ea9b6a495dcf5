//! Saying that one is there. Owns heartbeats; nothing else depends on them.

use crate::client::Client;
use crate::error::ClientError;
use bytes::Bytes;
use postroad_protocol::limits::PRESENCE_EVERY_MS;
use postroad_protocol::push::Heartbeat;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How long a last heartbeat may take to go out.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps the agent online in `list_peers` for as long as it lives.
///
/// Dropping it says that the agent has left, as well as a drop can; [`Presence::leave`] waits until
/// that has gone out.
#[derive(Debug)]
#[must_use = "presence ends when this is dropped"]
pub struct Presence {
    stay: Option<oneshot::Sender<()>>,
    beating: Option<JoinHandle<()>>,
}

impl Client {
    /// Sends heartbeats until the returned guard is dropped. For clients that live for a while;
    /// one that makes a few calls and goes is seen by those.
    ///
    /// # Errors
    /// `permission_denied` for an operator, who has no presence.
    pub fn keep_present(&self) -> Result<Presence, ClientError> {
        let (tenant, reader) = self.agent()?;
        let subject = self.subjects().presence(tenant, reader);
        let (nats, hold) = (self.nats().clone(), self.hold());
        let (stay, left) = oneshot::channel();
        let beating = tokio::spawn(async move {
            beat(nats, subject, left).await;
            drop(hold);
        });
        Ok(Presence {
            stay: Some(stay),
            beating: Some(beating),
        })
    }
}

impl Presence {
    /// Says that the agent leaves, and waits until that has gone out.
    pub async fn leave(mut self) {
        drop(self.stay.take());
        if let Some(beating) = self.beating.take() {
            // A panic in there concerns nobody who is leaving.
            let _ = beating.await;
        }
    }
}

async fn beat(nats: async_nats::Client, subject: String, mut left: oneshot::Receiver<()>) {
    let mut beats = tokio::time::interval(Duration::from_millis(PRESENCE_EVERY_MS));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            // The sender never sends: it is dropped when the agent leaves.
            _ = &mut left => break,
            _ = beats.tick() => {
                if nats.publish(subject.clone(), heartbeat(false)).await.is_err() {
                    return;
                }
            }
        }
    }
    let goodbye = async {
        // A farewell that is lost is made up for by silence.
        let _ = nats.publish(subject, heartbeat(true)).await;
        let _ = nats.flush().await;
    };
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, goodbye).await;
}

fn heartbeat(leaving: bool) -> Bytes {
    let body = serde_json::to_vec(&Heartbeat { leaving });
    // An empty body counts as a heartbeat, too.
    Bytes::from(body.unwrap_or_default())
}
