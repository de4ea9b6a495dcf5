//! What the operator asks: the register of tenants, one tenant's roster and log, the state of the
//! shards, a rebuild. Every read of tenant data waits for its own event in that tenant's log.

use crate::answer::{Answer, Answerer, Asked, Call, incarnation};
use crate::audit;
use crate::cursor::{Cursor, Kind};
use crate::hosts::Host;
use crate::progress::State;
use crate::rebuild;
use crate::rows::read_rows;
use crate::store::{PageOf, Quarantined, StoreError};
use crate::turns::Ticket;
use postroad_gate::Gate;
use postroad_log::{Home, Keyring};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{InstanceId, TenantId};
use postroad_protocol::limits::{QUARANTINE_NAMED, QUARANTINE_REASON_MAX_CHARS};
use postroad_protocol::query::{self, Page, Query, wire};
use postroad_protocol::service::Observation;
use postroad_protocol::tenancy::{RequestContext, TenantScope};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What an operator's queries need besides rows.
#[derive(Debug)]
pub struct Operations {
    /// Requests dropped at the door.
    pub dropped: Arc<AtomicU64>,
    /// Counts those that cannot be read.
    pub gate: Gate,
    /// Rebuilds that run.
    pub rebuilds: TaskTracker,
    /// Set when the process stops: a rebuild is given up.
    pub stop: CancellationToken,
    /// Page cache of a rebuilt file, in bytes.
    pub cache_bytes: usize,
    /// Version of the nats-server.
    pub nats_version: String,
}

impl Answerer {
    /// Answers the operator.
    ///
    /// # Errors
    /// The refusal to send instead.
    pub async fn answer_operator(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        query: Query,
        ticket: &mut Ticket,
    ) -> Result<Answer, Refusal> {
        let Asked {
            context,
            verb,
            encoding,
            ..
        } = *asked;
        let operator = context.require_operator()?;
        // What an operator asks waits for brokers and for the log, hardly ever for a core.
        ticket.rest();
        match query {
            Query::WhoAmI => Ok(Answer::of(encoding, &who_am_i(context, operator))),
            Query::ListTenants(page) => Ok(Answer::of(
                encoding,
                &self.list_tenants(context, operator, &page).await?,
            )),
            Query::Status => Ok(Answer::of(encoding, &self.status(context).await)),
            Query::Rebuild => Ok(Answer::of(encoding, &self.start_rebuild())),
            Query::GetTenant => {
                let scope = context.scope()?;
                self.audit(scope, operator, verb, "the tenant's counts")
                    .await?;
                Ok(Answer::of(encoding, &self.get_tenant(scope).await?))
            }
            Query::ListAgents(page) => {
                let scope = context.scope()?;
                self.audit(scope, operator, verb, "the roster").await?;
                Ok(Answer::of(
                    encoding,
                    &self.list_agents(scope, operator, &page).await?,
                ))
            }
            Query::Replay(wanted) => self.replay(asked, operator, wanted).await,
            Query::ListMessages(wanted) => self.list_tenant_messages(asked, reading, wanted).await,
            Query::ListPeers(page) => self.list_tenant_peers(asked, reading, page).await,
            Query::GetMemory(wanted) => self.get_tenants_memory(asked, reading, &wanted).await,
            Query::ListMemories(wanted) => self.list_tenant_memories(asked, reading, wanted).await,
            Query::Recall(wanted) => self.recall_of_tenants(asked, reading, wanted).await,
            Query::Usage(wanted) => self.operators_usage(asked, operator, &wanted).await,
            Query::GetTask { task } => self.get_tenants_task(asked, reading, task).await,
            Query::ListTasks(wanted) => self.list_tenant_tasks(asked, reading, wanted).await,
            Query::GetMission { mission } => {
                self.get_tenants_mission(asked, reading, mission).await
            }
            Query::ListMissions(wanted) => self.list_tenant_missions(asked, reading, wanted).await,
            _ => Err(context
                .reader()
                .err()
                .unwrap_or_else(postroad_protocol::command::unknown_verb)),
        }
    }

    /// Where a tenant lives that the operator named.
    pub(crate) async fn home(&self, scope: &TenantScope) -> Result<(Home, Arc<Host>), Refusal> {
        self.hosts
            .of(scope)
            .await
            .map_err(|refusal| match refusal.code {
                ErrorCode::Unauthenticated => Refusal::not_found("tenantId", "tenant"),
                _ => refusal,
            })
    }

    /// The read's own event in the tenant's log; without it nothing is answered.
    pub(crate) async fn audit(
        &self,
        scope: &TenantScope,
        operator: &InstanceId,
        verb: &str,
        what: &str,
    ) -> Result<(), Refusal> {
        self.home(scope).await?;
        let observation = Observation::OperatorRead {
            operator: operator.clone(),
            verb: verb.to_owned(),
            what: what.to_owned(),
        };
        let position = self.brokers.observe(scope, &observation).await?;
        self.hosts.wait_for(position).await
    }

