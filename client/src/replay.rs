//! Reading the log back, page by page. Owns where a replay goes on; that it is written into the log of
//! every tenant that it touches is the deployment's doing.

use crate::client::{Client, Verb};
use crate::error::ClientError;
use crate::operator::Operator;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use postroad_protocol::query::{Replayed, ReplayedEvent, wire as query};
use postroad_protocol::subject::ALL_TENANTS;
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{Position, TenantId, TimeMs};
use std::time::Duration;

impl<'a> Operator<'a> {
    /// Reads the log of one tenant, or of a shard with all its tenants.
    pub fn replay(&self, of: ReplayOf, range: ReplayRange) -> Replay<'a> {
        Replay {
            client: self.client,
            of,
            next: range.from_sequence,
            range,
            at_end: false,
            missing: Vec::new(),
        }
    }
}

/// Whose log is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOf {
    /// One tenant's.
    Tenant(TenantId),
    /// All that one shard holds.
    Shard(u16),
}

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// First sequence.
    pub from_sequence: Option<u64>,
    /// Not before.
    pub from_time: Option<TimeMs>,
    /// Last sequence.
    pub to_sequence: Option<u64>,
    /// Not after.
    pub to_time: Option<TimeMs>,
}

/// A log being read, page by page.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    client: &'a Client,
    of: ReplayOf,
    range: ReplayRange,
    next: Option<u64>,
    at_end: bool,
    missing: Vec<(u64, u64)>,
}

impl Replay<'_> {
    /// The next events, in order; none when the end that was asked for, or the end of the log, is
    /// reached. Asked again after that, it looks whether the log has grown.
    ///
    /// # Errors
    /// [`ClientError`]; the same page can be asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ReplayedEvent>>, ClientError> {
        if self.at_end {
            // A range with an end of its own is done; the end of the log only lies there today.
            self.at_end = self.range.to_sequence.is_some() || self.range.to_time.is_some();
            return Ok(None);
        }
        let tenant = match &self.of {
            ReplayOf::Tenant(tenant) => tenant.as_str(),
            ReplayOf::Shard(_) => ALL_TENANTS,
        };
        let verb = Verb {
            tenant,
            scope: Scope::Audit,
            name: "replay",
        };
        let ms = |time: Option<TimeMs>| time.and_then(|time| i64::try_from(time.0).ok());
        let body = query::Replay {
            shard: match self.of {
                ReplayOf::Tenant(_) => None,
                ReplayOf::Shard(shard) => Some(shard),
            },
            from_sequence: self.next,
            from_time: ms(self.range.from_time),
            to_sequence: self.range.to_sequence,
            to_time: ms(self.range.to_time),
            limit: None,
        };
        let page: Replayed = self
            .client
            .query(verb, Duration::ZERO, |_| body.clone())
            .await?;
        self.missing = page.missing;
        self.at_end = page.next_sequence.is_none();
        let after_end = || after_end(&page.events, page.end, self.next);
        self.next = Some(page.next_sequence.unwrap_or_else(after_end));
        Ok(Some(page.events))
    }

    /// First and last sequence of what the log has lost in the part that the last page came from, where an
    /// operator gave it up. Whose events those were cannot be known.
    pub fn missing(&self) -> &[(u64, u64)] {
        &self.missing
    }

    /// The events one by one, to the end.
    pub fn into_stream(self) -> impl Stream<Item = Result<ReplayedEvent, ClientError>> {
        stream::try_unfold(self, |mut replay| async move {
            let page = replay.next_page().await?;
            Ok::<_, ClientError>(page.map(|events| (events, replay)))
        })
        .map_ok(|events: Vec<ReplayedEvent>| stream::iter(events).map(Ok))
        .try_flatten()
    }
}

/// Where a log that was read to its end goes on.
fn after_end(events: &[ReplayedEvent], end: Position, asked_from: Option<u64>) -> u64 {
    let last = events.last().map_or(0, |event| event.position.sequence);
    let from = last.max(end.sequence).saturating_add(1);
    from.max(asked_from.unwrap_or(1))
}
