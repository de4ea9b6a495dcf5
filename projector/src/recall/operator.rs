//! What the operator asks: of one tenant, or of all and the shared library. Each read waits for its own event in the log of every
//! tenant that it touched.

use super::places::{Place, read_places};
use super::{is_stale, mode_of};
use crate::answer::{Answer, Answerer, Asked};
use crate::cursor::{Cursor, Kind};
use crate::global::{Part, Tour};
use crate::side::Tenure;
use crate::store::{Reach, Room, TenantReader};
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{TenantId, TimeMs};
use postroad_protocol::limits::{ANSWER_MAX_BYTES, RECALL_TENANTS_MAX};
use postroad_protocol::query::{self, GetMemory, ListMemories, Memory, Page, Recall, wire};
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

impl Answerer {
    /// One memory of the tenant that the operator names; without one, of the shared library.
    pub(crate) async fn get_tenants_memory(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: &GetMemory,
    ) -> Result<Answer, Refusal> {
        let operator = asked.context.require_operator()?;
        let scope = asked.context.scope_or_all();
        if let Some(scope) = scope {
            self.audit(
                scope,
                operator,
                asked.verb,
                &format!("memory {}", wanted.memory),
            )
            .await?;
        }
        let place = self.place_of(scope, reading).await?;
        let (wanted, now) = (wanted.clone(), TimeMs::now());
        let (found, seen) = read_places(vec![place], asked.context, move |opened| {
            opened.readers()[0].get(&wanted, None, now)
        })
        .await?;
        let memory = found.ok_or_else(|| match scope {
            Some(_) => Refusal::not_found("memoryId", "memory"),
            None => Refusal {
                remedy: "name the tenant whose memory it is (CLI: --tenant); without one, the shared library is meant"
                    .to_owned(),
                ..Refusal::not_found("memoryId", "memory")
            },
        })?;
        let tenant_id = scope.map(|scope| scope.tenant().clone());
        Ok(Answer::of(
            asked.encoding,
            &query::OneMemory {
                memory: Memory {
                    tenant_id,
                    ..memory
                },
                position: scope.map(|_| seen[0].position),
                stale: is_stale(&seen),
            },
        ))
    }

    /// Memories of the tenant that the operator names; without one, of the shared library and then of every tenant.
    pub(crate) async fn list_tenant_memories(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: ListMemories,
    ) -> Result<Answer, Refusal> {
        let operator = asked.context.require_operator()?;
        let mut limit = wanted.page.limit;
        // The library comes first, where no tenant is named; the highest sequence stands for its beginning.
        let library = match (asked.context.scope_or_all(), wanted.page.cursor.as_deref()) {
            (None, None) => Some(u64::MAX),
            (None, Some(text)) => {
                let cursor = Cursor::decode_for_operator(text, Kind::Library, 0, None, operator);
                cursor.ok().map(|cursor| cursor.sequence()).transpose()?
            }
            (Some(_), _) => None,
        };
        loop {
            let listed = self
                .list_from(asked, reading, &wanted, library, limit)
                .await?;
            let answer = Answer::of(asked.encoding, &listed);
            if !self.is_too_long(&answer, &mut limit, listed.memories.len()) {
                return Ok(answer);
            }
        }
    }

    /// A page that begins in the library, at the place that `library` names, or among the tenants.
    async fn list_from(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: &ListMemories,
        library: Option<u64>,
        limit: usize,
    ) -> Result<query::Memories, Refusal> {
        let Some(from) = library else {
            let cursor = wanted.page.cursor.clone();
            return self
                .list_of_tenants(asked, reading, wanted, cursor, limit)
                .await;
        };
        let begun = self
            .list_library(asked, reading, wanted, from, limit)
            .await?;
        if begun.next_cursor.is_some() {
            return Ok(begun);
        }
        let left = limit - begun.memories.len();
        let mut rest = self
            .list_of_tenants(asked, reading, wanted, None, left)
            .await?;
        rest.memories.splice(0..0, begun.memories);
        rest.stale |= begun.stale;
        Ok(rest)
    }