    async fn list_tenants(
        &self,
        context: &RequestContext,
        operator: &InstanceId,
        page: &Page,
    ) -> Result<query::Tenants, Refusal> {
        let tenants = |keyring: &Keyring| {
            let tenants = keyring.tenants().into_iter();
            tenants
                .map(|(name, home, stage)| (name, (home, stage)))
                .collect()
        };
        let cursor = page.cursor.as_deref();
        let (shown, next_cursor) = self
            .register_page(operator, Kind::Tenants, cursor, page.limit, tenants)
            .await?;
        let tenants = self.entries(context, &shown).await?;
        Ok(query::Tenants {
            tenants,
            next_cursor,
        })
    }

    /// The keyring with every tenant that there is.
    pub(crate) async fn register(&self) -> Result<&Keyring, Refusal> {
        let keyring = self.hosts.keyring();
        let refreshed = keyring.refresh().await;
        refreshed.map_err(|_| Refusal::unavailable("the log is not reachable"))?;
        Ok(keyring)
    }

    /// The next tenants in order of name of those that `of` gives, and where the page behind them begins.
    pub(crate) async fn register_page<T>(
        &self,
        operator: &InstanceId,
        kind: Kind,
        cursor: Option<&str>,
        limit: usize,
        of: impl FnOnce(&Keyring) -> Vec<(TenantId, T)>,
    ) -> Result<(Vec<(TenantId, T)>, Option<String>), Refusal> {
        let register = self.register().await?;
        let cursor = cursor.map(|text| Cursor::decode_for_operator(text, kind, 0, None, operator));
        let cursor = cursor.transpose()?;
        let after = cursor.as_ref().map(Cursor::place);
        let behind = |name: &TenantId| after.is_none_or(|after| name.as_str().as_bytes() > after);
        let named = of(register).into_iter();
        let named = named.filter(|(name, _)| behind(name));
        let mut shown: Vec<_> = named.take(limit + 1).collect();
        let more = shown.len() > limit;
        shown.truncate(limit);
        let next = shown.last().filter(|_| more).map(|(last, _)| {
            Cursor::at(kind, 0, last.as_str().as_bytes()).encode_for_operator(None, operator)
        });
        Ok((shown, next))
    }

    async fn get_tenant(&self, scope: &TenantScope) -> Result<query::Tenant, Refusal> {
        let (home, host) = self.hosts.of(scope).await?;
        let (tenant, _) = read_rows(&host, scope, move |rows, _| rows.tenant(home.shard)).await?;
        tenant.ok_or_else(|| Refusal::not_found("tenantId", "tenant"))
    }

    async fn list_agents(
        &self,
        scope: &TenantScope,
        operator: &InstanceId,
        page: &Page,
    ) -> Result<query::Agents, Refusal> {
        let (home, host) = self.hosts.of(scope).await?;
        let generation = home.key_id.generation;
        let epoch = incarnation(host.progress().epoch, generation);
        let cursor = page
            .cursor
            .as_deref()
            .map(|text| {
                Cursor::decode_for_operator(text, Kind::Roster, epoch, Some(scope), operator)
            })
            .transpose()?;
        let limit = page.limit;
        let (listed, seen) = read_rows(&host, scope, move |rows, _| {
            rows.roster(PageOf {
                limit,
                after: cursor.as_ref().map(Cursor::place),
            })
        })
        .await?;
        let next_cursor = listed.next.as_deref().map(|place| {
            let epoch = incarnation(seen.position.epoch, generation);
            Cursor::at(Kind::Roster, epoch, place).encode_for_operator(Some(scope), operator)
        });
        Ok(query::Agents {
            agents: listed.rows,
            next_cursor,
            position: seen.position,
        })
    }

    /// The roster of the caller's own tenant, for its administrator.
    pub(crate) async fn list_own_agents(
        &self,
        call: &Call<'_>,
        page: Page,
    ) -> Result<Answer, Refusal> {
        let after = call.place(page.cursor.as_deref(), Kind::Roster)?;
        let limit = page.limit;
        let (listed, seen) = call
            .rows(move |rows, _| {
                let after = after.as_ref().map(Cursor::place);
                rows.roster(PageOf { limit, after })
            })
            .await?;
        let next_cursor = call.cursor(Kind::Roster, seen, listed.next.as_deref());
        Ok(call.answer(&query::Agents {
            agents: listed.rows,
            next_cursor,
            position: seen.position,
        }))
    }

