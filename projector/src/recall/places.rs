//! Rows of several owners, in whichever shards they lie, read together off the async threads: one moment each.

use super::keep::{Keep, Slot};
use crate::hosts::Host;
use crate::rows::{Seen, failed};
use crate::side::{SideError, Tenure};
use crate::store::{
    Library, MemoryReader, Reach, Searched, Snapshot, Store, StoreError, TenantReader,
};
use crate::vectors::Vectors;
use postroad_log::Home;
use postroad_protocol::error::Refusal;
use postroad_protocol::position::Position;
use postroad_protocol::query::TenantState;
use postroad_protocol::tenancy::{RequestContext, TenantScope};
use std::sync::Arc;

/// Whose memories are read, and where they lie.
pub(super) struct Place {
    host: Arc<Host>,
    /// None for the shared library.
    scope: Option<TenantScope>,
    tenure: Tenure,
}

impl Place {
    /// A tenant's, who lives in `home`.
    pub(super) fn of(host: Arc<Host>, scope: TenantScope, home: Home) -> Self {
        let tenure = Tenure::of(&scope, home);
        Self {
            host,
            scope: Some(scope),
            tenure,
        }
    }

    /// The shared library's.
    pub(super) fn library(host: Arc<Host>) -> Self {
        Self {
            host,
            scope: None,
            tenure: Tenure::system(),
        }
    }

    /// What the model made of its memories so far; none where that cannot be read now: words are searched then.
    fn vectors(&self) -> Option<Vectors> {
        let vectors = Vectors::of(&self.host.sides().vectors, self.tenure.clone());
        let told = |error: &SideError| tracing::debug!(%error, "vectors cannot be read now");
        vectors.inspect_err(told).ok()
    }
}

/// The rows of one place.
enum Rows<'s> {
    Tenant(TenantReader<'s>),
    Library(Library<'s>),
}

/// Places whose rows are open.
pub(super) struct Opened<'r, 's> {
    rows: &'r [Rows<'s>],
    readers: Vec<MemoryReader<'r, 's>>,
    slots: &'r [Slot],
    places: &'r [Place],
}

impl<'r, 's> Opened<'r, 's> {
    /// The memories of each place.
    pub(super) fn readers(&self) -> &[MemoryReader<'r, 's>] {
        &self.readers
    }

    /// Whether the agents of the first place's tenant are served.
    pub(super) fn tenant_state(&self) -> Result<TenantState, StoreError> {
        match self.rows.first() {
            Some(Rows::Tenant(rows)) => rows.tenant_state(),
            _ => Ok(TenantState::Active),
        }
    }

    /// What is to be searched of each place, as far as its own reach goes; and of which place each is. Vectors are looked for only
    /// `by_meaning`.
    pub(super) fn searched<'a>(
        &'a self,
        keep: &Keep,
        reaches: &[Reach],
        by_meaning: bool,
    ) -> Result<(Vec<Searched<'a, 's>>, Vec<usize>), StoreError> {
        let (mut searched, mut of) = (Vec::new(), Vec::new());
        for (place, (reader, reach)) in self.readers.iter().zip(reaches).enumerate() {
            let (slot, at) = (&self.slots[place], &self.places[place]);
            let vectors = if by_meaning { at.vectors() } else { None };
            searched.extend(reader.searched(reach, |namespace, rows| {
                keep.hold(&slot.of(namespace), rows, vectors.as_ref())
            })?);
            of.resize(searched.len(), place);
        }
        Ok((searched, of))
    }
}

/// Reads `places`, and says what was seen of each.
///
/// # Errors
/// `internal` when rows do not read; the cause goes to the log, and to the pipelines.
pub(super) async fn read_places<T, F>(
    places: Vec<Place>,
    context: &RequestContext,
    read: F,
) -> Result<(T, Vec<Seen>), Refusal>
where
    T: Send + 'static,
    F: FnOnce(&Opened<'_, '_>) -> Result<T, StoreError> + Send + 'static,
{
    let stores: Vec<Store> = places.iter().map(|place| place.host.store()).collect();
    let hosts: Vec<Arc<Host>> = places.iter().map(|place| Arc::clone(&place.host)).collect();
    let (served, context) = (stores.clone(), context.clone());
    let work = move || read_now(&places, &stores, &context, read);
    let error = match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error,
        Err(error) => return Err(failed(hosts[0].shard().number(), &error)),
    };
    // A search reads several places as one; that one of them does not read again will show.
    for (host, store) in hosts.iter().zip(&served) {
        host.did_not_read(store, &error);
    }
    Err(failed(hosts[0].shard().number(), &error))
}

fn read_now<T>(
    places: &[Place],
    stores: &[Store],
    context: &RequestContext,
    read: impl FnOnce(&Opened<'_, '_>) -> Result<T, StoreError>,
) -> Result<(T, Vec<Seen>), StoreError> {
    let snapshots = stores
        .iter()
        .map(Store::snapshot)
        .collect::<Result<Vec<_>, _>>()?;
    let (mut rows, mut seen, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for (place, snapshot) in places.iter().zip(&snapshots) {
        let position = position(place, snapshot)?;
        seen.push(Seen {
            position,
            stale: place.host.progress().is_damaged(),
        });
        slots.push(Slot::new(position, place.scope.as_ref()));
        rows.push(match &place.scope {
            Some(scope) => Rows::Tenant(snapshot.tenant(scope)),
            None => Rows::Library(snapshot.library(context)),
        });
    }
    let readers = rows.iter().map(|rows| match rows {
        Rows::Tenant(rows) => rows.memories(),
        Rows::Library(library) => library.memories(),
    });
    let opened = Opened {
        readers: readers.collect(),
        rows: &rows,
        slots: &slots,
        places,
    };
    Ok((read(&opened)?, seen))
}

/// The snapshot's own place, which may be ahead of the progress that was published.
fn position(place: &Place, snapshot: &Snapshot) -> Result<Position, StoreError> {
    let shard = place.host.shard().number();
    Ok(snapshot.checkpoint()?.map_or_else(
        || place.host.progress().position(shard),
        |checkpoint| Position {
            shard,
            epoch: checkpoint.epoch,
            sequence: checkpoint.sequence,
        },
    ))
}
