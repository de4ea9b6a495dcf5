//! Questions about memories: what agents ask of their own tenant and of the shared library, what the operator asks of all.
//!
//! | module | owns |
//! |---|---|
//! | this | an agent's questions |
//! | [`operator`] | the operator's, each with its event in the tenant's log |
//! | [`places`] | rows of several owners, read together off the async threads |
//! | [`keep`] | what searches keep in memory between each other |

mod keep;
mod operator;
mod places;

pub(crate) use keep::Keep;

use crate::answer::{Answer, Answerer, Call};
use crate::cursor::{Cursor, Kind};
use crate::hosts::Host;
use crate::rows::Seen;
use crate::side::Tenure;
use crate::store::{Found, MemoryReader, Reach, Room};
use crate::turns::Ticket;
use places::{Place, read_places};
use postroad_protocol::error::Refusal;
use postroad_protocol::id::TimeMs;
use postroad_protocol::limits::{ANSWER_MAX_BYTES, LIBRARY_SHARD};
use postroad_protocol::query::{
    self, AsOf, GetMemory, ListMemories, Memory, Recall, RecallMode, TenantState, bad_cursor,
};
use postroad_recall::vector::Vector;
use std::sync::Arc;

/// Where a list of memories goes on.
#[derive(Clone, Copy)]
enum From {
    Tenant(Option<u64>),
    Library(Option<u64>),
}

/// A page of a tenant's memories, and of the library behind them.
struct Listed {
    memories: Vec<Memory>,
    next: Option<From>,
}

/// The sequence in a cursor's place; the highest stands for the beginning.
fn before(cursor: &Cursor) -> Result<Option<u64>, Refusal> {
    let sequence = cursor.sequence()?;
    Ok(Some(sequence).filter(|sequence| *sequence < u64::MAX))
}

impl Answerer {
    /// Where the shared library lies.
    fn library(&self) -> Result<Arc<Host>, Refusal> {
        self.hosts.shard(LIBRARY_SHARD)
    }

    /// The caller's tenant, and the library where it is asked about.
    async fn places(
        &self,
        call: &Call<'_>,
        with_library: bool,
        fresh: bool,
    ) -> Result<Vec<Place>, Refusal> {
        let own = Place::of(Arc::clone(call.host), call.scope.clone(), call.home);
        let mut places = vec![own];
        if with_library {
            let library = self.library()?;
            if fresh && !Arc::ptr_eq(&library, call.host) {
                library.wait_for_end().await?;
            }
            places.push(Place::library(library));
        }
        Ok(places)
    }

    pub(crate) async fn get_memory(
        &self,
        call: &Call<'_>,
        wanted: &GetMemory,
        fresh: bool,
    ) -> Result<Answer, Refusal> {
        let with_library = is_of_one_log(wanted.as_of, call);
        let places = self.places(call, with_library, fresh).await?;
        let (role, wanted, now) = (call.reader.role.clone(), wanted.clone(), TimeMs::now());
        let (found, seen) = read_places(places, call.context, move |opened| {
            if opened.tenant_state()? == TenantState::Suspended {
                return Ok(None);
            }
            let readers = opened.readers();
            let own = readers[0].get(&wanted, Some(&role), now)?;
            let found = match (own, readers.get(1)) {
                (None, Some(library)) => library.get(&wanted, None, now)?,
                (found, _) => found,
            };
            Ok(Some(found))
        })
        .await?;
        let found = found.ok_or_else(Refusal::suspended)?;
        let memory = found.ok_or_else(|| Refusal::not_found("memoryId", "memory"))?;
        Ok(call.answer(&query::OneMemory {
            memory,
            position: Some(seen[0].position),
            stale: is_stale(&seen),
        }))
    }

    pub(crate) async fn list_memories(
        &self,
        call: &Call<'_>,
        wanted: &ListMemories,
        fresh: bool,
    ) -> Result<Answer, Refusal> {
        let role = &call.reader.role;
        let reach = Reach::of(wanted.namespace.as_ref(), call.scope.tenant(), Some(role))?;
        let from = match wanted.page.cursor.as_deref() {
            None => From::Tenant(None),
            Some(text) => match call.place(Some(text), Kind::Memories) {
                Ok(cursor) => From::Tenant(before(&cursor.ok_or_else(bad_cursor)?)?),
                Err(refusal) => match call.place(Some(text), Kind::Library) {
                    Ok(Some(cursor)) if reach.with_library => From::Library(before(&cursor)?),
                    _ => return Err(refusal),
                },
            },
        };
        let mut limit = wanted.page.limit;
        loop {
            let places = self.places(call, reach.with_library, fresh).await?;
            let (reach, wanted, now) = (reach.clone(), wanted.clone(), TimeMs::now());
            let (listed, seen) = read_places(places, call.context, move |opened| {
                if opened.tenant_state()? == TenantState::Suspended {
                    return Ok(None);
                }
                list(opened.readers(), &reach, &wanted, from, limit, now).map(Some)
            })
            .await?;
            let listed = listed.ok_or_else(Refusal::suspended)?;
            let next_cursor = listed.next.and_then(|next| {
                let (kind, before) = match next {
                    From::Tenant(before) => (Kind::Memories, before),
                    From::Library(before) => (Kind::Library, before),
                };
                let place = before.unwrap_or(u64::MAX).to_be_bytes();
                call.cursor(kind, seen[0], Some(&place))
            });
            let held = listed.memories.len();
            let answer = call.answer(&query::Memories {
                memories: listed.memories,
                truncated: next_cursor.is_some(),
                next_cursor,
                position: Some(seen[0].position),
                stale: is_stale(&seen),
            });
            if !self.is_too_long(&answer, &mut limit, held) {
                return Ok(answer);
            }
        }
    }

