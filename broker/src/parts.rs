//! The brokers and projectors that are there: each says so every two seconds. Asks all of them to
//! forget a tenant, and waits until each has. Owns who is there; not what is to be forgotten.

use async_nats::Subscriber;
use async_nats::client::Client;
use futures_util::StreamExt;
use postroad_protocol::body::{ERROR_CODE_HEADER, Encoding, decode_answer};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{
    ANNOUNCEMENT_MAX_BYTES, PROJECTOR_ANNOUNCE_EVERY_MS, PROJECTOR_GONE_MS,
};
use postroad_protocol::service::{Announcement, FORGET, Forget, Forgotten};
use postroad_protocol::subject::{Service, Subjects};
use postroad_protocol::tenancy::TenantScope;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

const EVERY: Duration = Duration::from_millis(PROJECTOR_ANNOUNCE_EVERY_MS);
/// Who was not heard of for so long is gone: its memory with it, and its files it mends when it is back.
const GONE: Duration = Duration::from_millis(PROJECTOR_GONE_MS);
/// Pause before those that have not confirmed are asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Parts that are remembered; more than any deployment has.
const PARTS_MAX: usize = 4_096;

/// Knows the parts of the deployment.
#[derive(Debug)]
pub(crate) struct Parts {
    client: Client,
    subjects: Subjects,
    /// Which process this is, to the others.
    instance: CommandId,
    started: Instant,
    heard: Mutex<HashMap<CommandId, Heard>>,
    /// Brokers among them, this one included.
    brokers: AtomicU32,
}

/// A part that said that it is there.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    is_broker: bool,
}

impl Parts {
    /// Nobody is known yet.
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self {
            client,
            subjects,
            instance: CommandId::generate(),
            started: Instant::now(),
            heard: Mutex::default(),
            brokers: AtomicU32::new(1),
        }
    }

    /// Says that this broker is there, for ever.
    pub(crate) async fn announce(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.say(false).await;
        }
    }

    /// Says that this broker is leaving.
    pub(crate) async fn leave(&self) {
        self.say(true).await;
    }

    async fn say(&self, leaving: bool) {
        let announcement = Announcement {
            instance: self.instance,
            shards: Vec::new(),
            leaving,
        };
        let payload = Encoding::MessagePack.encode(&announcement);
        let subject = self.subjects.broker_announcements();
        if let Err(error) = self.client.publish(subject, payload.into()).await {
            tracing::debug!(%error, "an announcement could not be sent");
        }
    }

    /// Remembers who says that it is there, for ever.
    pub(crate) async fn hear(self: Arc<Self>, mut announcements: Subscriber) {
        while let Some(message) = announcements.next().await {
            if message.payload.len() > ANNOUNCEMENT_MAX_BYTES {
                continue;
            }
            if let Ok(heard) = Encoding::MessagePack.decode::<Announcement>(&message.payload) {
                self.note(&heard, Instant::now());
            }
        }
    }

    fn note(&self, announcement: &Announcement, now: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, part| now.duration_since(part.at) < GONE);
        if announcement.leaving {
            heard.remove(&announcement.instance);
        } else if heard.len() < PARTS_MAX {
            let part = Heard {
                at: now,
                // A projector names the shards that it hosts.
                is_broker: announcement.shards.is_empty(),
            };
            heard.insert(announcement.instance, part);
        }
        let brokers = heard.values().filter(|part| part.is_broker).count();
        let brokers = u32::try_from(brokers).unwrap_or(u32::MAX).max(1);
        self.brokers.store(brokers, Ordering::Relaxed);
    }

    /// Brokers that share a tenant's rate, this one among them. One that died without leaving counts
    /// for some seconds.
    pub(crate) fn brokers(&self) -> u32 {
        self.brokers.load(Ordering::Relaxed)
    }

    /// Those of the parts that are there which are not in `confirmed`.
    fn missing(&self, confirmed: &HashSet<CommandId>, now: Instant) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let there = heard
            .iter()
            .filter(|(_, part)| now.duration_since(part.at) < GONE);
        there.filter(|(part, _)| !confirmed.contains(part)).count()
    }

    /// Has every broker and projector that is there do `forget` about the tenant in `scope`, and waits
    /// until each has confirmed, or is gone.
    ///
    /// # Errors
    /// `unavailable` at `deadline`.
    pub(crate) async fn confirm(
        &self,
        scope: &TenantScope,
        forget: &Forget,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let cannot = || Refusal::unavailable("the other parts cannot be asked now");
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|_| cannot())?;
        let payload = Encoding::MessagePack.encode(forget);
        let mut confirmed = HashSet::new();
        // Before that, one that is there may not have been heard of yet.
        let complete = self.started + GONE;
        loop {
            for service in [Service::Broker, Service::Projector] {
                let subject = self.subjects.service(service, scope.owner(), FORGET);
                let payload = payload.clone().into();
                let asked = self
                    .client
                    .publish_with_reply(subject, inbox.clone(), payload)
                    .await;
                asked.map_err(|_| cannot())?;
            }
            let again = Instant::now() + AGAIN;
            while let Ok(Some(answer)) = timeout_at(again.min(deadline), answers.next()).await {
                confirmed.extend(confirmation(&answer));
                if Instant::now() >= complete && self.missing(&confirmed, Instant::now()) == 0 {
                    return Ok(());
                }
            }
            let now = Instant::now();
            let missing = self.missing(&confirmed, now);
            if now >= complete && missing == 0 && !confirmed.is_empty() {
                return Ok(());
            }
            if now >= deadline {
                return Err(unconfirmed(missing));
            }
        }
    }

    /// Which process this is.
    pub(crate) fn instance(&self) -> CommandId {
        self.instance
    }
}

