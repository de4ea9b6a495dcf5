//! What tenants use: having queries counted and stored, and answering `usage`. A crash
//! loses the queries that were counted since the last report, about a minute's.

use crate::answer::{Answer, Answerer, Asked, Call};
use crate::cursor::Kind;
use crate::observe::Brokers;
use crate::rows::read_rows;
use futures_util::StreamExt as _;
use postroad_log::Keyring;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{InstanceId, TimeMs};
use postroad_protocol::limits::USAGE_EVERY_MS;
use postroad_protocol::query::{self, UsageAsked, UsageDay};
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::usage::{Counted, Counts, Day};
use std::sync::Arc;
use std::time::Duration;

/// Operators' reads that are stored side by side, and reports likewise.
const AT_ONCE: usize = 16;

/// Counts a query of an agent that is served.
pub(crate) fn count_query(counts: &Counts, scope: &TenantScope) {
    let counted = Counted {
        queries: 1,
        pushes: 0,
    };
    counts.count(scope, counted);
}

/// Reports what was counted, for ever.
pub(crate) async fn keep(counts: Arc<Counts>, brokers: Brokers) {
    loop {
        tokio::time::sleep(Duration::from_millis(USAGE_EVERY_MS)).await;
        report(&counts, &brokers).await;
    }
}

/// Reports what was counted until now. What fails is tried again with the next.
pub(crate) async fn report(counts: &Counts, brokers: &Brokers) {
    let report = async |(scope, report)| {
        let stored = brokers.observe(&scope, &counts.observation(&report)).await;
        counts.settle(&scope, &report, &stored);
    };
    futures_util::stream::iter(counts.due())
        .for_each_concurrent(AT_ONCE, report)
        .await;
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
        let homes = |keyring: &Keyring| keyring.homes();
        let cursor = wanted.cursor.as_deref();
        let (shown, next) = self
            .register_page(operator, Kind::Usage, cursor, wanted.limit, homes)
            .await?;
        let scopes = shown.into_iter();
        let scopes = scopes.map(|(tenant, _)| asked.context.operator_scope(&tenant));
        Ok((scopes.collect::<Result<_, _>>()?, next))
    }
}
