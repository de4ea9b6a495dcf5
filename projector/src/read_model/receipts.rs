//! Receipts: when a reader got a message and when it read it. A receipt exists as soon as the
//! message does; it becomes a row only when one of the two happens. Owns those rows and the
//! look-ups that a broker needs before it marks.

use super::batch::{FoldError, Refused, TenantWriter};
use super::events::EventRow;
use super::readers::Standing;
use super::table::{Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::command::{MarkTarget, parse_receipt_id};
use postroad_protocol::event::{EventKey, MessagesDelivered, MessagesRead};
use postroad_protocol::id::{MessageId, Reader, TimeMs};
use postroad_protocol::service::MarkState;
use serde::{Deserialize, Serialize};

/// What happened to one receipt. Neither time changes once it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReceiptRow {
    pub(super) delivered_at: TimeMs,
    pub(super) read_at: Option<TimeMs>,
}

impl Row for ReceiptRow {
    type Key = (u64, Reader);
    const TABLE: Table = Table::Receipts;
}

impl TenantWriter<'_, '_> {
    /// The reader has read messages, which implies that it got them. Ids that have no receipt of
    /// it are passed over; when none has, the event is refused.
    pub(super) fn messages_read(
        &mut self,
        time: TimeMs,
        data: &MessagesRead,
    ) -> Result<(), FoldError> {
        self.each_receipt(&data.reader, &data.messages, |writer, key, standing| {
            let row = writer.get::<ReceiptRow>(key)?;
            if row.is_none_or(|row| row.read_at.is_none()) {
                let delivered_at = row.map_or(time, |row| row.delivered_at);
                let read_at = Some(time);
                writer.put(
                    key,
                    &ReceiptRow {
                        delivered_at,
                        read_at,
                    },
                )?;
            }
            if let (Standing::Unread, via, ordinal) = standing {
                writer.settle_read(&data.reader, via, ordinal)?;
            }
            Ok(())
        })?;
        self.heard_of(&data.reader, time)?;
        Ok(())
    }

    /// Messages went out to the reader. As with reading, unknown ids are passed over.
    pub(super) fn messages_delivered(
        &mut self,
        time: TimeMs,
        data: &MessagesDelivered,
    ) -> Result<(), FoldError> {
        self.each_receipt(&data.reader, &data.messages, |writer, key, _| {
            if writer.get::<ReceiptRow>(key)?.is_none() {
                let read_at = None;
                writer.put(
                    key,
                    &ReceiptRow {
                        delivered_at: time,
                        read_at,
                    },
                )?;
            }
            Ok(())
        })?;
        self.heard_of(&data.reader, time)?;
        Ok(())
    }

    /// Calls `then` for each of `messages` of which the reader has a receipt.
    fn each_receipt(
        &mut self,
        reader: &Reader,
        messages: &[EventKey],
        mut then: impl FnMut(
            &mut Self,
            &(u64, Reader),
            (Standing, super::marks::Via, u64),
        ) -> Result<(), StoreError>,
    ) -> Result<(), FoldError> {
        let mut some = false;
        for message in messages {
            let Some(event) = self.get::<EventRow>(message)? else {
                continue;
            };
            let standing = self.standing(reader, &event.route)?;
            if let Some(standing) = standing.filter(|(standing, ..)| standing.has_receipt()) {
                then(self, &(event.sequence, reader.clone()), standing)?;
                some = true;
            }
        }
        if some {
            Ok(())
        } else {
            Err(Refused::NoReceipt.into())
        }
    }
}

impl TenantReader<'_> {
    /// In what state each of `targets` is for `reader`, in their order. What its role had read
    /// before it registered counts as read: there is nothing left to mark.
    pub fn marks(
        &self,
        reader: &Reader,
        targets: &[MarkTarget],
    ) -> Result<Vec<MarkState>, StoreError> {
        let row = self.reader_row(reader)?;
        let state = |key: EventKey| -> Result<MarkState, StoreError> {
            let standing = match self.route(key)? {
                Some(event) => self.standing(reader, &row, &event.route)?,
                None => Standing::None,
            };
            Ok(match standing {
                Standing::None => MarkState::NotFound,
                Standing::Inherited | Standing::Read => MarkState::Read,
                Standing::Unread => MarkState::Unread(key),
            })
        };
        targets
            .iter()
            .map(|target| match target {
                MarkTarget::Receipt(text) => {
                    parse_receipt_id(text, reader).map_or(Ok(MarkState::NotFound), state)
                }
                MarkTarget::Message(text) => match MessageId::parse(text) {
                    Some(id) => self.mark_of_message(id, state),
                    None => Ok(MarkState::NotFound),
                },
            })
            .collect()
    }

    /// Two senders may have chosen the same id: the oldest that is unread is meant.
    fn mark_of_message(
        &self,
        id: MessageId,
        state: impl Fn(EventKey) -> Result<MarkState, StoreError>,
    ) -> Result<MarkState, StoreError> {
        let mut best = MarkState::NotFound;
        for key in self.keys_with(id)? {
            match state(key?)? {
                MarkState::NotFound => {}
                MarkState::Read => best = MarkState::Read,
                unread @ MarkState::Unread(_) => return Ok(unread),
            }
        }
        Ok(best)
    }
}
