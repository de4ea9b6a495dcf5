//! Every message of a tenant, for the operator: newest first, whoever sent it to whom. Shows nobody's
//! receipt. Owns [`Room`], what one page over many tenants may cost; never says who may ask.

use super::history::{HistoryLane, HistoryPage, fits};
use super::lanes::Lane;
use super::messages::MessageRow;
use super::readers::ReaderRow;
use super::table::{Rows, TenantReader};
use crate::store::StoreError;
use postroad_protocol::id::Role;
use postroad_protocol::limits::{ANSWER_MAX_BYTES, DEDUP_WINDOW_S};
use postroad_protocol::query::{ChannelFilter, ListMessages};

/// Messages that one page looks at, shown or not, in all its tenants.
const LOOKED_AT_MAX: usize = if cfg!(test) { 16 } else { 2_000 };
/// Bytes of content that one page looks at.
const LOOKED_AT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Instances of a role whose lanes are walked side by side; of more, all messages are looked at.
const LANES_MAX: usize = if cfg!(test) { 4 } else { 1_024 };
/// A message that lies before another in the log is at most this much younger, in milliseconds: what
/// deduplication, too, takes the clocks of brokers to differ by.
const CLOCKS_APART_MS: u64 = DEDUP_WINDOW_S * 1_000;

/// What is left of a page.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    rows: usize,
    looks: usize,
    looked_bytes: usize,
    shown_bytes: usize,
}

impl Room {
    /// For so many rows.
    pub fn of(rows: usize) -> Self {
        Self {
            rows,
            looks: LOOKED_AT_MAX,
            looked_bytes: LOOKED_AT_MAX_BYTES,
            shown_bytes: 0,
        }
    }

    /// Rows that may still be shown.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the page ends here.
    pub fn is_spent(&self) -> bool {
        self.rows == 0 || self.looks == 0 || self.looked_bytes == 0
    }

    /// So many rows were shown.
    pub fn take(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }

    /// Whether one of so many bytes may still be shown; the first always.
    pub(super) fn holds(&self, bytes: usize) -> bool {
        self.shown_bytes == 0 || self.shown_bytes + bytes <= ANSWER_MAX_BYTES
    }

    pub(super) fn look(&mut self, bytes: usize, shown: bool) {
        self.looks = self.looks.saturating_sub(1);
        self.looked_bytes = self.looked_bytes.saturating_sub(bytes);
        if shown {
            self.take(1);
            self.shown_bytes += bytes;
        }
    }
}

/// Messages from the last to the first.
enum Walk<'r, 's> {
    All(Rows<'r, MessageRow<'static>>),
    Lanes(Vec<HistoryLane<'r, 's>>),
}

impl Walk<'_, '_> {
    fn next(
        &mut self,
        rows: &TenantReader<'_>,
    ) -> Result<Option<(u64, MessageRow<'static>)>, StoreError> {
        match self {
            Self::All(messages) => messages.next().transpose(),
            Self::Lanes(lanes) => {
                let Some(sequence) = lanes.iter().filter_map(HistoryLane::head).max() else {
                    return Ok(None);
                };
                for lane in lanes {
                    lane.pass(sequence)?;
                }
                Ok(Some((sequence, rows.message_at(sequence)?)))
            }
        }
    }
}

impl TenantReader<'_> {
    /// Messages of the tenant before the sequence `before`, newest first, as far as `wanted` narrows
    /// them and `room` allows. A next page is named when this one ends early.
    pub fn every_message(
        &self,
        wanted: &ListMessages,
        before: Option<u64>,
        room: &mut Room,
    ) -> Result<HistoryPage, StoreError> {
        let mut page = HistoryPage::default();
        let mut walk = self.walk(wanted, before)?;
        let mut passed = before.unwrap_or(u64::MAX);
        while let Some((sequence, message)) = walk.next(self)? {
            let is_behind_all = |since: u64| message.time.0.saturating_add(CLOCKS_APART_MS) < since;
            if wanted.since.is_some_and(|since| is_behind_all(since.0)) {
                break;
            }
            let (bytes, is_wanted) = (message.content.len(), fits(wanted, &message));
            if room.is_spent() || (is_wanted && !room.holds(bytes)) {
                page.next_before = Some(passed);
                break;
            }
            room.look(bytes, is_wanted);
            if is_wanted {
                page.messages.push(message.bare());
            }
            passed = sequence;
        }
        Ok(page)
    }

    /// The shortest way on which everything wanted lies.
    fn walk<'r>(
        &'r self,
        wanted: &ListMessages,
        before: Option<u64>,
    ) -> Result<Walk<'r, 'r>, StoreError> {
        let lanes = match (&wanted.sender, &wanted.channel) {
            (Some(sender), _) => Some(vec![Lane::Sent(sender.clone())]),
            (None, Some(ChannelFilter::Broadcast)) => Some(vec![Lane::Broadcast]),
            (None, Some(ChannelFilter::Role(role))) => self.lanes_to(role)?,
            (None, None) => None,
        };
        let Some(lanes) = lanes else {
            let before = before.map(u64::to_be_bytes);
            let before = before.as_ref().map(<[u8; 8]>::as_slice);
            return Ok(Walk::All(self.list_back(&(), before)?));
        };
        let open = |lane| HistoryLane::open(self, lane, 0, |count| count, before);
        Ok(Walk::Lanes(
            lanes.into_iter().map(open).collect::<Result<_, _>>()?,
        ))
    }

    /// The lanes of a role and of every instance that it ever had; nothing when those are too many.
    fn lanes_to(&self, role: &Role) -> Result<Option<Vec<Lane>>, StoreError> {
        let mut lanes = vec![Lane::Role(role.clone())];
        for reader in self.list::<ReaderRow>(role, None)? {
            if lanes.len() > LANES_MAX {
                return Ok(None);
            }
            lanes.push(Lane::Instance(reader?.0));
        }
        Ok(Some(lanes))
    }
}
