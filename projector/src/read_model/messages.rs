//! Messages: each stored once, by its sequence, with an index from the id that its sender chose.
//! Owns what a send writes and how a message is shown; never decides who has read it.

use super::batch::{FoldError, Refused, TenantWriter};
use super::events::Route;
use super::lanes::Lane;
use super::readers::Standing;
use super::receipts::ReceiptRow;
use super::table::{Row, Table, TenantReader, unreadable};
use crate::apply::Touched;
use crate::store::StoreError;
use postroad_protocol::channel::Channel;
use postroad_protocol::command::receipt_id;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{EventKey, MessageSent, Priority};
use postroad_protocol::id::{InstanceId, MessageId, Reader, TimeMs};
use postroad_protocol::query;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A message. Borrowed while it is written, so that its content is copied once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRow<'a> {
    /// As bytes: an id's own form is text, which takes twice as many.
    id: ByteArray<16>,
    pub(super) key: EventKey,
    pub(super) time: TimeMs,
    pub(super) from: Cow<'a, Reader>,
    pub(super) channel: Cow<'a, Channel>,
    instance: Cow<'a, Option<InstanceId>>,
    reply_to: Option<ByteArray<16>>,
    priority: Priority,
    metadata: Cow<'a, BTreeMap<String, String>>,
    pub(super) content: Cow<'a, str>,
}

impl Row for MessageRow<'_> {
    type Key = u64;
    const TABLE: Table = Table::Messages;
}

/// That the message at a sequence has an id. An id is not unique: two senders may choose the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdRow {
    /// The message's own key: what its receipts are found by, without loading it.
    key: EventKey,
}

impl Row for IdRow {
    type Key = (MessageId, u64);
    const TABLE: Table = Table::Ids;
}

impl MessageRow<'_> {
    /// The message as `reader` sees it, to whom it is `standing`; `happened` is its receipt's row.
    pub(super) fn shown(
        self,
        reader: &Reader,
        standing: Standing,
        happened: Option<ReceiptRow>,
    ) -> query::Message {
        query::Message {
            receipt_id: standing.has_receipt().then(|| receipt_id(self.key, reader)),
            delivered_at: happened.map(|row| row.delivered_at),
            read_at: happened.and_then(|row| row.read_at),
            ..self.bare()
        }
    }

    /// The message without anybody's receipt.
    pub(super) fn bare(self) -> query::Message {
        query::Message {
            tenant_id: None,
            message_id: MessageId::from_bytes(self.id.into_array()),
            receipt_id: None,
            from: self.from.role.clone(),
            from_instance_id: self.from.into_owned().instance,
            channel: self.channel.to_string(),
            instance_id: self.instance.into_owned(),
            content: self.content.into_owned(),
            sent_at: self.time,
            delivered_at: None,
            read_at: None,
            reply_to: self
                .reply_to
                .map(|id| MessageId::from_bytes(id.into_array())),
            priority: self.priority,
            metadata: self.metadata.into_owned(),
        }
    }
}

/// The lanes to which a message is addressed.
fn lanes_of(sent: &MessageSent) -> Vec<Lane> {
    match (&sent.channel, &sent.instance) {
        (Channel::Broadcast, _) => vec![Lane::Broadcast],
        (Channel::Roles(roles), Some(instance)) => roles
            .iter()
            .map(|role| {
                Lane::Instance(Reader {
                    role: role.clone(),
                    instance: instance.clone(),
                })
            })
            .collect(),
        (Channel::Roles(roles), None) => roles.iter().cloned().map(Lane::Role).collect(),
    }
}

impl TenantWriter<'_, '_> {
    /// Where a message would go. A role that was retired while it was on its way still gets it:
    /// the role may come back.
    ///
    /// # Errors
    /// [`Refused::UnknownRole`].
    pub(crate) fn plan(&mut self, sent: &MessageSent) -> Result<Route, FoldError> {
        let mut route = Route::default();
        for lane in lanes_of(sent) {
            let of_role = match &lane {
                Lane::Role(role) | Lane::Instance(Reader { role, .. }) => Some(role.clone()),
                Lane::Broadcast | Lane::Sent(_) => None,
            };
            if let Some(role) = of_role
                && !self.is_lane_open(&Lane::Role(role.clone()))?
            {
                return Err(Refused::UnknownRole.into());
            }
            let ordinal = self.lane_counts(&lane)?.total();
            route.0.push((lane, ordinal));
        }
        Ok(route)
    }

    /// Stores the message and puts it in every lane of its `route`, which was just planned.
    pub(super) fn message_sent(
        &mut self,
        sequence: u64,
        record: &Record,
        sent: &MessageSent,
        route: &Route,
    ) -> Result<(), FoldError> {
        for (lane, _) in &route.0 {
            self.append(lane, sequence, sent.priority)?;
            let tenant = self.tenant().clone();
            self.touch(match lane {
                Lane::Role(role) => Touched::Role(tenant, role.clone()),
                Lane::Instance(reader) => Touched::Instance(tenant, reader.clone()),
                Lane::Broadcast | Lane::Sent(_) => Touched::Broadcast(tenant),
            });
        }
        // Nobody has unread mail there, so all of it counts as normal.
        let history = Lane::Sent(sent.from.role.clone());
        self.append(&history, sequence, Priority::Normal)?;
        if sent.from.is_postroad() {
            self.ready_told(record, sent)?;
        } else {
            self.heard_of(&sent.from, record.time)?;
        }
        if let Some((via, ordinal)) = route.to(&sent.from) {
            self.settle_own(&sent.from, via, ordinal)?;
        }
        let row = MessageRow {
            id: ByteArray::new(*record.id.as_bytes()),
            key: record.key,
            time: record.time,
            from: Cow::Borrowed(&sent.from),
            channel: Cow::Borrowed(&sent.channel),
            instance: Cow::Borrowed(&sent.instance),
            reply_to: sent.reply_to.map(|id| ByteArray::new(*id.as_bytes())),
            priority: sent.priority,
            metadata: Cow::Borrowed(&sent.metadata),
            content: Cow::Borrowed(&sent.content),
        };
        self.append_row(&sequence, &row);
        self.append_row(&(record.id, sequence), &IdRow { key: record.key });
        self.tenant_row()?.messages += 1;
        Ok(())
    }
}

impl TenantReader<'_> {
    /// The message at a sequence that an index names.
    pub(super) fn message_at(&self, sequence: u64) -> Result<MessageRow<'static>, StoreError> {
        self.get(&sequence)?
            .ok_or_else(|| unreadable(Table::Messages))
    }

    /// The keys of the messages with this id; mostly one.
    pub(super) fn keys_with(
        &self,
        id: MessageId,
    ) -> Result<impl Iterator<Item = Result<EventKey, StoreError>> + use<'_>, StoreError> {
        Ok(self.list::<IdRow>(&id, None)?.map(|row| Ok(row?.1.key)))
    }

    /// Every message with this id, oldest first.
    pub(super) fn messages_with(
        &self,
        id: MessageId,
    ) -> Result<
        impl Iterator<Item = Result<(u64, MessageRow<'static>), StoreError>> + use<'_>,
        StoreError,
    > {
        let found = self.list::<IdRow>(&id, None)?;
        Ok(found.map(|row| {
            let ((_, sequence), _) = row?;
            Ok((sequence, self.message_at(sequence)?))
        }))
    }
}
