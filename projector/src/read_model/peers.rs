//! Who else is there: every reader of the tenant with its summary, and roles that wait for their
//! first. Owns the log's side of it; presence is the caller's to add.

use super::keys::{ListedKey, RowKey};
use super::readers::ReaderRow;
use super::table::{Listed, PageOf, TenantReader};
use crate::store::StoreError;
use postroad_protocol::id::Role;
use postroad_protocol::query::Peer;

/// Rows that one page looks at: those that were retired are passed over, and may be many.
const LOOKED_AT_MAX: usize = if cfg!(test) { 16 } else { 2_000 };

/// A page while it is gathered.
struct Gathered {
    limit: usize,
    rows: Vec<Peer>,
    looked_at: usize,
    /// The last place that was looked at: the next page begins behind it.
    last: Option<Box<[u8]>>,
}

impl Gathered {
    /// Takes the next place, shown or passed over; refuses it when the page is full.
    fn take(&mut self, place: &[u8], peer: Option<Peer>) -> bool {
        let is_full = peer.is_some() && self.rows.len() >= self.limit;
        if is_full || self.looked_at >= LOOKED_AT_MAX {
            return false;
        }
        self.looked_at += 1;
        self.rows.extend(peer);
        self.last = Some(place.into());
        true
    }

    fn cut(self) -> Listed<Peer> {
        Listed {
            rows: self.rows,
            next: self.last,
        }
    }
}

impl TenantReader<'_> {
    /// Readers in order of role and instance, and roles that have none; without what was retired.
    /// `last_seen` is the log's, `online` is left for the caller to say. A page may hold fewer than
    /// its limit, even none, and still have a next: it looks at a bounded number of rows.
    pub fn peers(&self, page: PageOf<'_>) -> Result<Listed<Peer>, StoreError> {
        let from = Role::read(&mut page.after.unwrap_or_default());
        let mut found = Gathered {
            limit: page.limit,
            rows: Vec::new(),
            looked_at: 0,
            last: page.after.map(Into::into),
        };
        for role in self.roles_from(from.as_ref())? {
            let (role, role_row) = role?;
            let resumed = page.after.filter(|_| from.as_ref() == Some(&role));
            if role_row.is_live() && role_row.readers > 0 {
                for reader in self.list::<ReaderRow>(&role, resumed)? {
                    let (reader, row) = reader?;
                    let place = reader.bytes();
                    let shown = row
                        .live
                        .then(|| peer(reader.role, &row, Some(reader.instance)));
                    if !found.take(&place, shown) {
                        return Ok(found.cut());
                    }
                }
            } else if resumed.is_none() {
                let shown = role_row
                    .is_live()
                    .then(|| peer(role.clone(), &ReaderRow::default(), None));
                if !found.take(&role.bytes(), shown) {
                    return Ok(found.cut());
                }
            }
        }
        Ok(Listed {
            rows: found.rows,
            next: None,
        })
    }
}

fn peer(id: Role, row: &ReaderRow, instance_id: Option<postroad_protocol::id::InstanceId>) -> Peer {
    Peer {
        tenant_id: None,
        id,
        instance_id,
        summary: (!row.summary.is_empty()).then(|| row.summary.clone()),
        last_seen: row.last_active,
        online: false,
        watching: false,
        wake_asked_at: None,
        wake_confirmed_at: None,
    }
}
