//! QUERY READS ROWS: what each query is answered. Checks who may ask, waits for the position that
//! the caller names, reads one snapshot, and says what must become an event.

use crate::bells::Bells;
use crate::cursor::{Cursor, Kind};
use crate::hosts::{Host, Hosts};
use crate::observe::{Brokers, Deliveries};
use crate::presence::Presence;
use crate::recall::Keep;
use crate::rows::{Seen, read_rows};
use crate::store::{PageOf, ReaderState, StoreError, TenantReader};
use crate::turns::Ticket;
use crate::usage::count_query;
use bytes::Bytes;
use postroad_log::Home;
use postroad_protocol::body::Encoding;
use postroad_protocol::catalogue::Verb;
use postroad_protocol::command::{read_claims, unknown_verb};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::EventKey;
use postroad_protocol::id::{MessageId, Reader, TimeMs};
use postroad_protocol::position::Position;
use postroad_protocol::query::{self, ListMessages, Page, Query, TenantState, wire};
use postroad_protocol::service::Observation;
use postroad_protocol::subject::{RequestKind, Subjects};
use postroad_protocol::tenancy::{Principal, RequestContext, Scope, TenantScope};
use postroad_protocol::usage::Counts;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Knows every answer.
#[derive(Debug)]
pub struct Answerer {
    /// The shards.
    pub hosts: Arc<Hosts>,
    /// Who was heard of.
    pub presence: Arc<Presence>,
    /// Who waits for mail.
    pub bells: Arc<Bells>,
    /// The way to the brokers.
    pub brokers: Brokers,
    /// Delivered marks.
    pub deliveries: Arc<Deliveries>,
    /// The deployment's subjects.
    pub subjects: Subjects,
    /// Longest body that NATS carries for an answer, in bytes.
    pub max_body: usize,
    /// Queries that were counted.
    pub counts: Arc<Counts>,
    /// What the operator asks of this process.
    pub operations: crate::operate::Operations,
    /// What searches of memories keep in memory.
    pub(crate) keep: Arc<Keep>,
    /// What it knows of what texts mean.
    pub(crate) meaning: Arc<crate::vectors::Meaning>,
}

/// An answer, and what follows once it is sent.
#[derive(Debug, Default)]
pub struct Answer {
    /// The encoded body.
    pub body: Vec<u8>,
    /// Messages in it that were not delivered before.
    pub delivered: Option<(TenantScope, Reader, Vec<EventKey>)>,
}

impl Answer {
    /// An answer after which nothing follows.
    pub fn of<T: serde::Serialize>(encoding: Encoding, value: &T) -> Self {
        Self {
            body: encoding.encode(value),
            delivered: None,
        }
    }
}

/// A query that was admitted and taken on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who calls, for whom.
    pub context: &'a RequestContext,
    /// The scope that NATS checked.
    pub scope: Scope,
    /// The verb, still to be known.
    pub verb: &'a str,
    /// How the body is written and the answer will be.
    pub encoding: Encoding,
}

/// One agent's query: for whom, where it is read, in what encoding it is answered.
pub(crate) struct Call<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) scope: &'a TenantScope,
    pub(crate) reader: &'a Reader,
    pub(crate) host: &'a Arc<Host>,
    /// Where the tenant lives.
    pub(crate) home: Home,
    pub(crate) encoding: Encoding,
}

/// The log in which a cursor is good: a shard's, and in it one generation of the tenant's name, so that
/// whoever bears an erased tenant's name has no use for its cursors.
pub(crate) fn incarnation(epoch: u64, generation: u32) -> u64 {
    // The epoch is in milliseconds, which take 41 bits for a while.
    epoch ^ (u64::from(generation.saturating_sub(1)) << 44)
}

