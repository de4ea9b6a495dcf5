//! What broker and projector do alike with the requests of agents, which come through a gate, and with those of other
//! parts, which come through a client of the library.

use crate::{Gate, Incoming, Subscription};

/// Requests that come in until they are drained.
pub trait Source: Send {
    /// A request.
    type Message: Send;

    /// The next one; none once it is drained and everything before was taken.
    fn next(&mut self) -> impl Future<Output = Option<Self::Message>> + Send;

    /// Has no more sent; false when nothing more comes anyway.
    fn drain(&mut self) -> impl Future<Output = bool> + Send;
}

impl Source for Subscription {
    type Message = Incoming;

    async fn next(&mut self) -> Option<Incoming> {
        Self::next(self).await
    }

    async fn drain(&mut self) -> bool {
        Self::drain(self);
        true
    }
}

impl Source for async_nats::Subscriber {
    type Message = async_nats::Message;

    async fn next(&mut self) -> Option<async_nats::Message> {
        futures_util::StreamExt::next(self).await
    }

    async fn drain(&mut self) -> bool {
        Self::drain(self).await.is_ok()
    }
}

/// Where requests can be subscribed to.
pub trait Ground: Send + Sync {
    /// What comes of it.
    type Requests: Source;

    /// Subscribes as one of `group`.
    ///
    /// # Errors
    /// When the connection is closed for good.
    fn join(
        &self,
        subject: String,
        group: String,
    ) -> impl Future<Output = Result<Self::Requests, async_nats::SubscribeError>> + Send;
}

impl Ground for Gate {
    type Requests = Subscription;

    async fn join(
        &self,
        subject: String,
        group: String,
    ) -> Result<Subscription, async_nats::SubscribeError> {
        Ok(self.subscribe(subject, Some(group)))
    }
}

impl Ground for async_nats::Client {
    type Requests = async_nats::Subscriber;

    async fn join(
        &self,
        subject: String,
        group: String,
    ) -> Result<async_nats::Subscriber, async_nats::SubscribeError> {
        self.queue_subscribe(subject, group).await
    }
}
