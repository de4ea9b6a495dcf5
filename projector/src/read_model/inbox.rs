//! Checking mail: a reader's unread messages over its three lanes, oldest first. Owns the walk
//! that costs what it returns, however much lies unread or read behind it.

use super::bits::{BLOCK, split};
use super::lanes::LaneView;
use super::marks::{Marks, Via};
use super::priorities::Counts;
use super::readers::{LaneState, ReaderRow, Standing};
use super::receipts::ReceiptRow;
use super::table::TenantReader;
use crate::store::StoreError;
use postroad_protocol::event::{EventKey, Priority};
use postroad_protocol::id::Reader;
use postroad_protocol::query;

/// Answer to a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckPage {
    /// Unread messages, oldest first.
    pub messages: Vec<query::Message>,
    /// Those of them that had not gone out in an answer before.
    pub undelivered: Vec<EventKey>,
    /// How many are unread, whether in this page or not.
    pub unread_total: u64,
    /// The highest priority of them; none when nothing is unread.
    pub highest_priority: Option<Priority>,
    /// Whether more unread messages follow the last one here.
    pub truncated: bool,
    /// The sequence of the last message here: a later check goes on behind it.
    pub next_after: Option<u64>,
}

/// The unread messages of one lane, in order.
struct UnreadLane<'r, 's> {
    rows: &'r TenantReader<'s>,
    reader: &'r Reader,
    via: Via,
    lane: LaneView<'r, 's>,
    state: &'r LaneState,
    /// From here on nothing was looked at.
    next: u64,
    /// The block that was looked at last.
    block: Option<(u64, Marks)>,
    /// The next unread message's sequence.
    head: Option<u64>,
}

impl<'r, 's> UnreadLane<'r, 's> {
    fn open(
        rows: &'r TenantReader<'s>,
        reader: &'r Reader,
        row: &'r ReaderRow,
        via: Via,
        after: Option<u64>,
    ) -> Result<Self, StoreError> {
        let mut lane = LaneView::open(rows, via.lane(reader))?;
        let state = row.lane(via);
        let next = match after {
            // Where nothing is unread, looking for the place would cost rows for nothing.
            Some(sequence) if state.unread(lane.counts()).total() > 0 => {
                lane.first_after(sequence)?.max(state.start())
            }
            _ => state.start(),
        };
        let mut unread = Self {
            rows,
            reader,
            via,
            lane,
            state,
            next,
            block: None,
            head: None,
        };
        unread.advance()?;
        Ok(unread)
    }

    fn unread(&self) -> Counts {
        self.state.unread(self.lane.counts())
    }

    /// Moves `head` to the next unread message.
    fn advance(&mut self) -> Result<(), StoreError> {
        self.head = None;
        let end = self.state.end(self.lane.count());
        if self.unread().total() == 0 {
            return Ok(());
        }
        while self.next < end {
            let (block, place) = split(self.next);
            let open = self.state.full.first_absent(block);
            if open != block {
                self.next = open * BLOCK;
                continue;
            }
            match self.marks(block)?.first_unread(place) {
                None => self.next = (block + 1) * BLOCK,
                Some(place) => {
                    let ordinal = block * BLOCK + place.offset();
                    self.next = ordinal + 1;
                    if ordinal < end {
                        self.head = Some(self.lane.sequence(ordinal)?);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn marks(&mut self, block: u64) -> Result<&Marks, StoreError> {
        let held = self.block.take().filter(|(held, _)| *held == block);
        let marks = match held {
            Some((_, marks)) => marks,
            None => self
                .rows
                .marks_row(self.reader, self.via, block)?
                .unwrap_or_default(),
        };
        Ok(&self.block.insert((block, marks)).1)
    }
}

impl TenantReader<'_> {
    /// Unread messages of `reader`, oldest first, from behind the sequence `after`: at most `limit`,
    /// and at most `max_bytes` of content, but one at least.
    pub fn check(
        &self,
        reader: &Reader,
        limit: usize,
        after: Option<u64>,
        max_bytes: usize,
    ) -> Result<CheckPage, StoreError> {
        let row = self.reader_row(reader)?;
        if !row.is_known() {
            return Ok(CheckPage::default());
        }
        let mut lanes = Vec::with_capacity(Via::ALL.len());
        for via in Via::ALL {
            lanes.push(UnreadLane::open(self, reader, &row, via, after)?);
        }
        let unread = lanes.iter().map(UnreadLane::unread);
        let unread = unread.fold(Counts::default(), Counts::plus);
        let mut page = CheckPage {
            unread_total: unread.total(),
            highest_priority: unread.highest(),
            ..CheckPage::default()
        };
        let mut bytes = 0;
        loop {
            let heads = lanes.iter_mut().filter(|lane| lane.head.is_some());
            let Some(lane) = heads.min_by_key(|lane| lane.head) else {
                break;
            };
            let Some(sequence) = lane.head else { break };
            if page.messages.len() >= limit {
                page.truncated = true;
                break;
            }
            let message = self.message_at(sequence)?;
            bytes += message.content.len();
            if bytes > max_bytes && !page.messages.is_empty() {
                page.truncated = true;
                break;
            }
            let receipt = self.get::<ReceiptRow>(&(sequence, reader.clone()))?;
            if receipt.is_none() {
                page.undelivered.push(message.key);
            }
            page.messages
                .push(message.shown(reader, Standing::Unread, receipt));
            page.next_after = Some(sequence);
            lane.advance()?;
        }
        Ok(page)
    }

    /// How many messages of each priority are unread for `reader`.
    pub fn unread(&self, reader: &Reader) -> Result<Counts, StoreError> {
        let row = self.reader_row(reader)?;
        let mut unread = Counts::default();
        if !row.is_known() {
            return Ok(unread);
        }
        for via in Via::ALL {
            let lane = LaneView::open(self, via.lane(reader))?;
            unread = unread.plus(row.lane(via).unread(lane.counts()));
        }
        Ok(unread)
    }
}
