//! Who else is there: every reader of the tenant with its summary, and roles that wait for their
//! first. Owns the log's side of it; presence is the caller's to add.

use super::keys::{ListedKey, RowKey};
use super::readers::ReaderRow;
use super::table::{Listed, PageOf, TenantReader};
use crate::store::StoreError;
use postroad_protocol::id::Role;
use postroad_protocol::query::Peer;

/// Rows that one page looks at: those that were retired are passed over, and may be many.
const LOOKED_AT_MAX: usize = 2_000;

impl TenantReader<'_> {
    /// Readers in order of role and instance, and roles that have none; without what was retired.
    /// `last_seen` is the log's, `online` is left for the caller to say.
    pub fn peers(&self, page: PageOf<'_>) -> Result<Listed<Peer>, StoreError> {
        let mut place = page.after.unwrap_or_default();
        let from = Role::read(&mut place);
        let mut rows: Vec<Peer> = Vec::new();
        let mut looked_at = 0;
        let mut last: Option<Vec<u8>> = page.after.map(<[u8]>::to_vec);
        for role in self.roles_from(from.as_ref())? {
            let (role, role_row) = role?;
            let resumed = page.after.filter(|_| from.as_ref() == Some(&role));
            let mut peers = Vec::new();
            if role_row.is_live() && role_row.readers > 0 {
                for reader in self.list::<ReaderRow>(&role, resumed)? {
                    let (reader, row) = reader?;
                    let place = reader.bytes();
                    peers.push((
                        place,
                        row.live
                            .then(|| peer(reader.role, &row, Some(reader.instance))),
                    ));
                    if rows.len() + peers.len() > page.limit
                        || looked_at + peers.len() > LOOKED_AT_MAX
                    {
                        break;
                    }
                }
            } else {
                let waits = role_row.is_live() && resumed.is_none();
                let shown = waits.then(|| peer(role.clone(), &ReaderRow::default(), None));
                peers.push((role.bytes(), shown));
            }
            for (place, peer) in peers {
                let is_full = peer.is_some() && rows.len() >= page.limit;
                if is_full || looked_at >= LOOKED_AT_MAX {
                    let next = last.map(Into::into);
                    return Ok(Listed { rows, next });
                }
                looked_at += 1;
                rows.extend(peer);
                last = Some(place);
            }
        }
        Ok(Listed { rows, next: None })
    }
}

fn peer(id: Role, row: &ReaderRow, instance_id: Option<postroad_protocol::id::InstanceId>) -> Peer {
    Peer {
        id,
        instance_id,
        summary: (!row.summary.is_empty()).then(|| row.summary.clone()),
        last_seen: row.last_active,
        online: false,
    }
}