    pub(crate) async fn recall(
        &self,
        call: &Call<'_>,
        wanted: Recall,
        fresh: bool,
        ticket: &mut Ticket,
    ) -> Result<Answer, Refusal> {
        let role = &call.reader.role;
        let reach = Reach::of(wanted.namespace.as_ref(), call.scope.tenant(), Some(role))?;
        ticket.rest();
        let tenure = Tenure::of(call.scope, call.home);
        let vector = self.meaning.embed_query(&tenure, &wanted.query).await;
        let with_library = reach.with_library && is_of_one_log(wanted.as_of, call);
        let places = self.places(call, with_library, fresh).await?;
        ticket.work().await;
        let mode = mode_of(vector.as_ref());
        let (keep, now) = (Arc::clone(&self.keep), TimeMs::now());
        let (found, seen) = read_places(places, call.context, move |opened| {
            if opened.tenant_state()? == TenantState::Suspended {
                return Ok(None);
            }
            let reaches = [reach, Reach::library()];
            let vector = vector.as_ref();
            let (searched, _) = opened.searched(&keep, &reaches, vector.is_some())?;
            let found = crate::store::recall(&searched, &wanted, vector, now, ANSWER_MAX_BYTES)?;
            Ok(Some(found))
        })
        .await?;
        let found = found.ok_or_else(Refusal::suspended)?;
        let (position, stale) = (Some(seen[0].position), is_stale(&seen));
        Ok(self.recalled(call.encoding, found, mode, position, stale))
    }

    /// The answer, with as many of the results as NATS carries.
    fn recalled(
        &self,
        encoding: postroad_protocol::body::Encoding,
        found: Found,
        mode: RecallMode,
        position: Option<postroad_protocol::Position>,
        stale: bool,
    ) -> Answer {
        let mut recalled = query::Recalled {
            results: found.results,
            matched: found.matched as u64,
            awaiting: found.awaiting as u64,
            mode,
            truncated: found.truncated,
            position,
            stale,
        };
        loop {
            let answer = Answer::of(encoding, &recalled);
            let mut fit = recalled.results.len();
            let held = fit;
            if !self.is_too_long(&answer, &mut fit, held) {
                return answer;
            }
            recalled.results.truncate(fit);
            recalled.truncated = true;
        }
    }
}

/// Whether the shared library can be asked as of then: a sequence is a place of the tenant's shard, and says nothing of another.
fn is_of_one_log(as_of: Option<AsOf>, call: &Call<'_>) -> bool {
    !matches!(as_of, Some(AsOf::Sequence(_))) || call.home.shard == LIBRARY_SHARD
}

/// How a query is answered that means this.
fn mode_of(vector: Option<&Vector>) -> RecallMode {
    match vector {
        Some(_) => RecallMode::WordsAndMeaning,
        None => RecallMode::Words,
    }
}

/// Whether any of what was read is of a damaged shard.
fn is_stale(seen: &[Seen]) -> bool {
    seen.iter().any(|seen| seen.stale)
}

/// The tenant's memories from there on, and behind them the library's.
fn list(
    readers: &[MemoryReader<'_, '_>],
    reach: &Reach,
    wanted: &ListMemories,
    from: From,
    limit: usize,
    now: TimeMs,
) -> Result<Listed, crate::store::StoreError> {
    let mut room = Room::of(limit);
    let mut memories = Vec::new();
    let library_from = match from {
        From::Library(before) => before,
        From::Tenant(before) => {
            let page = readers[0].list(reach, wanted, before, now, &mut room)?;
            memories = page.memories;
            if page.next_before.is_some() {
                let next = page.next_before.map(|before| From::Tenant(Some(before)));
                return Ok(Listed { memories, next });
            }
            None
        }
    };
    let Some(library) = readers.get(1) else {
        return Ok(Listed {
            memories,
            next: None,
        });
    };
    if room.is_spent() {
        let mut one = Room::of(1);
        let first = library.list(&Reach::library(), wanted, library_from, now, &mut one)?;
        let is_empty = first.memories.is_empty() && first.next_before.is_none();
        return Ok(Listed {
            memories,
            next: (!is_empty).then_some(From::Library(library_from)),
        });
    }
    let page = library.list(&Reach::library(), wanted, library_from, now, &mut room)?;
    memories.extend(page.memories);
    let next = page.next_before.map(|before| From::Library(Some(before)));
    Ok(Listed { memories, next })
}
