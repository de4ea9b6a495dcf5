//! What an agent can ask: its mail, its history, its peers.
//!
//! Owns how questions are written and that answers fit them. Changes nothing.

use crate::client::Client;
use crate::connect::{Identity, WAIT_LONGEST};
use crate::error::ClientError;
use postroad_protocol::limits::{SEARCH_WAIT_MS, WAIT_MAX_MS};
use postroad_protocol::query::{
    FoundMessages, MessageStatus, Messages, OneMessage, Peers, Usage, WhoAmI, wire,
};
use postroad_protocol::subject::ALL_TENANTS;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{MessageId, Role, TimeMs};
use std::time::Duration;
use tokio::time::Instant;

/// What to check for. [`Check::default`] asks for the oldest 20 unread messages, at once.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Check {
    limit: Option<u32>,
    cursor: Option<String>,
    wait: Duration,
    /// Of a subscription's checks: whether an earlier one included all that the log then held. The first
    /// has to, since whoever had this reader's place before may just have marked what comes next.
    pub(crate) known_fresh: Option<bool>,
}

impl Check {
    /// At most so many messages: 1 to 200, 20 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Waits so long for a message when there is none. More than a minute is waited in several
    /// questions. A damaged log is not waited on: the answer then says `stale`.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(WAIT_LONGEST);
        self
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Page {
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Page {
    /// At most so many rows: 1 to 200.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The form of lists that take nothing else.
    pub(crate) fn wire(&self, reading: &wire::Reading) -> wire::Page {
        wire::Page {
            limit: self.limit.map(i64::from),
            cursor: self.cursor.clone(),
            position: reading.position,
            fresh: reading.fresh,
        }
    }
}

/// Which part of one's own history, newest first.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct History {
    page: Page,
    sender: Option<Role>,
    channel: Option<String>,
    since: Option<TimeMs>,
    until: Option<TimeMs>,
}

impl History {
    /// At most so many messages: 1 to 200, 20 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.page = self.page.limit(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.page = self.page.after(cursor);
        self
    }

    /// Only what this role sent.
    pub fn sender(mut self, sender: Role) -> Self {
        self.sender = Some(sender);
        self
    }

    /// Only what was sent to this role, or to `broadcast`.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Only what was sent at this time or later.
    pub fn since(mut self, since: TimeMs) -> Self {
        self.since = Some(since);
        self
    }

    /// Only what was sent before this time.
    pub fn until(mut self, until: TimeMs) -> Self {
        self.until = Some(until);
        self
    }

    pub(crate) fn wire(&self, reading: &wire::Reading) -> wire::ListMessages {
        let ms = |time: Option<TimeMs>| time.and_then(|time| i64::try_from(time.0).ok());
        wire::ListMessages {
            limit: self.page.limit.map(i64::from),
            cursor: self.page.cursor.clone(),
            sender: self.sender.as_ref().map(ToString::to_string),
            channel: self.channel.clone(),
            since: ms(self.since),
            until: ms(self.until),
            position: reading.position,
            fresh: reading.fresh,
        }
    }
}

/// Words to look for in one's own history: what has more of them, and the rarer ones, comes first.
#[derive(Clone, Debug)]
#[must_use]
pub struct Search {
    query: String,
    limit: Option<u32>,
    sender: Option<Role>,
    channel: Option<String>,
    since: Option<TimeMs>,
    until: Option<TimeMs>,
}

impl Search {
    /// Messages that have any of the words of `query`, 10 by default.
    pub fn of(query: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            limit: None,
            sender: None,
            channel: None,
            since: None,
            until: None,
        }
    }

    /// At most so many messages: 1 to 100, 10 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only what this role sent.
    pub fn sender(mut self, sender: Role) -> Self {
        self.sender = Some(sender);
        self
    }

    /// Only what was sent to this role, or to `broadcast`.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Only what was sent at this time or later.
    pub fn since(mut self, since: TimeMs) -> Self {
        self.since = Some(since);
        self
    }

    /// Only what was sent before this time.
    pub fn until(mut self, until: TimeMs) -> Self {
        self.until = Some(until);
        self
    }

    fn wire(&self, reading: &wire::Reading) -> wire::SearchMessages {
        let ms = |time: Option<TimeMs>| time.and_then(|time| i64::try_from(time.0).ok());
        wire::SearchMessages {
            query: self.query.clone(),
            sender: self.sender.as_ref().map(ToString::to_string),
            channel: self.channel.clone(),
            since: ms(self.since),
            until: ms(self.until),
            limit: self.limit.map(i64::from),
            position: reading.position,
            fresh: reading.fresh,
        }
    }
}

