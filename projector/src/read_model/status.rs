//! What became of a message, for its sender: a receipt for each reader it is meant for. Owns who
//! is meant. The first page walks the readers of the roles addressed, for the counts; each other one
//! begins at its place and ends at its limit.

use super::events::Route;
use super::keys::{ListedKey, RowKey};
use super::lanes::Lane;
use super::marks::Via;
use super::messages::MessageRow;
use super::readers::ReaderRow;
use super::receipts::ReceiptRow;
use super::table::{PageOf, Rows, TenantReader};
use crate::read_model::bits::{BLOCK, split};
use crate::store::StoreError;
use postroad_protocol::id::{InstanceId, MessageId, Reader, Role, TimeMs};
use postroad_protocol::query::Receipt;

/// Answer to a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPage {
    /// Readers that the message is meant for; a role without one counts as one.
    pub recipient_count: u64,
    /// How many have got it.
    pub delivered_count: u64,
    /// How many have read it.
    pub read_count: u64,
    /// This page's receipts, in order of role and instance.
    pub receipts: Vec<Receipt>,
    /// Where the next page begins; none when this is the last.
    pub next: Option<Box<[u8]>>,
}

/// Counts of the whole audience. The first page walks it and takes them; the places that follow carry
/// them on, so that a list of many pages walks its audience twice and not once a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    recipients: u64,
    delivered: u64,
    read: u64,
}

impl Totals {
    fn count(&mut self, row: Option<ReceiptRow>) {
        self.recipients += 1;
        self.delivered += u64::from(row.is_some());
        self.read += u64::from(row.is_some_and(|row| row.read_at.is_some()));
    }

    fn take(place: &mut &[u8]) -> Option<Self> {
        Some(Self {
            recipients: u64::read(place)?,
            delivered: u64::read(place)?,
            read: u64::read(place)?,
        })
    }

    fn write(self, place: &mut Vec<u8>) {
        for count in [self.recipients, self.delivered, self.read] {
            count.write(place);
        }
    }
}

/// Where a page begins.
#[derive(Clone, Copy)]
struct Start<'p> {
    totals: Totals,
    /// Role, and instance unless the role waited for its first: the last that was shown.
    behind: &'p [u8],
}

impl<'p> Start<'p> {
    fn read(mut place: &'p [u8]) -> Option<Self> {
        let totals = Totals::take(&mut place)?;
        Some(Self {
            totals,
            behind: place,
        })
    }
}

/// Receipts of one message, met in the order of the readers that are walked.
struct Receipts<'r> {
    rows: std::iter::Peekable<Rows<'r, ReceiptRow>>,
}