    async fn list_library(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: &ListMemories,
        from: u64,
        limit: usize,
    ) -> Result<query::Memories, Refusal> {
        let operator = asked.context.require_operator()?;
        let place = self.place_of(None, reading).await?;
        let (wanted, now) = (wanted.clone(), TimeMs::now());
        let reaches_library = Reach::of(
            wanted.namespace.as_ref(),
            // Which tenant does not matter: the library is global to all.
            &TenantId::parse("library").map_err(|error| error.at("namespace"))?,
            None,
        )
        .is_ok_and(|reach| reach.with_library);
        let (page, seen) = read_places(vec![place], asked.context, move |opened| {
            if !reaches_library {
                return Ok(crate::store::MemoryPage::default());
            }
            let mut room = Room::of(limit);
            opened.readers()[0].list(&Reach::library(), &wanted, Some(from), now, &mut room)
        })
        .await?;
        // A full page that is the last ends at its beginning: the tenants come behind it.
        let is_full = page.memories.len() >= limit;
        let next = page.next_before.or(is_full.then_some(0)).map(|before| {
            Cursor::at(Kind::Library, 0, &before.to_be_bytes()).encode_for_operator(None, operator)
        });
        Ok(query::Memories {
            truncated: next.is_some(),
            memories: page.memories,
            next_cursor: next,
            position: None,
            stale: is_stale(&seen),
        })
    }

