//! Push hints, heard for one thing only: that there may be mail, and how far the log has come.
//!
//! Owns the push subscriptions of one subscriber. Never passes a hint's content on: unread receipts
//! are the queue, and a hint may be lost, doubled or late.

use crate::client::Client;
use crate::error::ClientError;
use async_nats::Message;
use futures_util::{StreamExt as _, stream};
use postroad_protocol::push::Hint;
use postroad_protocol::{Position, Reader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Rings when a message for this reader was stored.
#[derive(Debug)]
pub(crate) struct Bell {
    latest: watch::Receiver<Option<Position>>,
    listener: JoinHandle<()>,
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Bell {
    /// Listens to what is pushed to the role, the instance and everyone.
    pub(crate) async fn hang(client: &Client) -> Result<Self, ClientError> {
        let (tenant, reader) = client.agent()?;
        let subjects = client.subjects();
        let mut heard = Vec::with_capacity(3);
        for subject in [
            subjects.push_role(tenant, &reader.role),
            subjects.push_instance(tenant, reader),
            subjects.push_broadcast(tenant),
        ] {
            let hints = client.nats().subscribe(subject).await;
            heard.push(hints.map_err(|_| ClientError::Closed)?);
        }
        let (latest, receiver) = watch::channel(None);
        let reader = reader.clone();
        // Hints are taken as they come, however slow the subscriber is, so that they never pile up.
        let listener = tokio::spawn(async move {
            let mut hints = stream::select_all(heard);
            while let Some(message) = hints.next().await {
                if let Some(position) = position_of(&message, &reader) {
                    latest.send_modify(|latest| *latest = furthest(Some(position), *latest));
                }
            }
        });
        Ok(Self {
            latest: receiver,
            listener,
        })
    }

    /// The furthest place that a hint has named.
    pub(crate) fn latest(&self) -> Option<Position> {
        *self.latest.borrow()
    }

    /// Waits for a hint of something that `known` does not include.
    pub(crate) async fn rung(&mut self, known: Option<Position>) {
        loop {
            let latest = *self.latest.borrow_and_update();
            if latest.is_some_and(|latest| is_news(latest, known)) {
                return;
            }
            if self.latest.changed().await.is_err() {
                // The connection is closed, so there is nothing more to hear; the waiting check
                // beside this finds that out and says so.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Hears that mail has come, at once and without fetching it, so nothing counts as delivered.
///
/// A hint: one may be lost while the connection is, and then comes with the next. Whoever must not miss
/// anything looks now and then, or uses [`Client::subscribe`].
#[derive(Debug)]
#[must_use = "it rings only for whoever waits for it"]
pub struct MailBell {
    client: Client,
    bell: Bell,
    heard: Option<Position>,
}

impl Client {
    /// Begins to hear of mail for this agent.
    ///
    /// # Errors
    /// `permission_denied` for an operator, [`ClientError::Closed`] after [`Client::close`].
    pub async fn mail_bell(&self) -> Result<MailBell, ClientError> {
        Ok(MailBell {
            client: self.clone(),
            bell: Bell::hang(self).await?,
            heard: None,
        })
    }
}

impl MailBell {
    /// Waits until a message for this agent was stored; what the client asks afterwards includes it.
    pub async fn rung(&mut self) {
        self.bell.rung(self.heard).await;
        self.heard = furthest(self.bell.latest(), self.heard);
        if let (Ok((tenant, _)), Some(position)) = (self.client.agent(), self.heard) {
            self.client.note(tenant.as_str(), position);
        }
    }
}

/// Where a hint's message is stored; nothing for garbage and for what this reader sent itself,
/// of which it gets no receipt.
fn position_of(message: &Message, reader: &Reader) -> Option<Position> {
    let hint: Hint = serde_json::from_slice(&message.payload).ok()?;
    let own = hint.from == reader.role && hint.from_instance_id == reader.instance;
    (!own).then_some(hint.position)
}

fn is_news(position: Position, known: Option<Position>) -> bool {
    known.is_none_or(|known| !known.covers(&position))
}

/// The further of two places; the first where they are of different logs.
pub(crate) fn furthest(first: Option<Position>, second: Option<Position>) -> Option<Position> {
    match (first, second) {
        (Some(first), Some(second)) if second.covers(&first) => Some(second),
        (None, second) => second,
        (first, _) => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(from: &str, instance: &str) -> Message {
        let body = serde_json::json!({
            "messageId": "01890000-0000-7000-8000-000000000001", "from": from,
            "fromInstanceId": instance, "channel": "broadcast", "truncated": true, "sentAt": 1,
            "priority": "normal", "position": {"shard": 0, "epoch": 1, "sequence": 5}
        });
        Message {
            subject: "road.acme.push.broadcast".into(),
            reply: None,
            payload: body.to_string().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn ones_own_messages_and_garbage_do_not_ring() {
        let reader: Reader =
            serde_json::from_value(serde_json::json!({"role":"tau","instance":"pi"})).unwrap();
        assert_eq!(
            position_of(&hint("bob", "desk"), &reader).unwrap().sequence,
            5
        );
        assert_eq!(position_of(&hint("tau", "pi"), &reader), None);
        assert!(position_of(&hint("tau", "other"), &reader).is_some());
        let mut garbage = hint("bob", "desk");
        garbage.payload = "{".into();
        assert_eq!(position_of(&garbage, &reader), None);
    }
}
