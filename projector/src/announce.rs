//! Announces this projector to the others, hears them, and makes it join or leave the queue group as
//! [`crate::membership`] decides. Owns the subscriptions of the group; knows nothing of what is asked.

use crate::hosts::{Host, Hosts};
use crate::membership::{Own, Peers, is_healthy};
use futures_util::StreamExt;
use futures_util::future::join_all;
use postroad_gate::Ground;
use postroad_log::Extent;
use postroad_protocol::body::Encoding;
use postroad_protocol::id::CommandId;
use postroad_protocol::limits::{ANNOUNCEMENT_MAX_BYTES, PROJECTOR_ANNOUNCE_EVERY_MS};
use postroad_protocol::service::Announcement;
use postroad_protocol::subject::{Service, Subjects};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(PROJECTOR_ANNOUNCE_EVERY_MS);

/// What this projector says of itself, and to whom it listens.
pub struct Announcer {
    /// The connection with the projector's credential.
    pub client: async_nats::Client,
    /// Where announcements go.
    pub subjects: Subjects,
    /// The shards.
    pub hosts: Arc<Hosts>,
    /// Which process this is.
    pub instance: CommandId,
    /// Whether it answers queries, for [`Group::serve`].
    pub member: watch::Sender<bool>,
}

impl Announcer {
    /// Announces, hears and decides, for ever.
    pub async fn run(self, mut announcements: async_nats::Subscriber) {
        let (mut own, mut peers) = (Own::default(), Peers::default());
        let mut ends = HashMap::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let shards = self.look(&mut ends).await;
                    own.looked(shards, Instant::now());
                    self.announce(&own.announcement(self.instance, false)).await;
                }
                Some(message) = announcements.next() => {
                    let Some(heard) = self.read(&message) else {
                        continue;
                    };
                    peers.hear(&heard, Instant::now());
                }
            }
            let is_member = own.decide(&peers, Instant::now());
            let changed = self.member.send_if_modified(|now| {
                let changed = *now != is_member;
                *now = is_member;
                changed
            });
            if changed && is_member {
                tracing::warn!("this projector answers queries again");
            } else if changed {
                tracing::warn!(
                    "this projector is not healthy and leaves its queries to one that is"
                );
            }
        }
    }

    /// How every shard is doing; `ends` is how far the log reached at the look before.
    async fn look(&self, ends: &mut HashMap<u16, Extent>) -> BTreeMap<u16, bool> {
        let hosts = self.hosts.all();
        let looks = join_all(hosts.iter().map(|host| end_of(host))).await;
        let mut shards = BTreeMap::new();
        for (host, end) in hosts.iter().zip(looks) {
            let number = host.shard().number();
            let before = ends.get(&number).copied();
            // A log that does not answer may hold anything by now.
            let healthy = end.is_some() && is_healthy(&host.progress(), before);
            ends.extend(end.map(|end| (number, end)));
            shards.insert(number, healthy);
        }
        shards
    }

    async fn announce(&self, announcement: &Announcement) {
        announce(&self.client, &self.subjects, announcement).await;
    }

    fn read(&self, message: &async_nats::Message) -> Option<Announcement> {
        if message.payload.len() > ANNOUNCEMENT_MAX_BYTES {
            return None;
        }
        let heard: Announcement = Encoding::MessagePack.decode(&message.payload).ok()?;
        (heard.instance != self.instance).then_some(heard)
    }
}

async fn end_of(host: &Host) -> Option<Extent> {
    let asked = tokio::time::timeout(EVERY, host.shard().extent()).await;
    asked.ok()?.ok()
}

/// Says something of this projector to the others. What is lost is said again soon.
pub async fn announce(
    client: &async_nats::Client,
    subjects: &Subjects,
    announcement: &Announcement,
) {
    let payload = Encoding::MessagePack.encode(announcement);
    if let Err(error) = client
        .publish(subjects.announcements(), payload.into())
        .await
    {
        tracing::debug!(%error, "an announcement could not be sent");
    }
}

/// One subject of the queue group, served while this projector belongs to it.
pub struct Group<G> {
    /// The connection with the projector's credential that the subject comes in by.
    pub ground: G,
    /// What is subscribed to.
    pub subject: String,
    /// Whether it belongs.
    pub member: watch::Receiver<bool>,
    /// Set when the projector stops.
    pub leaving: CancellationToken,
}

impl<G: Ground> Group<G> {
    /// Subscribes.
    ///
    /// # Errors
    /// When NATS does not take it.
    pub async fn join(&self) -> Result<G::Requests, async_nats::SubscribeError> {
        let group = Service::Projector.token().to_owned();
        self.ground.join(self.subject.clone(), group).await
    }

    /// Has `serve` answer `requests` until it leaves, and again whenever it comes back. What reached it
    /// before it left is still answered.
    pub async fn serve<F, S>(mut self, requests: G::Requests, serve: F)
    where
        F: Fn(G::Requests, CancellationToken) -> S,
        S: Future<Output = ()>,
    {
        let mut requests = Some(requests);
        loop {
            let joined = match requests.take() {
                Some(requests) => requests,
                None => match self.join().await {
                    Ok(requests) => requests,
                    // The connection is closed for good.
                    Err(error) => return tracing::error!(%error, "queries cannot be subscribed to"),
                },
            };
            let stint = self.leaving.child_token();
            let serving = serve(joined, stint.clone());
            tokio::pin!(serving);
            tokio::select! {
                () = &mut serving => return,
                true = until(&mut self.member, false) => {
                    stint.cancel();
                    serving.await;
                }
            }
            tokio::select! {
                biased;
                () = self.leaving.cancelled() => return,
                back = until(&mut self.member, true) => if !back {
                    return;
                },
            }
        }
    }
}

/// Waits until membership is as `wanted`; false when it will not change any more.
async fn until(member: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    member.wait_for(|member| *member == wanted).await.is_ok()
}