impl Call<'_> {
    /// Reads rows, of which an agent whose tenant is suspended there sees none: every look of a
    /// waiting check comes by here, too.
    pub(crate) async fn rows<T, F>(&self, read: F) -> Result<(T, Seen), Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&TenantReader<'_>, Seen) -> Result<T, StoreError> + Send + 'static,
    {
        let read = |rows: &TenantReader<'_>, seen: Seen| match rows.tenant_state()? {
            TenantState::Active => read(rows, seen).map(Some),
            TenantState::Suspended => Ok(None),
        };
        let (found, seen) = read_rows(self.host, self.scope, read).await?;
        Ok((found.ok_or_else(Refusal::suspended)?, seen))
    }

    /// The place that a cursor of this caller's names.
    pub(crate) fn place(&self, text: Option<&str>, kind: Kind) -> Result<Option<Cursor>, Refusal> {
        let epoch = incarnation(self.host.progress().epoch, self.home.key_id.generation);
        text.map(|text| Cursor::decode(text, kind, epoch, self.scope, self.reader))
            .transpose()
    }

    /// The sequence that a cursor of this caller's names.
    pub(crate) fn sequence(&self, text: Option<&str>, kind: Kind) -> Result<Option<u64>, Refusal> {
        self.place(text, kind)?
            .map(|cursor| cursor.sequence())
            .transpose()
    }

    /// The text of a cursor for this caller.
    pub(crate) fn cursor(&self, kind: Kind, seen: Seen, place: Option<&[u8]>) -> Option<String> {
        let epoch = incarnation(seen.position.epoch, self.home.key_id.generation);
        Some(Cursor::at(kind, epoch, place?).encode(self.scope, self.reader))
    }

    pub(crate) fn answer<T: serde::Serialize>(&self, value: &T) -> Answer {
        Answer::of(self.encoding, value)
    }
}

impl Answerer {
    /// Answers a query. It holds a turn while it works, and rests while it waits. The body is read at
    /// once and not kept: thousands of queries wait, and each body is a part of what NATS read.
    ///
    /// # Errors
    /// The refusal to send instead.
    pub async fn answer(
        &self,
        asked: &Asked<'_>,
        body: Bytes,
        ticket: &mut Ticket,
        leaving: &CancellationToken,
    ) -> Result<Answer, Refusal> {
        let Asked {
            context,
            scope,
            verb,
            encoding,
        } = *asked;
        let known = Verb::find(RequestKind::Query, scope, verb).ok_or_else(unknown_verb)?;
        known.check_caller(context)?;
        context.check_claims(&read_claims(encoding, &body)?)?;
        let reading: wire::Reading = encoding.decode(&body)?;
        let query = Query::read(scope, verb, encoding, &body)?;
        drop(body);
        ticket.work().await;
        if matches!(context.principal(), Principal::Operator(_)) {
            return self.answer_operator(asked, &reading, query, ticket).await;
        }
        let (scope, reader) = (context.scope()?, context.reader()?);
        let (home, host) = self.hosts.of(scope).await?;
        self.presence
            .heard(scope.tenant().clone(), reader.clone(), TimeMs::now());
        catch_up(&host, &reading, ticket).await?;
        let call = Call {
            context,
            scope,
            reader,
            host: &host,
            home,
            encoding,
        };
        self.let_in(&call, asked.scope, ticket).await?;
        count_query(&self.counts, scope);
        let fresh = reading.fresh == Some(true);
        match query {
            Query::CheckMessages {
                limit,
                cursor,
                wait_ms,
            } => {
                self.check(&call, limit, cursor.as_deref(), wait_ms, ticket, leaving)
                    .await
            }
            Query::GetMemory(wanted) => self.get_memory(&call, &wanted, fresh).await,
            Query::ListMemories(wanted) => self.list_memories(&call, &wanted, fresh).await,
            Query::Recall(wanted) => self.recall(&call, wanted, fresh, ticket).await,
            Query::SearchMessages(wanted) => self.search_messages(&call, wanted, ticket).await,
            query => self.read(&call, query).await,
        }
    }

    /// An answer has been sent: what it delivered becomes an event.
    pub fn sent(&self, delivered: Option<(TenantScope, Reader, Vec<EventKey>)>) {
        if let Some((scope, reader, keys)) = delivered {
            self.deliveries.add(&scope, &reader, keys);
        }
    }

