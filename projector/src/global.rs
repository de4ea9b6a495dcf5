//! The operator's view over tenants: messages and peers of one that is named, or of all in order of
//! name. Owns the walk from tenant to tenant; each that a page has read is told so in its own log
//! before anything is shown.

use crate::answer::{Answer, Answerer, Asked};
use crate::cursor::{Cursor, Kind};
use crate::hosts::Host;
use crate::rows::read_rows;
use crate::store::{PageOf, Room, StoreError, TenantReader};
use futures_util::future::try_join_all;
use postroad_protocol::body::Encoding;
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::TenantId;
use postroad_protocol::limits::TENANTS_PER_PAGE;
use postroad_protocol::position::Position;
use postroad_protocol::query::{self, ChannelFilter, ListMessages, Page, bad_cursor, wire};
use postroad_protocol::subject::Owner;
use postroad_protocol::tenancy::TenantScope;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// One query for the operator, over whichever tenants it names.
pub(crate) struct Tour<'a> {
    asked: &'a Asked<'a>,
    reading: &'a wire::Reading,
    kind: Kind,
    start: Option<Place>,
}

/// Where a list over tenants goes on.
pub(crate) struct Place {
    /// Of the log in which `inside` names a place.
    epoch: u64,
    tenant: TenantId,
    /// Behind this in the tenant's own list; none for behind the tenant.
    inside: Option<Box<[u8]>>,
}

impl Place {
    fn behind(tenant: TenantId) -> Self {
        Self {
            epoch: 0,
            tenant,
            inside: None,
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = self.epoch.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.tenant.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.inside.as_deref().unwrap_or_default());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (tenant, inside) = (&rest[..end], &rest[end + 1..]);
        Some(Self {
            epoch: u64::from_be_bytes(*epoch),
            tenant: TenantId::parse(std::str::from_utf8(tenant).ok()?).ok()?,
            inside: (!inside.is_empty()).then(|| inside.into()),
        })
    }
}

/// What one page has read of one tenant.
pub(crate) struct Part<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<Box<[u8]>>,
    pub(crate) room: Room,
}

impl<T> Part<T> {
    /// Of a tenant of which nothing is asked for.
    pub(crate) fn empty(room: Room) -> Self {
        Self {
            rows: Vec::new(),
            next: None,
            room,
        }
    }
}

/// A page over tenants.
pub(crate) struct Walked<T> {
    pub(crate) parts: Vec<(TenantScope, Vec<T>)>,
    pub(crate) next: Option<Place>,
    pub(crate) position: Option<Position>,
    pub(crate) stale: bool,
}

/// What a page over tenants shows.
pub(crate) struct Told<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) position: Option<Position>,
    pub(crate) stale: bool,
}

impl<T> Walked<T> {
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// Whom the page has read, and how much of each it shows.
    pub(crate) fn touched(&self) -> Vec<(TenantScope, usize)> {
        let part = |(scope, rows): &(TenantScope, Vec<T>)| (scope.clone(), rows.len());
        self.parts.iter().map(part).collect()
    }
}

