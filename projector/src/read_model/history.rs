//! One's own history: what a reader's role sent and what was addressed to the reader, newest
//! first. Owns who may see a message; never shows anybody else's.

use super::events::Route;
use super::lanes::{Lane, LaneView};
use super::marks::Via;
use super::messages::MessageRow;
use super::readers::ReaderRow;
use super::receipts::ReceiptRow;
use super::table::TenantReader;
use crate::store::StoreError;
use postroad_protocol::channel::Channel;
use postroad_protocol::id::{MessageId, Reader};
use postroad_protocol::limits::ANSWER_MAX_BYTES;
use postroad_protocol::query::{self, ChannelFilter, ListMessages};

/// Messages that one page looks at, shown or not: a filter that fits few must not hold up others.
const LOOKED_AT_MAX: usize = 2_000;
/// Bytes of content that one page looks at.
const LOOKED_AT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Answer to a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// Messages, newest first.
    pub messages: Vec<query::Message>,
    /// The next page lies before this sequence; none when this is the last. A page may hold fewer
    /// messages than were asked for, or none, and not be the last.
    pub next_before: Option<u64>,
}

/// A lane walked from its end.
pub(super) struct HistoryLane<'r, 's> {
    lane: LaneView<'r, 's>,
    low: u64,
    /// Ordinals from here on were passed.
    high: u64,
    /// The sequence just before.
    head: Option<u64>,
}

impl<'r, 's> HistoryLane<'r, 's> {
    pub(super) fn open(
        rows: &'r TenantReader<'s>,
        lane: Lane,
        low: u64,
        end: impl Fn(u64) -> u64,
        before: Option<u64>,
    ) -> Result<Self, StoreError> {
        let mut lane = LaneView::open(rows, lane)?;
        let end = end(lane.count());
        let high = match before.map(|sequence| sequence.checked_sub(1)) {
            None => end,
            Some(None) => low,
            Some(Some(last)) => lane.first_after(last)?.min(end),
        };
        let mut walked = Self {
            lane,
            low,
            high,
            head: None,
        };
        walked.settle_head()?;
        Ok(walked)
    }

    fn settle_head(&mut self) -> Result<(), StoreError> {
        self.head = if self.high > self.low {
            Some(self.lane.sequence(self.high - 1)?)
        } else {
            None
        };
        Ok(())
    }

    /// The sequence of the next message; none at the lane's beginning.
    pub(super) fn head(&self) -> Option<u64> {
        self.head
    }

    /// How many messages it has left.
    pub(super) fn left(&self) -> u64 {
        self.high.saturating_sub(self.low)
    }

    /// Passes `sequence`, if it is the next.
    pub(super) fn pass(&mut self, sequence: u64) -> Result<(), StoreError> {
        if self.head == Some(sequence) {
            self.high -= 1;
            self.settle_head()?;
        }
        Ok(())
    }
}

