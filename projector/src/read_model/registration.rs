//! Registration and retirement: how a reader begins, what it inherits, and how it ends. Owns what
//! that does to the reader's lanes; who may register is the broker's to decide.

use super::batch::TenantWriter;
use super::bits::{BLOCK, Place, place_in};
use super::marks::{Marks, Via};
use super::priorities::Counts;
use super::readers::{LaneState, ReaderRow};
use super::roster::RoleRow;
use crate::store::StoreError;
use postroad_protocol::id::{Reader, TimeMs};

impl TenantWriter<'_, '_> {
    /// Makes `reader` one that gets receipts. It inherits what its role was sent before: unread
    /// what no instance has read, the rest as read. One that comes back keeps its old receipts.
    pub(super) fn register(&mut self, reader: &Reader, time: TimeMs) -> Result<(), StoreError> {
        let mut row = self.see::<ReaderRow>(reader)?.cloned().unwrap_or_default();
        if row.live {
            return Ok(());
        }
        if !row.is_known() {
            let role = self.see::<RoleRow>(&reader.role)?;
            let start = role.map_or(Counts::default(), |role| role.broadcast_start);
            row.lane_mut(Via::Broadcast).start = start;
        }
        for via in Via::ALL {
            *row.lane_mut(via) = self.inherit(reader, via, row.lane(via))?;
        }
        row.lives += 1;
        row.live = true;
        row.registered_at = time;
        *self.edit(reader)? = Some(row);
        if let Some(role) = self.edit::<RoleRow>(&reader.role)? {
            role.readers += 1;
        }
        self.tenant_row()?.readers += 1;
        Ok(())
    }

    fn inherit(
        &mut self,
        reader: &Reader,
        via: Via,
        before: &LaneState,
    ) -> Result<LaneState, StoreError> {
        let lane = via.lane(reader);
        let count = self.lane_counts(&lane)?.total();
        // What lies before this it met in an earlier life, and has receipts of.
        let unmet = before.end.unwrap_or(before.start).total();
        let mut state = LaneState {
            start: before.start,
            inherited_below: count,
            ..LaneState::default()
        };
        for block in before.start() / BLOCK..count.div_ceil(BLOCK) {
            let key = via.marks(reader, block);
            let read_by_role = match via.role_marks(reader, block) {
                Some(role) => self.see::<Marks>(&role)?.map(|marks| marks.read.clone()),
                None => None,
            };
            if let Some(read) = read_by_role {
                let marks = self.edit::<Marks>(&key)?.get_or_insert_default();
                marks.read.insert_all(&read, Place::FIRST);
                if let Some(unmet) = place_in(block, unmet) {
                    marks.inherited.insert_all(&read, unmet);
                }
            }
            let start = place_in(block, before.start()).unwrap_or(Place::FIRST);
            let priorities = self.priorities(&lane, block)?.cloned().unwrap_or_default();
            if let Some(marks) = self.see::<Marks>(&key)? {
                state.settled = state.settled.plus(marks.settled(start, &priorities));
                if marks.first_unread(start).is_none() {
                    state.full.insert(block);
                }
            }
        }
        Ok(state)
    }

    /// Ends `reader`: no new receipts, old ones kept.
    pub(super) fn end_reader(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let Some(mut row) = self
            .see::<ReaderRow>(reader)?
            .filter(|row| row.live)
            .cloned()
        else {
            return Ok(());
        };
        row.live = false;
        for via in Via::ALL {
            row.lane_mut(via).end = Some(self.lane_counts(&via.lane(reader))?);
        }
        *self.edit(reader)? = Some(row);
        if let Some(role) = self.edit::<RoleRow>(&reader.role)? {
            role.readers -= 1;
        }
        self.tenant_row()?.readers -= 1;
        Ok(())
    }
}
