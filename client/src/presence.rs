//! Saying that one is there. Owns heartbeats; nothing else depends on them.

use crate::client::Client;
use crate::error::ClientError;
use bytes::Bytes;
use postroad_protocol::TimeMs;
use postroad_protocol::limits::PRESENCE_EVERY_MS;
use postroad_protocol::push::Heartbeat;
use std::time::Duration;
use tokio::sync::watch;
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
    /// What every heartbeat says. It goes out at once when it changes, and dropping it is leaving.
    stay: Option<watch::Sender<Heartbeat>>,
    beating: Option<JoinHandle<()>>,
}

impl Client {
    /// Sends heartbeats until the returned guard is dropped. For clients that live for a while;
    /// one that makes a few calls and goes is seen by those.
    ///
    /// # Errors
    /// `permission_denied` for an operator, who has no presence.
    pub fn keep_present(&self) -> Result<Presence, ClientError> {
        self.beat(Heartbeat::default())
    }

    /// The same, for a program that starts the agent when mail waits: `list_peers` and `whoami` then show that
    /// it is there, and what it says of the wakes.
    ///
    /// # Errors
    /// `permission_denied` for an operator, who has no presence.
    pub fn keep_watch(&self) -> Result<Presence, ClientError> {
        self.beat(Heartbeat {
            watching: true,
            ..Heartbeat::default()
        })
    }

    fn beat(&self, heartbeat: Heartbeat) -> Result<Presence, ClientError> {
        let subject = self.presence()?;
        let (nats, hold) = (self.nats().clone(), self.hold());
        let (stay, said) = watch::channel(heartbeat);
        let beating = tokio::spawn(async move {
            beat(nats, subject, said).await;
            drop(hold);
        });
        Ok(Presence {
            stay: Some(stay),
            beating: Some(beating),
        })
    }

    /// Tells that a woken agent deals with its mail, the first time that it does. A hint like every
    /// heartbeat: one that is lost changes nothing but what `list_peers` shows.
    pub(crate) async fn confirm_wake(&self) {
        if !self.first_deals_with_mail() {
            return;
        }
        let Ok(subject) = self.presence() else { return };
        let confirmed = Heartbeat {
            wake_confirmed_at: Some(TimeMs::now()),
            ..Heartbeat::default()
        };
        let tell = async {
            let _ = self.nats().publish(subject, body(confirmed)).await;
            // A process that only checks ends right after this.
            let _ = self.nats().flush().await;
        };
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, tell).await;
    }

    fn presence(&self) -> Result<String, ClientError> {
        let (tenant, reader) = self.agent()?;
        Ok(self.subjects().presence(tenant, reader))
    }
}

impl Presence {
    /// Says that the agent was started now, because mail waits.
    pub fn wake_asked(&self) {
        self.say(|heartbeat| heartbeat.wake_asked_at = Some(TimeMs::now()));
    }

    /// Says that the agent, started so, has dealt with mail.
    pub fn wake_confirmed(&self) {
        self.say(|heartbeat| heartbeat.wake_confirmed_at = Some(TimeMs::now()));
    }

    fn say(&self, change: impl FnOnce(&mut Heartbeat)) {
        if let Some(stay) = &self.stay {
            stay.send_modify(change);
        }
    }

    /// Says that the agent leaves, and waits until that has gone out.
    pub async fn leave(mut self) {
        drop(self.stay.take());
        if let Some(beating) = self.beating.take() {
            // A panic in there concerns nobody who is leaving.
            let _ = beating.await;
        }
    }
}

async fn beat(nats: async_nats::Client, subject: String, mut said: watch::Receiver<Heartbeat>) {
    let mut beats = tokio::time::interval(Duration::from_millis(PRESENCE_EVERY_MS));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            changed = said.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            _ = beats.tick() => {}
        }
        let heartbeat = *said.borrow_and_update();
        if nats
            .publish(subject.clone(), body(heartbeat))
            .await
            .is_err()
        {
            return;
        }
    }
    let leaving = Heartbeat {
        leaving: true,
        ..*said.borrow()
    };
    let goodbye = async {
        // A farewell that is lost is made up for by silence.
        let _ = nats.publish(subject, body(leaving)).await;
        let _ = nats.flush().await;
    };
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, goodbye).await;
}

fn body(heartbeat: Heartbeat) -> Bytes {
    let body = serde_json::to_vec(&heartbeat);
    // An empty body counts as a heartbeat, too.
    Bytes::from(body.unwrap_or_default())
}
