//! What became of a message, for its sender: a receipt for each reader it is meant for. Owns who
//! is meant; walks the readers of the roles addressed once, so its cost grows with their number.

use super::events::Route;
use super::keys::RowKey;
use super::lanes::Lane;
use super::marks::Via;
use super::messages::MessageRow;
use super::readers::ReaderRow;
use super::receipts::ReceiptRow;
use super::table::{PageOf, TenantReader};
use crate::read_model::bits::{BLOCK, split};
use crate::store::StoreError;
use postroad_protocol::id::{InstanceId, MessageId, Reader, Role, TimeMs};
use postroad_protocol::query::Receipt;
use std::collections::HashMap;

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

/// A status while its readers are walked.
struct Tally<'p> {
    sent_at: TimeMs,
    wanted: PageOf<'p>,
    receipts: HashMap<Reader, ReceiptRow>,
    page: StatusPage,
    last: Vec<u8>,
}

impl Tally<'_> {
    fn count(&mut self, role: &Role, instance: Option<&InstanceId>, row: Option<ReceiptRow>) {
        self.page.recipient_count += 1;
        self.page.delivered_count += u64::from(row.is_some());
        self.page.read_count += u64::from(row.is_some_and(|row| row.read_at.is_some()));
        let mut place = role.bytes();
        if let Some(instance) = instance {
            instance.write(&mut place);
        }
        if self
            .wanted
            .after
            .is_some_and(|after| place.as_slice() <= after)
        {
            return;
        }
        if self.page.receipts.len() >= self.wanted.limit {
            if self.page.next.is_none() {
                self.page.next = Some(self.last.as_slice().into());
            }
            return;
        }
        self.page.receipts.push(Receipt {
            recipient: role.clone(),
            recipient_instance_id: instance.cloned(),
            created_at: self.sent_at,
            delivered_at: row.map(|row| row.delivered_at),
            read_at: row.and_then(|row| row.read_at),
        });
        self.last = place;
    }
}

impl TenantReader<'_> {
    /// What became of the message with this id that `role` sent; nothing when it sent none.
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
        let mut receipts = HashMap::new();
        for row in self.list::<ReceiptRow>(&sequence, None)? {
            let ((_, reader), row) = row?;
            receipts.insert(reader, row);
        }
        let mut tally = Tally {
            sent_at: message.time,
            wanted,
            receipts,
            page: StatusPage {
                recipient_count: 0,
                delivered_count: 0,
                read_count: 0,
                receipts: Vec::new(),
                next: None,
            },
            last: Vec::new(),
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
                Lane::Broadcast => {
                    for role in self.roles_from(None)? {
                        let (role, row) = role?;
                        if row.broadcast_start <= *ordinal {
                            // A role that had left by then was not addressed.
                            let waits = row.broadcast_end.is_none_or(|end| *ordinal < end);
                            self.tally_role(
                                &mut tally,
                                message,
                                &role,
                                Via::Broadcast,
                                *ordinal,
                                waits,
                            )?;
                        }
                    }
                }
                Lane::Sent(_) => {}
            }
        }
        Ok(tally.page)
    }

    /// Counts the readers of a role; the role itself where none is there to have got the message
    /// and it still `waits` for one.
    fn tally_role(
        &self,
        tally: &mut Tally<'_>,
        message: &MessageRow<'_>,
        role: &Role,
        via: Via,
        ordinal: u64,
        waits: bool,
    ) -> Result<(), StoreError> {
        let mut is_anybody_there = false;
        for reader in self.list::<ReaderRow>(role, None)? {
            let (reader, row) = reader?;
            if !row.holds(via, ordinal) {
                continue;
            }
            let receipt = tally.receipts.get(&reader).copied();
            if reader == *message.from {
                is_anybody_there = true;
            } else if receipt.is_some() || !self.inherited(&reader, &row, via, ordinal)? {
                is_anybody_there = true;
                tally.count(role, Some(&reader.instance), receipt);
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
        tally: &mut Tally<'_>,
        message: &MessageRow<'_>,
        only: &Reader,
        ordinal: u64,
    ) -> Result<(), StoreError> {
        let row = self.reader_row(only)?;
        if *only == *message.from && row.holds(Via::Instance, ordinal) {
            return Ok(());
        }
        let receipt = tally.receipts.get(only).copied();
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