    /// Lets in whose role has a credential with the scope that stands. NATS has checked the caller's own;
    /// this is the second wall. A reader's first call registers it, and waits until that is applied.
    async fn let_in(
        &self,
        call: &Call<'_>,
        asked: Scope,
        ticket: &mut Ticket,
    ) -> Result<(), Refusal> {
        let reader = call.reader.clone();
        let look = move |rows: &TenantReader<'_>, _: Seen| -> Result<_, StoreError> {
            let grants = rows.role_grants(&reader.role, asked)?;
            Ok((rows.reader_state(&reader)?, grants))
        };
        let (state, grants) = call.rows(look.clone()).await?.0;
        match state {
            ReaderState::Registered if grants => Ok(()),
            ReaderState::Registered => Err(lacks(asked)),
            // The broker knows whether one that was retired has been issued a new credential since.
            ReaderState::Unknown | ReaderState::Retired => {
                let observation = Observation::FirstCall {
                    reader: call.reader.clone(),
                };
                ticket.rest();
                let position = self.brokers.observe(call.scope, &observation).await?;
                call.host.wait_for(position).await?;
                ticket.work().await;
                let ((_, grants), _) = call.rows(look).await?;
                if grants { Ok(()) } else { Err(lacks(asked)) }
            }
        }
    }

    async fn read(&self, call: &Call<'_>, query: Query) -> Result<Answer, Refusal> {
        match query {
            Query::WhoAmI => self.who_am_i(call).await,
            Query::ListPeers(page) => self.list_peers(call, page).await,
            Query::ListAgents(page) => self.list_own_agents(call, page).await,
            Query::GetMessage { message } => self.get_message(call, message).await,
            Query::MessageStatus { message, page } => {
                self.message_status(call, message, page).await
            }
            Query::ListMessages(wanted) => self.list_messages(call, wanted).await,
            Query::Usage(asked) => self.own_usage(call, &asked).await,
            Query::GetTask { task } => self.get_task(call, task).await,
            Query::ListTasks(wanted) => self.list_tasks(call, wanted).await,
            Query::GetMission { mission } => self.get_mission(call, mission).await,
            Query::ListMissions(wanted) => self.list_missions(call, wanted).await,
            _ => Err(unknown_verb()),
        }
    }

    /// Whether an answer is more than NATS carries; then `limit` becomes half of what it held.
    /// What is accepted of one message always fits (see [`postroad_protocol::limits`]).
    pub(crate) fn is_too_long(&self, answer: &Answer, limit: &mut usize, held: usize) -> bool {
        let too_long = answer.body.len() > self.max_body && held > 1;
        if too_long {
            *limit = held / 2;
        }
        too_long
    }

    async fn who_am_i(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let reader = call.reader.clone();
        let (unread, seen) = call.rows(move |rows, _| rows.unread(&reader)).await?;
        let known = self.presence.of(call.scope, call.reader, TimeMs::now());
        Ok(call.answer(&query::WhoAmI {
            tenant_id: Some(call.scope.tenant().to_string()),
            role: call.reader.role.to_string(),
            instance_id: call.reader.instance.clone(),
            unread_total: Some(unread.total()),
            highest_priority: unread.highest(),
            position: Some(seen.position),
            watching: known.is_some_and(|known| known.watching),
            wake_asked_at: known.and_then(|known| known.wake_asked_at),
            wake_confirmed_at: known.and_then(|known| known.wake_confirmed_at),
        }))
    }

    async fn list_peers(&self, call: &Call<'_>, page: Page) -> Result<Answer, Refusal> {
        let after = call.place(page.cursor.as_deref(), Kind::Peers)?;
        let (listed, seen) = call
            .rows(move |rows, _| {
                let after = after.as_ref().map(Cursor::place);
                rows.peers(PageOf {
                    limit: page.limit,
                    after,
                })
            })
            .await?;
        let mut peers = listed.rows;
        self.add_presence(call.scope, &mut peers);
        let next_cursor = call.cursor(Kind::Peers, seen, listed.next.as_deref());
        Ok(call.answer(&query::Peers {
            peers,
            next_cursor,
            position: seen.position,
            stale: seen.stale,
        }))
    }

    /// What this process has heard of them since.
    pub(crate) fn add_presence(&self, scope: &TenantScope, peers: &mut [query::Peer]) {
        let now = TimeMs::now();
        for peer in peers {
            let Some(instance) = &peer.instance_id else {
                continue;
            };
            let who = Reader {
                role: peer.id.clone(),
                instance: instance.clone(),
            };
            if let Some(known) = self.presence.of(scope, &who, now) {
                peer.last_seen = peer.last_seen.max(Some(known.at));
                peer.online = known.online;
                peer.watching = known.watching;
                peer.wake_asked_at = known.wake_asked_at;
                peer.wake_confirmed_at = known.wake_confirmed_at;
            }
        }
    }

    async fn get_message(&self, call: &Call<'_>, message: MessageId) -> Result<Answer, Refusal> {
        let reader = call.reader.clone();
        let (found, seen) = call
            .rows(move |rows, _| rows.get_message(&reader, message))
            .await?;
        let message = found.ok_or_else(|| Refusal::not_found("messageId", "message"))?;
        Ok(call.answer(&query::OneMessage {
            message,
            position: seen.position,
            stale: seen.stale,
        }))
    }

    async fn message_status(
        &self,
        call: &Call<'_>,
        message: MessageId,
        page: Page,
    ) -> Result<Answer, Refusal> {
        let kind = Kind::Status(message);
        let after = call.place(page.cursor.as_deref(), kind)?;
        let role = call.reader.role.clone();
        let (found, seen) = call
            .rows(move |rows, _| {
                let after = after.as_ref().map(Cursor::place);
                rows.message_status(
                    &role,
                    message,
                    PageOf {
                        limit: page.limit,
                        after,
                    },
                )
            })
            .await?;
        let status = found.ok_or_else(|| Refusal::not_found("messageId", "message"))?;
        Ok(call.answer(&query::MessageStatus {
            message_id: message,
            recipient_count: status.recipient_count,
            delivered_count: status.delivered_count,
            read_count: status.read_count,
            next_cursor: call.cursor(kind, seen, status.next.as_deref()),
            receipts: status.receipts,
            position: seen.position,
            stale: seen.stale,
        }))
    }

    async fn list_messages(
        &self,
        call: &Call<'_>,
        wanted: ListMessages,
    ) -> Result<Answer, Refusal> {
        let before = call.sequence(wanted.page.cursor.as_deref(), Kind::List)?;
        let mut limit = wanted.page.limit;
        loop {
            let (reader, mut wanted) = (call.reader.clone(), wanted.clone());
            wanted.page.limit = limit;
            let ((page, unread), seen) = call
                .rows(move |rows, _| {
                    Ok((
                        rows.list_messages(&reader, &wanted, before)?,
                        rows.unread(&reader)?,
                    ))
                })
                .await?;
            let next = page.next_before.map(u64::to_be_bytes);
            let held = page.messages.len();
            let answer = call.answer(&query::Messages {
                messages: page.messages,
                unread_total: unread.total(),
                highest_priority: unread.highest(),
                tasks: None,
                truncated: next.is_some(),
                next_cursor: call.cursor(Kind::List, seen, next.as_ref().map(<[u8; 8]>::as_slice)),
                position: seen.position,
                stale: seen.stale,
            });
            if !self.is_too_long(&answer, &mut limit, held) {
                return Ok(answer);
            }
        }
    }
}

/// The refusal of a caller whose role has no credential with the scope.
fn lacks(scope: Scope) -> Refusal {
    Refusal::new(
        ErrorCode::PermissionDenied,
        format!(
            "no credential of the role that stands has the scope `{}`",
            scope.token()
        ),
        "have one issued with that scope: `postroad agent issue --scope`",
    )
}

/// Waits for what the caller must see.
async fn catch_up(
    host: &Host,
    reading: &wire::Reading,
    ticket: &mut Ticket,
) -> Result<(), Refusal> {
    let fresh = reading.fresh == Some(true);
    let elsewhere = |position: &Position| position.shard != host.shard().number();
    let behind = reading
        .position
        .filter(|position| elsewhere(position) || !host.has_reached(*position));
    if behind.is_none() && !fresh {
        return Ok(());
    }
    ticket.rest();
    if let Some(position) = behind {
        host.wait_for(position).await?;
    }
    if fresh {
        host.wait_for_end().await?;
    }
    ticket.work().await;
    Ok(())
}
