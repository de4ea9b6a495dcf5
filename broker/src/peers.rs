//! The other brokers, as they announce themselves: how many share a tenant's rate. Owns who was heard
//! of lately; nothing but rates depends on it.

use crate::handle::Handler;
use async_nats::client::Client;
use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use postroad_protocol::body::Encoding;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{
    ANNOUNCEMENT_MAX_BYTES, BROKER_ANNOUNCE_EVERY_MS, BROKER_GONE_MS, BROKERS_HEARD_MAX,
};
use postroad_protocol::service::Announcement;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const EVERY: Duration = Duration::from_millis(BROKER_ANNOUNCE_EVERY_MS);
const GONE: Duration = Duration::from_millis(BROKER_GONE_MS);

/// How many brokers there are besides this one.
#[derive(Debug, Default)]
pub(crate) struct Peers(AtomicU32);

impl Peers {
    /// Brokers that share a rate, this one among them.
    pub(crate) fn brokers(&self) -> u32 {
        self.0.load(Ordering::Relaxed).saturating_add(1)
    }

    fn are(&self, heard: &Heard) {
        let others = u32::try_from(heard.0.len()).unwrap_or(u32::MAX);
        self.0.store(others, Ordering::Relaxed);
    }
}

/// Other brokers, and when each was heard of last.
#[derive(Debug, Default)]
struct Heard(HashMap<CommandId, Instant>);

impl Heard {
    /// Takes in an announcement; says whether it is the first of a broker that stays.
    fn hear(&mut self, announcement: &Announcement, now: Instant) -> bool {
        let instance = announcement.instance;
        if announcement.leaving {
            self.0.remove(&instance);
            return false;
        }
        if self.0.len() >= BROKERS_HEARD_MAX && !self.0.contains_key(&instance) {
            return false;
        }
        self.0.insert(instance, now).is_none()
    }

    fn forget_gone(&mut self, now: Instant) {
        self.0.retain(|_, at| now.duration_since(*at) < GONE);
    }
}

/// Announces this broker and hears the others.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) client: Client,
    /// Where brokers announce themselves.
    pub(crate) subject: String,
}

impl Announcer {
    /// Announces and hears until told to stop, then says that it leaves.
    pub(crate) async fn run(
        self,
        mut announcements: Subscriber,
        handler: Arc<Handler>,
        mut stop: watch::Receiver<bool>,
    ) {
        let (instance, peers) = (CommandId::generate(), &handler.peers);
        let mut heard = Heard::default();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Also when the broker was dropped without draining.
                _ = stop.changed() => break,
                _ = ticks.tick() => {
                    heard.forget_gone(Instant::now());
                    self.announce(instance, false).await;
                }
                Some(message) = announcements.next() => match read(&message) {
                    Some(said) if said.instance != instance => {
                        if heard.hear(&said, Instant::now()) {
                            // It came just now, and knows nobody yet.
                            self.announce(instance, false).await;
                        }
                    }
                    _ => continue,
                },
            }
            peers.are(&heard);
        }
        self.announce(instance, true).await;
    }

    async fn announce(&self, instance: CommandId, leaving: bool) {
        let announcement = Announcement {
            instance,
            shards: Vec::new(),
            leaving,
        };
        let body = Encoding::MessagePack.encode(&announcement);
        // What is lost is said again soon.
        let _lost = self.client.publish(self.subject.clone(), body.into()).await;
    }
}

fn read(message: &Message) -> Option<Announcement> {
    if message.payload.len() > ANNOUNCEMENT_MAX_BYTES {
        return None;
    }
    Encoding::MessagePack.decode(&message.payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_count_while_they_are_heard_of_and_until_they_leave() {
        let (mut heard, peers, start) = (Heard::default(), Peers::default(), Instant::now());
        let say = |instance, leaving| Announcement {
            instance,
            shards: Vec::new(),
            leaving,
        };
        let (one, other) = (CommandId::generate(), CommandId::generate());
        let count = |heard: &Heard| {
            peers.are(heard);
            peers.brokers()
        };
        assert_eq!(count(&heard), 1);
        assert!(heard.hear(&say(one, false), start));
        assert!(heard.hear(&say(other, false), start));
        assert_eq!(count(&heard), 3);
        let later = start + GONE / 2;
        assert!(!heard.hear(&say(one, false), later), "it was known");
        heard.forget_gone(start + GONE);
        assert_eq!(count(&heard), 2, "the other was not heard of again");
        heard.hear(&say(one, true), later);
        assert_eq!(count(&heard), 1);
        for _ in 0..2 * BROKERS_HEARD_MAX {
            heard.hear(&say(CommandId::generate(), false), later);
        }
        assert_eq!(heard.0.len(), BROKERS_HEARD_MAX);
    }
}