impl Client {
    /// Unread messages, oldest first. They stay unread until they are marked as read.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn check(&self, check: &Check) -> Result<Messages, ClientError> {
        let end = Instant::now() + check.wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.check_once(check, left).await?;
            // A damaged shard answers what it has: waiting on for what it cannot show is for the caller
            // to decide.
            if !answer.messages.is_empty() || answer.stale || Instant::now() >= end {
                return Ok(answer);
            }
        }
    }

    async fn check_once(&self, check: &Check, wait: Duration) -> Result<Messages, ClientError> {
        let verb = self.own(Scope::Messages, "check_messages")?;
        let wait = wait.min(Duration::from_millis(WAIT_MAX_MS));
        // Rounded up, so that what is left of a millisecond does not become a busy loop.
        let wait_ms = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(0);
        let asked = self.query(verb, wait, |reading| wire::CheckMessages {
            limit: check.limit.map(i64::from),
            cursor: check.cursor.clone(),
            wait_ms: (wait_ms > 0).then_some(wait_ms),
            position: reading.position,
            fresh: match check.known_fresh {
                Some(known) => (!known).then_some(true),
                None => reading.fresh,
            },
        });
        let answer = asked.await?;
        self.confirm_wake().await;
        Ok(answer)
    }

    /// Who has got and who has read a message that this agent sent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn message_status(
        &self,
        message: MessageId,
        page: &Page,
    ) -> Result<MessageStatus, ClientError> {
        let verb = self.own(Scope::Messages, "message_status")?;
        let status: MessageStatus = self
            .query(verb, Duration::ZERO, |reading| wire::OneMessage {
                message_id: message.to_string(),
                limit: page.limit.map(i64::from),
                cursor: page.cursor.clone(),
                position: reading.position,
                fresh: reading.fresh,
            })
            .await?;
        expect_message(message, status.message_id)?;
        Ok(status)
    }

    /// One message that this agent sent or received.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_message(&self, message: MessageId) -> Result<OneMessage, ClientError> {
        let verb = self.own(Scope::Messages, "get_message")?;
        let one: OneMessage = self
            .query(verb, Duration::ZERO, |reading| wire::OneMessage {
                message_id: message.to_string(),
                position: reading.position,
                fresh: reading.fresh,
                ..wire::OneMessage::default()
            })
            .await?;
        expect_message(message, one.message.message_id)?;
        Ok(one)
    }

    /// Messages that this agent sent or received, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_messages(&self, history: &History) -> Result<Messages, ClientError> {
        let verb = self.own(Scope::Messages, "list_messages")?;
        self.query(verb, Duration::ZERO, |reading| history.wire(&reading))
            .await
    }

    /// Messages that this agent sent or received and that have words of `search`, the best first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search_messages(&self, search: &Search) -> Result<FoundMessages, ClientError> {
        let verb = self.own(Scope::Messages, "search_messages")?;
        let wait = Duration::from_millis(SEARCH_WAIT_MS);
        self.query(verb, wait, |reading| search.wire(&reading))
            .await
    }

    /// The agents of the own tenant: who is there, and what they are doing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_peers(&self, page: &Page) -> Result<Peers, ClientError> {
        let verb = self.own(Scope::Own, "list_peers")?;
        self.query(verb, Duration::ZERO, |reading| page.wire(&reading))
            .await
    }

    /// What the own tenant used each of the last `days`, today included.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(&self, days: u32) -> Result<Usage, ClientError> {
        let verb = self.own(Scope::Own, "usage")?;
        self.query(verb, Duration::ZERO, |reading| wire::Usage {
            days: Some(i64::from(days)),
            position: reading.position,
            fresh: reading.fresh,
            ..wire::Usage::default()
        })
        .await
    }

    /// As whom the deployment sees this client.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::BadAnswer`] when it sees somebody else.
    pub async fn whoami(&self) -> Result<WhoAmI, ClientError> {
        let tenant = match self.identity() {
            Identity::Agent { tenant, .. } => tenant.as_str(),
            Identity::Operator { .. } => ALL_TENANTS,
        };
        let verb = crate::client::Verb {
            tenant,
            scope: Scope::Own,
            name: "whoami",
        };
        let who: WhoAmI = self.query(verb, Duration::ZERO, |reading| reading).await?;
        let (_, role, instance) = self.identity().tokens();
        if who.role != role || who.instance_id.as_str() != instance {
            return Err(ClientError::BadAnswer {
                reason: format!(
                    "{role}/{instance} asked, {}/{} was answered",
                    who.role, who.instance_id
                ),
            });
        }
        Ok(who)
    }
}

fn expect_message(asked: MessageId, answered: MessageId) -> Result<(), ClientError> {
    if asked == answered {
        return Ok(());
    }
    Err(ClientError::BadAnswer {
        reason: format!("{asked} was asked for, {answered} was answered"),
    })
}