    async fn list_of_tenants(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: &ListMemories,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<query::Memories, Refusal> {
        let page = Page {
            limit,
            cursor: cursor.clone(),
        };
        let tour = Tour::begin(asked, reading, Kind::Memories, &page)?;
        let (what, now) = (narrowed(wanted), TimeMs::now());
        let wanted = wanted.clone();
        let walked = self
            .walk(
                &tour,
                limit,
                move |rows, inside: Option<&[u8]>, mut room| {
                    let before = inside.and_then(|place| <[u8; 8]>::try_from(place).ok());
                    let before = before.map(u64::from_be_bytes);
                    let Some(reach) = reach_in(rows, &wanted) else {
                        return Ok(Part {
                            rows: Vec::new(),
                            next: None,
                            room,
                        });
                    };
                    let page = rows
                        .memories()
                        .list(&reach, &wanted, before, now, &mut room)?;
                    Ok(Part {
                        rows: page.memories,
                        next: page.next_before.map(|before| before.to_be_bytes().into()),
                        room,
                    })
                },
            )
            .await?;
        self.audit_each(asked, &walked.touched(), &format!("memories{what}"))
            .await?;
        let next_cursor = tour.cursor(walked.next.as_ref())?;
        let memories = walked.parts.into_iter().flat_map(|(scope, memories)| {
            memories.into_iter().map(move |memory| Memory {
                tenant_id: Some(scope.tenant().clone()),
                ..memory
            })
        });
        Ok(query::Memories {
            memories: memories.collect(),
            truncated: next_cursor.is_some(),
            next_cursor,
            position: walked.position,
            stale: walked.stale,
        })
    }

    /// Memories that answer a question, of the tenant that the operator names; without one, of all and of the library.
    pub(crate) async fn recall_of_tenants(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: Recall,
    ) -> Result<Answer, Refusal> {
        let named = asked.context.scope_or_all();
        let scopes = self.scopes_to_recall(asked).await?;
        let (mut asked_of, mut reaches, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let mut stale = false;
        for scope in scopes {
            let reach = match Reach::of(wanted.namespace.as_ref(), scope.tenant(), None) {
                Ok(reach) => reach,
                // Another tenant's workspace: nothing of this one is asked for.
                Err(_) if named.is_none() => continue,
                Err(refusal) => return Err(refusal),
            };
            let found = self.host_of(&scope, named.is_some(), &mut stale).await?;
            if found.is_some() {
                asked_of.push(self.place_of(Some(&scope), reading).await?);
                reaches.push(reach);
                owners.push(Some(scope));
            }
        }
        if named.is_none() {
            asked_of.push(self.place_of(None, reading).await?);
            reaches.push(Reach::library());
            owners.push(None);
        }
        let (keep, now) = (Arc::clone(&self.keep), TimeMs::now());
        let vector = self
            .meaning
            .embed_query(&Tenure::system(), &wanted.query)
            .await;
        let mode = mode_of(vector.as_ref());
        let what = format!("what answers \"{}\"", wanted.query);
        let ((mut found, places), seen) = read_places(asked_of, asked.context, move |opened| {
            let vector = vector.as_ref();
            let (searched, of) = opened.searched(&keep, &reaches, vector.is_some())?;
            let found = crate::store::recall(&searched, &wanted, vector, now, ANSWER_MAX_BYTES)?;
            let places: Vec<usize> = found.of.iter().map(|partition| of[*partition]).collect();
            Ok((found, places))
        })
        .await?;
        let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
        for (memory, place) in found.results.iter_mut().zip(&places) {
            *shown.entry(*place).or_default() += 1;
            memory.tenant_id = owners[*place].as_ref().map(|scope| scope.tenant().clone());
        }
        let touched: Vec<(TenantScope, usize)> = owners
            .iter()
            .enumerate()
            .filter_map(|(at, scope)| {
                Some((scope.clone()?, shown.get(&at).copied().unwrap_or_default()))
            })
            .collect();
        self.audit_each(asked, &touched, &what).await?;
        let position = named.map(|_| seen[0].position);
        Ok(self.recalled(
            asked.encoding,
            found,
            mode,
            position,
            stale || is_stale(&seen),
        ))
    }

    async fn scopes_to_recall(&self, asked: &Asked<'_>) -> Result<Vec<TenantScope>, Refusal> {
        if let Some(scope) = asked.context.scope_or_all() {
            return Ok(vec![scope.clone()]);
        }
        let register = self.register().await?;
        let tenants = register.tenants_from(Bound::Unbounded, RECALL_TENANTS_MAX + 1);
        if tenants.len() > RECALL_TENANTS_MAX {
            return Err(Refusal::invalid(
                "tenantId",
                format!("more than {RECALL_TENANTS_MAX} tenants cannot be searched as one"),
                "name a tenant (CLI: --tenant)",
            ));
        }
        let scope = |tenant: &TenantId| asked.context.operator_scope(tenant);
        tenants.iter().map(scope).collect()
    }

    /// A tenant's place, or the library's, as far as the caller must see it.
    async fn place_of(
        &self,
        scope: Option<&TenantScope>,
        reading: &wire::Reading,
    ) -> Result<Place, Refusal> {
        let (place, host) = if let Some(scope) = scope {
            let (home, host) = self.home(scope).await?;
            (Place::of(Arc::clone(&host), scope.clone(), home), host)
        } else {
            let host = self.library()?;
            (Place::library(Arc::clone(&host)), host)
        };
        let shard = host.shard().number();
        if let Some(position) = reading.position.filter(|place| place.shard == shard) {
            host.wait_for(position).await?;
        }
        if reading.fresh == Some(true) {
            host.wait_for_end().await?;
        }
        Ok(place)
    }
}

/// What is asked of a tenant; nothing where another's workspace is asked for.
fn reach_in(rows: &TenantReader<'_>, wanted: &ListMemories) -> Option<Reach> {
    let tenant = TenantId::parse(rows.owner()).ok()?;
    Reach::of(wanted.namespace.as_ref(), &tenant, None).ok()
}

/// By what a list was narrowed, for the audit trail.
fn narrowed(wanted: &ListMemories) -> String {
    let mut text = String::new();
    if let Some(kind) = &wanted.kind {
        text.push_str(&format!(" of type {kind}"));
    }
    if let Some(tag) = &wanted.tag {
        text.push_str(&format!(" tagged {tag}"));
    }
    if let Some(author) = &wanted.created_by {
        text.push_str(&format!(" by {author}"));
    }
    text
}