    async fn replay(
        &self,
        asked: &Asked<'_>,
        operator: &InstanceId,
        mut wanted: query::Replay,
    ) -> Result<Answer, Refusal> {
        let scope = asked.context.scope_or_all();
        let host = match scope {
            Some(scope) => self.home(scope).await?.1,
            None => self.hosts.shard(wanted.shard.unwrap_or(0))?,
        };
        loop {
            let page = audit::replay(
                host.shard(),
                self.hosts.keyring(),
                &self.subjects,
                scope,
                &wanted,
            )
            .await
            .map_err(|_| Refusal::unavailable("the log is not reachable"))?;
            let answer = Answer::of(asked.encoding, &page.replayed);
            if self.is_too_long(&answer, &mut wanted.limit, page.replayed.events.len()) {
                continue;
            }
            let sequence = |event: Option<&query::ReplayedEvent>| {
                event.map_or(0, |event| event.position.sequence)
            };
            let (first, last) = (
                sequence(page.replayed.events.first()),
                sequence(page.replayed.events.last()),
            );
            for tenant in &page.touched {
                let touched = asked.context.operator_scope(tenant)?;
                self.audit(
                    &touched,
                    operator,
                    asked.verb,
                    &format!("events {first} to {last}"),
                )
                .await?;
            }
            return Ok(answer);
        }
    }

    async fn status(&self, operator: &RequestContext) -> query::Status {
        let mut shards = Vec::new();
        for host in self.hosts.all() {
            shards.push(shard_status(&host, operator).await);
        }
        query::Status {
            shards,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nats_version: self.operations.nats_version.clone(),
            dropped_requests: self.operations.dropped.load(Ordering::Relaxed)
                + self.operations.gate.unreadable(),
            recall: self.recall_status().await,
        }
    }

    async fn recall_status(&self) -> Option<query::RecallStatus> {
        let meaning = Arc::clone(&self.meaning);
        let asked = tokio::task::spawn_blocking(move || meaning.status());
        asked.await.ok()
    }

    fn start_rebuild(&self) -> query::Rebuilding {
        let mut shards = Vec::new();
        for host in self.hosts.all() {
            shards.push(host.shard().number());
            let (host, keyring, subjects) = (
                Arc::clone(&host),
                self.hosts.keyring().clone(),
                self.subjects.clone(),
            );
            let cache_bytes = self.operations.cache_bytes;
            let stop = self.operations.stop.clone();
            self.operations.rebuilds.spawn(async move {
                let shard = host.shard().number();
                let rebuilt = tokio::select! {
                    () = stop.cancelled() => return,
                    rebuilt = rebuild::rebuild(host, keyring, subjects, cache_bytes) => rebuilt,
                };
                match rebuilt {
                    Ok(()) => tracing::info!(shard, "rows were folded anew"),
                    Err(error) => tracing::error!(shard, %error, "a rebuild was given up; the old rows are served"),
                }
            });
        }
        query::Rebuilding { shards }
    }
}

fn who_am_i(context: &RequestContext, operator: &InstanceId) -> query::WhoAmI {
    query::WhoAmI {
        tenant_id: context
            .scope_or_all()
            .map(|scope| scope.tenant().to_string()),
        role: postroad_protocol::subject::OPERATOR_ROLE.to_owned(),
        instance_id: operator.clone(),
        unread_total: None,
        highest_priority: None,
        position: None,
        watching: false,
        wake_asked_at: None,
        wake_confirmed_at: None,
    }
}

async fn shard_status(host: &Host, operator: &RequestContext) -> query::ShardStatus {
    let progress = host.progress();
    let end = host
        .shard()
        .extent()
        .await
        .map_or(progress.sequence, |extent| extent.last);
    let (quarantined, quarantine) = quarantine(host, operator).await;
    query::ShardStatus {
        shard: host.shard().number(),
        epoch: progress.epoch,
        applied: progress.sequence,
        end,
        state: host.state_word().to_owned(),
        damage: match progress.state {
            State::Damaged(damage) => Some(damage),
            _ => None,
        },
        quarantined,
        quarantine,
    }
}

/// How many events of a shard were set aside, and the first of them.
async fn quarantine(host: &Host, operator: &RequestContext) -> (u64, Vec<query::QuarantinedEvent>) {
    let (store, operator) = (host.store(), operator.clone());
    let served = store.clone();
    let read = move || -> Result<_, StoreError> {
        let snapshot = store.snapshot()?;
        let page = PageOf {
            limit: QUARANTINE_NAMED,
            after: None,
        };
        let listed = match snapshot.operator(&operator) {
            Ok(rows) => rows.quarantine(page)?.rows,
            // The caller was asked for before; nobody else is shown anything.
            Err(_) => Vec::new(),
        };
        Ok((snapshot.quarantined()?, listed))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok((count, listed))) => (count, listed.into_iter().map(shown).collect()),
        failed => {
            if let Ok(Err(error)) = failed {
                host.did_not_read(&served, &error);
            }
            // An unreadable count shows as one more thing to look at, never as none.
            (u64::MAX, Vec::new())
        }
    }
}

fn shown(quarantined: Quarantined) -> query::QuarantinedEvent {
    let Quarantined {
        owner,
        sequence,
        reason,
    } = quarantined;
    query::QuarantinedEvent {
        sequence,
        tenant: owner,
        reason: reason.chars().take(QUARANTINE_REASON_MAX_CHARS).collect(),
    }
}
