//! What tenants use: counting queries and having the counts stored, and answering `usage`. A crash
//! loses the queries that were counted since the last report, about a minute's.

use crate::answer::{Answer, Answerer, Asked, Call};
use crate::cursor::{Cursor, Kind};
use crate::observe::Brokers;
use crate::rows::read_rows;
use futures_util::StreamExt as _;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{CommandId, InstanceId, TimeMs};
use postroad_protocol::limits::USAGE_EVERY_MS;
use postroad_protocol::query::{self, UsageAsked, UsageDay};
use postroad_protocol::service::Observation;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::usage::{Counted, Day, Tally};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Operators' reads that are stored side by side, and reports likewise.
const AT_ONCE: usize = 16;

/// What one projector has counted.
#[derive(Debug)]
pub struct Usage {
    tally: Mutex<Tally>,
    /// Which process: made at random when it starts.
    instance: CommandId,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            tally: Mutex::default(),
            instance: CommandId::generate(),
        }
    }
}

impl Usage {
    /// Counts a query of an agent that is served.
    pub(crate) fn queried(&self, scope: &TenantScope) {
        let counted = Counted {
            queries: 1,
            pushes: 0,
        };
        self.tally().count(scope, Day::of(TimeMs::now()), counted);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what was counted, for ever.
    pub(crate) async fn keep(self: Arc<Self>, brokers: Brokers) {
        loop {
            tokio::time::sleep(Duration::from_millis(USAGE_EVERY_MS)).await;
            self.report(&brokers).await;
        }
    }

    /// Reports what was counted until now. What fails is tried again with the next.
    pub(crate) async fn report(&self, brokers: &Brokers) {
        let due = self.tally().due();
        let report = async |(scope, report)| {
            let observation = Observation::Usage {
                report,
                by: self.instance,
            };
            let stored = brokers.observe(&scope, &observation).await;
            if stored.is_err_and(|refusal| refusal.code.is_retryable()) {
                return;
            }
            self.tally().settle(&scope, &report);
        };
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, report)
            .await;
    }
}

/// The first day that is asked for.
fn first_day(asked: &UsageAsked) -> Day {
    Day::of(TimeMs::now()).first_of(asked.days)
}

impl Answerer {
    /// What the caller's own tenant used.
    pub(crate) async fn own_usage(
        &self,
        call: &Call<'_>,
        asked: &UsageAsked,
    ) -> Result<Answer, Refusal> {
        let first = first_day(asked);
        let (days, seen) = call.rows(move |rows, _| rows.usage(first)).await?;
        Ok(call.answer(&query::Usage {
            days,
            next_cursor: None,
            position: Some(seen.position),
            stale: seen.stale,
        }))
    }

    /// What one tenant used, or a page of all: audited in each whose use is shown, before it is.
    pub(crate) async fn operators_usage(
        &self,
        asked: &Asked<'_>,
        operator: &InstanceId,
        wanted: &UsageAsked,
    ) -> Result<Answer, Refusal> {
        let scope = asked.context.scope_or_all();
        let (scopes, next_cursor) = match scope {
            Some(scope) => (vec![scope.clone()], None),
            None => self.usage_page(asked, operator, wanted).await?,
        };
        let what = format!("what it used in {} days", wanted.days);
        let audit = |scope: TenantScope| {
            let what = what.as_str();
            async move {
                self.audit(&scope, operator, asked.verb, what).await?;
                Ok(scope)
            }
        };
        let audited = futures_util::stream::iter(scopes.into_iter().map(audit));
        let audited: Vec<Result<TenantScope, Refusal>> = audited.buffered(AT_ONCE).collect().await;
        let mut days: Vec<UsageDay> = Vec::new();
        let first = first_day(wanted);
        for scope in audited {
            let scope = scope?;
            let (_, host) = self.hosts.of(&scope).await?;
            let (used, _) = read_rows(&host, &scope, move |rows, _| rows.usage(first)).await?;
            days.extend(used);
        }
        Ok(Answer::of(
            asked.encoding,
            &query::Usage {
                days,
                next_cursor,
                position: None,
                stale: false,
            },
        ))
    }

    /// The next tenants in order of name, and where the page behind them begins.
    async fn usage_page(
        &self,
        asked: &Asked<'_>,
        operator: &InstanceId,
        wanted: &UsageAsked,
    ) -> Result<(Vec<TenantScope>, Option<String>), Refusal> {
        let refreshed = self.hosts.keyring().refresh().await;
        refreshed.map_err(|_| Refusal::unavailable("the log is not reachable"))?;
        let cursor = wanted.cursor.as_deref();
        let cursor =
            cursor.map(|text| Cursor::decode_for_operator(text, Kind::Usage, 0, None, operator));
        let cursor = cursor.transpose()?;
        let after = cursor.as_ref().map(Cursor::place);
        let homes = self.hosts.keyring().homes();
        let names = homes.iter().map(|(name, _)| name);
        let mut shown: Vec<_> = names
            .filter(|name| after.is_none_or(|after| name.as_str().as_bytes() > after))
            .take(wanted.limit + 1)
            .collect();
        let more = shown.len() > wanted.limit;
        shown.truncate(wanted.limit);
        let next = shown.last().filter(|_| more).map(|last| {
            Cursor::at(Kind::Usage, 0, last.as_str().as_bytes()).encode_for_operator(None, operator)
        });
        let scopes = shown.into_iter();
        let scopes = scopes.map(|tenant| asked.context.operator_scope(tenant));
        Ok((scopes.collect::<Result<_, _>>()?, next))
    }
}
