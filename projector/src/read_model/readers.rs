//! Readers: where each began in its lanes, and what is settled there. Owns what a message is to a
//! reader; how one begins and ends is in [`super::registration`], its receipts in [`super::receipts`].

use super::batch::TenantWriter;
use super::bits::{BLOCK, Place, Runs, place_in, split};
use super::events::Route;
use super::hot::{Hot, HotCache, HotRow};
use super::lanes::Lane;
use super::marks::{Marks, MarksKey, Via};
use super::priorities::Counts;
use super::roster::RoleRow;
use super::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::id::{Reader, TimeMs};
use serde::{Deserialize, Serialize};

/// How much later an agent must be heard of for its row to say so, in milliseconds.
const ACTIVITY_STEP_MS: u64 = 10_000;

/// Everything about a reader that does not grow with its mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderRow {
    /// How often it registered: 0 for one that acted and has not registered yet.
    pub(super) lives: u32,
    pub(super) live: bool,
    pub(super) registered_at: TimeMs,
    pub(super) last_active: Option<TimeMs>,
    pub(super) summary: String,
    lanes: [LaneState; 3],
}

impl Row for ReaderRow {
    type Key = Reader;
    const TABLE: Table = Table::Readers;
}

impl HotRow for ReaderRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.readers
    }
}

/// Where a reader stands in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaneState {
    /// The lane's counts before the first message that is its.
    pub(super) start: Counts,
    /// The lane's count when it last registered: only below this it may have inherited.
    pub(super) inherited_below: u64,
    /// The lane's counts when it was retired.
    pub(super) end: Option<Counts>,
    /// How many messages from `start` on are not unread.
    pub(super) settled: Counts,
    /// Blocks in which none is unread: looking for the next one skips them.
    pub(super) full: Runs,
}

impl LaneState {
    /// The first ordinal that is the reader's.
    pub(super) fn start(&self) -> u64 {
        self.start.total()
    }

    /// Behind the last ordinal that is the reader's, in a lane of `count` messages.
    pub(super) fn end(&self, count: u64) -> u64 {
        self.end.map_or(count, Counts::total)
    }

    fn holds(&self, ordinal: u64) -> bool {
        self.start() <= ordinal && self.end.is_none_or(|end| ordinal < end.total())
    }

    /// How many are unread, in a lane that has `counts`.
    pub(super) fn unread(&self, counts: Counts) -> Counts {
        self.end
            .unwrap_or(counts)
            .less(self.start)
            .less(self.settled)
    }
}

/// What a message is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not meant for it, sent by itself, or outside its time.
    None,
    /// Read by its role before it registered: part of its history, without a receipt.
    Inherited,
    /// It has a receipt, and a check still shows it.
    Unread,
    /// It has a receipt that no check shows any more.
    Read,
}

impl Standing {
    pub(super) fn has_receipt(self) -> bool {
        matches!(self, Self::Unread | Self::Read)
    }
}

/// What a reader is to the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    /// It gets receipts.
    Registered,
    /// It was retired, or its role was, or no credential of the role stands any more; what it got
    /// before is kept.
    Retired,
    /// It never registered.
    Unknown,
}

impl Via {
    pub(super) fn lane(self, reader: &Reader) -> Lane {
        match self {
            Self::Role => Lane::Role(reader.role.clone()),
            Self::Broadcast => Lane::Broadcast,
            Self::Instance => Lane::Instance(reader.clone()),
        }
    }

    pub(super) fn marks(self, reader: &Reader, block: u64) -> MarksKey {
        MarksKey {
            role: reader.role.clone(),
            instance: Some(reader.instance.clone()),
            via: self,
            block,
        }
    }

    /// Marks of what any instance has read; an instance's own lane is nobody else's.
    pub(super) fn role_marks(self, reader: &Reader, block: u64) -> Option<MarksKey> {
        (self != Self::Instance).then(|| MarksKey {
            instance: None,
            ..self.marks(reader, block)
        })
    }
}

impl ReaderRow {
    pub(super) fn lane(&self, via: Via) -> &LaneState {
        &self.lanes[via as usize]
    }

    pub(super) fn lane_mut(&mut self, via: Via) -> &mut LaneState {
        &mut self.lanes[via as usize]
    }

    pub(super) fn is_known(&self) -> bool {
        self.lives > 0
    }

    /// Whether the ordinal is the reader's to see: history, if not a receipt.
    pub(super) fn holds(&self, via: Via, ordinal: u64) -> bool {
        self.is_known() && self.lane(via).holds(ordinal)
    }

    /// Whether the ordinal may be inherited as read, so that only its marks tell.
    pub(super) fn may_have_inherited(&self, via: Via, ordinal: u64) -> bool {
        ordinal < self.lane(via).inherited_below
    }

    fn standing(&self, via: Via, ordinal: u64, marks: Option<&Marks>) -> Standing {
        let (_, place) = split(ordinal);
        if !self.holds(via, ordinal) {
            return Standing::None;
        }
        match marks {
            Some(marks) if marks.own.contains(place) => Standing::None,
            Some(marks) if marks.inherited.contains(place) => Standing::Inherited,
            Some(marks) if marks.read.contains(place) => Standing::Read,
            _ => Standing::Unread,
        }
    }
}