impl Receipts<'_> {
    /// The receipt of a reader that comes behind every one asked for before.
    fn of(&mut self, reader: &Reader) -> Result<Option<ReceiptRow>, StoreError> {
        let wanted = reader.bytes();
        while let Some(row) = self.rows.next_if(|row| {
            row.as_ref()
                .map_or(true, |((_, at), _)| at.bytes() <= wanted)
        }) {
            let ((_, at), row) = row?;
            if at == *reader {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// A status while its readers are walked.
struct Tally<'p, 'r> {
    sent_at: TimeMs,
    limit: usize,
    /// None on the first page, which counts everybody.
    start: Option<Start<'p>>,
    totals: Totals,
    receipts: Receipts<'r>,
    shown: Vec<Receipt>,
    last: Vec<u8>,
    is_full: bool,
}

impl Tally<'_, '_> {
    /// Whether nothing that follows changes the page.
    fn is_done(&self) -> bool {
        self.is_full && self.start.is_some()
    }

    fn count(&mut self, role: &Role, instance: Option<&InstanceId>, row: Option<ReceiptRow>) {
        if self.start.is_none() {
            self.totals.count(row);
        }
        if self.shown.len() >= self.limit {
            self.is_full = true;
            return;
        }
        self.last = role.bytes();
        if let Some(instance) = instance {
            instance.write(&mut self.last);
        }
        self.shown.push(Receipt {
            recipient: role.clone(),
            recipient_instance_id: instance.cloned(),
            created_at: self.sent_at,
            delivered_at: row.map(|row| row.delivered_at),
            read_at: row.and_then(|row| row.read_at),
        });
    }

    fn page(self) -> StatusPage {
        let totals = self.start.map_or(self.totals, |start| start.totals);
        StatusPage {
            recipient_count: totals.recipients,
            delivered_count: totals.delivered,
            read_count: totals.read,
            receipts: self.shown,
            next: self.is_full.then(|| {
                let mut place = Vec::new();
                totals.write(&mut place);
                place.extend(self.last);
                place.into()
            }),
        }
    }
}

impl TenantReader<'_> {
    /// What became of the message with this id that `role` sent; nothing when it sent none. The counts
    /// of a page are those of the list's first.
    pub fn message_status(
        &self,
        role: &Role,
        id: MessageId,
        page: PageOf<'_>,
    ) -> Result<Option<StatusPage>, StoreError> {
        for found in self.messages_with(id)? {
            let (sequence, message) = found?;
            if message.from.role == *role {
                return self.status_of(sequence, &message, page).map(Some);
            }
        }
        Ok(None)
    }

    fn status_of(
        &self,
        sequence: u64,
        message: &MessageRow<'_>,
        wanted: PageOf<'_>,
    ) -> Result<StatusPage, StoreError> {
        // A cursor vouches that a page of this list named the place.
        let start = wanted.after.and_then(Start::read);
        let behind = start.map(|start| [&sequence.to_be_bytes(), start.behind].concat());
        let rows = self.list::<ReceiptRow>(&sequence, behind.as_deref())?;
        let mut tally = Tally {
            sent_at: message.time,
            limit: wanted.limit,
            start,
            totals: Totals::default(),
            receipts: Receipts {
                rows: rows.peekable(),
            },
            shown: Vec::new(),
            last: Vec::new(),
            is_full: false,
        };
        let event = self.route(message.key)?;
        let Route(mut lanes) = event.map(|event| event.route).unwrap_or_default();
        lanes.sort();
        for (lane, ordinal) in &lanes {
            match lane {
                Lane::Role(role) => {
                    self.tally_role(&mut tally, message, role, Via::Role, *ordinal, true)?;
                }
                Lane::Instance(only) => self.tally_instance(&mut tally, message, only, *ordinal)?,
                Lane::Broadcast => self.tally_everybody(&mut tally, message, *ordinal)?,
                Lane::Sent(_) => {}
            }
            if tally.is_done() {
                break;
            }
        }
        Ok(tally.page())
    }

    fn tally_everybody(
        &self,
        tally: &mut Tally<'_, '_>,
        message: &MessageRow<'_>,
        ordinal: u64,
    ) -> Result<(), StoreError> {
        let first = tally
            .start
            .and_then(|start| Role::read(&mut { start.behind }));
        for role in self.roles_from(first.as_ref())? {
            let (role, row) = role?;
            if row.broadcast_start.total() <= ordinal {
                // A role that had left by then was not addressed.
                let waits = row.broadcast_end.is_none_or(|end| ordinal < end);
                self.tally_role(tally, message, &role, Via::Broadcast, ordinal, waits)?;
            }
            if tally.is_done() {
                break;
            }
        }
        Ok(())
    }

    /// Counts the readers of a role; the role itself where none is there to have got the message
    /// and it still `waits` for one.
    fn tally_role(
        &self,
        tally: &mut Tally<'_, '_>,
        message: &MessageRow<'_>,
        role: &Role,
        via: Via,
        ordinal: u64,
        waits: bool,
    ) -> Result<(), StoreError> {
        let behind = tally.start.map_or(&[][..], |start| start.behind);
        let own = role.bytes();
        if behind.get(..own.len()).is_none_or(|first| first != own) {
            if behind > own.as_slice() {
                // A role before the place was shown to its end.
                return Ok(());
            }
        } else if behind == own {
            // The role itself was shown, since none of its readers was there.
            return Ok(());
        }
        let resumed = behind.starts_with(&own).then_some(behind);
        // Whoever was shown before is there.
        let mut is_anybody_there = resumed.is_some();
        for reader in self.list::<ReaderRow>(role, resumed)? {
            let (reader, row) = reader?;
            if !row.holds(via, ordinal) {
                continue;
            }
            let receipt = tally.receipts.of(&reader)?;
            if reader == *message.from {
                is_anybody_there = true;
            } else if receipt.is_some() || !self.inherited(&reader, &row, via, ordinal)? {
                is_anybody_there = true;
                tally.count(role, Some(&reader.instance), receipt);
                if tally.is_done() {
                    return Ok(());
                }
            }
        }
        if waits && !is_anybody_there {
            tally.count(role, None, None);
        }
        Ok(())
    }

    /// An instance that was named has its receipt whether or not it has registered yet.
    fn tally_instance(
        &self,
        tally: &mut Tally<'_, '_>,
        message: &MessageRow<'_>,
        only: &Reader,
        ordinal: u64,
    ) -> Result<(), StoreError> {
        let row = self.reader_row(only)?;
        let is_own = *only == *message.from && row.holds(Via::Instance, ordinal);
        // There is one, so nothing follows it.
        if is_own || tally.start.is_some() {
            return Ok(());
        }
        let receipt = tally.receipts.of(only)?;
        tally.count(&only.role, Some(&only.instance), receipt);
        Ok(())
    }

    fn inherited(
        &self,
        reader: &Reader,
        row: &ReaderRow,
        via: Via,
        ordinal: u64,
    ) -> Result<bool, StoreError> {
        if !row.may_have_inherited(via, ordinal) {
            return Ok(false);
        }
        let marks = self.marks_row(reader, via, ordinal / BLOCK)?;
        let (_, place) = split(ordinal);
        Ok(marks.is_some_and(|marks| marks.inherited.contains(place)))
    }
}