fn confirmation(answer: &async_nats::Message) -> Option<CommandId> {
    let headers = answer.headers.as_ref();
    let refused = headers.is_some_and(|headers| headers.get(ERROR_CODE_HEADER).is_some());
    let answer = decode_answer::<Forgotten>(Encoding::MessagePack, &answer.payload, refused);
    answer.ok().map(|forgotten| forgotten.instance)
}

fn unconfirmed(missing: usize) -> Refusal {
    let who = match missing {
        0 => "not every broker and projector was heard of yet".to_owned(),
        1 => "a broker or projector has not confirmed yet".to_owned(),
        several => format!("{several} brokers and projectors have not confirmed yet"),
    };
    Refusal::new(
        ErrorCode::Unavailable,
        format!("it has begun and not ended: {who}"),
        "repeat the command, which goes on where it stopped; a part that was killed is passed over \
         after some seconds, and `postroad status` shows a shard that is damaged",
    )
    .retry_after_ms(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(instance: u8, leaving: bool) -> Announcement {
        Announcement {
            instance: CommandId::derived(&[&[instance]]),
            // Every third is a projector.
            shards: (0..u16::from(instance.is_multiple_of(3)))
                .map(|shard| (shard, true))
                .collect(),
            leaving,
        }
    }

    #[test]
    fn who_left_or_was_not_heard_of_lately_is_not_waited_for() {
        let client = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Nobody listens there, and nothing is sent.
        let client = runtime
            .block_on(client.connect("nats://127.0.0.1:1"))
            .unwrap();
        let parts = Parts::new(client, Subjects::default());
        let start = Instant::now();
        for (instance, leaving) in [(1, false), (2, false), (3, false), (2, true)] {
            parts.note(&announced(instance, leaving), start);
        }
        let mut confirmed = HashSet::new();
        assert_eq!(parts.missing(&confirmed, start), 2);
        assert_eq!(parts.brokers(), 1, "one left, and one is a projector");
        parts.note(&announced(4, false), start);
        assert_eq!(parts.brokers(), 2);
        parts.note(&announced(4, true), start);
        confirmed.insert(announced(1, false).instance);
        assert_eq!(parts.missing(&confirmed, start), 1);
        assert_eq!(parts.missing(&confirmed, start + GONE), 0);
        parts.note(&announced(3, false), start + EVERY);
        assert_eq!(parts.missing(&confirmed, start + GONE), 1);
    }
}