impl TenantWriter<'_, '_> {
    /// The reader was heard of in the log. Kept to within ten seconds, so that a busy agent's row
    /// is not written with each of its messages; times are those of several machines, so one that
    /// lies before what is known changes nothing.
    pub(super) fn heard_of(&mut self, reader: &Reader, time: TimeMs) -> Result<(), StoreError> {
        let known = self
            .see::<ReaderRow>(reader)?
            .and_then(|row| row.last_active);
        if known.is_none_or(|known| time.0 >= known.0.saturating_add(ACTIVITY_STEP_MS)) {
            let row = self.edit::<ReaderRow>(reader)?.get_or_insert_default();
            row.last_active = Some(time);
        }
        Ok(())
    }

    /// What the message along `route` is to `reader`, and where.
    pub(super) fn standing(
        &mut self,
        reader: &Reader,
        route: &Route,
    ) -> Result<Option<(Standing, Via, u64)>, StoreError> {
        let Some((via, ordinal)) = route.to(reader) else {
            return Ok(None);
        };
        let key = via.marks(reader, ordinal / BLOCK);
        let marks = self.see::<Marks>(&key)?.cloned();
        let row = self.see::<ReaderRow>(reader)?;
        let standing = row.map(|row| row.standing(via, ordinal, marks.as_ref()));
        Ok(standing.map(|standing| (standing, via, ordinal)))
    }

    /// The reader has read the message with this ordinal.
    pub(super) fn settle_read(
        &mut self,
        reader: &Reader,
        via: Via,
        ordinal: u64,
    ) -> Result<(), StoreError> {
        let (block, place) = split(ordinal);
        if let Some(role) = via.role_marks(reader, block) {
            self.edit::<Marks>(&role)?
                .get_or_insert_default()
                .read
                .insert(place);
        }
        self.settle_ordinal(reader, via, ordinal, |marks| marks.read.insert(place))
    }

    /// The message with this ordinal is the instance's own.
    pub(super) fn settle_own(
        &mut self,
        reader: &Reader,
        via: Via,
        ordinal: u64,
    ) -> Result<(), StoreError> {
        let (_, place) = split(ordinal);
        self.settle_ordinal(reader, via, ordinal, |marks| marks.own.insert(place))
    }

    /// Changes the marks of an unread ordinal so that it no longer is.
    fn settle_ordinal(
        &mut self,
        reader: &Reader,
        via: Via,
        ordinal: u64,
        change: impl FnOnce(&mut Marks) -> bool,
    ) -> Result<(), StoreError> {
        let start = self
            .see::<ReaderRow>(reader)?
            .map_or(0, |row| row.lane(via).start());
        let (block, _) = split(ordinal);
        let start = place_in(block, start).unwrap_or(Place::FIRST);
        let marks = self
            .edit::<Marks>(&via.marks(reader, block))?
            .get_or_insert_default();
        change(marks);
        let is_full = marks.first_unread(start).is_none();
        let priority = self.priority_at(&via.lane(reader), ordinal)?;
        // Marks of one that has not registered, or was retired before, are counted when it registers.
        if let Some(row) = self
            .edit::<ReaderRow>(reader)?
            .as_mut()
            .filter(|row| row.holds(via, ordinal))
        {
            let lane = row.lane_mut(via);
            lane.settled.add(priority);
            if is_full {
                lane.full.insert(block);
            }
        }
        Ok(())
    }
}

impl TenantReader<'_> {
    /// What the roster says of `reader`.
    pub fn reader_state(&self, reader: &Reader) -> Result<ReaderState, StoreError> {
        let row = self.get::<ReaderRow>(reader)?;
        let role = self.get::<RoleRow>(&reader.role)?;
        Ok(match row.filter(ReaderRow::is_known) {
            None => ReaderState::Unknown,
            Some(row) if row.live && role.is_some_and(|role| role.is_served()) => {
                ReaderState::Registered
            }
            Some(_) => ReaderState::Retired,
        })
    }

    /// Whether `reader` gets receipts.
    pub fn is_registered(&self, reader: &Reader) -> Result<bool, StoreError> {
        Ok(self.reader_state(reader)? == ReaderState::Registered)
    }

    pub(super) fn reader_row(&self, reader: &Reader) -> Result<ReaderRow, StoreError> {
        Ok(self.get(reader)?.unwrap_or_default())
    }

    pub(super) fn marks_row(
        &self,
        reader: &Reader,
        via: Via,
        block: u64,
    ) -> Result<Option<Marks>, StoreError> {
        self.get(&via.marks(reader, block))
    }

    /// What the message along `route` is to `reader`, whose row is `row`.
    pub(super) fn standing(
        &self,
        reader: &Reader,
        row: &ReaderRow,
        route: &Route,
    ) -> Result<Standing, StoreError> {
        match route.to(reader) {
            Some((via, ordinal)) if row.holds(via, ordinal) => {
                let marks = self.marks_row(reader, via, ordinal / BLOCK)?;
                Ok(row.standing(via, ordinal, marks.as_ref()))
            }
            _ => Ok(Standing::None),
        }
    }
}