impl Answerer {
    /// Messages of the tenant that the operator names, or of all.
    pub(crate) async fn list_tenant_messages(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        wanted: ListMessages,
    ) -> Result<Answer, Refusal> {
        let tour = Tour::begin(asked, reading, Kind::List, &wanted.page)?;
        let (limit, what) = (wanted.page.limit, format!("messages{}", filters(&wanted)));
        let read = move |rows: &TenantReader<'_>, inside: Option<&[u8]>, mut room: Room| {
            // A cursor's place is its own: the fingerprint was checked.
            let before = inside.and_then(|place| <[u8; 8]>::try_from(place).ok());
            let page = rows.every_message(&wanted, before.map(u64::from_be_bytes), &mut room)?;
            Ok(Part {
                rows: page.messages,
                next: page.next_before.map(|before| before.to_be_bytes().into()),
                room,
            })
        };
        let name = |message: &mut query::Message, tenant| message.tenant_id = Some(tenant);
        let show = |encoding, told: Told<query::Message>| {
            Answer::of(
                encoding,
                &query::TenantMessages {
                    messages: told.rows,
                    truncated: told.next_cursor.is_some(),
                    next_cursor: told.next_cursor,
                    position: told.position,
                    stale: told.stale,
                },
            )
        };
        let (answer, _) = self.tell(&tour, limit, &what, read, name, show).await?;
        Ok(answer)
    }

    /// Agents of the tenant that the operator names, or of all.
    pub(crate) async fn list_tenant_peers(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        page: Page,
    ) -> Result<Answer, Refusal> {
        let tour = Tour::begin(asked, reading, Kind::Peers, &page)?;
        let mut walked = self
            .walk(&tour, page.limit, |rows, after, mut room| {
                let page = PageOf {
                    limit: room.rows(),
                    after,
                };
                let listed = rows.peers(page)?;
                room.take(listed.rows.len());
                Ok(Part {
                    rows: listed.rows,
                    next: listed.next,
                    room,
                })
            })
            .await?;
        for (scope, peers) in &mut walked.parts {
            self.add_presence(scope, peers);
            for peer in peers {
                peer.tenant_id = Some(scope.tenant().clone());
            }
        }
        self.audit_each(asked, &walked.touched(), "agents").await?;
        let next_cursor = tour.cursor(walked.next.as_ref())?;
        let peers = walked.parts.into_iter().flat_map(|(_, peers)| peers);
        Ok(Answer::of(
            asked.encoding,
            &query::TenantPeers {
                peers: peers.collect(),
                next_cursor,
                position: walked.position,
                stale: walked.stale,
            },
        ))
    }

    /// A page over tenants of at most `limit` rows, and fewer where NATS carries no more; and how many it has. Each row is
    /// given its tenant's name. Every tenant that was read is told so, and `what` was read, before this returns.
    pub(crate) async fn tell<T, F>(
        &self,
        tour: &Tour<'_>,
        mut limit: usize,
        what: &str,
        read: F,
        name: fn(&mut T, TenantId),
        show: fn(Encoding, Told<T>) -> Answer,
    ) -> Result<(Answer, usize), Refusal>
    where
        T: Send + 'static,
        F: Fn(&TenantReader<'_>, Option<&[u8]>, Room) -> Result<Part<T>, StoreError>,
        F: Clone + Send + 'static,
    {
        loop {
            let walked = self.walk(tour, limit, read.clone()).await?;
            let (touched, held) = (walked.touched(), walked.len());
            let next_cursor = tour.cursor(walked.next.as_ref())?;
            let (position, stale) = (walked.position, walked.stale);
            let rows = walked.parts.into_iter().flat_map(|(scope, mut rows)| {
                for row in &mut rows {
                    name(row, scope.tenant().clone());
                }
                rows
            });
            let told = Told {
                rows: rows.collect(),
                next_cursor,
                position,
                stale,
            };
            let answer = show(tour.asked.encoding, told);
            if !self.is_too_long(&answer, &mut limit, held) {
                self.audit_each(tour.asked, &touched, what).await?;
                return Ok((answer, held));
            }
        }
    }

    /// Reads tenant after tenant until the page is full. It may end early: it reads a bounded number.
    pub(crate) async fn walk<T, F>(
        &self,
        tour: &Tour<'_>,
        limit: usize,
        read: F,
    ) -> Result<Walked<T>, Refusal>
    where
        T: Send + 'static,
        F: Fn(&TenantReader<'_>, Option<&[u8]>, Room) -> Result<Part<T>, StoreError>,
        F: Clone + Send + 'static,
    {
        let named = tour.asked.context.scope_or_all();
        let mut tenants = self.tenants(tour, named).await?;
        let more = tenants.len() > TENANTS_PER_PAGE;
        tenants.truncate(TENANTS_PER_PAGE);
        let mut walked = Walked {
            parts: Vec::new(),
            next: None,
            position: None,
            stale: false,
        };
        let (mut room, mut passed, mut caught_up) = (Room::of(limit), None, BTreeSet::new());
        for tenant in tenants {
            if room.is_spent() {
                walked.next = passed.map(Place::behind);
                return Ok(walked);
            }
            let scope = tour.asked.context.operator_scope(&tenant)?;
            let Some(host) = self
                .host_of(&scope, named.is_some(), &mut walked.stale)
                .await?
            else {
                passed = Some(tenant);
                continue;
            };
            tour.catch_up(&host, &mut caught_up).await?;
            let inside = tour.inside(&tenant, host.progress().epoch)?;
            let read = read.clone();
            let (part, seen) = read_rows(&host, &scope, move |rows, _| {
                read(rows, inside.as_deref(), room)
            })
            .await?;
            room = part.room;
            walked.stale |= seen.stale;
            walked.position = named.map(|_| seen.position);
            walked.parts.push((scope, part.rows));
            if part.next.is_some() {
                walked.next = Some(Place {
                    epoch: seen.position.epoch,
                    tenant,
                    inside: part.next,
                });
                return Ok(walked);
            }
            passed = Some(tenant);
        }
        walked.next = passed.filter(|_| more).map(Place::behind);
        Ok(walked)
    }

    /// The tenants that a page may read, and one more where there is one.
    async fn tenants(
        &self,
        tour: &Tour<'_>,
        named: Option<&TenantScope>,
    ) -> Result<Vec<TenantId>, Refusal> {
        if let Some(scope) = named {
            return Ok(vec![scope.tenant().clone()]);
        }
        let register = self.register().await?;
        let start = tour.start.as_ref();
        let start = start.map_or(Bound::Unbounded, |place| match place.inside {
            Some(_) => Bound::Included(&place.tenant),
            None => Bound::Excluded(&place.tenant),
        });
        Ok(register.tenants_from(start, TENANTS_PER_PAGE + 1))
    }

    /// Where a tenant is read; nothing for one that is passed over: it is gone meanwhile, or its key does
    /// not open, so that no read of it could be told in its log. One that was named is refused instead.
    pub(crate) async fn host_of(
        &self,
        scope: &TenantScope,
        is_named: bool,
        stale: &mut bool,
    ) -> Result<Option<Arc<Host>>, Refusal> {
        let found = self.home(scope).await;
        if is_named {
            return found.map(|(_, host)| Some(host));
        }
        match found {
            Err(refusal) if refusal.code == ErrorCode::NotFound => Ok(None),
            Ok(_) if self.has_no_key(scope) => {
                *stale = true;
                Ok(None)
            }
            found => found.map(|(_, host)| Some(host)),
        }
    }

    fn has_no_key(&self, scope: &TenantScope) -> bool {
        let keyring = self.hosts.keyring();
        keyring.current(Owner::Tenant(scope.tenant())).is_none()
    }

    /// The read's own event in every tenant that it touched, all at once; without them nothing is answered.
    pub(crate) async fn audit_each(
        &self,
        asked: &Asked<'_>,
        touched: &[(TenantScope, usize)],
        what: &str,
    ) -> Result<(), Refusal> {
        let operator = asked.context.require_operator()?;
        let audits = touched.iter().map(|(scope, shown)| async move {
            let what = format!("{shown} {what}");
            self.audit(scope, operator, asked.verb, &what).await
        });
        try_join_all(audits).await.map(drop)
    }
}

impl<'a> Tour<'a> {
    pub(crate) fn begin(
        asked: &'a Asked<'a>,
        reading: &'a wire::Reading,
        kind: Kind,
        page: &Page,
    ) -> Result<Self, Refusal> {
        let operator = asked.context.require_operator()?;
        let named = asked.context.scope_or_all();
        let read = |text: &str| {
            // Each tenant lives in a log of its own age: the place says which, not the cursor.
            let cursor = Cursor::decode_for_operator(text, kind, 0, named, operator)?;
            Place::read(cursor.place()).ok_or_else(bad_cursor)
        };
        Ok(Self {
            asked,
            reading,
            kind,
            start: page.cursor.as_deref().map(read).transpose()?,
        })
    }

    /// Where the list of `tenant` goes on, whose log began at `epoch`; nothing for its beginning.
    fn inside(&self, tenant: &TenantId, epoch: u64) -> Result<Option<Box<[u8]>>, Refusal> {
        match &self.start {
            Some(start) if start.tenant == *tenant && start.inside.is_some() => {
                if start.epoch != epoch {
                    return Err(bad_cursor());
                }
                Ok(start.inside.clone())
            }
            _ => Ok(None),
        }
    }

    /// Waits for what the caller must see; once a shard.
    async fn catch_up(&self, host: &Host, done: &mut BTreeSet<u16>) -> Result<(), Refusal> {
        let shard = host.shard().number();
        if !done.insert(shard) {
            return Ok(());
        }
        let is_named = self.asked.context.scope_or_all().is_some();
        let position = self.reading.position;
        if let Some(position) = position.filter(|place| is_named || place.shard == shard) {
            host.wait_for(position).await?;
        }
        if self.reading.fresh == Some(true) {
            host.wait_for_end().await?;
        }
        Ok(())
    }

    pub(crate) fn cursor(&self, next: Option<&Place>) -> Result<Option<String>, Refusal> {
        let operator = self.asked.context.require_operator()?;
        let named = self.asked.context.scope_or_all();
        Ok(next.map(|place| {
            Cursor::at(self.kind, 0, &place.write()).encode_for_operator(named, operator)
        }))
    }
}

/// By what a list was narrowed, for the audit trail.
fn filters(wanted: &ListMessages) -> String {
    let mut text = String::new();
    if let Some(sender) = &wanted.sender {
        text.push_str(&format!(" from {sender}"));
    }
    match &wanted.channel {
        Some(ChannelFilter::Broadcast) => text.push_str(" to broadcast"),
        Some(ChannelFilter::Role(role)) => text.push_str(&format!(" to {role}")),
        None => {}
    }
    if let Some(since) = wanted.since {
        text.push_str(&format!(" since {}", since.0));
    }
    if let Some(until) = wanted.until {
        text.push_str(&format!(" until {}", until.0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;
    use postroad_protocol::id::InstanceId;
    use postroad_protocol::limits::CURSOR_MAX_CHARS;
    use proptest::prelude::*;

    #[test]
    fn the_longest_place_fits_the_longest_cursor() {
        let name = "a".repeat(64);
        let place = Place {
            epoch: u64::MAX,
            tenant: TenantId::parse(&name).unwrap(),
            // A reader among peers.
            inside: Some([b'a'; 2 * 65].into()),
        };
        let operator = InstanceId::parse(&name).unwrap();
        let text = Cursor::at(Kind::Peers, 0, &place.write())
            .encode_for_operator(Some(&scope(&name)), &operator);
        assert!(text.len() <= CURSOR_MAX_CHARS, "{}", text.len());
    }

    proptest! {
        #[test]
        fn a_place_reads_as_it_was_written(
            epoch in any::<u64>(),
            name in "[a-z0-9][a-z0-9_-]{0,63}",
            inside in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40)),
        ) {
            let tenant = TenantId::parse(&name).unwrap();
            let inside = inside.map(Vec::into_boxed_slice);
            let place = Place { epoch, tenant: tenant.clone(), inside: inside.clone() };
            let read = Place::read(&place.write()).unwrap();
            prop_assert_eq!((read.epoch, read.tenant, read.inside), (epoch, tenant, inside));
        }

        #[test]
        fn garbage_is_no_place(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            // Whatever is read is a place, written in the one way there is: nothing panics.
            if let Some(place) = Place::read(&bytes) {
                let written = place.write();
                prop_assert_eq!(Place::read(&written).map(|again| again.write()), Some(written));
            }
        }
    }
}