impl TenantReader<'_> {
    /// One message of the history of `reader`; nothing for what is not in it, or not there.
    pub fn get_message(
        &self,
        reader: &Reader,
        id: MessageId,
    ) -> Result<Option<query::Message>, StoreError> {
        let row = self.reader_row(reader)?;
        for found in self.messages_with(id)? {
            let (sequence, message) = found?;
            let route = self.route_of(&message)?;
            if is_visible(reader, &row, &message, &route) {
                return self
                    .shown(reader, &row, sequence, message, &route)
                    .map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a message with this id is in the history of `reader`.
    pub fn visible(&self, reader: &Reader, id: MessageId) -> Result<bool, StoreError> {
        let row = self.reader_row(reader)?;
        for found in self.messages_with(id)? {
            let (_, message) = found?;
            if is_visible(reader, &row, &message, &self.route_of(&message)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The history of `reader` before the sequence `before`, as far as `wanted` narrows it.
    pub fn list_messages(
        &self,
        reader: &Reader,
        wanted: &ListMessages,
        before: Option<u64>,
    ) -> Result<HistoryPage, StoreError> {
        let row = self.reader_row(reader)?;
        let mut lanes = self.history_lanes(reader, &row, wanted, before)?;
        let mut page = HistoryPage::default();
        let (mut looked_at, mut bytes, mut shown_bytes) = (0, 0, 0);
        let mut last = None;
        while let Some(sequence) = lanes.iter().filter_map(|lane| lane.head).max() {
            let is_full = page.messages.len() >= wanted.page.limit;
            if is_full || looked_at >= LOOKED_AT_MAX || bytes >= LOOKED_AT_MAX_BYTES {
                page.next_before = last;
                break;
            }
            let message = self.message_at(sequence)?;
            looked_at += 1;
            bytes += message.content.len();
            if fits(wanted, &message) {
                shown_bytes += message.content.len();
                if shown_bytes > ANSWER_MAX_BYTES && !page.messages.is_empty() {
                    page.next_before = last;
                    break;
                }
                let route = self.route_of(&message)?;
                page.messages
                    .push(self.shown(reader, &row, sequence, message, &route)?);
            }
            last = Some(sequence);
            for lane in &mut lanes {
                lane.pass(sequence)?;
            }
        }
        Ok(page)
    }

    /// The lanes in which what is wanted can lie. A message that the role sent to itself lies in two.
    fn history_lanes<'r>(
        &'r self,
        reader: &Reader,
        row: &ReaderRow,
        wanted: &ListMessages,
        before: Option<u64>,
    ) -> Result<Vec<HistoryLane<'r, 'r>>, StoreError> {
        let sent = Lane::Sent(reader.role.clone());
        let mut lanes = vec![HistoryLane::open(self, sent, 0, |count| count, before)?];
        if !row.is_known() || wanted.sender.as_ref() == Some(&reader.role) {
            return Ok(lanes);
        }
        let vias: &[Via] = match wanted.channel {
            None => &Via::ALL,
            Some(ChannelFilter::Broadcast) => &[Via::Broadcast],
            Some(ChannelFilter::Role(_)) => &[Via::Role, Via::Instance],
        };
        for via in vias {
            let state = row.lane(*via);
            let end = |count| state.end(count);
            lanes.push(HistoryLane::open(
                self,
                via.lane(reader),
                state.start(),
                end,
                before,
            )?);
        }
        Ok(lanes)
    }

    pub(super) fn route_of(&self, message: &MessageRow<'_>) -> Result<Route, StoreError> {
        let event = self.route(message.key)?;
        Ok(event.map(|event| event.route).unwrap_or_default())
    }

    pub(super) fn shown(
        &self,
        reader: &Reader,
        row: &ReaderRow,
        sequence: u64,
        message: MessageRow<'_>,
        route: &Route,
    ) -> Result<query::Message, StoreError> {
        let standing = self.standing(reader, row, route)?;
        let happened = if standing.has_receipt() {
            self.get::<ReceiptRow>(&(sequence, reader.clone()))?
        } else {
            None
        };
        Ok(message.shown(reader, standing, happened))
    }
}

fn is_visible(reader: &Reader, row: &ReaderRow, message: &MessageRow<'_>, route: &Route) -> bool {
    message.from.role == reader.role
        || route
            .to(reader)
            .is_some_and(|(via, ordinal)| row.holds(via, ordinal))
}

pub(super) fn fits(wanted: &ListMessages, message: &MessageRow<'_>) -> bool {
    let channel = match (&wanted.channel, &*message.channel) {
        (None, _) | (Some(ChannelFilter::Broadcast), Channel::Broadcast) => true,
        (Some(ChannelFilter::Role(role)), Channel::Roles(roles)) => roles.contains(role),
        _ => false,
    };
    channel
        && wanted
            .sender
            .as_ref()
            .is_none_or(|role| *role == message.from.role)
        && wanted.since.is_none_or(|since| message.time >= since)
        && wanted.until.is_none_or(|until| message.time < until)
}
